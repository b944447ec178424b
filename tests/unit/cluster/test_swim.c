/* The rules of membership, one core at a time: what comes in by hand, what goes out is looked at. */
#include "test.h"
#include "base/duration.h"
#include "base/mem.h"
#include "cluster/swim.h"
#include <stdio.h>

enum { OUT = 256 };

struct rig {
    struct kap_swim *core;
    int64_t now_ns;
    struct { struct kap_swim_addr to; struct kap_buf bytes; } sent[OUT], dialled[OUT];
    size_t n_sent, n_dialled;
    uint64_t streams[OUT];
    struct kap_buf reply;
    enum kap_swim_event_kind events[OUT];
    char texts[OUT][200];
    size_t n_events;
    enum kap_swim_role role;
};

static struct kap_swim_addr addr(int i)
{
    return (struct kap_swim_addr){ .ip = { 10, 0, 0, (uint8_t)i }, .n = 4, .port = 9090 };
}

static void io_send(void *ctx, const struct kap_swim_addr *to, struct kap_str bytes)
{
    struct rig *r = ctx;
    assert_true(r->n_sent < OUT);
    r->sent[r->n_sent].to = *to;
    kap_buf_reset(&r->sent[r->n_sent].bytes);
    kap_buf_add(&r->sent[r->n_sent++].bytes, bytes);
}

static void io_dial(void *ctx, uint64_t stream, const struct kap_swim_addr *to, struct kap_str bytes, int64_t until)
{
    struct rig *r = ctx;
    (void)until;
    assert_true(r->n_dialled < OUT);
    r->streams[r->n_dialled] = stream;
    r->dialled[r->n_dialled].to = *to;
    kap_buf_reset(&r->dialled[r->n_dialled].bytes);
    kap_buf_add(&r->dialled[r->n_dialled++].bytes, bytes);
}

static void io_reply(void *ctx, uint64_t conn, struct kap_str bytes)
{
    struct rig *r = ctx;
    (void)conn;
    kap_buf_reset(&r->reply);
    kap_buf_add(&r->reply, bytes);
}

static void io_event(void *ctx, const struct kap_swim_event *ev)
{
    struct rig *r = ctx;
    assert_true(r->n_events < OUT);
    snprintf(r->texts[r->n_events], sizeof r->texts[0], "%s %s", ev->member ? ev->member->name : "", ev->text);
    r->events[r->n_events++] = ev->kind;
}

static enum kap_swim_role io_admit(void *ctx, struct kap_str name, const struct kap_wire_tag *tags, size_t n)
{
    const struct rig *r = ctx;
    (void)tags, (void)n;
    return kap_str_is(name, "removed") ? KAP_SWIM_REFUSED : r->role;
}

static struct rig *rig_new(void)
{
    struct rig *r = KAP_NEW(struct rig);
    const struct kap_swim_io io = { io_send, io_dial, io_reply, io_event, io_admit, r };
    struct kap_swim_config c;
    kap_swim_config_init(&c);
    c.name = "me";
    c.addr = addr(1);
    c.seed = 42;
    c.compress_streams = false;
    r->now_ns = 100 * KAP_S;
    assert_int_equal(kap_swim_new(&c, &io, &r->core, NULL), KAP_OK);
    assert_int_equal(kap_swim_enable(r->core, "one", r->now_ns, NULL), KAP_OK);
    return r;
}

static void rig_free(struct rig *r)
{
    kap_swim_free(r->core);
    for (size_t i = 0; i < OUT; i++) {
        kap_buf_done(&r->sent[i].bytes);
        kap_buf_done(&r->dialled[i].bytes);
    }
    kap_buf_done(&r->reply);
    kap_free(r);
}

static void forget_output(struct rig *r)
{
    r->n_sent = r->n_dialled = r->n_events = 0;
}

static void run(struct rig *r, int64_t for_ns)
{
    const int64_t end = r->now_ns + for_ns;
    while (kap_swim_deadline(r->core) <= end) {
        r->now_ns = KAP_MAX(r->now_ns, kap_swim_deadline(r->core));
        kap_swim_tick(r->core, r->now_ns);
    }
    r->now_ns = end;
}

/* ---- in ---- */

static void give(struct rig *r, uint8_t type, const struct kap_msgpack_struct *desc, const void *msg)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_swim_addr from = addr(99);
    kap_wire_put(&b, type, desc, msg);
    kap_swim_datagram(r->core, &from, kap_buf_str(&b), r->now_ns);
}

static const struct kap_msgpack_vsn stock_vsn = { { 1, 5, 2, 2, 5, 5 }, 6 };

static void give_alive_of(struct rig *r, const char *name, int at, uint32_t incarnation, const char *cluster)
{
    KAP_AUTO_BUF struct kap_buf meta = { 0 };
    const struct kap_swim_addr a = addr(at);
    const struct kap_wire_tag tag = { KAP_STR("cluster"), kap_str(cluster) };
    kap_wire_tags_put(&meta, &tag, 1, NULL);
    const struct kap_wire_alive alive = { .addr = kap_strn((const char *)a.ip, 4), .meta = kap_buf_str(&meta),
                                          .node = kap_str(name), .incarnation = incarnation, .port = 9090,
                                          .vsn = stock_vsn };
    give(r, KAP_WIRE_ALIVE, &kap_wire_alive_desc, &alive);
}

static void give_alive(struct rig *r, const char *name, int at, uint32_t incarnation)
{
    give_alive_of(r, name, at, incarnation, "one");
}

static void accuse(struct rig *r, enum kap_wire_type type, const char *name, uint32_t incarnation, const char *from)
{
    const struct kap_wire_accusation a = { .from = kap_str(from), .node = kap_str(name), .incarnation = incarnation };
    give(r, (uint8_t)type, &kap_wire_accusation_desc, &a);
}

/* ---- out ---- */

struct search {
    uint8_t type;
    size_t found;
    struct kap_str last;
};

static void look_at(void *ctx, struct kap_str part)
{
    struct search *s = ctx;
    if ((uint8_t)part.p[0] == s->type) {
        s->found++;
        s->last = part;
    }
}

