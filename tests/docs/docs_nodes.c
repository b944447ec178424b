/* The reference pages of the nodes, written from their descriptors, and the examples in them, run.
 *
 *     docs_nodes DOCS            writes DOCS/nodes/NAME.md and the list of them
 *     docs_nodes DOCS --run      runs the examples anew and writes their output into them first
 *     docs_nodes DOCS --check    fails when a page, or the output of an example, is not what it should be
 *
 * An example is DOCS/nodes/examples/NAME.tick: a script, then comments: "// input" with line protocol (times
 * in nanoseconds), "// advance 10s" for time that passes, "// batch TIME NAME TAGS" for a batch that a query
 * brings; then
 * "// output of NODE" with what the node emits and what leaves the task. "file:///etc/kapacitor" stands for
 * DOCS/nodes/examples. */
#include "base/duration.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/line.h"
#include "engine/rig.h"
#include "handlers/handlers.h"
#include "nodes/nodes.h"
#include "tick/tick.h"

#include <stdio.h>
#include <stdlib.h>

static const struct kap_registry registry = { kap_node_types, kap_handler_types, NULL, NULL };
static const char *docs;
static bool check_only;
static int failures;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "docs_nodes: %s: %s\n", what, why);
    failures++;
}

/* --- files --- */

static bool read_file(const char *path, struct kap_buf *out)
{
    char chunk[4096];
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        kap_buf_addn(out, chunk, n);
    fclose(f);
    return true;
}

static void put_file(const char *path, const struct kap_buf *text)
{
    KAP_AUTO_BUF struct kap_buf old = { 0 };
    const bool same = read_file(path, &old) && kap_str_eq(kap_buf_str(&old), kap_buf_str(text));
    if (same)
        return;
    if (check_only) {
        fail(path, "is not what the descriptors say; run `make docs`");
        return;
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text->p, 1, text->n, f) != text->n)
        fail(path, "cannot be written");
    if (f)
        fclose(f);
}

/* --- what leaves a task in an example --- */

static void collect(void *ctx, struct kap_event *ev)
{
    kap_buf_addf(ctx, "event %.*s %s: %.*s\n", KAP_STR_ARG(ev->id), kap_level_name(ev->level),
                 KAP_STR_ARG(ev->message));
}

static enum kap_status loopback(void *ctx, const struct kap_point *p, struct kap_error *err)
{
    kap_buf_addf(ctx, "into %.*s.%.*s: ", KAP_STR_ARG(kap_sym_str(p->db)), KAP_STR_ARG(kap_sym_str(p->rp)));
    kap_line_write(ctx, p, 1);
    return KAP_OK;
}

static enum kap_status influxdb_write(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                      struct kap_str consistency, struct kap_str precision,
                                      struct kap_str lines, struct kap_error *err)
{
    kap_buf_addf(ctx, "to InfluxDB %.*s.%.*s: %.*s", KAP_STR_ARG(db), KAP_STR_ARG(rp), KAP_STR_ARG(lines));
    return KAP_OK;
}

static void http(void *ctx, const struct kap_http_request *rq, struct kap_http_reply *ret,
                 struct kap_arena *arena)
{
    kap_buf_addf(ctx, "%s %.*s %.*s\n", rq->method, KAP_STR_ARG(rq->url),
                 KAP_STR_ARG(kap_str_trim(rq->body)));
    *ret = (struct kap_http_reply){ .status = 200, .body = KAP_STR("") };
}

/* --- examples --- */

struct example {
    struct kap_buf text;
    struct kap_str script, input, node, output;
};

/* The next line without its end; false: none is left. */
static bool next_line(struct kap_str *rest, struct kap_str *line)
{
    if (rest->n == 0)
        return false;
    const char *end = memchr(rest->p, '\n', rest->n);
    const size_t n = end ? (size_t)(end - rest->p) : rest->n;
    *line = kap_strn(rest->p, n);
    *rest = kap_strn(rest->p + n + (end != NULL), rest->n - n - (end != NULL));
    return true;
}

static bool split(struct example *x)
{
    static const char input[] = "// input\n", output[] = "// output of ";
    const struct kap_str all = kap_buf_str(&x->text);
    const char *in = memmem(all.p, all.n, input, sizeof input - 1);
    const char *out = memmem(all.p, all.n, output, sizeof output - 1);
    if (!in || !out || out < in)
        return false;
    x->script = kap_strn(all.p, (size_t)(in - all.p));
    x->input = kap_strn(in + sizeof input - 1, (size_t)(out - in) - (sizeof input - 1));
    struct kap_str rest =
        kap_strn(out + sizeof output - 1, all.n - (size_t)(out - all.p) - (sizeof output - 1));
    if (!next_line(&rest, &x->node))
        return false;
    x->output = rest;
    return true;
}

