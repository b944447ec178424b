/* The parts of struct kap_cluster, for the files that implement it. */
#ifndef KAP_DAEMON_CLUSTER_IMPL_H
#define KAP_DAEMON_CLUSTER_IMPL_H

#include "cluster/gossip_net.h"
#include "cluster/member.h"
#include "cluster/rpc_net.h"
#include "daemon/cluster.h"
#include "store/catalog_db.h"
#include <pthread.h>

/* What is known of the RPC link to a member. */
struct kap_cluster_link {
    kap_uuid id;
    bool up;
    unsigned hard_failures; /* resets and refusals since it was up: the process is probably gone */
};

struct kap_cluster {
    struct kap_cluster_options opts;
    struct kap_cluster_io io;
    struct kap_catalog_db *db;
    struct kap_catalog *catalog;
    struct kap_members *members;
    struct kap_rpc_net *rpc;
    struct kap_gossip_net *gossip;
    uv_timer_t timer;
    struct kap_buf gossip_address, rpc_address, api_address;
    struct kap_cluster_link links[KAP_MEMBERS_MAX];
    size_t nlinks;
    bool list_dirty, life_dirty, removed_dirty, touched, closed, started;
    uint64_t next_token;
    void (*durable)(void *ctx, uint64_t token, enum kap_status status);
    void *durable_ctx;
    void (*left)(void *ctx);
    void *left_ctx;
    struct kap_cluster_command *commands; /* of operators, waiting */
    pthread_mutex_t lock;
    pthread_cond_t finished;
    /* For other threads, guarded by the lock. */
    kap_uuid cluster_id;
    kap_uuid living[KAP_MEMBERS_MAX]; /* the local member first */
    size_t nliving, task_redundancy;
};

/* Something changed: what follows from it is done once the present callback is over. */
void kap_cluster_touch(struct kap_cluster *c);
/* What gossip knows of a member; NULL: nothing since our start. */
static inline const struct kap_swim_member *kap_cluster_seen(const struct kap_cluster *c, const char *id)
{
    return kap_swim_find(kap_gossip_core(c->gossip), kap_str(id));
}
/* kap_members_io.finished, for commands of operators (cluster_api.c). */
void kap_cluster_command_finished(void *ctx, uint64_t token, enum kap_status status, const struct kap_error *err);

#endif
