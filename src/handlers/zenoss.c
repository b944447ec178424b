#include "alert/spec.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

/* Format: https://help.zenoss.com/zsd/RM/administering-resource-manager/event-management (JSON API, EventsRouter). */

struct options {
    struct kap_str action, method, type, summary, device, component, event_class_key, event_class, message, collector;
    int64_t tid;
    struct kap_pairs custom_fields;
};

struct config {
    bool enabled, global, state_changes_only;
    struct kap_str url, username, password, action, method, type, collector;
    int64_t tid;
    struct kap_value severities[KAP_LEVEL_CRITICAL + 1];
};

static enum kap_status set_custom(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                  struct kap_error *err)
{
    return kap_pairs_call(&((struct options *)options)->custom_fields, arena, args, nargs, false, "customField", err);
}

static enum kap_status option(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err)
{
    if (strcasecmp(key, "customField") != 0)
        return KAP_ENOTFOUND;
    return kap_pairs_option(&((struct options *)options)->custom_fields, arena, key, value, false, err);
}

static enum kap_status config_severity(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                       struct kap_error *err)
{
    struct config *c = config;
    enum kap_level level;
    if (nargs != 2 || args[0].kind != KAP_ARG_VALUE || args[0].value.type != KAP_STRING ||
        !kap_level_parse(args[0].value.s, &level))
        return kap_fail(err, KAP_EINVAL, "knows the levels OK, Info, Warning and Critical");
    if (args[1].kind != KAP_ARG_VALUE || (args[1].value.type != KAP_STRING && args[1].value.type != KAP_INT))
        return kap_fail(err, KAP_EINVAL, "a severity must be a string or a number");
    c->severities[level] = args[1].value;
    if (args[1].value.type == KAP_STRING)
        c->severities[level].s = kap_arena_str(arena, args[1].value.s);
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, action, "action", "action", "Router; the configuration's when empty."),
    KAP_OPTION(STRING, method, "method", "method", "Method of the router; the configuration's when empty."),
    KAP_OPTION(STRING, type, "type", "type", "Type of the call; the configuration's when empty."),
    KAP_OPTION(INT, tid, "tid", "tid", "Number of the transaction; the configuration's when 0."),
    KAP_OPTION(STRING, summary, "summary", "summary", "Summary; a template; the message when empty."),
    KAP_OPTION(STRING, device, "device", "device", "Device; a template."),
    KAP_OPTION(STRING, component, "component", "component", "Component; a template."),
    KAP_OPTION(STRING, event_class_key, "eventClassKey", "evclasskey", "Key of the event's class; a template."),
    KAP_OPTION(STRING, event_class, "eventClass", "evclass", "Class of the event; a template."),
    KAP_OPTION(STRING, message, "message", "message", "Message; a template."),
    KAP_OPTION(STRING, collector, "collector", "collector", "Collector; the configuration's when empty."),
    { .kind = KAP_PROP_CALL, .name = "customField", .set = set_custom, .signature = "(key string, value any)",
      .doc = "Adds a field to the event; texts are templates." },
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use Zenoss."),
    KAP_CONFIG(STRING, url, "url", "URL of the event router."),
    KAP_CONFIG(STRING, username, "username", "User."),
    KAP_SECRET(password, "password", "Password."),
    KAP_CONFIG(STRING, action, "action", "Router."),
    KAP_CONFIG(STRING, method, "method", "Method of the router."),
    KAP_CONFIG(STRING, type, "type", "Type of the call."),
    KAP_CONFIG(INT, tid, "tid", "Number of the transaction."),
    KAP_CONFIG(STRING, collector, "collector", "Collector."),
    { .kind = KAP_PROP_CALL, .option = "severity-map", .set = config_severity, .doc = "Severity of each level." },
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
    struct config *c = config;
    kap_props_empty(c, config_props);
    c->url = KAP_STR("https://tenant.zenoss.io:8080/zport/dmd/evconsole_router");
    c->action = KAP_STR("EventsRouter");
    c->method = KAP_STR("add_event");
    c->type = KAP_STR("rpc");
    c->tid = 1;
    c->collector = KAP_STR("Kapacitor");
    c->severities[KAP_LEVEL_OK] = kap_value_s(KAP_STR("Clear"));
    c->severities[KAP_LEVEL_INFO] = kap_value_s(KAP_STR("Info"));
    c->severities[KAP_LEVEL_WARNING] = kap_value_s(KAP_STR("Warning"));
    c->severities[KAP_LEVEL_CRITICAL] = kap_value_s(KAP_STR("Critical"));
}

