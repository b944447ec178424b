#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    bool has;
    int64_t time_ns;
    struct kap_value v;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    *(struct acc *)acc = (struct acc){ 0 };
}

/* Of equal values the earliest point. */
static bool better(const struct acc *a, const struct kap_value *v, int64_t time_ns)
{
    if (v->type == KAP_INT)
        return v->i > a->v.i || (v->i == a->v.i && time_ns < a->time_ns);
    return v->f > a->v.f || (v->f == a->v.f && time_ns < a->time_ns);
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    if (a->has && !better(a, &v, p->time_ns))
        return KAP_REDUCE_PASS;
    *a = (struct acc){ .has = true, .time_ns = p->time_ns, .v = v };
    return KAP_REDUCE_CHOOSE;
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
    .name = "max",
    .accepts = KAP_ACCEPT_NUMBERS,
    .selector = true,
    .reset = reset,
    .add = add,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(max, "max", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The point with the largest value of a field.");
