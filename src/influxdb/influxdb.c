#include "influxdb/influxdb.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "influxdb/query.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define TIMEOUT_NS (30 * INT64_C(1000000000))
#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 15000
#define ANSWER_BYTES 4096

struct request {
    struct request *next;
    char *path; /* with its query */
    struct kap_buf lines;
};

struct cluster {
    struct kap_influxdb *db;
    char *name, *username, *password, *token, *ssl_ca, *ssl_cert, *ssl_key;
    char **urls;
    size_t nurls, url; /* the one that answered last */
    bool is_default, insecure_skip_verify;
    int64_t timeout_ns, query_timeout_ns;
    struct request *first, **last;
    size_t waiting_bytes;
    uint64_t written, failed, dropped;
    pthread_t sender;
    pthread_cond_t changed;
};

struct kap_influxdb {
    pthread_mutex_t lock; /* guards the queues and counters of all clusters */
    bool stopping;
    struct cluster *clusters;
    size_t n;
};

static char *copy(struct kap_str s)
{
    return kap_strndup(s.p ? s.p : "", s.n);
}

static void free_request(struct request *r)
{
    kap_free(r->path);
    kap_buf_done(&r->lines);
    kap_free(r);
}

/* --- one attempt --- */

struct answer {
    long status; /* 0: nobody answered */
    char why[CURL_ERROR_SIZE];
    char text[ANSWER_BYTES + 1];
    size_t n;
};

static size_t keep(char *p, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    const size_t take = KAP_MIN(size * n, ANSWER_BYTES - a->n);
    memcpy(a->text + a->n, p, take);
    a->n += take;
    a->text[a->n] = '\0';
    return size * n;
}

static void set_up(CURL *h, const struct cluster *c, struct answer *a)
{
    curl_easy_reset(h);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(c->timeout_ns / 1000000));
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, a->why);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "KapacitorInfluxDBClient");
    if (c->username[0]) {
        curl_easy_setopt(h, CURLOPT_USERNAME, c->username);
        curl_easy_setopt(h, CURLOPT_PASSWORD, c->password);
        curl_easy_setopt(h, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    }
    if (c->ssl_ca[0])
        curl_easy_setopt(h, CURLOPT_CAINFO, c->ssl_ca);
    if (c->ssl_cert[0])
        curl_easy_setopt(h, CURLOPT_SSLCERT, c->ssl_cert);
    if (c->ssl_key[0])
        curl_easy_setopt(h, CURLOPT_SSLKEY, c->ssl_key);
    if (c->insecure_skip_verify) {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void post(CURL *h, const struct cluster *c, const char *url, const char *path, struct kap_str body,
                 struct answer *a)
{
    *a = (struct answer){ 0 };
    set_up(h, c, a);
    KAP_AUTO_BUF struct kap_buf whole = { 0 };
    kap_buf_addf(&whole, "%s/%s", url, path);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    headers = curl_slist_append(headers, "Content-Type: text/plain; charset=utf-8");
    if (c->token[0]) {
        KAP_AUTO_FREE char *auth = kap_asprintf("Authorization: Token %s", c->token);
        headers = curl_slist_append(headers, auth);
    }
    curl_easy_setopt(h, CURLOPT_URL, whole.p);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h, CURLOPT_POST, 1L);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.n ? body.p : "");
    const CURLcode code = curl_easy_perform(h);
    if (code == CURLE_OK)
        curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &a->status);
    else if (!a->why[0])
        snprintf(a->why, sizeof a->why, "%s", curl_easy_strerror(code));
    curl_slist_free_all(headers);
}

static bool worth_repeating(long status)
{
    return status == 0 || status == 429 || status >= 500;
}

/* Tries the URLs in turn, the last good one first. */
static void post_any(CURL *h, struct cluster *c, const char *path, struct kap_str body, struct answer *a)
{
    for (size_t i = 0; i < c->nurls; i++) {
        const size_t at = (c->url + i) % c->nurls;
        post(h, c, c->urls[at], path, body, a);
        if (!worth_repeating(a->status)) {
            c->url = at;
            return;
        }
    }
}

/* --- the sender: one thread for each cluster --- */

static void pause_ms(struct kap_influxdb *db, struct cluster *c, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!db->stopping && pthread_cond_timedwait(&c->changed, &db->lock, &until) == 0)
        continue;
}

static struct request *take(struct cluster *c)
{
    struct request *r = c->first;
    if (!r)
        return NULL;
    c->first = r->next;
    if (!c->first)
        c->last = &c->first;
    c->waiting_bytes -= r->lines.n;
    return r;
}

