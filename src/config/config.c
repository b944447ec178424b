#include "config/config.h"

#include "pipeline/handler.h"
#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/number.h"
#include "config/internal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_FILE_BYTES (16 << 20)
#define MAX_ELEMENTS 10000

extern char **environ;

/* Sections of stock files that this server does not have yet; their keys are not looked at. */
static const char *const known_sections[] = {
    "alerta",
    "auth",
    "azure",
    "bigpanda",
    "collectd",
    "consul",
    "discord",
    "dns",
    "ec2",
    "file-discovery",
    "fluxtask",
    "gce",
    "graphite",
    "hipchat",
    "kafka",
    "kubernetes",
    "marathon",
    "mqtt",
    "nerve",
    "opentsdb",
    "opsgenie",
    "opsgenie2",
    "pagerduty",
    "pagerduty2",
    "pushover",
    "scraper",
    "sensu",
    "serverset",
    "servicenow",
    "slack",
    "smtp",
    "snmptrap",
    "static-discovery",
    "swarm",
    "talk",
    "teams",
    "telegram",
    "tls",
    "triton",
    "udf",
    "udp",
    "victorops",
    "zenoss",
};

static void note(struct kap_config *c, enum kap_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void note(struct kap_config *c, enum kap_log_level level, const char *fmt, ...)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    va_list ap;
    va_start(ap, fmt);
    kap_buf_vaddf(&b, fmt, ap);
    va_end(ap);
    KAP_GROW(c->notes, c->notes_cap, c->nnotes + 1);
    c->notes[c->nnotes++] =
        (struct kap_config_note){ .level = level, .text = kap_arena_str(c->arena, kap_buf_str(&b)) };
}

/* --- which sections there are --- */

struct kap_config_state *kap_config_find(const struct kap_config *c, struct kap_str name)
{
    for (size_t i = 0; i < c->nstates; i++) {
        if (kap_str_is(name, c->states[i].def->name))
            return &c->states[i];
    }
    return NULL;
}

static void add_section(struct kap_config *c, const struct kap_section *def)
{
    KAP_GROW(c->states, c->states_cap, c->nstates + 1);
    c->states[c->nstates++] = (struct kap_config_state){ .def = def };
}

static const char *handler_element_key(const struct kap_handler_type *type)
{
    static const char *const names[] = { "workspace", "endpoint", "id", "name" };
    for (size_t n = 0; n < KAP_COUNT(names); n++) {
        for (const struct kap_prop *p = type->config_props; p->kind != KAP_PROP_END; p++) {
            if (p->option && strcmp(p->option, names[n]) == 0)
                return names[n];
        }
    }
    return NULL;
}

static void add_handlers(struct kap_config *c, const struct kap_handler_type *const *handlers)
{
    for (; handlers && *handlers; handlers++) {
        const struct kap_handler_type *type = *handlers;
        if (type->section == NULL || type->config_props == NULL || kap_config_find(c, kap_str(type->section)))
            continue;
        struct kap_section *def = KAP_ARENA_NEW(c->arena, struct kap_section);
        *def = (struct kap_section){
            .name = type->section,
            .doc = type->doc,
            .size = type->config_size,
            .init = type->config_init,
            .props = type->config_props,
            .many = type->config_many,
            .has_default = type->config_many,
            .element_key = type->config_many ? handler_element_key(type) : NULL,
            .overridable = true,
        };
        add_section(c, def);
    }
}

/* --- elements --- */

size_t kap_config_props(const struct kap_section *def)
{
    size_t n = 0;
    while (def->props[n].kind != KAP_PROP_END)
        n++;
    return n;
}

void *kap_config_element_at(const struct kap_config_state *s, size_t i)
{
    return (char *)s->elements + i * s->def->size;
}

void kap_config_add(struct kap_config *c, struct kap_config_state *s)
{
    const size_t size = s->def->size;
    s->elements = kap_realloc(s->elements, (s->n + 1) * size);
    s->given_values = kap_realloc(s->given_values, (s->n + 1) * sizeof *s->given_values);
    memset(kap_config_element_at(s, s->n), 0, size);
    if (s->def->init)
        s->def->init(kap_config_element_at(s, s->n));
    s->given_values[s->n] = KAP_ARENA_ARRAY(c->arena, const struct kap_toml *, kap_config_props(s->def) + 1);
    s->n++;
}

/* --- values --- */

