/* The sections of kapacitor.conf that are the server's own. Keys and defaults are the reference's; what is
 * ours says so. */
#include "base/duration.h"
#include "base/mem.h"
#include "config/config.h"

#define KEY(k, type, member, option, text) KAP_PROP_AT(k, type, member, NULL, option, text)
#define SECRET(k, type, member, opt, text)                                                                   \
    {                                                                                                        \
        .kind = KAP_PROP_##k, .option = (opt), .offset = offsetof(type, member), .doc = (text),              \
        .secret = true                                                                                       \
    }
#define TABLE(opt, fn, text)                                                                                 \
    {                                                                                                        \
        .kind = KAP_PROP_CALL, .option = (opt), .set = (fn), .doc = (text)                                   \
    }
#define END                                                                                                  \
    {                                                                                                        \
        .kind = KAP_PROP_END                                                                                 \
    }

/* --- top level --- */

static void root_init(void *config)
{
    *(struct kap_config_root *)config = (struct kap_config_root){ .hostname = KAP_STR("localhost"),
                                                                  .data_dir = KAP_STR(""),
                                                                  .default_retention_policy = KAP_STR("") };
}
static const struct kap_prop root_props[] = {
    KEY(STRING, struct kap_config_root, hostname, "hostname", "How others reach this server."),
    KEY(STRING, struct kap_config_root, data_dir, "data_dir", "Where this server keeps its data."),
    KEY(BOOL, struct kap_config_root, skip_config_overrides, "skip-config-overrides",
        "Ignore what was set through the config API."),
    KEY(STRING, struct kap_config_root, default_retention_policy, "default-retention-policy",
        "The retention policy of writes that name none."),
    END,
};
static const struct kap_section root_section = { .name = "",
                                                 .doc = "Top level.",
                                                 .size = sizeof(struct kap_config_root),
                                                 .init = root_init,
                                                 .props = root_props };

/* --- [http] --- */

static void http_init(void *config)
{
    *(struct kap_config_http *)config = (struct kap_config_http){
        .bind_address = KAP_STR(":9092"),
        .advertise_address = KAP_STR(""),
        .log_enabled = true,
        .https_certificate = KAP_STR("/etc/ssl/kapacitor.pem"),
        .https_private_key = KAP_STR(""),
        .shared_secret = KAP_STR(""),
        .shutdown_timeout_ns = 10 * KAP_S,
        .max_write_bytes = 128 << 20,
        .max_connections = 16384,
    };
}
static const struct kap_prop http_props[] = {
    KEY(STRING, struct kap_config_http, bind_address, "bind-address", "Address of the HTTP API."),
    KEY(STRING, struct kap_config_http, advertise_address, "advertise-address",
        "API address that members show."),
    KEY(BOOL, struct kap_config_http, auth_enabled, "auth-enabled", "Ask for credentials."),
    KEY(BOOL, struct kap_config_http, log_enabled, "log-enabled", "Log every request."),
    KEY(BOOL, struct kap_config_http, write_tracing, "write-tracing", "Log what is written."),
    KEY(BOOL, struct kap_config_http, pprof_enabled, "pprof-enabled", "Accepted, without effect."),
    KEY(BOOL, struct kap_config_http, https_enabled, "https-enabled", "Serve HTTPS."),
    KEY(STRING, struct kap_config_http, https_certificate, "https-certificate",
        "PEM file of the certificate."),
    KEY(STRING, struct kap_config_http, https_private_key, "https-private-key",
        "PEM file of the key, if not beside the certificate."),
    KEY(DURATION, struct kap_config_http, shutdown_timeout_ns, "shutdown-timeout",
        "How long requests may go on at the end."),
    SECRET(STRING, struct kap_config_http, shared_secret, "shared-secret", "Key of JSON web tokens."),
    KEY(INT, struct kap_config_http, max_write_bytes, "max-write-size",
        "Largest body of one write, unpacked, in bytes."),
    KEY(INT, struct kap_config_http, max_connections, "max-connections", "Most connections at one time."),
    END,
};
static const struct kap_section http_section = { .name = "http",
                                                 .doc = "The HTTP API.",
                                                 .size = sizeof(struct kap_config_http),
                                                 .init = http_init,
                                                 .props = http_props };

