#include "handlers/handlers.h"
#include "handlers/util.h"

/* The first API of OpsGenie, which ended in 2018; kept for stand-ins that speak it. */

struct options {
    struct kap_strings teams, recipients;
};

struct config {
    bool enabled, global;
    struct kap_str api_key, url, recovery_url;
    struct kap_strings teams, recipients;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRINGS, teams, "teams", "teams-list", "Teams to tell; the configuration's when none."),
    KAP_OPTION(STRINGS, recipients, "recipients", "recipients-list", "Users to tell; the configuration's when none."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use the first API of OpsGenie."),
    KAP_SECRET(api_key, "api-key", "API key."),
    KAP_CONFIG(STRINGS, teams, "teams", "Teams to tell."),
    KAP_CONFIG(STRINGS, recipients, "recipients", "Users to tell."),
    KAP_CONFIG(STRING, url, "url", "URL for alerts."),
    KAP_CONFIG(STRING, recovery_url, "recovery_url", "URL for recoveries: notes, or closing."),
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
    ((struct config *)config)->url = KAP_STR("https://api.opsgenie.com/v1/json/alert");
    ((struct config *)config)->recovery_url = KAP_STR("https://api.opsgenie.com/v1/json/alert/note");
}

static void write_list(struct kap_json *j, const char *key, struct kap_strings list)
{
    if (list.n == 0)
        return;
    kap_json_key(j, key);
    kap_json_array(j);
    for (size_t i = 0; i < list.n; i++)
        kap_json_str(j, list.v[i]);
    kap_json_array_end(j);
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    const bool recovery = ev->level == KAP_LEVEL_OK;
    const struct kap_str base = recovery ? c->recovery_url : c->url;
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "alias", ev->id);
    kap_json_text(&j, "apiKey", c->api_key);
    kap_json_text(&j, "description", kap_event_data_text(ev, arena));
    kap_json_key(&j, "details");
    kap_json_object(&j);
    kap_json_text(&j, "Level", recovery ? KAP_STR("RECOVERY") : kap_str(kap_level_name(ev->level)));
    kap_json_text(&j, "Monitoring Tool", KAP_STR("Kapacitor"));
    kap_json_object_end(&j);
    kap_json_text(&j, "entity", ev->id);
    kap_json_text(&j, "message", ev->message);
    kap_json_text(&j, "monitoring_tool", KAP_STR("kapacitor"));
    kap_json_text(&j, "note", recovery ? ev->message : KAP_STR(""));
    write_list(&j, "recipients", o->recipients.n ? o->recipients : c->recipients);
    write_list(&j, "teams", o->teams.n ? o->teams : c->teams);
    kap_json_object_end(&j);
    kap_http_json(ret, arena, kap_str(kap_arena_printf(arena, "%.*s/", KAP_STR_ARG(base))), &body);
    return KAP_OK;
}

static enum kap_verdict judge(int status, struct kap_str body, struct kap_error *err)
{
    kap_judge_message(body, "message", err);
    if (status / 100 == 2)
        return KAP_SENT;
    return status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

const struct kap_handler_type kap_handler_opsgenie = {
    .kind = "opsgenie",
    .method = "opsGenie",
    .doc = "Creates alerts in OpsGenie by its first API, and adds a note on recovery.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "opsgenie",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
    .judge = judge,
};
