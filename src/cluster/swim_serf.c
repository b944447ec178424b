/* The Serf layer: Lamport clocks, join and leave intents, user events, the state that rides in push/pulls, and the
 * graceful leave. */
#include "cluster/swim_impl.h"

enum { EVENT_MEMORY_BYTES = 1 << 20, INTENT_SECONDS = 300 };

/* ---- clocks ---- */

static void witness(uint64_t *clock, uint64_t seen)
{
    if (seen >= *clock && seen < UINT64_MAX)
        *clock = seen + 1;
}

static void forget_intents(struct kap_swim *s)
{
    size_t i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->intents, &i, &key, &value))
        kap_free(value);
    kap_map_free(s->intents);
    s->intents = kap_map_new();
}

void swim_serf_reset(struct kap_swim *s)
{
    s->clock = KAP_MAX(s->clock, 1);
    s->event_clock = KAP_MAX(s->event_clock, 1);
    s->query_clock = KAP_MAX(s->query_clock, 1);
    s->event_bytes = 0;
    for (size_t i = 0; i < SWIM_RING; i++) {
        kap_buf_done(&s->events[i].events);
        s->events[i] = (struct swim_event_slot){ 0 };
        s->queries[i] = (struct swim_query_slot){ 0 };
    }
    forget_intents(s);
}

/* ---- members come and go ---- */

void swim_serf_up(struct kap_swim *s, struct swim_node *node)
{
    if (node->serf == SERF_NONE) {
        struct swim_intent *const intent = kap_map_del(s->intents, swim_name(node));
        const bool leaving = intent && intent->leave && intent->ltime > node->status_ltime;
        if (intent)
            node->status_ltime = KAP_MAX(node->status_ltime, intent->ltime);
        kap_free(intent);
        swim_set_serf(s, node, leaving ? SERF_LEAVING : SERF_ALIVE);
    } else {
        swim_set_serf(s, node, SERF_ALIVE);
    }
    swim_emit(s, KAP_SWIM_EV_ALIVE, node, NULL, "");
}

void swim_serf_gone(struct kap_swim *s, struct swim_node *node, const char *by)
{
    const bool left = node->serf == SERF_LEAVING || node->state == KAP_WIRE_STATE_LEFT;
    swim_set_serf(s, node, left ? SERF_LEFT : SERF_FAILED);
    if (node != s->self)
        swim_emit(s, left ? KAP_SWIM_EV_LEFT : KAP_SWIM_EV_FAILED, node, NULL, by);
}

/* ---- intents ---- */

static void queue_serf(struct kap_swim *s, enum swim_queue queue, struct kap_str message)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addc(&b, KAP_WIRE_USER);
    kap_buf_add(&b, message);
    swim_queue(s, queue, (struct kap_str){ NULL, 0 }, kap_buf_str(&b));
}

static void queue_join_intent(struct kap_swim *s, struct kap_str name)
{
    const struct kap_serf_join join = { .ltime = s->clock++, .node = name };
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_wire_put(&b, KAP_SERF_JOIN, &kap_serf_join_desc, &join);
    s->self->status_ltime = join.ltime;
    queue_serf(s, QUEUE_INTENTS, kap_buf_str(&b));
}

void swim_serf_join_intent(struct kap_swim *s)
{
    queue_join_intent(s, swim_name(s->self));
}

void swim_serf_leave_intent(struct kap_swim *s, struct kap_str name, bool prune)
{
    const struct kap_serf_leave leave = { .ltime = s->clock++, .node = name, .prune = prune };
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_wire_put(&b, KAP_SERF_LEAVE, &kap_serf_leave_desc, &leave);
    queue_serf(s, QUEUE_INTENTS, kap_buf_str(&b));
}

/* About a member not yet known. True: news. */
static bool remember_intent(struct kap_swim *s, struct kap_str name, bool leave, uint64_t ltime)
{
    struct swim_intent *intent = kap_map_get(s->intents, name);
    if (intent && intent->ltime >= ltime)
        return false;
    if (!intent) {
        if (kap_map_len(s->intents) >= SWIM_INTENTS)
            return false;
        intent = KAP_NEW(struct swim_intent);
        kap_map_put(s->intents, name, intent);
    }
    *intent = (struct swim_intent){ .leave = leave, .ltime = ltime, .since_ns = s->now_ns };
    return true;
}

void swim_serf_expire_intents(struct kap_swim *s)
{
    size_t i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->intents, &i, &key, &value)) {
        const struct swim_intent *const intent = value;
        if (s->now_ns - intent->since_ns < INTENT_SECONDS * KAP_S)
            continue;
        kap_map_del(s->intents, key);
        kap_free(value);
    }
}

