/* How catalogs find out what they lack: digest, buckets, versions, entries. */
#include "cluster/catalog_impl.h"

#include "cluster/rpc.pb-c.h"
#include "cluster/rpc_wire.h"

/* ---- peers ---- */

static struct peer *peer_find(const struct kap_catalog *c, struct kap_str id)
{
    for (size_t i = 0; i < c->npeers; i++)
        if (kap_str_is(id, c->peers[i]->id))
            return c->peers[i];
    return NULL;
}

static struct peer *peer_get(struct kap_catalog *c, struct kap_str id)
{
    struct peer *p = peer_find(c, id);
    if (p)
        return p;
    p = KAP_NEW(struct peer);
    p->id = kap_strndup(id.p, id.n);
    p->sync_at = INT64_MAX;
    p->pause_ns = RETRY_NS;
    KAP_GROW(c->peers, c->peers_cap, c->npeers + 1);
    c->peers[c->npeers++] = p;
    return p;
}

static void peer_compare_at(struct peer *p, int64_t at)
{
    p->sync_at = p->behind ? KAP_MIN(p->sync_at, at) : at;
    p->behind = true;
}

void kap_catalog_members(struct kap_catalog *c, const struct kap_str *ids, size_t n)
{
    for (size_t i = 0; i < c->npeers; i++)
        c->peers[i]->listed = false;
    for (size_t i = 0; i < n; i++) {
        if (kap_str_eq(ids[i], c->config.self))
            continue;
        struct peer *p = peer_get(c, ids[i]);
        p->listed = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < c->npeers; i++) {
        struct peer *p = c->peers[i];
        if (p->listed || p->linked) {
            if (!p->listed)
                p->equal_seq = 0;
            c->peers[kept++] = p;
            continue;
        }
        kap_free(p->id);
        kap_free(p);
    }
    c->npeers = kept;
    for (size_t i = 0; i < c->npeers; i++)
        if (c->peers[i]->listed && c->peers[i]->linked && !c->peers[i]->equal_seq)
            peer_compare_at(c->peers[i], catalog_now(c));
}

void kap_catalog_link(struct kap_catalog *c, struct kap_str member, bool up)
{
    if (kap_str_eq(member, c->config.self))
        return;
    struct peer *p = peer_get(c, member);
    p->linked = up;
    p->pause_ns = RETRY_NS;
    if (up)
        peer_compare_at(p, catalog_now(c));
}

/* ---- sending ---- */

static void send_message(struct kap_catalog *c, const struct peer *p, Kap__Rpc__CatalogMessage *m)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    m->digest = c->root;
    m->watermark = c->watermark;
    kap_rpc_pack(&b, &m->base);
    c->io.send(c->io.ctx, kap_str(p->id), kap_buf_str(&b));
}

static void send_digest(struct kap_catalog *c, struct peer *p, bool answer)
{
    Kap__Rpc__CatalogMessage m = KAP__RPC__CATALOG_MESSAGE__INIT;
    m.answer = answer;
    p->digest_due = false;
    send_message(c, p, &m);
}

static Kap__Rpc__CatalogEntry entry_message(const struct kap_catalog_entry *e, bool with_blob)
{
    Kap__Rpc__CatalogEntry m = KAP__RPC__CATALOG_ENTRY__INIT;
    m.kind = (uint32_t)e->kind;
    m.id = kap_pb(e->id);
    if (with_blob)
        m.blob = kap_pb(e->blob);
    m.deleted = e->deleted;
    m.stamp = e->stamp;
    m.origin = kap_pb(e->origin);
    return m;
}

/* A list of entries under way, sent whenever it is large enough. */
struct batch {
    struct kap_catalog *c;
    const struct peer *to;
    enum { BATCH_ENTRIES, BATCH_WANTED } what;
    Kap__Rpc__CatalogEntry *items;
    Kap__Rpc__CatalogEntry **refs;
    size_t n, cap, refs_cap, bytes;
};

static void batch_send(struct batch *b)
{
    if (b->n == 0)
        return;
    KAP_GROW(b->refs, b->refs_cap, b->n);
    for (size_t i = 0; i < b->n; i++)
        b->refs[i] = &b->items[i];
    Kap__Rpc__CatalogMessage m = KAP__RPC__CATALOG_MESSAGE__INIT;
    if (b->what == BATCH_ENTRIES) {
        m.n_entries = b->n;
        m.entries = b->refs;
    } else {
        m.n_wanted = b->n;
        m.wanted = b->refs;
    }
    send_message(b->c, b->to, &m);
    b->n = b->bytes = 0;
}

static void batch_add(struct batch *b, const struct kap_catalog_entry *e)
{
    KAP_GROW(b->items, b->cap, b->n + 1);
    b->items[b->n++] = entry_message(e, b->what == BATCH_ENTRIES);
    b->bytes += e->id.n + e->blob.n + 64;
    if (b->bytes >= MESSAGE_BYTES)
        batch_send(b);
}

