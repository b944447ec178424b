/* The string functions of the table in functions.c. Private to this room. */
#ifndef KAP_LAMBDA_FUNCTIONS_STR_H
#define KAP_LAMBDA_FUNCTIONS_STR_H

#include "lambda/functions.h"

#define KAP_STRING_FN(name)                                                                                      \
    bool kap_fn_##name(struct kap_run *r, const struct kap_value *args, size_t nargs, struct kap_value *ret,     \
                       struct kap_error *err)
KAP_STRING_FN(str_contains);
KAP_STRING_FN(str_contains_any);
KAP_STRING_FN(str_count);
KAP_STRING_FN(str_has_prefix);
KAP_STRING_FN(str_has_suffix);
KAP_STRING_FN(str_index);
KAP_STRING_FN(str_index_any);
KAP_STRING_FN(str_last_index);
KAP_STRING_FN(str_last_index_any);
KAP_STRING_FN(str_length);
KAP_STRING_FN(str_replace);
KAP_STRING_FN(str_substring);
KAP_STRING_FN(str_to_lower);
KAP_STRING_FN(str_to_upper);
KAP_STRING_FN(str_trim);
KAP_STRING_FN(str_trim_left);
KAP_STRING_FN(str_trim_prefix);
KAP_STRING_FN(str_trim_right);
KAP_STRING_FN(str_trim_space);
KAP_STRING_FN(str_trim_suffix);
KAP_STRING_FN(regex_replace);

#endif
