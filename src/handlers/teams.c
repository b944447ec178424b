#include "handlers/handlers.h"
#include "handlers/util.h"

#define SUMMARY_BYTES 70 /* of the summary are shown */

struct options {
    struct kap_str channel_url;
};

struct config {
    bool enabled, global, state_changes_only;
    struct kap_str channel_url;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, channel_url, "channelURL", "channel-url", "URL of the webhook; the configuration's when empty."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use Microsoft Teams."),
    KAP_SECRET(channel_url, "channel-url", "URL of the channel's webhook."),
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
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    const struct kap_str about = kap_or(ev->id, ev->topic);
    const char *title = kap_arena_printf(arena, "%s: [%.*s]", kap_level_name(ev->level), KAP_STR_ARG(about));
    struct kap_str summary = kap_str(kap_arena_printf(arena, "%s - %.*s", title, KAP_STR_ARG(ev->message)));
    summary.n = KAP_MIN(summary.n, (size_t)SUMMARY_BYTES);
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "@type", KAP_STR("MessageCard"));
    kap_json_text(&j, "@context", KAP_STR("http://schema.org/extensions"));
    kap_json_text(&j, "title", kap_str(title));
    kap_json_text(&j, "text", ev->message);
    kap_json_text(&j, "summary", kap_str(kap_arena_printf(arena, "%.*s...", KAP_STR_ARG(summary))));
    kap_json_object_end(&j);
    kap_http_json(ret, arena, kap_or(o->channel_url, c->channel_url), &body);
    return KAP_OK;
}

const struct kap_handler_type kap_handler_teams = {
    .kind = "teams",
    .method = "teams",
    .doc = "Posts the message of each event to a Microsoft Teams channel.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "teams",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
};
