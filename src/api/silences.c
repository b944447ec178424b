/* /alerts/silences: made, listed, taken away. */
#include "api/resource.h"

#include "task/silences.h"

static void list_silence(void *ctx, const struct kap_silence *s)
{
    kap_silence_json(s, ctx);
}

static void list_silences(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_link(&j, "link", "self", KAP_HTTP_BASE "/alerts/silences");
    kap_json_key(&j, "silences");
    kap_json_array(&j);
    kap_silences_each(kap_stored_silences_registry(api->silences), list_silence, &j);
    kap_json_array_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

static void create_silence(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    const struct kap_str body = kap_request_body(rq);
    const int64_t now_ns = kap_clock_wall(api->clock);
    struct kap_silence s;
    struct kap_error err;
    json_t *json = json_loadb(body.p, body.n, 0, NULL);
    if (json == NULL) {
        KAP_AUTO_BUF struct kap_buf problem = { 0 };
        kap_json_problem(body, &problem);
        kap_reply_error(rq, 400, "invalid silence json: %s", problem.p);
        return;
    }
    const enum kap_status status = kap_silence_read(json, now_ns, &s, &err);
    json_decref(json);
    if (status != KAP_OK) {
        kap_reply_error(rq, 400, "%s", err.msg);
        return;
    }
    KAP_AUTO_BUF struct kap_buf shown = { 0 };
    struct kap_json j;
    kap_json_init(&j, &shown, false);
    kap_silence_json(&s, &j);
    if (kap_stored_silences_put(api->silences, &s, now_ns, &err) != KAP_OK) {
        kap_reply_failure(rq, err.status, &err);
        return;
    }
    kap_reply_json(rq, &j);
    kap_json_raw(&j, kap_buf_str(&shown));
    kap_reply_body(rq, 200, NULL);
}

static void delete_silence(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    if (kap_stored_silences_drop(api->silences, kap_request_tail(rq), &err) == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_failure(rq, err.status, &err);
}

const struct kap_route kap_routes_silences[] = {
    { "GET", "/alerts/silences", list_silences, 0, 0 },
    { "POST", "/alerts/silences", create_silence, 0, 0 },
    { "DELETE", "/alerts/silences/", delete_silence, 0, 0 },
    { 0 },
};
