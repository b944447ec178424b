/* InfluxDB: named clusters, each a list of URLs with failover, and a sender that writes line protocol to them
 * behind the callers' backs.
 *
 * A write that meets no server, a 5xx or 429 is repeated with exponential backoff, each cluster in the order
 * of its writes, until it is accepted; other answers (4xx) are the data's fault and end it. What is waiting
 * is bounded in bytes: past the limit the oldest of that cluster is dropped, counted and logged. Ownership:
 * options are copied. Threads: all functions from any thread. */
#ifndef KAP_INFLUXDB_INFLUXDB_H
#define KAP_INFLUXDB_INFLUXDB_H

#include "base/buf.h"
#include "base/error.h"

struct kap_influxdb;

#define KAP_INFLUXDB_QUEUE_BYTES (64 << 20) /* waiting for one cluster */

struct kap_influxdb_cluster {
    struct kap_str name;
    bool is_default;
    const struct kap_str *urls;
    size_t nurls;
    struct kap_str username, password, token;
    struct kap_str ssl_ca, ssl_cert, ssl_key;
    bool insecure_skip_verify;
    int64_t timeout_ns; /* of one request; 0: 30 s to write, no limit to query */
};

struct kap_influxdb *kap_influxdb_new(const struct kap_influxdb_cluster *clusters, size_t n);
/* Tries once more what is waiting, then ends. NULL is fine. */
void kap_influxdb_free(struct kap_influxdb *db);

struct kap_influxdb_write {
    struct kap_str cluster; /* "": the default */
    struct kap_str db, rp, consistency, precision, lines;
};
/* Queues a write. KAP_ENOTFOUND: "no such InfluxDB config NAME". */
enum kap_status kap_influxdb_write(struct kap_influxdb *db, const struct kap_influxdb_write *w,
                                   struct kap_error *err);
/* CREATE DATABASE, waited for. */
enum kap_status kap_influxdb_create(struct kap_influxdb *db, struct kap_str cluster, struct kap_str database,
                                    struct kap_str rp, struct kap_error *err);
bool kap_influxdb_has(struct kap_influxdb *db, struct kap_str cluster);

struct kap_influxdb_stats {
    uint64_t written, failed, dropped; /* requests accepted; attempts that failed; requests given up */
    size_t waiting_bytes;
};
struct kap_influxdb_stats kap_influxdb_stats(struct kap_influxdb *db);

#endif