/* Messages of a type in one datagram; *ret_body borrows. */
static size_t parts_of(const struct kap_buf *datagram, uint8_t type, struct kap_str *ret_body)
{
    struct search s = { .type = type };
    struct kap_str m;
    assert_true(kap_wire_crc_get(kap_buf_str(datagram), &m));
    if (m.n && m.p[0] == KAP_WIRE_COMPOUND)
        kap_wire_compound_get(kap_strn(m.p + 1, m.n - 1), look_at, &s);
    else if (m.n)
        look_at(&s, m);
    if (s.found && ret_body)
        *ret_body = kap_strn(s.last.p + 1, s.last.n - 1);
    return s.found;
}

static size_t sent_of(const struct rig *r, uint8_t type, struct kap_str *ret_body)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_sent; i++)
        n += parts_of(&r->sent[i].bytes, type, ret_body);
    return n;
}

static bool saw(const struct rig *r, enum kap_swim_event_kind kind)
{
    for (size_t i = 0; i < r->n_events; i++)
        if (r->events[i] == kind)
            return true;
    return false;
}

static const struct kap_swim_member *member(const struct rig *r, const char *name)
{
    return kap_swim_find(r->core, kap_str(name));
}

static enum kap_swim_status status(const struct rig *r, const char *name)
{
    const struct kap_swim_member *m = member(r, name);
    assert_non_null(m);
    return m->status;
}

/* ---- alive ---- */

TEST(a_stranger_of_our_cluster_becomes_a_member_and_is_passed_on)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 7);
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    assert_true(saw(r, KAP_SWIM_EV_ALIVE));
    assert_int_equal(member(r, "x")->incarnation, 7);
    assert_true(kap_str_is(kap_swim_tag(member(r, "x"), "cluster"), "one"));
    run(r, 500 * KAP_MS);
    assert_true(sent_of(r, KAP_WIRE_ALIVE, NULL) > 0);
    rig_free(r);
}

TEST(a_stranger_of_another_cluster_is_refused_and_gets_no_answer)
{
    struct rig *r = rig_new();
    run(r, 5 * KAP_S);
    forget_output(r);
    give_alive_of(r, "x", 2, 7, "two");
    give_alive_of(r, "x", 2, 8, "two");
    give_alive_of(r, "y", 3, 1, "");
    give_alive(r, "removed", 4, 1);
    assert_null(member(r, "x"));
    assert_null(member(r, "removed"));
    assert_int_equal(kap_swim_stats(r->core).refused, 4);
    assert_int_equal(r->n_events, 3); /* once for each name */
    assert_int_equal(r->events[0], KAP_SWIM_EV_REFUSED);
    assert_string_equal(r->texts[0], " x belongs to another cluster");
    const struct kap_wire_ping ping = { .node = KAP_STR("me"), .seq = 1, .source_node = KAP_STR("x") };
    give(r, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    assert_int_equal(r->n_sent, 0);
    rig_free(r);
}

TEST(old_news_are_ignored)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 7);
    forget_output(r);
    give_alive(r, "x", 2, 7);
    give_alive(r, "x", 2, 3);
    accuse(r, KAP_WIRE_SUSPECT, "x", 6, "y");
    accuse(r, KAP_WIRE_DEAD, "x", 6, "y");
    accuse(r, KAP_WIRE_DEAD, "unknown", 1, "y");
    assert_int_equal(r->n_events, 0);
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    rig_free(r);
}

TEST(damaged_alives_are_ignored)
{
    struct rig *r = rig_new();
    struct kap_wire_alive a = { .addr = KAP_STR("\1\2\3"), .node = KAP_STR("x"), .incarnation = 1, .vsn = stock_vsn };
    give(r, KAP_WIRE_ALIVE, &kap_wire_alive_desc, &a); /* address of three bytes */
    a.addr = KAP_STR("\1\2\3\4");
    a.vsn = (struct kap_msgpack_vsn){ { 3, 2, 2, 2, 5, 5 }, 6 };
    give(r, KAP_WIRE_ALIVE, &kap_wire_alive_desc, &a); /* minimum above maximum */
    a.vsn = stock_vsn;
    a.node = KAP_STR("");
    give(r, KAP_WIRE_ALIVE, &kap_wire_alive_desc, &a);
    a.node = KAP_STR("a\0b");
    give(r, KAP_WIRE_ALIVE, &kap_wire_alive_desc, &a);
    size_t i = 0, n = 0;
    while (kap_swim_next(r->core, &i))
        n++;
    assert_int_equal(n, 1);
    rig_free(r);
}

TEST(an_observers_new_address_is_a_conflict_until_it_left)
{
    struct rig *r = rig_new();
    r->role = KAP_SWIM_OBSERVER;
    give_alive(r, "x", 2, 7);
    give_alive(r, "x", 3, 9);
    assert_true(saw(r, KAP_SWIM_EV_CONFLICT));
    assert_int_equal(member(r, "x")->addr.ip[3], 2);
    accuse(r, KAP_WIRE_DEAD, "x", 7, "x");
    assert_int_equal(status(r, "x"), KAP_SWIM_LEFT);
    give_alive(r, "x", 3, 8);
    assert_int_equal(member(r, "x")->addr.ip[3], 3);
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    rig_free(r);
}

TEST(a_refutation_reaches_each_member_at_once)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 7);
    give_alive(r, "y", 3, 7);
    give_alive(r, "z", 4, 7);
    give_alive(r, "w", 5, 7);
    run(r, 10 * KAP_S);
    forget_output(r);
    accuse(r, KAP_WIRE_SUSPECT, "me", kap_swim_self(r->core)->incarnation, "x");
    run(r, KAP_MS);
    assert_true(sent_of(r, KAP_WIRE_ALIVE, NULL) >= 4);
    rig_free(r);
}

