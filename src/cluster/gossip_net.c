#include "cluster/gossip_net.h"
#include "base/duration.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <stdio.h>

enum {
    MAX_SERVED = 128,
    READ_BYTES = 65536,
    SOCKET_BUFFER_BYTES = 2 << 20,
    HOST_BYTES = 256,
    PORT_BYTES = 8,
};
#define RESOLVE_AGAIN_NS (60 * KAP_S)
#define RESOLVE_RETRY_NS (2 * KAP_S)
#define SEED_EVERY_NS (1 * KAP_S)

struct seed {
    char *name, *addr;
    struct kap_swim_addr last; /* what it resolved to */
    bool joined;               /* of seeds without a name */
};

struct conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct kap_gossip_net *net;
    struct conn *next, *prev;
    bool dialled, closing, replied;
    uint64_t id; /* the core's stream when dialled, else ours */
    const char *error; /* found while the core could not be told */
    int64_t deadline_ns;
    struct kap_swim_addr peer;
    struct kap_swim_inbound inbound;
    struct kap_buf in, out;
};

enum lookup_kind { LOOKUP_SELF, LOOKUP_JOIN, LOOKUP_SEED };

struct lookup {
    uv_getaddrinfo_t req;
    struct kap_gossip_net *net;
    enum lookup_kind kind;
    uint16_t port;
    size_t seed, seeds_generation;
    char text[HOST_BYTES + PORT_BYTES];
};

struct kap_gossip_net {
    uv_loop_t *loop;
    uv_udp_t udp;
    uv_tcp_t tcp;
    uv_timer_t timer;
    struct kap_swim *core;
    const struct kap_clock *clock;
    void (*event)(void *ctx, const struct kap_swim_event *ev);
    enum kap_swim_role (*admit)(void *ctx, struct kap_str name, const struct kap_wire_tag *tags, size_t n);
    void *ctx;
    char advertise[HOST_BYTES + PORT_BYTES];
    uint16_t port;
    char *wanted_cluster; /* NULL: disabled */
    bool resolved, resolving, stopping, ipv4_only;
    int64_t resolve_ns, seed_ns;
    struct seed *seeds;
    size_t n_seeds, seed_next, seeds_generation;
    struct conn *conns;
    size_t n_served;
    uint64_t last_conn;
    unsigned open_handles, lookups;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    struct kap_gossip_stats stats;
    char read_bytes[READ_BYTES];
};

static int64_t now_of(const struct kap_gossip_net *net)
{
    return kap_clock_mono(net->clock);
}

static void on_timer(uv_timer_t *timer);

/* After every input: the timer follows the core's deadline, the streams' and the names'. */
static void rearm(struct kap_gossip_net *net)
{
    if (net->stopping)
        return;
    int64_t at_ns = kap_swim_deadline(net->core);
    at_ns = KAP_MIN(at_ns, net->resolve_ns);
    if (net->n_seeds && kap_swim_enabled(net->core))
        at_ns = KAP_MIN(at_ns, net->seed_ns);
    for (const struct conn *conn = net->conns; conn; conn = conn->next)
        if (!conn->closing)
            at_ns = KAP_MIN(at_ns, conn->error ? INT64_MIN : conn->deadline_ns);
    const int64_t wait_ns = at_ns == INT64_MIN ? 0 : KAP_MAX(at_ns - now_of(net), 0);
    uv_update_time(net->loop);
    uv_timer_start(&net->timer, on_timer, (uint64_t)KAP_MIN((wait_ns + KAP_MS - 1) / KAP_MS, KAP_HOUR / KAP_MS), 0);
}

/* ---- addresses ---- */

static bool split_addr(const char *text, char host[HOST_BYTES], char port[PORT_BYTES])
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon[1] == 0 || strlen(colon + 1) >= PORT_BYTES)
        return false;
    struct kap_str h = kap_strn(text, (size_t)(colon - text));
    if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
        h = kap_strn(h.p + 1, h.n - 2);
    int64_t number;
    if (h.n >= HOST_BYTES || !kap_str_to_i64(kap_str(colon + 1), &number) || number < 0 || number > UINT16_MAX)
        return false;
    memcpy(host, h.p, h.n);
    host[h.n] = 0;
    snprintf(port, PORT_BYTES, "%u", (unsigned)number);
    return true;
}

