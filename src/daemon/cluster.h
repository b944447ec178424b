/* The cluster as this process lives it: drives the cores of cluster/ (catalog, members, membership) with the RPC and gossip
 * sockets, the catalog's database and timers on the control loop.
 * Threads: the loop's, except where it is said. Ownership: owned by the daemon; options are borrowed until freed. */
#ifndef KAP_DAEMON_CLUSTER_H
#define KAP_DAEMON_CLUSTER_H

#include "api/api.h"
#include "cluster/catalog.h"
#include "cluster/dedup.h"
#include "config/config.h"
#include "daemon/loop.h"
#include "store/identity.h"

struct kap_cluster;

struct kap_cluster_io {
    void *ctx;
    /* A definition changed, here or at another member; it can be read. */
    void (*definition_changed)(void *ctx, const struct kap_catalog_entry *e, bool local);
    /* Members, or how they live, changed. */
    void (*members_changed)(void *ctx, const struct kap_dedup_member *members, size_t n);
    void (*dedup_message)(void *ctx, struct kap_str member, struct kap_str bytes);
    /* This member was removed from its cluster. */
    void (*removed)(void *ctx);
};

struct kap_cluster_options {
    struct kap_loop *loop;
    const struct kap_clock *clock;
    const struct kap_config *config;
    struct kap_identity *identity; /* its cluster ID follows the cluster's */
    const char *data_dir;
    struct kap_str hostname;
};

/* Opens the catalog and binds both ports; nothing is sent before kap_cluster_start(). */
enum kap_status kap_cluster_new(const struct kap_cluster_options *opts, const struct kap_cluster_io *io,
                                struct kap_cluster **ret, struct kap_error *err);
void kap_cluster_start(struct kap_cluster *c);
/* Announces the leave and calls done(ctx) when the others know, or after a bounded time. */
void kap_cluster_leave(struct kap_cluster *c, void (*done)(void *ctx), void *ctx);
/* Closes sockets and timers, at once; the loop then runs until their handles are closed. */
void kap_cluster_close(struct kap_cluster *c);
void kap_cluster_free(struct kap_cluster *c); /* after the loop has drained; NULL is fine */

struct kap_catalog *kap_cluster_catalog(struct kap_cluster *c);
/* A copy of the catalog's database in a file that has no name any more: all definitions. *ret_fd is the caller's. Any
 * thread but the loop's. */
enum kap_status kap_cluster_backup(struct kap_cluster *c, int *ret_fd, uint64_t *ret_bytes, struct kap_error *err);
/* After any input to the catalog from outside: carries out what follows from it. */
void kap_cluster_settle(struct kap_cluster *c);
/* A change that was given this token (kap_cluster_token()) is durable: on_done was set by the caller. */
uint64_t kap_cluster_token(struct kap_cluster *c);
void kap_cluster_on_durable(struct kap_cluster *c, void (*fn)(void *ctx, uint64_t token, enum kap_status status), void *ctx);
bool kap_cluster_send(struct kap_cluster *c, struct kap_str member, struct kap_str bytes);

/* Does this member run a copy of the task? By [cluster] task-redundancy and the members that live. Any thread. */
bool kap_cluster_places(struct kap_cluster *c, struct kap_str task);

/* What the API shows and does; the functions may be called from any thread but the loop's. */
void kap_cluster_api(struct kap_cluster *c, struct kap_api_cluster *ret);
void kap_cluster_stats(struct kap_cluster *c, struct kap_api_stats *w); /* statistics; any thread but the loop's */

#endif
