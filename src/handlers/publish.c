#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    struct kap_strings topics;
};

static int64_t collect(const void *options, void *state, const struct kap_handler_env *env, struct kap_event *ev,
                       int64_t now_ns)
{
    const struct options *o = options;
    for (size_t i = 0; i < o->topics.n; i++) {
        struct kap_event *copy = kap_event_derive(ev, o->topics.v[i]);
        env->publish(env->ctx, copy->topic, copy);
        kap_event_unref(copy);
    }
    return 0;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRINGS, struct options, topics, NULL, "topics", "The topics that the events go to."),
    { .kind = KAP_PROP_END },
};

const struct kap_handler_type kap_handler_publish = {
    .kind = "publish",
    .doc = "Sends the events of a topic on to other topics.",
    .options_size = sizeof(struct options),
    .props = props,
    .options_shown = "alert.PublishHandlerConfig",
    .internal = true,
    .collect = collect,
};
