/* Log lines in logfmt, as users' tools parse them:
 *   ts=2018-01-02T15:04:05.678Z lvl=info msg="opened service" service=http addr=:9092
 * One process-wide logger; level and output are set by the daemon. Threads: all. Library rooms below engine
 * do not log: they return errors. */
#ifndef KAP_BASE_LOG_H
#define KAP_BASE_LOG_H

#include "base/error.h"
#include "base/str.h"

enum kap_log_level { KAP_LOG_DEBUG, KAP_LOG_INFO, KAP_LOG_WARN, KAP_LOG_ERROR, KAP_LOG_OFF };

struct kap_kv {
    const char *key;
    enum { KAP_KV_END, KAP_KV_STR, KAP_KV_INT, KAP_KV_FLOAT, KAP_KV_DURATION, KAP_KV_BOOL } kind;
    struct kap_str s;
    int64_t i;
    double f;
};
static inline struct kap_kv kap_kv_s(const char *key, const char *value)
{
    return (struct kap_kv){ .key = key, .kind = KAP_KV_STR, .s = kap_str(value ? value : "") };
}
static inline struct kap_kv kap_kv_n(const char *key, struct kap_str value)
{
    return (struct kap_kv){ .key = key, .kind = KAP_KV_STR, .s = value };
}
static inline struct kap_kv kap_kv_i(const char *key, int64_t value)
{
    return (struct kap_kv){ .key = key, .kind = KAP_KV_INT, .i = value };
}
static inline struct kap_kv kap_kv_f(const char *key, double value)
{
    return (struct kap_kv){ .key = key, .kind = KAP_KV_FLOAT, .f = value };
}
static inline struct kap_kv kap_kv_d(const char *key, int64_t ns)
{
    return (struct kap_kv){ .key = key, .kind = KAP_KV_DURATION, .i = ns };
}

/* kap_log(KAP_LOG_INFO, "http", "opened service", kap_kv_s("addr", addr)); */
/* The empty entry in front lets a line have no fields. */
#define kap_log(level, service, msg, ...)                                                                        \
    kap_log_write((level), (service), (msg), &(const struct kap_kv[]){ { 0 }, ##__VA_ARGS__, { 0 } }[1])
void kap_log_write(enum kap_log_level level, const char *service, const char *msg, const struct kap_kv *kvs);
bool kap_log_enabled(enum kap_log_level level);
void kap_log_set_level(enum kap_log_level level);
enum kap_log_level kap_log_get_level(void);
/* "DEBUG", "info", "Warn".. in any case; "OFF". */
bool kap_log_level_parse(struct kap_str s, enum kap_log_level *ret);
/* "STDERR", "STDOUT" or a path that is appended to. */
enum kap_status kap_log_open(const char *path, struct kap_error *err);
/* Every line, complete with its fields, also goes to subscribers (log streaming). The callback runs on the
 * logging thread, must not log and must not block. Returns a handle for kap_log_unsubscribe(). */
typedef void (*kap_log_subscriber_fn)(void *ctx, enum kap_log_level level, int64_t time_ns, const char *service,
                                      const char *msg, const struct kap_kv *kvs, struct kap_str line);
int kap_log_subscribe(kap_log_subscriber_fn fn, void *ctx);
void kap_log_unsubscribe(int handle);

#endif
