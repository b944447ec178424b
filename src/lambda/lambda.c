#include "lambda/lambda.h"
#include "base/buf.h"
#include "base/mem.h"
#include "lambda/internal.h"
#include <math.h>

#define STATE_VERSION 1
#define STATE_SEED 0x6b6170

/* --- life --- */

static bool too_deep(const struct kap_expr *e, int depth)
{
    if (!e)
        return false;
    if (depth > KAP_LAMBDA_DEPTH || too_deep(e->left, depth + 1) || too_deep(e->right, depth + 1))
        return true;
    for (size_t i = 0; i < e->nargs; i++)
        if (too_deep(e->args[i], depth + 1))
            return true;
    return false;
}

static uint64_t expr_hash(const struct kap_expr *e)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_expr_format(&text, e);
    return kap_str_hash(kap_buf_str(&text));
}

enum kap_status kap_lambda_new(const struct kap_expr *e, const struct kap_lambda_extra *extra, struct kap_lambda **ret,
                               struct kap_error *err)
{
    if (too_deep(e, 0))
        return kap_fail(err, KAP_ELIMIT, "expression nests deeper than %d levels", KAP_LAMBDA_DEPTH);
    struct kap_lambda *l = KAP_NEW(struct kap_lambda);
    l->arena = kap_arena_new();
    l->expr = kap_expr_copy(l->arena, e);
    l->extra = extra;
    l->pure = true;
    l->hash = expr_hash(l->expr);
    const enum kap_status status = kap_lambda_check(l, err);
    if (status != KAP_OK) {
        kap_lambda_free(l);
        return status;
    }
    *ret = l;
    return KAP_OK;
}

void kap_lambda_free(struct kap_lambda *l)
{
    if (!l)
        return;
    for (size_t i = l->names ? l->nrefs : 0; i < l->nvalues; i++) /* constants only */
        if (l->values[i].type == KAP_REGEX)
            kap_regex_unref(l->values[i].re);
    for (size_t i = 0; i < KAP_LAMBDA_SPECS; i++) {
        kap_arena_free(l->specs[i].arena);
        kap_free(l->specs[i].types);
    }
    kap_free(l->refs);
    kap_free(l->values);
    kap_arena_free(l->arena);
    kap_free(l);
}

const struct kap_expr *kap_lambda_expr(const struct kap_lambda *l)
{
    return l->expr;
}

size_t kap_lambda_refs(const struct kap_lambda *l, const struct kap_sym *const **ret)
{
    *ret = l->names;
    return l->nnames;
}

bool kap_lambda_pure(const struct kap_lambda *l)
{
    return l->pure;
}

bool kap_lambda_stateful(const struct kap_lambda *l)
{
    return l->stateful;
}

/* --- state --- */

struct kap_lambda_state *kap_lambda_state_new(const struct kap_lambda *l)
{
    if (!l->stateful)
        return NULL;
    struct kap_lambda_state *s = KAP_NEW(struct kap_lambda_state);
    s->expr_hash = l->hash;
    kap_lambda_state_reset(s);
    return s;
}

void kap_lambda_state_free(struct kap_lambda_state *s)
{
    kap_free(s);
}

void kap_lambda_state_reset(struct kap_lambda_state *s)
{
    if (!s)
        return;
    *s = (struct kap_lambda_state){ .expr_hash = s->expr_hash, .spread_min = INFINITY, .spread_max = -INFINITY };
    kap_random_seed(&s->random, STATE_SEED); /* every copy of a task draws the same numbers */
}

struct saved_state {            /* as it lies in checkpoints: one machine's, never sent between architectures */
    char magic[4];
    uint32_t version;
    struct kap_lambda_state state;
};

void kap_lambda_state_save(const struct kap_lambda_state *s, struct kap_buf *out)
{
    if (!s)
        return;
    struct saved_state saved = { .magic = { 'k', 'l', 's', 't' }, .version = STATE_VERSION, .state = *s };
    kap_buf_addn(out, &saved, sizeof saved);
}

enum kap_status kap_lambda_state_load(struct kap_lambda_state *s, struct kap_str data, struct kap_error *err)
{
    struct saved_state saved;
    if (!s)
        return data.n == 0 ? KAP_OK : kap_fail(err, KAP_EINVAL, "the saved state is of another expression");
    if (data.n != sizeof saved)
        return kap_fail(err, KAP_EINVAL, "the saved state of an expression is damaged");
    memcpy(&saved, data.p, sizeof saved);
    if (memcmp(saved.magic, "klst", 4) != 0 || saved.version != STATE_VERSION)
        return kap_fail(err, KAP_EINVAL, "the saved state of an expression has another version");
    if (saved.state.expr_hash != s->expr_hash)
        return kap_fail(err, KAP_EINVAL, "the saved state is of another expression");
    *s = saved.state;
    return KAP_OK;
}

/* --- evaluation --- */

static const struct kap_value *find_field(struct kap_ref *ref, const struct kap_lambda_env *env)
{
    const struct kap_field *fields = env->fields;
    const size_t n = env->nfields;
    if (ref->field_hint < n && fields[ref->field_hint].key == ref->name)
        return &fields[ref->field_hint].v;
    for (size_t i = 0; i < n; i++)
        if (fields[i].key == ref->name) {
            ref->field_hint = (uint32_t)i;
            return &fields[i].v;
        }
    return NULL;
}

static const struct kap_str *find_tag(struct kap_ref *ref, const struct kap_tags *tags)
{
    if (!tags)
        return NULL;
    if (ref->tag_hint < tags->n && tags->v[ref->tag_hint].key == ref->name)
        return &tags->v[ref->tag_hint].val;
    for (uint32_t i = 0; i < tags->n; i++)
        if (tags->v[i].key == ref->name) {
            ref->tag_hint = i;
            return &tags->v[i].val;
        }
    return NULL;
}

