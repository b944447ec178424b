#include "base/map.h"
#include "base/mem.h"
#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct item {
    int64_t time_ns;
    struct kap_value v;  /* a string's text is the item's own */
    char text[];
};

struct acc {
    struct kap_map *seen; /* value -> struct item; NaNs differ from each other, their keys are numbered */
    uint64_t nans;
};

static void clear(struct acc *a)
{
    void *item;
    for (size_t i = 0; a->seen && kap_map_next(a->seen, &i, NULL, &item);)
        kap_free(item);
    kap_map_free(a->seen);
    *a = (struct acc){ 0 };
}

static void reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    struct acc *a = acc;
    clear(a);
    a->seen = kap_map_new();
}

static void insert(struct acc *a, const struct kap_value *v, int64_t time_ns)
{
    char number[9] = { 0 };
    struct kap_str key = kap_strn(number, sizeof number);
    if (v->type == KAP_STRING) {
        key = v->s;
    } else if (v->type == KAP_BOOL) {
        number[0] = (char)v->b;
    } else if (v->type == KAP_INT) {
        memcpy(number, &v->i, sizeof v->i);
    } else if (v->f != v->f) {
        number[8] = 1;
        a->nans++;
        memcpy(number, &a->nans, sizeof a->nans);
    } else {
        const double f = v->f == 0 ? 0 : v->f; /* 0 and -0 are one */
        memcpy(number, &f, sizeof f);
    }
    if (kap_map_get(a->seen, key))
        return;
    struct item *item = kap_alloc(sizeof *item + (v->type == KAP_STRING ? v->s.n : 0));
    item->time_ns = time_ns;
    item->v = *v;
    if (v->type == KAP_STRING) {
        if (v->s.n)
            memcpy(item->text, v->s.p, v->s.n);
        item->v.s.p = item->text;
    }
    kap_map_put(a->seen, key, item);
}

static enum kap_reduce_choice add(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p)
{
    insert(acc, &v, p->time_ns);
    return KAP_REDUCE_PASS;
}

/* By the time of the first appearance, then by value. */
static int by_time(const void *a, const void *b)
{
    const struct kap_reduced *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    switch (x->v.type) {
    case KAP_STRING:
        return kap_str_cmp(x->v.s, y->v.s);
    case KAP_BOOL:
        return (int)x->v.b - (int)y->v.b;
    case KAP_INT:
        return x->v.i < y->v.i ? -1 : x->v.i > y->v.i;
    default:
        return x->v.f < y->v.f ? -1 : x->v.f > y->v.f;
    }
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    const struct acc *a = acc;
    void *v;
    for (size_t i = 0; kap_map_next(a->seen, &i, NULL, &v);) {
        const struct item *item = v;
        kap_results_add(out, (struct kap_reduced){ .v = item->v, .timed = true, .time_ns = item->time_ns });
    }
    kap_sort_stable(out->v, out->n, sizeof *out->v, by_time);
}

static void done(void *acc)
{
    clear(acc);
}

static void save(const void *acc, struct kap_snap *w)
{
    const struct acc *a = acc;
    kap_snap_u64(w, kap_map_len(a->seen));
    void *v;
    for (size_t i = 0; kap_map_next(a->seen, &i, NULL, &v);) {
        const struct item *item = v;
        kap_snap_i64(w, item->time_ns);
        kap_snap_value(w, &item->v);
    }
}

static void load(void *acc, struct kap_snap *r)
{
    for (size_t left = kap_snap_get_count(r); left && !r->bad; left--) {
        const int64_t time_ns = kap_snap_get_i64(r);
        const struct kap_value v = kap_snap_get_value(r);
        insert(acc, &v, time_ns);
    }
}

static const struct kap_reducer reducer = {
    .name = "distinct",
    .accepts = KAP_ACCEPT_ALL,
    .reset = reset,
    .add = add,
    .emit = emit,
    .done = done,
    .save = save,
    .load = load,
};

KAP_REDUCE_NODE(distinct, "distinct", KAP_EDGE_BATCH, "(field string)", kap_reduce_args,
                "The distinct values of a field, in the order of their first appearance.");
