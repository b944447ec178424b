#include "engine/rig.h"

#include "base/duration.h"
#include "base/mem.h"
#include "base/number.h"
#include "data/line.h"
#include "engine/run.h"

#include <stdatomic.h>
#include <inttypes.h>

struct hook {
    struct kap_capture capture;
    struct hook *next;
};

struct source {
    struct kap_source source;
    struct source *next;
};

struct kap_rig {
    struct kap_shard *shard;
    struct kap_clock clock;
    struct kap_services services;
    int64_t now_ns;
    struct kap_series_cache *cache;
    struct kap_line_parser *parser;
    struct source *sources;
    uint32_t nsources;
    struct hook *hooks;
};

static int64_t rig_time(void *ctx)
{
    return ((struct kap_rig *)ctx)->now_ns;
}

/* ---- services that do nothing ---- */

static bool no_restore(void *ctx, struct kap_str topic, struct kap_str event_id, struct kap_event_state *ret)
{
    return false;
}

static void no_collect(void *ctx, struct kap_event *ev)
{
}

static enum kap_status no_open(void *ctx, struct kap_str topic, const struct kap_graph_node *node,
                               struct kap_error *err)
{
    return KAP_OK;
}

static void no_close(void *ctx, struct kap_str topic, const struct kap_graph_node *node)
{
}

static void no_publish(void *ctx, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok)
{
}

static void no_unpublish(void *ctx, struct kap_str task, struct kap_str endpoint)
{
}

static enum kap_status no_loopback(void *ctx, const struct kap_point *p, struct kap_error *err)
{
    return KAP_OK;
}

static void no_http(void *ctx, const struct kap_http_request *req, struct kap_http_reply *ret,
                    struct kap_arena *arena)
{
    *ret = (struct kap_http_reply){ .error = "there is no network in a test rig" };
}

static const struct kap_httppost_endpoint *no_endpoint(void *ctx, struct kap_str name)
{
    return NULL;
}

static enum kap_status no_influxdb_write(void *ctx, struct kap_str cluster, struct kap_str db,
                                         struct kap_str rp, struct kap_str consistency,
                                         struct kap_str precision, struct kap_str lines,
                                         struct kap_error *err)
{
    return KAP_OK;
}

static enum kap_status no_influxdb_create(void *ctx, struct kap_str cluster, struct kap_str db,
                                          struct kap_str rp, struct kap_error *err)
{
    return KAP_OK;
}

const struct kap_services kap_services_none = {
    .alert_restore = no_restore,
    .alert_collect = no_collect,
    .alert_open = no_open,
    .alert_close = no_close,
    .publish = no_publish,
    .unpublish = no_unpublish,
    .loopback = no_loopback,
    .http = no_http,
    .httppost_endpoint = no_endpoint,
    .influxdb_write = no_influxdb_write,
    .influxdb_create = no_influxdb_create,
};

/* ---- life ---- */

enum kap_status kap_rig_new(struct kap_graph *g, const struct kap_rig_options *opts, struct kap_rig **ret,
                            struct kap_error *err)
{
    struct kap_rig *rig = KAP_NEW(struct kap_rig);
    rig->now_ns = opts->now_ns;
    rig->clock = (struct kap_clock){ rig_time, rig_time, rig };
    rig->services = opts->services ? *opts->services : kap_services_none;
    if (!rig->services.clock)
        rig->services.clock = &rig->clock;
    rig->cache = kap_series_cache_new(1 << 20, NULL);
    rig->parser = kap_line_parser_new();
    const struct kap_str task = opts->task.n ? opts->task : KAP_STR("test");
    const enum kap_status st = kap_shard_new(g, task, &rig->services, &rig->shard, err);
    if (st != KAP_OK) {
        kap_rig_free(rig);
        return st;
    }
    rig->shard->run = opts->run.p ? opts->run : KAP_STR("");
    *ret = rig;
    return KAP_OK;
}