static enum kap_status wrong_type(const struct kap_toml *v, const char *want, struct kap_error *err)
{
    return kap_fail(err, KAP_EINVAL, "must be %s, got %s", want, kap_toml_kind_name(v->kind));
}

static enum kap_status set_strings(struct kap_strings *list, const struct kap_toml *v,
                                   struct kap_arena *arena, struct kap_error *err)
{
    if (v->kind != KAP_TOML_ARRAY)
        return wrong_type(v, "a list of strings", err);
    struct kap_str *strings = KAP_ARENA_ARRAY(arena, struct kap_str, v->nitems + 1);
    for (size_t i = 0; i < v->nitems; i++) {
        if (v->items[i]->kind != KAP_TOML_STRING)
            return kap_fail(err, KAP_EINVAL, "must be a list of strings, element %zu is %s", i + 1,
                            kap_toml_kind_name(v->items[i]->kind));
        strings[i] = v->items[i]->s;
    }
    *list = (struct kap_strings){ strings, v->nitems };
    return KAP_OK;
}

static enum kap_status set_duration(int64_t *ret, const struct kap_toml *v, struct kap_error *err)
{
    if (v->kind == KAP_TOML_INT && v->i == 0) {
        *ret = 0;
        return KAP_OK;
    }
    if (v->kind != KAP_TOML_STRING)
        return wrong_type(v, "a duration like \"10s\"", err);
    if (v->s.n == 0)
        return KAP_OK;
    if (kap_duration_parse_go(v->s, ret, NULL) != KAP_OK)
        return kap_fail(err, KAP_EINVAL, "must be a duration like \"10s\" or \"1h30m\", got \"%.*s\"",
                        KAP_STR_ARG(v->s));
    return KAP_OK;
}

/* A TOML value as the argument of a property's own function. */
static enum kap_status to_arg(const struct kap_toml *v, struct kap_arena *arena, struct kap_arg *ret,
                              struct kap_error *err)
{
    *ret = (struct kap_arg){ .kind = KAP_ARG_VALUE };
    switch (v->kind) {
    case KAP_TOML_STRING:
    case KAP_TOML_TIME:
        ret->value = kap_value_s(v->s);
        return KAP_OK;
    case KAP_TOML_INT:
        ret->value = kap_value_i(v->i);
        return KAP_OK;
    case KAP_TOML_FLOAT:
        ret->value = kap_value_f(v->f);
        return KAP_OK;
    case KAP_TOML_BOOL:
        ret->value = kap_value_b(v->b);
        return KAP_OK;
    case KAP_TOML_TABLE:
        return kap_fail(err, KAP_EINVAL, "must not hold a table in a table");
    case KAP_TOML_ARRAY:
        break;
    }
    struct kap_strings strings;
    KAP_TRY(set_strings(&strings, v, arena, err));
    struct kap_arg *list = KAP_ARENA_ARRAY(arena, struct kap_arg, strings.n + 1);
    for (size_t i = 0; i < strings.n; i++)
        list[i] = (struct kap_arg){ .kind = KAP_ARG_VALUE, .value = kap_value_s(strings.v[i]) };
    *ret = (struct kap_arg){ .kind = KAP_ARG_LIST, .list = list, .nlist = strings.n };
    return KAP_OK;
}

static enum kap_status call_setter(const struct kap_prop *p, void *element, const struct kap_toml *v,
                                   struct kap_arena *arena, struct kap_error *err)
{
    struct kap_arg args[2];
    if (v->kind != KAP_TOML_TABLE) {
        KAP_TRY(to_arg(v, arena, &args[0], err));
        return p->set(element, arena, args, 1, err);
    }
    for (size_t i = 0; i < v->npairs; i++) {
        args[0] = (struct kap_arg){ .kind = KAP_ARG_VALUE, .value = kap_value_s(v->pairs[i].key) };
        KAP_TRY(to_arg(v->pairs[i].value, arena, &args[1], err));
        KAP_TRY(p->set(element, arena, args, 2, err));
    }
    return KAP_OK;
}

