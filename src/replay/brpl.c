#include "replay/recording.h"

#include "base/gotime.h"
#include "base/json.h"
#include "base/mem.h"
#include "data/json_split.h"
#include "replay/zip.h"

#include <jansson.h>
#include <stdio.h>

#define PIECE_BYTES (64 << 10)
#define NO_TIME "0001-01-01T00:00:00Z"

/* --- writing --- */

struct kap_brpl_writer {
    struct kap_zip_writer *zip;
    size_t queries;
    struct kap_buf text;
};

enum kap_status kap_brpl_create(const char *path, struct kap_brpl_writer **ret, struct kap_error *err)
{
    struct kap_zip_writer *zip;
    KAP_TRY(kap_zip_create(path, &zip, err));
    struct kap_brpl_writer *w = KAP_NEW(struct kap_brpl_writer);
    w->zip = zip;
    *ret = w;
    return KAP_OK;
}

enum kap_status kap_brpl_query(struct kap_brpl_writer *w, struct kap_error *err)
{
    char name[24];
    snprintf(name, sizeof name, "%zu", w->queries++);
    return kap_zip_member(w->zip, name, err);
}

static void put_tags(struct kap_json *j, const struct kap_tags *tags)
{
    if (tags->n == 0) {
        kap_json_null(j);
        return;
    }
    kap_json_object(j);
    for (uint32_t i = 0; i < tags->n; i++) {
        kap_json_keyn(j, kap_sym_str(tags->v[i].key));
        kap_json_str(j, tags->v[i].val);
    }
    kap_json_object_end(j);
}

static void put_value(struct kap_json *j, const struct kap_value *v)
{
    switch (v->type) {
    case KAP_FLOAT:
        kap_json_f64(j, v->f);
        break;
    case KAP_INT:
        kap_json_i64(j, v->i);
        break;
    case KAP_STRING:
        kap_json_str(j, v->s);
        break;
    case KAP_BOOL:
        kap_json_bool(j, v->b);
        break;
    default:
        kap_json_null(j);
        break;
    }
}

static int by_key(const void *a, const void *b)
{
    return kap_sym_cmp(((const struct kap_field *)a)->key, ((const struct kap_field *)b)->key);
}

static void put_point(struct kap_json *j, const struct kap_point *p)
{
    struct kap_field *f = KAP_ARRAY(struct kap_field, p->nfields + 1);
    for (uint32_t i = 0; i < p->nfields; i++)
        f[i] = p->fields[i];
    qsort(f, p->nfields, sizeof *f, by_key);
    kap_json_object(j);
    kap_json_key(j, "fields");
    kap_json_object(j);
    for (uint32_t i = 0; i < p->nfields; i++) {
        kap_json_keyn(j, kap_sym_str(f[i].key));
        put_value(j, &f[i].v);
    }
    kap_json_object_end(j);
    kap_json_key(j, "tags");
    put_tags(j, p->tags);
    kap_json_key(j, "time");
    kap_json_time(j, p->time_ns);
    kap_json_object_end(j);
    kap_free(f);
}

/* "h=a,w=b", by measurement "NAME" or "NAME\nh=a"; empty: no group. */
static void put_group(struct kap_json *j, const struct kap_block *b)
{
    KAP_AUTO_BUF struct kap_buf id = { 0 };
    if (b->by_name)
        kap_buf_add(&id, kap_sym_str(b->name));
    if (b->by_name && b->tags->n)
        kap_buf_addc(&id, '\n');
    for (uint32_t i = 0; i < b->tags->n; i++)
        kap_buf_addf(&id, "%s%s=%.*s", i ? "," : "", b->tags->v[i].key->s, KAP_STR_ARG(b->tags->v[i].val));
    if (id.n == 0)
        return;
    kap_json_key(j, "group");
    kap_json_str(j, kap_buf_str(&id));
}

