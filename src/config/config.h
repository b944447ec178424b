/* The configuration: sections described by tables, filled from their defaults, the file and the environment,
 * in this order; the command line wins over all of them.
 *
 * A section is a plain struct and a table of properties (`option` names a key). The same tables drive
 * reading, checking, environment overrides (KAPACITOR_HTTP_BIND_ADDRESS, KAPACITOR_INFLUXDB_0_URLS_0),
 * printing and redaction; a handler brings its own (pipeline/handler.h).
 *
 * What is wrong: a value of a wrong type is an error with file, line and key. An unknown key is a warning
 * with its place and a hint; a section of stock files that is not built yet is a notice; both are notes, and
 * errors in strict mode.
 *
 * Ownership: everything handed out is borrowed from the configuration. Threads: read-only once loaded. */
#ifndef KAP_CONFIG_CONFIG_H
#define KAP_CONFIG_CONFIG_H

#include "base/log.h"
#include "config/toml.h"
#include "pipeline/descriptor.h"

struct kap_handler_type; /* pipeline/handler.h */
struct kap_config;

struct kap_section {
    const char *name; /* "http"; "" is the top level */
    const char *doc;
    size_t size;                  /* of the struct of one element */
    void (*init)(void *config);   /* defaults; may be NULL */
    const struct kap_prop *props; /* KAP_PROP_CALL: set() gets (key, value) for each entry of a table */
    bool many;                    /* [[name]]; [name] is one element */
    bool has_default;             /* many: there is one element with defaults when the file has none */
    const char *element_key;      /* the option that names an element: "endpoint" */
    bool overridable;             /* the API may change it while the server runs */
};

struct kap_config_args {
    const char *path;       /* -config; NULL: KAPACITOR_CONFIG_PATH, then the usual places, then no file */
    const char *hostname;   /* -hostname; NULL: not given */
    const char *const *env; /* "NAME=value", NULL at the end; NULL: the process's */
    const struct kap_handler_type *const *handlers; /* NULL at the end; may be NULL */
    bool strict;                                    /* notes are errors */
};

/* Something worth saying about a configuration that works. */
struct kap_config_note {
    enum kap_log_level level; /* KAP_LOG_WARN: unknown key; KAP_LOG_INFO: known, not built yet */
    struct kap_str text;      /* "/etc/kapacitor/kapacitor.conf:12:3: unknown key ..." */
};

/* Owned; free with kap_config_free(). */
enum kap_status kap_config_load(const struct kap_config_args *args, struct kap_config **ret,
                                struct kap_error *err);
void kap_config_free(struct kap_config *c);

const char *kap_config_path(const struct kap_config *c); /* of the file read; NULL: built-in defaults */
size_t kap_config_notes(const struct kap_config *c, const struct kap_config_note **ret);
/* The struct of a section; of its first element when there may be many. NULL: no such section, or no element.
 */
const void *kap_config_section(const struct kap_config *c, const char *name);
/* All elements as one array of structs of the section's size. */
const void *kap_config_elements(const struct kap_config *c, const char *name, size_t *ret_n);
/* Was it in the file or set by the environment? */
bool kap_config_given(const struct kap_config *c, const char *name);
/* The effective configuration as TOML, as `kapacitord config` prints it; secrets are shown, as in the
 * reference. */
void kap_config_print(const struct kap_config *c, struct kap_buf *out);
/* One element as the API shows it: options as a JSON object, secrets as true (set) or false. `redacted` gets
 * their names as a JSON array. False: no such element. */
bool kap_config_show(const struct kap_config *c, const char *section, size_t element, struct kap_buf *options,
                     struct kap_buf *redacted);

/* --- overrides: what was set through the API, on top of file and environment --- */

struct json_t; /* jansson */

struct kap_config_change {
    struct kap_str section, element; /* element: the value of the section's key; "" where it has none */
    bool create;                     /* one more element, of this name */
    const struct json_t *options;    /* object: option and value */
};

/* `base` with the changes applied, as a configuration of its own; owned. `base` must outlive it. The message is
 * the reference's: "failed to override configuration talk/: unknown options [x] in section talk". */
enum kap_status kap_config_override(const struct kap_config *base, const struct kap_config_change *changes,
                                    size_t n, struct kap_config **ret, struct kap_error *err);
