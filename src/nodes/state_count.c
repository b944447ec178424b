#include "nodes/nodes.h"
#include "nodes/state_tracking.h"

static void init(void *config)
{
    struct kap_tracking_config *c = config;
    c->as = KAP_STR("state_count");
    c->counts_points = true;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct kap_tracking_config, as, "as", NULL, "The name of the field; \"state_count\" by default."),
    { 0 },
};

const struct kap_node_type kap_node_state_count = {
    .name = "stateCount",
    .kind = "state_count",
    .doc = "Adds the number of consecutive points for which the expression is true; -1 while it is false.",
    .signature = "(expression lambda)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct kap_tracking_config),
    .init = init,
    .args = kap_tracking_args,
    .props = props,
    .run = &kap_tracking_run,
};
