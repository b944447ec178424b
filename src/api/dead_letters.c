/* /alerts/dead-letters: deliveries that this member gave up; to be looked at, replayed, deleted. */
#include "api/resource.h"

static void list_letters(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_link(&j, "link", "self", KAP_HTTP_BASE "/alerts/dead-letters");
    kap_json_key(&j, "dead-letters");
    api->dead_letters->list(api->dead_letters->ctx, &j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

/* "ID" or "ID/replay"; false: answered. */
static bool read_id(struct kap_request *rq, const char *suffix, uint64_t *ret)
{
    struct kap_str text = kap_request_tail(rq);
    const struct kap_str end = kap_str(suffix);
    int64_t id;
    if (text.n > end.n && memcmp(text.p + text.n - end.n, suffix, end.n) == 0 &&
        kap_str_to_i64(kap_strn(text.p, text.n - end.n), &id) && id > 0) {
        *ret = (uint64_t)id;
        return true;
    }
    kap_reply_error(rq, 404, "unknown dead letter: \"%.*s\"", KAP_STR_ARG(text));
    return false;
}

static void answer(struct kap_request *rq, enum kap_status status, const struct kap_error *err)
{
    if (status == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_failure(rq, status, err);
}

static void replay_letter(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    uint64_t id;
    if (read_id(rq, "/replay", &id))
        answer(rq, api->dead_letters->replay(api->dead_letters->ctx, id, &err), &err);
}

static void delete_letter(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    uint64_t id;
    if (read_id(rq, "", &id))
        answer(rq, api->dead_letters->drop(api->dead_letters->ctx, id, &err), &err);
}

const struct kap_route kap_routes_dead_letters[] = {
    { "GET", "/alerts/dead-letters", list_letters, 0, 0 },
    { "POST", "/alerts/dead-letters/", replay_letter, 0, 0 },
    { "DELETE", "/alerts/dead-letters/", delete_letter, 0, 0 },
    { 0 },
};