static struct kap_str uncomment(struct kap_str line)
{
    if (kap_str_has_prefix(line, KAP_STR("// ")))
        return kap_strn(line.p + 3, line.n - 3);
    return KAP_STR("");
}

static enum kap_status open_rig(const struct example *x, struct kap_buf *out, struct kap_rig **ret,
                                struct kap_error *err)
{
    static struct kap_services services;
    static const char place[] = "file:///etc/kapacitor";
    KAP_AUTO_BUF struct kap_buf script = { 0 };
    KAP_AUTO_FREE char *base = realpath(docs, NULL);
    const char *at = memmem(x->script.p, x->script.n, place, sizeof place - 1);
    const size_t before = at ? (size_t)(at - x->script.p) : x->script.n;
    kap_buf_addn(&script, x->script.p, before);
    if (at) {
        kap_buf_addf(&script, "file://%s/nodes/examples", base);
        kap_buf_addn(&script, at + sizeof place - 1, x->script.n - before - (sizeof place - 1));
    }
    struct kap_tick_script *s;
    struct kap_graph *g;
    KAP_TRY(kap_tick_parse(kap_buf_str(&script), &s, err));
    const struct kap_tick_options opt = { .registry = &registry, .type = KAP_TASK_INVALID };
    enum kap_status st = kap_tick_eval(s, &opt, &g, NULL, NULL, err);
    kap_tick_script_unref(s);
    KAP_TRY(st);
    services = kap_services_none;
    services.ctx = out;
    services.alert_collect = collect;
    services.loopback = loopback;
    services.influxdb_write = influxdb_write;
    services.http = http;
    st = kap_rig_new(g, &(struct kap_rig_options){ .task = KAP_STR("example"), .services = &services }, ret,
                     err);
    kap_graph_unref(g);
    return st;
}

/* The lines of a batch, or of a write, up to the next directive. */
static enum kap_status feed_lines(struct kap_rig *rig, struct kap_str *rest, const char *batch,
                                  struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf lines = { 0 };
    struct kap_str line;
    for (struct kap_str at = *rest; next_line(&at, &line); *rest = at) {
        const struct kap_str text = uncomment(line);
        if (kap_str_has_prefix(text, KAP_STR("advance ")) || kap_str_has_prefix(text, KAP_STR("batch ")))
            break;
        if (text.n)
            kap_buf_addf(&lines, "%.*s\n", KAP_STR_ARG(text));
    }
    if (!batch)
        return kap_rig_write(rig, "telegraf", "autogen", lines.p ? lines.p : "", err);
    char name[64] = "", tags[64] = "";
    long long time_ns = 0;
    if (sscanf(batch, "%lld %63s %63s", &time_ns, name, tags) < 2) /* NOLINT(cert-err34-c) */
        return kap_fail(err, KAP_EINVAL, "batch TIME NAME TAGS");
    return kap_rig_write_batch(rig, "query1", name, time_ns, tags, lines.p ? lines.p : "", err);
}

static enum kap_status feed(struct kap_rig *rig, struct kap_str input, struct kap_error *err)
{
    struct kap_str rest = input, line;
    while (rest.n) {
        struct kap_str after = rest;
        next_line(&after, &line);
        const struct kap_str text = uncomment(line);
        if (kap_str_has_prefix(text, KAP_STR("advance "))) {
            int64_t ns;
            KAP_TRY(kap_duration_parse_influx(kap_strn(text.p + 8, text.n - 8), &ns, err));
            kap_rig_advance(rig, kap_rig_now(rig) + ns);
            rest = after;
        } else if (kap_str_has_prefix(text, KAP_STR("batch "))) {
            KAP_AUTO_FREE char *batch = kap_strndup(text.p + 6, text.n - 6);
            rest = after;
            KAP_TRY(feed_lines(rig, &rest, batch, err));
        } else {
            KAP_TRY(feed_lines(rig, &rest, NULL, err));
        }
    }
    return KAP_OK;
}

