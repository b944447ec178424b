/* /debug/vars: the server's figures, as Telegraf's kapacitor input reads them. */
#include "api/resource.h"
#include "api/stats.h"
#include "base/mem.h"
#include "task/task.h"

#include <errno.h>
#include <malloc.h>

struct vars {
    struct kap_json *j;
    size_t n; /* of statistics written */
};

/* A statistic: {"name", "tags": {..}, "values": {..}} under a key of its own. */
static void json_begin(void *ctx, const char *name, const char *const *tags)
{
    struct vars *v = ctx;
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    kap_buf_addf(&key, "%s-%zu", name, v->n++);
    kap_json_keyn(v->j, kap_buf_str(&key));
    kap_json_object(v->j);
    kap_json_key(v->j, "name");
    kap_json_cstr(v->j, name);
    kap_json_key(v->j, "tags");
    kap_json_object(v->j);
    for (; *tags; tags += 2) {
        kap_json_key(v->j, tags[0]);
        kap_json_cstr(v->j, tags[1]);
    }
    kap_json_object_end(v->j);
    kap_json_key(v->j, "values");
    kap_json_object(v->j);
}

static void json_value(void *ctx, const char *name, int64_t value)
{
    const struct vars *v = ctx;
    kap_json_key(v->j, name);
    kap_json_i64(v->j, value);
}

static void json_end(void *ctx)
{
    const struct vars *v = ctx;
    kap_json_object_end(v->j);
    kap_json_object_end(v->j);
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

static void write_texts(const struct kap_api *api, struct kap_json *j)
{
    char cluster_id[37] = "", server_id[37] = "";
    if (api->cluster)
        api->cluster->ids(api->cluster->ctx, cluster_id, server_id);
    const struct {
        const char *key, *v;
    } texts[] = {
        { "cluster_id", cluster_id }, { "server_id", server_id },    { "product", "kapacitor" },
        { "version", KAP_VERSION },   { "platform", "linux-amd64" },
    };
    for (size_t i = 0; i < KAP_COUNT(texts); i++) {
        kap_json_key(j, texts[i].key);
        kap_json_cstr(j, texts[i].v);
    }
    kap_json_key(j, "host");
    kap_json_str(j, api->hostname);
    kap_json_key(j, "cmdline");
    kap_json_array(j);
    kap_json_cstr(j, program_invocation_name);
    kap_json_array_end(j);
}

static void write_count(struct kap_json *j, const char *name, size_t n)
{
    kap_json_key(j, name);
    kap_json_u64(j, n);
}

static void show_vars(void *ctx, struct kap_request *rq)
{
    static const struct kap_stats_form form = { json_begin, json_value, json_end };
    const struct kap_api *api = ctx;
    const struct kap_task_counts counts = kap_tasks_count(api->tasks);
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    write_texts(api, &j);
    write_count(&j, "num_tasks", counts.tasks);
    write_count(&j, "num_enabled_tasks", counts.enabled);
    write_count(&j, "num_subscriptions", 0);
    write_memory(&j);
    kap_json_key(&j, "kapacitor");
    kap_json_object(&j);
    kap_api_each_stat(api, kap_request_server(rq), &form, &(struct vars){ .j = &j });
    kap_json_object_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

/* --- /metrics: the same for Prometheus, whose text format wants all samples of a metric together --- */

struct metrics {
    char *tags; /* of the statistic at hand: {a="b"} */
    const char *name;
    char **lines;
    size_t n, cap;
};

static void metric_begin(void *ctx, const char *name, const char *const *tags)
{
    struct metrics *m = ctx;
    struct kap_buf b = { 0 };
    const char *before = "{";
    for (; *tags; tags += 2) {
        kap_buf_addf(&b, "%s%s=\"", before, tags[0]);
        for (const char *p = tags[1]; *p; p++) {
            if (*p == '"' || *p == '\\' || *p == '\n')
                kap_buf_addc(&b, '\\');
            kap_buf_addc(&b, (char)(*p == '\n' ? 'n' : *p));
        }
        kap_buf_addc(&b, '"');
        before = ",";
    }
    kap_buf_addc(&b, '}');
    m->name = name;
    m->tags = kap_buf_take(&b);
}

static void metric_value(void *ctx, const char *name, int64_t v)
{
    struct metrics *m = ctx;
    KAP_GROW(m->lines, m->cap, m->n + 1);
    m->lines[m->n++] = kap_asprintf("kapacitor_%s_%s%s %lld\n", m->name, name, m->tags, (long long)v);
}

static void metric_end(void *ctx)
{
    struct metrics *m = ctx;
    kap_free(m->tags);
    m->tags = NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_metrics(void *ctx, struct kap_request *rq)
{
    static const struct kap_stats_form form = { metric_begin, metric_value, metric_end };
    const struct kap_api *api = ctx;
    const struct kap_task_counts counts = kap_tasks_count(api->tasks);
    struct kap_buf *out = kap_request_out(rq);
    struct metrics m = { 0 };
    kap_api_each_stat(api, kap_request_server(rq), &form, &m);
    kap_buf_addf(out, "kapacitor_tasks %zu\nkapacitor_tasks_enabled %zu\nkapacitor_tasks_executing %zu\n",
                 counts.tasks, counts.enabled, counts.executing);
    qsort(m.lines, m.n, sizeof *m.lines, by_text);
    for (size_t i = 0; i < m.n; i++) {
        kap_buf_adds(out, m.lines[i]);
        kap_free(m.lines[i]);
    }
    kap_free(m.lines);
    kap_reply_body(rq, 200, "text/plain; version=0.0.4; charset=utf-8");
}

const struct kap_route kap_routes_vars[] = {
    { "GET", "/debug/vars", show_vars, 0, 0 },
    { "GET", "//metrics", show_metrics, 0, 0 },
    { "GET", "/metrics", show_metrics, 0, 0 },
    { 0 },
};
