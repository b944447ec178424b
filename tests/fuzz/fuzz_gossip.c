/* Everything that can arrive on the gossip port: datagrams, requests and answers on streams, plain and sealed, in
 * pieces, at a core that has members. The first byte chooses the way in, the rest is what a peer sent. */
#include "base/duration.h"
#include "base/mem.h"
#include "cluster/swim.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct driver {
    uint64_t stream;
    size_t replies;
};

static void io_send(void *ctx, const struct kap_swim_addr *to, struct kap_str bytes)
{
    (void)ctx, (void)to;
    if (bytes.n == 0 || bytes.n > KAP_WIRE_INFLATED_DATAGRAM_BYTES)
        abort();
}

static void io_dial(void *ctx, uint64_t stream, const struct kap_swim_addr *to, struct kap_str bytes, int64_t until)
{
    struct driver *d = ctx;
    (void)to, (void)bytes, (void)until;
    d->stream = stream;
}

static void io_reply(void *ctx, uint64_t conn, struct kap_str bytes)
{
    struct driver *d = ctx;
    (void)conn;
    if (bytes.n == 0)
        abort();
    d->replies++;
}

static struct kap_swim *new_core(struct driver *d, bool sealed)
{
    static const char key[] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };
    const struct kap_swim_io io = { .send = io_send, .dial = io_dial, .reply = io_reply, .ctx = d };
    struct kap_swim_config c;
    struct kap_swim *core = NULL;
    kap_swim_config_init(&c);
    c.name = "n1";
    c.addr = (struct kap_swim_addr){ .ip = { 127, 0, 0, 1 }, .n = 4, .port = 19301 };
    c.seed = 1;
    if (sealed)
        kap_seal_add_key(&c.seal, kap_strn(key, sizeof key), NULL);
    if (kap_swim_new(&c, &io, &core, NULL) != KAP_OK || kap_swim_enable(core, "", KAP_S, NULL) != KAP_OK)
        abort();
    return core;
}

static void run(struct kap_swim *core, int64_t *now_ns, int64_t for_ns)
{
    const int64_t end = *now_ns + for_ns;
    for (int i = 0; i < 1000 && kap_swim_deadline(core) <= end; i++) {
        *now_ns = KAP_MAX(*now_ns, kap_swim_deadline(core));
        kap_swim_tick(core, *now_ns);
    }
    *now_ns = end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct driver d = { 0 };
    const uint8_t way = data[0];
    const struct kap_swim_addr from = { .ip = { 127, 0, 0, 2 }, .n = 4, .port = 19302 };
    struct kap_swim *core = new_core(&d, way & 4);
    const struct kap_str bytes = kap_strn((const char *)data + 1, size - 1);
    const struct kap_str first = kap_strn(bytes.p, bytes.n / 2);
    struct kap_swim_inbound in = KAP_SWIM_INBOUND_START;
    int64_t now_ns = KAP_S;
    switch (way & 3) {
    case 0:
        kap_swim_datagram(core, &from, bytes, now_ns);
        break;
    case 1:
        if (kap_swim_stream_request(core, &in, 1, &from, first, now_ns) == KAP_SWIM_STREAM_MORE)
            kap_swim_stream_request(core, &in, 1, &from, bytes, now_ns);
        break;
    default:
        kap_swim_join(core, &from, now_ns);
        if (kap_swim_stream_answer(core, d.stream, first, now_ns) == KAP_SWIM_STREAM_MORE)
            kap_swim_stream_answer(core, d.stream, bytes, now_ns);
        break;
    }
    run(core, &now_ns, 10 * KAP_S);
    kap_swim_free(core);
    return 0;
}
