/* /recordings: stream, batch and query recordings. */
#include "api/recording.h"

#include "base/mem.h"

static const struct kap_str all_fields[] = {
    { "link", 4 }, { "id", 2 },    { "type", 4 },   { "size", 4 },
    { "date", 4 }, { "error", 5 }, { "status", 6 }, { "progress", 8 },
};

static bool put_field(struct kap_json *j, const void *entry, struct kap_str field)
{
    const struct kap_recording *rec = entry;
    if (kap_str_is(field, "link")) {
        KAP_AUTO_FREE char *href = kap_asprintf(KAP_HTTP_BASE "/recordings/%.*s", KAP_STR_ARG(rec->id));
        kap_json_link(j, "link", "self", href);
        return true;
    }
    bool known = false;
    for (size_t i = 0; i < KAP_COUNT(all_fields); i++)
        known = known || kap_str_eq(field, all_fields[i]);
    if (!known)
        return false;
    kap_json_keyn(j, field);
    if (kap_str_is(field, "id"))
        kap_json_str(j, rec->id);
    else if (kap_str_is(field, "type"))
        kap_json_cstr(j, rec->type == KAP_TASK_BATCH ? "batch" : "stream");
    else if (kap_str_is(field, "size"))
        kap_json_i64(j, rec->size_bytes);
    else if (kap_str_is(field, "date"))
        kap_json_time(j, rec->date_ns);
    else if (kap_str_is(field, "error"))
        kap_json_str(j, rec->error);
    else if (kap_str_is(field, "status"))
        kap_json_cstr(j, kap_run_status_name(rec->status));
    else
        kap_json_i64(j, rec->status != KAP_RUN_RUNNING);
    return true;
}

static void list_recordings(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_list_query q;
    struct kap_recording *list;
    size_t n;
    struct kap_error err;
    if (!kap_list_query(rq, &q))
        return;
    if (kap_recording_list(api->replays, q.pattern, q.offset, q.limit, kap_request_arena(rq), &list, &n,
                           &err) == KAP_OK)
        kap_reply_list(rq, "recordings", &q, all_fields, KAP_COUNT(all_fields), list, sizeof *list, n,
                       put_field);
    else
        kap_list_refused(rq, "recordings", q.pattern, &err);
}

static bool has_id(struct kap_request *rq)
{
    if (kap_request_tail(rq).n)
        return true;
    kap_reply_error(rq, 400, "must specify recording id on path");
    return false;
}

static void show_recording(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_recording rec;
    struct kap_error err;
    if (!has_id(rq))
        return;
    if (kap_recording_get(api->replays, kap_request_tail(rq), kap_request_arena(rq), &rec, &err) == KAP_OK)
        kap_reply_entry(rq, rec.status == KAP_RUN_RUNNING ? 202 : 200, all_fields, KAP_COUNT(all_fields),
                        &rec, put_field);
    else
        kap_reply_error(rq, 500, "error finding recording: %s", err.msg);
}

static void delete_recording(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    if (!has_id(rq))
        return;
    if (kap_recording_delete(api->replays, kap_request_tail(rq), &err) == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_error(rq, 500, "%s", err.msg);
}

static void record(const struct kap_api *api, struct kap_request *rq, struct kap_record_request *what,
                   const json_t *body)
{
    struct kap_recording rec;
    struct kap_error err;
    what->id = kap_body_str(body, "id");
    what->task = kap_body_str(body, "task");
    if (!kap_body_time(rq, body, "start", &what->start_ns) ||
        !kap_body_time(rq, body, "stop", &what->stop_ns))
        return;
    const enum kap_status st = kap_record(api->replays, what, kap_request_arena(rq), &rec, &err);
    if (st == KAP_OK)
        kap_reply_entry(rq, 201, all_fields, KAP_COUNT(all_fields), &rec, put_field);
    else
        kap_reply_error(rq, st == KAP_EEXIST ? 500 : kap_api_http_status(st), "%s", err.msg);
}

static void record_stream(void *ctx, struct kap_request *rq)
{
    json_t *body = kap_body_object(rq);
    if (body)
        record(ctx, rq, &(struct kap_record_request){ .kind = KAP_RECORD_STREAM }, body);
    json_decref(body);
}

static void record_batch(void *ctx, struct kap_request *rq)
{
    json_t *body = kap_body_object(rq);
    if (body)
        record(ctx, rq, &(struct kap_record_request){ .kind = KAP_RECORD_BATCH }, body);
    json_decref(body);
}

static void record_query(void *ctx, struct kap_request *rq)
{
    json_t *body = kap_body_object(rq);
    if (!body)
        return;
    struct kap_record_request what = { .kind = KAP_RECORD_QUERY,
                                       .query = kap_body_str(body, "query"),
                                       .cluster = kap_body_str(body, "cluster") };
    const struct kap_str type = kap_body_str(body, "type");
    what.type = kap_str_is(type, "batch") ? KAP_TASK_BATCH : KAP_TASK_STREAM;
    if (type.n == 0 || kap_str_is(type, "stream") || kap_str_is(type, "batch"))
        record(ctx, rq, &what, body);
    else
        kap_reply_error(rq, 400, "unknown TaskType %.*s", KAP_STR_ARG(type));
    json_decref(body);
}

const struct kap_route kap_routes_recordings[] = {
    { "GET", "/recordings", list_recordings, 0, 0 },
    { "GET", "/recordings/", show_recording, 0, 0 },
    { "DELETE", "/recordings/", delete_recording, 0, 0 },
    { "POST", "/recordings/stream", record_stream, 0, 0 },
    { "POST", "/recordings/batch", record_batch, 0, 0 },
    { "POST", "/recordings/query", record_query, 0, 0 },
    { 0 },
};
