#include "cluster/rpc_net.h"

#include "base/clock.h"
#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include <stdio.h>

enum {
    TICK_MS = 250,
    STRANGER_FRAME_BYTES = 1 << 20, /* from whom is no member */
    CONNECTIONS_MAX = 1024,
    READ_BYTES = 64 << 10,
    BACKLOG = 128,
};
#define NOT_ADMITTED_NS (10 * KAP_S)
#define HELLO_NS (5 * KAP_S) /* for the peer's hello */
#define DIAL_MIN_NS (100 * KAP_MS)
#define DIAL_MAX_NS (2 * KAP_S)
#define DIAL_SECOND_NS (200 * KAP_MS) /* the larger ID lets the smaller one dial first */

struct conn {
    struct kap_rpc_net *net;
    struct conn *prev, *next;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_getaddrinfo_t resolve;
    uv_write_t write;
    char *address; /* dialled: where; else the peer's socket address */
    int holds;     /* callbacks that are still to come: of the handle, of the resolver */
    bool dialled, resolving, open, closing, one_call, writing, said_hello, heard_hello, queued_close;
    enum kap_members_welcome welcome;
    struct kap_rpc_hello hello;
    struct peer *dialling; /* dialled to be the link of this peer */
    struct peer *link;     /* is the link of this peer */
    struct kap_buf in, out, on_wire;
    int64_t opened_ns, heard_ns, pinged_ns;
};

struct peer {
    char *id, *address;
    struct conn *link, *dialling;
    int64_t dial_at, pause_ns;
    bool listed;
};

struct call {
    struct call *next;
    uint64_t id;
    struct conn *conn; /* NULL: failed already */
    int64_t deadline_ns;
    kap_rpc_answer_fn fn;
    void *ctx;
    struct kap_error err; /* why, when conn is NULL */
};

/* A request of a peer that was not answered yet. */
struct inbound {
    uint64_t id;
    struct conn *conn;
};

struct kap_rpc_net {
    struct kap_rpc_net_io io;
    struct kap_rpc_net_config config;
    struct kap_rpc_hello hello;
    uv_tcp_t listener;
    uv_timer_t timer;
    struct conn *conns;
    size_t n_conns;
    struct peer **peers;
    size_t n_peers, peers_cap;
    struct call *calls;
    struct kap_map *inbound; /* by our number */
    uint64_t last_call, last_inbound;
    bool closing;
    int handles; /* not closed yet */
    int port;
    char read_buffer[READ_BYTES];
    struct kap_rpc_net_stats stats;
};

static int64_t now_ns(void)
{
    return kap_clock_mono(&kap_clock_system);
}

static struct kap_str number_key(const uint64_t *n)
{
    return kap_strn((const char *)n, sizeof *n);
}

/* ---- the seal: every byte on its way out or in passes here ---- */

static void seal_stream(struct conn *c, struct kap_str plain)
{
    kap_buf_add(&c->out, plain);
}

static void open_stream(struct conn *c, struct kap_str sealed)
{
    kap_buf_add(&c->in, sealed);
}

/* ---- calls ---- */

static void call_end(struct kap_rpc_net *net, struct call *call, enum kap_status status, struct kap_str bytes,
                     const struct kap_error *err)
{
    struct call **at = &net->calls;
    while (*at && *at != call)
        at = &(*at)->next;
    if (*at)
        *at = call->next;
    struct conn *c = call->conn;
    call->fn(call->ctx, status, bytes, err);
    kap_free(call);
    if (c && c->one_call)
        c->queued_close = true;
}

static struct call *next_call_of(struct kap_rpc_net *net, const struct conn *c)
{
    struct call *call = net->calls;
    while (call && call->conn != c)
        call = call->next;
    return call;
}

static void fail_calls(struct kap_rpc_net *net, const struct conn *c, const struct kap_error *err)
{
    for (struct call *call; (call = next_call_of(net, c));)
        call_end(net, call, err->status, KAP_STR(""), err);
}

static void drop_inbound(struct kap_rpc_net *net, const struct conn *c)
{
    size_t i = 0;
    struct kap_str key;
    void *p;
    while (kap_map_next(net->inbound, &i, &key, &p)) {
        struct inbound *in = p;
        if (in->conn != c)
            continue;
        kap_map_del(net->inbound, key);
        kap_free(in);
    }
}

/* ---- connections ---- */

