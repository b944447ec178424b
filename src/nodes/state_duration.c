#include "nodes/nodes.h"
#include "nodes/state_tracking.h"

static void init(void *config)
{
    struct kap_tracking_config *c = config;
    c->as = KAP_STR("state_duration");
    c->unit_ns = INT64_C(1000000000);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct kap_tracking_config, as, "as", NULL, "The name of the field; \"state_duration\" by default."),
    KAP_PROP_AT(DURATION, struct kap_tracking_config, unit_ns, "unit", NULL, "The unit of the duration; 1s by default."),
    { 0 },
};

const struct kap_node_type kap_node_state_duration = {
    .name = "stateDuration",
    .kind = "state_duration",
    .doc = "Adds the time since the expression became true, a float; -1 while it is false.",
    .signature = "(expression lambda)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct kap_tracking_config),
    .init = init,
    .args = kap_tracking_args,
    .props = props,
    .run = &kap_tracking_run,
};
