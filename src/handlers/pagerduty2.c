#include "alert/spec.h"
#include "base/gotime.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

/* Format: https://developer.pagerduty.com/docs/events-api-v2-overview */

struct link {
    struct kap_str href, text; /* templates; an empty text is the link itself */
};

struct options {
    struct kap_str routing_key;
    struct link *links;
    size_t nlinks;
};

struct config {
    bool enabled, global;
    struct kap_str url, routing_key;
};

static void add_link(struct options *o, struct kap_arena *arena, struct link link)
{
    struct link *v = KAP_ARENA_ARRAY(arena, struct link, o->nlinks + 1);
    if (o->nlinks)
        memcpy(v, o->links, o->nlinks * sizeof *v);
    v[o->nlinks++] = link;
    o->links = v;
}

static enum kap_status set_link(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                struct kap_error *err)
{
    struct link link = { .text = KAP_STR("") };
    KAP_TRY(kap_arg_text(&link.href, arena, args, nargs, 0, "link", err));
    if (nargs > 1)
        KAP_TRY(kap_arg_text(&link.text, arena, args, nargs, 1, "link", err));
    add_link(options, arena, link);
    return KAP_OK;
}

static enum kap_status option(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err)
{
    if (strcasecmp(key, "links") != 0)
        return KAP_ENOTFOUND;
    if (!json_is_array(value))
        return kap_option_type_error(err, key, "[]pagerduty2.LinkTemplate", value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const json_t *href = json_object_get(item, "href"), *text = json_object_get(item, "text");
        if (!json_is_string(href) || (text && !json_is_string(text)))
            return kap_fail(err, KAP_EINVAL, "'links[%zu]' must have texts href and text", i);
        add_link(options, arena, (struct link){
            kap_arena_str(arena, kap_str(json_string_value(href))),
            kap_arena_str(arena, kap_str(text ? json_string_value(text) : "")) });
    }
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, routing_key, "routingKey", "routing-key", "Routing key; the configuration's when empty."),
    KAP_OPTION(STRING, routing_key, "serviceKey", NULL, "The same, by its older name."),
    { .kind = KAP_PROP_CALL, .name = "link", .set = set_link, .signature = "(url string, text ...string)",
      .doc = "Adds a link to the incident; both are templates." },
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use PagerDuty."),
    KAP_CONFIG(STRING, url, "url", "URL of the Events API, version 2."),
    KAP_SECRET(routing_key, "routing-key", "Routing key."),
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
    ((struct config *)config)->url = KAP_STR("https://events.pagerduty.com/v2/enqueue");
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    for (size_t i = 0; i < o->nlinks; i++) {
        KAP_TRY(kap_event_render_check("href", o->links[i].href, err));
        KAP_TRY(kap_event_render_check("text", o->links[i].text, err));
    }
    return KAP_OK;
}

static enum kap_status write_links(struct kap_json *j, const struct options *o, const struct kap_event *ev,
                                   const struct kap_handler_env *env, struct kap_arena *arena, struct kap_error *err)
{
    kap_json_key(j, "links");
    if (o->nlinks == 0) {
        kap_json_null(j);
        return KAP_OK;
    }
    kap_json_array(j);
    for (size_t i = 0; i < o->nlinks; i++) {
        struct kap_str href, text;
        KAP_TRY(kap_event_render("href", o->links[i].href, ev, env, arena, &href, err));
        KAP_TRY(kap_event_render("text", o->links[i].text, ev, env, arena, &text, err));
        kap_json_object(j);
        kap_json_text(j, "href", href);
        kap_json_text(j, "text", kap_or(text, href));
        kap_json_object_end(j);
    }
    kap_json_array_end(j);
    return KAP_OK;
}

static void write_payload(struct kap_json *j, const struct kap_event *ev, struct kap_arena *arena)
{
    static const char *const severities[] = { "info", "info", "warning", "critical" };
    const struct kap_str *host = kap_tags_get(ev->tags, kap_sym_c("host"));
    KAP_AUTO_BUF struct kap_buf time = { 0 };
    kap_time_format(&time, ev->time_ns, KAP_STR("2006-01-02T15:04:05.000000000Z07:00"));
    kap_json_key(j, "payload");
    kap_json_object(j);
    kap_json_text(j, "summary", ev->message);
    kap_json_text(j, "source", host ? *host : KAP_STR("unknown"));
    kap_json_text(j, "severity", kap_str(severities[ev->level]));
    kap_json_text(j, "timestamp", kap_buf_str(&time));
    kap_json_text(j, "class", ev->task);
    kap_json_text(j, "component", KAP_STR(""));
    kap_json_text(j, "group", KAP_STR(""));
    kap_json_key(j, "custom_details");
    kap_json_object(j);
    kap_json_key(j, "result");
    kap_json_raw(j, kap_event_data_text(ev, arena));
    kap_json_object_end(j);
    kap_json_object_end(j);
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled)
        return kap_service_off(err);
    const bool resolve = ev->level == KAP_LEVEL_OK;
    struct kap_buf body = { 0 };
    struct kap_json j;
    kap_json_init(&j, &body, false);
    kap_json_object(&j);
    kap_json_text(&j, "routing_key", kap_or(o->routing_key, c->routing_key));
    kap_json_text(&j, "event_action", resolve ? KAP_STR("resolve") : KAP_STR("trigger"));
    kap_json_text(&j, "dedup_key", ev->id);
    if (!resolve) {
        write_payload(&j, ev, arena);
        kap_json_key(&j, "images");
        kap_json_null(&j);
        if (write_links(&j, o, ev, env, arena, err) != KAP_OK) {
            kap_buf_done(&body);
            return err ? err->status : KAP_EINVAL;
        }
        kap_json_text(&j, "client", KAP_STR("kapacitor"));
        kap_json_text(&j, "client_url", env->api_url);
    }
    kap_json_object_end(&j);
    kap_http_json(ret, arena, c->url, &body);
    ret->headers = kap_json_headers(arena, "Accept: application/vnd.pagerduty+json;version=2");
    return KAP_OK;
}

static enum kap_verdict judge(int status, struct kap_str body, struct kap_error *err)
{
    kap_judge_message(body, "message", err);
    if (status / 100 == 2)
        return KAP_SENT;
    return status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

const struct kap_handler_type kap_handler_pagerduty2 = {
    .kind = "pagerduty2",
    .method = "pagerDuty2",
    .doc = "Triggers and resolves incidents of PagerDuty by the Events API, version 2.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .option = option,
    .check = check,
    .section = "pagerduty2",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .build = build,
    .judge = judge,
};
