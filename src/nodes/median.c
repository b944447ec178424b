#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    struct kap_samples samples;
};

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    struct kap_samples *s = &((struct acc *)acc)->samples;
    if (!s->n)
        return;
    kap_samples_sort(s);
    double m = kap_sample_f(s, s->n / 2);
    if (s->n % 2 == 0) {
        const struct kap_sample *lo = &s->v[s->n / 2 - 1], *hi = &s->v[s->n / 2];
        m = s->type == KAP_INT ? (double)lo->i + (double)kap_sub_wrap(hi->i, lo->i) / 2 : lo->f + (hi->f - lo->f) / 2;
    }
    kap_results_add(out, (struct kap_reduced){ .v = kap_value_f(m) });
}

static const struct kap_reducer reducer = {
    .name = "median",
    .accepts = KAP_ACCEPT_NUMBERS,
    .reset = kap_samples_reset,
    .add = kap_samples_add,
    .emit = emit,
    .done = kap_samples_done,
    .save = kap_samples_save,
    .load = kap_samples_load,
};

KAP_REDUCE_NODE(median, "median", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The middle value of a field, or the mean of the two middle ones; a float.");