void kap_rig_free(struct kap_rig *rig)
{
    if (!rig)
        return;
    kap_shard_free(rig->shard);
    kap_series_cache_free(rig->cache);
    kap_line_parser_free(rig->parser);
    for (struct source *s = rig->sources, *next; s; s = next) {
        next = s->next;
        kap_free(s);
    }
    for (struct hook *h = rig->hooks, *next; h; h = next) {
        next = h->next;
        kap_free(h);
    }
    kap_free(rig);
}

static const struct kap_node_run root_run = { 0 };
static const struct kap_node_type stream_root = {
    .name = "stream", .kind = "stream", .wants = KAP_EDGE_NONE, .provides = KAP_EDGE_STREAM, .run = &root_run
};
static const struct kap_node_type batch_root = {
    .name = "batch", .kind = "batch", .wants = KAP_EDGE_NONE, .provides = KAP_EDGE_BATCH, .run = &root_run
};

enum kap_status kap_rig_new_node(const struct kap_node_type *type, enum kap_edge edge,
                                 void (*setup)(void *config, struct kap_graph_node *node, void *ctx),
                                 void *ctx, const struct kap_rig_options *opts, struct kap_rig **ret,
                                 struct kap_error *err)
{
    const bool batch = edge == KAP_EDGE_BATCH;
    struct kap_graph *g = kap_graph_new(batch ? KAP_TASK_BATCH : KAP_TASK_STREAM);
    struct kap_graph_node *root, *node;
    enum kap_status st = kap_graph_add(g, NULL, batch ? &batch_root : &stream_root, &root, err);
    if (st == KAP_OK)
        st = kap_graph_add(g, root, type, &node, err);
    if (st == KAP_OK) {
        if (setup)
            setup(node->config, node, ctx);
        st = kap_graph_check(g, err);
    }
    if (st == KAP_OK)
        st = kap_rig_new(g, opts, ret, err);
    kap_graph_unref(g);
    return st;
}

struct kap_node *kap_rig_node(struct kap_rig *rig, const char *name)
{
    return name && *name ? kap_shard_node(rig->shard, name) : &rig->shard->nodes[0];
}

struct kap_groups *kap_rig_groups(struct kap_rig *rig)
{
    return rig->shard->groups;
}

/* ---- input ---- */

static const struct kap_source *source_of(struct kap_rig *rig, const char *db, const char *rp)
{
    const struct kap_sym *d = kap_sym_c(db), *r = kap_sym_c(rp);
    for (struct source *s = rig->sources; s; s = s->next)
        if (s->source.db == d && s->source.rp == r)
            return &s->source;
    struct source *s = KAP_NEW(struct source);
    s->source = (struct kap_source){ d, r, rig->nsources++ };
    s->next = rig->sources;
    rig->sources = s;
    return &s->source;
}

static enum kap_status parse(struct kap_rig *rig, const char *db, const char *rp, const char *lines,
                             struct kap_line_batch *b, struct kap_error *err)
{
    const struct kap_line_options opts = { .unit_ns = 1, .now_ns = rig->now_ns };
    return kap_line_parse(rig->parser, rig->cache, source_of(rig, db, rp), kap_str(lines), &opts, b, err);
}

enum kap_status kap_rig_write(struct kap_rig *rig, const char *db, const char *rp, const char *lines,
                              struct kap_error *err)
{
    struct kap_line_batch b = { 0 };
    const enum kap_status st = parse(rig, db, rp, lines, &b, err);
    for (size_t i = 0; st == KAP_OK && i < b.n; i++) {
        struct kap_point p;
        kap_line_batch_point(&b, i, &p);
        kap_rig_point(rig, NULL, &p);
    }
    kap_line_batch_done(&b);
    return st;
}

void kap_rig_point(struct kap_rig *rig, const char *node, const struct kap_point *p)
{
    struct kap_node *to = kap_rig_node(rig, node);
    if (p->group || to->gn->nparents == 0) {
        kap_shard_point(rig->shard, to, p);
        return;
    }
    const struct kap_dims none = { 0 };
    struct kap_point grouped = *p;
    grouped.group = kap_groups_get(rig->shard->groups, &none, p->name, p->tags, false);
    kap_shard_point(rig->shard, to, &grouped);
    kap_group_unref(rig->shard->groups, grouped.group);
}

