/* States of topics: which event of an ID is the last, and how owners that missed some catch up. */
#include "cluster/dedup_impl.h"

#include "cluster/rpc.pb-c.h"
#include "cluster/rpc_wire.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

static bool is_newer(uint64_t stamp_a, uint64_t version_a, uint64_t stamp_b, uint64_t version_b)
{
    return stamp_a != stamp_b ? stamp_a > stamp_b : version_a > version_b;
}

static void set_hash(struct chain *c, uint64_t hash)
{
    c->topic->digest ^= c->hash ^ hash;
    c->hash = hash;
}

static void take_state(struct kap_dedup *d, struct chain *c, uint64_t stamp, uint64_t version)
{
    const uint64_t fixed[] = { stamp, version };
    d->nstates += !c->has_state;
    c->has_state = true;
    c->stamp = stamp;
    c->version = version;
    set_hash(c, XXH3_64bits_withSeed(c->id, strlen(c->id), XXH3_64bits(fixed, sizeof fixed)));
}

bool dedup_state_offer(struct kap_dedup *d, struct chain *c, uint64_t stamp, uint64_t version)
{
    if (stamp <= c->topic->dropped || (c->has_state && !is_newer(stamp, version, c->stamp, c->version)))
        return false;
    take_state(d, c, stamp, version);
    return true;
}

/* In the store a state carries its version in front of the blob. */
void dedup_state_store(struct kap_dedup *d, struct chain *c)
{
    if (!d->config.persist_states)
        return;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addn(&b, &c->version, sizeof c->version);
    if (!d->io.state_get(d->io.ctx, kap_str(c->topic->name), kap_str(c->id), &b))
        return;
    const struct kap_dedup_store op = { .kind = KAP_DEDUP_STORE_STATE,
                                        .topic = kap_str(c->topic->name),
                                        .id = kap_str(c->id),
                                        .stamp = c->stamp,
                                        .blob = kap_buf_str(&b) };
    d->io.store(d->io.ctx, &op);
}

void kap_dedup_load_state(struct kap_dedup *d, struct kap_str topic, struct kap_str id, uint64_t stamp,
                          struct kap_str blob)
{
    uint64_t version;
    if (blob.n < sizeof version)
        return;
    memcpy(&version, blob.p, sizeof version);
    struct chain *c = dedup_chain(d, dedup_topic(d, topic, true), id, true);
    if (!dedup_state_offer(d, c, stamp, version))
        return;
    if (stamp > d->hlc.last)
        d->hlc.last = stamp;
    d->io.state_set(d->io.ctx, topic, id, kap_strn(blob.p + sizeof version, blob.n - sizeof version));
}

void kap_dedup_load_topic(struct kap_dedup *d, struct kap_str topic, uint64_t dropped_stamp)
{
    dedup_topic(d, topic, true)->dropped = dropped_stamp;
}

uint64_t kap_dedup_state_digest(const struct kap_dedup *d, struct kap_str topic)
{
    const struct topic *t = kap_map_get(d->topics, topic);
    return t ? t->digest : 0;
}

/* ---- deletion ---- */

void dedup_topic_dropped(struct kap_dedup *d, struct topic *t, uint64_t stamp)
{
    if (stamp <= t->dropped)
        return;
    t->dropped = stamp;
    size_t i = 0;
    void *p;
    while (kap_map_next(t->chains, &i, NULL, &p)) {
        struct chain *c = p;
        if (!c->has_state || c->stamp > stamp)
            continue;
        set_hash(c, 0);
        c->has_state = false;
        d->nstates--;
    }
    const struct kap_dedup_store op = { .kind = KAP_DEDUP_STORE_TOPIC,
                                        .topic = kap_str(t->name),
                                        .stamp = stamp };
    d->io.store(d->io.ctx, &op);
    /* What is newer than the deletion was dropped with the rest: once more. */
    for (i = 0; kap_map_next(t->chains, &i, NULL, &p);)
        if (((struct chain *)p)->has_state)
            dedup_state_store(d, p);
}

static void add_topic(struct kap_dedup *d, int to, Kap__Rpc__DedupTopic *topic)
{
    struct peer *p = &d->peers[to];
    Kap__Rpc__DedupMessage m = KAP__RPC__DEDUP_MESSAGE__INIT;
    m.n_topics = 1;
    m.topics = &topic;
    if (p->listed)
        kap_rpc_pack(&p->out, &m.base);
    if (p->out.n >= OUT_BYTES) {
        d->io.send(d->io.ctx, kap_str(p->id), kap_buf_str(&p->out));
        kap_buf_reset(&p->out);
    }
}

static Kap__Rpc__DedupTopic topic_message(const struct topic *t)
{
    Kap__Rpc__DedupTopic m = KAP__RPC__DEDUP_TOPIC__INIT;
    m.topic = kap_pb(kap_str(t->name));
    m.digest = t->digest;
    m.dropped = t->dropped;
    return m;
}

