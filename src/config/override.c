/* Overrides: a configuration made of another one and of options that came as JSON. */
#include "base/duration.h"
#include "base/mem.h"
#include "config/internal.h"

#include <jansson.h>
#include <math.h>

/* --- values; types are converted as far as the reference does, with its words where it does not --- */

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "map";
    case JSON_ARRAY:
        return "slice";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "float64";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_NULL:
        break;
    }
    return "invalid";
}

static enum kap_status wrong_kind(const json_t *v, const char *want, struct kap_error *err)
{
    return kap_fail(err, KAP_EINVAL, "wrong kind %s, expected value of kind %s: false", kind_of(v), want);
}

static struct kap_str text_of(const json_t *v, struct kap_arena *arena)
{
    return kap_arena_str(arena, kap_strn(json_string_value(v), json_string_length(v)));
}

static struct kap_toml *convert_any(const json_t *v, struct kap_arena *arena, int depth);

static void convert_items(struct kap_toml *t, const json_t *v, struct kap_arena *arena, int depth)
{
    t->items = KAP_ARENA_ARRAY(arena, struct kap_toml *, json_array_size(v) + 1);
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct kap_toml *item = convert_any(json_array_get(v, i), arena, depth);
        if (item)
            t->items[t->nitems++] = item;
    }
}

static void convert_pairs(struct kap_toml *t, const json_t *v, struct kap_arena *arena, int depth)
{
    const char *key;
    json_t *value;
    t->pairs = KAP_ARENA_ARRAY(arena, struct kap_toml_pair, json_object_size(v) + 1);
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        struct kap_toml *item = convert_any(value, arena, depth);
        if (item)
            t->pairs[t->npairs++] =
                (struct kap_toml_pair){ .key = kap_str(kap_arena_strdup(arena, key)), .value = item };
    }
}

/* NULL: null, or nested too deeply; neither means anything in a configuration. */
static struct kap_toml *convert_any(const json_t *v, struct kap_arena *arena, int depth)
{
    struct kap_toml *t = KAP_ARENA_NEW(arena, struct kap_toml);
    *t = (struct kap_toml){ .kind = KAP_TOML_STRING };
    if (depth > KAP_TOML_DEPTH)
        return NULL;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        t->kind = KAP_TOML_TABLE;
        convert_pairs(t, v, arena, depth + 1);
        break;
    case JSON_ARRAY:
        t->kind = KAP_TOML_ARRAY;
        convert_items(t, v, arena, depth + 1);
        break;
    case JSON_STRING:
        t->s = text_of(v, arena);
        break;
    case JSON_INTEGER:
        t->kind = KAP_TOML_INT;
        t->i = json_integer_value(v);
        break;
    case JSON_REAL:
        t->kind = KAP_TOML_FLOAT;
        t->f = json_real_value(v);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        t->kind = KAP_TOML_BOOL;
        t->b = json_is_true(v);
        break;
    case JSON_NULL:
        return NULL;
    }
    return t;
}

static enum kap_status convert_int(const json_t *v, struct kap_toml *t, struct kap_error *err)
{
    const double real = json_real_value(v);
    t->kind = KAP_TOML_INT;
    if (json_is_integer(v))
        t->i = json_integer_value(v);
    else if (json_is_real(v) && fabs(real) < 9.2e18)
        t->i = (int64_t)real;
    else if (!json_is_string(v))
        return kap_fail(err, KAP_EINVAL, "cannot convert %s into int64", kind_of(v));
    else if (!kap_str_to_i64(kap_str(json_string_value(v)), &t->i))
        return kap_fail(err, KAP_EINVAL, "cannot convert string \"%s\" into int64", json_string_value(v));
    return KAP_OK;
}

static enum kap_status convert_float(const json_t *v, struct kap_toml *t, struct kap_error *err)
{
    t->kind = KAP_TOML_FLOAT;
    if (json_is_number(v))
        t->f = json_number_value(v);
    else if (!json_is_string(v))
        return kap_fail(err, KAP_EINVAL, "cannot convert %s into float64", kind_of(v));
    else if (!kap_str_to_f64(kap_str(json_string_value(v)), &t->f))
        return kap_fail(err, KAP_EINVAL, "cannot convert string \"%s\" into float64", json_string_value(v));
    return KAP_OK;
}