void kap_rig_batch(struct kap_rig *rig, const char *node, const struct kap_batch *b)
{
    kap_shard_batch(rig->shard, kap_rig_node(rig, node), b);
}

void kap_rig_block(struct kap_rig *rig, const char *node, const struct kap_block *b)
{
    kap_shard_block(rig->shard, kap_rig_node(rig, node), b);
}

static int sym_order(const void *a, const void *b)
{
    return kap_sym_cmp(*(const struct kap_sym *const *)a, *(const struct kap_sym *const *)b);
}

static void parse_dims(const char *text, const struct kap_sym **names, size_t max, struct kap_dims *ret)
{
    *ret = (struct kap_dims){ .names = names };
    while (*text && ret->n < max) {
        const size_t n = strcspn(text, ",");
        names[ret->n++] = kap_sym(kap_strn(text, n));
        text += n + (text[n] == ',');
    }
    qsort((void *)names, ret->n, sizeof *names, sym_order);
}

enum kap_status kap_rig_write_batch(struct kap_rig *rig, const char *node, const char *name, int64_t time_ns,
                                    const char *dims, const char *lines, struct kap_error *err)
{
    const struct kap_sym *names[16];
    struct kap_dims by;
    parse_dims(dims, names, KAP_COUNT(names), &by);
    struct kap_line_batch lb = { 0 };
    KAP_TRY(parse(rig, "", "", lines, &lb, err));
    struct kap_batch b = { .begin = {
                               .time_ns = time_ns, .name = kap_sym_c(name), .size_hint = (uint32_t)lb.n } };
    struct kap_groups *gs = rig->shard->groups;
    for (size_t i = 0; i < lb.n; i++) {
        struct kap_point p;
        kap_line_batch_point(&lb, i, &p);
        if (!b.begin.group)
            b.begin.group = kap_groups_get(gs, &by, b.begin.name, p.tags, true);
        p.group = b.begin.group;
        kap_batch_add(&b, &p);
    }
    if (!b.begin.group)
        b.begin.group = kap_groups_get(gs, &by, b.begin.name, kap_tags_empty, true);
    kap_rig_batch(rig, node, &b);
    kap_batch_clear(gs, &b);
    kap_group_unref(gs, b.begin.group);
    kap_line_batch_done(&lb);
    return KAP_OK;
}

void kap_rig_barrier(struct kap_rig *rig, const char *node, const struct kap_barrier *b)
{
    kap_shard_barrier(rig->shard, kap_rig_node(rig, node), b);
}

void kap_rig_delete_group(struct kap_rig *rig, const char *node, struct kap_group *g)
{
    kap_shard_delete_group(rig->shard, kap_rig_node(rig, node), g);
}

void kap_rig_finish(struct kap_rig *rig)
{
    kap_shard_finish(rig->shard);
}

/* ---- time ---- */

int64_t kap_rig_now(const struct kap_rig *rig)
{
    return rig->now_ns;
}

void kap_rig_advance(struct kap_rig *rig, int64_t to_ns)
{
    for (;;) {
        const int64_t next_ns = kap_shard_next_timer(rig->shard);
        if (next_ns == 0 || next_ns > to_ns)
            break;
        rig->now_ns = KAP_MAX(rig->now_ns, next_ns);
        (void)kap_shard_fire(rig->shard, rig->now_ns);
    }
    rig->now_ns = KAP_MAX(rig->now_ns, to_ns);
}

/* ---- output ---- */

static int by_field_key(const void *a, const void *b)
{
    return kap_sym_cmp(((const struct kap_field *)a)->key, ((const struct kap_field *)b)->key);
}