/* One request until it is accepted, refused or the end comes. Called and left with the lock held. */
static void send_request(struct kap_influxdb *db, struct cluster *c, CURL *h, const struct request *r)
{
    for (int64_t backoff = BACKOFF_MIN_MS;; backoff = KAP_MIN(backoff * 2, BACKOFF_MAX_MS)) {
        struct answer a;
        pthread_mutex_unlock(&db->lock);
        post_any(h, c, r->path, kap_buf_str(&r->lines), &a);
        pthread_mutex_lock(&db->lock);
        if (a.status / 100 == 2) {
            c->written++;
            return;
        }
        c->failed++;
        const bool again = worth_repeating(a.status) && !db->stopping;
        kap_log(KAP_LOG_ERROR, "influxdb",
                again ? "write failed, will be repeated" : "write failed, points are lost",
                kap_kv_s("cluster", c->name), kap_kv_i("status", a.status),
                kap_kv_s("err", a.n ? a.text : a.why));
        if (!again) {
            c->dropped++;
            return;
        }
        pause_ms(db, c, backoff);
    }
}

static void *run_sender(void *arg)
{
    struct cluster *c = arg;
    struct kap_influxdb *db = c->db;
    CURL *h = curl_easy_init();
    if (!h)
        return NULL;
    pthread_mutex_lock(&db->lock);
    for (;;) {
        struct request *r = take(c);
        if (r) {
            send_request(db, c, h, r);
            free_request(r);
        } else if (db->stopping) {
            break;
        } else {
            pthread_cond_wait(&c->changed, &db->lock);
        }
    }
    pthread_mutex_unlock(&db->lock);
    curl_easy_cleanup(h);
    return NULL;
}

/* --- life --- */

/* Scheme and host: like the reference's client, a path in the URL is not kept. */
static char *base_of(struct kap_str url)
{
    const char *host = memmem(url.p, url.n, "://", 3);
    const size_t from = host ? (size_t)(host - url.p) + 3 : 0;
    const char *slash = memchr(url.p + from, '/', url.n - from);
    return kap_strndup(url.p, slash ? (size_t)(slash - url.p) : url.n);
}

static void open_cluster(struct kap_influxdb *db, struct cluster *c, const struct kap_influxdb_cluster *o)
{
    c->db = db;
    c->name = copy(o->name);
    c->username = copy(o->username);
    c->password = copy(o->password);
    c->token = copy(o->token);
    c->ssl_ca = copy(o->ssl_ca);
    c->ssl_cert = copy(o->ssl_cert);
    c->ssl_key = copy(o->ssl_key);
    c->urls = KAP_ARRAY(char *, o->nurls);
    for (size_t i = 0; i < o->nurls; i++)
        c->urls[c->nurls++] = base_of(o->urls[i]);
    c->is_default = o->is_default;
    c->insecure_skip_verify = o->insecure_skip_verify;
    c->timeout_ns = o->timeout_ns > 0 ? o->timeout_ns : TIMEOUT_NS;
    c->query_timeout_ns = KAP_MAX(o->timeout_ns, 0);
    c->last = &c->first;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (kap_thread_start(&c->sender, "influxdb", run_sender, c) != 0)
        abort(); /* no thread at start-up: nothing can work */
}

struct kap_influxdb *kap_influxdb_new(const struct kap_influxdb_cluster *clusters, size_t n)
{
    struct kap_influxdb *db = KAP_NEW(struct kap_influxdb);
    pthread_mutex_init(&db->lock, NULL);
    db->clusters = KAP_ARRAY(struct cluster, n);
    for (size_t i = 0; i < n; i++)
        open_cluster(db, &db->clusters[db->n++], &clusters[i]);
    return db;
}

static void close_cluster(struct cluster *c)
{
    pthread_join(c->sender, NULL);
    pthread_cond_destroy(&c->changed);
    for (size_t i = 0; i < c->nurls; i++)
        kap_free(c->urls[i]);
    kap_free(c->urls);
    char *const texts[] = { c->name, c->username, c->password, c->token, c->ssl_ca, c->ssl_cert, c->ssl_key };
    for (size_t i = 0; i < KAP_COUNT(texts); i++)
        kap_free(texts[i]);
}

