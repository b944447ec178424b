/* Who delivers, and when: turns, leases, asking, attempts, handing over. */
#include "cluster/dedup_impl.h"

#include "cluster/owners.h"
#include <stdio.h>

static bool is_presumed_dead(const struct kap_dedup *d, int slot)
{
    return slot != SELF && (!d->peers[slot].live || d->peers[slot].life == KAP_DEDUP_PRESUMED);
}

bool dedup_may_deliver(const struct kap_dedup *d, int slot)
{
    return slot != NOBODY && !is_presumed_dead(d, slot);
}

/* Our rank among the owners that may still deliver, one of them left out; NOBODY: not an owner. */
static int rank_without(struct kap_dedup *d, struct topic *t, int out)
{
    dedup_owners(d, t);
    if (t->rank == NOBODY)
        return NOBODY;
    int rank = 0;
    for (size_t i = 0; t->owners[i] != SELF; i++)
        rank += t->owners[i] != out && !is_presumed_dead(d, t->owners[i]);
    return d->config.faults.no_ranks ? 0 : rank;
}

static struct hand *hand_of(const struct entry *e, const char *handler)
{
    for (size_t i = 0; i < e->nhands; i++)
        if (e->hands[i].handler == handler)
            return &e->hands[i];
    return NULL;
}

static bool is_blocked(const struct kap_dedup *d, const struct entry *e, const struct hand *h)
{
    if (d->config.faults.no_order)
        return false;
    for (const struct entry *before = e->chain->first; before != e; before = before->next) {
        const struct hand *b = hand_of(before, h->handler);
        if (b && b->state != HAND_DONE)
            return true;
    }
    return false;
}

static void tell_started(struct kap_dedup *d, const struct entry *e, const struct hand *h)
{
    const struct bits need = dedup_need(d, e->chain->topic);
    for (size_t i = 1; i < d->npeers; i++)
        if (bits_has(&need, (int)i) || bits_has(&e->has, (int)i))
            dedup_send_item(d, (int)i, ITEM_STARTED, e->key, h->handler);
}

/* ---- attempts ---- */

static void leave_running(struct kap_dedup *d, struct hand *h, enum hand_state to)
{
    d->nrunning -= h->state == HAND_RUNNING;
    d->nhanding -= h->state == HAND_HANDING;
    d->nrunning += to == HAND_RUNNING;
    d->nhanding += to == HAND_HANDING;
    h->state = to;
    h->due = INT64_MAX;
}

static void begin(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    if (d->doubtful && !e->stored && !bits_none(&e->has)) {
        h->due = d->now +
                 STORE_RETRY_NS; /* the disk is in doubt: not before it is written, see event_not_stored() */
        if (h->here++ < 2)
            return;
    }
    h->holder = SELF;
    h->last_word = d->now;
    leave_running(d, h, HAND_RUNNING);
    tell_started(d, e, h);
    const struct kap_dedup_event ev = dedup_event(d, e);
    const char *handler = h->handler; /* deliver() may not call back, but h is in an array */
    d->io.deliver(d->io.ctx, &ev, kap_str(handler), h->attempts);
}

/* Whom to ask: those who may have it in hand. After a change of members, also those who were owners a moment
 * ago. */
static struct bits whom_to_ask(struct kap_dedup *d, struct entry *e)
{
    struct bits ask = { 0 };
    const struct bits need = dedup_need(d, e->chain->topic);
    const bool all = d->now < d->unsure_until || e->recovered;
    for (size_t i = 1; i < d->npeers; i++)
        if (dedup_may_deliver(d, (int)i) && (all || bits_has(&need, (int)i)))
            bits_set(&ask, (int)i);
    return ask;
}

static void start(struct kap_dedup *d, struct entry *e, struct hand *h, bool ask)
{
    const struct bits whom = whom_to_ask(d, e);
    if (!ask || d->config.faults.no_ask || bits_none(&whom)) {
        begin(d, e, h);
        return;
    }
    leave_running(d, h, HAND_ASKING);
    h->asked = whom;
    h->due = d->now + d->config.ask_ns;
    d->stats.asked++;
    for (size_t i = 1; i < d->npeers; i++)
        if (bits_has(&whom, (int)i))
            dedup_send_item(d, (int)i, ITEM_ASK, e->key, h->handler);
}