static void net_unref(struct kap_rpc_net *net)
{
    if (--net->handles > 0)
        return;
    for (size_t i = 0; i < net->n_peers; i++) {
        kap_free(net->peers[i]->id);
        kap_free(net->peers[i]->address);
        kap_free(net->peers[i]);
    }
    kap_free(net->peers);
    kap_map_free(net->inbound);
    kap_free(net);
}

static void conn_release(struct conn *c)
{
    struct kap_rpc_net *net = c->net;
    if (--c->holds > 0)
        return;
    kap_buf_done(&c->in);
    kap_buf_done(&c->out);
    kap_buf_done(&c->on_wire);
    kap_free(c->address);
    kap_free(c);
    net_unref(net);
}

static void on_closed(uv_handle_t *h)
{
    conn_release(h->data);
}

static void peer_dial_later(struct peer *p)
{
    p->dial_at = now_ns() + p->pause_ns;
    p->pause_ns = KAP_MIN(2 * p->pause_ns, DIAL_MAX_NS);
}

/* Ends a connection. `hard`: the other process is probably gone. */
static void conn_close(struct conn *c, bool hard, const char *why)
{
    struct kap_rpc_net *net = c->net;
    if (c->closing)
        return;
    c->closing = true;
    struct kap_error err;
    kap_fail(&err, KAP_EIO, "%s", why);
    drop_inbound(net, c);
    if (c->prev)
        c->prev->next = c->next;
    else
        net->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    net->n_conns--;
    struct peer *link = c->link, *dialling = c->dialling;
    if (link && link->link == c) {
        link->link = NULL;
        peer_dial_later(link);
        net->stats.links--;
    }
    if (dialling && dialling->dialling == c) {
        dialling->dialling = NULL;
        peer_dial_later(dialling);
    }
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    if (c->resolving)
        uv_cancel((uv_req_t *)&c->resolve);
    fail_calls(net, c, &err);
    if (net->closing)
        return;
    if (link || (dialling && !dialling->link))
        net->io.link(net->io.ctx, kap_str(link ? link->id : dialling->id), false, hard, why);
}

static void on_written(uv_write_t *req, int status);

static void conn_flush(struct conn *c)
{
    if (c->writing || !c->open || c->closing || c->out.n == 0)
        return;
    const struct kap_buf done = c->on_wire;
    c->on_wire = c->out;
    c->out = done;
    kap_buf_reset(&c->out);
    uv_buf_t b = uv_buf_init(c->on_wire.p, (unsigned)c->on_wire.n);
    c->writing = true;
    c->net->stats.bytes_out += c->on_wire.n;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_written) != 0)
        c->writing = false; /* the read side reports the end */
}

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->data;
    c->writing = false;
    if (c->closing)
        return;
    if (status < 0) {
        conn_close(c, status == UV_ECONNRESET || status == UV_EPIPE, uv_strerror(status));
        return;
    }
    conn_flush(c);
}

static size_t conn_queued(const struct conn *c)
{
    return c->out.n + (c->writing ? c->on_wire.n : 0);
}

static void send_frame(struct conn *c, enum kap_rpc_type type, enum kap_rpc_channel channel, uint64_t id,
                       struct kap_str body)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_rpc_frame_put(&b, type, channel, id, body);
    seal_stream(c, kap_buf_str(&b));
    conn_flush(c);
}

static void send_hello(struct conn *c)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_rpc_hello_put(&b, &c->net->hello);
    c->said_hello = true;
    send_frame(c, KAP_RPC_HELLO, KAP_RPC_NONE, 0, kap_buf_str(&b));
}

static void send_failure(struct conn *c, enum kap_rpc_type type, uint64_t id, enum kap_status status,
                         const char *text)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_rpc_failure_put(&b, status, text);
    send_frame(c, type, KAP_RPC_NONE, id, kap_buf_str(&b));
}

static struct conn *conn_new(struct kap_rpc_net *net)
{
    struct conn *c = KAP_NEW(struct conn);
    c->net = net;
    c->holds = 1;
    c->tcp.data = c->connect.data = c->resolve.data = c->write.data = c;
    c->opened_ns = c->heard_ns = now_ns();
    c->welcome = KAP_WELCOME_STRANGER;
    uv_tcp_init(net->config.loop, &c->tcp);
    c->next = net->conns;
    if (net->conns)
        net->conns->prev = c;
    net->conns = c;
    net->n_conns++;
    net->handles++;
    return c;
}

