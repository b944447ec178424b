/* Values of fields and of lambda expressions. Plain values; strings and regexes are borrowed from whoever
 * made them (batch arena, node state, compiled expression). Threads: plain data. */
#ifndef KAP_DATA_VALUE_H
#define KAP_DATA_VALUE_H

#include "base/str.h"

struct kap_regex;

/* Field values are FLOAT, INT, STRING, BOOL or MISSING (null). The others appear in expressions only. */
enum kap_type {
    KAP_MISSING,
    KAP_FLOAT,
    KAP_INT,
    KAP_STRING,
    KAP_BOOL,
    KAP_TIME,     /* i: ns since the epoch */
    KAP_DURATION, /* i: ns */
    KAP_REGEX,
};

struct kap_value {
    enum kap_type type;
    union {
        double f;
        int64_t i;
        bool b;
        struct kap_str s;
        const struct kap_regex *re;
    };
};

static inline struct kap_value kap_value_f(double f)
{
    return (struct kap_value){ .type = KAP_FLOAT, .f = f };
}
static inline struct kap_value kap_value_i(int64_t i)
{
    return (struct kap_value){ .type = KAP_INT, .i = i };
}
static inline struct kap_value kap_value_b(bool b) { return (struct kap_value){ .type = KAP_BOOL, .b = b }; }
static inline struct kap_value kap_value_s(struct kap_str s)
{
    return (struct kap_value){ .type = KAP_STRING, .s = s };
}
static inline struct kap_value kap_value_time(int64_t ns)
{
    return (struct kap_value){ .type = KAP_TIME, .i = ns };
}
static inline struct kap_value kap_value_dur(int64_t ns)
{
    return (struct kap_value){ .type = KAP_DURATION, .i = ns };
}

const char *kap_type_name(
    enum kap_type t); /* "float", "int", "string", "boolean", "time", "duration", "regex", "missing" */
bool kap_value_eq(const struct kap_value *a,
                  const struct kap_value *b); /* same type and same value; NaN != NaN */

#endif
