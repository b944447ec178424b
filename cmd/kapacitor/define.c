/* define, define-template, define-topic-handler. */
#include "alert/spec.h"
#include "base/mem.h"
#include "commands.h"
#include "tick/tick.h"

#include <stdio.h>

static struct {
    const char *tick, *type, *template_id, *vars, *file;
    bool no_reload;
    struct kap_flag_list dbrps;
} given;

/* --- parts of a definition --- */

/* Reads up to the closing quote; *p is behind it. Quotes inside are written \". */
static bool quoted(const char **p, struct kap_buf *out)
{
    for ((*p)++; **p && **p != '"'; (*p)++) {
        if (**p == '\\' && (*p)[1] == '"')
            (*p)++;
        kap_buf_addc(out, **p);
    }
    return *(*p)++ == '"';
}

/* "db"."rp", quotes optional. */
static enum kap_status parse_dbrp(const char *s, json_t *list, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf db = { 0 };
    KAP_AUTO_BUF struct kap_buf rp = { 0 };
    const char *p = s;
    bool good = true;
    if (*p == '"') {
        good = quoted(&p, &db);
    } else {
        const size_t n = strcspn(p, ".");
        kap_buf_addn(&db, p, n);
        p += n;
    }
    if (!good || *p != '.' || db.n == 0)
        return kap_fail(
            err, KAP_EINVAL,
            "invalid value %s for flag -dbrp: it must be \"database\".\"policy\", quotes are optional", s);
    p++;
    if (*p == '"')
        good = quoted(&p, &rp) && *p == '\0';
    else
        kap_buf_adds(&rp, p);
    if (!good)
        return kap_fail(err, KAP_EINVAL, "invalid value %s for flag -dbrp: the policy's quotes do not match",
                        s);
    json_array_append_new(list, json_pack("{s:s, s:s}", "db", db.p, "rp", rp.n ? rp.p : ""));
    return KAP_OK;
}

static enum kap_status read_tree(const char *path, json_t **ret, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    KAP_TRY(kap_program_read(path, &text, err));
    if (kap_yaml_json(kap_buf_str(&text), ret, err) != KAP_OK)
        return kap_wrap(err, "%s", path);
    if (json_is_object(*ret))
        return KAP_OK;
    json_decref(*ret);
    return kap_fail(err, KAP_EINVAL, "%s: must hold an object", path);
}

static enum kap_status put_script(json_t *body, const char *path, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    KAP_TRY(kap_program_read(path, &text, err));
    if (json_object_set_new(body, "script", json_stringn(text.n ? text.p : "", text.n)) != 0)
        return kap_fail(err, KAP_EINVAL, "%s is not valid UTF-8", path);
    return KAP_OK;
}

static bool has_suffix(const char *path, const char *suffix)
{
    return kap_str_has_suffix(kap_str(path), kap_str(suffix));
}

/* A file of vars is the vars themselves, or a task file that has them under "vars". */
static enum kap_status put_vars(json_t *body, const char *path, struct kap_error *err)
{
    json_t *tree;
    KAP_TRY(read_tree(path, &tree, err));
    json_t *inside = json_object_get(tree, "vars");
    const bool is_task_file = json_is_object(inside) && json_object_get(inside, "type") == NULL;
    json_object_set(body, "vars", is_task_file ? inside : tree);
    json_decref(tree);
    return KAP_OK;
}

/* A task file: dbrps may be the texts of -dbrp. */
static enum kap_status put_file(json_t *body, const char *path, const char *id, struct kap_error *err)
{
    if (!has_suffix(path, ".yaml") && !has_suffix(path, ".yml") && !has_suffix(path, ".json"))
        return kap_fail(err, KAP_EINVAL, "bad file extension. Must be YAML or JSON");
    json_t *tree;
    KAP_TRY(read_tree(path, &tree, err));
    const char *own = json_string_value(json_object_get(tree, "id"));
    enum kap_status st = KAP_OK;
    if (own && *own && strcmp(own, id) != 0)
        st = kap_fail(err, KAP_EINVAL, "Task id given on command line does not match id in %s", path);
    const json_t *list = json_object_get(tree, "dbrps");
    json_t *dbrps = json_array();
    for (size_t i = 0; st == KAP_OK && i < json_array_size(list); i++) {
        json_t *v = json_array_get(list, i);
        if (json_is_string(v))
            st = parse_dbrp(json_string_value(v), dbrps, err);
        else
            json_array_append(dbrps, v);
    }
    if (st == KAP_OK) {
        json_object_update(body, tree);
        json_object_set(body, "dbrps", dbrps);
        json_object_del(body, "id");
    }
    json_decref(dbrps);
    json_decref(tree);
    return st;
}

