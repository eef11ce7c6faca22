/* make_weights.c - make_weights CONFIGURATION OUT: a model with random weights, as a file or a folder, for
 * the tests of the program. */
#include "base/base.h"

int main(int argc, char **argv) {
    tc_model *m = NULL;
    tc_error err;
    if (argc != 3) return 2;
    tc_status status = tc_model_create(&m, argv[1], 7, &err);
    if (status == TC_OK) status = tc_model_save(m, argv[2], TC_FORMAT_AUTO, &err);
    tc_model_close(&m);
    if (status != TC_OK) fprintf(stderr, "%s\n", err.message);
    return status != TC_OK;
}
