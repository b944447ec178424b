/* union: merges the messages of its parents in the order of time. A message goes on once every parent has shown one
 * at or past its time; those of one time go parent by parent. */
#include "base/mem.h"
#include "nodes/columns.h"
#include "nodes/multi.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    struct kap_str rename;
};

struct source {
    struct kap_message *v;   /* a queue: first .. first + n of v */
    size_t first, n, cap;
    bool seen;
    int64_t mark_ns;         /* time of the last message that was at the head */
};

struct state {
    const struct kap_sym *rename; /* NULL: names stay */
    struct source *sources;
    size_t nsources, finished;
    struct kap_batch *coming;     /* of each source: the batch that comes in */
};

static enum kap_status open_union(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    struct state *s = state;
    s->rename = c->rename.n ? kap_sym(c->rename) : NULL;
    s->nsources = kap_node_graph(n)->nparents;
    s->sources = KAP_ARRAY(struct source, s->nsources + 1);
    s->coming = KAP_ARRAY(struct kap_batch, s->nsources + 1);
    return KAP_OK;
}

static void close_union(struct kap_node *n, void *state)
{
    struct state *s = state;
    for (size_t i = 0; i < s->nsources; i++) {
        struct source *src = &s->sources[i];
        for (size_t k = 0; k < src->n; k++)
            kap_message_done(n, &src->v[src->first + k]);
        kap_free(src->v);
        kap_batch_clear(kap_node_groups(n), &s->coming[i]);
    }
    kap_free(s->sources);
    kap_free(s->coming);
}

static void push(struct source *s, struct kap_message m)
{
    if (s->first && s->first + s->n == s->cap) {
        memmove(s->v, s->v + s->first, s->n * sizeof *s->v);
        s->first = 0;
    }
    KAP_GROW(s->v, s->cap, s->first + s->n + 1);
    s->v[s->first + s->n++] = m;
}

/* The time up to which all can go: false when a parent has not shown anything yet. */
static bool find_mark(struct state *s, bool drain, int64_t *ret)
{
    bool any = false;
    int64_t mark_ns = 0;
    size_t valid = 0;
    for (size_t i = 0; i < s->nsources; i++) {
        struct source *src = &s->sources[i];
        if (src->n) {
            src->mark_ns = kap_message_time(&src->v[src->first]);
            src->seen = true;
        }
        if (src->seen)
            valid++;
        if ((src->n || (src->seen && !drain)) && (!any || src->mark_ns < mark_ns)) {
            mark_ns = src->mark_ns;
            any = true;
        }
    }
    *ret = mark_ns;
    return any && (drain || valid == s->nsources);
}

static void release(struct kap_node *n, struct state *s, bool drain)
{
    bool emitted = true;
    int64_t mark_ns;
    while (emitted && find_mark(s, drain, &mark_ns)) {
        emitted = false;
        for (size_t i = 0; i < s->nsources; i++) {
            struct source *src = &s->sources[i];
            while (src->n && kap_message_time(&src->v[src->first]) <= mark_ns) {
                struct kap_message m = src->v[src->first++];
                if (--src->n == 0)
                    src->first = 0;
                kap_message_emit(n, &m, s->rename);
                kap_message_done(n, &m);
                emitted = true;
            }
        }
    }
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    push(&s->sources[in], kap_message_point(n, p));
    release(n, s, false);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    kap_batch_clear(kap_node_groups(n), &s->coming[in]);
    s->coming[in].begin = *b;
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    kap_batch_add(&((struct state *)state)->coming[in], p);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    push(&s->sources[in], kap_message_batch(n, &s->coming[in]));
    release(n, s, false);
}

static void barrier(struct kap_node *n, void *state, void *gs, const struct kap_barrier *b, int in)
{
    struct state *s = state;
    push(&s->sources[in], kap_message_barrier(n, b));
    release(n, s, false);
}

static void finish(struct kap_node *n, void *state, int in)
{
    struct state *s = state;
    if (++s->finished >= s->nsources)
        release(n, s, true);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    const struct state *s = state;
    if (g)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_u64(&w, s->nsources);
    for (size_t i = 0; i < s->nsources; i++) {
        const struct source *src = &s->sources[i];
        kap_snap_u64(&w, src->seen);
        kap_snap_i64(&w, src->mark_ns);
        kap_snap_u64(&w, src->n);
        for (size_t k = 0; k < src->n; k++)
            kap_snap_message(&w, &src->v[src->first + k]);
    }
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err)
{
    struct state *s = state;
    if (g || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    if (kap_snap_get_u64(&r) != s->nsources)
        return kap_fail(err, KAP_EINVAL, "snapshot of a union with other parents");
    for (size_t i = 0; i < s->nsources; i++) {
        struct source *src = &s->sources[i];
        src->seen = kap_snap_get_u64(&r) != 0;
        src->mark_ns = kap_snap_get_i64(&r);
        for (size_t left = kap_snap_get_count(&r); left && !r.bad; left--) {
            struct kap_message m;
            if (kap_snap_get_message(&r, n, &m))
                push(src, m);
        }
    }
    return kap_snap_end(&r, err);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    return kap_link_nodes(node, args, nargs, err);
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    kap_columns_below(node, c);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct config, rename, "rename", NULL, "The measurement of what comes out; empty: as it was."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_union,
    .close = close_union,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .barrier = barrier,
    .finish = finish,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_union = {
    .name = "union",
    .kind = "union",
    .doc = "Merges the data of several nodes into one, in the order of time.",
    .signature = "(nodes ...node)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .props = props,
    .run = &run,
};
