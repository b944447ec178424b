/* Streams: push/pull of whole tables, TCP pings, and what peers send on streams. */
#include "cluster/swim_impl.h"
#include <math.h>

/* ---- messages out ---- */

/* Compression and seal; the answer carries no label header, so it matters who dialled. */
static void seal_message(struct kap_swim *s, struct kap_str message, bool dialled, struct kap_buf *out)
{
    KAP_AUTO_BUF struct kap_buf compressed = { 0 };
    if (s->cfg.compress_streams) {
        kap_wire_compress_put(&compressed, message);
        if (compressed.n < message.n)
            message = kap_buf_str(&compressed);
    }
    kap_seal_stream(&s->cfg.seal, message, dialled, out);
}

static struct swim_stream *open_stream(struct kap_swim *s, const struct kap_swim_addr *to)
{
    if (s->n_streams == SWIM_STREAMS || to->n == 0)
        return NULL;
    struct swim_stream *const stream = &s->streams[s->n_streams++];
    *stream = (struct swim_stream){ .id = ++s->last_stream, .addr = *to, .scan = KAP_WIRE_SCAN_START };
    return stream;
}

static void dial(struct kap_swim *s, struct swim_stream *stream, struct kap_str message, int64_t deadline_ns)
{
    KAP_AUTO_BUF struct kap_buf sealed = { 0 };
    seal_message(s, message, true, &sealed);
    /* The driver reports by its deadline; the margin is for a driver that does not. */
    stream->until_ns = deadline_ns + KAP_S;
    s->io.dial(s->io.ctx, stream->id, &stream->addr, kap_buf_str(&sealed), deadline_ns);
}

