/* The failure detector: direct, indirect and TCP probes, pings for others, and the health score of Lifeguard. */
#include "cluster/swim_impl.h"

void swim_health(struct kap_swim *s, int delta)
{
    const int top = (int)s->cfg.health_max - 1;
    int health = (int)s->health + delta;
    if (s->cfg.faults.no_lifeguard)
        health = 0;
    s->health = (unsigned)(health < 0 ? 0 : health > top ? top : health);
}

/* ---- sending ---- */

static void put_ping(struct kap_swim *s, struct kap_buf *b, struct kap_str node, uint32_t seq)
{
    const struct kap_wire_ping ping = {
        .node = node,
        .seq = seq,
        .source_addr = swim_addr_ip(&s->self->pub.addr),
        .source_node = swim_name(s->self),
        .source_port = s->self->pub.addr.port,
    };
    kap_wire_put(b, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
}

/* Buddy: a suspect is told at once, so that it can refute. */
static void ping_suspect(struct kap_swim *s, const struct swim_node *target, struct kap_str ping)
{
    KAP_AUTO_BUF struct kap_buf suspect = { 0 };
    const struct kap_wire_accusation a = { .from = swim_name(s->self), .node = swim_name(target),
                                           .incarnation = target->pub.incarnation };
    kap_wire_put(&suspect, KAP_WIRE_SUSPECT, &kap_wire_accusation_desc, &a);
    swim_send_pair(s, &target->pub.addr, ping, kap_buf_str(&suspect));
}

static void start_probe(struct kap_swim *s, struct swim_node *target)
{
    s->stats.probes++;
    s->probe = (struct swim_probe){
        .running = true,
        .target = target,
        .seq = ++s->seq,
        .indirect_ns = s->now_ns + s->cfg.probe_timeout_ns,
        .end_ns = s->now_ns + s->cfg.probe_interval_ns * (int64_t)(s->health + 1),
    };
    KAP_AUTO_BUF struct kap_buf ping = { 0 };
    put_ping(s, &ping, swim_name(target), s->probe.seq);
    if (target->state == KAP_WIRE_STATE_SUSPECT)
        ping_suspect(s, target, kap_buf_str(&ping));
    else
        swim_send_piggyback(s, &target->pub.addr, kap_buf_str(&ping));
}

static bool is_helper(const struct kap_swim *s, const struct swim_node *node, const void *target)
{
    (void)s;
    return node->state == KAP_WIRE_STATE_ALIVE && node != target;
}

static bool speaks(const struct swim_node *node, uint8_t protocol)
{
    return node->vsn.n > 1 && node->vsn.v[1] >= protocol;
}

static void probe_indirectly(struct kap_swim *s)
{
    struct swim_probe *const probe = &s->probe;
    struct swim_node *helpers[8];
    const size_t wanted = s->cfg.faults.no_indirect ? 0 : KAP_MIN(s->cfg.indirect_probes, KAP_COUNT(helpers));
    const size_t n = swim_pick(s, wanted, helpers, is_helper, probe->target);
    probe->indirect = true;
    for (size_t i = 0; i < n; i++) {
        const bool nack = speaks(helpers[i], 4);
        const struct kap_wire_indirect_ping ask = {
            .nack = nack,
            .node = swim_name(probe->target),
            .target = swim_addr_ip(&probe->target->pub.addr),
            .port = probe->target->pub.addr.port,
            .seq = probe->seq,
            .source_addr = swim_addr_ip(&s->self->pub.addr),
            .source_node = swim_name(s->self),
            .source_port = s->self->pub.addr.port,
        };
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_wire_put(&b, KAP_WIRE_INDIRECT_PING, &kap_wire_indirect_ping_desc, &ask);
        s->stats.indirect_probes++;
        probe->nacks_expected += nack;
        swim_send_piggyback(s, &helpers[i]->pub.addr, kap_buf_str(&b));
    }
    if (!s->cfg.faults.no_indirect && speaks(probe->target, 3))
        probe->tcp_stream = swim_tcp_ping(s, probe->target, probe->seq, probe->end_ns);
}

/* ---- the course of a probe ---- */

static void probe_failed(struct kap_swim *s)
{
    struct swim_probe *const probe = &s->probe;
    struct swim_node *const target = probe->target;
    s->stats.probes_failed++;
    if (probe->nacks_expected > 0)
        swim_health(s, (int)probe->nacks_expected - (int)KAP_MIN(probe->nacks, probe->nacks_expected));
    else
        swim_health(s, 1);
    const struct kap_wire_accusation a = { .from = swim_name(s->self), .node = swim_name(target),
                                           .incarnation = target->pub.incarnation };
    *probe = (struct swim_probe){ 0 };
    s->stats.suspicions++;
    swim_handle_suspect(s, &a);
}

static void probe_end(struct kap_swim *s)
{
    if (!s->probe.tcp_answered) {
        probe_failed(s);
        return;
    }
    /* Only UDP seems to be blocked. */
    s->stats.tcp_probes_answered++;
    s->probe = (struct swim_probe){ 0 };
    swim_health(s, -1);
}

void swim_tcp_ping_done(struct kap_swim *s, uint64_t stream, bool answered)
{
    if (s->probe.running && s->probe.tcp_stream == stream)
        s->probe.tcp_answered = answered;
}

/* At the end of a round: forget who is long gone, shuffle. */
static void new_round(struct kap_swim *s)
{
    for (size_t i = s->n_ring; i-- > 0;) {
        struct swim_node *const node = s->ring[i];
        const bool gone = node->state == KAP_WIRE_STATE_DEAD || node->state == KAP_WIRE_STATE_LEFT;
        if (gone && node != s->self && s->now_ns - node->state_ns > s->cfg.gossip_to_dead_ns)
            swim_unlist(s, node);
    }
    for (size_t i = s->n_ring; i > 1; i--) {
        const size_t j = (size_t)kap_random_below(&s->random, i);
        struct swim_node *const other = s->ring[j];
        s->ring[j] = s->ring[i - 1];
        s->ring[i - 1] = other;
    }
    for (size_t i = 0; i < s->n_ring; i++)
        s->ring[i]->ring_at = i;
    s->ring_next = 0;
}

static struct swim_node *next_target(struct kap_swim *s)
{
    const size_t n = s->n_ring;
    for (size_t seen = 0; seen <= n; seen++) {
        if (s->ring_next >= s->n_ring)
            new_round(s);
        if (s->n_ring == 0)
            return NULL;
        struct swim_node *const node = s->ring[s->ring_next++];
        if (node != s->self && (node->state == KAP_WIRE_STATE_ALIVE || node->state == KAP_WIRE_STATE_SUSPECT))
            return node;
    }
    return NULL;
}

void swim_probe_tick(struct kap_swim *s)
{
    if (s->probe.running && !s->probe.indirect && s->now_ns >= s->probe.indirect_ns)
        probe_indirectly(s);
    if (s->probe.running && s->now_ns >= s->probe.end_ns)
        probe_end(s);
    if (s->now_ns < s->probe_ns)
        return;
    const int64_t beats = (s->now_ns - s->probe_ns) / s->cfg.probe_interval_ns + 1;
    s->probe_ns += beats * s->cfg.probe_interval_ns;
    struct swim_node *target = s->probe.running ? NULL : next_target(s);
    if (target)
        start_probe(s, target);
}

/* ---- answering ---- */

/* Where an answer goes: to the source that the message names, else to where the datagram came from. */
static struct kap_swim_addr answer_addr(struct kap_str ip, uint16_t port, const struct kap_swim_addr *from)
{
    struct kap_swim_addr addr;
    if (port && swim_addr_from(ip, port, &addr))
        return addr;
    return *from;
}

static void send_ack(struct kap_swim *s, const struct kap_swim_addr *to, uint32_t seq)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_wire_ack ack = { .seq = seq };
    kap_wire_put(&b, KAP_WIRE_ACK, &kap_wire_ack_desc, &ack);
    swim_send_piggyback(s, to, kap_buf_str(&b));
}

