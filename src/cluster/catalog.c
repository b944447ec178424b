#include "cluster/catalog_impl.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

const char *kap_catalog_kind_name(enum kap_catalog_kind kind)
{
    static const char *const names[KAP_CATALOG_KINDS] = {
        [KAP_CATALOG_TASK] = "task",       [KAP_CATALOG_TEMPLATE] = "template",
        [KAP_CATALOG_HANDLER] = "handler", [KAP_CATALOG_SILENCE] = "silence",
        [KAP_CATALOG_CONFIG] = "config",   [KAP_CATALOG_MEMBER] = "member",
    };
    return kind < KAP_CATALOG_KINDS ? names[kind] : "unknown";
}

/* ---- entries ---- */

static uint64_t version_hash(const struct kap_catalog_entry *e)
{
    const uint64_t fixed[3] = { e->stamp, (uint64_t)e->kind, e->deleted };
    const uint64_t id = XXH3_64bits_withSeed(e->id.p, e->id.n, XXH3_64bits(fixed, sizeof fixed));
    const uint64_t h = XXH3_64bits_withSeed(e->origin.p, e->origin.n, id);
    return h ? h : 1;
}

bool catalog_newer(uint64_t stamp_a, struct kap_str origin_a, uint64_t stamp_b, struct kap_str origin_b)
{
    return stamp_a != stamp_b ? stamp_a > stamp_b : kap_str_cmp(origin_a, origin_b) > 0;
}

struct entry *catalog_find(const struct kap_catalog *c, unsigned kind, struct kap_str id)
{
    return kind < KAP_CATALOG_KINDS ? kap_map_get(c->kinds[kind], id) : NULL;
}

static void set_str(struct kap_str *to, struct kap_str s)
{
    const struct kap_str copy = { kap_strndup(s.p ? s.p : "", s.n), s.n };
    free((void *)(uintptr_t)to->p);
    *to = copy;
}

static void set_durable(struct kap_catalog *c, struct entry *e, uint64_t hash)
{
    c->root ^= e->durable_hash ^ hash;
    c->buckets[e->bucket] ^= e->durable_hash ^ hash;
    e->durable_hash = hash;
}

static struct entry *entry_new(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id)
{
    struct entry *e = KAP_NEW(struct entry);
    e->e.kind = kind;
    set_str(&e->e.id, id);
    set_str(&e->e.blob, KAP_STR(""));
    set_str(&e->e.origin, KAP_STR(""));
    e->bucket = (uint8_t)XXH3_64bits_withSeed(id.p, id.n, (uint64_t)kind);
    e->store_again_at = INT64_MAX;
    kap_map_put(c->kinds[kind], e->e.id, e);
    c->stats.entries++;
    return e;
}

static void entry_free(struct kap_catalog *c, struct entry *e)
{
    set_durable(c, e, 0);
    c->failed_stores -= e->store_again_at != INT64_MAX;
    for (size_t i = 0; i < c->nstoring; i++)
        if (c->storing[i].entry == e)
            c->storing[i].entry = NULL;
    c->stats.entries--;
    c->stats.tombstones -= e->e.deleted;
    free((void *)(uintptr_t)e->e.id.p);
    free((void *)(uintptr_t)e->e.blob.p);
    free((void *)(uintptr_t)e->e.origin.p);
    kap_free(e);
}

static void entry_forget(struct kap_catalog *c, struct entry *e)
{
    c->io.forget(c->io.ctx, e->e.kind, e->e.id);
    kap_map_del(c->kinds[e->e.kind], e->e.id);
    entry_free(c, e);
}

static void entry_store(struct kap_catalog *c, struct entry *e, uint64_t user_token)
{
    const uint64_t token = ++c->last_token;
    e->token = token;
    e->unstored = true;
    c->failed_stores -= e->store_again_at != INT64_MAX;
    e->store_again_at = INT64_MAX;
    KAP_GROW(c->storing, c->storing_cap, c->nstoring + 1);
    c->storing[c->nstoring++] = (struct storing){ .token = token, .user_token = user_token, .entry = e };
    c->io.store(c->io.ctx, &e->e, token);
}

