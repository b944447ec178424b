/* Everything that a peer can send on the RPC port, past the socket: frames, hellos, failures, and the messages of
 * each channel at a core that has members and content. The first byte chooses the way in, the rest is what came. */
#include "base/duration.h"
#include "base/mem.h"
#include "cluster/dedup.h"
#include "cluster/member.h"
#include "cluster/rpc.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SELF "00000000-4f40-4e80-87e2-4080c04d3096"
#define PEER "00000001-4f40-4e80-87e2-4080c04d3096"
#define CLUSTER "c0000000-4f40-4e80-87e2-4080c04d3096"

enum { ANSWERS = 256 };

struct driver {
    int64_t now_ns;
    uint64_t tokens[ANSWERS]; /* stores that wait for their answer */
    size_t n_tokens;
    struct kap_dedup_key keys[ANSWERS]; /* deliveries that do */
    size_t n_keys;
    struct kap_catalog *catalog;
    struct kap_members *members;
    uint64_t call;
};

static int64_t wall(void *ctx)
{
    return 1700000000 * KAP_S + ((struct driver *)ctx)->now_ns;
}

static int64_t mono(void *ctx)
{
    return ((struct driver *)ctx)->now_ns;
}

static void expect(bool ok)
{
    if (!ok)
        abort();
}

static void io_send(void *ctx, struct kap_str member, struct kap_str bytes)
{
    (void)ctx;
    expect(member.n > 0 && bytes.p);
}

static void want_answer(struct driver *d, uint64_t token)
{
    if (token && d->n_tokens < ANSWERS)
        d->tokens[d->n_tokens++] = token;
}

/* ---- catalog and members ---- */

static void catalog_store(void *ctx, const struct kap_catalog_entry *e, uint64_t token)
{
    expect(e->kind < KAP_CATALOG_KINDS && e->id.n > 0 && e->id.n <= KAP_CATALOG_ID_BYTES);
    want_answer(ctx, token);
}

static void catalog_forget(void *ctx, enum kap_catalog_kind kind, struct kap_str id)
{
    (void)ctx, (void)id;
    expect(kind < KAP_CATALOG_KINDS);
}

static void catalog_watermark(void *ctx, uint64_t watermark)
{
    (void)ctx, (void)watermark;
}

static void catalog_changed(void *ctx, const struct kap_catalog_entry *e, bool local)
{
    struct driver *d = ctx;
    (void)local;
    if (e->kind == KAP_CATALOG_MEMBER && d->members)
        kap_members_changed(d->members, e);
}

static void catalog_done(void *ctx, uint64_t token, enum kap_status status)
{
    (void)ctx, (void)token, (void)status;
}

static void catalog_notice(void *ctx, const struct kap_catalog_notice *n)
{
    (void)ctx;
    expect(n->text != NULL);
}

static void members_call(void *ctx, struct kap_str address, struct kap_str bytes, uint64_t token)
{
    (void)address;
    expect(bytes.n > 0);
    ((struct driver *)ctx)->call = token;
}

static void members_reply(void *ctx, uint64_t call, struct kap_str bytes)
{
    (void)ctx;
    expect(call == 1 && bytes.n > 0);
}

static void members_finished(void *ctx, uint64_t token, enum kap_status status, const struct kap_error *err)
{
    (void)ctx, (void)token;
    expect(status == KAP_OK || err->msg[0]);
}

static void members_cluster_id(void *ctx, struct kap_str id)
{
    (void)ctx;
    expect(kap_uuid_valid(id));
}

static void members_list(void *ctx)
{
    (void)ctx;
}

static void members_removed(void *ctx, struct kap_str by)
{
    (void)ctx, (void)by;
}

static void members_notice(void *ctx, const char *text)
{
    (void)ctx;
    expect(text != NULL);
}

static void new_cores(struct driver *d, const struct kap_clock *clock, struct kap_random *random)
{
    const struct kap_catalog_io io = { io_send,         catalog_store, catalog_forget, catalog_watermark,
                                       catalog_changed, catalog_done,  catalog_notice, d };
    const struct kap_catalog_config config = { .self = KAP_STR(SELF), .clock = clock };
    const struct kap_members_io members_io = { members_call, members_reply,   members_finished, members_cluster_id,
                                               members_list, members_removed, members_notice,   d };
    struct kap_members_config c = { .cluster_id = KAP_STR(CLUSTER), .random = random };
    const struct kap_str peer = KAP_STR(PEER);
    memcpy(c.self.id, SELF, sizeof c.self.id);
    c.self.rpc_address = KAP_STR("a:9091");
    d->catalog = c.catalog = kap_catalog_new(&config, &io);
    d->members = kap_members_new(&c, &members_io);
    kap_members_start(d->members);
    kap_catalog_members(d->catalog, &peer, 1);
    kap_catalog_link(d->catalog, peer, true);
    (void)kap_catalog_put(d->catalog, KAP_CATALOG_TASK, KAP_STR("cpu"), KAP_STR("blob"), 0, NULL);
    (void)kap_catalog_put(d->catalog, KAP_CATALOG_TASK, KAP_STR("mem"), KAP_STR("blob"), 0, NULL);
    (void)kap_catalog_drop(d->catalog, KAP_CATALOG_TASK, KAP_STR("mem"), 0, NULL);
}

static void answer_stores(struct driver *d)
{
    for (size_t i = 0; i < d->n_tokens; i++) /* an answer may ask for more */
        kap_catalog_stored(d->catalog, d->tokens[i], i % 5 != 4);
    d->n_tokens = 0;
}