/* Ours alone: who probes us takes us for a member. If it is none to us, gossip passed us by (it reaches 98 of 100)
 * or we gave it up wrongly: an exchange of tables settles it at once instead of at the next regular one. */
static void meet_stranger(struct kap_swim *s, const struct kap_wire_ping *ping, const struct kap_swim_addr *addr)
{
    const struct swim_node *const node = swim_find(s, ping->source_node);
    const bool stranger = !node || node->serf == SERF_FAILED || node->serf == SERF_LEFT;
    if (ping->source_node.n == 0 || !stranger || s->now_ns < s->stranger_ns ||
        s->leave != LEAVE_NO)
        return;
    s->stranger_ns = s->now_ns + KAP_S;
    swim_push_pull(s, addr, false, false);
}

void swim_handle_ping(struct kap_swim *s, struct kap_str body, const struct kap_swim_addr *from)
{
    struct kap_wire_ping ping;
    if (!KAP_WIRE_GET(body, kap_wire_ping_desc, &ping)) {
        s->stats.bad_datagrams++;
        return;
    }
    if (ping.node.n && !kap_str_eq(ping.node, swim_name(s->self)))
        return;
    /* Who was refused gets no answer, so that it drops us as well. */
    if (ping.source_node.n && swim_is_refused(s, ping.source_node))
        return;
    const struct kap_swim_addr to = answer_addr(ping.source_addr, ping.source_port, from);
    send_ack(s, &to, ping.seq);
    meet_stranger(s, &ping, &to);
}

static struct swim_ping *new_ping(struct kap_swim *s)
{
    if (s->n_pings == SWIM_RELAYS)
        return NULL;
    struct swim_ping *const ping = &s->pings[s->n_pings++];
    *ping = (struct swim_ping){ .seq = ++s->seq, .until_ns = s->now_ns + s->cfg.probe_timeout_ns };
    return ping;
}

