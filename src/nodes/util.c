#include "nodes/util.h"
#include "base/mem.h"
#include "nodes/services.h"

#include <openssl/evp.h>

/* Go counts from the year 1; what matters is that instant's remainder. */
static int64_t since_year_one(int64_t t_ns, int64_t d_ns)
{
    const __int128 epoch_ns = (__int128)62135596800 * 1000000000;
    return (int64_t)(((__int128)t_ns + epoch_ns) % d_ns);
}

int64_t kap_time_truncate(int64_t t_ns, int64_t d_ns)
{
    return d_ns <= 0 ? t_ns : t_ns - since_year_one(t_ns, d_ns);
}

int64_t kap_time_round(int64_t t_ns, int64_t d_ns)
{
    if (d_ns <= 0)
        return t_ns;
    const int64_t r = since_year_one(t_ns, d_ns);
    return r < d_ns - r ? t_ns - r : t_ns + (d_ns - r);
}

void kap_field_buf_done(struct kap_field_buf *b)
{
    kap_free(b->v);
    *b = (struct kap_field_buf){ 0 };
}

void kap_field_buf_copy(struct kap_field_buf *b, const struct kap_field *v, uint32_t n)
{
    KAP_GROW(b->v, b->cap, n);
    if (n)
        memcpy(b->v, v, n * sizeof *v);
    b->n = n;
}

void kap_field_buf_add(struct kap_field_buf *b, const struct kap_sym *key, struct kap_value v)
{
    KAP_GROW(b->v, b->cap, b->n + 1);
    b->v[b->n++] = (struct kap_field){ .key = key, .v = v };
}

void kap_field_buf_set(struct kap_field_buf *b, const struct kap_sym *key, struct kap_value v)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->v[i].key == key) {
            b->v[i].v = v;
            return;
        }
    }
    kap_field_buf_add(b, key, v);
}

bool kap_field_buf_del(struct kap_field_buf *b, const struct kap_sym *key)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->v[i].key == key) {
            memmove(b->v + i, b->v + i + 1, (b->n - i - 1) * sizeof *b->v);
            b->n--;
            return true;
        }
    }
    return false;
}

const struct kap_value *kap_field_buf_get(const struct kap_field_buf *b, const struct kap_sym *key)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->v[i].key == key)
            return &b->v[i].v;
    return NULL;
}

void kap_tag_buf_done(struct kap_tag_buf *b)
{
    kap_free(b->v);
    *b = (struct kap_tag_buf){ 0 };
}

void kap_tag_buf_copy(struct kap_tag_buf *b, const struct kap_tags *t)
{
    KAP_GROW(b->v, b->cap, t->n);
    if (t->n)
        memcpy(b->v, t->v, t->n * sizeof *t->v);
    b->n = t->n;
}

void kap_tag_buf_set(struct kap_tag_buf *b, const struct kap_sym *key, struct kap_str v)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->v[i].key == key) {
            b->v[i].val = v;
            return;
        }
    }
    KAP_GROW(b->v, b->cap, b->n + 1);
    b->v[b->n++] = (struct kap_tag){ .key = key, .val = v };
}

bool kap_tag_buf_del(struct kap_tag_buf *b, const struct kap_sym *key)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->v[i].key == key) {
            memmove(b->v + i, b->v + i + 1, (b->n - i - 1) * sizeof *b->v);
            b->n--;
            return true;
        }
    }
    return false;
}

const struct kap_tags *kap_tag_buf_tags(const struct kap_tag_buf *b)
{
    return kap_tags_new(b->v, b->n);
}

const struct kap_sym **kap_syms(struct kap_arena *a, struct kap_strings names)
{
    const struct kap_sym **v = KAP_ARENA_ARRAY(a, const struct kap_sym *, names.n ? names.n : 1);
    for (size_t i = 0; i < names.n; i++)
        v[i] = kap_sym(names.v[i]);
    return v;
}

bool kap_syms_has(const struct kap_sym *const *v, size_t n, const struct kap_sym *key)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] == key)
            return true;
    return false;
}

void kap_keyed_set(struct kap_keyed_values *p, struct kap_arena *arena, struct kap_str name, struct kap_value v)
{
    const struct kap_sym *key = kap_sym(name);
    if (v.type == KAP_STRING)
        v.s = kap_arena_str(arena, v.s);
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].key == key) {
            p->v[i].v = v;
            return;
        }
    }
    struct kap_keyed_value *grown = KAP_ARENA_ARRAY(arena, struct kap_keyed_value, p->n + 1);
    if (p->n)
        memcpy(grown, p->v, p->n * sizeof *grown);
    grown[p->n] = (struct kap_keyed_value){ key, v };
    p->v = grown;
    p->n++;
}

