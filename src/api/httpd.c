/* The server: routes, threads, start and stop. Requests are request.c. */
#include "api/httpd.h"

#include "api/request.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CONNECTION_MEMORY_BYTES 65536 /* bounds the request line and headers as well */
#define IDLE_SECONDS 300
#define MAX_PEM_BYTES (1 << 20)

struct route_entry {
    const struct kap_route *route;
    void *ctx;
    char *pattern; /* whole */
    size_t n;
    bool below; /* takes what is below it */
};

struct kap_httpd {
    struct kap_httpd_options options;
    char *address, *version, *certificate, *key, *pem_certificate, *pem_key;
    struct route_entry *routes;
    size_t nroutes, routes_cap;
    struct MHD_Daemon *daemon;
    int listener;
    uint16_t port;
    struct kap_httpd_stats stats;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wanted, idle;
    struct kap_request *queue, **queue_end;
    pthread_t *workers;
    unsigned nworkers;
    size_t nactive;
    struct kap_request *active; /* every request that is under way */
    _Atomic bool stopping;
    _Atomic size_t nsuspended; /* by kap_request_suspend() */
};

/* --- set up --- */

struct kap_httpd *kap_httpd_new(const struct kap_httpd_options *options)
{
    struct kap_httpd *h = KAP_NEW(struct kap_httpd);
    h->options = *options;
    h->address = kap_strndup(options->bind_address.p, options->bind_address.n);
    h->version = kap_strdup(options->version ? options->version : KAP_VERSION);
    h->certificate = kap_strdup(options->certificate_file ? options->certificate_file : "");
    h->key = kap_strdup(options->private_key_file ? options->private_key_file : "");
    h->options.threads = options->threads ? options->threads : 2;
    h->options.workers = options->workers ? options->workers : 4;
    h->options.max_connections = options->max_connections ? options->max_connections : 16384;
    h->options.max_body_bytes = options->max_body_bytes ? options->max_body_bytes : 25 << 20;
    h->options.max_large_bytes = options->max_large_bytes ? options->max_large_bytes : 128 << 20;
    h->listener = -1;
    h->queue_end = &h->queue;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wanted, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->idle, &attr);
    pthread_condattr_destroy(&attr);
    return h;
}

void kap_httpd_add(struct kap_httpd *h, const struct kap_route *routes, void *ctx)
{
    for (; routes->method; routes++) {
        KAP_GROW(h->routes, h->routes_cap, h->nroutes + 1);
        const bool root = strncmp(routes->pattern, "//", 2) == 0;
        struct route_entry *e = &h->routes[h->nroutes++];
        e->route = routes;
        e->ctx = ctx;
        e->pattern =
            root ? kap_strdup(routes->pattern + 1) : kap_asprintf("%s%s", KAP_HTTP_BASE, routes->pattern);
        e->n = strlen(e->pattern);
        e->below = e->n > 1 && e->pattern[e->n - 1] == '/';
    }
}

const char *kap_httpd_version(const struct kap_httpd *h)
{
    return h->version;
}

uint16_t kap_httpd_port(const struct kap_httpd *h)
{
    return h->port;
}

struct kap_httpd_stats *kap_httpd_stats(struct kap_httpd *h)
{
    return &h->stats;
}

/* --- routes --- */

/* Length of the pattern that fits best, 0 if none does; `method` NULL: any. */
static const struct route_entry *find_route(const struct kap_httpd *h, const char *method,
                                            struct kap_str path)
{
    const struct route_entry *best = NULL;
    for (size_t i = 0; i < h->nroutes; i++) {
        const struct route_entry *e = &h->routes[i];
        if (method && strcmp(e->route->method, method) != 0)
            continue;
        if (path.n < e->n || memcmp(path.p, e->pattern, e->n) != 0 || (!e->below && path.n != e->n))
            continue;
        if (best == NULL || e->n > best->n)
            best = e;
    }
    return best;
}

