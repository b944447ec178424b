/* Starting, stopping and watching tasks. */
#include "engine/core.h"
#include <stdatomic.h>

#include "base/log.h"
#include "base/mem.h"

static enum kap_status no_task(struct kap_str id, struct kap_error *err)
{
    return kap_fail(err, KAP_ENOTFOUND, "task %.*s is not executing", KAP_STR_ARG(id));
}

static struct kap_str dup_str(struct kap_str s)
{
    return kap_strn(kap_strndup(s.p ? s.p : "", s.n), s.n);
}

/* ---- the counters of a task's root ----
 * The index keeps points from a task that does not want them, yet its stream node has, for the user,
 * collected all points of its databases and of the measurements that its from() nodes name. That is the
 * difference of the engine's own counters between the start of the task and now. */

static bool names(const struct kap_task *t, const struct kap_sym *name)
{
    if (t->all_names)
        return true;
    for (size_t i = 0; i < t->nbranches; i++)
        if (t->branches[i]->key.name == name)
            return true;
    return false;
}

/* Counters only ever come behind the ones that are there, so that the first nbases are those seen at the
 * start. */
static void set_bases(struct kap_engine *e, struct kap_task *t)
{
    size_t cap = 0;
    pthread_mutex_lock(&e->ingress_lock);
    for (size_t i = 0; i < t->nentrances; i++) {
        size_t n = 0;
        const size_t at = t->nbases++;
        KAP_GROW(t->bases, cap, t->nbases);
        for (const struct kap_ingress *in = t->entrances[i]->first; in; in = in->next) {
            if (!names(t, in->name))
                continue;
            KAP_GROW(t->bases, cap, t->nbases + 1);
            t->bases[t->nbases++] = atomic_load(&in->points);
            n++;
        }
        t->bases[at] = (int64_t)n; /* how many follow for this entrance */
    }
    pthread_mutex_unlock(&e->ingress_lock);
}

static int64_t came_in(struct kap_engine *e, const struct kap_task *t, double *rate)
{
    int64_t sum = 0, per_second = 0;
    const int64_t *base = t->bases;
    const int64_t now_ns = kap_clock_wall(e->clock);
    pthread_mutex_lock(&e->ingress_lock);
    for (size_t i = 0; i < t->nentrances; i++) {
        int64_t known = *base++;
        for (const struct kap_ingress *in = t->entrances[i]->first; in; in = in->next) {
            if (!names(t, in->name))
                continue;
            sum += atomic_load(&in->points) - (known > 0 ? *base++ : 0);
            known--;
            per_second += kap_ingress_rate(in, now_ns);
        }
    }
    pthread_mutex_unlock(&e->ingress_lock);
    *rate = (double)per_second;
    return sum;
}

static void show_root(struct kap_engine *e, const struct kap_task *t, struct kap_task_stats *st)
{
    double rate = 0;
    const int64_t n = came_in(e, t, &rate);
    st->throughput = rate;
    for (size_t i = 0; i < t->nbranches; i++) {
        const struct kap_graph_node *from = t->branches[i]->node->gn;
        st->nodes[from->index].collected = n;
        for (size_t k = 0; k < from->nparents; k++) {
            struct kap_node_stats *root = &st->nodes[from->parents[k]->index];
            root->collected = n;
            for (size_t m = 0; m < root->nedges; m++) {
                if (root->edges[m].to != from)
                    continue;
                root->edges[m].processed = n;
                root->emitted += n;
            }
        }
    }
}

/* ---- start ---- */

static void add_branch(struct kap_task *t, size_t *cap, struct kap_node *node)
{
    struct kap_branch *b = KAP_NEW(struct kap_branch);
    b->task = t;
    b->node = node;
    b->shard = t->shard;
    b->refs = 1;
    if (node && node->run->route_key)
        node->run->route_key(node, node->state, &b->key);
    t->all_names = t->all_names || !b->key.name;
    KAP_GROW(t->branches, *cap, t->nbranches + 1);
    t->branches[t->nbranches++] = b;
}