static enum kap_status convert(const struct kap_prop *p, const json_t *v, struct kap_arena *arena,
                               struct kap_toml **ret, struct kap_error *err)
{
    struct kap_toml *t = convert_any(v, arena, 0);
    if (t == NULL)
        return wrong_kind(v, "value", err);
    *ret = t;
    switch (p->kind) {
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG:
        return json_is_boolean(v) ? KAP_OK : wrong_kind(v, "bool", err);
    case KAP_PROP_STRING:
        return json_is_string(v) ? KAP_OK : wrong_kind(v, "string", err);
    case KAP_PROP_STRINGS:
    case KAP_PROP_STRINGS_ADD:
        return json_is_array(v) ? KAP_OK : wrong_kind(v, "slice", err);
    case KAP_PROP_INT:
        return convert_int(v, t, err);
    case KAP_PROP_FLOAT:
        return convert_float(v, t, err);
    default:
        return KAP_OK;
    }
}

/* --- elements --- */

static struct kap_str name_of(const struct kap_config_state *s, size_t i)
{
    const char *key = s->def->element_key;
    for (const struct kap_prop *p = s->def->props; key && p->kind != KAP_PROP_END; p++) {
        if (p->option && strcmp(p->option, key) == 0 && p->kind == KAP_PROP_STRING)
            return *(const struct kap_str *)((const char *)kap_config_element_at(s, i) + p->offset);
    }
    return KAP_STR("");
}

/* Defaults, then all that was given: setters of tables add to what is there, so a change starts over. */
static enum kap_status rebuild(struct kap_config *c, struct kap_config_state *s, size_t i,
                               struct kap_error *err)
{
    void *element = kap_config_element_at(s, i);
    memset(element, 0, s->def->size);
    if (s->def->init)
        s->def->init(element);
    for (size_t k = 0; s->def->props[k].kind != KAP_PROP_END; k++) {
        if (s->given_values[i][k] == NULL)
            continue;
        const struct kap_prop *p = &s->def->props[k];
        if (kap_config_set(p, element, s->given_values[i][k], c->arena, err) != KAP_OK)
            return kap_wrap(err, "cannot set option %s", p->option);
    }
    return KAP_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum kap_status check_names(const struct kap_section *def, const json_t *options,
                                   struct kap_error *err)
{
    const char *key, **unknown = KAP_ARRAY(const char *, json_object_size(options) + 1);
    json_t *value;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)options, key, value)
    {
        const struct kap_prop *p = def->props;
        while (p->kind != KAP_PROP_END && (p->option == NULL || strcmp(p->option, key) != 0))
            p++;
        if (p->kind == KAP_PROP_END)
            unknown[n++] = key;
    }
    qsort(unknown, n, sizeof *unknown, by_text);
    KAP_AUTO_BUF struct kap_buf names = { 0 };
    for (size_t i = 0; i < n; i++)
        kap_buf_addf(&names, "%s%s", i ? " " : "", unknown[i]);
    kap_free(unknown);
    return n == 0 ? KAP_OK
                  : kap_fail(err, KAP_EINVAL, "unknown options [%s] in section %s", names.p, def->name);
}

static enum kap_status change_element(struct kap_config *c, struct kap_config_state *s, size_t i,
                                      const struct kap_config_change *change, struct kap_error *err)
{
    const size_t nprops = kap_config_props(s->def);
    const struct kap_toml **given = KAP_ARENA_ARRAY(c->arena, const struct kap_toml *, nprops + 1);
    memcpy(given, s->given_values[i], nprops * sizeof *given);
    s->given_values[i] = given;
    KAP_TRY(check_names(s->def, change->options, err));
    for (size_t k = 0; k < nprops; k++) {
        const struct kap_prop *p = &s->def->props[k];
        const json_t *v = p->option ? json_object_get(change->options, p->option) : NULL;
        struct kap_toml *toml;
        if (v == NULL)
            continue;
        if (!change->create && s->def->element_key && strcmp(p->option, s->def->element_key) == 0)
            return kap_fail(err, KAP_EINVAL, "cannot override element key %s", p->option);
        if (convert(p, v, c->arena, &toml, err) != KAP_OK)
            return kap_wrap(err, "cannot set option %s", p->option);
        given[k] = toml;
    }
    return rebuild(c, s, i, err);
}

