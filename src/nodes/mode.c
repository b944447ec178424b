#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    struct kap_samples samples;
};

static bool same(const struct kap_samples *s, size_t a, size_t b)
{
    return s->type == KAP_INT ? s->v[a].i == s->v[b].i : s->v[a].f == s->v[b].f;
}

/* The value that occurs most often; of several the one that was seen first, as InfluxQL counts it: a run of equal
 * values starts to count with its second one, but for the smallest value. */
static size_t most_frequent(const struct kap_samples *s)
{
    int64_t most = 0, run = 0, most_ns = s->v[0].time_ns, run_ns = s->v[0].time_ns;
    size_t value = 0, mode = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!same(s, i, value)) {
            run = 1;
            value = i;
            run_ns = s->v[i].time_ns;
            continue;
        }
        run++;
        if (most > run || (most == run && run_ns > most_ns))
            continue;
        most = run;
        mode = i;
        most_ns = s->v[i].time_ns;
    }
    return mode;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    struct kap_samples *s = &((struct acc *)acc)->samples;
    if (!s->n)
        return;
    struct kap_reduced r = { .timed = s->n == 1, .time_ns = s->v[0].time_ns };
    kap_samples_sort(s);
    const struct kap_sample *m = &s->v[most_frequent(s)];
    r.v = s->type == KAP_INT ? kap_value_i(m->i) : kap_value_f(m->f);
    kap_results_add(out, r);
}

static const struct kap_reducer reducer = {
    .name = "mode",
    .accepts = KAP_ACCEPT_NUMBERS,
    .reset = kap_samples_reset,
    .add = kap_samples_add,
    .emit = emit,
    .done = kap_samples_done,
    .save = kap_samples_save,
    .load = kap_samples_load,
};

KAP_REDUCE_NODE(mode, "mode", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The most frequent value of a field; the smallest one when none is repeated.");
