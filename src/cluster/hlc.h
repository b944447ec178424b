/* Hybrid logical clock (Kulkarni et al., 2014) in one integer: wall-clock milliseconds in the upper 48 bits,
 * a counter in the lower 16. Stamps of one member rise; a stamp that depends on another is larger, whatever
 * the wall clocks say. Ownership: plain data. Threads: one at a time. Failure: a peer that is too far ahead
 * is refused, see kap_hlc_observe(). */
#ifndef KAP_CLUSTER_HLC_H
#define KAP_CLUSTER_HLC_H

#include <stdbool.h>
#include <stdint.h>

#define KAP_HLC_AHEAD_MS INT64_C(60000)

struct kap_hlc {
    uint64_t last;
};

uint64_t kap_hlc_now(struct kap_hlc *c, int64_t wall_ns); /* a new stamp for an event here */
/* Learns a peer's stamp. False: it is more than KAP_HLC_AHEAD_MS ahead of our wall clock; nothing is learned.
 */
bool kap_hlc_observe(struct kap_hlc *c, uint64_t stamp, int64_t wall_ns);
static inline int64_t kap_hlc_wall_ms(uint64_t stamp)
{
    return (int64_t)(stamp >> 16);
}

#endif
