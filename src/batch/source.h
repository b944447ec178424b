/* What a query node asks InfluxDB for, and when: its InfluxQL, parsed once and printed with the bounds of
 * each query, and its schedule. Ownership: the caller's; it borrows from the node's graph. Threads: read-only
 * once made. */
#ifndef KAP_BATCH_SOURCE_H
#define KAP_BATCH_SOURCE_H

#include "base/buf.h"
#include "base/cron.h"
#include "nodes/query.h"

struct kap_batch_source;

/* Texts are the reference's; `zone` is for cron expressions. */
enum kap_status kap_batch_source_new(const struct kap_graph_node *node, const struct kap_zone *zone,
                                     struct kap_batch_source **ret, struct kap_error *err);
void kap_batch_source_free(struct kap_batch_source *s); /* NULL is fine */

const struct kap_query *kap_batch_source_query(const struct kap_batch_source *s);
const struct kap_graph_node *kap_batch_source_node(const struct kap_batch_source *s);
bool kap_batch_source_grouped_by_time(const struct kap_batch_source *s);
/* "batch query is not allowed to request data from \"other\".\"rp\"" */
enum kap_status kap_batch_source_check_dbrps(const struct kap_batch_source *s, const struct kap_dbrp *dbrps,
                                             size_t n, struct kap_error *err);

/* For a range of the past: the tick after another one, as the reference counts from the start of the range.
 * False: there is none any more. */
bool kap_batch_source_next(const struct kap_batch_source *s, int64_t after_ns, int64_t *ret_ns);
/* Live: the first tick after a time. Without align and cron they are counted from `anchor_ns`, when the task
 * was enabled, so that they are the same instants on every member. */
bool kap_batch_source_due(const struct kap_batch_source *s, int64_t anchor_ns, int64_t after_ns,
                          int64_t *ret_ns);
/* The query of a tick; returns where its range ends, which is the time of its batches. */
int64_t kap_batch_source_text(const struct kap_batch_source *s, int64_t tick_ns, struct kap_buf *out);

#endif