/* --- [cluster], [rpc], [alert] --- */

static struct kap_str worker_role[] = { { "worker", 6 } };

static void cluster_init(void *config)
{
    *(struct kap_config_cluster *)config = (struct kap_config_cluster){ .bind_address = KAP_STR(":9090"),
                                                                        .advertise_address = KAP_STR(""),
                                                                        .roles = { worker_role, 1 } };
}
static const struct kap_prop cluster_props[] = {
    KEY(STRING, struct kap_config_cluster, bind_address, "bind-address", "Address of gossip, TCP and UDP."),
    KEY(STRING, struct kap_config_cluster, advertise_address, "advertise-address",
        "Gossip address that others use."),
    KEY(STRINGS, struct kap_config_cluster, roles, "roles",
        "Roles of this member; 'worker' is the only one."),
    KEY(INT, struct kap_config_cluster, gossip_members, "gossip-members",
        "Members told in each round; 0: 3."),
    KEY(DURATION, struct kap_config_cluster, gossip_interval_ns, "gossip-interval",
        "Time between rounds; 0: 200ms."),
    KEY(DURATION, struct kap_config_cluster, gossip_sync_interval_ns, "gossip-sync-interval",
        "Time between full exchanges; 0: 30s."),
    KEY(INT, struct kap_config_cluster, task_redundancy, "task-redundancy",
        "Members that run each task; 0: all."),
    END,
};
static const struct kap_section cluster_section = { .name = "cluster",
                                                    .doc = "Membership of the cluster.",
                                                    .size = sizeof(struct kap_config_cluster),
                                                    .init = cluster_init,
                                                    .props = cluster_props };

static void rpc_init(void *config)
{
    *(struct kap_config_rpc *)config =
        (struct kap_config_rpc){ .bind_address = KAP_STR(":9091"), .advertise_address = KAP_STR("") };
}
static const struct kap_prop rpc_props[] = {
    KEY(STRING, struct kap_config_rpc, bind_address, "bind-address", "Address of calls between members."),
    KEY(STRING, struct kap_config_rpc, advertise_address, "advertise-address",
        "RPC address that others use."),
    KEY(BOOL, struct kap_config_rpc, enable_grpc_logging, "enable-grpc-logging", "Accepted, without effect."),
    END,
};
static const struct kap_section rpc_section = { .name = "rpc",
                                                .doc = "Calls between members.",
                                                .size = sizeof(struct kap_config_rpc),
                                                .init = rpc_init,
                                                .props = rpc_props };

static void alert_init(void *config)
{
    *(struct kap_config_alert *)config = (struct kap_config_alert){ .persist_topics = true,
                                                                    .topic_buffer_length = 5000,
                                                                    .delay_per_member_ns = 10 * KAP_S,
                                                                    .full_sync_interval_ns = 5 * KAP_MINUTE };
}
static const struct kap_prop alert_props[] = {
    KEY(BOOL, struct kap_config_alert, persist_topics, "persist-topics",
        "Keep the state of topics over restarts."),
    KEY(INT, struct kap_config_alert, topic_buffer_length, "topic-buffer-length",
        "Events that may wait at a handler."),
    KEY(INT, struct kap_config_alert, redundancy, "redundancy", "Members that own each topic; 0: all."),
    KEY(DURATION, struct kap_config_alert, delay_per_member_ns, "delay-per-member",
        "How long the next owner waits for word before it handles an event."),
    KEY(DURATION, struct kap_config_alert, full_sync_interval_ns, "full-sync-interval",
        "Time between full exchanges of topics and definitions."),
    END,
};
static const struct kap_section alert_section = { .name = "alert",
                                                  .doc = "Topics and their owners.",
                                                  .size = sizeof(struct kap_config_alert),
                                                  .init = alert_init,
                                                  .props = alert_props };

