/* file_kind.c - what a file is by its first bytes, so that a picture in the place of a model, or a web page
 * in the place of a picture, is called what it is and not measured by the rules of another format. */
#include "base/base.h"

#include <string.h>

#define ORIGINAL "take the checkpoint that it was made of"
#define UNPACK "unpack it first"
#define PAGE "the address that it was downloaded from gives a page and not the file"

static const tc_file_kind empty = {"an empty file", "the download or the copy did not end well", 0, 0, "",
                                   TC_KIND_OTHER};
static const tc_file_kind text = {"a text", NULL, 0, 0, "", TC_KIND_OTHER};

static const tc_file_kind texts[] = {{"a pointer of Git LFS",
                                      "`git lfs pull` fetches the file that it stands for", 0, 23,
                                      "version https://git-lfs", TC_KIND_OTHER},
                                     {"a web page", PAGE, 0, 9, "<!DOCTYPE", TC_KIND_OTHER},
                                     {"a web page", PAGE, 0, 9, "<!doctype", TC_KIND_OTHER},
                                     {"a web page", PAGE, 0, 5, "<html", TC_KIND_OTHER},
                                     {"JSON", NULL, 0, 1, "{", TC_KIND_OTHER}};

static const tc_file_kind others[] = {
    {"a JPEG picture", NULL, 0, 3, "\xff\xd8\xff", TC_KIND_PICTURE},
    {"a PNG picture", NULL, 0, 8, "\x89PNG\r\n\x1a\n", TC_KIND_PICTURE},
    {"a GIF picture", NULL, 0, 4, "GIF8", TC_KIND_PICTURE},
    {"a WebP picture", NULL, 8, 4, "WEBP", TC_KIND_PICTURE},
    {"a BMP picture", NULL, 0, 2, "BM", TC_KIND_PICTURE},
    {"a TIFF picture", NULL, 0, 4, "II*\0", TC_KIND_PICTURE},
    {"a HEIF or AVIF picture, or a film", NULL, 4, 4, "ftyp", TC_KIND_PICTURE},
    {"a GGUF file", ORIGINAL, 0, 4, "GGUF", TC_KIND_OTHER},
    {"an HDF5 file", ORIGINAL, 0, 4, "\x89HDF", TC_KIND_OTHER},
    {"a NumPy array", NULL, 0, 6, "\x93NUMPY", TC_KIND_OTHER},
    {"a zip archive", UNPACK, 0, 4, "PK\3\4", TC_KIND_OTHER},
    {"a gzip file", UNPACK, 0, 2, "\x1f\x8b", TC_KIND_OTHER},
    {"an xz file", UNPACK, 0, 6, "\xfd\x37zXZ\0", TC_KIND_OTHER},
    {"a tar archive", UNPACK, 257, 5, "ustar", TC_KIND_OTHER},
    {"a safetensors file", NULL, 8, 1, "{", TC_KIND_WEIGHTS}};

/* A protobuf message whose first field is a small version and whose second is the producer's name or, without
 * one, the graph. */
static const tc_file_kind onnx = {"an ONNX file", ORIGINAL, 0, 0, "", TC_KIND_OTHER};
static bool is_onnx(const uint8_t *b, size_t n) {
    return n > 3 && b[0] == 0x08 && b[1] >= 1 && b[1] < 32 && (b[2] == 0x12 || b[2] == 0x3a);
}

/* UTF-8 without control characters but white space; a character may be cut at the end. */
static bool is_text(const uint8_t *b, size_t n) {
    size_t more = 0; /* bytes that belong to the character begun */
    for (size_t i = 0; i < n; i++) {
        bool follows = (b[i] & 0xc0) == 0x80;
        if (follows != (more > 0)) return false;
        if (more) more--;
        else if (b[i] >= 0xf8) return false;
        else if (b[i] >= 0xc0) more = b[i] >= 0xf0 ? 3u : 1u + (b[i] >= 0xe0);
        else if (b[i] < 0x20 && (b[i] < '\t' || b[i] > '\r')) return false;
    }
    return true;
}

static const tc_file_kind *find(const tc_file_kind *k, size_t count, const uint8_t *b, size_t n) {
    for (; count--; k++)
        if (n >= k->at + k->size && memcmp(b + k->at, k->mark, k->size) == 0) return k;
    return NULL;
}

const tc_file_kind *tc_file_kind_of(const uint8_t *first, size_t n) {
    if (n == 0) return &empty;
    if (is_text(first, n)) {
        const tc_file_kind *k = find(texts, sizeof texts / sizeof *texts, first, n);
        return k ? k : &text;
    }
    return is_onnx(first, n) ? &onnx : find(others, sizeof others / sizeof *others, first, n);
}

const char *tc_picture_kind(const char *path) {
    uint8_t first[TC_KIND_BYTES];
    tc_map m;
    if (tc_map_open(&m, path, NULL) != TC_OK) return NULL;
    size_t n = m.size < sizeof first ? m.size : sizeof first;
    const tc_file_kind *k = tc_map_read(&m, 0, first, n, NULL) == TC_OK ? tc_file_kind_of(first, n) : NULL;
    tc_map_close(&m);
    return k && k->role == TC_KIND_PICTURE ? k->what : NULL;
}
