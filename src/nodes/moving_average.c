#include "base/mem.h"
#include "nodes/nodes.h"
#include "nodes/reduce.h"

#define WINDOW_MAX 1000000

struct acc {
    struct kap_value *v; /* the last c->n values, a ring that is full before anything is emitted */
    size_t n, cap, pos;
    bool is_int;
    int64_t sum_i, time_ns;
    double sum_f;
};

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    struct acc *a = acc;
    a->n = a->pos = 0;
    a->is_int = type == KAP_INT;
    a->sum_i = 0;
    a->sum_f = 0;
}

static void put(struct acc *a, const struct kap_reduce_config *c, struct kap_value v)
{
    if (a->n < (size_t)c->n) {
        KAP_GROW(a->v, a->cap, a->n + 1);
        a->v[a->n++] = v;
    } else {
        if (a->is_int)
            a->sum_i = kap_sub_wrap(a->sum_i, a->v[a->pos].i);
        else
            a->sum_f -= a->v[a->pos].f;
        a->v[a->pos] = v;
    }
    if (a->is_int)
        a->sum_i = kap_add_wrap(a->sum_i, v.i);
    else
        a->sum_f += v.f;
    if (++a->pos >= (size_t)c->n)
        a->pos = 0;
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    struct acc *a = acc;
    put(a, c, v);
    a->time_ns = p->time_ns;
    return KAP_REDUCE_PASS;
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    const struct acc *a = acc;
    if (a->n < (size_t)c->n)
        return;
    const double sum = a->is_int ? (double)a->sum_i : a->sum_f;
    kap_results_add(out, (struct kap_reduced){
                             .v = kap_value_f(sum / (double)a->n), .timed = true, .time_ns = a->time_ns });
}

static void done(void *acc)
{
    kap_free(((struct acc *)acc)->v);
}

static void save(const void *acc, struct kap_snap *w)
{
    const struct acc *a = acc;
    kap_snap_i64(w, a->time_ns);
    kap_snap_u64(w, a->pos);
    kap_snap_i64(w, a->sum_i);
    kap_snap_f64(w, a->sum_f); /* not added up again: rounding depends on the whole past */
    kap_snap_u64(w, a->n);
    for (size_t i = 0; i < a->n; i++)
        kap_snap_value(w, &a->v[i]);
}

static void load(void *acc, struct kap_snap *r)
{
    struct acc *a = acc;
    a->time_ns = kap_snap_get_i64(r);
    const uint64_t pos = kap_snap_get_u64(r);
    a->sum_i = kap_snap_get_i64(r);
    a->sum_f = kap_snap_get_f64(r);
    for (size_t left = kap_snap_get_count(r); left && !r->bad; left--) {
        KAP_GROW(a->v, a->cap, a->n + 1);
        a->v[a->n++] = kap_snap_get_value(r);
    }
    r->bad |= pos > a->n;
    a->pos = r->bad ? 0 : (size_t)pos;
}

static const struct kap_reducer reducer = {
    .name = "movingAverage",
    .accepts = KAP_ACCEPT_NUMBERS,
    .transform = true,
    .reset = reset,
    .add = add,
    .emit = emit,
    .done = done,
    .save = save,
    .load = load,
};

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct kap_reduce_config *c = config;
    KAP_TRY(kap_reduce_args_n(c, arena, args, nargs, 2, err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_INT, "movingAverage", err));
    if (args[1].value.i < 1 || args[1].value.i > WINDOW_MAX)
        return kap_fail(err, KAP_EINVAL, "movingAverage: the window must be between 1 and %d", WINDOW_MAX);
    c->n = args[1].value.i;
    return KAP_OK;
}

KAP_REDUCE_NODE(moving_average, "movingAverage", KAP_EDGE_SAME, "(field string, window int)", args,
                "The mean of the last `window` values, a float; silent until there are that many.");
