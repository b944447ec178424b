#include "cluster/dedup_impl.h"

#include "cluster/owners.h"
#include "cluster/rpc.pb-c.h"
#include "cluster/rpc_wire.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- identities and look-ups ---- */

struct kap_dedup_key kap_dedup_key_of(const struct kap_dedup_identity *id)
{
    const struct kap_str texts[] = { id->topic, id->task, id->node, id->run, id->id };
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    for (size_t i = 0; i < KAP_COUNT(texts); i++) {
        const uint64_t n = texts[i].n;
        XXH3_128bits_update(&state, &n, sizeof n);
        XXH3_128bits_update(&state, texts[i].n ? texts[i].p : "", texts[i].n);
    }
    const int64_t numbers[] = { id->time_ns, id->level, id->nth };
    XXH3_128bits_update(&state, numbers, sizeof numbers);
    const XXH128_hash_t h = XXH3_128bits_digest(&state);
    return (struct kap_dedup_key){ h.high64, h.low64 };
}

static struct kap_str key_bytes(const struct kap_dedup_key *key)
{
    return kap_strn((const char *)key, sizeof *key);
}

struct entry *dedup_find(const struct kap_dedup *d, struct kap_dedup_key key)
{
    struct entry *e = kap_map_get(d->entries, key_bytes(&key));
    if (e && e->alias) {
        struct entry *to = kap_map_get(d->entries, key_bytes(&e->alias_of));
        return to && !to->alias ? to : e;
    }
    return e;
}

int dedup_slot(const struct kap_dedup *d, struct kap_str member)
{
    for (size_t i = 0; i < d->npeers; i++)
        if (kap_str_is(member, d->peers[i].id))
            return (int)i;
    return NOBODY;
}

const char *dedup_handler_name(struct kap_dedup *d, struct kap_str handler)
{
    char *name = kap_map_get(d->handlers, handler);
    if (!name) {
        name = kap_strndup(handler.n ? handler.p : "", handler.n);
        kap_map_put(d->handlers, handler, name);
    }
    return name;
}

struct hand *dedup_hand(struct kap_dedup *d, struct entry *e, struct kap_str handler, bool make)
{
    for (size_t i = 0; i < e->nhands; i++)
        if (kap_str_is(handler, e->hands[i].handler))
            return &e->hands[i];
    if (!make || e->nhands >= KAP_DEDUP_HANDLERS)
        return NULL;
    KAP_GROW(e->hands, e->hands_cap, e->nhands + 1);
    e->hands[e->nhands] = (struct hand){
        .handler = dedup_handler_name(d, handler), .holder = NOBODY, .due = INT64_MAX, .free_at = d->now
    };
    return &e->hands[e->nhands++];
}

struct topic *dedup_topic(struct kap_dedup *d, struct kap_str name, bool make)
{
    struct topic *t = kap_map_get(d->topics, name);
    if (t || !make)
        return t;
    t = KAP_NEW(struct topic);
    t->name = kap_strndup(name.n ? name.p : "", name.n);
    t->chains = kap_map_new();
    kap_map_put(d->topics, name, t);
    return t;
}

struct chain *dedup_chain(struct kap_dedup *d, struct topic *t, struct kap_str id, bool make)
{
    struct chain *c = kap_map_get(t->chains, id);
    if (c || !make)
        return c;
    c = KAP_NEW(struct chain);
    c->topic = t;
    c->id = kap_strndup(id.n ? id.p : "", id.n);
    c->last_level = -1;
    kap_map_put(t->chains, id, c);
    return c;
}

struct kap_dedup_event dedup_event(const struct kap_dedup *d, const struct entry *e)
{
    struct kap_dedup_event ev = {
        .key = e->key,
        .identity = { .topic = kap_str(e->chain->topic->name),
                      .task = e->task,
                      .node = e->node,
                      .run = e->run,
                      .id = kap_str(e->chain->id),
                      .time_ns = e->time_ns,
                      .level = e->level,
                      .previous = e->previous,
                      .nth = e->nth },
        .blob = e->blob,
        .stamp = e->stamp,
        .current = true,
    };
    if (e->ncopies) {
        ev.copy = kap_str(d->peers[e->copies[0].slot].id);
        ev.sequence = e->copies[0].sequence;
    }
    return ev;
}

void dedup_notice(struct kap_dedup *d, enum kap_dedup_notice_kind kind, const struct entry *e,
                  const struct hand *h, int member, const char *text)
{
    const struct kap_dedup_notice n = {
        .kind = kind,
        .topic = e && e->chain ? kap_str(e->chain->topic->name) : KAP_STR(""),
        .id = e && e->chain ? kap_str(e->chain->id) : KAP_STR(""),
        .handler = h ? kap_str(h->handler) : KAP_STR(""),
        .member = member >= 0 ? kap_str(d->peers[member].id) : KAP_STR(""),
        .text = text,
    };
    d->io.notice(d->io.ctx, &n);
}

/* ---- owners ---- */

