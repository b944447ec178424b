#include "engine/run.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <time.h>

/* How often a message that enters is timed, node by node; and the share of the newest in the moving average.
 */
enum { TIMED_EVERY = 64, AVERAGE_SHIFT = 5 };

static int64_t cpu_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* A node's own time is what its calls take less what the children that it calls take. */
struct timed {
    int64_t start_ns, outer_child_ns;
};

static struct timed timed_start(struct kap_shard *s)
{
    const struct timed t = { cpu_clock_ns(), s->child_ns };
    s->child_ns = 0;
    return t;
}

static void timed_end(struct kap_node *n, struct timed t)
{
    struct kap_shard *s = n->shard;
    const int64_t all_ns = cpu_clock_ns() - t.start_ns;
    const int64_t own_ns = KAP_MAX(all_ns - s->child_ns, 0);
    s->child_ns = t.outer_child_ns + all_ns;
    const int64_t avg_ns = kap_counter_get(&n->avg_exec_ns);
    const int64_t next_ns = avg_ns ? avg_ns + ((own_ns - avg_ns) >> AVERAGE_SHIFT) : own_ns;
    atomic_store_explicit(&n->avg_exec_ns, next_ns, memory_order_relaxed);
    kap_counter_add(&n->cpu_ns, own_ns * TIMED_EVERY);
}

static inline void *state_of(struct kap_node *n, struct kap_group *g)
{
    if (!n->grouped)
        return NULL;
    if (g->index < n->nby_index && n->by_index[g->index])
        return n->run->group_size ? n->by_index[g->index]->data : NULL;
    return kap_node_group_state(n, g);
}

/* One message to one node that has a function for it. */
#define DELIVER(n, group, call_own)                                                                          \
    do {                                                                                                     \
        void *gs = state_of((n), (group));                                                                   \
        if (!(n)->shard->timing) {                                                                           \
            call_own;                                                                                        \
            break;                                                                                           \
        }                                                                                                    \
        const struct timed started = timed_start((n)->shard);                                                \
        call_own;                                                                                            \
        timed_end((n), started);                                                                             \
    } while (0)

static void deliver_point(struct kap_node *n, const struct kap_point *p, int in)
{
    if (!n->run->point) {
        state_of(n, p->group);
        kap_emit_point(n, p);
        return;
    }
    DELIVER(n, p->group, n->run->point(n, n->state, gs, p, in));
}

static void deliver_begin(struct kap_node *n, const struct kap_batch_begin *b, int in)
{
    if (!n->run->begin) {
        state_of(n, b->group);
        kap_emit_begin(n, b);
        return;
    }
    DELIVER(n, b->group, n->run->begin(n, n->state, gs, b, in));
}

static void deliver_batch_point(struct kap_node *n, const struct kap_point *p, int in)
{
    if (!n->run->batch_point) {
        kap_emit_batch_point(n, p);
        return;
    }
    DELIVER(n, p->group, n->run->batch_point(n, n->state, gs, p, in));
}

static void deliver_end(struct kap_node *n, const struct kap_batch_begin *b, int in)
{
    if (!n->run->end) {
        kap_emit_end(n, b);
        return;
    }
    DELIVER(n, b->group, n->run->end(n, n->state, gs, b, in));
}

static void deliver_barrier(struct kap_node *n, const struct kap_barrier *b, int in)
{
    if (!n->run->barrier) {
        kap_emit_barrier(n, b);
        return;
    }
    DELIVER(n, b->group, n->run->barrier(n, n->state, gs, b, in));
}

static void deliver_delete_group(struct kap_node *n, struct kap_group *g, int in)
{
    if (!n->run->delete_group)
        kap_emit_delete_group(n, g);
    else
        n->run->delete_group(n, n->state, n->grouped ? kap_node_find_state(n, g) : NULL, g, in);
    kap_node_forget_group(n, g);
}

void kap_emit_point(struct kap_node *n, const struct kap_point *p)
{
    if (n->capture && n->capture->point)
        n->capture->point(n->capture->ctx, p);
    if (n->watch)
        kap_watch_count(n, p->group, 1);
    for (size_t i = 0; i < n->nout; i++) {
        kap_counter_add(&n->out[i].count, 1);
        deliver_point(n->out[i].to, p, n->out[i].in);
    }
}

void kap_emit_begin(struct kap_node *n, const struct kap_batch_begin *b)
{
    if (n->capture && n->capture->begin)
        n->capture->begin(n->capture->ctx, b);
    if (n->watch)
        kap_watch_count(n, b->group, 0);
    for (size_t i = 0; i < n->nout; i++)
        deliver_begin(n->out[i].to, b, n->out[i].in);
}

