/* Live batch tasks: each query node of a running task is asked on its schedule, on a few threads of its own,
 * never on a worker; the answer's series enter the task at the node as they arrive.
 *
 * A tick that was missed (the machine slept, the query took longer than `every`) is not made up for: the
 * latest one counts, as in the reference. A query that fails is logged and counted as an error of nothing
 * else; the next tick asks again. The same ticks happen on every member that runs the task. Ownership:
 * options are borrowed until kap_batches_free(). Threads: all. */
#ifndef KAP_BATCH_BATCH_H
#define KAP_BATCH_BATCH_H

#include "base/clock.h"
#include "base/cron.h"
#include "engine/engine.h"
#include "influxdb/query.h"

struct kap_batches;

#define KAP_BATCH_THREADS 8 /* queries under way at a time */

struct kap_batches_options {
    struct kap_engine *engine;
    struct kap_influxdb *influxdb;
    const struct kap_clock *clock;
    const struct kap_zone *zone; /* of cron schedules */
};

struct kap_batches *kap_batches_new(const struct kap_batches_options *options);
void kap_batches_free(struct kap_batches *b); /* ends what is under way; NULL is fine */

/* Begins to ask for a task that the engine runs. Nothing happens for a stream task. Refused: a query from a
 * database that is not the task's. `anchor_ns`: see batch/source.h. */
enum kap_status kap_batches_start(struct kap_batches *b, struct kap_str id, struct kap_graph *graph,
                                  const struct kap_dbrp *dbrps, size_t ndbrps, int64_t anchor_ns,
                                  struct kap_error *err);
/* Waits for its queries that are under way, which are cut off. Nothing happens for an unknown one. */
void kap_batches_stop(struct kap_batches *b, struct kap_str id);

struct kap_batches_stats {
    uint64_t queries, failures;
    size_t scheduled;
};
struct kap_batches_stats kap_batches_stats(struct kap_batches *b);

#endif
