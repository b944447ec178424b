#include "base/clock.h"
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t wall_ns(void *ctx)
{
    return read_clock(CLOCK_REALTIME);
}

static int64_t mono_ns(void *ctx)
{
    return read_clock(CLOCK_BOOTTIME);
}

const struct kap_clock kap_clock_system = { wall_ns, mono_ns, 0 };
