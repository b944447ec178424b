#include "nodes/nodes.h"
#include "nodes/reduce.h"
#include "nodes/select.h"

/* Of points of one time the largest value. */
static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct kap_select *a = acc;
    const bool better = p->time_ns > a->time_ns ||
                        (p->time_ns == a->time_ns && kap_select_cmp(a, &v) > 0);
    return a->has && !better ? KAP_REDUCE_PASS : kap_select_take(a, &v, p->time_ns);
}

struct acc {
    struct kap_select chosen;
};

static const struct kap_reducer reducer = {
    .name = "last",
    .accepts = KAP_ACCEPT_ALL,
    .selector = true,
    .reset = kap_select_reset,
    .add = add,
    .done = kap_select_done,
    .save = kap_select_save,
    .load = kap_select_load,
};

KAP_REDUCE_NODE(last, "last", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The point with the latest time.");
