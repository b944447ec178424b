#include "cluster/wire.h"
#include "cluster/lzw.h"
#include "base/mem.h"
#include <zlib.h>

#define FIELD(struct_, member, name_, kind, order_) \
    { .name = (name_), .type = KAP_MSGPACK_##kind, .offset = offsetof(struct struct_, member), .order = (order_) }
#define OPTIONAL(struct_, member, name_, kind, order_) \
    { .name = (name_), .type = KAP_MSGPACK_##kind, .offset = offsetof(struct struct_, member), .order = (order_), \
      .omit_empty = true }
#define DESC(name_, ...) \
    static const struct kap_msgpack_field name_##_fields[] = { __VA_ARGS__ }; \
    const struct kap_msgpack_struct name_##_desc = { name_##_fields, KAP_COUNT(name_##_fields) }

/* Fields in byte order of their names; the last column is the place in the reference's declaration. */
DESC(kap_wire_ping,
     FIELD(kap_wire_ping, node, "Node", TEXT, 1),
     FIELD(kap_wire_ping, seq, "SeqNo", U32, 0),
     OPTIONAL(kap_wire_ping, source_addr, "SourceAddr", BYTES, 2),
     OPTIONAL(kap_wire_ping, source_node, "SourceNode", TEXT, 4),
     OPTIONAL(kap_wire_ping, source_port, "SourcePort", U16, 3));
DESC(kap_wire_indirect_ping,
     FIELD(kap_wire_indirect_ping, nack, "Nack", BOOL, 4),
     FIELD(kap_wire_indirect_ping, node, "Node", TEXT, 3),
     FIELD(kap_wire_indirect_ping, port, "Port", U16, 2),
     FIELD(kap_wire_indirect_ping, seq, "SeqNo", U32, 0),
     OPTIONAL(kap_wire_indirect_ping, source_addr, "SourceAddr", BYTES, 5),
     OPTIONAL(kap_wire_indirect_ping, source_node, "SourceNode", TEXT, 7),
     OPTIONAL(kap_wire_indirect_ping, source_port, "SourcePort", U16, 6),
     FIELD(kap_wire_indirect_ping, target, "Target", BYTES, 1));
DESC(kap_wire_ack,
     FIELD(kap_wire_ack, payload, "Payload", BYTES, 1),
     FIELD(kap_wire_ack, seq, "SeqNo", U32, 0));
DESC(kap_wire_nack,
     FIELD(kap_wire_nack, seq, "SeqNo", U32, 0));
DESC(kap_wire_accusation,
     FIELD(kap_wire_accusation, from, "From", TEXT, 2),
     FIELD(kap_wire_accusation, incarnation, "Incarnation", U32, 0),
     FIELD(kap_wire_accusation, node, "Node", TEXT, 1));
DESC(kap_wire_alive,
     FIELD(kap_wire_alive, addr, "Addr", BYTES, 2),
     FIELD(kap_wire_alive, incarnation, "Incarnation", U32, 0),
     FIELD(kap_wire_alive, meta, "Meta", BYTES, 4),
     FIELD(kap_wire_alive, node, "Node", TEXT, 1),
     FIELD(kap_wire_alive, port, "Port", U16, 3),
     FIELD(kap_wire_alive, vsn, "Vsn", VSN, 5));
DESC(kap_wire_push_pull,
     FIELD(kap_wire_push_pull, join, "Join", BOOL, 2),
     FIELD(kap_wire_push_pull, nodes, "Nodes", I64, 0),
     FIELD(kap_wire_push_pull, user_state_bytes, "UserStateLen", I64, 1));
DESC(kap_wire_node,
     FIELD(kap_wire_node, addr, "Addr", BYTES, 1),
     FIELD(kap_wire_node, incarnation, "Incarnation", U32, 4),
     FIELD(kap_wire_node, meta, "Meta", BYTES, 3),
     FIELD(kap_wire_node, name, "Name", TEXT, 0),
     FIELD(kap_wire_node, port, "Port", U16, 2),
     FIELD(kap_wire_node, state, "State", I64, 5),
     FIELD(kap_wire_node, vsn, "Vsn", VSN, 6));
DESC(kap_wire_user_header,
     FIELD(kap_wire_user_header, bytes, "UserMsgLen", I64, 0));
DESC(kap_wire_compress,
     FIELD(kap_wire_compress, algo, "Algo", U8, 0),
     FIELD(kap_wire_compress, buf, "Buf", BYTES, 1));
DESC(kap_wire_err,
     FIELD(kap_wire_err, error, "Error", TEXT, 0));

DESC(kap_serf_leave,
     FIELD(kap_serf_leave, ltime, "LTime", U64, 0),
     FIELD(kap_serf_leave, node, "Node", TEXT, 1),
     FIELD(kap_serf_leave, prune, "Prune", BOOL, 2));
DESC(kap_serf_join,
     FIELD(kap_serf_join, ltime, "LTime", U64, 0),
     FIELD(kap_serf_join, node, "Node", TEXT, 1));
DESC(kap_serf_push_pull,
     FIELD(kap_serf_push_pull, event_ltime, "EventLTime", U64, 3),
     FIELD(kap_serf_push_pull, events, "Events", ANY, 4),
     FIELD(kap_serf_push_pull, ltime, "LTime", U64, 0),
     FIELD(kap_serf_push_pull, left_members, "LeftMembers", ANY, 2),
     FIELD(kap_serf_push_pull, query_ltime, "QueryLTime", U64, 5),
     FIELD(kap_serf_push_pull, status_ltimes, "StatusLTimes", ANY, 1));
DESC(kap_serf_slot,
     FIELD(kap_serf_slot, events, "Events", ANY, 1),
     FIELD(kap_serf_slot, ltime, "LTime", U64, 0));
DESC(kap_serf_slot_event,
     FIELD(kap_serf_slot_event, name, "Name", TEXT, 0),
     FIELD(kap_serf_slot_event, payload, "Payload", BYTES, 1));
DESC(kap_serf_event,
     FIELD(kap_serf_event, coalesce, "CC", BOOL, 3),
     FIELD(kap_serf_event, ltime, "LTime", U64, 0),
     FIELD(kap_serf_event, name, "Name", TEXT, 1),
     FIELD(kap_serf_event, payload, "Payload", BYTES, 2));
DESC(kap_serf_query,
     FIELD(kap_serf_query, addr, "Addr", BYTES, 2),
     FIELD(kap_serf_query, filters, "Filters", ANY, 5),
     FIELD(kap_serf_query, flags, "Flags", U32, 6),
     FIELD(kap_serf_query, id, "ID", U32, 1),
     FIELD(kap_serf_query, ltime, "LTime", U64, 0),
     FIELD(kap_serf_query, name, "Name", TEXT, 9),
     FIELD(kap_serf_query, payload, "Payload", BYTES, 10),
     FIELD(kap_serf_query, port, "Port", U16, 3),
     FIELD(kap_serf_query, relay_factor, "RelayFactor", U8, 7),
     FIELD(kap_serf_query, source_node, "SourceNode", TEXT, 4),
     FIELD(kap_serf_query, timeout_ns, "Timeout", I64, 8));
DESC(kap_serf_response,
     FIELD(kap_serf_response, flags, "Flags", U32, 3),
     FIELD(kap_serf_response, from, "From", TEXT, 2),
     FIELD(kap_serf_response, id, "ID", U32, 1),
     FIELD(kap_serf_response, ltime, "LTime", U64, 0),
     FIELD(kap_serf_response, payload, "Payload", BYTES, 4));
DESC(kap_serf_tag_filter,
     FIELD(kap_serf_tag_filter, expr, "Expr", TEXT, 1),
     FIELD(kap_serf_tag_filter, tag, "Tag", TEXT, 0));
DESC(kap_serf_conflict,
     FIELD(kap_serf_conflict, addr, "Addr", BYTES, 1),
     FIELD(kap_serf_conflict, delegate_cur, "DelegateCur", U8, 10),
     FIELD(kap_serf_conflict, delegate_max, "DelegateMax", U8, 9),
     FIELD(kap_serf_conflict, delegate_min, "DelegateMin", U8, 8),
     FIELD(kap_serf_conflict, name, "Name", TEXT, 0),
     FIELD(kap_serf_conflict, port, "Port", U16, 2),
     FIELD(kap_serf_conflict, protocol_cur, "ProtocolCur", U8, 7),
     FIELD(kap_serf_conflict, protocol_max, "ProtocolMax", U8, 6),
     FIELD(kap_serf_conflict, protocol_min, "ProtocolMin", U8, 5),
     FIELD(kap_serf_conflict, status, "Status", I64, 4),
     FIELD(kap_serf_conflict, tags, "Tags", ANY, 3));
DESC(kap_serf_key_request,
     FIELD(kap_serf_key_request, key, "Key", BYTES, 0));
DESC(kap_serf_key_response,
     FIELD(kap_serf_key_response, keys, "Keys", ANY, 2),
     FIELD(kap_serf_key_response, message, "Message", TEXT, 1),
     FIELD(kap_serf_key_response, primary, "PrimaryKey", TEXT, 3),
     FIELD(kap_serf_key_response, result, "Result", BOOL, 0));
DESC(kap_serf_relay,
     FIELD(kap_serf_relay, dest_addr, "DestAddr", ANY, 0),
     FIELD(kap_serf_relay, dest_name, "DestName", TEXT, 1));
DESC(kap_serf_udp_addr,
     FIELD(kap_serf_udp_addr, ip, "IP", BYTES, 0),
     FIELD(kap_serf_udp_addr, port, "Port", I64, 1),
     FIELD(kap_serf_udp_addr, zone, "Zone", TEXT, 2));

bool kap_wire_get(struct kap_str in, const struct kap_msgpack_struct *desc, void *out, size_t size)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(in);
    kap_msgpack_get(&r, desc, out, size);
    return r.state == KAP_MSGPACK_OK;
}

