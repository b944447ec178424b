#include "data/value.h"

const char *kap_type_name(enum kap_type t)
{
    static const char *const names[] = {
        [KAP_MISSING] = "missing",   [KAP_FLOAT] = "float",  [KAP_INT] = "int",
        [KAP_STRING] = "string",     [KAP_BOOL] = "boolean", [KAP_TIME] = "time",
        [KAP_DURATION] = "duration", [KAP_REGEX] = "regex",
    };
    return names[t];
}

bool kap_value_eq(const struct kap_value *a, const struct kap_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case KAP_MISSING:
        return true;
    case KAP_FLOAT:
        return a->f == b->f;
    case KAP_BOOL:
        return a->b == b->b;
    case KAP_STRING:
        return kap_str_eq(a->s, b->s);
    case KAP_REGEX:
        return a->re == b->re;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        return a->i == b->i;
    }
    return false;
}
