#include "handlers/handlers.h"
#include "handlers/util.h"

struct options {
    struct kap_str user_key, device, title, url, url_title, sound;
};

struct config {
    bool enabled;
    struct kap_str token, user_key, url;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, user_key, "userKey", "user-key", "User or group; the configuration's when empty."),
    KAP_OPTION(STRING, device, "device", "device", "Devices, parted by commas; all when empty."),
    KAP_OPTION(STRING, title, "title", "title", "Title of the message."),
    KAP_OPTION(STRING, url, "URL", "url", "A link shown with the message."),
    KAP_OPTION(STRING, url_title, "URLTitle", "url-title", "Text of the link."),
    KAP_OPTION(STRING, sound, "sound", "sound", "Sound that is played."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use Pushover."),
    KAP_SECRET(token, "token", "Token of the application."),
    KAP_SECRET(user_key, "user-key", "User or group that gets the messages."),
    KAP_CONFIG(STRING, url, "url", "URL of the API."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->url = KAP_STR("https://api.pushover.net/1/messages.json");
}

/* Of -2 (no notification) to 2 (until it is confirmed). */
static const char *priority_of(enum kap_level l)
{
    static const char *const priorities[] = { "-2", "-1", "0", "1" };
    return priorities[l];
}

static void add(struct kap_buf *b, const char *key, struct kap_str value)
{
    if (value.n == 0)
        return;
    kap_buf_addf(b, "%s%s=", b->n ? "&" : "", key);
    kap_url_escape(b, value);
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    add(&b, "device", o->device);
    add(&b, "message", ev->message);
    add(&b, "priority", kap_str(priority_of(ev->level)));
    add(&b, "sound", o->sound);
    add(&b, "title", o->title);
    add(&b, "token", c->token);
    add(&b, "url", o->url);
    add(&b, "url_title", o->url_title);
    add(&b, "user", kap_or(o->user_key, c->user_key));
    ret->url = c->url;
    ret->body = kap_arena_str(arena, kap_buf_str(&b));
    const char **headers = KAP_ARENA_ARRAY(arena, const char *, 2);
    headers[0] = "Content-Type: application/x-www-form-urlencoded";
    ret->headers = headers;
    return KAP_OK;
}

const struct kap_handler_type kap_handler_pushover = {
    .kind = "pushover",
    .method = "pushover",
    .doc = "Sends the message of each event through Pushover.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .section = "pushover",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
};
