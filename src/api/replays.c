/* /replays: of recordings, of a range of a batch task's queries, of one query. */
#include "api/recording.h"

#include "base/mem.h"

static const struct kap_str all_fields[] = {
    { "link", 4 },  { "id", 2 },   { "recording", 9 }, { "task", 4 },   { "recording-time", 14 },
    { "clock", 5 }, { "date", 4 }, { "error", 5 },     { "status", 6 }, { "progress", 8 },
};
static const struct kap_str shown_fields[] = {
    { "link", 4 },  { "id", 2 },   { "recording", 9 }, { "task", 4 },   { "recording-time", 14 },
    { "clock", 5 }, { "date", 4 }, { "error", 5 },     { "status", 6 }, { "progress", 8 },
    { "stats", 5 },
};

static void put_value(struct kap_json *j, const struct kap_replay *rep, struct kap_str field)
{
    if (kap_str_is(field, "id"))
        kap_json_str(j, rep->id);
    else if (kap_str_is(field, "recording"))
        kap_json_str(j, rep->recording);
    else if (kap_str_is(field, "task"))
        kap_json_str(j, rep->task);
    else if (kap_str_is(field, "recording-time"))
        kap_json_bool(j, rep->recording_time);
    else if (kap_str_is(field, "clock"))
        kap_json_cstr(j, rep->real_clock ? "real" : "fast");
    else if (kap_str_is(field, "date"))
        kap_json_time(j, rep->date_ns);
    else if (kap_str_is(field, "error"))
        kap_json_str(j, rep->error);
    else if (kap_str_is(field, "status"))
        kap_json_cstr(j, kap_run_status_name(rep->status));
    else if (kap_str_is(field, "progress"))
        kap_json_i64(j, rep->status != KAP_RUN_RUNNING);
    else
        kap_json_raw(j, rep->stats.n ? rep->stats : KAP_STR("{}"));
}

static bool put_shown(struct kap_json *j, const void *entry, struct kap_str field)
{
    const struct kap_replay *rep = entry;
    if (kap_str_is(field, "link")) {
        KAP_AUTO_FREE char *href = kap_asprintf(KAP_HTTP_BASE "/replays/%.*s", KAP_STR_ARG(rep->id));
        kap_json_link(j, "link", "self", href);
        return true;
    }
    kap_json_keyn(j, field);
    put_value(j, rep, field);
    return true;
}

static bool put_field(struct kap_json *j, const void *entry, struct kap_str field)
{
    for (size_t i = 0; i < KAP_COUNT(all_fields); i++)
        if (kap_str_eq(field, all_fields[i]))
            return put_shown(j, entry, field);
    return false;
}

static void list_replays(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_list_query q;
    struct kap_replay *list;
    size_t n;
    struct kap_error err;
    if (!kap_list_query(rq, &q))
        return;
    if (kap_replay_list(api->replays, q.pattern, q.offset, q.limit, kap_request_arena(rq), &list, &n, &err) ==
        KAP_OK)
        kap_reply_list(rq, "replays", &q, all_fields, KAP_COUNT(all_fields), list, sizeof *list, n,
                       put_field);
    else
        kap_list_refused(rq, "replays", q.pattern, &err);
}

static bool has_id(struct kap_request *rq)
{
    if (kap_request_tail(rq).n)
        return true;
    kap_reply_error(rq, 400, "must specify replay id on path");
    return false;
}

static void show_replay(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_replay rep;
    struct kap_error err;
    if (!has_id(rq))
        return;
    if (kap_replay_get(api->replays, kap_request_tail(rq), kap_request_arena(rq), &rep, &err) == KAP_OK)
        kap_reply_entry(rq, rep.status == KAP_RUN_RUNNING ? 202 : 200, shown_fields, KAP_COUNT(shown_fields),
                        &rep, put_shown);
    else
        kap_reply_error(rq, 404, "could not find replay: %s", err.msg);
}

static void delete_replay(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    if (!has_id(rq))
        return;
    if (kap_replay_delete(api->replays, kap_request_tail(rq), &err) == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_error(rq, 500, "%s", err.msg);
}

static void replay(const struct kap_api *api, struct kap_request *rq, struct kap_replay_request *what,
                   const json_t *body)
{
    struct kap_replay rep;
    struct kap_error err;
    const struct kap_str clock = kap_body_str(body, "clock");
    if (clock.n && !kap_str_is(clock, "fast") && !kap_str_is(clock, "real")) {
        kap_reply_error(rq, 400, "unknown Clock %.*s", KAP_STR_ARG(clock));
        return;
    }
    what->id = kap_body_str(body, "id");
    what->task = kap_body_str(body, "task");
    what->real_clock = kap_str_is(clock, "real");
    what->recording_time = json_is_true(json_object_get(body, "recording-time"));
    if (!kap_body_time(rq, body, "start", &what->start_ns) ||
        !kap_body_time(rq, body, "stop", &what->stop_ns))
        return;
    const enum kap_status st = kap_replay_start(api->replays, what, kap_request_arena(rq), &rep, &err);
    if (st == KAP_OK)
        kap_reply_entry(rq, 201, shown_fields, KAP_COUNT(shown_fields), &rep, put_shown);
    else
        kap_reply_error(rq, st == KAP_EEXIST ? 500 : kap_api_http_status(st), "%s", err.msg);
}

static void replay_recording(void *ctx, struct kap_request *rq)
{
    json_t *body = kap_body_object(rq);
    struct kap_replay_request what = { .kind = KAP_REPLAY_RECORDING,
                                       .recording = kap_body_str(body, "recording") };
    if (body)
        replay(ctx, rq, &what, body);
    json_decref(body);
}

static void replay_batch(void *ctx, struct kap_request *rq)
{
    json_t *body = kap_body_object(rq);
    struct kap_replay_request what = { .kind = KAP_REPLAY_BATCH };
    if (body)
        replay(ctx, rq, &what, body);
    json_decref(body);
}

static void replay_query(void *ctx, struct kap_request *rq)
{
    json_t *body = kap_body_object(rq);
    struct kap_replay_request what = { .kind = KAP_REPLAY_QUERY,
                                       .query = kap_body_str(body, "query"),
                                       .cluster = kap_body_str(body, "cluster") };
    if (body)
        replay(ctx, rq, &what, body);
    json_decref(body);
}

const struct kap_route kap_routes_replays[] = {
    { "GET", "/replays", list_replays, 0, 0 },
    { "POST", "/replays", replay_recording, 0, 0 },
    { "GET", "/replays/", show_replay, 0, 0 },
    { "DELETE", "/replays/", delete_replay, 0, 0 },
    { "POST", "/replays/batch", replay_batch, 0, 0 },
    { "POST", "/replays/query", replay_query, 0, 0 },
    { 0 },
};
