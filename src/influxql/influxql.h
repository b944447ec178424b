/* The part of InfluxQL that batch queries need: one SELECT statement is parsed, gets time bounds, GROUP BY
 * and fill from the task, and is printed as InfluxDB's own parser prints it (identifiers lose needless
 * quotes, keywords are upper case). Messages are those of github.com/influxdata/influxql and of the reference
 * implementation. Limits: KAP_INFLUXQL_BYTES of text, KAP_INFLUXQL_DEPTH of parentheses, calls and subqueries
 * in each other, KAP_INFLUXQL_OPERATORS in all. Ownership: a query is the caller's. Threads: once set up it
 * is read-only, printing may happen on any thread. */
#ifndef KAP_INFLUXQL_INFLUXQL_H
#define KAP_INFLUXQL_INFLUXQL_H

#include "base/buf.h"
#include "data/value.h"

#define KAP_INFLUXQL_BYTES (64 * 1024)
#define KAP_INFLUXQL_DEPTH 100
#define KAP_INFLUXQL_OPERATORS 4000

struct kap_influxql;

/* Fails with "failed to parse InfluxQL query: found FRM, expected FROM at line 1, char 10", "query must be a
 * single select statement, got 2 statements" or "query is not a select statement \"SHOW DATABASES\"". */
enum kap_status kap_influxql_parse(struct kap_str text, struct kap_influxql **ret, struct kap_error *err);
void kap_influxql_free(struct kap_influxql *q); /* NULL is fine */

struct kap_influxql_source { struct kap_str db, rp; };
/* Where it reads from, one for each source, empty where the text does not say; borrowed from q. Fails when a
 * source is a subquery: "unknown query source *influxql.SubQuery". */
enum kap_status kap_influxql_sources(const struct kap_influxql *q, const struct kap_influxql_source **ret,
                                     size_t *n, struct kap_error *err);

enum kap_influxql_dim_kind {
    KAP_INFLUXQL_TAG,
    KAP_INFLUXQL_STAR,
    KAP_INFLUXQL_TIME,
};
struct kap_influxql_dim {
    enum kap_influxql_dim_kind kind;
    struct kap_str tag;            /* copied */
    int64_t every_ns, offset_ns;   /* TIME */
};
/* Replaces the GROUP BY of the text, also when n is 0. At most one may be TIME. */
enum kap_status kap_influxql_group_by(struct kap_influxql *q, const struct kap_influxql_dim *dims, size_t n,
                                      struct kap_error *err);
bool kap_influxql_grouped_by_time(const struct kap_influxql *q);
/* The offset of time() is such that a group starts where the query does. */
void kap_influxql_align_group(struct kap_influxql *q);

/* Replaces the fill() of the text: a STRING ("null", "none", "previous", "linear"), an INT or a FLOAT. */
enum kap_status kap_influxql_fill(struct kap_influxql *q, struct kap_value fill, struct kap_error *err);

/* The text with "time >= START AND time < STOP" added to its condition. */
void kap_influxql_print(const struct kap_influxql *q, int64_t start_ns, int64_t stop_ns, struct kap_buf *out);

#endif
