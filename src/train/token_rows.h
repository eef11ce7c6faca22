/* token_rows.h - the token table in training: its rows that have occurred in a caption since training began.
 * Of the others gradient and moments are zero. */
#ifndef TC_TOKEN_ROWS_H
#define TC_TOKEN_ROWS_H

#include "graph/params.h"
#include "kern/kern.h"

typedef struct tc_token_rows {
    int param;
    int64_t count, width, first, end; /* rows and their length; where the table lies in a flat block */
    bool *occurred;                   /* [count] */
    double *square;                   /* [count], room */
} tc_token_rows;
tc_status tc_token_rows_create(tc_token_rows *t, const tc_params *params, tc_error *err);
void tc_token_rows_free(tc_token_rows *t);
void tc_token_rows_add(tc_token_rows *t, const int32_t *ids, int64_t n);
/* From the moments (flat blocks): after a checkpoint was loaded. */
void tc_token_rows_find(tc_token_rows *t, const tc_real *m, const tc_real *v);
/* Sum of the squares of the table's part of a flat block of gradients. */
double tc_token_rows_square(tc_token_rows *t, const tc_kern *k, const tc_real *grad);
/* End of the run of rows from `row` on that all have occurred, or all have not. */
int64_t tc_token_rows_run(const tc_token_rows *t, int64_t row);

#endif
