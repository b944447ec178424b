/* What the files of this room share. */
#ifndef KAP_REPLAY_INTERNAL_H
#define KAP_REPLAY_INTERNAL_H

#include "base/map.h"
#include "influxdb/query.h"
#include "replay/recording.h"
#include "replay/replay.h"
#include "store/db.h"
#include "task/task.h"

#include <pthread.h>
#include <stdatomic.h>

enum kap_meta_kind { KAP_META_RECORDING, KAP_META_REPLAY };

/* An entry of the tables, immutable: a change replaces it. */
struct kap_meta {
    struct kap_arena *arena;
    enum kap_meta_kind kind;
    struct kap_recording recording;
    struct kap_replay replay;
};

struct kap_job {
    struct kap_replays *owner;
    struct kap_arena *arena; /* holds the texts below */
    struct kap_meta *meta;   /* what it says of itself when it ends */
    struct kap_record_request record;
    struct kap_replay_request replay;
    struct kap_task_copy task; /* graph NULL: none is needed */
    char *path;                /* of the recording; NULL: none */
    void *rest;                /* run.c's: what outlives the run for a while */
    _Atomic bool cancel;
    struct kap_job *next;
};

struct kap_replays {
    struct kap_replays_options opt;
    char *dir;
    struct kap_db *db;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct kap_map *tables[2]; /* struct kap_meta, by kind */
    struct kap_job *jobs;      /* under way */
    bool stopping;
};

/* meta.c: the tables, in memory and on disk. */
enum kap_status kap_meta_open(struct kap_replays *r, struct kap_error *err);
void kap_meta_close(struct kap_replays *r);
struct kap_meta *kap_meta_new(enum kap_meta_kind kind);
void kap_meta_free(struct kap_meta *m);
/* Takes the entry; what was there under its ID goes. */
void kap_meta_put(struct kap_replays *r, struct kap_meta *m);
bool kap_meta_drop(struct kap_replays *r, enum kap_meta_kind kind, struct kap_str id);
struct kap_str kap_meta_id(const struct kap_meta *m);
void kap_recording_copy(struct kap_arena *a, const struct kap_recording *from, struct kap_recording *to);
void kap_replay_copy(struct kap_arena *a, const struct kap_replay *from, struct kap_replay *to);
char *kap_recording_path(const struct kap_replays *r, struct kap_str id, enum kap_task_type type); /* owned */

/* record.c, run.c: what a job does, on its thread. `stats` gets the statistics of a replay. */
enum kap_status kap_job_record(struct kap_job *job, struct kap_error *err);
enum kap_status kap_job_replay(struct kap_job *job, struct kap_buf *stats, struct kap_error *err);

/* A replay's inline handlers stay until their last events have had time to be delivered. */
bool kap_job_lingers(const struct kap_job *job);
void kap_job_close(struct kap_job *job);

/* sources.c: data that is asked for. */
struct kap_stream_sink {
    void *ctx;
    enum kap_status (*point)(void *ctx, const struct kap_point *p, struct kap_error *err);
};
/* The points of a query's answer in the order of their times. */
enum kap_status kap_query_points(struct kap_job *job, struct kap_str query, struct kap_str cluster,
                                 const struct kap_stream_sink *sink, struct kap_error *err);
struct kap_batch_sink {
    void *ctx;
    enum kap_status (*query)(void *ctx, size_t query, struct kap_error *err); /* NULL: it does not matter */
    /* Takes the block. */
    enum kap_status (*block)(void *ctx, size_t query, struct kap_block *b, struct kap_error *err);
};
enum kap_status kap_query_blocks(struct kap_job *job, struct kap_str query, struct kap_str cluster,
                                 const struct kap_batch_sink *sink, struct kap_error *err);
/* All queries of a batch task whose ticks are in a range: one query node after the other, or by time. */
enum kap_status kap_task_blocks(struct kap_job *job, int64_t start_ns, int64_t stop_ns, bool by_time,
                                const struct kap_batch_sink *sink, struct kap_error *err);

#endif
