/* torch_priv.h - inside the reader of PyTorch files: torch_file.c (containers),
 * torch_storage.c (storages, bytes) and state_dict.c (which tensors there are). */
#ifndef TC_TORCH_PRIV_H
#define TC_TORCH_PRIV_H

#include "store/pickle.h"
#include "store/torch_file.h"

#include <pthread.h>

enum { TC_STORAGE_KEY = 24 };

/* What tensors are views of. Several may share one. */
typedef struct tc_storage {
    char key[TC_STORAGE_KEY];
    tc_dtype dtype;
    size_t numel, bytes;
    size_t start; /* offset in the file, once it is located */
    bool located;
    const tc_member *member; /* NULL in a file from before 1.6, which has no CRC */
    bool checked;            /* its CRC was right; under the lock */
} tc_storage;

/* What a tensor's bytes are made of when they are first asked for. */
struct tc_lazy {
    tc_torch *torch;
    tc_lazy *next;
    tc_storage *storage;
    size_t offset; /* elements */
    bool contiguous;
    size_t stride[TC_MAX_RANK]; /* elements */
    uint8_t *copy;              /* in row-major order, if the storage is not; under the lock */
    char name[];
};

struct tc_torch {
    tc_bytes bytes;
    tc_archive *archive;  /* NULL: a file from before 1.6 */
    tc_storage *storages; /* sorted by key */
    size_t storage_count;
    tc_lazy *tensors;
    size_t copies; /* bytes of all copies that tensors may ask for */
    pthread_mutex_t lock;
};

/* The key that a node holds; false if it is none: keys are numbers, nothing else can name a member. */
bool tc_storage_take_key(tc_storage *s, const tc_pickle *p, uint32_t node);
/* All storages that the pickle names. In an archive, those that cannot be understood matter only once a
 * tensor wants them; in an old file the place of the others depends on them. */
tc_status tc_torch_collect_storages(tc_torch *t, const tc_pickle *p, tc_error *err);
tc_storage *tc_torch_find_storage(const tc_torch *t, const char *key); /* NULL: none */
/* The storage of a persistent id, its place in the file known and as long as it says. */
tc_status tc_torch_storage(tc_torch *t, const tc_pickle *p, uint32_t node, tc_storage **out, tc_error *err);
/* The bytes of a tensor: its `fetch`. */
const uint8_t *tc_torch_fetch(const tc_tensor *t, tc_error *err);
/* Adds the tensors of the state dict in p to the list; `script`: p is the object tree of a TorchScript
 * archive. */
tc_status tc_state_dict_read(tc_torch *t, const tc_pickle *p, bool script, tc_tensor_list *list,
                             tc_error *err);

#endif
