#include "daemon/daemon.h"
#include "api/api.h"
#include "base/mem.h"
#include "batch/batch.h"
#include "daemon/alerts.h"
#include "daemon/cluster.h"
#include "daemon/definitions.h"
#include "daemon/loader.h"
#include "daemon/registry.h"
#include "daemon/services.h"
#include "daemon/stats.h"
#include "engine/engine.h"
#include "engine/outputs.h"
#include "replay/replay.h"
#include "handlers/handlers.h"
#include "task/handlers.h"
#include "task/silences.h"
#include "task/task.h"
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define DATA_DIR_DEFAULT "/var/lib/kapacitor"

struct daemon {
    const struct kap_config *config;
    const struct kap_config_root *root;
    char *data_dir, *checkpoints;
    struct kap_loop *loop;
    struct kap_identity identity;
    bool identity_open;
    struct kap_alerts *alerts;
    struct kap_catalog_definitions *definitions;
    struct kap_overrides *overrides;
    struct kap_cluster *cluster;
    struct kap_outputs *outputs;
    struct kap_influxdb *influxdb;
    struct kap_daemon_services services;
    struct kap_engine *engine;
    struct kap_batches *batches;
    struct kap_tasks *tasks;
    struct kap_replays *replays;
    struct kap_topic_handlers *handlers;
    struct kap_stored_silences *silences;
    struct kap_loader *loader;
    struct kap_stats_service *stats;
    char *load_memory;
    struct kap_httpd *httpd;
    struct kap_api_cluster api_cluster;
    struct kap_api_dead_letters api_dead_letters;
    struct kap_api api;
    struct kap_deadman deadman;
    uv_signal_t signals[3];
    size_t nsignals;
    bool stopping;
    pthread_t stopper;
};

/* --- the cluster's word --- */

static void definition_changed(void *ctx, const struct kap_catalog_entry *e, bool local)
{
    struct daemon *d = ctx;
    kap_catalog_definitions_changed(d->definitions, e, local);
}

static void members_changed(void *ctx, const struct kap_dedup_member *members, size_t n)
{
    struct daemon *d = ctx;
    kap_alerts_members(d->alerts, members, n);
    kap_tasks_replace(d->tasks);
}

static void dedup_message(void *ctx, struct kap_str member, struct kap_str bytes)
{
    struct daemon *d = ctx;
    kap_alerts_message(d->alerts, member, bytes);
}

static void *disable_all(void *arg)
{
    struct daemon *d = arg;
    kap_tasks_disable_all(d->tasks);
    return NULL;
}

/* Disabling writes definitions, which needs the loop: so it cannot be done on it. */
static void removed(void *ctx)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, disable_all, ctx) == 0)
        pthread_detach(thread);
    else
        kap_log(KAP_LOG_ERROR, "cluster", "tasks could not be disabled after the removal");
}

static bool placed(void *ctx, struct kap_str id)
{
    const struct daemon *d = ctx;
    return kap_cluster_places(d->cluster, id);
}

/* --- batch tasks ask InfluxDB --- */

static enum kap_status source_start(void *ctx, const struct kap_task_copy *task, struct kap_str id, int64_t run_ns,
                                    struct kap_error *err)
{
    const struct daemon *d = ctx;
    return kap_batches_start(d->batches, id, task->graph, task->dbrps, task->ndbrps, run_ns, err);
}

static void source_stop(void *ctx, struct kap_str id)
{
    const struct daemon *d = ctx;
    kap_batches_stop(d->batches, id);
}

/* --- stopping: input first, then tasks, then what they left behind --- */

static void stop_loop(void *ctx)
{
    struct daemon *d = ctx;
    kap_loop_stop(d->loop);
}

static void leave(void *ctx)
{
    struct daemon *d = ctx;
    kap_cluster_leave(d->cluster, stop_loop, d);
}

static void drain(void *ctx)
{
    struct daemon *d = ctx;
    kap_alerts_drain(d->alerts, leave, d);
}