uint64_t swim_tcp_ping(struct kap_swim *s, const struct swim_node *node, uint32_t seq, int64_t deadline_ns)
{
    struct swim_stream *const stream = open_stream(s, &node->pub.addr);
    if (!stream)
        return 0;
    stream->kind = SWIM_STREAM_PING;
    stream->seq = seq;
    const uint64_t id = stream->id;
    const struct kap_wire_ping ping = {
        .node = swim_name(node),
        .seq = seq,
        .source_addr = swim_addr_ip(&s->self->pub.addr),
        .source_node = swim_name(s->self),
        .source_port = s->self->pub.addr.port,
    };
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_wire_put(&b, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    dial(s, stream, kap_buf_str(&b), deadline_ns);
    return id;
}

/* Our table and Serf's state. */
static void put_state(struct kap_swim *s, bool join, struct kap_buf *b)
{
    KAP_AUTO_BUF struct kap_buf user = { 0 };
    swim_serf_state_put(s, &user);
    const struct kap_wire_push_pull head = { .join = join, .nodes = (int64_t)s->n_ring,
                                             .user_state_bytes = (int64_t)user.n };
    kap_wire_put(b, KAP_WIRE_PUSH_PULL, &kap_wire_push_pull_desc, &head);
    for (size_t i = 0; i < s->n_ring; i++) {
        const struct swim_node *const node = s->ring[i];
        const struct kap_wire_node wire = {
            .addr = swim_addr_ip(&node->pub.addr),
            .meta = kap_strn(node->meta, node->meta_n),
            .name = swim_name(node),
            .incarnation = node->pub.incarnation,
            .port = node->pub.addr.port,
            .state = node->state,
            .vsn = node->vsn,
        };
        kap_msgpack_put(b, &kap_wire_node_desc, &wire);
    }
    kap_buf_add(b, kap_buf_str(&user));
}

void swim_push_pull(struct kap_swim *s, const struct kap_swim_addr *to, bool join, bool wanted)
{
    struct swim_stream *const stream = open_stream(s, to);
    if (!stream) {
        if (wanted)
            swim_emit(s, KAP_SWIM_EV_JOIN_FAILED, NULL, to, "too many exchanges under way");
        return;
    }
    stream->kind = SWIM_STREAM_PUSH_PULL;
    stream->join = join;
    stream->wanted = wanted;
    s->stats.push_pulls++;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    put_state(s, join, &b);
    dial(s, stream, kap_buf_str(&b), s->now_ns + s->cfg.stream_timeout_ns);
}

static bool is_alive(const struct kap_swim *s, const struct swim_node *node, const void *arg)
{
    (void)s, (void)arg;
    return node->state == KAP_WIRE_STATE_ALIVE;
}

/* The interval grows with the cluster: * (ceil(log2 n - 5) + 1) above 32 members. */
static int64_t push_pull_interval(const struct kap_swim *s)
{
    if (s->n_ring <= 32)
        return s->cfg.push_pull_interval_ns;
    const double scale = ceil(log2((double)s->n_ring) - 5.0) + 1.0;
    return s->cfg.push_pull_interval_ns * (int64_t)scale;
}

void swim_push_pull_tick(struct kap_swim *s)
{
    if (s->now_ns < s->push_pull_ns)
        return;
    s->push_pull_ns = s->now_ns + push_pull_interval(s);
    struct swim_node *peer;
    if (s->leave == LEAVE_NO && swim_pick(s, 1, &peer, is_alive, NULL) == 1)
        swim_push_pull(s, &peer->pub.addr, false, false);
}

/* ---- the other's table ---- */

struct table {
    bool join;
    struct kap_wire_node *nodes;
    size_t n, cap;
    struct kap_str user;
};

static bool get_table(struct kap_str body, struct table *t)
{
    struct kap_wire_push_pull head;
    struct kap_msgpack_reader r = kap_msgpack_reader(body);
    kap_msgpack_get(&r, &kap_wire_push_pull_desc, &head, sizeof head);
    if (r.state != KAP_MSGPACK_OK || head.nodes < 0 || head.user_state_bytes < 0)
        return false;
    t->join = head.join;
    for (int64_t i = 0; i < head.nodes; i++) {
        struct kap_wire_node node;
        kap_msgpack_get(&r, &kap_wire_node_desc, &node, sizeof node);
        if (r.state != KAP_MSGPACK_OK)
            return false;
        KAP_GROW(t->nodes, t->cap, t->n + 1);
        t->nodes[t->n++] = node;
    }
    if (r.n - r.at < (uint64_t)head.user_state_bytes)
        return false;
    t->user = kap_strn(body.p + r.at, (size_t)head.user_state_bytes);
    return true;
}

/* The numbers that every member must speak: the largest of the minima, the smallest of the maxima. */
struct versions {
    uint8_t min, max, delegate_min, delegate_max;
};

static void narrow(struct versions *v, const struct kap_msgpack_vsn *vsn)
{
    v->min = KAP_MAX(v->min, vsn->v[0]);
    v->max = KAP_MIN(v->max, vsn->v[1]);
    v->delegate_min = KAP_MAX(v->delegate_min, vsn->v[3]);
    v->delegate_max = KAP_MIN(v->delegate_max, vsn->v[4]);
}

static bool within(const struct versions *v, const struct kap_msgpack_vsn *vsn)
{
    return vsn->v[2] >= v->min && vsn->v[2] <= v->max && vsn->v[5] >= v->delegate_min &&
           vsn->v[5] <= v->delegate_max;
}

/* The name of the first node whose protocol does not fit; n == 0: all do. */
static struct kap_str incompatible(const struct kap_swim *s, const struct table *t)
{
    struct versions v = { .max = UINT8_MAX, .delegate_max = UINT8_MAX };
    for (size_t i = 0; i < t->n; i++)
        if (t->nodes[i].state == KAP_WIRE_STATE_ALIVE)
            narrow(&v, &t->nodes[i].vsn);
    for (size_t i = 0; i < s->n_ring; i++)
        if (s->ring[i]->state == KAP_WIRE_STATE_ALIVE)
            narrow(&v, &s->ring[i]->vsn);
    for (size_t i = 0; i < t->n; i++)
        if (!within(&v, &t->nodes[i].vsn))
            return t->nodes[i].name;
    for (size_t i = 0; i < s->n_ring; i++)
        if (!within(&v, &s->ring[i]->vsn))
            return swim_name(s->ring[i]);
    return (struct kap_str){ NULL, 0 };
}

/* Is this table for us? A join must fit as a whole; a regular exchange may contain strangers that an observer
 * picked up, which the alive rule then leaves out, but not only strangers. NULL: yes. */
static const char *table_refusal(struct kap_swim *s, const struct table *t, struct kap_swim_addr *ret_addr,
                                 struct kap_str *ret_name)
{
    const char *why = NULL;
    size_t welcome = 0, strangers = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct kap_wire_node *const node = &t->nodes[i];
        enum kap_swim_role role;
        if (node->state != KAP_WIRE_STATE_ALIVE || kap_str_eq(node->name, swim_name(s->self)))
            continue;
        const char *refusal = swim_refusal(s, node->name, node->meta, &role);
        if (!refusal) {
            welcome++;
            continue;
        }
        strangers++;
        why = refusal;
        *ret_name = node->name;
        *ret_addr = (struct kap_swim_addr){ 0 };
        swim_addr_from(node->addr, node->port, ret_addr);
    }
    if (strangers == 0 || (!t->join && welcome > 0))
        return NULL;
    return why;
}