static struct kap_swim_addr addr_of(const struct sockaddr *sa)
{
    struct kap_swim_addr a = { .n = 0 };
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        a.n = 4;
        a.port = ntohs(in->sin_port);
        memcpy(a.ip, &in->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        const bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        a.n = mapped ? 4 : 16;
        a.port = ntohs(in6->sin6_port);
        memcpy(a.ip, (const uint8_t *)&in6->sin6_addr + (mapped ? 12 : 0), a.n);
    }
    return a;
}

static void sockaddr_of(const struct kap_swim_addr *a, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (a->n == 4) {
        struct sockaddr_in *in = (void *)ss;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
    } else {
        struct sockaddr_in6 *in6 = (void *)ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->ip, 16);
    }
}

/* ---- end of life ---- */

static void free_net(struct kap_gossip_net *net)
{
    for (size_t i = 0; i < net->n_seeds; i++) {
        kap_free(net->seeds[i].name);
        kap_free(net->seeds[i].addr);
    }
    kap_free(net->seeds);
    kap_free(net->wanted_cluster);
    kap_swim_free(net->core);
    kap_free(net);
}

static void maybe_stopped(struct kap_gossip_net *net)
{
    if (!net->stopping || net->open_handles > 0 || net->conns || net->lookups > 0)
        return;
    void (*const stopped)(void *ctx) = net->stopped;
    void *const ctx = net->stopped_ctx;
    free_net(net);
    if (stopped)
        stopped(ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct kap_gossip_net *net = handle->data;
    net->open_handles--;
    maybe_stopped(net);
}

/* ---- streams ---- */

static void on_conn_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct kap_gossip_net *net = conn->net;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        net->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    net->n_served -= !conn->dialled;
    kap_buf_done(&conn->in);
    kap_buf_done(&conn->out);
    kap_free(conn);
    maybe_stopped(net);
}

static void close_conn(struct conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    uv_close((uv_handle_t *)&conn->tcp, on_conn_closed);
}

/* Ends a stream that did not come to its end; never called while the core works. */
static void fail_conn(struct conn *conn, const char *why)
{
    if (conn->closing)
        return;
    close_conn(conn);
    if (conn->dialled && !conn->net->stopping)
        kap_swim_stream_failed(conn->net->core, conn->id, why, now_of(conn->net));
}

static struct conn *new_conn(struct kap_gossip_net *net, bool dialled)
{
    struct conn *conn = KAP_NEW(struct conn);
    conn->net = net;
    conn->dialled = dialled;
    conn->inbound = KAP_SWIM_INBOUND_START;
    conn->in.max = KAP_WIRE_STREAM_BYTES + 1024;
    uv_tcp_init(net->loop, &conn->tcp);
    conn->tcp.data = conn;
    conn->next = net->conns;
    if (net->conns)
        net->conns->prev = conn;
    net->conns = conn;
    return conn;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *conn = handle->data;
    *buf = uv_buf_init(conn->net->read_bytes, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    struct kap_gossip_net *net = conn->net;
    if (conn->closing || n == 0)
        return;
    if (n < 0) {
        if (!conn->replied)
            fail_conn(conn, n == UV_EOF ? "connection closed" : uv_strerror((int)n));
        rearm(net);
        return;
    }
    kap_buf_addn(&conn->in, buf->base, (size_t)n);
    if (conn->in.failed) {
        fail_conn(conn, "too long");
        rearm(net);
        return;
    }
    const struct kap_str bytes = kap_buf_str(&conn->in);
    enum kap_swim_stream_state state;
    if (conn->dialled)
        state = kap_swim_stream_answer(net->core, conn->id, bytes, now_of(net));
    else if (conn->replied)
        state = KAP_SWIM_STREAM_MORE; /* talks on after its answer: ignored until we have written it */
    else
        state = kap_swim_stream_request(net->core, &conn->inbound, conn->id, &conn->peer, bytes, now_of(net));
    if (state == KAP_SWIM_STREAM_DONE && !conn->replied)
        close_conn(conn);
    rearm(net);
}

static void on_reply_written(uv_write_t *write, int status)
{
    (void)status;
    close_conn(write->data);
}

static void on_request_written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;
    if (status < 0) {
        fail_conn(conn, uv_strerror(status));
        rearm(conn->net);
    }
}