static enum kap_status collect(const char *id, json_t *body, struct kap_error *err)
{
    if (given.file)
        return put_file(body, given.file, id, err);
    if (given.tick)
        KAP_TRY(put_script(body, given.tick, err));
    if (given.type && (strcmp(given.type, "stream") == 0 || strcmp(given.type, "batch") == 0))
        json_object_set_new(body, "type", json_string(given.type));
    else if (given.type)
        return kap_fail(err, KAP_EINVAL, "-type must be stream or batch, not \"%s\"", given.type);
    if (given.template_id)
        json_object_set_new(body, "template-id", json_string(given.template_id));
    json_t *dbrps = json_array();
    json_object_set_new(body, "dbrps", dbrps);
    for (size_t i = 0; i < given.dbrps.n; i++)
        KAP_TRY(parse_dbrp(given.dbrps.v[i], dbrps, err));
    return given.vars ? put_vars(body, given.vars, err) : KAP_OK;
}

/* --- creating and changing --- */

static enum kap_status set_status(struct kap_client *c, const char *path, const char *status,
                                  struct kap_error *err)
{
    json_t *body = json_pack("{s:s}", "status", status);
    const enum kap_status st = kap_client_json(c, "PATCH", path, body, NULL, err);
    json_decref(body);
    return st;
}

/* Creates an object, or changes the one that there is. `ret` gets what was there before, or NULL. */
static enum kap_status create_or_change(struct kap_client *c, const char *list, const char *id, json_t *body,
                                        struct kap_buf *path, json_t **ret, struct kap_error *err)
{
    kap_buf_addf(path, "%s/", list);
    kap_client_escape(path, id);
    const enum kap_status there = kap_client_json(c, "GET", path->p, NULL, ret, err);
    if (there == KAP_OK)
        return kap_client_json(c, "PATCH", path->p, body, NULL, err);
    if (there != KAP_ENOTFOUND)
        return there;
    json_object_set_new(body, "id", json_string(id));
    return kap_client_json(c, "POST", list, body, NULL, err);
}

/* The line that a message speaks of, with a caret. */
static int script_failed(const struct kap_error *err, const json_t *body)
{
    const json_t *script = json_object_get(body, "script");
    KAP_AUTO_BUF struct kap_buf excerpt = { 0 };
    kap_program_failed(err);
    if (json_is_string(script) &&
        kap_tick_error_excerpt(&excerpt, kap_strn(json_string_value(script), json_string_length(script)),
                               err->msg))
        fputs(excerpt.p, stderr);
    return KAP_EXIT_FAILED;
}

/* What the server accepts, as the reference does, although it is sure to fail once the task runs. */
static void show_warnings(struct kap_client *c, const char *path)
{
    KAP_AUTO_FREE char *query = kap_asprintf("%s?warnings=true", path);
    json_t *task = NULL;
    if (kap_client_json(c, "GET", query, NULL, &task, NULL) != KAP_OK)
        return; /* another server than ours may not know the parameter */
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(task, "warnings"), i, text)
        fprintf(stderr, "warning: %s\n", json_string_value(text));
    json_decref(task);
}

/* The ID stands first; flags follow it. False: *code is the end. */
static bool read_arguments(const struct kap_command *self, char **args, size_t n, const char *missing,
                           int *code)
{
    size_t used;
    struct kap_error err;
    if (n == 0 || args[0][0] == '-') {
        *code = kap_command_misused(self, missing);
        return false;
    }
    if (kap_flags_parse(self->flags, args + 1, n - 1, &used, &err) != KAP_OK) {
        *code = kap_command_misused(self, err.msg);
        return false;
    }
    if (used != n - 1) {
        KAP_AUTO_FREE char *what = kap_asprintf("Unexpected argument \"%s\".", args[1 + used]);
        *code = kap_command_misused(self, what);
        return false;
    }
    return true;
}

