#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    struct kap_value v; /* FLOAT or INT */
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    ((struct acc *)acc)->v = type == KAP_INT ? kap_value_i(0) : kap_value_f(0);
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    if (v.type == KAP_INT)
        a->v.i = kap_add_wrap(a->v.i, v.i);
    else
        a->v.f += v.f;
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    kap_results_add(out, (struct kap_reduced){ .v = ((struct acc *)acc)->v });
}

static void save(const void *acc, struct kap_snap *w)
{
    kap_snap_value(w, &((const struct acc *)acc)->v);
}

static void load(void *acc, struct kap_snap *r)
{
    ((struct acc *)acc)->v = kap_snap_get_value(r);
}

static const struct kap_reducer reducer = {
    .name = "sum",
    .accepts = KAP_ACCEPT_NUMBERS,
    .empty_ok = true,
    .reset = reset,
    .add = add,
    .emit = emit,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(sum, "sum", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The sum of the values of a field, of the field's type; 0 over no values.");