/* What is `at` and later is due now, earlier is a wish for a tick. */
static bool is_due(struct kap_dedup *d, struct hand *h, int64_t at)
{
    if (d->now >= at)
        return true;
    h->due = at;
    return false;
}

static bool is_settling(const struct kap_dedup *d)
{
    if (!d->start_until)
        return false;
    for (size_t i = 1; i < d->npeers; i++)
        if (d->peers[i].listed && d->peers[i].life == KAP_DEDUP_UNKNOWN)
            return true;
    return false;
}

void dedup_evaluate(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    if ((h->state != HAND_WAIT && h->state != HAND_PAUSED) || !e->chain || !e->accepted || d->draining)
        return;
    if (h->state == HAND_PAUSED) {
        if (h->due <= d->now) /* ours as long as the lease was renewed */
            start(d, e, h, d->now - h->last_word > d->config.delay_ns || d->now < d->unsure_until);
        return;
    }
    h->due = INT64_MAX;
    const bool held = h->holder != SELF && dedup_may_deliver(d, h->holder);
    const int rank = rank_without(d, e->chain->topic, held ? h->holder : NOBODY);
    if (rank == NOBODY || is_blocked(d, e, h))
        return;
    if (is_settling(d)) {
        h->due = d->start_until;
        return;
    }
    const int64_t waited_from = KAP_MAX(e->accepted_at, h->free_at);
    if (held) {
        if (!is_due(d, h, KAP_MAX(h->last_word, h->free_at) + (rank + 1) * d->config.delay_ns))
            return;
    } else if (!is_due(d, h, waited_from + rank * d->config.delay_ns)) {
        return;
    }
    const bool take_over =
        held || rank > 0 || (h->holder != NOBODY && h->holder != SELF) || e->chain->topic->rank != 0;
    if (take_over) {
        d->stats.take_overs++;
        dedup_notice(d, KAP_DEDUP_TAKE_OVER, e, h, h->holder != SELF ? h->holder : NOBODY, "no word from it");
    }
    start(d, e, h,
          take_over || e->recovered || d->now < d->unsure_until ||
              d->now - waited_from > d->config.delay_ns / 2);
}

void dedup_evaluate_all(struct kap_dedup *d, struct entry *e)
{
    for (size_t i = 0; i < e->nhands && e->chain; i++)
        dedup_evaluate(d, e, &e->hands[i]);
    dedup_due(d, e);
}

void dedup_begin_unless_asking(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    if (h->state != HAND_ASKING)
        return;
    for (size_t i = 1; i < d->npeers; i++)
        if (!dedup_may_deliver(d, (int)i))
            bits_clear(&h->asked, (int)i);
    if (bits_none(&h->asked))
        begin(d, e, h);
}

/* ---- done ---- */

/* The next event of the same ID for this handler gets its turn. */
static void next_turn(struct kap_dedup *d, struct entry *e, const char *handler)
{
    for (struct entry *after = e->next; after; after = after->next) {
        struct hand *h = hand_of(after, handler);
        if (!h || h->state == HAND_DONE)
            continue;
        h->free_at = d->now;
        dedup_evaluate(d, after, h);
        dedup_due(d, after);
        return;
    }
}

static bool produced_before(const struct entry *a, const struct entry *b)
{
    for (size_t i = 0; i < a->ncopies; i++)
        for (size_t k = 0; k < b->ncopies; k++)
            if (a->copies[i].slot == b->copies[k].slot)
                return a->copies[i].sequence < b->copies[k].sequence;
    return false;
}

