/* Keeping the state of running tasks over restarts and reloads. */
#include "task/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "task/checkpoint.h"

#include <time.h>

static bool keeps(const struct kap_tasks *t)
{
    return t->opt.checkpoints != NULL && t->opt.engine != NULL;
}

static void log_failure(const char *what, struct kap_str id, const struct kap_error *err)
{
    kap_log(KAP_LOG_WARN, "task_store", what, kap_kv_n("task", id), kap_kv_s("err", err->msg));
}

/* Everything that nodes' states mean something in: the script, its variables, the graph. */
uint64_t kap_definition_fingerprint(const struct kap_definition *def, const struct kap_graph *graph)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    kap_json_array(&j);
    kap_json_str(&j, def->script);
    kap_tick_vars_json(&j, &def->vars, false);
    for (size_t i = 0; i < graph->n; i++) {
        kap_json_cstr(&j, graph->nodes[i]->name);
        for (size_t k = 0; k < graph->nodes[i]->nparents; k++)
            kap_json_i64(&j, graph->nodes[i]->parents[k]->id);
    }
    kap_json_array_end(&j);
    return kap_str_hash(kap_buf_str(&b));
}

void kap_tasks_recall(struct kap_tasks *t, struct kap_str id, uint64_t graph, struct kap_buf *state)
{
    struct kap_error err;
    if (!keeps(t))
        return;
    const enum kap_status st = kap_checkpoint_read(t->opt.checkpoints, id, graph, state, &err);
    if (st != KAP_OK && st != KAP_ENOTFOUND)
        log_failure("task starts empty: its checkpoint cannot be used", id, &err);
}

void kap_tasks_forget(struct kap_tasks *t, struct kap_str id)
{
    if (keeps(t))
        kap_checkpoint_remove(t->opt.checkpoints, id);
}

/* --- what runs, and what of it is on disk --- */

static struct kap_running get(struct kap_tasks *t, struct kap_str id)
{
    pthread_mutex_lock(&t->lock);
    const struct kap_task_entry *e = kap_map_get(t->tasks, id);
    const struct kap_running r = e ? e->running : (struct kap_running){ 0 };
    pthread_mutex_unlock(&t->lock);
    return r;
}

static void set_saved(struct kap_tasks *t, struct kap_str id, uint64_t sum)
{
    pthread_mutex_lock(&t->lock);
    struct kap_task_entry *e = kap_map_get(t->tasks, id);
    if (e)
        e->running.saved_sum = sum;
    pthread_mutex_unlock(&t->lock);
}

void kap_tasks_pause(struct kap_tasks *t, struct kap_str id)
{
    KAP_AUTO_BUF struct kap_buf state = { 0 };
    KAP_AUTO_FREE char *temporary = NULL;
    const struct kap_running r = get(t, id);
    struct kap_error err;
    if (!keeps(t)) {
        kap_tasks_halt(t, id, false);
        return;
    }
    if (t->opt.source_stop)
        t->opt.source_stop(t->opt.source_ctx, id);
    if (kap_engine_stop_saving(t->opt.engine, id, &state, &err) != KAP_OK || state.n == 0)
        kap_checkpoint_remove(t->opt.checkpoints, id); /* it has failed, or has nothing to keep */
    else if (kap_checkpoint_write(t->opt.checkpoints, id, r.graph, kap_buf_str(&state), &temporary, &err) !=
                 KAP_OK ||
             kap_checkpoint_commit(t->opt.checkpoints, id, temporary, &err) != KAP_OK)
        log_failure("task's state is not kept", id, &err);
    kap_tasks_halted(t, id);
}

/* --- every interval --- */

/* The state is copied on the task's worker and written here. A task that was stopped meanwhile, or started
 * anew, must not find it. */
