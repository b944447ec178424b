#include "cluster.h"
#include "base/mem.h"
#include <stdio.h>

static void rearm(struct cluster_member *m)
{
    sim_wake_at(m->cluster->sim, m->node, kap_swim_deadline(m->core));
}

struct kap_swim_addr cluster_addr(const struct cluster *c, int node)
{
    return (struct kap_swim_addr){ .ip = { 10, 0, (uint8_t)(node >> 8), (uint8_t)node },
                                   .n = 4,
                                   .port = c->members[node].port };
}

/* The node at an address; -1: nobody is there (any more). */
static int node_at(const struct cluster *c, const struct kap_swim_addr *a)
{
    const int node = a->ip[2] << 8 | a->ip[3];
    return node < c->n && c->members[node].port == a->port ? node : -1;
}

static void io_send(void *ctx, const struct kap_swim_addr *to, struct kap_str bytes)
{
    struct cluster_member *m = ctx;
    sim_send(m->cluster->sim, m->node, node_at(m->cluster, to), CLUSTER_GOSSIP, bytes);
}

static void io_dial(void *ctx, uint64_t stream, const struct kap_swim_addr *to, struct kap_str bytes,
                    int64_t deadline_ns)
{
    struct cluster_member *m = ctx;
    sim_call(m->cluster->sim, m->node, node_at(m->cluster, to), CLUSTER_GOSSIP, bytes, deadline_ns, stream);
}

static void io_reply(void *ctx, uint64_t conn, struct kap_str bytes)
{
    struct cluster_member *m = ctx;
    sim_reply(m->cluster->sim, conn, bytes);
}

static void io_event(void *ctx, const struct kap_swim_event *ev)
{
    static const char *const names[] = { "alive", "updated", "suspect", "recovered", "leaving", "left", "failed",
                                         "reaped", "refused", "conflict", "joined", "join failed", "refuted", "keys",
                                         "leave done" };
    struct cluster_member *m = ctx;
    m->events[ev->kind]++;
    sim_trace(m->cluster->sim, "%s: %s %s %s", m->name, names[ev->kind], ev->member ? ev->member->name : "",
              ev->text);
    if (m->cluster->watch)
        m->cluster->watch(m->cluster->watch_ctx, m, ev);
}

static void on_datagram(void *ctx, int from, int kind, struct kap_str bytes)
{
    struct cluster_member *m = ctx;
    const struct kap_swim_addr addr = cluster_addr(m->cluster, from);
    (void)kind;
    kap_swim_datagram(m->core, &addr, bytes, m->cluster->sim->now_ns);
    rearm(m);
}

static void on_request(void *ctx, int from, int kind, uint64_t call, struct kap_str bytes)
{
    struct cluster_member *m = ctx;
    const struct kap_swim_addr addr = cluster_addr(m->cluster, from);
    struct kap_swim_inbound in = KAP_SWIM_INBOUND_START;
    (void)kind;
    kap_swim_stream_request(m->core, &in, call, &addr, bytes, m->cluster->sim->now_ns);
    sim_hang_up(m->cluster->sim, call);
    rearm(m);
}

static void on_reply(void *ctx, uint64_t token, struct kap_str bytes)
{
    struct cluster_member *m = ctx;
    kap_swim_stream_answer(m->core, token, bytes, m->cluster->sim->now_ns);
    rearm(m);
}

static void on_failed(void *ctx, uint64_t token, const char *why)
{
    struct cluster_member *m = ctx;
    kap_swim_stream_failed(m->core, token, why, m->cluster->sim->now_ns);
    rearm(m);
}

static void on_wake(void *ctx)
{
    struct cluster_member *m = ctx;
    kap_swim_tick(m->core, m->cluster->sim->now_ns);
    rearm(m);
}

static const struct sim_ops ops = { on_datagram, on_request, on_reply, on_failed, on_wake };