static void choose_route(struct kap_request *rq)
{
    const struct kap_httpd *h = rq->server;
    const struct route_entry *e = find_route(h, rq->method, rq->path);
    rq->max_body = h->options.max_body_bytes;
    if (e == NULL)
        return;
    rq->route = e->route;
    rq->route_ctx = e->ctx;
    rq->tail = kap_strn(rq->path.p + e->n, rq->path.n - e->n);
    if (e->route->flags & KAP_ROUTE_LARGE)
        rq->max_body = h->options.max_large_bytes;
    else if (e->route->max_body_bytes)
        rq->max_body = e->route->max_body_bytes;
    rq->body.max = rq->max_body;
}

/* --- threads that may wait --- */

static void enqueue(struct kap_request *rq)
{
    struct kap_httpd *h = rq->server;
    pthread_mutex_lock(&h->lock);
    rq->next = NULL;
    *h->queue_end = rq;
    h->queue_end = &rq->next;
    pthread_cond_signal(&h->wanted);
    pthread_mutex_unlock(&h->lock);
}

static void *work(void *arg)
{
    struct kap_httpd *h = arg;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (h->queue == NULL && !h->stopping)
            pthread_cond_wait(&h->wanted, &h->lock);
        struct kap_request *rq = h->queue;
        if (rq == NULL)
            break;
        h->queue = rq->next;
        if (h->queue == NULL)
            h->queue_end = &h->queue;
        pthread_mutex_unlock(&h->lock);
        if (rq->later) {
            rq->later(rq->route_ctx, rq);
        } else {
            rq->route->fn(rq->route_ctx, rq);
            kap_request_resume(rq);
        }
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

void kap_request_later(struct kap_request *rq, kap_route_fn fn)
{
    rq->later = fn;
    enqueue(rq);
}

void kap_request_suspend(struct kap_request *rq)
{
    rq->suspended = true;
    rq->server->nsuspended++;
    MHD_suspend_connection(rq->conn);
}

void kap_request_resume(struct kap_request *rq)
{
    struct kap_httpd *h = rq->server;
    MHD_resume_connection(rq->conn);
    h->nsuspended--;
}

/* --- libmicrohttpd's callbacks --- */

static void *request_begins(void *ctx, const char *uri, struct MHD_Connection *conn)
{
    struct kap_httpd *h = ctx;
    struct kap_request *rq = kap_request_new(h, conn, uri);
    pthread_mutex_lock(&h->lock);
    h->nactive++;
    rq->next_active = h->active;
    if (h->active)
        h->active->prev_active = rq;
    h->active = rq;
    pthread_mutex_unlock(&h->lock);
    return rq;
}

static void request_ends(void *ctx, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode why)
{
    struct kap_httpd *h = ctx;
    struct kap_request *rq = *con_cls;
    if (rq == NULL)
        return;
    *con_cls = NULL;
    if (h->options.log_requests && rq->status != 0)
        kap_request_log(rq);
    pthread_mutex_lock(&h->lock);
    if (rq->prev_active)
        rq->prev_active->next_active = rq->next_active;
    else
        h->active = rq->next_active;
    if (rq->next_active)
        rq->next_active->prev_active = rq->prev_active;
    if (--h->nactive == 0)
        pthread_cond_broadcast(&h->idle);
    pthread_mutex_unlock(&h->lock);
    kap_request_free(rq);
}

static enum MHD_Result answer(struct kap_request *rq)
{
    struct kap_httpd_stats *st = &rq->server->stats;
    if (rq->status >= 500)
        st->server_errors++;
    else if (rq->status >= 400)
        st->client_errors++;
    return kap_request_answer(rq);
}

/* Headers are there, the body is not. Answering now closes the connection. */
static enum MHD_Result headers_complete(struct kap_request *rq, const char *url, const char *method,
                                        const char *protocol)
{
    rq->seen_headers = true;
    rq->server->stats.requests++;
    kap_request_parse(rq, url, method, protocol);
    choose_route(rq);
    const char *length = kap_request_header(rq, "Content-Length");
    int64_t n;
    if (rq->route == NULL || length == NULL || !kap_str_to_i64(kap_str(length), &n))
        return MHD_YES;
    rq->too_large = (uint64_t)n > rq->max_body;
    if ((uint64_t)n > kap_request_drain_limit(rq)) {
        kap_reply_error(rq, 413, "request body is too large, the limit is %zu bytes", rq->max_body);
        return answer(rq);
    }
    return MHD_YES;
}

static enum MHD_Result body_complete(struct kap_request *rq)
{
    int status;
    const char *wrong = kap_request_body_error(rq, &status);
    if (rq->route == NULL && strcmp(rq->method, "OPTIONS") == 0 && find_route(rq->server, NULL, rq->path))
        kap_reply(rq, 200);
    else if (rq->route == NULL)
        kap_reply_error(rq, 404, "Not Found");
    else if (rq->server->stopping)
        kap_reply_error(rq, 503, "the server is stopping");
    else if (wrong && rq->route->flags & KAP_ROUTE_TEXT_ERRORS)
        kap_reply_text(rq, status, "%s", wrong);
    else if (wrong)
        kap_reply_error(rq, status, "%s", wrong);
    else if (rq->route->flags & KAP_ROUTE_INLINE)
        rq->route->fn(rq->route_ctx, rq);
    else {
        kap_request_suspend(rq);
        enqueue(rq);
    }
    /* a suspended request is another thread's now */
    return rq->suspended ? MHD_YES : answer(rq);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
                              const char *protocol, const char *data, size_t *n, void **con_cls)
{
    struct kap_request *rq = *con_cls;
    if (rq == NULL)
        return MHD_NO;
    if (!rq->seen_headers)
        return headers_complete(rq, url, method, protocol);
    if (*n > 0) {
        const bool go_on = kap_request_take(rq, data, *n);
        *n = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    return rq->suspended ? answer(rq) : body_complete(rq);
}

static void library_says(void *ctx, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void library_says(void *ctx, const char *fmt, va_list ap)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_vaddf(&b, fmt, ap);
    kap_log(KAP_LOG_DEBUG, "http", "connection", kap_kv_n("err", kap_str_trim(kap_buf_str(&b))));
}

/* --- start and stop --- */

static enum kap_status read_pem(const char *path, char **ret, struct kap_error *err)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return kap_fail(err, KAP_EIO, "HTTPS certificate or key %s: %s", path, strerror(errno));
    struct kap_buf b = { .max = MAX_PEM_BYTES };
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        kap_buf_addn(&b, block, n);
    fclose(f);
    if (b.n == 0 || b.failed) {
        kap_buf_done(&b);
        return kap_fail(err, KAP_EINVAL, "HTTPS certificate or key %s is empty or too large", path);
    }
    *ret = kap_buf_take(&b);
    return KAP_OK;
}

static int listen_at(const struct addrinfo *ai)
{
    const int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    const int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, 1024) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in6 sa = { 0 }; /* the port stands in the same place in an IPv4 address */
    socklen_t n = sizeof sa;
    return getsockname(fd, (struct sockaddr *)&sa, &n) == 0 ? ntohs(sa.sin6_port) : 0;
}

