/* Where definitions live: tasks, templates, topic handlers, silences, config overrides, by kind and ID, as JSON text.
 * The daemon connects it to the cluster's catalog; kap_definitions_memory() is for tests and for a server
 * without storage.
 *
 * A change may come from this member (put, drop) or from another one; either way the watcher is told once,
 * after the change can be read. It runs on the thread that brought the change and must not call back into the
 * store for writing. Ownership: strings given are copied. Threads: all. */
#ifndef KAP_TASK_DEFINITIONS_H
#define KAP_TASK_DEFINITIONS_H

#include "base/buf.h"
#include "base/error.h"

enum kap_definition_kind {
    KAP_DEFINITION_TASK,
    KAP_DEFINITION_TEMPLATE,
    KAP_DEFINITION_HANDLER, /* id: "TOPIC/HANDLER" */
    KAP_DEFINITION_SILENCE,
    KAP_DEFINITION_CONFIG,  /* id: "SECTION/ELEMENT" */
    KAP_DEFINITION_KINDS,
};

/* `remote`: another member made the change. */
typedef void (*kap_definition_watch_fn)(void *ctx, enum kap_definition_kind kind, struct kap_str id,
                                        bool remote);
/* False ends the walk. The strings are borrowed until it returns. */
typedef bool (*kap_definition_each_fn)(void *ctx, struct kap_str id, struct kap_str json);

struct kap_definitions {
    void *ctx;
    /* Durable here when it returns; others are told behind it. */
    enum kap_status (*put)(void *ctx, enum kap_definition_kind kind, struct kap_str id, struct kap_str json,
                           struct kap_error *err);
    /* KAP_ENOTFOUND: there is none. Appends to `ret`. */
    enum kap_status (*get)(void *ctx, enum kap_definition_kind kind, struct kap_str id, struct kap_buf *ret,
                           struct kap_error *err);
    /* KAP_OK also when there was none. */
    enum kap_status (*drop)(void *ctx, enum kap_definition_kind kind, struct kap_str id,
                            struct kap_error *err);
    /* In byte order of the IDs. */
    enum kap_status (*each)(void *ctx, enum kap_definition_kind kind, kap_definition_each_fn fn, void *fn_ctx,
                            struct kap_error *err);
    /* One watcher per kind; NULL takes it away. */
    void (*watch)(void *ctx, enum kap_definition_kind kind, kap_definition_watch_fn fn, void *fn_ctx);
};

/* Owned; free with kap_definitions_memory_free(). */
struct kap_definitions *kap_definitions_memory(void);
void kap_definitions_memory_free(struct kap_definitions *d);

/* IDs of tasks, templates, topics and handlers: one or more of letters (any script), digits, '-', '.', '_'.
 */
bool kap_id_valid(struct kap_str id);

#endif
