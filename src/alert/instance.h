/* A handler ready to run: a type, its filled and checked options, its match. Made from a definition or from an alert
 * node's inline handler.
 * Ownership: shared, counted; an inline one keeps its graph. Threads: read-only but for match and state, which belong to
 * the registry of topics. */
#ifndef KAP_ALERT_INSTANCE_H
#define KAP_ALERT_INSTANCE_H

#include "alert/handler.h"
#include "alert/match.h"
#include "alert/spec.h"
#include "pipeline/graph.h"

struct kap_handler {
    _Atomic uint32_t refs;
    const struct kap_handler_type *type;
    const void *options;
    struct kap_str id;              /* within its topic */
    struct kap_match *match;        /* NULL: all events */
    unsigned concurrency;           /* attempts at a time; 0: the dispatcher's limit */
    double rate_limit;              /* attempts in a second; 0: none */
    void *state;                    /* internal handlers; NULL otherwise */
    int64_t tick_ns;                /* when tick() is wanted; 0: not */
    struct kap_arena *arena;
    struct kap_graph *graph;        /* of an inline handler; NULL */
};

enum kap_status kap_handler_new(const struct kap_handler_type *type, const struct kap_handler_spec *spec,
                                const struct kap_handler_env *env, struct kap_handler **ret, struct kap_error *err);
enum kap_status kap_handler_new_inline(const struct kap_graph_handler *h, struct kap_graph *graph, struct kap_str id,
                                       const struct kap_handler_env *env, struct kap_handler **ret,
                                       struct kap_error *err);
struct kap_handler *kap_handler_ref(struct kap_handler *h);
void kap_handler_unref(struct kap_handler *h); /* NULL is fine */

#endif
