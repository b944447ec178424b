#include "replay/internal.h"

#include "base/heap.h"
#include "base/mem.h"
#include "batch/source.h"
#include "influxql/influxql.h"

/* --- one query --- */

/* An error of the text itself; what is no SELECT is told apart by the caller. */
static bool syntax_error(struct kap_error *why, struct kap_error *err)
{
    static const char prefix[] = "failed to parse InfluxQL query: ";
    if (strncmp(why->msg, prefix, sizeof prefix - 1) != 0)
        return false;
    (void)kap_fail(err, KAP_EINVAL, "%s", why->msg + sizeof prefix - 1);
    return true;
}

/* Where a query that stands alone reads from: it must say so. */
static enum kap_status check_query(struct kap_str text, const struct kap_sym **db, const struct kap_sym **rp,
                                   struct kap_error *err)
{
    struct kap_influxql *q = NULL;
    struct kap_error why;
    const struct kap_influxql_source *sources;
    size_t n;
    if (kap_influxql_parse(text, &q, &why) != KAP_OK && syntax_error(&why, err))
        return KAP_EINVAL;
    const bool known = q && kap_influxql_sources(q, &sources, &n, NULL) == KAP_OK && n == 1 &&
                       sources[0].db.n && sources[0].rp.n;
    if (known) {
        *db = kap_sym(sources[0].db);
        *rp = kap_sym(sources[0].rp);
    }
    kap_influxql_free(q);
    if (!known)
        return kap_fail(err, KAP_EINVAL,
                        "could not determine database and retention policy. Is the query fully qualified?");
    return KAP_OK;
}

static enum kap_status ask(struct kap_job *job, struct kap_str text, struct kap_str cluster, bool by_name,
                           kap_result_fn fn, void *ctx, struct kap_error *err)
{
    const struct kap_influxdb_query q = {
        .cluster = cluster, .text = text, .by_name = by_name, .cancel = &job->cancel
    };
    return kap_influxdb_query(job->owner->opt.influxdb, &q, fn, ctx, err);
}

static enum kap_status explain(enum kap_status st, struct kap_error *err)
{
    if (st == KAP_ENOTFOUND)
        kap_wrap(err, "failed to get InfluxDB client");
    else if (st != KAP_OK)
        kap_wrap(err, "InfluxDB query failed");
    return st;
}

/* --- points, ordered by time over all series --- */

struct series {
    struct kap_block *block;
    size_t at, number;
};

struct gathering {
    struct series *v;
    size_t n, cap;
};

static enum kap_status gather(void *ctx, struct kap_block *b, struct kap_error *err)
{
    struct gathering *g = ctx;
    KAP_GROW(g->v, g->cap, g->n + 1);
    g->v[g->n] = (struct series){ .block = b, .number = g->n };
    g->n++;
    return KAP_OK;
}