/* Puts the values of all references in their slots. */
static enum kap_status resolve(struct kap_lambda *l, const struct kap_lambda_env *env, struct kap_error *err)
{
    for (size_t i = 0; i < l->nrefs; i++) {
        struct kap_ref *const ref = &l->refs[i];
        struct kap_value *const value = &l->values[i];
        if (ref->time) {
            *value = kap_value_time(env->time_ns);
            continue;
        }
        const struct kap_value *field = find_field(ref, env);
        const struct kap_str *tag = find_tag(ref, env->tags);
        if (field && tag)
            return kap_fail(err, KAP_EINVAL, "cannot have field and tags with same name \"%s\"", ref->name->s);
        if (field && field->type == KAP_MISSING) /* a null that a join has filled in: not even isPresent() takes it */
            return kap_fail(err, KAP_EINVAL, "reference \"%s\" is null", ref->name->s);
        if (field)
            *value = *field;
        else if (tag)
            *value = kap_value_s(*tag);
        else
            *value = (struct kap_value){ .type = KAP_MISSING };
    }
    return KAP_OK;
}

static inline bool spec_fits(const struct kap_lambda *l, const struct kap_spec *spec)
{
    if (!spec->types)
        return false;
    for (size_t i = 0; i < l->nrefs; i++)
        if ((int)l->values[i].type != spec->types[i])
            return false;
    return true;
}

static const struct kap_spec *new_spec(struct kap_lambda *l)
{
    struct kap_spec *spec = &l->specs[l->next_spec];
    l->last_spec = l->next_spec;
    l->next_spec = (l->next_spec + 1) % KAP_LAMBDA_SPECS;
    if (!spec->types) {
        spec->types = KAP_ARRAY(int8_t, l->nrefs + 1);
        spec->arena = kap_arena_new();
    }
    for (size_t i = 0; i < l->nrefs; i++)
        spec->types[i] = (int8_t)l->values[i].type;
    kap_lambda_specialise(l, spec);
    return spec;
}

/* The code for the types that the values have now; made where there is none. */
static const struct kap_spec *find_spec(struct kap_lambda *l)
{
    for (unsigned i = 0; i < KAP_LAMBDA_SPECS; i++)
        if (spec_fits(l, &l->specs[i])) {
            l->last_spec = i;
            return &l->specs[i];
        }
    return new_spec(l);
}

static inline enum kap_status prepare(struct kap_lambda *l, struct kap_lambda_state *s, const struct kap_lambda_env *env,
                               const struct kap_spec **ret, struct kap_error *err)
{
    KAP_TRY(resolve(l, env, err));
    const struct kap_spec *spec = &l->specs[l->last_spec];
    if (!spec_fits(l, spec))
        spec = find_spec(l);
    if (!spec->root)
        return kap_fail(err, KAP_EINVAL, "%s", spec->error);
    if (l->stateful && !s)
        return kap_fail(err, KAP_EINTERNAL, "a stateful expression was evaluated without state");
    *ret = spec;
    return KAP_OK;
}

/* Results that no field can hold. */
static enum kap_status not_a_value(const struct kap_lnode *n, enum kap_type type, struct kap_error *err)
{
    if (type != KAP_MISSING)
        return kap_fail(err, KAP_EINVAL, "expression returned unexpected type %s", kap_type_name(type));
    if (n->e->kind == KAP_EXPR_REFERENCE)
        return kap_fail(err, KAP_EINVAL, "missing value: \"%.*s\"", KAP_STR_ARG(n->e->name));
    while (n->e->kind == KAP_EXPR_UNARY)
        n = n->left;
    return kap_fail(err, KAP_EINVAL, "reference \"%.*s\" is missing value", KAP_STR_ARG(n->e->name));
}

enum kap_status kap_lambda_eval(struct kap_lambda *l, struct kap_lambda_state *s, const struct kap_lambda_env *env,
                                struct kap_value *ret, struct kap_error *err)
{
    const struct kap_spec *spec = NULL;
    KAP_TRY(prepare(l, s, env, &spec, err));
    if (spec->type == KAP_MISSING || spec->type == KAP_TIME || spec->type == KAP_REGEX)
        return not_a_value(l->root, spec->type, err);
    struct kap_run r = { .values = l->values, .env = env, .state = s, .err = err };
    const struct kap_value v = spec->type == KAP_BOOL  ? kap_value_b(kap_code_b(spec->root, &r)) :
                               spec->type == KAP_FLOAT ? kap_value_f(kap_code_f(spec->root, &r)) :
                                                         kap_code_value(spec->root, &r);
    if (r.status == KAP_OK)
        *ret = v;
    return r.status;
}

enum kap_status kap_lambda_eval_bool(struct kap_lambda *l, struct kap_lambda_state *s,
                                     const struct kap_lambda_env *env, bool *ret, struct kap_error *err)
{
    const struct kap_spec *spec = NULL;
    KAP_TRY(prepare(l, s, env, &spec, err));
    if (spec->type != KAP_BOOL) {
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        kap_lnode_not_bool(&text, l->root, (int)spec->type);
        return kap_fail(err, KAP_EINVAL, "%s", kap_buf_str(&text).p);
    }
    struct kap_run r = { .values = l->values, .env = env, .state = s, .err = err };
    const bool b = kap_code_b(spec->root, &r);
    if (r.status == KAP_OK)
        *ret = b;
    return r.status;
}
