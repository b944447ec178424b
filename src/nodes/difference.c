#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    bool has, ready;  /* a value is there; `diff` was not emitted yet */
    int64_t time_ns;
    struct kap_value v, diff;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    *(struct acc *)acc = (struct acc){ 0 };
}

/* Of points of one time the first counts. */
static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    if (a->has && a->time_ns == p->time_ns)
        return KAP_REDUCE_PASS;
    if (a->has) {
        a->diff = v.type == KAP_INT ? kap_value_i(kap_sub_wrap(v.i, a->v.i)) : kap_value_f(v.f - a->v.f);
        a->ready = true;
    }
    a->has = true;
    a->time_ns = p->time_ns;
    a->v = v;
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    struct acc *a = acc;
    if (!a->ready)
        return;
    a->ready = false;
    kap_results_add(out, (struct kap_reduced){ .v = a->diff, .timed = true, .time_ns = a->time_ns });
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
    .name = "difference",
    .accepts = KAP_ACCEPT_NUMBERS,
    .transform = true,
    .reset = reset,
    .add = add,
    .emit = emit,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(difference, "difference", KAP_EDGE_SAME, "(field string)", kap_reduce_args,
                "The difference of a point's value and the one before it.");
