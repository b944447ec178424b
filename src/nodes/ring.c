#include "nodes/ring.h"
#include "base/mem.h"

enum { CHUNK = 32 }; /* the bits of `present` */

union cell {
    double f;
    int64_t i;
    bool b;
    struct {
        uint32_t at, n; /* in the chunk's text */
    } s;
};

struct column {
    struct column *next;
    const struct kap_sym *key;
    enum kap_type type;
    uint32_t present;
    union cell v[CHUNK];
};

struct kap_ring_chunk {
    struct kap_ring_chunk *next;
    struct column *columns;
    const struct kap_tags *tags;   /* of all points; NULL: none kept, or `each` holds them */
    const struct kap_tags **each;
    char *text;
    uint32_t text_n, text_cap;
    uint32_t n;
    int64_t time_ns[CHUNK];
};

static struct kap_ring_chunk *chunk_new(struct kap_ring *r)
{
    struct kap_ring_chunk *c = KAP_NEW(struct kap_ring_chunk);
    r->bytes += sizeof *c;
    if (r->last)
        r->last->next = c;
    else
        r->first = c;
    r->last = c;
    return c;
}

static void chunk_free(struct kap_ring *r, struct kap_ring_chunk *c)
{
    r->bytes -= sizeof *c + c->text_cap;
    for (struct column *col = c->columns, *next; col; col = next) {
        next = col->next;
        r->bytes -= sizeof *col;
        kap_free(col);
    }
    if (c->each) {
        r->bytes -= CHUNK * sizeof *c->each;
        for (uint32_t i = 0; i < c->n; i++)
            kap_tags_unref(c->each[i]);
        kap_free(c->each);
    }
    kap_tags_unref(c->tags);
    kap_free(c->text);
    kap_free(c);
}

static struct column *column_of(struct kap_ring *r, struct kap_ring_chunk *c, const struct kap_sym *key,
                                enum kap_type type)
{
    struct column **end = &c->columns;
    for (; *end; end = &(*end)->next)
        if ((*end)->key == key && (*end)->type == type)
            return *end;
    struct column *col = KAP_NEW(struct column);
    r->bytes += sizeof *col;
    col->key = key;
    col->type = type;
    *end = col;
    return col;
}

static void put(struct kap_ring *r, struct kap_ring_chunk *c, const struct kap_field *f)
{
    struct column *col = column_of(r, c, f->key, f->v.type);
    union cell *cell = &col->v[c->n];
    col->present |= UINT32_C(1) << c->n;
    switch (f->v.type) {
    case KAP_FLOAT:
        cell->f = f->v.f;
        break;
    case KAP_BOOL:
        cell->b = f->v.b;
        break;
    case KAP_STRING:
        if (c->text_n + f->v.s.n > c->text_cap) {
            r->bytes -= c->text_cap;
            KAP_GROW(c->text, c->text_cap, c->text_n + f->v.s.n);
            r->bytes += c->text_cap;
        }
        cell->s.at = c->text_n;
        cell->s.n = (uint32_t)f->v.s.n;
        if (f->v.s.n)
            memcpy(c->text + c->text_n, f->v.s.p, f->v.s.n);
        c->text_n += (uint32_t)f->v.s.n;
        break;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        cell->i = f->v.i;
        break;
    case KAP_MISSING:
    case KAP_REGEX:
        break;
    }
}

static void put_tags(struct kap_ring *r, struct kap_ring_chunk *c, const struct kap_tags *tags)
{
    if (c->n == 0) {
        c->tags = kap_tags_ref(tags);
        return;
    }
    if (!c->each) {
        if (c->tags == tags || kap_tags_eq(c->tags, tags))
            return;
        c->each = KAP_ARRAY(const struct kap_tags *, CHUNK);
        r->bytes += CHUNK * sizeof *c->each;
        for (uint32_t i = 0; i < c->n; i++)
            c->each[i] = kap_tags_ref(c->tags);
        kap_tags_unref(c->tags);
        c->tags = NULL;
    }
    c->each[c->n] = kap_tags_ref(tags);
}

void kap_ring_push(struct kap_ring *r, const struct kap_point *p, const struct kap_columns *keep)
{
    struct kap_ring_chunk *c = r->last && r->last->n < CHUNK ? r->last : chunk_new(r);
    c->time_ns[c->n] = p->time_ns;
    for (uint32_t i = 0; i < p->nfields; i++)
        if (kap_columns_has(keep, p->fields[i].key))
            put(r, c, &p->fields[i]);
    if (keep->tags)
        put_tags(r, c, p->tags);
    c->n++;
    r->n++;
}

