/* The messages of the gossip wire: memberlist's (protocol 1 to 5) and Serf's (2 to 5) that ride inside them.
 *
 * A message is a type byte and a msgpack object (see msgpack.h for the dialect and what is accepted).
 * Decoders take the bytes after the type byte; trailing bytes are ignored, as the field does. Encoders append the
 * type byte and the object. Ownership: decoded text borrows from the input.
 * Addresses are 4 bytes for IPv4 and 16 for IPv6; a mapped IPv4 address is another address to all peers. */
#ifndef KAP_CLUSTER_WIRE_H
#define KAP_CLUSTER_WIRE_H

#include "cluster/msgpack.h"

enum kap_wire_type {
    KAP_WIRE_PING = 0,
    KAP_WIRE_INDIRECT_PING = 1,
    KAP_WIRE_ACK = 2,
    KAP_WIRE_SUSPECT = 3,
    KAP_WIRE_ALIVE = 4,
    KAP_WIRE_DEAD = 5,
    KAP_WIRE_PUSH_PULL = 6,
    KAP_WIRE_COMPOUND = 7,
    KAP_WIRE_USER = 8,
    KAP_WIRE_COMPRESS = 9,
    KAP_WIRE_ENCRYPT = 10,
    KAP_WIRE_NACK = 11,
    KAP_WIRE_CRC = 12,
    KAP_WIRE_ERR = 13,
    KAP_WIRE_LABEL = 244,
};

enum {
    KAP_WIRE_PACKET_BYTES = 1400, /* payload that a sender puts into a datagram, before the CRC */
    KAP_WIRE_META_BYTES = 512,
    KAP_WIRE_COMPOUND_MAX = 127,  /* peers before memberlist 0.2.4 lose larger ones */
    KAP_WIRE_NAME_BYTES = 256,
    KAP_WIRE_INFLATED_DATAGRAM_BYTES = 65536,
    KAP_WIRE_STREAM_BYTES = 4 << 20, /* largest stream message taken, compressed or not */
};

enum kap_wire_state { KAP_WIRE_STATE_ALIVE, KAP_WIRE_STATE_SUSPECT, KAP_WIRE_STATE_DEAD, KAP_WIRE_STATE_LEFT };

struct kap_wire_ping {
    struct kap_str node, source_addr, source_node;
    uint32_t seq;
    uint16_t source_port;
};

struct kap_wire_indirect_ping {
    struct kap_str node, target, source_addr, source_node;
    uint32_t seq;
    uint16_t port, source_port;
    bool nack;
};

struct kap_wire_ack {
    struct kap_str payload; /* nil: p == NULL */
    uint32_t seq;
};

struct kap_wire_nack {
    uint32_t seq;
};

/* suspect and dead; for dead, from == node means "left by itself". */
struct kap_wire_accusation {
    struct kap_str from, node;
    uint32_t incarnation;
};

struct kap_wire_alive {
    struct kap_str addr, meta, node;
    uint32_t incarnation;
    uint16_t port;
    struct kap_msgpack_vsn vsn;
};

struct kap_wire_push_pull {
    bool join;
    int64_t nodes, user_state_bytes;
};

struct kap_wire_node {
    struct kap_str addr, meta, name;
    uint32_t incarnation;
    uint16_t port;
    int64_t state; /* enum kap_wire_state, or garbage */
    struct kap_msgpack_vsn vsn;
};

struct kap_wire_user_header {
    int64_t bytes;
};

struct kap_wire_compress {
    uint8_t algo;
    struct kap_str buf;
};

struct kap_wire_err {
    struct kap_str error;
};

extern const struct kap_msgpack_struct kap_wire_ping_desc, kap_wire_indirect_ping_desc, kap_wire_ack_desc,
    kap_wire_nack_desc, kap_wire_accusation_desc, kap_wire_alive_desc, kap_wire_push_pull_desc, kap_wire_node_desc,
    kap_wire_user_header_desc, kap_wire_compress_desc, kap_wire_err_desc;

/* Serf: in user messages, after the type byte 8 another type byte. */
enum kap_serf_type {
    KAP_SERF_LEAVE = 0,
    KAP_SERF_JOIN = 1,
    KAP_SERF_PUSH_PULL = 2,
    KAP_SERF_EVENT = 3,
    KAP_SERF_QUERY = 4,
    KAP_SERF_QUERY_RESPONSE = 5,
    KAP_SERF_CONFLICT_RESPONSE = 6,
    KAP_SERF_KEY_REQUEST = 7,
    KAP_SERF_KEY_RESPONSE = 8,
    KAP_SERF_RELAY = 9,
};

enum { KAP_SERF_QUERY_ACK = 1, KAP_SERF_QUERY_NO_BROADCAST = 2, KAP_SERF_RESPONSE_IS_ACK = 1 };

struct kap_serf_leave {
    uint64_t ltime;
    struct kap_str node;
    bool prune;
};

struct kap_serf_join {
    uint64_t ltime;
    struct kap_str node;
};