/* The children of the stream root, which is how points come into the graph. */
static void find_branches(struct kap_task *t)
{
    size_t cap = 0;
    for (size_t i = 0; i < t->shard->n; i++) {
        struct kap_node *root = &t->shard->nodes[i];
        if (root->gn->nparents ||
            strcmp(root->gn->type->kind, "stream") != 0) /* stats are roots too, but no input */
            continue;
        for (size_t k = 0; k < root->nout; k++)
            add_branch(t, &cap, root->out[k].to);
    }
}

static void find_entrances(struct kap_engine *e, struct kap_task *t, const struct kap_dbrp *dbrps, size_t n)
{
    t->entrances = KAP_ARRAY(struct kap_entrance *, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct kap_entrance *en = kap_entrance_get(e, dbrps[i].db, dbrps[i].rp, false);
        bool twice = false;
        for (size_t k = 0; k < t->nentrances; k++)
            twice = twice || t->entrances[k] == en;
        if (!twice)
            t->entrances[t->nentrances++] = en;
    }
}

static struct kap_worker *idlest(struct kap_engine *e)
{
    struct kap_worker *best = &e->workers[0];
    for (unsigned i = 1; i < e->nworkers; i++)
        if (atomic_load(&e->workers[i].ntasks) < atomic_load(&best->ntasks))
            best = &e->workers[i];
    return best;
}

static void task_free(struct kap_task *t)
{
    for (size_t i = 0; i < t->nbranches; i++)
        kap_free(t->branches[i]);
    kap_free((void *)t->branches);
    kap_shard_free(t->shard);
    kap_free((void *)t->entrances);
    kap_free(t->bases);
    kap_free(t->error);
    kap_free((void *)(uintptr_t)t->id.p);
    kap_free((void *)(uintptr_t)t->run.p);
    kap_free(t);
}

/* What cannot be used may have been loaded in part: the task begins anew then. */
static enum kap_status open_shard(struct kap_engine *e, struct kap_task *t,
                                  const struct kap_task_options *opts, struct kap_error *err)
{
    struct kap_error damage;
    KAP_TRY(kap_shard_new(opts->graph, t->id, e->services, &t->shard, err));
    if (opts->snapshot.n == 0 || kap_shard_load(t->shard, opts->snapshot, &damage) == KAP_OK)
        return KAP_OK;
    kap_log(KAP_LOG_WARN, "kapacitor", "task starts empty: its snapshot cannot be used",
            kap_kv_n("task", t->id), kap_kv_s("err", damage.msg));
    kap_shard_free(t->shard);
    t->shard = NULL;
    return kap_shard_new(opts->graph, t->id, e->services, &t->shard, err);
}

struct add {
    struct kap_msg msg;
    struct kap_task *t;
};

static void run_add(struct kap_worker *w, struct kap_msg *m)
{
    struct add *a = (struct add *)(void *)m;
    kap_worker_add_task(w, a->t);
    kap_free(a);
}

static void let_in(struct kap_engine *e, struct kap_task *t)
{
    struct add *a = KAP_NEW(struct add);
    *a = (struct add){ { .run = run_add }, t };
    for (size_t i = 0; i < t->nentrances; i++)
        kap_entrance_use(e, t->entrances[i], t->worker->number, 1);
    kap_worker_send(t->worker, &a->msg);
}

/* Takes the ID, waiting for one that is on its way out; a failed one is replaced. */
static enum kap_status take_id(struct kap_engine *e, struct kap_task *t, struct kap_error *err)
{
    pthread_mutex_lock(&e->tasks_lock);
    for (;;) {
        struct kap_task *old = (struct kap_task *)kap_map_get(e->tasks, t->id);
        if (!old)
            break;
        if (old->state == KAP_TASK_RUNNING) {
            pthread_mutex_unlock(&e->tasks_lock);
            return kap_fail(err, KAP_EEXIST, "task %.*s is already executing", KAP_STR_ARG(t->id));
        }
        if (old->state == KAP_TASK_FAILED) {
            kap_map_del(e->tasks, t->id);
            task_free(old);
            break;
        }
        pthread_cond_wait(&e->tasks_changed, &e->tasks_lock);
    }
    t->seq = ++e->task_seq;
    kap_map_put(e->tasks, t->id, t);
    pthread_mutex_unlock(&e->tasks_lock);
    return KAP_OK;
}

