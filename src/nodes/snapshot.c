#include "nodes/snapshot.h"
#include "base/mem.h"

struct kap_snap kap_snap_writer(struct kap_buf *out, uint8_t version)
{
    kap_buf_addc(out, (char)version);
    return (struct kap_snap){ .out = out };
}

enum kap_status kap_snap_reader(struct kap_snap *r, struct kap_str data, uint8_t version, struct kap_error *err)
{
    if (data.n == 0 || (uint8_t)data.p[0] != version)
        return kap_fail(err, KAP_EINVAL, "snapshot has version %d, this node reads %d", data.n ? (uint8_t)data.p[0] : 0,
                        version);
    *r = (struct kap_snap){ .in = { data.p + 1, data.n - 1 } };
    return KAP_OK;
}

enum kap_status kap_snap_end(const struct kap_snap *r, struct kap_error *err)
{
    if (r->bad)
        return kap_fail(err, KAP_EINVAL, "snapshot is cut short or damaged");
    if (r->in.n)
        return kap_fail(err, KAP_EINVAL, "snapshot has %zu bytes too many", r->in.n);
    return KAP_OK;
}

void kap_snap_u64(struct kap_snap *w, uint64_t u)
{
    char b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (char)(u >> (8 * i));
    kap_buf_addn(w->out, b, sizeof b);
}

void kap_snap_i64(struct kap_snap *w, int64_t i)
{
    kap_snap_u64(w, (uint64_t)i);
}

void kap_snap_f64(struct kap_snap *w, double f)
{
    uint64_t u;
    memcpy(&u, &f, sizeof u);
    kap_snap_u64(w, u);
}

void kap_snap_bytes(struct kap_snap *w, struct kap_str s)
{
    kap_snap_u64(w, s.n);
    kap_buf_add(w->out, s);
}

void kap_snap_sym(struct kap_snap *w, const struct kap_sym *s)
{
    kap_buf_addc(w->out, s != NULL);
    if (s)
        kap_snap_bytes(w, kap_sym_str(s));
}

void kap_snap_value(struct kap_snap *w, const struct kap_value *v)
{
    kap_buf_addc(w->out, (char)v->type);
    switch (v->type) {
    case KAP_FLOAT:
        kap_snap_f64(w, v->f);
        break;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        kap_snap_i64(w, v->i);
        break;
    case KAP_BOOL:
        kap_buf_addc(w->out, v->b);
        break;
    case KAP_STRING:
        kap_snap_bytes(w, v->s);
        break;
    case KAP_MISSING:
    case KAP_REGEX:
        break;
    }
}

void kap_snap_tags(struct kap_snap *w, const struct kap_tags *t)
{
    kap_snap_u64(w, t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        kap_snap_sym(w, t->v[i].key);
        kap_snap_bytes(w, t->v[i].val);
    }
}

void kap_snap_group(struct kap_snap *w, const struct kap_group *g)
{
    kap_snap_sym(w, g->name);
    kap_buf_addc(w->out, g->dims.by_name);
    kap_snap_u64(w, g->dims.n);
    for (uint32_t i = 0; i < g->dims.n; i++)
        kap_snap_sym(w, g->dims.names[i]);
    kap_snap_tags(w, g->tags);
}

void kap_snap_point(struct kap_snap *w, const struct kap_point *p)
{
    kap_snap_i64(w, p->time_ns);
    kap_snap_sym(w, p->db);
    kap_snap_sym(w, p->rp);
    kap_snap_sym(w, p->name);
    kap_snap_tags(w, p->tags);
    kap_snap_group(w, p->group);
    kap_snap_u64(w, p->nfields);
    for (uint32_t i = 0; i < p->nfields; i++) {
        kap_snap_sym(w, p->fields[i].key);
        kap_snap_value(w, &p->fields[i].v);
    }
}

void kap_snap_batch(struct kap_snap *w, const struct kap_batch *b)
{
    kap_snap_i64(w, b->begin.time_ns);
    kap_snap_sym(w, b->begin.name);
    kap_snap_group(w, b->begin.group);
    kap_snap_u64(w, b->n);
    for (size_t i = 0; i < b->n; i++)
        kap_snap_point(w, b->points[i]);
}

void kap_snap_lambda(struct kap_snap *w, const struct kap_lambda_state *s)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    if (s)
        kap_lambda_state_save(s, &b);
    kap_snap_bytes(w, kap_buf_str(&b));
}

static const char *take(struct kap_snap *r, size_t n)
{
    if (r->bad || r->in.n < n) {
        r->bad = true;
        return NULL;
    }
    const char *p = r->in.p;
    r->in.p += n;
    r->in.n -= n;
    return p;
}

uint64_t kap_snap_get_u64(struct kap_snap *r)
{
    const char *p = take(r, 8);
    uint64_t u = 0;
    for (int i = 0; p && i < 8; i++)
        u |= (uint64_t)(uint8_t)p[i] << (8 * i);
    return u;
}

int64_t kap_snap_get_i64(struct kap_snap *r)
{
    return (int64_t)kap_snap_get_u64(r);
}

