/* Windows over a stream, by time or by count of points.
 *
 * By time with every > 0 a window is [oldest, emit time): it is emitted when a point at or past the emit time arrives,
 * before that point goes in. With every 0 it is (oldest, now]: emitted at each point, the point included. Points stay
 * in the order of their arrival, late ones too; what is too old goes from the oldest end only. */
#include "base/mem.h"
#include "nodes/nodes.h"
#include "nodes/ring.h"

struct config {
    int64_t period_ns, every_ns;
    int64_t period_count, every_count;
    bool align, fill_period;
};

struct state {
    const struct config *cfg;
    struct kap_columns keep;
    struct kap_field_buf fields; /* of the point that is being emitted */
};

struct group {
    bool started;
    const struct kap_sym *name;
    int64_t next_emit_ns;        /* by time */
    int64_t count, next_emit;    /* by count */
    struct kap_ring ring;
    size_t charged;
};

static enum kap_status open_window(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    if (s->cfg->period_ns == 0 && s->cfg->period_count == 0)
        return kap_fail(err, KAP_EINVAL,
                        "window node must have either a non zero period or non zero period count");
    kap_columns_below(kap_node_graph(n), &s->keep);
    return KAP_OK;
}

static void close_window(struct kap_node *n, void *state)
{
    struct state *s = state;
    kap_columns_done(&s->keep);
    kap_field_buf_done(&s->fields);
}

static void charge(struct kap_node *n, struct group *g)
{
    if (g->ring.bytes == g->charged)
        return;
    kap_node_charge(n, (int64_t)g->ring.bytes - (int64_t)g->charged);
    g->charged = g->ring.bytes;
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    struct group *g = gs;
    kap_ring_done(&g->ring);
    charge(n, g);
}

static void start(const struct config *c, struct group *g, const struct kap_sym *name, int64_t t_ns)
{
    g->started = true;
    g->name = name;
    g->next_emit = c->fill_period ? c->period_count : c->every_count;
    if (!c->fill_period) {
        g->next_emit_ns = t_ns + c->every_ns;
        if (c->align)
            g->next_emit_ns = kap_time_truncate(g->next_emit_ns, c->every_ns);
        return;
    }
    const int64_t full_ns = t_ns + c->period_ns;
    g->next_emit_ns = full_ns;
    if (c->align) {
        /* The first period is never a partial one: its first few points are left out. */
        g->next_emit_ns = kap_time_truncate(full_ns, c->every_ns);
        if (g->next_emit_ns <= full_ns)
            g->next_emit_ns += c->every_ns;
    }
}

static void emit(struct kap_node *n, struct state *s, struct group *g, struct kap_group *kg, int64_t tmax_ns)
{
    const struct kap_batch_begin b = {
        .time_ns = tmax_ns,
        .name = g->name,
        .group = kg,
        .size_hint = (uint32_t)KAP_MIN(g->ring.n, (size_t)UINT32_MAX),
    };
    struct kap_point p = { .db = kap_sym_empty, .rp = kap_sym_empty, .name = g->name, .group = kg };
    kap_emit_begin(n, &b);
    for (struct kap_ring_iter it = kap_ring_begin(&g->ring); kap_ring_next(&g->ring, &it, &s->fields, &p);)
        kap_emit_batch_point(n, &p);
    kap_emit_end(n, &b);
}

/* Drops points from the oldest end up to the first that is young enough. */
static void purge(struct kap_ring *r, int64_t oldest_ns, bool inclusive)
{
    while (r->n) {
        const int64_t t_ns = kap_ring_first_time(r);
        if (inclusive ? t_ns >= oldest_ns : t_ns > oldest_ns)
            return;
        kap_ring_pop(r, 1);
    }
}

/* The time has come to t_ns: emits the window if it is due. */
static void pass_time(struct kap_node *n, struct state *s, struct group *g, struct kap_group *kg, int64_t t_ns)
{
    const struct config *c = s->cfg;
    if (t_ns < g->next_emit_ns)
        return;
    if (c->every_ns == 0) {
        purge(&g->ring, t_ns - c->period_ns, false);
        emit(n, s, g, kg, t_ns);
        g->next_emit_ns = t_ns;
        return;
    }
    purge(&g->ring, g->next_emit_ns - c->period_ns, true);
    emit(n, s, g, kg, g->next_emit_ns);
    /* Counted from now, not from the last emission: windows that were missed are skipped. */
    g->next_emit_ns = t_ns + c->every_ns;
    if (c->align)
        g->next_emit_ns = kap_time_truncate(g->next_emit_ns, c->every_ns);
}