static void write_out(struct conn *conn, uv_write_cb written)
{
    const uv_buf_t buf = uv_buf_init(conn->out.p, (unsigned)conn->out.n);
    conn->write.data = conn;
    const int status = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, written);
    if (status < 0)
        conn->error = uv_strerror(status);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct conn *conn = connect->data;
    if (conn->closing)
        return;
    if (status < 0) {
        fail_conn(conn, uv_strerror(status));
    } else {
        write_out(conn, on_request_written);
        uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    }
    rearm(conn->net);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct kap_gossip_net *net = server->data;
    if (status < 0)
        return;
    struct conn *conn = new_conn(net, false);
    net->n_served++;
    conn->id = ++net->last_conn;
    struct sockaddr_storage ss;
    int n = sizeof ss;
    if (uv_accept(server, (uv_stream_t *)&conn->tcp) < 0 || net->n_served > MAX_SERVED ||
        !kap_swim_enabled(net->core)) {
        net->stats.streams_refused++;
        close_conn(conn);
        return;
    }
    net->stats.streams_accepted++;
    conn->deadline_ns = now_of(net) + 10 * KAP_S;
    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&ss, &n) == 0)
        conn->peer = addr_of((const struct sockaddr *)&ss);
    uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    rearm(net);
}

static void sweep_conns(struct kap_gossip_net *net)
{
    const int64_t now_ns = now_of(net);
    for (struct conn *conn = net->conns; conn; conn = conn->next) {
        if (conn->closing)
            continue;
        if (conn->error) {
            fail_conn(conn, conn->error);
        } else if (conn->deadline_ns <= now_ns) {
            net->stats.stream_timeouts++;
            fail_conn(conn, "i/o timeout");
        }
    }
}

/* ---- what the core asks for ---- */

static void io_send(void *ctx, const struct kap_swim_addr *to, struct kap_str bytes)
{
    struct kap_gossip_net *net = ctx;
    struct sockaddr_storage ss;
    sockaddr_of(to, &ss);
    KAP_AUTO_FREE char *copy = kap_strndup(bytes.p, bytes.n); /* libuv wants writable bytes */
    const uv_buf_t buf = uv_buf_init(copy, (unsigned)bytes.n);
    if (uv_udp_try_send(&net->udp, &buf, 1, (const struct sockaddr *)&ss) < 0)
        net->stats.send_errors++;
}

static void io_dial(void *ctx, uint64_t stream, const struct kap_swim_addr *to, struct kap_str bytes,
                    int64_t deadline_ns)
{
    struct kap_gossip_net *net = ctx;
    struct sockaddr_storage ss;
    struct conn *conn = new_conn(net, true);
    net->stats.streams_dialled++;
    conn->id = stream;
    conn->deadline_ns = deadline_ns;
    kap_buf_add(&conn->out, bytes);
    sockaddr_of(to, &ss);
    conn->connect.data = conn;
    const int status = uv_tcp_connect(&conn->connect, &conn->tcp, (const struct sockaddr *)&ss, on_connected);
    if (status < 0)
        conn->error = uv_strerror(status);
}

static void io_reply(void *ctx, uint64_t id, struct kap_str bytes)
{
    struct kap_gossip_net *net = ctx;
    for (struct conn *conn = net->conns; conn; conn = conn->next) {
        if (conn->dialled || conn->id != id || conn->closing || conn->replied)
            continue;
        conn->replied = true;
        kap_buf_add(&conn->out, bytes);
        write_out(conn, on_reply_written);
        return;
    }
}

static void io_event(void *ctx, const struct kap_swim_event *ev)
{
    struct kap_gossip_net *net = ctx;
    if (ev->kind == KAP_SWIM_EV_JOINED)
        for (size_t i = 0; i < net->n_seeds; i++)
            net->seeds[i].joined |= kap_swim_addr_eq(&net->seeds[i].last, &ev->addr);
    if (net->event)
        net->event(net->ctx, ev);
}

static enum kap_swim_role io_admit(void *ctx, struct kap_str name, const struct kap_wire_tag *tags, size_t n)
{
    struct kap_gossip_net *net = ctx;
    return net->admit ? net->admit(net->ctx, name, tags, n) : KAP_SWIM_MEMBER;
}

/* ---- datagrams in ---- */

static void on_udp_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct kap_gossip_net *net = handle->data;
    *buf = uv_buf_init(net->read_bytes, READ_BYTES);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct kap_gossip_net *net = udp->data;
    if (n <= 0 || !from || (flags & UV_UDP_PARTIAL))
        return;
    const struct kap_swim_addr addr = addr_of(from);
    kap_swim_datagram(net->core, &addr, kap_strn(buf->base, (size_t)n), now_of(net));
    rearm(net);
}

