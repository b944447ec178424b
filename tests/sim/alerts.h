/* Members in the simulator that deliver alert events: a dedup core on each node, with a disk and handlers'
 * endpoints.
 *
 * The disk takes time, may lose what was not answered yet when the member is killed, and may be full. What
 * members know of each other comes from an oracle with the figures of the membership core: a killed one is
 * presumed dead after 1 s and declared dead after 6 s, a partition is declared after 8 s, a link is back 300
 * ms after it can be. Ownership: alerts_free() frees all. */
#ifndef KAP_TESTS_SIM_ALERTS_H
#define KAP_TESTS_SIM_ALERTS_H

#include "net.h"
#include "cluster/dedup.h"

enum { ALERTS_MEMBERS = 8, ALERTS_HANDLERS = 3 };

struct alerts;

struct alerts_options {
    int members;
    size_t redundancy;
    int handlers;
    int64_t endpoint_ns; /* 0: 50 ms */
    int64_t disk_ns;     /* 0: 2 ms */
    struct kap_dedup_faults faults;
};

struct alerts *alerts_new(uint64_t seed, const struct alerts_options *options);
void alerts_free(struct alerts *a);
struct sim *alerts_sim(struct alerts *a);
struct kap_random *alerts_random(struct alerts *a);
void alerts_run(struct alerts *a, int64_t for_ns);

/* The copies of a task on the members of `mask` (bit i: member i) produce an event, each up to skew_ns later.
 */
void alerts_produce(struct alerts *a, const char *topic, const char *id, int64_t time_ns, int level,
                    unsigned mask, int64_t skew_ns);
int alerts_owner(struct alerts *a, const char *topic, int rank); /* with all members alive */

void alerts_kill(struct alerts *a, int member);
void alerts_start(struct alerts *a, int member);
bool alerts_is_up(const struct alerts *a, int member);
void alerts_partition(struct alerts *a, unsigned left_mask);
void alerts_heal(struct alerts *a);
void alerts_disk_full(struct alerts *a, int member, bool full);
/* Endpoint of a handler: refuses everybody, or one member (by bit). */
void alerts_refuse(struct alerts *a, int handler, unsigned mask);
void alerts_endpoint_time(struct alerts *a, int64_t ns);

/* What the endpoints saw. */
int alerts_deliveries(const struct alerts *a, const char *topic, const char *id, int64_t time_ns,
                      int handler);
int alerts_attempts(const struct alerts *a);
uint64_t alerts_out_of_order(const struct alerts *a);
/* Every event that a member still had after its crash, or produced while it stayed up, reached every handler.
 */
int alerts_lost(const struct alerts *a);
int alerts_duplicates(const struct alerts *a);
int alerts_pending(const struct alerts *a);
bool alerts_states_agree(const struct alerts *a);
int64_t alerts_first_at(const struct alerts *a, const char *topic, const char *id, int64_t time_ns);
const struct kap_dedup_stats *alerts_totals(struct alerts *a); /* over all lives */

#endif
