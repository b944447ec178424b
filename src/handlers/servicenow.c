#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    struct kap_str url, username, password, source, node, type, resource, metric_name, message_key;
    struct kap_pairs additional_info;
};

struct config {
    bool enabled, global, state_changes_only;
    struct kap_str url, source, username, password;
};

static enum kap_status set_info(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                struct kap_error *err)
{
    return kap_pairs_call(&((struct options *)options)->additional_info, arena, args, nargs, false, "additionalInfo",
                          err);
}

static enum kap_status option(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err)
{
    if (strcasecmp(key, "additional_info") != 0)
        return KAP_ENOTFOUND;
    return kap_pairs_option(&((struct options *)options)->additional_info, arena, key, value, false, err);
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, url, "url", "url", "URL; the configuration's when empty."),
    KAP_OPTION(STRING, username, "username", "username", "User; the configuration's when empty."),
    KAP_OPTION(STRING, password, "password", "password", "Password; the configuration's when empty."),
    KAP_OPTION(STRING, source, "source", "source", "Source; the configuration's when empty."),
    KAP_OPTION(STRING, node, "node", "node", "Node; a template."),
    KAP_OPTION(STRING, type, "type", "type", "Type of the metric; a template."),
    KAP_OPTION(STRING, resource, "resource", "resource", "Resource; a template."),
    KAP_OPTION(STRING, metric_name, "metricName", "metric_name", "Name of the metric; a template."),
    KAP_OPTION(STRING, message_key, "messageKey", "message_key", "Key that joins events; a template; the event ID when empty."),
    { .kind = KAP_PROP_CALL, .name = "additionalInfo", .set = set_info, .signature = "(key string, value any)",
      .doc = "Adds to additional_info; texts are templates." },
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use ServiceNow."),
    KAP_CONFIG(STRING, url, "url", "URL of the event collector."),
    KAP_CONFIG(STRING, source, "source", "Default source."),
    KAP_CONFIG(STRING, username, "username", "User."),
    KAP_SECRET(password, "password", "Password."),
    KAP_CONFIG(BOOL, global, "global", "All alerts use this handler."),
    KAP_CONFIG(BOOL, state_changes_only, "state-changes-only", "With global: alerts tell of changes only."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->url = KAP_STR("https://instance.service-now.com/api/global/em/jsonv2");
    ((struct config *)config)->source = KAP_STR("Kapacitor");
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    KAP_TRY(kap_event_render_check("node", o->node, err));
    KAP_TRY(kap_event_render_check("type", o->type, err));
    KAP_TRY(kap_event_render_check("resource", o->resource, err));
    KAP_TRY(kap_event_render_check("metricName", o->metric_name, err));
    return kap_event_render_check("messageKey", o->message_key, err);
}

/* Left out when empty; ServiceNow refuses longer values than `max`. */
static enum kap_status write_text(struct kap_json *j, const char *key, struct kap_str text, size_t max,
                                  const struct kap_event *ev, const struct kap_handler_env *env,
                                  struct kap_arena *arena, struct kap_error *err)
{
    struct kap_str s;
    KAP_TRY(kap_event_render(key, text, ev, env, arena, &s, err));
    s.n = KAP_MIN(s.n, max);
    if (s.n)
        kap_json_text(j, key, s);
    return KAP_OK;
}

static enum kap_status write_info(struct kap_json *j, const struct options *o, const struct kap_event *ev,
                                  const struct kap_handler_env *env, struct kap_arena *arena, struct kap_error *err)
{
    if (o->additional_info.n == 0)
        return KAP_OK;
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    struct kap_json info;
    kap_json_init(&info, &text, false);
    kap_json_object(&info);
    for (size_t i = 0; i < o->additional_info.n; i++) {
        const struct kap_pair *p = &o->additional_info.v[i];
        KAP_AUTO_BUF struct kap_buf value = { 0 };
        kap_pair_text(p, &value);
        struct kap_str s = kap_buf_str(&value);
        if (p->value.type == KAP_STRING)
            KAP_TRY(kap_event_render("additional_info", p->value.s, ev, env, arena, &s, err));
        kap_json_text(&info, p->key.p, s);
    }
    kap_json_object_end(&info);
    kap_json_text(j, "additional_info", kap_buf_str(&text));
    return KAP_OK;
}

static enum kap_status write_event(struct kap_json *j, const struct options *o, const struct config *c,
                                   const struct kap_event *ev, const struct kap_handler_env *env,
                                   struct kap_arena *arena, struct kap_error *err)
{
    static const char *const severities[] = { "5", "5", "4", "1" };
    struct kap_str source = kap_or(o->source, c->source), description = ev->message;
    source.n = KAP_MIN(source.n, (size_t)100);
    description.n = KAP_MIN(description.n, (size_t)4000);
    kap_json_object(j);
    kap_json_text(j, "source", source);
    KAP_TRY(write_text(j, "node", o->node, 100, ev, env, arena, err));
    KAP_TRY(write_text(j, "type", o->type, 100, ev, env, arena, err));
    KAP_TRY(write_text(j, "resource", o->resource, 100, ev, env, arena, err));
    KAP_TRY(write_text(j, "metric_name", o->metric_name, 100, ev, env, arena, err));
    KAP_TRY(write_text(j, "message_key", o->message_key.n ? o->message_key : KAP_STR("{{ .ID }}"), 1024, ev, env, arena,
                       err));
    kap_json_text(j, "severity", kap_str(severities[ev->level]));
    kap_json_text(j, "description", description);
    KAP_TRY(write_info(j, o, ev, env, arena, err));
    kap_json_object_end(j);
    return KAP_OK;
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    const enum kap_status status = write_event(&j, o, c, ev, env, arena, err);
    if (status != KAP_OK) {
        kap_buf_done(&body);
        return status;
    }
    kap_http_json(ret, arena, kap_or(o->url, c->url), &body);
    ret->headers = kap_json_headers(arena, "Accept: application/json");
    ret->username = kap_or(o->username, c->username).p;
    ret->password = kap_or(o->password, c->password).p;
    return KAP_OK;
}

const struct kap_handler_type kap_handler_servicenow = {
    .kind = "servicenow",
    .method = "serviceNow",
    .doc = "Sends each event to ServiceNow Event Management.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .option = option,
    .check = check,
    .section = "servicenow",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
};