/* --- storage and tasks --- */

static void storage_init(void *config)
{
    *(struct kap_config_storage *)config = (struct kap_config_storage){ .boltdb = KAP_STR("./kapacitor.db") };
}
static const struct kap_prop storage_props[] = {
    KEY(STRING, struct kap_config_storage, boltdb, "boltdb", "Database file of the stock server."),
    END,
};
static const struct kap_section storage_section = { .name = "storage",
                                                    .doc = "Storage.",
                                                    .size = sizeof(struct kap_config_storage),
                                                    .init = storage_init,
                                                    .props = storage_props };

static void task_init(void *config)
{
    *(struct kap_config_task *)config =
        (struct kap_config_task){ .dir = KAP_STR("./tasks"), .snapshot_interval_ns = KAP_MINUTE };
}
static const struct kap_prop task_props[] = {
    KEY(STRING, struct kap_config_task, dir, "dir", "Accepted, without effect."),
    KEY(DURATION, struct kap_config_task, snapshot_interval_ns, "snapshot-interval",
        "Time between checkpoints."),
    END,
};
static const struct kap_section task_section = { .name = "task",
                                                 .doc = "Tasks.",
                                                 .size = sizeof(struct kap_config_task),
                                                 .init = task_init,
                                                 .props = task_props };

static void replay_init(void *config)
{
    *(struct kap_config_replay *)config = (struct kap_config_replay){ .dir = KAP_STR("./replay") };
}
static const struct kap_prop replay_props[] = {
    KEY(STRING, struct kap_config_replay, dir, "dir", "Where recordings are kept."),
    END,
};
static const struct kap_section replay_section = { .name = "replay",
                                                   .doc = "Recordings.",
                                                   .size = sizeof(struct kap_config_replay),
                                                   .init = replay_init,
                                                   .props = replay_props };

static void load_init(void *config)
{
    *(struct kap_config_load *)config = (struct kap_config_load){ .dir = KAP_STR("./load") };
}
static const struct kap_prop load_props[] = {
    KEY(BOOL, struct kap_config_load, enabled, "enabled", "Define what the directory holds."),
    KEY(STRING, struct kap_config_load, dir, "dir", "Directory with tasks, templates and handlers."),
    END,
};
static const struct kap_section load_section = { .name = "load",
                                                 .doc = "Definitions from files.",
                                                 .size = sizeof(struct kap_config_load),
                                                 .init = load_init,
                                                 .props = load_props };

/* --- what the server says about itself --- */

static void logging_init(void *config)
{
    *(struct kap_config_logging *)config =
        (struct kap_config_logging){ .file = KAP_STR("STDERR"), .level = KAP_STR("DEBUG") };
}
static const struct kap_prop logging_props[] = {
    KEY(STRING, struct kap_config_logging, file, "file", "STDERR, STDOUT or a path."),
    KEY(STRING, struct kap_config_logging, level, "level", "DEBUG, INFO, WARN, ERROR or OFF."),
    END,
};
static const struct kap_section logging_section = { .name = "logging",
                                                    .doc = "The log.",
                                                    .size = sizeof(struct kap_config_logging),
                                                    .init = logging_init,
                                                    .props = logging_props };

static void stats_init(void *config)
{
    *(struct kap_config_stats *)config = (struct kap_config_stats){
        .enabled = true,
        .interval_ns = 10 * KAP_S,
        .database = KAP_STR("_kapacitor"),
        .retention_policy = KAP_STR("autogen"),
        .timing_sample_rate = 0.1,
        .timing_movavg_size = 1000,
    };
}
static const struct kap_prop stats_props[] = {
    KEY(BOOL, struct kap_config_stats, enabled, "enabled", "Write statistics to the internal stream."),
    KEY(DURATION, struct kap_config_stats, interval_ns, "stats-interval", "Time between statistics."),
    KEY(STRING, struct kap_config_stats, database, "database", "Their database."),
    KEY(STRING, struct kap_config_stats, retention_policy, "retention-policy", "Their retention policy."),
    KEY(FLOAT, struct kap_config_stats, timing_sample_rate, "timing-sample-rate",
        "Share of messages that are timed."),
    KEY(INT, struct kap_config_stats, timing_movavg_size, "timing-movavg-size",
        "Samples of the moving average."),
    END,
};
static const struct kap_section stats_section = { .name = "stats",
                                                  .doc = "Internal statistics.",
                                                  .size = sizeof(struct kap_config_stats),
                                                  .init = stats_init,
                                                  .props = stats_props };

