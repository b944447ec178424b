/* Datagrams: what goes out in them, what comes in. */
#include "cluster/swim_impl.h"

/* ---- out ---- */

void swim_queue(struct kap_swim *s, enum swim_queue queue, struct kap_str key, struct kap_str message)
{
    if (!swim_queued(s) && s->gossip_ns <= s->now_ns) {
        /* Ticks with nothing to say are left out; the beat goes on. */
        const int64_t missed = (s->now_ns - s->gossip_ns) / s->cfg.gossip_interval_ns + 1;
        s->gossip_ns += missed * s->cfg.gossip_interval_ns;
    }
    kap_broadcasts_put(&s->queues[queue], key, message);
}

bool swim_queued(const struct kap_swim *s)
{
    for (int i = 0; i < N_QUEUES; i++)
        if (s->queues[i].n > 0)
            return true;
    return false;
}

static void pick_broadcasts(struct kap_swim *s)
{
    const unsigned members = swim_retransmit_limit(s, s->n_ring);
    const unsigned serf = swim_retransmit_limit(s, kap_map_len(s->nodes));
    for (int i = 0; i < N_QUEUES; i++)
        kap_broadcasts_pick(&s->queues[i], &s->packet, i == QUEUE_MEMBERS ? members : serf);
}

static size_t packet_room(const struct kap_swim *s)
{
    return KAP_WIRE_PACKET_BYTES - kap_seal_overhead(&s->cfg.seal);
}

static void send_packet(struct kap_swim *s, const struct kap_swim_addr *to, bool crc)
{
    if (s->packet.n == 0 || to->n == 0)
        return;
    kap_buf_reset(&s->packet_buf);
    kap_packet_finish(&s->packet, &s->packet_buf);
    struct kap_str message = kap_buf_str(&s->packet_buf);
    KAP_AUTO_BUF struct kap_buf checked = { 0 };
    if (crc) {
        kap_wire_crc_put(&checked, message);
        message = kap_buf_str(&checked);
    }
    kap_buf_reset(&s->sealed_buf);
    kap_seal_datagram(&s->cfg.seal, message, &s->sealed_buf);
    s->stats.datagrams_out++;
    s->stats.bytes_out += s->sealed_buf.n;
    s->io.send(s->io.ctx, to, kap_buf_str(&s->sealed_buf));
}

void swim_send_piggyback(struct kap_swim *s, const struct kap_swim_addr *to, struct kap_str message)
{
    kap_packet_start(&s->packet, packet_room(s));
    kap_packet_add(&s->packet, message);
    pick_broadcasts(s);
    send_packet(s, to, false);
}

void swim_send_bare(struct kap_swim *s, const struct kap_swim_addr *to, struct kap_str message, bool crc)
{
    kap_packet_start(&s->packet, packet_room(s));
    kap_packet_add(&s->packet, message);
    send_packet(s, to, crc);
}

void swim_send_pair(struct kap_swim *s, const struct kap_swim_addr *to, struct kap_str a, struct kap_str b)
{
    kap_packet_start(&s->packet, packet_room(s));
    kap_packet_add(&s->packet, a);
    kap_packet_add(&s->packet, b);
    send_packet(s, to, true);
}

/* Alive, suspect, or dead for so short a time that it may want to refute; never left ones. */
static bool wants_gossip(const struct kap_swim *s, const struct swim_node *node, const void *arg)
{
    (void)arg;
    switch (node->state) {
    case KAP_WIRE_STATE_ALIVE:
    case KAP_WIRE_STATE_SUSPECT:
        return true;
    case KAP_WIRE_STATE_DEAD:
        return s->now_ns - node->state_ns <= s->cfg.gossip_to_dead_ns;
    case KAP_WIRE_STATE_LEFT:
        break;
    }
    return false;
}

void swim_gossip_tick(struct kap_swim *s)
{
    if (s->now_ns < s->gossip_ns || !swim_queued(s))
        return;
    const int64_t beats = (s->now_ns - s->gossip_ns) / s->cfg.gossip_interval_ns + 1;
    s->gossip_ns += beats * s->cfg.gossip_interval_ns;
    struct swim_node *to[16];
    const size_t n = swim_pick(s, KAP_MIN(s->cfg.gossip_nodes, KAP_COUNT(to)), to, wants_gossip, NULL);
    for (size_t i = 0; i < n && swim_queued(s); i++) {
        kap_packet_start(&s->packet, packet_room(s));
        pick_broadcasts(s);
        send_packet(s, &to[i]->pub.addr, to[i]->vsn.n > 1 && to[i]->vsn.v[1] >= 5);
    }
}

