/* ops.c - the array of all operations. */
#include "graph/op.h"

#define ENTRY(name) &tc_op_##name,
const tc_op *const tc_ops[] = {TC_OP_LIST(ENTRY) NULL};
