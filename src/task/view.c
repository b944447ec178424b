/* Tasks and templates as the API shows them. */
#include "task/internal.h"

#include "base/duration.h"
#include "base/mem.h"
#include "base/number.h"
#include "pipeline/dot.h"

#define NEVER "0001-01-01T00:00:00Z" /* a time that was not */

struct viewed { /* one definition, and what is worked out for it at most once */
    struct kap_tasks *tasks;
    enum kap_definition_kind kind;
    struct kap_definition *def;
    const struct kap_task_view *view;
    bool executing, in_list;
    struct kap_graph *graph;       /* evaluated; NULL: it cannot be, `problem` says why */
    struct kap_tick_vars declared; /* templates */
    struct kap_error problem;
    struct kap_buf warnings; /* JSON array of strings; lists do not show them */
    struct kap_task_stats stats; /* when executing */
    struct kap_graph *running;
    char *error; /* of running */
};

static void look(struct viewed *v)
{
    const bool is_template = v->kind == KAP_DEFINITION_TEMPLATE;
    struct kap_json warnings;
    kap_json_init(&warnings, &v->warnings, false);
    kap_json_array(&warnings);
    v->problem.msg[0] = '\0';
    if (kap_definition_graph(v->tasks, v->def, is_template, &v->graph, is_template ? &v->declared : NULL,
                             v->view->warnings && !v->in_list ? &warnings : NULL, &v->problem) != KAP_OK)
        v->graph = NULL;
    kap_json_array_end(&warnings);
    struct kap_engine *engine = v->tasks->opt.engine;
    if (is_template)
        return;
    v->executing = engine && kap_engine_executing(engine, v->def->id) &&
                   kap_engine_task_stats(engine, v->def->id, &v->stats, &v->running, NULL) == KAP_OK;
    v->error = kap_tasks_error(v->tasks, v->def->id);
}

static void look_away(struct viewed *v)
{
    kap_graph_unref(v->graph);
    kap_tick_vars_done(&v->declared);
    if (v->running) {
        kap_task_stats_done(&v->stats);
        kap_graph_unref(v->running);
    }
    kap_buf_done(&v->warnings);
    kap_free(v->error);
}

/* --- DOT with counters --- */

struct counter {
    const char *name;
    int64_t value;
    bool duration;
};

static int by_name(const void *a, const void *b)
{
    const struct counter *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void dot_node(void *ctx, const struct kap_graph_node *n,
                     void (*each)(void *to, const char *name, const char *value), void *to)
{
    const struct viewed *v = ctx;
    if (n->id < 0 || (size_t)n->id >= v->stats.n)
        return;
    const struct kap_node_stats *st = &v->stats.nodes[n->id];
    struct counter *counters = KAP_ARRAY(struct counter, st->ncounters + 3);
    size_t count = 0;
    counters[count++] = (struct counter){ "avg_exec_time_ns", st->avg_exec_time_ns, true };
    counters[count++] = (struct counter){ "errors", st->errors, false };
    counters[count++] = (struct counter){ "working_cardinality", st->working_cardinality, false };
    for (size_t i = 0; i < st->ncounters; i++)
        counters[count++] = (struct counter){ st->counter_names[i], st->counters[i], false };
    qsort(counters, count, sizeof *counters, by_name);
    for (size_t i = 0; i < count; i++) {
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        if (counters[i].duration)
            kap_duration_format_go(&text, counters[i].value);
        else
            kap_number_i64(&text, counters[i].value);
        each(to, counters[i].name, text.p);
    }
    kap_free(counters);
}

static int64_t dot_edge(void *ctx, const struct kap_graph_node *from, size_t child)
{
    const struct viewed *v = ctx;
    if (from->id < 0 || (size_t)from->id >= v->stats.n || child >= v->stats.nodes[from->id].nedges)
        return 0;
    return v->stats.nodes[from->id].edges[child].processed;
}

/* --- members --- */

static void write_link(struct kap_json *j, const struct viewed *v)
{
    KAP_AUTO_BUF struct kap_buf href = { 0 };
    kap_buf_addf(&href, "/kapacitor/v1/%s/%.*s", v->kind == KAP_DEFINITION_TASK ? "tasks" : "templates",
                 KAP_STR_ARG(v->def->id));
    kap_json_object(j);
    kap_json_key(j, "rel");
    kap_json_cstr(j, "self");
    kap_json_key(j, "href");
    kap_json_str(j, kap_buf_str(&href));
    kap_json_object_end(j);
}

static void write_dbrps(struct kap_json *j, const struct viewed *v)
{
    kap_json_array(j);
    for (size_t i = 0; i < v->def->ndbrps; i++) {
        kap_json_object(j);
        kap_json_key(j, "db");
        kap_json_str(j, v->def->dbrps[i].db);
        kap_json_key(j, "rp");
        kap_json_str(j, v->def->dbrps[i].rp);
        kap_json_object_end(j);
    }
    kap_json_array_end(j);
}

static void write_script(struct kap_json *j, const struct viewed *v)
{
    struct kap_tick_script *script;
    if (v->view->raw_script || kap_tick_parse(v->def->script, &script, NULL) != KAP_OK) {
        kap_json_str(j, v->def->script);
        return;
    }
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_tick_format(script, &text);
    kap_tick_script_unref(script);
    kap_json_str(j, kap_buf_str(&text));
}

static void write_dot(struct kap_json *j, const struct viewed *v)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    const struct kap_dot_stats stats = {
        .ctx = (void *)(uintptr_t)v, .throughput = v->stats.throughput, .node = dot_node, .edge = dot_edge
    };
    if (v->running)
        kap_graph_dot_running(v->running, v->def->id, &stats, v->view->dot_labels, &text);
    else if (v->graph)
        kap_graph_dot(v->graph, v->def->id, &text);
    else if (v->in_list) {
        kap_json_null(j);
        return;
    }
    kap_json_str(j, kap_buf_str(&text));
}

