/* serve.c - the server of serve.h as a program: serve FILE PORT_FILE LOG SECONDS STEP... writes its port into
 * PORT_FILE. */
#include "base/base.h"
#include "serve.h"

int main(int argc, char **argv) {
    tc_map map;
    tc_error err;
    int port = 0, listener;
    if (argc < 6) return 2;
    if (tc_map_open(&map, argv[1], &err) != TC_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    listener = serve_listen(&port);
    char text[16];
    snprintf(text, sizeof text, "%d\n", port);
    if (listener < 0 || tc_file_write(argv[2], text, strlen(text), NULL) != TC_OK) return 1;
    serve_run(listener, map.data, (int64_t)map.size, (const char *const *)argv + 5, argv[3],
              (unsigned)atoi(argv[4]));
    tc_map_close(&map);
    return 0;
}