static enum kap_status run_example(const struct example *x, struct kap_buf *out, struct kap_error *err)
{
    struct kap_rig *rig;
    KAP_TRY(open_rig(x, out, &rig, err));
    KAP_AUTO_FREE char *node = kap_strndup(x->node.p, x->node.n);
    enum kap_status st = KAP_OK;
    if (kap_rig_node(rig, node))
        kap_rig_collect(rig, node, out);
    else
        st = kap_fail(err, KAP_EINVAL, "there is no node %s", node);
    if (st == KAP_OK)
        st = feed(rig, x->input, err);
    kap_rig_free(rig);
    return st;
}

static void comment(struct kap_buf *b, struct kap_str text)
{
    struct kap_str line;
    while (next_line(&text, &line))
        kap_buf_addf(b, "// %.*s\n", KAP_STR_ARG(line));
}

static void uncomment_all(struct kap_buf *b, struct kap_str text)
{
    struct kap_str line;
    while (next_line(&text, &line))
        kap_buf_addf(b, "%.*s\n", KAP_STR_ARG(uncomment(line)));
}

/* Runs it; its output in the file is compared, or (--run) written. */
static void do_example(const char *path, struct example *x, bool rewrite)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 }, want = { 0 };
    struct kap_error err;
    if (run_example(x, &out, &err) != KAP_OK) {
        fail(path, err.msg);
        return;
    }
    comment(&want, kap_buf_str(&out));
    if (kap_str_eq(kap_buf_str(&want), x->output))
        return;
    if (!rewrite) {
        fail(path, "its output has changed");
        fprintf(stderr, "%s", want.p ? want.p : "");
        return;
    }
    x->text.n = (size_t)(x->output.p - x->text.p);
    kap_buf_add(&x->text, kap_buf_str(&want));
    put_file(path, &x->text);
    (void)split(x);
}

/* --- pages --- */

static const char *page_name(const struct kap_node_type *t)
{
    return t->name ? t->name : t->kind;
}

static const char *edge_text(enum kap_edge e)
{
    switch (e) {
    case KAP_EDGE_NONE:
        return "nothing";
    case KAP_EDGE_STREAM:
        return "a stream";
    case KAP_EDGE_BATCH:
        return "batches";
    case KAP_EDGE_ANY:
        return "a stream or batches";
    case KAP_EDGE_SAME:
        break;
    }
    return "what it takes";
}

static const char *arguments(const struct kap_prop *p)
{
    switch (p->kind) {
    case KAP_PROP_INT:
        return "(value int)";
    case KAP_PROP_FLOAT:
        return "(value float)";
    case KAP_PROP_STRING:
        return "(value string)";
    case KAP_PROP_BOOL:
        return "(value bool)";
    case KAP_PROP_DURATION:
        return "(value duration)";
    case KAP_PROP_LAMBDA:
        return "(expression lambda)";
    case KAP_PROP_STRINGS:
    case KAP_PROP_STRINGS_ADD:
        return "(values ...string)";
    case KAP_PROP_CALL:
        return p->signature ? p->signature : "()";
    case KAP_PROP_FLAG:
    case KAP_PROP_END:
        break;
    }
    return "()";
}

/* What it is without the property; nothing where that is nothing. */
static void put_default(struct kap_buf *b, const struct kap_prop *p, const char *config)
{
    const void *at = config + p->offset;
    switch (p->kind) {
    case KAP_PROP_INT:
        if (*(const int64_t *)at)
            kap_buf_addf(b, "`%lld`", (long long)*(const int64_t *)at);
        return;
    case KAP_PROP_FLOAT:
        if (*(const double *)at != 0)
            kap_buf_addf(b, "`%g`", *(const double *)at);
        return;
    case KAP_PROP_STRING:
        if (((const struct kap_str *)at)->n)
            kap_buf_addf(b, "`'%.*s'`", KAP_STR_ARG(*(const struct kap_str *)at));
        return;
    case KAP_PROP_BOOL:
        kap_buf_adds(b, *(const bool *)at ? "`TRUE`" : "`FALSE`");
        return;
    case KAP_PROP_DURATION:
        if (*(const int64_t *)at) {
            kap_buf_addc(b, '`');
            kap_duration_format_influx(b, *(const int64_t *)at);
            kap_buf_addc(b, '`');
        }
        return;
    default:
        return;
    }
}

/* A cell of a table: no line may end in it, and a bar would end it. */
static void put_cell(struct kap_buf *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '|')
            kap_buf_addc(b, '\\');
        kap_buf_addc(b, *p);
    }
}

