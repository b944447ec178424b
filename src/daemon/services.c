#include "daemon/services.h"

#include "alert/inhibit.h"
#include "daemon/http_client.h"
#include "alert/httppost.h"
#include "base/mem.h"

static bool alert_restore(void *ctx, struct kap_str topic, struct kap_str event_id, struct kap_event_state *ret)
{
    const struct kap_daemon_services *s = ctx;
    return kap_alerts_restore(s->alerts, topic, event_id, ret);
}

static void alert_collect(void *ctx, struct kap_event *ev)
{
    const struct kap_daemon_services *s = ctx;
    kap_alerts_collect(s->alerts, ev);
}

static size_t alert_globals(void *ctx, const struct kap_graph_node *node, bool *changes_only)
{
    const struct kap_daemon_services *s = ctx;
    return kap_topics_globals(kap_alerts_topics(s->alerts), node, changes_only);
}

static enum kap_status alert_open(void *ctx, struct kap_str topic, const struct kap_graph_node *node, struct kap_error *err)
{
    const struct kap_daemon_services *s = ctx;
    return kap_topics_open(kap_alerts_topics(s->alerts), topic, node, err);
}

static void alert_close(void *ctx, struct kap_str topic, const struct kap_graph_node *node)
{
    const struct kap_daemon_services *s = ctx;
    kap_topics_close(kap_alerts_topics(s->alerts), topic);
}

static void alert_forget(void *ctx, struct kap_str topic)
{
    const struct kap_daemon_services *s = ctx;
    kap_topics_delete(kap_alerts_topics(s->alerts), topic);
}

static void publish(void *ctx, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok)
{
    const struct kap_daemon_services *s = ctx;
    kap_outputs_publish(s->outputs, task, endpoint, json, ok);
}

static void unpublish(void *ctx, struct kap_str task, struct kap_str endpoint)
{
    const struct kap_daemon_services *s = ctx;
    kap_outputs_unpublish(s->outputs, task, endpoint);
}

static enum kap_status loopback(void *ctx, const struct kap_point *p, struct kap_error *err)
{
    const struct kap_daemon_services *s = ctx;
    return kap_engine_loop(s->engine, p, err);
}

static void http(void *ctx, const struct kap_http_request *req, struct kap_http_reply *ret, struct kap_arena *arena)
{
    kap_http_client_request(req, ret, arena);
}

static const struct kap_httppost_endpoint *httppost_endpoint(void *ctx, struct kap_str name)
{
    const struct kap_daemon_services *s = ctx;
    size_t n;
    const struct kap_httppost_endpoint *endpoints = kap_config_elements(kap_overrides_config(s->overrides), "httppost", &n);
    for (size_t i = 0; i < n; i++)
        if (kap_str_eq(endpoints[i].endpoint, name))
            return &endpoints[i];
    return NULL;
}

static enum kap_status influxdb_write(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                      struct kap_str consistency, struct kap_str precision, struct kap_str lines,
                                      struct kap_error *err)
{
    const struct kap_daemon_services *s = ctx;
    const struct kap_influxdb_write w = { .cluster = cluster, .db = db, .rp = rp, .consistency = consistency,
                                          .precision = precision, .lines = lines };
    return kap_influxdb_write(s->influxdb, &w, err);
}

static enum kap_status influxdb_create(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                       struct kap_error *err)
{
    const struct kap_daemon_services *s = ctx;
    return kap_influxdb_create(s->influxdb, cluster, db, rp, err);
}

void kap_daemon_services_init(struct kap_daemon_services *s, const struct kap_clock *clock, struct kap_str hostname,
                              const struct kap_identity *identity)
{
    s->api = (struct kap_services){
        .ctx = s,
        .clock = clock,
        .hostname = hostname,
        .server_id = kap_str(identity->server_id),
        .cluster_id = kap_str(identity->cluster_id),
        .inhibitors = kap_inhibitors_new(),
        .alert_restore = alert_restore,
        .alert_collect = alert_collect,
        .alert_globals = alert_globals,
        .alert_open = alert_open,
        .alert_close = alert_close,
        .alert_forget = alert_forget,
        .publish = publish,
        .unpublish = unpublish,
        .loopback = loopback,
        .http = http,
        .httppost_endpoint = httppost_endpoint,
        .influxdb_write = influxdb_write,
        .influxdb_create = influxdb_create,
    };
}

void kap_daemon_services_done(struct kap_daemon_services *s)
{
    kap_inhibitors_free(s->api.inhibitors);
    s->api.inhibitors = NULL;
}

struct kap_influxdb *kap_daemon_influxdb(const struct kap_config *config)
{
    size_t n, used = 0;
    const struct kap_config_influxdb *sections = kap_config_elements(config, "influxdb", &n);
    struct kap_influxdb_cluster *clusters = KAP_ARRAY(struct kap_influxdb_cluster, n);
    for (size_t i = 0; i < n; i++) {
        const struct kap_config_influxdb *s = &sections[i];
        if (!s->enabled)
            continue;
        clusters[used++] = (struct kap_influxdb_cluster){
            .name = s->name, .is_default = s->is_default || n == 1, .urls = s->urls.v, .nurls = s->urls.n,
            .username = s->username, .password = s->password, .token = s->token, .ssl_ca = s->ssl_ca,
            .ssl_cert = s->ssl_cert, .ssl_key = s->ssl_key, .insecure_skip_verify = s->insecure_skip_verify,
            .timeout_ns = s->timeout_ns,
        };
    }
    struct kap_influxdb *db = kap_influxdb_new(clusters, used);
    kap_free(clusters);
    return db;
}