void kap_influxdb_free(struct kap_influxdb *db)
{
    if (!db)
        return;
    pthread_mutex_lock(&db->lock);
    db->stopping = true;
    for (size_t i = 0; i < db->n; i++)
        pthread_cond_broadcast(&db->clusters[i].changed);
    pthread_mutex_unlock(&db->lock);
    for (size_t i = 0; i < db->n; i++)
        close_cluster(&db->clusters[i]);
    pthread_mutex_destroy(&db->lock);
    kap_free(db->clusters);
    kap_free(db);
}

/* --- requests --- */

static struct cluster *find(struct kap_influxdb *db, struct kap_str name, struct kap_error *err)
{
    for (size_t i = 0; i < db->n; i++)
        if (name.n ? kap_str_is(name, db->clusters[i].name) : db->clusters[i].is_default)
            return &db->clusters[i];
    if (name.n == 0)
        (void)kap_fail(err, KAP_ENOTFOUND, "no default InfluxDB cluster is configured");
    else
        (void)kap_fail(err, KAP_ENOTFOUND, "no such InfluxDB config %.*s", KAP_STR_ARG(name));
    return NULL;
}

bool kap_influxdb_has(struct kap_influxdb *db, struct kap_str cluster)
{
    return find(db, cluster, NULL) != NULL;
}

static void add_escaped(struct kap_buf *b, struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '_' || c == '.' || c == '~';
        kap_buf_addf(b, plain ? "%c" : "%%%02X", c);
    }
}

static void add_parameter(struct kap_buf *b, const char *name, struct kap_str value)
{
    kap_buf_addf(b, "%s%s=", b->n && b->p[b->n - 1] == '?' ? "" : "&", name);
    add_escaped(b, value);
}

enum kap_status kap_influxdb_write(struct kap_influxdb *db, const struct kap_influxdb_write *w,
                                   struct kap_error *err)
{
    struct cluster *c = find(db, w->cluster, err);
    if (!c)
        return KAP_ENOTFOUND;
    struct kap_buf path = { 0 };
    kap_buf_adds(&path, "write?");
    add_parameter(&path, "consistency", w->consistency);
    add_parameter(&path, "db", w->db);
    add_parameter(&path, "precision", w->precision.n ? w->precision : KAP_STR("ns"));
    add_parameter(&path, "rp", w->rp);
    struct request *r = KAP_NEW(struct request);
    r->path = kap_buf_take(&path);
    kap_buf_add(&r->lines, w->lines);
    pthread_mutex_lock(&db->lock);
    while (c->first && c->waiting_bytes + r->lines.n > KAP_INFLUXDB_QUEUE_BYTES) {
        free_request(take(c));
        c->dropped++;
        kap_log(KAP_LOG_ERROR, "influxdb", "too much is waiting to be written, the oldest points are lost",
                kap_kv_s("cluster", c->name));
    }
    *c->last = r;
    c->last = &r->next;
    c->waiting_bytes += r->lines.n;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&db->lock);
    return KAP_OK;
}

static void add_identifier(struct kap_buf *b, struct kap_str s)
{
    kap_buf_addc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            kap_buf_addc(b, '\\');
        kap_buf_addc(b, s.p[i]);
    }
    kap_buf_addc(b, '"');
}

static bool is_plain_identifier(struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return s.n > 0;
}

enum kap_status kap_influxdb_create(struct kap_influxdb *db, struct kap_str cluster, struct kap_str database,
                                    struct kap_str rp, struct kap_error *err)
{
    struct cluster *c = find(db, cluster, err);
    if (!c)
        return KAP_ENOTFOUND;
    KAP_AUTO_BUF struct kap_buf query = { 0 };
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    kap_buf_adds(&query, "CREATE DATABASE ");
    add_identifier(&query, database);
    if (rp.n) {
        kap_buf_adds(&query, " WITH NAME ");
        if (is_plain_identifier(rp))
            kap_buf_add(&query, rp);
        else
            add_identifier(&query, rp);
    }
    kap_buf_adds(&path, "query?");
    add_parameter(&path, "q", kap_buf_str(&query));
    CURL *h = curl_easy_init();
    if (!h)
        return kap_fail(err, KAP_EINTERNAL, "the HTTP client could not be set up");
    struct answer a = { 0 };
    post_any(h, c, path.p, (struct kap_str){ 0 }, &a);
    curl_easy_cleanup(h);
    if (a.status / 100 == 2)
        return KAP_OK;
    return kap_fail(err, KAP_EIO, "%s", a.n ? a.text : a.why);
}

/* --- queries: the answer is read as it comes --- */