static void give_up_id(struct kap_engine *e, struct kap_task *t)
{
    pthread_mutex_lock(&e->tasks_lock);
    kap_map_del(e->tasks, t->id);
    pthread_cond_broadcast(&e->tasks_changed);
    pthread_mutex_unlock(&e->tasks_lock);
}

enum kap_status kap_engine_start(struct kap_engine *e, const struct kap_task_options *opts,
                                 struct kap_error *err)
{
    struct kap_task *t = KAP_NEW(struct kap_task);
    t->id = dup_str(opts->id);
    t->run = dup_str(opts->run);
    t->state = KAP_TASK_STOPPING; /* for the others: neither here nor gone */
    t->timer_place = SIZE_MAX;
    enum kap_status st = take_id(e, t, err);
    if (st != KAP_OK) {
        task_free(t);
        return st;
    }
    st = open_shard(e, t, opts, err);
    if (st != KAP_OK) {
        give_up_id(e, t);
        task_free(t);
        return st;
    }
    find_branches(t);
    find_entrances(e, t, opts->dbrps, opts->ndbrps);
    set_bases(e, t);
    t->worker = idlest(e);
    atomic_fetch_add(&t->worker->ntasks, 1);
    pthread_mutex_lock(&e->tasks_lock);
    t->state = KAP_TASK_RUNNING;
    let_in(e, t); /* before anybody can stop it */
    pthread_cond_broadcast(&e->tasks_changed);
    pthread_mutex_unlock(&e->tasks_lock);
    return KAP_OK;
}

/* ---- stop ---- */

static void leave(struct kap_engine *e, struct kap_task *t)
{
    for (size_t i = 0; i < t->nentrances; i++)
        kap_entrance_use(e, t->entrances[i], t->worker->number, -1);
    t->nentrances = 0;
    atomic_fetch_sub(&t->worker->ntasks, 1);
}

struct stop {
    struct kap_task *t;
    bool finish;
    struct kap_buf *snapshot; /* NULL: not wanted */
};

static void run_stop(struct kap_worker *w, void *ctx)
{
    const struct stop *s = (const struct stop *)ctx;
    kap_worker_remove_task(w, s->t);
    if (s->t->shard && s->snapshot && !atomic_load(&s->t->shard->failed))
        kap_shard_save(s->t->shard, s->snapshot);
    if (s->t->shard && s->finish)
        kap_shard_finish(s->t->shard);
    kap_shard_free(s->t->shard);
    s->t->shard = NULL;
}

static void stop_task(struct kap_engine *e, struct kap_task *t, bool finish, struct kap_buf *snapshot)
{
    struct stop s = { t, finish, snapshot };
    kap_worker_call(t->worker, run_stop, &s);
    leave(e, t);
    give_up_id(e, t);
    task_free(t);
}

static enum kap_status stop(struct kap_engine *e, struct kap_str id, bool finish, struct kap_buf *snapshot,
                            struct kap_error *err)
{
    pthread_mutex_lock(&e->tasks_lock);
    struct kap_task *t = (struct kap_task *)kap_map_get(e->tasks, id);
    if (!t || t->state == KAP_TASK_STOPPING) {
        pthread_mutex_unlock(&e->tasks_lock);
        return no_task(id, err);
    }
    if (t->state == KAP_TASK_FAILED) {
        kap_map_del(e->tasks, id);
        pthread_mutex_unlock(&e->tasks_lock);
        task_free(t);
        return KAP_OK;
    }
    t->state = KAP_TASK_STOPPING;
    pthread_mutex_unlock(&e->tasks_lock);
    stop_task(e, t, finish, snapshot);
    return KAP_OK;
}

enum kap_status kap_engine_stop(struct kap_engine *e, struct kap_str id, bool finish, struct kap_error *err)
{
    return stop(e, id, finish, NULL, err);
}

