#include "daemon/definitions.h"
#include "base/mem.h"
#include <pthread.h>

struct kap_catalog_definitions {
    struct kap_definitions api;
    struct kap_loop *loop;
    struct kap_cluster *cluster;
    struct change *changes; /* waiting for the store; the loop's */
    pthread_mutex_t lock;
    pthread_cond_t durable;
    struct {
        kap_definition_watch_fn fn;
        void *ctx;
    } watchers[KAP_DEFINITION_KINDS]; /* guarded by the lock */
};

static const enum kap_catalog_kind catalog_kinds[KAP_DEFINITION_KINDS] = {
    [KAP_DEFINITION_TASK] = KAP_CATALOG_TASK,
    [KAP_DEFINITION_TEMPLATE] = KAP_CATALOG_TEMPLATE,
    [KAP_DEFINITION_HANDLER] = KAP_CATALOG_HANDLER,
    [KAP_DEFINITION_SILENCE] = KAP_CATALOG_SILENCE,
    [KAP_DEFINITION_CONFIG] = KAP_CATALOG_CONFIG,
};

static bool definition_kind(enum kap_catalog_kind kind, enum kap_definition_kind *ret)
{
    for (int i = 0; i < KAP_DEFINITION_KINDS; i++) {
        if (catalog_kinds[i] == kind) {
            *ret = (enum kap_definition_kind)i;
            return true;
        }
    }
    return false;
}

/* --- changes --- */

/* On the stack of the thread that waits for it. */
struct change {
    struct kap_catalog_definitions *d;
    enum kap_definition_kind kind;
    struct kap_str id, json;
    bool drop;
    struct kap_error *err;
    enum kap_status status;
    uint64_t token;
    bool finished; /* guarded by the lock */
    struct change *next;
};

static void finish(struct change *c, enum kap_status status)
{
    pthread_mutex_lock(&c->d->lock);
    c->status = status;
    c->finished = true;
    pthread_cond_broadcast(&c->d->durable);
    pthread_mutex_unlock(&c->d->lock);
}

static void on_durable(void *ctx, uint64_t token, enum kap_status status)
{
    struct kap_catalog_definitions *d = ctx;
    for (struct change **at = &d->changes; *at; at = &(*at)->next) {
        struct change *c = *at;
        if (c->token != token)
            continue;
        *at = c->next;
        if (status != KAP_OK)
            (void)kap_fail(c->err, status, "the change could not be stored: the catalog's disk is full or failing");
        finish(c, status);
        return;
    }
}

static void change_on_loop(void *arg)
{
    struct change *c = arg;
    struct kap_catalog_definitions *d = c->d;
    struct kap_catalog *catalog = kap_cluster_catalog(d->cluster);
    c->token = kap_cluster_token(d->cluster);
    c->next = d->changes;
    d->changes = c;
    const enum kap_status status =
        c->drop ? kap_catalog_drop(catalog, catalog_kinds[c->kind], c->id, c->token, c->err)
                : kap_catalog_put(catalog, catalog_kinds[c->kind], c->id, c->json, c->token, c->err);
    kap_cluster_settle(d->cluster);
    if (status == KAP_OK)
        return;
    for (struct change **at = &d->changes; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    finish(c, status);
}

static enum kap_status run_change(struct change *c)
{
    struct kap_catalog_definitions *d = c->d;
    if (!kap_loop_call(d->loop, change_on_loop, c))
        return kap_fail(c->err, KAP_ESTATE, "the server is shutting down");
    pthread_mutex_lock(&d->lock);
    while (!c->finished)
        pthread_cond_wait(&d->durable, &d->lock);
    pthread_mutex_unlock(&d->lock);
    return c->status;
}

static enum kap_status put(void *ctx, enum kap_definition_kind kind, struct kap_str id, struct kap_str json,
                           struct kap_error *err)
{
    struct change c = { .d = ctx, .kind = kind, .id = id, .json = json, .err = err };
    return run_change(&c);
}

static enum kap_status drop(void *ctx, enum kap_definition_kind kind, struct kap_str id, struct kap_error *err)
{
    struct change c = { .d = ctx, .kind = kind, .id = id, .drop = true, .err = err };
    return run_change(&c);
}

/* --- reading --- */

struct reading {
    struct kap_catalog_definitions *d;
    enum kap_definition_kind kind;
    struct kap_str id;
    struct kap_buf *out;
    bool found;
    struct kap_arena *arena;
    struct item {
        struct kap_str id, json;
    } *items;
    size_t n, cap;
};

static void get_on_loop(void *arg)
{
    struct reading *r = arg;
    const struct kap_catalog_entry *e =
        kap_catalog_get(kap_cluster_catalog(r->d->cluster), catalog_kinds[r->kind], r->id);
    r->found = e != NULL;
    if (e)
        kap_buf_add(r->out, e->blob);
}

static enum kap_status get(void *ctx, enum kap_definition_kind kind, struct kap_str id, struct kap_buf *ret,
                           struct kap_error *err)
{
    struct reading r = { .d = ctx, .kind = kind, .id = id, .out = ret };
    if (!kap_loop_call(r.d->loop, get_on_loop, &r))
        return kap_fail(err, KAP_ESTATE, "the server is shutting down");
    return r.found ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "no such definition: %.*s", KAP_STR_ARG(id));
}

