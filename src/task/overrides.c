#include "task/overrides.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <ctype.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#define MAX_OVERRIDES 10000

struct kap_overrides {
    struct kap_overrides_options opt;
    pthread_mutex_t change; /* one update of this member at a time */
    _Atomic(const struct kap_config *) current;
    struct kap_config **made; /* all that were current, freed at the end; of the store's thread */
    size_t nmade, made_cap;
};

/* --- what is stored: {"create": true, "options": {..}} --- */

struct item {
    struct kap_config_change change;
    json_t *json; /* holds the options */
    char *id;     /* "SECTION/ELEMENT"; holds the names */
};

struct list {
    struct item *v;
    size_t n, cap;
};

static void list_done(struct list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        json_decref(l->v[i].json);
        kap_free(l->v[i].id);
    }
    kap_free(l->v);
}

static void list_add(struct list *l, struct kap_str id, json_t *json)
{
    KAP_GROW(l->v, l->cap, l->n + 1);
    struct item *item = &l->v[l->n++];
    *item = (struct item){ .json = json, .id = kap_strndup(id.p, id.n) };
    const char *slash = strchr(item->id, '/');
    const size_t section = slash ? (size_t)(slash - item->id) : strlen(item->id);
    item->change = (struct kap_config_change){
        .section = kap_strn(item->id, section),
        .element = kap_str(slash ? slash + 1 : ""),
        .create = json_is_true(json_object_get(json, "create")),
        .options = json_object_get(json, "options"),
    };
}

static bool read_one(void *ctx, struct kap_str id, struct kap_str text)
{
    struct list *l = ctx;
    json_t *json = json_loadb(text.p, text.n, 0, NULL);
    if (json_is_object(json_object_get(json, "options"))) {
        list_add(l, id, json);
        return true;
    }
    json_decref(json);
    kap_log(KAP_LOG_ERROR, "config-override", "a stored override is damaged and has no effect",
            kap_kv_n("id", id));
    return true;
}

static enum kap_status read_all(struct kap_overrides *o, struct list *l, struct kap_error *err)
{
    struct kap_definitions *d = o->opt.definitions;
    return d->each(d->ctx, KAP_DEFINITION_CONFIG, read_one, l, err);
}

/* --- into effect; on the thread of the store's watcher, so one at a time --- */

static struct kap_config_change *changes_of(const struct list *l, size_t *ret_n)
{
    struct kap_config_change *v = KAP_ARRAY(struct kap_config_change, l->n + 1);
    for (size_t i = 0; i < l->n; i++)
        v[i] = l->v[i].change;
    *ret_n = l->n;
    return v;
}

/* All that can be applied; usually that is all. */
static struct kap_config *build(const struct kap_overrides *o, const struct list *l)
{
    struct kap_config *c = NULL;
    struct kap_error err;
    size_t n;
    KAP_AUTO_FREE struct kap_config_change *v = changes_of(l, &n);
    if (kap_config_override(o->opt.base, v, n, &c, &err) == KAP_OK)
        return c;
    size_t used = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct kap_config *more;
        v[used] = l->v[i].change;
        if (kap_config_override(o->opt.base, v, used + 1, &more, &err) != KAP_OK) {
            kap_log(KAP_LOG_ERROR, "config-override", "a stored override has no effect",
                    kap_kv_s("err", err.msg));
            continue;
        }
        kap_config_free(c);
        c = more;
        used++;
    }
    return c;
}

static enum kap_status take_effect(struct kap_overrides *o, struct kap_error *err)
{
    struct list l = { 0 };
    const enum kap_status st = read_all(o, &l, err);
    struct kap_config *c = st == KAP_OK ? build(o, &l) : NULL;
    list_done(&l);
    if (c) {
        KAP_GROW(o->made, o->made_cap, o->nmade + 1);
        o->made[o->nmade++] = c;
    }
    if (st == KAP_OK)
        atomic_store(&o->current, c ? c : o->opt.base);
    return st;
}

static void on_change(void *ctx, enum kap_definition_kind kind, struct kap_str id, bool remote)
{
    struct kap_error err;
    if (take_effect(ctx, &err) != KAP_OK)
        kap_log(KAP_LOG_ERROR, "config-override", "cannot read the overrides", kap_kv_s("err", err.msg));
    else
        kap_log(KAP_LOG_INFO, "config-override", "configuration changed", kap_kv_n("id", id),
                kap_kv_s("by", remote ? "another member" : "this member"));
}

enum kap_status kap_overrides_new(const struct kap_overrides_options *options, struct kap_overrides **ret,
                                  struct kap_error *err)
{
    struct kap_overrides *o = KAP_NEW(struct kap_overrides);
    o->opt = *options;
    atomic_init(&o->current, options->base);
    pthread_mutex_init(&o->change, NULL);
    const enum kap_status st = options->skip ? KAP_OK : take_effect(o, err);
    if (st != KAP_OK) {
        kap_free(o);
        return st;
    }
    if (!options->skip)
        options->definitions->watch(options->definitions->ctx, KAP_DEFINITION_CONFIG, on_change, o);
    *ret = o;
    return KAP_OK;
}