enum kap_status kap_config_set(const struct kap_prop *p, void *element, const struct kap_toml *v,
                                 struct kap_arena *arena, struct kap_error *err)
{
    void *at = (char *)element + p->offset;
    switch (p->kind) {
    case KAP_PROP_INT:
        if (v->kind != KAP_TOML_INT)
            return wrong_type(v, "an integer", err);
        *(int64_t *)at = v->i;
        return KAP_OK;
    case KAP_PROP_FLOAT:
        if (v->kind != KAP_TOML_FLOAT && v->kind != KAP_TOML_INT)
            return wrong_type(v, "a number", err);
        *(double *)at = v->kind == KAP_TOML_INT ? (double)v->i : v->f;
        return KAP_OK;
    case KAP_PROP_STRING:
        if (v->kind != KAP_TOML_STRING)
            return wrong_type(v, "a string", err);
        *(struct kap_str *)at = v->s;
        return KAP_OK;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG:
        if (v->kind != KAP_TOML_BOOL)
            return wrong_type(v, "true or false", err);
        *(bool *)at = v->b;
        return KAP_OK;
    case KAP_PROP_DURATION:
        return set_duration(at, v, err);
    case KAP_PROP_STRINGS:
    case KAP_PROP_STRINGS_ADD:
        return set_strings(at, v, arena, err);
    case KAP_PROP_CALL:
        return call_setter(p, element, v, arena, err);
    case KAP_PROP_LAMBDA:
    case KAP_PROP_END:
        break;
    }
    return kap_fail(err, KAP_EINTERNAL, "cannot be set in a file");
}

static const char *key_place(const struct kap_config *c, const struct kap_section *def, struct kap_str key)
{
    if (def->name[0] == '\0')
        return kap_arena_printf(c->arena, "'%.*s'", KAP_STR_ARG(key));
    return kap_arena_printf(c->arena, "'%.*s' in section [%s]", KAP_STR_ARG(key), def->name);
}

static void unknown_key(struct kap_config *c, const struct kap_section *def, const struct kap_toml_pair *pair)
{
    const char *names[256];
    size_t n = 0;
    for (const struct kap_prop *p = def->props; p->kind != KAP_PROP_END && n < KAP_COUNT(names); p++) {
        if (p->option)
            names[n++] = p->option;
    }
    const int closest = kap_closest(kap_arena_printf(c->arena, "%.*s", KAP_STR_ARG(pair->key)), names, n);
    note(c, KAP_LOG_WARN, "%s:%d:%d: unknown key %s%s%s%s", c->path, pair->line, pair->column,
         key_place(c, def, pair->key), closest >= 0 ? ", did you mean '" : "",
         closest >= 0 ? names[closest] : "", closest >= 0 ? "'?" : "");
}

/* The stock server takes keys in any case when none fits exactly. */
static const struct kap_prop *find_prop(const struct kap_section *def, struct kap_str key)
{
    for (const struct kap_prop *p = def->props; p->kind != KAP_PROP_END; p++) {
        if (p->option && kap_str_is(key, p->option))
            return p;
    }
    for (const struct kap_prop *p = def->props; p->kind != KAP_PROP_END; p++) {
        if (p->option && strlen(p->option) == key.n && strncasecmp(p->option, key.p, key.n) == 0)
            return p;
    }
    return NULL;
}

static enum kap_status set_element(struct kap_config *c, struct kap_config_state *s, size_t i,
                                   const struct kap_toml *table, struct kap_error *err)
{
    for (size_t k = 0; k < table->npairs; k++) {
        const struct kap_toml_pair *pair = &table->pairs[k];
        if (s->def->name[0] == '\0' && (pair->value->kind == KAP_TOML_TABLE || pair->value->of_tables))
            continue; /* the sections themselves */
        const struct kap_prop *p = find_prop(s->def, pair->key);
        if (p == NULL) {
            unknown_key(c, s->def, pair);
            continue;
        }
        if (kap_config_set(p, kap_config_element_at(s, i), pair->value, c->arena, err) != KAP_OK) {
            kap_wrap(err, "%s:%d:%d: %s", c->path, pair->value->line, pair->value->column,
                     key_place(c, s->def, pair->key));
            return KAP_EINVAL;
        }
        s->given_values[i][p - s->def->props] = pair->value;
    }
    return KAP_OK;
}

/* --- sections of the file --- */

static bool switched_off(const struct kap_toml *v)
{
    const struct kap_toml *enabled = kap_toml_get(v, KAP_STR("enabled"));
    return enabled && enabled->kind == KAP_TOML_BOOL && !enabled->b;
}

