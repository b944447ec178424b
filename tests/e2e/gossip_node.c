/* A member that only gossips: the membership core with real sockets, for tests against stock agents.
 *
 *   gossip_node NAME CLUSTER-ID ADDRESS:PORT [-key BASE64] [-join ADDRESS:PORT]... [-tag KEY=VALUE]...
 *
 * Prints a line for each event. Commands on standard input: members, stats, join ADDRESS:PORT, tag KEY=VALUE,
 * leave, quit. Ends by itself when standard input does. */
#include "base/duration.h"
#include "base/mem.h"
#include "base/random.h"
#include "cluster/gossip_net.h"
#include <openssl/evp.h>
#include <stdio.h>

struct node {
    uv_loop_t loop;
    uv_pipe_t in;
    struct kap_gossip_net *net;
    char bytes[4096];
    struct kap_buf line;
};

static void on_event(void *ctx, const struct kap_swim_event *ev)
{
    static const char *const names[] = { "alive", "updated", "suspect", "recovered", "leaving", "left", "failed",
                                         "reaped", "refused", "conflict", "joined", "join-failed", "refuted", "keys",
                                         "leave-done" };
    char addr[KAP_SWIM_ADDR_TEXT];
    (void)ctx;
    printf("event %s %s %s %s\n", names[ev->kind], ev->member ? ev->member->name : "-",
           kap_swim_addr_text(&ev->addr, addr), ev->text);
    fflush(stdout);
}

/* Whose name begins with "node-" was added; others look on. */
static enum kap_swim_role admit(void *ctx, struct kap_str name, const struct kap_wire_tag *tags, size_t n)
{
    (void)ctx, (void)tags, (void)n;
    return kap_str_has_prefix(name, KAP_STR("node-")) ? KAP_SWIM_MEMBER : KAP_SWIM_OBSERVER;
}

static void print_members(const struct node *node)
{
    char addr[KAP_SWIM_ADDR_TEXT];
    const struct kap_swim_member *m;
    size_t i = 0;
    while ((m = kap_swim_next(kap_gossip_core(node->net), &i))) {
        printf("member %s %s %s", m->name, kap_swim_addr_text(&m->addr, addr), kap_swim_status_name(m->status));
        for (size_t t = 0; t < m->n_tags; t++)
            printf(" %.*s=%.*s", KAP_STR_ARG(m->tags[t].key), KAP_STR_ARG(m->tags[t].value));
        printf("\n");
    }
    printf("end\n");
}

static void print_stats(const struct node *node)
{
    const struct kap_swim_stats s = kap_swim_stats(kap_gossip_core(node->net));
    printf("stats bad_datagrams=%llu bad_streams=%llu probes=%llu failed=%llu refused=%llu queued=%llu\nend\n",
           (unsigned long long)s.bad_datagrams, (unsigned long long)s.bad_streams, (unsigned long long)s.probes,
           (unsigned long long)s.probes_failed, (unsigned long long)s.refused, (unsigned long long)s.queued);
}

static struct kap_wire_tag parse_tag(const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals)
        return (struct kap_wire_tag){ kap_str(text), KAP_STR("") };
    return (struct kap_wire_tag){ kap_strn(text, (size_t)(equals - text)), kap_str(equals + 1) };
}

static void on_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void quit(struct node *node)
{
    if (!node->net)
        return;
    uv_close((uv_handle_t *)&node->in, on_closed);
    kap_gossip_stop(node->net, NULL, NULL);
    node->net = NULL;
}

