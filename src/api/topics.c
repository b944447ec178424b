/* /alerts/topics: topics, their events and their handlers. */
#include "api/resource.h"

#include "alert/topics.h"
#include "api/patch.h"
#include "base/mem.h"
#include "task/handlers.h"

/* T, T/events, T/events/E, T/handlers, T/handlers/H; anything else below T is T itself, as in the reference.
 */
struct target {
    struct kap_str topic;
    enum { THE_TOPIC, EVENTS, ONE_EVENT, HANDLERS, ONE_HANDLER } what;
    struct kap_str id;
};

static struct kap_str cut(struct kap_str *rest)
{
    const char *slash = memchr(rest->p, '/', rest->n);
    const struct kap_str part = slash ? kap_strn(rest->p, (size_t)(slash - rest->p)) : *rest;
    const size_t used = part.n + (slash != NULL);
    *rest = kap_strn(rest->p + used, rest->n - used);
    return part;
}

static struct target read_target(const struct kap_request *rq)
{
    struct kap_str rest = kap_request_tail(rq);
    struct target t = { .topic = cut(&rest), .what = THE_TOPIC, .id = KAP_STR("") };
    const bool slash = rest.p > t.topic.p + t.topic.n;
    const struct kap_str kind = cut(&rest);
    const bool more = slash && rest.p > kind.p + kind.n;
    if (memchr(rest.p, '/', rest.n))
        return t;
    t.id = rest;
    if (kap_str_is(kind, "events"))
        t.what = more && rest.n > 0 ? ONE_EVENT : EVENTS;
    else if (kap_str_is(kind, "handlers"))
        t.what = more && rest.n > 0 ? ONE_HANDLER : HANDLERS;
    return t;
}

static void answer(struct kap_request *rq, enum kap_status st, const struct kap_error *err)
{
    if (st == KAP_OK)
        kap_reply_body(rq, 200, NULL);
    else
        kap_reply_failure(rq, st, err);
}

static void list_topics(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_json j;
    struct kap_error err;
    kap_reply_json(rq, &j);
    answer(rq,
           kap_topics_list_json(api->topics, kap_request_query(rq, "pattern"),
                                kap_request_query(rq, "min-level"), &j, &err),
           &err);
}

static void show(void *ctx, struct kap_request *rq)
{
    struct kap_topics *topics = ((const struct kap_api *)ctx)->topics;
    const struct target t = read_target(rq);
    enum kap_status st = KAP_EINTERNAL;
    struct kap_json j;
    struct kap_error err = { 0 };
    kap_reply_json(rq, &j);
    switch (t.what) {
    case THE_TOPIC:
        st = kap_topics_topic_json(topics, t.topic, &j, &err);
        break;
    case EVENTS:
        st = kap_topics_events_json(topics, t.topic, kap_request_query(rq, "min-level"), &j, &err);
        break;
    case ONE_EVENT:
        st = kap_topics_event_json(topics, t.topic, t.id, &j, &err);
        break;
    case HANDLERS:
        st = kap_topics_handlers_json(topics, t.topic, kap_request_query(rq, "pattern"), &j, &err);
        break;
    case ONE_HANDLER:
        st = kap_topics_handler_json(topics, t.topic, t.id, &j, &err);
        break;
    }
    answer(rq, st, &err);
}

/* --- handlers --- */

static void show_spec(struct kap_request *rq, const struct kap_handler_spec *spec)
{
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_handler_spec_json(spec, &j);
    kap_reply_body(rq, 200, NULL);
}

/* The spec in a body; false: answered. */
static bool read_spec(struct kap_request *rq, struct kap_str topic, const char *complaint,
                      struct kap_handler_spec *ret)
{
    const struct kap_str body = kap_request_body(rq);
    KAP_AUTO_FREE char *name = kap_strndup(topic.p, topic.n);
    struct kap_error err;
    json_t *json = json_loadb(body.p, body.n, JSON_DISABLE_EOF_CHECK, NULL);
    if (json == NULL) {
        KAP_AUTO_BUF struct kap_buf problem = { 0 };
        kap_json_problem(body, &problem);
        kap_reply_error(rq, 400, "%s: %s", complaint, problem.p);
        return false;
    }
    const enum kap_status st = kap_handler_spec_read(json, name, ret, &err);
    json_decref(json);
    if (st != KAP_OK) {
        kap_reply_error(rq, 400, "%s: %s", complaint, err.msg);
        return false;
    }
    if (kap_handler_spec_check(ret, &err) != KAP_OK) {
        kap_handler_spec_done(ret);
        kap_reply_error(rq, 400, "%s", err.msg);
        return false;
    }
    return true;
}