struct kap_serf_push_pull {
    uint64_t ltime, event_ltime, query_ltime;
    struct kap_str status_ltimes; /* encoded map of text to u64 */
    struct kap_str left_members;  /* encoded list of text */
    struct kap_str events;        /* encoded list of nil or slot */
};

struct kap_serf_slot {
    uint64_t ltime;
    struct kap_str events; /* encoded list of kap_serf_slot_event */
};

struct kap_serf_slot_event {
    struct kap_str name, payload;
};

struct kap_serf_event {
    uint64_t ltime;
    struct kap_str name, payload;
    bool coalesce;
};

struct kap_serf_query {
    uint64_t ltime;
    uint32_t id, flags;
    struct kap_str addr, source_node, name, payload;
    struct kap_str filters; /* encoded list of bytes */
    int64_t timeout_ns;
    uint16_t port;
    uint8_t relay_factor;
};

struct kap_serf_response {
    uint64_t ltime;
    uint32_t id, flags;
    struct kap_str from, payload;
};

struct kap_serf_tag_filter {
    struct kap_str expr, tag;
};

struct kap_serf_conflict {
    struct kap_str addr, name;
    struct kap_str tags; /* encoded map */
    uint16_t port;
    int64_t status; /* 1 alive, 2 leaving, 3 left, 4 failed */
    uint8_t protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur;
};

struct kap_serf_key_request {
    struct kap_str key;
};

struct kap_serf_key_response {
    bool result;
    struct kap_str message, primary;
    struct kap_str keys; /* encoded list of base64 text, or nil */
};

struct kap_serf_relay {
    struct kap_str dest_addr; /* encoded kap_serf_udp_addr */
    struct kap_str dest_name;
};

struct kap_serf_udp_addr {
    struct kap_str ip, zone;
    int64_t port;
};

extern const struct kap_msgpack_struct kap_serf_leave_desc, kap_serf_join_desc, kap_serf_push_pull_desc,
    kap_serf_slot_desc, kap_serf_slot_event_desc, kap_serf_event_desc, kap_serf_query_desc, kap_serf_response_desc,
    kap_serf_tag_filter_desc, kap_serf_conflict_desc, kap_serf_key_request_desc, kap_serf_key_response_desc,
    kap_serf_relay_desc, kap_serf_udp_addr_desc;

/* Decodes the object at the start of `in` (after any type byte). False: not such an object, or cut short. */
bool kap_wire_get(struct kap_str in, const struct kap_msgpack_struct *desc, void *out, size_t size);
#define KAP_WIRE_GET(in, desc, out) kap_wire_get((in), &(desc), (out), sizeof *(out))
/* Appends the type byte and the object. */
void kap_wire_put(struct kap_buf *b, uint8_t type, const struct kap_msgpack_struct *desc, const void *msg);

/* Tags are a node's meta: 0xff and a map of text to text; anything else is the value of the tag "role". */
struct kap_wire_tag {
    struct kap_str key, value;
};
/* Fills at most `max` tags that borrow from meta; the number found is returned. Damaged meta ends early. */
size_t kap_wire_tags_get(struct kap_str meta, struct kap_wire_tag *tags, size_t max);
/* KAP_ELIMIT when the meta would be longer than KAP_WIRE_META_BYTES (nothing is appended then). */
enum kap_status kap_wire_tags_put(struct kap_buf *b, const struct kap_wire_tag *tags, size_t n,
                                  struct kap_error *err);

/* Compound: calls `each` for every complete part, in order; empty parts are skipped. */
typedef void (*kap_wire_part_fn)(void *ctx, struct kap_str part);
void kap_wire_compound_get(struct kap_str body, kap_wire_part_fn each, void *ctx);
/* Appends a compound of 1..127 parts, none of them empty. A single part is written bare. */
void kap_wire_compound_put(struct kap_buf *b, const struct kap_str *parts, size_t n);

/* CRC: `0c`, CRC-32 of the rest, the rest. */
void kap_wire_crc_put(struct kap_buf *b, struct kap_str message);
/* True: *ret is the message behind the CRC, or all of `in` if there is none. False: wrong CRC. */
bool kap_wire_crc_get(struct kap_str in, struct kap_str *ret);

/* Compression of a whole message (type byte included). `body` is what follows the type byte 9. */
void kap_wire_compress_put(struct kap_buf *b, struct kap_str message);
enum kap_status kap_wire_compress_get(struct kap_str body, size_t limit_bytes, struct kap_buf *out,
                                      struct kap_error *err);

/* How much of a plain stream belongs to its message. Messages on streams are not length-prefixed, so that the
 * reader has to look; the scan remembers what it has seen, each byte is looked at a bounded number of times. */
struct kap_wire_scan {
    size_t at;          /* start of the first object not yet complete */
    int64_t nodes_left; /* of a push/pull; -1 before its header */
    int64_t tail_bytes; /* user state, user message */
};
#define KAP_WIRE_SCAN_START ((struct kap_wire_scan){ .nodes_left = -1 })
/* KAP_MSGPACK_OK: the message is the first scan->at bytes of `in`, which always starts at the type byte. */
enum kap_msgpack_state kap_wire_scan(struct kap_wire_scan *scan, struct kap_str in);

#endif
