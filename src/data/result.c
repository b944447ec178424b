#include "data/result.h"

#include "base/mem.h"

#include <stdlib.h>

static int column_cmp(const void *a, const void *b)
{
    return kap_str_cmp(*(const struct kap_str *)a, *(const struct kap_str *)b);
}

static struct kap_row *new_row(const struct kap_sym *name, const struct kap_tags *tags)
{
    struct kap_row *r = KAP_NEW(struct kap_row);
    r->arena = kap_arena_new();
    r->name = name;
    r->tags = kap_tags_ref(tags);
    return r;
}

/* The columns are those of the first point: its fields, and its tags that are not in the row's tags. */
static void set_columns(struct kap_row *r, const struct kap_point *p)
{
    r->columns = KAP_ARENA_ARRAY(r->arena, struct kap_str, 1 + p->nfields + p->tags->n);
    r->columns[0] = KAP_STR("time");
    size_t n = 1;
    for (uint32_t i = 0; i < p->nfields; i++)
        r->columns[n++] = kap_sym_str(p->fields[i].key);
    for (uint32_t i = 0; i < p->tags->n; i++)
        if (!kap_tags_get(r->tags, p->tags->v[i].key))
            r->columns[n++] = kap_sym_str(p->tags->v[i].key);
    qsort(r->columns + 1, n - 1, sizeof *r->columns, column_cmp);
    r->ncolumns = n;
}

static struct kap_value cell(struct kap_row *r, const struct kap_point *p, struct kap_str column)
{
    for (uint32_t i = 0; i < p->nfields; i++) {
        if (!kap_str_eq(kap_sym_str(p->fields[i].key), column))
            continue;
        struct kap_value v = p->fields[i].v;
        if (v.type == KAP_STRING)
            v.s = kap_arena_str(r->arena, v.s);
        return v;
    }
    for (uint32_t i = 0; i < p->tags->n; i++)
        if (kap_str_eq(kap_sym_str(p->tags->v[i].key), column))
            return kap_value_s(kap_arena_str(r->arena, p->tags->v[i].val));
    return (struct kap_value){ .type = KAP_MISSING };
}

static void set_values(struct kap_row *r, const struct kap_point *p, struct kap_value *to)
{
    to[0] = kap_value_time(p->time_ns);
    for (size_t i = 1; i < r->ncolumns; i++)
        to[i] = cell(r, p, r->columns[i]);
}

struct kap_row *kap_row_from_point(const struct kap_point *p)
{
    struct kap_row *r = new_row(p->name, p->tags);
    set_columns(r, p);
    r->nvalues = 1;
    r->values = KAP_ARENA_ARRAY(r->arena, struct kap_value, r->ncolumns);
    set_values(r, p, r->values);
    return r;
}

struct kap_row *kap_row_from_batch(const struct kap_batch *b)
{
    struct kap_row *r = new_row(b->begin.name, b->begin.group->tags);
    if (b->n == 0)
        return r;
    set_columns(r, b->points[0]);
    r->nvalues = b->n;
    r->values = KAP_ARENA_ARRAY(r->arena, struct kap_value, r->ncolumns * b->n);
    for (size_t i = 0; i < b->n; i++)
        set_values(r, b->points[i], r->values + i * r->ncolumns);
    return r;
}

void kap_row_free(struct kap_row *r)
{
    if (!r)
        return;
    kap_tags_unref(r->tags);
    kap_arena_free(r->arena);
    kap_free(r);
}

static void write_value(const struct kap_value *v, struct kap_json *j)
{
    switch (v->type) {
    case KAP_FLOAT:
        kap_json_f64(j, v->f);
        return;
    case KAP_INT:
    case KAP_DURATION:
        kap_json_i64(j, v->i);
        return;
    case KAP_STRING:
        kap_json_str(j, v->s);
        return;
    case KAP_BOOL:
        kap_json_bool(j, v->b);
        return;
    case KAP_TIME:
        kap_json_time(j, v->i);
        return;
    case KAP_MISSING:
    case KAP_REGEX:
        break;
    }
    kap_json_null(j);
}

static void write_tags(const struct kap_tags *tags, struct kap_json *j)
{
    if (tags->n == 0)
        return;
    kap_json_key(j, "tags");
    kap_json_object(j);
    for (uint32_t i = 0; i < tags->n; i++) {
        kap_json_keyn(j, kap_sym_str(tags->v[i].key));
        kap_json_str(j, tags->v[i].val);
    }
    kap_json_object_end(j);
}

static void write_table(const struct kap_row *r, struct kap_json *j)
{
    kap_json_key(j, "columns");
    kap_json_array(j);
    for (size_t i = 0; i < r->ncolumns; i++)
        kap_json_str(j, r->columns[i]);
    kap_json_array_end(j);
    kap_json_key(j, "values");
    kap_json_array(j);
    for (size_t row = 0; row < r->nvalues; row++) {
        kap_json_array(j);
        for (size_t i = 0; i < r->ncolumns; i++)
            write_value(&r->values[row * r->ncolumns + i], j);
        kap_json_array_end(j);
    }
    kap_json_array_end(j);
}

bool kap_row_json(const struct kap_row *r, struct kap_json *j)
{
    kap_json_object(j);
    if (r->name && r->name->n) {
        kap_json_key(j, "name");
        kap_json_str(j, kap_sym_str(r->name));
    }
    write_tags(r->tags, j);
    if (r->ncolumns)
        write_table(r, j);
    kap_json_object_end(j);
    return !j->bad_float;
}