void dedup_owners(struct kap_dedup *d, struct topic *t)
{
    if (t->version == d->version)
        return;
    struct kap_str ids[KAP_DEDUP_MEMBERS];
    uint8_t slots[KAP_DEDUP_MEMBERS] = { 0 };
    uint32_t order[KAP_DEDUP_MEMBERS];
    size_t n = 0;
    for (size_t i = 0; i < d->npeers; i++) {
        if (!d->peers[i].live)
            continue;
        slots[n] = (uint8_t)i;
        ids[n++] = kap_str(d->peers[i].id);
    }
    t->nowners = kap_owners_rank(kap_str(t->name), ids, n, d->config.redundancy, order);
    t->rank = NOBODY;
    for (size_t i = 0; i < t->nowners; i++) {
        t->owners[i] = slots[order[i]];
        if (t->owners[i] == SELF)
            t->rank = (int)i;
    }
    t->version = d->version;
}

struct bits dedup_need(struct kap_dedup *d, struct topic *t)
{
    dedup_owners(d, t);
    struct bits need = { 0 };
    for (size_t i = 0; i < t->nowners; i++)
        if (t->owners[i] != SELF)
            bits_set(&need, t->owners[i]);
    return need;
}

size_t kap_dedup_owners(struct kap_dedup *d, struct kap_str name, struct kap_str *ret, size_t max)
{
    struct topic unknown = { .name = kap_strndup(name.n ? name.p : "", name.n) };
    struct topic *t = dedup_topic(d, name, false);
    if (!t)
        t = &unknown;
    dedup_owners(d, t);
    const size_t n = KAP_MIN(t->nowners, max);
    for (size_t i = 0; i < n; i++)
        ret[i] = kap_str(d->peers[t->owners[i]].id);
    kap_free(unknown.name);
    return n;
}

/* ---- entries ---- */

static int by_due(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->due < y->due ? -1 : x->due > y->due;
}

static void moved(void *item, size_t index)
{
    ((struct entry *)item)->heap_at = index;
}

void dedup_due(struct kap_dedup *d, struct entry *e)
{
    int64_t due = KAP_MIN(e->resend_at, e->store_at);
    for (size_t i = 0; i < e->nhands; i++)
        if (e->hands[i].state != HAND_DONE)
            due = KAP_MIN(due, e->hands[i].due);
    if (due == e->due)
        return;
    if (e->due != INT64_MAX)
        kap_heap_remove(&d->due, e->heap_at);
    e->due = due;
    if (due != INT64_MAX)
        kap_heap_push(&d->due, e);
}

static void mark_link(struct kap_dedup *d, struct entry *e)
{
    e->marked_at = d->now;
    e->prev = d->marks_last;
    e->next = NULL;
    *(d->marks_last ? &d->marks_last->next : &d->marks_first) = e;
    d->marks_last = e;
    d->nmarks++;
}

static void mark_unlink(struct kap_dedup *d, struct entry *e)
{
    *(e->prev ? &e->prev->next : &d->marks_first) = e->next;
    *(e->next ? &e->next->prev : &d->marks_last) = e->prev;
    e->prev = e->next = NULL;
    d->nmarks--;
}

static void chain_unlink(struct entry *e)
{
    struct chain *c = e->chain;
    *(e->prev ? &e->prev->next : &c->first) = e->next;
    *(e->next ? &e->next->prev : &c->last) = e->prev;
    e->prev = e->next = NULL;
}

static void entry_free(struct entry *e)
{
    kap_free(e->text);
    kap_free(e->copies);
    kap_free(e->hands);
    kap_free(e);
}

static void mark_drop(struct kap_dedup *d, struct entry *e)
{
    mark_unlink(d, e);
    kap_map_del(d->entries, key_bytes(&e->key));
    if (e->due != INT64_MAX)
        kap_heap_remove(&d->due, e->heap_at);
    entry_free(e);
}

static void marks_trim(struct kap_dedup *d)
{
    while (d->marks_first &&
           (d->nmarks > d->config.max_marks || d->now - d->marks_first->marked_at > d->config.mark_age_ns))
        mark_drop(d, d->marks_first);
}

static struct entry *entry_new(struct kap_dedup *d, struct kap_dedup_key key)
{
    struct entry *e = KAP_NEW(struct entry);
    e->key = key;
    e->due = e->resend_at = e->store_at = INT64_MAX;
    e->resend_pause = RESEND_NS;
    e->born_token = d->last_token;
    kap_map_put(d->entries, key_bytes(&key), e);
    return e;
}

struct entry *dedup_ghost(struct kap_dedup *d, struct kap_dedup_key key)
{
    struct entry *e = dedup_find(d, key);
    if (e)
        return e;
    e = entry_new(d, key);
    mark_link(d, e);
    marks_trim(d);
    return e;
}

/* ---- durability ---- */

