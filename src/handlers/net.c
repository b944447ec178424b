#include "handlers/net.h"

#include "base/duration.h"
#include "base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * KAP_S + t.tv_nsec;
}

/* False: the time is over. */
static bool wait_for(int fd, short events, int64_t until_ns)
{
    for (;;) {
        const int64_t left_ns = until_ns - mono_ns();
        if (left_ns <= 0)
            return false;
        struct pollfd p = { .fd = fd, .events = events };
        const int rc = poll(&p, 1, (int)KAP_MIN(left_ns / KAP_MS + 1, 60000));
        if (rc > 0)
            return true;
        if (rc < 0 && errno != EINTR)
            return true; /* the next call on the socket says what is wrong */
    }
}

static int connect_one(const struct addrinfo *a, int64_t until_ns, int *error)
{
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) {
        *error = errno;
        return -1;
    }
    socklen_t size = sizeof *error;
    *error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (*error == EINPROGRESS) {
        if (!wait_for(fd, POLLOUT, until_ns))
            *error = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &size) < 0)
            *error = errno;
    }
    if (*error == 0)
        return fd;
    close(fd);
    return -1;
}

static int send_all(int fd, struct kap_str data, int64_t until_ns)
{
    while (data.n) {
        const ssize_t n = send(fd, data.p, data.n, MSG_NOSIGNAL);
        if (n >= 0) {
            data.p += n;
            data.n -= (size_t)n;
        } else if (errno == EAGAIN) {
            if (!wait_for(fd, POLLOUT, until_ns))
                return ETIMEDOUT;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    /* A reset that comes now means that the data was not taken. */
    int error = 0;
    socklen_t size = sizeof error;
    shutdown(fd, SHUT_WR);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

static enum kap_status split(struct kap_str address, char **host, char **port, struct kap_error *err)
{
    const char *colon = memrchr(address.p, ':', address.n);
    if (!colon)
        return kap_fail(err, KAP_EINVAL, "dial tcp: address %.*s: missing port in address", KAP_STR_ARG(address));
    struct kap_str h = kap_strn(address.p, (size_t)(colon - address.p));
    const struct kap_str p = kap_strn(colon + 1, (size_t)(address.p + address.n - colon - 1));
    if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
        h = kap_strn(h.p + 1, h.n - 2);
    *host = kap_strndup(h.n ? h.p : "localhost", h.n ? h.n : strlen("localhost"));
    *port = kap_strndup(p.p, p.n);
    return KAP_OK;
}

enum kap_status kap_tcp_send(struct kap_str address, struct kap_str data, int64_t timeout_ns, struct kap_error *err)
{
    KAP_AUTO_FREE char *host = NULL, *port = NULL;
    KAP_TRY(split(address, &host, &port, err));
    const int64_t until_ns = mono_ns() + timeout_ns;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *all;
    const int rc = getaddrinfo(host, port, &hints, &all);
    if (rc != 0)
        return kap_fail(err, KAP_EIO, "dial tcp: lookup %s: %s", host, gai_strerror(rc));
    int error = 0, fd = -1;
    for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next)
        fd = connect_one(a, until_ns, &error);
    freeaddrinfo(all);
    if (fd < 0)
        return kap_fail(err, KAP_EIO, "dial tcp %.*s: %s", KAP_STR_ARG(address), strerror(error));
    error = send_all(fd, data, until_ns);
    close(fd);
    return error ? kap_fail(err, KAP_EIO, "tcp %.*s: %s", KAP_STR_ARG(address), strerror(error)) : KAP_OK;
}
