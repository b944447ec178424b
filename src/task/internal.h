/* What the files of this room share. */
#ifndef KAP_TASK_INTERNAL_H
#define KAP_TASK_INTERNAL_H

#include "base/map.h"
#include "engine/engine.h"
#include "task/task.h"
#include "tick/tick.h"

#include <jansson.h>
#include <pthread.h>

/* A task or a template, as it is stored. Immutable once it is in the table; shared, counted. */
struct kap_definition {
    _Atomic uint32_t refs;
    struct kap_arena *arena; /* holds the strings */
    struct kap_str id, template_id, script;
    enum kap_task_type type;
    struct kap_dbrp *dbrps;
    size_t ndbrps;
    struct kap_tick_vars vars;
    bool enabled;
    int64_t created_ns, modified_ns, last_enabled_ns; /* 0: never */
    int64_t run_ns; /* when it was started or reloaded last: the run of its events on every member */
    bool reloading; /* disabled only to be enabled again: its state is kept */
};

struct kap_running {     /* what was started here */
    int64_t run_ns;      /* of the definition; 0: nothing runs */
    uint64_t graph;      /* fingerprint of what runs, which may be older than the definition */
    uint64_t generation; /* counts the starts */
    uint64_t saved_sum;  /* of the state that was written last */
};

struct kap_task_entry { /* in the table; under the table's lock */
    struct kap_definition *def;
    char *error; /* why it does not execute; NULL: nothing is wrong. Of this member only */
    struct kap_running running;
};

struct kap_change { /* to be looked at by the applier */
    enum kap_definition_kind kind;
    char *id; /* NULL: placement of all tasks */
    struct kap_change *next;
};

struct kap_tasks {
    struct kap_tasks_options opt;
    pthread_mutex_t change;            /* held over a whole change, engine calls included */
    pthread_mutex_t lock;              /* of the tables; held shortly */
    struct kap_map *tasks, *templates; /* struct kap_task_entry */
    bool started;                      /* tasks are to run */
    uint64_t generation;               /* of the latest start; under the table's lock */
    /* changes of other members */
    pthread_mutex_t queue_lock;
    pthread_cond_t queued;
    struct kap_change *queue, **queue_end;
    bool ending;
    pthread_t applier;
    /* checkpoints; the condition goes with queue_lock and `ending` */
    bool saving;
    pthread_cond_t no_more_saving;
    pthread_t saver;
};

/* What a request asks for; strings are borrowed from `json`. */
struct kap_task_request {
    json_t *json;
    struct kap_str id, template_id, script;
    enum kap_task_type type; /* KAP_TASK_INVALID: not given */
    struct kap_dbrp *dbrps;  /* owned */
    size_t ndbrps;
    enum { KAP_STATUS_UNSAID, KAP_STATUS_ENABLED, KAP_STATUS_DISABLED } status;
    struct kap_tick_vars vars;
    bool has_vars; /* not empty */
    bool reload;   /* with status disabled: it will be enabled again at once */
};

/* record.c */
struct kap_definition *kap_definition_new(void);
struct kap_definition *kap_definition_copy(const struct kap_definition *d);
struct kap_definition *kap_definition_ref(struct kap_definition *d);
void kap_definition_unref(struct kap_definition *d); /* NULL is fine */
void kap_definition_set_dbrps(struct kap_definition *d, const struct kap_dbrp *v, size_t n);
void kap_definition_encode(const struct kap_definition *d, struct kap_buf *out);
enum kap_status kap_definition_decode(struct kap_str id, struct kap_str json, struct kap_definition **ret,
                                      struct kap_error *err);
/* "invalid JSON" for whatever is wrong, as in the reference. */
enum kap_status kap_task_request_parse(struct kap_str body, struct kap_task_request *ret,
                                       struct kap_error *err);
void kap_task_request_done(struct kap_task_request *rq);

/* task.c: the tables; all take the lock themselves. */
struct kap_definition *kap_tasks_get(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_str id);
/* Stores, then shows. The reference given is taken. */
enum kap_status kap_tasks_store(struct kap_tasks *t, enum kap_definition_kind kind,
                                struct kap_definition *def, struct kap_error *err);
enum kap_status kap_tasks_remove(struct kap_tasks *t, enum kap_definition_kind kind, struct kap_str id,
                                 struct kap_error *err);
/* All of a kind whose ID fits, in byte order of the IDs; owned array of references. */
struct kap_definition **kap_tasks_match(struct kap_tasks *t, enum kap_definition_kind kind,
                                        struct kap_str pattern, size_t *ret_n);
char *kap_tasks_error(struct kap_tasks *t, struct kap_str id); /* owned; NULL: none */
void kap_tasks_set_error(struct kap_tasks *t, struct kap_str id, const char *error);
/* Under the change lock. Starting is a no-op where the task is not placed. */
enum kap_status kap_tasks_run(struct kap_tasks *t, const struct kap_definition *def, struct kap_error *err);
/* What it held is given up. */
void kap_tasks_halt(struct kap_tasks *t, struct kap_str id, bool finish);
void kap_tasks_halted(struct kap_tasks *t, struct kap_str id); /* it has been stopped otherwise */

/* keep.c; all but _start and _end under the change lock. No-ops when no checkpoints are wanted. */
enum kap_status kap_tasks_keep_start(struct kap_tasks *t, struct kap_error *err);
void kap_tasks_keep_end(struct kap_tasks *t);
/* Stops a task in such a way that the next start goes on where it was. */
void kap_tasks_pause(struct kap_tasks *t, struct kap_str id);
/* The state to start with; nothing is appended when there is none that fits, which is logged. */
void kap_tasks_recall(struct kap_tasks *t, struct kap_str id, uint64_t graph, struct kap_buf *state);
void kap_tasks_forget(struct kap_tasks *t, struct kap_str id);
uint64_t kap_definition_fingerprint(const struct kap_definition *def, const struct kap_graph *graph);

/* Evaluates a definition's script; texts without a prefix. `vars` may be NULL. `warnings` gets a string for
 * each thing that cannot work although the reference accepts it; NULL: not wanted. */
enum kap_status kap_definition_graph(const struct kap_tasks *t, const struct kap_definition *def,
                                     bool is_template, struct kap_graph **ret, struct kap_tick_vars *vars,
                                     struct kap_json *warnings, struct kap_error *err);
/* Parses, with the prefix that the API shows. */
enum kap_status kap_script_parse(struct kap_str script, struct kap_tick_script **ret, struct kap_error *err);

/* view.c */
enum kap_status kap_definition_show(struct kap_tasks *t, enum kap_definition_kind kind,
                                    struct kap_definition *def, const struct kap_task_view *view,
                                    struct kap_buf *out, struct kap_error *err);

#endif