/* A section that there is no description of: known and not built, or a mistake. */
static void odd_section(struct kap_config *c, const struct kap_toml_pair *pair)
{
    const char *name = kap_arena_printf(c->arena, "%.*s", KAP_STR_ARG(pair->key));
    for (size_t i = 0; i < KAP_COUNT(known_sections); i++) {
        if (strcmp(name, known_sections[i]) != 0)
            continue;
        bool off =
            pair->value->kind == KAP_TOML_TABLE && (switched_off(pair->value) || pair->value->npairs == 0);
        for (size_t k = 0; k < pair->value->nitems; k++)
            off = (k == 0 || off) && switched_off(pair->value->items[k]);
        if (!off)
            note(c, KAP_LOG_INFO, "%s:%d:%d: section [%s] is not supported yet and has no effect", c->path,
                 pair->line, pair->column, name);
        return;
    }
    const char *names[128];
    size_t n = 0;
    for (size_t i = 0; i < c->nstates && n < KAP_COUNT(names); i++)
        names[n++] = c->states[i].def->name;
    for (size_t i = 0; i < KAP_COUNT(known_sections) && n < KAP_COUNT(names); i++)
        names[n++] = known_sections[i];
    const int closest = kap_closest(name, names, n);
    note(c, KAP_LOG_WARN, "%s:%d:%d: unknown section [%s]%s%s%s", c->path, pair->line, pair->column, name,
         closest >= 0 ? ", did you mean [" : "", closest >= 0 ? names[closest] : "",
         closest >= 0 ? "]?" : "");
}

static enum kap_status read_section(struct kap_config *c, struct kap_config_state *s,
                                    const struct kap_toml_pair *pair, struct kap_error *err)
{
    const struct kap_toml *v = pair->value;
    s->given = true;
    if (v->kind == KAP_TOML_TABLE) {
        kap_config_add(c, s);
        return set_element(c, s, s->n - 1, v, err);
    }
    if (!s->def->many && v->nitems > 1)
        return kap_fail(err, KAP_EINVAL, "%s:%d:%d: section [%s] may be given only once", c->path,
                        v->items[1]->line, v->items[1]->column, s->def->name);
    if (v->nitems > MAX_ELEMENTS)
        return kap_fail(err, KAP_ELIMIT, "%s: section [[%s]] is given more than %d times", c->path,
                        s->def->name, MAX_ELEMENTS);
    for (size_t i = 0; i < v->nitems; i++) {
        kap_config_add(c, s);
        KAP_TRY(set_element(c, s, s->n - 1, v->items[i], err));
    }
    return KAP_OK;
}

static enum kap_status read_sections(struct kap_config *c, const struct kap_toml *root, struct kap_error *err)
{
    KAP_TRY(set_element(c, kap_config_find(c, KAP_STR("")), 0, root, err));
    for (size_t i = 0; i < root->npairs; i++) {
        const struct kap_toml_pair *pair = &root->pairs[i];
        if (pair->value->kind != KAP_TOML_TABLE && !pair->value->of_tables)
            continue;
        struct kap_config_state *s = pair->key.n ? kap_config_find(c, pair->key) : NULL;
        if (s == NULL)
            odd_section(c, pair);
        else
            KAP_TRY(read_section(c, s, pair, err));
    }
    for (size_t i = 0; i < c->nstates; i++) {
        if (c->states[i].n == 0 && (!c->states[i].def->many || c->states[i].def->has_default))
            kap_config_add(c, &c->states[i]);
    }
    return KAP_OK;
}

/* --- the file --- */

static enum kap_status read_file(const char *path, struct kap_buf *out, struct kap_error *err)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return kap_fail(err, errno == ENOENT ? KAP_ENOTFOUND : KAP_EIO, "configuration file %s: %s", path,
                        strerror(errno));
    out->max = MAX_FILE_BYTES;
    char block[8192];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        kap_buf_addn(out, block, n);
    const bool failed = ferror(f) != 0;
    const int error = errno;
    fclose(f);
    if (failed)
        return kap_fail(err, KAP_EIO, "configuration file %s: %s", path, strerror(error));
    if (out->failed)
        return kap_fail(err, KAP_ELIMIT, "configuration file %s: larger than %d bytes", path, MAX_FILE_BYTES);
    return KAP_OK;
}

static const char *env_get(const struct kap_config *c, const char *name)
{
    const size_t n = strlen(name);
    for (const char *const *e = c->env; *e; e++) {
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    }
    return NULL;
}