TEST(a_stale_accusation_is_answered_to_its_author)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 7);
    accuse(r, KAP_WIRE_SUSPECT, "me", 1, "x");
    run(r, 10 * KAP_S);
    const uint32_t now = kap_swim_self(r->core)->incarnation;
    const enum kap_wire_type types[] = { KAP_WIRE_SUSPECT, KAP_WIRE_DEAD };
    for (size_t i = 0; i < KAP_COUNT(types); i++) {
        struct kap_str body;
        struct kap_wire_alive alive;
        forget_output(r);
        accuse(r, types[i], "me", 1, "x");
        assert_int_equal(r->n_sent, 1);
        assert_int_equal(sent_of(r, KAP_WIRE_ALIVE, &body), 1);
        assert_true(KAP_WIRE_GET(body, kap_wire_alive_desc, &alive));
        assert_int_equal(alive.incarnation, now);
        accuse(r, types[i], "me", 1, "nobody");
        assert_int_equal(r->n_sent, 1);
    }
    assert_int_equal(kap_swim_self(r->core)->incarnation, now);
    rig_free(r);
}

TEST(a_member_moves_with_a_newer_incarnation)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 7);
    give_alive(r, "x", 3, 7); /* not newer */
    assert_int_equal(member(r, "x")->addr.ip[3], 2);
    give_alive(r, "x", 3, 8);
    assert_int_equal(member(r, "x")->addr.ip[3], 3);
    assert_true(saw(r, KAP_SWIM_EV_UPDATED));
    rig_free(r);
}

/* A spurious second address for our own name after we have been up for long changes nothing. */
TEST(a_second_us_is_a_conflict)
{
    struct rig *r = rig_new();
    run(r, 2 * KAP_MINUTE);
    forget_output(r);
    give_alive(r, "me", 7, 50);
    assert_true(saw(r, KAP_SWIM_EV_CONFLICT));
    assert_int_equal(kap_swim_self(r->core)->addr.ip[3], 1);
    rig_free(r);
}

/* ---- accusations ---- */

TEST(we_refute_what_is_said_about_us)
{
    const enum kap_wire_type kinds[] = { KAP_WIRE_SUSPECT, KAP_WIRE_DEAD };
    for (int i = 0; i < 2; i++) {
        struct rig *r = rig_new();
        give_alive(r, "x", 2, 1);
        accuse(r, kinds[i], "me", 5, "x");
        assert_true(saw(r, KAP_SWIM_EV_REFUTED));
        assert_int_equal(kap_swim_stats(r->core).health, 1);
        run(r, 400 * KAP_MS);
        assert_true(sent_of(r, KAP_WIRE_ALIVE, NULL) > 0);
        assert_int_equal(kap_swim_self(r->core)->incarnation, 6);
        rig_free(r);
    }
}

TEST(a_suspect_that_does_not_refute_fails_after_four_seconds_in_a_small_cluster)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    accuse(r, KAP_WIRE_SUSPECT, "x", 1, "y");
    assert_int_equal(status(r, "x"), KAP_SWIM_SUSPECT);
    run(r, 3900 * KAP_MS);
    assert_int_equal(status(r, "x"), KAP_SWIM_SUSPECT);
    run(r, 200 * KAP_MS);
    assert_int_equal(status(r, "x"), KAP_SWIM_FAILED);
    assert_true(saw(r, KAP_SWIM_EV_FAILED));
    rig_free(r);
}

TEST(a_refutation_ends_a_suspicion)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    accuse(r, KAP_WIRE_SUSPECT, "x", 1, "y");
    give_alive(r, "x", 2, 2);
    assert_true(saw(r, KAP_SWIM_EV_RECOVERED));
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    rig_free(r);
}

/* n = 6: 24 s alone, 11.4 s with one confirmation, 4 s with two; a repeated accuser counts once. */
TEST(confirmations_shorten_the_suspicion)
{
    const int64_t expected[] = { 24000 * KAP_MS, 11400 * KAP_MS, 4000 * KAP_MS };
    for (int confirmations = 0; confirmations < 3; confirmations++) {
        struct rig *r = rig_new();
        char name[] = "p0";
        for (int i = 0; i < 5; i++) {
            name[1] = (char)('0' + i);
            give_alive(r, name, 2 + i, 1);
        }
        const int64_t start = r->now_ns;
        accuse(r, KAP_WIRE_SUSPECT, "p0", 1, "p1");
        accuse(r, KAP_WIRE_SUSPECT, "p0", 1, "p1");
        if (confirmations > 0)
            accuse(r, KAP_WIRE_SUSPECT, "p0", 1, "p2");
        if (confirmations > 1)
            accuse(r, KAP_WIRE_SUSPECT, "p0", 1, "p3");
        /* Nobody answers here, so that we would accuse as well: only timers up to the first probe's end count. */
        while (status(r, "p0") == KAP_SWIM_SUSPECT && r->now_ns - start < 30 * KAP_S) {
            run(r, 10 * KAP_MS);
            forget_output(r);
        }
        assert_true(r->now_ns - start <= expected[confirmations] + 20 * KAP_MS);
        assert_true(r->now_ns - start >= 3980 * KAP_MS);
        rig_free(r);
    }
}

TEST(dead_from_itself_is_left_and_from_another_failed)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    give_alive(r, "y", 3, 1);
    accuse(r, KAP_WIRE_DEAD, "x", 1, "y");
    accuse(r, KAP_WIRE_DEAD, "y", 1, "y");
    assert_int_equal(status(r, "x"), KAP_SWIM_FAILED);
    assert_int_equal(status(r, "y"), KAP_SWIM_LEFT);
    rig_free(r);
}

TEST(a_failed_member_is_remembered_after_the_table_forgot_it_and_pinged)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 5);
    accuse(r, KAP_WIRE_DEAD, "x", 5, "y");
    for (int i = 0; i < 60; i++) {
        run(r, KAP_S);
        if (i < 59)
            forget_output(r);
    }
    assert_int_equal(status(r, "x"), KAP_SWIM_FAILED);
    assert_int_equal(sent_of(r, KAP_WIRE_PING, NULL), 1);
    give_alive(r, "x", 9, 1); /* the name is free: any incarnation, any address */
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    rig_free(r);
}

/* ---- probing ---- */

