#include "influxdb/query.h"

#include "base/gotime.h"
#include "base/mem.h"
#include "data/json_split.h"

#include <jansson.h>

struct kap_result {
    bool by_name;
    kap_result_fn fn;
    void *ctx;
    struct kap_json_split split;
    struct kap_block *open; /* a series that goes on in the next chunk */
};

struct kap_result *kap_result_new(bool by_name, kap_result_fn fn, void *ctx)
{
    struct kap_result *r = KAP_NEW(struct kap_result);
    r->by_name = by_name;
    r->fn = fn;
    r->ctx = ctx;
    r->split.max_bytes = KAP_RESULT_CHUNK_BYTES;
    return r;
}

void kap_result_free(struct kap_result *r)
{
    if (!r)
        return;
    kap_block_free(r->open);
    kap_json_split_done(&r->split);
    kap_free(r);
}

static struct kap_str text_of(const json_t *v)
{
    return kap_strn(json_string_value(v), json_string_length(v));
}

static const struct kap_tags *read_tags(json_t *object)
{
    const size_t n = json_object_size(object);
    struct kap_tag *v = KAP_ARRAY(struct kap_tag, n + 1);
    size_t used = 0;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) if (json_is_string(value)) v[used++] =
        (struct kap_tag){ kap_sym_c(key), text_of(value) };
    const struct kap_tags *tags = kap_tags_new(v, used);
    kap_free(v);
    return tags;
}

static struct kap_value read_value(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        return kap_value_s(text_of(v));
    case JSON_INTEGER:
    case JSON_REAL:
        return kap_value_f(json_number_value(v));
    case JSON_TRUE:
    case JSON_FALSE:
        return kap_value_b(json_is_true(v));
    default:
        return (struct kap_value){ .type = KAP_MISSING };
    }
}

static enum kap_status read_time(const json_t *v, int64_t *ret, struct kap_error *err)
{
    if (!json_is_string(v)) {
        KAP_AUTO_FREE char *shown = json_dumps(v, JSON_ENCODE_ANY);
        return kap_fail(err, KAP_EINVAL, "unexpected time value: %s", shown ? shown : "null");
    }
    if (kap_time_parse_rfc3339(text_of(v), ret, err) == KAP_OK)
        return KAP_OK;
    kap_wrap(err, "unexpected time format");
    return KAP_EINVAL;
}

struct columns {
    size_t n;
    const struct kap_sym **names; /* NULL: the time */
    struct kap_field *row;
};

static enum kap_status add_row(struct kap_block *b, const struct columns *c, const json_t *row,
                               struct kap_error *err)
{
    if (json_array_size(row) != c->n)
        return kap_fail(err, KAP_EINVAL, "a row of series %s has %zu values for %zu columns", b->name->s,
                        json_array_size(row), c->n);
    int64_t time_ns = 0;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const json_t *v = json_array_get(row, i);
        if (!c->names[i])
            KAP_TRY(read_time(v, &time_ns, err));
        else if (!json_is_null(v))
            c->row[n++] = (struct kap_field){ c->names[i], read_value(v) };
    }
    if (n == 0)
        return KAP_OK;
    if (!b->has_time || time_ns > b->time_ns)
        b->time_ns = time_ns;
    b->has_time = true;
    kap_block_add(b, time_ns, NULL, c->row, n);
    return KAP_OK;
}

static enum kap_status add_rows(struct kap_block *b, const json_t *series, struct kap_error *err)
{
    const json_t *columns = json_object_get(series, "columns"), *values = json_object_get(series, "values");
    const size_t n = json_array_size(columns);
    struct columns c = { n, KAP_ARRAY(const struct kap_sym *, n + 1), KAP_ARRAY(struct kap_field, n + 1) };
    for (size_t i = 0; i < n; i++) {
        const struct kap_str name = text_of(json_array_get(columns, i));
        c.names[i] = kap_str_is(name, "time") ? NULL : kap_sym(name.p ? name : KAP_STR(""));
    }
    enum kap_status st = KAP_OK;
    for (size_t i = 0; st == KAP_OK && i < json_array_size(values); i++)
        st = add_row(b, &c, json_array_get(values, i), err);
    kap_free((void *)c.names);
    kap_free(c.row);
    return st;
}

