#include <math.h>

#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    struct kap_samples samples;
};

/* Two passes, the mean as it goes along: the sample's standard deviation without cancellation. NaNs are left out. */
static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    const struct kap_samples *s = &((struct acc *)acc)->samples;
    double mean = 0, variance = 0, n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const double v = kap_sample_f(s, i);
        if (isnan(v))
            continue;
        n++;
        mean += (v - mean) / n;
    }
    for (size_t i = 0; i < s->n; i++) {
        const double v = kap_sample_f(s, i);
        if (!isnan(v))
            variance += (v - mean) * (v - mean);
    }
    kap_results_add(out, (struct kap_reduced){ .v = kap_value_f(s->n < 2 ? 0 : sqrt(variance / (n - 1))) });
}

static const struct kap_reducer reducer = {
    .name = "stddev",
    .accepts = KAP_ACCEPT_NUMBERS,
    .reset = kap_samples_reset,
    .add = kap_samples_add,
    .emit = emit,
    .done = kap_samples_done,
    .save = kap_samples_save,
    .load = kap_samples_load,
};

KAP_REDUCE_NODE(stddev, "stddev", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The standard deviation of the values of a field, a float; 0 for one value.");