/* Tells the other side that nothing is wrong with this process. */
static void conn_part(struct conn *c, const char *why)
{
    if (c->open && !c->one_call)
        send_failure(c, KAP_RPC_GOODBYE, 0, KAP_ESTATE, why);
    conn_close(c, false, why);
}

/* ---- links ---- */

static struct peer *peer_find(const struct kap_rpc_net *net, struct kap_str id)
{
    for (size_t i = 0; i < net->n_peers; i++)
        if (net->peers[i]->listed && kap_str_is(id, net->peers[i]->id))
            return net->peers[i];
    return NULL;
}

/* Of two connections between the same members the one stays that the smaller ID dialled. */
static bool is_preferred(const struct conn *c)
{
    const bool self_smaller = strcmp(c->net->hello.member_id, c->hello.member_id) < 0;
    return c->dialled == self_smaller;
}

static void unlink_conn(struct conn *c)
{
    if (!c->link)
        return;
    struct peer *p = c->link;
    c->link = NULL;
    if (p->link != c)
        return;
    p->link = NULL;
    c->net->stats.links--;
}

static void become_link(struct conn *c, struct peer *p)
{
    struct conn *old = p->link;
    if (old == c)
        return;
    if (old && old->hello.boot == c->hello.boot && !is_preferred(c)) {
        c->queued_close = true;
        return;
    }
    if (old) { /* a second one, or of an earlier life of that process */
        unlink_conn(old);
        old->queued_close = true;
    }
    p->link = c;
    c->link = p;
    p->pause_ns = DIAL_MIN_NS;
    c->net->stats.links++;
    if (c->dialling) {
        c->dialling->dialling = NULL;
        c->dialling = NULL;
    }
    if (!old || old->hello.boot != c->hello.boot)
        c->net->io.link(c->net->io.ctx, kap_str(p->id), true, false, NULL);
}

/* Who is this to us, now? */
static void judge(struct conn *c)
{
    struct kap_rpc_net *net = c->net;
    c->welcome = net->io.hello(net->io.ctx, &c->hello);
    struct peer *p = peer_find(net, kap_str(c->hello.member_id));
    if (c->closing)
        return;
    if (c->welcome == KAP_WELCOME_MEMBER && p && !c->one_call) {
        become_link(c, p);
    } else if (c->link) {
        struct peer *was = c->link;
        unlink_conn(c);
        net->io.link(net->io.ctx, kap_str(was->id), false, false, "it is no member of our cluster any more");
    }
}

static void on_hello(struct conn *c, struct kap_str body)
{
    struct kap_error err;
    struct kap_rpc_net *net = c->net;
    if (kap_rpc_hello_get(body, &c->hello, &err) != KAP_OK) {
        send_failure(c, KAP_RPC_GOODBYE, 0, KAP_EINVAL, err.msg);
        conn_close(c, false, err.msg);
        return;
    }
    if (c->hello.version_min > KAP_RPC_VERSION || c->hello.version_max < KAP_RPC_VERSION) {
        kap_fail(&err, KAP_ESTATE, "no common protocol version: it speaks %u to %u, we speak %d",
                 c->hello.version_min, c->hello.version_max, KAP_RPC_VERSION);
        send_failure(c, KAP_RPC_GOODBYE, 0, KAP_ESTATE, err.msg);
        net->io.notice(net->io.ctx, err.msg, kap_str(c->address));
        conn_close(c, false, err.msg);
        return;
    }
    c->heard_hello = true;
    if (strcmp(c->hello.member_id, net->hello.member_id) == 0 && c->dialling) {
        conn_close(c, false, "the address is our own");
        return;
    }
    if (c->dialling && strcmp(c->dialling->id, c->hello.member_id) != 0) {
        net->io.notice(net->io.ctx, "another member answers at its address", kap_str(c->dialling->id));
        conn_close(c, false, "another member answers at its address");
        return;
    }
    judge(c);
}

/* ---- frames ---- */

static struct call *call_find(struct kap_rpc_net *net, const struct conn *c, uint64_t id)
{
    struct call *call = net->calls;
    while (call && (call->id != id || call->conn != c))
        call = call->next;
    return call;
}

