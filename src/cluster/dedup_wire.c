/* Messages of the dedup core. Many parts share one message: protobuf merges what is concatenated. */
#include "cluster/dedup_impl.h"

#include "cluster/rpc.pb-c.h"
#include "cluster/rpc_wire.h"

/* ---- sending ---- */

static void send_out(struct kap_dedup *d, struct peer *p)
{
    if (p->out.n && p->listed)
        d->io.send(d->io.ctx, kap_str(p->id), kap_buf_str(&p->out));
    kap_buf_reset(&p->out);
}

void dedup_flush(struct kap_dedup *d)
{
    for (size_t i = 1; i < d->npeers; i++)
        send_out(d, &d->peers[i]);
}

static void add(struct kap_dedup *d, int to, const Kap__Rpc__DedupMessage *m)
{
    struct peer *p = &d->peers[to];
    if (!p->listed)
        return;
    kap_rpc_pack(&p->out, &m->base);
    if (p->out.n >= OUT_BYTES)
        send_out(d, p);
}

static void add_item(struct kap_dedup *d, int to, enum item what, Kap__Rpc__DedupItem *item)
{
    Kap__Rpc__DedupMessage m = KAP__RPC__DEDUP_MESSAGE__INIT;
    const struct {
        size_t *n;
        Kap__Rpc__DedupItem ***list;
    } lists[] = {
        [ITEM_HAVE] = { &m.n_have, &m.have },
        [ITEM_STARTED] = { &m.n_started, &m.started },
        [ITEM_DONE] = { &m.n_done, &m.done },
        [ITEM_DONE_KNOWN] = { &m.n_done_known, &m.done_known },
        [ITEM_ASK] = { &m.n_ask, &m.ask },
        [ITEM_TELL] = { &m.n_tell, &m.tell },
        [ITEM_HAND_OVER] = { &m.n_hand_over, &m.hand_over },
        [ITEM_TAKEN] = { &m.n_taken, &m.taken },
    };
    *lists[what].n = 1;
    *lists[what].list = &item;
    add(d, to, &m);
}

static Kap__Rpc__DedupItem item_of(struct kap_dedup_key key, const char *handler)
{
    Kap__Rpc__DedupItem item = KAP__RPC__DEDUP_ITEM__INIT;
    item.hi = key.hi;
    item.lo = key.lo;
    item.handler = kap_pb(handler ? kap_str(handler) : KAP_STR(""));
    return item;
}

void dedup_send_item(struct kap_dedup *d, int to, enum item what, struct kap_dedup_key key,
                     const char *handler)
{
    Kap__Rpc__DedupItem item = item_of(key, handler);
    add_item(d, to, what, &item);
}

void dedup_send_tell(struct kap_dedup *d, int to, struct kap_dedup_key key, const char *handler,
                     unsigned state, int holder)
{
    Kap__Rpc__DedupItem item = item_of(key, handler);
    item.state = state;
    if (holder != NOBODY)
        item.member = kap_pb(kap_str(d->peers[holder].id));
    add_item(d, to, ITEM_TELL, &item);
}

void dedup_send_hand_over(struct kap_dedup *d, int to, const struct entry *e, const struct hand *h)
{
    Kap__Rpc__DedupItem item = item_of(e->key, h->handler);
    ProtobufCBinaryData tried[KAP_DEDUP_MEMBERS];
    item.attempts = h->attempts;
    item.tried = tried;
    for (size_t i = 0; i < d->npeers; i++)
        if (i == SELF || bits_has(&h->tried, (int)i))
            tried[item.n_tried++] = kap_pb(kap_str(d->peers[i].id));
    add_item(d, to, ITEM_HAND_OVER, &item);
}

static void fill_event(const struct kap_dedup *d, const struct entry *e, Kap__Rpc__DedupEvent *m,
                       Kap__Rpc__DedupContribution *copies, Kap__Rpc__DedupContribution **refs)
{
    m->topic = kap_pb(kap_str(e->chain->topic->name));
    m->task = kap_pb(e->task);
    m->node = kap_pb(e->node);
    m->run = kap_pb(e->run);
    m->id = kap_pb(kap_str(e->chain->id));
    m->time_ns = e->time_ns;
    m->level = e->level;
    m->previous = e->previous;
    m->nth = e->nth;
    m->stamp = e->stamp;
    m->accepted = e->accepted;
    m->n_copies = KAP_MIN(e->ncopies, (size_t)KAP_DEDUP_MEMBERS);
    m->copies = refs;
    for (size_t i = 0; i < m->n_copies; i++) {
        copies[i] = (Kap__Rpc__DedupContribution)KAP__RPC__DEDUP_CONTRIBUTION__INIT;
        copies[i].copy = kap_pb(kap_str(d->peers[e->copies[i].slot].id));
        copies[i].sequence = e->copies[i].sequence;
        copies[i].previous = e->copies[i].previous;
        refs[i] = &copies[i];
    }
}

