/* The resources of the HTTP API, one file each, over the services they show. The daemon fills struct kap_api,
 * and registers all routes before the server starts. Ownership: everything is borrowed until the server has
 * stopped. Threads: the functions are called from the server's threads. */
#ifndef KAP_API_API_H
#define KAP_API_API_H

#include "api/httpd.h"
#include "base/clock.h"

struct kap_json;           /* base/json.h */
struct kap_tasks;          /* task/task.h */
struct kap_engine;         /* engine/engine.h */
struct kap_outputs;        /* engine/outputs.h */
struct kap_replays;        /* replay/replay.h */
struct kap_topics;         /* alert/topics.h */
struct kap_config;         /* config/config.h */
struct kap_overrides;      /* task/overrides.h */
struct kap_handler_type;   /* pipeline/handler.h */
struct kap_influxdb;       /* influxdb/influxdb.h */
struct kap_topic_handlers; /* task/handlers.h */
struct kap_stored_silences; /* task/silences.h */

struct kap_api_member {
    struct kap_str id, gossip_address, rpc_address, api_address, roles,
        status; /* roles: "worker"; status: "alive" */
};

/* The cluster, as the API shows and changes it. */
struct kap_api_cluster {
    void *ctx;
    /* Calls fn for each member, the local one first, then in the order they are to be listed. */
    void (*members)(void *ctx, void (*fn)(void *fn_ctx, const struct kap_api_member *m), void *fn_ctx);
    bool (*initialized)(void *ctx);
    void (*ids)(void *ctx, char cluster_id[37], char server_id[37]);
    /* May wait for the other side. KAP_EINVAL 400, KAP_ENOTFOUND 404, KAP_ESTATE 409, others 500. */
    enum kap_status (*add)(void *ctx, struct kap_str rpc_address, struct kap_error *err);
    enum kap_status (*remove)(void *ctx, struct kap_str member_id, struct kap_error *err);
};

/* Deliveries that this member gave up. */
struct kap_api_dead_letters {
    void *ctx;
    void (*list)(void *ctx, struct kap_json *j); /* a list of objects, oldest first */
    /* KAP_ENOTFOUND 404, KAP_ESTATE 409. */
    enum kap_status (*replay)(void *ctx, uint64_t id, struct kap_error *err);
    enum kap_status (*drop)(void *ctx, uint64_t id, struct kap_error *err);
};

/* Writing one statistic of /debug/vars: begin, any number of values, end. `tags` are names and values in
 * turn, NULL at the end; host and IDs are added. */
struct kap_api_stats;
void kap_api_stat_begin(struct kap_api_stats *w, const char *name, const char *const *tags);
void kap_api_stat_value(struct kap_api_stats *w, const char *name, int64_t v);
void kap_api_stat_end(struct kap_api_stats *w);

struct kap_api {
    struct kap_tasks *tasks;
    struct kap_engine *engine;
    struct kap_outputs *outputs;
    struct kap_replays *replays;
    struct kap_topics *topics;
    struct kap_topic_handlers *handlers;
    struct kap_stored_silences *silences;
    const struct kap_api_dead_letters *dead_letters;
    const struct kap_api_cluster *cluster;
    /* Further statistics, of what the API does not know (delivery, cluster, store); may be NULL. */
    void (*more_stats)(void *ctx, struct kap_api_stats *w);
    void *more_stats_ctx;
    /* A copy of all definitions: an open file, the caller's, and its size. */
    enum kap_status (*backup)(void *ctx, int *ret_fd, uint64_t *ret_bytes, struct kap_error *err);
    void *backup_ctx;
    const struct kap_config *config;
    struct kap_overrides *overrides;
    const struct kap_handler_type *const *handler_types; /* ends with NULL */
    struct kap_influxdb *influxdb;
    struct kap_str hostname, default_rp;
    const struct kap_clock *clock;
    int64_t started_ns; /* wall clock */
};

/* Adds every route. `api` is borrowed. */
void kap_api_routes(struct kap_httpd *h, const struct kap_api *api);

#endif