static void answer_last_ping(struct rig *r)
{
    struct kap_str body;
    struct kap_wire_ping ping;
    assert_true(sent_of(r, KAP_WIRE_PING, &body) > 0);
    assert_true(KAP_WIRE_GET(body, kap_wire_ping_desc, &ping));
    const struct kap_wire_ack ack = { .seq = ping.seq };
    give(r, KAP_WIRE_ACK, &kap_wire_ack_desc, &ack);
}

TEST(who_answers_is_not_suspected)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    for (int i = 0; i < 20; i++) {
        forget_output(r);
        while (sent_of(r, KAP_WIRE_PING, NULL) == 0)
            run(r, 20 * KAP_MS);
        answer_last_ping(r);
    }
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    assert_int_equal(kap_swim_stats(r->core).probes_failed, 0);
    rig_free(r);
}

TEST(a_silent_member_is_probed_by_others_and_by_tcp_then_suspected_and_told)
{
    struct rig *r = rig_new();
    struct kap_str body;
    give_alive(r, "x", 2, 1);
    give_alive(r, "y", 3, 1);
    forget_output(r);
    while (sent_of(r, KAP_WIRE_PING, NULL) == 0)
        run(r, 10 * KAP_MS);
    run(r, 520 * KAP_MS);
    struct kap_wire_indirect_ping ask;
    assert_int_equal(sent_of(r, KAP_WIRE_INDIRECT_PING, &body), 1);
    assert_true(KAP_WIRE_GET(body, kap_wire_indirect_ping_desc, &ask));
    assert_true(ask.nack);
    assert_int_equal(r->n_dialled, 1);
    assert_int_equal(r->dialled[0].bytes.p[0], KAP_WIRE_PING);
    run(r, 520 * KAP_MS);
    assert_true(saw(r, KAP_SWIM_EV_SUSPECT));
    assert_int_equal(kap_swim_stats(r->core).health, 1); /* the nack that did not come */
    /* The next probe of the suspect carries the accusation. */
    run(r, 6 * KAP_S);
    bool told = false;
    for (size_t i = 0; i < r->n_sent; i++)
        told |= parts_of(&r->sent[i].bytes, KAP_WIRE_PING, NULL) && parts_of(&r->sent[i].bytes, KAP_WIRE_SUSPECT, NULL);
    assert_true(told);
    rig_free(r);
}

TEST(an_answer_by_tcp_saves)
{
    struct rig *r = rig_new();
    struct kap_wire_ping ping;
    give_alive(r, "x", 2, 1);
    while (r->n_dialled == 0)
        run(r, 10 * KAP_MS);
    const struct kap_buf *request = &r->dialled[0].bytes;
    assert_true(KAP_WIRE_GET(kap_strn(request->p + 1, request->n - 1), kap_wire_ping_desc, &ping));
    KAP_AUTO_BUF struct kap_buf answer = { 0 };
    const struct kap_wire_ack ack = { .seq = ping.seq };
    kap_wire_put(&answer, KAP_WIRE_ACK, &kap_wire_ack_desc, &ack);
    assert_int_equal(kap_swim_stream_answer(r->core, r->streams[0], kap_strn(answer.p, 3), r->now_ns),
                     KAP_SWIM_STREAM_MORE);
    assert_int_equal(kap_swim_stream_answer(r->core, r->streams[0], kap_buf_str(&answer), r->now_ns),
                     KAP_SWIM_STREAM_DONE);
    run(r, 600 * KAP_MS);
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    rig_free(r);
}

TEST(we_relay_pings_and_say_when_nobody_answered)
{
    struct rig *r = rig_new();
    struct kap_str body;
    run(r, 3 * KAP_S);
    forget_output(r);
    const struct kap_wire_indirect_ping ask = { .nack = true, .node = KAP_STR("z"), .target = KAP_STR("\x0a\0\0\7"),
                                                .port = 9090, .seq = 77 };
    give(r, KAP_WIRE_INDIRECT_PING, &kap_wire_indirect_ping_desc, &ask);
    assert_int_equal(r->sent[0].to.ip[3], 7);
    answer_last_ping(r);
    struct kap_wire_ack ack;
    assert_int_equal(sent_of(r, KAP_WIRE_ACK, &body), 1);
    assert_true(KAP_WIRE_GET(body, kap_wire_ack_desc, &ack));
    assert_int_equal(ack.seq, 77);
    forget_output(r);
    give(r, KAP_WIRE_INDIRECT_PING, &kap_wire_indirect_ping_desc, &ask);
    run(r, 600 * KAP_MS);
    struct kap_wire_nack nack;
    assert_int_equal(sent_of(r, KAP_WIRE_NACK, &body), 1);
    assert_true(KAP_WIRE_GET(body, kap_wire_nack_desc, &nack));
    assert_int_equal(nack.seq, 77);
    rig_free(r);
}