/* "host:port", "[v6]:port", ":port". */
static enum kap_status bind_address(struct kap_httpd *h, struct kap_error *err)
{
    char *colon = strrchr(h->address, ':');
    if (colon == NULL)
        return kap_fail(err, KAP_EINVAL,
                        "HTTP bind-address \"%s\" has no port, write \"host:port\" or \":port\"", h->address);
    KAP_AUTO_FREE char *host = kap_strndup(h->address, (size_t)(colon - h->address));
    char *name = host;
    const size_t n = strlen(name);
    if (n > 1 && name[0] == '[' && name[n - 1] == ']') {
        name[n - 1] = '\0';
        name++;
    }
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    const int failed = getaddrinfo(*name ? name : "::", colon + 1, &hints, &list);
    if (failed != 0)
        return kap_fail(err, KAP_EIO, "cannot listen on HTTP address %s: %s", h->address,
                        gai_strerror(failed));
    for (const struct addrinfo *ai = list; ai && h->listener < 0; ai = ai->ai_next)
        h->listener = listen_at(ai);
    int error = errno;
    freeaddrinfo(list);
    if (h->listener < 0 && *name == '\0' && error == EAFNOSUPPORT) { /* no IPv6 here */
        struct sockaddr_in any = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)) };
        const struct addrinfo ai = { .ai_family = AF_INET,
                                     .ai_addr = (struct sockaddr *)&any,
                                     .ai_addrlen = sizeof any };
        h->listener = listen_at(&ai);
        error = errno;
    }
    if (h->listener < 0)
        return kap_fail(err, KAP_EIO, "cannot listen on HTTP address %s: %s", h->address, strerror(error));
    h->port = port_of(h->listener);
    return KAP_OK;
}

