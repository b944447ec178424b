/* The tables of tasks and templates, and what runs. */
#include "task/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdio.h>

/* --- the tables --- */

static struct kap_map *table(const struct kap_tasks *t, enum kap_definition_kind kind)
{
    return kind == KAP_DEFINITION_TASK ? t->tasks : t->templates;
}

static void entry_free(struct kap_task_entry *e)
{
    if (e == NULL)
        return;
    kap_definition_unref(e->def);
    kap_free(e->error);
    kap_free(e);
}

/* Under the lock. Takes the reference. */
static void show(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_definition *def)
{
    struct kap_task_entry *e = kap_map_get(table(t, kind), def->id);
    if (e == NULL) {
        e = KAP_NEW(struct kap_task_entry);
        kap_map_put(table(t, kind), def->id, e);
    }
    kap_definition_unref(e->def);
    e->def = def;
}

static void hide(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_str id)
{
    pthread_mutex_lock(&t->lock);
    entry_free(kap_map_del(table(t, kind), id));
    pthread_mutex_unlock(&t->lock);
}

struct kap_definition *kap_tasks_get(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_str id)
{
    pthread_mutex_lock(&t->lock);
    const struct kap_task_entry *e = kap_map_get(table(t, kind), id);
    struct kap_definition *def = e ? kap_definition_ref(e->def) : NULL;
    pthread_mutex_unlock(&t->lock);
    return def;
}

enum kap_status kap_tasks_store(struct kap_tasks *t, enum kap_definition_kind kind,
                                struct kap_definition *def, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    kap_definition_encode(def, &json);
    const struct kap_definitions *d = t->opt.definitions;
    const enum kap_status st = d->put(d->ctx, kind, def->id, kap_buf_str(&json), err);
    if (st != KAP_OK) {
        kap_definition_unref(def);
        return st;
    }
    pthread_mutex_lock(&t->lock);
    show(t, kind, def);
    pthread_mutex_unlock(&t->lock);
    return KAP_OK;
}

enum kap_status kap_tasks_remove(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_str id,
                                 struct kap_error *err)
{
    const struct kap_definitions *d = t->opt.definitions;
    KAP_TRY(d->drop(d->ctx, kind, id, err));
    hide(t, kind, id);
    return KAP_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct kap_definition *const *x = a, *const *y = b;
    return kap_str_cmp((*x)->id, (*y)->id);
}

struct kap_definition **kap_tasks_match(struct kap_tasks *t, enum kap_definition_kind kind,
                                        struct kap_str pattern, size_t *ret_n)
{
    pthread_mutex_lock(&t->lock);
    struct kap_definition **v = KAP_ARRAY(struct kap_definition *, kap_map_len(table(t, kind)) + 1);
    size_t n = 0, i = 0;
    struct kap_str id;
    void *value;
    while (kap_map_next(table(t, kind), &i, &id, &value)) {
        const struct kap_task_entry *e = value;
        if (pattern.n == 0 || kap_glob(pattern, id) == 1)
            v[n++] = kap_definition_ref(e->def);
    }
    pthread_mutex_unlock(&t->lock);
    qsort(v, n, sizeof *v, by_id);
    *ret_n = n;
    return v;
}

char *kap_tasks_error(struct kap_tasks *t, struct kap_str id)
{
    pthread_mutex_lock(&t->lock);
    const struct kap_task_entry *e = kap_map_get(t->tasks, id);
    char *error = e && e->error ? kap_strdup(e->error) : NULL;
    pthread_mutex_unlock(&t->lock);
    return error;
}

void kap_tasks_set_error(struct kap_tasks *t, struct kap_str id, const char *error)
{
    pthread_mutex_lock(&t->lock);
    struct kap_task_entry *e = kap_map_get(t->tasks, id);
    if (e) {
        kap_free(e->error);
        e->error = error ? kap_strdup(error) : NULL;
    }
    pthread_mutex_unlock(&t->lock);
}

static void set_running(struct kap_tasks *t, struct kap_str id, int64_t run_ns, uint64_t graph)
{
    pthread_mutex_lock(&t->lock);
    struct kap_task_entry *e = kap_map_get(t->tasks, id);
    if (e)
        e->running = (struct kap_running){ .run_ns = run_ns, .graph = graph, .generation = ++t->generation };
    pthread_mutex_unlock(&t->lock);
}