static void put_block(struct kap_json *j, const struct kap_block *b)
{
    kap_json_object(j);
    if (b->name->n) {
        kap_json_key(j, "name");
        kap_json_str(j, kap_sym_str(b->name));
    }
    kap_json_key(j, "tmax");
    if (b->has_time)
        kap_json_time(j, b->time_ns);
    else
        kap_json_cstr(j, NO_TIME);
    put_group(j, b);
    if (b->by_name) {
        kap_json_key(j, "byname");
        kap_json_bool(j, true);
    }
    if (b->tags->n) {
        kap_json_key(j, "tags");
        put_tags(j, b->tags);
    }
    if (b->n) {
        kap_json_key(j, "points");
        kap_json_array(j);
        for (size_t i = 0; i < b->n; i++)
            put_point(j, &b->points[i]);
        kap_json_array_end(j);
    }
    kap_json_object_end(j);
}

enum kap_status kap_brpl_write(struct kap_brpl_writer *w, const struct kap_block *b, struct kap_error *err)
{
    struct kap_json j;
    kap_buf_reset(&w->text);
    kap_json_init(&j, &w->text, false);
    put_block(&j, b);
    kap_buf_addc(&w->text, '\n');
    return kap_zip_write(w->zip, kap_buf_str(&w->text), err);
}

enum kap_status kap_brpl_finish(struct kap_brpl_writer *w, struct kap_error *err)
{
    if (!w)
        return KAP_OK;
    const enum kap_status st = kap_zip_finish(w->zip, err);
    kap_buf_done(&w->text);
    kap_free(w);
    return st;
}

/* --- reading --- */

struct waiting {
    struct kap_block *block;
    struct waiting *next;
};

struct query {
    struct kap_brpl_reader *reader;
    size_t number;
    struct kap_zip_stream *stream;
    struct kap_json_split split;
    struct waiting *first, **last;
    uint64_t records;
    bool ended;
};

struct kap_brpl_reader {
    struct kap_zip *zip;
    struct query *queries;
    size_t n;
};

enum kap_status kap_brpl_open(const char *path, struct kap_brpl_reader **ret, struct kap_error *err)
{
    struct kap_zip *zip;
    KAP_TRY(kap_zip_open(path, &zip, err));
    struct kap_brpl_reader *r = KAP_NEW(struct kap_brpl_reader);
    r->zip = zip;
    r->n = kap_zip_count(zip);
    r->queries = KAP_ARRAY(struct query, r->n + 1);
    enum kap_status st = KAP_OK;
    for (size_t i = 0; i < r->n; i++) {
        r->queries[i] =
            (struct query){ .reader = r, .number = i, .split.max_bytes = KAP_RECORDING_BATCH_BYTES };
        r->queries[i].last = &r->queries[i].first;
        if (st == KAP_OK)
            st = kap_zip_stream_open(zip, i, &r->queries[i].stream, err);
    }
    if (st != KAP_OK) {
        kap_brpl_close(r);
        return st;
    }
    *ret = r;
    return KAP_OK;
}

void kap_brpl_close(struct kap_brpl_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++) {
        struct query *q = &r->queries[i];
        for (struct waiting *w = q->first, *next; w; w = next) {
            next = w->next;
            kap_block_free(w->block);
            kap_free(w);
        }
        kap_zip_stream_close(q->stream);
        kap_json_split_done(&q->split);
    }
    kap_free(r->queries);
    kap_zip_close(r->zip);
    kap_free(r);
}

size_t kap_brpl_queries(const struct kap_brpl_reader *r)
{
    return r->n;
}

static struct kap_str text_of(const json_t *v)
{
    return json_is_string(v) ? kap_strn(json_string_value(v), json_string_length(v)) : KAP_STR("");
}

static const struct kap_tags *read_tags(json_t *object)
{
    struct kap_tag *v = KAP_ARRAY(struct kap_tag, json_object_size(object) + 1);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) v[n++] = (struct kap_tag){ kap_sym_c(key), text_of(value) };
    const struct kap_tags *tags = kap_tags_new(v, n);
    kap_free(v);
    return tags;
}