/* A newer event was delivered by another member: an older one must not follow it. */
static void supersede(struct kap_dedup *d, struct entry *e, const char *handler)
{
    for (struct entry *before = e->prev, *next; before; before = next) {
        next = before->prev;
        struct hand *h = hand_of(before, handler);
        if (!h || h->state == HAND_DONE || h->state == HAND_RUNNING || !produced_before(before, e))
            continue;
        d->stats.superseded++;
        dedup_notice(d, KAP_DEDUP_SUPERSEDED, before, h, NOBODY, "a newer one was delivered");
        leave_running(d, h, HAND_DONE);
        before->ndone++;
        h->by_self = true;
        dedup_store_done(d, before, h);
        next_turn(d, before, handler);
        dedup_resend(d, before);
        dedup_settle(d, before);
    }
}

void dedup_mark_done(struct kap_dedup *d, struct entry *e, struct hand *h, int by)
{
    if (h->state == HAND_DONE)
        return;
    leave_running(d, h, HAND_DONE);
    e->ndone++;
    h->by_self = by == SELF;
    h->holder = by;
    if (!e->chain) {
        dedup_store_done(d, e, h);
        return;
    }
    const struct bits need = dedup_need(d, e->chain->topic);
    if (!bits_none(&need) || e->ndone < e->nhands || by != SELF)
        dedup_store_done(d, e, h); /* else the event is complete, and that is what is stored */
    if (by == SELF) {
        for (size_t i = 1; i < d->npeers; i++)
            if (bits_has(&need, (int)i) || bits_has(&e->has, (int)i))
                dedup_send_item(d, (int)i, ITEM_DONE, e->key, h->handler);
        if (!bits_none(&need))
            e->resend_at = KAP_MIN(e->resend_at, d->now + RESEND_NS);
    } else {
        supersede(d, e, h->handler);
    }
    next_turn(d, e, h->handler);
}

static int64_t pause_after(unsigned attempts)
{
    const unsigned doublings = KAP_MIN(attempts, 7u);
    return KAP_MIN(RETRY_MIN_NS << (doublings ? doublings - 1 : 0), RETRY_MAX_NS);
}

static void pause_and_retry(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    leave_running(d, h, HAND_PAUSED);
    h->due = d->now + pause_after(h->attempts);
    if (d->draining)
        dedup_hand_over(d, e, h);
}

static void failed(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    char text[64];
    snprintf(text, sizeof text, "attempt %u failed", ++h->attempts);
    h->here++;
    d->stats.retried++;
    dedup_notice(d, KAP_DEDUP_RETRYING, e, h, SELF, text);
    h->last_word = d->now;
    pause_and_retry(d, e, h);
    if (h->here >= HAND_OVER_AFTER)
        dedup_hand_over(d, e, h);
}

void kap_dedup_delivered(struct kap_dedup *d, struct kap_dedup_key key, struct kap_str handler,
                         enum kap_dedup_verdict verdict)
{
    dedup_enter(d);
    struct entry *e = dedup_find(d, key);
    struct hand *h = e ? dedup_hand(d, e, handler, false) : NULL;
    if (h && h->state == HAND_RUNNING) {
        switch (verdict) {
        case KAP_DEDUP_SENT:
            d->stats.delivered++;
            dedup_mark_done(d, e, h, SELF);
            break;
        case KAP_DEDUP_GIVE_UP:
            d->stats.gave_up++;
            dedup_notice(d, KAP_DEDUP_GAVE_UP, e, h, SELF, "the handler will never take it");
            dedup_mark_done(d, e, h, SELF);
            break;
        case KAP_DEDUP_RETRY:
            failed(d, e, h);
            break;
        case KAP_DEDUP_ABANDON:
            leave_running(d, h, HAND_PAUSED);
            dedup_hand_over(d, e, h);
            break;
        }
        dedup_settle(d, e);
    }
    dedup_leave(d);
}

/* ---- handing over ---- */

static int next_owner(struct kap_dedup *d, struct entry *e, const struct hand *h)
{
    struct topic *t = e->chain->topic;
    dedup_owners(d, t);
    for (size_t i = 0; i < t->nowners; i++) {
        const int slot = t->owners[i];
        if (slot != SELF && dedup_may_deliver(d, slot) && d->peers[slot].linked && !bits_has(&h->tried, slot))
            return slot;
    }
    return NOBODY;
}

