#include "net.h"
#include "base/heap.h"
#include "base/mem.h"
#include <stdio.h>

enum { SOCKET_BUFFER = 512, HISTORY = 400, LINE_BYTES = 200 };
#define RETRANSMIT_NS (200 * KAP_MS)

enum event_kind { EV_DATAGRAM, EV_WAKE, EV_REQUEST, EV_REPLY, EV_FAILED, EV_SCRIPT };

struct event {
    int64_t at_ns;
    uint64_t order;
    enum event_kind kind;
    int node, from, channel;
    uint32_t epoch; /* of the node it is for */
    uint64_t id;    /* call, or generation of a wake */
    void (*fn)(void *ctx);
    void *ctx;
    const char *why;
    size_t n;
    char bytes[];
};

struct node {
    struct sim *sim;
    const struct sim_ops *ops;
    void *ctx;
    struct kap_clock clock;
    int64_t wall_offset_ns;
    bool up, paused;
    uint32_t epoch;
    uint64_t wake_generation;
    int64_t wake_ns;
    struct event **held; /* while paused, in order */
    size_t n_held, cap_held, held_datagrams;
};

struct call {
    uint64_t id, token;
    int from, to;
    uint32_t from_epoch, to_epoch;
    int64_t deadline_ns;
    bool done;
};

struct sim_state {
    struct kap_heap heap;
    uint64_t order;
    struct node **nodes;
    size_t n_nodes, cap_nodes;
    bool *cut; /* [from * cut_n + to] */
    size_t cut_n;
    struct call *calls; /* open ones */
    size_t n_calls, cap_calls;
    uint64_t last_call;
    char (*history)[LINE_BYTES];
    size_t n_history;
};

uint64_t sim_seed(void)
{
    const char *text = getenv("KAP_SEED");
    int64_t seed;
    if (text && kap_str_to_i64(kap_str(text), &seed))
        return (uint64_t)seed;
    return kap_random_system_seed() >> 1;
}

static int compare_events(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = KAP_NEW(struct sim);
    sim->seed = seed;
    sim->link = (struct sim_link){ .delay_ns = 200 * KAP_US, .jitter_ns = 200 * KAP_US, .reorder_ns = 50 * KAP_MS };
    sim->now_ns = KAP_S; /* not zero, so that "never" and "at the start" differ */
    kap_random_seed(&sim->random, seed);
    sim->state = KAP_NEW(struct sim_state);
    sim->state->history = kap_calloc(HISTORY, LINE_BYTES);
    kap_heap_init(&sim->state->heap, compare_events, NULL);
    return sim;
}

static void drop_held(struct node *node)
{
    for (size_t i = 0; i < node->n_held; i++)
        kap_free(node->held[i]);
    node->n_held = node->held_datagrams = 0;
}

void sim_free(struct sim *sim)
{
    if (!sim)
        return;
    struct sim_state *st = sim->state;
    struct event *ev;
    while ((ev = kap_heap_pop(&st->heap)))
        kap_free(ev);
    kap_heap_done(&st->heap);
    for (size_t i = 0; i < st->n_nodes; i++) {
        drop_held(st->nodes[i]);
        kap_free(st->nodes[i]->held);
        kap_free(st->nodes[i]);
    }
    kap_free(st->nodes);
    kap_free(st->cut);
    kap_free(st->calls);
    kap_free(st->history);
    kap_free(st);
    kap_free(sim);
}

static int64_t clock_wall(void *ctx)
{
    const struct node *node = ctx;
    return INT64_C(1700000000) * KAP_S + node->sim->now_ns + node->wall_offset_ns;
}

static int64_t clock_mono(void *ctx)
{
    const struct node *node = ctx;
    return node->sim->now_ns;
}

int sim_add(struct sim *sim, const struct sim_ops *ops, void *ctx)
{
    struct sim_state *st = sim->state;
    struct node *node = KAP_NEW(struct node);
    *node = (struct node){ .sim = sim, .ops = ops, .ctx = ctx, .up = true, .wake_ns = INT64_MAX };
    node->clock = (struct kap_clock){ clock_wall, clock_mono, node };
    KAP_GROW(st->nodes, st->cap_nodes, st->n_nodes + 1);
    st->nodes[st->n_nodes++] = node;
    if (st->n_nodes > st->cut_n) {
        const size_t n = st->cut_n ? 2 * st->cut_n : 16;
        bool *cut = kap_calloc(n * n, sizeof *cut);
        for (size_t i = 0; i < st->cut_n; i++)
            memcpy(cut + i * n, st->cut + i * st->cut_n, st->cut_n * sizeof *cut);
        kap_free(st->cut);
        st->cut = cut;
        st->cut_n = n;
    }
    return (int)st->n_nodes - 1;
}

