/* A raw HTTP client for tests: what is sent and what comes back, byte for byte, over loopback. */
#ifndef KAP_TESTS_UNIT_API_CLIENT_H
#define KAP_TESTS_UNIT_API_CLIENT_H

#include "../test.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct answer {
    int status;
    char *headers, *body; /* owned */
    size_t body_n;
};

static inline int client_connect(uint16_t port)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(port),
                                    .sin_addr.s_addr = htonl(0x7f000001) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static inline void client_send(int fd, struct kap_str s)
{
    while (s.n > 0) {
        const ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server may have answered and closed */
        s.p += n;
        s.n -= (size_t)n;
    }
}

static inline const char *client_header(const struct answer *a, const char *name)
{
    static char value[512];
    const size_t n = strlen(name);
    for (const char *line = a->headers; line && *line;
         line = strstr(line, "\r\n") ? strstr(line, "\r\n") + 2 : NULL) {
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(line + n + 2, "\r"), line + n + 2);
            return value;
        }
    }
    return NULL;
}

/* Reads one answer with a Content-Length (or none), within ten seconds. */
static inline struct answer client_read(int fd, bool head)
{
    struct answer a = { 0 };
    struct kap_buf b = { 0 };
    size_t body_at = 0, want = SIZE_MAX;
    while (want == SIZE_MAX || b.n < want) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, 10000), 1);
        char *to = kap_buf_reserve(&b, 65536);
        const ssize_t n = recv(fd, to, 65536, 0);
        if (n <= 0)
            break;
        b.n += (size_t)n;
        b.p[b.n] = '\0';
        const char *end = strstr(b.p, "\r\n\r\n");
        if (want != SIZE_MAX || end == NULL)
            continue;
        body_at = (size_t)(end - b.p) + 4;
        a.headers = kap_strndup(b.p, body_at - 2);
        const char *length = client_header(&a, "Content-Length");
        want = body_at + (length && !head ? strtoul(length, NULL, 10) : 0);
    }
    assert_non_null(a.headers);
    a.status = (int)strtol(b.p + 9, NULL, 10);
    a.body_n = b.n - body_at;
    a.body = kap_strndup(b.p + body_at, a.body_n);
    kap_buf_done(&b);
    return a;
}

static inline void answer_done(struct answer *a)
{
    kap_free(a->headers);
    kap_free(a->body);
}

static inline struct answer client_call(uint16_t port, const char *method, const char *path,
                                        const char *headers, const char *body)
{
    const int fd = client_connect(port);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addf(&b, "%s %s HTTP/1.1\r\nHost: x\r\n%s", method, path, headers ? headers : "");
    if (body)
        kap_buf_addf(&b, "Content-Length: %zu\r\n", strlen(body));
    kap_buf_addf(&b, "\r\n%s", body ? body : "");
    client_send(fd, kap_buf_str(&b));
    const struct answer a = client_read(fd, strcmp(method, "HEAD") == 0);
    close(fd);
    return a;
}

/* The whole exchange, checked. */
#define CALLS(port_, method_, path_, headers_, body_, want_status, want_body)                                \
    check_call(client_call((port_), (method_), (path_), (headers_), (body_)), (method_), (path_),            \
               (want_status), (want_body), __FILE__, __LINE__)

static inline void check_call(struct answer a, const char *method, const char *path, int status,
                              const char *body, const char *file, int line)
{
    const bool good = a.status == status && (body == NULL || strcmp(a.body, body) == 0);
    if (!good)
        print_error("%s %s\ngot:  %d %s\nwant: %d %s\n", method, path, a.status, a.body, status,
                    body ? body : "(any)");
    answer_done(&a);
    if (!good)
        _fail(file, line);
}

#endif