static uint64_t store_token(struct kap_dedup *d, const struct entry *e, const char *handler)
{
    if (d->storing_head > 1024 && d->storing_head > d->storing_n / 2) {
        memmove(d->storing, d->storing + d->storing_head,
                (d->storing_n - d->storing_head) * sizeof *d->storing);
        d->storing_n -= d->storing_head;
        d->storing_head = 0;
    }
    KAP_GROW(d->storing, d->storing_cap, d->storing_n + 1);
    const uint64_t token = ++d->last_token;
    d->storing[d->storing_n++] = (struct storing){ .token = token, .key = e->key, .handler = handler };
    return token;
}

void dedup_store_event(struct kap_dedup *d, struct entry *e)
{
    e->store_at = INT64_MAX;
    if (d->config.faults.no_outbox) {
        e->stored = true;
        return;
    }
    KAP_AUTO_BUF struct kap_buf meta = { 0 };
    dedup_pack_meta(d, e, &meta);
    struct kap_str *handlers = KAP_ARRAY(struct kap_str, e->nhands + 1);
    size_t n = 0;
    for (size_t i = 0; i < e->nhands; i++)
        if (e->hands[i].state != HAND_DONE)
            handlers[n++] = kap_str(e->hands[i].handler);
    const struct kap_dedup_store op = {
        .kind = KAP_DEDUP_STORE_EVENT,
        .token = store_token(d, e, NULL),
        .key = e->key,
        .meta = kap_buf_str(&meta),
        .blob = e->blob,
        .handlers = handlers,
        .nhandlers = n,
    };
    e->in_store = true;
    e->storing++;
    d->io.store(d->io.ctx, &op);
    kap_free(handlers);
}

void dedup_store_done(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    if (d->config.faults.no_outbox)
        return;
    const struct kap_dedup_store op = { .kind = KAP_DEDUP_STORE_DONE,
                                        .token = store_token(d, e, h->handler),
                                        .key = e->key,
                                        .handler = kap_str(h->handler) };
    e->marked = true;
    e->storing++;
    d->io.store(d->io.ctx, &op);
}

static void ack_event(struct kap_dedup *d, struct entry *e)
{
    for (size_t i = 1; i < d->npeers; i++)
        if (bits_has(&e->ack_wait, (int)i))
            dedup_send_item(d, (int)i, ITEM_HAVE, e->key, NULL);
    e->ack_wait = (struct bits){ 0 };
}

static void ack_done(struct kap_dedup *d, struct entry *e, struct hand *h)
{
    for (size_t i = 1; i < d->npeers; i++)
        if (bits_has(&h->ack_wait, (int)i))
            dedup_send_item(d, (int)i, ITEM_DONE_KNOWN, e->key, h->handler);
    h->ack_wait = (struct bits){ 0 };
}

/* The disk does not take it: whoever has it elsewhere shall deliver it; if nobody can, we do it all the same.
 */
static void event_not_stored(struct kap_dedup *d, struct entry *e)
{
    d->doubtful = true;
    e->store_at = d->now + STORE_RETRY_NS;
    dedup_notice(d, KAP_DEDUP_STORE_FAILED, e, NULL, NOBODY, "an event could not be stored");
    for (size_t i = 0; i < e->nhands; i++)
        if (e->hands[i].state == HAND_WAIT)
            dedup_hand_over(d, e, &e->hands[i]);
}

static void answered(struct kap_dedup *d, const struct storing *s, bool ok)
{
    struct entry *e = kap_map_get(d->entries, key_bytes(&s->key));
    if (!e || e->storing == 0 || s->token <= e->born_token)
        return; /* it was complete before */
    e->storing--;
    if (!s->handler) {
        if (!ok) {
            event_not_stored(d, e);
        } else {
            e->stored = true;
            d->doubtful = false;
            ack_event(d, e);
            dedup_evaluate_all(d, e);
        }
    } else {
        struct hand *h = dedup_hand(d, e, kap_str(s->handler), false);
        if (!ok)
            dedup_notice(d, KAP_DEDUP_STORE_FAILED, e, h, NOBODY, "a delivery could not be marked as done");
        if (h)
            ack_done(d, e, h); /* not durable, but known; a crash may repeat it */
    }
    for (size_t i = 0; i < e->nhands && e->storing == 0; i++)
        if (e->hands[i].state == HAND_DONE)
            ack_done(d, e, &e->hands[i]); /* heard of again while another one was being stored */
    dedup_settle(d, e);
}

void kap_dedup_stored(struct kap_dedup *d, uint64_t token, bool ok)
{
    dedup_enter(d);
    for (size_t i = d->storing_head; i < d->storing_n; i++) {
        if (d->storing[i].token != token)
            continue;
        const struct storing s = d->storing[i];
        d->storing[i].token = 0;
        while (d->storing_head < d->storing_n && d->storing[d->storing_head].token == 0)
            d->storing_head++;
        answered(d, &s, ok);
        break;
    }
    dedup_leave(d);
}

/* ---- completion ---- */