static int64_t get_running(struct kap_tasks *t, struct kap_str id)
{
    pthread_mutex_lock(&t->lock);
    const struct kap_task_entry *e = kap_map_get(t->tasks, id);
    const int64_t run_ns = e ? e->running.run_ns : 0;
    pthread_mutex_unlock(&t->lock);
    return run_ns;
}

bool kap_task_exists(struct kap_tasks *t, struct kap_str id)
{
    pthread_mutex_lock(&t->lock);
    const bool exists = kap_map_get(t->tasks, id) != NULL;
    pthread_mutex_unlock(&t->lock);
    return exists;
}

/* --- scripts --- */

enum kap_status kap_script_parse(struct kap_str script, struct kap_tick_script **ret, struct kap_error *err)
{
    if (kap_tick_parse(script, ret, err) == KAP_OK)
        return KAP_OK;
    kap_wrap(err, "invalid TICKscript");
    return KAP_EINVAL;
}

static void write_warning(void *ctx, int line, int character, const char *message)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_buf_addf(&text, "line %d char %d: %s", line, character, message);
    kap_json_str(ctx, kap_buf_str(&text));
}

enum kap_status kap_definition_graph(const struct kap_tasks *t, const struct kap_definition *def,
                                     bool is_template, struct kap_graph **ret, struct kap_tick_vars *vars,
                                     struct kap_json *warnings, struct kap_error *err)
{
    struct kap_tick_script *script;
    KAP_TRY(kap_tick_parse(def->script, &script, err));
    const struct kap_tick_options opt = { .registry = t->opt.registry,
                                          .type = def->type,
                                          .vars = &def->vars,
                                          .deadman = t->opt.deadman,
                                          .is_template = is_template,
                                          .warn = warnings ? write_warning : NULL,
                                          .warn_ctx = warnings };
    const enum kap_status st = kap_tick_eval(script, &opt, ret, vars, NULL, err);
    kap_tick_script_unref(script);
    return st;
}

enum kap_status kap_task_copy(struct kap_tasks *t, struct kap_str id, struct kap_task_copy *ret, struct kap_error *err)
{
    struct kap_definition *def = kap_tasks_get(t, KAP_DEFINITION_TASK, id);
    if (!def)
        return kap_fail(err, KAP_ENOTFOUND, "no task exists");
    struct kap_graph *graph;
    const enum kap_status st = kap_definition_graph(t, def, false, &graph, NULL, NULL, err);
    if (st != KAP_OK) {
        kap_definition_unref(def);
        return st;
    }
    *ret = (struct kap_task_copy){ graph, def->dbrps, def->ndbrps, def };
    return KAP_OK;
}

void kap_task_copy_done(struct kap_task_copy *c)
{
    kap_graph_unref(c->graph);
    kap_definition_unref(c->def);
    *c = (struct kap_task_copy){ 0 };
}

/* --- running --- */

static bool is_placed(const struct kap_tasks *t, struct kap_str id)
{
    return t->opt.placed == NULL || t->opt.placed(t->opt.placed_ctx, id);
}

static enum kap_status start(struct kap_tasks *t, const struct kap_definition *def, struct kap_error *err)
{
    struct kap_graph *graph;
    KAP_TRY(kap_definition_graph(t, def, false, &graph, NULL, NULL, err));
    const uint64_t fingerprint = kap_definition_fingerprint(def, graph);
    KAP_AUTO_BUF struct kap_buf state = { 0 };
    kap_tasks_recall(t, def->id, fingerprint, &state);
    set_running(t, def->id, def->run_ns, fingerprint);
    char run[24];
    snprintf(run, sizeof run, "%lld", (long long)def->run_ns);
    const struct kap_task_options opt = { .id = def->id,
                                          .graph = graph,
                                          .dbrps = def->dbrps,
                                          .ndbrps = def->ndbrps,
                                          .run = kap_str(run),
                                          .snapshot = kap_buf_str(&state) };
    enum kap_status st = kap_engine_start(t->opt.engine, &opt, err);
    const struct kap_task_copy copy = { graph, def->dbrps, def->ndbrps, NULL };
    if (st == KAP_OK && t->opt.source_start) {
        st = t->opt.source_start(t->opt.source_ctx, &copy, def->id, def->run_ns, err);
        if (st != KAP_OK)
            (void)kap_engine_stop(t->opt.engine, def->id, false, NULL);
    }
    kap_graph_unref(graph);
    return st;
}

