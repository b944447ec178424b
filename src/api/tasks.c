/* /tasks and /templates: the parameters of requests; all else is the task room's. */
#include "api/resource.h"
#include "engine/outputs.h"
#include "task/task.h"

#define MAX_BODY_BYTES (4 << 20) /* a script may have 1 MiB, and JSON escapes it */

/* script-format and dot-view; false: answered. */
static bool read_view(struct kap_request *rq, struct kap_task_view *view)
{
    *view = (struct kap_task_view){ .pattern = kap_request_query(rq, "pattern"), .limit = 100 };
    return kap_query_word(rq, "script-format", "formatted", "raw", &view->raw_script) &&
           kap_query_word(rq, "dot-view", "attributes", "labels", &view->dot_labels) &&
           kap_query_word(rq, "warnings", "false", "true", &view->warnings);
}

static bool read_list_view(struct kap_request *rq, struct kap_task_view *view)
{
    if (!read_view(rq, view) || !kap_query_int(rq, "offset", &view->offset) ||
        !kap_query_int(rq, "limit", &view->limit))
        return false;
    view->nfields = kap_request_query_all(rq, "fields", &view->fields);
    return true;
}

static void answer(struct kap_request *rq, enum kap_status st, const struct kap_error *err)
{
    if (st == KAP_OK)
        kap_reply_body(rq, 200, NULL);
    else
        kap_reply_failure(rq, st, err);
}

static bool has_id(struct kap_request *rq, const char *what)
{
    if (kap_request_tail(rq).n > 0)
        return true;
    kap_reply_error(rq, 400, "must specify %s id on path", what);
    return false;
}

/* --- tasks --- */

static void list_tasks(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_task_view view;
    struct kap_error err;
    if (read_list_view(rq, &view))
        answer(rq, kap_task_list(api->tasks, &view, kap_request_out(rq), &err), &err);
}

static void create_task(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    answer(rq, kap_task_create(api->tasks, kap_request_body(rq), kap_request_out(rq), &err), &err);
}

/* tasks/ID/ENDPOINT */
static void show_output(const struct kap_api *api, struct kap_request *rq, size_t slash)
{
    const struct kap_str tail = kap_request_tail(rq);
    struct kap_error err;
    const enum kap_status st =
        kap_outputs_get(api->outputs, kap_strn(tail.p, slash),
                        kap_strn(tail.p + slash + 1, tail.n - slash - 1), kap_request_out(rq), &err);
    if (st == KAP_ENOTFOUND)
        kap_reply_error(rq, 404, "no task exists");
    else
        answer(rq, st, &err);
}

static void show_task(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    const struct kap_str id = kap_request_tail(rq), replay = kap_request_query(rq, "replay-id");
    const char *slash = memchr(id.p, '/', id.n);
    struct kap_task_view view;
    struct kap_error err;
    if (!has_id(rq, "task"))
        return;
    if (slash && api->outputs)
        show_output(api, rq, (size_t)(slash - id.p));
    else if (!kap_task_exists(api->tasks, id))
        kap_reply_error(rq, 404, "no task exists");
    else if (!read_view(rq, &view))
        return;
    else if (replay.n > 0)
        kap_reply_error(rq, 400, "no running replay with ID: %.*s", KAP_STR_ARG(replay));
    else
        answer(rq, kap_task_show(api->tasks, id, &view, kap_request_out(rq), &err), &err);
}

static void update_task(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    if (has_id(rq, "task"))
        answer(rq,
               kap_task_update(api->tasks, kap_request_tail(rq), kap_request_body(rq), kap_request_out(rq),
                               &err),
               &err);
}

static void delete_task(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    if (!has_id(rq, "task"))
        return;
    if (kap_task_delete(api->tasks, kap_request_tail(rq), &err) == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_error(rq, 500, "%s", err.msg);
}

const struct kap_route kap_routes_tasks[] = {
    { "GET", "/tasks", list_tasks, 0, 0 },      { "POST", "/tasks", create_task, 0, MAX_BODY_BYTES },
    { "GET", "/tasks/", show_task, 0, 0 },      { "PATCH", "/tasks/", update_task, 0, MAX_BODY_BYTES },
    { "DELETE", "/tasks/", delete_task, 0, 0 }, { 0 },
};

/* --- templates --- */

static void list_templates(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_task_view view;
    struct kap_error err;
    if (read_list_view(rq, &view))
        answer(rq, kap_template_list(api->tasks, &view, kap_request_out(rq), &err), &err);
}

static void create_template(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    answer(rq, kap_template_create(api->tasks, kap_request_body(rq), kap_request_out(rq), &err), &err);
}

static void show_template(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_task_view view;
    struct kap_error err;
    if (has_id(rq, "template") && read_view(rq, &view))
        answer(rq, kap_template_show(api->tasks, kap_request_tail(rq), &view, kap_request_out(rq), &err),
               &err);
}

static void update_template(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    if (has_id(rq, "template"))
        answer(rq,
               kap_template_update(api->tasks, kap_request_tail(rq), kap_request_body(rq),
                                   kap_request_out(rq), &err),
               &err);
}

static void delete_template(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    if (!has_id(rq, "template"))
        return;
    if (kap_template_delete(api->tasks, kap_request_tail(rq), &err) == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_error(rq, 500, "%s", err.msg);
}

const struct kap_route kap_routes_templates[] = {
    { "GET", "/templates", list_templates, 0, 0 },
    { "POST", "/templates", create_template, 0, MAX_BODY_BYTES },
    { "GET", "/templates/", show_template, 0, 0 },
    { "PATCH", "/templates/", update_template, 0, MAX_BODY_BYTES },
    { "DELETE", "/templates/", delete_template, 0, 0 },
    { 0 },
};