/* An entry about ourselves is an accusation, which is how a restarted member finds its old incarnation. */
static void merge_node(struct kap_swim *s, const struct kap_wire_node *node)
{
    const struct kap_str self = swim_name(s->self);
    struct kap_wire_accusation a = { .from = self, .node = node->name, .incarnation = node->incarnation };
    switch (node->state) {
    case KAP_WIRE_STATE_ALIVE: {
        const struct kap_wire_alive alive = { .addr = node->addr, .meta = node->meta, .node = node->name,
                                              .incarnation = node->incarnation, .port = node->port,
                                              .vsn = node->vsn };
        swim_handle_alive(s, &alive);
        return;
    }
    case KAP_WIRE_STATE_LEFT:
        a.from = node->name;
        swim_handle_dead(s, &a);
        return;
    case KAP_WIRE_STATE_SUSPECT:
    case KAP_WIRE_STATE_DEAD:
        /* Hearsay: only a suspicion, and our own, so that it confirms nobody else's. */
        swim_handle_suspect(s, &a);
        return;
    default:
        return;
    }
}

static void merge_table(struct kap_swim *s, const struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        merge_node(s, &t->nodes[i]);
    swim_serf_state_get(s, t->user);
}

/* KAP_OK: fits. Otherwise the reason, in words for the peer and for our log. */
static enum kap_status check_table(struct kap_swim *s, const struct table *t, const struct kap_swim_addr *from,
                                   struct kap_error *err)
{
    struct kap_swim_addr addr = *from;
    struct kap_str name = { NULL, 0 };
    const char *why = table_refusal(s, t, &addr, &name);
    if (why) {
        swim_note_refused(s, name, &addr, why);
        return kap_fail(err, KAP_ESTATE, "%.*s %s", KAP_STR_ARG(name), why);
    }
    name = incompatible(s, t);
    if (name.n == 0)
        return KAP_OK;
    swim_note_refused(s, name, &addr, "speaks an incompatible protocol");
    return kap_fail(err, KAP_ESTATE, "%.*s speaks an incompatible protocol", KAP_STR_ARG(name));
}

/* ---- streams in ---- */

/* Opens and inflates what came so far. OK: *ret is a whole message, type byte first, borrowed from `in` or one of
 * the buffers. */
static enum kap_msgpack_state read_message(struct kap_swim *s, struct kap_wire_scan *scan, struct kap_str in,
                                           const struct kap_swim_addr *peer, bool answer, struct kap_buf *opened,
                                           struct kap_buf *inflated, struct kap_str *ret)
{
    struct kap_str plain;
    struct kap_error err;
    if (in.n > KAP_WIRE_STREAM_BYTES)
        return KAP_MSGPACK_BAD;
    const enum kap_open_result result = kap_open_stream(&s->cfg.seal, in, answer, opened, &plain, &err);
    if (result == KAP_OPEN_MORE)
        return KAP_MSGPACK_MORE;
    if (result == KAP_OPEN_BAD) {
        swim_note_unsealed(s, peer, err.msg);
        return KAP_MSGPACK_BAD;
    }
    enum kap_msgpack_state state = kap_wire_scan(scan, plain);
    if (state == KAP_MSGPACK_MORE && result == KAP_OPEN_WHOLE)
        return KAP_MSGPACK_BAD;
    if (state != KAP_MSGPACK_OK)
        return state;
    if (plain.p[0] != KAP_WIRE_COMPRESS) {
        *ret = plain;
        return KAP_MSGPACK_OK;
    }
    const struct kap_str body = kap_strn(plain.p + 1, plain.n - 1);
    if (kap_wire_compress_get(body, KAP_WIRE_STREAM_BYTES, inflated, NULL) != KAP_OK)
        return KAP_MSGPACK_BAD;
    struct kap_wire_scan inner = KAP_WIRE_SCAN_START;
    *ret = kap_buf_str(inflated);
    if (ret->n == 0 || ret->p[0] == KAP_WIRE_COMPRESS)
        return KAP_MSGPACK_BAD;
    return kap_wire_scan(&inner, *ret) == KAP_MSGPACK_OK ? KAP_MSGPACK_OK : KAP_MSGPACK_BAD;
}