TEST(pings_for_another_name_are_not_answered)
{
    struct rig *r = rig_new();
    struct kap_wire_ping ping = { .node = KAP_STR("other"), .seq = 1 };
    run(r, 3 * KAP_S);
    forget_output(r);
    give(r, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    assert_int_equal(r->n_sent, 0);
    ping.node = KAP_STR("me");
    give(r, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    assert_int_equal(sent_of(r, KAP_WIRE_ACK, NULL), 1);
    assert_int_equal(r->sent[0].to.ip[3], 99); /* back to where it came from */
    rig_free(r);
}

TEST(a_stranger_that_probes_us_is_met_once_a_second)
{
    struct rig *r = rig_new();
    run(r, 3 * KAP_S);
    forget_output(r);
    const struct kap_wire_ping ping = { .node = KAP_STR("me"), .seq = 1, .source_node = KAP_STR("x"),
                                        .source_addr = KAP_STR("\x0a\0\0\2"), .source_port = 9090 };
    give(r, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    give(r, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    assert_int_equal(r->n_dialled, 1);
    assert_int_equal(r->dialled[0].to.ip[3], 2);
    assert_int_equal(r->dialled[0].bytes.p[0], KAP_WIRE_PUSH_PULL);
    give_alive(r, "x", 2, 1);
    run(r, 2 * KAP_S);
    forget_output(r);
    give(r, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    assert_int_equal(r->n_dialled, 0);
    rig_free(r);
}

/* ---- push/pull ---- */

static void put_table(struct kap_buf *b, bool join, const struct kap_wire_node *nodes, size_t n)
{
    const struct kap_wire_push_pull head = { .join = join, .nodes = (int64_t)n };
    kap_wire_put(b, KAP_WIRE_PUSH_PULL, &kap_wire_push_pull_desc, &head);
    for (size_t i = 0; i < n; i++)
        kap_msgpack_put(b, &kap_wire_node_desc, &nodes[i]);
}

static struct kap_wire_node entry(const char *name, enum kap_wire_state state, uint32_t incarnation)
{
    return (struct kap_wire_node){ .addr = KAP_STR("\x0a\0\0\5"), .meta = KAP_STR("\xff\x81\xa7" "cluster\xa3one"),
                                   .name = kap_str(name), .port = 9090, .state = state, .incarnation = incarnation,
                                   .vsn = stock_vsn };
}

static enum kap_swim_stream_state ask(struct rig *r, struct kap_str bytes)
{
    struct kap_swim_inbound in = KAP_SWIM_INBOUND_START;
    const struct kap_swim_addr from = addr(5);
    kap_buf_reset(&r->reply);
    return kap_swim_stream_request(r->core, &in, 1, &from, bytes, r->now_ns);
}

TEST(a_push_pull_is_answered_and_merged)
{
    struct rig *r = rig_new();
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    give_alive(r, "d", 8, 1);
    const struct kap_wire_node nodes[] = { entry("x", KAP_WIRE_STATE_ALIVE, 3), entry("d", KAP_WIRE_STATE_DEAD, 1),
                                           entry("gone", KAP_WIRE_STATE_DEAD, 1) };
    put_table(&b, true, nodes, 3);
    assert_int_equal(ask(r, kap_strn(b.p, b.n - 1)), KAP_SWIM_STREAM_MORE);
    assert_int_equal(ask(r, kap_buf_str(&b)), KAP_SWIM_STREAM_DONE);
    assert_int_equal(r->reply.p[0], KAP_WIRE_PUSH_PULL);
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    assert_int_equal(status(r, "d"), KAP_SWIM_SUSPECT); /* hearsay is only a suspicion */
    assert_null(member(r, "gone"));
    rig_free(r);
}

TEST(a_returning_member_takes_its_own_entry_as_an_accusation)
{
    struct rig *r = rig_new();
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_wire_node nodes[] = { entry("x", KAP_WIRE_STATE_ALIVE, 3), entry("me", KAP_WIRE_STATE_DEAD, 41) };
    nodes[1].addr = KAP_STR("\x0a\0\0\1");
    put_table(&b, false, nodes, 2);
    assert_int_equal(ask(r, kap_buf_str(&b)), KAP_SWIM_STREAM_DONE);
    assert_int_equal(kap_swim_self(r->core)->incarnation, 42);
    rig_free(r);
}

TEST(a_join_from_another_cluster_is_told_no_and_learns_nothing)
{
    struct rig *r = rig_new();
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_wire_node nodes[] = { entry("x", KAP_WIRE_STATE_ALIVE, 3), entry("y", KAP_WIRE_STATE_ALIVE, 3) };
    nodes[1].meta = KAP_STR("\xff\x81\xa7" "cluster\xa3two");
    put_table(&b, true, nodes, 2);
    ask(r, kap_buf_str(&b));
    assert_int_equal(r->reply.p[0], KAP_WIRE_ERR);
    assert_null(member(r, "x"));
    kap_buf_reset(&b);
    put_table(&b, false, nodes, 2); /* an observer's regular exchange: the stranger is left out */
    ask(r, kap_buf_str(&b));
    assert_int_equal(r->reply.p[0], KAP_WIRE_PUSH_PULL);
    assert_non_null(member(r, "x"));
    assert_null(member(r, "y"));
    rig_free(r);
}

TEST(an_incompatible_version_is_refused)
{
    struct rig *r = rig_new();
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_wire_node node = entry("x", KAP_WIRE_STATE_ALIVE, 3);
    node.vsn = (struct kap_msgpack_vsn){ .n = 0 };
    put_table(&b, true, &node, 1);
    ask(r, kap_buf_str(&b));
    assert_int_equal(r->reply.p[0], KAP_WIRE_ERR);
    assert_null(member(r, "x"));
    rig_free(r);
}

TEST(streams_of_nonsense_end)
{
    struct rig *r = rig_new();
    const struct kap_str bad[] = { KAP_STR("\x07\x01\0\0"), KAP_STR("\x0a\0\0\0\1x"), KAP_STR("\x09\x80"),
                                   KAP_STR("\x06\x81\xa5Nodes\xd3\xff\xff\xff\xff\xff\xff\xff\xff"),
                                   KAP_STR("\x06\x81\xa5Nodes\xce\xff\xff\xff\xff"), KAP_STR("\x08\xc1") };
    for (size_t i = 0; i < KAP_COUNT(bad); i++) {
        assert_int_equal(ask(r, bad[i]), KAP_SWIM_STREAM_DONE);
        assert_int_equal(r->reply.n, 0);
    }
    assert_int_equal(kap_swim_stats(r->core).bad_streams, KAP_COUNT(bad));
    rig_free(r);
}

TEST(the_outcome_of_a_join_is_told)
{
    struct rig *r = rig_new();
    const struct kap_swim_addr to = addr(5);
    KAP_AUTO_BUF struct kap_buf answer = { 0 };
    const struct kap_wire_node node = entry("x", KAP_WIRE_STATE_ALIVE, 3);
    kap_swim_join(r->core, &to, r->now_ns);
    kap_swim_stream_failed(r->core, r->streams[0], "connection refused", r->now_ns);
    assert_int_equal(r->events[0], KAP_SWIM_EV_JOIN_FAILED);
    assert_string_equal(r->texts[0], " connection refused");
    kap_swim_join(r->core, &to, r->now_ns);
    put_table(&answer, false, &node, 1);
    assert_int_equal(kap_swim_stream_answer(r->core, r->streams[1], kap_buf_str(&answer), r->now_ns),
                     KAP_SWIM_STREAM_DONE);
    assert_true(saw(r, KAP_SWIM_EV_JOINED));
    assert_non_null(member(r, "x"));
    rig_free(r);
}

/* ---- serf ---- */

static void give_serf(struct rig *r, uint8_t type, const struct kap_msgpack_struct *desc, const void *msg)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_swim_addr from = addr(99);
    kap_buf_addc(&b, KAP_WIRE_USER);
    kap_wire_put(&b, type, desc, msg);
    kap_swim_datagram(r->core, &from, kap_buf_str(&b), r->now_ns);
}

TEST(an_announced_leave_is_left_and_force_leave_turns_failed_into_left)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    give_alive(r, "y", 3, 1);
    struct kap_serf_leave leave = { .ltime = 10, .node = KAP_STR("x") };
    give_serf(r, KAP_SERF_LEAVE, &kap_serf_leave_desc, &leave);
    assert_int_equal(status(r, "x"), KAP_SWIM_LEAVING);
    accuse(r, KAP_WIRE_DEAD, "x", 1, "y");
    assert_int_equal(status(r, "x"), KAP_SWIM_LEFT);
    accuse(r, KAP_WIRE_DEAD, "y", 1, "z");
    leave = (struct kap_serf_leave){ .ltime = 11, .node = KAP_STR("y"), .prune = true };
    give_serf(r, KAP_SERF_LEAVE, &kap_serf_leave_desc, &leave);
    assert_null(member(r, "y")); /* pruned */
    rig_free(r);
}

TEST(a_leave_in_our_name_is_contradicted)
{
    struct rig *r = rig_new();
    struct kap_str body;
    give_alive(r, "x", 2, 1);
    run(r, 3 * KAP_S);
    forget_output(r);
    const struct kap_serf_leave leave = { .ltime = 10, .node = KAP_STR("me") };
    give_serf(r, KAP_SERF_LEAVE, &kap_serf_leave_desc, &leave);
    run(r, KAP_S);
    struct kap_serf_join join;
    assert_true(sent_of(r, KAP_WIRE_USER, &body) > 0);
    assert_int_equal(body.p[0], KAP_SERF_JOIN);
    assert_true(KAP_WIRE_GET(kap_strn(body.p + 1, body.n - 1), kap_serf_join_desc, &join));
    assert_true(kap_str_is(join.node, "me") && join.ltime > 10);
    rig_free(r);
}

TEST(user_events_are_passed_on_once)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    run(r, 5 * KAP_S);
    const struct kap_serf_event ev = { .ltime = 9, .name = KAP_STR("deploy"), .payload = KAP_STR("1") };
    const uint64_t before = kap_swim_stats(r->core).queued;
    for (int i = 0; i < 3; i++)
        give_serf(r, KAP_SERF_EVENT, &kap_serf_event_desc, &ev);
    assert_int_equal(kap_swim_stats(r->core).queued, before + 1);
    rig_free(r);
}

TEST(a_message_larger_than_a_packet_is_not_queued_for_ever)
{
    struct rig *r = rig_new();
    char big[8000] = { 0 };
    const struct kap_serf_event ev = { .ltime = 9, .name = KAP_STR("big"), .payload = kap_strn(big, sizeof big) };
    const uint64_t before = kap_swim_stats(r->core).queued;
    give_serf(r, KAP_SERF_EVENT, &kap_serf_event_desc, &ev);
    assert_int_equal(kap_swim_stats(r->core).queued, before);
    rig_free(r);
}

static struct kap_serf_query query(const char *name, struct kap_str payload, uint32_t id)
{
    return (struct kap_serf_query){ .ltime = 4, .id = id, .addr = KAP_STR("\x0a\0\0\7"), .port = 7946,
                                    .source_node = KAP_STR("x"), .name = kap_str(name), .payload = payload,
                                    .flags = KAP_SERF_QUERY_NO_BROADCAST, .timeout_ns = 3 * KAP_S };
}

static bool last_response(const struct rig *r, struct kap_serf_response *ret)
{
    struct kap_str body;
    return sent_of(r, KAP_WIRE_USER, &body) > 0 && body.p[0] == KAP_SERF_QUERY_RESPONSE &&
           KAP_WIRE_GET(kap_strn(body.p + 1, body.n - 1), kap_serf_response_desc, ret);
}

TEST(queries_are_acknowledged_and_conflicts_voted_on)
{
    struct rig *r = rig_new();
    struct kap_serf_response response;
    struct kap_serf_conflict conflict;
    give_alive(r, "x", 2, 1);
    run(r, 4 * KAP_S);
    give_alive(r, "x", 2, 5);
    run(r, 4 * KAP_S);
    forget_output(r);
    struct kap_serf_query q = query("_serf_ping", KAP_STR(""), 1);
    q.flags |= KAP_SERF_QUERY_ACK;
    give_serf(r, KAP_SERF_QUERY, &kap_serf_query_desc, &q);
    assert_true(last_response(r, &response));
    assert_int_equal(response.flags, KAP_SERF_RESPONSE_IS_ACK);
    forget_output(r);
    give_serf(r, KAP_SERF_QUERY, &kap_serf_query_desc, &q); /* seen */
    assert_int_equal(r->n_sent, 0);
    q = query("_serf_conflict", KAP_STR("x"), 2);
    give_serf(r, KAP_SERF_QUERY, &kap_serf_query_desc, &q);
    assert_true(last_response(r, &response));
    assert_int_equal(response.payload.p[0], KAP_SERF_CONFLICT_RESPONSE);
    assert_true(KAP_WIRE_GET(kap_strn(response.payload.p + 1, response.payload.n - 1), kap_serf_conflict_desc,
                             &conflict));
    assert_memory_equal(conflict.addr.p, "\x0a\0\0\2", 4);
    forget_output(r);
    q = query("_serf_conflict", KAP_STR("nobody"), 3);
    give_serf(r, KAP_SERF_QUERY, &kap_serf_query_desc, &q);
    assert_true(last_response(r, &response));
    STR_EQ(response.payload, "\x06\xc0");
    forget_output(r);
    q = query("_serf_conflict", KAP_STR("me"), 4); /* the named one does not vote */
    give_serf(r, KAP_SERF_QUERY, &kap_serf_query_desc, &q);
    assert_int_equal(r->n_sent, 0);
    rig_free(r);
}

TEST(filters_decide_who_answers)
{
    const struct { struct kap_str filters; bool ours; } cases[] = {
        { KAP_STR("\x91\xa5\0\x91\xa2me"), true },
        { KAP_STR("\x91\xa7\0\x91\xa4them"), false },
        { KAP_STR("\x91\xb7\1\x82\xa4" "Expr\xa3^on\xa3Tag\xa7" "cluster"), true },
        { KAP_STR("\x91\xb7\1\x82\xa4" "Expr\xa3two\xa3Tag\xa7" "cluster"), false },
        { KAP_STR("\x91\xb7\1\x82\xa4" "Expr\xa3(((\xa3Tag\xa7" "cluster"), false },
        { KAP_STR("\x91\xa2\7x"), false }, /* unknown kind */
    };
    struct rig *r = rig_new();
    run(r, 3 * KAP_S);
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        struct kap_serf_query q = query("_serf_ping", KAP_STR(""), (uint32_t)(100 + i));
        q.flags |= KAP_SERF_QUERY_ACK;
        q.ltime = 4 + i;
        q.filters = cases[i].filters;
        forget_output(r);
        give_serf(r, KAP_SERF_QUERY, &kap_serf_query_desc, &q);
        if ((r->n_sent > 0) != cases[i].ours)
            fail_msg("filter %zu", i);
    }
    rig_free(r);
}

TEST(key_queries_change_the_ring)
{
    struct rig *r = rig_new();
    struct kap_serf_response response;
    struct kap_serf_key_response answer;
    KAP_AUTO_BUF struct kap_buf payload = { 0 };
    const struct kap_serf_key_request request = { .key = KAP_STR("0123456789abcdef") };
    kap_wire_put(&payload, KAP_SERF_KEY_REQUEST, &kap_serf_key_request_desc, &request);
    struct kap_serf_query q = query("_serf_install-key", kap_buf_str(&payload), 1);
    forget_output(r);
    give_serf(r, KAP_SERF_QUERY, &kap_serf_query_desc, &q);
    assert_true(last_response(r, &response));
    assert_true(KAP_WIRE_GET(kap_strn(response.payload.p + 1, response.payload.n - 1), kap_serf_key_response_desc,
                             &answer));
    assert_false(answer.result); /* there is no ring to change: the cluster is plain */
    assert_int_equal(kap_swim_seal(r->core)->n_keys, 0);
    rig_free(r);
}

/* ---- on and off, leaving, forgetting ---- */

TEST(a_member_alone_neither_gossips_nor_accepts_gossip)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    kap_swim_disable(r->core);
    forget_output(r);
    assert_true(kap_swim_deadline(r->core) == INT64_MAX);
    give_alive(r, "y", 3, 1);
    const struct kap_wire_ping ping = { .node = KAP_STR("me"), .seq = 1 };
    give(r, KAP_WIRE_PING, &kap_wire_ping_desc, &ping);
    assert_int_equal(ask(r, KAP_STR("\0\x80")), KAP_SWIM_STREAM_DONE);
    assert_int_equal(r->n_sent, 0);
    assert_null(kap_swim_self(r->core));
    assert_int_equal(kap_swim_enable(r->core, "two", r->now_ns, NULL), KAP_OK);
    give_alive(r, "y", 3, 1);
    assert_null(member(r, "y")); /* of the cluster that we left */
    rig_free(r);
}