enum kap_status kap_engine_stop_saving(struct kap_engine *e, struct kap_str id, struct kap_buf *out,
                                       struct kap_error *err)
{
    return stop(e, id, false, out, err);
}

/* On the worker: a node has ended its task. One that is being stopped anyway is left to who stops it. */
void kap_worker_task_failed(struct kap_worker *w, struct kap_task *t)
{
    struct kap_engine *e = w->engine;
    pthread_mutex_lock(&e->tasks_lock);
    if (t->state != KAP_TASK_RUNNING) {
        pthread_mutex_unlock(&e->tasks_lock);
        return;
    }
    struct kap_shard *s = t->shard;
    t->error = kap_strdup(s->failure.msg);
    t->state = KAP_TASK_STOPPING;
    pthread_mutex_unlock(&e->tasks_lock);

    kap_worker_remove_task(w, t);
    kap_shard_free(s);
    t->shard = NULL;
    leave(e, t);
    kap_log(KAP_LOG_ERROR, "kapacitor", "task failed", kap_kv_n("task", t->id), kap_kv_s("err", t->error));
    if (e->on_failure)
        e->on_failure(e->on_failure_ctx, t->id, t->error);

    pthread_mutex_lock(&e->tasks_lock);
    t->state = KAP_TASK_FAILED;
    pthread_cond_broadcast(&e->tasks_changed);
    pthread_mutex_unlock(&e->tasks_lock);
}

/* One after the other; one that is failing at this moment is waited for. */
static bool stop_next(struct kap_engine *e)
{
    size_t i = 0;
    void *t;
    pthread_mutex_lock(&e->tasks_lock);
    if (!kap_map_next(e->tasks, &i, NULL, &t)) {
        pthread_mutex_unlock(&e->tasks_lock);
        return false;
    }
    struct kap_task *task = (struct kap_task *)t;
    if (task->state == KAP_TASK_STOPPING) {
        pthread_cond_wait(&e->tasks_changed, &e->tasks_lock);
        pthread_mutex_unlock(&e->tasks_lock);
        return true;
    }
    KAP_AUTO_FREE char *id = kap_strndup(task->id.p, task->id.n);
    const size_t n = task->id.n;
    pthread_mutex_unlock(&e->tasks_lock);
    (void)kap_engine_stop(e, kap_strn(id, n), false, NULL);
    return true;
}

void kap_tasks_stop_all(struct kap_engine *e)
{
    while (stop_next(e))
        continue;
    size_t i = 0;
    void *t;
    while (kap_map_next(e->taps, &i, NULL, &t))
        kap_engine_untap(e, ((struct kap_task *)t)->tap.handle);
}

/* ---- what others may know ---- */

bool kap_engine_executing(struct kap_engine *e, struct kap_str id)
{
    pthread_mutex_lock(&e->tasks_lock);
    const struct kap_task *t = (const struct kap_task *)kap_map_get(e->tasks, id);
    const bool executing = t && t->state == KAP_TASK_RUNNING;
    pthread_mutex_unlock(&e->tasks_lock);
    return executing;
}

char *kap_engine_task_error(struct kap_engine *e, struct kap_str id)
{
    pthread_mutex_lock(&e->tasks_lock);
    const struct kap_task *t = (const struct kap_task *)kap_map_get(e->tasks, id);
    char *error = kap_strdup(t && t->error ? t->error : "");
    pthread_mutex_unlock(&e->tasks_lock);
    return error;
}

void kap_engine_on_failure(struct kap_engine *e, void (*fn)(void *ctx, struct kap_str id, const char *error),
                           void *ctx)
{
    e->on_failure_ctx = ctx;
    e->on_failure = fn;
}