int sim_nodes(const struct sim *sim)
{
    return (int)sim->state->n_nodes;
}

static struct node *node_of(const struct sim *sim, int node)
{
    return sim->state->nodes[node];
}

bool sim_is_up(const struct sim *sim, int node)
{
    return node_of(sim, node)->up;
}

bool sim_is_paused(const struct sim *sim, int node)
{
    return node_of(sim, node)->paused;
}

static bool *cut_flag(const struct sim *sim, int from, int to)
{
    return &sim->state->cut[(size_t)from * sim->state->cut_n + (size_t)to];
}

/* ---- scheduling ---- */

static struct event *schedule(struct sim *sim, int64_t at_ns, enum event_kind kind, int node, struct kap_str bytes)
{
    struct event *ev = kap_alloc(sizeof *ev + bytes.n);
    *ev = (struct event){ .at_ns = at_ns, .order = sim->state->order++, .kind = kind, .node = node, .n = bytes.n };
    if (bytes.n)
        memcpy(ev->bytes, bytes.p, bytes.n);
    if (node >= 0)
        ev->epoch = node_of(sim, node)->epoch;
    kap_heap_push(&sim->state->heap, ev);
    return ev;
}

static bool chance(struct sim *sim, double p)
{
    return p > 0 && kap_random_f64(&sim->random) < p;
}

static int64_t latency(struct sim *sim)
{
    return sim->link.delay_ns + (int64_t)kap_random_below(&sim->random, (uint64_t)sim->link.jitter_ns + 1);
}

void sim_send(struct sim *sim, int from, int to, int kind, struct kap_str bytes)
{
    sim->counters.datagrams++;
    sim->counters.bytes += bytes.n;
    if (to < 0 || to >= sim_nodes(sim) || !node_of(sim, to)->up)
        return;
    if (*cut_flag(sim, from, to)) {
        sim->counters.cut++;
        return;
    }
    const int copies = chance(sim, sim->link.duplicate) ? 2 : 1;
    sim->counters.duplicated += copies == 2;
    for (int i = 0; i < copies; i++) {
        if (chance(sim, sim->link.loss)) {
            sim->counters.lost++;
            continue;
        }
        int64_t delay = latency(sim);
        if (chance(sim, sim->link.reorder)) {
            sim->counters.reordered++;
            delay += (int64_t)kap_random_below(&sim->random, (uint64_t)sim->link.reorder_ns + 1);
        }
        struct event *ev = schedule(sim, sim->now_ns + delay, EV_DATAGRAM, to, bytes);
        ev->from = from;
        ev->channel = kind;
    }
}

/* ---- calls ---- */

static struct call *find_call(struct sim *sim, uint64_t id)
{
    for (size_t i = 0; i < sim->state->n_calls; i++)
        if (sim->state->calls[i].id == id)
            return &sim->state->calls[i];
    return NULL;
}

static void forget_call(struct sim *sim, struct call *call)
{
    *call = sim->state->calls[--sim->state->n_calls];
}

static void fail_call(struct sim *sim, const struct call *call, int64_t at_ns, const char *why)
{
    struct event *ev = schedule(sim, at_ns, EV_FAILED, call->from, (struct kap_str){ 0 });
    ev->epoch = call->from_epoch;
    ev->id = call->id;
    ev->why = why;
}

/* One way of a stream, a few segments: each loss costs a retransmission. */
static int64_t stream_latency(struct sim *sim)
{
    int64_t ns = 2 * latency(sim);
    for (int i = 0; i < 2; i++)
        for (int64_t wait = RETRANSMIT_NS; chance(sim, sim->link.loss) && wait < 60 * KAP_S; wait *= 2)
            ns += wait;
    return ns;
}

void sim_call(struct sim *sim, int from, int to, int kind, struct kap_str bytes, int64_t deadline_ns, uint64_t token)
{
    struct sim_state *st = sim->state;
    sim->counters.calls++;
    KAP_GROW(st->calls, st->cap_calls, st->n_calls + 1);
    struct call *call = &st->calls[st->n_calls++];
    *call = (struct call){ .id = ++st->last_call, .token = token, .from = from, .to = to, .deadline_ns = deadline_ns,
                           .from_epoch = node_of(sim, from)->epoch };
    fail_call(sim, call, deadline_ns, "i/o timeout");
    if (to < 0 || to >= sim_nodes(sim) || *cut_flag(sim, from, to) || *cut_flag(sim, to, from))
        return;
    call->to_epoch = node_of(sim, to)->epoch;
    const int64_t at_ns = sim->now_ns + stream_latency(sim);
    if (!node_of(sim, to)->up) {
        sim->counters.refused++;
        fail_call(sim, call, KAP_MIN(at_ns, deadline_ns), "connection refused");
        return;
    }
    struct event *ev = schedule(sim, at_ns, EV_REQUEST, to, bytes);
    ev->from = from;
    ev->channel = kind;
    ev->id = call->id;
}

