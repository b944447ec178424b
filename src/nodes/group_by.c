/* groupBy: another grouping for what follows. Points only change their group. The points of batches are sorted into
 * new batches, which are held back until a batch of another time begins: parts of several batches of one time, one
 * for each old group, come together. */
#include "base/map.h"
#include "base/mem.h"
#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct held {
    struct kap_group *group;
    struct kap_batch batch;
    size_t bytes;
};

struct state {
    struct kap_grouper grouper;
    struct kap_map *held;     /* group pointer -> struct held, in order of appearance */
    bool timed;               /* last_ns is set */
    int64_t last_ns;
    struct kap_batch_begin begin; /* of the batch that is coming in; its group is borrowed until its end */
};

static struct kap_str key_of(struct kap_group *const *g)
{
    return kap_strn((const char *)g, sizeof(struct kap_group *));
}

static enum kap_status open_group_by(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    kap_grouper_open(&s->grouper, kap_node_config(n));
    s->held = kap_map_new();
    return KAP_OK;
}

static void held_free(struct kap_node *n, struct held *h)
{
    kap_node_charge(n, -(int64_t)h->bytes);
    kap_batch_clear(kap_node_groups(n), &h->batch);
    kap_group_unref(kap_node_groups(n), h->group);
    kap_free(h);
}

static void close_group_by(struct kap_node *n, void *state)
{
    struct state *s = state;
    void *h;
    for (size_t i = 0; kap_map_next(s->held, &i, NULL, &h);)
        held_free(n, h);
    kap_map_free(s->held);
    kap_grouper_close(&s->grouper);
}

static struct kap_dims dims_of(struct state *s, const struct kap_group *old, const struct kap_tags *tags)
{
    struct kap_dims d = kap_grouper_dims(&s->grouper, tags);
    d.by_name |= old->dims.by_name;
    return d;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    const struct kap_dims d = dims_of(state, p->group, p->tags);
    struct kap_point q = *p;
    q.group = kap_groups_get(kap_node_groups(n), &d, p->name, p->tags, false);
    kap_emit_point(n, &q);
    kap_group_unref(kap_node_groups(n), q.group);
}

static int by_time(const void *a, const void *b)
{
    const struct kap_point *x = *(struct kap_point *const *)a, *y = *(struct kap_point *const *)b;
    return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

/* In time order; points of one time stay in their order. */
static void sort_points(struct kap_batch *b)
{
    bool sorted = true;
    for (size_t i = 1; i < b->n && sorted; i++)
        sorted = b->points[i - 1]->time_ns <= b->points[i]->time_ns;
    if (!sorted)
        kap_sort_stable(b->points, b->n, sizeof *b->points, by_time);
}

/* The time is t_ns: batches of another time are complete. */
static void release(struct kap_node *n, struct state *s, int64_t t_ns)
{
    if (s->timed && t_ns == s->last_ns)
        return;
    s->timed = true;
    s->last_ns = t_ns;
    struct kap_map *held = s->held;
    s->held = kap_map_new();
    void *v;
    for (size_t i = 0; kap_map_next(held, &i, NULL, &v);) {
        struct held *h = v;
        sort_points(&h->batch);
        h->batch.begin.size_hint = (uint32_t)h->batch.n;
        kap_emit_batch(n, &h->batch);
        held_free(n, h);
    }
    kap_map_free(held);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    release(n, s, b->time_ns);
    s->begin = *b;
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    const struct kap_dims d = dims_of(s, s->begin.group, p->tags);
    struct kap_group *g = kap_groups_get(kap_node_groups(n), &d, s->begin.name, p->tags, true);
    struct held *h = kap_map_get(s->held, key_of(&g));
    if (!h) {
        h = KAP_NEW(struct held);
        h->group = kap_group_ref(g);
        h->batch.begin = s->begin;
        h->batch.begin.group = g;
        kap_map_put(s->held, key_of(&g), h);
    }
    struct kap_point q = *p;
    q.group = g;
    kap_batch_add(&h->batch, &q);
    const size_t bytes = kap_point_bytes(h->batch.points[h->batch.n - 1]) + sizeof(void *);
    h->bytes += bytes;
    kap_node_charge(n, (int64_t)bytes);
    kap_group_unref(kap_node_groups(n), g);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
}

static void barrier(struct kap_node *n, void *state, void *gs, const struct kap_barrier *b, int in)
{
    release(n, state, b->time_ns);
    kap_emit_barrier(n, b);
}

static void delete_group(struct kap_node *n, void *state, void *gs, struct kap_group *g, int in)
{
    struct held *h = kap_map_del(((struct state *)state)->held, key_of(&g));
    if (h)
        held_free(n, h);
    kap_emit_delete_group(n, g);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    const struct state *s = state;
    if (g || (!s->timed && !kap_map_len(s->held)))
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_u64(&w, s->timed);
    kap_snap_i64(&w, s->last_ns);
    kap_snap_u64(&w, kap_map_len(s->held));
    void *h;
    for (size_t i = 0; kap_map_next(s->held, &i, NULL, &h);)
        kap_snap_batch(&w, &((const struct held *)h)->batch);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err)
{
    struct state *s = state;
    if (g || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    s->timed = kap_snap_get_u64(&r) != 0;
    s->last_ns = kap_snap_get_i64(&r);
    for (size_t left = kap_snap_get_count(&r); left && !r.bad; left--) {
        struct held *h = KAP_NEW(struct held);
        if (!kap_snap_get_batch(&r, kap_node_groups(n), &h->batch)) {
            kap_free(h);
            break;
        }
        h->group = h->batch.begin.group; /* the reference came with the batch */
        for (size_t i = 0; i < h->batch.n; i++)
            h->bytes += kap_point_bytes(h->batch.points[i]) + sizeof(void *);
        kap_node_charge(n, (int64_t)h->bytes);
        struct held *same = kap_map_put(s->held, key_of(&h->group), h);
        if (same)
            held_free(n, same);
    }
    return kap_snap_end(&r, err);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    return kap_group_by_set(config, arena, args, nargs, err);
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    return kap_group_by_check(node->config, err);
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    c->tags = true;
    kap_columns_below(node, c);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(FLAG, struct kap_group_by, by_name, "byMeasurement", NULL, "Makes the measurement a part of the group."),
    KAP_PROP_AT(STRINGS, struct kap_group_by, exclude, "exclude", NULL, "Tags that * leaves out."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_group_by,
    .close = close_group_by,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .barrier = barrier,
    .delete_group = delete_group,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_group_by = {
    .name = "groupBy",
    .kind = "groupby",
    .doc = "Groups what follows by other tags; * takes all tags.",
    .signature = "(tags ...string or *)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct kap_group_by),
    .args = args,
    .props = props,
    .check = check,
    .run = &run,
};
