/* Between struct kap_str and protobuf-c, for the files that read and write messages of rpc.proto. */
#ifndef KAP_CLUSTER_RPC_WIRE_H
#define KAP_CLUSTER_RPC_WIRE_H

#include "base/buf.h"
#include <protobuf-c/protobuf-c.h>

/* Borrows; protobuf-c does not write through `data` when it packs. */
static inline ProtobufCBinaryData kap_pb(struct kap_str s)
{
    union {
        const char *from;
        uint8_t *to;
    } p = { .from = s.p };
    return (ProtobufCBinaryData){ .len = s.n, .data = p.to };
}

static inline struct kap_str kap_pb_str(ProtobufCBinaryData b)
{
    return (struct kap_str){ b.len ? (const char *)b.data : "", b.len };
}

/* Appends the packed message. */
void kap_rpc_pack(struct kap_buf *out, const ProtobufCMessage *m);

#endif