void kap_wire_put(struct kap_buf *b, uint8_t type, const struct kap_msgpack_struct *desc, const void *msg)
{
    kap_buf_addc(b, (char)type);
    kap_msgpack_put(b, desc, msg);
}

/* ---- tags ---- */

size_t kap_wire_tags_get(struct kap_str meta, struct kap_wire_tag *tags, size_t max)
{
    if (max == 0)
        return 0;
    if (meta.n == 0 || (uint8_t)meta.p[0] != 0xff) {
        tags[0] = (struct kap_wire_tag){ KAP_STR("role"), meta };
        return 1;
    }
    struct kap_msgpack_reader r = kap_msgpack_reader(kap_strn(meta.p + 1, meta.n - 1));
    const uint32_t n = kap_msgpack_map(&r);
    size_t found = 0;
    for (uint32_t i = 0; i < n && found < max; i++) {
        const struct kap_str key = kap_msgpack_raw(&r);
        const struct kap_str value = kap_msgpack_raw(&r);
        if (r.state != KAP_MSGPACK_OK)
            break;
        tags[found++] = (struct kap_wire_tag){ key, value };
    }
    return found;
}

enum kap_status kap_wire_tags_put(struct kap_buf *b, const struct kap_wire_tag *tags, size_t n,
                                  struct kap_error *err)
{
    const size_t before = b->n;
    kap_buf_addc(b, (char)0xff);
    kap_msgpack_put_map(b, n);
    for (size_t i = 0; i < n; i++) {
        kap_msgpack_put_raw(b, tags[i].key);
        kap_msgpack_put_raw(b, tags[i].value);
    }
    const size_t bytes = b->n - before;
    if (bytes <= KAP_WIRE_META_BYTES)
        return KAP_OK;
    b->n = before;
    return kap_fail(err, KAP_ELIMIT, "tags take %zu bytes, the limit is %d", bytes, KAP_WIRE_META_BYTES);
}

