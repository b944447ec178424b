#include "cluster/rpc_net.h"

#include "base/duration.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const ids[] = { "00000000-0000-4000-8000-000000000001",
                                   "00000000-0000-4000-8000-000000000002" };
static const char *const cluster = "876ddfb4-1879-4f40-87e2-4080c04d3096";
static const char *const other_cluster = "876ddfb4-1879-4f40-87e2-4080c04d3097";

struct node {
    struct kap_rpc_net *net;
    int number;
    const char *cluster_id;
    bool linked, went_hard;
    int ups, downs, messages, requests;
    char last[64];
    char notice[256];
    enum kap_status status;
    char answer[KAP_ERROR_BYTES];
    bool answered, mute;
};

static uv_loop_t loop;

static enum kap_members_welcome on_hello(void *ctx, const struct kap_rpc_hello *hello)
{
    const struct node *n = ctx;
    return strcmp(hello->cluster_id, n->cluster_id) == 0 ? KAP_WELCOME_MEMBER : KAP_WELCOME_STRANGER;
}

static void on_message(void *ctx, struct kap_str member, enum kap_rpc_channel channel, struct kap_str bytes)
{
    struct node *n = ctx;
    n->messages++;
    snprintf(n->last, sizeof n->last, "%d:%.*s", (int)channel, (int)KAP_MIN(bytes.n, (size_t)40), bytes.p);
}

static void on_request(void *ctx, struct kap_str from, enum kap_rpc_channel channel, uint64_t call,
                       struct kap_str bytes)
{
    struct node *n = ctx;
    struct kap_error err;
    n->requests++;
    if (n->mute)
        return;
    if (bytes.n && bytes.p[0] == '!')
        kap_rpc_net_reply(n->net, call, kap_fail(&err, KAP_ESTATE, "no, thank you"), KAP_STR(""), &err);
    else
        kap_rpc_net_reply(n->net, call, KAP_OK, bytes, NULL);
}

static void on_link(void *ctx, struct kap_str member, bool up, bool hard, const char *why)
{
    struct node *n = ctx;
    n->linked = up;
    n->went_hard |= !up && hard;
    n->ups += up;
    n->downs += !up;
}

static void on_notice(void *ctx, const char *text, struct kap_str peer)
{
    struct node *n = ctx;
    snprintf(n->notice, sizeof n->notice, "%s", text);
}

static void on_answer(void *ctx, enum kap_status status, struct kap_str bytes, const struct kap_error *err)
{
    struct node *n = ctx;
    n->status = status;
    n->answered = true;
    snprintf(n->answer, sizeof n->answer, "%.*s", status == KAP_OK ? (int)bytes.n : (int)strlen(err->msg),
             status == KAP_OK ? bytes.p : err->msg);
}

