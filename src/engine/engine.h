/* The engine: running tasks, and the way of points to them.
 *
 * Input is parsed on the thread that brings it. A parsed batch is handed, whole, to the workers that run
 * tasks for its database and policy, through one bounded queue per worker. A task runs on one worker, with no
 * locks and no queues between its nodes. An index per worker decides once per series which from() branches
 * may want its points, so that a point costs what the tasks that match it cost, not what all tasks cost.
 *
 * Nothing is dropped: when a queue is full the writer waits (kap_engine_write) or is told to come back
 * (kap_engine_submit). Input from workers themselves (kap_engine_loop) never waits.
 *
 * Ownership: the engine is owned by who makes it; graphs are referenced; services must outlive the engine.
 * Threads: all functions from any thread, except where it is said. None may be called by a node or by a
 * callback of the engine, but for kap_engine_loop (services run on workers). */
#ifndef KAP_ENGINE_ENGINE_H
#define KAP_ENGINE_ENGINE_H

#include "base/clock.h"
#include "engine/stats.h"
#include "nodes/services.h"

struct kap_engine;
struct kap_input; /* parsed points on their way */

struct kap_engine_limits {         /* 0: the default */
    size_t queue_bytes;            /* of parsed points waiting per worker (32 MiB) */
    size_t loop_bytes;             /* waiting from loopback and other input that cannot wait (64 MiB) */
    size_t max_series; /* in the series cache; the least used leave it, nothing else happens (1,048,576) */
    size_t max_measurements;       /* ingress counters; further measurements share one, named "" (100,000) */
    size_t max_names;              /* distinct measurement, tag and field names in the process (4,194,304) */
};

struct kap_engine_options {
    unsigned workers;              /* 0: one per core, at most 64 */
    const struct kap_clock *clock; /* NULL: the system's */
    const struct kap_services *services;
    struct kap_engine_limits limits;
};

enum kap_status kap_engine_new(const struct kap_engine_options *opts, struct kap_engine **ret,
                               struct kap_error *err);
/* Stops all tasks (without finish) and the workers. NULL is fine. No call may be under way. */
void kap_engine_free(struct kap_engine *e);

/* ---- tasks ---- */

struct kap_task_options {
    struct kap_str id;             /* copied */
    struct kap_graph *graph;       /* referenced */
    const struct kap_dbrp *dbrps;  /* copied */
    size_t ndbrps;
    struct kap_str run;            /* the enable revision or the replay: identity of its events; copied */
    struct kap_str snapshot; /* of kap_engine_task_save(); "": start empty. Refused: start empty, logged */
};

/* Opens the nodes and lets points in. KAP_EEXIST: a task of that ID executes. Other failures are those of a
 * node's open(), with its text unchanged. */
enum kap_status kap_engine_start(struct kap_engine *e, const struct kap_task_options *opts,
                                 struct kap_error *err);
/* Works off what was accepted before, then closes the groups and nodes; `finish` first ends the stream, so
 * that nodes emit what they hold back (as the reference does when a task is disabled). Waits for all that.
 * KAP_ENOTFOUND. */
enum kap_status kap_engine_stop(struct kap_engine *e, struct kap_str id, bool finish, struct kap_error *err);
/* As without `finish`, but first appends what kap_engine_task_save() would, with nothing in between.
 * Nothing is appended for a task that a node has ended. */
enum kap_status kap_engine_stop_saving(struct kap_engine *e, struct kap_str id, struct kap_buf *out,
                                       struct kap_error *err);
/* Whether it executes. A task that a node has ended does not, and keeps its error until it is stopped or
 * started again (starting replaces it). */
bool kap_engine_executing(struct kap_engine *e, struct kap_str id);
/* The error that ended it, "" if none; owned. */
char *kap_engine_task_error(struct kap_engine *e, struct kap_str id);
/* Called on a worker when a node has ended its task; must not call the engine. */
void kap_engine_on_failure(struct kap_engine *e, void (*fn)(void *ctx, struct kap_str id, const char *error),
                           void *ctx);