static void start(struct cluster_member *m)
{
    struct cluster *c = m->cluster;
    const struct kap_wire_tag tags[] = { { KAP_STR("role"), KAP_STR("worker") },
                                         { KAP_STR("rpc"), KAP_STR("server:9091") } };
    const struct kap_swim_io io = { io_send, io_dial, io_reply, io_event, NULL, m };
    struct kap_swim_config cfg;
    struct kap_error err;
    kap_swim_config_init(&cfg);
    cfg.name = m->name;
    cfg.addr = cluster_addr(c, m->node);
    cfg.tags = tags;
    cfg.n_tags = KAP_COUNT(tags);
    cfg.seed = c->sim->seed * 1000003 + (uint64_t)m->node * 4099 + m->lives++;
    cfg.faults = c->faults;
    if (kap_swim_new(&cfg, &io, &m->core, &err) != KAP_OK ||
        kap_swim_enable(m->core, m->cluster_id, c->sim->now_ns, &err) != KAP_OK) {
        fprintf(stderr, "%s: %s\n", m->name, err.msg);
        abort();
    }
    rearm(m);
}

struct cluster *cluster_new(uint64_t seed, int n)
{
    struct cluster *c = KAP_NEW(struct cluster);
    c->sim = sim_new(seed);
    c->n = n;
    c->members = KAP_ARRAY(struct cluster_member, (size_t)n);
    for (int i = 0; i < n; i++) {
        struct cluster_member *m = &c->members[i];
        *m = (struct cluster_member){ .cluster = c, .port = 9090, .cluster_id = "one" };
        m->node = sim_add(c->sim, &ops, m);
        snprintf(m->name, sizeof m->name, "%08d-4f40-4e80-87e2-4080c04d3096", i);
        start(m);
    }
    return c;
}

void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++)
        kap_swim_free(c->members[i].core);
    sim_free(c->sim);
    kap_free(c->members);
    kap_free(c);
}

void cluster_join(struct cluster *c, int node, int via)
{
    const struct kap_swim_addr addr = cluster_addr(c, via);
    kap_swim_join(c->members[node].core, &addr, c->sim->now_ns);
    rearm(&c->members[node]);
}

void cluster_join_all(struct cluster *c)
{
    for (int i = 1; i < c->n; i++)
        cluster_join(c, i, 0);
}

void cluster_crash(struct cluster *c, int node)
{
    struct cluster_member *m = &c->members[node];
    sim_trace(c->sim, "-- %s crashes", m->name);
    sim_crash(c->sim, node);
    kap_swim_free(m->core);
    m->core = NULL;
}

void cluster_restart(struct cluster *c, int node, bool new_port, int via)
{
    struct cluster_member *m = &c->members[node];
    m->port = (uint16_t)(m->port + new_port);
    sim_trace(c->sim, "-- %s starts at port %u", m->name, m->port);
    sim_restart(c->sim, node, m);
    start(m);
    cluster_join(c, node, via);
}

void cluster_leave(struct cluster *c, int node)
{
    kap_swim_leave(c->members[node].core, c->sim->now_ns);
    rearm(&c->members[node]);
}

enum kap_swim_status cluster_view(const struct cluster *c, int node, int other)
{
    const struct kap_swim_member *m = kap_swim_find(c->members[node].core, kap_str(c->members[other].name));
    return m ? m->status : KAP_SWIM_FAILED;
}

bool cluster_converged(void *cluster)
{
    const struct cluster *c = cluster;
    for (int a = 0; a < c->n; a++)
        for (int b = 0; b < c->n && c->members[a].core; b++)
            if ((c->members[b].core != NULL) != (cluster_view(c, a, b) == KAP_SWIM_ALIVE))
                return false;
    return true;
}

uint64_t cluster_events(const struct cluster *c, enum kap_swim_event_kind kind)
{
    uint64_t n = 0;
    for (int i = 0; i < c->n; i++)
        n += c->members[i].events[kind];
    return n;
}
