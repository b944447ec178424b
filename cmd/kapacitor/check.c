/* check: what is wrong with a script, told without a server. */
#include "alert/spec.h"
#include "base/mem.h"
#include "commands.h"
#include "daemon/registry.h"
#include "tick/tick.h"

#include <stdio.h>

static struct {
    const char *vars;
    bool strict, is_template;
} given;

struct checked {
    const char *path;
    struct kap_buf text;
    size_t mistakes;
};

static void tell(const struct checked *f, const char *kind, const char *message, const char *hint)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addf(&b, "%s: %s: %s\n", f->path, kind, message);
    (void)kap_tick_error_excerpt(&b, kap_buf_str(&f->text), message);
    if (hint && *hint)
        kap_buf_addf(&b, "      %s\n", hint);
    fputs(b.p, stderr);
}

static void warn(void *ctx, int line, int character, const char *message)
{
    struct checked *f = ctx;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addf(&b, "line %d char %d: %s", line, character, message);
    tell(f, given.strict ? "error" : "warning", b.p, NULL);
    f->mistakes += given.strict;
}

static enum kap_status read_vars(struct kap_tick_vars *ret, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    json_t *tree;
    if (given.vars == NULL)
        return KAP_OK;
    KAP_TRY(kap_program_read(given.vars, &text, err));
    if (kap_yaml_json(kap_buf_str(&text), &tree, err) != KAP_OK)
        return kap_wrap(err, "%s", given.vars);
    enum kap_status st = kap_tick_vars_from_json(tree, ret, err);
    json_decref(tree);
    if (st != KAP_OK)
        (void)kap_wrap(err, "%s", given.vars);
    return st;
}

static enum kap_status evaluate(struct checked *f, struct kap_tick_script *script,
                                const struct kap_tick_vars *vars, struct kap_tick_hint *hint,
                                struct kap_error *err)
{
    const struct kap_tick_options opt = { .registry = &kap_daemon_registry,
                                          .vars = vars,
                                          .is_template = given.is_template,
                                          .warn = warn,
                                          .warn_ctx = f };
    struct kap_graph *graph;
    KAP_TRY(kap_tick_eval(script, &opt, &graph, NULL, hint, err));
    kap_graph_unref(graph);
    return KAP_OK;
}

static void check_file(struct checked *f, const struct kap_tick_vars *vars)
{
    struct kap_tick_script *script;
    struct kap_tick_hint hint = { 0 };
    struct kap_error err;
    enum kap_status st = kap_program_read(f->path, &f->text, &err);
    if (st == KAP_OK)
        st = kap_tick_parse(kap_buf_str(&f->text), &script, &err);
    if (st == KAP_OK) {
        st = evaluate(f, script, vars, &hint, &err);
        kap_tick_script_unref(script);
    }
    if (st == KAP_OK)
        return;
    f->mistakes++;
    tell(f, "error", err.msg, hint.text);
}

static int check(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    size_t used;
    struct kap_error err;
    if (kap_flags_parse(self->flags, args, n, &used, &err) != KAP_OK)
        return kap_command_misused(self, err.msg);
    if (used == n)
        return kap_command_misused(self, "Must provide at least one file.");
    struct kap_tick_vars vars = { 0 };
    if (read_vars(&vars, &err) != KAP_OK)
        return kap_program_failed(&err);
    size_t mistakes = 0;
    for (size_t i = used; i < n; i++) {
        struct checked f = { .path = args[i] };
        check_file(&f, &vars);
        mistakes += f.mistakes;
        kap_buf_done(&f.text);
    }
    kap_tick_vars_done(&vars);
    return mistakes > 0;
}

static const struct kap_flag flags[] = {
    { KAP_FLAG_BOOL, "strict", &given.strict, "Warnings are errors." },
    { KAP_FLAG_BOOL, "template", &given.is_template, "The files are templates: vars need no values." },
    { KAP_FLAG_STRING, "vars", &given.vars, "A YAML or JSON file with the values of vars." },
    { 0 },
};

const struct kap_command kap_check_commands[] = {
    { "check", "Check TICKscripts without a server. The exit code is 1 when there are errors.",
      "[options] FILE..", flags, check },
    { 0 },
};
