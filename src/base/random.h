/* Random numbers, injected: xoshiro256** from a seed for all that must be repeatable; the system's generator
 * for identities and keys. Threads: one generator per thread. */
#ifndef KAP_BASE_RANDOM_H
#define KAP_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct kap_random { uint64_t s[4]; };

void kap_random_seed(struct kap_random *r, uint64_t seed);
uint64_t kap_random_u64(struct kap_random *r);
uint64_t kap_random_below(struct kap_random *r, uint64_t n); /* uniform in [0, n); 0 for n = 0 */
double kap_random_f64(struct kap_random *r);                 /* uniform in [0, 1) */
void kap_random_system(void *p, size_t n);                   /* getrandom(2) */
uint64_t kap_random_system_seed(void);

#endif
