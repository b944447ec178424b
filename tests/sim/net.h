/* A simulated network and clock for the sans-I/O cores: one process, one seed, every run repeats exactly.
 *
 * Nodes are numbered; each has callbacks and a context (a core and its driver). Two carriers, like the real ones:
 *   datagrams  may be lost, delayed, reordered and duplicated;
 *   calls      one request and one answer on a stream: never lost in silence. Loss costs time (retransmission), a
 *              cut lasts until the deadline, a dead process refuses at once.
 * `kind` tells protocols on the same node apart (gossip, RPC, ...) and is handed through.
 * Faults: links cut in one or both directions, loss and delay for all links, nodes paused (SIGSTOP: what arrives
 * waits, up to a socket buffer), crashed (SIGKILL: what is under way to it or from its timers is void) and started
 * again, clocks with an offset.
 * Time passes only in sim_step(): from event to event. Equal times keep the order in which they were scheduled.
 * Ownership: messages are copied. Callbacks may call anything here. Threads: one.
 *
 *     struct sim *sim = sim_new(seed);
 *     int a = sim_add(sim, &ops, &driver_a), b = sim_add(sim, &ops, &driver_b);
 *     sim->link.loss = 0.05;
 *     sim_run(sim, 10 * KAP_S); */
#ifndef KAP_TESTS_SIM_NET_H
#define KAP_TESTS_SIM_NET_H

#include "base/clock.h"
#include "base/duration.h"
#include "base/random.h"
#include "base/str.h"

struct sim;

struct sim_ops {
    void (*datagram)(void *ctx, int from, int kind, struct kap_str bytes);
    /* Answer now or later with sim_reply(call) or sim_hang_up(call). */
    void (*request)(void *ctx, int from, int kind, uint64_t call, struct kap_str bytes);
    void (*reply)(void *ctx, uint64_t token, struct kap_str bytes);
    void (*failed)(void *ctx, uint64_t token, const char *why);
    void (*wake)(void *ctx);
};

/* The weather on all links. */
struct sim_link {
    double loss;      /* of a datagram in one direction, 0..1; a call's segments take 200 ms more for each loss */
    double duplicate; /* probability of a second copy */
    double reorder;   /* probability that a datagram takes up to reorder_ns longer */
    int64_t delay_ns, jitter_ns, reorder_ns;
};

struct sim_counters {
    uint64_t datagrams, bytes, lost, duplicated, reordered, cut, calls, refused, timeouts, crashes, restarts, pauses,
        cuts, heals, steps;
};

/* Fields may be read; link may be written at any time. */
struct sim {
    int64_t now_ns;
    uint64_t seed;
    struct kap_random random; /* of the network; nodes have their own */
    struct sim_link link;
    struct sim_counters counters;
    struct sim_state *state;
};

/* KAP_SEED from the environment, else one from the system. Tests print it. */
uint64_t sim_seed(void);

struct sim *sim_new(uint64_t seed); /* no loss, 0.2 ms delay and as much jitter */
void sim_free(struct sim *sim);

int sim_add(struct sim *sim, const struct sim_ops *ops, void *ctx); /* the node is up */
int sim_nodes(const struct sim *sim);
bool sim_is_up(const struct sim *sim, int node);     /* also when paused */
bool sim_is_paused(const struct sim *sim, int node);

/* ---- what a driver does ---- */
void sim_send(struct sim *sim, int from, int to, int kind, struct kap_str bytes);
/* `token` comes back in reply() or failed(), exactly once, unless `from` crashes. to < 0: nobody is there. */
void sim_call(struct sim *sim, int from, int to, int kind, struct kap_str bytes, int64_t deadline_ns, uint64_t token);
void sim_reply(struct sim *sim, uint64_t call, struct kap_str bytes);
void sim_hang_up(struct sim *sim, uint64_t call);
/* wake() at that time; replaces the node's earlier wish. INT64_MAX: never. */
void sim_wake_at(struct sim *sim, int node, int64_t at_ns);
/* The node's clocks: mono is sim->now_ns, wall has the node's offset. Valid as long as the sim. */
const struct kap_clock *sim_clock(struct sim *sim, int node);

/* ---- faults ---- */
void sim_cut(struct sim *sim, int from, int to); /* one direction */
void sim_heal(struct sim *sim, int from, int to);
void sim_partition(struct sim *sim, const bool *left_side); /* cuts both ways between the sides; [node] */
void sim_heal_all(struct sim *sim);
void sim_pause(struct sim *sim, int node);
void sim_resume(struct sim *sim, int node);
void sim_crash(struct sim *sim, int node);
void sim_restart(struct sim *sim, int node, void *ctx); /* a new process with a new context */
void sim_set_wall_offset(struct sim *sim, int node, int64_t offset_ns);

/* ---- the course of things ---- */
/* fn runs at that time, outside all nodes: for the test's own script. */
void sim_at(struct sim *sim, int64_t at_ns, void (*fn)(void *ctx), void *ctx);
bool sim_step(struct sim *sim);               /* one event; false: nothing left */
void sim_run(struct sim *sim, int64_t for_ns); /* now_ns moves by exactly that */
/* Steps until done(ctx), looked at after each event; false: not within for_ns. */
bool sim_run_until(struct sim *sim, int64_t for_ns, bool (*done)(void *ctx), void *ctx);

/* History: the last lines are kept and printed when a test fails. */
void sim_trace(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_print_history(const struct sim *sim); /* to stderr, with seed and counters */

#endif