int64_t kap_ring_first_time(const struct kap_ring *r)
{
    return r->first->time_ns[r->skip];
}

int64_t kap_ring_last_time(const struct kap_ring *r)
{
    return r->last->time_ns[r->last->n - 1];
}

void kap_ring_pop(struct kap_ring *r, size_t n)
{
    while (n && r->first) {
        struct kap_ring_chunk *c = r->first;
        const size_t here = KAP_MIN(n, (size_t)(c->n - r->skip));
        r->skip += (uint32_t)here;
        r->n -= here;
        n -= here;
        if (r->skip < c->n)
            return;
        r->first = c->next;
        if (!r->first)
            r->last = NULL;
        r->skip = 0;
        chunk_free(r, c);
    }
}

void kap_ring_done(struct kap_ring *r)
{
    kap_ring_pop(r, r->n);
}

struct kap_ring_iter kap_ring_begin(const struct kap_ring *r)
{
    return (struct kap_ring_iter){ r->first, r->skip };
}

static struct kap_value value_at(const struct kap_ring_chunk *c, const struct column *col, uint32_t i)
{
    struct kap_value v = { .type = col->type };
    switch (col->type) {
    case KAP_FLOAT:
        v.f = col->v[i].f;
        break;
    case KAP_BOOL:
        v.b = col->v[i].b;
        break;
    case KAP_STRING:
        v.s = kap_strn(c->text ? c->text + col->v[i].s.at : "", col->v[i].s.n);
        break;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        v.i = col->v[i].i;
        break;
    case KAP_MISSING:
    case KAP_REGEX:
        break;
    }
    return v;
}

bool kap_ring_next(const struct kap_ring *r, struct kap_ring_iter *it, struct kap_field_buf *fields, struct kap_point *p)
{
    if (it->chunk && it->i >= it->chunk->n) {
        it->chunk = it->chunk->next;
        it->i = 0;
    }
    const struct kap_ring_chunk *c = it->chunk;
    if (!c)
        return false;
    fields->n = 0;
    for (const struct column *col = c->columns; col; col = col->next)
        if (col->present & (UINT32_C(1) << it->i))
            kap_field_buf_add(fields, col->key, value_at(c, col, it->i));
    p->time_ns = c->time_ns[it->i];
    p->tags = c->each ? c->each[it->i] : c->tags ? c->tags : p->group->tags;
    p->fields = fields->v;
    p->nfields = fields->n;
    it->i++;
    return true;
}

void kap_ring_save(const struct kap_ring *r, struct kap_snap *w)
{
    struct kap_field_buf fields = { 0 };
    struct kap_group none = { .tags = kap_tags_empty };
    struct kap_point p = { .group = &none };
    kap_snap_u64(w, r->n);
    for (struct kap_ring_iter it = kap_ring_begin(r); kap_ring_next(r, &it, &fields, &p);) {
        kap_snap_i64(w, p.time_ns);
        kap_snap_tags(w, p.tags);
        kap_snap_u64(w, p.nfields);
        for (uint32_t i = 0; i < p.nfields; i++) {
            kap_snap_sym(w, p.fields[i].key);
            kap_snap_value(w, &p.fields[i].v);
        }
    }
    kap_field_buf_done(&fields);
}

void kap_ring_load(struct kap_ring *r, struct kap_snap *in, const struct kap_columns *keep)
{
    struct kap_field_buf fields = { 0 };
    for (size_t left = kap_snap_get_count(in); left && !in->bad; left--) {
        struct kap_point p = { .time_ns = kap_snap_get_i64(in), .tags = kap_snap_get_tags(in) };
        fields.n = 0;
        for (size_t f = kap_snap_get_count(in); f && !in->bad; f--) {
            const struct kap_sym *key = kap_snap_get_sym(in);
            const struct kap_value v = kap_snap_get_value(in);
            if (key)
                kap_field_buf_set(&fields, key, v);
            else
                in->bad = true;
        }
        p.fields = fields.v;
        p.nfields = fields.n;
        if (!in->bad)
            kap_ring_push(r, &p, keep);
        kap_tags_unref(p.tags);
    }
    kap_field_buf_done(&fields);
}