enum kap_status kap_keyed_set_string(struct kap_keyed_values *p, struct kap_arena *arena, const struct kap_arg *args,
                                     size_t nargs, const char *method, struct kap_error *err)
{
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_STRING, method, err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_STRING, method, err));
    if (nargs != 2)
        return kap_fail(err, KAP_EINVAL, "%s expects a name and a value", method);
    kap_keyed_set(p, arena, args[0].value.s, args[1].value);
    return KAP_OK;
}

enum kap_status kap_keyed_set_any(struct kap_keyed_values *p, struct kap_arena *arena, const struct kap_arg *args,
                                  size_t nargs, const char *method, struct kap_error *err)
{
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_STRING, method, err));
    if (nargs != 2 || args[1].kind != KAP_ARG_VALUE)
        return kap_fail(err, KAP_EINVAL, "%s expects a name and a value", method);
    const enum kap_type t = args[1].value.type;
    if (t != KAP_FLOAT && t != KAP_INT && t != KAP_STRING && t != KAP_BOOL)
        return kap_fail(err, KAP_EINVAL,
                        "unsupported type %s for field \"%.*s\", field default values must be float,int,string or bool",
                        kap_go_type(t), KAP_STR_ARG(args[0].value.s));
    kap_keyed_set(p, arena, args[0].value.s, args[1].value);
    return KAP_OK;
}

static bool strings_has(struct kap_strings s, struct kap_str name)
{
    for (size_t i = 0; i < s.n; i++)
        if (kap_str_eq(s.v[i], name))
            return true;
    return false;
}

enum kap_status kap_group_by_set(struct kap_group_by *g, struct kap_arena *arena, const struct kap_arg *args,
                                 size_t nargs, struct kap_error *err)
{
    struct kap_strings names = { .v = KAP_ARENA_ARRAY(arena, struct kap_str, nargs ? nargs : 1) };
    bool star = false;
    for (size_t i = 0; i < nargs; i++) {
        if (args[i].kind == KAP_ARG_STAR)
            star = true;
        else if (args[i].kind == KAP_ARG_VALUE && args[i].value.type == KAP_STRING)
            names.v[names.n++] = kap_arena_str(arena, args[i].value.s);
        else
            return kap_fail(err, KAP_EINVAL, "invalid dimension object of type %s",
                            args[i].kind == KAP_ARG_VALUE ? kap_go_type(args[i].value.type) : "*ast.LambdaNode");
    }
    g->names = names;
    g->star = star;
    return KAP_OK;
}

enum kap_status kap_group_by_check(const struct kap_group_by *g, struct kap_error *err)
{
    for (size_t i = 0; i < g->names.n; i++)
        if (g->names.v[i].n == 0)
            return kap_fail(err, KAP_EINVAL, "dimensions cannot not be the empty string");
    if (g->star && g->names.n)
        return kap_fail(err, KAP_EINVAL, "cannot group by both '*' and named dimensions.");
    if (!g->star && g->exclude.n)
        return kap_fail(err, KAP_EINVAL, "exclude requires '*'");
    return KAP_OK;
}

static int by_name(const void *a, const void *b)
{
    return kap_sym_cmp(*(const struct kap_sym *const *)a, *(const struct kap_sym *const *)b);
}

void kap_grouper_open(struct kap_grouper *g, const struct kap_group_by *by)
{
    *g = (struct kap_grouper){ .star = by->star };
    g->dims.by_name = by->by_name;
    g->dims.names = KAP_ARRAY(const struct kap_sym *, by->names.n + 1);
    for (size_t i = 0; i < by->names.n; i++) {
        const struct kap_sym *name = kap_sym(by->names.v[i]);
        if (!strings_has(by->exclude, by->names.v[i]) && !kap_syms_has(g->dims.names, g->dims.n, name))
            g->dims.names[g->dims.n++] = name;
    }
    qsort(g->dims.names, g->dims.n, sizeof *g->dims.names, by_name);
    g->exclude = KAP_ARRAY(const struct kap_sym *, by->exclude.n + 1);
    for (size_t i = 0; i < by->exclude.n; i++)
        g->exclude[g->nexclude++] = kap_sym(by->exclude.v[i]);
}

void kap_grouper_close(struct kap_grouper *g)
{
    kap_free(g->dims.names);
    kap_free(g->exclude);
    kap_free(g->scratch);
    *g = (struct kap_grouper){ 0 };
}

struct kap_dims kap_grouper_dims(struct kap_grouper *g, const struct kap_tags *tags)
{
    if (!g->star)
        return g->dims;
    KAP_GROW(g->scratch, g->cap, tags->n);
    struct kap_dims d = { .by_name = g->dims.by_name, .names = g->scratch };
    for (uint32_t i = 0; i < tags->n; i++) /* tag sets are sorted already */
        if (!kap_syms_has(g->exclude, g->nexclude, tags->v[i].key))
            g->scratch[d.n++] = tags->v[i].key;
    return d;
}