/* On a thread of its own: what it waits for may need the loop. */
static void *stop_input(void *arg)
{
    struct daemon *d = arg;
    const struct kap_config_http *http = kap_config_section(d->config, "http");
    kap_httpd_stop(d->httpd, http->shutdown_timeout_ns);
    kap_loader_free(KAP_STEAL(d->loader));
    kap_stats_service_free(KAP_STEAL(d->stats));
    kap_replays_free(d->replays); /* their events need the loop */
    d->replays = NULL;
    kap_tasks_stop(d->tasks);
    kap_loop_post(d->loop, drain, d);
    return NULL;
}

static void reload(struct daemon *d)
{
    if (d->stopping)
        return;
    kap_log(KAP_LOG_INFO, "run",
            d->loader ? "SIGHUP received, reading the load directory again" : "SIGHUP received: there is nothing to reload");
    if (d->loader)
        kap_loader_again(d->loader);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct daemon *d = handle->data;
    if (signum == SIGHUP) {
        reload(d);
        return;
    }
    if (d->stopping) {
        kap_log(KAP_LOG_WARN, "run", "second signal received, stopping at once");
        _exit(1);
    }
    d->stopping = true;
    kap_log(KAP_LOG_INFO, "run", "signal received, initializing clean shutdown...");
    if (pthread_create(&d->stopper, NULL, stop_input, d) != 0)
        _exit(1);
}

static void watch_signals(struct daemon *d)
{
    static const int wanted[] = { SIGTERM, SIGINT, SIGHUP };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < KAP_COUNT(wanted); i++) {
        uv_signal_init(kap_loop_uv(d->loop), &d->signals[i]);
        d->signals[i].data = d;
        d->nsignals++;
        uv_signal_start(&d->signals[i], on_signal, wanted[i]);
    }
}

/* --- starting --- */

static enum kap_status open_stores(struct daemon *d, struct kap_error *err)
{
    d->root = kap_config_section(d->config, "");
    d->data_dir = kap_strdup(d->root->data_dir.n ? d->root->data_dir.p : DATA_DIR_DEFAULT);
    KAP_TRY(kap_identity_open(d->data_dir, &d->identity, err));
    d->identity_open = true;
    d->loop = kap_loop_new();
    const struct kap_alerts_options options = { .loop = d->loop, .clock = &kap_clock_system, .config = d->config,
                                                .identity = &d->identity, .data_dir = d->data_dir,
                                                .hostname = d->root->hostname };
    KAP_TRY(kap_alerts_new(&options, &d->alerts, err));
    d->definitions = kap_catalog_definitions_new(d->loop);
    const struct kap_cluster_options cluster = { .loop = d->loop, .clock = &kap_clock_system, .config = d->config,
                                                 .identity = &d->identity, .data_dir = d->data_dir,
                                                 .hostname = d->root->hostname };
    const struct kap_cluster_io io = { .ctx = d, .definition_changed = definition_changed,
                                       .members_changed = members_changed, .dedup_message = dedup_message,
                                       .removed = removed };
    KAP_TRY(kap_cluster_new(&cluster, &io, &d->cluster, err));
    kap_catalog_definitions_connect(d->definitions, d->cluster);
    return KAP_OK;
}

static enum kap_status open_engine(struct daemon *d, struct kap_error *err)
{
    d->outputs = kap_outputs_new();
    d->services.alerts = d->alerts;
    d->services.outputs = d->outputs;
    const struct kap_config_override *override = kap_config_section(d->config, "config-override");
    const struct kap_overrides_options overrides = {
        .base = d->config, .definitions = kap_catalog_definitions_api(d->definitions),
        .skip = d->root->skip_config_overrides || !override->enabled,
    };
    KAP_TRY(kap_overrides_new(&overrides, &d->overrides, err));
    kap_alerts_overrides(d->alerts, d->overrides);
    d->services.overrides = d->overrides;
    d->services.influxdb = d->influxdb = kap_daemon_influxdb(kap_overrides_config(d->overrides));
    kap_daemon_services_init(&d->services, &kap_clock_system, d->root->hostname, &d->identity);
    const struct kap_engine_options engine = { .clock = &kap_clock_system, .services = &d->services.api };
    KAP_TRY(kap_engine_new(&engine, &d->engine, err));
    d->services.engine = d->engine;