/* The usual places, in order; NULL when there is no file. */
static const char *find_file(const struct kap_config *c, const char *given)
{
    if (given && *given)
        return given;
    const char *path = env_get(c, "KAPACITOR_CONFIG_PATH");
    if (path && *path)
        return path;
    const char *home = env_get(c, "HOME");
    if (home && *home) {
        path = kap_arena_printf(c->arena, "%s/.kapacitor/kapacitor.conf", home);
        if (access(path, R_OK) == 0)
            return path;
    }
    path = "/etc/kapacitor/kapacitor.conf";
    return access(path, R_OK) == 0 ? path : NULL;
}

/* Without a file the server keeps its data in the user's home, as the stock server does. */
static void demo_defaults(struct kap_config *c)
{
    const char *home = env_get(c, "HOME");
    const char *dir = kap_arena_printf(c->arena, "%s/.kapacitor", home && *home ? home : ".");
    struct kap_config_root *root = kap_config_element_at(kap_config_find(c, KAP_STR("")), 0);
    root->data_dir = kap_str(dir);
    struct kap_config_replay *replay = kap_config_element_at(kap_config_find(c, KAP_STR("replay")), 0);
    replay->dir = kap_str(kap_arena_printf(c->arena, "%s/replay", dir));
    struct kap_config_load *load = kap_config_element_at(kap_config_find(c, KAP_STR("load")), 0);
    load->dir = kap_str(kap_arena_printf(c->arena, "%s/load", dir));
}

/* --- the environment --- */

/* A section or key as it stands in a variable's name. */
static const char *env_name(struct kap_arena *arena, const char *s)
{
    char *name = kap_arena_strdup(arena, s);
    for (char *p = name; *p; p++)
        *p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    return name;
}

static struct kap_toml *env_scalar(struct kap_config *c, enum kap_toml_kind kind, const char *text)
{
    struct kap_toml *v = KAP_ARENA_NEW(c->arena, struct kap_toml);
    v->kind = kind;
    v->s = kap_str(kap_arena_strdup(c->arena, text));
    return v;
}

/* The text of a variable as the value that the key wants. */
static enum kap_status env_value(struct kap_config *c, const struct kap_prop *p, const char *text,
                                 struct kap_toml **ret, struct kap_error *err)
{
    struct kap_toml *v = env_scalar(c, KAP_TOML_STRING, text);
    switch (p->kind) {
    case KAP_PROP_INT:
        v->kind = KAP_TOML_INT;
        if (!kap_str_to_i64(v->s, &v->i))
            return kap_fail(err, KAP_EINVAL, "must be an integer, got \"%s\"", text);
        break;
    case KAP_PROP_FLOAT:
        v->kind = KAP_TOML_FLOAT;
        if (!kap_str_to_f64(v->s, &v->f))
            return kap_fail(err, KAP_EINVAL, "must be a number, got \"%s\"", text);
        break;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG:
        v->kind = KAP_TOML_BOOL;
        v->b = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0 || strcasecmp(text, "t") == 0;
        if (!v->b && strcasecmp(text, "false") != 0 && strcmp(text, "0") != 0 && strcasecmp(text, "f") != 0)
            return kap_fail(err, KAP_EINVAL, "must be true or false, got \"%s\"", text);
        break;
    default:
        break;
    }
    *ret = v;
    return KAP_OK;
}

/* NAME_0, NAME_1, ..: elements that exist are replaced, the next one may be added. NULL: none is set. */
static struct kap_toml *env_list(struct kap_config *c, const char *name, const struct kap_strings *now)
{
    struct kap_toml *list = NULL;
    for (size_t i = 0; i < MAX_ELEMENTS; i++) {
        const char *text = env_get(c, kap_arena_printf(c->arena, "%s_%zu", name, i));
        if (text == NULL && i >= now->n)
            break;
        if (list == NULL)
            list = env_scalar(c, KAP_TOML_ARRAY, "");
        if (list->nitems == list->items_cap) {
            const size_t cap = list->items_cap ? list->items_cap * 2 : 4;
            struct kap_toml **items = KAP_ARENA_ARRAY(c->arena, struct kap_toml *, cap);
            if (list->nitems > 0)
                memcpy(items, list->items, list->nitems * sizeof *items);
            list->items = items;
            list->items_cap = cap;
        }
        struct kap_toml *item = env_scalar(c, KAP_TOML_STRING, text ? text : "");
        if (text == NULL)
            item->s = now->v[i];
        list->items[list->nitems++] = item;
    }
    return list;
}

