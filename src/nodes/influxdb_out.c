#include "base/mem.h"
#include "data/line.h"
#include "nodes/nodes.h"
#include "nodes/services.h"
#include "nodes/util.h"

struct config {
    struct kap_str cluster, database, retention_policy, measurement, precision, consistency;
    struct kap_keyed_values tags;
    int64_t buffer, flush_interval_ns;
    bool create;
};

enum { POINTS_WRITTEN, WRITE_ERRORS };
static const char *const counters[] = { "points_written", "write_errors", NULL };
enum { FLUSH_TIMER = 1 };

/* Lines for one database and retention policy. */
struct target {
    const struct kap_sym *db, *rp;
    struct kap_buf lines;
    int64_t n;
};

struct state {
    const struct config *cfg;
    const struct kap_sym *db, *rp, *name; /* NULL: the point's */
    int64_t unit_ns;
    struct target *targets;
    size_t ntargets, cap;
    bool timer;
    struct kap_tag_buf tags;
    struct kap_field_buf fields;
};

static const struct kap_sym *given(struct kap_str s)
{
    return s.n ? kap_sym(s) : NULL;
}

static enum kap_status open_out(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    const struct kap_services *services = kap_node_services(n);
    const struct config *c = s->cfg = kap_node_config(n);
    if (!services->influxdb_write || !services->influxdb_create)
        return kap_fail(err, KAP_EINVAL, "no InfluxDB cluster configured cannot use the InfluxDBOutNode");
    s->db = given(c->database);
    s->rp = given(c->retention_policy);
    s->name = given(c->measurement);
    s->unit_ns = kap_line_precision(c->precision);
    struct kap_error create_err;
    if (c->create && services->influxdb_create(services->ctx, c->cluster, c->database, c->retention_policy,
                                               &create_err) != KAP_OK)
        kap_node_error(n, NULL, "failed to create database: %s", create_err.msg);
    return KAP_OK;
}

static void flush(struct kap_node *n, struct state *s, struct target *t)
{
    const struct kap_services *services = kap_node_services(n);
    const struct config *c = s->cfg;
    struct kap_error err;
    if (t->n == 0)
        return;
    const enum kap_status status =
        services->influxdb_write(services->ctx, c->cluster, kap_sym_str(t->db), kap_sym_str(t->rp), c->consistency,
                                 c->precision.n ? c->precision : KAP_STR("ns"), kap_buf_str(&t->lines), &err);
    if (status == KAP_OK) {
        kap_node_count(n, POINTS_WRITTEN, t->n);
    } else {
        kap_node_count(n, WRITE_ERRORS, 1);
        kap_node_error(n, NULL, "failed to write points to InfluxDB: %s", err.msg);
    }
    kap_node_charge(n, -(int64_t)t->lines.n);
    kap_buf_reset(&t->lines);
    t->n = 0;
}

static void flush_all(struct kap_node *n, struct state *s)
{
    for (size_t i = 0; i < s->ntargets; i++)
        flush(n, s, &s->targets[i]);
}

static void close_out(struct kap_node *n, void *state)
{
    struct state *s = state;
    flush_all(n, s);
    for (size_t i = 0; i < s->ntargets; i++)
        kap_buf_done(&s->targets[i].lines);
    kap_free(s->targets);
    kap_tag_buf_done(&s->tags);
    kap_field_buf_done(&s->fields);
}

static void timer(struct kap_node *n, void *state, uint64_t id, int64_t now_ns)
{
    struct state *s = state;
    s->timer = false;
    flush_all(n, s);
}

static struct target *target_of(struct state *s, const struct kap_sym *db, const struct kap_sym *rp)
{
    for (size_t i = 0; i < s->ntargets; i++)
        if (s->targets[i].db == db && s->targets[i].rp == rp)
            return &s->targets[i];
    KAP_GROW(s->targets, s->cap, s->ntargets + 1);
    struct target *t = &s->targets[s->ntargets++];
    *t = (struct target){ .db = db, .rp = rp };
    return t;
}

static int by_key(const void *a, const void *b)
{
    const struct kap_field *x = a, *y = b;
    return kap_sym_cmp(x->key, y->key);
}

