/* Creating, changing and deleting tasks. The order of the checks, and their texts, are the reference's. */
#include "task/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"

static enum kap_status check_id(const char *what, struct kap_str id, struct kap_error *err)
{
    if (kap_id_valid(id))
        return KAP_OK;
    KAP_AUTO_BUF struct kap_buf quoted = { 0 };
    kap_buf_addq(&quoted, id);
    return kap_fail(err, KAP_EINVAL, "%s ID must contain only letters, numbers, '-', '.' and '_'. %s", what,
                    quoted.p);
}

static enum kap_status unknown_template(struct kap_str id, struct kap_error *err)
{
    return kap_fail(err, KAP_EINVAL, "unknown template %.*s: err: no template exists", KAP_STR_ARG(id));
}

/* A fresh definition with the ID of the request, or a UUID. */
static enum kap_status begin(struct kap_tasks *t, enum kap_definition_kind kind,
                             const struct kap_task_request *rq, struct kap_definition **ret,
                             struct kap_error *err)
{
    const char *what = kind == KAP_DEFINITION_TASK ? "task" : "template";
    kap_uuid uuid;
    struct kap_str id = rq->id;
    if (id.n == 0) {
        kap_uuid_new(uuid);
        id = kap_str(uuid);
    }
    KAP_TRY(check_id(what, id, err));
    struct kap_definition *other = kap_tasks_get(t, kind, id);
    if (other) {
        kap_definition_unref(other);
        return kap_fail(err, KAP_EEXIST, "%s %.*s already exists", what, KAP_STR_ARG(id));
    }
    struct kap_definition *def = kap_definition_new();
    def->id = kap_arena_str(def->arena, id);
    *ret = def;
    return KAP_OK;
}

/* Script and type of a template, for a task that is made from it. */
static enum kap_status adopt_template(struct kap_tasks *t, struct kap_definition *def, struct kap_str id,
                                      struct kap_str named, struct kap_error *err)
{
    struct kap_definition *tmpl = kap_tasks_get(t, KAP_DEFINITION_TEMPLATE, id);
    if (tmpl == NULL)
        return unknown_template(named, err);
    def->template_id = kap_arena_str(def->arena, id);
    def->script = kap_arena_str(def->arena, tmpl->script);
    def->type = tmpl->type;
    kap_definition_unref(tmpl);
    return KAP_OK;
}

/* The type is the script's, whatever was asked for; then the whole script must make a pipeline. */
static enum kap_status check_script(struct kap_tasks *t, struct kap_definition *def,
                                    const struct kap_tick_script *script, bool is_template,
                                    struct kap_error *err)
{
    def->type = kap_tick_task_type(script);
    if (def->type == KAP_TASK_INVALID)
        return kap_fail(err, KAP_EINVAL, "invalid task type: invalid");
    struct kap_graph *graph;
    if (kap_definition_graph(t, def, is_template, &graph, NULL, NULL, err) != KAP_OK) {
        kap_wrap(err, "invalid TICKscript");
        return KAP_EINVAL;
    }
    kap_graph_unref(graph);
    return KAP_OK;
}

static void take_vars(struct kap_definition *def, struct kap_task_request *rq)
{
    kap_tick_vars_done(&def->vars);
    def->vars = rq->vars;
    rq->vars = (struct kap_tick_vars){ 0 };
}

/* --- create --- */

static enum kap_status fill_new(struct kap_tasks *t, struct kap_definition *def, struct kap_task_request *rq,
                                struct kap_error *err)
{
    if (rq->template_id.n > 0) {
        KAP_TRY(adopt_template(t, def, rq->template_id, rq->template_id, err));
    } else {
        if (rq->script.n == 0)
            return kap_fail(err, KAP_EINVAL, "must provide TICKscript");
        def->script = kap_arena_str(def->arena, rq->script);
    }
    def->enabled = rq->status == KAP_STATUS_ENABLED;
    take_vars(def, rq);
    struct kap_tick_script *script;
    KAP_TRY(kap_script_parse(def->script, &script, err));
    enum kap_status st = check_script(t, def, script, false, err);
    const struct kap_dbrp *dbrps;
    const size_t n = kap_tick_dbrps(script, &dbrps);
    if (st == KAP_OK && n == 0 && rq->ndbrps == 0)
        st = kap_fail(err, KAP_EINVAL, "must specify dbrp");
    else if (st == KAP_OK && n > 0 && rq->ndbrps > 0)
        st = kap_fail(err, KAP_EINVAL, "cannot specify dbrp in both implicitly and explicitly");
    if (st == KAP_OK)
        kap_definition_set_dbrps(def, n > 0 ? dbrps : rq->dbrps, n > 0 ? n : rq->ndbrps);
    kap_tick_script_unref(script);
    def->created_ns = def->modified_ns = kap_clock_wall(t->opt.clock);
    if (def->enabled)
        def->last_enabled_ns = def->run_ns = def->created_ns;
    return st;
}

