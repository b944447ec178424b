#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    bool has;
    int64_t time_ns;
    struct kap_value v;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    *(struct acc *)acc = (struct acc){ .v = type == KAP_INT ? kap_value_i(0) : kap_value_f(0) };
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    if (v.type == KAP_INT)
        a->v.i = kap_add_wrap(a->v.i, v.i);
    else
        a->v.f += v.f;
    a->time_ns = p->time_ns;
    a->has = true;
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    const struct acc *a = acc;
    if (a->has)
        kap_results_add(out, (struct kap_reduced){ .v = a->v, .timed = true, .time_ns = a->time_ns });
}

static void save(const void *acc, struct kap_snap *w)
{
    const struct acc *a = acc;
    kap_snap_u64(w, a->has);
    kap_snap_i64(w, a->time_ns);
    kap_snap_value(w, &a->v);
}

static void load(void *acc, struct kap_snap *r)
{
    struct acc *a = acc;
    a->has = kap_snap_get_u64(r) != 0;
    a->time_ns = kap_snap_get_i64(r);
    a->v = kap_snap_get_value(r);
}

static const struct kap_reducer reducer = {
    .name = "cumulativeSum",
    .accepts = KAP_ACCEPT_NUMBERS,
    .transform = true,
    .reset = reset,
    .add = add,
    .emit = emit,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(cumulative_sum, "cumulativeSum", KAP_EDGE_SAME, "(field string)", kap_reduce_args,
                "The sum of all values so far.");
