/* Runs a parsed template (package text/template's exec.go is the model of the semantics and of the messages). */
#include "base/buf.h"
#include "base/mem.h"
#include "template/internal.h"

struct variable {
    struct kap_str name;
    struct kap_tvalue v;
};

struct state {
    const struct kap_template *t;
    const char *name;             /* of the template that runs */
    struct kap_arena *arena;
    struct kap_buf *out;
    size_t out_start;
    struct kap_error *err;
    struct variable *vars;
    size_t nvars, vars_cap;
    unsigned steps;
    int depth;
};

static enum kap_status eval_pipe(struct state *s, struct kap_tvalue dot, const struct kap_tnode *pipe, struct kap_tvalue *ret);
static enum kap_status walk(struct state *s, struct kap_tvalue dot, const struct kap_tnode *n);

/* "template: id:1:3: executing "id" at <.Nope>: ..": line, and bytes before the node in its line. */
static enum kap_status fail(struct state *s, const struct kap_tnode *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum kap_status fail(struct state *s, const struct kap_tnode *n, const char *fmt, ...)
{
    KAP_AUTO_BUF struct kap_buf message = { 0 }, node = { 0 };
    va_list ap;
    va_start(ap, fmt);
    kap_buf_vaddf(&message, fmt, ap);
    va_end(ap);
    kap_tnode_text(&node, n);
    return kap_fail(s->err, KAP_EINVAL, "template: %s:%zu:%zu: executing \"%s\" at <%s>: %s", s->t->name,
                    kap_template_line(s->t, n->pos),
                    kap_template_column(s->t, n->pos), s->name, kap_buf_str(&node).p, kap_buf_str(&message).p);
}

static enum kap_status step(struct state *s, const struct kap_tnode *n)
{
    if (++s->steps > KAP_T_MAX_STEPS || s->out->n - s->out_start > KAP_T_MAX_OUTPUT || s->out->failed)
        return kap_fail(s->err, KAP_ELIMIT, "template: %s:%zu: the output or the number of steps is over the limit",
                        s->t->name, kap_template_line(s->t, n->pos));
    return KAP_OK;
}

/* --- fields, methods, calls --- */

static const struct kap_tvalue *find_pair(const struct kap_tpair *v, size_t n, struct kap_str name)
{
    for (size_t i = 0; i < n; i++)
        if (kap_str_eq(v[i].key, name))
            return &v[i].v;
    return NULL;
}

/* Arguments of a call after the first operand of a command, plus what the pipeline hands on. */
struct args {
    struct kap_tvalue v[KAP_T_MAX_ARGS + 1];
    size_t n;
};

static enum kap_status call_method(struct state *s, const struct kap_tnode *n, struct kap_tvalue self,
                                   const struct kap_tmethod *m, const struct args *args, struct kap_tvalue *ret)
{
    if ((size_t)m->nargs != args->n)
        return fail(s, n, "wrong number of args for %s: want %d got %zu", m->name, m->nargs, args->n);
    struct kap_error err;
    struct kap_tcall call = { .arena = s->arena, .err = &err };
    if (!m->call(&call, self, args->v, ret))
        return fail(s, n, "error calling %s: %s", m->name, err.msg);
    return KAP_OK;
}

static enum kap_status eval_field(struct state *s, const struct kap_tnode *n, struct kap_tvalue of, struct kap_str name,
                                  const struct args *args, struct kap_tvalue *ret)
{
    if (of.kind == KAP_T_NONE) {
        *ret = of;
        return KAP_OK;
    }
    const struct kap_tmethod *m = kap_tmethod_find(of.kind, name);
    if (m)
        return call_method(s, n, of, m, args, ret);
    const struct kap_tvalue *v = NULL;
    if (of.kind == KAP_T_STRUCT)
        v = find_pair(of.st->v, of.st->n, name);
    else if (of.kind == KAP_T_MAP)
        v = find_pair(of.map->v, of.map->n, name);
    else if (of.kind == KAP_T_NIL)
        return fail(s, n, "nil pointer evaluating interface {}.%.*s", KAP_STR_ARG(name));
    if (!v && of.kind != KAP_T_MAP)
        return fail(s, n, "can't evaluate field %.*s in type %s", KAP_STR_ARG(name), kap_t_type(of));
    if (args->n > 0 && of.kind == KAP_T_MAP)
        return fail(s, n, "%.*s is not a method but has arguments", KAP_STR_ARG(name));
    if (args->n > 0)
        return fail(s, n, "%.*s has arguments but cannot be invoked as function", KAP_STR_ARG(name));
    *ret = v ? *v : (struct kap_tvalue){ .kind = KAP_T_NONE };
    return KAP_OK;
}

/* All names of the path; the arguments are for the last one. */
static enum kap_status eval_path(struct state *s, const struct kap_tnode *n, struct kap_tvalue of, const struct args *args,
                                 struct kap_tvalue *ret)
{
    static const struct args none;
    for (size_t i = 0; i < n->npath; i++)
        KAP_TRY(eval_field(s, n, of, n->path[i], i + 1 == n->npath ? args : &none, &of));
    *ret = of;
    return KAP_OK;
}

static struct kap_tvalue *find_var(struct state *s, struct kap_str name)
{
    for (size_t i = s->nvars; i-- > 0;)
        if (kap_str_eq(s->vars[i].name, name))
            return &s->vars[i].v;
    return NULL;
}

static enum kap_status call_function(struct state *s, const struct kap_tnode *fn_node, const struct kap_tnode *cmd,
                                     const struct args *args, struct kap_tvalue *ret)
{
    const struct kap_tfn *fn = fn_node->fn;
    if (args->n < (size_t)fn->min || (fn->max >= 0 && args->n > (size_t)fn->max)) {
        const bool exact = fn->min == fn->max;
        return fail(s, cmd, "wrong number of args for %s: want %s%d got %zu", fn->name, exact ? "" : "at least ", fn->min,
                    args->n);
    }
    struct kap_error err;
    struct kap_tcall call = { .arena = s->arena, .err = &err };
    if (!fn->call(&call, args->v, args->n, ret))
        return fail(s, cmd, "error calling %s: %s", fn->name, err.msg);
    return KAP_OK;
}

/* --- operands and pipelines --- */

/* One operand; `args` are for functions, fields and methods. */
static enum kap_status eval_operand(struct state *s, struct kap_tvalue dot, const struct kap_tnode *n,
                                    const struct kap_tnode *cmd, const struct args *args, struct kap_tvalue *ret)
{
    struct kap_tvalue v;
    KAP_TRY(step(s, n));
    switch (n->kind) {
    case KAP_N_FIELD:
        return eval_path(s, n, dot, args, ret);
    case KAP_N_CHAIN:
        if (n->pipe->kind == KAP_N_PIPE)
            KAP_TRY(eval_pipe(s, dot, n->pipe, &v));
        else
            KAP_TRY(eval_operand(s, dot, n->pipe, cmd, &(struct args){ .n = 0 }, &v));
        return eval_path(s, n, v, args, ret);
    case KAP_N_FUNCTION:
        return call_function(s, n, cmd, args, ret);
    case KAP_N_VARIABLE: {
        const struct kap_tvalue *var = find_var(s, n->text);
        if (!var)
            return fail(s, n, "undefined variable: %.*s", KAP_STR_ARG(n->text));
        if (args->n > 0 && n->npath == 0)
            break;
        return eval_path(s, n, *var, args, ret);
    }
    default:
        break;
    }
    if (args->n > 0)
        return fail(s, n, "can't give argument to non-function %.*s", KAP_STR_ARG(n->text));
    switch (n->kind) {
    case KAP_N_PIPE:
        return eval_pipe(s, dot, n, ret);
    case KAP_N_DOT:
        *ret = dot;
        return KAP_OK;
    case KAP_N_NIL:
        *ret = (struct kap_tvalue){ .kind = KAP_T_NIL };
        return KAP_OK;
    default:
        *ret = n->value;
        return KAP_OK;
    }
}

/* and, or: what decides ends the evaluation, so that "and (index .Fields "v") (gt ..)" guards what follows. What the
 * pipeline hands on is the last argument. */
static enum kap_status eval_choice(struct state *s, struct kap_tvalue dot, const struct kap_tnode *cmd,
                                   const struct kap_tvalue *final, struct kap_tvalue *ret)
{
    const struct args none = { .n = 0 };
    const bool decisive = strcmp(cmd->items[0]->fn->name, "or") == 0;
    KAP_TRY(step(s, cmd));
    for (size_t i = 1; i < cmd->nitems; i++) {
        KAP_TRY(eval_operand(s, dot, cmd->items[i], cmd, &none, ret));
        if (kap_t_truth(*ret) == decisive)
            return KAP_OK;
    }
    if (final)
        *ret = *final;
    return KAP_OK;
}

static bool is_choice(const struct kap_tnode *cmd, const struct kap_tvalue *final)
{
    const struct kap_tnode *first = cmd->items[0];
    if (first->kind != KAP_N_FUNCTION || (cmd->nitems == 1 && !final))
        return false;
    return strcmp(first->fn->name, "and") == 0 || strcmp(first->fn->name, "or") == 0;
}

static enum kap_status eval_command(struct state *s, struct kap_tvalue dot, const struct kap_tnode *cmd,
                                    const struct kap_tvalue *final, struct kap_tvalue *ret)
{
    const struct kap_tnode *first = cmd->items[0];
    struct args args = { .n = 0 };
    const struct args none = { .n = 0 };
    if (first->kind == KAP_N_NIL)
        return fail(s, first, "nil is not a command");
    if (is_choice(cmd, final))
        return eval_choice(s, dot, cmd, final, ret);
    for (size_t i = 1; i < cmd->nitems; i++)
        KAP_TRY(eval_operand(s, dot, cmd->items[i], cmd, &none, &args.v[args.n++]));
    if (final)
        args.v[args.n++] = *final;
    return eval_operand(s, dot, first, cmd, &args, ret);
}

static void push_var(struct state *s, struct kap_str name, struct kap_tvalue v)
{
    KAP_GROW(s->vars, s->vars_cap, s->nvars + 1);
    s->vars[s->nvars++] = (struct variable){ .name = name, .v = v };
}

static enum kap_status eval_pipe(struct state *s, struct kap_tvalue dot, const struct kap_tnode *pipe, struct kap_tvalue *ret)
{
    struct kap_tvalue v = { .kind = KAP_T_NONE };
    for (size_t i = 0; i < pipe->nitems; i++) {
        const struct kap_tvalue final = v;
        KAP_TRY(eval_command(s, dot, pipe->items[i], i > 0 ? &final : NULL, &v));
    }
    for (size_t i = 0; i < pipe->ndecl; i++) {
        struct kap_tvalue *var = pipe->assign ? find_var(s, pipe->decl[i]) : NULL;
        if (var)
            *var = v;
        else
            push_var(s, pipe->decl[i], v);
    }
    *ret = v;
    return KAP_OK;
}

/* --- statements --- */

static void print_value(struct state *s, const struct kap_tnode *action, struct kap_tvalue v)
{
    if (action->escapers[0] == KAP_ESC_NONE) {
        if (v.kind == KAP_T_NONE || v.kind == KAP_T_NIL)
            kap_buf_adds(s->out, "<no value>");
        else
            kap_t_print(s->out, &v, 1);
        return;
    }
    KAP_AUTO_BUF struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    for (size_t i = 0; i < KAP_T_ESCAPERS && action->escapers[i] != KAP_ESC_NONE; i++) {
        kap_buf_reset(&b);
        kap_tescape(&b, (enum kap_tescaper)action->escapers[i], v);
        v = kap_t_str(kap_arena_str(s->arena, kap_buf_str(&b)));
    }
    kap_buf_add(s->out, v.s);
}

static enum kap_status walk_range_item(struct state *s, const struct kap_tnode *n, struct kap_tvalue key, struct kap_tvalue v)
{
    const size_t mark = s->nvars;
    const struct kap_tnode *pipe = n->pipe;
    if (pipe->ndecl > 0)
        push_var(s, pipe->decl[pipe->ndecl - 1], v);
    if (pipe->ndecl > 1)
        push_var(s, pipe->decl[0], key);
    KAP_TRY(walk(s, v, n->body));
    s->nvars = mark;
    return KAP_OK;
}

static enum kap_status walk_range(struct state *s, struct kap_tvalue dot, const struct kap_tnode *n)
{
    const size_t mark = s->nvars;
    struct kap_tvalue over;
    KAP_TRY(eval_pipe(s, dot, n->pipe, &over));
    s->nvars = mark;
    size_t count = 0;
    if (over.kind == KAP_T_LIST) {
        count = over.list->n;
        for (size_t i = 0; i < count; i++)
            KAP_TRY(walk_range_item(s, n, (struct kap_tvalue){ .kind = KAP_T_INT, .i = (int64_t)i }, over.list->v[i]));
    } else if (over.kind == KAP_T_MAP) {
        count = over.map->n;
        for (size_t i = 0; i < count; i++)
            KAP_TRY(walk_range_item(s, n, kap_t_str(over.map->v[i].key), over.map->v[i].v));
    } else if (over.kind != KAP_T_NONE && over.kind != KAP_T_NIL) {
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        kap_t_print(&text, &over, 1);
        return fail(s, n->pipe, "range can't iterate over %s", kap_buf_str(&text).p);
    }
    return count == 0 && n->otherwise ? walk(s, dot, n->otherwise) : KAP_OK;
}

static enum kap_status walk_if(struct state *s, struct kap_tvalue dot, const struct kap_tnode *n)
{
    const size_t mark = s->nvars;
    struct kap_tvalue v;
    KAP_TRY(eval_pipe(s, dot, n->pipe, &v));
    if (kap_t_truth(v))
        KAP_TRY(walk(s, n->kind == KAP_N_WITH ? v : dot, n->body));
    else if (n->otherwise)
        KAP_TRY(walk(s, dot, n->otherwise));
    s->nvars = mark;
    return KAP_OK;
}

static enum kap_status walk_template(struct state *s, struct kap_tvalue dot, const struct kap_tnode *n)
{
    const struct kap_tnode *body = kap_template_find(s->t, n->text);
    if (!body)
        return fail(s, n, "template \"%.*s\" not defined", KAP_STR_ARG(n->text));
    if (++s->depth > KAP_T_MAX_DEPTH)
        return fail(s, n, "exceeded maximum template depth (%d)", KAP_T_MAX_DEPTH);
    struct kap_tvalue v = { .kind = KAP_T_NONE };
    if (n->pipe)
        KAP_TRY(eval_pipe(s, dot, n->pipe, &v));
    /* Its variables are its own: names are hidden by starting a new list. */
    struct state inner = *s;
    inner.name = kap_arena_str(s->arena, n->text).p;
    inner.vars = NULL;
    inner.nvars = inner.vars_cap = 0;
    push_var(&inner, KAP_STR("$"), v);
    const enum kap_status status = walk(&inner, v, body);
    kap_free(inner.vars);
    s->steps = inner.steps;
    s->depth--;
    return status;
}

static enum kap_status walk(struct state *s, struct kap_tvalue dot, const struct kap_tnode *n)
{
    struct kap_tvalue v;
    KAP_TRY(step(s, n));
    switch (n->kind) {
    case KAP_N_LIST: {
        const size_t mark = s->nvars;
        for (size_t i = 0; i < n->nitems; i++)
            KAP_TRY(walk(s, dot, n->items[i]));
        s->nvars = mark;
        return KAP_OK;
    }
    case KAP_N_TEXT:
        kap_buf_add(s->out, n->text);
        return KAP_OK;
    case KAP_N_ACTION:
        KAP_TRY(eval_pipe(s, dot, n->pipe, &v));
        if (n->pipe->ndecl == 0)
            print_value(s, n, v);
        return KAP_OK;
    case KAP_N_RANGE:
        return walk_range(s, dot, n);
    case KAP_N_TEMPLATE:
        return walk_template(s, dot, n);
    default:
        return walk_if(s, dot, n);
    }
}

enum kap_status kap_template_render(const struct kap_template *t, struct kap_tvalue dot, struct kap_arena *scratch,
                                    struct kap_buf *out, struct kap_error *err)
{
    struct state s = { .t = t, .name = t->name, .arena = scratch, .out = out, .out_start = out->n, .err = err };
    push_var(&s, KAP_STR("$"), dot);
    enum kap_status status = walk(&s, dot, t->root);
    kap_free(s.vars);
    if (status == KAP_OK && out->failed)
        status = kap_fail(err, KAP_ELIMIT, "template: %s: the output is over the limit", t->name);
    return status;
}