enum kap_status kap_tasks_run(struct kap_tasks *t, const struct kap_definition *def, struct kap_error *err)
{
    if (t->opt.engine == NULL || !t->started || !is_placed(t, def->id))
        return KAP_OK;
    struct kap_error local = { 0 };
    struct kap_error *e = err ? err : &local;
    kap_tasks_set_error(t, def->id, NULL);
    /* remembered also when it fails: it is not tried again until the definition's run changes */
    set_running(t, def->id, def->run_ns, 0);
    if (start(t, def, e) == KAP_OK) {
        kap_log(KAP_LOG_DEBUG, "task_store", "started task", kap_kv_n("task", def->id));
        return KAP_OK;
    }
    kap_tasks_set_error(t, def->id, e->msg);
    kap_log(KAP_LOG_ERROR, "task_store", "failed to start task", kap_kv_n("task", def->id),
            kap_kv_s("err", e->msg));
    return KAP_EINTERNAL;
}

void kap_tasks_halt(struct kap_tasks *t, struct kap_str id, bool finish)
{
    if (t->opt.source_stop)
        t->opt.source_stop(t->opt.source_ctx, id);
    const bool stopped = t->opt.engine && kap_engine_stop(t->opt.engine, id, finish, NULL) == KAP_OK;
    kap_tasks_forget(t, id);
    if (stopped || get_running(t, id) != 0)
        kap_tasks_halted(t, id);
}

void kap_tasks_halted(struct kap_tasks *t, struct kap_str id)
{
    set_running(t, id, 0, 0);
    kap_log(KAP_LOG_DEBUG, "task_store", "stopped task", kap_kv_n("task", id));
}

/* A node has ended its task. Called on a worker of the engine, which must not be called back. */
static void on_failure(void *ctx, struct kap_str id, const char *reason)
{
    kap_log(KAP_LOG_ERROR, "task_store", "task finished with error", kap_kv_n("task", id),
            kap_kv_s("err", reason));
    kap_tasks_set_error(ctx, id, reason);
}

/* --- changes of other members --- */

/* Brings what runs here in line with the definition. */
static void align(struct kap_tasks *t, const struct kap_definition *def)
{
    const int64_t running = get_running(t, def->id);
    const bool wanted = def->enabled && is_placed(t, def->id);
    if (running != 0 && !def->enabled && def->reloading)
        kap_tasks_pause(t, def->id);
    else if (running != 0 && (!wanted || running != def->run_ns))
        kap_tasks_halt(t, def->id, !def->enabled || wanted);
    if (wanted && running != def->run_ns)
        kap_tasks_run(t, def, NULL);
}

static void apply_task(struct kap_tasks *t, struct kap_str id, struct kap_definition *def)
{
    if (def == NULL) {
        kap_tasks_halt(t, id, true);
        hide(t, KAP_DEFINITION_TASK, id);
        return;
    }
    pthread_mutex_lock(&t->lock);
    show(t, KAP_DEFINITION_TASK, kap_definition_ref(def));
    pthread_mutex_unlock(&t->lock);
    if (t->started)
        align(t, def);
}

static void apply_template(struct kap_tasks *t, struct kap_str id, struct kap_definition *def)
{
    if (def == NULL) {
        hide(t, KAP_DEFINITION_TEMPLATE, id);
        return;
    }
    pthread_mutex_lock(&t->lock);
    show(t, KAP_DEFINITION_TEMPLATE, kap_definition_ref(def));
    pthread_mutex_unlock(&t->lock);
}