static void save(struct kap_tasks *t, struct kap_str id)
{
    KAP_AUTO_BUF struct kap_buf state = { 0 };
    KAP_AUTO_FREE char *temporary = NULL;
    struct kap_error err;
    const struct kap_running r = get(t, id);
    if (r.run_ns == 0 || kap_engine_task_save(t->opt.engine, id, &state, NULL) != KAP_OK || state.n == 0)
        return;
    const uint64_t sum = kap_str_hash(kap_buf_str(&state));
    if (sum == r.saved_sum)
        return;
    enum kap_status st =
        kap_checkpoint_write(t->opt.checkpoints, id, r.graph, kap_buf_str(&state), &temporary, &err);
    pthread_mutex_lock(&t->change);
    if (st == KAP_OK && get(t, id).generation == r.generation) {
        st = kap_checkpoint_commit(t->opt.checkpoints, id, temporary, &err);
        if (st == KAP_OK)
            set_saved(t, id, sum);
    } else if (st == KAP_OK) {
        kap_checkpoint_abandon(temporary);
    }
    pthread_mutex_unlock(&t->change);
    if (st != KAP_OK)
        log_failure("task's state is not kept", id, &err);
}

static bool ending(struct kap_tasks *t)
{
    pthread_mutex_lock(&t->queue_lock);
    const bool ret = t->ending;
    pthread_mutex_unlock(&t->queue_lock);
    return ret;
}

/* False: the end has come. */
static bool sleep_until(struct kap_tasks *t, const struct timespec *at)
{
    int rc = 0;
    pthread_mutex_lock(&t->queue_lock);
    while (!t->ending && rc == 0)
        rc = pthread_cond_timedwait(&t->no_more_saving, &t->queue_lock, at);
    const bool go_on = !t->ending;
    pthread_mutex_unlock(&t->queue_lock);
    return go_on;
}

static void *saver(void *arg)
{
    struct kap_tasks *t = arg;
    for (;;) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        const int64_t ns = at.tv_nsec + t->opt.checkpoint_interval_ns % INT64_C(1000000000);
        at.tv_sec += t->opt.checkpoint_interval_ns / INT64_C(1000000000) + ns / INT64_C(1000000000);
        at.tv_nsec = ns % INT64_C(1000000000);
        if (!sleep_until(t, &at))
            return NULL;
        size_t n;
        struct kap_definition **v = kap_tasks_match(t, KAP_DEFINITION_TASK, KAP_STR(""), &n);
        for (size_t i = 0; i < n; i++) {
            if (v[i]->enabled && !ending(t))
                save(t, v[i]->id);
            kap_definition_unref(v[i]);
        }
        kap_free(v);
    }
}

static bool is_enabled(void *ctx, struct kap_str id)
{
    struct kap_definition *def = kap_tasks_get(ctx, KAP_DEFINITION_TASK, id);
    const bool enabled = def && def->enabled;
    kap_definition_unref(def);
    return enabled;
}

enum kap_status kap_tasks_keep_start(struct kap_tasks *t, struct kap_error *err)
{
    if (!keeps(t))
        return KAP_OK;
    KAP_TRY(kap_checkpoint_open(t->opt.checkpoints, err));
    kap_checkpoint_sweep(t->opt.checkpoints, is_enabled, t);
    if (t->opt.checkpoint_interval_ns <= 0)
        return KAP_OK;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->no_more_saving, &attr);
    pthread_condattr_destroy(&attr);
    t->saving = pthread_create(&t->saver, NULL, saver, t) == 0;
    return t->saving ? KAP_OK : kap_fail(err, KAP_EIO, "cannot start a thread for checkpoints");
}

void kap_tasks_keep_end(struct kap_tasks *t)
{
    if (!t->saving)
        return;
    pthread_mutex_lock(&t->queue_lock);
    t->ending = true;
    pthread_cond_signal(&t->no_more_saving);
    pthread_mutex_unlock(&t->queue_lock);
    pthread_join(t->saver, NULL);
    pthread_cond_destroy(&t->no_more_saving);
    t->saving = false;
}
