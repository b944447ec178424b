#include "handlers/handlers.h"
#include "handlers/util.h"

/* Format: https://docs.bigpanda.io/reference/alerts */

struct options {
    struct kap_str app_key, url, host, primary_property, secondary_property;
    struct kap_pairs attributes;
};

struct config {
    bool enabled, insecure_skip_verify, global, state_changes_only;
    struct kap_str url, token, app_key, auto_attributes;
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
    KAP_OPTION(STRING, app_key, "appKey", "app-key", "Key of the integration; the configuration's when empty."),
    KAP_OPTION(STRING, url, NULL, "url", "URL; the configuration's when empty."),
    KAP_OPTION(STRING, host, "host", "host", "Host; a template."),
    KAP_OPTION(STRING, primary_property, "primaryProperty", "primary-property", "Main property of the incident."),
    KAP_OPTION(STRING, secondary_property, "secondaryProperty", "secondary-property", "Second property."),
    { .kind = KAP_PROP_CALL, .name = "attribute", .set = set_attribute, .signature = "(key string, value any)",
      .doc = "Sets an attribute; texts are templates." },
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use BigPanda."),
    KAP_CONFIG(STRING, url, "url", "URL of the alerts API."),
    KAP_SECRET(token, "token", "Token."),
    KAP_SECRET(app_key, "app-key", "Key of the integration."),
    KAP_CONFIG(STRING, auto_attributes, "auto-attributes", "What becomes attributes by itself: tags, fields."),
    KAP_CONFIG(BOOL, insecure_skip_verify, "insecure-skip-verify", "Do not check the server's certificate."),
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
    ((struct config *)config)->url = KAP_STR("https://api.bigpanda.io/data/v2/alerts");
    ((struct config *)config)->auto_attributes = KAP_STR("tags,fields");
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    return kap_event_render_check("host", ((const struct options *)options)->host, err);
}

static void set(struct kap_pairs *p, struct kap_arena *arena, const char *key, struct kap_str v)
{
    if (v.n)
        kap_pairs_set(p, arena, kap_str(key), kap_value_s(v));
}

static void set_automatic(struct kap_pairs *p, const struct config *c, const struct kap_event *ev,
                          struct kap_arena *arena)
{
    if (strcasestr(c->auto_attributes.p, "tags"))
        for (uint32_t i = 0; i < ev->tags->n; i++)
            kap_pairs_set(p, arena, kap_sym_str(ev->tags->v[i].key), kap_value_s(ev->tags->v[i].val));
    for (size_t i = 0; strcasestr(c->auto_attributes.p, "fields") && i < ev->nfields; i++) {
        const struct kap_pair field = { kap_sym_str(ev->fields[i].key), ev->fields[i].v };
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        kap_pair_text(&field, &text);
        kap_pairs_set(p, arena, field.key, kap_value_s(kap_buf_str(&text)));
    }
}

static enum kap_status set_own(struct kap_pairs *p, const struct options *o, const struct kap_event *ev,
                               const struct kap_handler_env *env, struct kap_arena *arena, struct kap_error *err)
{
    struct kap_str host;
    KAP_TRY(kap_event_render("host", o->host, ev, env, arena, &host, err));
    set(p, arena, "host", host);
    for (size_t i = 0; i < o->attributes.n; i++) {
        const struct kap_pair *a = &o->attributes.v[i];
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        kap_pair_text(a, &text);
        struct kap_str s = kap_buf_str(&text);
        if (a->value.type == KAP_STRING)
            KAP_TRY(kap_event_render("attribute", a->value.s, ev, env, arena, &s, err));
        kap_pairs_set(p, arena, a->key, kap_value_s(s));
    }
    return KAP_OK;
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    static const char *const statuses[] = { "ok", "ok", "warning", "critical" };
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    struct kap_pairs p = { 0 };
    set(&p, arena, "description", ev->message);
    /* The default details are the whole event as JSON: of no use to a reader. */
    if (!kap_str_has_prefix(ev->details, KAP_STR("{")))
        set(&p, arena, "details", ev->details);
    set(&p, arena, "check", ev->id);
    set(&p, arena, "task", kap_str(kap_arena_printf(arena, "%.*s:%.*s", KAP_STR_ARG(ev->task), KAP_STR_ARG(ev->name))));
    kap_pairs_set(&p, arena, KAP_STR("timestamp"), kap_value_i(ev->time_ns / 1000000000));
    set(&p, arena, "status", kap_str(statuses[ev->level]));
    set(&p, arena, "primary_property", o->primary_property);
    set(&p, arena, "secondary_property", o->secondary_property);
    kap_pairs_set(&p, arena, KAP_STR("app_key"), kap_value_s(kap_or(o->app_key, c->app_key)));
    set_automatic(&p, c, ev, arena);
    KAP_TRY(set_own(&p, o, ev, env, arena, err));
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    for (size_t i = 0; i < p.n; i++) {
        kap_json_keyn(&j, p.v[i].key);
        kap_pair_json(&p.v[i], &j);
    }
    kap_json_object_end(&j);
    kap_http_json(ret, arena, kap_or(o->url, c->url), &body);
    ret->headers = kap_json_headers(arena, kap_arena_printf(arena, "Authorization: Bearer %s", c->token.p));
    ret->skip_verify = c->insecure_skip_verify;
    return KAP_OK;
}

const struct kap_handler_type kap_handler_bigpanda = {
    .kind = "bigpanda",
    .method = "bigPanda",
    .doc = "Sends each event to BigPanda.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .option = option,
    .check = check,
    .section = "bigpanda",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
};
