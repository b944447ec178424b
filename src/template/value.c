#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "template/internal.h"
#include <math.h>
#include <stdlib.h>

struct kap_tvalue kap_t_value(struct kap_value v)
{
    switch (v.type) {
    case KAP_FLOAT:
        return (struct kap_tvalue){ .kind = KAP_T_FLOAT, .f = v.f };
    case KAP_INT:
        return kap_t_i64(v.i);
    case KAP_STRING:
        return kap_t_str(v.s);
    case KAP_BOOL:
        return (struct kap_tvalue){ .kind = KAP_T_BOOL, .b = v.b };
    case KAP_TIME:
        return kap_t_time(v.i);
    case KAP_DURATION:
        return kap_t_duration(v.i);
    case KAP_REGEX:
    case KAP_MISSING:
        break;
    }
    return (struct kap_tvalue){ .kind = KAP_T_NIL };
}

static struct kap_tvalue map_value(struct kap_arena *a, const char *type, bool strings, const struct kap_tpair *v, size_t n)
{
    struct kap_tmap *m = KAP_ARENA_NEW(a, struct kap_tmap);
    *m = (struct kap_tmap){ .type = type, .strings = strings, .n = n, .v = v };
    return (struct kap_tvalue){ .kind = KAP_T_MAP, .map = m };
}

struct kap_tvalue kap_t_tags(struct kap_arena *a, const struct kap_tags *t)
{
    const size_t n = t ? t->n : 0;
    struct kap_tpair *v = KAP_ARENA_ARRAY(a, struct kap_tpair, n);
    for (size_t i = 0; i < n; i++)
        v[i] = (struct kap_tpair){ .key = kap_sym_str(t->v[i].key), .v = kap_t_str(t->v[i].val) };
    return map_value(a, "map[string]string", true, v, n);
}

struct ordered {
    struct kap_tpair pair;
    size_t index;
};

static int by_key(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    const int cmp = kap_str_cmp(x->pair.key, y->pair.key);
    return cmp ? cmp : x->index < y->index ? -1 : 1;
}

struct kap_tvalue kap_t_map(struct kap_arena *a, const struct kap_tpair *v, size_t n)
{
    struct ordered *sorted = KAP_ARENA_ARRAY(a, struct ordered, n);
    struct kap_tpair *out = KAP_ARENA_ARRAY(a, struct kap_tpair, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct ordered){ .pair = v[i], .index = i };
    if (n > 1)
        qsort(sorted, n, sizeof *sorted, by_key);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (count > 0 && kap_str_eq(out[count - 1].key, sorted[i].pair.key))
            count--;
        out[count++] = sorted[i].pair;
    }
    return map_value(a, "map[string]interface {}", false, out, count);
}

struct kap_tvalue kap_t_fields(struct kap_arena *a, const struct kap_field *fields, size_t n)
{
    struct kap_tpair *v = KAP_ARENA_ARRAY(a, struct kap_tpair, n);
    for (size_t i = 0; i < n; i++)
        v[i] = (struct kap_tpair){ .key = kap_sym_str(fields[i].key), .v = kap_t_value(fields[i].v) };
    return kap_t_map(a, v, n);
}

struct kap_tvalue kap_t_list(struct kap_arena *a, const char *type, const struct kap_tvalue *v, size_t n)
{
    struct kap_tvalue *copy = KAP_ARENA_ARRAY(a, struct kap_tvalue, n);
    if (n)
        memcpy(copy, v, n * sizeof *v);
    struct kap_tlist *l = KAP_ARENA_NEW(a, struct kap_tlist);
    *l = (struct kap_tlist){ .type = type, .n = n, .v = copy };
    return (struct kap_tvalue){ .kind = KAP_T_LIST, .list = l };
}

