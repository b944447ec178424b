#include "base/random.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* xoshiro256** 1.0 by Blackman and Vigna (public domain algorithm), seeded with splitmix64 as they advise. */
static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

void kap_random_seed(struct kap_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t kap_random_u64(struct kap_random *r)
{
    const uint64_t result = rotl(r->s[1] * 5, 7) * 9, t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotl(r->s[3], 45);
    return result;
}

uint64_t kap_random_below(struct kap_random *r, uint64_t n)
{
    if (n == 0)
        return 0;
    const uint64_t uneven = (0 - n) % n; /* 2^64 mod n: the draws that would favour small results */
    uint64_t draw;
    do
        draw = kap_random_u64(r);
    while (draw < uneven);
    return draw % n;
}

double kap_random_f64(struct kap_random *r)
{
    return (double)(kap_random_u64(r) >> 11) * 0x1p-53;
}

void kap_random_system(void *p, size_t n)
{
    char *at = p;
    while (n > 0) {
        const ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno != EINTR)
            abort(); /* no identity or key can be made safely without it */
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

uint64_t kap_random_system_seed(void)
{
    uint64_t seed;
    kap_random_system(&seed, sizeof seed);
    return seed;
}