static void on_request(struct conn *c, const struct kap_rpc_frame *f)
{
    struct kap_rpc_net *net = c->net;
    if (!c->heard_hello || c->welcome == KAP_WELCOME_REMOVED ||
        (c->welcome == KAP_WELCOME_STRANGER && f->channel != KAP_RPC_MEMBER)) {
        net->stats.refused++;
        send_failure(c, KAP_RPC_ERROR, f->id, KAP_ESTATE, "you are not a member of this cluster");
        return;
    }
    if (f->channel == KAP_RPC_NONE || f->channel >= KAP_RPC_CHANNELS) {
        send_failure(c, KAP_RPC_ERROR, f->id, KAP_EINVAL, "unknown channel; is this member older than you?");
        return;
    }
    struct inbound *in = KAP_NEW(struct inbound);
    *in = (struct inbound){ .id = f->id, .conn = c };
    const uint64_t number = ++net->last_inbound;
    kap_map_put(net->inbound, number_key(&number), in);
    net->stats.calls_in++;
    net->io.request(net->io.ctx, kap_str(c->hello.member_id), (enum kap_rpc_channel)f->channel, number,
                    f->body);
}

static void on_answer(struct conn *c, const struct kap_rpc_frame *f)
{
    struct kap_error err;
    struct call *call = call_find(c->net, c, f->id);
    if (!call)
        return; /* too late */
    if (f->type == KAP_RPC_ANSWER) {
        call_end(c->net, call, KAP_OK, f->body, NULL);
        return;
    }
    const enum kap_status status = kap_rpc_failure_get(f->body, &err);
    call_end(c->net, call, status, KAP_STR(""), &err);
}

static void on_goodbye(struct conn *c, struct kap_str body)
{
    struct kap_error err;
    kap_rpc_failure_get(body, &err);
    conn_close(c, false, err.msg);
}

static void on_frame(struct conn *c, const struct kap_rpc_frame *f)
{
    struct kap_rpc_net *net = c->net;
    switch (f->type) {
    case KAP_RPC_HELLO:
        on_hello(c, f->body);
        break;
    case KAP_RPC_MESSAGE:
        if (!c->link || f->channel == KAP_RPC_NONE || f->channel >= KAP_RPC_CHANNELS)
            break; /* senders repeat what matters */
        net->stats.messages_in++;
        net->io.message(net->io.ctx, kap_str(c->link->id), (enum kap_rpc_channel)f->channel, f->body);
        break;
    case KAP_RPC_REQUEST:
        on_request(c, f);
        break;
    case KAP_RPC_ANSWER:
    case KAP_RPC_ERROR:
        on_answer(c, f);
        break;
    case KAP_RPC_PING:
        send_frame(c, KAP_RPC_PONG, KAP_RPC_NONE, f->id, KAP_STR(""));
        break;
    case KAP_RPC_GOODBYE:
        on_goodbye(c, f->body);
        break;
    default:
        break; /* a pong, or of a newer version */
    }
}

static void bad_frame(struct conn *c, const char *why)
{
    c->net->stats.bad_frames++;
    c->net->io.notice(c->net->io.ctx, why, kap_str(c->address));
    conn_close(c, false, why);
}

static void read_frames(struct conn *c)
{
    size_t at = 0;
    while (!c->closing) {
        struct kap_rpc_frame f;
        struct kap_error err;
        const struct kap_str rest = kap_strn(c->in.p + at, c->in.n - at);
        if (rest.n >= 4 && !c->link &&
            ((uint8_t)rest.p[0] || (uint8_t)rest.p[1] > STRANGER_FRAME_BYTES >> 16)) {
            bad_frame(c, "too much from a stranger; is this an RPC port?");
            return;
        }
        const int64_t n = kap_rpc_frame_get(rest, &f, &err);
        if (n < 0) {
            bad_frame(c, err.msg);
            return;
        }
        if (n == 0)
            break;
        on_frame(c, &f);
        at += (size_t)n;
    }
    if (c->closing)
        return;
    if (at && at < c->in.n)
        memmove(c->in.p, c->in.p + at, c->in.n - at);
    c->in.n -= at;
    if (c->queued_close && !next_call_of(c->net, c))
        conn_part(c, "not needed any more");
}