void swim_handle_indirect_ping(struct kap_swim *s, struct kap_str body, const struct kap_swim_addr *from)
{
    struct kap_wire_indirect_ping ask;
    struct kap_swim_addr target;
    if (!KAP_WIRE_GET(body, kap_wire_indirect_ping_desc, &ask) || !swim_addr_from(ask.target, ask.port, &target)) {
        s->stats.bad_datagrams++;
        return;
    }
    struct swim_ping *const relay = new_ping(s);
    if (!relay)
        return;
    s->stats.relays++;
    relay->kind = SWIM_PING_RELAY;
    relay->asked_seq = ask.seq;
    relay->nack = ask.nack;
    relay->addr = answer_addr(ask.source_addr, ask.source_port, from);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    put_ping(s, &b, ask.node, relay->seq);
    swim_send_piggyback(s, &target, kap_buf_str(&b));
}

void swim_handle_ack(struct kap_swim *s, struct kap_str body)
{
    struct kap_wire_ack ack;
    if (!KAP_WIRE_GET(body, kap_wire_ack_desc, &ack)) {
        s->stats.bad_datagrams++;
        return;
    }
    if (s->probe.running && s->probe.seq == ack.seq) {
        s->probe = (struct swim_probe){ 0 };
        swim_health(s, -1);
        return;
    }
    for (size_t i = 0; i < s->n_pings; i++) {
        if (s->pings[i].seq != ack.seq)
            continue;
        const struct swim_ping ping = s->pings[i];
        s->pings[i] = s->pings[--s->n_pings];
        if (ping.kind == SWIM_PING_RELAY)
            send_ack(s, &ping.addr, ping.asked_seq);
        else
            swim_push_pull(s, &ping.addr, true, false);
        return;
    }
}

void swim_handle_nack(struct kap_swim *s, struct kap_str body)
{
    struct kap_wire_nack nack;
    if (!KAP_WIRE_GET(body, kap_wire_nack_desc, &nack))
        s->stats.bad_datagrams++;
    else if (s->probe.running && s->probe.seq == nack.seq)
        s->probe.nacks++;
}

/* Pings that were not answered in time. */
void swim_pings_tick(struct kap_swim *s)
{
    for (size_t i = s->n_pings; i-- > 0;) {
        if (s->pings[i].until_ns > s->now_ns)
            continue;
        const struct swim_ping ping = s->pings[i];
        s->pings[i] = s->pings[--s->n_pings];
        if (ping.kind != SWIM_PING_RELAY || !ping.nack)
            continue;
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        const struct kap_wire_nack nack = { .seq = ping.asked_seq };
        kap_wire_put(&b, KAP_WIRE_NACK, &kap_wire_nack_desc, &nack);
        swim_send_piggyback(s, &ping.addr, kap_buf_str(&b));
    }
}

/* One failed member is pinged, and joined when it answers. A dead one costs a datagram. */
static void ping_failed(struct kap_swim *s)
{
    const size_t failed = swim_count(s, swim_node_failed);
    if (failed == 0)
        return;
    size_t skip = (size_t)kap_random_below(&s->random, failed), i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->nodes, &i, &key, &value)) {
        const struct swim_node *const node = value;
        if (!swim_node_failed(node) || skip-- > 0)
            continue;
        struct swim_ping *const ping = new_ping(s);
        if (!ping)
            return;
        ping->kind = SWIM_PING_HEAL;
        ping->addr = node->pub.addr;
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        put_ping(s, &b, key, ping->seq);
        swim_send_bare(s, &ping->addr, kap_buf_str(&b), false);
        return;
    }
}

static bool is_suspect(const struct kap_swim *s, const struct swim_node *node, const void *arg)
{
    (void)s;
    (void)arg;
    return node->state == KAP_WIRE_STATE_SUSPECT;
}

/* A few suspects are told that they are, ahead of their turn in the round of probes. */
static void ping_suspects(struct kap_swim *s)
{
    struct swim_node *suspects[SWIM_HEAL_SUSPECTS];
    const size_t n = swim_pick(s, KAP_COUNT(suspects), suspects, is_suspect, NULL);
    for (size_t i = 0; i < n; i++) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        put_ping(s, &b, swim_name(suspects[i]), ++s->seq);
        ping_suspect(s, suspects[i], kap_buf_str(&b));
    }
}

/* Ours alone: once a second suspects and one of the failed members are pinged, so that a healed partition is one
 * cluster again within about two seconds instead of half a minute. */
void swim_heal_tick(struct kap_swim *s)
{
    if (s->now_ns < s->heal_ns)
        return;
    const int64_t beats = (s->now_ns - s->heal_ns) / s->cfg.heal_interval_ns + 1;
    s->heal_ns += beats * s->cfg.heal_interval_ns;
    if (s->leave != LEAVE_NO)
        return;
    ping_suspects(s);
    ping_failed(s);
}