static enum kap_status create(struct kap_tasks *t, struct kap_task_request *rq, struct kap_buf *out,
                              struct kap_error *err)
{
    struct kap_definition *def;
    KAP_TRY(begin(t, KAP_DEFINITION_TASK, rq, &def, err));
    enum kap_status st = fill_new(t, def, rq, err);
    if (st != KAP_OK) {
        kap_definition_unref(def);
        return st;
    }
    st = kap_tasks_store(t, KAP_DEFINITION_TASK, kap_definition_ref(def), err);
    if (st == KAP_OK && def->enabled)
        st = kap_tasks_run(t, def, err);
    if (st == KAP_OK)
        st = kap_definition_show(t, KAP_DEFINITION_TASK, def, &(struct kap_task_view){ 0 }, out, err);
    kap_definition_unref(def);
    return st;
}

enum kap_status kap_task_create(struct kap_tasks *t, struct kap_str body, struct kap_buf *out,
                                struct kap_error *err)
{
    struct kap_task_request rq;
    KAP_TRY(kap_task_request_parse(body, &rq, err));
    pthread_mutex_lock(&t->change);
    const enum kap_status st = create(t, &rq, out, err);
    pthread_mutex_unlock(&t->change);
    kap_task_request_done(&rq);
    return st;
}

/* --- update --- */

/* A script that used to name its databases must not lose them silently. */
static enum kap_status keep_dbrps(const struct kap_definition *old, const struct kap_task_request *rq,
                                  struct kap_error *err)
{
    struct kap_tick_script *before, *after;
    KAP_TRY(kap_script_parse(old->script, &before, err));
    const struct kap_dbrp *dbrps;
    const bool had = kap_tick_dbrps(before, &dbrps) > 0;
    kap_tick_script_unref(before);
    KAP_TRY(kap_script_parse(rq->script, &after, err));
    const bool has = kap_tick_dbrps(after, &dbrps) > 0;
    kap_tick_script_unref(after);
    if (had && !has && rq->ndbrps == 0)
        return kap_fail(err, KAP_EINVAL, "must specify dbrp");
    return KAP_OK;
}

static enum kap_status update_script(struct kap_tasks *t, const struct kap_definition *old,
                                     struct kap_definition *def, const struct kap_task_request *rq,
                                     struct kap_error *err)
{
    if (rq->template_id.n > 0 || old->template_id.n > 0)
        return adopt_template(t, def, rq->template_id.n > 0 ? rq->template_id : old->template_id,
                              rq->template_id, err);
    if (rq->script.n == 0)
        return KAP_OK;
    KAP_TRY(keep_dbrps(old, rq, err));
    def->script = kap_arena_str(def->arena, rq->script);
    return KAP_OK;
}

static enum kap_status update_rest(struct kap_tasks *t, struct kap_definition *def,
                                   struct kap_task_request *rq, struct kap_error *err)
{
    struct kap_tick_script *script;
    KAP_TRY(kap_script_parse(def->script, &script, err));
    const struct kap_dbrp *dbrps;
    const size_t n = kap_tick_dbrps(script, &dbrps);
    enum kap_status st = KAP_OK;
    if (n > 0 && rq->ndbrps > 0)
        st = kap_fail(err, KAP_EINVAL, "cannot specify dbrp in implicitly and explicitly");
    else if (n > 0)
        kap_definition_set_dbrps(def, dbrps, n);
    else if (rq->ndbrps > 0)
        kap_definition_set_dbrps(def, rq->dbrps, rq->ndbrps);
    if (rq->status != KAP_STATUS_UNSAID)
        def->enabled = rq->status == KAP_STATUS_ENABLED;
    if (rq->has_vars)
        take_vars(def, rq);
    if (st == KAP_OK)
        st = check_script(t, def, script, false, err);
    kap_tick_script_unref(script);
    return st;
}