static void on_alloc(uv_handle_t *h, size_t wanted, uv_buf_t *ret)
{
    struct conn *c = h->data;
    *ret = uv_buf_init(c->net->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = s->data;
    if (c->closing)
        return;
    if (n < 0) {
        conn_close(c, n == UV_ECONNRESET || n == UV_EOF,
                   n == UV_EOF ? "closed by the peer" : uv_strerror((int)n));
        return;
    }
    c->heard_ns = now_ns();
    c->net->stats.bytes_in += (uint64_t)n;
    open_stream(c, kap_strn(buf->base, (size_t)n));
    read_frames(c);
}

static void conn_opened(struct conn *c)
{
    c->open = true;
    c->opened_ns = c->heard_ns = now_ns();
    uv_tcp_nodelay(&c->tcp, 1);
    const struct kap_buf queued = c->out; /* a call may wait: hello goes first */
    c->out = (struct kap_buf){ 0 };
    send_hello(c);
    struct kap_buf rest = queued;
    kap_buf_add(&c->out, kap_buf_str(&rest));
    kap_buf_done(&rest);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    conn_flush(c);
}

/* ---- dialling ---- */

static void on_connected(uv_connect_t *req, int status)
{
    struct conn *c = req->data;
    if (c->closing)
        return;
    if (status < 0)
        conn_close(c, status == UV_ECONNREFUSED || status == UV_ECONNRESET, uv_strerror(status));
    else
        conn_opened(c);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct conn *c = req->data;
    c->resolving = false;
    if (!c->closing && status < 0) {
        conn_close(c, false, status == UV_EAI_NONAME ? "unknown host" : uv_strerror(status));
    } else if (!c->closing) {
        const int code = uv_tcp_connect(&c->connect, &c->tcp, found->ai_addr, on_connected);
        if (code != 0)
            conn_close(c, false, uv_strerror(code));
    }
    uv_freeaddrinfo(found);
    conn_release(c);
}

/* "host:port", "[::1]:port", ":port" */
static bool split_address(const char *address, char host[256], char port[16])
{
    const char *colon = strrchr(address, ':');
    if (!colon || !colon[1] || strlen(colon + 1) >= 16 || (size_t)(colon - address) >= 256)
        return false;
    size_t n = (size_t)(colon - address);
    const char *from = address;
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    memcpy(host, from, n);
    host[n] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static struct conn *dial(struct kap_rpc_net *net, const char *address)
{
    char host[256], port[16];
    struct conn *c = conn_new(net);
    c->dialled = true;
    c->address = kap_strdup(address);
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    const bool ok = split_address(address, host, port);
    c->resolving = ok && uv_getaddrinfo(net->config.loop, &c->resolve, on_resolved, host[0] ? host : NULL,
                                        port, &hints) == 0;
    c->holds += c->resolving;
    return c;
}

static void dial_peer(struct kap_rpc_net *net, struct peer *p)
{
    p->dial_at = INT64_MAX;
    struct conn *c = dial(net, p->address);
    c->dialling = p;
    p->dialling = c;
    net->stats.reconnects++;
    if (!c->resolving)
        conn_close(c, false, "bad address");
}

/* ---- time ---- */

static void check_conn(struct kap_rpc_net *net, struct conn *c, int64_t now)
{
    const int64_t keep = net->config.keep_alive_ns;
    if (c->closing)
        return;
    if (!c->open) {
        if (now - c->opened_ns > net->config.connect_ns)
            conn_close(c, false, "no connection in time");
    } else if (!c->heard_hello && now - c->opened_ns > HELLO_NS) {
        conn_close(c, false, "no hello in time");
    } else if (c->queued_close && !next_call_of(net, c)) {
        conn_part(c, "not needed any more");
    } else if (c->dialling && c->heard_hello && !c->link && now - c->opened_ns > NOT_ADMITTED_NS) {
        conn_part(c, "not admitted as a member");
    } else if (c->link && now - c->heard_ns > 3 * keep) {
        conn_close(c, false, "no sign of life");
    } else if (c->link && now - c->heard_ns > keep && now - c->pinged_ns > keep) {
        c->pinged_ns = now;
        send_frame(c, KAP_RPC_PING, KAP_RPC_NONE, 0, KAP_STR(""));
    } else if (!c->link && !c->one_call && !c->dialling && c->heard_hello && now - c->heard_ns > 60 * KAP_S) {
        conn_close(c, false, "idle stranger");
    }
}

static struct call *overdue(struct kap_rpc_net *net, int64_t now)
{
    struct call *call = net->calls;
    while (call && call->conn && call->deadline_ns > now)
        call = call->next;
    return call;
}

static void on_timer(uv_timer_t *t)
{
    struct kap_rpc_net *net = t->data;
    const int64_t now = now_ns();
    for (struct call *call; (call = overdue(net, now));) {
        struct kap_error err = call->err;
        if (call->conn)
            kap_fail(&err, KAP_ETIMEOUT, "no answer in time");
        call_end(net, call, err.status, KAP_STR(""), &err);
    }
    for (struct conn *c = net->conns, *next; c; c = next) {
        next = c->next;
        check_conn(net, c, now);
    }
    for (size_t i = 0; i < net->n_peers; i++) {
        struct peer *p = net->peers[i];
        if (p->listed && !p->link && !p->dialling && p->dial_at <= now)
            dial_peer(net, p);
    }
}

/* ---- listening ---- */

static void on_connection(uv_stream_t *s, int status)
{
    struct kap_rpc_net *net = s->data;
    if (status < 0 || net->closing)
        return;
    struct conn *c = conn_new(net);
    c->address = kap_strdup("?");
    if (uv_accept(s, (uv_stream_t *)&c->tcp) != 0 || net->n_conns > CONNECTIONS_MAX) {
        net->stats.refused++;
        conn_close(c, false, "too many connections");
        return;
    }
    struct sockaddr_storage from;
    int n = sizeof from;
    char name[64] = "?";
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&from, &n) == 0)
        uv_ip_name((struct sockaddr *)&from, name, sizeof name);
    kap_free(c->address);
    c->address = kap_strdup(name);
    conn_opened(c);
}