static void by_count(struct kap_node *n, struct state *s, struct group *g, const struct kap_point *p)
{
    const struct config *c = s->cfg;
    kap_ring_push(&g->ring, p, &s->keep);
    if (g->ring.n > (size_t)c->period_count)
        kap_ring_pop(&g->ring, g->ring.n - (size_t)c->period_count);
    if (++g->count == g->next_emit) {
        g->next_emit += c->every_count;
        emit(n, s, g, p->group, p->time_ns);
    }
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    struct group *g = gs;
    if (!g->started)
        start(s->cfg, g, p->name, p->time_ns);
    if (s->cfg->period_ns == 0) {
        by_count(n, s, g, p);
    } else if (s->cfg->every_ns == 0) {
        kap_ring_push(&g->ring, p, &s->keep);
        pass_time(n, s, g, p->group, p->time_ns);
    } else {
        pass_time(n, s, g, p->group, p->time_ns);
        kap_ring_push(&g->ring, p, &s->keep);
    }
    charge(n, g);
}

/* A window by time takes a barrier for the passing of time; by count it lets it pass. */
static void barrier(struct kap_node *n, void *state, void *gs, const struct kap_barrier *b, int in)
{
    struct state *s = state;
    struct group *g = gs;
    if (s->cfg->period_ns == 0) {
        kap_emit_barrier(n, b);
        return;
    }
    if (!g->started)
        start(s->cfg, g, b->group->name ? b->group->name : kap_sym_empty, b->time_ns);
    pass_time(n, s, g, b->group, b->time_ns);
    charge(n, g);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct group *g = gs;
    if (!kg || !g->started)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_sym(&w, g->name);
    kap_snap_i64(&w, g->next_emit_ns);
    kap_snap_i64(&w, g->count);
    kap_snap_i64(&w, g->next_emit);
    kap_ring_save(&g->ring, &w);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    struct state *s = state;
    struct group *g = gs;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    g->name = kap_snap_get_sym(&r);
    g->next_emit_ns = kap_snap_get_i64(&r);
    g->count = kap_snap_get_i64(&r);
    g->next_emit = kap_snap_get_i64(&r);
    kap_ring_load(&g->ring, &r, &s->keep);
    g->started = g->name != NULL;
    charge(n, g);
    return kap_snap_end(&r, err);
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct config *c = node->config;
    if (c->period_count != 0 && c->period_ns != 0)
        return kap_fail(err, KAP_EINVAL, "cannot specify both period and periodCount");
    if (c->period_count != 0 && c->align)
        return kap_fail(err, KAP_EINVAL, "can only align windows based off time, not count");
    if (c->period_count != 0 && c->every_count <= 0)
        return kap_fail(err, KAP_EINVAL, "everyCount must be greater than zero");
    if (c->period_count < 0)
        return kap_fail(err, KAP_EINVAL, "periodCount must be greater than zero");
    return KAP_OK;
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    if (nargs)
        return kap_fail(err, KAP_EINVAL, "window takes no arguments");
    if (node->nparents && node->parents[0]->edge == KAP_EDGE_BATCH)
        return kap_fail(err, KAP_EINVAL, "cannot Window batch edge");
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(DURATION, struct config, period_ns, "period", NULL, "The span of time that a window covers."),
    KAP_PROP_AT(DURATION, struct config, every_ns, "every", NULL,
                "How often the window is emitted; 0s: at every point."),
    KAP_PROP_AT(FLAG, struct config, align, "align", NULL, "Puts the boundaries on multiples of every."),
    KAP_PROP_AT(FLAG, struct config, fill_period, "fillPeriod", NULL,
                "Holds the first window back until a whole period has passed."),
    KAP_PROP_AT(INT, struct config, period_count, "periodCount", NULL, "The number of points that a window holds."),
    KAP_PROP_AT(INT, struct config, every_count, "everyCount", NULL,
                "The number of points after which the window is emitted."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_window,
    .close = close_window,
    .group_close = group_close,
    .point = point,
    .barrier = barrier,
    .save = save,
    .load = load,
};

const struct kap_node_type kap_node_window = {
    .name = "window",
    .kind = "window",
    .doc = "Keeps the most recent points of each group and emits them as a batch, by time (period, every) or by count "
           "(periodCount, everyCount).",
    .signature = "()",
    .wants = KAP_EDGE_ANY, /* a batch is refused by args, in the words users know */
    .provides = KAP_EDGE_BATCH,
    .config_size = sizeof(struct config),
    .args = args,
    .props = props,
    .check = check,
    .run = &run,
};