static void put_spec(const struct kap_api *api, struct kap_request *rq, struct kap_handler_spec *spec,
                     const char *old_id)
{
    struct kap_error err;
    if (kap_topic_handlers_put(api->handlers, spec, old_id, &err) == KAP_OK)
        show_spec(rq, spec);
    else
        kap_reply_error(rq, 500, "failed to %s handler: %s", old_id ? "update" : "create", err.msg);
    kap_handler_spec_done(spec);
}

static void create_handler(void *ctx, struct kap_request *rq)
{
    const struct target t = read_target(rq);
    struct kap_handler_spec spec;
    if (read_spec(rq, t.topic, "invalid handler json", &spec))
        put_spec(ctx, rq, &spec, NULL);
}

/* The stored one; false: answered. */
static bool find_spec(const struct kap_api *api, struct kap_request *rq, const struct target *t,
                      struct kap_handler_spec *ret)
{
    struct kap_error err;
    const enum kap_status st = kap_topic_handlers_get(api->handlers, t->topic, t->id, ret, &err);
    if (st == KAP_OK)
        return true;
    KAP_AUTO_BUF struct kap_buf quoted = { 0 };
    kap_buf_addq(&quoted, t->id);
    if (st == KAP_ENOTFOUND)
        kap_reply_error(rq, 404, "unknown handler: %s", quoted.p);
    else
        kap_reply_error(rq, 500, "failed to get handler %s: %s", quoted.p, err.msg);
    return false;
}

static void replace_handler(void *ctx, struct kap_request *rq)
{
    const struct target t = read_target(rq);
    struct kap_handler_spec old, spec;
    if (!find_spec(ctx, rq, &t, &old))
        return;
    if (read_spec(rq, t.topic, "failed to unmarshal JSON", &spec))
        put_spec(ctx, rq, &spec, old.id);
    kap_handler_spec_done(&old);
}

/* The spec with a patch applied; false: answered. */
static bool patched(struct kap_request *rq, const struct kap_handler_spec *old, struct kap_handler_spec *ret)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    struct kap_json j;
    struct kap_error err;
    const struct kap_str body = kap_request_body(rq);
    json_t *patch = json_loadb(body.p, body.n, 0, NULL), *result = NULL;
    if (patch == NULL) {
        KAP_AUTO_BUF struct kap_buf problem = { 0 };
        kap_json_problem(body, &problem);
        kap_reply_error(rq, 400, "invalid patch json: %s", problem.p);
        return false;
    }
    kap_json_init(&j, &text, false);
    kap_handler_spec_json(old, &j);
    json_t *doc = json_loadb(text.p, text.n, 0, NULL);
    enum kap_status st = kap_json_patch(doc, patch, &result, &err);
    if (st != KAP_OK)
        kap_wrap(&err, "failed to apply patch");
    if (st == KAP_OK)
        st = kap_handler_spec_read(result, old->topic, ret, &err);
    if (st == KAP_OK) {
        st = kap_handler_spec_check(ret, &err);
        if (st != KAP_OK)
            kap_handler_spec_done(ret);
    }
    json_decref(doc);
    json_decref(patch);
    json_decref(result);
    if (st != KAP_OK)
        kap_reply_error(rq, 400, "%s", err.msg);
    return st == KAP_OK;
}

static void patch_handler(void *ctx, struct kap_request *rq)
{
    const struct target t = read_target(rq);
    struct kap_handler_spec old, spec;
    if (!find_spec(ctx, rq, &t, &old))
        return;
    if (patched(rq, &old, &spec))
        put_spec(ctx, rq, &spec, old.id);
    kap_handler_spec_done(&old);
}

static void delete_any(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    const struct target t = read_target(rq);
    struct kap_error err;
    if (t.what != ONE_HANDLER)
        kap_topics_delete(api->topics, t.topic);
    else if (kap_topic_handlers_drop(api->handlers, t.topic, t.id, &err) != KAP_OK) {
        kap_reply_error(rq, 500, "failed to delete handler: %s", err.msg);
        return;
    }
    kap_reply(rq, 204);
}

const struct kap_route kap_routes_topics[] = {
    { "GET", "/alerts/topics", list_topics, 0, 0 },
    { "GET", "/alerts/topics/", show, 0, 0 },
    { "POST", "/alerts/topics/", create_handler, 0, 0 },
    { "PUT", "/alerts/topics/", replace_handler, 0, 0 },
    { "PATCH", "/alerts/topics/", patch_handler, 0, 0 },
    { "DELETE", "/alerts/topics/", delete_any, 0, 0 },
    { 0 },
};
