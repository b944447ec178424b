/* Queries to InfluxDB 1.x: one InfluxQL text by POST /query, chunked, and the reading of the answer as it
 * arrives:
 * {"results":[{"series":[{"name":..,"tags":{..},"columns":["time",..],"values":[[..],..]}]}]}
 *
 * Each series is a block; a series that was cut into chunks ("partial") is put together again. Numbers are
 * floats, as the reference reads them; nulls are missing fields, rows of nulls are left out. The block's time
 * is that of its latest point. Memory: one series and one chunk. Threads: kap_influxdb_query() from any; a
 * kap_result belongs to one at a time. */
#ifndef KAP_INFLUXDB_QUERY_H
#define KAP_INFLUXDB_QUERY_H

#include "base/error.h"
#include "data/block.h"
#include "influxdb/influxdb.h"

#define KAP_RESULT_CHUNK_BYTES (256 << 20)

/* Takes the block. A failure ends the query and is its result. */
typedef enum kap_status (*kap_result_fn)(void *ctx, struct kap_block *block, struct kap_error *err);

struct kap_influxdb_query {
    struct kap_str cluster; /* "": the default */
    struct kap_str text;
    bool by_name;               /* blocks are grouped by measurement too */
    const _Atomic bool *cancel; /* ends the query when it becomes true; NULL: nothing does */
};

/* Waits for the answer. KAP_ENOTFOUND: "no such InfluxDB config NAME". Other texts are InfluxDB's own. What
 * came before a failure was handed to fn. */
enum kap_status kap_influxdb_query(struct kap_influxdb *db, const struct kap_influxdb_query *q,
                                   kap_result_fn fn, void *ctx, struct kap_error *err);

/* --- the reading alone --- */
struct kap_result;

struct kap_result *kap_result_new(bool by_name, kap_result_fn fn, void *ctx);
void kap_result_free(struct kap_result *r); /* NULL is fine */
enum kap_status kap_result_feed(struct kap_result *r, struct kap_str piece, struct kap_error *err);
enum kap_status kap_result_end(struct kap_result *r, struct kap_error *err);
/* The error of an answer with a status other than 200: its own text, else "invalid response: code 502". */
enum kap_status kap_result_refusal(long status, struct kap_str body, struct kap_error *err);

#endif
