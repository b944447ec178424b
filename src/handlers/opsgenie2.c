#include "handlers/handlers.h"
#include "handlers/util.h"

#include <openssl/evp.h>

struct options {
    struct kap_strings teams, recipients;
    struct kap_str recovery_action;
    bool details;
};

struct config {
    bool enabled, details, global;
    struct kap_str api_key, url, recovery_action;
    struct kap_strings teams, recipients;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRINGS, teams, "teams", "teams-list", "Teams to tell; the configuration's when none."),
    KAP_OPTION(STRINGS, recipients, "recipients", "recipients-list", "Users to tell; the configuration's when none."),
    KAP_OPTION(STRING, recovery_action, "recoveryAction", "recovery_action", "close, or notes."),
    KAP_OPTION(FLAG, details, "details", "details", "Send the event's details as the description."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use OpsGenie."),
    KAP_SECRET(api_key, "api-key", "API key."),
    KAP_CONFIG(STRINGS, teams, "teams", "Teams to tell."),
    KAP_CONFIG(STRINGS, recipients, "recipients", "Users to tell."),
    KAP_CONFIG(STRING, url, "url", "URL of the alerts API."),
    KAP_CONFIG(STRING, recovery_action, "recovery_action", "close, or notes."),
    KAP_CONFIG(BOOL, details, "details", "Send the event's details as the description."),
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
    ((struct config *)config)->url = KAP_STR("https://api.opsgenie.com/v2/alerts");
    ((struct config *)config)->recovery_action = KAP_STR("notes");
}

/* RFC 4648 section 5, with padding. */
static struct kap_str url_base64(struct kap_str s, struct kap_arena *arena)
{
    char *out = kap_arena_alloc(arena, (s.n + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)s.p, (int)s.n);
    for (char *p = out; *p; p++)
        *p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
    return kap_str(out);
}

static bool known_action(struct kap_str action)
{
    return kap_str_is(action, "close") || kap_str_is(action, "notes");
}

static void build_recovery(const struct options *o, const struct config *c, const struct kap_event *ev,
                           struct kap_str alias, struct kap_arena *arena, struct kap_http_out *ret)
{
    struct kap_str action = known_action(o->recovery_action) ? o->recovery_action : c->recovery_action;
    if (!known_action(action))
        action = KAP_STR("notes");
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "note", ev->message);
    kap_json_object_end(&j);
    const struct kap_str url = kap_url_join(arena, c->url, alias);
    kap_http_json(ret, arena,
                  kap_str(kap_arena_printf(arena, "%s/%s?identifierType=alias", url.p, action.p)), &body);
}

static void write_details(struct kap_json *j, const struct kap_event *ev)
{
    kap_json_key(j, "details");
    kap_json_object(j);
    if (ev->nrows)
        kap_json_text(j, "Kapacitor Task Name", kap_sym_str(ev->rows[0]->name));
    kap_json_text(j, "Level", kap_str(kap_level_name(ev->level)));
    kap_json_text(j, "Monitoring Tool", KAP_STR("Kapacitor"));
    for (uint32_t i = 0; ev->nrows && i < ev->rows[0]->tags->n; i++)
        kap_json_text(j, ev->rows[0]->tags->v[i].key->s, ev->rows[0]->tags->v[i].val);
    kap_json_object_end(j);
}

static void write_responders(struct kap_json *j, struct kap_strings teams, struct kap_strings users)
{
    if (teams.n + users.n == 0)
        return;
    kap_json_key(j, "responders");
    kap_json_array(j);
    for (size_t i = 0; i < teams.n; i++) {
        kap_json_object(j);
        kap_json_text(j, "name", teams.v[i]);
        kap_json_text(j, "type", KAP_STR("team"));
        kap_json_object_end(j);
    }
    for (size_t i = 0; i < users.n; i++) {
        kap_json_object(j);
        kap_json_text(j, "type", KAP_STR("user"));
        kap_json_text(j, "username", users.v[i]);
        kap_json_object_end(j);
    }
    kap_json_array_end(j);
}

static void build_alert(const struct options *o, const struct config *c, const struct kap_event *ev,
                        struct kap_str alias, struct kap_arena *arena, struct kap_http_out *ret)
{
    static const char *const priorities[] = { "", "P5", "P3", "P1" };
    const bool details = (o->details || c->details) && ev->details.n;
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "alias", alias);
    kap_json_text(&j, "description", details ? ev->details : kap_event_data_text(ev, arena));
    write_details(&j, ev);
    kap_json_text(&j, "entity", ev->id);
    kap_json_text(&j, "message", ev->message);
    kap_json_text(&j, "note", KAP_STR(""));
    kap_json_text(&j, "priority", kap_str(priorities[ev->level]));
    write_responders(&j, o->teams.n ? o->teams : c->teams, o->recipients.n ? o->recipients : c->recipients);
    kap_json_object_end(&j);
    kap_http_json(ret, arena, c->url, &body);
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    const struct kap_str alias = url_base64(ev->id, arena);
    if (ev->level == KAP_LEVEL_OK)
        build_recovery(o, c, ev, alias, arena, ret);
    else
        build_alert(o, c, ev, alias, arena, ret);
    ret->headers = kap_json_headers(arena, kap_arena_printf(arena, "Authorization: GenieKey %s", c->api_key.p));
    return KAP_OK;
}

static enum kap_verdict judge(int status, struct kap_str body, struct kap_error *err)
{
    kap_judge_message(body, "message", err);
    if (status / 100 == 2)
        return KAP_SENT;
    return status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

const struct kap_handler_type kap_handler_opsgenie2 = {
    .kind = "opsgenie2",
    .method = "opsGenie2",
    .doc = "Creates alerts in OpsGenie, and closes them or adds a note on recovery.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "opsgenie2",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
    .judge = judge,
};