struct reading {
    struct kap_result *result;
    CURL *handle;
    const _Atomic bool *cancel;
    long status;
    bool began, stopped;
    struct kap_error *err;
    enum kap_status outcome;
    struct kap_buf refusal; /* what a status other than 200 came with */
    char why[CURL_ERROR_SIZE];
};

static size_t take_answer(char *p, size_t size, size_t n, void *ctx)
{
    struct reading *r = ctx;
    if (!r->began) {
        r->began = true;
        curl_easy_getinfo(r->handle, CURLINFO_RESPONSE_CODE, &r->status);
    }
    if (r->status != 200) {
        kap_buf_addn(&r->refusal, p, KAP_MIN(size * n, ANSWER_BYTES - r->refusal.n));
        return size * n;
    }
    r->outcome = kap_result_feed(r->result, kap_strn(p, size * n), r->err);
    r->stopped = r->outcome != KAP_OK;
    return r->stopped ? 0 : size * n;
}

static int watch_cancel(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
    const struct reading *r = ctx;
    return r->cancel && atomic_load(r->cancel);
}

static void ask(const struct cluster *c, const char *url, const char *path, struct reading *r)
{
    struct answer unused;
    set_up(r->handle, c, &unused);
    KAP_AUTO_BUF struct kap_buf whole = { 0 };
    kap_buf_addf(&whole, "%s/%s", url, path);
    struct curl_slist *headers = NULL;
    if (c->token[0]) {
        KAP_AUTO_FREE char *auth = kap_asprintf("Authorization: Token %s", c->token);
        headers = curl_slist_append(headers, auth);
    }
    CURL *h = r->handle;
    curl_easy_setopt(h, CURLOPT_URL, whole.p);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h, CURLOPT_POST, 1L);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, 0L);
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(c->query_timeout_ns / 1000000));
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)(TIMEOUT_NS / 1000000));
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, r->why);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, watch_cancel);
    curl_easy_setopt(h, CURLOPT_XFERINFODATA, r);
    const CURLcode code = curl_easy_perform(h);
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &r->status);
    if (code != CURLE_OK && !r->stopped) {
        r->outcome = KAP_EIO;
        (void)kap_fail(r->err, KAP_EIO, "%s", r->why[0] ? r->why : curl_easy_strerror(code));
    }
    curl_slist_free_all(headers);
}

static enum kap_status ask_any(struct cluster *c, const char *path, struct reading *r)
{
    for (size_t i = 0; i < c->nurls; i++) {
        const size_t at = (c->url + i) % c->nurls;
        r->outcome = KAP_OK;
        r->why[0] = '\0';
        ask(c, c->urls[at], path, r);
        if (r->began || r->outcome == KAP_OK) /* what has begun cannot be asked again */
            break;
    }
    if (r->outcome == KAP_OK && r->status != 200)
        return kap_result_refusal(r->status, kap_buf_str(&r->refusal), r->err);
    return r->outcome == KAP_OK ? kap_result_end(r->result, r->err) : r->outcome;
}

enum kap_status kap_influxdb_query(struct kap_influxdb *db, const struct kap_influxdb_query *q,
                                   kap_result_fn fn, void *ctx, struct kap_error *err)
{
    struct kap_error local;
    struct cluster *c = find(db, q->cluster, err);
    if (!c)
        return KAP_ENOTFOUND;
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    kap_buf_adds(&path, "query?");
    add_parameter(&path, "chunked", KAP_STR("true"));
    add_parameter(&path, "db", KAP_STR(""));
    add_parameter(&path, "q", q->text);
    struct reading r = { .result = kap_result_new(q->by_name, fn, ctx),
                         .handle = curl_easy_init(),
                         .cancel = q->cancel,
                         .err = err ? err : &local };
    const enum kap_status st = r.handle ? ask_any(c, path.p, &r)
                                        : kap_fail(err, KAP_EINTERNAL, "the HTTP client could not be set up");
    curl_easy_cleanup(r.handle);
    kap_result_free(r.result);
    kap_buf_done(&r.refusal);
    return st;
}

struct kap_influxdb_stats kap_influxdb_stats(struct kap_influxdb *db)
{
    struct kap_influxdb_stats s = { 0 };
    pthread_mutex_lock(&db->lock);
    for (size_t i = 0; i < db->n; i++) {
        s.written += db->clusters[i].written;
        s.failed += db->clusters[i].failed;
        s.dropped += db->clusters[i].dropped;
        s.waiting_bytes += db->clusters[i].waiting_bytes;
    }
    pthread_mutex_unlock(&db->lock);
    return s;
}