void dedup_pack_meta(const struct kap_dedup *d, const struct entry *e, struct kap_buf *out)
{
    Kap__Rpc__DedupContribution copies[KAP_DEDUP_MEMBERS], *refs[KAP_DEDUP_MEMBERS];
    Kap__Rpc__DedupEvent m = KAP__RPC__DEDUP_EVENT__INIT;
    fill_event(d, e, &m, copies, refs);
    kap_rpc_pack(out, &m.base);
}

void dedup_send_event(struct kap_dedup *d, int to, const struct entry *e)
{
    Kap__Rpc__DedupContribution copies[KAP_DEDUP_MEMBERS], *refs[KAP_DEDUP_MEMBERS];
    Kap__Rpc__DedupEvent event = KAP__RPC__DEDUP_EVENT__INIT, *list = &event;
    fill_event(d, e, &event, copies, refs);
    event.blob = kap_pb(e->blob);
    Kap__Rpc__DedupMessage m = KAP__RPC__DEDUP_MESSAGE__INIT;
    m.n_events = 1;
    m.events = &list;
    add(d, to, &m);
}

/* ---- receiving ---- */

static void on_event(struct kap_dedup *d, int from, const Kap__Rpc__DedupEvent *m)
{
    struct produced copies[KAP_DEDUP_MEMBERS];
    struct received r = {
        .identity = { .topic = kap_pb_str(m->topic),
                      .task = kap_pb_str(m->task),
                      .node = kap_pb_str(m->node),
                      .run = kap_pb_str(m->run),
                      .id = kap_pb_str(m->id),
                      .time_ns = m->time_ns,
                      .level = m->level,
                      .previous = m->previous,
                      .nth = m->nth },
        .blob = kap_pb_str(m->blob),
        .stamp = m->stamp,
        .copies = copies,
        .from = from,
    };
    for (size_t i = 0; i < m->n_copies && r.ncopies < KAP_DEDUP_MEMBERS; i++) {
        const int slot = dedup_slot(d, kap_pb_str(m->copies[i]->copy));
        if (slot != NOBODY)
            copies[r.ncopies++] = (struct produced){ .slot = (uint8_t)slot,
                                                     .sequence = m->copies[i]->sequence,
                                                     .previous = m->copies[i]->previous };
    }
    d->stats.received++;
    kap_hlc_observe(&d->hlc, m->stamp, kap_clock_wall(d->config.clock));
    dedup_receive(d, &r);
}

static struct kap_dedup_key key_of(const Kap__Rpc__DedupItem *m)
{
    return (struct kap_dedup_key){ m->hi, m->lo };
}

/* The event is complete there, or with a handler: that delivery is done. */
static void on_done(struct kap_dedup *d, int from, const Kap__Rpc__DedupItem *m)
{
    const struct kap_str handler = kap_pb_str(m->handler);
    if (handler.n == 0) {
        struct entry *e = dedup_find(d, key_of(m));
        for (size_t i = 0; e && i < e->nhands; i++)
            dedup_mark_done(d, e, &e->hands[i], from);
        if (e)
            dedup_settle(d, e);
        return;
    }
    struct entry *e = dedup_ghost(d, key_of(m));
    if (e->complete) {
        dedup_send_item(d, from, ITEM_DONE_KNOWN, key_of(m), dedup_handler_name(d, handler));
        return;
    }
    struct hand *h = dedup_hand(d, e, handler, true);
    if (!h)
        return;
    bits_set(&e->has, from);
    bits_set(&h->told, from);
    if (h->state == HAND_DONE && !e->storing) {
        dedup_send_item(d, from, ITEM_DONE_KNOWN, key_of(m), h->handler);
    } else {
        bits_set(&h->ack_wait, from);
        dedup_mark_done(d, e, h, from);
        if (d->config.faults.no_outbox || !e->storing) {
            bits_clear(&h->ack_wait, from);
            dedup_send_item(d, from, ITEM_DONE_KNOWN, key_of(m), h->handler);
        }
    }
    dedup_settle(d, e);
}