static enum kap_status resolve_bind(struct kap_rpc_net *net, const char *address,
                                    struct sockaddr_storage *ret, struct kap_error *err)
{
    char host[256], port[16];
    if (!split_address(address, host, port))
        return kap_fail(err, KAP_EINVAL, "rpc bind-address '%s' is not host:port", address);
    if (!host[0]) { /* all addresses, both families */
        char *end;
        const long number = strtol(port, &end, 10);
        if (*end || number < 0 || number > 65535)
            return kap_fail(err, KAP_EINVAL, "rpc bind-address '%s' has a bad port", address);
        uv_ip6_addr("::", (int)number, (struct sockaddr_in6 *)ret);
        return KAP_OK;
    }
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE };
    uv_getaddrinfo_t req;
    const int code = uv_getaddrinfo(net->config.loop, &req, NULL, host, port, &hints);
    if (code != 0)
        return kap_fail(err, KAP_EIO, "rpc bind-address '%s': %s", address, uv_strerror(code));
    memcpy(ret, req.addrinfo->ai_addr, req.addrinfo->ai_addrlen);
    uv_freeaddrinfo(req.addrinfo);
    return KAP_OK;
}

static enum kap_status listen_at(struct kap_rpc_net *net, const char *address, struct kap_error *err)
{
    struct sockaddr_storage at = { 0 };
    KAP_TRY(resolve_bind(net, address, &at, err));
    int code = uv_tcp_bind(&net->listener, (struct sockaddr *)&at, 0);
    if (code == UV_EAFNOSUPPORT || code == UV_EADDRNOTAVAIL) { /* no IPv6 here */
        const int port = ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
        uv_ip4_addr("0.0.0.0", port, (struct sockaddr_in *)&at);
        code = uv_tcp_bind(&net->listener, (struct sockaddr *)&at, 0);
    }
    if (code == 0)
        code = uv_listen((uv_stream_t *)&net->listener, BACKLOG, on_connection);
    if (code == UV_EADDRINUSE)
        return kap_fail(err, KAP_EIO, "rpc address %s is in use by another process", address);
    if (code != 0)
        return kap_fail(err, KAP_EIO, "cannot listen on rpc address %s: %s", address, uv_strerror(code));
    int n = sizeof at;
    uv_tcp_getsockname(&net->listener, (struct sockaddr *)&at, &n);
    net->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                               : ((struct sockaddr_in *)&at)->sin_port);
    return KAP_OK;
}

static void on_net_handle_closed(uv_handle_t *h)
{
    net_unref(h->data);
}

static void copy_to(char *to, size_t size, struct kap_str s)
{
    const size_t n = KAP_MIN(s.n, size - 1);
    if (n)
        memcpy(to, s.p, n);
    to[n] = '\0';
}

