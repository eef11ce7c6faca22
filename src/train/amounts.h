/* amounts.h - how much of a model is to be left, as people write it. */
#ifndef TC_AMOUNTS_H
#define TC_AMOUNTS_H

#include "base/base.h"

/* "50%" or "0.5": a part above 0 and at most 1. False if it is none. */
bool tc_read_part(const char *text, double *out);
/* "20M", "1.5G", "300k" or "1234": a number above 0; k, M, G (or B) and T are 10^3 to 10^12. False if it is
 * none. */
bool tc_read_amount(const char *text, double *out);

#endif
