#include "batch/source.h"

#include "base/mem.h"

struct kap_batch_source {
    const struct kap_graph_node *node;
    const struct kap_query *query;
    const struct kap_zone *zone;
    struct kap_influxql *influxql;
    struct kap_cron *cron; /* NULL: every */
};

enum kap_status kap_batch_source_new(const struct kap_graph_node *node, const struct kap_zone *zone,
                                     struct kap_batch_source **ret, struct kap_error *err)
{
    const struct kap_query *q = node->config;
    struct kap_influxql *influxql;
    KAP_TRY(kap_query_parse(q, &influxql, err));
    struct kap_cron *cron = NULL;
    const enum kap_status st = q->cron.n ? kap_cron_parse(q->cron, &cron, err) : KAP_OK;
    if (st != KAP_OK) {
        kap_influxql_free(influxql);
        return st;
    }
    struct kap_batch_source *s = KAP_NEW(struct kap_batch_source);
    *s = (struct kap_batch_source){ node, q, zone, influxql, cron };
    *ret = s;
    return KAP_OK;
}

void kap_batch_source_free(struct kap_batch_source *s)
{
    if (!s)
        return;
    kap_influxql_free(s->influxql);
    kap_cron_free(s->cron);
    kap_free(s);
}

const struct kap_query *kap_batch_source_query(const struct kap_batch_source *s)
{
    return s->query;
}

const struct kap_graph_node *kap_batch_source_node(const struct kap_batch_source *s)
{
    return s->node;
}

bool kap_batch_source_grouped_by_time(const struct kap_batch_source *s)
{
    return kap_influxql_grouped_by_time(s->influxql);
}

enum kap_status kap_batch_source_check_dbrps(const struct kap_batch_source *s, const struct kap_dbrp *dbrps,
                                             size_t n, struct kap_error *err)
{
    const struct kap_influxql_source *sources;
    size_t nsources;
    KAP_TRY(kap_influxql_sources(s->influxql, &sources, &nsources, err));
    for (size_t i = 0; i < nsources; i++) {
        bool allowed = false;
        for (size_t k = 0; k < n && !allowed; k++)
            allowed = kap_str_eq(dbrps[k].db, sources[i].db) && kap_str_eq(dbrps[k].rp, sources[i].rp);
        if (!allowed)
            return kap_fail(err, KAP_EINVAL,
                            "batch query is not allowed to request data from \"%.*s\".\"%.*s\"",
                            KAP_STR_ARG(sources[i].db), KAP_STR_ARG(sources[i].rp));
    }
    return KAP_OK;
}

bool kap_batch_source_next(const struct kap_batch_source *s, int64_t after_ns, int64_t *ret_ns)
{
    if (s->cron)
        return kap_cron_next(s->cron, s->zone, after_ns, ret_ns);
    int64_t next_ns;
    if (__builtin_add_overflow(after_ns, s->query->every_ns, &next_ns))
        return false;
    *ret_ns = s->query->align ? kap_time_round(next_ns, s->query->every_ns) : next_ns;
    return *ret_ns > after_ns;
}

bool kap_batch_source_due(const struct kap_batch_source *s, int64_t anchor_ns, int64_t after_ns,
                          int64_t *ret_ns)
{
    if (s->cron)
        return kap_cron_next(s->cron, s->zone, after_ns, ret_ns);
    const int64_t every_ns = s->query->every_ns;
    if (s->query->align)
        *ret_ns = kap_time_truncate(after_ns, every_ns) + every_ns;
    else if (after_ns < anchor_ns)
        *ret_ns = anchor_ns + every_ns;
    else
        *ret_ns = anchor_ns + ((after_ns - anchor_ns) / every_ns + 1) * every_ns;
    return true;
}

int64_t kap_batch_source_text(const struct kap_batch_source *s, int64_t tick_ns, struct kap_buf *out)
{
    const int64_t stop_ns = tick_ns - s->query->offset_ns;
    kap_influxql_print(s->influxql, stop_ns - s->query->period_ns, stop_ns, out);
    return stop_ns;
}