static struct target *write_point(struct kap_node *n, struct state *s, const struct kap_point *p)
{
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    if (s->fields.n > 1)
        qsort(s->fields.v, s->fields.n, sizeof *s->fields.v, by_key);
    struct kap_point q = kap_point_with(p, &s->fields);
    struct target *t = target_of(s, s->db ? s->db : p->db, s->rp ? s->rp : p->rp);
    q.name = s->name ? s->name : p->name;
    if (s->cfg->tags.n) {
        kap_tag_buf_copy(&s->tags, p->tags);
        for (size_t i = 0; i < s->cfg->tags.n; i++)
            kap_tag_buf_set(&s->tags, s->cfg->tags.v[i].key, s->cfg->tags.v[i].v.s);
        q.tags = kap_tag_buf_tags(&s->tags);
    } else {
        q.tags = kap_tags_ref(p->tags);
    }
    const size_t before = t->lines.n;
    kap_line_write(&t->lines, &q, s->unit_ns);
    kap_tags_unref(q.tags);
    kap_node_charge(n, (int64_t)(t->lines.n - before));
    t->n += t->lines.n > before; /* a point of nothing but nulls has no line */
    return t;
}

static void written(struct kap_node *n, struct state *s, struct target *t)
{
    if (t->n >= s->cfg->buffer) {
        flush(n, s, t);
    } else if (!s->timer && t->n) {
        s->timer = true;
        kap_node_set_timer(n, FLUSH_TIMER, kap_node_now(n) + s->cfg->flush_interval_ns);
    }
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    written(n, s, write_point(n, s, p));
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    write_point(n, state, p);
}

/* A batch is not cut: the size is looked at when it is whole. */
static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    for (size_t i = 0; i < s->ntargets; i++)
        written(n, s, &s->targets[i]);
}

static void finish(struct kap_node *n, void *state, int in)
{
    flush_all(n, state);
}

static void init(void *config)
{
    struct config *c = config;
    c->buffer = 1000;
    c->flush_interval_ns = 10 * INT64_C(1000000000);
}

static enum kap_status set_tag(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                               struct kap_error *err)
{
    return kap_keyed_set_string(&((struct config *)config)->tags, arena, args, nargs, "tag", err);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct config, cluster, "cluster", NULL, "The configured InfluxDB; empty: the default one."),
    KAP_PROP_AT(STRING, struct config, database, "database", NULL, "The database; empty: that of the data."),
    KAP_PROP_AT(STRING, struct config, retention_policy, "retentionPolicy", NULL,
                "The retention policy; empty: that of the data."),
    KAP_PROP_AT(STRING, struct config, measurement, "measurement", NULL, "The measurement; empty: that of the data."),
    KAP_PROP_AT(STRING, struct config, consistency, "writeConsistency", NULL, "The consistency of an InfluxDB cluster."),
    KAP_PROP_AT(STRING, struct config, precision, "precision", NULL, "The precision of times; ns by default."),
    KAP_PROP_AT(INT, struct config, buffer, "buffer", NULL, "Points to write at once; 1000 by default."),
    KAP_PROP_AT(DURATION, struct config, flush_interval_ns, "flushInterval", NULL,
                "Points wait no longer than this; 10s by default."),
    KAP_PROP_AT(FLAG, struct config, create, "create", NULL, "Creates the database when the task starts."),
    { .kind = KAP_PROP_CALL, .name = "tag", .signature = "(key string, value string)", .set = set_tag,
      .doc = "A tag to add to each point." },
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_out,
    .close = close_out,
    .point = point,
    .batch_point = batch_point,
    .end = end,
    .finish = finish,
    .timer = timer,
    .counters = counters,
};

const struct kap_node_type kap_node_influxdb_out = {
    .name = "influxDBOut",
    .kind = "influxdb_out",
    .shown = "InfluxDBOutNode",
    .doc = "Writes data to InfluxDB.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_NONE,
    .config_size = sizeof(struct config),
    .init = init,
    .props = props,
    .no_children = true,
    .run = &run,
};