static void entry_set(struct kap_catalog *c, struct entry *e, const struct kap_catalog_entry *to)
{
    set_str(&e->e.blob, to->deleted ? KAP_STR("") : to->blob);
    set_str(&e->e.origin, to->origin);
    c->stats.tombstones += (size_t)to->deleted - (size_t)e->e.deleted;
    e->e.deleted = to->deleted;
    e->e.foreign = to->foreign;
    e->e.stamp = to->stamp;
}

/* ---- life ---- */

struct kap_catalog *kap_catalog_new(const struct kap_catalog_config *config, const struct kap_catalog_io *io)
{
    struct kap_catalog *c = KAP_NEW(struct kap_catalog);
    c->self = kap_strndup(config->self.p, config->self.n);
    c->config = *config;
    c->config.self = kap_str(c->self);
    if (!c->config.full_sync_ns)
        c->config.full_sync_ns = 5 * KAP_MINUTE;
    c->io = *io;
    for (int k = 0; k < KAP_CATALOG_KINDS; k++)
        c->kinds[k] = kap_map_new();
    c->full_at = catalog_now(c) + c->config.full_sync_ns;
    c->round_at = catalog_now(c) + ROUND_NS;
    return c;
}

void kap_catalog_free(struct kap_catalog *c)
{
    if (!c)
        return;
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        size_t i = 0;
        void *e;
        while (kap_map_next(c->kinds[k], &i, NULL, &e))
            entry_free(c, e);
        kap_map_free(c->kinds[k]);
    }
    for (size_t i = 0; i < c->npeers; i++) {
        kap_free(c->peers[i]->id);
        kap_free(c->peers[i]);
    }
    kap_free(c->peers);
    kap_free(c->storing);
    kap_free(c->self);
    kap_free(c);
}

void kap_catalog_load(struct kap_catalog *c, const struct kap_catalog_entry *from)
{
    if (from->kind >= KAP_CATALOG_KINDS)
        return;
    struct entry *e = catalog_find(c, from->kind, from->id);
    if (!e)
        e = entry_new(c, from->kind, from->id);
    entry_set(c, e, from);
    set_durable(c, e, version_hash(&e->e));
    e->durable_seq = ++c->durable_seq;
    if (from->stamp > c->hlc.last)
        c->hlc.last = from->stamp;
}

void kap_catalog_load_watermark(struct kap_catalog *c, uint64_t watermark)
{
    c->watermark = watermark;
}

/* ---- changes ---- */

void catalog_notice(struct kap_catalog *c, enum kap_catalog_notice_kind kind, struct kap_str member,
                    const char *text)
{
    const struct kap_catalog_notice n = { .kind = kind, .member = member, .text = text };
    c->io.notice(c->io.ctx, &n);
}

static enum kap_status check_entry(const struct kap_catalog *c, unsigned kind, struct kap_str id,
                                   struct kap_str blob, struct kap_error *err)
{
    if (kind >= KAP_CATALOG_KINDS)
        return kap_fail(err, KAP_EINVAL, "unknown kind %u of definition", kind);
    if (id.n == 0 || id.n > KAP_CATALOG_ID_BYTES)
        return kap_fail(err, KAP_EINVAL, "the ID of a %s must have 1 to %d bytes",
                        kap_catalog_kind_name(kind), KAP_CATALOG_ID_BYTES);
    if (blob.n > KAP_CATALOG_BLOB_BYTES)
        return kap_fail(err, KAP_ELIMIT, "%s '%.*s' has %zu bytes, the limit is %d",
                        kap_catalog_kind_name(kind), KAP_STR_ARG(id), blob.n, KAP_CATALOG_BLOB_BYTES);
    if (c->stats.entries >= KAP_CATALOG_ENTRIES && !catalog_find(c, kind, id))
        return kap_fail(err, KAP_ELIMIT, "the catalog holds %d entries, which is its limit",
                        KAP_CATALOG_ENTRIES);
    return KAP_OK;
}