/* Nothing is ever reported to anybody; the section is in every stock file. */
struct reporting {
    bool enabled;
    struct kap_str url;
};
static void reporting_init(void *config)
{
    *(struct reporting *)config = (struct reporting){ .url = KAP_STR("") };
}
static const struct kap_prop reporting_props[] = {
    KEY(BOOL, struct reporting, enabled, "enabled", "Accepted, without effect: nothing is reported."),
    KEY(STRING, struct reporting, url, "url", "Accepted, without effect."),
    END,
};
static const struct kap_section reporting_section = { .name = "reporting",
                                                      .doc = "Accepted, without effect.",
                                                      .size = sizeof(struct reporting),
                                                      .init = reporting_init,
                                                      .props = reporting_props };

/* Licences of the enterprise product: its files must start. */
struct enterprise {
    bool registration_enabled;
    struct kap_str registration_server_url, license_key, license_path;
};
static void enterprise_init(void *config)
{
    *(struct enterprise *)config = (struct enterprise){ .registration_server_url = KAP_STR(""),
                                                        .license_key = KAP_STR(""),
                                                        .license_path = KAP_STR("") };
}
static const struct kap_prop enterprise_props[] = {
    KEY(BOOL, struct enterprise, registration_enabled, "registration-enabled", "Accepted, without effect."),
    KEY(STRING, struct enterprise, registration_server_url, "registration-server-url",
        "Accepted, without effect."),
    SECRET(STRING, struct enterprise, license_key, "license-key", "Accepted, without effect."),
    KEY(STRING, struct enterprise, license_path, "license-path", "Accepted, without effect."),
    END,
};
static const struct kap_section enterprise_section = { .name = "enterprise",
                                                       .doc = "Accepted, without effect.",
                                                       .size = sizeof(struct enterprise),
                                                       .init = enterprise_init,
                                                       .props = enterprise_props };

static void deadman_init(void *config)
{
    *(struct kap_config_deadman *)config = (struct kap_config_deadman){
        .interval_ns = 10 * KAP_S,
        .id = KAP_STR("{{ .Group }}:NODE_NAME for task '{{ .TaskName }}'"),
        .message = KAP_STR("{{ .ID }} is {{ if eq .Level \"OK\" }}alive{{ else }}dead{{ end }}: "
                           "{{ index .Fields \"emitted\" | printf \"%0.3f\" }} points/INTERVAL."),
    };
}
static const struct kap_prop deadman_props[] = {
    KEY(DURATION, struct kap_config_deadman, interval_ns, "interval", "Time between looks."),
    KEY(FLOAT, struct kap_config_deadman, threshold, "threshold",
        "Points per interval below which it is dead."),
    KEY(STRING, struct kap_config_deadman, id, "id", "Template of the event ID."),
    KEY(STRING, struct kap_config_deadman, message, "message", "Template of the message."),
    KEY(BOOL, struct kap_config_deadman, global, "global", "Watch every task."),
    END,
};
static const struct kap_section deadman_section = { .name = "deadman",
                                                    .doc = "Defaults of deadman alerts.",
                                                    .size = sizeof(struct kap_config_deadman),
                                                    .init = deadman_init,
                                                    .props = deadman_props };