    const struct kap_batches_options batches = { .engine = d->engine, .influxdb = d->influxdb,
                                                 .clock = &kap_clock_system, .zone = &kap_zone_local };
    d->batches = kap_batches_new(&batches);
    const struct kap_config_deadman *deadman = kap_config_section(d->config, "deadman");
    d->deadman = (struct kap_deadman){ .interval_ns = deadman->interval_ns, .threshold = deadman->threshold,
                                       .id = deadman->id, .message = deadman->message, .global = deadman->global };
    const struct kap_config_task *task = kap_config_section(d->config, "task");
    d->checkpoints = kap_asprintf("%s/checkpoints", d->data_dir);
    const struct kap_tasks_options tasks = { .definitions = kap_catalog_definitions_api(d->definitions),
                                             .engine = d->engine, .registry = &kap_daemon_registry,
                                             .deadman = &d->deadman, .clock = &kap_clock_system,
                                             .placed = placed, .placed_ctx = d,
                                             .checkpoints = d->checkpoints,
                                             .checkpoint_interval_ns = task->snapshot_interval_ns,
                                             .source_start = source_start, .source_stop = source_stop, .source_ctx = d };
    KAP_TRY(kap_tasks_new(&tasks, &d->tasks, err));
    const struct kap_config_replay *replay = kap_config_section(d->config, "replay");
    const struct kap_replays_options replays = { .engine = d->engine, .tasks = d->tasks, .influxdb = d->influxdb,
                                                 .services = &d->services.api, .clock = &kap_clock_system,
                                                 .zone = &kap_zone_local, .dir = replay->dir.p,
                                                 .data_dir = d->data_dir };
    KAP_TRY(kap_replays_new(&replays, &d->replays, err));
    KAP_TRY(kap_topic_handlers_new(kap_catalog_definitions_api(d->definitions), kap_alerts_topics(d->alerts),
                                   &d->handlers, err));
    return kap_stored_silences_new(kap_catalog_definitions_api(d->definitions), kap_alerts_silences(d->alerts),
                                   &d->silences, err);
}

static void more_stats(void *ctx, struct kap_api_stats *w)
{
    const struct daemon *d = ctx;
    kap_cluster_stats(d->cluster, w);
    kap_alerts_stats(d->alerts, w);
}

static enum kap_status backup(void *ctx, int *ret_fd, uint64_t *ret_bytes, struct kap_error *err)
{
    const struct daemon *d = ctx;
    return kap_cluster_backup(d->cluster, ret_fd, ret_bytes, err);
}

static enum kap_status open_http(struct daemon *d, struct kap_error *err)
{
    const struct kap_config_http *http = kap_config_section(d->config, "http");
    const struct kap_httpd_options options = {
        .bind_address = http->bind_address,
        .https = http->https_enabled,
        .certificate_file = http->https_certificate.p,
        .private_key_file = http->https_private_key.p,
        .version = KAP_VERSION,
        .log_requests = http->log_enabled,
        .max_connections = (unsigned)KAP_MAX(http->max_connections, 0),
    };
    d->httpd = kap_httpd_new(&options);
    kap_cluster_api(d->cluster, &d->api_cluster);
    kap_alerts_dead_letters(d->alerts, &d->api_dead_letters);
    d->api = (struct kap_api){
        .tasks = d->tasks, .engine = d->engine, .outputs = d->outputs, .replays = d->replays,
        .topics = kap_alerts_topics(d->alerts), .handlers = d->handlers, .silences = d->silences,
        .dead_letters = &d->api_dead_letters, .cluster = &d->api_cluster, .config = d->config,
        .backup = backup, .backup_ctx = d, .overrides = d->overrides, .handler_types = kap_handler_types, .influxdb = d->influxdb,
        .hostname = d->root->hostname,
        .default_rp = d->root->default_retention_policy, .clock = &kap_clock_system,
        .started_ns = kap_clock_wall(&kap_clock_system), .more_stats = more_stats, .more_stats_ctx = d,
    };
    kap_api_routes(d->httpd, &d->api);
    if (kap_httpd_start(d->httpd, err) != KAP_OK)
        return kap_wrap(err, "[http] bind-address");
    return KAP_OK;
}

