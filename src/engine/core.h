/* The engine's own structures: workers, their queues and their index of what tasks want.
 * Private to the engine room.
 *
 * Who touches what: a worker's index, routes and shards belong to its thread. Others reach them with
 * messages, which are functions run on the worker in the order they were sent. The list of tasks is under
 * tasks_lock, which is held for short look-ups only, never while nodes run or somebody waits. */
#ifndef KAP_ENGINE_CORE_H
#define KAP_ENGINE_CORE_H

#include "data/line.h"
#include "engine/engine.h"
#include "engine/run.h"

#include <pthread.h>
#include <semaphore.h>

enum { KAP_WORKERS_MAX = 64 };

struct kap_worker;

struct kap_msg {
    struct kap_msg *next;
    void (*run)(struct kap_worker *w, struct kap_msg *m);
};

/* ---- input ---- */

struct kap_ingress {                   /* points of one measurement of one source */
    const struct kap_sym *name;
    _Atomic int64_t points;
    _Atomic int64_t second, in_second, in_last_second; /* for rates: `second` is the one being counted */
    struct kap_ingress *next;          /* in order of first appearance */
};

struct kap_entrance {                  /* a database and policy; lives as long as the engine */
    struct kap_source source;
    _Atomic uint64_t workers;          /* bit set: that worker runs something that wants it */
    uint32_t users[KAP_WORKERS_MAX];   /* under entrances_lock */
    struct kap_map *by_name;           /* kap_ingress by address of the name; under ingress_lock */
    struct kap_ingress *first, **last;
    struct kap_entrance *next;
};

struct kap_input_msg {
    struct kap_msg msg;
    struct kap_input *in;
};

struct kap_input {
    struct kap_engine *engine;
    struct kap_line_parser *parser;
    struct kap_line_batch batch;
    struct kap_entrance *entrance;
    size_t bytes;
    bool loop;                         /* counts against loop_bytes */
    _Atomic unsigned refs;
    struct kap_input *next;            /* pool */
    struct kap_input_msg msgs[];       /* one for each worker */
};

/* ---- tasks ---- */

/* What a from() node wants, as a line in the index. Outlives its task as long as routes mention it. */
struct kap_branch {
    struct kap_node *node;             /* NULL: a tap */
    struct kap_shard *shard;
    bool dead;
    uint32_t refs;                     /* of routes, and one of the index while it is alive */
    struct kap_task *task;
    struct kap_route_key key;
};

struct kap_tap {
    uint64_t handle;
    void (*fn)(void *ctx, const struct kap_point *p);
    void *ctx;
};

enum kap_task_state { KAP_TASK_RUNNING, KAP_TASK_FAILED, KAP_TASK_STOPPING };

struct kap_task {                      /* a running task, or a tap */
    struct kap_str id;
    struct kap_str run;
    enum kap_task_state state;         /* under tasks_lock */
    struct kap_shard *shard;           /* NULL: failed, or a tap */
    char *error;                       /* once it failed */
    struct kap_worker *worker;
    uint64_t seq;                      /* order of starts */
    struct kap_entrance **entrances;
    size_t nentrances;
    int64_t *bases;                    /* ingress counts at the start: see tasks.c */
    size_t nbases;
    bool all_names;                    /* some from() takes any measurement */
    struct kap_branch **branches;
    size_t nbranches;
    struct kap_tap tap;
    size_t timer_place;                /* in the worker's heap, SIZE_MAX: not in it */
};

/* ---- workers ---- */

struct kap_target {
    struct kap_branch *branch;
    struct kap_group *group;
    bool decided;                      /* nothing is left to be found out about its points */
};

struct kap_route {                     /* who wants the points of a series, by its id */
    uint32_t version;                  /* of the index when it was made; another one: stale */
    uint32_t n;
    struct kap_target *targets;
};

struct kap_index;                      /* index.c */