void sim_reply(struct sim *sim, uint64_t id, struct kap_str bytes)
{
    struct call *call = find_call(sim, id);
    if (!call || call->done || *cut_flag(sim, call->to, call->from))
        return;
    call->done = true;
    struct event *ev = schedule(sim, sim->now_ns + stream_latency(sim), EV_REPLY, call->from, bytes);
    ev->epoch = call->from_epoch;
    ev->id = id;
}

void sim_hang_up(struct sim *sim, uint64_t id)
{
    struct call *call = find_call(sim, id);
    if (!call || call->done)
        return;
    call->done = true;
    fail_call(sim, call, KAP_MIN(sim->now_ns + latency(sim), call->deadline_ns), "connection closed");
}

void sim_wake_at(struct sim *sim, int node, int64_t at_ns)
{
    struct node *nd = node_of(sim, node);
    if (at_ns == nd->wake_ns)
        return;
    nd->wake_ns = at_ns;
    nd->wake_generation++;
    if (at_ns == INT64_MAX)
        return;
    struct event *ev = schedule(sim, KAP_MAX(at_ns, sim->now_ns), EV_WAKE, node, (struct kap_str){ 0 });
    ev->id = nd->wake_generation;
}

const struct kap_clock *sim_clock(struct sim *sim, int node)
{
    return &node_of(sim, node)->clock;
}

/* ---- faults ---- */

void sim_cut(struct sim *sim, int from, int to)
{
    sim->counters.cuts += !*cut_flag(sim, from, to);
    *cut_flag(sim, from, to) = true;
}

void sim_heal(struct sim *sim, int from, int to)
{
    sim->counters.heals += *cut_flag(sim, from, to);
    *cut_flag(sim, from, to) = false;
}

void sim_partition(struct sim *sim, const bool *left_side)
{
    for (int a = 0; a < sim_nodes(sim); a++)
        for (int b = 0; b < sim_nodes(sim); b++)
            if (left_side[a] != left_side[b])
                sim_cut(sim, a, b);
}

void sim_heal_all(struct sim *sim)
{
    for (int a = 0; a < sim_nodes(sim); a++)
        for (int b = 0; b < sim_nodes(sim); b++)
            sim_heal(sim, a, b);
}

void sim_pause(struct sim *sim, int node)
{
    sim->counters.pauses += !node_of(sim, node)->paused;
    node_of(sim, node)->paused = true;
}

void sim_resume(struct sim *sim, int node)
{
    struct node *nd = node_of(sim, node);
    nd->paused = false;
    for (size_t i = 0; i < nd->n_held; i++) {
        nd->held[i]->at_ns = sim->now_ns;
        nd->held[i]->order = sim->state->order++;
        kap_heap_push(&sim->state->heap, nd->held[i]);
    }
    nd->n_held = nd->held_datagrams = 0;
}

void sim_crash(struct sim *sim, int node)
{
    struct node *nd = node_of(sim, node);
    sim->counters.crashes++;
    nd->up = nd->paused = false;
    nd->epoch++;
    nd->wake_ns = INT64_MAX;
    drop_held(nd);
    /* Its peers' streams are reset by the kernel; its own calls end with it. */
    for (size_t i = sim->state->n_calls; i-- > 0;) {
        struct call *call = &sim->state->calls[i];
        if (call->from == node)
            forget_call(sim, call);
        else if (call->to == node && !call->done) {
            call->done = true;
            fail_call(sim, call, KAP_MIN(sim->now_ns + latency(sim), call->deadline_ns), "connection reset by peer");
        }
    }
}

void sim_restart(struct sim *sim, int node, void *ctx)
{
    struct node *nd = node_of(sim, node);
    sim->counters.restarts++;
    nd->up = true;
    nd->ctx = ctx;
    nd->epoch++;
}

void sim_set_wall_offset(struct sim *sim, int node, int64_t offset_ns)
{
    node_of(sim, node)->wall_offset_ns = offset_ns;
}

/* ---- the course of things ---- */

void sim_at(struct sim *sim, int64_t at_ns, void (*fn)(void *ctx), void *ctx)
{
    struct event *ev = schedule(sim, KAP_MAX(at_ns, sim->now_ns), EV_SCRIPT, -1, (struct kap_str){ 0 });
    ev->fn = fn;
    ev->ctx = ctx;
}