static void batch_done(struct batch *b)
{
    batch_send(b);
    kap_free(b->items);
    kap_free(b->refs);
}

void catalog_push(struct kap_catalog *c, const struct entry *e)
{
    for (size_t i = 0; i < c->npeers; i++) {
        struct peer *p = c->peers[i];
        if (!p->listed || !p->linked)
            continue;
        struct batch b = { .c = c, .to = p, .what = BATCH_ENTRIES };
        batch_add(&b, &e->e);
        batch_done(&b);
        peer_compare_at(p, catalog_now(c) + RETRY_NS);
        c->stats.pushes++;
    }
}

static void send_buckets(struct kap_catalog *c, const struct peer *p)
{
    Kap__Rpc__CatalogMessage m = KAP__RPC__CATALOG_MESSAGE__INIT;
    m.n_buckets = BUCKETS;
    m.buckets = c->buckets;
    send_message(c, p, &m);
}

static bool in_buckets(const bool *which, const struct entry *e)
{
    return which[e->bucket] && !e->unstored;
}

/* The complete contents of some buckets, without blobs; in one message. */
static void send_versions(struct kap_catalog *c, const struct peer *p, const bool *which)
{
    uint32_t listed[BUCKETS];
    size_t n_listed = 0, n = 0, cap = 0, refs_cap = 0;
    for (uint32_t i = 0; i < BUCKETS; i++)
        if (which[i])
            listed[n_listed++] = i;
    Kap__Rpc__CatalogEntry *items = NULL, **refs = NULL;
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        size_t i = 0;
        void *e;
        while (kap_map_next(c->kinds[k], &i, NULL, &e)) {
            if (!in_buckets(which, e))
                continue;
            KAP_GROW(items, cap, n + 1);
            items[n++] = entry_message(&((struct entry *)e)->e, false);
        }
    }
    KAP_GROW(refs, refs_cap, n + 1);
    for (size_t i = 0; i < n; i++)
        refs[i] = &items[i];
    Kap__Rpc__CatalogMessage m = KAP__RPC__CATALOG_MESSAGE__INIT;
    m.n_listed_buckets = n_listed;
    m.listed_buckets = listed;
    m.n_versions = n;
    m.versions = refs;
    send_message(c, p, &m);
    kap_free(items);
    kap_free(refs);
}

/* ---- receiving ---- */

static struct kap_catalog_entry read_entry(const Kap__Rpc__CatalogEntry *m)
{
    return (struct kap_catalog_entry){
        .kind = m->kind < KAP_CATALOG_KINDS ? (enum kap_catalog_kind)m->kind : KAP_CATALOG_KINDS,
        .id = kap_pb_str(m->id),
        .blob = kap_pb_str(m->blob),
        .deleted = m->deleted != 0,
        .stamp = m->stamp,
        .origin = kap_pb_str(m->origin),
    };
}

static void got_buckets(struct kap_catalog *c, const struct peer *p, const Kap__Rpc__CatalogMessage *m)
{
    bool which[BUCKETS];
    size_t n = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        n += which[i] = m->buckets[i] != c->buckets[i];
    if (n)
        send_versions(c, p, which);
}

static void send_what_they_lack(struct kap_catalog *c, const struct peer *p,
                                const Kap__Rpc__CatalogMessage *m, const bool *which)
{
    struct kap_map *theirs = kap_map_new();
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    for (size_t i = 0; i < m->n_versions; i++) {
        kap_buf_reset(&key);
        kap_buf_addc(&key, (char)m->versions[i]->kind);
        kap_buf_add(&key, kap_pb_str(m->versions[i]->id));
        kap_map_put(theirs, kap_buf_str(&key), m->versions[i]);
    }
    struct batch b = { .c = c, .to = p, .what = BATCH_ENTRIES };
    for (int k = 0; k < KAP_CATALOG_KINDS; k++) {
        size_t i = 0;
        void *it;
        while (kap_map_next(c->kinds[k], &i, NULL, &it)) {
            const struct entry *e = it;
            if (!in_buckets(which, e))
                continue;
            kap_buf_reset(&key);
            kap_buf_addc(&key, (char)k);
            kap_buf_add(&key, e->e.id);
            const Kap__Rpc__CatalogEntry *t = kap_map_get(theirs, kap_buf_str(&key));
            if (!t || catalog_newer(e->e.stamp, e->e.origin, t->stamp, kap_pb_str(t->origin)))
                batch_add(&b, &e->e);
        }
    }
    batch_done(&b);
    kap_map_free(theirs);
}