struct kap_worker {
    struct kap_engine *engine;
    unsigned number;
    pthread_t thread;
    /* the queue */
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct kap_msg *head, **tail;
    bool sleeping, quit;
    _Atomic size_t queued_bytes;
    /* the thread's own */
    struct kap_index *index;
    uint32_t version;
    struct kap_route *routes;
    uint32_t nroutes;
    struct kap_heap timers;            /* tasks by their next timer */
    _Atomic uint32_t ntasks;
};

struct kap_waiter {
    void (*wake)(void *ctx);
    void *ctx;
    struct kap_waiter *next;
};

struct kap_engine {
    const struct kap_clock *clock;
    const struct kap_services *services;
    struct kap_engine_limits limits;
    struct kap_series_cache *cache;

    pthread_mutex_t entrances_lock;
    struct kap_map *entrances;         /* by "db\0rp" */
    struct kap_entrance *first_entrance;
    uint32_t nentrances;
    pthread_mutex_t ingress_lock;
    size_t ningress;

    pthread_mutex_t pool_lock;
    struct kap_input *pool;
    unsigned npool;

    pthread_mutex_t tasks_lock;
    pthread_cond_t tasks_changed;
    struct kap_map *tasks;             /* by id; taps are not in it */
    struct kap_map *taps;              /* by handle */
    uint64_t task_seq;
    void (*on_failure)(void *ctx, struct kap_str id, const char *error);
    void *on_failure_ctx;

    pthread_mutex_t waiters_lock;
    struct kap_waiter *waiters;
    _Atomic unsigned nwaiters;

    _Atomic int64_t aged_ns;           /* when the series cache was aged last */
    _Atomic int64_t points, parse_errors, waits;
    _Atomic size_t loop_bytes, inflight;
    unsigned nworkers;
    struct kap_worker *workers;
};

/* worker.c */
enum kap_status kap_worker_start(struct kap_worker *w, struct kap_engine *e, unsigned number,
                                 struct kap_error *err);
void kap_worker_stop(struct kap_worker *w);
void kap_worker_send(struct kap_worker *w, struct kap_msg *m);
/* Runs fn on the worker, after what was sent before, and waits for it. */
void kap_worker_call(struct kap_worker *w, void (*fn)(struct kap_worker *w, void *ctx), void *ctx);
void kap_worker_input(struct kap_worker *w, struct kap_msg *m);
/* On the worker: takes a task in, or out (its shard is left to the caller). */
void kap_worker_add_task(struct kap_worker *w, struct kap_task *t);
void kap_worker_remove_task(struct kap_worker *w, struct kap_task *t);
void kap_worker_forget_series(struct kap_worker *w, uint32_t id);

/* index.c: all on the worker */
struct kap_index *kap_index_new(void);
void kap_index_free(struct kap_index *ix);
void kap_index_add(struct kap_index *ix, struct kap_branch *b);
void kap_index_remove(struct kap_index *ix, struct kap_branch *b);
/* Branches that may want a series, in any order, each once. The array is the index's, until the next call. */
size_t kap_index_candidates(struct kap_index *ix, const struct kap_series *s, struct kap_branch ***ret);

/* input.c */
struct kap_entrance *kap_entrance_get(struct kap_engine *e, struct kap_str db, struct kap_str rp,
                                      bool bounded);
void kap_entrance_use(struct kap_engine *e, struct kap_entrance *en, unsigned worker, int add);
void kap_input_unref(struct kap_input *in);
void kap_input_series_added(void *ctx, struct kap_series *s);
void kap_input_series_retired(void *ctx, struct kap_series *list);
void kap_input_wake(struct kap_engine *e, const struct kap_worker *w);
int64_t kap_ingress_rate(const struct kap_ingress *in, int64_t now_ns);

/* tasks.c */
void kap_worker_task_failed(struct kap_worker *w, struct kap_task *t);
void kap_tasks_stop_all(struct kap_engine *e);

#endif