static int by_time_cmp(const void *a, const void *b)
{
    const struct series *x = a, *y = b;
    const int64_t tx = x->block->points[x->at].time_ns, ty = y->block->points[y->at].time_ns;
    if (tx != ty)
        return tx < ty ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static enum kap_status send_points(struct gathering *g, const struct kap_sym *db, const struct kap_sym *rp,
                                   const struct kap_stream_sink *sink, struct kap_error *err)
{
    struct kap_heap heap;
    kap_heap_init(&heap, by_time_cmp, NULL);
    for (size_t i = 0; i < g->n; i++)
        if (g->v[i].block->n)
            kap_heap_push(&heap, &g->v[i]);
    enum kap_status st = KAP_OK;
    struct series *s;
    while (st == KAP_OK && (s = kap_heap_pop(&heap))) {
        struct kap_point p = s->block->points[s->at++];
        p.db = db;
        p.rp = rp;
        st = sink->point(sink->ctx, &p, err);
        if (s->at < s->block->n)
            kap_heap_push(&heap, s);
    }
    kap_heap_done(&heap);
    return st;
}

enum kap_status kap_query_points(struct kap_job *job, struct kap_str query, struct kap_str cluster,
                                 const struct kap_stream_sink *sink, struct kap_error *err)
{
    const struct kap_sym *db, *rp;
    KAP_TRY(check_query(query, &db, &rp, err));
    struct gathering g = { 0 };
    enum kap_status st = explain(ask(job, query, cluster, false, gather, &g, err), err);
    if (st == KAP_OK)
        st = send_points(&g, db, rp, sink, err);
    for (size_t i = 0; i < g.n; i++)
        kap_block_free(g.v[i].block);
    kap_free(g.v);
    return st;
}

/* --- batches --- */

struct handing {
    const struct kap_batch_sink *sink;
    size_t query;
    bool grouped_by_time, alone;
    int64_t stop_ns;
    enum kap_status failed; /* of the sink */
};

static enum kap_status hand_on(void *ctx, struct kap_block *b, struct kap_error *err)
{
    struct handing *h = ctx;
    if (!h->alone && (!b->has_time || !h->grouped_by_time)) {
        b->time_ns = h->stop_ns;
        b->has_time = true;
    }
    h->failed = h->sink->block(h->sink->ctx, h->query, b, err);
    return h->failed;
}

enum kap_status kap_query_blocks(struct kap_job *job, struct kap_str query, struct kap_str cluster,
                                 const struct kap_batch_sink *sink, struct kap_error *err)
{
    const struct kap_sym *db, *rp;
    KAP_TRY(check_query(query, &db, &rp, err));
    if (sink->query)
        KAP_TRY(sink->query(sink->ctx, 0, err));
    struct handing h = { .sink = sink, .alone = true };
    const enum kap_status st = ask(job, query, cluster, false, hand_on, &h, err);
    return h.failed != KAP_OK ? st : explain(st, err);
}

struct ticking {
    struct kap_batch_source *source;
    int64_t next_ns;
    bool ended;
};

struct ticks {
    struct ticking *v;
    size_t n;
    int64_t stop_ns, now_ns;
};

static void advance(const struct ticks *t, struct ticking *k, int64_t after_ns)
{
    k->ended = !kap_batch_source_next(k->source, after_ns, &k->next_ns) || k->next_ns > t->stop_ns ||
               k->next_ns - kap_batch_source_query(k->source)->offset_ns > t->now_ns;
}

/* The next tick: of the first query that has one left, or the earliest. */
static struct ticking *pick(const struct ticks *t, bool by_time)
{
    struct ticking *best = NULL;
    for (size_t i = 0; i < t->n; i++) {
        struct ticking *k = &t->v[i];
        if (k->ended || (best && k->next_ns >= best->next_ns))
            continue;
        best = k;
        if (!by_time)
            break;
    }
    return best;
}

static enum kap_status ask_tick(struct kap_job *job, const struct ticks *t, struct ticking *k,
                                const struct kap_batch_sink *sink, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    const struct kap_query *q = kap_batch_source_query(k->source);
    struct handing h = { .sink = sink,
                         .query = (size_t)(k - t->v),
                         .grouped_by_time = kap_batch_source_grouped_by_time(k->source) };
    h.stop_ns = kap_batch_source_text(k->source, k->next_ns, &text);
    advance(t, k, k->next_ns);
    return ask(job, kap_buf_str(&text), q->cluster, q->group_by.by_name, hand_on, &h, err);
}

static enum kap_status run_ticks(struct kap_job *job, struct ticks *t, bool by_time,
                                 const struct kap_batch_sink *sink, struct kap_error *err)
{
    struct ticking *k;
    size_t begun = 0;
    while ((k = pick(t, by_time))) {
        for (; sink->query && !by_time && begun <= (size_t)(k - t->v); begun++)
            KAP_TRY(sink->query(sink->ctx, begun, err));
        KAP_TRY(ask_tick(job, t, k, sink, err));
        if (atomic_load(&job->cancel))
            return kap_fail(err, KAP_ESTATE, "stopped");
    }
    for (; sink->query && begun < t->n; begun++)
        KAP_TRY(sink->query(sink->ctx, begun, err));
    return KAP_OK;
}

enum kap_status kap_task_blocks(struct kap_job *job, int64_t start_ns, int64_t stop_ns, bool by_time,
                                const struct kap_batch_sink *sink, struct kap_error *err)
{
    const struct kap_graph *g = job->task.graph;
    if (g->type != KAP_TASK_BATCH)
        return kap_fail(err, KAP_EINVAL, "wrong task type");
    struct ticks t = { .v = KAP_ARRAY(struct ticking, g->n + 1),
                       .now_ns = kap_clock_wall(job->owner->opt.clock) };
    t.stop_ns = stop_ns != KAP_NO_TIME ? stop_ns : t.now_ns;
    enum kap_status st = KAP_OK;
    for (size_t i = 0; st == KAP_OK && i < g->n; i++) {
        if (g->nodes[i]->type != &kap_node_query)
            continue;
        st = kap_batch_source_new(g->nodes[i], job->owner->opt.zone, &t.v[t.n].source, err);
        if (st == KAP_OK)
            advance(&t, &t.v[t.n++], start_ns);
    }
    if (st == KAP_OK)
        st = run_ticks(job, &t, by_time, sink, err);
    for (size_t i = 0; i < t.n; i++)
        kap_batch_source_free(t.v[i].source);
    kap_free(t.v);
    return st;
}