static enum kap_status close_series(struct kap_result *r, struct kap_error *err)
{
    struct kap_block *b = KAP_STEAL(r->open);
    return b ? r->fn(r->ctx, b, err) : KAP_OK;
}

/* A chunk may begin with the rest of the series that the one before ended with. */
static enum kap_status open_series(struct kap_result *r, const json_t *series, struct kap_error *err)
{
    const struct kap_str text = text_of(json_object_get(series, "name"));
    const struct kap_sym *name = kap_sym(text.p ? text : KAP_STR(""));
    const struct kap_tags *tags = read_tags(json_object_get(series, "tags"));
    enum kap_status st = KAP_OK;
    if (!r->open || r->open->name != name || !kap_tags_eq(r->open->tags, tags)) {
        st = close_series(r, err);
        if (st == KAP_OK)
            r->open = kap_block_new(name, tags, r->by_name);
    }
    kap_tags_unref(tags);
    return st;
}

static enum kap_status read_series(struct kap_result *r, const json_t *series, struct kap_error *err)
{
    KAP_TRY(open_series(r, series, err));
    KAP_TRY(add_rows(r->open, series, err));
    return json_is_true(json_object_get(series, "partial")) ? KAP_OK : close_series(r, err);
}

static enum kap_status own_error(const json_t *object, struct kap_error *err)
{
    const struct kap_str text = text_of(json_object_get(object, "error"));
    return text.n ? kap_fail(err, KAP_EIO, "%.*s", KAP_STR_ARG(text)) : KAP_OK;
}

static enum kap_status read_root(struct kap_result *r, const json_t *root, struct kap_error *err)
{
    if (!json_is_object(root))
        return kap_fail(err, KAP_EINVAL, "failed to decode JSON: the answer is no object");
    KAP_TRY(own_error(root, err));
    size_t i, k;
    json_t *result, *series;
    json_array_foreach(json_object_get(root, "results"), i, result)
    {
        KAP_TRY(own_error(result, err));
        json_array_foreach(json_object_get(result, "series"), k, series) KAP_TRY(read_series(r, series, err));
    }
    return KAP_OK;
}

static enum kap_status read_document(void *ctx, struct kap_str text, struct kap_error *err)
{
    json_error_t why;
    json_t *root =
        json_loadb(text.p, text.n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY, &why);
    if (!root)
        return kap_fail(err, KAP_EINVAL, "failed to decode JSON: %s at byte %d", why.text, why.position);
    const enum kap_status st = read_root(ctx, root, err);
    json_decref(root);
    return st;
}

enum kap_status kap_result_feed(struct kap_result *r, struct kap_str piece, struct kap_error *err)
{
    if (kap_json_split_feed(&r->split, piece, read_document, r, err) == KAP_OK)
        return KAP_OK;
    return err ? err->status : KAP_EINVAL;
}

enum kap_status kap_result_end(struct kap_result *r, struct kap_error *err)
{
    if (kap_json_split_end(&r->split, read_document, r, err) != KAP_OK) {
        if (r->split.depth > 0)
            kap_wrap(err, "failed to decode JSON");
        return KAP_EINVAL;
    }
    return close_series(r, err);
}

enum kap_status kap_result_refusal(long status, struct kap_str body, struct kap_error *err)
{
    json_t *root = json_loadb(body.p, body.n, JSON_ALLOW_NUL, NULL);
    enum kap_status st = own_error(root, err);
    json_decref(root);
    if (st == KAP_OK)
        st = kap_fail(err, KAP_EIO, "invalid response: code %ld", status);
    return st;
}
