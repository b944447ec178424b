#include "base/log.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/gotime.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>
#include <unistd.h>

#define SUBSCRIBERS_MAX 64

static _Atomic int log_level = KAP_LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;
static pthread_mutex_t subscribers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    kap_log_subscriber_fn fn;
    void *ctx;
} subscribers[SUBSCRIBERS_MAX];
static _Atomic int nsubscribers;

static const char *const level_names[] = { "debug", "info", "warn", "error", "off" };

bool kap_log_enabled(enum kap_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed) ||
           atomic_load_explicit(&nsubscribers, memory_order_relaxed) > 0;
}

void kap_log_set_level(enum kap_log_level level)
{
    atomic_store(&log_level, (int)level);
}

enum kap_log_level kap_log_get_level(void)
{
    return (enum kap_log_level)atomic_load(&log_level);
}

bool kap_log_level_parse(struct kap_str s, enum kap_log_level *ret)
{
    for (int i = 0; i <= KAP_LOG_OFF; i++) {
        if (s.n == strlen(level_names[i]) && strncasecmp(s.p, level_names[i], s.n) == 0) {
            *ret = (enum kap_log_level)i;
            return true;
        }
    }
    return false;
}

enum kap_status kap_log_open(const char *path, struct kap_error *err)
{
    int fd = STDERR_FILENO;
    if (strcmp(path, "STDOUT") == 0) {
        fd = STDOUT_FILENO;
    } else if (strcmp(path, "STDERR") != 0 && path[0] != '\0') {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        if (fd < 0)
            return kap_fail(err, KAP_EIO, "cannot open log file %s: %s", path, strerror(errno));
    }
    const int old = atomic_exchange(&log_fd, fd);
    if (old > STDERR_FILENO && old != fd)
        close(old);
    return KAP_OK;
}

static bool needs_quotes(struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '=' || s.p[i] == '"' || (unsigned char)s.p[i] >= 0x7f)
            return true;
    return s.n == 0;
}

static void add_text(struct kap_buf *b, struct kap_str s)
{
    if (needs_quotes(s))
        kap_json_escape(b, s, false);
    else
        kap_buf_add(b, s);
}

static void add_kv(struct kap_buf *b, const struct kap_kv *kv)
{
    kap_buf_addc(b, ' ');
    kap_buf_adds(b, kv->key);
    kap_buf_addc(b, '=');
    switch (kv->kind) {
    case KAP_KV_STR: add_text(b, kv->s); break;
    case KAP_KV_INT: kap_number_i64(b, kv->i); break;
    case KAP_KV_FLOAT: kap_number_format(b, kv->f, 'g', -1); break;
    case KAP_KV_DURATION: kap_duration_format_go(b, kv->i); break;
    case KAP_KV_BOOL: kap_buf_adds(b, kv->i ? "true" : "false"); break;
    case KAP_KV_END: break;
    }
}

static void tell_subscribers(enum kap_log_level level, int64_t now, const char *service, const char *msg,
                             const struct kap_kv *kvs, struct kap_str line)
{
    if (atomic_load_explicit(&nsubscribers, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&subscribers_lock);
    for (int i = 0; i < SUBSCRIBERS_MAX; i++)
        if (subscribers[i].fn)
            subscribers[i].fn(subscribers[i].ctx, level, now, service, msg, kvs, line);
    pthread_mutex_unlock(&subscribers_lock);
}

void kap_log_write(enum kap_log_level level, const char *service, const char *msg, const struct kap_kv *kvs)
{
    if (!kap_log_enabled(level))
        return;
    const int64_t now = kap_clock_wall(&kap_clock_system);
    KAP_AUTO_BUF struct kap_buf line = { .max = 64 * 1024 };
    kap_buf_adds(&line, "ts=");
    kap_time_format(&line, now, KAP_STR("2006-01-02T15:04:05.000Z07:00"));
    kap_buf_addf(&line, " lvl=%s msg=", level_names[level]);
    add_text(&line, kap_str(msg));
    kap_buf_addf(&line, " service=%s", service);
    for (const struct kap_kv *kv = kvs; kv && kv->kind != KAP_KV_END; kv++)
        add_kv(&line, kv);
    kap_buf_addc(&line, '\n');
    tell_subscribers(level, now, service, msg, kvs, kap_buf_str(&line));
    if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    if (write(atomic_load_explicit(&log_fd, memory_order_relaxed), line.p, line.n) < 0) {
        /* a log that cannot be written must not stop the work */
    }
}

int kap_log_subscribe(kap_log_subscriber_fn fn, void *ctx)
{
    int handle = -1;
    pthread_mutex_lock(&subscribers_lock);
    for (int i = 0; i < SUBSCRIBERS_MAX && handle < 0; i++) {
        if (!subscribers[i].fn) {
            subscribers[i].fn = fn;
            subscribers[i].ctx = ctx;
            handle = i;
            atomic_fetch_add(&nsubscribers, 1);
        }
    }
    pthread_mutex_unlock(&subscribers_lock);
    return handle;
}

void kap_log_unsubscribe(int handle)
{
    if (handle < 0)
        return;
    pthread_mutex_lock(&subscribers_lock);
    if (subscribers[handle].fn) {
        subscribers[handle].fn = NULL;
        atomic_fetch_sub(&nsubscribers, 1);
    }
    pthread_mutex_unlock(&subscribers_lock);
}