static void write_stats(struct kap_json *j, const struct viewed *v)
{
    if (v->running) {
        kap_task_stats_json(&v->stats, j);
    } else if (v->in_list) {
        kap_json_null(j);
    } else {
        kap_json_object(j);
        kap_json_object_end(j);
    }
}

static void write_vars(struct kap_json *j, const struct viewed *v)
{
    if (v->kind == KAP_DEFINITION_TEMPLATE)
        kap_tick_vars_json(j, &v->declared, true);
    else
        kap_tick_vars_json(j, &v->def->vars, false);
}

/* A definition that no longer evaluates says so; else what stopped it, if anything did. */
static void write_error(struct kap_json *j, const struct viewed *v)
{
    if (v->graph == NULL && !v->in_list)
        kap_json_cstr(j, v->problem.msg);
    else
        kap_json_cstr(j, v->error ? v->error : "");
}

static void write_time(struct kap_json *j, int64_t ns)
{
    if (ns == 0)
        kap_json_cstr(j, NEVER);
    else
        kap_json_time(j, ns);
}

static void write_id(struct kap_json *j, const struct viewed *v)
{
    kap_json_str(j, v->def->id);
}
static void write_template_id(struct kap_json *j, const struct viewed *v)
{
    kap_json_str(j, v->def->template_id);
}
static void write_status(struct kap_json *j, const struct viewed *v)
{
    kap_json_cstr(j, v->def->enabled ? "enabled" : "disabled");
}
static void write_executing(struct kap_json *j, const struct viewed *v)
{
    kap_json_bool(j, v->executing);
}
static void write_created(struct kap_json *j, const struct viewed *v)
{
    write_time(j, v->def->created_ns);
}
static void write_modified(struct kap_json *j, const struct viewed *v)
{
    write_time(j, v->def->modified_ns);
}
static void write_last_enabled(struct kap_json *j, const struct viewed *v)
{
    write_time(j, v->def->last_enabled_ns);
}
static void write_type(struct kap_json *j, const struct viewed *v)
{
    kap_json_cstr(j, v->def->type == KAP_TASK_BATCH ? "batch" : "stream");
}

static const struct field {
    const char *name;
    void (*write)(struct kap_json *j, const struct viewed *v);
    bool of_task, of_template;
} fields[] = {
    /* in the order of the whole object */
    { "link", write_link, true, true },
    { "id", write_id, true, true },
    { "template-id", write_template_id, true, false },
    { "type", write_type, true, true },
    { "dbrps", write_dbrps, true, false },
    { "script", write_script, true, true },
    { "vars", write_vars, true, true },
    { "dot", write_dot, true, true },
    { "status", write_status, true, false },
    { "executing", write_executing, true, false },
    { "error", write_error, true, true },
    { "stats", write_stats, true, false },
    { "created", write_created, true, true },
    { "modified", write_modified, true, true },
    { "last-enabled", write_last_enabled, true, false },
};

static bool belongs(const struct field *f, enum kap_definition_kind kind)
{
    return kind == KAP_DEFINITION_TASK ? f->of_task : f->of_template;
}

/* --- one --- */

enum kap_status kap_definition_show(struct kap_tasks *t, enum kap_definition_kind kind,
                                    struct kap_definition *def, const struct kap_task_view *view,
                                    struct kap_buf *out, struct kap_error *err)
{
    struct viewed v = { .tasks = t, .kind = kind, .def = def, .view = view };
    look(&v);
    struct kap_json j;
    kap_json_init(&j, out, true);
    kap_json_object(&j);
    for (size_t i = 0; i < KAP_COUNT(fields); i++) {
        if (!belongs(&fields[i], kind))
            continue;
        kap_json_key(&j, fields[i].name);
        fields[i].write(&j, &v);
    }
    if (v.warnings.n > strlen("[]")) {
        kap_json_key(&j, "warnings");
        kap_json_raw(&j, kap_buf_str(&v.warnings));
    }
    kap_json_object_end(&j);
    look_away(&v);
    return KAP_OK;
}

