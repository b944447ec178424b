#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    struct kap_str routing_key;
};

struct config {
    bool enabled, global, json_data;
    struct kap_str api_key, routing_key, url;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, routing_key, "routingKey", "routing-key", "Routing key; the configuration's when empty."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use VictorOps (Splunk On-Call)."),
    KAP_SECRET(api_key, "api-key", "API key."),
    KAP_CONFIG(STRING, routing_key, "routing-key", "Default routing key."),
    KAP_CONFIG(STRING, url, "url", "URL of the REST endpoint."),
    KAP_CONFIG(BOOL, global, "global", "All alerts use this handler."),
    KAP_CONFIG(BOOL, json_data, "json-data", "Send the data as JSON, not as a text of JSON."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->url = KAP_STR("https://alert.victorops.com/integrations/generic/20131114/alert");
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    const struct kap_str data = kap_event_data_text(ev, arena);
    const int64_t second = ev->time_ns / 1000000000 - (ev->time_ns % 1000000000 < 0);
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_key(&j, "data");
    if (c->json_data)
        kap_json_raw(&j, data);
    else
        kap_json_str(&j, data);
    kap_json_text(&j, "entity_id", ev->id);
    kap_json_text(&j, "message_type", ev->level == KAP_LEVEL_OK ? KAP_STR("RECOVERY") : kap_str(kap_level_name(ev->level)));
    kap_json_text(&j, "monitoring_tool", KAP_STR("kapacitor"));
    kap_json_text(&j, "state_message", ev->message);
    kap_json_key(&j, "timestamp");
    kap_json_i64(&j, second);
    kap_json_object_end(&j);
    const struct kap_str url = kap_url_join(arena, c->url, c->api_key);
    kap_http_json(ret, arena, kap_url_join(arena, url, kap_or(o->routing_key, c->routing_key)), &body);
    return KAP_OK;
}

static enum kap_verdict judge(int status, struct kap_str body, struct kap_error *err)
{
    kap_judge_message(body, "message", err);
    if (status / 100 == 2)
        return KAP_SENT;
    return status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

const struct kap_handler_type kap_handler_victorops = {
    .kind = "victorops",
    .method = "victorOps",
    .doc = "Opens and resolves incidents of VictorOps (Splunk On-Call).",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "victorops",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
    .judge = judge,
};