struct kap_group *kap_regroup(struct kap_node *n, const struct kap_group *g, const struct kap_sym *name,
                              const struct kap_tags *tags, bool empty_missing)
{
    return kap_groups_get(kap_node_groups(n), &g->dims, name, tags, empty_missing);
}

struct kap_group *kap_batch_regroup(struct kap_node *n, const struct kap_group *g, const struct kap_sym *name,
                                    const struct kap_tags *tags)
{
    struct kap_dims d = { .by_name = g->dims.by_name, .n = tags->n };
    d.names = KAP_ARRAY(const struct kap_sym *, tags->n + 1);
    for (uint32_t i = 0; i < tags->n; i++)
        d.names[i] = tags->v[i].key;
    struct kap_group *ret = kap_groups_get(kap_node_groups(n), &d, name, tags, false);
    kap_free(d.names);
    return ret;
}

enum kap_status kap_node_predicate(struct kap_node *n, struct kap_lambda *l, struct kap_lambda_state *s,
                                   const struct kap_point *p, bool *ret, struct kap_error *err)
{
    struct kap_lambda_env env = kap_lambda_env_point(p);
    env.clock = kap_node_services(n)->clock;
    env.scratch = kap_node_scratch(n);
    return kap_lambda_eval_bool(l, s, &env, ret, err);
}

enum kap_status kap_args_strings(struct kap_strings *out, struct kap_arena *arena, const struct kap_arg *args,
                                 size_t nargs, const char *method, struct kap_error *err)
{
    struct kap_strings s = { .v = KAP_ARENA_ARRAY(arena, struct kap_str, nargs ? nargs : 1) };
    for (size_t i = 0; i < nargs; i++) {
        KAP_TRY(kap_arg_check(args, nargs, i, KAP_STRING, method, err));
        s.v[s.n++] = kap_arena_str(arena, args[i].value.s);
    }
    *out = s;
    return KAP_OK;
}

enum kap_status kap_arg_check(const struct kap_arg *args, size_t nargs, size_t i, enum kap_type type,
                              const char *method, struct kap_error *err)
{
    if (i >= nargs)
        return kap_fail(err, KAP_EINVAL, "%s: missing argument %zu, want a %s", method, i + 1, kap_type_name(type));
    if (args[i].kind == KAP_ARG_VALUE && args[i].value.type == type)
        return KAP_OK;
    return kap_fail(err, KAP_EINVAL, "%s: argument %zu must be a %s, got %s", method, i + 1, kap_type_name(type),
                    args[i].kind == KAP_ARG_VALUE    ? kap_type_name(args[i].value.type)
                    : args[i].kind == KAP_ARG_LAMBDA ? "lambda"
                    : args[i].kind == KAP_ARG_NODE   ? "node"
                    : args[i].kind == KAP_ARG_STAR   ? "*"
                    : args[i].kind == KAP_ARG_LIST   ? "list"
                                                     : "field reference");
}

const char *kap_go_type(enum kap_type t)
{
    switch (t) {
    case KAP_FLOAT:
        return "float64";
    case KAP_INT:
        return "int64";
    case KAP_STRING:
        return "string";
    case KAP_BOOL:
        return "bool";
    case KAP_TIME:
        return "time.Time";
    case KAP_DURATION:
        return "time.Duration";
    case KAP_REGEX:
        return "*regexp.Regexp";
    case KAP_MISSING:
        break;
    }
    return "<nil>";
}

static void merge(char *v, size_t half, size_t n, size_t size, char *tmp, int (*cmp)(const void *a, const void *b))
{
    size_t i = 0, j = half, k = 0;
    while (i < half && j < n) {
        const bool right = cmp(v + j * size, v + i * size) < 0;
        memcpy(tmp + k++ * size, v + (right ? j++ : i++) * size, size);
    }
    memcpy(tmp + k * size, v + i * size, (half - i) * size);
    memcpy(v, tmp, (k + half - i) * size); /* what is left on the right stands there already */
}

void kap_sort_stable(void *v, size_t n, size_t size, int (*cmp)(const void *a, const void *b))
{
    char *tmp = kap_alloc(n * size + 1);
    for (size_t width = 1; width < n; width *= 2)
        for (size_t at = 0; at + width < n; at += 2 * width)
            merge((char *)v + at * size, width, KAP_MIN(2 * width, n - at), size, tmp, cmp);
    kap_free(tmp);
}

char *kap_basic_auth(struct kap_str user, struct kap_str password)
{
    KAP_AUTO_FREE char *plain = kap_asprintf("%.*s:%.*s", KAP_STR_ARG(user), KAP_STR_ARG(password));
    const size_t n = strlen(plain);
    KAP_AUTO_FREE unsigned char *coded = kap_alloc(n / 3 * 4 + 5);
    EVP_EncodeBlock(coded, (const unsigned char *)plain, (int)n);
    return kap_asprintf("Authorization: Basic %s", (const char *)coded);
}