void dedup_hand_over(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    const int to = next_owner(d, e, h);
    h->here = 0;
    if (to == NOBODY) { /* everybody had a turn: from the start, with longer pauses */
        h->tried = (struct bits){ 0 };
        return;
    }
    if (h->state == HAND_WAIT && h->holder != SELF && h->holder != NOBODY)
        return; /* is not ours */
    leave_running(d, h, HAND_HANDING);
    h->due = d->now + d->config.ask_ns;
    h->holder = SELF;
    h->last_word = d->now;
    bits_set(&h->tried, to);
    if (!bits_has(&e->has, to) && !bits_has(&e->acked, to))
        dedup_send_event(d, to, e);
    d->stats.hand_overs++;
    dedup_notice(d, KAP_DEDUP_HAND_OVER, e, h, to, "it has its turn");
    dedup_send_hand_over(d, to, e, h);
}

static void not_taken(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    leave_running(d, h, HAND_PAUSED);
    h->due = d->now + pause_after(h->attempts);
    if (next_owner(d, e, h) != NOBODY)
        dedup_hand_over(d, e, h);
}

void dedup_on_hand_over(struct kap_dedup *d, struct entry *e, struct hand *h, int from, unsigned attempts)
{
    if (!e->chain || !e->accepted)
        return; /* not here yet: the sender goes on */
    if (h->state == HAND_DONE) {
        dedup_send_item(d, from, ITEM_DONE, e->key, h->handler);
        return;
    }
    dedup_send_item(d, from, ITEM_TAKEN, e->key, h->handler);
    if (h->state == HAND_RUNNING)
        return;
    leave_running(d, h, HAND_WAIT);
    h->holder = SELF;
    h->last_word = d->now;
    h->attempts = KAP_MAX(h->attempts, attempts);
    h->here = 0;
    bits_set(&h->tried, from);
    tell_started(d, e, h);
    if (d->draining)
        dedup_hand_over(d, e, h);
    else if (!is_blocked(d, e, h))
        begin(d, e, h);
    dedup_settle(d, e);
}

void dedup_on_taken(struct kap_dedup *d, struct entry *e, struct hand *h, int from)
{
    if (h->state != HAND_HANDING)
        return;
    leave_running(d, h, HAND_WAIT);
    h->holder = from;
    h->last_word = d->now;
    dedup_evaluate(d, e, h);
    dedup_settle(d, e);
}

/* ---- words of others ---- */

static bool precedes_us(const struct kap_dedup *d, const struct entry *e, int slot)
{
    return e->chain &&
           kap_owners_before(kap_str(e->chain->topic->name), kap_str(d->peers[slot].id), d->config.self);
}

static void yield_to(struct kap_dedup *d, struct entry *e, struct hand *h, int slot)
{
    leave_running(d, h, HAND_WAIT);
    h->holder = slot;
    h->last_word = d->now;
    dedup_evaluate(d, e, h);
}

void dedup_on_started(struct kap_dedup *d, struct entry *e, struct hand *h, int from)
{
    bits_set(&e->has, from);
    switch (h->state) {
    case HAND_DONE:
        dedup_send_item(d, from, ITEM_DONE, e->key, h->handler);
        break;
    case HAND_RUNNING:
        break; /* both are at it; whoever is done first says so */
    case HAND_PAUSED:
        if (!precedes_us(d, e, from)) {
            dedup_send_item(d, from, ITEM_STARTED, e->key, h->handler);
            break;
        }
        yield_to(d, e, h, from);
        break;
    case HAND_WAIT:
    case HAND_ASKING:
    case HAND_HANDING:
        yield_to(d, e, h, from);
        break;
    }
    dedup_settle(d, e);
}

