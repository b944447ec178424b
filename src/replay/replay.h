/* Recordings and replays.
 *
 * A recording is data kept in a file (replay/recording.h): the live stream of a task's databases until a
 * time, the answers to a batch task's queries for a range of the past, or to one query. A replay sends one,
 * or the answers to queries that are asked there and then, through a private run of a task on a thread of its
 * own, with the replay's ID as the run of its events; they reach the task's handlers as live ones do.
 *
 * The clock of a fast replay is that of the data, so that the same recording through the same task gives the
 * same output; a real one waits between points as long as there was between them. What is known of both is
 * kept in the data directory and survives restarts; what was running then has failed. Batches of several
 * queries are replayed in the order of their times.
 *
 * Ownership: services are borrowed until kap_replays_free(); texts handed out are copies in the caller's
 * arena. Threads: all. Statuses: KAP_EINVAL 400, KAP_ENOTFOUND as the call says, others 500; texts are the
 * reference's. */
#ifndef KAP_REPLAY_REPLAY_H
#define KAP_REPLAY_REPLAY_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/cron.h"
#include "base/error.h"
#include "pipeline/graph.h"

struct kap_engine;   /* engine/engine.h */
struct kap_influxdb; /* influxdb/influxdb.h */
struct kap_services; /* nodes/services.h */
struct kap_tasks;    /* task/task.h */
struct kap_replays;

struct kap_replays_options {
    struct kap_engine *engine;
    struct kap_tasks *tasks;
    struct kap_influxdb *influxdb;
    const struct kap_services *services;
    const struct kap_clock *clock;
    const struct kap_zone *zone; /* of cron schedules */
    const char *dir;             /* of recordings; made when it is missing */
    const char *data_dir;        /* of replay.db */
};

/* Recording files in `dir` that nothing is known of become recordings. */
enum kap_status kap_replays_new(const struct kap_replays_options *options, struct kap_replays **ret,
                                struct kap_error *err);
/* Ends what is running. NULL is fine. */
void kap_replays_free(struct kap_replays *r);

#define KAP_NO_TIME INT64_MIN /* of a range: not given; the end is then now */

enum kap_run_status { KAP_RUN_RUNNING, KAP_RUN_FINISHED, KAP_RUN_FAILED };
const char *kap_run_status_name(enum kap_run_status s); /* "running" */

/* --- recordings --- */

struct kap_recording {
    struct kap_str id, error;
    enum kap_task_type type;
    int64_t size_bytes, date_ns;
    enum kap_run_status status;
};

/* KAP_ENOTFOUND: "no recording exists". */
enum kap_status kap_recording_get(struct kap_replays *r, struct kap_str id, struct kap_arena *arena,
                                  struct kap_recording *ret, struct kap_error *err);
/* The latest first. KAP_EINVAL: a bad pattern. */
enum kap_status kap_recording_list(struct kap_replays *r, struct kap_str pattern, int64_t offset,
                                   int64_t limit, struct kap_arena *arena, struct kap_recording **ret,
                                   size_t *ret_n, struct kap_error *err);
/* Fine when there is none. */
enum kap_status kap_recording_delete(struct kap_replays *r, struct kap_str id, struct kap_error *err);

struct kap_record_request { /* an empty id: a UUID */
    enum { KAP_RECORD_STREAM, KAP_RECORD_BATCH, KAP_RECORD_QUERY } kind;
    struct kap_str id, task, query, cluster;
    enum kap_task_type type; /* of a query: stream unless it is batch */
    int64_t start_ns, stop_ns;
};
/* Starts. KAP_ENOTFOUND: no such task. KAP_EEXIST: "recording already exists". */
enum kap_status kap_record(struct kap_replays *r, const struct kap_record_request *rq,
                           struct kap_arena *arena, struct kap_recording *ret, struct kap_error *err);

/* --- replays --- */

struct kap_replay {
    struct kap_str id, recording, task, error;
    struct kap_str stats; /* JSON object of a finished one; "": none */
    bool recording_time, real_clock;
    int64_t date_ns;
    enum kap_run_status status;
};

/* KAP_ENOTFOUND: "no replay exists". */
enum kap_status kap_replay_get(struct kap_replays *r, struct kap_str id, struct kap_arena *arena,
                               struct kap_replay *ret, struct kap_error *err);
enum kap_status kap_replay_list(struct kap_replays *r, struct kap_str pattern, int64_t offset, int64_t limit,
                                struct kap_arena *arena, struct kap_replay **ret, size_t *ret_n,
                                struct kap_error *err);
/* Fine when there is none. One that runs is ended. */
enum kap_status kap_replay_delete(struct kap_replays *r, struct kap_str id, struct kap_error *err);

struct kap_replay_request {
    enum { KAP_REPLAY_RECORDING, KAP_REPLAY_BATCH, KAP_REPLAY_QUERY } kind;
    struct kap_str id, task, recording, query, cluster;
    bool recording_time, real_clock;
    int64_t start_ns, stop_ns;
};
/* Starts. KAP_ENOTFOUND: "task load: no task exists" or "recording not found: no recording exists". */
enum kap_status kap_replay_start(struct kap_replays *r, const struct kap_replay_request *rq,
                                 struct kap_arena *arena, struct kap_replay *ret, struct kap_error *err);

#endif
