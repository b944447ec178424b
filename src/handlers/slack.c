#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    struct kap_str workspace, channel, username, icon_emoji;
};

struct config {
    bool enabled, is_default, global, state_changes_only, insecure_skip_verify;
    struct kap_str workspace, url, token, channel, username, icon_emoji, ssl_ca, ssl_cert, ssl_key;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, workspace, "workspace", "workspace", "Workspace to post to; the default one when empty."),
    KAP_OPTION(STRING, channel, "channel", "channel", "Channel or user; the configuration's when empty."),
    KAP_OPTION(STRING, username, "username", "username", "Name that is shown; the configuration's when empty."),
    KAP_OPTION(STRING, icon_emoji, "iconEmoji", "icon-emoji", "Emoji shown as icon, in colons."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use this workspace."),
    KAP_CONFIG(BOOL, is_default, "default", "The one meant where none is named."),
    KAP_CONFIG(STRING, workspace, "workspace", "Name of the workspace in scripts."),
    KAP_SECRET(url, "url", "URL of the incoming webhook, or of the API."),
    KAP_SECRET(token, "token", "Token for the API."),
    KAP_CONFIG(STRING, channel, "channel", "Channel or user to post to."),
    KAP_CONFIG(STRING, username, "username", "Name that is shown."),
    KAP_CONFIG(STRING, icon_emoji, "icon-emoji", "Emoji shown as icon, in colons."),
    KAP_CONFIG(BOOL, global, "global", "All alerts use this handler."),
    KAP_CONFIG(BOOL, state_changes_only, "state-changes-only", "With global: alerts tell of changes only."),
    KAP_CONFIG(STRING, ssl_ca, "ssl-ca", "PEM file of the authorities to trust."),
    KAP_CONFIG(STRING, ssl_cert, "ssl-cert", "PEM file of the client's certificate."),
    KAP_CONFIG(STRING, ssl_key, "ssl-key", "PEM file of the client's key."),
    KAP_CONFIG(BOOL, insecure_skip_verify, "insecure-skip-verify", "Do not check the server's certificate."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->is_default = true;
    ((struct config *)config)->username = KAP_STR("kapacitor");
}

static const struct config *config_of(const struct options *o, const struct kap_handler_env *env)
{
    const struct config *v = env->config;
    for (size_t i = 0; i < env->nconfigs; i++)
        if (o->workspace.n ? kap_str_eq(v[i].workspace, o->workspace) : v[i].is_default || env->nconfigs == 1)
            return &v[i];
    return NULL;
}

static const char *color_of(enum kap_level l)
{
    return l == KAP_LEVEL_WARNING ? "warning" : l == KAP_LEVEL_CRITICAL ? "danger" : "good";
}

static void write_attachment(struct kap_json *j, const struct kap_event *ev)
{
    kap_json_object(j);
    kap_json_text(j, "fallback", ev->message);
    kap_json_text(j, "color", kap_str(color_of(ev->level)));
    kap_json_text(j, "text", ev->message);
    kap_json_key(j, "mrkdwn_in");
    kap_json_array(j);
    kap_json_cstr(j, "text");
    kap_json_array_end(j);
    kap_json_object_end(j);
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = config_of(o, env);
    if (!c && o->workspace.n)
        return kap_fail(err, KAP_ESTATE, "workspace %.*s not found", KAP_STR_ARG(o->workspace));
    if (!c || !c->enabled)
        return kap_service_off(err);
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_key(&j, "as_user");
    kap_json_bool(&j, false);
    kap_json_key(&j, "attachments");
    kap_json_array(&j);
    write_attachment(&j, ev);
    kap_json_array_end(&j);
    kap_json_text(&j, "channel", kap_or(o->channel, c->channel));
    kap_json_text(&j, "icon_emoji", kap_or(o->icon_emoji, c->icon_emoji));
    kap_json_text(&j, "text", KAP_STR(""));
    kap_json_text(&j, "username", kap_or(o->username, c->username));
    kap_json_object_end(&j);
    kap_http_json(ret, arena, c->url, &body);
    if (c->token.n)
        ret->headers = kap_json_headers(arena, kap_arena_printf(arena, "Authorization: Bearer %s", c->token.p));
    ret->skip_verify = c->insecure_skip_verify;
    ret->ca_file = c->ssl_ca.p;
    ret->cert_file = c->ssl_cert.p;
    ret->key_file = c->ssl_key.p;
    return KAP_OK;
}

/* The API answers 200 with {"ok":false,"error":".."}. */
static enum kap_verdict judge(int status, struct kap_str body, struct kap_error *err)
{
    kap_judge_message(body, "error", err);
    if (status / 100 == 2)
        return memmem(body.p, body.n, "\"ok\":false", 10) ? KAP_GIVE_UP : KAP_SENT;
    return status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

const struct kap_handler_type kap_handler_slack = {
    .kind = "slack",
    .method = "slack",
    .doc = "Posts the message of each event to a Slack channel.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "slack",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .config_many = true,
    .build = build,
    .judge = judge,
};
