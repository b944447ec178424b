#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    int n; /* points seen, up to 2 */
    int64_t previous_ns, current_ns;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    *(struct acc *)acc = (struct acc){ 0 };
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    a->previous_ns = a->current_ns;
    a->current_ns = p->time_ns;
    a->n = a->n < 2 ? a->n + 1 : 2;
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    const struct acc *a = acc;
    if (a->n < 2)
        return;
    const int64_t span = kap_sub_wrap(a->current_ns, a->previous_ns) / c->unit_ns;
    kap_results_add(out, (struct kap_reduced){ .v = kap_value_i(span), .timed = true, .time_ns = a->current_ns });
}

static void save(const void *acc, struct kap_snap *w)
{
    const struct acc *a = acc;
    kap_snap_i64(w, a->n);
    kap_snap_i64(w, a->previous_ns);
    kap_snap_i64(w, a->current_ns);
}

static void load(void *acc, struct kap_snap *r)
{
    struct acc *a = acc;
    a->n = kap_snap_get_i64(r) >= 2 ? 2 : 1;
    a->previous_ns = kap_snap_get_i64(r);
    a->current_ns = kap_snap_get_i64(r);
}

static const struct kap_reducer reducer = {
    .name = "elapsed",
    .accepts = KAP_ACCEPT_ALL,
    .transform = true,
    .reset = reset,
    .add = add,
    .emit = emit,
    .save = save,
    .load = load,
};

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct kap_reduce_config *c = config;
    KAP_TRY(kap_reduce_args_n(c, arena, args, nargs, 2, err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_DURATION, "elapsed", err));
    if (args[1].value.i <= 0)
        return kap_fail(err, KAP_EINVAL, "elapsed: the unit must be positive");
    c->unit_ns = args[1].value.i;
    return KAP_OK;
}

KAP_REDUCE_NODE(elapsed, "elapsed", KAP_EDGE_SAME, "(field string, unit duration)", args,
                "The time between a point and the one before it, in whole units.");