static void at_the_cores(struct driver *d, const struct kap_clock *clock, uint8_t way, struct kap_str bytes)
{
    struct kap_random random;
    struct kap_error err;
    kap_random_seed(&random, 1);
    new_cores(d, clock, &random);
    answer_stores(d);
    switch (way) {
    case 3:
        kap_catalog_message(d->catalog, KAP_STR(PEER), bytes);
        break;
    case 4:
        kap_members_request(d->members, KAP_STR(PEER), 1, bytes);
        break;
    case 5:
        kap_members_add(d->members, KAP_STR("b:9091"), 1);
        kap_members_answer(d->members, d->call, KAP_OK, bytes, NULL);
        kap_members_answer(d->members, d->call, KAP_OK, bytes, NULL); /* of the call that it led to */
        break;
    default: {
        struct kap_rpc_hello hello;
        if (kap_rpc_hello_get(bytes, &hello, &err) == KAP_OK)
            kap_members_hello(d->members, kap_str(hello.member_id), kap_str(hello.cluster_id),
                              kap_str(hello.rpc_address));
        break;
    }
    }
    for (int i = 0; i < 20; i++) {
        answer_stores(d);
        d->now_ns += KAP_S;
        kap_catalog_tick(d->catalog);
    }
    kap_members_free(d->members);
    kap_catalog_free(d->catalog);
}

/* ---- dedup ---- */

static void dedup_store(void *ctx, const struct kap_dedup_store *op)
{
    want_answer(ctx, op->token);
}

static void dedup_accept(void *ctx, const struct kap_dedup_event *ev, struct kap_dedup_handlers *ret)
{
    (void)ctx, (void)ev;
    kap_dedup_add_handler(ret, KAP_STR("h0"));
    kap_dedup_add_handler(ret, KAP_STR("h1"));
}

static void dedup_deliver(void *ctx, const struct kap_dedup_event *ev, struct kap_str handler, unsigned attempt)
{
    struct driver *d = ctx;
    (void)attempt;
    if (kap_str_eq(handler, KAP_STR("h0")) && d->n_keys < ANSWERS)
        d->keys[d->n_keys++] = ev->key;
}

static bool dedup_state_get(void *ctx, struct kap_str topic, struct kap_str id, struct kap_buf *ret)
{
    (void)ctx, (void)topic;
    kap_buf_add(ret, id);
    return true;
}

static void dedup_state_set(void *ctx, struct kap_str topic, struct kap_str id, struct kap_str blob)
{
    (void)ctx, (void)topic, (void)id, (void)blob;
}

static void dedup_topic_drop(void *ctx, struct kap_str topic)
{
    (void)ctx, (void)topic;
}

static void dedup_notice(void *ctx, const struct kap_dedup_notice *n)
{
    (void)ctx, (void)n;
}

static void at_the_dedup(struct driver *d, const struct kap_clock *clock, struct kap_str bytes)
{
    const struct kap_dedup_io io = { io_send,         dedup_store,     dedup_accept,     dedup_deliver,
                                     dedup_state_get, dedup_state_set, dedup_topic_drop, dedup_notice, d };
    const struct kap_dedup_config config = { .self = KAP_STR(SELF), .clock = clock };
    const struct kap_dedup_member peer = { KAP_STR(PEER), KAP_DEDUP_ALIVE, true };
    const struct kap_dedup_identity identity = { .topic = KAP_STR("t"),
                                                 .task = KAP_STR("cpu"),
                                                 .node = KAP_STR("alert2"),
                                                 .id = KAP_STR("id"),
                                                 .time_ns = 1,
                                                 .level = 3 };
    struct kap_dedup *core = kap_dedup_new(&config, &io);
    kap_dedup_members(core, &peer, 1);
    (void)kap_dedup_submit(core, &identity, KAP_STR("event"), NULL);
    kap_dedup_message(core, KAP_STR(PEER), bytes);
    for (int i = 0; i < 40; i++) {
        for (size_t k = 0; k < d->n_tokens; k++)
            kap_dedup_stored(core, d->tokens[k], k % 5 != 4);
        d->n_tokens = 0;
        for (size_t k = 0; k < d->n_keys; k++)
            kap_dedup_delivered(core, d->keys[k], KAP_STR("h0"), k % 3 ? KAP_DEDUP_RETRY : KAP_DEDUP_SENT);
        d->n_keys = 0;
        if (i == 20)
            kap_dedup_message(core, KAP_STR(PEER), bytes);
        d->now_ns += KAP_S;
        kap_dedup_tick(core);
    }
    kap_dedup_free(core);
}

static void at_the_frames(struct kap_str bytes)
{
    struct kap_rpc_frame frame;
    struct kap_error err;
    while (bytes.n) {
        const int64_t n = kap_rpc_frame_get(bytes, &frame, &err);
        if (n <= 0)
            break;
        expect((size_t)n <= bytes.n && frame.body.n <= (size_t)n);
        bytes = kap_strn(bytes.p + n, bytes.n - (size_t)n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct driver d = { .now_ns = KAP_S };
    const struct kap_clock clock = { wall, mono, &d };
    const struct kap_str bytes = kap_strn((const char *)data + 1, size - 1);
    const uint8_t way = data[0] % 7;
    struct kap_error err;
    if (way == 0)
        at_the_frames(bytes);
    else if (way == 1)
        expect(kap_rpc_failure_get(bytes, &err) != KAP_OK);
    else if (way == 2)
        at_the_dedup(&d, &clock, bytes);
    else
        at_the_cores(&d, &clock, way, bytes);
    return 0;
}