static bool take_join_intent(struct kap_swim *s, struct kap_str name, uint64_t ltime)
{
    witness(&s->clock, ltime);
    struct swim_node *const node = swim_find(s, name);
    if (!node)
        return remember_intent(s, name, false, ltime);
    if (ltime <= node->status_ltime)
        return false;
    node->status_ltime = ltime;
    if (node->serf == SERF_LEAVING && node != s->self)
        swim_set_serf(s, node, SERF_ALIVE);
    return true;
}

/* True: to be passed on. */
static bool take_leave_intent(struct kap_swim *s, struct kap_str name, uint64_t ltime, bool prune)
{
    witness(&s->clock, ltime);
    struct swim_node *const node = swim_find(s, name);
    if (!node)
        return remember_intent(s, name, true, ltime);
    if (ltime <= node->status_ltime)
        return false;
    if (node == s->self) {
        if (s->leave == LEAVE_NO)
            queue_join_intent(s, swim_name(node));
        return false;
    }
    node->status_ltime = ltime;
    if (node->serf == SERF_ALIVE) {
        swim_set_serf(s, node, SERF_LEAVING);
        swim_emit(s, KAP_SWIM_EV_LEAVING, node, NULL, "");
    } else if (node->serf == SERF_FAILED) {
        swim_set_serf(s, node, SERF_LEFT);
        swim_emit(s, KAP_SWIM_EV_LEFT, node, NULL, "");
    }
    if (prune && node->serf == SERF_LEFT)
        swim_erase(s, node, true);
    return true;
}

/* ---- user events: passed on for stock members, remembered so that each is passed on once ---- */

static bool slot_has(const struct swim_event_slot *slot, struct kap_str encoded)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(kap_buf_str(&slot->events));
    for (uint32_t i = 0; i < slot->n; i++)
        if (kap_str_eq(kap_msgpack_skip(&r), encoded))
            return true;
    return false;
}

/* True: not seen before. */
static bool remember_event(struct kap_swim *s, uint64_t ltime, struct kap_str name, struct kap_str payload)
{
    witness(&s->event_clock, ltime);
    if (s->event_clock > SWIM_RING && ltime < s->event_clock - SWIM_RING)
        return false;
    struct swim_event_slot *const slot = &s->events[ltime % SWIM_RING];
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_serf_slot_event event = { .name = name, .payload = payload };
    kap_msgpack_put(&b, &kap_serf_slot_event_desc, &event);
    if (slot->ltime == ltime && slot_has(slot, kap_buf_str(&b)))
        return false;
    if (slot->ltime != ltime) {
        s->event_bytes -= slot->events.n;
        kap_buf_done(&slot->events);
        *slot = (struct swim_event_slot){ .ltime = ltime };
    }
    if (s->event_bytes + b.n > EVENT_MEMORY_BYTES)
        return false; /* what cannot be remembered must not circulate */
    kap_buf_add(&slot->events, kap_buf_str(&b));
    slot->n++;
    s->event_bytes += b.n;
    return true;
}

/* ---- dispatch ---- */

static void handle_leave(struct kap_swim *s, struct kap_str body, struct kap_str message)
{
    struct kap_serf_leave leave;
    if (!KAP_WIRE_GET(body, kap_serf_leave_desc, &leave) || leave.node.n == 0)
        s->stats.bad_datagrams++;
    else if (take_leave_intent(s, leave.node, leave.ltime, leave.prune))
        queue_serf(s, QUEUE_INTENTS, message);
}

static void handle_join(struct kap_swim *s, struct kap_str body, struct kap_str message)
{
    struct kap_serf_join join;
    if (!KAP_WIRE_GET(body, kap_serf_join_desc, &join) || join.node.n == 0)
        s->stats.bad_datagrams++;
    else if (take_join_intent(s, join.node, join.ltime))
        queue_serf(s, QUEUE_INTENTS, message);
}

static void handle_event(struct kap_swim *s, struct kap_str body, struct kap_str message)
{
    struct kap_serf_event event;
    if (!KAP_WIRE_GET(body, kap_serf_event_desc, &event))
        s->stats.bad_datagrams++;
    else if (remember_event(s, event.ltime, event.name, event.payload) && message.n < KAP_WIRE_PACKET_BYTES)
        queue_serf(s, QUEUE_EVENTS, message); /* a larger one would stay queued and never fit */
}