struct kap_tvalue kap_t_row(struct kap_arena *a, const struct kap_row *row)
{
    struct kap_tvalue *values = KAP_ARENA_ARRAY(a, struct kap_tvalue, row->nvalues);
    struct kap_tpair *cells = KAP_ARENA_ARRAY(a, struct kap_tpair, row->ncolumns);
    for (size_t i = 0; i < row->nvalues; i++) {
        for (size_t k = 0; k < row->ncolumns; k++)
            cells[k] = (struct kap_tpair){ .key = row->columns[k],
                                           .v = kap_t_value(row->values[i * row->ncolumns + k]) };
        values[i] = kap_t_map(a, cells, row->ncolumns);
    }
    struct kap_tpair *v = KAP_ARENA_ARRAY(a, struct kap_tpair, 3);
    v[0] = (struct kap_tpair){ KAP_STR("Name"), kap_t_str(row->name ? kap_sym_str(row->name) : KAP_STR("")) };
    v[1] = (struct kap_tpair){ KAP_STR("Tags"), kap_t_tags(a, row->tags) };
    v[2] = (struct kap_tpair){ KAP_STR("Values"),
                               kap_t_list(a, "[]map[string]interface {}", values, row->nvalues) };
    struct kap_tstruct *st = KAP_ARENA_NEW(a, struct kap_tstruct);
    *st = (struct kap_tstruct){ .type = "*httppost.mappedRow", .n = 3, .v = v };
    return kap_t_struct(st);
}

const char *kap_t_type(struct kap_tvalue v)
{
    switch (v.kind) {
    case KAP_T_NONE:
    case KAP_T_NIL:
        return "interface {}";
    case KAP_T_BOOL:
        return "bool";
    case KAP_T_INT:
        return "int";
    case KAP_T_INT64:
        return "int64";
    case KAP_T_FLOAT:
        return "float64";
    case KAP_T_STRING:
        return "string";
    case KAP_T_TIME:
        return "time.Time";
    case KAP_T_DURATION:
        return "time.Duration";
    case KAP_T_MONTH:
        return "time.Month";
    case KAP_T_WEEKDAY:
        return "time.Weekday";
    case KAP_T_MAP:
        return v.map->type;
    case KAP_T_LIST:
        return v.list->type;
    case KAP_T_STRUCT:
        return v.st->type;
    case KAP_T_JS:
        return "template.JS";
    }
    return "";
}

bool kap_t_truth(struct kap_tvalue v)
{
    switch (v.kind) {
    case KAP_T_NONE:
    case KAP_T_NIL:
        return false;
    case KAP_T_BOOL:
        return v.b;
    case KAP_T_INT:
    case KAP_T_INT64:
    case KAP_T_DURATION:
    case KAP_T_MONTH:
    case KAP_T_WEEKDAY:
        return v.i != 0;
    case KAP_T_FLOAT:
        return v.f != 0;
    case KAP_T_STRING:
    case KAP_T_JS:
        return v.s.n > 0;
    case KAP_T_MAP:
        return v.map->n > 0;
    case KAP_T_LIST:
        return v.list->n > 0;
    case KAP_T_TIME:
    case KAP_T_STRUCT:
        return true;
    }
    return false;
}

/* --- JSON --- */

static void json_pairs(struct kap_json *j, const struct kap_tpair *v, size_t n);

static void json_value(struct kap_json *j, struct kap_tvalue v)
{
    switch (v.kind) {
    case KAP_T_NONE:
    case KAP_T_NIL:
        kap_json_null(j);
        return;
    case KAP_T_BOOL:
        kap_json_bool(j, v.b);
        return;
    case KAP_T_INT:
    case KAP_T_INT64:
    case KAP_T_DURATION:
    case KAP_T_MONTH:
    case KAP_T_WEEKDAY:
        kap_json_i64(j, v.i);
        return;
    case KAP_T_FLOAT:
        kap_json_f64(j, v.f);
        return;
    case KAP_T_STRING:
    case KAP_T_JS:
        kap_json_str(j, v.s);
        return;
    case KAP_T_TIME:
        kap_json_time(j, v.i);
        return;
    case KAP_T_MAP:
        json_pairs(j, v.map->v, v.map->n);
        return;
    case KAP_T_STRUCT:
        json_pairs(j, v.st->v, v.st->n);
        return;
    case KAP_T_LIST:
        kap_json_array(j);
        for (size_t i = 0; i < v.list->n; i++)
            json_value(j, v.list->v[i]);
        kap_json_array_end(j);
        return;
    }
}

static void json_pairs(struct kap_json *j, const struct kap_tpair *v, size_t n)
{
    kap_json_object(j);
    for (size_t i = 0; i < n; i++) {
        kap_json_keyn(j, v[i].key);
        json_value(j, v[i].v);
    }
    kap_json_object_end(j);
}

bool kap_t_json(struct kap_tvalue v, struct kap_buf *out)
{
    struct kap_json j;
    kap_json_init(&j, out, false);
    json_value(&j, v);
    return !j.bad_float;
}
