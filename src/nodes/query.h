/* query: what a batch task asks InfluxDB for, and when; read by the batch source of the engine. */
#ifndef KAP_NODES_QUERY_H
#define KAP_NODES_QUERY_H

#include "influxql/influxql.h"
#include "nodes/util.h"

struct kap_query {
    struct kap_str text;                       /* InfluxQL as written */
    int64_t period_ns, every_ns, offset_ns;
    struct kap_str cron;
    bool align, align_group;
    struct kap_group_by group_by;              /* tags or *, by_name */
    struct kap_influxql_dim *dims;             /* tags, * and time(..) in the order of the script */
    size_t ndims;
    size_t ntimes;                             /* time(..) dimensions; more than one is an error when enabled */
    struct kap_value fill;                     /* MISSING: not given; STRING, INT or FLOAT */
    struct kap_str cluster;                    /* empty: the default one */
};

enum kap_query_counter { KAP_QUERY_BATCHES, KAP_QUERY_POINTS }; /* counted by who queries */

extern const struct kap_node_type kap_node_query;

/* The InfluxQL with its dimensions and fill; what enabling checks comes in the reference's order: text, dimensions,
 * fill, schedule. Owned by the caller. */
enum kap_status kap_query_parse(const struct kap_query *q, struct kap_influxql **ret, struct kap_error *err);

#endif