/* ---- in ---- */

struct inbound {
    struct kap_swim *s;
    const struct kap_swim_addr *from;
    int depth;
};

static void dispatch(struct inbound *in, struct kap_str message);

static void dispatch_part(void *ctx, struct kap_str part)
{
    dispatch(ctx, part);
}

static void dispatch_compressed(struct inbound *in, struct kap_str body)
{
    KAP_AUTO_BUF struct kap_buf plain = { 0 };
    if (kap_wire_compress_get(body, KAP_WIRE_INFLATED_DATAGRAM_BYTES, &plain, NULL) != KAP_OK) {
        in->s->stats.bad_datagrams++;
        return;
    }
    dispatch(in, kap_buf_str(&plain));
}

static bool handle_membership(struct kap_swim *s, enum kap_wire_type type, struct kap_str body)
{
    struct kap_wire_accusation accusation;
    struct kap_wire_alive alive;
    if (type == KAP_WIRE_ALIVE) {
        if (!KAP_WIRE_GET(body, kap_wire_alive_desc, &alive))
            return false;
        swim_handle_alive(s, &alive);
        return true;
    }
    if (!KAP_WIRE_GET(body, kap_wire_accusation_desc, &accusation))
        return false;
    if (type == KAP_WIRE_SUSPECT)
        swim_handle_suspect(s, &accusation);
    else
        swim_handle_dead(s, &accusation);
    return true;
}

static void dispatch_type(struct inbound *in, enum kap_wire_type type, struct kap_str body)
{
    struct kap_swim *const s = in->s;
    switch (type) {
    case KAP_WIRE_PING:
        swim_handle_ping(s, body, in->from);
        return;
    case KAP_WIRE_INDIRECT_PING:
        swim_handle_indirect_ping(s, body, in->from);
        return;
    case KAP_WIRE_ACK:
        swim_handle_ack(s, body);
        return;
    case KAP_WIRE_NACK:
        swim_handle_nack(s, body);
        return;
    case KAP_WIRE_ALIVE:
    case KAP_WIRE_SUSPECT:
    case KAP_WIRE_DEAD:
        if (!handle_membership(s, type, body))
            s->stats.bad_datagrams++;
        return;
    case KAP_WIRE_COMPOUND:
        kap_wire_compound_get(body, dispatch_part, in);
        return;
    case KAP_WIRE_COMPRESS:
        dispatch_compressed(in, body);
        return;
    case KAP_WIRE_USER:
        swim_serf_message(s, body, in->from);
        return;
    case KAP_WIRE_PUSH_PULL:
    case KAP_WIRE_ENCRYPT:
    case KAP_WIRE_CRC:
    case KAP_WIRE_ERR:
    case KAP_WIRE_LABEL:
        break; /* not in datagrams, or not here */
    }
    s->stats.bad_datagrams++;
}

static void dispatch(struct inbound *in, struct kap_str message)
{
    /* An empty message is where stock members before 0.2.4 die. */
    if (message.n == 0 || in->depth >= SWIM_NESTING) {
        in->s->stats.bad_datagrams++;
        return;
    }
    in->depth++;
    dispatch_type(in, (enum kap_wire_type)(uint8_t)message.p[0], kap_strn(message.p + 1, message.n - 1));
    in->depth--;
}

void kap_swim_datagram(struct kap_swim *s, const struct kap_swim_addr *from, struct kap_str bytes, int64_t now_ns)
{
    if (!s->enabled)
        return;
    s->now_ns = now_ns;
    s->stats.datagrams_in++;
    s->stats.bytes_in += bytes.n;
    struct kap_str plain;
    struct kap_error err;
    if (kap_open_datagram(&s->cfg.seal, bytes, &s->open_buf, &plain, &err) != KAP_OK) {
        s->stats.bad_datagrams++;
        swim_note_unsealed(s, from, err.msg);
        return;
    }
    if (!kap_wire_crc_get(plain, &plain)) {
        s->stats.bad_datagrams++;
        return;
    }
    struct inbound in = { .s = s, .from = from };
    dispatch(&in, plain);
}