/* NAME_KEY for the keys that a table of the file has. NULL: none is set. */
static struct kap_toml *env_table(struct kap_config *c, const char *name, const struct kap_toml *given)
{
    struct kap_toml *table = NULL;
    for (size_t i = 0; given && i < given->npairs; i++) {
        const char *key =
            env_name(c->arena, kap_arena_printf(c->arena, "%.*s", KAP_STR_ARG(given->pairs[i].key)));
        const char *text = env_get(c, kap_arena_printf(c->arena, "%s_%s", name, key));
        if (text == NULL)
            continue;
        if (table == NULL) {
            table = KAP_ARENA_NEW(c->arena, struct kap_toml);
            *table = *given;
            table->pairs = KAP_ARENA_ARRAY(c->arena, struct kap_toml_pair, given->npairs);
            memcpy(table->pairs, given->pairs, given->npairs * sizeof *table->pairs);
        }
        table->pairs[i].value = env_scalar(c, KAP_TOML_STRING, text);
    }
    return table;
}

static enum kap_status env_key(struct kap_config *c, struct kap_config_state *s, size_t i,
                               const struct kap_prop *p, const char *prefix, struct kap_error *err)
{
    const char *name = kap_arena_printf(c->arena, "%s%s", prefix, env_name(c->arena, p->option));
    const size_t k = (size_t)(p - s->def->props);
    struct kap_toml *v = NULL;
    const char *text = env_get(c, name);
    enum kap_status st = KAP_OK;
    if (p->kind == KAP_PROP_STRINGS || p->kind == KAP_PROP_STRINGS_ADD) {
        const void *at = (const char *)kap_config_element_at(s, i) + p->offset;
        v = env_list(c, name, at);
        /* an unchanged list comes back when no variable named it */
        bool named = false;
        for (size_t e = 0; v && e < v->nitems && !named; e++)
            named = env_get(c, kap_arena_printf(c->arena, "%s_%zu", name, e)) != NULL;
        if (!named)
            return KAP_OK;
    } else if (p->kind == KAP_PROP_CALL) {
        v = env_table(c, name, s->given_values[i][k]);
    } else if (text) {
        st = env_value(c, p, text, &v, err);
    }
    if (st == KAP_OK && v == NULL)
        return KAP_OK;
    if (st == KAP_OK)
        st = kap_config_set(p, kap_config_element_at(s, i), v, c->arena, err);
    if (st != KAP_OK)
        return kap_wrap(err, "environment variable %s", name);
    s->given_values[i][k] = v;
    s->given = true;
    return KAP_OK;
}

static enum kap_status apply_environment(struct kap_config *c, struct kap_error *err)
{
    for (size_t k = 0; k < c->nstates; k++) {
        struct kap_config_state *s = &c->states[k];
        for (size_t i = 0; i < s->n; i++) {
            const char *section = env_name(c->arena, s->def->name);
            const char *prefix = s->def->name[0] == '\0' ? "KAPACITOR_"
                                 : s->def->many ? kap_arena_printf(c->arena, "KAPACITOR_%s_%zu_", section, i)
                                                : kap_arena_printf(c->arena, "KAPACITOR_%s_", section);
            for (const struct kap_prop *p = s->def->props; p->kind != KAP_PROP_END; p++) {
                if (p->option)
                    KAP_TRY(env_key(c, s, i, p, prefix, err));
            }
        }
    }
    return KAP_OK;
}

/* --- all of it --- */