double kap_snap_get_f64(struct kap_snap *r)
{
    const uint64_t u = kap_snap_get_u64(r);
    double f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint8_t get_byte(struct kap_snap *r)
{
    const char *p = take(r, 1);
    return p ? (uint8_t)*p : 0;
}

struct kap_str kap_snap_get_bytes(struct kap_snap *r)
{
    const uint64_t n = kap_snap_get_u64(r);
    const char *p = take(r, n > SIZE_MAX ? SIZE_MAX : (size_t)n);
    return p ? kap_strn(p, (size_t)n) : KAP_STR("");
}

const struct kap_sym *kap_snap_get_sym(struct kap_snap *r)
{
    if (!get_byte(r))
        return NULL;
    return kap_sym(kap_snap_get_bytes(r));
}

struct kap_value kap_snap_get_value(struct kap_snap *r)
{
    struct kap_value v = { .type = (enum kap_type)get_byte(r) };
    switch (v.type) {
    case KAP_FLOAT:
        v.f = kap_snap_get_f64(r);
        return v;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        v.i = kap_snap_get_i64(r);
        return v;
    case KAP_BOOL:
        v.b = get_byte(r) != 0;
        return v;
    case KAP_STRING:
        v.s = kap_snap_get_bytes(r);
        return v;
    case KAP_MISSING:
        return v;
    case KAP_REGEX:
        break;
    }
    r->bad = true;
    return (struct kap_value){ .type = KAP_MISSING };
}

size_t kap_snap_get_count(struct kap_snap *r)
{
    const uint64_t n = kap_snap_get_u64(r);
    if (n > r->in.n)
        r->bad = true;
    return r->bad ? 0 : (size_t)n;
}

const struct kap_tags *kap_snap_get_tags(struct kap_snap *r)
{
    const size_t n = kap_snap_get_count(r);
    struct kap_tag *v = KAP_ARRAY(struct kap_tag, n + 1);
    for (size_t i = 0; i < n; i++) {
        v[i].key = kap_snap_get_sym(r);
        v[i].val = kap_snap_get_bytes(r);
        if (!v[i].key) {
            r->bad = true;
            v[i].key = kap_sym_empty;
        }
    }
    const struct kap_tags *t = kap_tags_new(v, n);
    kap_free(v);
    return t;
}

struct kap_group *kap_snap_get_group(struct kap_snap *r, struct kap_groups *groups)
{
    const struct kap_sym *name = kap_snap_get_sym(r);
    struct kap_dims d = { .by_name = get_byte(r) != 0 };
    const size_t n = kap_snap_get_count(r);
    d.names = KAP_ARRAY(const struct kap_sym *, n + 1);
    for (size_t i = 0; i < n; i++) {
        d.names[i] = kap_snap_get_sym(r);
        r->bad |= !d.names[i];
    }
    d.n = (uint32_t)n;
    const struct kap_tags *tags = kap_snap_get_tags(r);
    struct kap_group *g = NULL;
    if (!r->bad) {
        /* A dimension that is "" in the group's tags was made so by a batch groupBy. */
        bool empty = false;
        for (uint32_t i = 0; i < tags->n; i++)
            empty |= tags->v[i].val.n == 0;
        g = kap_groups_get(groups, &d, name ? name : kap_sym_empty, tags, empty);
    }
    kap_tags_unref(tags);
    kap_free(d.names);
    return g;
}

struct kap_point *kap_snap_get_point(struct kap_snap *r, struct kap_groups *groups)
{
    struct kap_point p = { .time_ns = kap_snap_get_i64(r) };
    p.db = kap_snap_get_sym(r);
    p.rp = kap_snap_get_sym(r);
    p.name = kap_snap_get_sym(r);
    p.tags = kap_snap_get_tags(r);
    p.group = kap_snap_get_group(r, groups);
    const size_t n = kap_snap_get_count(r);
    struct kap_field *f = KAP_ARRAY(struct kap_field, n + 1);
    for (size_t i = 0; i < n; i++) {
        f[i].key = kap_snap_get_sym(r);
        f[i].v = kap_snap_get_value(r);
        r->bad |= !f[i].key;
    }
    p.fields = f;
    p.nfields = (uint32_t)n;
    p.db = p.db ? p.db : kap_sym_empty;
    p.rp = p.rp ? p.rp : kap_sym_empty;
    p.name = p.name ? p.name : kap_sym_empty;
    struct kap_point *ret = r->bad || !p.group ? NULL : kap_point_copy(&p);
    kap_free(f);
    kap_tags_unref(p.tags);
    if (p.group)
        kap_group_unref(groups, p.group);
    return ret;
}

bool kap_snap_get_batch(struct kap_snap *r, struct kap_groups *groups, struct kap_batch *b)
{
    struct kap_batch batch = { .begin.time_ns = kap_snap_get_i64(r) };
    batch.begin.name = kap_snap_get_sym(r);
    batch.begin.group = kap_snap_get_group(r, groups);
    r->bad |= !batch.begin.name;
    for (size_t left = kap_snap_get_count(r); left && !r->bad; left--) {
        struct kap_point *p = kap_snap_get_point(r, groups);
        if (!p)
            break;
        kap_batch_add(&batch, p);
        kap_point_free(groups, p);
    }
    if (!r->bad) {
        *b = batch;
        return true;
    }
    kap_batch_clear(groups, &batch);
    if (batch.begin.group)
        kap_group_unref(groups, batch.begin.group);
    return false;
}

enum kap_status kap_snap_get_lambda(struct kap_snap *r, struct kap_lambda_state *s, struct kap_error *err)
{
    const struct kap_str data = kap_snap_get_bytes(r);
    if (r->bad || !s || !data.n)
        return KAP_OK;
    return kap_lambda_state_load(s, data, err);
}