static void override_init(void *config)
{
    *(struct kap_config_override *)config = (struct kap_config_override){ .enabled = true };
}
static const struct kap_prop override_props[] = {
    KEY(BOOL, struct kap_config_override, enabled, "enabled", "Allow changes through the config API."),
    END,
};
static const struct kap_section override_section = { .name = "config-override",
                                                     .doc = "The config API.",
                                                     .size = sizeof(struct kap_config_override),
                                                     .init = override_init,
                                                     .props = override_props };

/* --- tables of keys that users choose --- */

static enum kap_status add_pair(struct kap_config_pairs *pairs, struct kap_arena *arena,
                                const struct kap_arg *args, size_t nargs, bool lists, struct kap_error *err)
{
    if (nargs != 2 || args[0].kind != KAP_ARG_VALUE || args[0].value.type != KAP_STRING)
        return kap_fail(err, KAP_EINVAL, "must be a table");
    struct kap_config_pair pair = { .key = args[0].value.s, .value = KAP_STR("") };
    if (lists && args[1].kind == KAP_ARG_LIST) {
        pair.values.v = KAP_ARENA_ARRAY(arena, struct kap_str, args[1].nlist);
        for (; pair.values.n < args[1].nlist; pair.values.n++)
            pair.values.v[pair.values.n] = args[1].list[pair.values.n].value.s;
    } else if (!lists && args[1].kind == KAP_ARG_VALUE && args[1].value.type == KAP_STRING) {
        pair.value = args[1].value.s;
    } else {
        return kap_fail(err, KAP_EINVAL, "'%.*s' must be a %s", KAP_STR_ARG(pair.key),
                        lists ? "list of strings" : "string");
    }
    for (size_t i = 0; i < pairs->n; i++) {
        if (kap_str_eq(pairs->v[i].key, pair.key)) {
            pairs->v[i] = pair;
            return KAP_OK;
        }
    }
    if (pairs->n == pairs->cap) {
        pairs->cap = pairs->cap ? pairs->cap * 2 : 4;
        struct kap_config_pair *v = KAP_ARENA_ARRAY(arena, struct kap_config_pair, pairs->cap);
        if (pairs->n > 0)
            memcpy(v, pairs->v, pairs->n * sizeof *v);
        pairs->v = v;
    }
    pairs->v[pairs->n++] = pair;
    return KAP_OK;
}

/* --- [[influxdb]] --- */

static struct kap_str local_influxdb[] = { { "http://localhost:8086", 21 } };
static struct kap_str autogen[] = { { "autogen", 7 } };
static struct kap_config_pair own_database[] = {
    { .key = { "_kapacitor", 10 }, .value = { "", 0 }, .values = { autogen, 1 } }
};