static void got_versions(struct kap_catalog *c, const struct peer *p, const Kap__Rpc__CatalogMessage *m)
{
    bool which[BUCKETS] = { false };
    for (size_t i = 0; i < m->n_listed_buckets; i++)
        if (m->listed_buckets[i] < BUCKETS)
            which[m->listed_buckets[i]] = true;
    send_what_they_lack(c, p, m, which);
    struct batch wanted = { .c = c, .to = p, .what = BATCH_WANTED };
    for (size_t i = 0; i < m->n_versions; i++) {
        const struct kap_catalog_entry e = read_entry(m->versions[i]);
        const struct entry *mine = catalog_find(c, e.kind, e.id);
        if (!mine || catalog_newer(e.stamp, e.origin, mine->e.stamp, mine->e.origin))
            batch_add(&wanted, &e);
    }
    batch_done(&wanted);
}

static void got_wanted(struct kap_catalog *c, const struct peer *p, const Kap__Rpc__CatalogMessage *m)
{
    struct batch b = { .c = c, .to = p, .what = BATCH_ENTRIES };
    for (size_t i = 0; i < m->n_wanted; i++) {
        const struct entry *e = catalog_find(c, m->wanted[i]->kind, kap_pb_str(m->wanted[i]->id));
        if (e && !e->unstored)
            batch_add(&b, &e->e);
    }
    batch_done(&b);
}

static void got_digest(struct kap_catalog *c, struct peer *p, const Kap__Rpc__CatalogMessage *m)
{
    if (m->digest == c->root && c->nstoring == 0) {
        const bool told = p->repairing;
        p->equal_seq = c->durable_seq;
        p->behind = p->repairing = false;
        p->pause_ns = RETRY_NS;
        if (told)
            catalog_notice(c, KAP_CATALOG_IN_SYNC, kap_str(p->id), "definitions agree");
        catalog_collect(c);
    } else if (!c->config.faults.no_repair) {
        p->repairing = true;
        if (m->answer)
            send_buckets(c, p);
        peer_compare_at(p, catalog_now(c) + p->pause_ns);
    }
    if (m->answer || m->watermark < c->watermark)
        send_digest(c, p, false);
}

void kap_catalog_message(struct kap_catalog *c, struct kap_str member, struct kap_str bytes)
{
    struct peer *p = peer_find(c, member);
    if (!p || !p->listed)
        return; /* not a member, or not yet known as one: what it says is repeated */
    Kap__Rpc__CatalogMessage *m = kap__rpc__catalog_message__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);
    if (!m || (m->n_buckets && m->n_buckets != BUCKETS)) {
        c->stats.bad_messages++;
        catalog_notice(c, KAP_CATALOG_BAD_MESSAGE, member, "it cannot be read");
        if (m)
            kap__rpc__catalog_message__free_unpacked(m, NULL);
        return;
    }
    if (kap_hlc_wall_ms(m->watermark) <= kap_clock_wall(c->config.clock) / KAP_MS + KAP_HLC_AHEAD_MS)
        catalog_raise_watermark(c, m->watermark);
    for (size_t i = 0; i < m->n_entries; i++) {
        const struct kap_catalog_entry e = read_entry(m->entries[i]);
        p->digest_due = true;
        catalog_apply(c, member, &e);
    }
    if (m->n_buckets)
        got_buckets(c, p, m);
    if (m->n_listed_buckets)
        got_versions(c, p, m);
    if (m->n_wanted)
        got_wanted(c, p, m);
    if (!m->n_entries && !m->n_buckets && !m->n_listed_buckets && !m->n_wanted)
        got_digest(c, p, m);
    kap__rpc__catalog_message__free_unpacked(m, NULL);
    if (c->nstoring == 0)
        catalog_all_durable(c);
}

void catalog_all_durable(struct kap_catalog *c)
{
    for (size_t i = 0; i < c->npeers; i++)
        if (c->peers[i]->digest_due)
            send_digest(c, c->peers[i], false);
}

/* ---- time ---- */

static void compare_in_turn(struct kap_catalog *c)
{
    for (size_t i = 0; i < c->npeers; i++) {
        struct peer *p = c->peers[c->round++ % c->npeers];
        if (!p->listed || !p->linked)
            continue;
        send_digest(c, p, true);
        return;
    }
}

void catalog_sync_tick(struct kap_catalog *c, int64_t now)
{
    for (size_t i = 0; i < c->npeers; i++) {
        struct peer *p = c->peers[i];
        if (!p->listed || !p->linked)
            continue;
        if (p->behind && p->sync_at <= now) {
            c->stats.repairs++;
            p->sync_at = now + p->pause_ns;
            p->pause_ns = KAP_MIN(2 * p->pause_ns, RETRY_MAX_NS);
            send_digest(c, p, true);
        } else if (c->full_at <= now) {
            send_digest(c, p, true);
        }
    }
    if (c->full_at <= now)
        c->full_at = now + c->config.full_sync_ns;
    if (c->round_at <= now) {
        c->round_at = now + ROUND_NS;
        compare_in_turn(c);
    }
}
