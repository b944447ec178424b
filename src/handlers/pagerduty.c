#include "handlers/handlers.h"
#include "handlers/util.h"

/* The Events API, version 1; new integrations use pagerduty2. */

struct options {
    struct kap_str service_key;
};

struct config {
    bool enabled, global;
    struct kap_str url, service_key;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, service_key, "serviceKey", "service-key", "Service key; the configuration's when empty."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use PagerDuty."),
    KAP_CONFIG(STRING, url, "url", "URL of the Events API, version 1."),
    KAP_SECRET(service_key, "service-key", "Service key."),
    KAP_CONFIG(BOOL, global, "global", "All alerts use this handler."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->url = KAP_STR("https://events.pagerduty.com/generic/2010-04-15/create_event.json");
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    if (ev->level == KAP_LEVEL_INFO)
        return kap_fail(err, KAP_EINVAL, "AlertLevel 'info' is currently ignored by the PagerDuty service");
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "client", KAP_STR("kapacitor"));
    kap_json_text(&j, "client_url", env->api_url);
    kap_json_text(&j, "description", ev->message);
    kap_json_text(&j, "details", ev->details);
    kap_json_text(&j, "event_type", ev->level == KAP_LEVEL_OK ? KAP_STR("resolve") : KAP_STR("trigger"));
    kap_json_text(&j, "incident_key", ev->id);
    kap_json_text(&j, "service_key", kap_or(o->service_key, c->service_key));
    kap_json_object_end(&j);
    kap_http_json(ret, arena, c->url, &body);
    return KAP_OK;
}

const struct kap_handler_type kap_handler_pagerduty = {
    .kind = "pagerduty",
    .method = "pagerDuty",
    .doc = "Triggers and resolves incidents of PagerDuty by the Events API, version 1.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "pagerduty",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
};
