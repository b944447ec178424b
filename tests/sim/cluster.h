/* Members in the simulator: a membership core on each node, and its driver. The catalog's and the dedup's
 * simulations put their own cores beside it.
 * Ownership: cluster_free() frees all; cores are replaced when a member restarts. */
#ifndef KAP_TESTS_SIM_CLUSTER_H
#define KAP_TESTS_SIM_CLUSTER_H

#include "net.h"
#include "cluster/swim.h"

enum { CLUSTER_GOSSIP = 1 }; /* the kind of its messages in sim_send() and sim_call() */

struct cluster;

struct cluster_member {
    struct cluster *cluster;
    int node;
    uint16_t port; /* changes when a member restarts at another address */
    char name[40];
    const char *cluster_id;
    struct kap_swim *core; /* NULL while crashed */
    uint32_t lives;
    uint64_t events[16];   /* how many of each enum kap_swim_event_kind, over all its lives */
};

struct cluster {
    struct sim *sim;
    struct cluster_member *members;
    int n;
    struct kap_swim_faults faults;
    /* Called for every event of every member; may be NULL. */
    void (*watch)(void *ctx, struct cluster_member *m, const struct kap_swim_event *ev);
    void *watch_ctx;
};

/* n members of cluster "one", up, none has joined another. */
struct cluster *cluster_new(uint64_t seed, int n);
void cluster_free(struct cluster *c);
struct kap_swim_addr cluster_addr(const struct cluster *c, int node);
void cluster_join(struct cluster *c, int node, int via);
void cluster_join_all(struct cluster *c); /* everybody through node 0 */
void cluster_crash(struct cluster *c, int node);
/* A new process that knows nothing; at another port when asked for. It joins through `via`. */
void cluster_restart(struct cluster *c, int node, bool new_port, int via);
void cluster_leave(struct cluster *c, int node);
/* How `node` sees `other`; KAP_SWIM_FAILED when it does not know it. */
enum kap_swim_status cluster_view(const struct cluster *c, int node, int other);
/* Every running member sees every running member alive, and nobody who is down as alive. */
bool cluster_converged(void *cluster);
/* Sum over all members. */
uint64_t cluster_events(const struct cluster *c, enum kap_swim_event_kind kind);

#endif
