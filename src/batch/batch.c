#include "batch/batch.h"

#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "batch/source.h"
#include "engine/run.h"

#include <pthread.h>
#include <time.h>

#define WAIT_MAX_NS INT64_C(1000000000) /* a wall clock that is set is noticed within this time */

struct asker { /* a query node of a running task */
    struct kap_batches *owner;
    char *task;
    struct kap_graph *graph;
    struct kap_batch_source *source;
    int64_t anchor_ns, due_ns;
    size_t place; /* in the schedule; SIZE_MAX: not in it */
    bool busy;
    _Atomic bool stopped;
    struct asker *next;
};

struct kap_batches {
    struct kap_batches_options opt;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct kap_heap schedule;
    struct asker *all;
    bool stopping;
    uint64_t queries, failures;
    pthread_t threads[KAP_BATCH_THREADS];
    size_t nthreads;
};

static int by_due(const void *a, const void *b)
{
    const struct asker *x = a, *y = b;
    return x->due_ns < y->due_ns ? -1 : x->due_ns > y->due_ns;
}

static void moved(void *item, size_t index)
{
    ((struct asker *)item)->place = index;
}

/* --- one query --- */

struct delivery {
    struct asker *asker;
    int64_t stop_ns;
    struct kap_block *block;
};

static void deliver(struct kap_shard *s, void *ctx)
{
    const struct delivery *d = ctx;
    struct kap_node *node = kap_shard_node(s, kap_batch_source_node(d->asker->source)->name);
    kap_node_count(node, KAP_QUERY_BATCHES, 1);
    kap_node_count(node, KAP_QUERY_POINTS, (int64_t)d->block->n);
    kap_shard_block(s, node, d->block);
}

static enum kap_status take_block(void *ctx, struct kap_block *block, struct kap_error *err)
{
    struct delivery *d = ctx;
    const struct asker *a = d->asker;
    enum kap_status st = KAP_OK;
    if (!block->has_time || !kap_batch_source_grouped_by_time(a->source))
        block->time_ns = d->stop_ns;
    d->block = block;
    if (atomic_load(&a->stopped))
        st = kap_fail(err, KAP_ESTATE, "the task is being stopped");
    else
        st = kap_engine_with_task(a->owner->opt.engine, kap_str(a->task), deliver, d, err);
    kap_block_free(block);
    return st;
}

static bool ask(struct asker *a, int64_t tick_ns)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    struct delivery d = { .asker = a, .stop_ns = kap_batch_source_text(a->source, tick_ns, &text) };
    const struct kap_query *config = kap_batch_source_query(a->source);
    const struct kap_influxdb_query q = { .cluster = config->cluster,
                                          .text = kap_buf_str(&text),
                                          .by_name = config->group_by.by_name,
                                          .cancel = &a->stopped };
    struct kap_error err = { 0 };
    kap_log(KAP_LOG_DEBUG, "batch", "starting next batch query", kap_kv_s("task", a->task),
            kap_kv_n("query", kap_buf_str(&text)));
    if (kap_influxdb_query(a->owner->opt.influxdb, &q, take_block, &d, &err) == KAP_OK)
        return true;
    if (!atomic_load(&a->stopped))
        kap_log(KAP_LOG_ERROR, "batch", "error executing query", kap_kv_s("task", a->task),
                kap_kv_s("node", kap_batch_source_node(a->source)->name), kap_kv_s("err", err.msg));
    return false;
}

/* --- the schedule --- */

static void plan(struct kap_batches *b, struct asker *a, int64_t after_ns)
{
    if (!atomic_load(&a->stopped) && kap_batch_source_due(a->source, a->anchor_ns, after_ns, &a->due_ns))
        kap_heap_push(&b->schedule, a);
}

/* The latest tick that is not in the future. */
static int64_t latest_tick(const struct asker *a, int64_t now_ns)
{
    int64_t tick_ns = a->due_ns, next_ns;
    while (kap_batch_source_due(a->source, a->anchor_ns, tick_ns, &next_ns) && next_ns <= now_ns)
        tick_ns = next_ns;
    return tick_ns;
}

static void wait_for(struct kap_batches *b, int64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns = KAP_MIN(ns, WAIT_MAX_NS) + until.tv_nsec;
    until.tv_sec += ns / INT64_C(1000000000);
    until.tv_nsec = ns % INT64_C(1000000000);
    pthread_cond_timedwait(&b->changed, &b->lock, &until);
}

static void run_due(struct kap_batches *b, int64_t now_ns)
{
    struct asker *a = kap_heap_pop(&b->schedule);
    const int64_t tick_ns = latest_tick(a, now_ns);
    a->place = SIZE_MAX;
    a->busy = true;
    pthread_mutex_unlock(&b->lock);
    const bool ok = ask(a, tick_ns);
    pthread_mutex_lock(&b->lock);
    a->busy = false;
    b->queries++;
    b->failures += !ok;
    plan(b, a, tick_ns);
    pthread_cond_broadcast(&b->changed);
}

