/* Clocks, injected. Nothing in nodes or cluster cores asks the system for the time.
 * wall: nanoseconds since the Unix epoch. mono: CLOCK_BOOTTIME, nanoseconds; for leases and delays. */
#ifndef KAP_BASE_CLOCK_H
#define KAP_BASE_CLOCK_H

#include <stdint.h>

struct kap_clock {
    int64_t (*wall_ns)(void *ctx);
    int64_t (*mono_ns)(void *ctx);
    void *ctx;
};

extern const struct kap_clock kap_clock_system;
static inline int64_t kap_clock_wall(const struct kap_clock *c)
{
    return c->wall_ns(c->ctx);
}
static inline int64_t kap_clock_mono(const struct kap_clock *c)
{
    return c->mono_ns(c->ctx);
}

#endif
