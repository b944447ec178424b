/* How long parsing and routing take, in process and without a network: nanoseconds per line of line protocol.
 * Every figure is checked: the sums of what came out must be those of what went in.
 *
 *     parse [million points]
 */
#include "base/mem.h"
#include "data/line.h"
#include "engine/engine.h"
#include "engine/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LINES = 5000, HOSTS = 1000 };

static double now_s(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* A body as the load generator of the benchmarks writes it: four fields, hosts in turn. */
static int64_t make_body(struct kap_buf *b, int first)
{
    int64_t sum = 0;
    for (int i = 0; i < LINES; i++) {
        const int n = first + i;
        kap_buf_addf(b, "cpu,dc=dc%d,host=host%05d value=%.4f,aux=%di,user=%.4f,sys=%.4f %d\n", n % 4,
                     n % HOSTS, (double)(n % 4096) / 16, n % 100, (double)(n % 1000) / 8,
                     (double)(n % 777) / 4, 1500000000 + n / HOSTS);
        sum += n % 100;
    }
    return sum;
}

static void fail(const char *why)
{
    fprintf(stderr, "parse: %s\n", why);
    exit(1);
}

static void report(const char *what, double s, double points)
{
    printf("%-28s %7.1f ns per point  %6.3f CPU s per million\n", what, s / points * 1e9, s / points * 1e6);
}

static void bench_parse(const struct kap_buf *bodies, size_t nbodies, int64_t want, int rounds, bool discard,
                        const char *what)
{
    struct kap_series_cache *cache = kap_series_cache_new(1 << 20, NULL);
    struct kap_line_parser *parser = kap_line_parser_new();
    const struct kap_source source = { kap_sym_c("db"), kap_sym_c("rp"), 0 };
    const struct kap_line_options opts = { .unit_ns = 1000000000, .discard = discard };
    const struct kap_sym *aux = kap_sym_c("aux");
    struct kap_line_batch b = { 0 };
    size_t points = 0;
    const double start = now_s(CLOCK_THREAD_CPUTIME_ID);
    for (int r = 0; r < rounds; r++) {
        for (size_t i = 0; i < nbodies; i++) {
            struct kap_error err;
            if (kap_line_parse(parser, cache, &source, kap_buf_str(&bodies[i]), &opts, &b, &err) != KAP_OK)
                fail(err.msg);
            points += b.n;
            if (r || discard)
                continue;
            for (size_t k = 0; k < b.n; k++) { /* once */
                struct kap_point p;
                kap_line_batch_point(&b, k, &p);
                want -= kap_point_field(&p, aux)->i;
            }
        }
    }
    const double s = now_s(CLOCK_THREAD_CPUTIME_ID) - start;
    if (!discard && want != 0)
        fail("the sum is wrong");
    if (points != (size_t)rounds * nbodies * LINES)
        fail("points are missing");
    report(what, s, (double)points);
    kap_line_batch_done(&b);
    kap_line_parser_free(parser);
    kap_series_cache_free(cache);
}

/* ---- through the engine ---- */

static _Atomic int64_t sum;

static void add_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    sum += p->fields[1].v.i;
}

static const struct kap_node_run root_run = { 0 }, add_run = { .point = add_point };
static const struct kap_node_type root_type = {
    .name = "stream", .kind = "stream", .wants = KAP_EDGE_NONE, .provides = KAP_EDGE_STREAM, .run = &root_run
};
static const struct kap_node_type add_type = {
    .name = "add", .kind = "add", .wants = KAP_EDGE_STREAM, .provides = KAP_EDGE_STREAM, .run = &add_run
};

static void bench_engine(const struct kap_buf *bodies, size_t nbodies, int64_t want, int rounds, bool task,
                         const char *what)
{
    static const struct kap_services services = { .clock = &kap_clock_system };
    const struct kap_engine_options opts = { .services = &services };
    struct kap_engine *e;
    struct kap_error err;
    if (kap_engine_new(&opts, &e, &err) != KAP_OK)
        fail(err.msg);
    if (task) {
        struct kap_graph *g = kap_graph_new(KAP_TASK_STREAM);
        struct kap_graph_node *root, *node;
        const struct kap_dbrp dbrp = { KAP_STR("db"), KAP_STR("rp") };
        const struct kap_task_options t = { .id = KAP_STR("t"), .graph = g, .dbrps = &dbrp, .ndbrps = 1 };
        if (kap_graph_add(g, NULL, &root_type, &root, &err) != KAP_OK ||
            kap_graph_add(g, root, &add_type, &node, &err) != KAP_OK ||
            kap_engine_start(e, &t, &err) != KAP_OK)
            fail(err.msg);
        kap_graph_unref(g);
    }
    sum = 0;
    const double start = now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (int r = 0; r < rounds; r++)
        for (size_t i = 0; i < nbodies; i++) {
            const struct kap_write w = { KAP_STR("db"), KAP_STR("rp"), KAP_STR("s"),
                                         kap_buf_str(&bodies[i]) };
            if (kap_engine_write(e, &w, NULL, &err) != KAP_OK)
                fail(err.msg);
        }
    kap_engine_drain(e);
    const double s = now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    if (task && sum != want * rounds)
        fail("the sum is wrong");
    report(what, s, (double)rounds * (double)nbodies * LINES);
    kap_engine_free(e);
}

int main(int argc, char **argv)
{
    enum { BODIES = 20 };
    const int rounds = (int)((argc > 1 ? strtod(argv[1], NULL) : 2) * 1e6 / (BODIES * LINES));
    struct kap_buf bodies[BODIES] = { 0 };
    int64_t want = 0;
    size_t bytes = 0;
    for (int i = 0; i < BODIES; i++) {
        want += make_body(&bodies[i], i * LINES);
        bytes += bodies[i].n;
    }
    printf("%d bodies of %d lines, %.1f bytes per line\n", BODIES, LINES, (double)bytes / (BODIES * LINES));
    bench_parse(bodies, BODIES, want, KAP_MAX(rounds, 1), false, "parse");
    bench_parse(bodies, BODIES, want, KAP_MAX(rounds, 1), true, "parse, points not wanted");
    bench_engine(bodies, BODIES, want, KAP_MAX(rounds, 1), false, "engine, no task");
    bench_engine(bodies, BODIES, want, KAP_MAX(rounds, 1), true, "engine, a task that adds");
    for (int i = 0; i < BODIES; i++)
        kap_buf_done(&bodies[i]);
    return 0;
}