/* Stores the new definition; under a new ID the old one goes. */
static enum kap_status put_update(struct kap_tasks *t, const struct kap_definition *old,
                                  struct kap_definition *def, struct kap_error *err)
{
    const bool renamed = !kap_str_eq(old->id, def->id);
    if (renamed && kap_task_exists(t, def->id))
        return kap_fail(err, KAP_EINTERNAL,
                        "failed to create new task during ID change: task already exists");
    KAP_TRY(kap_tasks_store(t, KAP_DEFINITION_TASK, kap_definition_ref(def), err));
    if (!renamed)
        return KAP_OK;
    kap_tasks_halt(t, old->id, true);
    struct kap_error ignored;
    if (kap_tasks_remove(t, KAP_DEFINITION_TASK, old->id, &ignored) != KAP_OK)
        kap_log(KAP_LOG_ERROR, "task_store", "failed to delete old task definition during ID change",
                kap_kv_n("oldID", old->id), kap_kv_n("newID", def->id), kap_kv_s("err", ignored.msg));
    return KAP_OK;
}

/* A running task goes on with its old script until it is disabled and enabled again, as in the reference. */
static enum kap_status update(struct kap_tasks *t, struct kap_definition *old, struct kap_task_request *rq,
                              struct kap_buf *out, struct kap_error *err)
{
    struct kap_definition *def = kap_definition_copy(old);
    if (rq->id.n > 0)
        def->id = kap_arena_str(def->arena, rq->id);
    enum kap_status st = check_id("task", def->id, err);
    if (st == KAP_OK)
        st = update_script(t, old, def, rq, err);
    if (st == KAP_OK)
        st = update_rest(t, def, rq, err);
    if (st == KAP_OK) {
        const bool turned_on = def->enabled && !old->enabled, renamed = !kap_str_eq(old->id, def->id);
        def->modified_ns = kap_clock_wall(t->opt.clock);
        def->reloading = rq->reload && old->enabled && !def->enabled && !renamed;
        if (turned_on)
            def->last_enabled_ns = def->modified_ns;
        if (turned_on || (renamed && def->enabled))
            def->run_ns = def->modified_ns;
        st = put_update(t, old, def, err);
        if (st == KAP_OK && (turned_on || (renamed && def->enabled)))
            st = kap_tasks_run(t, def, err);
        else if (st == KAP_OK && def->reloading)
            kap_tasks_pause(t, def->id);
        else if (st == KAP_OK && old->enabled && !def->enabled)
            kap_tasks_halt(t, def->id, true);
    }
    if (st == KAP_OK)
        st = kap_definition_show(t, KAP_DEFINITION_TASK, def, &(struct kap_task_view){ 0 }, out, err);
    kap_definition_unref(def);
    return st;
}

enum kap_status kap_task_update(struct kap_tasks *t, struct kap_str id, struct kap_str body,
                                struct kap_buf *out, struct kap_error *err)
{
    struct kap_task_request rq;
    KAP_TRY(kap_task_request_parse(body, &rq, err));
    pthread_mutex_lock(&t->change);
    struct kap_definition *old = kap_tasks_get(t, KAP_DEFINITION_TASK, id);
    const enum kap_status st = old ? update(t, old, &rq, out, err)
                                   : kap_fail(err, KAP_ENOTFOUND, "task does not exist, cannot update");
    pthread_mutex_unlock(&t->change);
    kap_definition_unref(old);
    kap_task_request_done(&rq);
    return st;
}

enum kap_status kap_task_delete(struct kap_tasks *t, struct kap_str id, struct kap_error *err)
{
    pthread_mutex_lock(&t->change);
    kap_tasks_halt(t, id, true);
    const enum kap_status st =
        kap_task_exists(t, id) ? kap_tasks_remove(t, KAP_DEFINITION_TASK, id, err) : KAP_OK;
    pthread_mutex_unlock(&t->change);
    return st;
}

