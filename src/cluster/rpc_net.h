/* The RPC service: connections between members over TCP on a libuv loop, framed and multiplexed as
 * cluster/rpc.h says.
 *
 * One connection is kept to every listed member (dialled by either side; the one dialled by the smaller ID
 * survives), with keep-alive and reconnects after a growing pause. Messages are one-way and may be lost when
 * a connection breaks or its queue is full; calls are answered, refused or time out. All bytes pass one
 * seal/open layer (see seal_stream there). Ownership: opaque. Bytes given are copied; bytes in callbacks are
 * borrowed until they return. Threads: the loop's. Failure: a peer that breaks the protocol is disconnected
 * with a reason. */
#ifndef KAP_CLUSTER_RPC_NET_H
#define KAP_CLUSTER_RPC_NET_H

#include "cluster/rpc.h"
#include "cluster/member.h"
#include <uv.h>

struct kap_rpc_net;

enum { KAP_RPC_QUEUE_BYTES = 64 << 20 /* to one peer; more is dropped and counted */ };

struct kap_rpc_net_io {
    /* Whom we talk to; see kap_members_hello(). */
    enum kap_members_welcome (*hello)(void *ctx, const struct kap_rpc_hello *hello);
    /* A one-way message of a member. */
    void (*message)(void *ctx, struct kap_str member, enum kap_rpc_channel channel, struct kap_str bytes);
    /* A call; answer now or later with kap_rpc_net_reply(). Strangers only reach KAP_RPC_MEMBER. */
    void (*request)(void *ctx, struct kap_str from, enum kap_rpc_channel channel, uint64_t call,
                    struct kap_str bytes);
    /* A link to a listed member came up (why == NULL) or went down. `hard`: reset or refused, not silence:
     * the process is probably gone. */
    void (*link)(void *ctx, struct kap_str member, bool up, bool hard, const char *why);
    void (*notice)(void *ctx, const char *text, struct kap_str peer);
    void *ctx;
};

struct kap_rpc_net_config {
    uv_loop_t *loop;
    struct kap_str bind_address; /* ":9091", "127.0.0.1:0" */
    struct kap_str self;         /* member ID */
    struct kap_str advertise;    /* our RPC address, for hello */
    int64_t keep_alive_ns;       /* 0: 2 s; three without answer is a dead link */
    int64_t connect_ns;          /* 0: 2 s */
};

/* Listens. KAP_EIO: the address is in use or cannot be bound; the message names it. */
enum kap_status kap_rpc_net_new(const struct kap_rpc_net_config *config, const struct kap_rpc_net_io *io,
                                struct kap_rpc_net **ret, struct kap_error *err);
/* Closes everything; frees itself when the loop has closed the handles. Calls under way fail first. */
void kap_rpc_net_close(struct kap_rpc_net *net);
int kap_rpc_net_port(const struct kap_rpc_net *net); /* that we listen on */
void kap_rpc_net_set_cluster_id(struct kap_rpc_net *net,
                                struct kap_str cluster_id); /* goes into hello; open links say it again */

struct kap_rpc_peer {
    struct kap_str id, address;
};
/* The members to keep links to (ourselves not included). */
void kap_rpc_net_peers(struct kap_rpc_net *net, const struct kap_rpc_peer *peers, size_t n);
bool kap_rpc_net_linked(const struct kap_rpc_net *net, struct kap_str member);
/* Try again now, e.g. because gossip saw the member. */
void kap_rpc_net_nudge(struct kap_rpc_net *net, struct kap_str member);

/* False: no link, or its queue is full. */
bool kap_rpc_net_send(struct kap_rpc_net *net, struct kap_str member, enum kap_rpc_channel channel,
                      struct kap_str bytes);

/* status KAP_OK: bytes is the answer; KAP_ETIMEOUT, KAP_EIO, ... else, with err. Exactly once per call. */
typedef void (*kap_rpc_answer_fn)(void *ctx, enum kap_status status, struct kap_str bytes,
                                  const struct kap_error *err);
/* Calls a member over its link, or any address over a connection of its own. */
void kap_rpc_net_call(struct kap_rpc_net *net, struct kap_str member, enum kap_rpc_channel channel,
                      struct kap_str bytes, int64_t timeout_ns, kap_rpc_answer_fn fn, void *ctx);
void kap_rpc_net_call_address(struct kap_rpc_net *net, struct kap_str address, enum kap_rpc_channel channel,
                              struct kap_str bytes, int64_t timeout_ns, kap_rpc_answer_fn fn, void *ctx);
/* Answers a request(); a call whose connection is gone is ignored. status != KAP_OK: the text of err is the
 * answer. */
void kap_rpc_net_reply(struct kap_rpc_net *net, uint64_t call, enum kap_status status, struct kap_str bytes,
                       const struct kap_error *err);

struct kap_rpc_net_stats {
    size_t links, connections;
    uint64_t messages_in, messages_out, calls_in, calls_out, bytes_in, bytes_out, dropped, refused,
        bad_frames, reconnects;
};
struct kap_rpc_net_stats kap_rpc_net_stats(const struct kap_rpc_net *net);

#endif