/* `carried`: the owners have it, which says nothing about its deliveries, so no mark may stay. */
static void complete(struct kap_dedup *d, struct entry *e, bool carried)
{
    const bool alone = d->npeers <= 1;
    struct entry *after = e->next;
    if (e->in_store) {
        const struct kap_dedup_store op = {
            .kind = KAP_DEDUP_STORE_FORGET, .key = e->key, .carried = carried || alone, .is_marked = e->marked
        };
        d->io.store(d->io.ctx, &op);
    }
    chain_unlink(e);
    for (; carried && after; after = after->next)
        dedup_evaluate_all(d, after); /* it was in their way */
    d->npending--;
    d->pending_bytes -= e->blob.n;
    if (e->due != INT64_MAX)
        kap_heap_remove(&d->due, e->heap_at);
    e->due = INT64_MAX;
    if (alone || carried || d->config.faults.no_marks) {
        kap_map_del(d->entries, key_bytes(&e->key));
        entry_free(e);
        return;
    }
    kap_free(e->text);
    kap_free(e->copies);
    kap_free(e->hands);
    e->text = NULL;
    e->copies = NULL;
    e->hands = NULL;
    e->ncopies = e->copies_cap = e->nhands = e->hands_cap = 0;
    e->task = e->node = e->run = e->blob = KAP_STR("");
    e->chain = NULL;
    e->complete = true;
    e->resend_at = e->store_at = INT64_MAX;
    mark_link(d, e);
    marks_trim(d);
}

static bool everybody_told(const struct entry *e, const struct bits *need)
{
    for (size_t i = 0; i < e->nhands; i++) {
        const struct hand *h = &e->hands[i];
        if (h->state != HAND_DONE || !bits_none(&h->ack_wait) || (h->by_self && !bits_covers(&h->told, need)))
            return false;
    }
    return true;
}

void dedup_settle(struct kap_dedup *d, struct entry *e)
{
    const bool awaits_store = e->storing && d->npeers > 1; /* nobody else asks what is durable here */
    if (!e->chain || awaits_store || !bits_none(&e->ack_wait)) {
        dedup_due(d, e);
        return;
    }
    const struct bits need = dedup_need(d, e->chain->topic);
    const bool owner = e->chain->topic->rank != NOBODY;
    bool finished;
    if (owner) {
        finished =
            e->accepted && e->ndone == e->nhands && bits_covers(&e->has, &need) && everybody_told(e, &need);
    } else {
        /* We only carry it: each owner must have it durably, and nobody here may be in the middle of a
         * delivery. */
        finished = !bits_none(&need) && bits_covers(&e->acked, &need);
        for (size_t i = 0; i < e->nhands && finished; i++)
            finished = e->hands[i].state == HAND_DONE
                           ? !e->hands[i].by_self || bits_covers(&e->hands[i].told, &need)
                           : e->hands[i].state == HAND_WAIT;
    }
    if (finished)
        complete(d, e, !owner);
    else
        dedup_due(d, e);
}

/* ---- events arrive ---- */

static void add_copy(struct entry *e, const struct produced *p)
{
    for (size_t i = 0; i < e->ncopies; i++)
        if (e->copies[i].slot == p->slot)
            return;
    KAP_GROW(e->copies, e->copies_cap, e->ncopies + 1);
    e->copies[e->ncopies++] = *p;
}

static struct produced *chain_copy(struct chain *c, uint8_t slot)
{
    for (size_t i = 0; i < c->ncopies; i++)
        if (c->copies[i].slot == slot)
            return &c->copies[i];
    return NULL;
}

static void chain_learn(struct chain *c, const struct produced *p)
{
    struct produced *known = chain_copy(c, p->slot);
    if (known) {
        known->sequence = KAP_MAX(known->sequence, p->sequence);
        return;
    }
    KAP_GROW(c->copies, c->copies_cap, c->ncopies + 1);
    c->copies[c->ncopies++] = *p;
}

/* Does a come before b in the order of a copy that produced both? */
static bool known_before(const struct entry *a, const struct entry *b)
{
    for (size_t i = 0; i < a->ncopies; i++)
        for (size_t k = 0; k < b->ncopies; k++)
            if (a->copies[i].slot == b->copies[k].slot)
                return a->copies[i].sequence < b->copies[k].sequence;
    return false;
}

static void chain_insert(struct chain *c, struct entry *e)
{
    struct entry *before = c->last;
    while (before && known_before(e, before))
        before = before->prev;
    e->chain = c;
    e->prev = before;
    e->next = before ? before->next : c->first;
    *(e->prev ? &e->prev->next : &c->first) = e;
    *(e->next ? &e->next->prev : &c->last) = e;
}

static uint64_t producer_hash(const struct kap_dedup_identity *id)
{
    struct kap_dedup_identity p = { .task = id->task, .node = id->node, .run = id->run };
    return kap_dedup_key_of(&p).lo;
}

/* Copies that disagree: the same transition, seen by another copy at another data time a moment ago, with
 * nothing between. */