void kap_tasks_disable_all(struct kap_tasks *t)
{
    pthread_mutex_lock(&t->change);
    size_t n;
    struct kap_definition **v = kap_tasks_match(t, KAP_DEFINITION_TASK, KAP_STR(""), &n);
    for (size_t i = 0; i < n; i++) {
        struct kap_error err;
        if (v[i]->enabled) {
            kap_tasks_halt(t, v[i]->id, false);
            struct kap_definition *def = kap_definition_copy(v[i]);
            def->enabled = false;
            if (kap_tasks_store(t, KAP_DEFINITION_TASK, def, &err) != KAP_OK)
                kap_log(KAP_LOG_ERROR, "task_store", "failed to disable task", kap_kv_n("task", v[i]->id),
                        kap_kv_s("err", err.msg));
        }
        kap_definition_unref(v[i]);
    }
    kap_free(v);
    pthread_mutex_unlock(&t->change);
}

/* --- templates --- */

static enum kap_status create_template(struct kap_tasks *t, struct kap_task_request *rq, struct kap_buf *out,
                                       struct kap_error *err)
{
    struct kap_definition *def;
    KAP_TRY(begin(t, KAP_DEFINITION_TEMPLATE, rq, &def, err));
    def->script = kap_arena_str(def->arena, rq->script);
    struct kap_tick_script *script;
    enum kap_status st = kap_script_parse(def->script, &script, err);
    if (st == KAP_OK) {
        st = check_script(t, def, script, true, err);
        kap_tick_script_unref(script);
    }
    if (st == KAP_OK) {
        def->created_ns = def->modified_ns = kap_clock_wall(t->opt.clock);
        st = kap_tasks_store(t, KAP_DEFINITION_TEMPLATE, kap_definition_ref(def), err);
    }
    if (st == KAP_OK)
        st = kap_definition_show(t, KAP_DEFINITION_TEMPLATE, def, &(struct kap_task_view){ 0 }, out, err);
    kap_definition_unref(def);
    return st;
}

enum kap_status kap_template_create(struct kap_tasks *t, struct kap_str body, struct kap_buf *out,
                                    struct kap_error *err)
{
    struct kap_task_request rq;
    KAP_TRY(kap_task_request_parse(body, &rq, err));
    pthread_mutex_lock(&t->change);
    const enum kap_status st = create_template(t, &rq, out, err);
    pthread_mutex_unlock(&t->change);
    kap_task_request_done(&rq);
    return st;
}

/* Gives a task the script of its template, and reloads it when it is enabled. */
static enum kap_status reload_from(struct kap_tasks *t, const struct kap_definition *task,
                                   const struct kap_definition *tmpl, struct kap_error *err)
{
    struct kap_tick_script *script;
    KAP_TRY(kap_script_parse(tmpl->script, &script, err));
    struct kap_definition *def = kap_definition_copy(task);
    def->template_id = kap_arena_str(def->arena, tmpl->id);
    def->script = kap_arena_str(def->arena, tmpl->script);
    def->type = tmpl->type;
    const struct kap_dbrp *dbrps;
    const size_t n = kap_tick_dbrps(script, &dbrps);
    if (n > 0)
        kap_definition_set_dbrps(def, dbrps, n);
    kap_tick_script_unref(script);
    if (def->enabled)
        def->run_ns = kap_clock_wall(t->opt.clock);
    enum kap_status st = kap_tasks_store(t, KAP_DEFINITION_TASK, kap_definition_ref(def), err);
    if (st == KAP_OK && def->enabled) {
        kap_tasks_halt(t, def->id, true);
        st = kap_tasks_run(t, def, err);
    }
    kap_definition_unref(def);
    return st;
}

