/* /service-tests: one attempt at a service with what is configured, so that a mistake shows before an alert
 * does. */
#include "api/resource.h"

#include "alert/http_send.h"
#include "alert/topics.h"
#include "base/mem.h"
#include "config/config.h"
#include "influxdb/query.h"
#include "task/overrides.h"

#include <jansson.h>

/* What the stock server lists, by name. What is not built says so when it is tested. */
static const char *const stock_services[] = {
    "alerta",   "azure",          "consul",     "discord",          "dns",
    "ec2",      "file-discovery", "gce",        "hipchat",          "httppost",
    "influxdb", "kafka",          "kubernetes", "marathon",         "mqtt",
    "nerve",    "opsgenie",       "opsgenie2",  "pagerduty",        "pagerduty2",
    "pushover", "scraper",        "sensu",      "serverset",        "servicenow",
    "slack",    "smtp",           "snmptrap",   "static-discovery", "swarm",
    "talk",     "teams",          "telegram",   "triton",           "victorops",
};
/* Services that came later are listed where the configuration has them. */
static const char *const later_services[] = { "bigpanda", "zenoss" };

static const struct kap_handler_type *type_of(const struct kap_api *api, const char *name)
{
    for (const struct kap_handler_type *const *t = api->handler_types; *t; t++) {
        if ((*t)->section && strcmp((*t)->section, name) == 0)
            return *t;
    }
    return NULL;
}

/* The i-th service, in byte order; NULL past the end. */
static const char *service_at(const struct kap_api *api, size_t i)
{
    const char *at = "";
    for (size_t rank = 0; rank <= i; rank++) {
        const char *next = NULL;
        for (size_t k = 0; k < KAP_COUNT(stock_services); k++) {
            if (strcmp(stock_services[k], at) > 0 && (!next || strcmp(stock_services[k], next) < 0))
                next = stock_services[k];
        }
        for (size_t k = 0; k < KAP_COUNT(later_services); k++) {
            if (strcmp(later_services[k], at) > 0 && (!next || strcmp(later_services[k], next) < 0) &&
                kap_config_given(kap_overrides_config(api->overrides), later_services[k]))
                next = later_services[k];
        }
        if (next == NULL)
            return NULL;
        at = next;
    }
    return at;
}

static const char *find_service(const struct kap_api *api, struct kap_str name)
{
    const char *service;
    for (size_t i = 0; (service = service_at(api, i)) != NULL; i++) {
        if (kap_str_is(name, service))
            return service;
    }
    return NULL;
}

/* --- options --- */

static void show_option(struct kap_json *j, const struct kap_prop *p, const void *at)
{
    kap_json_key(j, p->option);
    switch (p->kind) {
    case KAP_PROP_INT:
    case KAP_PROP_DURATION:
        kap_json_i64(j, *(const int64_t *)at);
        break;
    case KAP_PROP_FLOAT:
        kap_json_f64(j, *(const double *)at);
        break;
    case KAP_PROP_STRING:
        kap_json_str(j, *(const struct kap_str *)at);
        break;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG:
        kap_json_bool(j, *(const bool *)at);
        break;
    default: {
        const struct kap_strings *list = at;
        kap_json_array(j);
        for (size_t i = 0; i < list->n; i++)
            kap_json_str(j, list->v[i]);
        kap_json_array_end(j);
        break;
    }
    }
}

static bool is_shown(const struct kap_prop *p)
{
    return p->option && p->kind != KAP_PROP_CALL && p->kind != KAP_PROP_LAMBDA;
}

static void show_handler(struct kap_json *j, const struct kap_handler_type *type)
{
    KAP_AUTO_FREE char *options = kap_calloc(1, type->options_size);
    KAP_AUTO_FREE char *message = kap_asprintf("test %s message", type->section);
    if (type->init)
        type->init(options);
    kap_json_key(j, "id");
    kap_json_cstr(j, "testID");
    kap_json_key(j, "level");
    kap_json_cstr(j, "CRITICAL");
    kap_json_key(j, "message");
    kap_json_cstr(j, message);
    for (const struct kap_prop *p = type->props; p && p->kind != KAP_PROP_END; p++) {
        if (is_shown(p))
            show_option(j, p, options + p->offset);
    }
}