static enum kap_status check(struct kap_config *c, bool strict, struct kap_error *err)
{
    if (strict && c->nnotes > 0) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        for (size_t i = 0; i < c->nnotes; i++)
            kap_buf_addf(&b, "%s%.*s", i ? "\n" : "", KAP_STR_ARG(c->notes[i].text));
        return kap_fail(err, KAP_EINVAL, "%s", b.p);
    }
    const struct kap_config_cluster *cluster = kap_config_section(c, "cluster");
    const struct kap_config_alert *alert = kap_config_section(c, "alert");
    const struct kap_config_http *http = kap_config_section(c, "http");
    if (cluster->task_redundancy < 0 || alert->redundancy < 0 || cluster->gossip_members < 0)
        return kap_fail(err, KAP_EINVAL,
                        "task-redundancy, redundancy and gossip-members must not be negative");
    if (alert->delay_per_member_ns <= 0 || alert->full_sync_interval_ns <= 0)
        return kap_fail(err, KAP_EINVAL,
                        "[alert] delay-per-member and full-sync-interval must be more than 0");
    /* nobody must believe in a protection that is not there */
    if (http->auth_enabled)
        return kap_fail(err, KAP_EINVAL,
                        "%s: [http] auth-enabled: this server has no users yet and would let anybody in; put a proxy that asks "
                        "for credentials in front of it and set auth-enabled = false",
                        c->path ? c->path : "configuration");
    if (http->max_write_bytes <= 0 || http->max_connections <= 0)
        return kap_fail(err, KAP_EINVAL, "[http] max-write-size and max-connections must be more than 0");
    for (size_t i = 0; i < cluster->roles.n; i++) {
        if (!kap_str_is(cluster->roles.v[i], "worker"))
            return kap_fail(err, KAP_EINVAL, "[cluster] roles knows 'worker' only, not '%.*s'",
                            KAP_STR_ARG(cluster->roles.v[i]));
    }
    return KAP_OK;
}

static enum kap_status load(struct kap_config *c, const struct kap_config_args *args, struct kap_error *err)
{
    c->path = find_file(c, args->path);
    struct kap_toml empty = { .kind = KAP_TOML_TABLE }, *root = &empty;
    if (c->path != NULL) {
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        KAP_TRY(read_file(c->path, &text, err));
        KAP_TRY(kap_toml_parse(kap_buf_str(&text), c->path, c->arena, &root, err));
    }
    kap_config_add(c, kap_config_find(c, KAP_STR("")));
    KAP_TRY(read_sections(c, root, err));
    if (c->path == NULL)
        demo_defaults(c);
    KAP_TRY(apply_environment(c, err));
    if (args->hostname && *args->hostname) {
        struct kap_config_root *top = kap_config_element_at(kap_config_find(c, KAP_STR("")), 0);
        top->hostname = kap_str(kap_arena_strdup(c->arena, args->hostname));
    }
    return check(c, args->strict, err);
}

enum kap_status kap_config_load(const struct kap_config_args *args, struct kap_config **ret,
                                struct kap_error *err)
{
    struct kap_config *c = KAP_NEW(struct kap_config);
    c->arena = kap_arena_new();
    c->env = args->env ? args->env : (const char *const *)environ;
    for (const struct kap_section *const *s = kap_config_sections; *s; s++)
        add_section(c, *s);
    add_handlers(c, args->handlers);
    const enum kap_status st = load(c, args, err);
    if (st != KAP_OK) {
        kap_config_free(c);
        return st;
    }
    c->env = NULL;
    if (c->path)
        c->path = kap_arena_strdup(c->arena, c->path);
    *ret = c;
    return KAP_OK;
}

void kap_config_free(struct kap_config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->nstates; i++) {
        kap_free(c->states[i].elements);
        kap_free(c->states[i].given_values);
    }
    kap_free(c->states);
    kap_free(c->notes);
    kap_arena_free(c->arena);
    kap_free(c);
}

const char *kap_config_path(const struct kap_config *c)
{
    return c->path;
}

size_t kap_config_notes(const struct kap_config *c, const struct kap_config_note **ret)
{
    *ret = c->notes;
    return c->nnotes;
}

const void *kap_config_elements(const struct kap_config *c, const char *name, size_t *ret_n)
{
    const struct kap_config_state *s = kap_config_find(c, kap_str(name));
    *ret_n = s ? s->n : 0;
    return s && s->n > 0 ? s->elements : NULL;
}

const void *kap_config_section(const struct kap_config *c, const char *name)
{
    size_t n;
    return kap_config_elements(c, name, &n);
}

bool kap_config_given(const struct kap_config *c, const char *name)
{
    const struct kap_config_state *s = kap_config_find(c, kap_str(name));
    return s && s->given;
}

void kap_config_advertise(struct kap_str advertise, struct kap_str bind, struct kap_str hostname,
                          struct kap_buf *out)
{
    if (advertise.n > 0) {
        kap_buf_add(out, advertise);
        return;
    }
    size_t colon = bind.n;
    while (colon > 0 && bind.p[colon - 1] != ':')
        colon--;
    kap_buf_add(out, hostname);
    if (colon > 0)
        kap_buf_addf(out, ":%.*s", (int)(bind.n - colon), bind.p + colon);
}
