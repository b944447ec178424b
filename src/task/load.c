#include "task/load.h"

#include "alert/spec.h"
#include "base/log.h"
#include "base/mem.h"
#include "task/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is remembered: {"tasks": {"cpu": true}, "templates": {}, "handlers": {"TOPIC/ID": true}}. */
struct load {
    const struct kap_load_options *opt;
    json_t *known; /* from earlier runs */
    json_t *seen;  /* in this one */
    struct kap_load_counts counts;
};

struct file {
    const char *path, *kind; /* kind: "tasks" */
    struct kap_str id;       /* the name without its extension */
    struct kap_str text;
};

enum kept { CHANGED, UNCHANGED };
typedef enum kap_status (*take_fn)(struct load *l, const struct file *f, enum kept *ret,
                                   struct kap_error *err);

static void remember(struct load *l, const char *kind, struct kap_str id)
{
    KAP_AUTO_FREE char *key = kap_strndup(id.p, id.n);
    json_object_set_new(json_object_get(l->seen, kind), key, json_true());
}

/* --- tasks and templates --- */

static struct kap_str text_of(const json_t *tree, struct kap_buf *out)
{
    KAP_AUTO_FREE char *text = json_dumps(tree, JSON_COMPACT);
    kap_buf_adds(out, text ? text : "null");
    return kap_buf_str(out);
}

static bool same_vars(const struct kap_tick_vars *a, const struct kap_tick_vars *b)
{
    KAP_AUTO_BUF struct kap_buf ta = { 0 };
    KAP_AUTO_BUF struct kap_buf tb = { 0 };
    struct kap_json j;
    kap_json_init(&j, &ta, false);
    kap_tick_vars_json(&j, a, false);
    kap_json_init(&j, &tb, false);
    kap_tick_vars_json(&j, b, false);
    return kap_str_eq(kap_buf_str(&ta), kap_buf_str(&tb));
}

static bool same_dbrps(const struct kap_definition *def, const struct kap_task_request *rq)
{
    bool same = def->ndbrps == rq->ndbrps;
    for (size_t i = 0; same && i < rq->ndbrps; i++)
        same = kap_str_eq(def->dbrps[i].db, rq->dbrps[i].db) && kap_str_eq(def->dbrps[i].rp, rq->dbrps[i].rp);
    return same;
}

/* Is all that the file says so already? */
static bool is_defined(struct kap_tasks *t, enum kap_definition_kind kind, const struct kap_definition *def,
                       const struct kap_task_request *rq)
{
    if ((rq->script.n > 0 && !kap_str_eq(rq->script, def->script)) ||
        (rq->template_id.n > 0 && !kap_str_eq(rq->template_id, def->template_id)) ||
        (rq->ndbrps > 0 && !same_dbrps(def, rq)) || (rq->has_vars && !same_vars(&rq->vars, &def->vars)))
        return false;
    if (kind == KAP_DEFINITION_TEMPLATE)
        return true;
    KAP_AUTO_FREE char *failed = kap_tasks_error(t, def->id);
    return def->enabled && failed == NULL;
}

static enum kap_status set_status(struct kap_tasks *t, struct kap_str id, const char *status,
                                  struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf body = { 0 };
    KAP_AUTO_BUF struct kap_buf ignored = { 0 };
    kap_buf_addf(&body, "{\"status\":\"%s\"}", status);
    return kap_task_update(t, id, kap_buf_str(&body), &ignored, err);
}

/* A running task takes up its new definition only when it starts. */
static enum kap_status change_task(struct kap_tasks *t, struct kap_str id, struct kap_str body,
                                   struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf ignored = { 0 };
    KAP_TRY(kap_task_update(t, id, body, &ignored, err));
    KAP_TRY(set_status(t, id, "disabled", err));
    return set_status(t, id, "enabled", err);
}

