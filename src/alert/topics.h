/* The registry of topics: the state of every event ID, the handlers of each topic, and what the API shows of them.
 *
 * A topic exists from its first event or handler until it is deleted. The anonymous topic of an alert node's inline
 * handlers ("main:TASK:alert2") exists while the node is open; its states are kept meanwhile and come back with it.
 * Costs of an event do not depend on how many events a topic has.
 *
 * Topic state is persisted through struct kap_topic_store, and put back at start with kap_topics_load(). Definitions of
 * handlers are kept elsewhere (the catalog): the registry is told of each with kap_topics_put_handler().
 *
 * Ownership: one registry, owned by the daemon; what is given is copied or referenced.
 * Threads: kap_topics_apply() and kap_topics_tick() on the loop's thread only; all others from any thread. Callbacks
 * (store, publish) are made without locks held, on the calling thread. */
#ifndef KAP_ALERT_TOPICS_H
#define KAP_ALERT_TOPICS_H

#include "alert/instance.h"

struct kap_topics;

struct kap_topic_store {            /* each may be NULL; failures are the store's to report */
    void *ctx;
    void (*save_state)(void *ctx, struct kap_str topic, struct kap_str event_id, const struct kap_event_state *state);
    void (*delete_topic)(void *ctx, struct kap_str topic);
};

struct kap_topics_options {
    const struct kap_handler_type *const *types;  /* ends with NULL */
    struct kap_topic_store store;
    bool persist;                   /* false: states of closed anonymous topics are dropped, nothing is saved */
    /* What handlers of a type may use; what it points to stays valid until the registry and the dispatcher are freed. */
    void (*env)(void *ctx, const struct kap_handler_type *type, struct kap_handler_env *ret);
    void *env_ctx;
};

struct kap_topics *kap_topics_new(const struct kap_topics_options *opts);
void kap_topics_free(struct kap_topics *ts); /* NULL is fine */

/* ---- events ---- */

struct kap_topic_matches {          /* IDs of handlers; reuse it for the next call */
    struct kap_str *ids;
    size_t n, cap;
    struct kap_arena *arena;
};
void kap_topic_matches_done(struct kap_topic_matches *m);

/* Takes an event into its topic: sets ev->previous to the topic's level of that event ID and updates the state, runs the
 * internal handlers whose match holds (on every owner), and returns the IDs of the outside-reaching ones whose match
 * holds, in the order of their IDs (inline ones: of the script). None when ev->no_external. ret NULL: the event is
 * silenced, only the state is updated.
 * ev must not be shared with other threads yet. `now_ns` is the clock of kap_topics_tick(). */
void kap_topics_apply(struct kap_topics *ts, struct kap_event *ev, int64_t now_ns, struct kap_topic_matches *ret);
/* Runs internal handlers that wait for a time; returns the next time that it wants to be called, INT64_MAX: none.
 * kap_topics_apply() may bring that time forward: call kap_topics_next() after it. */
int64_t kap_topics_tick(struct kap_topics *ts, int64_t now_ns);
int64_t kap_topics_next(struct kap_topics *ts);

/* The state of an event ID; texts only when there is an arena to copy them into. False: there is none. */
bool kap_topics_state(struct kap_topics *ts, struct kap_str topic, struct kap_str event_id,
                      struct kap_event_state *ret, struct kap_arena *arena);
/* At start, for each stored state; and for states that come from another member. Not saved again. */
void kap_topics_load(struct kap_topics *ts, struct kap_str topic, struct kap_str event_id,
                     const struct kap_event_state *state);
/* Calls fn for each state of a topic (empty: of all topics), in byte order of topic and ID; fn must not call the
 * registry. */
typedef void (*kap_topics_state_fn)(void *ctx, struct kap_str topic, struct kap_str event_id,
                                    const struct kap_event_state *state);
void kap_topics_each_state(struct kap_topics *ts, struct kap_str topic, kap_topics_state_fn fn, void *ctx);

/* ---- topics ---- */

/* How many handlers an alert node gets from the configuration: kinds whose section is enabled and `global` and that the
 * script does not name. *changes_only: one such section, named or not, wants `state-changes-only`. */
size_t kap_topics_globals(struct kap_topics *ts, const struct kap_graph_node *node, bool *changes_only);
/* The anonymous topic of an alert node. Handlers get the IDs "slack0", "post1", ..: kind and place in the script, the
 * global ones behind them. Opening it again replaces them. */
enum kap_status kap_topics_open(struct kap_topics *ts, struct kap_str topic, const struct kap_graph_node *node,
                                struct kap_error *err);
void kap_topics_close(struct kap_topics *ts, struct kap_str topic);
/* Forgets the topic with its states; its handlers' definitions stay. Deleting an unknown one is fine. */
void kap_topics_delete(struct kap_topics *ts, struct kap_str topic);

/* ---- handlers ---- */

/* Would this definition work? Messages as the reference has them, without "failed to create handler: ". `create`: an ID
 * that is taken is an error as well (KAP_EEXIST). */
enum kap_status kap_topics_check_handler(struct kap_topics *ts, const struct kap_handler_spec *spec, bool create,
                                         struct kap_error *err);
/* Adds or replaces. */
enum kap_status kap_topics_put_handler(struct kap_topics *ts, const struct kap_handler_spec *spec,
                                       struct kap_error *err);
/* False: there was none. */
bool kap_topics_delete_handler(struct kap_topics *ts, struct kap_str topic, struct kap_str id);
/* A reference to the instance, for delivery; NULL: there is none (any more). */
struct kap_handler *kap_topics_handler(struct kap_topics *ts, struct kap_str topic, struct kap_str id);
void kap_topics_env(const struct kap_topics *ts, const struct kap_handler_type *type, struct kap_handler_env *ret);

/* ---- what the API shows; statuses: KAP_EINVAL 400, KAP_ENOTFOUND 404, others 500 ---- */

/* {"link":..,"topics":[..]}; pattern "": all; min_level "": OK. */
enum kap_status kap_topics_list_json(struct kap_topics *ts, struct kap_str pattern, struct kap_str min_level,
                                     struct kap_json *j, struct kap_error *err);
enum kap_status kap_topics_topic_json(struct kap_topics *ts, struct kap_str topic, struct kap_json *j,
                                      struct kap_error *err);
/* {"link":..,"topic":..,"events":[..]} */
enum kap_status kap_topics_events_json(struct kap_topics *ts, struct kap_str topic, struct kap_str min_level,
                                       struct kap_json *j, struct kap_error *err);
enum kap_status kap_topics_event_json(struct kap_topics *ts, struct kap_str topic, struct kap_str event_id,
                                      struct kap_json *j, struct kap_error *err);
/* {"link":..,"topic":..,"handlers":[..]}: those that are defined; inline ones are not listed. */
enum kap_status kap_topics_handlers_json(struct kap_topics *ts, struct kap_str topic, struct kap_str pattern,
                                         struct kap_json *j, struct kap_error *err);
enum kap_status kap_topics_handler_json(struct kap_topics *ts, struct kap_str topic, struct kap_str id,
                                        struct kap_json *j, struct kap_error *err);

struct kap_topic_stats {
    struct kap_str topic;           /* borrowed for the call */
    uint64_t collected;
    size_t events, handlers;
    enum kap_level level;
};
void kap_topics_each_stats(struct kap_topics *ts, void (*fn)(void *ctx, const struct kap_topic_stats *s), void *ctx);

#endif