static void show_value(struct kap_buf *out, const struct kap_value *v)
{
    switch (v->type) {
    case KAP_FLOAT:
        kap_number_format(out, v->f, 'g', -1);
        break;
    case KAP_INT:
        kap_buf_addf(out, "%" PRId64 "i", v->i);
        break;
    case KAP_STRING:
        kap_buf_addf(out, "\"%.*s\"", KAP_STR_ARG(v->s));
        break;
    case KAP_BOOL:
        kap_buf_adds(out, v->b ? "true" : "false");
        break;
    case KAP_TIME:
    case KAP_DURATION:
        kap_buf_addf(out, "%" PRId64 "ns", v->i);
        break;
    case KAP_MISSING:
    case KAP_REGEX:
        kap_buf_adds(out, "null");
        break;
    }
}

static void show_point(struct kap_buf *out, const char *indent, const struct kap_point *p)
{
    kap_buf_addf(out, "%spoint %s %s {", indent, p->name->s, p->group ? p->group->id.p : "-");
    for (uint32_t i = 0; i < p->tags->n; i++)
        kap_buf_addf(out, "%s%s=%.*s", i ? "," : "", p->tags->v[i].key->s, KAP_STR_ARG(p->tags->v[i].val));
    kap_buf_adds(out, "} {");
    struct kap_field *f = KAP_ARRAY(struct kap_field, p->nfields + 1);
    if (p->nfields)
        memcpy(f, p->fields, p->nfields * sizeof *f);
    qsort(f, p->nfields, sizeof *f, by_field_key);
    for (uint32_t i = 0; i < p->nfields; i++) {
        kap_buf_addf(out, "%s%s=", i ? "," : "", f[i].key->s);
        show_value(out, &f[i].v);
    }
    kap_free(f);
    kap_buf_addf(out, "} %" PRId64 "\n", p->time_ns);
}

static void text_point(void *ctx, const struct kap_point *p)
{
    show_point((struct kap_buf *)ctx, "", p);
}

static void text_begin(void *ctx, const struct kap_batch_begin *b)
{
    kap_buf_addf((struct kap_buf *)ctx, "begin %s %s %" PRId64 "\n", b->name->s, b->group->id.p, b->time_ns);
}

static void text_batch_point(void *ctx, const struct kap_point *p)
{
    show_point((struct kap_buf *)ctx, "  ", p);
}

static void text_end(void *ctx, const struct kap_batch_begin *b)
{
    kap_buf_adds((struct kap_buf *)ctx, "end\n");
}

static void text_barrier(void *ctx, const struct kap_barrier *b)
{
    kap_buf_addf((struct kap_buf *)ctx, "barrier %s %" PRId64 "\n", b->group->id.p, b->time_ns);
}

static void text_delete_group(void *ctx, struct kap_group *g)
{
    kap_buf_addf((struct kap_buf *)ctx, "delete %s\n", g->id.p);
}

void kap_rig_capture(struct kap_rig *rig, const char *node, const struct kap_capture *capture)
{
    struct hook *h = KAP_NEW(struct hook);
    h->capture = *capture;
    h->next = rig->hooks;
    rig->hooks = h;
    kap_rig_node(rig, node)->capture = &h->capture;
}

void kap_rig_collect(struct kap_rig *rig, const char *node, struct kap_buf *out)
{
    const struct kap_capture text = { text_point, text_begin,   text_batch_point, text_end,
                                      text_barrier, text_delete_group, out };
    kap_rig_capture(rig, node, &text);
}

bool kap_rig_failed(const struct kap_rig *rig, struct kap_error *err)
{
    if (!atomic_load(&rig->shard->failed))
        return false;
    if (err)
        *err = rig->shard->failure;
    return true;
}

void kap_rig_stats(const struct kap_rig *rig, struct kap_task_stats *ret)
{
    kap_shard_stats(rig->shard, ret);
}

void kap_rig_save(struct kap_rig *rig, struct kap_buf *out)
{
    kap_shard_save(rig->shard, out);
}

enum kap_status kap_rig_load(struct kap_rig *rig, struct kap_str data, struct kap_error *err)
{
    return kap_shard_load(rig->shard, data, err);
}