static void reply(struct kap_swim *s, uint64_t conn, struct kap_str message)
{
    KAP_AUTO_BUF struct kap_buf sealed = { 0 };
    seal_message(s, message, false, &sealed);
    s->io.reply(s->io.ctx, conn, kap_buf_str(&sealed));
}

static void reply_error(struct kap_swim *s, uint64_t conn, const char *text)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_wire_err e = { .error = kap_str(text) };
    kap_wire_put(&b, KAP_WIRE_ERR, &kap_wire_err_desc, &e);
    reply(s, conn, kap_buf_str(&b));
}

static void serve_ping(struct kap_swim *s, uint64_t conn, struct kap_str body)
{
    struct kap_wire_ping ping;
    if (!KAP_WIRE_GET(body, kap_wire_ping_desc, &ping)) {
        s->stats.bad_streams++;
        return;
    }
    const bool for_us = ping.node.n == 0 || kap_str_eq(ping.node, swim_name(s->self));
    if (!for_us || (ping.source_node.n && swim_is_refused(s, ping.source_node)))
        return;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_wire_ack ack = { .seq = ping.seq };
    kap_wire_put(&b, KAP_WIRE_ACK, &kap_wire_ack_desc, &ack);
    reply(s, conn, kap_buf_str(&b));
}

static void serve_push_pull(struct kap_swim *s, uint64_t conn, const struct kap_swim_addr *from,
                            struct kap_str body)
{
    struct table t = { 0 };
    struct kap_error err;
    if (!get_table(body, &t)) {
        s->stats.bad_streams++;
    } else if (check_table(s, &t, from, &err) != KAP_OK) {
        reply_error(s, conn, err.msg);
    } else {
        s->stats.push_pulls_served++;
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        put_state(s, false, &b);
        reply(s, conn, kap_buf_str(&b));
        merge_table(s, &t);
    }
    kap_free(t.nodes);
}

static void serve_user(struct kap_swim *s, const struct kap_swim_addr *from, struct kap_str body)
{
    struct kap_wire_user_header head;
    struct kap_msgpack_reader r = kap_msgpack_reader(body);
    kap_msgpack_get(&r, &kap_wire_user_header_desc, &head, sizeof head);
    if (r.state == KAP_MSGPACK_OK && head.bytes > 0 && r.n - r.at >= (uint64_t)head.bytes)
        swim_serf_message(s, kap_strn(body.p + r.at, (size_t)head.bytes), from);
}

enum kap_swim_stream_state kap_swim_stream_request(struct kap_swim *s, struct kap_swim_inbound *in, uint64_t conn,
                                                   const struct kap_swim_addr *from, struct kap_str bytes,
                                                   int64_t now_ns)
{
    if (!s->enabled)
        return KAP_SWIM_STREAM_DONE;
    s->now_ns = now_ns;
    KAP_AUTO_BUF struct kap_buf opened = { 0 };
    KAP_AUTO_BUF struct kap_buf inflated = { 0 };
    struct kap_str message = { NULL, 0 };
    const enum kap_msgpack_state state = read_message(s, &in->scan, bytes, from, false, &opened,
                                                      &inflated, &message);
    if (state == KAP_MSGPACK_MORE)
        return KAP_SWIM_STREAM_MORE;
    if (state != KAP_MSGPACK_OK) {
        s->stats.bad_streams++;
        return KAP_SWIM_STREAM_DONE;
    }
    const struct kap_str body = kap_strn(message.p + 1, message.n - 1);
    switch ((uint8_t)message.p[0]) {
    case KAP_WIRE_PING:
        serve_ping(s, conn, body);
        break;
    case KAP_WIRE_PUSH_PULL:
        serve_push_pull(s, conn, from, body);
        break;
    case KAP_WIRE_USER:
        serve_user(s, from, body);
        break;
    default:
        s->stats.bad_streams++;
        break;
    }
    return KAP_SWIM_STREAM_DONE;
}

/* ---- answers to what we dialled ---- */

static struct swim_stream *find_stream(struct kap_swim *s, uint64_t id)
{
    for (size_t i = 0; i < s->n_streams; i++)
        if (s->streams[i].id == id)
            return &s->streams[i];
    return NULL;
}

