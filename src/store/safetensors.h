/* safetensors.h - inside store/: the header of one .safetensors file. */
#ifndef TC_SAFETENSORS_H
#define TC_SAFETENSORS_H

#include "store/store.h"

enum { TC_ST_HEADER_LIMIT = 100 * 1000 * 1000 };

/* A growing list of tensors; names belong to the JSON headers that they came from. */
typedef struct tc_tensor_list {
    tc_tensor *at;
    size_t count, capacity;
} tc_tensor_list;

/* Reads N, the length of the header, from the first 8 bytes of a file of `size` bytes and checks it. */
tc_status tc_st_header_size(const uint8_t first[8], size_t size, const char *name, size_t *header,
                            tc_error *err);
/* Parses and checks a header completely, `data_size` bytes of tensor data being behind it, which are not
 * read. The tensors are added to `list`; their names live as long as *root, which the caller releases. */
tc_status tc_st_parse_header(tc_tensor_list *list, json_t **root, const char *header, size_t header_size,
                             const uint8_t *data, size_t data_size, const char *name, tc_error *err);

#endif
