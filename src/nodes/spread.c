#include <math.h>

#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    bool is_int;
    int64_t min_i, max_i;
    double min_f, max_f;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    *(struct acc *)acc = (struct acc){
        .is_int = type == KAP_INT, .min_i = INT64_MAX, .max_i = INT64_MIN, .min_f = INFINITY, .max_f = -INFINITY
    };
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    if (a->is_int) {
        a->min_i = v.i < a->min_i ? v.i : a->min_i;
        a->max_i = v.i > a->max_i ? v.i : a->max_i;
    } else if (isnan(v.f)) { /* once seen it stays */
        a->min_f = a->max_f = v.f;
    } else {
        a->min_f = v.f < a->min_f ? v.f : a->min_f;
        a->max_f = v.f > a->max_f ? v.f : a->max_f;
    }
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    const struct acc *a = acc;
    kap_results_add(out, (struct kap_reduced){ .v = a->is_int ? kap_value_i(kap_sub_wrap(a->max_i, a->min_i))
                                                              : kap_value_f(a->max_f - a->min_f) });
}

static void save(const void *acc, struct kap_snap *w)
{
    const struct acc *a = acc;
    kap_snap_i64(w, a->min_i);
    kap_snap_i64(w, a->max_i);
    kap_snap_f64(w, a->min_f);
    kap_snap_f64(w, a->max_f);
}

static void load(void *acc, struct kap_snap *r)
{
    struct acc *a = acc;
    a->min_i = kap_snap_get_i64(r);
    a->max_i = kap_snap_get_i64(r);
    a->min_f = kap_snap_get_f64(r);
    a->max_f = kap_snap_get_f64(r);
}

static const struct kap_reducer reducer = {
    .name = "spread",
    .accepts = KAP_ACCEPT_NUMBERS,
    .reset = reset,
    .add = add,
    .emit = emit,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(spread, "spread", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The difference of the largest and the smallest value of a field.");
