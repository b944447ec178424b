#include "alert/topics.h"

#include "alert/topics_internal.h"
#include "base/log.h"
#include "base/mem.h"

struct kap_topics *kap_topics_new(const struct kap_topics_options *opts)
{
    struct kap_topics *ts = KAP_NEW(struct kap_topics);
    ts->opts = *opts;
    ts->topics = kap_map_new();
    pthread_mutex_init(&ts->lock, NULL);
    return ts;
}

static void drop_states(struct kap_topic *t)
{
    size_t i = 0;
    void *st;
    while (kap_map_next(t->states, &i, NULL, &st))
        kap_free(st);
    kap_map_free(t->states);
    t->states = kap_map_new();
    memset(t->by_level, 0, sizeof t->by_level);
}

static void drop_inlines(struct kap_topic *t)
{
    for (size_t i = 0; i < t->ninlines; i++)
        kap_handler_unref(t->inlines[i]);
    kap_free((void *)t->inlines);
    t->inlines = NULL;
    t->ninlines = 0;
}

static void drop_defined(struct kap_defined *d)
{
    kap_handler_spec_done(&d->spec);
    kap_handler_unref(d->handler);
}

static void free_topic(struct kap_topic *t)
{
    drop_states(t);
    kap_map_free(t->states);
    drop_inlines(t);
    for (size_t i = 0; i < t->ndefined; i++)
        drop_defined(&t->defined[i]);
    kap_free(t->defined);
    kap_free(t->name);
    kap_free(t);
}

void kap_topics_free(struct kap_topics *ts)
{
    if (!ts)
        return;
    size_t i = 0;
    void *t;
    while (kap_map_next(ts->topics, &i, NULL, &t))
        free_topic(t);
    kap_map_free(ts->topics);
    pthread_mutex_destroy(&ts->lock);
    kap_free(ts);
}

struct kap_topic *kap_topics_find(struct kap_topics *ts, struct kap_str name)
{
    return kap_map_get(ts->topics, name);
}

static struct kap_topic *find_or_make(struct kap_topics *ts, struct kap_str name)
{
    struct kap_topic *t = kap_topics_find(ts, name);
    if (t)
        return t;
    t = KAP_NEW(struct kap_topic);
    t->name = kap_strndup(name.p, name.n);
    t->states = kap_map_new();
    kap_map_put(ts->topics, name, t);
    return t;
}

/* "main:TASK:alert2" */
static bool anonymous(struct kap_str topic)
{
    return kap_str_has_prefix(topic, KAP_STR("main:")) && topic.n > 5 && memchr(topic.p + 5, ':', topic.n - 5);
}

enum kap_level kap_topic_level(const struct kap_topic *t)
{
    for (int l = KAP_LEVEL_CRITICAL; l > KAP_LEVEL_OK; l--)
        if (t->by_level[l])
            return (enum kap_level)l;
    return KAP_LEVEL_OK;
}

void kap_topics_env(const struct kap_topics *ts, const struct kap_handler_type *type, struct kap_handler_env *ret)
{
    *ret = (struct kap_handler_env){ 0 };
    if (ts->opts.env)
        ts->opts.env(ts->opts.env_ctx, type, ret);
}

/* --- states --- */

/* Returns the level before. */
static enum kap_level set_state(struct kap_topic *t, struct kap_str id, const struct kap_event_state *s)
{
    struct kap_state *st = kap_alloc(sizeof *st + s->message.n + s->details.n);
    st->level = s->level;
    st->time_ns = s->time_ns;
    st->duration_ns = s->duration_ns;
    st->nmessage = (uint32_t)s->message.n;
    st->ndetails = (uint32_t)s->details.n;
    if (s->message.n)
        memcpy(st->text, s->message.p, s->message.n);
    if (s->details.n)
        memcpy(st->text + s->message.n, s->details.p, s->details.n);
    struct kap_state *old = kap_map_put(t->states, id, st);
    const enum kap_level before = old ? old->level : KAP_LEVEL_OK;
    if (old)
        t->by_level[before]--;
    t->by_level[s->level]++;
    kap_free(old);
    return before;
}

static struct kap_event_state view(const struct kap_state *st)
{
    return (struct kap_event_state){
        .level = st->level, .time_ns = st->time_ns, .duration_ns = st->duration_ns,
        .message = kap_strn(st->text, st->nmessage), .details = kap_strn(st->text + st->nmessage, st->ndetails),
    };
}

