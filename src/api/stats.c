#include "api/stats.h"

#include "alert/topics.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "task/task.h"

#define MAX_TAGS 16

struct kap_api_stats {
    const struct kap_api *api;
    const struct kap_stats_form *form;
    void *ctx;
    char cluster_id[37], server_id[37], *hostname;
};

void kap_api_stat_begin(struct kap_api_stats *w, const char *name, const char *const *tags)
{
    const char *const own[] = { "cluster_id", w->cluster_id, "host", w->hostname, "server_id", w->server_id };
    const char *all[2 * MAX_TAGS + KAP_COUNT(own) + 1];
    size_t n = 0;
    for (; tags && tags[n] && n < 2 * (size_t)MAX_TAGS; n++)
        all[n] = tags[n];
    for (size_t i = 0; i < KAP_COUNT(own); i++)
        all[n++] = own[i];
    all[n] = NULL;
    w->form->begin(w->ctx, name, all);
}

void kap_api_stat_value(struct kap_api_stats *w, const char *name, int64_t v)
{
    w->form->value(w->ctx, name, v);
}

void kap_api_stat_end(struct kap_api_stats *w)
{
    w->form->end(w->ctx);
}

static void write_ingress(void *ctx, struct kap_str db, struct kap_str rp, struct kap_str measurement,
                          int64_t points)
{
    struct kap_api_stats *w = ctx;
    KAP_AUTO_FREE char *d = kap_strndup(db.p, db.n);
    KAP_AUTO_FREE char *r = kap_strndup(rp.p, rp.n);
    KAP_AUTO_FREE char *m = kap_strndup(measurement.p, measurement.n);
    const char *const tags[] = { "database",    d,      "measurement", m, "retention_policy", r,
                                 "task_master", "main", NULL };
    kap_api_stat_begin(w, "ingress", tags);
    kap_api_stat_value(w, "points_received", points);
    kap_api_stat_end(w);
}

static void write_node(struct kap_api_stats *w, const char *task, const char *type,
                       const struct kap_node_stats *st)
{
    const char *const tags[] = {
        "kind", st->node->type->kind, "node", st->node->name, "task", task, "type", type, NULL
    };
    kap_api_stat_begin(w, "nodes", tags);
    kap_api_stat_value(w, "avg_exec_time_ns", st->avg_exec_time_ns);
    kap_api_stat_value(w, "collected", st->collected);
    kap_api_stat_value(w, "emitted", st->emitted);
    kap_api_stat_value(w, "errors", st->errors);
    kap_api_stat_value(w, "working_cardinality", st->working_cardinality);
    kap_api_stat_value(w, "bytes", st->bytes);
    for (size_t i = 0; i < st->ncounters; i++)
        kap_api_stat_value(w, st->counter_names[i], st->counters[i]);
    kap_api_stat_end(w);
    for (size_t i = 0; i < st->nedges; i++) {
        const char *const edge[] = {
            "child", st->edges[i].to->name, "parent", st->node->name, "task", task, "type", type, NULL
        };
        kap_api_stat_begin(w, "edges", edge);
        kap_api_stat_value(w, "collected", st->edges[i].processed);
        kap_api_stat_value(w, "emitted", st->edges[i].processed);
        kap_api_stat_end(w);
    }
}

static void write_task(void *ctx, struct kap_str id)
{
    struct kap_api_stats *w = ctx;
    struct kap_task_stats st;
    struct kap_graph *graph;
    if (kap_engine_task_stats(w->api->engine, id, &st, &graph, NULL) != KAP_OK)
        return;
    KAP_AUTO_FREE char *task = kap_strndup(id.p, id.n);
    for (size_t i = 0; i < st.n; i++)
        write_node(w, task, graph->type == KAP_TASK_BATCH ? "batch" : "stream", &st.nodes[i]);
    kap_task_stats_done(&st);
    kap_graph_unref(graph);
}

static void write_topic(void *ctx, const struct kap_topic_stats *st)
{
    struct kap_api_stats *w = ctx;
    KAP_AUTO_FREE char *id = kap_strndup(st->topic.p, st->topic.n);
    const char *const tags[] = { "id", id, NULL };
    kap_api_stat_begin(w, "topics", tags);
    kap_api_stat_value(w, "collected", (int64_t)st->collected);
    kap_api_stat_end(w);
}

