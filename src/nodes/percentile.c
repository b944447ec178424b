#include <math.h>

#include "base/mem.h"
#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    struct kap_samples samples;
};

struct ranked {
    struct kap_sample sample;
    size_t index;
};

static int by_int(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->sample.i < y->sample.i ? -1 : x->sample.i > y->sample.i;
}

static int by_float(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->sample.f < y->sample.f ? -1 : x->sample.f > y->sample.f;
}

/* Nearest rank, no interpolation; nothing when the rank is out of range. */
static bool choose(void *acc, const struct kap_reduce_config *c, size_t *ret)
{
    const struct kap_samples *s = &((struct acc *)acc)->samples;
    const double rank = floor((double)s->n * c->percent / 100.0 + 0.5) - 1;
    if (!(rank >= 0) || rank >= (double)s->n)
        return false;
    struct ranked *v = KAP_ARRAY(struct ranked, s->n);
    for (size_t i = 0; i < s->n; i++)
        v[i] = (struct ranked){ s->v[i], i };
    kap_sort_stable(v, s->n, sizeof *v, s->type == KAP_INT ? by_int : by_float);
    *ret = v[(size_t)rank].index;
    kap_free(v);
    return true;
}

static const struct kap_reducer reducer = {
    .name = "percentile",
    .accepts = KAP_ACCEPT_NUMBERS,
    .selector = true,
    .keeps_points = true,
    .reset = kap_samples_reset,
    .add = kap_samples_add,
    .choose = choose,
    .done = kap_samples_done,
    .save = kap_samples_save,
    .load = kap_samples_load,
};

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct kap_reduce_config *c = config;
    KAP_TRY(kap_reduce_args_n(c, arena, args, nargs, 2, err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_FLOAT, "percentile", err));
    c->percent = args[1].value.f;
    return KAP_OK;
}

KAP_REDUCE_NODE(percentile, "percentile", KAP_EDGE_STREAM, "(field string, percentile float)", args,
                "The point at the given percentile of a field's values, by nearest rank.");
