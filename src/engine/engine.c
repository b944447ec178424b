#include "engine/core.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <unistd.h>

static const struct kap_engine_limits default_limits = {
    .queue_bytes = 32u << 20,
    .loop_bytes = 64u << 20,
    .max_series = 1u << 20,
    .max_measurements = 100000,
    .max_names = 4u << 20,
};

static struct kap_engine_limits limits_of(const struct kap_engine_limits *l)
{
    return (struct kap_engine_limits){
        .queue_bytes = l->queue_bytes ? l->queue_bytes : default_limits.queue_bytes,
        .loop_bytes = l->loop_bytes ? l->loop_bytes : default_limits.loop_bytes,
        .max_series = l->max_series ? l->max_series : default_limits.max_series,
        .max_measurements = l->max_measurements ? l->max_measurements : default_limits.max_measurements,
        .max_names = l->max_names ? l->max_names : default_limits.max_names,
    };
}

static unsigned cores(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)KAP_MIN(n, (long)KAP_WORKERS_MAX);
}

enum kap_status kap_engine_new(const struct kap_engine_options *opts, struct kap_engine **ret,
                               struct kap_error *err)
{
    struct kap_engine *e = KAP_NEW(struct kap_engine);
    e->clock = opts->clock ? opts->clock : &kap_clock_system;
    e->services = opts->services;
    e->limits = limits_of(&opts->limits);
    const struct kap_series_hooks hooks = { e, kap_input_series_added, kap_input_series_retired };
    e->cache = kap_series_cache_new(e->limits.max_series, &hooks);
    kap_series_limit_names(e->cache, e->limits.max_names);
    e->entrances = kap_map_new();
    e->tasks = kap_map_new();
    e->taps = kap_map_new();
    pthread_mutex_init(&e->entrances_lock, NULL);
    pthread_mutex_init(&e->ingress_lock, NULL);
    pthread_mutex_init(&e->pool_lock, NULL);
    pthread_mutex_init(&e->tasks_lock, NULL);
    pthread_mutex_init(&e->waiters_lock, NULL);
    pthread_cond_init(&e->tasks_changed, NULL);
    const unsigned n = opts->workers ? KAP_MIN(opts->workers, (unsigned)KAP_WORKERS_MAX) : cores();
    e->workers = KAP_ARRAY(struct kap_worker, n);
    for (; e->nworkers < n; e->nworkers++) {
        const enum kap_status st = kap_worker_start(&e->workers[e->nworkers], e, e->nworkers, err);
        if (st != KAP_OK) {
            kap_engine_free(e);
            return st;
        }
    }
    *ret = e;
    return KAP_OK;
}

static void free_entrances(struct kap_engine *e)
{
    for (struct kap_entrance *en = e->first_entrance, *next; en; en = next) {
        next = en->next;
        for (struct kap_ingress *in = en->first, *after; in; in = after) {
            after = in->next;
            kap_free(in);
        }
        kap_map_free(en->by_name);
        kap_free(en);
    }
    kap_map_free(e->entrances);
}

void kap_engine_free(struct kap_engine *e)
{
    if (!e)
        return;
    if (e->nworkers) {
        kap_tasks_stop_all(e);
        kap_engine_drain(e);
    }
    for (unsigned i = 0; i < e->nworkers; i++)
        kap_worker_stop(&e->workers[i]);
    for (struct kap_input *in = e->pool, *next; in; in = next) {
        next = in->next;
        kap_line_batch_done(&in->batch);
        kap_line_parser_free(in->parser);
        kap_free(in);
    }
    kap_series_cache_free(e->cache);
    free_entrances(e);
    kap_map_free(e->tasks);
    kap_map_free(e->taps);
    kap_free(e->workers);
    pthread_mutex_destroy(&e->entrances_lock);
    pthread_mutex_destroy(&e->ingress_lock);
    pthread_mutex_destroy(&e->pool_lock);
    pthread_mutex_destroy(&e->tasks_lock);
    pthread_mutex_destroy(&e->waiters_lock);
    pthread_cond_destroy(&e->tasks_changed);
    kap_free(e);
}

static void nothing(struct kap_worker *w, void *ctx)
{
}

/* What tasks loop back comes in while the rest is worked off, so it takes rounds. */
void kap_engine_drain(struct kap_engine *e)
{
    do {
        for (unsigned i = 0; i < e->nworkers; i++)
            kap_worker_call(&e->workers[i], nothing, NULL);
    } while (atomic_load(&e->inflight) != 0);
}

void kap_engine_stats(struct kap_engine *e, struct kap_engine_stats *ret)
{
    *ret = (struct kap_engine_stats){
        .points = atomic_load(&e->points),
        .parse_errors = atomic_load(&e->parse_errors),
        .waits = atomic_load(&e->waits),
        .series = kap_series_cache_len(e->cache),
        .series_bytes = kap_series_cache_bytes(e->cache),
        .workers = e->nworkers,
    };
    for (unsigned i = 0; i < e->nworkers; i++) {
        ret->queued_bytes += atomic_load(&e->workers[i].queued_bytes);
        ret->tasks += atomic_load(&e->workers[i].ntasks);
    }
}