TEST(a_leave_says_the_intent_first_and_then_dead_from_itself)
{
    struct rig *r = rig_new();
    struct kap_str body;
    struct kap_wire_accusation dead = { 0 };
    give_alive(r, "x", 2, 1);
    run(r, 3 * KAP_S);
    forget_output(r);
    kap_swim_leave(r->core, r->now_ns);
    size_t intent_at = SIZE_MAX, dead_at = SIZE_MAX;
    for (int i = 0; i < 100 && !saw(r, KAP_SWIM_EV_LEAVE_DONE); i++)
        run(r, 100 * KAP_MS);
    assert_true(saw(r, KAP_SWIM_EV_LEAVE_DONE));
    for (size_t i = r->n_sent; i-- > 0;) {
        if (parts_of(&r->sent[i].bytes, KAP_WIRE_USER, &body) && body.p[0] == KAP_SERF_LEAVE)
            intent_at = i;
        if (parts_of(&r->sent[i].bytes, KAP_WIRE_DEAD, &body)) {
            dead_at = i;
            assert_true(KAP_WIRE_GET(body, kap_wire_accusation_desc, &dead));
        }
    }
    assert_true(intent_at < dead_at && dead_at != SIZE_MAX);
    assert_true(kap_str_is(dead.from, "me") && kap_str_is(dead.node, "me"));
    assert_false(saw(r, KAP_SWIM_EV_REFUTED));
    rig_free(r);
}