void kap_overrides_free(struct kap_overrides *o)
{
    if (o == NULL)
        return;
    o->opt.definitions->watch(o->opt.definitions->ctx, KAP_DEFINITION_CONFIG, NULL, NULL);
    for (size_t i = 0; i < o->nmade; i++)
        kap_config_free(o->made[i]);
    kap_free(o->made);
    pthread_mutex_destroy(&o->change);
    kap_free(o);
}

const struct kap_config *kap_overrides_config(const struct kap_overrides *o)
{
    return atomic_load(&o->current);
}

/* --- updates --- */

struct action {
    struct kap_str section, element;
    bool has_element;
    const json_t *set, *del, *add, *remove;
};

static bool is_name(struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_' && s.p[i] != '-' && s.p[i] != '+')
            return false;
    }
    return s.n > 0;
}

static enum kap_status check_shape(const json_t *v, const char *name, bool object, struct kap_error *err)
{
    if (v == NULL || json_is_null(v) || (object ? json_is_object(v) : json_is_array(v)))
        return KAP_OK;
    return kap_fail(err, KAP_EINVAL, "\"%s\" must be %s", name, object ? "an object" : "a list of strings");
}

static enum kap_status check_list(const json_t *list, const char *name, struct kap_error *err)
{
    KAP_TRY(check_shape(list, name, false, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i)))
            return kap_fail(err, KAP_EINVAL, "\"%s\" must be a list of strings", name);
    }
    return KAP_OK;
}

static enum kap_status check_action(const struct action *a, struct kap_error *err)
{
    const bool sets = json_object_size(a->set) > 0 || json_array_size(a->del) > 0;
    const bool adds = json_object_size(a->add) > 0, removes = json_array_size(a->remove) > 0;
    if (a->section.n == 0)
        return kap_fail(err, KAP_EINVAL, "must provide section name");
    if (!is_name(a->section))
        return kap_fail(err, KAP_EINVAL, "invalid section name \"%.*s\"", KAP_STR_ARG(a->section));
    if (a->element.n > 0 && !is_name(a->element))
        return kap_fail(err, KAP_EINVAL, "invalid element name \"%.*s\"", KAP_STR_ARG(a->element));
    KAP_TRY(check_shape(a->set, "set", true, err));
    KAP_TRY(check_list(a->del, "delete", err));
    KAP_TRY(check_shape(a->add, "add", true, err));
    KAP_TRY(check_list(a->remove, "remove", err));
    if (sets && (adds || removes))
        return kap_fail(err, KAP_EINVAL,
                        "cannot provide both set/delete and add/remove actions in the same update");
    if (adds && removes)
        return kap_fail(err, KAP_EINVAL, "cannot provide both add and remove actions in the same update");
    if (adds && a->element.n > 0)
        return kap_fail(err, KAP_EINVAL, "must not provide an element name when adding an a new override");
    if (removes && a->element.n > 0)
        return kap_fail(err, KAP_EINVAL, "must not provide element when removing an override");
    if (!adds && !removes && !a->has_element)
        return kap_fail(err, KAP_EINVAL, "element not specified, are you missing a trailing '/'?");
    return KAP_OK;
}

/* The name of the element that is to be added: the value of the section's key. */
static enum kap_status name_of_new(const struct kap_overrides *o, const struct action *a, struct kap_str *ret,
                                   struct kap_error *err)
{
    const struct kap_section *def = NULL;
    for (size_t i = 0; (def = kap_config_overridable(o->opt.base, i)) && !kap_str_is(a->section, def->name);
         i++)
        continue;
    if (def == NULL)
        return kap_fail(err, KAP_EINVAL, "unknown section \"%.*s\"", KAP_STR_ARG(a->section));
    if (def->element_key == NULL)
        return kap_fail(err, KAP_EINVAL, "section \"%s\" is not a list, cannot add new element", def->name);
    const json_t *name = json_object_get(a->add, def->element_key);
    if (name == NULL)
        return kap_fail(err, KAP_EINVAL, "missing key \"%s\" in \"add\" map", def->element_key);
    if (!json_is_string(name))
        return kap_fail(err, KAP_EINVAL, "expected \"%s\" key to be a string", def->element_key);
    *ret = kap_strn(json_string_value(name), json_string_length(name));
    return is_name(*ret) ? KAP_OK
                         : kap_fail(err, KAP_EINVAL, "invalid element name \"%.*s\"", KAP_STR_ARG(*ret));
}

static struct item *find(const struct list *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->v[i].id, id) == 0)
            return &l->v[i];
    }
    return NULL;
}