static void apply(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_str id)
{
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    const struct kap_definitions *d = t->opt.definitions;
    struct kap_definition *def = NULL;
    struct kap_error err;
    if (d->get(d->ctx, kind, id, &json, NULL) == KAP_OK &&
        kap_definition_decode(id, kap_buf_str(&json), &def, &err) != KAP_OK) {
        kap_log(KAP_LOG_ERROR, "task_store", "cannot use a definition", kap_kv_n("id", id),
                kap_kv_s("err", err.msg));
        return;
    }
    if (kind == KAP_DEFINITION_TASK)
        apply_task(t, id, def);
    else
        apply_template(t, id, def);
    kap_definition_unref(def);
}

static void apply_placement(struct kap_tasks *t)
{
    size_t n;
    struct kap_definition **v = kap_tasks_match(t, KAP_DEFINITION_TASK, KAP_STR(""), &n);
    for (size_t i = 0; i < n; i++) {
        if (t->started)
            align(t, v[i]);
        kap_definition_unref(v[i]);
    }
    kap_free(v);
}

static void *applier(void *arg)
{
    struct kap_tasks *t = arg;
    pthread_mutex_lock(&t->queue_lock);
    for (;;) {
        while (t->queue == NULL && !t->ending)
            pthread_cond_wait(&t->queued, &t->queue_lock);
        struct kap_change *c = t->queue;
        if (c == NULL)
            break;
        t->queue = c->next;
        if (t->queue == NULL)
            t->queue_end = &t->queue;
        pthread_mutex_unlock(&t->queue_lock);
        pthread_mutex_lock(&t->change);
        if (c->id)
            apply(t, c->kind, kap_str(c->id));
        else
            apply_placement(t);
        pthread_mutex_unlock(&t->change);
        kap_free(c->id);
        kap_free(c);
        pthread_mutex_lock(&t->queue_lock);
    }
    pthread_mutex_unlock(&t->queue_lock);
    return NULL;
}

static void enqueue(struct kap_tasks *t, enum kap_definition_kind kind, char *id)
{
    struct kap_change *c = KAP_NEW(struct kap_change);
    c->kind = kind;
    c->id = id;
    pthread_mutex_lock(&t->queue_lock);
    *t->queue_end = c;
    t->queue_end = &c->next;
    pthread_cond_signal(&t->queued);
    pthread_mutex_unlock(&t->queue_lock);
}

static void on_change(void *ctx, enum kap_definition_kind kind, struct kap_str id, bool remote)
{
    if (remote)
        enqueue(ctx, kind, kap_strndup(id.p, id.n));
}

void kap_tasks_replace(struct kap_tasks *t)
{
    enqueue(t, KAP_DEFINITION_TASK, NULL);
}

/* --- start and stop --- */

struct loading {
    struct kap_tasks *tasks;
    enum kap_definition_kind kind;
};

/* A damaged record is said and left alone: it must not keep the others from loading. */
static bool load_one(void *ctx, struct kap_str id, struct kap_str json)
{
    const struct loading *l = ctx;
    struct kap_definition *def;
    struct kap_error err;
    if (kap_definition_decode(id, json, &def, &err) == KAP_OK)
        show(l->tasks, l->kind, def);
    else
        kap_log(KAP_LOG_ERROR, "task_store", "cannot load a definition", kap_kv_n("id", id),
                kap_kv_s("err", err.msg));
    return true;
}

static enum kap_status load(struct kap_tasks *t, struct kap_error *err)
{
    const struct kap_definitions *d = t->opt.definitions;
    struct loading tasks = { t, KAP_DEFINITION_TASK }, templates = { t, KAP_DEFINITION_TEMPLATE };
    KAP_TRY(d->each(d->ctx, KAP_DEFINITION_TASK, load_one, &tasks, err));
    KAP_TRY(d->each(d->ctx, KAP_DEFINITION_TEMPLATE, load_one, &templates, err));
    d->watch(d->ctx, KAP_DEFINITION_TASK, on_change, t);
    d->watch(d->ctx, KAP_DEFINITION_TEMPLATE, on_change, t);
    return KAP_OK;
}

