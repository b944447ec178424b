#include "cluster/rpc.h"

#include "base/mem.h"
#include "cluster/rpc.pb-c.h"
#include "cluster/rpc_wire.h"
#include <stdio.h>

static void put_be(char *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(v >> (8 * (n - 1 - i)));
}

static uint64_t get_be(const char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

void kap_rpc_frame_put(struct kap_buf *out, enum kap_rpc_type type, enum kap_rpc_channel channel, uint64_t id,
                       struct kap_str body)
{
    char header[KAP_RPC_HEADER_BYTES];
    put_be(header, body.n, 4);
    header[4] = KAP_RPC_VERSION;
    header[5] = (char)type;
    put_be(header + 6, channel, 2);
    put_be(header + 8, id, 8);
    kap_buf_addn(out, header, sizeof header);
    kap_buf_add(out, body);
}

int64_t kap_rpc_frame_get(struct kap_str in, struct kap_rpc_frame *ret, struct kap_error *err)
{
    if (in.n < KAP_RPC_HEADER_BYTES)
        return 0;
    const uint64_t body = get_be(in.p, 4);
    /* Every version begins with length, version and HELLO, so that versions can be compared at all. */
    if (body > KAP_RPC_FRAME_BYTES) {
        kap_fail(err, KAP_ELIMIT, "a frame of %llu bytes is over the limit of %d; is this an RPC port?",
                 (unsigned long long)body, KAP_RPC_FRAME_BYTES);
        return -1;
    }
    if (in.p[4] == 0) {
        kap_fail(err, KAP_EINVAL, "not a frame of our protocol");
        return -1;
    }
    if (in.n < KAP_RPC_HEADER_BYTES + body)
        return 0;
    *ret = (struct kap_rpc_frame){
        .version = (uint8_t)in.p[4],
        .type = (uint8_t)in.p[5],
        .channel = (uint16_t)get_be(in.p + 6, 2),
        .id = get_be(in.p + 8, 8),
        .body = kap_strn(in.p + KAP_RPC_HEADER_BYTES, body),
    };
    return (int64_t)(KAP_RPC_HEADER_BYTES + body);
}

void kap_rpc_pack(struct kap_buf *out, const ProtobufCMessage *m)
{
    const size_t n = protobuf_c_message_get_packed_size(m);
    char *p = kap_buf_reserve(out, n);
    if (!p)
        return;
    protobuf_c_message_pack(m, (uint8_t *)p);
    out->n += n;
}

void kap_rpc_hello_put(struct kap_buf *out, const struct kap_rpc_hello *hello)
{
    Kap__Rpc__Hello m = KAP__RPC__HELLO__INIT;
    m.member_id = kap_pb(kap_str(hello->member_id));
    m.cluster_id = kap_pb(kap_str(hello->cluster_id));
    m.version_min = hello->version_min;
    m.version_max = hello->version_max;
    m.rpc_address = kap_pb(kap_str(hello->rpc_address));
    m.boot = hello->boot;
    kap_rpc_pack(out, &m.base);
}

enum kap_status kap_rpc_hello_get(struct kap_str body, struct kap_rpc_hello *ret, struct kap_error *err)
{
    Kap__Rpc__Hello *m = kap__rpc__hello__unpack(NULL, body.n, (const uint8_t *)body.p);
    if (!m)
        return kap_fail(err, KAP_EINVAL, "hello cannot be read");
    struct kap_rpc_hello hello = { .version_min = m->version_min,
                                   .version_max = m->version_max,
                                   .boot = m->boot };
    const bool ok = kap_uuid_valid(kap_pb_str(m->member_id)) && kap_uuid_valid(kap_pb_str(m->cluster_id)) &&
                    m->rpc_address.len < sizeof hello.rpc_address && m->version_min <= m->version_max;
    if (ok) {
        memcpy(hello.member_id, m->member_id.data, KAP_UUID_LEN);
        memcpy(hello.cluster_id, m->cluster_id.data, KAP_UUID_LEN);
        if (m->rpc_address.len)
            memcpy(hello.rpc_address, m->rpc_address.data, m->rpc_address.len);
    }
    kap__rpc__hello__free_unpacked(m, NULL);
    if (!ok)
        return kap_fail(err, KAP_EINVAL, "hello has a bad identity");
    *ret = hello;
    return KAP_OK;
}

void kap_rpc_failure_put(struct kap_buf *out, enum kap_status status, const char *text)
{
    Kap__Rpc__Failure m = KAP__RPC__FAILURE__INIT;
    m.status = (uint32_t)status;
    m.text = kap_pb(kap_str(text));
    kap_rpc_pack(out, &m.base);
}

enum kap_status kap_rpc_failure_get(struct kap_str body, struct kap_error *err)
{
    Kap__Rpc__Failure *m = kap__rpc__failure__unpack(NULL, body.n, (const uint8_t *)body.p);
    if (!m)
        return kap_fail(err, KAP_EINVAL, "the peer's error cannot be read");
    const enum kap_status status =
        m->status >= KAP_EINVAL && m->status <= KAP_EINTERNAL ? (enum kap_status)m->status : KAP_EINTERNAL;
    kap_fail(err, status, "%.*s", (int)m->text.len, (const char *)m->text.data);
    kap__rpc__failure__free_unpacked(m, NULL);
    return status;
}
