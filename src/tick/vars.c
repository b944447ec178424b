#include "tick/vars.h"

#include "base/buf.h"
#include "base/duration.h"
#include "base/mem.h"
#include "tick/ast.h"

static const struct {
    const char *json;  /* also how scripts declare it */
    const char *shown; /* in messages */
} type_names[] = {
    [KAP_VAR_BOOL] = { "bool", "boolean" },  [KAP_VAR_INT] = { "int", "int" },
    [KAP_VAR_FLOAT] = { "float", "float" },  [KAP_VAR_STRING] = { "string", "string" },
    [KAP_VAR_REGEX] = { "regex", "regex" },  [KAP_VAR_DURATION] = { "duration", "duration" },
    [KAP_VAR_LAMBDA] = { "lambda", "lambda" }, [KAP_VAR_LIST] = { "list", "list" },
    [KAP_VAR_STAR] = { "star", "star" },
};

const char *kap_tick_type_name(enum kap_var_type t)
{
    return type_names[t].shown;
}

bool kap_tick_type_find(struct kap_str declared, enum kap_var_type *ret)
{
    for (size_t i = 0; i < KAP_COUNT(type_names); i++) {
        if (kap_str_is(declared, type_names[i].json)) {
            *ret = (enum kap_var_type)i;
            return true;
        }
    }
    return false;
}

bool kap_tick_arg_type(const struct kap_arg *a, enum kap_var_type *ret)
{
    switch (a->kind) {
    case KAP_ARG_LAMBDA: *ret = KAP_VAR_LAMBDA; return true;
    case KAP_ARG_LIST: *ret = KAP_VAR_LIST; return true;
    case KAP_ARG_STAR: *ret = KAP_VAR_STAR; return true;
    case KAP_ARG_VALUE: break;
    default: return false;
    }
    switch (a->value.type) {
    case KAP_FLOAT: *ret = KAP_VAR_FLOAT; return true;
    case KAP_INT: *ret = KAP_VAR_INT; return true;
    case KAP_STRING: *ret = KAP_VAR_STRING; return true;
    case KAP_BOOL: *ret = KAP_VAR_BOOL; return true;
    case KAP_DURATION: *ret = KAP_VAR_DURATION; return true;
    case KAP_REGEX: *ret = KAP_VAR_REGEX; return true;
    default: return false;
    }
}

/* ---- the collection ---- */

void kap_tick_vars_done(struct kap_tick_vars *v)
{
    kap_free(v->v);
    kap_arena_free(v->arena);
    *v = (struct kap_tick_vars){ 0 };
}