TEST(a_removed_member_is_forgotten_and_stays_out)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    assert_int_equal(kap_swim_forget(r->core, "nobody", r->now_ns, NULL), KAP_ENOTFOUND);
    assert_int_equal(kap_swim_forget(r->core, "x", r->now_ns, NULL), KAP_OK);
    assert_null(member(r, "x"));
    assert_true(saw(r, KAP_SWIM_EV_REAPED));
    give_alive(r, "y", 3, 1);
    r->role = KAP_SWIM_REFUSED;
    kap_swim_recheck(r->core, r->now_ns);
    assert_null(member(r, "y"));
    rig_free(r);
}

/* After a long sleep our own timers say nothing about the others. */
TEST(waking_up_late_accuses_nobody)
{
    struct rig *r = rig_new();
    give_alive(r, "x", 2, 1);
    while (sent_of(r, KAP_WIRE_PING, NULL) == 0)
        run(r, 10 * KAP_MS);
    r->now_ns += 20 * KAP_S;
    kap_swim_tick(r->core, r->now_ns);
    assert_int_equal(status(r, "x"), KAP_SWIM_ALIVE);
    assert_int_equal(kap_swim_stats(r->core).probes_failed, 0);
    rig_free(r);
}

/* Whatever is queued: no datagram above the limit, no empty part, at most 127 parts. */
TEST(what_we_send_does_not_kill_a_stock_agent)
{
    struct rig *r = rig_new();
    char name[16];
    for (int i = 2; i < 250; i++) {
        snprintf(name, sizeof name, "n%d", i);
        give_alive(r, name, i, 1);
        const struct kap_serf_join join = { .ltime = (uint64_t)i, .node = kap_str(name) };
        give_serf(r, KAP_SERF_JOIN, &kap_serf_join_desc, &join);
        if (r->n_events > 200)
            r->n_events = 0;
    }
    for (int step = 0; step < 50; step++) {
        forget_output(r);
        run(r, 200 * KAP_MS);
        for (size_t i = 0; i < r->n_sent; i++) {
            struct kap_str m;
            const struct kap_buf *b = &r->sent[i].bytes;
            assert_true(b->n <= KAP_WIRE_PACKET_BYTES + 5);
            assert_true(kap_wire_crc_get(kap_buf_str(b), &m));
            assert_true(m.n > 0);
            if (m.p[0] != KAP_WIRE_COMPOUND)
                continue;
            const size_t parts = (uint8_t)m.p[1];
            assert_true(parts >= 2 && parts <= KAP_WIRE_COMPOUND_MAX);
            for (size_t k = 0; k < parts; k++)
                assert_true(m.p[2 + 2 * k] || m.p[3 + 2 * k]);
        }
    }
    rig_free(r);
}

