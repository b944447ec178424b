#include "pipeline/dot.h"

#include "base/mem.h"

static bool is_batch_source(const struct kap_graph_node *n)
{
    return n->nparents == 0 && strcmp(n->type->kind, "batch") == 0;
}

void kap_graph_dot(const struct kap_graph *g, struct kap_str name, struct kap_buf *out)
{
    KAP_AUTO_FREE const struct kap_graph_node **sorted = kap_graph_sorted(g);
    kap_buf_addf(out, "digraph %.*s {\n", KAP_STR_ARG(name));
    for (size_t i = 0; i < g->n; i++) {
        if (is_batch_source(sorted[i])) /* it only starts the queries, no data passes along its edges */
            continue;
        for (size_t c = 0; c < sorted[i]->nchildren; c++)
            kap_buf_addf(out, "%s -> %s;\n", sorted[i]->name, sorted[i]->children[c]->name);
    }
    kap_buf_addc(out, '}');
}

struct dot_counters {
    struct kap_buf *out;
    bool labels, any;
};

static void add_counter(void *to, const char *name, const char *value)
{
    struct dot_counters *d = to;
    if (d->labels)
        kap_buf_addf(d->out, "%s%s=%s", d->any ? "\\r" : "", name, value);
    else
        kap_buf_addf(d->out, "%s=\"%s\" ", name, value);
    d->any = true;
}

static void add_running(const struct kap_graph_node *n, const struct kap_dot_stats *stats, bool labels,
                        struct kap_buf *out)
{
    kap_buf_addf(out, "\n%s [%s", n->name, labels ? "xlabel=\"" : "");
    struct dot_counters d = { out, labels, false };
    stats->node(stats->ctx, n, add_counter, &d);
    kap_buf_adds(out, labels ? "\"];\n" : "];\n");
    for (size_t c = 0; c < n->nchildren; c++) {
        kap_buf_addf(out,
                     labels ? "%s -> %s [label=\"processed=%lld\"];\n" : "%s -> %s [processed=\"%lld\"];\n",
                     n->name, n->children[c]->name, (long long)stats->edge(stats->ctx, n, c));
    }
}

void kap_graph_dot_running(const struct kap_graph *g, struct kap_str name, const struct kap_dot_stats *stats,
                           bool labels, struct kap_buf *out)
{
    KAP_AUTO_FREE const struct kap_graph_node **sorted = kap_graph_sorted(g);
    const char *unit = g->type == KAP_TASK_BATCH ? "batches" : "points";
    kap_buf_addf(out, "digraph %.*s {\n", KAP_STR_ARG(name));
    if (labels)
        kap_buf_addf(out, "graph [label=\"Throughput: %0.2f %s/s\" forcelabels=true pad=\"0.8,0.5\"];\n",
                     stats->throughput, unit);
    else
        kap_buf_addf(out, "graph [throughput=\"%0.2f %s/s\"];\n", stats->throughput, unit);
    for (size_t i = 0; i < g->n; i++)
        add_running(sorted[i], stats, labels, out);
    kap_buf_addc(out, '}');
}

/* ---- JSON ---- */

static void json_lambda(struct kap_json *j, const struct kap_expr *e)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_expr_format(&text, e);
    kap_json_str(j, kap_buf_str(&text));
}

static void json_strings(struct kap_json *j, const struct kap_strings *s)
{
    kap_json_array(j);
    for (size_t i = 0; i < s->n; i++)
        kap_json_str(j, s->v[i]);
    kap_json_array_end(j);
}

static void json_property(struct kap_json *j, const struct kap_prop *p, const void *config)
{
    const void *m = (const char *)config + p->offset;
    if (p->secret || p->kind == KAP_PROP_CALL)
        return;
    if (p->kind == KAP_PROP_LAMBDA && !*(const struct kap_expr *const *)m)
        return;
    kap_json_key(j, p->name);
    switch (p->kind) {
    case KAP_PROP_INT:
    case KAP_PROP_DURATION: kap_json_i64(j, *(const int64_t *)m); break;
    case KAP_PROP_FLOAT: kap_json_f64(j, *(const double *)m); break;
    case KAP_PROP_STRING: kap_json_str(j, *(const struct kap_str *)m); break;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG: kap_json_bool(j, *(const bool *)m); break;
    case KAP_PROP_LAMBDA: json_lambda(j, *(const struct kap_expr *const *)m); break;
    default: json_strings(j, m); break;
    }
}

static void json_node(struct kap_json *j, const struct kap_graph_node *n)
{
    kap_json_object(j);
    kap_json_key(j, "id");
    kap_json_i64(j, n->id);
    kap_json_key(j, "type");
    kap_json_cstr(j, n->type->kind);
    kap_json_key(j, "name");
    kap_json_cstr(j, n->name);
    kap_json_key(j, "properties");
    kap_json_object(j);
    for (const struct kap_prop *p = n->type->props; p && p->kind != KAP_PROP_END; p++) {
        if (p->name)
            json_property(j, p, n->config);
    }
    if (n->quiet) {
        kap_json_key(j, "quiet");
        kap_json_bool(j, true);
    }
    kap_json_object_end(j);
    kap_json_object_end(j);
}

void kap_graph_json(const struct kap_graph *g, struct kap_json *j)
{
    KAP_AUTO_FREE const struct kap_graph_node **sorted = kap_graph_sorted(g);
    kap_json_object(j);
    kap_json_key(j, "nodes");
    kap_json_array(j);
    for (size_t i = 0; i < g->n; i++)
        json_node(j, sorted[i]);
    kap_json_array_end(j);
    kap_json_key(j, "edges");
    kap_json_array(j);
    for (size_t i = 0; i < g->n; i++) {
        for (size_t c = 0; c < sorted[i]->nchildren; c++) {
            kap_json_object(j);
            kap_json_key(j, "parent");
            kap_json_i64(j, sorted[i]->id);
            kap_json_key(j, "child");
            kap_json_i64(j, sorted[i]->children[c]->id);
            kap_json_object_end(j);
        }
    }
    kap_json_array_end(j);
    kap_json_object_end(j);
}