static void finish_call(struct sim *sim, struct node *node, const struct event *ev)
{
    struct call *call = find_call(sim, ev->id);
    if (!call)
        return;
    const uint64_t token = call->token;
    forget_call(sim, call);
    if (ev->kind == EV_REPLY) {
        node->ops->reply(node->ctx, token, kap_strn(ev->bytes, ev->n));
        return;
    }
    sim->counters.timeouts += ev->why[0] == 'i';
    node->ops->failed(node->ctx, token, ev->why);
}

static void deliver(struct sim *sim, struct node *node, const struct event *ev)
{
    switch (ev->kind) {
    case EV_DATAGRAM:
        node->ops->datagram(node->ctx, ev->from, ev->channel, kap_strn(ev->bytes, ev->n));
        break;
    case EV_WAKE:
        if (ev->id == node->wake_generation) {
            node->wake_ns = INT64_MAX;
            node->ops->wake(node->ctx);
        }
        break;
    case EV_REQUEST: {
        const struct call *call = find_call(sim, ev->id);
        if (call && !call->done)
            node->ops->request(node->ctx, ev->from, ev->channel, ev->id, kap_strn(ev->bytes, ev->n));
        break;
    }
    case EV_REPLY:
    case EV_FAILED:
        finish_call(sim, node, ev);
        break;
    case EV_SCRIPT:
        break;
    }
}

/* True: a paused node keeps the event for later (or its socket buffer is full and it is dropped). */
static bool hold(struct node *node, struct event *ev)
{
    if (!node->paused)
        return false;
    if (ev->kind == EV_DATAGRAM && node->held_datagrams++ >= SOCKET_BUFFER) {
        kap_free(ev);
        return true;
    }
    KAP_GROW(node->held, node->cap_held, node->n_held + 1);
    node->held[node->n_held++] = ev;
    return true;
}

bool sim_step(struct sim *sim)
{
    struct event *ev = kap_heap_pop(&sim->state->heap);
    if (!ev)
        return false;
    sim->counters.steps++;
    sim->now_ns = KAP_MAX(sim->now_ns, ev->at_ns);
    if (ev->kind == EV_SCRIPT) {
        ev->fn(ev->ctx);
    } else {
        struct node *node = node_of(sim, ev->node);
        if (node->up && ev->epoch == node->epoch) {
            if (hold(node, ev))
                return true;
            deliver(sim, node, ev);
        }
    }
    kap_free(ev);
    return true;
}

static int64_t next_event_ns(const struct sim *sim)
{
    const struct event *ev = kap_heap_peek(&sim->state->heap);
    return ev ? ev->at_ns : INT64_MAX;
}

void sim_run(struct sim *sim, int64_t for_ns)
{
    const int64_t end = sim->now_ns + for_ns;
    while (next_event_ns(sim) <= end)
        sim_step(sim);
    sim->now_ns = end;
}

bool sim_run_until(struct sim *sim, int64_t for_ns, bool (*done)(void *ctx), void *ctx)
{
    const int64_t end = sim->now_ns + for_ns;
    if (done(ctx))
        return true;
    while (next_event_ns(sim) <= end) {
        sim_step(sim);
        if (done(ctx))
            return true;
    }
    sim->now_ns = end;
    return false;
}

/* ---- history ---- */

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    char *line = sim->state->history[sim->state->n_history++ % HISTORY];
    const int n = snprintf(line, LINE_BYTES, "[%10.4f] ", (double)sim->now_ns / 1e9);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line + n, (size_t)(LINE_BYTES - n), fmt, ap);
    va_end(ap);
}

void sim_print_history(const struct sim *sim)
{
    const size_t n = sim->state->n_history;
    for (size_t i = n > HISTORY ? n - HISTORY : 0; i < n; i++)
        fprintf(stderr, "%s\n", sim->state->history[i % HISTORY]);
    const struct sim_counters *c = &sim->counters;
    fprintf(stderr,
            "seed of this run %llu, at %.4f s: %llu datagrams, %llu lost, %llu duplicated, %llu calls, %llu crashes, "
            "%llu restarts, %llu pauses, %llu cuts\n",
            (unsigned long long)sim->seed, (double)sim->now_ns / 1e9, (unsigned long long)c->datagrams,
            (unsigned long long)c->lost, (unsigned long long)c->duplicated, (unsigned long long)c->calls,
            (unsigned long long)c->crashes, (unsigned long long)c->restarts, (unsigned long long)c->pauses,
            (unsigned long long)c->cuts);
}