static void change_here(struct kap_catalog *c, struct kap_catalog_entry *to, uint64_t token)
{
    to->stamp = kap_hlc_now(&c->hlc, kap_clock_wall(c->config.clock));
    to->origin = c->config.self;
    struct entry *e = catalog_find(c, to->kind, to->id);
    if (!e)
        e = entry_new(c, to->kind, to->id);
    entry_set(c, e, to);
    e->push = true;
    entry_store(c, e, token);
    c->io.changed(c->io.ctx, &e->e, true);
}

enum kap_status kap_catalog_put(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id,
                                struct kap_str blob, uint64_t token, struct kap_error *err)
{
    KAP_TRY(check_entry(c, kind, id, blob, err));
    struct kap_catalog_entry to = { .kind = kind, .id = id, .blob = blob };
    change_here(c, &to, token);
    return KAP_OK;
}

enum kap_status kap_catalog_drop(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id,
                                 uint64_t token, struct kap_error *err)
{
    struct entry *e = catalog_find(c, kind, id);
    if (!e || e->e.deleted) {
        if (token)
            c->io.done(c->io.ctx, token, KAP_OK);
        return KAP_OK;
    }
    if (c->config.faults.no_tombstones) {
        entry_forget(c, e);
        if (token)
            c->io.done(c->io.ctx, token, KAP_OK);
        return KAP_OK;
    }
    struct kap_catalog_entry to = { .kind = kind, .id = id, .deleted = true };
    change_here(c, &to, token);
    return KAP_OK;
}

static void report_conflict(struct kap_catalog *c, struct kap_str member,
                            const struct kap_catalog_entry *loser, const struct kap_catalog_entry *winner)
{
    const struct kap_catalog_notice n = { .kind = KAP_CATALOG_CONFLICT,
                                          .member = member,
                                          .loser = loser,
                                          .winner = winner,
                                          .text = "replaced by the cluster's" };
    c->io.notice(c->io.ctx, &n);
}

void catalog_apply(struct kap_catalog *c, struct kap_str member, const struct kap_catalog_entry *from)
{
    if (check_entry(c, from->kind, from->id, from->blob, NULL) != KAP_OK) {
        catalog_notice(c, KAP_CATALOG_FULL, member, "an entry is over a limit");
        return;
    }
    if (!kap_hlc_observe(&c->hlc, from->stamp, kap_clock_wall(c->config.clock))) {
        c->stats.refused++;
        catalog_notice(c, KAP_CATALOG_CLOCK_AHEAD, member, "its clock is more than 60 s ahead of ours");
        return;
    }
    struct entry *e = catalog_find(c, from->kind, from->id);
    if (e && !catalog_newer(from->stamp, from->origin, e->e.stamp, e->e.origin))
        return;
    if (!e && from->deleted && from->stamp <= c->watermark && from->kind != KAP_CATALOG_MEMBER)
        return; /* collected already */
    if (e && e->e.foreign && !e->e.deleted && (from->deleted || !kap_str_eq(e->e.blob, from->blob)))
        report_conflict(c, member, &e->e, from);
    const bool real = !e || e->e.deleted != from->deleted || !kap_str_eq(e->e.blob, from->blob);
    const bool was_there = e && !e->e.deleted;
    if (!e)
        e = entry_new(c, from->kind, from->id);
    entry_set(c, e, from);
    e->push = false;
    entry_store(c, e, 0);
    if (real && (was_there || !from->deleted))
        c->io.changed(c->io.ctx, &e->e, false);
}

/* ---- durability ---- */

