/* An HTTP server on loopback for tests: keeps what it is sent, answers as it is told.
 * One thread for each connection; `status` may be changed at any time; 0: takes the request and never answers. */
#ifndef KAP_TESTS_ALERT_HTTP_SINK_H
#define KAP_TESTS_ALERT_HTTP_SINK_H

#include "base/buf.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SINK_MAX 20000

struct http_sink {
    int fd, port;
    _Atomic int status;
    _Atomic bool stopping;
    pthread_t thread;
    pthread_mutex_t lock;
    char *heads[SINK_MAX], *bodies[SINK_MAX];
    size_t n;
    _Atomic int connections;
    int fds[256];
    int nfds;
};

struct sink_connection {
    struct http_sink *s;
    int fd;
};

static inline void sink_keep(struct http_sink *s, struct kap_str head, struct kap_str body)
{
    pthread_mutex_lock(&s->lock);
    if (s->n < SINK_MAX) {
        s->heads[s->n] = kap_strndup(head.p, head.n);
        s->bodies[s->n++] = kap_strndup(body.p, body.n);
    }
    pthread_mutex_unlock(&s->lock);
}

/* The length of the request at the start of b, 0 while it is not complete. */
static inline size_t sink_request(const struct kap_buf *b, size_t *head)
{
    const char *end = b->n ? memmem(b->p, b->n, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    *head = (size_t)(end - b->p) + 4;
    const char *length = strcasestr(b->p, "content-length:");
    const size_t body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
    return b->n >= *head + body ? *head + body : 0;
}

static inline void *sink_connection_main(void *arg)
{
    struct sink_connection *c = arg;
    struct http_sink *s = c->s;
    struct kap_buf b = { 0 };
    char chunk[8192];
    ssize_t n;
    while (!s->stopping && (n = recv(c->fd, chunk, sizeof chunk, 0)) > 0) {
        kap_buf_addn(&b, chunk, (size_t)n);
        size_t head, all;
        while ((all = sink_request(&b, &head)) != 0) {
            const int status = s->status;
            if (status == 0 || status / 100 == 2)
                sink_keep(s, kap_strn(b.p, head), kap_strn(b.p + head, all - head));
            memmove(b.p, b.p + all, b.n - all);
            b.n -= all;
            if (status == 0)
                continue;
            char answer[128];
            const int len = snprintf(answer, sizeof answer, "HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}", status);
            send(c->fd, answer, (size_t)len, MSG_NOSIGNAL);
        }
    }
    close(c->fd);
    kap_buf_done(&b);
    free(c);
    s->connections--;
    return NULL;
}

static inline void *sink_main(void *arg)
{
    struct http_sink *s = arg;
    int fd;
    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        struct sink_connection *c = malloc(sizeof *c);
        *c = (struct sink_connection){ s, fd };
        pthread_mutex_lock(&s->lock);
        if (s->nfds < 256)
            s->fds[s->nfds++] = fd;
        pthread_mutex_unlock(&s->lock);
        s->connections++;
        pthread_t t;
        pthread_create(&t, NULL, sink_connection_main, c);
        pthread_detach(t);
    }
    return NULL;
}

static inline int sink_listen(int *port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)*port) };
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    socklen_t size = sizeof a;
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 64) < 0)
        abort();
    getsockname(fd, (struct sockaddr *)&a, &size);
    *port = ntohs(a.sin_port);
    return fd;
}

/* port 0: any. */
static inline struct http_sink *sink_open(int port)
{
    struct http_sink *s = calloc(1, sizeof *s);
    s->port = port;
    s->fd = sink_listen(&s->port);
    s->status = 200;
    pthread_mutex_init(&s->lock, NULL);
    pthread_create(&s->thread, NULL, sink_main, s);
    return s;
}

static inline size_t sink_count(struct http_sink *s)
{
    pthread_mutex_lock(&s->lock);
    const size_t n = s->n;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Waits up to ten seconds for n requests. */
static inline bool sink_wait(struct http_sink *s, size_t n)
{
    for (int i = 0; i < 10000 && sink_count(s) < n; i++)
        usleep(1000);
    return sink_count(s) >= n;
}

static inline void sink_close(struct http_sink *s)
{
    s->stopping = true;
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->nfds; i++)
        shutdown(s->fds[i], SHUT_RDWR); /* one that is closed already says so, which is fine */
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < 5000 && s->connections; i++)
        usleep(1000);
    for (size_t i = 0; i < s->n; i++) {
        free(s->heads[i]);
        free(s->bodies[i]);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

#endif
