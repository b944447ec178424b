#include "engine/core.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/* How long a worker sleeps at most while timers are set: the wall clock may be moved under it. */
#define SLEEP_MAX_NS INT64_C(1000000000)

/* ---- the queue ---- */

void kap_worker_send(struct kap_worker *w, struct kap_msg *m)
{
    m->next = NULL;
    pthread_mutex_lock(&w->lock);
    *w->tail = m;
    w->tail = &m->next;
    const bool wake = w->sleeping;
    w->sleeping = false;
    pthread_mutex_unlock(&w->lock);
    if (wake)
        pthread_cond_signal(&w->ready);
}

static struct timespec in_future(int64_t wait_ns)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    const int64_t ns = ts.tv_nsec + wait_ns % INT64_C(1000000000);
    ts.tv_sec += wait_ns / INT64_C(1000000000) + ns / INT64_C(1000000000);
    ts.tv_nsec = ns % INT64_C(1000000000);
    return ts;
}

/* All messages that wait; NULL when the time for a timer has come, or the end. */
static struct kap_msg *take(struct kap_worker *w, int64_t next_timer_ns, bool *quit)
{
    pthread_mutex_lock(&w->lock);
    if (!w->head && !w->quit) {
        w->sleeping = true;
        if (next_timer_ns) {
            const int64_t wait_ns = next_timer_ns - kap_clock_wall(w->engine->clock);
            if (wait_ns > 0) {
                const struct timespec until = in_future(KAP_MIN(wait_ns, SLEEP_MAX_NS));
                pthread_cond_timedwait(&w->ready, &w->lock, &until);
            }
        } else {
            pthread_cond_wait(&w->ready, &w->lock);
        }
        w->sleeping = false;
    }
    struct kap_msg *m = w->head;
    w->head = NULL;
    w->tail = &w->head;
    *quit = w->quit && !m;
    pthread_mutex_unlock(&w->lock);
    return m;
}

struct call {
    struct kap_msg msg;
    void (*fn)(struct kap_worker *w, void *ctx);
    void *ctx;
    sem_t done;
};

static void run_call(struct kap_worker *w, struct kap_msg *m)
{
    struct call *c = (struct call *)(void *)m;
    c->fn(w, c->ctx);
    sem_post(&c->done);
}

void kap_worker_call(struct kap_worker *w, void (*fn)(struct kap_worker *w, void *ctx), void *ctx)
{
    struct call c = { .msg.run = run_call, .fn = fn, .ctx = ctx };
    sem_init(&c.done, 0, 0);
    kap_worker_send(w, &c.msg);
    while (sem_wait(&c.done) != 0)
        continue;
    sem_destroy(&c.done);
}

/* ---- timers ---- */

static int timer_cmp(const void *a, const void *b)
{
    const struct kap_task *x = (const struct kap_task *)a, *y = (const struct kap_task *)b;
    const int64_t at_x = kap_shard_next_timer(x->shard), at_y = kap_shard_next_timer(y->shard);
    if (at_x != at_y)
        return at_x < at_y ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void timer_moved(void *item, size_t index)
{
    ((struct kap_task *)item)->timer_place = index;
}

static void out_of_timers(struct kap_worker *w, struct kap_task *t)
{
    if (t->timer_place != SIZE_MAX)
        kap_heap_remove(&w->timers, t->timer_place);
    t->timer_place = SIZE_MAX;
}

/* The order of the heap must not change under it: a task leaves it before its timers change and comes back
 * after. */
static void into_timers(struct kap_worker *w, struct kap_task *t)
{
    if (t->shard && kap_shard_next_timer(t->shard))
        kap_heap_push(&w->timers, t);
}

static void shard_timers_moved(struct kap_shard *s, void *ctx)
{
    struct kap_task *t = (struct kap_task *)ctx;
    struct kap_worker *w = t->worker;
    if (t->timer_place != SIZE_MAX) {
        kap_heap_remove(&w->timers, t->timer_place);
        t->timer_place = SIZE_MAX;
    }
    into_timers(w, t);
}

static int64_t fire_timers(struct kap_worker *w)
{
    for (;;) {
        struct kap_task *t = (struct kap_task *)kap_heap_peek(&w->timers);
        if (!t)
            return 0;
        const int64_t at_ns = kap_shard_next_timer(t->shard), now_ns = kap_clock_wall(w->engine->clock);
        if (at_ns > now_ns)
            return at_ns;
        out_of_timers(w, t);
        t->shard->timers_moved = NULL;
        (void)kap_shard_fire(t->shard, now_ns);
        t->shard->timers_moved = shard_timers_moved;
        if (atomic_load_explicit(&t->shard->failed, memory_order_relaxed))
            kap_worker_task_failed(w, t);
        else
            into_timers(w, t);
    }
}

/* ---- routes ---- */

static void branch_unref(struct kap_branch *b)
{
    if (--b->refs == 0)
        kap_free(b);
}

static void drop_targets(struct kap_route *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        struct kap_branch *b = r->targets[i].branch;
        if (!b->dead && r->targets[i].group) /* a dead one took its groups along */
            kap_group_unref(b->shard->groups, r->targets[i].group);
        branch_unref(b);
    }
    kap_free(r->targets);
    *r = (struct kap_route){ 0 };
}

