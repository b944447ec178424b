/* Who is in the cluster: the identity of this member, and adding and removing members. A sans-I/O state
 * machine over the catalog, which holds the list of members (kind MEMBER) and so brings every change to
 * everybody.
 *
 * Alone, a member is uninitialized, with a cluster ID of its own. `add` asks the other side first (it refuses
 * when it belongs to another cluster with other members), lists it, then has it adopt the cluster ID; a
 * listed member that missed this is told again at its next hello. `remove` turns the entry into a tombstone
 * that stays; the removed one learns of it at once or when it comes back, and becomes a cluster of one with a
 * fresh cluster ID. The last one left keeps the cluster ID.
 *
 * Inputs: kap_members_add/remove (an operator), _request (a peer's call), _answer (to ours), _hello, _changed
 * (the catalog's). Outputs through struct kap_members_io. Ownership: what is given is copied, what look-ups
 * give is borrowed until the next input. Threads: one at a time. */
#ifndef KAP_CLUSTER_MEMBER_H
#define KAP_CLUSTER_MEMBER_H

#include "cluster/catalog.h"

struct kap_members;

enum { KAP_MEMBERS_MAX = 128 };

struct kap_member_info {
    kap_uuid id;
    struct kap_str gossip_address, rpc_address, api_address; /* "serverA:9090" */
    struct kap_str roles;                                    /* "worker" */
    struct kap_str hostname;
};

struct kap_members_io {
    /* Calls the RPC service (channel KAP_RPC_MEMBER) at an address; the answer goes to kap_members_answer().
     */
    void (*call)(void *ctx, struct kap_str address, struct kap_str bytes, uint64_t token);
    /* Answers kap_members_request(). */
    void (*reply)(void *ctx, uint64_t call, struct kap_str bytes);
    /* The operator's add or remove with this token is finished; err is set when it failed. */
    void (*finished)(void *ctx, uint64_t token, enum kap_status status, const struct kap_error *err);
    /* This member's cluster ID is now another one: keep it (cluster.id) before anything else is sent. */
    void (*set_cluster_id)(void *ctx, struct kap_str cluster_id);
    /* The list of members, or whether there is a cluster, changed: gossip, links, owners, placement follow.
     */
    void (*list_changed)(void *ctx);
    /* This member was removed from its cluster: tasks are to be disabled. `by`: who said so. */
    void (*removed)(void *ctx, struct kap_str by);
    void (*notice)(void *ctx, const char *text);
    void *ctx;
};

struct kap_members_config {
    struct kap_member_info self;
    struct kap_str cluster_id;
    struct kap_catalog *catalog; /* borrowed; loaded already */
    struct kap_random *random;   /* for fresh cluster IDs; NULL: the system's */
};

struct kap_members *kap_members_new(const struct kap_members_config *config, const struct kap_members_io *io);
void kap_members_free(struct kap_members *m);
/* Once at start, after new: writes our own entry when our addresses changed, and announces the list. */
void kap_members_start(struct kap_members *m);

const char *kap_members_cluster_id(const struct kap_members *m);
const char *kap_members_self(const struct kap_members *m);
bool kap_members_initialized(const struct kap_members *m); /* more than one member is listed */
/* Listed members in the order in which they are shown: ourselves first, then by the time at which they were
 * added. */
size_t kap_members_count(const struct kap_members *m);
const struct kap_member_info *kap_members_at(const struct kap_members *m, size_t i);
const struct kap_member_info *kap_members_find(const struct kap_members *m, struct kap_str id); /* NULL */

/* `token` comes back in io.finished, also for errors found at once. */
void kap_members_add(struct kap_members *m, struct kap_str rpc_address, uint64_t token);
void kap_members_remove(struct kap_members *m, struct kap_str id, uint64_t token);

/* A call on channel KAP_RPC_MEMBER; `from` is the caller's member ID as its hello gave it. */
void kap_members_request(struct kap_members *m, struct kap_str from, uint64_t call, struct kap_str bytes);
/* status KAP_OK: `bytes` is the answer; else err says what happened. */
void kap_members_answer(struct kap_members *m, uint64_t token, enum kap_status status, struct kap_str bytes,
                        const struct kap_error *err);
/* Forward io.changed of the catalog for kind MEMBER. */
void kap_members_changed(struct kap_members *m, const struct kap_catalog_entry *e);

/* What to do with a peer that says hello (see cluster/rpc.h). */
enum kap_members_welcome {
    KAP_WELCOME_MEMBER,   /* exchanges catalog and events */
    KAP_WELCOME_STRANGER, /* only calls on KAP_RPC_MEMBER (an add) are answered */
    KAP_WELCOME_REMOVED,  /* of our cluster once: gets the news of its removal, nothing else */
};
/* A peer's identity as its hello gave it. Repeats the adoption or the news of removal where that is due. */
enum kap_members_welcome kap_members_hello(struct kap_members *m, struct kap_str id,
                                           struct kap_str cluster_id, struct kap_str rpc_address);

#endif