static enum kap_status start_daemon(struct kap_httpd *h, struct kap_error *err)
{
    struct MHD_OptionItem tls[3] = { { MHD_OPTION_END, 0, NULL } };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (h->options.https) {
        flags |= MHD_USE_TLS;
        KAP_TRY(read_pem(h->certificate, &h->pem_certificate, err));
        KAP_TRY(read_pem(h->key[0] ? h->key : h->certificate, &h->pem_key, err));
        tls[0] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, h->pem_certificate };
        tls[1] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, h->pem_key };
        tls[2] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    }
    h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, h, MHD_OPTION_EXTERNAL_LOGGER, library_says, h,
                                 MHD_OPTION_LISTEN_SOCKET, h->listener, MHD_OPTION_THREAD_POOL_SIZE,
                                 h->options.threads, MHD_OPTION_CONNECTION_LIMIT, h->options.max_connections,
                                 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
                                 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                                 MHD_OPTION_URI_LOG_CALLBACK, request_begins, h, MHD_OPTION_NOTIFY_COMPLETED,
                                 request_ends, h, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (h->daemon == NULL)
        return kap_fail(err, KAP_EIO, "cannot serve HTTP on %s%s", h->address,
                        h->options.https ? ": is the certificate with its key valid?" : "");
    return KAP_OK;
}

enum kap_status kap_httpd_start(struct kap_httpd *h, struct kap_error *err)
{
    KAP_TRY(bind_address(h, err));
    h->workers = KAP_ARRAY(pthread_t, h->options.workers);
    for (; h->nworkers < h->options.workers; h->nworkers++) {
        if (kap_thread_start(&h->workers[h->nworkers], "http call", work, h) != 0)
            return kap_fail(err, KAP_EIO, "cannot start a thread for HTTP");
    }
    return start_daemon(h, err);
}

/* Streams end when they are asked for more after `stopping`. */
static void wake_streams(struct kap_httpd *h)
{
    for (struct kap_request *rq = h->active; rq; rq = rq->next_active) {
        if (rq->has_stream)
            kap_stream_wake(rq);
    }
}

bool kap_request_stopping(const struct kap_request *rq)
{
    return rq->server->stopping;
}

static void wait_idle(struct kap_httpd *h, int64_t timeout_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ns / 1000000000;
    until.tv_nsec += timeout_ns % 1000000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (h->nactive > 0) {
        if (pthread_cond_timedwait(&h->idle, &h->lock, &until) == ETIMEDOUT)
            break;
    }
}

void kap_httpd_stop(struct kap_httpd *h, int64_t timeout_ns)
{
    if (h->daemon)
        MHD_quiesce_daemon(h->daemon);
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_broadcast(&h->wanted);
    wake_streams(h);
    if (h->daemon)
        wait_idle(h, timeout_ns);
    pthread_mutex_unlock(&h->lock);
    for (unsigned i = 0; i < h->nworkers; i++)
        pthread_join(h->workers[i], NULL);
    h->nworkers = 0;
    /* The library must not stop over a suspended connection, so these are waited for without a limit: what
     * answers them (workers, the engine) always comes to an end. */
    while (h->nsuspended > 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    h->daemon = NULL;
    if (h->listener >= 0)
        close(h->listener);
    h->listener = -1;
}

void kap_httpd_free(struct kap_httpd *h)
{
    if (h == NULL)
        return;
    kap_httpd_stop(h, 0);
    for (size_t i = 0; i < h->nroutes; i++)
        kap_free(h->routes[i].pattern);
    kap_free(h->routes);
    kap_free(h->workers);
    kap_free(h->address);
    kap_free(h->version);
    kap_free(h->certificate);
    kap_free(h->key);
    kap_free(h->pem_certificate);
    kap_free(h->pem_key);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->wanted);
    pthread_cond_destroy(&h->idle);
    kap_free(h);
}
