/* Drives the membership core (swim.h) with real sockets: UDP and TCP on the gossip port, on the caller's libuv loop.
 *
 * Names are resolved off the loop (uv_getaddrinfo): the advertised host again every minute, so that a changed
 * address is announced; the seeds whenever they are tried. Seeds are members that should be there: one that is not
 * alive is joined, again and again, which brings a restarted member back whatever happened to the addresses.
 * Ownership: kap_gossip_stop() frees, once the loop has closed its handles. The core is owned by this.
 * Threads: the loop's only. Failure: a port in use and the like at the start, with the address in the message; later
 * only counters and events. Limits: 128 streams served at a time, 10 s and 4 MiB each. */
#ifndef KAP_CLUSTER_GOSSIP_NET_H
#define KAP_CLUSTER_GOSSIP_NET_H

#include "cluster/swim.h"
#include "base/clock.h"
#include <uv.h>

struct kap_gossip_net;

struct kap_gossip_seed {
    const char *name; /* member ID; NULL: not known, tried until somebody answered */
    const char *addr; /* host:port */
};

struct kap_gossip_config {
    const char *bind;            /* "host:port", ":9090" for all interfaces */
    const char *advertise;       /* "host:port" that others reach; port 0: the bound one */
    struct kap_swim_config swim; /* addr is filled in */
    const struct kap_clock *clock;
    /* Called while the core works: look-ups are fine, changes are not. See swim.h. */
    void (*event)(void *ctx, const struct kap_swim_event *ev);
    enum kap_swim_role (*admit)(void *ctx, struct kap_str name, const struct kap_wire_tag *tags, size_t n);
    void *ctx;
};

/* Binds and listens; gossips only after kap_gossip_enable(). On failure too the loop must run once more, to close
 * its handles. */
enum kap_status kap_gossip_start(uv_loop_t *loop, const struct kap_gossip_config *config,
                                 struct kap_gossip_net **ret, struct kap_error *err);
/* Closes everything and frees; stopped(ctx) is called from the loop when that is done. Says nothing to the others:
 * for that, kap_gossip_leave() and wait for KAP_SWIM_EV_LEAVE_DONE first. */
void kap_gossip_stop(struct kap_gossip_net *net, void (*stopped)(void *ctx), void *ctx);

/* For look-ups. Changes go through the functions below, which keep the timers right. */
const struct kap_swim *kap_gossip_core(const struct kap_gossip_net *net);
uint16_t kap_gossip_port(const struct kap_gossip_net *net); /* the bound one */

/* Takes effect when the advertised name has been resolved. */
enum kap_status kap_gossip_enable(struct kap_gossip_net *net, const char *cluster_id, struct kap_error *err);
void kap_gossip_disable(struct kap_gossip_net *net);
/* Resolves and joins once; the outcome is an event (JOINED, JOIN_FAILED). KAP_EINVAL: no host:port. */
enum kap_status kap_gossip_join(struct kap_gossip_net *net, const char *addr, struct kap_error *err);
/* Replaces the list; the texts are copied. */
void kap_gossip_set_seeds(struct kap_gossip_net *net, const struct kap_gossip_seed *seeds, size_t n);
void kap_gossip_leave(struct kap_gossip_net *net);
enum kap_status kap_gossip_set_tags(struct kap_gossip_net *net, const struct kap_wire_tag *tags, size_t n,
                                    struct kap_error *err);
void kap_gossip_recheck(struct kap_gossip_net *net);
enum kap_status kap_gossip_forget(struct kap_gossip_net *net, const char *name, struct kap_error *err);
/* Opens the key ring for a change; the next datagram uses it. */
struct kap_seal *kap_gossip_seal(struct kap_gossip_net *net);

struct kap_gossip_stats {
    uint64_t send_errors, streams_accepted, streams_refused, streams_dialled, stream_timeouts, resolve_errors;
};
struct kap_gossip_stats kap_gossip_stats(const struct kap_gossip_net *net);

#endif