/* ---- names ---- */

static void use_own_addr(struct kap_gossip_net *net, struct kap_swim_addr addr)
{
    if (addr.port == 0)
        addr.port = net->port;
    kap_swim_set_addr(net->core, &addr, now_of(net));
    net->resolved = true;
    if (net->wanted_cluster && !kap_swim_enabled(net->core))
        kap_swim_enable(net->core, net->wanted_cluster, now_of(net), NULL);
}

static void use_seed_addr(struct kap_gossip_net *net, const struct lookup *lookup, const struct kap_swim_addr *addr)
{
    if (lookup->seeds_generation != net->seeds_generation || !kap_swim_enabled(net->core))
        return;
    net->seeds[lookup->seed].last = *addr;
    if (!kap_swim_addr_eq(addr, &kap_swim_self(net->core)->addr))
        kap_swim_join(net->core, addr, now_of(net));
}

static void tell_join_failed(struct kap_gossip_net *net, const struct lookup *lookup, const char *why)
{
    KAP_AUTO_FREE char *text = kap_asprintf("%s: %s", lookup->text, why);
    const struct kap_swim_event ev = { .kind = KAP_SWIM_EV_JOIN_FAILED, .text = text };
    io_event(net, &ev);
}

static void lookup_failed(struct kap_gossip_net *net, const struct lookup *lookup, int status)
{
    net->stats.resolve_errors++;
    if (lookup->kind == LOOKUP_SELF)
        net->resolve_ns = now_of(net) + RESOLVE_RETRY_NS;
    if (lookup->kind != LOOKUP_SEED)
        tell_join_failed(net, lookup, uv_strerror(status));
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct lookup *lookup = req->data;
    struct kap_gossip_net *net = lookup->net;
    net->lookups--;
    if (lookup->kind == LOOKUP_SELF)
        net->resolving = false;
    if (!net->stopping && (status < 0 || !list)) {
        lookup_failed(net, lookup, status < 0 ? status : UV_EAI_NODATA);
    } else if (!net->stopping) {
        struct kap_swim_addr addr = addr_of(list->ai_addr);
        addr.port = lookup->port;
        if (lookup->kind == LOOKUP_SELF)
            use_own_addr(net, addr);
        else if (lookup->kind == LOOKUP_SEED)
            use_seed_addr(net, lookup, &addr);
        else if (!kap_swim_enabled(net->core))
            tell_join_failed(net, lookup, "gossip is off: this member is alone");
        else
            kap_swim_join(net->core, &addr, now_of(net));
    }
    uv_freeaddrinfo(list);
    kap_free(lookup);
    if (net->stopping)
        maybe_stopped(net);
    else
        rearm(net);
}

static enum kap_status resolve(struct kap_gossip_net *net, const char *text, enum lookup_kind kind, size_t seed,
                               struct kap_error *err)
{
    char host[HOST_BYTES], port[PORT_BYTES];
    int64_t number = 0;
    if (!split_addr(text, host, port) || !host[0])
        return kap_fail(err, KAP_EINVAL, "'%s' is no host:port", text);
    kap_str_to_i64(kap_str(port), &number);
    struct lookup *lookup = KAP_NEW(struct lookup);
    *lookup = (struct lookup){ .net = net, .kind = kind, .seed = seed, .port = (uint16_t)number,
                               .seeds_generation = net->seeds_generation };
    snprintf(lookup->text, sizeof lookup->text, "%s", text);
    lookup->req.data = lookup;
    const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_family = net->ipv4_only ? AF_INET : AF_UNSPEC };
    const int status = uv_getaddrinfo(net->loop, &lookup->req, on_resolved, host, NULL, &hints);
    if (status < 0) {
        kap_free(lookup);
        return kap_fail(err, KAP_EIO, "%s: %s", text, uv_strerror(status));
    }
    net->lookups++;
    return KAP_OK;
}

static void resolve_self(struct kap_gossip_net *net)
{
    if (net->resolving || now_of(net) < net->resolve_ns)
        return;
    net->resolve_ns = now_of(net) + RESOLVE_AGAIN_NS;
    net->resolving = resolve(net, net->advertise, LOOKUP_SELF, 0, NULL) == KAP_OK;
}