/* A peer wants to deliver. "Free" leaves it to the peer. */
void dedup_on_ask(struct kap_dedup *d, struct entry *e, struct hand *h, int from)
{
    enum { FREE, HELD, DONE };
    bits_set(&e->has, from);
    unsigned state = FREE;
    int holder = NOBODY;
    if (h->state == HAND_DONE) {
        state = DONE;
    } else if (h->state == HAND_RUNNING || h->state == HAND_HANDING ||
               (h->state == HAND_PAUSED && d->now - h->last_word <= d->config.delay_ns) ||
               (h->state == HAND_ASKING && !precedes_us(d, e, from))) {
        state = HELD;
        holder = SELF;
    } else if (h->state == HAND_WAIT && h->holder != from && h->holder != SELF &&
               dedup_may_deliver(d, h->holder) && d->now - h->last_word <= d->config.delay_ns) {
        state = HELD;
        holder = h->holder;
    }
    dedup_send_tell(d, from, e->key, h->handler, state, holder);
    if (state == FREE)
        yield_to(d, e, h, from);
    dedup_settle(d, e);
}

void dedup_on_tell(struct kap_dedup *d, struct entry *e, struct hand *h, int from, unsigned state, int holder)
{
    enum { FREE, HELD, DONE };
    if (state == DONE) {
        dedup_mark_done(d, e, h, from);
    } else if (h->state == HAND_ASKING && bits_has(&h->asked, from)) {
        if (state == HELD && holder != SELF && dedup_may_deliver(d, holder)) {
            yield_to(d, e, h, holder);
        } else {
            bits_clear(&h->asked, from);
            if (bits_none(&h->asked))
                begin(d, e, h);
        }
    }
    dedup_settle(d, e);
}

/* ---- time ---- */

void dedup_resend(struct kap_dedup *d, struct entry *e)
{
    const struct bits need = dedup_need(d, e->chain->topic);
    const bool owner = e->chain->topic->rank != NOBODY;
    bool open = false;
    for (size_t i = 1; i < d->npeers; i++) {
        if (!bits_has(&need, (int)i))
            continue;
        if (!bits_has(owner ? &e->has : &e->acked, (int)i)) {
            open = true;
            if (d->peers[i].linked)
                dedup_send_event(d, (int)i, e);
        }
        for (size_t k = 0; k < e->nhands; k++) {
            const struct hand *h = &e->hands[k];
            if (h->state != HAND_DONE || !h->by_self || bits_has(&h->told, (int)i))
                continue;
            open = true;
            if (d->peers[i].linked)
                dedup_send_item(d, (int)i, ITEM_DONE, e->key, h->handler);
        }
    }
    e->resend_at = open ? d->now + e->resend_pause : INT64_MAX;
    e->resend_pause = KAP_MIN(2 * e->resend_pause, RESEND_MAX_NS);
}

static void hand_tick(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    switch (h->state) {
    case HAND_ASKING: /* some did not answer; they may be gone */
        begin(d, e, h);
        break;
    case HAND_HANDING:
        not_taken(d, e, h);
        break;
    case HAND_WAIT:
    case HAND_PAUSED:
        dedup_evaluate(d, e, h);
        break;
    case HAND_RUNNING:
    case HAND_DONE:
        h->due = INT64_MAX;
        break;
    }
}

void dedup_entry_tick(struct kap_dedup *d, struct entry *e)
{
    if (e->store_at <= d->now)
        dedup_store_event(d, e);
    if (e->resend_at <= d->now)
        dedup_resend(d, e);
    for (size_t i = 0; i < e->nhands; i++) {
        struct hand *h = &e->hands[i];
        if (h->due <= d->now && h->state != HAND_DONE)
            hand_tick(d, e, h);
    }
    dedup_settle(d, e);
}

void dedup_renew(struct kap_dedup *d)
{
    if ((!d->nrunning && !d->nhanding && !d->npending) || d->npeers <= 1 || d->config.faults.no_lease)
        return;
    size_t i = 0;
    void *p;
    while (kap_map_next(d->entries, &i, NULL, &p)) {
        struct entry *e = p;
        if (!e->chain)
            continue;
        for (size_t k = 0; k < e->nhands; k++) {
            struct hand *h = &e->hands[k];
            if (h->state != HAND_RUNNING && h->state != HAND_PAUSED && h->state != HAND_HANDING)
                continue;
            /* A pause of this process has ended the lease; the next attempt asks. */
            if (h->state == HAND_PAUSED && d->now - h->last_word > d->config.delay_ns)
                continue;
            h->last_word = d->now;
            tell_started(d, e, h);
        }
    }
}