static void free_all(struct kap_tasks *t)
{
    size_t i = 0;
    void *e;
    while (kap_map_next(t->tasks, &i, NULL, &e))
        entry_free(e);
    i = 0;
    while (kap_map_next(t->templates, &i, NULL, &e))
        entry_free(e);
    kap_map_free(t->tasks);
    kap_map_free(t->templates);
    pthread_mutex_destroy(&t->change);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->queue_lock);
    pthread_cond_destroy(&t->queued);
    kap_free(t);
}

enum kap_status kap_tasks_new(const struct kap_tasks_options *options, struct kap_tasks **ret,
                              struct kap_error *err)
{
    struct kap_tasks *t = KAP_NEW(struct kap_tasks);
    t->opt = *options;
    if (t->opt.clock == NULL)
        t->opt.clock = &kap_clock_system;
    t->tasks = kap_map_new();
    t->templates = kap_map_new();
    t->queue_end = &t->queue;
    pthread_mutex_init(&t->change, NULL);
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->queue_lock, NULL);
    pthread_cond_init(&t->queued, NULL);
    enum kap_status st = load(t, err);
    if (st == KAP_OK)
        st = kap_tasks_keep_start(t, err);
    if (st != KAP_OK || kap_thread_start(&t->applier, "definitions", applier, t) != 0) {
        kap_tasks_keep_end(t);
        free_all(t);
        return st != KAP_OK ? st : kap_fail(err, KAP_EIO, "cannot start a thread for tasks");
    }
    if (t->opt.engine)
        kap_engine_on_failure(t->opt.engine, on_failure, t);
    *ret = t;
    return KAP_OK;
}

void kap_tasks_free(struct kap_tasks *t)
{
    if (t == NULL)
        return;
    const struct kap_definitions *d = t->opt.definitions;
    d->watch(d->ctx, KAP_DEFINITION_TASK, NULL, NULL);
    d->watch(d->ctx, KAP_DEFINITION_TEMPLATE, NULL, NULL);
    kap_tasks_keep_end(t);
    kap_tasks_stop(t);
    if (t->opt.engine)
        kap_engine_on_failure(t->opt.engine, NULL, NULL);
    pthread_mutex_lock(&t->queue_lock);
    t->ending = true;
    pthread_cond_signal(&t->queued);
    pthread_mutex_unlock(&t->queue_lock);
    pthread_join(t->applier, NULL);
    free_all(t);
}

void kap_tasks_start(struct kap_tasks *t)
{
    pthread_mutex_lock(&t->change);
    t->started = true;
    apply_placement(t);
    pthread_mutex_unlock(&t->change);
}

void kap_tasks_stop(struct kap_tasks *t)
{
    pthread_mutex_lock(&t->change);
    t->started = false;
    if (t->opt.engine)
        kap_engine_drain(t->opt.engine); /* tasks that write into other tasks, too */
    size_t n;
    struct kap_definition **v = kap_tasks_match(t, KAP_DEFINITION_TASK, KAP_STR(""), &n);
    for (size_t i = 0; i < n; i++) {
        if (get_running(t, v[i]->id) != 0)
            kap_tasks_pause(t, v[i]->id);
        kap_definition_unref(v[i]);
    }
    kap_free(v);
    pthread_mutex_unlock(&t->change);
}

struct kap_task_counts kap_tasks_count(struct kap_tasks *t)
{
    struct kap_task_counts c = { 0 };
    size_t n;
    struct kap_definition **v = kap_tasks_match(t, KAP_DEFINITION_TASK, KAP_STR(""), &n);
    c.tasks = n;
    for (size_t i = 0; i < n; i++) {
        c.enabled += v[i]->enabled;
        c.executing += t->opt.engine && kap_engine_executing(t->opt.engine, v[i]->id);
        kap_definition_unref(v[i]);
    }
    kap_free(v);
    return c;
}

void kap_tasks_each_running(struct kap_tasks *t, void (*fn)(void *ctx, struct kap_str id), void *ctx)
{
    size_t n;
    struct kap_definition **v = kap_tasks_match(t, KAP_DEFINITION_TASK, KAP_STR(""), &n);
    for (size_t i = 0; i < n; i++) {
        if (t->opt.engine && kap_engine_executing(t->opt.engine, v[i]->id))
            fn(ctx, v[i]->id);
        kap_definition_unref(v[i]);
    }
    kap_free(v);
}