static enum kap_status define(struct load *l, enum kap_definition_kind kind, struct kap_str id, json_t *tree,
                              enum kept *ret, struct kap_error *err)
{
    struct kap_tasks *t = l->opt->tasks;
    KAP_AUTO_BUF struct kap_buf body = { 0 };
    KAP_AUTO_BUF struct kap_buf ignored = { 0 };
    struct kap_task_request rq;
    const bool is_task = kind == KAP_DEFINITION_TASK;
    struct kap_definition *old = kap_tasks_get(t, kind, id);
    if (old == NULL) {
        json_object_set_new(tree, "id", json_stringn(id.p, id.n));
        if (is_task)
            json_object_set_new(tree, "status", json_string("enabled"));
        const struct kap_str text = text_of(tree, &body);
        return is_task ? kap_task_create(t, text, &ignored, err)
                       : kap_template_create(t, text, &ignored, err);
    }
    json_object_del(tree, "status");
    const struct kap_str text = text_of(tree, &body);
    enum kap_status st = kap_task_request_parse(text, &rq, err);
    if (st == KAP_OK) {
        if (is_defined(t, kind, old, &rq))
            *ret = UNCHANGED;
        else
            st = is_task ? change_task(t, id, text, err) : kap_template_update(t, id, text, &ignored, err);
        kap_task_request_done(&rq);
    }
    kap_definition_unref(old);
    return st;
}

static enum kap_status take_script(struct load *l, const struct file *f, enum kap_definition_kind kind,
                                   enum kept *ret, struct kap_error *err)
{
    json_t *script = json_stringn(f->text.p, f->text.n);
    if (script == NULL)
        return kap_fail(err, KAP_EINVAL, "is not valid UTF-8");
    json_t *tree = json_object();
    json_object_set_new(tree, "script", script);
    const enum kap_status st = define(l, kind, f->id, tree, ret, err);
    json_decref(tree);
    return st;
}

static enum kap_status take_template(struct load *l, const struct file *f, enum kept *ret,
                                     struct kap_error *err)
{
    return take_script(l, f, KAP_DEFINITION_TEMPLATE, ret, err);
}

static enum kap_status take_task(struct load *l, const struct file *f, enum kept *ret, struct kap_error *err)
{
    return take_script(l, f, KAP_DEFINITION_TASK, ret, err);
}

static enum kap_status read_tree(const struct file *f, json_t **ret, struct kap_error *err)
{
    json_t *tree;
    KAP_TRY(kap_yaml_json(f->text, &tree, err));
    if (!json_is_object(tree)) {
        json_decref(tree);
        return kap_fail(err, KAP_EINVAL, "must hold an object");
    }
    *ret = tree;
    return KAP_OK;
}

static enum kap_status take_task_file(struct load *l, const struct file *f, enum kept *ret,
                                      struct kap_error *err)
{
    json_t *tree;
    KAP_TRY(read_tree(f, &tree, err));
    json_object_del(tree, "id"); /* the file's name is */
    const enum kap_status st = define(l, KAP_DEFINITION_TASK, f->id, tree, ret, err);
    json_decref(tree);
    return st;
}

/* --- handlers --- */

static bool same_handler(const struct kap_handler_spec *a, const struct kap_handler_spec *b)
{
    return strcmp(a->kind, b->kind) == 0 && strcmp(a->match, b->match) == 0 &&
           (json_equal(a->options, b->options) ||
            (json_object_size(a->options) == 0 && json_object_size(b->options) == 0));
}

static enum kap_status put_handler(struct load *l, const struct kap_handler_spec *spec, enum kept *ret,
                                   struct kap_error *err)
{
    struct kap_handler_spec old;
    KAP_TRY(kap_handler_spec_check(spec, err));
    const enum kap_status there =
        kap_topic_handlers_get(l->opt->handlers, kap_str(spec->topic), kap_str(spec->id), &old, err);
    if (there != KAP_OK && there != KAP_ENOTFOUND)
        return there;
    if (there == KAP_OK) {
        *ret = same_handler(&old, spec) ? UNCHANGED : CHANGED;
        kap_handler_spec_done(&old);
    }
    if (*ret == UNCHANGED)
        return KAP_OK;
    return kap_topic_handlers_put(l->opt->handlers, spec, there == KAP_OK ? spec->id : NULL, err);
}