enum kap_status kap_rpc_net_new(const struct kap_rpc_net_config *config, const struct kap_rpc_net_io *io,
                                struct kap_rpc_net **ret, struct kap_error *err)
{
    struct kap_rpc_net *net = KAP_NEW(struct kap_rpc_net);
    net->config = *config;
    net->io = *io;
    if (!net->config.keep_alive_ns)
        net->config.keep_alive_ns = 2 * KAP_S;
    if (!net->config.connect_ns)
        net->config.connect_ns = 2 * KAP_S;
    net->hello.version_min = net->hello.version_max = KAP_RPC_VERSION;
    net->hello.boot = kap_random_system_seed();
    copy_to(net->hello.member_id, sizeof net->hello.member_id, config->self);
    copy_to(net->hello.rpc_address, sizeof net->hello.rpc_address, config->advertise);
    net->inbound = kap_map_new();
    uv_tcp_init(config->loop, &net->listener);
    uv_timer_init(config->loop, &net->timer);
    net->listener.data = net->timer.data = net;
    net->handles = 2;
    KAP_AUTO_FREE char *address = kap_strndup(config->bind_address.p, config->bind_address.n);
    const enum kap_status status = listen_at(net, address, err);
    if (status != KAP_OK) {
        kap_rpc_net_close(net);
        return status;
    }
    uv_timer_start(&net->timer, on_timer, TICK_MS, TICK_MS);
    *ret = net;
    return KAP_OK;
}

void kap_rpc_net_close(struct kap_rpc_net *net)
{
    struct kap_error err;
    kap_fail(&err, KAP_ESTATE, "shutting down");
    net->closing = true;
    while (net->conns)
        conn_part(net->conns, "shutting down");
    while (net->calls)
        call_end(net, net->calls, err.status, KAP_STR(""), &err);
    uv_close((uv_handle_t *)&net->listener, on_net_handle_closed);
    uv_close((uv_handle_t *)&net->timer, on_net_handle_closed);
}

int kap_rpc_net_port(const struct kap_rpc_net *net)
{
    return net->port;
}

/* ---- use ---- */

void kap_rpc_net_set_cluster_id(struct kap_rpc_net *net, struct kap_str cluster_id)
{
    copy_to(net->hello.cluster_id, sizeof net->hello.cluster_id, cluster_id);
    for (struct conn *c = net->conns, *next; c; c = next) {
        next = c->next;
        if (c->open && c->said_hello)
            send_hello(c);
    }
}

static void judge_all(struct kap_rpc_net *net)
{
    for (struct conn *c = net->conns, *next; c; c = next) {
        next = c->next;
        if (c->heard_hello && !c->one_call && !c->closing)
            judge(c);
    }
}

static void list_peer(struct kap_rpc_net *net, const struct kap_rpc_peer *from)
{
    struct peer *p = NULL;
    for (size_t i = 0; i < net->n_peers && !p; i++)
        if (kap_str_is(from->id, net->peers[i]->id))
            p = net->peers[i];
    if (!p) {
        p = KAP_NEW(struct peer);
        p->id = kap_strndup(from->id.p, from->id.n);
        KAP_GROW(net->peers, net->peers_cap, net->n_peers + 1);
        net->peers[net->n_peers++] = p;
    }
    if (!p->listed || !kap_str_is(from->address, p->address)) {
        p->pause_ns = DIAL_MIN_NS;
        p->dial_at = now_ns() + (strcmp(net->hello.member_id, p->id) < 0 ? 0 : DIAL_SECOND_NS);
        kap_free(p->address);
        p->address = kap_strndup(from->address.p, from->address.n);
    }
    p->listed = true;
}

void kap_rpc_net_peers(struct kap_rpc_net *net, const struct kap_rpc_peer *peers, size_t n)
{
    bool *was = KAP_ARRAY(bool, net->n_peers + 1);
    const size_t before = net->n_peers;
    for (size_t i = 0; i < before; i++) {
        was[i] = net->peers[i]->listed;
        net->peers[i]->listed = false;
    }
    for (size_t i = 0; i < n; i++)
        if (!kap_str_is(peers[i].id, net->hello.member_id)) {
            for (size_t k = 0; k < before; k++)
                if (kap_str_is(peers[i].id, net->peers[k]->id))
                    net->peers[k]->listed = was[k];
            list_peer(net, &peers[i]);
        }
    for (size_t i = 0; i < net->n_peers; i++) {
        struct peer *p = net->peers[i];
        if (!p->listed && p->dialling)
            conn_close(p->dialling, false, "it is no member any more");
        /* A link stays open as a stranger's connection: the news of a removal travels on it. */
    }
    judge_all(net);
    kap_free(was);
    uv_timer_start(&net->timer, on_timer, 0, TICK_MS);
}

