/* Membership on real sockets of the loopback interface. */
#include "test.h"
#include "base/duration.h"
#include "base/mem.h"
#include "cluster/gossip_net.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

enum { NODES = 3 };

struct host {
    struct kap_gossip_net *net;
    char name[24], addr[32];
    unsigned events[16];
    char text[200];
    bool stopped;
};

struct world {
    uv_loop_t loop;
    uv_timer_t pulse;
    struct host hosts[NODES];
};

static void on_event(void *ctx, const struct kap_swim_event *ev)
{
    struct host *h = ctx;
    h->events[ev->kind]++;
    if (ev->kind == KAP_SWIM_EV_JOIN_FAILED)
        snprintf(h->text, sizeof h->text, "%s", ev->text);
}

static void on_pulse(uv_timer_t *timer)
{
    (void)timer;
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->pulse);
    uv_timer_start(&w->pulse, on_pulse, 5, 5);
}

static enum kap_status start_at(struct world *w, int i, const char *bind, const char *advertise,
                                struct kap_error *err)
{
    struct host *h = &w->hosts[i];
    struct kap_gossip_config c = { .bind = bind, .advertise = advertise, .clock = &kap_clock_system,
                                   .event = on_event, .ctx = h };
    kap_swim_config_init(&c.swim);
    snprintf(h->name, sizeof h->name, "host-%d", i);
    c.swim.name = h->name;
    c.swim.seed = (uint64_t)i;
    return kap_gossip_start(&w->loop, &c, &h->net, err);
}

static void start(struct world *w, int i)
{
    struct kap_error err;
    OK(start_at(w, i, "127.0.0.1:0", "127.0.0.1:0", &err), &err);
    snprintf(w->hosts[i].addr, sizeof w->hosts[i].addr, "127.0.0.1:%u", kap_gossip_port(w->hosts[i].net));
    OK(kap_gossip_enable(w->hosts[i].net, "one", &err), &err);
}

static bool run_until(struct world *w, bool (*done)(struct world *w), int64_t for_ns)
{
    const int64_t end = kap_clock_mono(&kap_clock_system) + for_ns;
    while (!done(w) && kap_clock_mono(&kap_clock_system) < end)
        uv_run(&w->loop, UV_RUN_ONCE);
    return done(w);
}

static void on_stopped(void *ctx)
{
    struct host *h = ctx;
    h->stopped = true;
    h->net = NULL;
}

static bool all_stopped(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        if (w->hosts[i].net)
            return false;
    return true;
}

