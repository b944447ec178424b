#include "task/definitions.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

/* --- IDs --- */

/* Is it a letter? The marks, digits and signs of the blocks that people name things in are left out by range;
 * what is beyond is taken as a letter. */
static bool is_letter(uint32_t rune)
{
    static const struct {
        uint32_t first, last;
    } no_letters[] = {
        { 0x80, 0xa9 },       { 0xab, 0xb4 },        { 0xb6, 0xb9 },     { 0xbb, 0xbf },
        { 0xd7, 0xd7 },       { 0xf7, 0xf7 },        { 0x2c2, 0x2c5 },   { 0x2d2, 0x2df },
        { 0x300, 0x36f },     { 0x2000, 0x2070 },    { 0x2072, 0x207e }, { 0x2080, 0x208f },
        { 0x20a0, 0x2101 },   { 0x2190, 0x2bff },    { 0x2e00, 0x2e2e }, { 0x3000, 0x3004 },
        { 0x3007, 0x3030 },   { 0xe000, 0xf8ff },    { 0xfe00, 0xfe6f }, { 0xfff0, 0xffff },
        { 0x1f000, 0x1faff }, { 0xe0000, 0x10ffff },
    };
    for (size_t i = 0; i < KAP_COUNT(no_letters); i++) {
        if (rune >= no_letters[i].first && rune <= no_letters[i].last)
            return false;
    }
    return true;
}

bool kap_id_valid(struct kap_str id)
{
    if (id.n == 0)
        return false;
    while (id.n > 0) {
        uint32_t rune;
        const size_t n = kap_utf8_decode(id.p, id.n, &rune);
        const bool ascii = (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z') ||
                           (rune >= '0' && rune <= '9') || rune == '-' || rune == '.' || rune == '_';
        if (n == 0 || !(rune < 0x80 ? ascii : is_letter(rune)))
            return false;
        id.p += n;
        id.n -= n;
    }
    return true;
}

/* --- in memory --- */

struct entry {
    char *id, *json;
};

struct memory {
    struct kap_definitions api;
    pthread_mutex_t lock;
    struct entry *entries[KAP_DEFINITION_KINDS]; /* in byte order of the IDs */
    size_t n[KAP_DEFINITION_KINDS], cap[KAP_DEFINITION_KINDS];
    kap_definition_watch_fn watchers[KAP_DEFINITION_KINDS];
    void *watcher_ctx[KAP_DEFINITION_KINDS];
};

/* Where the ID is, or would go. */
static size_t find(const struct memory *m, enum kap_definition_kind kind, struct kap_str id, bool *ret_found)
{
    size_t low = 0, high = m->n[kind];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (kap_str_cmp(kap_str(m->entries[kind][middle].id), id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < m->n[kind] && kap_str_is(id, m->entries[kind][low].id);
    return low;
}

static void tell(struct memory *m, enum kap_definition_kind kind, struct kap_str id)
{
    pthread_mutex_lock(&m->lock);
    const kap_definition_watch_fn fn = m->watchers[kind];
    void *ctx = m->watcher_ctx[kind];
    pthread_mutex_unlock(&m->lock);
    if (fn)
        fn(ctx, kind, id, false);
}

static enum kap_status memory_put(void *ctx, enum kap_definition_kind kind, struct kap_str id,
                                  struct kap_str json, struct kap_error *err)
{
    struct memory *m = ctx;
    bool found;
    pthread_mutex_lock(&m->lock);
    const size_t at = find(m, kind, id, &found);
    if (found) {
        kap_free(m->entries[kind][at].json);
    } else {
        KAP_GROW(m->entries[kind], m->cap[kind], m->n[kind] + 1);
        memmove(&m->entries[kind][at + 1], &m->entries[kind][at], (m->n[kind] - at) * sizeof(struct entry));
        m->n[kind]++;
        m->entries[kind][at].id = kap_strndup(id.p, id.n);
    }
    m->entries[kind][at].json = kap_strndup(json.p, json.n);
    pthread_mutex_unlock(&m->lock);
    tell(m, kind, id);
    return KAP_OK;
}

static enum kap_status memory_get(void *ctx, enum kap_definition_kind kind, struct kap_str id,
                                  struct kap_buf *ret, struct kap_error *err)
{
    struct memory *m = ctx;
    bool found;
    pthread_mutex_lock(&m->lock);
    const size_t at = find(m, kind, id, &found);
    if (found)
        kap_buf_adds(ret, m->entries[kind][at].json);
    pthread_mutex_unlock(&m->lock);
    return found ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "no definition '%.*s'", KAP_STR_ARG(id));
}

static enum kap_status memory_drop(void *ctx, enum kap_definition_kind kind, struct kap_str id,
                                   struct kap_error *err)
{
    struct memory *m = ctx;
    bool found;
    pthread_mutex_lock(&m->lock);
    const size_t at = find(m, kind, id, &found);
    if (found) {
        kap_free(m->entries[kind][at].id);
        kap_free(m->entries[kind][at].json);
        m->n[kind]--;
        memmove(&m->entries[kind][at], &m->entries[kind][at + 1], (m->n[kind] - at) * sizeof(struct entry));
    }
    pthread_mutex_unlock(&m->lock);
    if (found)
        tell(m, kind, id);
    return KAP_OK;
}

/* Walks a copy: fn may change definitions. */
static enum kap_status memory_each(void *ctx, enum kap_definition_kind kind, kap_definition_each_fn fn,
                                   void *fn_ctx, struct kap_error *err)
{
    struct memory *m = ctx;
    pthread_mutex_lock(&m->lock);
    const size_t n = m->n[kind];
    struct entry *copy = KAP_ARRAY(struct entry, n + 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = (struct entry){ kap_strdup(m->entries[kind][i].id), kap_strdup(m->entries[kind][i].json) };
    pthread_mutex_unlock(&m->lock);
    bool more = true;
    for (size_t i = 0; i < n; i++) {
        more = more && fn(fn_ctx, kap_str(copy[i].id), kap_str(copy[i].json));
        kap_free(copy[i].id);
        kap_free(copy[i].json);
    }
    kap_free(copy);
    return KAP_OK;
}

static void memory_watch(void *ctx, enum kap_definition_kind kind, kap_definition_watch_fn fn, void *fn_ctx)
{
    struct memory *m = ctx;
    pthread_mutex_lock(&m->lock);
    m->watchers[kind] = fn;
    m->watcher_ctx[kind] = fn_ctx;
    pthread_mutex_unlock(&m->lock);
}

struct kap_definitions *kap_definitions_memory(void)
{
    struct memory *m = KAP_NEW(struct memory);
    pthread_mutex_init(&m->lock, NULL);
    m->api = (struct kap_definitions){ .ctx = m,
                                       .put = memory_put,
                                       .get = memory_get,
                                       .drop = memory_drop,
                                       .each = memory_each,
                                       .watch = memory_watch };
    return &m->api;
}

void kap_definitions_memory_free(struct kap_definitions *d)
{
    if (d == NULL)
        return;
    struct memory *m = d->ctx;
    for (size_t kind = 0; kind < KAP_DEFINITION_KINDS; kind++) {
        for (size_t i = 0; i < m->n[kind]; i++) {
            kap_free(m->entries[kind][i].id);
            kap_free(m->entries[kind][i].json);
        }
        kap_free(m->entries[kind]);
    }
    pthread_mutex_destroy(&m->lock);
    kap_free(m);
}
