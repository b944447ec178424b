/* A replay: a private run of a task, fed from a recording or from answers to queries. */
#include "replay/internal.h"

#include "alert/inhibit.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/rig.h"
#include "nodes/query.h"

#include <time.h>

#define SLEEP_NS (50 * INT64_C(1000000))

struct text {
    char *s;
    struct text *next;
};

struct looped { /* a point that the task has sent into its own input */
    struct kap_point *p;
    struct looped *next;
};

struct run {
    struct kap_job *job;
    struct kap_services services; /* the real ones but for a few; ctx is this */
    const struct kap_services *real;
    struct kap_inhibitors *inhibitors; /* its own: a replay keeps no live alert quiet */
    struct kap_rig *rig;
    bool recording_time, real_clock, started;
    int64_t zero_ns;     /* when it began */
    int64_t shift_ns;    /* from the data's time to that of the replay */
    struct text *topics; /* to be closed when their events are delivered */
    struct looped *first, **last;
    const char **queries; /* names of the query nodes, in the order of the script */
    size_t nqueries;
    int64_t batch_ns; /* of the batch before */
};

/* --- services: what must not meet the live task's --- */

static bool alert_restore(void *ctx, struct kap_str topic, struct kap_str event_id,
                          struct kap_event_state *ret)
{
    const struct run *r = ctx;
    return r->real->alert_restore && r->real->alert_restore(r->real->ctx, topic, event_id, ret);
}

static void alert_collect(void *ctx, struct kap_event *ev)
{
    const struct run *r = ctx;
    r->real->alert_collect(r->real->ctx, ev);
}

static enum kap_status alert_open(void *ctx, struct kap_str topic, const struct kap_graph_node *node,
                                  struct kap_error *err)
{
    const struct run *r = ctx;
    return r->real->alert_open ? r->real->alert_open(r->real->ctx, topic, node, err) : KAP_OK;
}

static void alert_close(void *ctx, struct kap_str topic, const struct kap_graph_node *node)
{
    struct run *r = ctx;
    struct text *t = KAP_NEW(struct text);
    *t = (struct text){ kap_strndup(topic.p, topic.n), r->topics };
    r->topics = t;
}

/* The output under tasks/ID/ENDPOINT is the live task's. */
static void publish(void *ctx, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok)
{
}

static void unpublish(void *ctx, struct kap_str task, struct kap_str endpoint)
{
}

/* What the task sends into the server's input comes back to this run only. */
static enum kap_status loopback(void *ctx, const struct kap_point *p, struct kap_error *err)
{
    struct run *r = ctx;
    struct looped *l = KAP_NEW(struct looped);
    l->p = kap_point_copy(p);
    *r->last = l;
    r->last = &l->next;
    return KAP_OK;
}

static void http(void *ctx, const struct kap_http_request *req, struct kap_http_reply *ret,
                 struct kap_arena *arena)
{
    const struct run *r = ctx;
    r->real->http(r->real->ctx, req, ret, arena);
}

static const struct kap_httppost_endpoint *httppost_endpoint(void *ctx, struct kap_str name)
{
    const struct run *r = ctx;
    return r->real->httppost_endpoint ? r->real->httppost_endpoint(r->real->ctx, name) : NULL;
}

static enum kap_status influxdb_write(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                      struct kap_str consistency, struct kap_str precision,
                                      struct kap_str lines, struct kap_error *err)
{
    const struct run *r = ctx;
    return r->real->influxdb_write(r->real->ctx, cluster, db, rp, consistency, precision, lines, err);
}

static enum kap_status influxdb_create(void *ctx, struct kap_str cluster, struct kap_str db,
                                       struct kap_str rp, struct kap_error *err)
{
    const struct run *r = ctx;
    return r->real->influxdb_create(r->real->ctx, cluster, db, rp, err);
}

static size_t alert_globals(void *ctx, const struct kap_graph_node *node, bool *changes_only)
{
    const struct run *r = ctx;
    return r->real->alert_globals ? r->real->alert_globals(r->real->ctx, node, changes_only) : 0;
}

/* One by one: a service that is not named here would get the wrong context. */
static void set_services(struct run *r)
{
    const struct kap_services *real = r->real;
    r->services = (struct kap_services){
        .ctx = r,
        .clock = r->real_clock ? real->clock : NULL, /* NULL: the rig's own, moved by the data */
        .hostname = real->hostname,
        .server_id = real->server_id,
        .cluster_id = real->cluster_id,
        .scope = r->job->replay.id,
        .inhibitors = r->inhibitors,
        .alert_restore = alert_restore,
        .alert_collect = alert_collect,
        .alert_globals = alert_globals,
        .alert_open = alert_open,
        .alert_close = alert_close,
        .publish = publish,
        .unpublish = unpublish,
        .loopback = loopback,
        .http = http,
        .httppost_endpoint = httppost_endpoint,
        .influxdb_write = influxdb_write,
        .influxdb_create = influxdb_create,
    };
}

/* --- time --- */