static void write_http(struct kap_api_stats *w, struct kap_httpd *h)
{
    struct kap_httpd_stats *st = kap_httpd_stats(h);
    kap_api_stat_begin(w, "httpd", NULL);
    kap_api_stat_value(w, "req", (int64_t)st->requests);
    kap_api_stat_value(w, "ping_req", (int64_t)st->ping_requests);
    kap_api_stat_value(w, "write_req", (int64_t)st->write_requests);
    kap_api_stat_value(w, "write_req_bytes", (int64_t)st->write_bytes);
    kap_api_stat_value(w, "points_written_ok", (int64_t)st->points_ok);
    kap_api_stat_value(w, "points_written_fail", (int64_t)st->points_failed);
    kap_api_stat_value(w, "auth_fail", (int64_t)st->auth_failed);
    kap_api_stat_value(w, "client_errors", (int64_t)st->client_errors);
    kap_api_stat_value(w, "server_errors", (int64_t)st->server_errors);
    kap_api_stat_end(w);
}

static void write_engine(struct kap_api_stats *w)
{
    struct kap_engine_stats st;
    kap_engine_stats(w->api->engine, &st);
    kap_api_stat_begin(w, "engine", NULL);
    kap_api_stat_value(w, "points_received", st.points);
    kap_api_stat_value(w, "parse_errors", st.parse_errors);
    kap_api_stat_value(w, "queue_waits", st.waits);
    kap_api_stat_value(w, "queued_bytes", (int64_t)st.queued_bytes);
    kap_api_stat_value(w, "series", (int64_t)st.series);
    kap_api_stat_value(w, "series_bytes", (int64_t)st.series_bytes);
    kap_api_stat_value(w, "workers", st.workers);
    kap_api_stat_end(w);
}

void kap_api_each_stat(const struct kap_api *api, struct kap_httpd *h, const struct kap_stats_form *form,
                       void *ctx)
{
    KAP_AUTO_FREE char *hostname = kap_strndup(api->hostname.p, api->hostname.n);
    struct kap_api_stats w = { .api = api, .form = form, .ctx = ctx, .hostname = hostname };
    if (api->cluster)
        api->cluster->ids(api->cluster->ctx, w.cluster_id, w.server_id);
    write_http(&w, h);
    write_engine(&w);
    kap_engine_ingress(api->engine, write_ingress, &w);
    kap_tasks_each_running(api->tasks, write_task, &w);
    if (api->topics)
        kap_topics_each_stats(api->topics, write_topic, &w);
    if (api->more_stats)
        api->more_stats(api->more_stats_ctx, &w);
}

/* --- line protocol --- */

struct lines {
    struct kap_buf *out;
    int64_t time_ns;
    size_t values;
};

/* Measurement, tag or field; an empty tag value cannot be written and is left out by the caller. */
static void add_escaped(struct kap_buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == ',' || *s == ' ' || *s == '=' || *s == '\\')
            kap_buf_addc(out, '\\');
        kap_buf_addc(out, *s == '\n' ? ' ' : *s);
    }
}

static void line_begin(void *ctx, const char *name, const char *const *tags)
{
    struct lines *l = ctx;
    add_escaped(l->out, name);
    for (; *tags; tags += 2) {
        if (tags[1][0] == '\0')
            continue;
        kap_buf_addc(l->out, ',');
        add_escaped(l->out, tags[0]);
        kap_buf_addc(l->out, '=');
        add_escaped(l->out, tags[1]);
    }
    l->values = 0;
}

static void line_value(void *ctx, const char *name, int64_t v)
{
    struct lines *l = ctx;
    kap_buf_addc(l->out, l->values++ ? ',' : ' ');
    add_escaped(l->out, name);
    kap_buf_addf(l->out, "=%lldi", (long long)v);
}

static void line_end(void *ctx)
{
    const struct lines *l = ctx;
    kap_buf_addf(l->out, "%s %lld\n", l->values ? "" : " none=0i", (long long)l->time_ns);
}

void kap_api_stats_lines(const struct kap_api *api, struct kap_httpd *h, int64_t time_ns, struct kap_buf *out)
{
    static const struct kap_stats_form form = { line_begin, line_value, line_end };
    const struct kap_task_counts counts = kap_tasks_count(api->tasks);
    struct kap_api_stats w = { .api = api,
                               .form = &form,
                               .ctx = &(struct lines){ .out = out, .time_ns = time_ns } };
    KAP_AUTO_FREE char *hostname = kap_strndup(api->hostname.p, api->hostname.n);
    w.hostname = hostname;
    if (api->cluster)
        api->cluster->ids(api->cluster->ctx, w.cluster_id, w.server_id);
    kap_api_stat_begin(&w, "kapacitor", NULL);
    kap_api_stat_value(&w, "num_enabled_tasks", (int64_t)counts.enabled);
    kap_api_stat_value(&w, "num_subscriptions", 0);
    kap_api_stat_value(&w, "num_tasks", (int64_t)counts.tasks);
    kap_api_stat_end(&w);
    kap_api_each_stat(api, h, &form, w.ctx);
}
