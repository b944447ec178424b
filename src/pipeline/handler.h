/* Handlers: one file per kind in handlers/, each exporting one descriptor.
 * A handler is two pure functions where it speaks HTTP: build() a request from an event, judge() the reply; I/O, TLS,
 * retries and limits are the dispatcher's. The few that are not HTTP (log, exec, tcp, smtp, mqtt, kafka, snmp) implement
 * send() instead, which runs on a delivery thread and may block up to its timeout.
 * Options come inline from TICKscript (props name) or from a handler file / API (props option). Config sections have
 * their own props table.
 * Ownership: descriptors are constants; option structs live in an arena of whoever made them, read-only after check(). */
#ifndef KAP_PIPELINE_HANDLER_H
#define KAP_PIPELINE_HANDLER_H

#include "base/str.h"
#include "pipeline/descriptor.h"

struct json_t;    /* jansson */
struct kap_event; /* alert/event.h */

enum kap_verdict {
    KAP_SENT,    /* the endpoint confirmed */
    KAP_RETRY,   /* worth another attempt later */
    KAP_GIVE_UP, /* will never work: dead letter */
};

struct kap_http_out {               /* a request to be sent; strings live in the arena given to build() */
    const char *method;             /* default "POST" */
    struct kap_str url, body;
    const char **headers;           /* "Name: value", NULL at the end; may be NULL */
    const char *username, *password;
    int64_t timeout_ns;             /* 0: 30 s */
    bool skip_verify;
    const char *ca_file, *cert_file, *key_file;
};

struct kap_handler_env {            /* what a handler may use beside its options */
    const void *config;             /* its config section's struct (array element chosen by the handler), or NULL */
    size_t nconfigs;                /* sections given several times: config is an array of config_size elements */
    struct kap_str hostname, server_id, cluster_id;
    struct kap_str api_url;         /* "http://localhost:9092/kapacitor/v1" */
    void *ctx;                      /* of the dispatcher, for publish and aggregate */
    void (*publish)(void *ctx, struct kap_str topic, struct kap_event *ev);
};

struct kap_handler_type {
    const char *kind;               /* handler-file kind and config section: "slack" */
    const char *method;             /* TICKscript method: "slack"; NULL: topic handler only */
    const char *doc;
    const char *shown;              /* in messages: "OpsGenie2Handler"; NULL: method with a capital letter and "Handler" */
    const char *signature;          /* of the method */
    size_t options_size;
    void (*init)(void *options);
    enum kap_status (*args)(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err); /* the method's own arguments; NULL: none */
    const struct kap_prop *props;   /* TICKscript and file options */
    /* File options that no table holds: maps, lists of objects. KAP_ENOTFOUND: none of that name. May be NULL. */
    enum kap_status (*option)(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err);
    const char *options_shown;      /* in messages about file options: "alert.LogHandlerConfig"; NULL: "KIND.HandlerConfig" */
    const char *inline_failed;      /* in front of what check() says about an inline handler; NULL: nothing */
    enum kap_status (*check)(const void *options, const struct kap_handler_env *env, struct kap_error *err);
    /* config section; NULL props: none */
    const char *section;
    size_t config_size;
    void (*config_init)(void *config);
    const struct kap_prop *config_props;
    bool config_many;               /* [[section]] */
    /* delivery */
    enum kap_status (*build)(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err);
    enum kap_verdict (*judge)(int http_status, struct kap_str body, struct kap_error *err); /* NULL: 2xx is sent, 429 and 5xx retry */
    enum kap_verdict (*send)(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err);
    /* Internal handlers (aggregate, publish) run on every owner as state and are not deduplicated. Both functions run on
     * the loop's thread and return when they want tick() (0: not), on the clock that now_ns is of. */
    bool internal;
    size_t state_size;
    int64_t (*collect)(const void *options, void *state, const struct kap_handler_env *env, struct kap_event *ev,
                       int64_t now_ns);
    int64_t (*tick)(const void *options, void *state, const struct kap_handler_env *env, int64_t now_ns);
    void (*state_close)(void *state);
};

#endif