static enum kap_status stopped(const struct run *r, struct kap_error *err)
{
    return atomic_load(&r->job->cancel) ? kap_fail(err, KAP_ESTATE, "stopped") : KAP_OK;
}

/* Brings the run's clock to the time of what comes next; a real clock is waited for. */
static enum kap_status come_to(struct run *r, int64_t data_ns, int64_t shown_ns, struct kap_error *err)
{
    if (!r->real_clock) {
        kap_rig_advance(r->rig, shown_ns);
        return stopped(r, err);
    }
    const struct kap_clock *clock = r->job->owner->opt.clock;
    for (;;) {
        const int64_t now_ns = kap_clock_wall(clock), left_ns = data_ns + r->shift_ns - now_ns;
        kap_rig_advance(r->rig, now_ns);
        KAP_TRY(stopped(r, err));
        if (left_ns <= 0)
            return KAP_OK;
        const struct timespec pause = { .tv_nsec = (long)KAP_MIN(left_ns, SLEEP_NS) };
        nanosleep(&pause, NULL);
    }
}

/* The first data fixes how the replay's time and the data's belong together. */
static enum kap_status begin(struct run *r, int64_t data_ns, struct kap_error *err)
{
    if (r->started)
        return KAP_OK;
    r->started = true;
    r->shift_ns = r->zero_ns - data_ns;
    const struct kap_rig_options options = {
        .task = r->job->replay.task,
        .run = r->job->replay.id,
        .services = &r->services,
        .now_ns = r->real_clock || !r->recording_time ? r->zero_ns : data_ns,
    };
    if (kap_rig_new(r->job->task.graph, &options, &r->rig, err) != KAP_OK)
        return kap_wrap(err, "task start");
    return KAP_OK;
}

static void feed_looped(struct run *r)
{
    while (r->first) {
        struct looped *l = r->first;
        r->first = l->next;
        if (!r->first)
            r->last = &r->first;
        kap_rig_point(r->rig, NULL, l->p);
        kap_point_free(kap_rig_groups(r->rig), l->p);
        kap_free(l);
    }
}

static enum kap_status check(const struct run *r, struct kap_error *err)
{
    struct kap_error why;
    return kap_rig_failed(r->rig, &why) ? kap_fail(err, why.status, "%s", why.msg) : KAP_OK;
}

/* --- streams --- */

static enum kap_status feed_point(void *ctx, const struct kap_point *p, struct kap_error *err)
{
    struct run *r = ctx;
    KAP_TRY(begin(r, p->time_ns, err));
    struct kap_point shown = *p;
    if (!r->recording_time)
        shown.time_ns += r->shift_ns;
    KAP_TRY(come_to(r, p->time_ns, shown.time_ns, err));
    kap_rig_point(r->rig, NULL, &shown);
    feed_looped(r);
    return check(r, err);
}

static enum kap_status play_stream(struct run *r, struct kap_error *err)
{
    struct kap_srpl_reader *reader;
    KAP_TRY(kap_srpl_open(r->job->path, &reader, err));
    struct kap_point p;
    bool more = true;
    enum kap_status st = KAP_OK;
    while (st == KAP_OK) {
        st = kap_srpl_next(reader, &p, &more, err);
        if (st != KAP_OK || !more)
            break;
        st = feed_point(r, &p, err);
    }
    kap_srpl_close(reader);
    return st;
}

/* --- batches --- */

static void shift_points(struct run *r, struct kap_block *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->points[i].time_ns += r->shift_ns;
}

static enum kap_status feed(struct run *r, size_t query, struct kap_block *b, struct kap_error *err)
{
    if (query >= r->nqueries)
        return kap_fail(err, KAP_EINVAL, "unexpected number of batch collectors. exp %zu got %zu", query + 1,
                        r->nqueries);
    if (b->n == 0) {
        b->time_ns = b->has_time ? b->time_ns : r->batch_ns;
        KAP_TRY(begin(r, b->time_ns, err));
    } else {
        const int64_t last_data_ns = b->points[b->n - 1].time_ns;
        KAP_TRY(begin(r, b->points[0].time_ns, err));
        if (!r->recording_time)
            shift_points(r, b);
        const int64_t last_ns = b->points[b->n - 1].time_ns;
        if (!b->has_time || b->time_ns < last_ns)
            b->time_ns = last_ns;
        KAP_TRY(come_to(r, last_data_ns, b->time_ns, err));
    }
    r->batch_ns = b->time_ns;
    kap_rig_block(r->rig, r->queries[query], b);
    return check(r, err);
}

static enum kap_status feed_block(void *ctx, size_t query, struct kap_block *b, struct kap_error *err)
{
    const enum kap_status st = feed(ctx, query, b, err);
    kap_block_free(b);
    return st;
}

