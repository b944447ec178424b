#include "daemon/stats.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"

#include <pthread.h>
#include <time.h>

struct kap_stats_service {
    const struct kap_config_stats *config;
    const struct kap_api *api;
    struct kap_httpd *httpd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool ending;
};

static void write_all(const struct kap_stats_service *s, int64_t now_ns)
{
    KAP_AUTO_BUF struct kap_buf lines = { 0 };
    struct kap_error err;
    size_t n;
    kap_api_stats_lines(s->api, s->httpd, now_ns, &lines);
    const struct kap_write w = { .db = s->config->database,
                                 .rp = s->config->retention_policy,
                                 .precision = KAP_STR("n"),
                                 .body = kap_buf_str(&lines) };
    if (kap_engine_write(s->api->engine, &w, &n, &err) != KAP_OK)
        kap_log(KAP_LOG_ERROR, "stats", "cannot write statistics", kap_kv_s("err", err.msg));
}

/* False: it is time to end. */
static bool wait_until(struct kap_stats_service *s, int64_t time_ns)
{
    const struct timespec at = { .tv_sec = time_ns / 1000000000, .tv_nsec = time_ns % 1000000000 };
    pthread_mutex_lock(&s->lock);
    while (!s->ending && kap_clock_wall(s->api->clock) < time_ns)
        pthread_cond_timedwait(&s->ended, &s->lock, &at);
    const bool goes_on = !s->ending;
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

static void *stats_main(void *arg)
{
    struct kap_stats_service *s = arg;
    const int64_t interval_ns = s->config->interval_ns;
    int64_t next_ns;
    do {
        next_ns = (kap_clock_wall(s->api->clock) / interval_ns + 1) * interval_ns;
        if (!wait_until(s, next_ns))
            return NULL;
        write_all(s, next_ns);
    } while (true);
}

enum kap_status kap_stats_service_new(const struct kap_config_stats *config, const struct kap_api *api,
                                      struct kap_httpd *h, struct kap_stats_service **ret,
                                      struct kap_error *err)
{
    if (config->interval_ns < 1000000)
        return kap_fail(err, KAP_EINVAL, "[stats] stats-interval must be at least 1ms");
    struct kap_stats_service *s = KAP_NEW(struct kap_stats_service);
    s->config = config;
    s->api = api;
    s->httpd = h;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->ended, NULL);
    if (pthread_create(&s->thread, NULL, stats_main, s) != 0) {
        kap_free(s);
        return kap_fail(err, KAP_EINTERNAL, "cannot start the thread of [stats]");
    }
    *ret = s;
    return KAP_OK;
}

void kap_stats_service_free(struct kap_stats_service *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_signal(&s->ended);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->ended);
    kap_free(s);
}
