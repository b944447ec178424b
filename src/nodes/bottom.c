#include "nodes/nodes.h"
#include "nodes/ranking.h"

struct acc {
    struct kap_ranking ranking;
};

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    return kap_ranking_add(acc, c, v, p, -1);
}

static const struct kap_reducer reducer = {
    .name = "bottom",
    .accepts = KAP_ACCEPT_NUMBERS,
    .reads_tags = true,
    .reset = kap_ranking_reset,
    .add = add,
    .emit = kap_ranking_emit,
    .done = kap_ranking_done,
    .save = kap_ranking_save,
    .load = kap_ranking_load,
};

KAP_REDUCE_NODE(bottom, "bottom", KAP_EDGE_BATCH, "(num int, field string, fieldsAndTags ...string)", kap_ranking_args,
                "The num points with the smallest values of a field, in the order of time, with their tags.");