static enum kap_status start_loader(struct daemon *d, struct kap_error *err)
{
    const struct kap_config_load *load = kap_config_section(d->config, "load");
    if (!load->enabled)
        return KAP_OK;
    d->load_memory = kap_asprintf("%s/load.json", d->data_dir);
    const struct kap_load_options options = { .tasks = d->tasks, .handlers = d->handlers, .dir = load->dir.p,
                                              .memory = d->load_memory };
    return kap_loader_new(&options, &d->loader, err);
}

static enum kap_status start_stats(struct daemon *d, struct kap_error *err)
{
    const struct kap_config_stats *stats = kap_config_section(d->config, "stats");
    return stats->enabled ? kap_stats_service_new(stats, &d->api, d->httpd, &d->stats, err) : KAP_OK;
}

/* Left alone, malloc raises the size from which memory is mapped, and so returned, to that of the largest batch of
 * input seen; what a burst of input took would then stay with the process. */
static void return_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

static enum kap_status start(struct daemon *d, struct kap_error *err)
{
    return_memory();
    KAP_TRY(open_stores(d, err));
    KAP_TRY(open_engine(d, err));
    KAP_TRY(open_http(d, err));
    kap_tasks_start(d->tasks);
    kap_cluster_start(d->cluster);
    kap_alerts_start(d->alerts, d->cluster);
    KAP_TRY(start_stats(d, err));
    KAP_TRY(start_loader(d, err));
    watch_signals(d);
    kap_log(KAP_LOG_INFO, "run", "started", kap_kv_s("cluster_id", d->identity.cluster_id),
            kap_kv_s("server_id", d->identity.server_id), kap_kv_i("http_port", kap_httpd_port(d->httpd)));
    return KAP_OK;
}

/* Also after a start that failed half-way: each part may be missing. */
static void close_all(struct daemon *d)
{
    kap_httpd_free(d->httpd);
    kap_stored_silences_free(d->silences);
    kap_topic_handlers_free(d->handlers);
    kap_replays_free(d->replays);
    kap_tasks_free(d->tasks);
    kap_batches_free(d->batches);
    kap_engine_free(d->engine);
    kap_influxdb_free(d->influxdb);
    for (size_t i = 0; i < d->nsignals; i++)
        uv_close((uv_handle_t *)&d->signals[i], NULL);
    kap_alerts_close(d->alerts);
    kap_cluster_close(d->cluster);
    if (d->loop)
        kap_loop_drain(d->loop);
    kap_cluster_free(d->cluster);
    kap_alerts_free(d->alerts);
    kap_overrides_free(d->overrides);
    kap_catalog_definitions_free(d->definitions);
    kap_outputs_free(d->outputs);
    kap_daemon_services_done(&d->services);
    kap_loop_free(d->loop);
    if (d->identity_open)
        kap_identity_close(&d->identity);
    kap_free(d->load_memory);
    kap_free(d->checkpoints);
    kap_free(d->data_dir);
}

enum kap_status kap_daemon_run(const struct kap_config *config, struct kap_error *err)
{
    struct daemon d = { .config = config };
    const enum kap_status status = start(&d, err);
    if (status == KAP_OK) {
        kap_loop_run(d.loop);
        pthread_join(d.stopper, NULL);
    }
    close_all(&d);
    if (status == KAP_OK)
        kap_log(KAP_LOG_INFO, "run", "server shutdown completed");
    return status;
}