static bool is_same_transition(const struct kap_dedup *d, struct chain *c, const struct received *r)
{
    const struct kap_dedup_identity *id = &r->identity;
    if (r->ncopies != 1 || id->previous == id->level || c->last_level != id->level ||
        bits_has(&c->last_copies, r->copies[0].slot) || d->now - c->last_at > d->config.delay_ns ||
        c->last_producer != producer_hash(id))
        return false;
    const int64_t apart =
        id->time_ns > c->last_time_ns ? id->time_ns - c->last_time_ns : c->last_time_ns - id->time_ns;
    if (apart > d->config.delay_ns || apart < 0)
        return false;
    /* Nothing of that copy is missing here, else what is missing may lie between; of a copy's first event
     * after its start nobody can tell. */
    const struct produced *known = chain_copy(c, r->copies[0].slot);
    return known && r->copies[0].previous == known->sequence;
}

static void chain_remember(struct kap_dedup *d, struct chain *c, const struct entry *e,
                           const struct received *r)
{
    c->last_key = e->key;
    c->last_level = r->identity.level;
    c->last_time_ns = r->identity.time_ns;
    c->last_at = d->now;
    c->last_producer = producer_hash(&r->identity);
    c->last_copies = (struct bits){ 0 };
    for (size_t i = 0; i < r->ncopies; i++)
        bits_set(&c->last_copies, r->copies[i].slot);
}

static void copy_text(struct entry *e, const struct received *r)
{
    const struct kap_dedup_identity *id = &r->identity;
    const struct kap_str from[] = { id->task, id->node, id->run, r->blob };
    struct kap_str *to[] = { &e->task, &e->node, &e->run, &e->blob };
    size_t n = 1;
    for (size_t i = 0; i < KAP_COUNT(from); i++)
        n += from[i].n;
    char *at = e->text = kap_alloc(n);
    for (size_t i = 0; i < KAP_COUNT(from); i++) {
        if (from[i].n)
            memcpy(at, from[i].p, from[i].n);
        *to[i] = kap_strn(at, from[i].n);
        at += from[i].n;
    }
}

struct kap_dedup_handlers {
    struct kap_dedup *d;
    struct entry *e;
};

void kap_dedup_add_handler(struct kap_dedup_handlers *h, struct kap_str handler_id)
{
    dedup_hand(h->d, h->e, handler_id, true);
}

static void accept(struct kap_dedup *d, struct entry *e)
{
    struct kap_dedup_event ev = dedup_event(d, e);
    ev.current = dedup_state_offer(d, e->chain, e->stamp, e->key.lo);
    struct kap_dedup_handlers handlers = { d, e };
    e->accepted = true;
    e->accepted_at = d->now;
    d->io.accept(d->io.ctx, &ev, &handlers);
    d->stats.accepted++;
    if (ev.current)
        dedup_state_store(d, e->chain);
}

/* An owner accepts and is stored; others carry. */
static void take_role(struct kap_dedup *d, struct entry *e)
{
    struct topic *t = e->chain->topic;
    const struct bits need = dedup_need(d, t);
    if (t->rank != NOBODY && !e->accepted)
        accept(d, e);
    if (bits_none(&need) && e->nhands == 0 && e->accepted)
        e->stored = true; /* nothing is left to do, nobody to tell */
    else
        dedup_store_event(d, e);
    if (!bits_none(&need))
        e->resend_at = d->now + (t->rank == 0 ? 0 : OFFER_AFTER_NS);
    if (e->resend_at == d->now)
        dedup_resend(d, e);
}

static void merge(struct kap_dedup *d, struct entry *e, const struct received *r)
{
    d->stats.merged++;
    if (r->from != SELF) {
        bits_set(&e->has, r->from);
        if (e->complete || e->stored) {
            dedup_send_item(d, r->from, ITEM_HAVE,
                            kap_dedup_key_of(&r->identity).hi == e->key.hi ? e->key
                                                                           : kap_dedup_key_of(&r->identity),
                            NULL);
            if (e->complete)
                dedup_send_item(d, r->from, ITEM_DONE, kap_dedup_key_of(&r->identity), "");
        } else {
            bits_set(&e->ack_wait, r->from);
        }
    }
    if (e->complete || !e->chain)
        return;
    for (size_t i = 0; i < r->ncopies; i++) {
        add_copy(e, &r->copies[i]);
        chain_learn(e->chain, &r->copies[i]);
        if (e->key.lo == e->chain->last_key.lo)
            bits_set(&e->chain->last_copies, r->copies[i].slot);
    }
    dedup_settle(d, e);
}

static bool over_limit(struct kap_dedup *d, const struct received *r)
{
    return d->npending >= d->config.max_pending || d->pending_bytes + r->blob.n > d->config.max_pending_bytes;
}

static void make_alias(struct kap_dedup *d, struct kap_dedup_key key, const struct entry *of)
{
    struct entry *alias = entry_new(d, key);
    alias->alias = true;
    alias->complete = true;
    alias->alias_of = of->key;
    mark_link(d, alias);
    marks_trim(d);
}