TEST(a_bad_configuration_is_an_error)
{
    struct kap_swim_config c;
    struct kap_swim *core = NULL;
    struct kap_error err;
    const struct kap_swim_io io = { 0 };
    char big[600] = { 0 };
    const struct kap_wire_tag tag = { KAP_STR("big"), kap_strn(big, sizeof big) };
    kap_swim_config_init(&c);
    FAILS(kap_swim_new(&c, &io, &core, &err), &err, "a member name has 1 to 128 bytes");
    c.name = "me";
    FAILS(kap_swim_new(&c, &io, &core, &err), &err, "no address to advertise");
    c.addr = addr(1);
    c.tags = &tag;
    c.n_tags = 1;
    FAILS(kap_swim_new(&c, &io, &core, &err), &err, "tags take 656 bytes, the limit is 512");
    assert_null(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stranger_of_our_cluster_becomes_a_member_and_is_passed_on),
        cmocka_unit_test(a_stranger_of_another_cluster_is_refused_and_gets_no_answer),
        cmocka_unit_test(old_news_are_ignored),
        cmocka_unit_test(damaged_alives_are_ignored),
        cmocka_unit_test(an_observers_new_address_is_a_conflict_until_it_left),
        cmocka_unit_test(a_refutation_reaches_each_member_at_once),
        cmocka_unit_test(a_stale_accusation_is_answered_to_its_author),
        cmocka_unit_test(a_member_moves_with_a_newer_incarnation),
        cmocka_unit_test(a_second_us_is_a_conflict),
        cmocka_unit_test(we_refute_what_is_said_about_us),
        cmocka_unit_test(a_suspect_that_does_not_refute_fails_after_four_seconds_in_a_small_cluster),
        cmocka_unit_test(a_refutation_ends_a_suspicion),
        cmocka_unit_test(confirmations_shorten_the_suspicion),
        cmocka_unit_test(dead_from_itself_is_left_and_from_another_failed),
        cmocka_unit_test(a_failed_member_is_remembered_after_the_table_forgot_it_and_pinged),
        cmocka_unit_test(who_answers_is_not_suspected),
        cmocka_unit_test(a_silent_member_is_probed_by_others_and_by_tcp_then_suspected_and_told),
        cmocka_unit_test(an_answer_by_tcp_saves),
        cmocka_unit_test(we_relay_pings_and_say_when_nobody_answered),
        cmocka_unit_test(pings_for_another_name_are_not_answered),
        cmocka_unit_test(a_stranger_that_probes_us_is_met_once_a_second),
        cmocka_unit_test(a_push_pull_is_answered_and_merged),
        cmocka_unit_test(a_returning_member_takes_its_own_entry_as_an_accusation),
        cmocka_unit_test(a_join_from_another_cluster_is_told_no_and_learns_nothing),
        cmocka_unit_test(an_incompatible_version_is_refused),
        cmocka_unit_test(streams_of_nonsense_end),
        cmocka_unit_test(the_outcome_of_a_join_is_told),
        cmocka_unit_test(an_announced_leave_is_left_and_force_leave_turns_failed_into_left),
        cmocka_unit_test(a_leave_in_our_name_is_contradicted),
        cmocka_unit_test(user_events_are_passed_on_once),
        cmocka_unit_test(a_message_larger_than_a_packet_is_not_queued_for_ever),
        cmocka_unit_test(queries_are_acknowledged_and_conflicts_voted_on),
        cmocka_unit_test(filters_decide_who_answers),
        cmocka_unit_test(key_queries_change_the_ring),
        cmocka_unit_test(a_member_alone_neither_gossips_nor_accepts_gossip),
        cmocka_unit_test(a_leave_says_the_intent_first_and_then_dead_from_itself),
        cmocka_unit_test(a_removed_member_is_forgotten_and_stays_out),
        cmocka_unit_test(waking_up_late_accuses_nobody),
        cmocka_unit_test(what_we_send_does_not_kill_a_stock_agent),
        cmocka_unit_test(a_bad_configuration_is_an_error),
    };
    return RUN_TESTS(tests);
}