static int target_cmp(const void *a, const void *b)
{
    const struct kap_branch *x = ((const struct kap_target *)a)->branch,
                            *y = ((const struct kap_target *)b)->branch;
    if (x->task->seq != y->task->seq)
        return x->task->seq < y->task->seq ? -1 : 1;
    const int id_x = x->node ? x->node->gn->id : 0, id_y = y->node ? y->node->gn->id : 0;
    return id_x < id_y ? -1 : id_x > id_y;
}

static bool enters(const struct kap_task *t, const struct kap_source *source)
{
    for (size_t i = 0; i < t->nentrances; i++)
        if (&t->entrances[i]->source == source)
            return true;
    return false;
}

static enum kap_wanted wants(struct kap_branch *b, const struct kap_series *s, struct kap_group **group)
{
    if (!enters(b->task, s->source) || (b->key.db && b->key.db != s->source->db) ||
        (b->key.rp && b->key.rp != s->source->rp))
        return KAP_UNWANTED;
    if (!b->node || !b->node->run->route)
        return KAP_MAYBE_WANTED;
    const struct kap_point p = { .db = s->source->db, .rp = s->source->rp, .name = s->name, .tags = s->tags };
    const enum kap_wanted wanted = b->node->run->route(b->node, b->node->state, &p, group);
    kap_arena_reset(b->shard->scratch);
    return wanted;
}

static void make_route(struct kap_worker *w, struct kap_route *r, const struct kap_series *s)
{
    drop_targets(r);
    struct kap_branch **found;
    const size_t n = kap_index_candidates(w->index, s, &found);
    size_t cap = 0;
    for (size_t i = 0; i < n; i++) {
        struct kap_group *group = NULL;
        const enum kap_wanted wanted = wants(found[i], s, &group);
        if (wanted == KAP_UNWANTED)
            continue;
        KAP_GROW(r->targets, cap, (size_t)r->n + 1);
        r->targets[r->n++] = (struct kap_target){ found[i], group, wanted == KAP_WANTED };
        found[i]->refs++;
    }
    if (r->n > 1)
        qsort(r->targets, r->n, sizeof *r->targets, target_cmp);
    if (r->n && r->n < cap)
        r->targets = (struct kap_target *)kap_realloc(r->targets, r->n * sizeof *r->targets);
    r->version = w->version;
}

void kap_worker_forget_series(struct kap_worker *w, uint32_t id)
{
    if (id < w->nroutes)
        drop_targets(&w->routes[id]);
}

static struct kap_route *route_of(struct kap_worker *w, const struct kap_line_point *p)
{
    if (p->series_id >= w->nroutes) {
        uint32_t cap = w->nroutes;
        KAP_GROW(w->routes, cap, p->series_id + 1);
        memset(w->routes + w->nroutes, 0, (cap - w->nroutes) * sizeof *w->routes);
        w->nroutes = cap;
    }
    struct kap_route *r = &w->routes[p->series_id];
    if (r->version != w->version)
        make_route(w, r, p->series);
    return r;
}

static void deliver(struct kap_worker *w, const struct kap_target *to, struct kap_point *p)
{
    const struct kap_branch *b = to->branch;
    if (b->dead)
        return;
    if (!b->node) {
        b->task->tap.fn(b->task->tap.ctx, p);
        return;
    }
    p->group = to->group;
    p->decided = to->decided;
    kap_shard_point(b->shard, b->node, p);
    p->group = NULL;
    p->decided = false;
    if (atomic_load_explicit(&b->shard->failed, memory_order_relaxed))
        kap_worker_task_failed(w, b->task);
}

/* With many series nearly every look-up below misses the processor's caches; what the points after this one
 * need is fetched in steps, each following the pointer that the step before has fetched. */
