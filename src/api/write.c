/* /write: line protocol into the engine. Parsed on the connection's thread; when the engine has no room the
 * connection is suspended until it has, so that no thread waits and nothing is dropped. */
#include "api/resource.h"
#include "engine/engine.h"

#define FLAGS (KAP_ROUTE_INLINE | KAP_ROUTE_TEXT_ERRORS | KAP_ROUTE_LARGE)

struct pending {
    struct kap_engine *engine;
    struct kap_input *input;
    struct kap_request *rq;
    size_t points;
};

static void accepted(struct kap_request *rq, size_t points)
{
    kap_httpd_stats(kap_request_server(rq))->points_ok += points;
    kap_reply(rq, 204);
}

static void try_again(void *ctx, struct kap_request *rq);

/* On a worker of the engine, which must not be called from here. */
static void there_is_room(void *arg)
{
    struct pending *p = arg;
    kap_request_later(p->rq, try_again);
}

static void try_submit(struct pending *p)
{
    struct kap_request *rq = p->rq;
    const size_t points = p->points;
    if (!kap_engine_submit(p->engine, p->input, there_is_room, p))
        return; /* another thread has it from here on */
    accepted(rq, points);
    kap_request_resume(rq);
}

static void try_again(void *ctx, struct kap_request *rq)
{
    try_submit(kap_request_data(rq));
}

static void submit(struct kap_request *rq, struct kap_engine *engine, struct kap_input *input, size_t points)
{
    if (kap_engine_submit(engine, input, NULL, NULL)) {
        accepted(rq, points);
        return;
    }
    struct pending *p = KAP_ARENA_NEW(kap_request_arena(rq), struct pending);
    *p = (struct pending){ .engine = engine, .input = input, .rq = rq, .points = points };
    kap_request_set_data(rq, p);
    kap_request_suspend(rq);
    try_submit(p);
}

static void serve_write(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_httpd_stats *st = kap_httpd_stats(kap_request_server(rq));
    const struct kap_str rp = kap_request_query(rq, "rp");
    const struct kap_write w = { .db = kap_request_query(rq, "db"),
                                 .rp = rp.n ? rp : api->default_rp,
                                 .precision = kap_request_query(rq, "precision"),
                                 .body = kap_request_body(rq) };
    st->write_requests++;
    st->write_bytes += w.body.n;
    struct kap_input *input;
    size_t points;
    struct kap_error err;
    const enum kap_status parsed = kap_engine_parse(api->engine, &w, &input, &points, &err);
    if (parsed != KAP_OK) {
        kap_reply_text(rq, parsed == KAP_EINVAL ? 400 : 500, "%s", err.msg);
    } else if (w.db.n == 0) {
        kap_input_free(input);
        kap_reply_text(rq, 400, "database is required");
    } else {
        submit(rq, api->engine, input, points);
    }
}

const struct kap_route kap_routes_write[] = {
    { "POST", "/write", serve_write, FLAGS, 0 },
    { "POST", "//write", serve_write, FLAGS, 0 },
    { 0 },
};
