/* torch_file.h - inside store/: the tensors of a file that torch.save or torch.jit.save wrote. */
#ifndef TC_TORCH_FILE_H
#define TC_TORCH_FILE_H

#include "store/archive.h"
#include "store/safetensors.h"

typedef struct tc_torch tc_torch;
/* Is the file, by its first and last bytes, one of PyTorch's (a zip archive, a file from before 1.6, or a tar
 * file of the first versions)? */
tc_status tc_torch_recognise(const tc_bytes *b, bool *yes, tc_error *err);
/* Adds the tensors of its state dict to the list. The bytes and b->name must outlive *out, and *out the
 * tensors. */
tc_status tc_torch_open(tc_torch **out, const tc_bytes *b, tc_tensor_list *list, tc_error *err);
void tc_torch_close(tc_torch **t);

#endif