static enum kap_status show(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_str id,
                            const struct kap_task_view *view, struct kap_buf *out, struct kap_error *err)
{
    struct kap_definition *def = kap_tasks_get(t, kind, id);
    if (def == NULL)
        return kap_fail(err, KAP_ENOTFOUND, "no %s exists",
                        kind == KAP_DEFINITION_TASK ? "task" : "template");
    const enum kap_status st = kap_definition_show(t, kind, def, view, out, err);
    kap_definition_unref(def);
    return st;
}

enum kap_status kap_task_show(struct kap_tasks *t, struct kap_str id, const struct kap_task_view *view,
                              struct kap_buf *out, struct kap_error *err)
{
    return show(t, KAP_DEFINITION_TASK, id, view, out, err);
}

enum kap_status kap_template_show(struct kap_tasks *t, struct kap_str id, const struct kap_task_view *view,
                                  struct kap_buf *out, struct kap_error *err)
{
    return show(t, KAP_DEFINITION_TEMPLATE, id, view, out, err);
}

/* --- many: the members of each in byte order, as Go prints a map --- */

static int by_field_name(const void *a, const void *b)
{
    const struct field *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* The members wanted, without doubles; `ret` has room for all. */
static enum kap_status choose(enum kap_definition_kind kind, const struct kap_task_view *view,
                              const struct field **ret, size_t *ret_n, struct kap_error *err)
{
    bool wanted[KAP_COUNT(fields)] = { false };
    for (size_t i = 0; i < KAP_COUNT(fields); i++) {
        const bool by_default = belongs(&fields[i], kind) &&
                                !(kind == KAP_DEFINITION_TEMPLATE && strcmp(fields[i].name, "vars") == 0);
        wanted[i] = view->nfields == 0 ? by_default : i < 2;
    }
    for (size_t k = 0; k < view->nfields; k++) {
        size_t i = 0;
        while (i < KAP_COUNT(fields) &&
               !(kap_str_is(view->fields[k], fields[i].name) && belongs(&fields[i], kind)))
            i++;
        if (i == KAP_COUNT(fields)) {
            KAP_AUTO_BUF struct kap_buf quoted = { 0 };
            kap_buf_addq(&quoted, view->fields[k]);
            return kap_fail(err, KAP_EINVAL, "unsupported field %s", quoted.p);
        }
        wanted[i] = true;
    }
    size_t n = 0;
    for (size_t i = 0; i < KAP_COUNT(fields); i++) {
        if (wanted[i])
            ret[n++] = &fields[i];
    }
    qsort(ret, n, sizeof *ret, by_field_name);
    *ret_n = n;
    return KAP_OK;
}

static void list_one(struct kap_json *j, struct viewed *v, const struct field *const *chosen, size_t n)
{
    look(v);
    kap_json_object(j);
    for (size_t i = 0; i < n; i++) {
        if (chosen[i]->write == write_template_id && v->def->template_id.n == 0)
            continue;
        kap_json_key(j, chosen[i]->name);
        chosen[i]->write(j, v);
    }
    kap_json_object_end(j);
    look_away(v);
}

static enum kap_status list(struct kap_tasks *t, enum kap_definition_kind kind,
                            const struct kap_task_view *view, struct kap_buf *out, struct kap_error *err)
{
    size_t n, nchosen = 0;
    struct kap_definition **v = kap_tasks_match(t, kind, view->pattern, &n);
    const size_t first = view->offset < 0 ? 0 : KAP_MIN((size_t)view->offset, n);
    const size_t last = view->limit < 0 || (size_t)view->limit > n - first ? n : first + (size_t)view->limit;
    const struct field *chosen[KAP_COUNT(fields)];
    /* an unknown field is only found out where there is something to show, as in the reference */
    enum kap_status st = first < last ? choose(kind, view, chosen, &nchosen, err) : KAP_OK;
    if (st == KAP_OK) {
        struct kap_json j;
        kap_json_init(&j, out, true);
        kap_json_object(&j);
        kap_json_key(&j, kind == KAP_DEFINITION_TASK ? "tasks" : "templates");
        kap_json_array(&j);
        for (size_t i = first; i < last; i++)
            list_one(&j,
                     &(struct viewed){ .tasks = t, .kind = kind, .def = v[i], .view = view, .in_list = true },
                     chosen, nchosen);
        kap_json_array_end(&j);
        kap_json_object_end(&j);
    }
    for (size_t i = 0; i < n; i++)
        kap_definition_unref(v[i]);
    kap_free(v);
    return st;
}

enum kap_status kap_task_list(struct kap_tasks *t, const struct kap_task_view *view, struct kap_buf *out,
                              struct kap_error *err)
{
    return list(t, KAP_DEFINITION_TASK, view, out, err);
}

enum kap_status kap_template_list(struct kap_tasks *t, const struct kap_task_view *view, struct kap_buf *out,
                                  struct kap_error *err)
{
    return list(t, KAP_DEFINITION_TEMPLATE, view, out, err);
}