static void show_service(struct kap_json *j, const struct kap_api *api, const char *name)
{
    KAP_AUTO_BUF struct kap_buf href = { 0 };
    const struct kap_handler_type *type = type_of(api, name);
    kap_buf_addf(&href, KAP_HTTP_BASE "/service-tests/%s", name);
    kap_json_object(j);
    kap_json_link(j, "link", "self", href.p);
    kap_json_key(j, "name");
    kap_json_cstr(j, name);
    kap_json_key(j, "options");
    if (strcmp(name, "httppost") == 0) {
        kap_json_raw(j, KAP_STR("{\"endpoint\":\"example\",\"url\":\"http://localhost:3000/\","
                                "\"headers\":{\"Auth\":\"secret\"},\"timeout\":0}"));
    } else {
        kap_json_object(j);
        if (strcmp(name, "influxdb") == 0) {
            kap_json_key(j, "cluster");
            kap_json_cstr(j, "");
        } else if (type) {
            show_handler(j, type);
        }
        kap_json_object_end(j);
    }
    kap_json_object_end(j);
}

/* --- testing --- */

static struct kap_str take_text(struct kap_event *ev, json_t *options, const char *key, const char *otherwise)
{
    const json_t *v = json_object_get(options, key);
    const struct kap_str text =
        json_is_string(v) ? kap_strn(json_string_value(v), json_string_length(v)) : kap_str(otherwise);
    const struct kap_str copy = kap_arena_str(ev->arena, text);
    json_object_del(options, key);
    return copy;
}

static enum kap_status make_event(const struct kap_api *api, const char *name, json_t *options,
                                  struct kap_event *ev, struct kap_error *err)
{
    ev->topic = ev->name = KAP_STR("service-test");
    ev->task = ev->node = ev->run = ev->group = ev->category = KAP_STR("");
    ev->time_ns = kap_clock_wall(api->clock);
    ev->id = take_text(ev, options, "id", "testID");
    ev->message = take_text(ev, options, "message", kap_arena_printf(ev->arena, "test %s message", name));
    ev->details = take_text(ev, options, "details", "");
    const struct kap_str level = take_text(ev, options, "level", "CRITICAL");
    return kap_level_parse(level, &ev->level)
               ? KAP_OK
               : kap_fail(err, KAP_EINVAL, "unknown level \"%.*s\": use OK, INFO, WARNING or CRITICAL",
                          KAP_STR_ARG(level));
}

static enum kap_status attempt(const struct kap_api *api, const struct kap_handler_type *type,
                               json_t *options, struct kap_event *ev, struct kap_error *err)
{
    struct kap_handler_env env;
    void *filled = kap_arena_alloc(ev->arena, KAP_MAX(type->options_size, (size_t)1));
    memset(filled, 0, type->options_size);
    if (type->init)
        type->init(filled);
    if (json_object_get(options, "url") && strcmp(type->section, "httppost") == 0)
        json_object_del(options, "endpoint"); /* the example's; a URL is tested as it is */
    KAP_TRY(make_event(api, type->section, options, ev, err));
    KAP_TRY(kap_handler_options_read(type, options, filled, ev->arena, err));
    kap_topics_env(api->topics, type, &env);
    if (type->check)
        KAP_TRY(type->check(filled, &env, err));
    return kap_handler_attempt(type, filled, &env, ev, err) == KAP_SENT ? KAP_OK : KAP_EIO;
}

static enum kap_status test_handler(const struct kap_api *api, const struct kap_handler_type *type,
                                    json_t *options, struct kap_error *err)
{
    struct kap_event *ev = kap_event_new();
    const enum kap_status st = attempt(api, type, options, ev, err);
    kap_event_unref(ev);
    return st;
}

