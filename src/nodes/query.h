/* query: what a batch task asks InfluxDB for, and when; read by the batch source of the engine. */
#ifndef KAP_NODES_QUERY_H
#define KAP_NODES_QUERY_H

#include "nodes/util.h"

struct kap_query {
    struct kap_str text;                       /* InfluxQL as written */
    int64_t period_ns, every_ns, offset_ns;
    struct kap_str cron;
    bool align, align_group;
    struct kap_group_by group_by;              /* tags or *, by_name */
    size_t ntimes;                             /* time(..) dimensions; more than one is an error when enabled */
    int64_t group_interval_ns, group_offset_ns;
    struct kap_value fill;                     /* MISSING: not given; STRING, INT or FLOAT */
    struct kap_str cluster;                    /* empty: the default one */
};

extern const struct kap_node_type kap_node_query;

/* What enabling checks apart from the text: dimensions, fill, schedule. */
enum kap_status kap_query_check(const struct kap_query *q, struct kap_error *err);

#endif
