/* Small node and handler types for tests of the graph, the binding and the evaluation: each kind of property,
 * each place where a method may be called. Independent of the real nodes. */
#ifndef KAP_TESTS_PIPELINE_TEST_REGISTRY_H
#define KAP_TESTS_PIPELINE_TEST_REGISTRY_H

#include "alert/handler.h"
#include "base/mem.h"
#include "pipeline/graph.h"

struct test_config {
    int64_t count, period_ns;
    double rate;
    struct kap_str text, secret;
    bool on, flag;
    const struct kap_expr *lambda;
    struct kap_strings names, added;
    size_t nargs;                /* of the chain method */
    struct kap_arg last;         /* its last argument */
    struct kap_str key, value;   /* pair() */
    const struct kap_graph_node *watched;
};

struct test_options {
    struct kap_str channel;
};

static enum kap_status test_set_pair(void *config, struct kap_arena *arena, const struct kap_arg *args,
                                     size_t nargs, struct kap_error *err)
{
    struct test_config *c = config;
    if (nargs != 2 || args[0].kind != KAP_ARG_VALUE || args[1].kind != KAP_ARG_VALUE)
        return kap_fail(err, KAP_EINVAL, "pair wants a key and a value");
    c->key = kap_arena_str(arena, args[0].value.s);
    c->value = kap_arena_str(arena, args[1].value.s);
    return KAP_OK;
}

static const struct kap_prop test_props[] = {
    KAP_PROP_AT(INT, struct test_config, count, "count", NULL, "A number."),
    KAP_PROP_AT(FLOAT, struct test_config, rate, "rate", NULL, "A rate."),
    KAP_PROP_AT(STRING, struct test_config, text, "measurement", NULL, "A text."),
    { .kind = KAP_PROP_STRING,
      .name = "token",
      .offset = offsetof(struct test_config, secret),
      .secret = true,
      .doc = "A secret." },
    KAP_PROP_AT(BOOL, struct test_config, on, "on", NULL, "On or off."),
    KAP_PROP_AT(FLAG, struct test_config, flag, "align", NULL, "Aligns."),
    KAP_PROP_AT(DURATION, struct test_config, period_ns, "period", NULL, "A duration."),
    KAP_PROP_AT(LAMBDA, struct test_config, lambda, "crit", NULL, "A condition."),
    KAP_PROP_AT(STRINGS, struct test_config, names, "as", NULL, "Names."),
    KAP_PROP_AT(STRINGS_ADD, struct test_config, added, "tag", NULL, "More names."),
    { .kind = KAP_PROP_CALL,
      .name = "pair",
      .signature = "(key string, value string)",
      .set = test_set_pair,
      .doc = "A pair." },
    { 0 },
};

static inline void test_init(void *config)
{
    ((struct test_config *)config)->count = 21;
}

static enum kap_status test_keep_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                      const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct test_config *c = config;
    (void)node, (void)arena, (void)err;
    c->nargs = nargs;
    if (nargs > 0)
        c->last = args[nargs - 1];
    return KAP_OK;
}

static enum kap_status test_sample_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                        const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    (void)node, (void)arena, (void)config;
    if (nargs == 1 && args[0].kind == KAP_ARG_VALUE && args[0].value.type == KAP_INT)
        return KAP_OK;
    return kap_fail(err, KAP_EINVAL, "must pass int64 or duration to new sample node");
}

/* The other parents come before the one it was called on, as in the reference's union. */
static enum kap_status test_union_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                       const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    (void)config, (void)arena;
    for (size_t i = 0; i < nargs; i++) {
        if (args[i].kind != KAP_ARG_NODE)
            return kap_fail(err, KAP_EINVAL, "wants nodes");
        KAP_TRY(kap_graph_link(args[i].node, node, err));
    }
    return KAP_OK;
}

static enum kap_status test_check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct test_config *c = node->config;
    return c->count >= 0 ? KAP_OK : kap_fail(err, KAP_EINVAL, "count must not be negative");
}

static enum kap_status test_stats_expand(struct kap_graph_node *parent, const struct kap_arg *args,
                                         size_t nargs, struct kap_graph_node **ret, struct kap_error *err)
{
    const struct kap_registry *r = parent->graph->registry;
    struct kap_graph_node *noop;
    (void)args, (void)nargs;
    KAP_TRY(kap_graph_add(parent->graph, NULL, kap_registry_kind(r, "stats"), ret, err));
    if (parent->nchildren == 0)
        KAP_TRY(kap_graph_add(parent->graph, parent, kap_registry_kind(r, "noop"), &noop, err));
    return KAP_OK;
}

