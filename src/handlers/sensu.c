#include "base/duration.h"
#include "handlers/handlers.h"
#include "handlers/net.h"
#include "handlers/util.h"

struct options {
    struct kap_str source;
    struct kap_strings handlers;
    struct kap_pairs metadata;
};

struct config {
    bool enabled;
    struct kap_str addr, source;
    struct kap_strings handlers;
};

static enum kap_status set_metadata(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                    struct kap_error *err)
{
    return kap_pairs_call(&((struct options *)options)->metadata, arena, args, nargs, false, "metadata", err);
}

static enum kap_status option(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err)
{
    if (strcasecmp(key, "metadata") != 0)
        return KAP_ENOTFOUND;
    return kap_pairs_option(&((struct options *)options)->metadata, arena, key, value, false, err);
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, source, "source", "source", "Source; a template; the configuration's when empty."),
    KAP_OPTION(STRINGS, handlers, "handlers", "handlers", "Sensu's handlers; the configuration's when none."),
    { .kind = KAP_PROP_CALL, .name = "metadata", .set = set_metadata, .signature = "(key string, value any)",
      .doc = "Adds a member to the result." },
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use Sensu."),
    KAP_CONFIG(STRING, addr, "addr", "Address of the client's socket."),
    KAP_CONFIG(STRING, source, "source", "Default source."),
    KAP_CONFIG(STRINGS, handlers, "handlers", "Default handlers."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->source = KAP_STR("Kapacitor");
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    return kap_event_render_check("source", ((const struct options *)options)->source, err);
}

static bool name_valid(struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr("_.-", c))))
            return false;
    }
    return s.n > 0;
}

static bool taken(const char *key)
{
    static const char *const own[] = { "name", "source", "output", "status", "handlers" };
    for (size_t i = 0; i < KAP_COUNT(own); i++)
        if (strcmp(key, own[i]) == 0)
            return true;
    return false;
}

static void write_result(struct kap_json *j, const struct options *o, const struct config *c, struct kap_str source,
                         const struct kap_event *ev)
{
    static const int64_t statuses[] = { 0, 0, 1, 2 };
    kap_json_object(j);
    kap_json_texts(j, "handlers", o->handlers.n ? o->handlers : c->handlers);
    for (size_t i = 0; i < o->metadata.n; i++) {
        if (taken(o->metadata.v[i].key.p))
            continue;
        kap_json_keyn(j, o->metadata.v[i].key);
        kap_pair_json(&o->metadata.v[i], j);
    }
    kap_json_text(j, "name", ev->id);
    kap_json_text(j, "output", ev->message);
    kap_json_text(j, "source", kap_or(source, c->source));
    kap_json_key(j, "status");
    kap_json_i64(j, statuses[ev->level]);
    kap_json_object_end(j);
}

static enum kap_verdict send(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled) {
        kap_service_off(err);
        return KAP_GIVE_UP;
    }
    if (!name_valid(ev->id)) {
        kap_fail(err, KAP_EINVAL, "invalid name \"%.*s\" for sensu alert. Must match ^[\\w\\.-]+$", KAP_STR_ARG(ev->id));
        return KAP_GIVE_UP;
    }
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_str source;
    if (kap_event_render("source", o->source, ev, env, arena, &source, err) != KAP_OK)
        return KAP_GIVE_UP;
    KAP_AUTO_BUF struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    write_result(&j, o, c, source, ev);
    kap_buf_addc(&body, '\n');
    switch (kap_tcp_send(c->addr, kap_buf_str(&body), 10 * KAP_S, err)) {
    case KAP_OK:
        return KAP_SENT;
    case KAP_EINVAL:
        return KAP_GIVE_UP;
    default:
        return KAP_RETRY;
    }
}

const struct kap_handler_type kap_handler_sensu = {
    .kind = "sensu",
    .method = "sensu",
    .doc = "Sends each event as a check result to the socket of a Sensu client.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .option = option,
    .check = check,
    .section = "sensu",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .send = send,
};