static bool anybody_here(const struct kap_gossip_net *net)
{
    const struct kap_swim_member *m;
    size_t i = 0;
    while ((m = kap_swim_next(net->core, &i)))
        if (m != kap_swim_self(net->core) && (m->status == KAP_SWIM_ALIVE || m->status == KAP_SWIM_SUSPECT))
            return true;
    return false;
}

/* A seed without a name may be anybody's address: it is tried until it answered, and again once we are alone. */
static bool seed_is_here(const struct kap_gossip_net *net, const struct seed *seed)
{
    if (!seed->name)
        return seed->joined && anybody_here(net);
    const struct kap_swim_member *m = kap_swim_find(net->core, kap_str(seed->name));
    return m && (m->status == KAP_SWIM_ALIVE || m->status == KAP_SWIM_SUSPECT || m == kap_swim_self(net->core));
}

/* One missing seed at a time. */
static void try_seed(struct kap_gossip_net *net)
{
    if (net->n_seeds == 0 || !kap_swim_enabled(net->core) || now_of(net) < net->seed_ns)
        return;
    net->seed_ns = now_of(net) + SEED_EVERY_NS;
    for (size_t i = 0; i < net->n_seeds; i++) {
        const size_t at = net->seed_next++ % net->n_seeds;
        if (seed_is_here(net, &net->seeds[at]))
            continue;
        resolve(net, net->seeds[at].addr, LOOKUP_SEED, at, NULL);
        return;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct kap_gossip_net *net = timer->data;
    sweep_conns(net);
    kap_swim_tick(net->core, now_of(net));
    resolve_self(net);
    try_seed(net);
    rearm(net);
}

/* ---- start ---- */

static enum kap_status bind_sockets(struct kap_gossip_net *net, const char *bind, struct kap_error *err)
{
    char host[HOST_BYTES], port[PORT_BYTES];
    if (!split_addr(bind, host, port))
        return kap_fail(err, KAP_EINVAL, "gossip bind address '%s' is no host:port", bind);
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE,
                                    .ai_family = host[0] ? AF_UNSPEC : AF_INET };
    struct addrinfo *list = NULL;
    const int found = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
    if (found != 0)
        return kap_fail(err, KAP_EIO, "gossip bind address '%s': %s", bind, gai_strerror(found));
    struct sockaddr_storage ss;
    int n = sizeof ss;
    int status = uv_tcp_bind(&net->tcp, list->ai_addr, 0);
    if (status == 0)
        status = uv_listen((uv_stream_t *)&net->tcp, MAX_SERVED, on_connection);
    const char *what = "TCP";
    if (status == 0)
        status = uv_tcp_getsockname(&net->tcp, (struct sockaddr *)&ss, &n);
    if (status == 0) {
        what = "UDP";
        net->ipv4_only = ss.ss_family == AF_INET;
        net->port = addr_of((const struct sockaddr *)&ss).port; /* also when the port was 0 */
        status = uv_udp_bind(&net->udp, (const struct sockaddr *)&ss, 0);
    }
    if (status == 0)
        status = uv_udp_recv_start(&net->udp, on_udp_alloc, on_datagram);
    freeaddrinfo(list);
    if (status < 0)
        return kap_fail(err, KAP_EIO, "cannot listen for gossip on %s (%s): %s", bind, what, uv_strerror(status));
    int bytes = SOCKET_BUFFER_BYTES;
    while (bytes > 65536 && uv_recv_buffer_size((uv_handle_t *)&net->udp, &bytes) < 0)
        bytes /= 2;
    return KAP_OK;
}

static struct kap_gossip_net *new_net(uv_loop_t *loop, const struct kap_gossip_config *config)
{
    struct kap_gossip_net *net = KAP_NEW(struct kap_gossip_net);
    net->loop = loop;
    net->clock = config->clock;
    net->event = config->event;
    net->admit = config->admit;
    net->ctx = config->ctx;
    snprintf(net->advertise, sizeof net->advertise, "%s", config->advertise);
    uv_udp_init(loop, &net->udp);
    uv_tcp_init(loop, &net->tcp);
    uv_timer_init(loop, &net->timer);
    net->udp.data = net->tcp.data = net->timer.data = net;
    net->open_handles = 3;
    return net;
}

