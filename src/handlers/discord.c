#include "base/gotime.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    struct kap_str workspace, username, avatar_url, embed_title;
};

struct config {
    bool enabled, is_default, timestamp, global, state_changes_only, insecure_skip_verify;
    struct kap_str workspace, url, username, avatar_url, embed_title, ssl_ca, ssl_cert, ssl_key;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, workspace, "workspace", "workspace", "Workspace to post to; the default one when empty."),
    KAP_OPTION(STRING, username, "username", "username", "Name that is shown; the configuration's when empty."),
    KAP_OPTION(STRING, avatar_url, "avatarURL", "avatar-url", "Picture; the configuration's when empty."),
    KAP_OPTION(STRING, embed_title, "embedTitle", "embed-title", "Title; a template."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use this workspace."),
    KAP_CONFIG(BOOL, is_default, "default", "The one meant where none is named."),
    KAP_CONFIG(STRING, workspace, "workspace", "Name of the workspace in scripts."),
    KAP_SECRET(url, "url", "URL of the webhook."),
    KAP_CONFIG(STRING, username, "username", "Name that is shown."),
    KAP_CONFIG(STRING, avatar_url, "avatar-url", "Picture that is shown."),
    KAP_CONFIG(STRING, embed_title, "embed-title", "Title of the embedded text; a template."),
    KAP_CONFIG(BOOL, timestamp, "timestamp", "Show the event's time."),
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
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    return kap_event_render_check("embedTitle", ((const struct options *)options)->embed_title, err);
}

static const struct config *config_of(const struct options *o, const struct kap_handler_env *env)
{
    const struct config *v = env->config;
    for (size_t i = 0; i < env->nconfigs; i++)
        if (o->workspace.n ? kap_str_eq(v[i].workspace, o->workspace) : v[i].is_default || env->nconfigs == 1)
            return &v[i];
    return NULL;
}

static int64_t color_of(enum kap_level l)
{
    return l == KAP_LEVEL_CRITICAL ? 0xF95F53 : l == KAP_LEVEL_WARNING ? 0xF48D38 : 0x7A65F2;
}

static void write_embed(struct kap_json *j, const struct config *c, struct kap_str title, const struct kap_event *ev)
{
    kap_json_object(j);
    kap_json_key(j, "color");
    kap_json_i64(j, color_of(ev->level));
    kap_json_text(j, "title", title);
    kap_json_text(j, "description", ev->message);
    KAP_AUTO_BUF struct kap_buf time = { 0 };
    if (c->timestamp)
        kap_time_format(&time, ev->time_ns, KAP_STR("2006-01-02T15:04:05Z07:00"));
    kap_json_text(j, "timestamp", kap_buf_str(&time));
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
    struct kap_str title;
    KAP_TRY(kap_event_render("embedTitle", kap_or(o->embed_title, c->embed_title), ev, env, arena, &title, err));
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "username", kap_or(o->username, c->username));
    kap_json_text(&j, "avatar_url", kap_or(o->avatar_url, c->avatar_url));
    kap_json_key(&j, "embeds");
    kap_json_array(&j);
    write_embed(&j, c, title, ev);
    kap_json_array_end(&j);
    kap_json_object_end(&j);
    kap_http_json(ret, arena, c->url, &body);
    ret->skip_verify = c->insecure_skip_verify;
    ret->ca_file = c->ssl_ca.p;
    ret->cert_file = c->ssl_cert.p;
    ret->key_file = c->ssl_key.p;
    return KAP_OK;
}

const struct kap_handler_type kap_handler_discord = {
    .kind = "discord",
    .method = "discord",
    .doc = "Posts the message of each event to a Discord webhook.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .check = check,
    .section = "discord",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .config_many = true,
    .build = build,
};
