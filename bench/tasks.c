/* What tasks cost, in process and without a network: TICKscript tasks on the engine, fed with line protocol.
 * Every figure is checked against the counts of the nodes.
 *
 *     tasks [million points [workload]]
 */
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/rig.h"
#include "nodes/nodes.h"
#include "tick/tick.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 5000, HOSTS = 1000 };

static void fail(const char *why)
{
    fprintf(stderr, "tasks: %s\n", why);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void make_body(struct kap_buf *b, int64_t first, int64_t hosts)
{
    kap_buf_reset(b);
    for (int64_t n = first; n < first + LINES; n++)
        kap_buf_addf(b, "cpu,dc=dc%d,host=host%05d value=%.4f,aux=%di %" PRId64 "\n", (int)(n % 4),
                     (int)(n % hosts), (double)(n % 4096) / 32, (int)(n % 100), 1500000000 + n / hosts);
}

static void start(struct kap_engine *e, const char *id, const char *script)
{
    static const struct kap_handler_type *const none[] = { NULL };
    static const struct kap_node_type *const nodes[] = { &kap_node_stream, &kap_node_from,
                                                         &kap_node_where,  &kap_node_eval,
                                                         &kap_node_window, &kap_node_mean,
                                                         &kap_node_sample, NULL };
    static const struct kap_registry registry = { nodes, none };
    const struct kap_dbrp dbrp = { KAP_STR("db"), KAP_STR("rp") };
    struct kap_tick_script *s;
    struct kap_graph *g;
    struct kap_error err;
    const struct kap_tick_options opts = { .registry = &registry };
    if (kap_tick_parse(kap_str(script), &s, &err) != KAP_OK ||
        kap_tick_eval(s, &opts, &g, NULL, NULL, &err) != KAP_OK)
        fail(err.msg);
    const struct kap_task_options t = { .id = kap_str(id), .graph = g, .dbrps = &dbrp, .ndbrps = 1 };
    if (kap_engine_start(e, &t, &err) != KAP_OK)
        fail(err.msg);
    kap_graph_unref(g);
    kap_tick_script_unref(s);
}

/* What the task's node has collected. */
static int64_t collected(struct kap_engine *e, const char *id, const char *kind)
{
    struct kap_task_stats st;
    struct kap_graph *g;
    struct kap_error err;
    if (kap_engine_task_stats(e, kap_str(id), &st, &g, &err) != KAP_OK)
        fail(err.msg);
    int64_t n = -1;
    for (size_t i = 0; i < st.n; i++)
        if (strcmp(st.nodes[i].node->type->kind, kind) == 0)
            n = st.nodes[i].collected;
    kap_task_stats_done(&st);
    kap_graph_unref(g);
    return n;
}

struct workload {
    const char *name, *script;
    int tasks;            /* of them, %HOST% in the script counts up */
    const char *last;     /* kind of the node that is asked at the end */
    int64_t (*want)(int64_t points);
    int64_t hosts;        /* 0: HOSTS */
};

static int64_t all(int64_t points)
{
    return points;
}

static int64_t of_one_host(int64_t points)
{
    return points / HOSTS;
}

/* A point per host and second, windows of a minute every ten seconds, anchored at the first point. */
static int64_t windows(int64_t points)
{
    return (points / HOSTS - 1) / 10 * HOSTS;
}

static const struct workload workloads[] = {
    { "from().groupBy(host)", "stream|from().measurement('cpu').groupBy('host')|sample(1000000)", 1, "sample",
      all },
    { "where on a field",
      "stream|from().measurement('cpu').groupBy('host')|where(lambda: \"value\" >= 0.0)|sample(1000000)", 1,
      "sample", all },
    { "two evals",
      "stream|from().measurement('cpu').groupBy('host')|eval(lambda: \"value\" * 1.8 + "
      "32.0).as('f').keep('f')"
      "|eval(lambda: sqrt(\"f\") + 1.0).as('g')|sample(1000000)",
      1, "sample", all },
    { "window, mean",
      "stream|from().measurement('cpu').groupBy('host')|window().period(1m).every(10s)|mean('value')|sample("
      "1000000)",
      1, "sample", windows },
    { "500 tasks, one host each",
      "stream|from().measurement('cpu').where(lambda: \"host\" == 'host%05d')|sample(1000000)", 500, "sample",
      of_one_host },
    { "10,000 tasks, one host each",
      "stream|from().measurement('cpu').where(lambda: \"host\" == 'host%05d')|sample(1000000)", 10000,
      "sample", of_one_host },
    { "where, 1,000,000 series",
      "stream|from().measurement('cpu').groupBy('host')|where(lambda: \"value\" >= 0.0)"
      "|sample(1000000)",
      1, "sample", all, 1000000 },
};

static size_t resident_bytes(void)
{
    size_t pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%zu %zu", &pages, &resident) != 2) /* NOLINT(cert-err34-c) */
        fail("cannot read /proc/self/statm");
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void run(const struct workload *w, int bodies)
{
    const int64_t hosts = w->hosts ? w->hosts : HOSTS;
    bodies = (int)KAP_MAX(bodies, 3 * hosts / LINES);
    const int first = w->hosts ? (int)(hosts / LINES) : 0; /* the cost of points of series that are known */
    const size_t before_bytes = resident_bytes();
    struct kap_services services = kap_services_none;
    services.clock = &kap_clock_system;
    const struct kap_engine_options opts = { .services = &services };
    struct kap_engine *e;
    struct kap_error err;
    if (kap_engine_new(&opts, &e, &err) != KAP_OK)
        fail(err.msg);
    const double begun = cpu_s();
    for (int i = 0; i < w->tasks; i++) {
        char id[16], script[512];
        snprintf(id, sizeof id, "t%d", i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(script, sizeof script, w->script, i % HOSTS);
#pragma GCC diagnostic pop
        start(e, id, script);
    }
    const double started = cpu_s();
    struct kap_buf body = { 0 };
    double cpu = 0;
    for (int i = 0; i < bodies; i++) {
        make_body(&body, (int64_t)i * LINES, hosts);
        const double before = cpu_s();
        const struct kap_write in = { KAP_STR("db"), KAP_STR("rp"), KAP_STR("s"), kap_buf_str(&body) };
        if (kap_engine_write(e, &in, NULL, &err) != KAP_OK)
            fail(err.msg);
        kap_engine_drain(e);
        if (i >= first)
            cpu += cpu_s() - before;
    }
    const int64_t points = (int64_t)bodies * LINES, timed = (int64_t)(bodies - first) * LINES;
    for (int i = 0; i < w->tasks; i += KAP_MAX(w->tasks / 10, 1)) {
        char id[16];
        snprintf(id, sizeof id, "t%d", i);
        const int64_t got = collected(e, id, w->last), want = w->want(points);
        if (got != want) {
            fprintf(stderr, "tasks: %s: task %s has %" PRId64 " messages at its end, %" PRId64 " expected\n",
                    w->name, id, got, want);
            exit(1);
        }
    }
    printf("%-30s %7.1f ns per point  %6.3f CPU s per million   start %.1f us per task\n", w->name,
           cpu / (double)timed * 1e9, cpu / (double)timed * 1e6, (started - begun) / w->tasks * 1e6);
    if (w->hosts)
        printf("%-30s %7.1f bytes per series, all in\n", "",
               (double)(resident_bytes() - before_bytes) / (double)hosts);
    kap_buf_done(&body);
    kap_engine_free(e);
}

int main(int argc, char **argv)
{
    const int bodies = KAP_MAX((int)((argc > 1 ? strtod(argv[1], NULL) : 1) * 1e6 / LINES), 10);
    for (size_t i = 0; i < KAP_COUNT(workloads); i++)
        if (argc <= 2 || strcmp(argv[2], workloads[i].name) == 0)
            run(&workloads[i], bodies);
    return 0;
}