void swim_serf_message(struct kap_swim *s, struct kap_str message, const struct kap_swim_addr *from)
{
    (void)from;
    if (message.n == 0)
        return;
    const struct kap_str body = kap_strn(message.p + 1, message.n - 1);
    switch ((enum kap_serf_type)(uint8_t)message.p[0]) {
    case KAP_SERF_LEAVE:
        handle_leave(s, body, message);
        return;
    case KAP_SERF_JOIN:
        handle_join(s, body, message);
        return;
    case KAP_SERF_EVENT:
        handle_event(s, body, message);
        return;
    case KAP_SERF_QUERY:
        swim_handle_query(s, body, message);
        return;
    case KAP_SERF_RELAY:
        swim_handle_relay(s, body);
        return;
    case KAP_SERF_PUSH_PULL:
    case KAP_SERF_QUERY_RESPONSE: /* we ask nothing */
    case KAP_SERF_CONFLICT_RESPONSE:
    case KAP_SERF_KEY_REQUEST:
    case KAP_SERF_KEY_RESPONSE:
        return;
    }
    s->stats.bad_datagrams++;
}

/* ---- the user state of a push/pull ---- */

static void put_events(const struct kap_swim *s, struct kap_buf *b)
{
    size_t used = 0;
    for (size_t i = 0; i < SWIM_RING; i++)
        used += s->events[i].n > 0;
    kap_msgpack_put_array(b, used);
    for (size_t i = 0; i < SWIM_RING; i++) {
        const struct swim_event_slot *const slot = &s->events[i];
        if (slot->n == 0)
            continue;
        KAP_AUTO_BUF struct kap_buf list = { 0 };
        kap_msgpack_put_array(&list, slot->n);
        kap_buf_add(&list, kap_buf_str(&slot->events));
        const struct kap_serf_slot wire = { .ltime = slot->ltime, .events = kap_buf_str(&list) };
        kap_msgpack_put(b, &kap_serf_slot_desc, &wire);
    }
}

void swim_serf_state_put(struct kap_swim *s, struct kap_buf *b)
{
    KAP_AUTO_BUF struct kap_buf status = { 0 };
    KAP_AUTO_BUF struct kap_buf left = { 0 };
    KAP_AUTO_BUF struct kap_buf left_names = { 0 };
    KAP_AUTO_BUF struct kap_buf events = { 0 };
    size_t i = 0, n_left = 0;
    struct kap_str name;
    void *value;
    kap_msgpack_put_map(&status, kap_map_len(s->nodes));
    while (kap_map_next(s->nodes, &i, &name, &value)) {
        const struct swim_node *const node = value;
        kap_msgpack_put_raw(&status, name);
        kap_msgpack_put_uint(&status, node->status_ltime);
        if (node->serf != SERF_LEFT)
            continue;
        kap_msgpack_put_raw(&left_names, name);
        n_left++;
    }
    kap_msgpack_put_array(&left, n_left);
    kap_buf_add(&left, kap_buf_str(&left_names));
    put_events(s, &events);
    const struct kap_serf_push_pull state = {
        .ltime = s->clock,
        .event_ltime = s->event_clock,
        .query_ltime = s->query_clock,
        .status_ltimes = kap_buf_str(&status),
        .left_members = kap_buf_str(&left),
        .events = kap_buf_str(&events),
    };
    kap_wire_put(b, KAP_SERF_PUSH_PULL, &kap_serf_push_pull_desc, &state);
}

static bool list_has(struct kap_str list, struct kap_str name)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(list);
    const uint32_t n = kap_msgpack_array(&r);
    for (uint32_t i = 0; i < n && r.state == KAP_MSGPACK_OK; i++)
        if (kap_str_eq(kap_msgpack_raw(&r), name))
            return r.state == KAP_MSGPACK_OK;
    return false;
}

static void take_statuses(struct kap_swim *s, const struct kap_serf_push_pull *state)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(state->status_ltimes);
    const uint32_t n = state->status_ltimes.p ? kap_msgpack_map(&r) : 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct kap_str name = kap_msgpack_raw(&r);
        const uint64_t ltime = kap_msgpack_uint(&r, UINT64_MAX - 1);
        if (r.state != KAP_MSGPACK_OK)
            return;
        if (name.n == 0)
            continue;
        if (state->left_members.p && list_has(state->left_members, name))
            take_leave_intent(s, name, ltime + 1, false);
        else
            take_join_intent(s, name, ltime);
    }
}