static void put_properties(struct kap_buf *b, const struct kap_node_type *t)
{
    if (!t->props || t->props->kind == KAP_PROP_END)
        return;
    KAP_AUTO_FREE char *config = kap_calloc(1, t->config_size + 1);
    if (t->init)
        t->init(config);
    kap_buf_adds(b, "\n## Properties\n\n| Property | Default | |\n|---|---|---|\n");
    for (const struct kap_prop *p = t->props; p->kind != KAP_PROP_END; p++) {
        kap_buf_addf(b, "| `.%s", p->name);
        put_cell(b, arguments(p));
        kap_buf_adds(b, "` | ");
        put_default(b, p, config);
        kap_buf_adds(b, " | ");
        put_cell(b, p->doc ? p->doc : "");
        kap_buf_adds(b, " |\n");
    }
}

static void put_handlers(struct kap_buf *b)
{
    kap_buf_adds(b, "\n## Handlers\n\nWhere the events go, beside the topic:\n\n| Handler | |\n|---|---|\n");
    for (const struct kap_handler_type *const *h = kap_handler_types; *h; h++) {
        if (!(*h)->method)
            continue;
        kap_buf_addf(b, "| `.%s", (*h)->method);
        put_cell(b, (*h)->signature ? (*h)->signature : "()");
        kap_buf_adds(b, "` | ");
        put_cell(b, (*h)->doc ? (*h)->doc : "");
        kap_buf_adds(b, " |\n");
    }
}

static void put_example(struct kap_buf *b, const struct kap_node_type *t, bool rewrite)
{
    struct example x = { 0 };
    KAP_AUTO_FREE char *path = kap_asprintf("%s/nodes/examples/%s.tick", docs, page_name(t));
    if (!read_file(path, &x.text) || !split(&x)) {
        fail(path, "every node has an example");
    } else {
        do_example(path, &x, rewrite);
        kap_buf_addf(b, "\n## Example\n\n```javascript\n%.*s\n```\n\nOf the input\n\n```\n",
                     KAP_STR_ARG(kap_str_trim(x.script)));
        uncomment_all(b, kap_str_trim(x.input));
        kap_buf_addf(b, "```\n\nit makes, seen at `%.*s`,\n\n```\n", KAP_STR_ARG(x.node));
        uncomment_all(b, x.output);
        kap_buf_adds(b, "```\n");
    }
    kap_buf_done(&x.text);
}

static void put_page(const struct kap_node_type *t, bool rewrite)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    KAP_AUTO_FREE char *path = kap_asprintf("%s/nodes/%s.md", docs, page_name(t));
    const bool source = t->wants == KAP_EDGE_NONE;
    kap_buf_addf(&b, "# %s\n\n%s\n\n```\n%s%s%s\n```\n\n", page_name(t), t->doc, source ? "" : "|",
                 page_name(t), source ? "" : t->signature);
    kap_buf_addf(&b, "Takes %s, gives %s.\n", edge_text(t->wants),
                 edge_text(t->no_children ? KAP_EDGE_NONE : t->provides));
    put_properties(&b, t);
    if (t->has_handlers)
        put_handlers(&b);
    put_example(&b, t, rewrite);
    put_file(path, &b);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(page_name(*(const struct kap_node_type *const *)a),
                  page_name(*(const struct kap_node_type *const *)b));
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: docs_nodes DOCS [--run | --check]\n");
        return 2;
    }
    docs = argv[1];
    check_only = argc > 2 && strcmp(argv[2], "--check") == 0;
    const bool rewrite = argc > 2 && strcmp(argv[2], "--run") == 0;
    kap_log_set_level(KAP_LOG_OFF);
    const struct kap_node_type *sorted[128];
    size_t n = 0;
    for (const struct kap_node_type *const *t = kap_node_types; *t && n < KAP_COUNT(sorted); t++)
        if ((*t)->name)
            sorted[n++] = *t;
    qsort(sorted, n, sizeof *sorted, by_name); /* NOLINT(bugprone-sizeof-expression) */
    KAP_AUTO_BUF struct kap_buf list = { 0 };
    kap_buf_adds(
        &list,
        "# Nodes\n\nWhat a TICKscript is made of. These pages are written from the descriptors of the nodes "
        "by `make docs`;\nthe examples are run by the tests.\n\n| Node | |\n|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        put_page(sorted[i], rewrite);
        kap_buf_addf(&list, "| [%s](%s.md) | ", page_name(sorted[i]), page_name(sorted[i]));
        put_cell(&list, sorted[i]->doc);
        kap_buf_adds(&list, " |\n");
    }
    KAP_AUTO_FREE char *path = kap_asprintf("%s/nodes/README.md", docs);
    put_file(path, &list);
    return failures ? 1 : 0;
}