void kap_emit_batch_point(struct kap_node *n, const struct kap_point *p)
{
    if (n->capture && n->capture->batch_point)
        n->capture->batch_point(n->capture->ctx, p);
    if (n->watch)
        kap_watch_count(n, p->group, 1);
    for (size_t i = 0; i < n->nout; i++)
        deliver_batch_point(n->out[i].to, p, n->out[i].in);
}

void kap_emit_end(struct kap_node *n, const struct kap_batch_begin *b)
{
    if (n->capture && n->capture->end)
        n->capture->end(n->capture->ctx, b);
    for (size_t i = 0; i < n->nout; i++) {
        kap_counter_add(&n->out[i].count, 1);
        deliver_end(n->out[i].to, b, n->out[i].in);
    }
}

void kap_emit_barrier(struct kap_node *n, const struct kap_barrier *b)
{
    if (n->capture && n->capture->barrier)
        n->capture->barrier(n->capture->ctx, b);
    for (size_t i = 0; i < n->nout; i++)
        deliver_barrier(n->out[i].to, b, n->out[i].in);
}

void kap_emit_delete_group(struct kap_node *n, struct kap_group *g)
{
    if (n->capture && n->capture->delete_group)
        n->capture->delete_group(n->capture->ctx, g);
    if (n->watch)
        kap_watch_forget(n, g);
    for (size_t i = 0; i < n->nout; i++)
        deliver_delete_group(n->out[i].to, g, n->out[i].in);
}

void kap_emit_batch(struct kap_node *n, const struct kap_batch *b)
{
    kap_emit_begin(n, &b->begin);
    for (size_t i = 0; i < b->n; i++)
        kap_emit_batch_point(n, b->points[i]);
    kap_emit_end(n, &b->begin);
}

static void enter(struct kap_shard *s)
{
    s->timing = s->entered++ % TIMED_EVERY == 0;
    s->child_ns = 0;
}

static void leave(struct kap_shard *s)
{
    s->timing = false;
    kap_arena_reset(s->scratch);
}

void kap_shard_point(struct kap_shard *s, struct kap_node *to, const struct kap_point *p)
{
    enter(s);
    kap_counter_add(&to->collected, 1);
    deliver_point(to, p, 0);
    leave(s);
}

void kap_shard_batch(struct kap_shard *s, struct kap_node *to, const struct kap_batch *b)
{
    enter(s);
    kap_counter_add(&to->collected, 1);
    deliver_begin(to, &b->begin, 0);
    for (size_t i = 0; i < b->n; i++)
        deliver_batch_point(to, b->points[i], 0);
    deliver_end(to, &b->begin, 0);
    leave(s);
}

void kap_shard_block(struct kap_shard *s, struct kap_node *to, const struct kap_block *b)
{
    const struct kap_sym **names = KAP_ARRAY(const struct kap_sym *, b->tags->n + 1);
    for (uint32_t i = 0; i < b->tags->n; i++)
        names[i] = b->tags->v[i].key;
    const struct kap_dims dims = { b->by_name, b->tags->n, names };
    struct kap_batch batch = { .n = b->n, .points = KAP_ARRAY(struct kap_point *, b->n + 1) };
    struct kap_group *g = kap_groups_get(s->groups, &dims, b->name, b->tags, true);
    batch.begin = (struct kap_batch_begin){ b->time_ns, b->name, g, (uint32_t)b->n };
    for (size_t i = 0; i < b->n; i++) {
        b->points[i].group = g;
        batch.points[i] = &b->points[i];
    }
    kap_shard_batch(s, to, &batch);
    for (size_t i = 0; i < b->n; i++)
        b->points[i].group = NULL;
    kap_group_unref(s->groups, g);
    kap_free((void *)batch.points);
    kap_free((void *)names);
}

void kap_shard_barrier(struct kap_shard *s, struct kap_node *to, const struct kap_barrier *b)
{
    enter(s);
    deliver_barrier(to, b, 0);
    leave(s);
}

void kap_shard_delete_group(struct kap_shard *s, struct kap_node *to, struct kap_group *g)
{
    enter(s);
    kap_group_ref(g); /* whoever closes last must not take it from under the others */
    deliver_delete_group(to, g, 0);
    kap_group_unref(s->groups, g);
    leave(s);
}

static void finish_node(struct kap_node *n, int in)
{
    if (n->run->finish)
        n->run->finish(n, n->state, in);
    if (++n->finished < n->gn->nparents)
        return;
    for (size_t i = 0; i < n->nout; i++)
        finish_node(n->out[i].to, n->out[i].in);
}

void kap_shard_finish(struct kap_shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->nodes[i].gn->nparents == 0)
            finish_node(&s->nodes[i], 0);
    leave(s);
}