static void command(struct node *node, char *line)
{
    struct kap_error err;
    if (strcmp(line, "members") == 0) {
        print_members(node);
    } else if (strcmp(line, "stats") == 0) {
        print_stats(node);
    } else if (strcmp(line, "leave") == 0) {
        kap_gossip_leave(node->net);
    } else if (strncmp(line, "join ", 5) == 0) {
        if (kap_gossip_join(node->net, line + 5, &err) != KAP_OK)
            printf("error %s\n", err.msg);
    } else if (strncmp(line, "tag ", 4) == 0) {
        const struct kap_wire_tag tag = parse_tag(line + 4);
        if (kap_gossip_set_tags(node->net, &tag, 1, &err) != KAP_OK)
            printf("error %s\n", err.msg);
    } else if (strcmp(line, "quit") == 0) {
        quit(node);
    }
    fflush(stdout);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct node *node = handle->data;
    (void)suggested;
    *buf = uv_buf_init(node->bytes, sizeof node->bytes);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct node *node = stream->data;
    if (n < 0) {
        quit(node);
        return;
    }
    for (ssize_t i = 0; i < n && node->net; i++) {
        if (buf->base[i] != '\n') {
            kap_buf_addc(&node->line, buf->base[i]);
            continue;
        }
        char *line = kap_buf_take(&node->line);
        command(node, line);
        kap_free(line);
    }
}

static void fatal(const char *msg)
{
    fprintf(stderr, "gossip_node: %s\n", msg);
    exit(1);
}

static void add_key(struct kap_swim_config *swim, const char *text)
{
    unsigned char key[64];
    struct kap_error err;
    const size_t n = strlen(text);
    const int decoded = n < 60 ? EVP_DecodeBlock(key, (const unsigned char *)text, (int)n) : -1;
    if (decoded < 0)
        fatal("the key is no base64");
    size_t bytes = (size_t)decoded;
    for (size_t i = n; i > 0 && text[i - 1] == '='; i--)
        bytes--;
    if (kap_seal_add_key(&swim->seal, kap_strn((const char *)key, bytes), &err) != KAP_OK)
        fatal(err.msg);
}

int main(int argc, char **argv)
{
    static struct node node;
    struct kap_gossip_config config = { .clock = &kap_clock_system, .event = on_event, .admit = admit };
    struct kap_wire_tag tags[8];
    struct kap_gossip_seed seeds[8];
    size_t n_tags = 0, n_seeds = 0;
    struct kap_error err;
    if (argc < 4)
        fatal("usage: gossip_node NAME CLUSTER-ID ADDRESS:PORT [-key K] [-join A]... [-tag K=V]...");
    kap_swim_config_init(&config.swim);
    config.bind = config.advertise = argv[3];
    config.swim.name = argv[1];
    config.swim.seed = kap_random_system_seed();
    for (int i = 4; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-key") == 0)
            add_key(&config.swim, argv[i + 1]);
        else if (strcmp(argv[i], "-join") == 0 && n_seeds < KAP_COUNT(seeds))
            seeds[n_seeds++] = (struct kap_gossip_seed){ NULL, argv[i + 1] };
        else if (strcmp(argv[i], "-tag") == 0 && n_tags < KAP_COUNT(tags))
            tags[n_tags++] = parse_tag(argv[i + 1]);
        else
            fatal("unknown option");
    }
    config.swim.tags = tags;
    config.swim.n_tags = n_tags;
    uv_loop_init(&node.loop);
    if (kap_gossip_start(&node.loop, &config, &node.net, &err) != KAP_OK)
        fatal(err.msg);
    if (kap_gossip_enable(node.net, argv[2], &err) != KAP_OK)
        fatal(err.msg);
    kap_gossip_set_seeds(node.net, seeds, n_seeds);
    kap_seal_done(&config.swim.seal);
    uv_pipe_init(&node.loop, &node.in, 0);
    node.in.data = &node;
    if (uv_pipe_open(&node.in, 0) != 0)
        fatal("standard input must be a pipe");
    uv_read_start((uv_stream_t *)&node.in, on_alloc, on_input);
    uv_run(&node.loop, UV_RUN_DEFAULT);
    kap_buf_done(&node.line);
    return uv_loop_close(&node.loop) == 0 ? 0 : 1;
}