bool dedup_receive(struct kap_dedup *d, const struct received *r)
{
    const struct kap_dedup_key key = kap_dedup_key_of(&r->identity);
    struct entry *e = dedup_find(d, key);
    if (e && (e->complete || e->chain)) {
        merge(d, e, r);
        return true;
    }
    struct chain *c = dedup_chain(d, dedup_topic(d, r->identity.topic, true), r->identity.id, true);
    struct entry *last = dedup_find(d, c->last_key);
    if (!e && last && (last->complete || last->chain) && is_same_transition(d, c, r)) {
        make_alias(d, key, last);
        bits_set(&c->last_copies, r->copies[0].slot);
        chain_learn(c, &r->copies[0]);
        merge(d, last, r);
        return true;
    }
    if (over_limit(d, r)) {
        d->stats.refused++;
        dedup_notice(d, KAP_DEDUP_LIMIT, NULL, NULL, NOBODY, "the outbox is full: the event was refused");
        return false;
    }
    if (e)
        mark_unlink(d, e);
    else
        e = entry_new(d, key);
    copy_text(e, r);
    e->time_ns = r->identity.time_ns;
    e->level = r->identity.level;
    e->previous = r->identity.previous;
    e->nth = r->identity.nth;
    e->stamp = r->stamp;
    e->accepted_at = d->now;
    for (size_t i = 0; i < r->ncopies; i++) {
        add_copy(e, &r->copies[i]);
        chain_learn(c, &r->copies[i]);
    }
    if (r->from != SELF) {
        bits_set(&e->has, r->from);
        bits_set(&e->ack_wait, r->from);
    }
    chain_insert(c, e);
    chain_remember(d, c, e, r);
    d->npending++;
    d->pending_bytes += e->blob.n;
    take_role(d, e);
    if (e->stored)
        ack_event(d, e);
    dedup_evaluate_all(d, e);
    dedup_settle(d, e);
    return true;
}

enum kap_status kap_dedup_submit(struct kap_dedup *d, const struct kap_dedup_identity *identity,
                                 struct kap_str blob, struct kap_error *err)
{
    dedup_enter(d);
    d->stats.submitted++;
    const struct topic *t = dedup_topic(d, identity->topic, false);
    struct chain *c = t ? kap_map_get(t->chains, identity->id) : NULL;
    const struct produced *before = c ? chain_copy(c, SELF) : NULL;
    const struct produced p = { .slot = SELF,
                                .sequence = ++d->last_sequence,
                                .previous = before ? before->sequence : 0 };
    const struct received r = { .identity = *identity,
                                .blob = blob,
                                .copies = &p,
                                .ncopies = 1,
                                .from = SELF,
                                .stamp = kap_hlc_now(&d->hlc, kap_clock_wall(d->config.clock)) };
    const bool ok = dedup_receive(d, &r);
    d->dirty = true; /* sent with the next tick, so that many events share a message */
    if (!ok)
        return kap_fail(err, KAP_ELIMIT, "the outbox is full: %zu events, %zu bytes are pending", d->npending,
                        d->pending_bytes);
    return KAP_OK;
}

/* ---- members ---- */

static int slot_for(struct kap_dedup *d, struct kap_str id)
{
    const int known = dedup_slot(d, id);
    if (known != NOBODY)
        return known;
    if (d->npeers == KAP_DEDUP_MEMBERS)
        return NOBODY;
    struct peer *p = &d->peers[d->npeers];
    *p = (struct peer){ .id = kap_strndup(id.p, id.n) };
    return (int)d->npeers++;
}

static bool counts_as_live(const struct kap_dedup *d, const struct peer *p)
{
    if (!p->listed || p->life == KAP_DEDUP_DEAD)
        return false;
    return p->life != KAP_DEDUP_UNKNOWN || d->now < d->start_until;
}

/* Everything that depends on who lives, again. */
static void members_changed(struct kap_dedup *d, bool live_changed)
{
    if (live_changed) {
        d->version++;
        d->unsure_until = d->now + d->config.settle_ns;
    }
    size_t n = 0, i = 0;
    void *p;
    struct entry **pending = KAP_ARRAY(struct entry *, d->npending + 1);
    while (kap_map_next(d->entries, &i, NULL, &p))
        if (((struct entry *)p)->chain)
            pending[n++] = p;
    for (i = 0; i < n; i++) {
        struct entry *e = pending[i];
        dedup_owners(d, e->chain->topic);
        if (e->chain->topic->rank != NOBODY && !e->accepted)
            take_role(d, e);
        e->resend_pause = RESEND_NS;
        e->resend_at = d->now;
        for (size_t k = 0; k < e->nhands; k++)
            dedup_begin_unless_asking(d, e, &e->hands[k]);
        dedup_evaluate_all(d, e);
        dedup_settle(d, e);
    }
    kap_free(pending);
}

