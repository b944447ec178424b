/* RPC between members: framing, and the messages of rpc.proto. No I/O here.
 *
 * A frame is a header of 16 bytes, big-endian, and a body:
 *   0  length of the body       u32, at most KAP_RPC_FRAME_BYTES
 *   4  protocol version         u8, KAP_RPC_VERSION
 *   5  type                     u8, enum kap_rpc_type
 *   6  channel                  u16, enum kap_rpc_channel
 *   8  request ID               u64, 0 where there is none; chosen by the caller
 * Both sides begin with HELLO (message Hello), which has the range of versions they speak; no common one ends
 * the connection with a reason. Types and channels that a side does not know: a request is answered with an
 * error, a message is ignored; unknown fields are skipped, as protobuf does. Ownership: frames borrow from
 * the bytes given. Threads: pure functions. */
#ifndef KAP_CLUSTER_RPC_H
#define KAP_CLUSTER_RPC_H

#include "base/buf.h"
#include "base/error.h"
#include "base/uuid.h"

enum { KAP_RPC_VERSION = 1, KAP_RPC_HEADER_BYTES = 16, KAP_RPC_FRAME_BYTES = 32 << 20 };

enum kap_rpc_type {
    KAP_RPC_HELLO = 1,
    KAP_RPC_MESSAGE, /* one-way */
    KAP_RPC_REQUEST,
    KAP_RPC_ANSWER,
    KAP_RPC_ERROR, /* answer to a request: message Failure */
    KAP_RPC_PING,
    KAP_RPC_PONG,
    KAP_RPC_GOODBYE, /* the sender closes: message Failure says why */
};

enum kap_rpc_channel {
    KAP_RPC_NONE,
    KAP_RPC_MEMBER,  /* add, remove: message MemberCall */
    KAP_RPC_CATALOG, /* message CatalogMessage */
    KAP_RPC_DEDUP,   /* message DedupMessage */
    KAP_RPC_DAEMON,  /* what the daemon asks other members: status, write forwarding; opaque here */
    KAP_RPC_CHANNELS,
};

struct kap_rpc_frame {
    uint8_t version;
    uint8_t type;     /* may be one that we do not know */
    uint16_t channel; /* likewise */
    uint64_t id;
    struct kap_str body;
};

void kap_rpc_frame_put(struct kap_buf *out, enum kap_rpc_type type, enum kap_rpc_channel channel, uint64_t id,
                       struct kap_str body);
/* Takes the first frame off `in`. Returns its whole size, 0 when it is not complete yet, -1 when it cannot
 * become one (err). */
int64_t kap_rpc_frame_get(struct kap_str in, struct kap_rpc_frame *ret, struct kap_error *err);

struct kap_rpc_hello {
    kap_uuid member_id, cluster_id;
    uint32_t version_min, version_max;
    char rpc_address[256];
    uint64_t boot; /* differs from process to process */
};
void kap_rpc_hello_put(struct kap_buf *out, const struct kap_rpc_hello *hello);
enum kap_status kap_rpc_hello_get(struct kap_str body, struct kap_rpc_hello *ret, struct kap_error *err);
void kap_rpc_failure_put(struct kap_buf *out, enum kap_status status, const char *text);
/* Sets *err from a Failure and returns its status (never KAP_OK). */
enum kap_status kap_rpc_failure_get(struct kap_str body, struct kap_error *err);

#endif