static bool copy_item(void *ctx, const struct kap_catalog_entry *e)
{
    struct reading *r = ctx;
    KAP_GROW(r->items, r->cap, r->n + 1);
    r->items[r->n++] = (struct item){ kap_arena_str(r->arena, e->id), kap_arena_str(r->arena, e->blob) };
    return true;
}

static void each_on_loop(void *arg)
{
    struct reading *r = arg;
    kap_catalog_each(kap_cluster_catalog(r->d->cluster), catalog_kinds[r->kind], copy_item, r);
}

/* Copies first, so that fn may take its time and use the store. */
static enum kap_status each(void *ctx, enum kap_definition_kind kind, kap_definition_each_fn fn, void *fn_ctx,
                            struct kap_error *err)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct reading r = { .d = ctx, .kind = kind, .arena = arena };
    if (!kap_loop_call(r.d->loop, each_on_loop, &r))
        return kap_fail(err, KAP_ESTATE, "the server is shutting down");
    for (size_t i = 0; i < r.n && fn(fn_ctx, r.items[i].id, r.items[i].json); i++)
        continue;
    kap_free(r.items);
    return KAP_OK;
}

/* --- watching --- */

static void watch(void *ctx, enum kap_definition_kind kind, kap_definition_watch_fn fn, void *fn_ctx)
{
    struct kap_catalog_definitions *d = ctx;
    pthread_mutex_lock(&d->lock);
    d->watchers[kind].fn = fn;
    d->watchers[kind].ctx = fn_ctx;
    pthread_mutex_unlock(&d->lock);
}

void kap_catalog_definitions_changed(struct kap_catalog_definitions *d, const struct kap_catalog_entry *e, bool local)
{
    enum kap_definition_kind kind;
    if (!definition_kind(e->kind, &kind))
        return;
    pthread_mutex_lock(&d->lock);
    const kap_definition_watch_fn fn = d->watchers[kind].fn;
    void *fn_ctx = d->watchers[kind].ctx;
    pthread_mutex_unlock(&d->lock);
    if (fn)
        fn(fn_ctx, kind, e->id, !local);
}

/* --- life --- */

struct kap_catalog_definitions *kap_catalog_definitions_new(struct kap_loop *loop)
{
    struct kap_catalog_definitions *d = KAP_NEW(struct kap_catalog_definitions);
    d->loop = loop;
    d->api = (struct kap_definitions){ .ctx = d, .put = put, .get = get, .drop = drop, .each = each, .watch = watch };
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->durable, NULL);
    return d;
}

void kap_catalog_definitions_connect(struct kap_catalog_definitions *d, struct kap_cluster *cluster)
{
    d->cluster = cluster;
    kap_cluster_on_durable(cluster, on_durable, d);
}

void kap_catalog_definitions_free(struct kap_catalog_definitions *d)
{
    if (!d)
        return;
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->durable);
    kap_free(d);
}

struct kap_definitions *kap_catalog_definitions_api(struct kap_catalog_definitions *d)
{
    return &d->api;
}