struct writer {
    struct kap_json j;
    const struct kap_event *ev;
    const struct kap_handler_env *env;
    struct kap_arena *arena;
    struct kap_error *err;
};

static enum kap_status write_text(struct writer *w, const char *key, struct kap_str text, size_t max)
{
    struct kap_str s;
    KAP_TRY(kap_event_render(key, text, w->ev, w->env, w->arena, &s, w->err));
    s.n = KAP_MIN(s.n, max);
    kap_json_text(&w->j, key, s);
    return KAP_OK;
}

static enum kap_status write_event(struct writer *w, const struct options *o, const struct config *c)
{
    const struct kap_pair severity = { KAP_STR("severity"), c->severities[w->ev->level] };
    struct kap_json *j = &w->j;
    kap_json_object(j);
    if (o->summary.n)
        KAP_TRY(write_text(w, "summary", o->summary, 256));
    else
        kap_json_text(j, "summary", kap_strn(w->ev->message.p, KAP_MIN(w->ev->message.n, (size_t)256)));
    KAP_TRY(write_text(w, "device", o->device, SIZE_MAX));
    KAP_TRY(write_text(w, "component", o->component, SIZE_MAX));
    kap_json_key(j, "severity");
    kap_pair_json(&severity, j);
    KAP_TRY(write_text(w, "evclasskey", o->event_class_key, SIZE_MAX));
    KAP_TRY(write_text(w, "evclass", o->event_class, SIZE_MAX));
    if (o->message.n)
        KAP_TRY(write_text(w, "message", o->message, 4096));
    KAP_TRY(write_text(w, "collector", kap_or(o->collector, c->collector), SIZE_MAX));
    for (size_t i = 0; i < o->custom_fields.n; i++) {
        const struct kap_pair *p = &o->custom_fields.v[i];
        if (p->value.type == KAP_STRING) {
            KAP_TRY(write_text(w, p->key.p, p->value.s, SIZE_MAX));
            continue;
        }
        kap_json_keyn(j, p->key);
        kap_pair_json(p, j);
    }
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
    struct writer w = { .ev = ev, .env = env, .arena = arena, .err = err };
    kap_json_init(&w.j, &body, false);
    kap_json_object(&w.j);
    kap_json_text(&w.j, "action", kap_or(o->action, c->action));
    kap_json_text(&w.j, "method", kap_or(o->method, c->method));
    kap_json_key(&w.j, "data");
    kap_json_array(&w.j);
    const enum kap_status status = write_event(&w, o, c);
    if (status != KAP_OK) {
        kap_buf_done(&body);
        return status;
    }
    kap_json_array_end(&w.j);
    kap_json_text(&w.j, "type", kap_or(o->type, c->type));
    kap_json_key(&w.j, "tid");
    kap_json_i64(&w.j, o->tid ? o->tid : c->tid);
    kap_json_object_end(&w.j);
    kap_http_json(ret, arena, c->url, &body);
    if (c->username.n && c->password.n) {
        ret->username = c->username.p;
        ret->password = c->password.p;
    }
    return KAP_OK;
}

const struct kap_handler_type kap_handler_zenoss = {
    .kind = "zenoss",
    .method = "zenoss",
    .doc = "Sends each event to Zenoss.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .option = option,
    .section = "zenoss",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
};