static void became_durable(struct kap_catalog *c, struct entry *e)
{
    e->token = 0;
    e->unstored = false;
    set_durable(c, e, version_hash(&e->e));
    e->durable_seq = ++c->durable_seq;
    if (e->push)
        catalog_push(c, e);
    e->push = false;
}

void kap_catalog_stored(struct kap_catalog *c, uint64_t token, bool ok)
{
    size_t i = 0;
    while (i < c->nstoring && c->storing[i].token != token)
        i++;
    if (i == c->nstoring)
        return;
    const struct storing s = c->storing[i];
    memmove(&c->storing[i], &c->storing[i + 1], (c->nstoring - i - 1) * sizeof s);
    c->nstoring--;
    if (s.entry && s.entry->token == token) { /* else a later version is on its way */
        if (ok) {
            became_durable(c, s.entry);
        } else {
            s.entry->store_again_at = catalog_now(c) + RETRY_NS;
            c->failed_stores++;
            catalog_notice(c, KAP_CATALOG_STORE_FAILED, c->config.self, "a definition could not be stored");
        }
    }
    if (s.user_token)
        c->io.done(c->io.ctx, s.user_token, ok ? KAP_OK : KAP_EIO);
    if (c->nstoring == 0)
        catalog_all_durable(c);
}

static int64_t next_store(const struct kap_catalog *c)
{
    int64_t at = INT64_MAX;
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        size_t i = 0;
        void *p;
        while (kap_map_next(c->kinds[k], &i, NULL, &p))
            at = KAP_MIN(at, ((struct entry *)p)->store_again_at);
    }
    return at;
}

static void store_again(struct kap_catalog *c, int64_t now)
{
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        size_t i = 0;
        void *p;
        while (kap_map_next(c->kinds[k], &i, NULL, &p)) {
            struct entry *e = p;
            if (e->store_again_at <= now)
                entry_store(c, e, 0);
        }
    }
}

void kap_catalog_tick(struct kap_catalog *c)
{
    const int64_t now = catalog_now(c);
    if (c->failed_stores)
        store_again(c, now);
    catalog_sync_tick(c, now);
}

/* ---- tombstones ---- */

void catalog_raise_watermark(struct kap_catalog *c, uint64_t watermark)
{
    if (watermark <= c->watermark)
        return;
    c->watermark = watermark;
    c->io.set_watermark(c->io.ctx, watermark);
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        if (k == KAP_CATALOG_MEMBER)
            continue;
        size_t i = 0;
        void *p;
        while (kap_map_next(c->kinds[k], &i, NULL, &p)) {
            struct entry *e = p;
            if (!e->e.deleted || e->e.stamp > watermark)
                continue;
            c->stats.collected++;
            entry_forget(c, e);
        }
    }
}

/* Everything up to the returned stamp has been seen, durable, at every listed member. */
static uint64_t acknowledged_stamp(const struct kap_catalog *c)
{
    uint64_t seen = c->durable_seq;
    for (size_t i = 0; i < c->npeers; i++)
        if (c->peers[i]->listed)
            seen = KAP_MIN(seen, c->peers[i]->equal_seq);
    uint64_t acknowledged = 0, open = UINT64_MAX;
    for (int k = 0; k < KAP_CATALOG_MEMBER; k++) {
        size_t i = 0;
        void *p;
        while (kap_map_next(c->kinds[k], &i, NULL, &p)) {
            const struct entry *e = p;
            if (!e->e.deleted)
                continue;
            if (!e->unstored && e->durable_seq <= seen)
                acknowledged = KAP_MAX(acknowledged, e->e.stamp);
            else
                open = KAP_MIN(open, e->e.stamp);
        }
    }
    return KAP_MIN(acknowledged, open - 1);
}

void catalog_collect(struct kap_catalog *c)
{
    if (c->stats.tombstones)
        catalog_raise_watermark(c, acknowledged_stamp(c));
}

/* ---- being added, being removed ---- */

