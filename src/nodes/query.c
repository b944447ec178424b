#include "nodes/query.h"

#include "base/cron.h"
#include "nodes/nodes.h"

static bool known_fill(struct kap_str s)
{
    return kap_str_is(s, "null") || kap_str_is(s, "none") || kap_str_is(s, "previous") ||
           kap_str_is(s, "linear");
}

static enum kap_status check_schedule(const struct kap_query *q, struct kap_error *err)
{
    if (q->every_ns != 0 && q->cron.n)
        return kap_fail(err, KAP_EINVAL, "must not set both 'every' and 'cron' properties");
    if (q->cron.n) {
        struct kap_cron *cron;
        KAP_TRY(kap_cron_parse(q->cron, &cron, err));
        kap_cron_free(cron);
        return KAP_OK;
    }
    if (q->every_ns == 0)
        return kap_fail(err, KAP_EINVAL, "must define one of 'every' or 'cron'");
    if (q->every_ns < 0)
        return kap_fail(err, KAP_EINVAL, "'every' duration must must non-negative");
    return KAP_OK;
}

static enum kap_status set_up(const struct kap_query *q, struct kap_influxql *influxql, struct kap_error *err)
{
    if (q->ntimes > 1)
        return kap_fail(err, KAP_EINVAL, "groupBy cannot have more than one time dimension");
    KAP_TRY(kap_influxql_group_by(influxql, q->dims, q->ndims, err));
    if (q->align_group)
        kap_influxql_align_group(influxql);
    if (q->fill.type == KAP_STRING && !known_fill(q->fill.s))
        return kap_fail(err, KAP_EINVAL, "unexpected fill option %.*s", KAP_STR_ARG(q->fill.s));
    if (q->fill.type != KAP_MISSING)
        KAP_TRY(kap_influxql_fill(influxql, q->fill, err));
    return check_schedule(q, err);
}

enum kap_status kap_query_parse(const struct kap_query *q, struct kap_influxql **ret, struct kap_error *err)
{
    struct kap_influxql *influxql;
    KAP_TRY(kap_influxql_parse(q->text, &influxql, err));
    const enum kap_status st = set_up(q, influxql, err);
    if (st == KAP_OK)
        *ret = influxql;
    else
        kap_influxql_free(influxql);
    return st;
}

static enum kap_status open_query(struct kap_node *n, void *state, struct kap_error *err)
{
    struct kap_influxql *influxql;
    KAP_TRY(kap_query_parse(kap_node_config(n), &influxql, err));
    kap_influxql_free(influxql);
    return KAP_OK;
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_STRING, "query", err));
    if (nargs != 1)
        return kap_fail(err, KAP_EINVAL, "query expects one InfluxQL text");
    ((struct kap_query *)config)->text = kap_arena_str(arena, args[0].value.s);
    return KAP_OK;
}

static enum kap_status set_group_by(void *config, struct kap_arena *arena, const struct kap_arg *args,
                                    size_t nargs, struct kap_error *err)
{
    struct kap_query *q = config;
    struct kap_arg *tags = KAP_ARENA_ARRAY(arena, struct kap_arg, nargs + 1);
    size_t ntags = 0;
    q->ntimes = q->ndims = 0;
    q->dims = KAP_ARENA_ARRAY(arena, struct kap_influxql_dim, nargs);
    for (size_t i = 0; i < nargs; i++) {
        struct kap_influxql_dim *d = &q->dims[q->ndims++];
        if (args[i].kind == KAP_ARG_TIME) {
            q->ntimes++;
            *d = (struct kap_influxql_dim){ KAP_INFLUXQL_TIME, KAP_STR(""), args[i].value.i,
                                            args[i].offset_ns };
            continue;
        }
        tags[ntags++] = args[i];
        if (args[i].kind == KAP_ARG_STAR)
            *d = (struct kap_influxql_dim){ .kind = KAP_INFLUXQL_STAR };
        else if (args[i].kind == KAP_ARG_VALUE && args[i].value.type == KAP_STRING)
            *d = (struct kap_influxql_dim){ KAP_INFLUXQL_TAG, kap_arena_str(arena, args[i].value.s), 0, 0 };
    }
    return kap_group_by_set(&q->group_by, arena, tags, ntags, err);
}

static enum kap_status set_fill(void *config, struct kap_arena *arena, const struct kap_arg *args,
                                size_t nargs, struct kap_error *err)
{
    struct kap_query *q = config;
    if (nargs != 1 || args[0].kind != KAP_ARG_VALUE)
        return kap_fail(err, KAP_EINVAL, "fill expects 'null', 'none', 'previous', 'linear' or a number");
    q->fill = args[0].value;
    if (q->fill.type == KAP_STRING)
        q->fill.s = kap_arena_str(arena, q->fill.s);
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(DURATION, struct kap_query, period_ns, "period", NULL,
                "The span of time that a query covers."),
    KAP_PROP_AT(DURATION, struct kap_query, every_ns, "every", NULL,
                "How often to query; exclusive with cron."),
    KAP_PROP_AT(FLAG, struct kap_query, align, "align", NULL, "Starts and ends at multiples of every."),
    KAP_PROP_AT(FLAG, struct kap_query, align_group, "alignGroup", NULL,
                "Lets the time buckets of the query begin with its start."),
    KAP_PROP_AT(STRING, struct kap_query, cron, "cron", NULL, "A schedule in cron's form, seconds first."),
    KAP_PROP_AT(DURATION, struct kap_query, offset_ns, "offset", NULL,
                "How far in the past the queried span ends."),
    { .kind = KAP_PROP_CALL,
      .name = "groupBy",
      .signature = "(dimensions ...string, * or time(..))",
      .set = set_group_by,
      .doc = "The tags, and the interval of time, to group by." },
    { .kind = KAP_PROP_FLAG,
      .name = "groupByMeasurement",
      .offset = offsetof(struct kap_query, group_by.by_name),
      .doc = "Makes the measurement a part of the group." },
    { .kind = KAP_PROP_CALL,
      .name = "fill",
      .signature = "(value string or number)",
      .set = set_fill,
      .doc = "What stands for intervals without data: null, none, previous, linear or a number." },
    KAP_PROP_AT(STRING, struct kap_query, cluster, "cluster", NULL,
                "The configured InfluxDB; empty: the default one."),
    { 0 },
};

static const char *const counters[] = {
    [KAP_QUERY_BATCHES] = "batches_queried", [KAP_QUERY_POINTS] = "points_queried", NULL
};
static const struct kap_node_run run = { .open = open_query, .counters = counters };

const struct kap_node_type kap_node_query = {
    .name = "query",
    .kind = "query",
    .doc = "Queries InfluxDB on a schedule; each series of the answer is a batch.",
    .signature = "(query string)",
    .below = KAP_BELOW_SOURCE,
    .wants = KAP_EDGE_BATCH,
    .provides = KAP_EDGE_BATCH,
    .config_size = sizeof(struct kap_query),
    .args = args,
    .props = props,
    .run = &run,
};