static void node_open(struct node *n, int number, const char *cluster_id)
{
    struct kap_error err;
    *n = (struct node){ .number = number, .cluster_id = cluster_id };
    const struct kap_rpc_net_io io = { on_hello, on_message, on_request, on_link, on_notice, n };
    const struct kap_rpc_net_config config = { .loop = &loop,
                                               .bind_address = KAP_STR("127.0.0.1:0"),
                                               .self = kap_str(ids[number]),
                                               .advertise = KAP_STR("127.0.0.1:1") };
    if (kap_rpc_net_new(&config, &io, &n->net, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    kap_rpc_net_set_cluster_id(n->net, kap_str(cluster_id));
}

static void know(struct node *n, const struct node *other)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", kap_rpc_net_port(other->net));
    const struct kap_rpc_peer p = { kap_str(ids[other->number]), kap_str(address) };
    kap_rpc_net_peers(n->net, &p, 1);
}

static void run_until(const bool *done)
{
    for (int i = 0; i < 6000 && !*done; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    assert_true(*done);
}

static void run_for(int ms)
{
    for (int i = 0; i < ms; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static int set_up(void **state)
{
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    for (int i = 0; i < 1000 && uv_run(&loop, UV_RUN_NOWAIT); i++)
        usleep(1000);
    return uv_loop_close(&loop); /* busy: a handle was left open */
}

static void test_members_link_and_talk(void **state)
{
    static struct node a, b;
    node_open(&a, 0, cluster);
    node_open(&b, 1, cluster);
    know(&a, &b);
    know(&b, &a);
    run_until(&a.linked);
    run_until(&b.linked);
    run_for(600); /* both dialled: one connection is left, and nobody saw the link go */
    assert_int_equal(a.downs + b.downs, 0);
    assert_int_equal(kap_rpc_net_stats(a.net).connections, 1);
    assert_true(kap_rpc_net_send(a.net, kap_str(ids[1]), KAP_RPC_DEDUP, KAP_STR("hello")));
    run_for(30);
    assert_string_equal(b.last, "3:hello");
    kap_rpc_net_call(b.net, kap_str(ids[0]), KAP_RPC_CATALOG, KAP_STR("ping"), KAP_S, on_answer, &b);
    run_until(&b.answered);
    assert_string_equal(b.answer, "ping");
    b.answered = false;
    kap_rpc_net_call(b.net, kap_str(ids[0]), KAP_RPC_CATALOG, KAP_STR("!"), KAP_S, on_answer, &b);
    run_until(&b.answered);
    assert_int_equal(b.status, KAP_ESTATE);
    assert_string_equal(b.answer, "no, thank you");
    kap_rpc_net_close(a.net);
    run_for(50);
    assert_false(b.linked);
    kap_rpc_net_close(b.net);
}

static void test_large_messages_arrive_whole(void **state)
{
    static struct node a, b;
    node_open(&a, 0, cluster);
    node_open(&b, 1, cluster);
    know(&a, &b);
    know(&b, &a);
    run_until(&a.linked);
    run_until(&b.linked);
    const size_t n = 5 << 20;
    char *big = kap_alloc(n);
    memset(big, 'x', n);
    for (int i = 0; i < 3; i++)
        assert_true(kap_rpc_net_send(a.net, kap_str(ids[1]), KAP_RPC_CATALOG, kap_strn(big, n)));
    int sent = 3;
    while (kap_rpc_net_send(a.net, kap_str(ids[1]), KAP_RPC_CATALOG, kap_strn(big, n)))
        assert_true(++sent < 100); /* the queue has a limit */
    kap_free(big);
    for (int i = 0; i < 6000 && b.messages < sent; i++)
        run_for(1);
    assert_int_equal(b.messages, sent);
    kap_rpc_net_close(a.net);
    kap_rpc_net_close(b.net);
}

static void test_strangers_only_reach_the_member_service(void **state)
{
    static struct node a, b;
    char address[32];
    node_open(&a, 0, cluster);
    node_open(&b, 1, other_cluster);
    snprintf(address, sizeof address, "127.0.0.1:%d", kap_rpc_net_port(a.net));
    kap_rpc_net_call_address(b.net, kap_str(address), KAP_RPC_MEMBER, KAP_STR("add me"), KAP_S, on_answer,
                             &b);
    run_until(&b.answered);
    assert_string_equal(b.answer, "add me");
    b.answered = false;
    kap_rpc_net_call_address(b.net, kap_str(address), KAP_RPC_CATALOG, KAP_STR("tell me"), KAP_S, on_answer,
                             &b);
    run_until(&b.answered);
    assert_int_equal(b.status, KAP_ESTATE);
    assert_int_equal(a.requests, 1);
    know(&a, &b);
    know(&b, &a);
    run_for(800);
    assert_false(a.linked || b.linked);
    b.cluster_id = cluster; /* adopted: open connections become links */
    kap_rpc_net_set_cluster_id(b.net, kap_str(cluster));
    run_until(&a.linked);
    kap_rpc_net_close(a.net);
    kap_rpc_net_close(b.net);
}

static void test_failures_are_named(void **state)
{
    static struct node a;
    struct kap_error err;
    struct kap_rpc_net *second;
    char address[32];
    node_open(&a, 0, cluster);
    snprintf(address, sizeof address, "127.0.0.1:%d", kap_rpc_net_port(a.net));
    const struct kap_rpc_net_io io = { on_hello, on_message, on_request, on_link, on_notice, &a };
    const struct kap_rpc_net_config config = { .loop = &loop,
                                               .bind_address = kap_str(address),
                                               .self = kap_str(ids[1]) };
    assert_int_equal(kap_rpc_net_new(&config, &io, &second, &err), KAP_EIO);
    assert_non_null(strstr(err.msg, address));
    assert_non_null(strstr(err.msg, "in use"));
    const struct {
        const char *address, *error;
    } cases[] = {
        { "no-such-host.invalid:9091", "unknown host" },
        { "127.0.0.1", "bad address" },
        { "127.0.0.1:1", "connection refused" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        a.answered = false;
        kap_rpc_net_call_address(a.net, kap_str(cases[i].address), KAP_RPC_MEMBER, KAP_STR("x"), KAP_S,
                                 on_answer, &a);
        run_until(&a.answered);
        assert_int_not_equal(a.status, KAP_OK);
        if (i > 0)
            assert_string_equal(a.answer, cases[i].error);
    }
    a.answered = false;
    a.mute = true;
    kap_rpc_net_call_address(a.net, kap_str(address), KAP_RPC_MEMBER, KAP_STR("x"), 300 * KAP_MS, on_answer,
                             &a);
    run_until(&a.answered);
    assert_int_equal(a.status, KAP_ETIMEOUT);
    kap_rpc_net_close(a.net);
}

static void test_other_protocols_are_cut_off(void **state)
{
    static struct node a;
    node_open(&a, 0, cluster);
    uv_os_sock_t s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to;
    uv_ip4_addr("127.0.0.1", kap_rpc_net_port(a.net), &to);
    assert_int_equal(connect(s, (struct sockaddr *)&to, sizeof to), 0);
    const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(write(s, http, sizeof http - 1), sizeof http - 1);
    run_for(50);
    assert_non_null(strstr(a.notice, "RPC port"));
    assert_int_equal(kap_rpc_net_stats(a.net).connections, 0);
    close(s);
    kap_rpc_net_close(a.net);
}

static void test_a_member_that_comes_back_is_linked_again(void **state)
{
    static struct node a, b;
    node_open(&a, 0, cluster);
    node_open(&b, 1, cluster);
    know(&a, &b);
    know(&b, &a);
    run_until(&a.linked);
    run_until(&b.linked);
    kap_rpc_net_close(b.net);
    run_for(400);
    assert_false(a.linked);
    assert_true(a.went_hard); /* dialling again was refused */
    node_open(&b, 1, cluster);
    know(&b, &a);
    run_until(&a.linked);
    run_until(&b.linked);
    kap_rpc_net_close(a.net);
    kap_rpc_net_close(b.net);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_members_link_and_talk),
        TEST(test_large_messages_arrive_whole),
        TEST(test_strangers_only_reach_the_member_service),
        TEST(test_failures_are_named),
        TEST(test_other_protocols_are_cut_off),
        TEST(test_a_member_that_comes_back_is_linked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