static void take_events(struct kap_swim *s, struct kap_str list)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(list);
    const uint32_t n = list.p ? kap_msgpack_array(&r) : 0;
    for (uint32_t i = 0; i < n && r.state == KAP_MSGPACK_OK; i++) {
        struct kap_serf_slot slot;
        if (kap_msgpack_is_nil(&r)) {
            kap_msgpack_skip(&r);
            continue;
        }
        kap_msgpack_get(&r, &kap_serf_slot_desc, &slot, sizeof slot);
        struct kap_msgpack_reader inner = kap_msgpack_reader(slot.events);
        const uint32_t n_inner = slot.events.p ? kap_msgpack_array(&inner) : 0;
        for (uint32_t j = 0; j < n_inner && r.state == KAP_MSGPACK_OK; j++) {
            struct kap_serf_slot_event event;
            kap_msgpack_get(&inner, &kap_serf_slot_event_desc, &event, sizeof event);
            if (inner.state != KAP_MSGPACK_OK)
                break;
            remember_event(s, slot.ltime, event.name, event.payload);
        }
    }
}

void swim_serf_state_get(struct kap_swim *s, struct kap_str state)
{
    struct kap_serf_push_pull got;
    if (state.n == 0 || state.p[0] != KAP_SERF_PUSH_PULL)
        return;
    if (!KAP_WIRE_GET(kap_strn(state.p + 1, state.n - 1), kap_serf_push_pull_desc, &got)) {
        s->stats.bad_streams++;
        return;
    }
    if (got.ltime > 0)
        witness(&s->clock, got.ltime - 1);
    if (got.event_ltime > 0)
        witness(&s->event_clock, got.event_ltime - 1);
    if (got.query_ltime > 0)
        witness(&s->query_clock, got.query_ltime - 1);
    take_statuses(s, &got);
    take_events(s, got.events);
}

/* ---- leaving ---- */

static bool anybody_else(const struct kap_swim *s)
{
    for (size_t i = 0; i < s->n_ring; i++) {
        const struct swim_node *const node = s->ring[i];
        if (node != s->self && (node->state == KAP_WIRE_STATE_ALIVE || node->state == KAP_WIRE_STATE_SUSPECT))
            return true;
    }
    return false;
}

static void finish_leave(struct kap_swim *s)
{
    s->leave = LEAVE_DONE;
    swim_emit(s, KAP_SWIM_EV_LEAVE_DONE, NULL, NULL, "");
}

void kap_swim_leave(struct kap_swim *s, int64_t now_ns)
{
    if (!s->enabled || s->leave != LEAVE_NO)
        return;
    s->now_ns = now_ns;
    swim_set_serf(s, s->self, SERF_LEAVING);
    if (!anybody_else(s)) {
        finish_leave(s);
        return;
    }
    swim_serf_leave_intent(s, swim_name(s->self), false);
    s->leave = LEAVE_INTENT;
    s->leave_broadcast = s->queues[QUEUE_INTENTS].last_id;
    s->leave_ns = now_ns + s->cfg.gossip_interval_ns;
}

/* The intent first, then the dead message: in the other order stock members call it a failure. */
static void leave_dead(struct kap_swim *s)
{
    const struct kap_str self = swim_name(s->self);
    const struct kap_wire_accusation dead = { .from = self, .node = self, .incarnation = s->incarnation };
    s->leave = LEAVE_DEAD;
    swim_handle_dead(s, &dead);
    s->leave_broadcast = s->queues[QUEUE_MEMBERS].last_id;
}

void swim_leave_tick(struct kap_swim *s)
{
    if ((s->leave != LEAVE_INTENT && s->leave != LEAVE_DEAD && s->leave != LEAVE_LINGER) || s->now_ns < s->leave_ns)
        return;
    const enum swim_queue queue = s->leave == LEAVE_INTENT ? QUEUE_INTENTS : QUEUE_MEMBERS;
    const bool waiting = s->leave != LEAVE_LINGER && kap_broadcasts_has(&s->queues[queue], s->leave_broadcast);
    /* Looked at on every gossip beat, up to the time limit of each step. */
    s->leave_ns = s->now_ns + s->cfg.gossip_interval_ns;
    s->leave_waited_ns += s->cfg.gossip_interval_ns;
    if (waiting && s->leave_waited_ns < s->cfg.leave_timeout_ns)
        return;
    s->leave_waited_ns = 0;
    if (s->leave == LEAVE_INTENT) {
        leave_dead(s);
    } else if (s->leave == LEAVE_DEAD) {
        s->leave = LEAVE_LINGER;
        s->leave_ns = s->now_ns + s->cfg.leave_linger_ns;
    } else {
        finish_leave(s);
    }
}