bool kap_topics_state(struct kap_topics *ts, struct kap_str topic, struct kap_str event_id,
                      struct kap_event_state *ret, struct kap_arena *arena)
{
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = kap_topics_find(ts, topic);
    const struct kap_state *st = t ? kap_map_get(t->states, event_id) : NULL;
    if (st) {
        *ret = view(st);
        ret->message = arena ? kap_arena_str(arena, ret->message) : KAP_STR("");
        ret->details = arena ? kap_arena_str(arena, ret->details) : KAP_STR("");
    }
    pthread_mutex_unlock(&ts->lock);
    return st;
}

void kap_topics_load(struct kap_topics *ts, struct kap_str topic, struct kap_str event_id,
                     const struct kap_event_state *state)
{
    pthread_mutex_lock(&ts->lock);
    struct kap_topic *t = find_or_make(ts, topic);
    t->shown |= !anonymous(topic);
    set_state(t, event_id, state);
    pthread_mutex_unlock(&ts->lock);
}

struct named {
    struct kap_str name;
    void *value;
};

static int named_cmp(const void *a, const void *b)
{
    return kap_str_cmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Names and values of a map in byte order; owned. */
static struct named *sorted(const struct kap_map *m)
{
    struct named *v = KAP_ARRAY(struct named, kap_map_len(m) + 1);
    size_t i = 0, n = 0;
    while (kap_map_next(m, &i, &v[n].name, &v[n].value))
        n++;
    qsort(v, n, sizeof *v, named_cmp);
    return v;
}

static void each_state_of(const struct kap_topic *t, kap_topics_state_fn fn, void *ctx)
{
    KAP_AUTO_FREE struct named *events = sorted(t->states);
    for (size_t i = 0; i < kap_map_len(t->states); i++) {
        const struct kap_event_state s = view(events[i].value);
        fn(ctx, kap_str(t->name), events[i].name, &s);
    }
}

void kap_topics_each_state(struct kap_topics *ts, struct kap_str topic, kap_topics_state_fn fn, void *ctx)
{
    pthread_mutex_lock(&ts->lock);
    if (topic.n) {
        const struct kap_topic *t = kap_topics_find(ts, topic);
        if (t)
            each_state_of(t, fn, ctx);
    } else {
        KAP_AUTO_FREE struct named *topics = sorted(ts->topics);
        for (size_t i = 0; i < kap_map_len(ts->topics); i++)
            each_state_of(topics[i].value, fn, ctx);
    }
    pthread_mutex_unlock(&ts->lock);
}

/* --- applying events --- */

void kap_topic_matches_done(struct kap_topic_matches *m)
{
    kap_arena_free(m->arena);
    kap_free(m->ids);
    *m = (struct kap_topic_matches){ 0 };
}

struct internals { /* to be run when the lock is given back */
    struct kap_handler **v;
    size_t n, cap;
};

static bool matches(const struct kap_topic *t, struct kap_handler *h, const struct kap_event *ev)
{
    if (!h->match)
        return true;
    bool match = false;
    struct kap_error err;
    if (kap_match_eval(h->match, ev, &match, &err) != KAP_OK)
        kap_log(KAP_LOG_DEBUG, "alert", "failed to evaluate match expression", kap_kv_s("topic", t->name),
                kap_kv_n("handler", h->id), kap_kv_n("event", ev->id), kap_kv_s("err", err.msg));
    return match;
}

static void consider(const struct kap_topic *t, struct kap_handler *h, const struct kap_event *ev,
                     struct kap_topic_matches *ret, struct internals *in)
{
    if ((ev->no_external && !h->type->internal) || !matches(t, h, ev))
        return;
    if (h->type->internal) {
        KAP_GROW(in->v, in->cap, in->n + 1);
        in->v[in->n++] = kap_handler_ref(h);
        return;
    }
    KAP_GROW(ret->ids, ret->cap, ret->n + 1);
    ret->ids[ret->n++] = kap_arena_str(ret->arena, h->id);
}

static void run_internal(struct kap_topics *ts, struct kap_handler *h, struct kap_event *ev, int64_t now_ns)
{
    struct kap_handler_env env;
    kap_topics_env(ts, h->type, &env);
    h->tick_ns = h->type->collect(h->options, h->state, &env, ev, now_ns);
}

/* Updates the state; the topic is shown from now on. */
static struct kap_topic *take_in(struct kap_topics *ts, struct kap_event *ev, const struct kap_event_state *s)
{
    struct kap_topic *t = kap_topics_find(ts, ev->topic);
    if (!t || !t->shown) {
        t = find_or_make(ts, ev->topic);
        t->shown = !anonymous(ev->topic);
    }
    t->collected++;
    ev->previous = set_state(t, ev->id, s);
    return t;
}

static void consider_all(const struct kap_topic *t, const struct kap_event *ev, struct kap_topic_matches *ret,
                         struct internals *in)
{
    if (!ret->arena)
        ret->arena = kap_arena_new();
    kap_arena_reset(ret->arena);
    ret->n = 0;
    for (size_t i = 0; i < t->ninlines; i++)
        consider(t, t->inlines[i], ev, ret, in);
    for (size_t i = 0; i < t->ndefined; i++)
        consider(t, t->defined[i].handler, ev, ret, in);
}

void kap_topics_apply(struct kap_topics *ts, struct kap_event *ev, int64_t now_ns, struct kap_topic_matches *ret)
{
    const struct kap_event_state s = { .level = ev->level, .time_ns = ev->time_ns, .duration_ns = ev->duration_ns,
                                       .message = ev->message, .details = ev->details };
    struct internals in = { 0 };
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = take_in(ts, ev, &s);
    if (ret)
        consider_all(t, ev, ret, &in);
    pthread_mutex_unlock(&ts->lock);

    if (ts->opts.persist && ts->opts.store.save_state)
        ts->opts.store.save_state(ts->opts.store.ctx, ev->topic, ev->id, &s);
    for (size_t i = 0; i < in.n; i++) {
        run_internal(ts, in.v[i], ev, now_ns);
        kap_handler_unref(in.v[i]);
    }
    kap_free((void *)in.v);
}

/* Calls fn for every defined handler that waits for a time. With the lock held. */
static void each_waiting(struct kap_topics *ts, void (*fn)(struct kap_handler *h, void *ctx), void *ctx)
{
    size_t i = 0;
    void *value;
    while (kap_map_next(ts->topics, &i, NULL, &value)) {
        const struct kap_topic *t = value;
        for (size_t k = 0; k < t->ndefined; k++)
            if (t->defined[k].handler->tick_ns)
                fn(t->defined[k].handler, ctx);
    }
}

static void earliest(struct kap_handler *h, void *ctx)
{
    int64_t *next = ctx;
    *next = KAP_MIN(*next, h->tick_ns);
}

int64_t kap_topics_next(struct kap_topics *ts)
{
    int64_t next = INT64_MAX;
    pthread_mutex_lock(&ts->lock);
    each_waiting(ts, earliest, &next);
    pthread_mutex_unlock(&ts->lock);
    return next;
}

struct due {
    struct internals in;
    int64_t now_ns;
};

static void take_due(struct kap_handler *h, void *ctx)
{
    struct due *d = ctx;
    if (h->tick_ns > d->now_ns)
        return;
    KAP_GROW(d->in.v, d->in.cap, d->in.n + 1);
    d->in.v[d->in.n++] = kap_handler_ref(h);
}

int64_t kap_topics_tick(struct kap_topics *ts, int64_t now_ns)
{
    struct due d = { .now_ns = now_ns };
    pthread_mutex_lock(&ts->lock);
    each_waiting(ts, take_due, &d);
    pthread_mutex_unlock(&ts->lock);
    for (size_t i = 0; i < d.in.n; i++) {
        struct kap_handler *h = d.in.v[i];
        struct kap_handler_env env;
        kap_topics_env(ts, h->type, &env);
        h->tick_ns = h->type->tick(h->options, h->state, &env, now_ns);
        kap_handler_unref(h);
    }
    kap_free((void *)d.in.v);
    return kap_topics_next(ts);
}

/* --- topics --- */

static bool config_flag(const struct kap_handler_type *type, const void *config, const char *name)
{
    for (const struct kap_prop *p = type->config_props; p && p->kind != KAP_PROP_END; p++)
        if (p->kind == KAP_PROP_BOOL && p->option && strcmp(p->option, name) == 0)
            return *(const bool *)((const char *)config + p->offset);
    return false;
}

/* The configuration that a handler without options uses, when that is enabled and global; else NULL. */
static const void *global_config(const struct kap_topics *ts, const struct kap_handler_type *type)
{
    struct kap_handler_env env;
    kap_topics_env(ts, type, &env);
    const size_t n = env.config ? (type->config_many ? env.nconfigs : 1) : 0;
    for (size_t i = 0; i < n; i++) {
        const void *config = (const char *)env.config + i * type->config_size;
        if (config_flag(type, config, "enabled") && config_flag(type, config, "global") &&
            (n == 1 || config_flag(type, config, "default")))
            return config;
    }
    return NULL;
}

static bool has_inline(const struct kap_graph_node *node, const struct kap_handler_type *type)
{
    for (size_t i = 0; i < node->nhandlers; i++)
        if (node->handlers[i].type == type)
            return true;
    return false;
}

size_t kap_topics_globals(struct kap_topics *ts, const struct kap_graph_node *node, bool *changes_only)
{
    size_t n = 0;
    *changes_only = false;
    for (const struct kap_handler_type *const *t = ts->opts.types; t && *t; t++) {
        const void *config = (*t)->method ? global_config(ts, *t) : NULL;
        if (!config)
            continue;
        *changes_only |= config_flag(*t, config, "state-changes-only");
        n += !has_inline(node, *t);
    }
    return n;
}

struct inlines {
    struct kap_handler **v;
    size_t n, cap;
};

static enum kap_status add_inlines(struct kap_topics *ts, const struct kap_graph_node *node, struct inlines *to,
                                   struct kap_error *err)
{
    for (size_t i = 0; i < node->nhandlers; i++) {
        struct kap_handler_env env;
        kap_topics_env(ts, node->handlers[i].type, &env);
        KAP_AUTO_FREE char *id = kap_asprintf("%s%zu", node->handlers[i].type->kind, i);
        KAP_GROW(to->v, to->cap, to->n + 1);
        KAP_TRY(kap_handler_new_inline(&node->handlers[i], node->graph, kap_str(id), &env, &to->v[to->n], err));
        to->n++;
    }
    return KAP_OK;
}

static enum kap_status add_globals(struct kap_topics *ts, const struct kap_graph_node *node, struct inlines *to,
                                   struct kap_error *err)
{
    for (const struct kap_handler_type *const *t = ts->opts.types; t && *t; t++) {
        if (!(*t)->method || has_inline(node, *t) || !global_config(ts, *t))
            continue;
        struct kap_handler_env env;
        kap_topics_env(ts, *t, &env);
        char none[] = "";
        KAP_AUTO_FREE char *id = kap_asprintf("%s%zu", (*t)->kind, to->n);
        const struct kap_handler_spec spec = { .topic = none, .id = id, .kind = none, .match = none };
        KAP_GROW(to->v, to->cap, to->n + 1);
        KAP_TRY(kap_handler_new(*t, &spec, &env, &to->v[to->n], err));
        to->n++;
    }
    return KAP_OK;
}

enum kap_status kap_topics_open(struct kap_topics *ts, struct kap_str topic, const struct kap_graph_node *node,
                                struct kap_error *err)
{
    struct inlines made = { 0 };
    enum kap_status status = add_inlines(ts, node, &made, err);
    if (status == KAP_OK)
        status = add_globals(ts, node, &made, err);
    if (status != KAP_OK) {
        for (size_t i = 0; i < made.n; i++)
            kap_handler_unref(made.v[i]);
        kap_free((void *)made.v);
        return status;
    }
    pthread_mutex_lock(&ts->lock);
    struct kap_topic *t = find_or_make(ts, topic);
    drop_inlines(t);
    t->inlines = made.v;
    t->ninlines = made.n;
    t->shown = true;
    pthread_mutex_unlock(&ts->lock);
    return KAP_OK;
}

void kap_topics_close(struct kap_topics *ts, struct kap_str topic)
{
    pthread_mutex_lock(&ts->lock);
    struct kap_topic *t = kap_topics_find(ts, topic);
    if (t) {
        drop_inlines(t);
        t->shown = false;
        t->collected = 0;
        if (!ts->opts.persist)
            drop_states(t);
    }
    pthread_mutex_unlock(&ts->lock);
}

void kap_topics_delete(struct kap_topics *ts, struct kap_str topic)
{
    pthread_mutex_lock(&ts->lock);
    struct kap_topic *t = kap_topics_find(ts, topic);
    if (t && (t->ndefined || t->ninlines)) {
        drop_states(t);
        t->shown = false;
        t->collected = 0;
    } else if (t) {
        kap_map_del(ts->topics, topic);
        free_topic(t);
    }
    pthread_mutex_unlock(&ts->lock);
    if (ts->opts.persist && ts->opts.store.delete_topic)
        ts->opts.store.delete_topic(ts->opts.store.ctx, topic);
}

/* --- handlers --- */

static const struct kap_handler_type *type_of(const struct kap_topics *ts, const char *kind)
{
    for (const struct kap_handler_type *const *t = ts->opts.types; t && *t; t++)
        if (strcmp((*t)->kind, kind) == 0)
            return *t;
    return NULL;
}

static enum kap_status instance(struct kap_topics *ts, const struct kap_handler_spec *spec, struct kap_handler **ret,
                                struct kap_error *err)
{
    const struct kap_handler_type *type = type_of(ts, spec->kind);
    if (!type)
        return kap_fail(err, KAP_EINTERNAL, "unsupported action kind \"%s\"", spec->kind);
    struct kap_handler_env env;
    kap_topics_env(ts, type, &env);
    return kap_handler_new(type, spec, &env, ret, err);
}

/* Where a definition is, or would be put in. */
static size_t place_of(const struct kap_topic *t, struct kap_str id, bool *found)
{
    size_t i = 0;
    while (i < t->ndefined && kap_str_cmp(t->defined[i].handler->id, id) < 0)
        i++;
    *found = i < t->ndefined && kap_str_eq(t->defined[i].handler->id, id);
    return i;
}

enum kap_status kap_topics_check_handler(struct kap_topics *ts, const struct kap_handler_spec *spec, bool create,
                                         struct kap_error *err)
{
    struct kap_handler *h;
    KAP_TRY(instance(ts, spec, &h, err));
    kap_handler_unref(h);
    bool taken = false;
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = kap_topics_find(ts, kap_str(spec->topic));
    if (t)
        place_of(t, kap_str(spec->id), &taken);
    pthread_mutex_unlock(&ts->lock);
    if (taken && create)
        return kap_fail(err, KAP_EEXIST, "cannot register handler, handler with ID \"%s\" already exists", spec->id);
    return KAP_OK;
}

static struct kap_handler_spec copy_spec(const struct kap_handler_spec *s)
{
    return (struct kap_handler_spec){
        .topic = kap_strdup(s->topic), .id = kap_strdup(s->id), .kind = kap_strdup(s->kind),
        .match = kap_strdup(s->match), .options = json_deep_copy(s->options),
        .concurrency = s->concurrency, .rate_limit = s->rate_limit,
    };
}

enum kap_status kap_topics_put_handler(struct kap_topics *ts, const struct kap_handler_spec *spec,
                                       struct kap_error *err)
{
    struct kap_handler *h;
    KAP_TRY(instance(ts, spec, &h, err));
    const struct kap_defined d = { .spec = copy_spec(spec), .handler = h };
    pthread_mutex_lock(&ts->lock);
    struct kap_topic *t = find_or_make(ts, kap_str(spec->topic));
    t->shown |= !anonymous(kap_str(spec->topic));
    bool found;
    const size_t at = place_of(t, h->id, &found);
    if (found) {
        drop_defined(&t->defined[at]);
    } else {
        KAP_GROW(t->defined, t->cap, t->ndefined + 1);
        memmove(t->defined + at + 1, t->defined + at, (t->ndefined - at) * sizeof *t->defined);
        t->ndefined++;
    }
    t->defined[at] = d;
    pthread_mutex_unlock(&ts->lock);
    return KAP_OK;
}

bool kap_topics_delete_handler(struct kap_topics *ts, struct kap_str topic, struct kap_str id)
{
    bool found = false;
    pthread_mutex_lock(&ts->lock);
    struct kap_topic *t = kap_topics_find(ts, topic);
    const size_t at = t ? place_of(t, id, &found) : 0;
    if (found) {
        drop_defined(&t->defined[at]);
        t->ndefined--;
        memmove(t->defined + at, t->defined + at + 1, (t->ndefined - at) * sizeof *t->defined);
    }
    pthread_mutex_unlock(&ts->lock);
    return found;
}

struct kap_handler *kap_topics_handler(struct kap_topics *ts, struct kap_str topic, struct kap_str id)
{
    struct kap_handler *h = NULL;
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = kap_topics_find(ts, topic);
    if (t) {
        bool found;
        const size_t at = place_of(t, id, &found);
        if (found)
            h = t->defined[at].handler;
        for (size_t i = 0; i < t->ninlines && !h; i++)
            if (kap_str_eq(t->inlines[i]->id, id))
                h = t->inlines[i];
        if (h)
            kap_handler_ref(h);
    }
    pthread_mutex_unlock(&ts->lock);
    return h;
}
