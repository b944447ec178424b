#include "nodes/ranking.h"
#include "base/mem.h"

/* > 0: a ranks above b. Of equal values the earlier point does. */
static int rank_cmp(const struct kap_ranked *a, const struct kap_ranked *b, int sign)
{
    int c = 0;
    if (a->v.type == KAP_INT)
        c = a->v.i < b->v.i ? -1 : a->v.i > b->v.i;
    else
        c = a->v.f < b->v.f ? -1 : a->v.f > b->v.f;
    if (c)
        return c * sign;
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? 1 : -1;
    return a->seq < b->seq ? 1 : -1;
}

void kap_ranking_reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    struct kap_ranking *r = acc;
    for (size_t i = 0; i < r->n; i++)
        kap_tags_unref(r->v[i].tags);
    r->n = 0;
    r->seq = 0;
}

void kap_ranking_done(void *acc)
{
    struct kap_ranking *r = acc;
    kap_ranking_reset(r, NULL, KAP_MISSING);
    kap_free(r->v);
    *r = (struct kap_ranking){ 0 };
}

static void swap(struct kap_ranked *a, struct kap_ranked *b)
{
    const struct kap_ranked t = *a;
    *a = *b;
    *b = t;
}

static void sift_up(struct kap_ranking *r, int sign)
{
    for (size_t i = r->n - 1; i > 0 && rank_cmp(&r->v[i], &r->v[(i - 1) / 2], sign) < 0; i = (i - 1) / 2)
        swap(&r->v[i], &r->v[(i - 1) / 2]);
}

static void sift_down(struct kap_ranking *r, int sign)
{
    for (size_t i = 0;;) {
        size_t worst = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < r->n; child++)
            if (rank_cmp(&r->v[child], &r->v[worst], sign) < 0)
                worst = child;
        if (worst == i)
            return;
        swap(&r->v[i], &r->v[worst]);
        i = worst;
    }
}

enum kap_reduce_choice kap_ranking_add(struct kap_ranking *r, const struct kap_reduce_config *c, struct kap_value v,
                                       const struct kap_point *p, int sign)
{
    const struct kap_ranked x = { .v = v, .time_ns = p->time_ns, .seq = r->seq++, .tags = p->tags };
    if (c->n <= 0)
        return KAP_REDUCE_PASS;
    if (r->n < (size_t)c->n) {
        KAP_GROW(r->v, r->cap, r->n + 1);
        r->v[r->n] = x;
        kap_tags_ref(x.tags);
        r->n++;
        sift_up(r, sign);
    } else if (rank_cmp(&x, &r->v[0], sign) > 0) {
        kap_tags_ref(x.tags);
        kap_tags_unref(r->v[0].tags);
        r->v[0] = x;
        sift_down(r, sign);
    }
    return KAP_REDUCE_PASS;
}

static int by_time(const void *a, const void *b)
{
    const struct kap_ranked *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void kap_ranking_emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    struct kap_ranking *r = acc;
    if (r->n > 1)
        qsort(r->v, r->n, sizeof *r->v, by_time);
    for (size_t i = 0; i < r->n; i++)
        kap_results_add(out, (struct kap_reduced){
                                 .v = r->v[i].v, .timed = true, .time_ns = r->v[i].time_ns, .tags = r->v[i].tags });
}

void kap_ranking_save(const void *acc, struct kap_snap *w)
{
    const struct kap_ranking *r = acc;
    kap_snap_u64(w, r->seq);
    kap_snap_u64(w, r->n);
    for (size_t i = 0; i < r->n; i++) {
        kap_snap_value(w, &r->v[i].v);
        kap_snap_i64(w, r->v[i].time_ns);
        kap_snap_u64(w, r->v[i].seq);
        kap_snap_tags(w, r->v[i].tags);
    }
}

void kap_ranking_load(void *acc, struct kap_snap *in)
{
    struct kap_ranking *r = acc;
    r->seq = kap_snap_get_u64(in);
    for (size_t left = kap_snap_get_count(in); left && !in->bad; left--) {
        KAP_GROW(r->v, r->cap, r->n + 1);
        struct kap_ranked *x = &r->v[r->n++];
        x->v = kap_snap_get_value(in);
        x->time_ns = kap_snap_get_i64(in);
        x->seq = kap_snap_get_u64(in);
        x->tags = kap_snap_get_tags(in);
    }
}

enum kap_status kap_ranking_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                 const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct kap_reduce_config *c = config;
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_INT, c->reducer->name, err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_STRING, c->reducer->name, err));
    c->n = args[0].value.i;
    c->field = kap_arena_str(arena, args[1].value.s);
    return kap_args_strings(&c->fields_and_tags, arena, args + 2, nargs - 2, c->reducer->name, err);
}
