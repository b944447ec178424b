/* Tasks and templates: what users define, kept in a definitions store, running on the engine of this member.
 *
 * Every member holds all definitions; a task runs here when it is enabled and `placed` says so. A change made
 * through this API or by another member (the store's watcher) starts, stops or restarts what it must, and
 * nothing else. A task that cannot be started stays enabled, not executing, with its error, as in the
 * reference.
 *
 * Texts are returned in struct kap_error exactly as the API shows them; the status says which HTTP code they
 * are: KAP_EINVAL and KAP_EEXIST 400, KAP_ENOTFOUND 404, all others 500. Ownership: JSON is written into the
 * caller's buffer. Threads: all; one change at a time, reading never waits for a task that starts. */
#ifndef KAP_TASK_TASK_H
#define KAP_TASK_TASK_H

#include "base/clock.h"
#include "base/json.h"
#include "task/definitions.h"

struct kap_engine;   /* engine/engine.h */
struct kap_registry; /* pipeline/graph.h */
struct kap_deadman;  /* tick/tick.h */
struct kap_tasks;
struct kap_task_copy;

struct kap_tasks_options {
    struct kap_definitions *definitions;
    struct kap_engine *engine;           /* NULL: tasks are kept but never run */
    const struct kap_registry *registry; /* what scripts may use */
    const struct kap_deadman *deadman;   /* NULL: the defaults of the reference */
    const struct kap_clock *clock;
    /* What drives tasks from outside the engine, such as the queries of batch tasks; NULL: nothing does. Started after
     * the task with `run_ns`, the same on every member; stopped before it, also when it has not been started. */
    enum kap_status (*source_start)(void *ctx, const struct kap_task_copy *task, struct kap_str id, int64_t run_ns,
                                    struct kap_error *err);
    void (*source_stop)(void *ctx, struct kap_str id);
    void *source_ctx;
    /* Does this member run a copy? NULL: always. */
    bool (*placed)(void *ctx, struct kap_str id);
    void *placed_ctx;
    /* Where running tasks leave their state when they are stopped by kap_tasks_stop() or for a reload, and
     * every interval (0: only then); they go on with it at the next start. Borrowed. NULL: state is not kept.
     */
    const char *checkpoints;
    int64_t checkpoint_interval_ns;
};

/* Owned; loads all definitions, starts nothing. */
enum kap_status kap_tasks_new(const struct kap_tasks_options *options, struct kap_tasks **ret,
                              struct kap_error *err);
void kap_tasks_free(struct kap_tasks *t);
/* Starts every enabled task that is placed here. A task that fails is logged and keeps its error. */
void kap_tasks_start(struct kap_tasks *t);
/* Stops all running tasks, which leave checkpoints; definitions keep their status. */
void kap_tasks_stop(struct kap_tasks *t);
/* The set of members changed: placement is looked at again. */
void kap_tasks_replace(struct kap_tasks *t);

/* This member left its cluster: what it keeps must not run twice. Definitions stay, disabled. */
void kap_tasks_disable_all(struct kap_tasks *t);

/* How an answer is to look. */
struct kap_task_view {
    bool raw_script; /* script-format=raw */
    bool dot_labels; /* dot-view=labels */
    bool warnings;          /* single objects: a member "warnings" when something is sure to fail at run time */
    const struct kap_str *fields;
    size_t nfields;         /* lists: 0 is the usual set */
    struct kap_str pattern; /* lists: glob; empty: all */
    int64_t offset, limit;  /* lists */
};

/* `body` is the JSON of a request. On success `out` has the whole object as the API shows it. */
enum kap_status kap_task_create(struct kap_tasks *t, struct kap_str body, struct kap_buf *out,
                                struct kap_error *err);
enum kap_status kap_task_update(struct kap_tasks *t, struct kap_str id, struct kap_str body,
                                struct kap_buf *out, struct kap_error *err);
enum kap_status kap_task_delete(struct kap_tasks *t, struct kap_str id, struct kap_error *err);
enum kap_status kap_task_show(struct kap_tasks *t, struct kap_str id, const struct kap_task_view *view,
                              struct kap_buf *out, struct kap_error *err);
enum kap_status kap_task_list(struct kap_tasks *t, const struct kap_task_view *view, struct kap_buf *out,
                              struct kap_error *err);
bool kap_task_exists(struct kap_tasks *t, struct kap_str id);

enum kap_status kap_template_create(struct kap_tasks *t, struct kap_str body, struct kap_buf *out,
                                    struct kap_error *err);
enum kap_status kap_template_update(struct kap_tasks *t, struct kap_str id, struct kap_str body,
                                    struct kap_buf *out, struct kap_error *err);
enum kap_status kap_template_delete(struct kap_tasks *t, struct kap_str id, struct kap_error *err);
enum kap_status kap_template_show(struct kap_tasks *t, struct kap_str id, const struct kap_task_view *view,
                                  struct kap_buf *out, struct kap_error *err);
enum kap_status kap_template_list(struct kap_tasks *t, const struct kap_task_view *view, struct kap_buf *out,
                                  struct kap_error *err);

/* A task as it is defined now, for a private run of it. */
struct kap_definition;
struct kap_task_copy {
    struct kap_graph *graph;
    const struct kap_dbrp *dbrps;
    size_t ndbrps;
    struct kap_definition *def;
};
/* KAP_ENOTFOUND: "no task exists". Owned: kap_task_copy_done(). */
enum kap_status kap_task_copy(struct kap_tasks *t, struct kap_str id, struct kap_task_copy *ret, struct kap_error *err);
void kap_task_copy_done(struct kap_task_copy *c);

struct kap_task_counts {
    size_t tasks, enabled, executing;
};
struct kap_task_counts kap_tasks_count(struct kap_tasks *t);
/* The tasks that execute here, in byte order of their IDs. */
void kap_tasks_each_running(struct kap_tasks *t, void (*fn)(void *ctx, struct kap_str id), void *ctx);

#endif
