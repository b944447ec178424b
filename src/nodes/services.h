/* What nodes may ask of the world outside the task. Implemented by the daemon, by tests and by the replayer.
 * Threads: every function may be called from any worker and must not block it for long; nothing waits on a worker. */
#ifndef KAP_NODES_SERVICES_H
#define KAP_NODES_SERVICES_H

#include "alert/event.h"
#include "data/result.h"
#include "pipeline/graph.h"

struct kap_node;

struct kap_http_request {           /* all borrowed until the call returns */
    const char *method;
    struct kap_str url;
    struct kap_str body;
    const char *const *headers;     /* "Name: value", NULL at the end */
    int64_t timeout_ns;             /* 0: none */
    bool skip_verify;
};
struct kap_http_reply {
    int status;                     /* 0: no connection could be made; error says why */
    struct kap_str body;            /* at most 1 MiB are kept */
    const char *error;
};

struct kap_httppost_endpoint; /* alert/httppost.h */

struct kap_services {
    void *ctx;
    const struct kap_clock *clock;
    struct kap_str hostname, server_id, cluster_id; /* template data of alerts */
    struct kap_str scope;                           /* in front of anonymous topics; "": "main". A replay's is its ID */
    struct kap_inhibitors *inhibitors;              /* alert/inhibit.h; NULL: alerts do not inhibit each other */

    /* Alerts. The state that a topic has for an event ID, for the start of a group: false when there is none. */
    bool (*alert_restore)(void *ctx, struct kap_str topic, struct kap_str event_id, struct kap_event_state *ret);
    /* An event for a topic; a reference is taken. */
    void (*alert_collect)(void *ctx, struct kap_event *ev);
    /* How many handlers the configuration adds to an alert node, and whether it makes it tell of changes only. */
    size_t (*alert_globals)(void *ctx, const struct kap_graph_node *node, bool *changes_only);
    /* Opens / closes the anonymous topic of an alert node's inline handlers. `handlers` live in the graph. */
    enum kap_status (*alert_open)(void *ctx, struct kap_str topic, const struct kap_graph_node *node, struct kap_error *err);
    void (*alert_close)(void *ctx, struct kap_str topic, const struct kap_graph_node *node);
    /* Forgets a closed topic with its states: a replay's are worth nothing. May be NULL. */
    void (*alert_forget)(void *ctx, struct kap_str topic);

    /* httpOut: the node's latest result under tasks/ID/ENDPOINT. The json is taken as a copy; ok false: it cannot be
     * shown ("json: unsupported value"). Unpublished at task stop. */
    void (*publish)(void *ctx, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok);
    void (*unpublish)(void *ctx, struct kap_str task, struct kap_str endpoint);

    /* Writes points into the server's own input (kapacitorLoopback). Never waits. */
    enum kap_status (*loopback)(void *ctx, const struct kap_point *p, struct kap_error *err);

    /* One HTTP request from a worker; waits for the answer up to the timeout (10 s when 0). */
    void (*http)(void *ctx, const struct kap_http_request *req, struct kap_http_reply *ret, struct kap_arena *arena);
    /* A named [[httppost]] endpoint: false when there is none. Strings are borrowed until shutdown. */
    const struct kap_httppost_endpoint *(*httppost_endpoint)(void *ctx, struct kap_str name);

    /* influxDBOut: hands over encoded lines; buffered, flushed and retried behind this call. */
    enum kap_status (*influxdb_write)(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                      struct kap_str consistency, struct kap_str precision, struct kap_str lines, struct kap_error *err);
    enum kap_status (*influxdb_create)(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                       struct kap_error *err);
};

#endif
