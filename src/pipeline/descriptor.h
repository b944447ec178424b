/* Descriptors: what a node, a handler or a config section offers, as data. One table drives the TICKscript binding,
 * validation and its messages, the formatter, DOT and JSON, the config section with environment overrides and redaction,
 * the handler-file options, and the generated reference pages.
 * Ownership: descriptors are constants. A config struct (config_size bytes, zeroed, then init()) lives in the arena of
 * the graph that holds it and is read-only after check(). Threads: read-only. */
#ifndef KAP_PIPELINE_DESCRIPTOR_H
#define KAP_PIPELINE_DESCRIPTOR_H

#include "base/arena.h"
#include "base/error.h"
#include "data/value.h"
#include "lambda/expr.h"

struct kap_graph;
struct kap_graph_node;

/* A value that a script hands to a method: literals, lambdas, nodes, stars, lists. */
enum kap_arg_kind {
    KAP_ARG_VALUE,  /* value: FLOAT INT STRING BOOL DURATION REGEX */
    KAP_ARG_LAMBDA, /* lambda: resolved body */
    KAP_ARG_NODE,   /* node */
    KAP_ARG_STAR,
    KAP_ARG_LIST,   /* list[nlist]; a list given to a variadic method is expanded before it arrives */
    KAP_ARG_FIELD,  /* a "reference" used as an argument (an error with a hint in most places) */
    KAP_ARG_TIME,   /* time(every[, offset]) of groupBy: value is the interval (DURATION), offset_ns the offset */
};
struct kap_arg {
    enum kap_arg_kind kind;
    struct kap_value value;
    const struct kap_expr *lambda;
    struct kap_graph_node *node;
    const struct kap_arg *list;
    size_t nlist;
    int64_t offset_ns;         /* KAP_ARG_TIME */
    const struct kap_expr *at; /* where it stands in the script, for messages; may be NULL */
};

struct kap_strings { /* a list of strings in the graph's arena */
    struct kap_str *v;
    size_t n;
};

enum kap_prop_kind {
    KAP_PROP_END,
    KAP_PROP_INT,      /* int64_t */
    KAP_PROP_FLOAT,    /* double; an int literal is accepted where the reference does */
    KAP_PROP_STRING,   /* struct kap_str */
    KAP_PROP_BOOL,     /* bool, one argument */
    KAP_PROP_FLAG,     /* bool, no argument: true */
    KAP_PROP_DURATION, /* int64_t ns */
    KAP_PROP_LAMBDA,   /* const struct kap_expr * */
    KAP_PROP_STRINGS,  /* struct kap_strings: variadic, replaces */
    KAP_PROP_STRINGS_ADD, /* struct kap_strings: one or more, appended at each call */
    KAP_PROP_CALL,     /* set(): anything else */
};

struct kap_prop {
    enum kap_prop_kind kind;
    bool secret;           /* redacted when shown */
    const char *name;      /* TICKscript spelling: "stateChangesOnly" */
    const char *option;    /* config / handler-file spelling: "state-changes-only"; NULL: not an option */
    size_t offset;         /* of the member in the config struct */
    const char *doc;       /* one sentence */
    const char *signature; /* KAP_PROP_CALL: e.g. "(key string, value string)" for messages and docs */
    /* KAP_PROP_CALL: `config` is the object's config struct, memory comes from `arena`. */
    enum kap_status (*set)(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                           struct kap_error *err);
};

#define KAP_PROP_AT(k, type, member, tick, opt, text)                                                            \
    { .kind = KAP_PROP_##k, .name = (tick), .option = (opt), .offset = offsetof(type, member), .doc = (text) }

enum kap_edge {
    KAP_EDGE_NONE,
    KAP_EDGE_STREAM,
    KAP_EDGE_BATCH,
    KAP_EDGE_ANY,  /* wants: either */
    KAP_EDGE_SAME, /* provides: what its parent provides */
};

struct kap_node_run; /* nodes/node.h */

/* Which nodes a chain method may be called on. The sources "stream" and "batch", and sinks (no_children), know few. */
enum kap_below {
    KAP_BELOW_CHAIN,  /* ordinary nodes, not sources and sinks */
    KAP_BELOW_SOURCE, /* only the source that provides what this one wants (from, query) */
    KAP_BELOW_ANY,    /* every node, sources and sinks too (stats, deadman) */
};

struct kap_node_type {
    const char *name;  /* TICKscript chain method: "httpOut"; NULL: not for scripts ("noop") */
    const char *kind;  /* node IDs, statistics, DOT: "http_out"; the sources are "stream" and "batch" */
    const char *shown; /* in messages: "HTTPOutNode"; NULL: name with a capital letter and "Node": "FromNode" */
    enum kap_below below;
    bool repeatable;   /* KAP_BELOW_SOURCE: may be called on its own type as well (from) */
    const char *doc;   /* one paragraph */
    const char *signature; /* of the chain method: "(endpoint string)" */
    enum kap_edge wants, provides;
    size_t config_size;
    void (*init)(void *config);         /* defaults; may be NULL */
    /* The chain method's own arguments; NULL: takes none. `node` is already linked to the node it was called on;
     * additional parents (join, union) are added with kap_graph_link(). */
    enum kap_status (*args)(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err);
    const struct kap_prop *props;       /* ends with KAP_PROP_END; NULL: none */
    bool has_handlers;                  /* alert: handler types are properties as well */
    bool no_children;                   /* influxDBOut, kapacitorLoopback */
    /* Composite methods (deadman): build nodes below `parent` and return the one that the script goes on with. */
    enum kap_status (*expand)(struct kap_graph_node *parent, const struct kap_arg *args, size_t nargs,
                              struct kap_graph_node **ret, struct kap_error *err);
    enum kap_status (*check)(const struct kap_graph_node *node, struct kap_error *err); /* at define; may be NULL */
    /* Properties that no table can hold, the options of a UDF. KAP_ENOTFOUND: none of that name. May be NULL. */
    enum kap_status (*option)(void *config, const struct kap_graph_node *node, struct kap_arena *arena,
                              struct kap_str name, const struct kap_arg *args, size_t nargs, struct kap_error *err);
    const struct kap_node_run *run;     /* NULL: built away by expand() */
};

#endif