/* KAP_ENOTFOUND. On success `*graph` holds a reference (names in `ret` are borrowed from it). */
enum kap_status kap_engine_task_stats(struct kap_engine *e, struct kap_str id, struct kap_task_stats *ret,
                                      struct kap_graph **graph, struct kap_error *err);
/* A snapshot of all nodes' state (nothing when no node has any), taken on the task's worker between two
 * messages. */
enum kap_status kap_engine_task_save(struct kap_engine *e, struct kap_str id, struct kap_buf *out,
                                     struct kap_error *err);

/* Runs fn on the task's worker, between two messages, after what was accepted before; waits for it. For what
 * drives a task from outside, such as batch queries: fn pushes with kap_shard_* (engine/run.h). */
struct kap_shard;
enum kap_status kap_engine_with_task(struct kap_engine *e, struct kap_str id,
                                     void (*fn)(struct kap_shard *s, void *ctx), void *ctx,
                                     struct kap_error *err);

/* ---- input ---- */

struct kap_write {
    struct kap_str db, rp;         /* as they apply: defaults filled in by the caller */
    struct kap_str precision;      /* "n", "u", "ms", "s", "m", "h"; anything else is nanoseconds */
    struct kap_str body;           /* line protocol; borrowed for the call */
};

/* Parses, all or nothing. KAP_EINVAL: the text is "unable to parse 'LINE': REASON" about the first bad line.
 * *ret is owned: give it to kap_engine_submit() or kap_input_free(). The number of points in *n may be 0. */
enum kap_status kap_engine_parse(struct kap_engine *e, const struct kap_write *w, struct kap_input **ret,
                                 size_t *n, struct kap_error *err);
void kap_input_free(struct kap_input *in); /* NULL is fine */

/* Hands parsed points to the tasks. True: taken. False: a queue is full; nothing was taken, and wake(ctx) is
 * called once, from a worker and without locks held, when it is worth to try again (wake NULL: no call). */
bool kap_engine_submit(struct kap_engine *e, struct kap_input *in, void (*wake)(void *ctx), void *ctx);
/* Parse and submit, waiting for room. Not from a worker, nor from a thread that must not wait. */
enum kap_status kap_engine_write(struct kap_engine *e, const struct kap_write *w, size_t *n,
                                 struct kap_error *err);
/* Takes one point (copied) into the input without waiting; callable from nodes. KAP_ELIMIT: too much is
 * waiting. */
enum kap_status kap_engine_loop(struct kap_engine *e, const struct kap_point *p, struct kap_error *err);
/* Returns when everything accepted before the call has been worked off. For tests and for a clean shutdown.
 */
void kap_engine_drain(struct kap_engine *e);

/* Watches the input of some databases and policies, for stream recordings: fn is called on a worker for each
 * point, in order, p->group is NULL. Returns a handle. After kap_engine_untap() returns, fn is not called any
 * more. */
uint64_t kap_engine_tap(struct kap_engine *e, const struct kap_dbrp *dbrps, size_t n,
                        void (*fn)(void *ctx, const struct kap_point *p), void *ctx);
void kap_engine_untap(struct kap_engine *e, uint64_t handle);

/* ---- counters ---- */

/* Points received per database, policy and measurement, in byte order (ingress in /debug/vars). */
void kap_engine_ingress(struct kap_engine *e,
                        void (*fn)(void *ctx, struct kap_str db, struct kap_str rp,
                                   struct kap_str measurement, int64_t points),
                        void *ctx);

struct kap_engine_stats {
    int64_t points;                /* accepted since the start */
    int64_t parse_errors;          /* refused requests */
    int64_t waits;                 /* submissions that found a queue full */
    size_t tasks, series, series_bytes, queued_bytes;
    unsigned workers;
};
void kap_engine_stats(struct kap_engine *e, struct kap_engine_stats *ret);

#endif