static void world_done(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        if (w->hosts[i].net && !w->hosts[i].stopped)
            kap_gossip_stop(w->hosts[i].net, on_stopped, &w->hosts[i]);
    assert_true(run_until(w, all_stopped, 5 * KAP_S));
    uv_close((uv_handle_t *)&w->pulse, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
}

static enum kap_swim_status view(const struct world *w, int i, int of)
{
    const struct kap_swim_member *m = kap_swim_find(kap_gossip_core(w->hosts[i].net), kap_str(w->hosts[of].name));
    return m ? m->status : KAP_SWIM_FAILED;
}

static bool all_alive(struct world *w)
{
    for (int a = 0; a < NODES; a++)
        for (int b = 0; b < NODES; b++)
            if (view(w, a, b) != KAP_SWIM_ALIVE)
                return false;
    return true;
}

static bool join_failed(struct world *w)
{
    return w->hosts[0].events[KAP_SWIM_EV_JOIN_FAILED] > 0;
}

static bool first_left(struct world *w)
{
    return w->hosts[0].events[KAP_SWIM_EV_LEAVE_DONE] > 0 && view(w, 1, 0) == KAP_SWIM_LEFT;
}

static bool bad_one_counted(struct world *w)
{
    return kap_swim_stats(kap_gossip_core(w->hosts[0].net)).bad_datagrams > 0;
}

/* It listens from the start, but takes part only once its own name is resolved. */
static bool first_is_in(struct world *w)
{
    return kap_swim_enabled(kap_gossip_core(w->hosts[0].net));
}

TEST(seeds_bring_members_together_and_a_leave_is_seen)
{
    struct world w;
    world_init(&w);
    for (int i = 0; i < NODES; i++)
        start(&w, i);
    for (int i = 0; i < NODES; i++) {
        struct kap_gossip_seed seeds[NODES];
        for (int k = 0; k < NODES; k++)
            seeds[k] = (struct kap_gossip_seed){ w.hosts[k].name, w.hosts[k].addr };
        kap_gossip_set_seeds(w.hosts[i].net, seeds, NODES);
    }
    assert_true(run_until(&w, all_alive, 10 * KAP_S));
    kap_gossip_leave(w.hosts[0].net);
    assert_true(run_until(&w, first_left, 20 * KAP_S));
    world_done(&w);
}

TEST(names_are_resolved_and_failures_told)
{
    struct world w;
    world_init(&w);
    start(&w, 0);
    struct kap_error err;
    FAILS(kap_gossip_join(w.hosts[0].net, "nonsense", &err), &err, "'nonsense' is no host:port");
    FAILS(kap_gossip_join(w.hosts[0].net, ":9090", &err), &err, "':9090' is no host:port");
    FAILS(kap_gossip_join(w.hosts[0].net, "a:99999", &err), &err, "'a:99999' is no host:port");
    OK(kap_gossip_join(w.hosts[0].net, "no-such-host.invalid:9090", &err), &err);
    assert_true(run_until(&w, join_failed, 20 * KAP_S));
    assert_non_null(strstr(w.hosts[0].text, "no-such-host.invalid:9090: "));
    world_done(&w);
}

TEST(a_refused_connection_is_a_failed_join)
{
    struct world w;
    world_init(&w);
    start(&w, 0);
    start(&w, 1);
    char addr[32];
    memcpy(addr, w.hosts[1].addr, sizeof addr);
    kap_gossip_stop(w.hosts[1].net, on_stopped, &w.hosts[1]);
    while (!w.hosts[1].stopped)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_true(run_until(&w, first_is_in, 5 * KAP_S));
    OK(kap_gossip_join(w.hosts[0].net, addr, NULL), (&(struct kap_error){ 0 }));
    assert_true(run_until(&w, join_failed, 5 * KAP_S));
    assert_string_equal(w.hosts[0].text, "connection refused");
    world_done(&w);
}

TEST(a_port_in_use_is_named)
{
    struct world w;
    struct kap_error err;
    char want[200];
    world_init(&w);
    start(&w, 0);
    snprintf(want, sizeof want, "cannot listen for gossip on %s (TCP): address already in use", w.hosts[0].addr);
    FAILS(start_at(&w, 1, w.hosts[0].addr, "127.0.0.1:1", &err), &err, want);
    FAILS(start_at(&w, 1, "127.0.0.1", "127.0.0.1:1", &err), &err, "gossip bind address '127.0.0.1' is no host:port");
    FAILS(start_at(&w, 1, "127.0.0.1:0", ":9090", &err), &err, "gossip advertise address ':9090' is no host:port");
    assert_null(w.hosts[1].net);
    world_done(&w);
}

static bool bad_stream_counted(struct world *w)
{
    return kap_swim_stats(kap_gossip_core(w->hosts[0].net)).bad_streams == 1;
}

TEST(nonsense_on_both_ports_costs_a_counter)
{
    struct world w;
    world_init(&w);
    start(&w, 0);
    assert_true(run_until(&w, first_is_in, 5 * KAP_S));
    const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(kap_gossip_port(w.hosts[0].net)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(sendto(udp, "\x07\x01\0\0", 4, 0, (const struct sockaddr *)&to, sizeof to), 4);
    assert_int_equal(sendto(udp, "\xffgarbage", 8, 0, (const struct sockaddr *)&to, sizeof to), 8);
    assert_int_equal(connect(tcp, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(tcp, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_true(run_until(&w, bad_one_counted, 5 * KAP_S));
    char byte;
    assert_true(run_until(&w, bad_stream_counted, 5 * KAP_S));
    uv_run(&w.loop, UV_RUN_ONCE);
    assert_true(read(tcp, &byte, 1) <= 0); /* closed, without an answer */
    close(udp);
    close(tcp);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_bring_members_together_and_a_leave_is_seen),
        cmocka_unit_test(names_are_resolved_and_failures_told),
        cmocka_unit_test(a_refused_connection_is_a_failed_join),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(nonsense_on_both_ports_costs_a_counter),
    };
    return RUN_TESTS(tests);
}
