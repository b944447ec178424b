#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    struct kap_str chat_id, parse_mode;
    bool disable_preview, disable_notification;
};

struct config {
    bool enabled, disable_preview, disable_notification, global, state_changes_only;
    struct kap_str url, token, chat_id, parse_mode;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, chat_id, "chatId", "chat-id", "Chat to post to; the configuration's when empty."),
    KAP_OPTION(STRING, parse_mode, "parseMode", "parse-mode", "Markdown or HTML."),
    KAP_OPTION(FLAG, disable_preview, "disableWebPagePreview", "disable-web-page-preview", "No previews of links."),
    KAP_OPTION(FLAG, disable_notification, "disableNotification", "disable-notification", "Send silently."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use Telegram."),
    KAP_CONFIG(STRING, url, "url", "URL of the bot API, without the token."),
    KAP_SECRET(token, "token", "Token of the bot."),
    KAP_CONFIG(STRING, chat_id, "chat-id", "Chat to post to."),
    KAP_CONFIG(STRING, parse_mode, "parse-mode", "Markdown or HTML."),
    KAP_CONFIG(BOOL, disable_preview, "disable-web-page-preview", "No previews of links."),
    KAP_CONFIG(BOOL, disable_notification, "disable-notification", "Send silently."),
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
    ((struct config *)config)->url = KAP_STR("https://api.telegram.org/bot");
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    const struct kap_str mode = kap_or(o->parse_mode, c->parse_mode);
    if (mode.n && strcasecmp(mode.p, "markdown") != 0 && strcasecmp(mode.p, "html") != 0)
        return kap_fail(err, KAP_EINVAL, "parseMode %.*s is not valid, please use 'Markdown' or 'HTML'",
                        KAP_STR_ARG(mode));
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "chat_id", kap_or(o->chat_id, c->chat_id));
    if (o->disable_notification || c->disable_notification) {
        kap_json_key(&j, "disable_notification");
        kap_json_bool(&j, true);
    }
    if (o->disable_preview || c->disable_preview) {
        kap_json_key(&j, "disable_web_page_preview");
        kap_json_bool(&j, true);
    }
    if (mode.n)
        kap_json_text(&j, "parse_mode", mode);
    kap_json_text(&j, "text", ev->message);
    kap_json_object_end(&j);
    const char *url = kap_arena_printf(arena, "%.*s%.*s", KAP_STR_ARG(c->url), KAP_STR_ARG(c->token));
    kap_http_json(ret, arena, kap_url_join(arena, kap_str(url), KAP_STR("sendMessage")), &body);
    return KAP_OK;
}

static enum kap_verdict judge(int status, struct kap_str body, struct kap_error *err)
{
    kap_judge_message(body, "description", err);
    if (status / 100 == 2)
        return KAP_SENT;
    return status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

const struct kap_handler_type kap_handler_telegram = {
    .kind = "telegram",
    .method = "telegram",
    .doc = "Posts the message of each event to a Telegram chat.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "telegram",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
    .judge = judge,
};