static size_t position_of(const struct kap_tick_vars *v, struct kap_str name)
{
    size_t lo = 0, hi = v->n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (kap_str_cmp(v->v[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct kap_tick_var *kap_tick_vars_find(const struct kap_tick_vars *v, struct kap_str name)
{
    const size_t i = position_of(v, name);
    return i < v->n && kap_str_eq(v->v[i].name, name) ? &v->v[i] : NULL;
}

/* In order of name; one of the same name is replaced. */
static void insert(struct kap_tick_vars *vars, const struct kap_tick_var *var)
{
    const size_t i = position_of(vars, var->name);
    if (i == vars->n || !kap_str_eq(vars->v[i].name, var->name)) {
        if ((vars->n & (vars->n - 1)) == 0)
            vars->v = kap_realloc(vars->v, (vars->n ? vars->n * 2 : 1) * sizeof *vars->v);
        memmove(vars->v + i + 1, vars->v + i, (vars->n - i) * sizeof *vars->v);
        vars->n++;
    }
    vars->v[i] = *var;
}

static struct kap_str lambda_text(struct kap_arena *arena, const struct kap_expr *e)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_tick_format_expr(&text, e, 0, true);
    return kap_arena_str(arena, kap_buf_str(&text));
}

static void set_value(struct kap_arena *arena, struct kap_tick_var *v, const struct kap_arg *a)
{
    v->has_value = true;
    switch (v->type) {
    case KAP_VAR_BOOL: v->b = a->value.b; break;
    case KAP_VAR_INT:
    case KAP_VAR_DURATION: v->i = a->value.i; break;
    case KAP_VAR_FLOAT: v->f = a->value.f; break;
    case KAP_VAR_STRING: v->s = kap_arena_str(arena, a->value.s); break;
    case KAP_VAR_REGEX: v->s = kap_arena_str(arena, kap_regex_pattern(a->value.re)); break;
    case KAP_VAR_LAMBDA: v->s = lambda_text(arena, a->lambda); break;
    case KAP_VAR_STAR: break;
    case KAP_VAR_LIST:
        v->list.v = KAP_ARENA_ARRAY(arena, struct kap_tick_var, a->nlist + 1);
        for (size_t i = 0; i < a->nlist; i++) {
            struct kap_tick_var *item = &v->list.v[v->list.n];
            if (!kap_tick_arg_type(&a->list[i], &item->type))
                continue;
            set_value(arena, item, &a->list[i]);
            v->list.n++;
        }
        break;
    }
}

void kap_tick_vars_add(struct kap_tick_vars *vars, struct kap_str name, struct kap_str description,
                       enum kap_var_type type, const struct kap_arg *value)
{
    if (!vars->arena)
        vars->arena = kap_arena_new();
    struct kap_tick_var v = { .name = kap_arena_str(vars->arena, name),
                              .description = kap_arena_str(vars->arena, description),
                              .type = type };
    if (value)
        set_value(vars->arena, &v, value);
    insert(vars, &v);
}

/* ---- given variables as values ---- */

static void unref_regex(void *p)
{
    kap_regex_unref(p);
}

static void free_lambda(void *p)
{
    kap_tick_lambda_free(p);
}

static enum kap_status regex_value(struct kap_str pattern, struct kap_graph *g, struct kap_arg *ret,
                                   struct kap_error *err)
{
    struct kap_regex *re = NULL;
    const enum kap_status st = kap_regex_new(pattern, &re, err);
    if (st != KAP_OK) {
        (void)kap_wrap(err, "invalid regex pattern");
        return st;
    }
    kap_graph_own(g, re, unref_regex);
    *ret = (struct kap_arg){ .kind = KAP_ARG_VALUE, .value = { .type = KAP_REGEX, .re = re } };
    return KAP_OK;
}

static enum kap_status lambda_value(struct kap_str text, struct kap_graph *g, struct kap_arg *ret,
                                    struct kap_error *err)
{
    struct kap_tick_lambda *l = NULL;
    const enum kap_status st = kap_tick_lambda_parse(text, &l, err);
    if (st != KAP_OK) {
        (void)kap_wrap(err, "invalid lambda expression");
        return st;
    }
    kap_graph_own(g, l, free_lambda);
    *ret = (struct kap_arg){ .kind = KAP_ARG_LAMBDA, .lambda = kap_tick_lambda_expr(l) };
    return KAP_OK;
}

static enum kap_status list_value(const struct kap_tick_var *v, struct kap_graph *g, struct kap_arg *ret,
                                  struct kap_error *err)
{
    struct kap_arg *list = KAP_ARENA_ARRAY(g->arena, struct kap_arg, v->list.n + 1);
    for (size_t i = 0; i < v->list.n; i++)
        KAP_TRY(kap_tick_var_value(&v->list.v[i], g, &list[i], err));
    *ret = (struct kap_arg){ .kind = KAP_ARG_LIST, .list = list, .nlist = v->list.n };
    return KAP_OK;
}

enum kap_status kap_tick_var_value(const struct kap_tick_var *v, struct kap_graph *g, struct kap_arg *ret,
                                   struct kap_error *err)
{
    struct kap_value value;
    if (!v->has_value && v->type != KAP_VAR_STAR) {
        *ret = kap_tick_zero_value(v->type, g);
        return KAP_OK;
    }
    switch (v->type) {
    case KAP_VAR_BOOL: value = kap_value_b(v->b); break;
    case KAP_VAR_INT: value = kap_value_i(v->i); break;
    case KAP_VAR_DURATION: value = kap_value_dur(v->i); break;
    case KAP_VAR_FLOAT: value = kap_value_f(v->f); break;
    case KAP_VAR_STRING: value = kap_value_s(kap_arena_str(g->arena, v->s)); break;
    case KAP_VAR_REGEX: return regex_value(v->s, g, ret, err);
    case KAP_VAR_LAMBDA: return lambda_value(v->s, g, ret, err);
    case KAP_VAR_LIST: return list_value(v, g, ret, err);
    default: *ret = (struct kap_arg){ .kind = KAP_ARG_STAR }; return KAP_OK;
    }
    *ret = (struct kap_arg){ .kind = KAP_ARG_VALUE, .value = value };
    return KAP_OK;
}

struct kap_arg kap_tick_zero_value(enum kap_var_type type, struct kap_graph *g)
{
    struct kap_arg a = { .kind = KAP_ARG_VALUE };
    switch (type) {
    case KAP_VAR_BOOL: a.value = kap_value_b(false); break;
    case KAP_VAR_INT: a.value = kap_value_i(0); break;
    case KAP_VAR_DURATION: a.value = kap_value_dur(0); break;
    case KAP_VAR_FLOAT: a.value = kap_value_f(0); break;
    case KAP_VAR_STRING: a.value = kap_value_s(KAP_STR("")); break;
    case KAP_VAR_REGEX: (void)regex_value(KAP_STR(""), g, &a, NULL); break;
    case KAP_VAR_LAMBDA:
        a = (struct kap_arg){ .kind = KAP_ARG_LAMBDA,
                              .lambda = kap_expr_literal(g->arena, kap_value_b(true)) };
        break;
    case KAP_VAR_LIST: a.kind = KAP_ARG_LIST; break;
    case KAP_VAR_STAR: a.kind = KAP_ARG_STAR; break;
    }
    return a;
}

/* ---- JSON ---- */

#define LIST_DEPTH 16 /* of lists in lists */

static struct kap_str json_text(struct kap_arena *arena, const json_t *j)
{
    return kap_arena_str(arena, kap_strn(json_string_value(j), json_string_length(j)));
}

static enum kap_status mismatch(const struct kap_tick_var *v, struct kap_error *err)
{
    static const char *const wants[] = {
        [KAP_VAR_BOOL] = "a boolean",  [KAP_VAR_INT] = "an int",
        [KAP_VAR_FLOAT] = "a number",  [KAP_VAR_STRING] = "a string",
        [KAP_VAR_REGEX] = "a string",  [KAP_VAR_DURATION] = "an int or a string",
        [KAP_VAR_LAMBDA] = "a string", [KAP_VAR_LIST] = "a list of vars",
        [KAP_VAR_STAR] = "nothing",
    };
    return kap_fail(err, KAP_EINVAL, "type %s expects %s as value", type_names[v->type].json, wants[v->type]);
}

static enum kap_status duration_from_json(const json_t *value, struct kap_tick_var *v, struct kap_error *err)
{
    if (json_is_integer(value)) {
        v->i = json_integer_value(value);
        return KAP_OK;
    }
    if (!json_is_string(value))
        return mismatch(v, err);
    return kap_duration_parse_influx(kap_strn(json_string_value(value), json_string_length(value)), &v->i,
                                     err);
}

static enum kap_status var_from_json(struct kap_arena *arena, const json_t *json, int depth,
                                     struct kap_tick_var *ret, struct kap_error *err);

static enum kap_status list_from_json(struct kap_arena *arena, const json_t *value, int depth,
                                      struct kap_tick_var *v, struct kap_error *err)
{
    if (!json_is_array(value))
        return mismatch(v, err);
    if (depth >= LIST_DEPTH)
        return kap_fail(err, KAP_ELIMIT, "lists are nested more than %d deep", LIST_DEPTH);
    v->list.n = json_array_size(value);
    v->list.v = KAP_ARENA_ARRAY(arena, struct kap_tick_var, v->list.n + 1);
    for (size_t i = 0; i < v->list.n; i++)
        KAP_TRY(var_from_json(arena, json_array_get(value, i), depth + 1, &v->list.v[i], err));
    return KAP_OK;
}

static enum kap_status value_from_json(struct kap_arena *arena, const json_t *value, int depth,
                                       struct kap_tick_var *v, struct kap_error *err)
{
    switch (v->type) {
    case KAP_VAR_BOOL:
        if (!json_is_boolean(value))
            return mismatch(v, err);
        v->b = json_is_true(value);
        return KAP_OK;
    case KAP_VAR_INT:
        if (!json_is_integer(value))
            return mismatch(v, err);
        v->i = json_integer_value(value);
        return KAP_OK;
    case KAP_VAR_FLOAT:
        if (!json_is_number(value))
            return mismatch(v, err);
        v->f = json_number_value(value);
        return KAP_OK;
    case KAP_VAR_DURATION: return duration_from_json(value, v, err);
    case KAP_VAR_LIST: return list_from_json(arena, value, depth, v, err);
    case KAP_VAR_STAR: return KAP_OK;
    default:
        if (!json_is_string(value))
            return mismatch(v, err);
        v->s = json_text(arena, value);
        return KAP_OK;
    }
}

static enum kap_status var_from_json(struct kap_arena *arena, const json_t *json, int depth,
                                     struct kap_tick_var *ret, struct kap_error *err)
{
    const json_t *type = json_object_get(json, "type"), *value = json_object_get(json, "value");
    const json_t *description = json_object_get(json, "description");
    struct kap_tick_var v = { 0 };
    if (!json_is_string(type))
        return kap_fail(err, KAP_EINVAL, "a type is missing");
    const struct kap_str name = kap_strn(json_string_value(type), json_string_length(type));
    if (!kap_tick_type_find(name, &v.type))
        return kap_fail(err, KAP_EINVAL, "unknown VarType %.*s", KAP_STR_ARG(name));
    if (description && !json_is_string(description))
        return kap_fail(err, KAP_EINVAL, "the description is not a string");
    if (description)
        v.description = json_text(arena, description);
    v.has_value = v.type == KAP_VAR_STAR || (value && !json_is_null(value));
    if (!v.has_value)
        return kap_fail(err, KAP_EINVAL, "a value is missing");
    KAP_TRY(value_from_json(arena, value, depth, &v, err));
    *ret = v;
    return KAP_OK;
}

enum kap_status kap_tick_vars_from_json(const json_t *json, struct kap_tick_vars *ret, struct kap_error *err)
{
    struct kap_tick_vars vars = { 0 };
    if (!json || json_is_null(json)) {
        *ret = vars;
        return KAP_OK;
    }
    if (!json_is_object(json))
        return kap_fail(err, KAP_EINVAL, "vars are not an object");
    vars.arena = kap_arena_new();
    for (void *i = json_object_iter((json_t *)(uintptr_t)json); i;
         i = json_object_iter_next((json_t *)(uintptr_t)json, i)) {
        struct kap_tick_var v = { 0 };
        const char *name = json_object_iter_key(i);
        const enum kap_status st = var_from_json(vars.arena, json_object_iter_value(i), 0, &v, err);
        if (st != KAP_OK) {
            (void)kap_wrap(err, "invalid var %s", name);
            kap_tick_vars_done(&vars);
            return st;
        }
        v.name = kap_arena_str(vars.arena, kap_strn(name, json_object_iter_key_len(i)));
        insert(&vars, &v);
    }
    *ret = vars;
    return KAP_OK;
}

enum kap_status kap_tick_vars_parse(struct kap_str json, struct kap_tick_vars *ret, struct kap_error *err)
{
    json_error_t why;
    json_t *j = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!j)
        return kap_fail(err, KAP_EINVAL, "line %d char %d: %s", why.line, why.column, why.text);
    const enum kap_status st = kap_tick_vars_from_json(j, ret, err);
    json_decref(j);
    return st;
}

static void var_json(struct kap_json *j, const struct kap_tick_var *v, bool declared);

static void value_json(struct kap_json *j, const struct kap_tick_var *v, bool declared)
{
    switch (v->type) {
    case KAP_VAR_BOOL: kap_json_bool(j, v->b); break;
    case KAP_VAR_INT:
    case KAP_VAR_DURATION: kap_json_i64(j, v->i); break;
    case KAP_VAR_FLOAT: kap_json_f64(j, v->f); break;
    case KAP_VAR_LIST:
        kap_json_array(j);
        for (size_t i = 0; i < v->list.n; i++)
            var_json(j, &v->list.v[i], declared);
        kap_json_array_end(j);
        break;
    case KAP_VAR_STAR:
        if (!declared) {
            kap_json_null(j);
            break;
        }
        kap_json_object(j);
        kap_json_key(j, "typeOf");
        kap_json_cstr(j, "star");
        kap_json_object_end(j);
        break;
    default: kap_json_str(j, v->s);
    }
}

static void var_json(struct kap_json *j, const struct kap_tick_var *v, bool declared)
{
    kap_json_object(j);
    kap_json_key(j, "type");
    kap_json_cstr(j, type_names[v->type].json);
    kap_json_key(j, "value");
    if (v->has_value)
        value_json(j, v, declared);
    else
        kap_json_null(j);
    kap_json_key(j, "description");
    kap_json_str(j, v->description);
    kap_json_object_end(j);
}

void kap_tick_vars_json(struct kap_json *j, const struct kap_tick_vars *v, bool declared)
{
    kap_json_object(j);
    for (size_t i = 0; i < v->n; i++) {
        kap_json_keyn(j, v->v[i].name);
        var_json(j, &v->v[i], declared);
    }
    kap_json_object_end(j);
}
