/* /config: the sections that can be changed while the server runs; secrets are never shown. */
#include "api/resource.h"

#include "config/config.h"
#include "task/overrides.h"

#include <jansson.h>

struct target {
    struct kap_str section, element;
    bool has_element; /* "talk/" has one, it is "" */
};

static struct target read_target(const struct kap_request *rq)
{
    const struct kap_str tail = kap_request_tail(rq);
    const char *slash = memchr(tail.p, '/', tail.n);
    const size_t n = slash ? (size_t)(slash - tail.p) : tail.n;
    struct target t = { .section = kap_strn(tail.p, n),
                        .element = KAP_STR(""),
                        .has_element = slash != NULL && n > 0 };
    if (slash)
        t.element = kap_strn(slash + 1, tail.n - n - 1);
    return t;
}

/* False: answered. */
static bool is_enabled(const struct kap_api *api, struct kap_request *rq)
{
    const struct kap_config_override *o = kap_config_section(api->config, "config-override");
    if (!o->enabled)
        kap_reply_error(rq, 403, "config override service is not enabled");
    return o->enabled;
}

static void show_element(struct kap_json *j, const struct kap_config *c, const char *section, size_t element,
                         struct kap_str name)
{
    KAP_AUTO_BUF struct kap_buf href = { 0 };
    KAP_AUTO_BUF struct kap_buf options = { 0 };
    KAP_AUTO_BUF struct kap_buf redacted = { 0 };
    kap_config_show(c, section, element, &options, &redacted);
    kap_buf_addf(&href, KAP_HTTP_BASE "/config/%s/%.*s", section, KAP_STR_ARG(name));
    kap_json_object(j);
    kap_json_link(j, "link", "self", href.p);
    kap_json_key(j, "options");
    kap_json_raw(j, kap_buf_str(&options));
    kap_json_key(j, "redacted");
    kap_json_raw(j, redacted.n > 2 ? kap_buf_str(&redacted) : KAP_STR("null"));
    kap_json_object_end(j);
}

static void show_section(struct kap_json *j, const struct kap_config *c, const char *section)
{
    KAP_AUTO_BUF struct kap_buf href = { 0 };
    struct kap_str name;
    size_t element;
    kap_buf_addf(&href, KAP_HTTP_BASE "/config/%s", section);
    kap_json_object(j);
    kap_json_link(j, "link", "self", href.p);
    kap_json_key(j, "elements");
    kap_json_array(j);
    for (size_t i = 0; kap_config_element_name(c, section, i, &name, &element); i++)
        show_element(j, c, section, element, name);
    kap_json_array_end(j);
    kap_json_object_end(j);
}

static void list(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    const struct kap_config *c = kap_overrides_config(api->overrides);
    const struct kap_section *def;
    struct kap_json j;
    if (!is_enabled(api, rq))
        return;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_link(&j, "link", "self", KAP_HTTP_BASE "/config");
    kap_json_key(&j, "sections");
    kap_json_object(&j);
    for (size_t i = 0; (def = kap_config_overridable(c, i)) != NULL; i++) {
        kap_json_key(&j, def->name);
        show_section(&j, c, def->name);
    }
    kap_json_object_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

static const struct kap_section *find_section(const struct kap_config *c, struct kap_str name)
{
    const struct kap_section *def;
    for (size_t i = 0; (def = kap_config_overridable(c, i)) != NULL; i++) {
        if (kap_str_is(name, def->name))
            return def;
    }
    return NULL;
}

static void show(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    const struct kap_config *c = kap_overrides_config(api->overrides);
    const struct target t = read_target(rq);
    struct kap_json j;
    if (!is_enabled(api, rq))
        return;
    if (t.section.n == 0) {
        kap_reply_error(rq, 400, "section not specified, do you have an extra trailing '/'?");
        return;
    }
    const struct kap_section *def = find_section(c, t.section);
    if (def == NULL) {
        kap_reply_error(rq, 404, "unknown section: %.*s", KAP_STR_ARG(t.section));
        return;
    }
    if (!t.has_element) {
        kap_reply_json(rq, &j);
        show_section(&j, c, def->name);
        kap_reply_body(rq, 200, NULL);
        return;
    }
    struct kap_str name;
    size_t element;
    for (size_t i = 0; kap_config_element_name(c, def->name, i, &name, &element); i++) {
        if (!kap_str_eq(name, t.element))
            continue;
        kap_reply_json(rq, &j);
        show_element(&j, c, def->name, element, name);
        kap_reply_body(rq, 200, NULL);
        return;
    }
    kap_reply_error(rq, 404, "unknown section/element: %s/%.*s", def->name, KAP_STR_ARG(t.element));
}

static void update(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    const struct target t = read_target(rq);
    const struct kap_str body = kap_request_body(rq);
    struct kap_error err;
    if (!is_enabled(api, rq))
        return;
    json_t *json = json_loadb(body.p, body.n, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, NULL);
    if (json == NULL) {
        KAP_AUTO_BUF struct kap_buf problem = { 0 };
        kap_json_problem(body, &problem);
        kap_reply_error(rq, 400, "failed to decode JSON:%s", problem.p);
        return;
    }
    const enum kap_status st =
        json_is_object(json) || json_is_null(json)
            ? kap_overrides_update(api->overrides, t.section, t.element, t.has_element, json, &err)
            : kap_fail(&err, KAP_EINVAL, "failed to decode JSON: an update must be an object");
    json_decref(json);
    if (st == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_failure(rq, st, &err);
}

const struct kap_route kap_routes_config[] = {
    { "GET", "/config", list, 0, 0 },    { "GET", "/config/", show, 0, 0 },
    { "POST", "/config", update, 0, 0 }, { "POST", "/config/", update, 0, 0 },
    { NULL, NULL, NULL, 0, 0 },
};
