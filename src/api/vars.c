/* /debug/vars: the server's figures, as Telegraf's kapacitor input reads them. */
#include "alert/topics.h"
#include "api/resource.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "task/task.h"

#include <errno.h>
#include <malloc.h>

struct kap_api_stats {
    struct kap_json *j;
    const struct kap_api *api;
    char cluster_id[37], server_id[37];
    size_t n; /* of statistics written */
};

/* A statistic: {"name", "tags": {.., host, cluster_id, server_id}, "values": {..}} under a key of its own. */
void kap_api_stat_begin(struct kap_api_stats *w, const char *name, const char *const *tags)
{
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    kap_buf_addf(&key, "%s-%zu", name, w->n++);
    kap_json_keyn(w->j, kap_buf_str(&key));
    kap_json_object(w->j);
    kap_json_key(w->j, "name");
    kap_json_cstr(w->j, name);
    kap_json_key(w->j, "tags");
    kap_json_object(w->j);
    for (; tags && tags[0]; tags += 2) {
        kap_json_key(w->j, tags[0]);
        kap_json_cstr(w->j, tags[1]);
    }
    kap_json_key(w->j, "cluster_id");
    kap_json_cstr(w->j, w->cluster_id);
    kap_json_key(w->j, "host");
    kap_json_str(w->j, w->api->hostname);
    kap_json_key(w->j, "server_id");
    kap_json_cstr(w->j, w->server_id);
    kap_json_object_end(w->j);
    kap_json_key(w->j, "values");
    kap_json_object(w->j);
}

void kap_api_stat_value(struct kap_api_stats *w, const char *name, int64_t v)
{
    kap_json_key(w->j, name);
    kap_json_i64(w->j, v);
}

void kap_api_stat_end(struct kap_api_stats *w)
{
    kap_json_object_end(w->j);
    kap_json_object_end(w->j);
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

/* The allocator's figures under the names that dashboards know. */
static void write_memory(struct kap_json *j)
{
    const struct mallinfo2 m = mallinfo2();
    const struct {
        const char *name;
        size_t v;
    } figures[] = {
        { "Alloc", m.uordblks + m.hblkhd },
        { "TotalAlloc", m.uordblks + m.hblkhd },
        { "Sys", m.arena + m.hblkhd },
        { "Mallocs", 0 },
        { "Frees", 0 },
        { "Lookups", 0 },
        { "HeapAlloc", m.uordblks + m.hblkhd },
        { "HeapSys", m.arena + m.hblkhd },
        { "HeapIdle", m.fordblks },
        { "HeapInuse", m.uordblks + m.hblkhd },
        { "HeapReleased", 0 },
        { "HeapObjects", 0 },
        { "NumGC", 0 },
        { "PauseTotalNs", 0 },
    };
    kap_json_key(j, "memstats");
    kap_json_object(j);
    for (size_t i = 0; i < KAP_COUNT(figures); i++) {
        kap_json_key(j, figures[i].name);
        kap_json_u64(j, figures[i].v);
    }
    kap_json_object_end(j);
}

static void write_texts(struct kap_api_stats *w)
{
    struct kap_json *j = w->j;
    const struct {
        const char *key, *v;
    } texts[] = {
        { "cluster_id", w->cluster_id }, { "server_id", w->server_id }, { "product", "kapacitor" },
        { "version", KAP_VERSION },      { "platform", "linux-amd64" },
    };
    for (size_t i = 0; i < KAP_COUNT(texts); i++) {
        kap_json_key(j, texts[i].key);
        kap_json_cstr(j, texts[i].v);
    }
    kap_json_key(j, "host");
    kap_json_str(j, w->api->hostname);
    kap_json_key(j, "cmdline");
    kap_json_array(j);
    kap_json_cstr(j, program_invocation_name);
    kap_json_array_end(j);
}

static void show_vars(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_json j;
    struct kap_api_stats w = { .j = &j, .api = api };
    if (api->cluster)
        api->cluster->ids(api->cluster->ctx, w.cluster_id, w.server_id);
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    write_texts(&w);
    const struct kap_task_counts counts = kap_tasks_count(api->tasks);
    kap_api_stat_value(&w, "num_tasks", (int64_t)counts.tasks);
    kap_api_stat_value(&w, "num_enabled_tasks", (int64_t)counts.enabled);
    kap_api_stat_value(&w, "num_subscriptions", 0);
    write_memory(&j);
    kap_json_key(&j, "kapacitor");
    kap_json_object(&j);
    write_http(&w, kap_request_server(rq));
    write_engine(&w);
    kap_engine_ingress(api->engine, write_ingress, &w);
    kap_tasks_each_running(api->tasks, write_task, &w);
    if (api->topics)
        kap_topics_each_stats(api->topics, write_topic, &w);
    if (api->more_stats)
        api->more_stats(api->more_stats_ctx, &w);
    kap_json_object_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

const struct kap_route kap_routes_vars[] = {
    { "GET", "/debug/vars", show_vars, 0, 0 },
    { 0 },
};