static bool refresh_live(struct kap_dedup *d)
{
    bool changed = false;
    for (size_t i = 1; i < d->npeers; i++) {
        const bool live = counts_as_live(d, &d->peers[i]);
        changed |= live != d->peers[i].live;
        d->peers[i].live = live;
    }
    return changed;
}

void kap_dedup_members(struct kap_dedup *d, const struct kap_dedup_member *members, size_t n)
{
    dedup_enter(d);
    struct bits fresh = { 0 };
    bool was_linked[KAP_DEDUP_MEMBERS], was_live[KAP_DEDUP_MEMBERS];
    for (size_t i = 0; i < KAP_DEDUP_MEMBERS; i++) {
        was_linked[i] = d->peers[i].linked;
        was_live[i] = d->peers[i].live;
        d->peers[i].listed = i == SELF;
    }
    for (size_t i = 0; i < n; i++) {
        const int slot = slot_for(d, members[i].id);
        if (slot == SELF || slot == NOBODY)
            continue;
        d->peers[slot].listed = true;
        d->peers[slot].life = members[i].life;
        d->peers[slot].linked = members[i].linked;
    }
    const bool live_changed = refresh_live(d);
    for (size_t i = 1; i < d->npeers; i++) {
        struct peer *p = &d->peers[i];
        p->linked &= p->listed;
        if (p->live && p->linked && (!was_linked[i] || !was_live[i]))
            bits_set(&fresh, (int)i);
        if (!p->listed)
            kap_buf_reset(&p->out);
    }
    members_changed(d, live_changed);
    for (size_t i = 1; i < d->npeers; i++)
        if (bits_has(&fresh, (int)i))
            dedup_send_digests(d, (int)i);
    dedup_leave(d);
}

void kap_dedup_set_redundancy(struct kap_dedup *d, size_t redundancy)
{
    dedup_enter(d);
    if (redundancy != d->config.redundancy) {
        d->config.redundancy = redundancy;
        members_changed(d, true);
    }
    dedup_leave(d);
}

/* ---- life ---- */

struct kap_dedup *kap_dedup_new(const struct kap_dedup_config *config, const struct kap_dedup_io *io)
{
    struct kap_dedup *d = KAP_NEW(struct kap_dedup);
    d->config = *config;
    d->io = *io;
    struct kap_dedup_config *c = &d->config;
#define DEFAULT(field, value) c->field = c->field ? c->field : (value)
    DEFAULT(delay_ns, 10 * KAP_S);
    DEFAULT(full_sync_ns, 5 * KAP_MINUTE);
    DEFAULT(ask_ns, KAP_S);
    DEFAULT(settle_ns, 3 * KAP_S);
    DEFAULT(start_ns, 5 * KAP_S);
    DEFAULT(max_pending, 1000000);
    DEFAULT(max_pending_bytes, (size_t)1 << 30);
    DEFAULT(max_marks, 262144);
    DEFAULT(mark_age_ns, KAP_HOUR);
#undef DEFAULT
    d->peers[SELF] = (struct peer){ .id = kap_strndup(config->self.p, config->self.n),
                                    .listed = true,
                                    .live = true,
                                    .life = KAP_DEDUP_ALIVE };
    c->self = kap_str(d->peers[SELF].id);
    d->npeers = 1;
    d->version = 1;
    d->topics = kap_map_new();
    d->entries = kap_map_new();
    d->handlers = kap_map_new();
    kap_heap_init(&d->due, by_due, moved);
    d->now = d->last_input = kap_clock_mono(c->clock);
    d->start_until = d->now + c->start_ns;
    d->renew_at = d->now + c->delay_ns / 3;
    d->full_at = d->now + c->full_sync_ns;
    /* Larger than in an earlier life, as long as the clock was not set back further than that life was long.
     */
    d->last_sequence = (uint64_t)(kap_clock_wall(c->clock) / KAP_US);
    return d;
}

static void free_topic(struct topic *t)
{
    size_t i = 0;
    void *p;
    while (kap_map_next(t->chains, &i, NULL, &p)) {
        struct chain *c = p;
        kap_free(c->id);
        kap_free(c->copies);
        kap_free(c);
    }
    kap_map_free(t->chains);
    kap_free(t->name);
    kap_free(t);
}

void kap_dedup_free(struct kap_dedup *d)
{
    if (!d)
        return;
    size_t i = 0;
    void *p;
    while (kap_map_next(d->entries, &i, NULL, &p))
        entry_free(p);
    for (i = 0; kap_map_next(d->topics, &i, NULL, &p);)
        free_topic(p);
    for (i = 0; kap_map_next(d->handlers, &i, NULL, &p);)
        kap_free(p);
    for (i = 0; i < d->npeers; i++) {
        kap_free(d->peers[i].id);
        kap_buf_done(&d->peers[i].out);
    }
    kap_map_free(d->entries);
    kap_map_free(d->topics);
    kap_map_free(d->handlers);
    kap_heap_done(&d->due);
    kap_free(d->storing);
    kap_free(d);
}