static void on_about_event(struct kap_dedup *d, int from, const Kap__Rpc__DedupItem *m)
{
    struct entry *e = dedup_find(d, key_of(m));
    if (!e || !e->chain)
        return;
    bits_set(&e->has, from);
    bits_set(&e->acked, from);
    dedup_settle(d, e);
}

static void on_done_known(struct kap_dedup *d, int from, const Kap__Rpc__DedupItem *m)
{
    struct entry *e = dedup_find(d, key_of(m));
    struct hand *h = e ? dedup_hand(d, e, kap_pb_str(m->handler), false) : NULL;
    if (!h)
        return;
    bits_set(&h->told, from);
    dedup_settle(d, e);
}

/* STARTED, ASK, TELL, HAND_OVER, TAKEN: about a delivery that may not be known here yet. */
static void on_delivery(struct kap_dedup *d, int from, enum item what, const Kap__Rpc__DedupItem *m)
{
    const struct kap_str handler = kap_pb_str(m->handler);
    if (handler.n == 0 || handler.n > 1024)
        return;
    struct entry *e = dedup_ghost(d, key_of(m));
    const char *name = dedup_handler_name(d, handler);
    if (e->complete) {
        if (what == ITEM_ASK)
            dedup_send_tell(d, from, key_of(m), name, 2, NOBODY);
        else if (what != ITEM_TELL && what != ITEM_TAKEN)
            dedup_send_item(d, from, ITEM_DONE, key_of(m), name);
        return;
    }
    struct hand *h = dedup_hand(d, e, handler, true);
    if (!h)
        return;
    switch (what) {
    case ITEM_STARTED:
        dedup_on_started(d, e, h, from);
        break;
    case ITEM_ASK:
        dedup_on_ask(d, e, h, from);
        break;
    case ITEM_TELL:
        dedup_on_tell(d, e, h, from, m->state, m->member.len ? dedup_slot(d, kap_pb_str(m->member)) : NOBODY);
        break;
    case ITEM_HAND_OVER:
        for (size_t i = 0; i < m->n_tried; i++) {
            const int slot = dedup_slot(d, kap_pb_str(m->tried[i]));
            if (slot != NOBODY && slot != SELF)
                bits_set(&h->tried, slot);
        }
        dedup_on_hand_over(d, e, h, from, KAP_MIN(m->attempts, 1000u));
        break;
    case ITEM_TAKEN:
        dedup_on_taken(d, e, h, from);
        break;
    case ITEM_HAVE:
    case ITEM_DONE:
    case ITEM_DONE_KNOWN:
        break;
    }
}

static void on_message(struct kap_dedup *d, int from, const Kap__Rpc__DedupMessage *m)
{
    for (size_t i = 0; i < m->n_events; i++)
        on_event(d, from, m->events[i]);
    for (size_t i = 0; i < m->n_have; i++)
        on_about_event(d, from, m->have[i]);
    for (size_t i = 0; i < m->n_started; i++)
        on_delivery(d, from, ITEM_STARTED, m->started[i]);
    for (size_t i = 0; i < m->n_done; i++)
        on_done(d, from, m->done[i]);
    for (size_t i = 0; i < m->n_done_known; i++)
        on_done_known(d, from, m->done_known[i]);
    for (size_t i = 0; i < m->n_ask; i++)
        on_delivery(d, from, ITEM_ASK, m->ask[i]);
    for (size_t i = 0; i < m->n_tell; i++)
        on_delivery(d, from, ITEM_TELL, m->tell[i]);
    for (size_t i = 0; i < m->n_hand_over; i++)
        on_delivery(d, from, ITEM_HAND_OVER, m->hand_over[i]);
    for (size_t i = 0; i < m->n_taken; i++)
        on_delivery(d, from, ITEM_TAKEN, m->taken[i]);
    for (size_t i = 0; i < m->n_topics; i++)
        dedup_on_topic(d, from, m->topics[i]);
}

void kap_dedup_message(struct kap_dedup *d, struct kap_str member, struct kap_str bytes)
{
    dedup_enter(d);
    const int from = dedup_slot(d, member);
    if (from > SELF && d->peers[from].listed) {
        Kap__Rpc__DedupMessage *m = kap__rpc__dedup_message__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);
        if (m) {
            on_message(d, from, m);
            kap__rpc__dedup_message__free_unpacked(m, NULL);
        } else {
            d->stats.bad_messages++;
            dedup_notice(d, KAP_DEDUP_BAD_MESSAGE, NULL, NULL, from, "it cannot be read");
        }
    }
    dedup_leave(d);
}