/* ---- compound, CRC, compression ---- */

void kap_wire_compound_get(struct kap_str body, kap_wire_part_fn each, void *ctx)
{
    if (body.n < 1)
        return;
    const size_t count = (uint8_t)body.p[0];
    if (body.n < 1 + 2 * count)
        return;
    const uint8_t *lengths = (const uint8_t *)body.p + 1;
    size_t at = 1 + 2 * count;
    for (size_t i = 0; i < count; i++) {
        const size_t n = (size_t)lengths[2 * i] << 8 | lengths[2 * i + 1];
        if (body.n - at < n)
            return;
        if (n > 0)
            each(ctx, kap_strn(body.p + at, n));
        at += n;
    }
}

void kap_wire_compound_put(struct kap_buf *b, const struct kap_str *parts, size_t n)
{
    if (n == 1) {
        kap_buf_add(b, parts[0]);
        return;
    }
    kap_buf_addc(b, KAP_WIRE_COMPOUND);
    kap_buf_addc(b, (char)n);
    for (size_t i = 0; i < n; i++) {
        kap_buf_addc(b, (char)(parts[i].n >> 8));
        kap_buf_addc(b, (char)parts[i].n);
    }
    for (size_t i = 0; i < n; i++)
        kap_buf_add(b, parts[i]);
}