enum kap_status kap_dedup_load_event(struct kap_dedup *d, struct kap_dedup_key key, struct kap_str meta,
                                     struct kap_str blob, const struct kap_str *handlers, size_t nhandlers,
                                     struct kap_error *err)
{
    Kap__Rpc__DedupEvent *m = kap__rpc__dedup_event__unpack(NULL, meta.n, (const uint8_t *)meta.p);
    if (!m)
        return kap_fail(err, KAP_EINVAL, "a pending event in the outbox cannot be read");
    const struct received r = {
        .identity = { .task = kap_pb_str(m->task), .node = kap_pb_str(m->node), .run = kap_pb_str(m->run) },
        .blob = blob
    };
    struct entry *e = dedup_find(d, key);
    if (e && e->chain) {
        kap__rpc__dedup_event__free_unpacked(m, NULL);
        return KAP_OK;
    }
    if (e)
        mark_unlink(d, e);
    else
        e = entry_new(d, key);
    copy_text(e, &r);
    e->time_ns = m->time_ns;
    e->level = m->level;
    e->previous = m->previous;
    e->nth = m->nth;
    e->stamp = m->stamp;
    e->accepted = m->accepted != 0;
    e->accepted_at = d->now;
    e->recovered = e->stored = e->in_store = e->marked = true;
    e->complete = false;
    for (size_t i = 0; i < m->n_copies; i++) {
        const int slot = slot_for(d, kap_pb_str(m->copies[i]->copy));
        const struct produced p = { .slot = (uint8_t)slot, .sequence = m->copies[i]->sequence };
        if (slot != NOBODY)
            add_copy(e, &p);
    }
    for (size_t i = 0; i < nhandlers; i++)
        dedup_hand(d, e, handlers[i], true);
    chain_insert(dedup_chain(d, dedup_topic(d, kap_pb_str(m->topic), true), kap_pb_str(m->id), true), e);
    for (size_t i = 0; i < e->ncopies; i++)
        chain_learn(e->chain, &e->copies[i]);
    d->npending++;
    d->pending_bytes += e->blob.n;
    kap__rpc__dedup_event__free_unpacked(m, NULL);
    e->resend_at = d->now;
    dedup_due(d, e);
    return KAP_OK;
}

void kap_dedup_load_mark(struct kap_dedup *d, struct kap_dedup_key key, struct kap_str handler)
{
    struct entry *e = dedup_ghost(d, key);
    if (handler.n == 0) {
        e->complete = true;
        return;
    }
    struct hand *h = dedup_hand(d, e, handler, true);
    if (h && h->state != HAND_DONE) {
        h->state = HAND_DONE;
        e->ndone++;
    }
}

/* ---- every input ---- */

void dedup_enter(struct kap_dedup *d)
{
    const int64_t now = kap_clock_mono(d->config.clock);
    /* Ticks come at least every quarter of the delay, so a gap means that this process stood still: others
     * may have taken over what was ours. */
    if (now - d->last_input > d->config.delay_ns / 2 && d->npeers > 1)
        d->unsure_until = now + d->config.settle_ns;
    d->now = d->last_input = now;
}

void dedup_leave(struct kap_dedup *d)
{
    d->dirty = false;
    dedup_flush(d);
}

void kap_dedup_tick(struct kap_dedup *d)
{
    dedup_enter(d);
    if (d->start_until && d->now >= d->start_until) {
        d->start_until = 0;
        members_changed(d, refresh_live(d));
    }
    for (struct entry *e; (e = kap_heap_peek(&d->due)) && e->due <= d->now;)
        dedup_entry_tick(d, e);
    if (d->now >= d->renew_at) {
        dedup_renew(d);
        d->renew_at = d->now + d->config.delay_ns / 3;
    }
    if (d->now >= d->full_at) {
        d->full_at = d->now + d->config.full_sync_ns;
        for (size_t i = 1; i < d->npeers; i++)
            dedup_send_digests(d, (int)i);
    }
    marks_trim(d);
    dedup_leave(d);
}

int64_t kap_dedup_deadline(const struct kap_dedup *d)
{
    if (d->dirty)
        return d->last_input;
    const struct entry *e = kap_heap_peek(&d->due);
    int64_t at = e ? e->due : INT64_MAX;
    if (d->npeers > 1)
        at = KAP_MIN(at, d->last_input + d->config.delay_ns / 4);
    if (d->start_until)
        at = KAP_MIN(at, d->start_until);
    return at;
}

void kap_dedup_drain(struct kap_dedup *d)
{
    dedup_enter(d);
    d->draining = true;
    members_changed(d, false);
    dedup_leave(d);
}

struct kap_dedup_stats kap_dedup_stats(const struct kap_dedup *d)
{
    struct kap_dedup_stats s = d->stats;
    s.pending = d->npending;
    s.pending_bytes = d->pending_bytes;
    s.marks = d->nmarks;
    s.states = d->nstates;
    s.busy = d->nrunning + d->nhanding;
    return s;
}