void kap_dedup_drop_topic(struct kap_dedup *d, struct kap_str name)
{
    dedup_enter(d);
    struct topic *t = dedup_topic(d, name, true);
    dedup_topic_dropped(d, t, kap_hlc_now(&d->hlc, kap_clock_wall(d->config.clock)));
    for (size_t i = 1; i < d->npeers; i++) {
        Kap__Rpc__DedupTopic m = topic_message(t);
        add_topic(d, (int)i, &m);
    }
    dedup_leave(d);
}

/* ---- catching up ---- */

static bool shared_with(struct kap_dedup *d, struct topic *t, int peer)
{
    dedup_owners(d, t);
    if (t->rank == NOBODY)
        return false;
    for (size_t i = 0; i < t->nowners; i++)
        if (t->owners[i] == peer)
            return true;
    return false;
}

void dedup_send_digests(struct kap_dedup *d, int to)
{
    if (!d->peers[to].live || !d->peers[to].linked)
        return;
    size_t i = 0;
    void *p;
    while (kap_map_next(d->topics, &i, NULL, &p)) {
        struct topic *t = p;
        if (!shared_with(d, t, to) || (!t->digest && !t->dropped))
            continue;
        Kap__Rpc__DedupTopic m = topic_message(t);
        add_topic(d, to, &m);
    }
}

static Kap__Rpc__DedupState state_message(const struct chain *c)
{
    Kap__Rpc__DedupState m = KAP__RPC__DEDUP_STATE__INIT;
    m.id = kap_pb(kap_str(c->id));
    m.stamp = c->stamp;
    m.version = c->version;
    return m;
}

static void send_list(struct kap_dedup *d, int to, const struct topic *t, bool last)
{
    Kap__Rpc__DedupTopic m = topic_message(t);
    m.list = true;
    m.last = last;
    const size_t most = kap_map_len(t->chains);
    Kap__Rpc__DedupState *items = KAP_ARRAY(Kap__Rpc__DedupState, most + 1);
    m.states = KAP_ARRAY(Kap__Rpc__DedupState *, most + 1);
    size_t i = 0;
    void *p;
    while (kap_map_next(t->chains, &i, NULL, &p)) {
        const struct chain *c = p;
        if (!c->has_state)
            continue;
        items[m.n_states] = state_message(c);
        m.states[m.n_states] = &items[m.n_states];
        m.n_states++;
    }
    add_topic(d, to, &m);
    kap_free(m.states);
    kap_free(items);
}

static void send_state(struct kap_dedup *d, int to, const struct chain *c)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    if (!d->io.state_get(d->io.ctx, kap_str(c->topic->name), kap_str(c->id), &b))
        return;
    Kap__Rpc__DedupTopic m = topic_message(c->topic);
    Kap__Rpc__DedupState item = state_message(c), *list = &item;
    item.blob = kap_pb(kap_buf_str(&b));
    m.n_states = 1;
    m.states = &list;
    add_topic(d, to, &m);
}

static void send_newer(struct kap_dedup *d, int to, const struct topic *t, const Kap__Rpc__DedupTopic *theirs)
{
    struct kap_map *known = kap_map_new();
    for (size_t i = 0; i < theirs->n_states; i++)
        kap_map_put(known, kap_pb_str(theirs->states[i]->id), theirs->states[i]);
    size_t i = 0;
    void *p;
    while (kap_map_next(t->chains, &i, NULL, &p)) {
        const struct chain *c = p;
        const Kap__Rpc__DedupState *s = kap_map_get(known, kap_str(c->id));
        if (c->has_state && (!s || is_newer(c->stamp, c->version, s->stamp, s->version)))
            send_state(d, to, c);
    }
    kap_map_free(known);
}

static void take_theirs(struct kap_dedup *d, struct topic *t, const Kap__Rpc__DedupTopic *m)
{
    for (size_t i = 0; i < m->n_states; i++) {
        const Kap__Rpc__DedupState *s = m->states[i];
        struct chain *c = dedup_chain(d, t, kap_pb_str(s->id), true);
        if (!kap_hlc_observe(&d->hlc, s->stamp, kap_clock_wall(d->config.clock)) ||
            !dedup_state_offer(d, c, s->stamp, s->version))
            continue;
        d->io.state_set(d->io.ctx, kap_str(t->name), kap_pb_str(s->id), kap_pb_str(s->blob));
        dedup_state_store(d, c);
    }
}

void dedup_on_topic(struct kap_dedup *d, int from, const Kap__Rpc__DedupTopic *m)
{
    struct topic *t = dedup_topic(d, kap_pb_str(m->topic), true);
    if (m->dropped > t->dropped && kap_hlc_observe(&d->hlc, m->dropped, kap_clock_wall(d->config.clock))) {
        dedup_topic_dropped(d, t, m->dropped);
        d->io.topic_drop(d->io.ctx, kap_str(t->name));
    }
    if (m->list) {
        send_newer(d, from, t, m);
        if (!m->last)
            send_list(d, from, t, true);
    } else if (m->n_states) {
        take_theirs(d, t, m);
    } else if (m->digest != t->digest && shared_with(d, t, from)) {
        send_list(d, from, t, false);
    }
}