/* The i-th section that can be overridden, in byte order of the names; NULL past the end. */
const struct kap_section *kap_config_overridable(const struct kap_config *c, size_t i);
/* The i-th element of a section in byte order of their names; false past the end. *ret_element is its index for
 * kap_config_show(). */
bool kap_config_element_name(const struct kap_config *c, const char *section, size_t i, struct kap_str *ret_name,
                             size_t *ret_element);

/* "host:port" that others reach a service at: `advertise` as it is, else `hostname` and the port of `bind`.
 */
void kap_config_advertise(struct kap_str advertise, struct kap_str bind, struct kap_str hostname,
                          struct kap_buf *out);

/* --- sections; strings are never NULL --- */

struct kap_config_root {     /* section "" */
    struct kap_str hostname; /* "localhost" */
    struct kap_str data_dir; /* "" : must be set to run */
    bool skip_config_overrides;
    struct kap_str default_retention_policy;
};
struct kap_config_http {         /* [http] */
    struct kap_str bind_address; /* ":9092" */
    struct kap_str advertise_address;
    bool auth_enabled, log_enabled, write_tracing, pprof_enabled, https_enabled;
    struct kap_str https_certificate, https_private_key, shared_secret;
    int64_t shutdown_timeout_ns;
    int64_t max_write_bytes; /* of one /write body, unpacked; ours */
    int64_t max_connections; /* ours */
};
struct kap_config_cluster {      /* [cluster] */
    struct kap_str bind_address; /* ":9090" */
    struct kap_str advertise_address;
    struct kap_strings roles;        /* "worker" */
    int64_t gossip_members;          /* 0: 3 */
    int64_t gossip_interval_ns;      /* 0: 200 ms */
    int64_t gossip_sync_interval_ns; /* 0: 30 s */
    int64_t task_redundancy;         /* 0: all members */
};
struct kap_config_rpc {          /* [rpc] */
    struct kap_str bind_address; /* ":9091" */
    struct kap_str advertise_address;
    bool enable_grpc_logging; /* accepted, without effect */
};
struct kap_config_alert { /* [alert] */
    bool persist_topics;
    int64_t topic_buffer_length;
    int64_t redundancy; /* 0: all members */
    int64_t delay_per_member_ns, full_sync_interval_ns;
};
struct kap_config_storage { /* [storage] */
    struct kap_str boltdb;  /* accepted: names the stock server's file, for adoption */
};
struct kap_config_task { /* [task] */
    struct kap_str dir;  /* accepted, without effect */
    int64_t snapshot_interval_ns;
};
struct kap_config_replay {
    struct kap_str dir;
};
struct kap_config_load {
    bool enabled;
    struct kap_str dir;
};
struct kap_config_logging {
    struct kap_str file, level;
};
struct kap_config_stats {
    bool enabled;
    int64_t interval_ns;
    struct kap_str database, retention_policy;
    double timing_sample_rate;
    int64_t timing_movavg_size;
};
struct kap_config_deadman {
    int64_t interval_ns;
    double threshold;
    struct kap_str id, message;
    bool global;
};
struct kap_config_override {
    bool enabled;
};

/* A key of a table and its value or values, in the configuration's arena. */
struct kap_config_pair {
    struct kap_str key;
    struct kap_str value;      /* of a string */
    struct kap_strings values; /* of a list of strings */
};
struct kap_config_pairs {
    struct kap_config_pair *v;
    size_t n, cap;
};

struct kap_config_influxdb { /* [[influxdb]] */
    bool enabled, is_default;
    struct kap_str name;
    struct kap_strings urls;
    struct kap_str username, password, token;
    struct kap_str ssl_ca, ssl_cert, ssl_key;
    bool insecure_skip_verify, http_shared_secret;
    int64_t timeout_ns, startup_timeout_ns;
    struct kap_str compression;
    bool disable_subscriptions;
    struct kap_str subscription_protocol, subscription_mode, subscription_path;
    struct kap_config_pairs subscriptions, excluded_subscriptions; /* database: policies */
    struct kap_str kapacitor_hostname, udp_bind;
    int64_t http_port, udp_buffer, udp_read_buffer, subscriptions_sync_interval_ns;
};

extern const struct kap_section *const kap_config_sections[]; /* ends with NULL */

#endif