enum kap_status kap_engine_task_stats(struct kap_engine *e, struct kap_str id, struct kap_task_stats *ret,
                                      struct kap_graph **graph, struct kap_error *err)
{
    pthread_mutex_lock(&e->tasks_lock);
    const struct kap_task *t = (const struct kap_task *)kap_map_get(e->tasks, id);
    if (!t || t->state != KAP_TASK_RUNNING) {
        pthread_mutex_unlock(&e->tasks_lock);
        return no_task(id, err);
    }
    kap_shard_stats(t->shard, ret);
    if (t->shard->graph->type == KAP_TASK_STREAM)
        show_root(e, t, ret);
    *graph = kap_graph_ref(t->shard->graph);
    pthread_mutex_unlock(&e->tasks_lock);
    return KAP_OK;
}

struct with {
    struct kap_engine *e;
    struct kap_str id;
    void (*fn)(struct kap_shard *s, void *ctx);
    void *ctx;
    bool done;
};

/* On the worker no task of its own can go away meanwhile, but it may have since the call was sent. */
static void run_with(struct kap_worker *w, void *ctx)
{
    struct with *c = (struct with *)ctx;
    pthread_mutex_lock(&c->e->tasks_lock);
    struct kap_task *t = (struct kap_task *)kap_map_get(c->e->tasks, c->id);
    const bool here = t && t->worker == w && t->shard && t->state == KAP_TASK_RUNNING;
    pthread_mutex_unlock(&c->e->tasks_lock);
    if (!here)
        return;
    c->fn(t->shard, c->ctx);
    c->done = true;
    if (atomic_load(&t->shard->failed))
        kap_worker_task_failed(w, t);
}

enum kap_status kap_engine_with_task(struct kap_engine *e, struct kap_str id,
                                     void (*fn)(struct kap_shard *s, void *ctx), void *ctx,
                                     struct kap_error *err)
{
    pthread_mutex_lock(&e->tasks_lock);
    const struct kap_task *t = (const struct kap_task *)kap_map_get(e->tasks, id);
    struct kap_worker *w = t && t->state == KAP_TASK_RUNNING ? t->worker : NULL;
    pthread_mutex_unlock(&e->tasks_lock);
    struct with c = { e, id, fn, ctx, false };
    if (w)
        kap_worker_call(w, run_with, &c);
    return c.done ? KAP_OK : no_task(id, err);
}

static void save(struct kap_shard *s, void *ctx)
{
    kap_shard_save(s, (struct kap_buf *)ctx);
}

enum kap_status kap_engine_task_save(struct kap_engine *e, struct kap_str id, struct kap_buf *out,
                                     struct kap_error *err)
{
    return kap_engine_with_task(e, id, save, out, err);
}

/* ---- taps ---- */

static struct kap_str handle_key(const uint64_t *handle)
{
    return kap_strn((const char *)handle, sizeof *handle);
}

uint64_t kap_engine_tap(struct kap_engine *e, const struct kap_dbrp *dbrps, size_t n,
                        void (*fn)(void *ctx, const struct kap_point *p), void *ctx)
{
    struct kap_task *t = KAP_NEW(struct kap_task);
    t->id = dup_str(kap_strn("", 0));
    t->run = dup_str(kap_strn("", 0));
    t->state = KAP_TASK_RUNNING;
    t->timer_place = SIZE_MAX;
    t->worker = idlest(e);
    atomic_fetch_add(&t->worker->ntasks, 1);
    size_t cap = 0;
    add_branch(t, &cap, NULL);
    find_entrances(e, t, dbrps, n);
    pthread_mutex_lock(&e->tasks_lock);
    t->seq = ++e->task_seq;
    const uint64_t handle = t->seq;
    t->tap = (struct kap_tap){ handle, fn, ctx };
    kap_map_put(e->taps, handle_key(&handle), t);
    let_in(e, t);
    pthread_mutex_unlock(&e->tasks_lock);
    return handle;
}

void kap_engine_untap(struct kap_engine *e, uint64_t handle)
{
    pthread_mutex_lock(&e->tasks_lock);
    struct kap_task *t = (struct kap_task *)kap_map_del(e->taps, handle_key(&handle));
    pthread_mutex_unlock(&e->tasks_lock);
    if (!t)
        return;
    struct stop s = { t, false, NULL };
    kap_worker_call(t->worker, run_stop, &s);
    leave(e, t);
    task_free(t);
}