void kap_catalog_rebase(struct kap_catalog *c)
{
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        size_t i = 0;
        void *p;
        while (kap_map_next(c->kinds[k], &i, NULL, &p)) {
            struct entry *e = p;
            if (e->e.deleted || k == KAP_CATALOG_MEMBER) {
                entry_forget(c, e);
                continue;
            }
            e->e.foreign = true;
            e->e.stamp = 1;
            set_str(&e->e.origin, c->config.self);
            entry_store(c, e, 0);
        }
    }
    c->watermark = 0;
    c->io.set_watermark(c->io.ctx, 0);
    for (size_t i = 0; i < c->npeers; i++)
        c->peers[i]->equal_seq = 0;
}

void kap_catalog_seed(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id,
                      struct kap_str blob)
{
    if (catalog_find(c, kind, id) || check_entry(c, kind, id, blob, NULL) != KAP_OK)
        return;
    const struct kap_catalog_entry to = {
        .kind = kind, .id = id, .blob = blob, .stamp = 1, .origin = c->config.self
    };
    struct entry *e = entry_new(c, kind, id);
    entry_set(c, e, &to);
    entry_store(c, e, 0);
    c->io.changed(c->io.ctx, &e->e, false);
}

void kap_catalog_detach(struct kap_catalog *c)
{
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        size_t i = 0;
        void *p;
        while (kap_map_next(c->kinds[k], &i, NULL, &p)) {
            struct entry *e = p;
            if (e->e.deleted || (k == KAP_CATALOG_MEMBER && !kap_str_eq(e->e.id, c->config.self)))
                entry_forget(c, e);
        }
    }
    kap_catalog_members(c, NULL, 0);
}

/* ---- looking ---- */

const struct kap_catalog_entry *kap_catalog_get(struct kap_catalog *c, enum kap_catalog_kind kind,
                                                struct kap_str id)
{
    const struct entry *e = catalog_find(c, kind, id);
    return e && !e->e.deleted ? &e->e : NULL;
}

bool kap_catalog_was_dropped(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id)
{
    const struct entry *e = catalog_find(c, kind, id);
    return e && e->e.deleted;
}

static int by_id(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;
    return kap_str_cmp((*x)->e.id, (*y)->e.id);
}

void kap_catalog_each(struct kap_catalog *c, enum kap_catalog_kind kind,
                      bool (*fn)(void *ctx, const struct kap_catalog_entry *e), void *ctx)
{
    const size_t most = kap_map_len(c->kinds[kind]);
    struct entry **sorted = KAP_ARRAY(struct entry *, most + 1);
    size_t n = 0, i = 0;
    void *p;
    while (kap_map_next(c->kinds[kind], &i, NULL, &p))
        if (!((struct entry *)p)->e.deleted)
            sorted[n++] = p;
    qsort(sorted, n, sizeof(struct entry *), by_id);
    for (i = 0; i < n && fn(ctx, &sorted[i]->e); i++)
        ;
    kap_free(sorted);
}

int64_t kap_catalog_deadline(const struct kap_catalog *c)
{
    int64_t at = c->failed_stores ? next_store(c) : INT64_MAX;
    bool any = false;
    for (size_t i = 0; i < c->npeers; i++) {
        const struct peer *p = c->peers[i];
        if (!p->listed || !p->linked)
            continue;
        any = true;
        if (p->behind)
            at = KAP_MIN(at, p->sync_at);
    }
    return any ? KAP_MIN(at, KAP_MIN(c->full_at, c->round_at)) : at;
}

struct kap_catalog_stats kap_catalog_stats(const struct kap_catalog *c)
{
    struct kap_catalog_stats s = c->stats;
    s.entries -= s.tombstones;
    s.unstored = c->nstoring;
    s.digest = c->root;
    for (size_t i = 0; i < c->npeers; i++)
        s.peers_behind += c->peers[i]->listed && c->peers[i]->behind;
    return s;
}
