#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    char none; /* the method takes nothing, all is in the configuration */
};

struct config {
    bool enabled;
    struct kap_str url, author_name;
};

static const struct kap_prop props[] = {
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use Talk."),
    KAP_SECRET(url, "url", "URL of the webhook."),
    KAP_CONFIG(STRING, author_name, "author_name", "Name that is shown as the author."),
    KAP_PROPS_END,
};

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
}

static enum kap_status build(const void *options, const struct kap_handler_env *env,
                             const struct kap_event *ev, struct kap_arena *arena, struct kap_http_out *ret,
                             struct kap_error *err)
{
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "authorName", c->author_name);
    kap_json_text(&j, "text", ev->message);
    kap_json_text(&j, "title", ev->id);
    kap_json_object_end(&j);
    kap_http_json(ret, arena, c->url, &body);
    return KAP_OK;
}

const struct kap_handler_type kap_handler_talk = {
    .kind = "talk",
    .method = "talk",
    .doc = "Posts the message of each event to a Talk topic.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .props = props,
    .section = "talk",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
};
