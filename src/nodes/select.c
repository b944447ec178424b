#include "nodes/select.h"

void kap_select_reset(void *acc, const struct kap_reduce_config *c, enum kap_type type)
{
    ((struct kap_select *)acc)->has = false;
}

void kap_select_done(void *acc)
{
    kap_buf_done(&((struct kap_select *)acc)->text);
}

void kap_select_save(const void *acc, struct kap_snap *w)
{
    const struct kap_select *a = acc;
    kap_snap_u64(w, a->has);
    if (!a->has)
        return;
    kap_snap_i64(w, a->time_ns);
    kap_snap_value(w, &a->v);
}

void kap_select_load(void *acc, struct kap_snap *r)
{
    if (!kap_snap_get_u64(r))
        return;
    const int64_t time_ns = kap_snap_get_i64(r);
    const struct kap_value v = kap_snap_get_value(r);
    (void)kap_select_take(acc, &v, time_ns);
}

enum kap_reduce_choice kap_select_take(struct kap_select *a, const struct kap_value *v, int64_t time_ns)
{
    a->has = true;
    a->time_ns = time_ns;
    a->v = *v;
    if (v->type == KAP_STRING) {
        kap_buf_reset(&a->text);
        kap_buf_add(&a->text, v->s);
        a->v.s = kap_buf_str(&a->text);
    }
    return KAP_REDUCE_CHOOSE;
}

int kap_select_cmp(const struct kap_select *a, const struct kap_value *v)
{
    switch (v->type) {
    case KAP_STRING:
        return kap_str_cmp(v->s, a->v.s);
    case KAP_BOOL:
        return (int)v->b - (int)a->v.b;
    case KAP_INT:
        return v->i < a->v.i ? -1 : v->i > a->v.i;
    default:
        return v->f < a->v.f ? -1 : v->f > a->v.f;
    }
}
