#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    int64_t n;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    ((struct acc *)acc)->n = 0;
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    ((struct acc *)acc)->n++;
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    kap_results_add(out, (struct kap_reduced){ .v = kap_value_i(((struct acc *)acc)->n) });
}

static void save(const void *acc, struct kap_snap *w)
{
    kap_snap_i64(w, ((const struct acc *)acc)->n);
}

static void load(void *acc, struct kap_snap *r)
{
    ((struct acc *)acc)->n = kap_snap_get_i64(r);
}

static const struct kap_reducer reducer = {
    .name = "count",
    .accepts = KAP_ACCEPT_ALL,
    .empty_ok = true,
    .reset = reset,
    .add = add,
    .emit = emit,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(count_field, "count", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The number of values of a field; 0 over no values.");
