/* Series that come and go: a million distinct ones over time, a thousand alive. Groups that have gone are
 * deleted by a barrier. What the process holds must follow the series that are alive, not those that ever
 * were.
 *
 *     churn [distinct series]          ends with 1 and says why when it does not
 *
 * Time is the data's: the clock of the engine stands at the time of the points that are written. */
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/rig.h"
#include "nodes/nodes.h"
#include "tick/tick.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ALIVE = 1000, COME_AND_GO = 50, STEP_S = 10, SAMPLES = 20 };

/* Windows that are longer than a series lives, state per group, and lambdas with state. */
static const char *const scripts[] = {
    "stream|from().measurement('cpu').groupBy('host')|barrier().idle(2m).delete(TRUE)"
    "|window().period(30m).every(5m)|mean('value')|sample(1000000)",
    "stream|from().measurement('cpu').groupBy('host')|barrier().idle(2m).delete(TRUE)"
    "|derivative('value')|stateCount(lambda: sigma(\"value\") > 3.0)|sample(1000000)",
    "stream|from().measurement('cpu').groupBy('host', 'dc')|barrier().idle(2m).delete(TRUE)"
    "|window().periodCount(100).everyCount(10)|percentile('value', 90.0)|changeDetect('percentile')",
    "var a = stream|from().measurement('cpu').groupBy('host')|barrier().idle(2m).delete(TRUE)\n"
    "var b = stream|from().measurement('mem').groupBy('host')|barrier().idle(2m).delete(TRUE)\n"
    "a|join(b).as('a', 'b').tolerance(1s)|sample(1000000)",
};

static _Atomic int64_t now_ns = INT64_C(1500000000000000000);

static int64_t time_of_data(void *ctx)
{
    return now_ns;
}

static void fail(const char *why)
{
    fprintf(stderr, "churn: %s\n", why);
    exit(1);
}

static void start(struct kap_engine *e, size_t i)
{
    static const struct kap_handler_type *const none[] = { NULL };
    static const struct kap_registry registry = { kap_node_types, none };
    const struct kap_dbrp dbrp = { KAP_STR("db"), KAP_STR("rp") };
    char id[16];
    struct kap_tick_script *s;
    struct kap_graph *g;
    struct kap_error err;
    const struct kap_tick_options opts = { .registry = &registry, .type = KAP_TASK_STREAM };
    snprintf(id, sizeof id, "task%zu", i);
    if (kap_tick_parse(kap_str(scripts[i]), &s, &err) != KAP_OK ||
        kap_tick_eval(s, &opts, &g, NULL, NULL, &err) != KAP_OK)
        fail(err.msg);
    const struct kap_task_options t = { .id = kap_str(id), .graph = g, .dbrps = &dbrp, .ndbrps = 1 };
    if (kap_engine_start(e, &t, &err) != KAP_OK)
        fail(err.msg);
    kap_graph_unref(g);
    kap_tick_script_unref(s);
}

/* One point of each series that is alive. */
static void write_step(struct kap_engine *e, struct kap_buf *b, int64_t first)
{
    struct kap_error err;
    kap_buf_reset(b);
    for (int64_t h = first; h < first + ALIVE; h++)
        kap_buf_addf(b, "%s,dc=dc%d,host=host%" PRId64 " value=%d.5,aux=%di %" PRId64 "\n",
                     h % 2 ? "mem" : "cpu", (int)(h % 4), h / 2, (int)(h % 97), (int)(h % 5), now_ns);
    const struct kap_write in = { KAP_STR("db"), KAP_STR("rp"), KAP_STR("n"), kap_buf_str(b) };
    if (kap_engine_write(e, &in, NULL, &err) != KAP_OK)
        fail(err.msg);
    kap_engine_drain(e);
}

static double resident_mib(void)
{
    size_t pages = 0, resident = 0;
    malloc_trim(0); /* what is free is no growth */
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%zu %zu", &pages, &resident) != 2) /* NOLINT(cert-err34-c) */
        fail("cannot read /proc/self/statm");
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static int64_t charged(struct kap_engine *e)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < KAP_COUNT(scripts); i++) {
        struct kap_task_stats st;
        struct kap_graph *g;
        struct kap_error err;
        char id[16];
        snprintf(id, sizeof id, "task%zu", i);
        if (kap_engine_task_stats(e, kap_str(id), &st, &g, &err) != KAP_OK)
            fail(err.msg);
        bytes += st.bytes;
        kap_task_stats_done(&st);
        kap_graph_unref(g);
    }
    return bytes;
}

int main(int argc, char **argv)
{
    const int64_t distinct = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;
    const int64_t steps = distinct / COME_AND_GO, every = KAP_MAX(steps / SAMPLES, 1);
    static const struct kap_clock clock = { time_of_data, time_of_data, NULL };
    struct kap_services services = kap_services_none;
    services.clock = &clock;
    const struct kap_engine_options opts = { .clock = &clock, .services = &services };
    struct kap_engine *e;
    struct kap_error err;
    if (kap_engine_new(&opts, &e, &err) != KAP_OK)
        fail(err.msg);
    for (size_t i = 0; i < KAP_COUNT(scripts); i++)
        start(e, i);
    struct kap_buf body = { 0 };
    double first_mib = 0, worst_mib = 0;
    printf("%12s %12s %12s %14s\n", "series seen", "resident MiB", "series kept", "state bytes");
    for (int64_t i = 0; i < steps; i++) {
        write_step(e, &body, i * COME_AND_GO);
        now_ns += (int64_t)STEP_S * 1000000000;
        if ((i + 1) % every != 0)
            continue;
        struct kap_engine_stats st;
        kap_engine_stats(e, &st);
        const double mib = resident_mib();
        printf("%12" PRId64 " %12.1f %12zu %14" PRId64 "\n", i * COME_AND_GO + ALIVE, mib, st.series,
               charged(e));
        fflush(stdout);
        if (i >= steps / 4 && first_mib == 0) /* by then whatever is bounded has come to its bound */
            first_mib = mib;
        if (first_mib > 0)
            worst_mib = KAP_MAX(worst_mib, mib);
    }
    kap_engine_free(e);
    kap_buf_done(&body);
    if (worst_mib > first_mib * 1.1 + 2) {
        fprintf(stderr, "churn: grew from %.1f to %.1f MiB\n", first_mib, worst_mib);
        return 1;
    }
    printf("flat: %.1f MiB after a quarter, at most %.1f since\n", first_mib, worst_mib);
    return 0;
}