static uint32_t crc_of(struct kap_str s)
{
    return (uint32_t)crc32(0, (const Bytef *)s.p, (uInt)s.n);
}

void kap_wire_crc_put(struct kap_buf *b, struct kap_str message)
{
    const uint32_t crc = crc_of(message);
    const char head[5] = { KAP_WIRE_CRC, (char)(crc >> 24), (char)(crc >> 16), (char)(crc >> 8), (char)crc };
    kap_buf_addn(b, head, sizeof head);
    kap_buf_add(b, message);
}

bool kap_wire_crc_get(struct kap_str in, struct kap_str *ret)
{
    if (in.n < 5 || in.p[0] != KAP_WIRE_CRC) {
        *ret = in;
        return true;
    }
    const uint8_t *p = (const uint8_t *)in.p;
    const uint32_t crc = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    const struct kap_str rest = kap_strn(in.p + 5, in.n - 5);
    if (crc_of(rest) != crc)
        return false;
    *ret = rest;
    return true;
}

void kap_wire_compress_put(struct kap_buf *b, struct kap_str message)
{
    KAP_AUTO_BUF struct kap_buf lzw = { 0 };
    kap_lzw_encode(message, &lzw);
    const struct kap_wire_compress c = { .algo = 0, .buf = kap_buf_str(&lzw) };
    kap_wire_put(b, KAP_WIRE_COMPRESS, &kap_wire_compress_desc, &c);
}

enum kap_status kap_wire_compress_get(struct kap_str body, size_t limit_bytes, struct kap_buf *out,
                                      struct kap_error *err)
{
    struct kap_wire_compress c;
    if (!KAP_WIRE_GET(body, kap_wire_compress_desc, &c))
        return kap_fail(err, KAP_EINVAL, "damaged compress message");
    if (c.algo != 0)
        return kap_fail(err, KAP_EINVAL, "unknown compression %u", c.algo);
    return kap_lzw_decode(c.buf, limit_bytes, out, err);
}

/* ---- streams ---- */

/* Steps over one object at scan->at. A single object is far smaller than this in honest traffic (a node with
 * full meta is under 1 KiB); the bound keeps a slow sender from making us scan the same bytes for ever. */
enum { OBJECT_BYTES = 64 << 10 };