/* Would the section still be sound? Overrides of other sections are not looked at. */
static enum kap_status try_section(const struct kap_overrides *o, const struct list *l,
                                   struct kap_str section, struct kap_error *err)
{
    struct kap_config *c;
    size_t n, used = 0;
    KAP_AUTO_FREE struct kap_config_change *v = changes_of(l, &n);
    for (size_t i = 0; i < n; i++) {
        if (kap_str_eq(v[i].section, section))
            v[used++] = v[i];
    }
    KAP_TRY(kap_config_override(o->opt.base, v, used, &c, err));
    kap_config_free(c);
    return KAP_OK;
}

static enum kap_status wrap_invalid(enum kap_status st, struct kap_error *err)
{
    if (st == KAP_EINVAL) {
        kap_wrap(err, "failed to apply update");
        return KAP_EINVAL;
    }
    return st;
}

static enum kap_status remove_elements(struct kap_overrides *o, struct list *l, const struct action *a,
                                       struct kap_error *err)
{
    struct kap_definitions *d = o->opt.definitions;
    for (size_t i = 0; i < json_array_size(a->remove); i++) {
        KAP_AUTO_FREE char *id =
            kap_asprintf("%.*s/%s", KAP_STR_ARG(a->section), json_string_value(json_array_get(a->remove, i)));
        const struct item *item = find(l, id);
        if (item)
            KAP_TRY(d->drop(d->ctx, KAP_DEFINITION_CONFIG, kap_str(id), err));
    }
    return KAP_OK;
}

/* The override as it will be. */
static json_t *changed(const struct item *old, const struct action *a)
{
    if (json_object_size(a->add) > 0)
        return json_pack("{s:b, s:O}", "create", 1, "options", a->add);
    json_t *options = old ? json_deep_copy(old->change.options) : json_object();
    json_object_update(options, (json_t *)(uintptr_t)a->set);
    for (size_t i = 0; i < json_array_size(a->del); i++)
        json_object_del(options, json_string_value(json_array_get(a->del, i)));
    return json_pack("{s:b, s:o}", "create", old && old->change.create, "options", options);
}

static enum kap_status store(struct kap_overrides *o, const char *id, const json_t *json,
                             struct kap_error *err)
{
    struct kap_definitions *d = o->opt.definitions;
    if (json_object_size(json_object_get(json, "options")) == 0 &&
        !json_is_true(json_object_get(json, "create")))
        return d->drop(d->ctx, KAP_DEFINITION_CONFIG, kap_str(id), err);
    KAP_AUTO_FREE char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    return d->put(d->ctx, KAP_DEFINITION_CONFIG, kap_str(id), kap_str(text), err);
}

static enum kap_status change_element(struct kap_overrides *o, struct list *l, const struct action *a,
                                      struct kap_error *err)
{
    struct kap_str element = a->element;
    if (json_object_size(a->add) > 0)
        KAP_TRY(wrap_invalid(name_of_new(o, a, &element, err), err));
    KAP_AUTO_FREE char *id = kap_asprintf("%.*s/%.*s", KAP_STR_ARG(a->section), KAP_STR_ARG(element));
    struct item *old = find(l, id);
    if (old && json_object_size(a->add) > 0)
        return kap_fail(err, KAP_EINVAL,
                        "failed to apply update: cannot add new override, override already exists for %s",
                        id);
    if (old == NULL && l->n >= MAX_OVERRIDES)
        return kap_fail(err, KAP_ELIMIT, "there are %d overrides already", MAX_OVERRIDES);
    json_t *json = changed(old, a);
    if (json == NULL)
        return kap_fail(err, KAP_EINTERNAL, "the override cannot be written as JSON");
    if (old) {
        json_decref(old->json);
        old->json = json;
        old->change.options = json_object_get(json, "options");
    } else {
        list_add(l, kap_str(id), json);
    }
    KAP_TRY(try_section(o, l, a->section, err));
    return store(o, id, json, err);
}

enum kap_status kap_overrides_update(struct kap_overrides *o, struct kap_str section, struct kap_str element,
                                     bool has_element, const struct json_t *json, struct kap_error *err)
{
    const struct action a = { .section = section,
                              .element = element,
                              .has_element = has_element,
                              .set = json_object_get(json, "set"),
                              .del = json_object_get(json, "delete"),
                              .add = json_object_get(json, "add"),
                              .remove = json_object_get(json, "remove") };
    if (check_action(&a, err) != KAP_OK) {
        kap_wrap(err, "failed to apply update: invalid update action");
        return KAP_EINVAL;
    }
    if (o->opt.skip)
        return kap_fail(err, KAP_ESTATE,
                        "skip-config-overrides is set: the configuration cannot be changed here");
    struct list l = { 0 };
    pthread_mutex_lock(&o->change);
    enum kap_status st = read_all(o, &l, err);
    if (st == KAP_OK)
        st = json_array_size(a.remove) > 0 ? remove_elements(o, &l, &a, err) : change_element(o, &l, &a, err);
    pthread_mutex_unlock(&o->change);
    list_done(&l);
    return st;
}