/* Of all queries the batch with the earliest time comes next; the first query's when they are equal. */
static enum kap_status merge(struct run *r, struct kap_brpl_reader *reader, struct kap_block **heads,
                             struct kap_error *err)
{
    const size_t n = kap_brpl_queries(reader);
    for (size_t i = 0; i < n; i++)
        KAP_TRY(kap_brpl_next(reader, i, &heads[i], err));
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (heads[i] && (best == n || heads[i]->time_ns < heads[best]->time_ns))
                best = i;
        if (best == n)
            return KAP_OK;
        KAP_TRY(feed_block(r, best, KAP_STEAL(heads[best]), err));
        KAP_TRY(kap_brpl_next(reader, best, &heads[best], err));
    }
}

static enum kap_status play_batches(struct run *r, struct kap_error *err)
{
    struct kap_brpl_reader *reader;
    KAP_TRY(kap_brpl_open(r->job->path, &reader, err));
    const size_t n = kap_brpl_queries(reader);
    struct kap_block **heads = KAP_ARRAY(struct kap_block *, n + 1);
    const enum kap_status st =
        n == r->nqueries ? merge(r, reader, heads, err)
                         : kap_fail(err, KAP_EINVAL, "unexpected number of batch collectors. exp %zu got %zu",
                                    n, r->nqueries);
    for (size_t i = 0; i < n; i++)
        kap_block_free(heads[i]);
    kap_free((void *)heads);
    kap_brpl_close(reader);
    return st;
}

/* --- the whole --- */

static enum kap_status play(struct run *r, struct kap_error *err)
{
    struct kap_job *job = r->job;
    const struct kap_replay_request *rq = &job->replay;
    const bool batch = job->task.graph->type == KAP_TASK_BATCH;
    const struct kap_batch_sink blocks = { r, NULL, feed_block };
    const struct kap_stream_sink points = { r, feed_point };
    switch (rq->kind) {
    case KAP_REPLAY_BATCH:
        return kap_task_blocks(job, rq->start_ns, rq->stop_ns, true, &blocks, err);
    case KAP_REPLAY_QUERY:
        return batch ? kap_query_blocks(job, rq->query, rq->cluster, &blocks, err)
                     : kap_query_points(job, rq->query, rq->cluster, &points, err);
    default:
        return batch ? play_batches(r, err) : play_stream(r, err);
    }
}

static void find_queries(struct run *r)
{
    const struct kap_graph *g = r->job->task.graph;
    r->queries = KAP_ARRAY(const char *, g->n + 1);
    for (size_t i = 0; i < g->n; i++)
        if (g->nodes[i]->type == &kap_node_query)
            r->queries[r->nqueries++] = g->nodes[i]->name;
}

static void take_stats(const struct run *r, struct kap_buf *out)
{
    struct kap_task_stats stats;
    struct kap_json j;
    kap_rig_stats(r->rig, &stats);
    kap_json_init(&j, out, false);
    kap_task_stats_json(&stats, &j);
    kap_task_stats_done(&stats);
}

static void close_topics(struct run *r)
{
    while (r->topics) {
        struct text *t = r->topics;
        r->topics = t->next;
        if (r->real->alert_close)
            r->real->alert_close(r->real->ctx, kap_str(t->s), NULL);
        if (r->real->alert_forget)
            r->real->alert_forget(r->real->ctx, kap_str(t->s));
        kap_free(t->s);
        kap_free(t);
    }
}

static enum kap_status play_to_end(struct run *r, struct kap_buf *stats, struct kap_error *err)
{
    if (play(r, err) != KAP_OK)
        return strncmp(err->msg, "task start: ", 12) == 0 ? err->status : kap_wrap(err, "running replay");
    KAP_TRY(begin(r, r->zero_ns, err)); /* nothing came */
    take_stats(r, stats);
    kap_rig_finish(r->rig);
    feed_looped(r);
    if (check(r, err) != KAP_OK)
        return kap_wrap(err, "task run");
    return KAP_OK;
}

enum kap_status kap_job_replay(struct kap_job *job, struct kap_buf *stats, struct kap_error *err)
{
    struct run *r = KAP_NEW(struct run);
    r->job = job;
    r->real = job->owner->opt.services;
    r->recording_time = job->replay.recording_time;
    r->real_clock = job->replay.real_clock;
    r->zero_ns = kap_clock_wall(job->owner->opt.clock);
    r->last = &r->first;
    r->inhibitors = kap_inhibitors_new();
    set_services(r);
    find_queries(r);
    const enum kap_status st = play_to_end(r, stats, err);
    while (r->rig && r->first) { /* left behind by a failure */
        struct looped *l = r->first;
        r->first = l->next;
        kap_point_free(kap_rig_groups(r->rig), l->p);
        kap_free(l);
    }
    kap_rig_free(r->rig);
    kap_inhibitors_free(r->inhibitors);
    kap_free((void *)r->queries);
    job->rest = r;
    return st;
}

void kap_job_close(struct kap_job *job)
{
    struct run *r = job->rest;
    if (!r)
        return;
    close_topics(r);
    kap_free(r);
    job->rest = NULL;
}

bool kap_job_lingers(const struct kap_job *job)
{
    return job->rest && ((const struct run *)job->rest)->topics;
}