static struct kap_value read_value(const json_t *v)
{
    if (json_is_number(v))
        return kap_value_f(json_number_value(v));
    if (json_is_string(v))
        return kap_value_s(text_of(v));
    if (json_is_boolean(v))
        return kap_value_b(json_is_true(v));
    return (struct kap_value){ .type = KAP_MISSING };
}

static enum kap_status read_point(struct kap_block *b, const json_t *point, struct kap_error *err)
{
    int64_t time_ns;
    KAP_TRY(kap_time_parse_rfc3339(text_of(json_object_get(point, "time")), &time_ns, err));
    json_t *fields = json_object_get(point, "fields"), *tags = json_object_get(point, "tags");
    struct kap_field *f = KAP_ARRAY(struct kap_field, json_object_size(fields) + 1);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(fields, key, value) f[n++] = (struct kap_field){ kap_sym_c(key), read_value(value) };
    const struct kap_tags *own = json_object_size(tags) ? read_tags(tags) : NULL;
    kap_block_add(b, time_ns, own, f, n);
    kap_tags_unref(own);
    kap_free(f);
    return KAP_OK;
}

static enum kap_status read_block(const json_t *root, struct kap_block **ret, struct kap_error *err)
{
    if (!json_is_object(root))
        return kap_fail(err, KAP_EINVAL, "a batch must be a JSON object");
    const struct kap_tags *tags = read_tags(json_object_get(root, "tags"));
    struct kap_block *b = kap_block_new(kap_sym(text_of(json_object_get(root, "name"))), tags,
                                        json_is_true(json_object_get(root, "byname")));
    kap_tags_unref(tags);
    const struct kap_str tmax = text_of(json_object_get(root, "tmax"));
    b->has_time = !kap_str_is(tmax, NO_TIME) && kap_time_parse_rfc3339(tmax, &b->time_ns, NULL) == KAP_OK;
    const json_t *points = json_object_get(root, "points");
    enum kap_status st = KAP_OK;
    for (size_t i = 0; st == KAP_OK && i < json_array_size(points); i++)
        st = read_point(b, json_array_get(points, i), err);
    if (st != KAP_OK) {
        kap_block_free(b);
        return st;
    }
    *ret = b;
    return KAP_OK;
}

static enum kap_status take_document(void *ctx, struct kap_str text, struct kap_error *err)
{
    struct query *q = ctx;
    json_error_t why;
    struct kap_block *b = NULL;
    q->records++;
    json_t *root =
        json_loadb(text.p, text.n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY, &why);
    const enum kap_status st =
        root ? read_block(root, &b, err) : kap_fail(err, KAP_EINVAL, "%s at byte %d", why.text, why.position);
    json_decref(root);
    if (st != KAP_OK)
        return st;
    if (b->n == 0) { /* nothing of it is known but its tags */
        kap_block_free(b);
        return KAP_OK;
    }
    struct waiting *w = KAP_NEW(struct waiting);
    w->block = b;
    *q->last = w;
    q->last = &w->next;
    return KAP_OK;
}

static enum kap_status read_more(struct query *q, struct kap_error *err)
{
    char piece[PIECE_BYTES];
    size_t got;
    KAP_TRY(kap_zip_read(q->stream, piece, sizeof piece, &got, err));
    q->ended = got == 0;
    return got ? kap_json_split_feed(&q->split, kap_strn(piece, got), take_document, q, err)
               : kap_json_split_end(&q->split, take_document, q, err);
}

enum kap_status kap_brpl_next(struct kap_brpl_reader *r, size_t query, struct kap_block **ret,
                              struct kap_error *err)
{
    struct query *q = &r->queries[query];
    struct kap_error local = { 0 };
    struct kap_error *e = err ? err : &local;
    while (!q->first && !q->ended)
        if (read_more(q, e) != KAP_OK)
            return kap_wrap(e, "query %zu, record %llu", q->number,
                            (unsigned long long)KAP_MAX(q->records, 1));
    *ret = NULL;
    struct waiting *w = q->first;
    if (!w)
        return KAP_OK;
    *ret = w->block;
    q->first = w->next;
    if (!q->first)
        q->last = &q->first;
    kap_free(w);
    return KAP_OK;
}
