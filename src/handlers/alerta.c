#include "base/duration.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

/* Format: https://docs.alerta.io/api/alert.html */

struct options {
    struct kap_str token, token_prefix, resource, event, environment, group, value, origin;
    struct kap_strings services, correlated;
    struct kap_pairs attributes;
    int64_t timeout_ns;
};

struct config {
    bool enabled, insecure_skip_verify;
    struct kap_str url, token, token_prefix, environment, origin;
    int64_t timeout_ns;
};

static enum kap_status set_attribute(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                     struct kap_error *err)
{
    return kap_pairs_call(&((struct options *)options)->attributes, arena, args, nargs, false, "attribute", err);
}

static enum kap_status option(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err)
{
    if (strcasecmp(key, "attributes") != 0)
        return KAP_ENOTFOUND;
    return kap_pairs_option(&((struct options *)options)->attributes, arena, key, value, false, err);
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, token, "token", "token", "API key; the configuration's when empty."),
    KAP_OPTION(STRING, token_prefix, "tokenPrefix", "token-prefix", "Word before the token; Bearer when empty."),
    KAP_OPTION(STRING, resource, "resource", "resource", "Resource; a template."),
    KAP_OPTION(STRING, event, "event", "event", "Event; a template."),
    KAP_OPTION(STRING, environment, "environment", "environment", "Environment; a template."),
    KAP_OPTION(STRING, group, "group", "group", "Group; a template."),
    KAP_OPTION(STRING, value, "value", "value", "Value; a template."),
    KAP_OPTION(STRING, origin, "origin", "origin", "Origin; the configuration's when empty."),
    KAP_OPTION(STRINGS_ADD, services, "services", "service", "Services that are affected; templates."),
    KAP_OPTION(STRINGS_ADD, correlated, "correlated", "correlate", "Related events; templates."),
    { .kind = KAP_PROP_CALL, .name = "attribute", .set = set_attribute, .signature = "(key string, value any)",
      .doc = "Sets an attribute; texts are templates." },
    KAP_OPTION(DURATION, timeout_ns, "timeout", "timeout", "After this the alert is stale; the configuration's when 0."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use Alerta."),
    KAP_CONFIG(BOOL, insecure_skip_verify, "insecure-skip-verify", "Do not check the server's certificate."),
    KAP_CONFIG(STRING, url, "url", "URL of the API."),
    KAP_SECRET(token, "token", "API key."),
    KAP_CONFIG(STRING, token_prefix, "token-prefix", "Word before the token; Bearer when empty."),
    KAP_CONFIG(STRING, environment, "environment", "Default environment."),
    KAP_CONFIG(STRING, origin, "origin", "Default origin."),
    KAP_CONFIG(DURATION, timeout_ns, "timeout", "After this an alert is stale; 24h when 0."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    struct options *o = options;
    kap_props_empty(o, props);
    o->resource = KAP_STR("{{ .Name }}");
    o->event = KAP_STR("{{ .ID }}");
    o->group = KAP_STR("{{ .Group }}");
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    KAP_TRY(kap_event_render_check("resource", o->resource, err));
    KAP_TRY(kap_event_render_check("event", o->event, err));
    KAP_TRY(kap_event_render_check("environment", o->environment, err));
    KAP_TRY(kap_event_render_check("group", o->group, err));
    KAP_TRY(kap_event_render_check("value", o->value, err));
    for (size_t i = 0; i < o->services.n; i++)
        KAP_TRY(kap_event_render_check("service", o->services.v[i], err));
    for (size_t i = 0; i < o->correlated.n; i++)
        KAP_TRY(kap_event_render_check("correlate", o->correlated.v[i], err));
    return KAP_OK;
}

struct writer {
    struct kap_json j;
    const struct kap_event *ev;
    const struct kap_handler_env *env;
    struct kap_arena *arena;
    struct kap_error *err;
};

static enum kap_status write_text(struct writer *w, const char *key, struct kap_str text)
{
    struct kap_str s;
    KAP_TRY(kap_event_render(key, text, w->ev, w->env, w->arena, &s, w->err));
    kap_json_text(&w->j, key, s);
    return KAP_OK;
}

static enum kap_status write_list(struct writer *w, const char *key, struct kap_strings texts)
{
    kap_json_key(&w->j, key);
    kap_json_array(&w->j);
    for (size_t i = 0; i < texts.n; i++) {
        struct kap_str s;
        KAP_TRY(kap_event_render(key, texts.v[i], w->ev, w->env, w->arena, &s, w->err));
        kap_json_str(&w->j, s);
    }
    kap_json_array_end(&w->j);
    return KAP_OK;
}

static enum kap_status write_attributes(struct writer *w, const struct options *o)
{
    if (o->attributes.n == 0)
        return KAP_OK;
    kap_json_key(&w->j, "attributes");
    kap_json_object(&w->j);
    for (size_t i = 0; i < o->attributes.n; i++) {
        const struct kap_pair *p = &o->attributes.v[i];
        if (p->value.type == KAP_STRING) {
            KAP_TRY(write_text(w, p->key.p, p->value.s));
            continue;
        }
        kap_json_keyn(&w->j, p->key);
        kap_pair_json(p, &w->j);
    }
    kap_json_object_end(&w->j);
    return KAP_OK;
}

static enum kap_status write_alert(struct writer *w, const struct options *o, const struct config *c)
{
    static const char *const severities[] = { "ok", "informational", "warning", "critical" };
    struct kap_json *j = &w->j;
    const struct kap_strings by_name = { (struct kap_str[]){ KAP_STR("{{ .Name }}") }, 1 };
    int64_t timeout_ns = o->timeout_ns ? o->timeout_ns : c->timeout_ns;
    if (timeout_ns == 0)
        timeout_ns = 24 * KAP_HOUR;
    kap_json_object(j);
    KAP_TRY(write_text(w, "resource", o->resource));
    KAP_TRY(write_text(w, "event", o->event));
    KAP_TRY(write_text(w, "environment", kap_or(o->environment, c->environment)));
    kap_json_text(j, "severity", kap_str(severities[w->ev->level]));
    KAP_TRY(write_text(w, "group", o->group));
    KAP_TRY(write_text(w, "value", o->value));
    kap_json_text(j, "text", w->ev->message);
    kap_json_text(j, "origin", kap_or(o->origin, c->origin));
    kap_json_key(j, "rawData");
    kap_json_raw(j, kap_event_data_text(w->ev, w->arena));
    KAP_TRY(write_list(w, "service", o->services.n ? o->services : by_name));
    if (o->correlated.n)
        KAP_TRY(write_list(w, "correlate", o->correlated));
    KAP_TRY(write_attributes(w, o));
    kap_json_key(j, "timeout");
    kap_json_i64(j, timeout_ns / KAP_S);
    kap_json_key(j, "tags");
    kap_json_array(j);
    for (uint32_t i = 0; i < w->ev->tags->n; i++) {
        const struct kap_tag *t = &w->ev->tags->v[i];
        kap_json_cstr(j, kap_arena_printf(w->arena, "%s=%.*s", t->key->s, KAP_STR_ARG(t->val)));
    }
    kap_json_array_end(j);
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
    const enum kap_status status = write_alert(&w, o, c);
    if (status != KAP_OK) {
        kap_buf_done(&body);
        return status;
    }
    kap_http_json(ret, arena, kap_url_join(arena, c->url, KAP_STR("alert")), &body);
    const struct kap_str prefix = kap_or(kap_or(o->token_prefix, c->token_prefix), KAP_STR("Bearer"));
    const struct kap_str token = kap_or(o->token, c->token);
    ret->headers = kap_json_headers(arena, kap_arena_printf(arena, "Authorization: %.*s %.*s", KAP_STR_ARG(prefix),
                                                            KAP_STR_ARG(token)));
    ret->skip_verify = c->insecure_skip_verify;
    return KAP_OK;
}

static enum kap_verdict judge(int status, struct kap_str body, struct kap_error *err)
{
    kap_judge_message(body, "message", err);
    if (status / 100 == 2)
        return KAP_SENT;
    return status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

const struct kap_handler_type kap_handler_alerta = {
    .kind = "alerta",
    .method = "alerta",
    .doc = "Sends each event to Alerta.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .option = option,
    .check = check,
    .section = "alerta",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
    .judge = judge,
};