static enum kap_status test_slack_args(void *options, struct kap_arena *arena, const struct kap_arg *args,
                                       size_t nargs, struct kap_error *err)
{
    (void)options, (void)arena, (void)args;
    return nargs == 0 ? KAP_OK : kap_fail(err, KAP_EINVAL, "slack takes no arguments");
}

static const struct kap_prop test_slack_props[] = {
    KAP_PROP_AT(STRING, struct test_options, channel, "channel", "channel", "The channel."),
    { 0 },
};

#define TEST_TYPE(NAME, KIND, WANTS, PROVIDES, ...)                                                              \
    { .name = NAME, .kind = KIND, .wants = KAP_EDGE_##WANTS, .provides = KAP_EDGE_##PROVIDES,                      \
      .config_size = sizeof(struct test_config), .init = test_init, __VA_ARGS__ }

static const struct kap_node_type test_stream = TEST_TYPE("stream", "stream", NONE, STREAM);
static const struct kap_node_type test_batch = TEST_TYPE("batch", "batch", NONE, BATCH);
static const struct kap_node_type test_from =
    TEST_TYPE("from", "from", STREAM, STREAM, .below = KAP_BELOW_SOURCE, .repeatable = true,
              .props = test_props, .check = test_check);
static const struct kap_node_type test_query = TEST_TYPE(
    "query", "query", BATCH, BATCH, .below = KAP_BELOW_SOURCE, .props = test_props, .args = test_keep_args);
static const struct kap_node_type test_window =
    TEST_TYPE("window", "window", STREAM, BATCH, .props = test_props);
static const struct kap_node_type test_eval = TEST_TYPE("eval", "eval", ANY, SAME, .props = test_props,
                                                        .args = test_keep_args);
static const struct kap_node_type test_where = TEST_TYPE("where", "where", ANY, SAME, .args = test_keep_args);
static const struct kap_node_type test_sample =
    TEST_TYPE("sample", "sample", ANY, SAME, .args = test_sample_args);
static const struct kap_node_type test_union =
    TEST_TYPE("union", "union", ANY, SAME, .args = test_union_args);
static const struct kap_node_type test_http_out =
    TEST_TYPE("httpOut", "http_out", ANY, SAME, .shown = "HTTPOutNode", .args = test_keep_args);
static const struct kap_node_type test_out =
    TEST_TYPE("influxDBOut", "influxdb_out", ANY, NONE, .no_children = true, .shown = "InfluxDBOutNode",
              .props = test_props);
static const struct kap_node_type test_alert = TEST_TYPE("alert", "alert", ANY, SAME, .has_handlers = true,
                                                         .props = test_props);
static const struct kap_node_type test_stats =
    TEST_TYPE("stats", "stats", STREAM, STREAM, .below = KAP_BELOW_ANY, .expand = test_stats_expand);
static const struct kap_node_type test_noop = TEST_TYPE(NULL, "noop", ANY, SAME);
static const struct kap_node_type test_udf = TEST_TYPE("mirror", "mirror", ANY, SAME, .props = test_props);

static const struct kap_node_type *const test_nodes[] = {
    &test_stream,   &test_batch, &test_from,   &test_query, &test_window,
    &test_eval,     &test_where, &test_sample, &test_union, &test_out,
    &test_http_out, &test_alert, &test_stats,  &test_noop,  NULL,
};

static const struct kap_handler_type test_slack = { .kind = "slack", .method = "slack",
                                                    .options_size = sizeof(struct test_options),
                                                    .args = test_slack_args, .props = test_slack_props };
static const struct kap_handler_type test_publish = { .kind = "publish" };
static const struct kap_handler_type *const test_handlers[] = { &test_slack, &test_publish, NULL };

static const struct kap_node_type *test_find_udf(void *ctx, struct kap_str name)
{
    (void)ctx;
    return kap_str_is(name, "mirror") ? &test_udf : NULL;
}

static const struct kap_registry test_registry = { .nodes = test_nodes, .handlers = test_handlers,
                                                   .udf = test_find_udf };

#endif