/* All tasks of a template, or none: when one fails, those changed so far go back to the old script. */
static enum kap_status reload_all(struct kap_tasks *t, const struct kap_definition *old,
                                  const struct kap_definition *tmpl, struct kap_error *err)
{
    size_t n, done = 0;
    struct kap_definition **v = kap_tasks_match(t, KAP_DEFINITION_TASK, KAP_STR(""), &n);
    enum kap_status st = KAP_OK;
    for (; done < n && st == KAP_OK; done++) {
        if (!kap_str_eq(v[done]->template_id, old->id))
            continue;
        st = reload_from(t, v[done], tmpl, err);
        if (st != KAP_OK) {
            kap_wrap(err, "error reloading associated task %.*s", KAP_STR_ARG(v[done]->id));
            st = KAP_EINTERNAL;
        }
    }
    for (size_t i = 0; st != KAP_OK && i < done; i++) {
        struct kap_error again;
        if (kap_str_eq(v[i]->template_id, old->id) && reload_from(t, v[i], old, &again) != KAP_OK)
            kap_log(KAP_LOG_ERROR, "task_store", "error rolling back associated task",
                    kap_kv_n("task", v[i]->id), kap_kv_s("err", again.msg));
    }
    for (size_t i = 0; i < n; i++)
        kap_definition_unref(v[i]);
    kap_free(v);
    return st;
}

static enum kap_status put_template(struct kap_tasks *t, const struct kap_definition *old,
                                    struct kap_definition *def, struct kap_error *err)
{
    const bool renamed = !kap_str_eq(old->id, def->id);
    struct kap_definition *other = renamed ? kap_tasks_get(t, KAP_DEFINITION_TEMPLATE, def->id) : NULL;
    if (other) {
        kap_definition_unref(other);
        return kap_fail(err, KAP_EINTERNAL,
                        "failed to create new template for ID change: template already exists");
    }
    KAP_TRY(kap_tasks_store(t, KAP_DEFINITION_TEMPLATE, kap_definition_ref(def), err));
    return renamed ? kap_tasks_remove(t, KAP_DEFINITION_TEMPLATE, old->id, err) : KAP_OK;
}

static enum kap_status update_template(struct kap_tasks *t, const struct kap_definition *old,
                                       const struct kap_task_request *rq, struct kap_buf *out,
                                       struct kap_error *err)
{
    struct kap_definition *def = kap_definition_copy(old);
    struct kap_graph *graph = NULL;
    if (rq->id.n > 0)
        def->id = kap_arena_str(def->arena, rq->id);
    if (rq->script.n > 0)
        def->script = kap_arena_str(def->arena, rq->script);
    enum kap_status st = check_id("template", def->id, err);
    if (st == KAP_OK && kap_definition_graph(t, def, true, &graph, NULL, NULL, err) != KAP_OK) {
        kap_wrap(err, "invalid TICKscript");
        st = KAP_EINVAL;
    }
    kap_graph_unref(graph);
    if (st == KAP_OK) {
        def->modified_ns = kap_clock_wall(t->opt.clock);
        st = put_template(t, old, def, err);
    }
    if (st == KAP_OK)
        st = reload_all(t, old, def, err);
    if (st == KAP_OK)
        st = kap_definition_show(t, KAP_DEFINITION_TEMPLATE, def, &(struct kap_task_view){ 0 }, out, err);
    kap_definition_unref(def);
    return st;
}

enum kap_status kap_template_update(struct kap_tasks *t, struct kap_str id, struct kap_str body,
                                    struct kap_buf *out, struct kap_error *err)
{
    struct kap_task_request rq;
    KAP_TRY(kap_task_request_parse(body, &rq, err));
    pthread_mutex_lock(&t->change);
    struct kap_definition *old = kap_tasks_get(t, KAP_DEFINITION_TEMPLATE, id);
    const enum kap_status st = old ? update_template(t, old, &rq, out, err)
                                   : kap_fail(err, KAP_ENOTFOUND, "template does not exist, cannot update");
    pthread_mutex_unlock(&t->change);
    kap_definition_unref(old);
    kap_task_request_done(&rq);
    return st;
}

enum kap_status kap_template_delete(struct kap_tasks *t, struct kap_str id, struct kap_error *err)
{
    pthread_mutex_lock(&t->change);
    struct kap_definition *old = kap_tasks_get(t, KAP_DEFINITION_TEMPLATE, id);
    const enum kap_status st = old ? kap_tasks_remove(t, KAP_DEFINITION_TEMPLATE, id, err) : KAP_OK;
    kap_definition_unref(old);
    pthread_mutex_unlock(&t->change);
    return st;
}
