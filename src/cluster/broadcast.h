/* The queue of what is still to be gossiped, and the packet that it rides in.
 *
 * Each message is sent a limited number of times, the least sent first, the largest that fits first among equals,
 * then the newest. A message with a key replaces the one that the queue held for that key.
 * Ownership: messages and keys are copied. Threads: one at a time. Failure: none; past the limit the message that
 * was sent most often goes. */
#ifndef KAP_CLUSTER_BROADCAST_H
#define KAP_CLUSTER_BROADCAST_H

#include "cluster/wire.h"

/* Parts of one datagram under way. */
struct kap_packet {
    struct kap_buf bytes;
    uint16_t lengths[KAP_WIRE_COMPOUND_MAX];
    size_t n;
    size_t room; /* for the compound with all its parts */
};

void kap_packet_start(struct kap_packet *p, size_t room);
bool kap_packet_fits(const struct kap_packet *p, size_t n_bytes);
/* Adds a part even when it does not fit (a datagram may be larger than we like); empty ones are left out. */
void kap_packet_add(struct kap_packet *p, struct kap_str part);
void kap_packet_finish(const struct kap_packet *p, struct kap_buf *out);
void kap_packet_done(struct kap_packet *p);

struct kap_broadcast;

struct kap_broadcasts {
    struct kap_broadcast **items; /* in the order in which they are picked */
    size_t n, cap, max;
    uint64_t last_id, dropped;
};

void kap_broadcasts_done(struct kap_broadcasts *q);
/* key.n == 0: none. Returns an ID for kap_broadcasts_has(). */
uint64_t kap_broadcasts_put(struct kap_broadcasts *q, struct kap_str key, struct kap_str message);
/* Fills what room the packet has; messages that were sent `limit` times are done. */
void kap_broadcasts_pick(struct kap_broadcasts *q, struct kap_packet *p, unsigned limit);
bool kap_broadcasts_has(const struct kap_broadcasts *q, uint64_t id);

#endif
