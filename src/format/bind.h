/* bind.h - the tensors of a checkpoint as the values of a model. */
#ifndef TC_BIND_H
#define TC_BIND_H

#include "format/layout.h"
#include "model/model.h"

/* Finds the tensors of every parameter; an error if one is missing, has another shape, or is left over. Marks
 * those of the layout that are used. */
tc_status tc_bind(tc_model *m, const tc_layout *l, tc_error *err);

#endif