static enum kap_status take_handler(struct load *l, const struct file *f, enum kept *ret,
                                    struct kap_error *err)
{
    json_t *tree;
    struct kap_handler_spec spec;
    KAP_TRY(read_tree(f, &tree, err));
    enum kap_status st = kap_handler_spec_read(tree, NULL, &spec, err);
    json_decref(tree);
    if (st != KAP_OK)
        return st;
    st = put_handler(l, &spec, ret, err);
    KAP_AUTO_FREE char *key = kap_asprintf("%s/%s", spec.topic, spec.id);
    remember(l, "handlers", kap_str(key));
    kap_handler_spec_done(&spec);
    return st;
}

/* --- files --- */

static enum kap_status read_file(const char *path, struct kap_buf *out, struct kap_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0)
        return kap_fail(err, KAP_EIO, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return kap_fail(err, KAP_EINVAL, "is not a file");
    }
    ssize_t n = 0;
    do {
        char *room = out->n <= KAP_LOAD_FILE_BYTES ? kap_buf_reserve(out, 65536) : NULL;
        n = room ? read(fd, room, 65536) : 0;
        out->n += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    const int failed = n < 0 ? errno : 0;
    close(fd);
    if (failed)
        return kap_fail(err, KAP_EIO, "cannot be read: %s", strerror(failed));
    if (out->n > KAP_LOAD_FILE_BYTES)
        return kap_fail(err, KAP_ELIMIT, "is larger than %d bytes", KAP_LOAD_FILE_BYTES);
    return KAP_OK;
}

static bool has_extension(const char *name, const char *const *extensions)
{
    const char *dot = strrchr(name, '.');
    for (; dot && *extensions; extensions++) {
        if (strcmp(dot, *extensions) == 0)
            return true;
    }
    return false;
}

static const char *const scripts[] = { ".tick", NULL }, *const trees[] = { ".json", ".yaml", ".yml", NULL };

static int is_wanted(const struct dirent *d)
{
    return has_extension(d->d_name, scripts) || has_extension(d->d_name, trees);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_file(struct load *l, const char *dir, const char *kind, const char *name, take_fn take)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", dir, name);
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    struct kap_error err;
    struct file f = { .path = path, .kind = kind };
    f.id = kap_strn(name, (size_t)(strrchr(name, '.') - name));
    enum kept kept = CHANGED;
    enum kap_status st = read_file(path, &text, &err);
    f.text = kap_buf_str(&text);
    if (st == KAP_OK)
        st = take(l, &f, &kept, &err);
    if (strcmp(kind, "handlers") != 0)
        remember(l, kind, f.id); /* also when it failed: a mistake in a file deletes nothing */
    if (st != KAP_OK) {
        l->counts.failed++;
        kap_log(KAP_LOG_ERROR, "load", "cannot load file", kap_kv_s("file", path), kap_kv_s("err", err.msg));
    } else if (kept == UNCHANGED) {
        l->counts.unchanged++;
    } else {
        l->counts.loaded++;
        kap_log(KAP_LOG_INFO, "load", "loaded", kap_kv_s("kind", kind), kap_kv_s("file", path));
    }
}

/* All files of a folder with one of the extensions. */
static enum kap_status load_folder(struct load *l, const char *kind, const char *const *extensions,
                                   take_fn take, struct kap_error *err)
{
    KAP_AUTO_FREE char *dir = kap_asprintf("%s/%s", l->opt->dir, kind);
    struct dirent **entries = NULL;
    const int n = scandir(dir, &entries, is_wanted, by_name);
    if (n < 0)
        return errno == ENOENT ? KAP_OK : kap_fail(err, KAP_EIO, "cannot read %s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (has_extension(entries[i]->d_name, extensions))
            load_file(l, dir, kind, entries[i]->d_name, take);
        kap_free(entries[i]);
    }
    kap_free(entries);
    return KAP_OK;
}

/* --- memory --- */