bool kap_rpc_net_linked(const struct kap_rpc_net *net, struct kap_str member)
{
    const struct peer *p = peer_find(net, member);
    return p && p->link;
}

void kap_rpc_net_nudge(struct kap_rpc_net *net, struct kap_str member)
{
    struct peer *p = peer_find(net, member);
    if (!p || p->link || p->dialling)
        return;
    p->dial_at = 0;
    p->pause_ns = DIAL_MIN_NS;
    uv_timer_start(&net->timer, on_timer, 0, TICK_MS);
}

bool kap_rpc_net_send(struct kap_rpc_net *net, struct kap_str member, enum kap_rpc_channel channel,
                      struct kap_str bytes)
{
    struct peer *p = peer_find(net, member);
    if (!p || !p->link || p->link->closing || bytes.n > KAP_RPC_FRAME_BYTES ||
        conn_queued(p->link) + bytes.n > KAP_RPC_QUEUE_BYTES) {
        net->stats.dropped++;
        return false;
    }
    net->stats.messages_out++;
    send_frame(p->link, KAP_RPC_MESSAGE, channel, 0, bytes);
    return true;
}

static struct call *call_new(struct kap_rpc_net *net, struct conn *c, int64_t timeout_ns,
                             kap_rpc_answer_fn fn, void *ctx)
{
    struct call *call = KAP_NEW(struct call);
    call->id = ++net->last_call;
    call->conn = c;
    call->deadline_ns = now_ns() + timeout_ns;
    call->fn = fn;
    call->ctx = ctx;
    call->next = net->calls;
    net->calls = call;
    net->stats.calls_out++;
    return call;
}

/* The answer comes from the loop, never from inside the call. */
static void fail_soon(struct kap_rpc_net *net, kap_rpc_answer_fn fn, void *ctx, const char *why)
{
    struct call *call = call_new(net, NULL, 0, fn, ctx);
    kap_fail(&call->err, KAP_EIO, "%s", why);
    uv_timer_start(&net->timer, on_timer, 0, TICK_MS);
}

void kap_rpc_net_call(struct kap_rpc_net *net, struct kap_str member, enum kap_rpc_channel channel,
                      struct kap_str bytes, int64_t timeout_ns, kap_rpc_answer_fn fn, void *ctx)
{
    struct peer *p = peer_find(net, member);
    if (!p || !p->link || conn_queued(p->link) + bytes.n > KAP_RPC_QUEUE_BYTES ||
        bytes.n > KAP_RPC_FRAME_BYTES) {
        fail_soon(net, fn, ctx, p && p->link ? "too much is queued for it" : "there is no connection to it");
        return;
    }
    struct call *call = call_new(net, p->link, timeout_ns, fn, ctx);
    send_frame(p->link, KAP_RPC_REQUEST, channel, call->id, bytes);
}

void kap_rpc_net_call_address(struct kap_rpc_net *net, struct kap_str address, enum kap_rpc_channel channel,
                              struct kap_str bytes, int64_t timeout_ns, kap_rpc_answer_fn fn, void *ctx)
{
    KAP_AUTO_FREE char *where = kap_strndup(address.n ? address.p : "", address.n);
    struct conn *c = dial(net, where);
    c->one_call = true;
    if (!c->resolving) {
        conn_close(c, false, "bad address");
        fail_soon(net, fn, ctx, "bad address");
        return;
    }
    struct call *call = call_new(net, c, timeout_ns, fn, ctx);
    send_frame(c, KAP_RPC_REQUEST, channel, call->id, bytes);
}

void kap_rpc_net_reply(struct kap_rpc_net *net, uint64_t number, enum kap_status status, struct kap_str bytes,
                       const struct kap_error *err)
{
    struct inbound *in = kap_map_del(net->inbound, number_key(&number));
    if (!in)
        return;
    if (status == KAP_OK && bytes.n <= KAP_RPC_FRAME_BYTES)
        send_frame(in->conn, KAP_RPC_ANSWER, KAP_RPC_NONE, in->id, bytes);
    else
        send_failure(in->conn, KAP_RPC_ERROR, in->id, status == KAP_OK ? KAP_ELIMIT : status,
                     err ? err->msg : "the answer is too long");
    kap_free(in);
}

struct kap_rpc_net_stats kap_rpc_net_stats(const struct kap_rpc_net *net)
{
    struct kap_rpc_net_stats s = net->stats;
    s.connections = net->n_conns;
    return s;
}
