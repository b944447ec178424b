#include "cluster/hlc.h"

enum { NS_PER_MS = 1000000 };

uint64_t kap_hlc_now(struct kap_hlc *c, int64_t wall_ns)
{
    const uint64_t wall = wall_ns > 0 ? (uint64_t)(wall_ns / NS_PER_MS) << 16 : 0;
    /* The counter may run over into the milliseconds: then the clock is a little ahead, which is what it is
     * for. */
    c->last = wall > c->last ? wall : c->last + 1;
    return c->last;
}

bool kap_hlc_observe(struct kap_hlc *c, uint64_t stamp, int64_t wall_ns)
{
    if (kap_hlc_wall_ms(stamp) > wall_ns / NS_PER_MS + KAP_HLC_AHEAD_MS)
        return false;
    if (stamp > c->last)
        c->last = stamp;
    return true;
}
