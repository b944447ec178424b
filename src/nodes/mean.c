#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    bool is_int;
    int64_t n, sum_i; /* integers are added up as such: no rounding before the end */
    double sum_f;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    *(struct acc *)acc = (struct acc){ .is_int = type == KAP_INT };
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    a->n++;
    if (a->is_int)
        a->sum_i = kap_add_wrap(a->sum_i, v.i);
    else
        a->sum_f += v.f;
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    const struct acc *a = acc;
    const double sum = a->is_int ? (double)a->sum_i : a->sum_f;
    kap_results_add(out, (struct kap_reduced){ .v = kap_value_f(sum / (double)a->n) });
}

static void save(const void *acc, struct kap_snap *w)
{
    const struct acc *a = acc;
    kap_snap_i64(w, a->n);
    kap_snap_i64(w, a->sum_i);
    kap_snap_f64(w, a->sum_f);
}

static void load(void *acc, struct kap_snap *r)
{
    struct acc *a = acc;
    a->n = kap_snap_get_i64(r);
    a->sum_i = kap_snap_get_i64(r);
    a->sum_f = kap_snap_get_f64(r);
}

static const struct kap_reducer reducer = {
    .name = "mean",
    .accepts = KAP_ACCEPT_NUMBERS,
    .reset = reset,
    .add = add,
    .emit = emit,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(mean, "mean", KAP_EDGE_STREAM, "(field string)", kap_reduce_args,
                "The arithmetic mean of the values of a field, a float.");