static enum kap_msgpack_state step_over(struct kap_wire_scan *scan, struct kap_str in, bool bounded)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(kap_strn(in.p + scan->at, in.n - scan->at));
    kap_msgpack_skip(&r);
    if (r.state == KAP_MSGPACK_OK)
        scan->at += r.at;
    else if (r.state == KAP_MSGPACK_MORE && bounded && r.n > OBJECT_BYTES)
        return KAP_MSGPACK_BAD;
    return r.state;
}

static enum kap_msgpack_state scan_tail(struct kap_wire_scan *scan, struct kap_str in)
{
    if (in.n - scan->at < (size_t)scan->tail_bytes)
        return KAP_MSGPACK_MORE;
    scan->at += (size_t)scan->tail_bytes;
    scan->tail_bytes = 0;
    return KAP_MSGPACK_OK;
}

static enum kap_msgpack_state read_header(struct kap_wire_scan *scan, struct kap_str in,
                                          const struct kap_msgpack_struct *desc, void *out, size_t size)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(kap_strn(in.p + scan->at, in.n - scan->at));
    kap_msgpack_get(&r, desc, out, size);
    if (r.state == KAP_MSGPACK_OK)
        scan->at += r.at;
    else if (r.state == KAP_MSGPACK_MORE && r.n > OBJECT_BYTES)
        return KAP_MSGPACK_BAD;
    return r.state;
}

static enum kap_msgpack_state scan_push_pull(struct kap_wire_scan *scan, struct kap_str in)
{
    if (scan->nodes_left < 0) {
        struct kap_wire_push_pull h;
        const enum kap_msgpack_state s = read_header(scan, in, &kap_wire_push_pull_desc, &h, sizeof h);
        if (s != KAP_MSGPACK_OK)
            return s;
        if (h.nodes < 0 || h.nodes > KAP_WIRE_STREAM_BYTES || h.user_state_bytes < 0 ||
            h.user_state_bytes > KAP_WIRE_STREAM_BYTES)
            return KAP_MSGPACK_BAD;
        scan->nodes_left = h.nodes;
        scan->tail_bytes = h.user_state_bytes;
    }
    for (; scan->nodes_left > 0; scan->nodes_left--) {
        const enum kap_msgpack_state s = step_over(scan, in, true);
        if (s != KAP_MSGPACK_OK)
            return s;
    }
    return scan_tail(scan, in);
}

static enum kap_msgpack_state scan_user(struct kap_wire_scan *scan, struct kap_str in)
{
    if (scan->nodes_left < 0) {
        struct kap_wire_user_header h;
        const enum kap_msgpack_state s = read_header(scan, in, &kap_wire_user_header_desc, &h, sizeof h);
        if (s != KAP_MSGPACK_OK)
            return s;
        if (h.bytes < 0 || h.bytes > KAP_WIRE_STREAM_BYTES)
            return KAP_MSGPACK_BAD;
        scan->nodes_left = 0;
        scan->tail_bytes = h.bytes;
    }
    return scan_tail(scan, in);
}

enum kap_msgpack_state kap_wire_scan(struct kap_wire_scan *scan, struct kap_str in)
{
    if (in.n == 0)
        return KAP_MSGPACK_MORE;
    if (scan->at == 0)
        scan->at = 1;
    if (in.n > KAP_WIRE_STREAM_BYTES)
        return KAP_MSGPACK_BAD;
    switch ((uint8_t)in.p[0]) {
    case KAP_WIRE_PUSH_PULL:
        return scan_push_pull(scan, in);
    case KAP_WIRE_USER:
        return scan_user(scan, in);
    case KAP_WIRE_COMPRESS:
        /* Its first object is map, key, integer, key and one raw string: the scan is short at any size. */
        return step_over(scan, in, false);
    case KAP_WIRE_PING:
    case KAP_WIRE_ACK:
    case KAP_WIRE_ERR:
        return step_over(scan, in, true);
    default:
        return KAP_MSGPACK_BAD;
    }
}