enum kap_status kap_gossip_start(uv_loop_t *loop, const struct kap_gossip_config *config,
                                 struct kap_gossip_net **ret, struct kap_error *err)
{
    char host[HOST_BYTES], port[PORT_BYTES];
    if (!split_addr(config->advertise, host, port) || !host[0])
        return kap_fail(err, KAP_EINVAL, "gossip advertise address '%s' is no host:port", config->advertise);
    struct kap_gossip_net *net = new_net(loop, config);
    struct kap_swim_config swim = config->swim;
    swim.addr = (struct kap_swim_addr){ .n = 4 }; /* until the name is resolved; disabled so long */
    const struct kap_swim_io io = { io_send, io_dial, io_reply, io_event, io_admit, net };
    enum kap_status status = kap_swim_new(&swim, &io, &net->core, err);
    if (status == KAP_OK)
        status = bind_sockets(net, config->bind, err);
    if (status != KAP_OK) {
        kap_gossip_stop(net, NULL, NULL);
        return status;
    }
    net->resolve_ns = now_of(net);
    resolve_self(net);
    rearm(net);
    *ret = net;
    return KAP_OK;
}

void kap_gossip_stop(struct kap_gossip_net *net, void (*stopped)(void *ctx), void *ctx)
{
    net->stopping = true;
    net->stopped = stopped;
    net->stopped_ctx = ctx;
    uv_close((uv_handle_t *)&net->udp, on_handle_closed);
    uv_close((uv_handle_t *)&net->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&net->timer, on_handle_closed);
    for (struct conn *conn = net->conns; conn; conn = conn->next)
        close_conn(conn);
}

/* ---- wishes ---- */

const struct kap_swim *kap_gossip_core(const struct kap_gossip_net *net)
{
    return net->core;
}

uint16_t kap_gossip_port(const struct kap_gossip_net *net)
{
    return net->port;
}

struct kap_seal *kap_gossip_seal(struct kap_gossip_net *net)
{
    return kap_swim_seal(net->core);
}

struct kap_gossip_stats kap_gossip_stats(const struct kap_gossip_net *net)
{
    return net->stats;
}

enum kap_status kap_gossip_enable(struct kap_gossip_net *net, const char *cluster_id, struct kap_error *err)
{
    char *const wanted = kap_strdup(cluster_id);
    kap_free(net->wanted_cluster);
    net->wanted_cluster = wanted;
    net->seed_ns = now_of(net);
    if (net->resolved)
        KAP_TRY(kap_swim_enable(net->core, wanted, now_of(net), err));
    rearm(net);
    return KAP_OK;
}

void kap_gossip_disable(struct kap_gossip_net *net)
{
    kap_free(net->wanted_cluster);
    net->wanted_cluster = NULL;
    kap_swim_disable(net->core);
    rearm(net);
}

enum kap_status kap_gossip_join(struct kap_gossip_net *net, const char *addr, struct kap_error *err)
{
    return resolve(net, addr, LOOKUP_JOIN, 0, err);
}

void kap_gossip_set_seeds(struct kap_gossip_net *net, const struct kap_gossip_seed *seeds, size_t n)
{
    struct seed *copy = KAP_ARRAY(struct seed, n + 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = (struct seed){ .name = seeds[i].name ? kap_strdup(seeds[i].name) : NULL,
                                 .addr = kap_strdup(seeds[i].addr) };
    for (size_t i = 0; i < net->n_seeds; i++) {
        kap_free(net->seeds[i].name);
        kap_free(net->seeds[i].addr);
    }
    kap_free(net->seeds);
    net->seeds = copy;
    net->n_seeds = n;
    net->seed_next = 0;
    net->seeds_generation++;
    net->seed_ns = now_of(net);
    rearm(net);
}

void kap_gossip_leave(struct kap_gossip_net *net)
{
    kap_swim_leave(net->core, now_of(net));
    rearm(net);
}

enum kap_status kap_gossip_set_tags(struct kap_gossip_net *net, const struct kap_wire_tag *tags, size_t n,
                                    struct kap_error *err)
{
    const enum kap_status status = kap_swim_set_tags(net->core, tags, n, now_of(net), err);
    rearm(net);
    return status;
}

void kap_gossip_recheck(struct kap_gossip_net *net)
{
    kap_swim_recheck(net->core, now_of(net));
    rearm(net);
}

enum kap_status kap_gossip_forget(struct kap_gossip_net *net, const char *name, struct kap_error *err)
{
    const enum kap_status status = kap_swim_forget(net->core, name, now_of(net), err);
    rearm(net);
    return status;
}
