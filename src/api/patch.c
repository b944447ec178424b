#include "api/patch.h"

#include "base/mem.h"
#include "base/str.h"

#define MAX_OPERATIONS 1000

/* A pointer taken apart: the container that holds the last step, and the step. */
struct place {
    json_t *parent; /* NULL: the document itself */
    char *step;     /* owned */
};

/* The next step of a pointer ("/a~1b" is "a/b"); owned. Moves *p past it. */
static char *next_step(const char **p)
{
    const size_t n = strcspn(*p, "/");
    char *step = kap_alloc(n + 1), *to = step;
    for (const char *from = *p, *end = *p + n; from < end; from++) {
        if (*from == '~' && from + 1 < end && (from[1] == '0' || from[1] == '1'))
            *to++ = *++from == '0' ? '~' : '/';
        else
            *to++ = *from;
    }
    *to = '\0';
    *p += n;
    return step;
}

/* An index into an array; "-" is its end where one may be added. False: none, or out of range. */
static bool index_of(const json_t *array, const char *step, bool may_add, size_t *ret)
{
    const size_t n = json_array_size(array);
    int64_t i;
    if (may_add && strcmp(step, "-") == 0)
        i = (int64_t)n;
    else if ((step[0] == '0' && step[1] != '\0') || !kap_str_to_i64(kap_str(step), &i) || i < 0)
        return false;
    *ret = (size_t)i;
    return (size_t)i < n + may_add;
}

static json_t *child(json_t *v, const char *step)
{
    size_t i;
    if (json_is_object(v))
        return json_object_get(v, step);
    return json_is_array(v) && index_of(v, step, false, &i) ? json_array_get(v, i) : NULL;
}

static enum kap_status find(json_t *doc, const char *pointer, struct place *ret, struct kap_error *err)
{
    *ret = (struct place){ 0 };
    if (*pointer == '\0')
        return KAP_OK;
    if (*pointer != '/')
        return kap_fail(err, KAP_EINVAL, "path \"%s\" must start with '/'", pointer);
    const char *p = pointer + 1;
    json_t *v = doc;
    char *step = next_step(&p);
    while (*p == '/') {
        v = child(v, step);
        kap_free(step);
        if (v == NULL)
            return kap_fail(err, KAP_EINVAL, "path \"%s\" leads nowhere", pointer);
        p++;
        step = next_step(&p);
    }
    *ret = (struct place){ v, step };
    return KAP_OK;
}

/* The value at a pointer, borrowed. */
static enum kap_status get(json_t *doc, const char *pointer, json_t **ret, struct kap_error *err)
{
    struct place at;
    KAP_TRY(find(doc, pointer, &at, err));
    json_t *v = at.step ? child(at.parent, at.step) : doc;
    kap_free(at.step);
    if (v == NULL)
        return kap_fail(err, KAP_EINVAL, "path \"%s\" leads nowhere", pointer);
    *ret = v;
    return KAP_OK;
}

/* Takes the reference to `value`. */
static enum kap_status add(json_t **doc, const char *pointer, json_t *value, struct kap_error *err)
{
    struct place at;
    const enum kap_status st = find(*doc, pointer, &at, err);
    size_t i;
    bool good = false;
    if (st == KAP_OK && at.step == NULL) {
        json_decref(*doc);
        *doc = value;
        return KAP_OK;
    }
    if (st == KAP_OK && json_is_object(at.parent))
        good = json_object_set(at.parent, at.step, value) == 0;
    else if (st == KAP_OK && json_is_array(at.parent) && index_of(at.parent, at.step, true, &i))
        good = json_array_insert(at.parent, i, value) == 0;
    json_decref(value);
    kap_free(at.step);
    return st != KAP_OK || good ? st
                                : kap_fail(err, KAP_EINVAL, "nothing can be added at path \"%s\"", pointer);
}

static enum kap_status take_out(json_t *doc, const char *pointer, struct kap_error *err)
{
    struct place at;
    KAP_TRY(find(doc, pointer, &at, err));
    size_t i;
    bool good = false;
    if (at.step && json_is_object(at.parent))
        good = json_object_del(at.parent, at.step) == 0;
    else if (at.step && json_is_array(at.parent) && index_of(at.parent, at.step, false, &i))
        good = json_array_remove(at.parent, i) == 0;
    kap_free(at.step);
    return good ? KAP_OK : kap_fail(err, KAP_EINVAL, "there is nothing to remove at path \"%s\"", pointer);
}

static const char *text(const json_t *op, const char *key)
{
    return json_string_value(json_object_get(op, key));
}

static enum kap_status apply(json_t **doc, const json_t *op, struct kap_error *err)
{
    const char *kind = text(op, "op"), *path = text(op, "path"), *from = text(op, "from");
    json_t *value = json_object_get(op, "value"), *there;
    if (kind == NULL || path == NULL)
        return kap_fail(err, KAP_EINVAL, "must have \"op\" and \"path\"");
    const bool wants_value =
        strcmp(kind, "add") == 0 || strcmp(kind, "replace") == 0 || strcmp(kind, "test") == 0;
    const bool wants_from = strcmp(kind, "move") == 0 || strcmp(kind, "copy") == 0;
    if (wants_value && value == NULL)
        return kap_fail(err, KAP_EINVAL, "\"%s\" must have a \"value\"", kind);
    if (wants_from && from == NULL)
        return kap_fail(err, KAP_EINVAL, "\"%s\" must have a \"from\"", kind);
    if (strcmp(kind, "remove") == 0)
        return take_out(*doc, path, err);
    if (strcmp(kind, "add") == 0)
        return add(doc, path, json_deep_copy(value), err);
    if (strcmp(kind, "test") == 0) {
        KAP_TRY(get(*doc, path, &there, err));
        return json_equal(there, value) ? KAP_OK
                                        : kap_fail(err, KAP_EINVAL, "the test at path \"%s\" failed", path);
    }
    if (strcmp(kind, "replace") == 0) {
        KAP_TRY(get(*doc, path, &there, err));
        if (*path != '\0')
            KAP_TRY(take_out(*doc, path, err));
        return add(doc, path, json_deep_copy(value), err);
    }
    if (!wants_from)
        return kap_fail(err, KAP_EINVAL, "unknown operation \"%s\"", kind);
    KAP_TRY(get(*doc, from, &there, err));
    json_t *copy = json_deep_copy(there);
    if (strcmp(kind, "move") == 0) {
        const enum kap_status st = take_out(*doc, from, err);
        if (st != KAP_OK) {
            json_decref(copy);
            return st;
        }
    }
    return add(doc, path, copy, err);
}

enum kap_status kap_json_patch(const json_t *doc, const json_t *patch, json_t **ret, struct kap_error *err)
{
    if (!json_is_array(patch) || json_array_size(patch) > MAX_OPERATIONS)
        return kap_fail(err, KAP_EINVAL, "a patch is a list of at most %d operations", MAX_OPERATIONS);
    json_t *copy = json_deep_copy(doc);
    for (size_t i = 0; i < json_array_size(patch); i++) {
        if (apply(&copy, json_array_get(patch, i), err) != KAP_OK) {
            json_decref(copy);
            kap_wrap(err, "operation %zu", i + 1);
            return KAP_EINVAL;
        }
    }
    *ret = copy;
    return KAP_OK;
}
