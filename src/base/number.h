/* Numbers as Go's strconv and encoding/json write them: shortest digits that read back to the same double. */
#ifndef KAP_BASE_NUMBER_H
#define KAP_BASE_NUMBER_H

#include "base/buf.h"

/* encoding/json: exponent only below 1e-6 and from 1e21 on, "1e-7" not "1e-07". NaN/Inf must be checked before. */
void kap_number_json(struct kap_buf *b, double f);
/* strconv.FormatFloat(f, verb, precision, 64), verb one of e E f g G, precision -1: shortest. NaN, +Inf, -Inf. */
void kap_number_format(struct kap_buf *b, double f, char verb, int precision);
void kap_number_i64(struct kap_buf *b, int64_t i);
void kap_number_u64(struct kap_buf *b, uint64_t u);
/* Correctly rounded decimal to double, whole slice, fast path for usual numbers (no locale, no allocation):
 * [+-]digits[.digits][e[+-]digits]. False: not of that form. */
bool kap_number_parse(const char *p, size_t n, double *ret);

#endif