static void *run_queries(void *arg)
{
    struct kap_batches *b = arg;
    pthread_mutex_lock(&b->lock);
    while (!b->stopping) {
        const struct asker *first = kap_heap_peek(&b->schedule);
        const int64_t now_ns = kap_clock_wall(b->opt.clock);
        if (first && first->due_ns <= now_ns)
            run_due(b, now_ns);
        else if (first)
            wait_for(b, first->due_ns - now_ns);
        else
            pthread_cond_wait(&b->changed, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* --- life --- */

struct kap_batches *kap_batches_new(const struct kap_batches_options *options)
{
    struct kap_batches *b = KAP_NEW(struct kap_batches);
    b->opt = *options;
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &attr);
    pthread_condattr_destroy(&attr);
    kap_heap_init(&b->schedule, by_due, moved);
    for (size_t i = 0; i < KAP_BATCH_THREADS; i++)
        if (kap_thread_start(&b->threads[b->nthreads], "batch", run_queries, b) == 0)
            b->nthreads++;
    return b;
}

static void free_asker(struct asker *a)
{
    kap_batch_source_free(a->source);
    kap_graph_unref(a->graph);
    kap_free(a->task);
    kap_free(a);
}

/* Takes one out, under the lock; its query is cut off and waited for. */
static void retire(struct kap_batches *b, struct asker **at)
{
    struct asker *a = *at;
    *at = a->next;
    atomic_store(&a->stopped, true);
    if (a->place != SIZE_MAX)
        kap_heap_remove(&b->schedule, a->place);
    while (a->busy)
        pthread_cond_wait(&b->changed, &b->lock);
    free_asker(a);
}

void kap_batches_stop(struct kap_batches *b, struct kap_str id)
{
    pthread_mutex_lock(&b->lock);
    for (struct asker **at = &b->all; *at;) {
        if (kap_str_is(id, (*at)->task)) {
            retire(b, at);
            at = &b->all; /* the list may have changed while it waited */
        } else {
            at = &(*at)->next;
        }
    }
    pthread_mutex_unlock(&b->lock);
}

void kap_batches_free(struct kap_batches *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    for (struct asker *a = b->all; a; a = a->next)
        atomic_store(&a->stopped, true);
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < b->nthreads; i++)
        pthread_join(b->threads[i], NULL);
    while (b->all) {
        struct asker *a = b->all;
        b->all = a->next;
        free_asker(a);
    }
    kap_heap_done(&b->schedule);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    kap_free(b);
}

static enum kap_status add_asker(struct kap_batches *b, const struct kap_graph_node *node, struct kap_str id,
                                 const struct kap_dbrp *dbrps, size_t ndbrps, struct asker **list,
                                 struct kap_error *err)
{
    struct kap_batch_source *source;
    KAP_TRY(kap_batch_source_new(node, b->opt.zone, &source, err));
    struct asker *a = KAP_NEW(struct asker);
    a->owner = b;
    a->source = source;
    a->graph = kap_graph_ref(node->graph);
    a->task = kap_strndup(id.p, id.n);
    a->place = SIZE_MAX;
    a->next = *list;
    *list = a;
    return kap_batch_source_check_dbrps(source, dbrps, ndbrps, err);
}

enum kap_status kap_batches_start(struct kap_batches *b, struct kap_str id, struct kap_graph *graph,
                                  const struct kap_dbrp *dbrps, size_t ndbrps, int64_t anchor_ns,
                                  struct kap_error *err)
{
    struct asker *list = NULL;
    enum kap_status st = KAP_OK;
    for (size_t i = 0; st == KAP_OK && i < graph->n; i++)
        if (graph->nodes[i]->type == &kap_node_query)
            st = add_asker(b, graph->nodes[i], id, dbrps, ndbrps, &list, err);
    const int64_t now_ns = kap_clock_wall(b->opt.clock);
    pthread_mutex_lock(&b->lock);
    while (list) {
        struct asker *a = list;
        list = a->next;
        if (st != KAP_OK) {
            free_asker(a);
            continue;
        }
        a->anchor_ns = anchor_ns;
        a->next = b->all;
        b->all = a;
        plan(b, a, now_ns);
    }
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return st;
}

struct kap_batches_stats kap_batches_stats(struct kap_batches *b)
{
    pthread_mutex_lock(&b->lock);
    struct kap_batches_stats s = { b->queries, b->failures, 0 };
    for (const struct asker *a = b->all; a; a = a->next)
        s.scheduled++;
    pthread_mutex_unlock(&b->lock);
    return s;
}