static enum kap_status apply(struct kap_config *c, const struct kap_config_change *change,
                             struct kap_error *err)
{
    struct kap_config_state *s = kap_config_find(c, change->section);
    if (s == NULL || !s->def->overridable)
        return kap_fail(err, KAP_EINVAL, "unknown section %.*s", KAP_STR_ARG(change->section));
    size_t i = 0;
    while (i < s->n && !kap_str_eq(name_of(s, i), change->element))
        i++;
    if (change->create && i < s->n)
        return kap_fail(err, KAP_EINVAL, "there is an element \"%.*s\" already",
                        KAP_STR_ARG(change->element));
    if (change->create)
        kap_config_add(c, s);
    else if (i == s->n)
        return kap_fail(err, KAP_EINVAL, "unknown element \"%.*s\" in section %s",
                        KAP_STR_ARG(change->element), s->def->name);
    s->given = true;
    return change_element(c, s, i, change, err);
}

/* --- the whole --- */

static struct kap_config *copy(const struct kap_config *base)
{
    struct kap_config *c = KAP_NEW(struct kap_config);
    c->arena = kap_arena_new();
    c->path = base->path;
    c->nstates = c->states_cap = base->nstates;
    c->states = KAP_ARRAY(struct kap_config_state, base->nstates);
    for (size_t k = 0; k < base->nstates; k++) {
        const struct kap_config_state *from = &base->states[k];
        struct kap_config_state *s = &c->states[k];
        *s = *from;
        s->elements = NULL;
        s->given_values = NULL;
        if (from->n == 0)
            continue;
        s->elements = kap_alloc(from->n * from->def->size);
        memcpy(s->elements, from->elements, from->n * from->def->size);
        s->given_values = kap_alloc(from->n * sizeof *s->given_values);
        memcpy(s->given_values, from->given_values, from->n * sizeof *s->given_values);
    }
    return c;
}

enum kap_status kap_config_override(const struct kap_config *base, const struct kap_config_change *changes,
                                    size_t n, struct kap_config **ret, struct kap_error *err)
{
    struct kap_config *c = copy(base);
    for (size_t i = 0; i < n; i++) {
        if (apply(c, &changes[i], err) == KAP_OK)
            continue;
        kap_config_free(c);
        kap_wrap(err, "failed to override configuration %.*s/%.*s", KAP_STR_ARG(changes[i].section),
                 changes[i].create ? 0 : (int)changes[i].element.n, changes[i].element.p);
        return KAP_EINVAL;
    }
    *ret = c;
    return KAP_OK;
}

const struct kap_section *kap_config_overridable(const struct kap_config *c, size_t i)
{
    const struct kap_section *at = NULL;
    for (size_t rank = 0; rank <= i; rank++) { /* the next name above the last one */
        const struct kap_section *next = NULL;
        for (size_t k = 0; k < c->nstates; k++) {
            const struct kap_section *def = c->states[k].def;
            if (def->overridable && (at == NULL || strcmp(def->name, at->name) > 0) &&
                (next == NULL || strcmp(def->name, next->name) < 0))
                next = def;
        }
        if (next == NULL)
            return NULL;
        at = next;
    }
    return at;
}

bool kap_config_element_name(const struct kap_config *c, const char *section, size_t i,
                             struct kap_str *ret_name, size_t *ret_element)
{
    const struct kap_config_state *s = kap_config_find(c, kap_str(section));
    for (size_t e = 0; s && e < s->n; e++) {
        const struct kap_str name = name_of(s, e);
        size_t rank = 0;
        for (size_t o = 0; o < s->n; o++) {
            const int order = kap_str_cmp(name_of(s, o), name);
            rank += order < 0 || (order == 0 && o < e);
        }
        if (rank == i) {
            *ret_name = name;
            *ret_element = e;
            return true;
        }
    }
    return false;
}