static int define(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    int code = 0;
    if (!read_arguments(self, args, n, "Must provide a task ID.", &code))
        return code;
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    json_t *body = json_object(), *before = NULL;
    enum kap_status st = collect(args[0], body, &err);
    if (st == KAP_OK)
        st = create_or_change(c, "/tasks", args[0], body, &path, &before, &err);
    const char *status = json_string_value(json_object_get(before, "status"));
    if (st == KAP_OK && !given.no_reload && status && strcmp(status, "enabled") == 0) {
        st = set_status(c, path.p, "disabled", &err);
        if (st == KAP_OK)
            st = set_status(c, path.p, "enabled", &err);
    }
    code = st == KAP_OK ? 0 : script_failed(&err, body);
    if (st == KAP_OK)
        show_warnings(c, path.p);
    json_decref(before);
    json_decref(body);
    return code;
}

static int define_template(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    int code = 0;
    if (!read_arguments(self, args, n, "Must provide a template ID.", &code))
        return code;
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    json_t *body = json_object(), *before = NULL;
    enum kap_status st = collect(args[0], body, &err);
    json_object_del(body, "dbrps");
    if (st == KAP_OK)
        st = create_or_change(c, "/templates", args[0], body, &path, &before, &err);
    code = st == KAP_OK ? 0 : script_failed(&err, body);
    json_decref(before);
    json_decref(body);
    return code;
}

static enum kap_status put_handler(struct kap_client *c, const json_t *spec, struct kap_error *err)
{
    const char *topic = json_string_value(json_object_get(spec, "topic")),
               *id = json_string_value(json_object_get(spec, "id"));
    if (topic == NULL || *topic == '\0' || id == NULL || *id == '\0')
        return kap_fail(err, KAP_EINVAL, "a handler file must have \"topic\" and \"id\"");
    KAP_AUTO_BUF struct kap_buf list = { 0 };
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    kap_buf_adds(&list, "/alerts/topics/");
    kap_client_escape(&list, topic);
    kap_buf_adds(&list, "/handlers");
    kap_buf_addf(&path, "%s/", list.p);
    kap_client_escape(&path, id);
    const enum kap_status there = kap_client_json(c, "GET", path.p, NULL, NULL, err);
    if (there == KAP_OK)
        return kap_client_json(c, "PUT", path.p, spec, NULL, err);
    return there == KAP_ENOTFOUND ? kap_client_json(c, "POST", list.p, spec, NULL, err) : there;
}

static int define_topic_handler(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n != 1)
        return kap_command_misused(self, "Must provide a path to a handler file.");
    struct kap_error err;
    json_t *spec;
    enum kap_status st = read_tree(args[0], &spec, &err);
    if (st == KAP_OK) {
        st = put_handler(c, spec, &err);
        json_decref(spec);
    }
    return st == KAP_OK ? 0 : kap_program_failed(&err);
}

static const struct kap_flag task_flags[] = {
    { KAP_FLAG_STRING, "tick", &given.tick, "File with the TICKscript." },
    { KAP_FLAG_STRING, "type", &given.type, "stream or batch." },
    { KAP_FLAG_LIST, "dbrp", &given.dbrps,
      "Database and retention policy, \"db\".\"rp\"; may be given several times." },
    { KAP_FLAG_STRING, "template", &given.template_id, "Template to make the task from." },
    { KAP_FLAG_STRING, "vars", &given.vars, "File with values for the script's variables, JSON or YAML." },
    { KAP_FLAG_STRING, "file", &given.file, "File with the whole definition, JSON or YAML." },
    { KAP_FLAG_BOOL, "no-reload", &given.no_reload, "Leave a running task as it is." },
    { 0 },
};
static const struct kap_flag template_flags[] = {
    { KAP_FLAG_STRING, "tick", &given.tick, "File with the TICKscript." },
    { KAP_FLAG_STRING, "type", &given.type, "stream or batch." },
    { 0 },
};

const struct kap_command kap_define_commands[] = {
    { "define", "Create or change a task; a running one is reloaded. What is not given stays as it is.",
      "TASK-ID [options]", task_flags, define },
    { "define-template", "Create or change a template; its tasks are reloaded.", "TEMPLATE-ID [options]",
      template_flags, define_template },
    { "define-topic-handler", "Create or change a handler of a topic from a YAML or JSON file.", "FILE", NULL,
      define_topic_handler },
    { 0 },
};