enum { FETCH_ROUTE = 12, FETCH_TARGETS = 8, FETCH_GROUP = 4 };

static void fetch_ahead(const struct kap_worker *w, const struct kap_line_batch *b, size_t i)
{
    if (i + FETCH_ROUTE >= b->n)
        return;
    const struct kap_line_point *p = &b->points[i];
    if (p[FETCH_ROUTE].series_id < w->nroutes)
        __builtin_prefetch(&w->routes[p[FETCH_ROUTE].series_id]);
    __builtin_prefetch(p[FETCH_TARGETS].series);
    if (p[FETCH_TARGETS].series_id < w->nroutes)
        __builtin_prefetch(w->routes[p[FETCH_TARGETS].series_id].targets);
    if (p[FETCH_GROUP].series_id >= w->nroutes)
        return;
    const struct kap_route *r = &w->routes[p[FETCH_GROUP].series_id];
    if (r->version == w->version && r->n)
        __builtin_prefetch(r->targets[0].group);
}

void kap_worker_input(struct kap_worker *w, struct kap_msg *m)
{
    struct kap_input *in = ((struct kap_input_msg *)(void *)m)->in;
    const struct kap_line_batch *b = &in->batch;
    for (size_t i = 0; i < b->n; i++) {
        fetch_ahead(w, b, i);
        const struct kap_route *r = route_of(w, &b->points[i]);
        if (r->n == 0)
            continue;
        struct kap_point p;
        kap_line_batch_point(b, i, &p);
        for (uint32_t k = 0; k < r->n; k++)
            deliver(w, &r->targets[k], &p);
    }
    atomic_fetch_sub(&w->queued_bytes, in->bytes);
    struct kap_engine *e = w->engine;
    kap_input_unref(in);
    kap_input_wake(e, w);
}

/* ---- tasks ---- */

void kap_worker_add_task(struct kap_worker *w, struct kap_task *t)
{
    for (size_t i = 0; i < t->nbranches; i++)
        kap_index_add(w->index, t->branches[i]);
    if (t->shard) {
        t->shard->timers_ctx = t;
        t->shard->timers_moved = shard_timers_moved;
    }
    into_timers(w, t);
    w->version++;
}

void kap_worker_remove_task(struct kap_worker *w, struct kap_task *t)
{
    for (size_t i = 0; i < t->nbranches; i++) {
        kap_index_remove(w->index, t->branches[i]);
        t->branches[i]->dead = true;
        branch_unref(t->branches[i]);
    }
    kap_free((void *)t->branches);
    t->branches = NULL;
    t->nbranches = 0;
    out_of_timers(w, t);
    if (t->shard)
        t->shard->timers_moved = NULL;
    w->version++;
}

/* ---- the thread ---- */

static void *work(void *arg)
{
    struct kap_worker *w = (struct kap_worker *)arg;
    for (bool quit = false; !quit;) {
        const int64_t next_ns = fire_timers(w);
        struct kap_msg *m = take(w, next_ns, &quit);
        while (m) {
            struct kap_msg *next = m->next;
            m->run(w, m);
            m = next;
            if (m)
                (void)fire_timers(w);
        }
    }
    return NULL;
}

enum kap_status kap_worker_start(struct kap_worker *w, struct kap_engine *e, unsigned number,
                                 struct kap_error *err)
{
    w->engine = e;
    w->number = number;
    w->tail = &w->head;
    w->version = 1;
    w->index = kap_index_new();
    kap_heap_init(&w->timers, timer_cmp, timer_moved);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->ready, &attr);
    pthread_condattr_destroy(&attr);
    char name[16];
    snprintf(name, sizeof name, "worker %u", number);
    const int rc = kap_thread_start(&w->thread, name, work, w);
    if (rc == 0)
        return KAP_OK;
    kap_index_free(w->index);
    kap_heap_done(&w->timers);
    pthread_cond_destroy(&w->ready);
    pthread_mutex_destroy(&w->lock);
    return kap_fail(err, KAP_ELIMIT, "cannot start a worker thread: %s", strerror(rc));
}

void kap_worker_stop(struct kap_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->quit = true;
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->ready);
    pthread_join(w->thread, NULL);
    for (uint32_t i = 0; i < w->nroutes; i++)
        drop_targets(&w->routes[i]);
    kap_free(w->routes);
    kap_index_free(w->index);
    kap_heap_done(&w->timers);
    pthread_cond_destroy(&w->ready);
    pthread_mutex_destroy(&w->lock);
}