static enum kap_status skip_result(void *ctx, struct kap_block *block, struct kap_error *err)
{
    kap_block_free(block);
    return KAP_OK;
}

static enum kap_status test_influxdb(const struct kap_api *api, const json_t *options, struct kap_error *err)
{
    const char *cluster = json_string_value(json_object_get(options, "cluster"));
    const struct kap_influxdb_query q = { .cluster = kap_str(cluster ? cluster : ""),
                                          .text = KAP_STR("SHOW DATABASES") };
    return kap_influxdb_query(api->influxdb, &q, skip_result, NULL, err);
}

static enum kap_status test_service(const struct kap_api *api, const char *name, json_t *options,
                                    struct kap_error *err)
{
    const struct kap_handler_type *type = type_of(api, name);
    if (strcmp(name, "influxdb") == 0)
        return test_influxdb(api, options, err);
    return type ? test_handler(api, type, options, err)
                : kap_fail(err, KAP_ENOTFOUND, "this server has no service %s", name);
}

/* --- routes --- */

static void list(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    const struct kap_str given = kap_request_query(rq, "pattern");
    const struct kap_str pattern = given.n > 0 ? given : KAP_STR("*");
    const char *name;
    struct kap_json j;
    if (kap_glob(pattern, KAP_STR("alerta")) < 0) {
        kap_reply_error(rq, 400, "bad pattern: syntax error in pattern");
        return;
    }
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_link(&j, "link", "self", KAP_HTTP_BASE "/service-tests");
    kap_json_key(&j, "services");
    kap_json_array(&j);
    for (size_t i = 0; (name = service_at(api, i)) != NULL; i++) {
        if (kap_glob(pattern, kap_str(name)) == 1)
            show_service(&j, api, name);
    }
    kap_json_array_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

/* NULL: answered. */
static const char *named_service(const struct kap_api *api, struct kap_request *rq)
{
    const struct kap_str name = kap_request_tail(rq);
    const char *service = find_service(api, name);
    if (name.n == 0)
        kap_reply_error(rq, 400, "must provide service name");
    else if (service == NULL)
        kap_reply_error(rq, 404, "service \"%.*s\" not found", KAP_STR_ARG(name));
    return service;
}

static void show(void *ctx, struct kap_request *rq)
{
    const char *name = named_service(ctx, rq);
    struct kap_json j;
    if (name == NULL)
        return;
    kap_reply_json(rq, &j);
    show_service(&j, ctx, name);
    kap_reply_body(rq, 200, NULL);
}

static void test(void *ctx, struct kap_request *rq)
{
    const char *name = named_service(ctx, rq);
    const struct kap_str body = kap_request_body(rq);
    struct kap_error err = { 0 };
    struct kap_json j;
    if (name == NULL)
        return;
    json_t *options = json_loadb(body.p, body.n, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, NULL);
    if (json_is_null(options))
        options = json_object(); /* the usual ones: what the stock client sends */
    if (!json_is_object(options)) {
        KAP_AUTO_BUF struct kap_buf problem = { 0 };
        json_decref(options);
        kap_json_problem(body, &problem);
        kap_reply_error(rq, 400, "failed to decode JSON body:%s", problem.p);
        return;
    }
    const enum kap_status st = test_service(ctx, name, options, &err);
    json_decref(options);
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_key(&j, "success");
    kap_json_bool(&j, st == KAP_OK);
    kap_json_key(&j, "message");
    kap_json_cstr(&j, st == KAP_OK ? "" : err.msg);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

const struct kap_route kap_routes_service_tests[] = {
    { "GET", "/service-tests", list, 0, 0 },
    { "GET", "/service-tests/", show, 0, 0 },
    { "POST", "/service-tests/", test, 0, 0 },
    { NULL, NULL, NULL, 0, 0 },
};
