/* /ping and /loglevel. */
#include "api/resource.h"
#include "base/log.h"

#include <jansson.h>

static void ping(void *ctx, struct kap_request *rq)
{
    kap_httpd_stats(kap_request_server(rq))->ping_requests++;
    kap_reply(rq, 204);
}

/* The levels that the reference knows. */
static bool known_level(struct kap_str name, enum kap_log_level *ret)
{
    return kap_log_level_parse(name, ret) && *ret != KAP_LOG_WARN && *ret != KAP_LOG_OFF;
}

static void set_log_level(void *ctx, struct kap_request *rq)
{
    const struct kap_str body = kap_request_body(rq);
    json_t *json = json_loadb(body.p, body.n, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *v = json_object_get(json, "level");
    enum kap_log_level level;
    if (!json_is_object(json)) {
        KAP_AUTO_BUF struct kap_buf problem = { 0 };
        kap_json_problem(body, &problem);
        kap_reply_error(rq, 400, "invalid json: %s", problem.p);
    } else if (!json_is_string(v) || !known_level(kap_str(json_string_value(v)), &level)) {
        kap_reply_error(rq, 400, "invalid log level");
    } else {
        kap_log_set_level(level);
        kap_reply(rq, 204);
    }
    json_decref(json);
}

const struct kap_route kap_routes_basic[] = {
    { "GET", "/ping", ping, KAP_ROUTE_INLINE, 0 },
    { "HEAD", "/ping", ping, KAP_ROUTE_INLINE, 0 },
    { "POST", "/loglevel", set_log_level, KAP_ROUTE_INLINE, 65536 },
    { 0 },
};