static void influxdb_init(void *config)
{
    *(struct kap_config_influxdb *)config = (struct kap_config_influxdb){
        .enabled = true,
        .name = KAP_STR("default"),
        .urls = { local_influxdb, 1 },
        .username = KAP_STR(""),
        .password = KAP_STR(""),
        .token = KAP_STR(""),
        .ssl_ca = KAP_STR(""),
        .ssl_cert = KAP_STR(""),
        .ssl_key = KAP_STR(""),
        .startup_timeout_ns = 5 * KAP_MINUTE,
        .compression = KAP_STR("gzip"),
        .subscription_protocol = KAP_STR("http"),
        .subscription_mode = KAP_STR("cluster"),
        .subscription_path = KAP_STR(""),
        .excluded_subscriptions = { own_database, 1, 1 },
        .kapacitor_hostname = KAP_STR(""),
        .udp_bind = KAP_STR(""),
        .udp_buffer = 1000,
        .subscriptions_sync_interval_ns = KAP_MINUTE,
    };
}
static enum kap_status set_subscriptions(void *config, struct kap_arena *arena, const struct kap_arg *args,
                                         size_t nargs, struct kap_error *err)
{
    return add_pair(&((struct kap_config_influxdb *)config)->subscriptions, arena, args, nargs, true, err);
}
static enum kap_status set_excluded(void *config, struct kap_arena *arena, const struct kap_arg *args,
                                    size_t nargs, struct kap_error *err)
{
    struct kap_config_pairs *pairs = &((struct kap_config_influxdb *)config)->excluded_subscriptions;
    if (pairs->v == own_database)
        *pairs = (struct kap_config_pairs){ 0 };
    return add_pair(pairs, arena, args, nargs, true, err);
}
#define INFLUXDB(k, member, option, text) KEY(k, struct kap_config_influxdb, member, option, text)
static const struct kap_prop influxdb_props[] = {
    INFLUXDB(BOOL, enabled, "enabled", "Use this InfluxDB."),
    INFLUXDB(STRING, name, "name", "Name in scripts."),
    INFLUXDB(BOOL, is_default, "default", "The one meant when a script names none."),
    INFLUXDB(STRINGS, urls, "urls", "URLs, used in turn."),
    INFLUXDB(STRING, username, "username", "User."),
    SECRET(STRING, struct kap_config_influxdb, password, "password", "Password."),
    SECRET(STRING, struct kap_config_influxdb, token, "token", "Token of InfluxDB 2."),
    INFLUXDB(BOOL, http_shared_secret, "http-shared-secret", "Sign tokens with [http] shared-secret."),
    INFLUXDB(STRING, ssl_ca, "ssl-ca", "PEM file of the authorities to trust."),
    INFLUXDB(STRING, ssl_cert, "ssl-cert", "PEM file of the client's certificate."),
    INFLUXDB(STRING, ssl_key, "ssl-key", "PEM file of the client's key."),
    INFLUXDB(BOOL, insecure_skip_verify, "insecure-skip-verify", "Do not check the server's certificate."),
    INFLUXDB(DURATION, timeout_ns, "timeout", "Limit of one call; 0: none."),
    INFLUXDB(DURATION, startup_timeout_ns, "startup-timeout", "How long to wait for it at the start."),
    INFLUXDB(STRING, compression, "compression", "Of writes: gzip or none."),
    INFLUXDB(BOOL, disable_subscriptions, "disable-subscriptions", "Make no subscriptions."),
    INFLUXDB(STRING, subscription_protocol, "subscription-protocol", "http, https or udp."),
    INFLUXDB(STRING, subscription_mode, "subscription-mode", "cluster or server."),
    INFLUXDB(STRING, subscription_path, "subscription-path", "Prefix of the path of subscriptions."),
    TABLE("subscriptions", set_subscriptions, "Databases and policies to subscribe to; none: all."),
    TABLE("excluded-subscriptions", set_excluded, "Databases and policies to leave out."),
    INFLUXDB(STRING, kapacitor_hostname, "kapacitor-hostname", "Where subscriptions send to."),
    INFLUXDB(INT, http_port, "http-port", "Port where subscriptions send to; 0: of [http]."),
    INFLUXDB(STRING, udp_bind, "udp-bind", "Address of UDP subscriptions."),
    INFLUXDB(INT, udp_buffer, "udp-buffer", "Packets that may wait."),
    INFLUXDB(INT, udp_read_buffer, "udp-read-buffer", "Size of the socket's buffer; 0: the system's."),
    INFLUXDB(DURATION, subscriptions_sync_interval_ns, "subscriptions-sync-interval",
             "Time between looks for databases."),
    END,
};
static const struct kap_section influxdb_section = {
    .name = "influxdb",
    .doc = "An InfluxDB to query, to write to and to subscribe to.",
    .size = sizeof(struct kap_config_influxdb),
    .init = influxdb_init,
    .props = influxdb_props,
    .many = true,
    .has_default = true,
    .element_key = "name",
    .overridable = true,
};

const struct kap_section *const kap_config_sections[] = {
    &root_section,
    &http_section,
    &cluster_section,
    &rpc_section,
    &alert_section,
    &storage_section,
    &task_section,
    &replay_section,
    &load_section,
    &logging_section,
    &stats_section,
    &reporting_section,
    &deadman_section,
    &override_section,
    &enterprise_section,
    &influxdb_section,
    NULL,
};