static void stream_over(struct kap_swim *s, const struct swim_stream *stream, const char *why)
{
    if (stream->kind == SWIM_STREAM_PING)
        swim_tcp_ping_done(s, stream->id, why == NULL);
    else if (stream->wanted && why)
        swim_emit(s, KAP_SWIM_EV_JOIN_FAILED, NULL, &stream->addr, why);
    else if (stream->wanted)
        swim_emit(s, KAP_SWIM_EV_JOINED, NULL, &stream->addr, "");
}

static enum kap_status take_table(struct kap_swim *s, const struct swim_stream *stream, struct kap_str body,
                                  struct kap_error *err)
{
    struct table t = { 0 };
    enum kap_status status = KAP_OK;
    if (!get_table(body, &t))
        status = kap_fail(err, KAP_EINVAL, "damaged answer");
    t.join = stream->join;
    if (status == KAP_OK)
        status = check_table(s, &t, &stream->addr, err);
    if (status == KAP_OK) {
        merge_table(s, &t);
        if (stream->join) {
            swim_serf_join_intent(s);
            swim_tell_all(s);
        }
    }
    kap_free(t.nodes);
    return status;
}

static enum kap_status take_answer(struct kap_swim *s, const struct swim_stream *stream, struct kap_str message,
                                   struct kap_error *err)
{
    const struct kap_str body = kap_strn(message.p + 1, message.n - 1);
    struct kap_wire_err refusal;
    struct kap_wire_ack ack;
    if (message.p[0] == KAP_WIRE_ERR && KAP_WIRE_GET(body, kap_wire_err_desc, &refusal))
        return kap_fail(err, KAP_ESTATE, "refused: %.*s", (int)KAP_MIN(refusal.error.n, 512), refusal.error.p);
    if (stream->kind == SWIM_STREAM_PUSH_PULL && message.p[0] == KAP_WIRE_PUSH_PULL)
        return take_table(s, stream, body, err);
    if (stream->kind == SWIM_STREAM_PING && message.p[0] == KAP_WIRE_ACK &&
        KAP_WIRE_GET(body, kap_wire_ack_desc, &ack) && ack.seq == stream->seq)
        return KAP_OK;
    return kap_fail(err, KAP_EINVAL, "unexpected answer");
}

enum kap_swim_stream_state kap_swim_stream_answer(struct kap_swim *s, uint64_t id, struct kap_str bytes,
                                                  int64_t now_ns)
{
    struct swim_stream *const found = s->enabled ? find_stream(s, id) : NULL;
    if (!found)
        return KAP_SWIM_STREAM_DONE;
    s->now_ns = now_ns;
    KAP_AUTO_BUF struct kap_buf opened = { 0 };
    KAP_AUTO_BUF struct kap_buf inflated = { 0 };
    struct kap_str message = { NULL, 0 };
    struct kap_error err = { .msg = "damaged answer" };
    const struct kap_swim_addr peer = found->addr;
    const enum kap_msgpack_state state = read_message(s, &found->scan, bytes, &peer, true, &opened, &inflated,
                                                      &message);
    if (state == KAP_MSGPACK_MORE)
        return KAP_SWIM_STREAM_MORE;
    const struct swim_stream stream = *found;
    *found = s->streams[--s->n_streams];
    enum kap_status status = KAP_EINVAL;
    if (state == KAP_MSGPACK_OK)
        status = take_answer(s, &stream, message, &err);
    else
        s->stats.bad_streams++;
    stream_over(s, &stream, status == KAP_OK ? NULL : err.msg);
    return KAP_SWIM_STREAM_DONE;
}

void kap_swim_stream_failed(struct kap_swim *s, uint64_t id, const char *why, int64_t now_ns)
{
    struct swim_stream *const found = s->enabled ? find_stream(s, id) : NULL;
    if (!found)
        return;
    s->now_ns = now_ns;
    const struct swim_stream stream = *found;
    *found = s->streams[--s->n_streams];
    stream_over(s, &stream, why);
}

void swim_streams_tick(struct kap_swim *s)
{
    for (size_t i = s->n_streams; i-- > 0;) {
        if (s->streams[i].until_ns > s->now_ns)
            continue;
        const struct swim_stream stream = s->streams[i];
        s->streams[i] = s->streams[--s->n_streams];
        stream_over(s, &stream, "i/o timeout");
    }
}