static enum kap_status read_memory(struct load *l, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    l->known = json_object();
    if (access(l->opt->memory, F_OK) != 0)
        return KAP_OK;
    if (read_file(l->opt->memory, &text, err) != KAP_OK)
        return kap_wrap(err, "%s", l->opt->memory);
    json_t *tree = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
    if (!json_is_object(tree)) {
        json_decref(tree);
        return kap_fail(err, KAP_EIO,
                        "%s is damaged: it tells what was loaded earlier; remove it to go on without",
                        l->opt->memory);
    }
    json_decref(l->known);
    l->known = tree;
    return KAP_OK;
}

static enum kap_status write_memory(const struct load *l, struct kap_error *err)
{
    KAP_AUTO_FREE char *temporary = kap_asprintf("%s.tmp", l->opt->memory);
    KAP_AUTO_FREE char *text = json_dumps(l->seen, JSON_SORT_KEYS | JSON_INDENT(1));
    FILE *f = fopen(temporary, "we");
    bool ok = f != NULL && fputs(text, f) >= 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok || rename(temporary, l->opt->memory) != 0)
        return kap_fail(err, KAP_EIO, "cannot write %s: %s", l->opt->memory, strerror(errno));
    return KAP_OK;
}

static enum kap_status delete_one(const struct load *l, const char *kind, const char *id,
                                  struct kap_error *err)
{
    if (strcmp(kind, "tasks") == 0)
        return kap_task_delete(l->opt->tasks, kap_str(id), err);
    if (strcmp(kind, "templates") == 0)
        return kap_template_delete(l->opt->tasks, kap_str(id), err);
    const char *slash = strchr(id, '/');
    if (slash == NULL)
        return KAP_OK;
    return kap_topic_handlers_drop(l->opt->handlers, kap_strn(id, (size_t)(slash - id)), kap_str(slash + 1),
                                   err);
}

/* Deletes what was loaded and is no more; what cannot be deleted is remembered for the next time. */
static void remove_missing(struct load *l, const char *kind)
{
    const char *id;
    json_t *value;
    struct kap_error err;
    json_object_foreach(json_object_get(l->known, kind), id, value)
    {
        if (json_object_get(json_object_get(l->seen, kind), id))
            continue;
        if (delete_one(l, kind, id, &err) == KAP_OK) {
            l->counts.removed++;
            kap_log(KAP_LOG_INFO, "load", "deleted what has no file any more", kap_kv_s("kind", kind),
                    kap_kv_s("id", id));
        } else {
            remember(l, kind, kap_str(id));
            kap_log(KAP_LOG_ERROR, "load", "cannot delete what has no file any more", kap_kv_s("kind", kind),
                    kap_kv_s("id", id), kap_kv_s("err", err.msg));
        }
    }
}

/* A file that cannot be read does not tell which handler it is about: then all of them stay. */
static void keep_known(struct load *l, const char *kind)
{
    json_object_update_missing(json_object_get(l->seen, kind), json_object_get(l->known, kind));
}

static enum kap_status load_all(struct load *l, struct kap_error *err)
{
    KAP_TRY(read_memory(l, err));
    l->seen = json_pack("{s:{}, s:{}, s:{}}", "tasks", "templates", "handlers");
    KAP_TRY(load_folder(l, "templates", scripts, take_template, err));
    KAP_TRY(load_folder(l, "tasks", scripts, take_task, err));
    KAP_TRY(load_folder(l, "tasks", trees, take_task_file, err));
    const size_t failed = l->counts.failed;
    KAP_TRY(load_folder(l, "handlers", trees, take_handler, err));
    if (l->counts.failed > failed)
        keep_known(l, "handlers");
    remove_missing(l, "tasks");
    remove_missing(l, "templates");
    remove_missing(l, "handlers");
    return write_memory(l, err);
}

enum kap_status kap_load(const struct kap_load_options *options, struct kap_load_counts *ret,
                         struct kap_error *err)
{
    struct load l = { .opt = options };
    if (access(options->dir, F_OK) != 0) {
        kap_log(KAP_LOG_WARN, "load", "the load directory does not exist", kap_kv_s("dir", options->dir));
        *ret = l.counts;
        return KAP_OK;
    }
    const enum kap_status st = load_all(&l, err);
    json_decref(l.known);
    json_decref(l.seen);
    if (st == KAP_OK)
        *ret = l.counts;
    return st;
}
