/* barrier: tells what follows that time has passed, so that windows close without new data, and optionally that a
 * group is gone. Idle: a barrier when a group had no point for a while, dated last point + idle. Period: at multiples
 * of the period since the epoch, the same instants on every member. Points older than the last barrier are dropped. */
#include "base/mem.h"
#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    int64_t idle_ns, period_ns;
    bool delete_group;
};

struct group;

struct state {
    struct group **by_index; /* of the group: timers find theirs without a search */
    uint32_t n;
};

struct group {
    struct kap_group *group;
    int64_t last_point_ns, last_barrier_ns; /* data time; the latter INT64_MIN before the first */
    int64_t due_ns;                         /* wall clock */
};

/* The group's index names its timer. */
static void arm(struct kap_node *n, const struct group *g)
{
    kap_node_set_timer(n, (uint64_t)g->group->index + 1, g->due_ns);
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    const struct config *c = kap_node_config(n);
    struct group *g = gs;
    const int64_t now_ns = kap_node_now(n);
    g->group = kg;
    g->last_point_ns = now_ns;
    g->last_barrier_ns = INT64_MIN;
    g->due_ns = c->idle_ns > 0 ? now_ns + c->idle_ns : kap_time_truncate(now_ns, c->period_ns) + c->period_ns;
    struct state *s = state;
    if (kg->index >= s->n) {
        uint32_t cap = s->n;
        KAP_GROW(s->by_index, cap, kg->index + 1);
        memset(s->by_index + s->n, 0, (cap - s->n) * sizeof *s->by_index);
        s->n = cap;
    }
    s->by_index[kg->index] = g;
    arm(n, g);
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    ((struct state *)state)->by_index[kg->index] = NULL;
    kap_node_set_timer(n, (uint64_t)kg->index + 1, 0);
}

static enum kap_status open_barrier(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    if (c->idle_ns == 0 && c->period_ns == 0)
        return kap_fail(err, KAP_EINVAL, "barrier node must have either a non zero idle or a non zero period");
    return KAP_OK;
}

/* Takes note of a message; false: it is older than the last barrier. */
static bool fresh(struct kap_node *n, struct group *g, int64_t time_ns)
{
    const struct config *c = kap_node_config(n);
    if (time_ns < g->last_barrier_ns)
        return false;
    g->last_point_ns = time_ns;
    if (c->idle_ns > 0) /* the timer is moved when it fires, not for each point */
        g->due_ns = kap_node_now(n) + c->idle_ns;
    return true;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (fresh(n, gs, p->time_ns))
        kap_emit_point(n, p);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (fresh(n, gs, p->time_ns))
        kap_emit_batch_point(n, p);
}

static void barrier(struct kap_node *n, void *state, void *gs, const struct kap_barrier *b, int in)
{
    struct group *g = gs;
    if (!fresh(n, g, b->time_ns))
        return;
    if (((const struct config *)kap_node_config(n))->idle_ns > 0)
        g->last_barrier_ns = b->time_ns;
    kap_emit_barrier(n, b);
}

static void fire(struct kap_node *n, struct group *g)
{
    const struct config *c = kap_node_config(n);
    struct kap_group *kg = kap_group_ref(g->group);
    const bool idle = c->idle_ns > 0;
    const struct kap_barrier b = { .time_ns = idle ? g->last_point_ns + c->idle_ns : g->due_ns, .group = kg };
    g->last_point_ns = g->last_barrier_ns = b.time_ns;
    g->due_ns += idle ? c->idle_ns : c->period_ns;
    if (!c->delete_group)
        arm(n, g);
    kap_emit_barrier(n, &b);
    if (c->delete_group) {
        kap_emit_delete_group(n, kg);
        kap_node_forget_group(n, kg);
    }
    kap_group_unref(kap_node_groups(n), kg);
}

static void timer(struct kap_node *n, void *state, uint64_t id, int64_t now_ns)
{
    const struct state *s = state;
    struct group *g = id - 1 < s->n ? s->by_index[id - 1] : NULL;
    if (!g)
        return;
    if (g->due_ns > now_ns)
        arm(n, g);
    else
        fire(n, g);
}

static void close_barrier(struct kap_node *n, void *state)
{
    kap_free(((struct state *)state)->by_index);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct group *g = gs;
    if (!kg)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_i64(&w, g->last_point_ns);
    kap_snap_i64(&w, g->last_barrier_ns);
    kap_snap_i64(&w, g->due_ns);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    struct group *g = gs;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    g->last_point_ns = kap_snap_get_i64(&r);
    g->last_barrier_ns = kap_snap_get_i64(&r);
    g->due_ns = kap_snap_get_i64(&r);
    arm(n, g);
    return kap_snap_end(&r, err);
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct config *c = node->config;
    if (c->idle_ns != 0 && c->period_ns != 0)
        return kap_fail(err, KAP_EINVAL, "cannot specify both idle and period");
    if (c->period_ns == 0 && c->idle_ns <= 0)
        return kap_fail(err, KAP_EINVAL, "idle must be greater than zero");
    if (c->idle_ns == 0 && c->period_ns <= 0)
        return kap_fail(err, KAP_EINVAL, "period must be greater than zero");
    return KAP_OK;
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    kap_columns_below(node, c);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(DURATION, struct config, idle_ns, "idle", NULL, "A barrier when a group had no points for this long."),
    KAP_PROP_AT(DURATION, struct config, period_ns, "period", NULL, "A barrier every period of wall-clock time."),
    KAP_PROP_AT(BOOL, struct config, delete_group, "delete", NULL, "Forget the group after each barrier."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_barrier,
    .close = close_barrier,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .batch_point = batch_point,
    .barrier = barrier,
    .timer = timer,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_barrier = {
    .name = "barrier",
    .kind = "barrier",
    .doc = "Emits barriers, which close windows without new data and may end groups.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .props = props,
    .check = check,
    .run = &run,
};
