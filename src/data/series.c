#include "data/series.h"
#include <stdatomic.h>

#include "base/buf.h"
#include "base/mem.h"

/* A pin is a period: it ends when series leave the cache, and what left in it is free once nobody holds this
 * period or an earlier one. */
struct kap_series_pin {
    _Atomic size_t holders;
    struct kap_series *left;      /* linked by `retired` */
    struct kap_series_pin *next;  /* later */
};

struct slot {
    uint64_t hash;
    struct kap_series *s;         /* NULL: free */
};

struct kap_series_cache {
    pthread_rwlock_t lock;
    struct slot *slots;           /* linear probing, no tombstones */
    size_t nslots, n, max;
    struct kap_series **by_id;
    uint32_t nids, cap_ids;
    uint32_t hand;                /* of the clock, an id */
    _Atomic size_t bytes;
    size_t max_names;
    struct kap_series_hooks hooks;
    struct kap_series_pin *oldest, *current;
    pthread_mutex_t ids_lock;     /* ids are given back from anywhere */
    uint32_t *unused;
    uint32_t nunused, cap_unused;
};

struct kap_series_cache *kap_series_cache_new(size_t max, const struct kap_series_hooks *hooks)
{
    struct kap_series_cache *c = KAP_NEW(struct kap_series_cache);
    /* Parsers overlap all the time: a new series would wait for ever if readers went first. */
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&c->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&c->ids_lock, NULL);
    c->max = KAP_MAX(max, (size_t)16);
    c->nslots = 64;
    c->slots = KAP_ARRAY(struct slot, c->nslots);
    c->oldest = c->current = KAP_NEW(struct kap_series_pin);
    if (hooks)
        c->hooks = *hooks;
    return c;
}

static size_t series_bytes(const struct kap_series *s)
{
    return sizeof *s + s->nkey + 1 + kap_tags_bytes(s->tags);
}

void kap_series_free(struct kap_series_cache *c, struct kap_series *s)
{
    atomic_fetch_sub(&c->bytes, series_bytes(s));
    pthread_mutex_lock(&c->ids_lock);
    KAP_GROW(c->unused, c->cap_unused, c->nunused + 1);
    c->unused[c->nunused++] = s->id;
    pthread_mutex_unlock(&c->ids_lock);
    kap_tags_unref(s->tags);
    kap_free(s);
}

static void free_list(struct kap_series_cache *c, struct kap_series *list)
{
    while (list) {
        struct kap_series *next = list->retired;
        kap_series_free(c, list);
        list = next;
    }
}

void kap_series_cache_free(struct kap_series_cache *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->nids; i++)
        if (c->by_id[i])
            kap_series_free(c, c->by_id[i]);
    for (struct kap_series_pin *p = c->oldest, *next; p; p = next) {
        next = p->next;
        free_list(c, p->left);
        kap_free(p);
    }
    kap_free(c->slots);
    kap_free((void *)c->by_id);
    kap_free(c->unused);
    pthread_mutex_destroy(&c->ids_lock);
    pthread_rwlock_destroy(&c->lock);
    kap_free(c);
}

size_t kap_series_cache_len(struct kap_series_cache *c)
{
    kap_series_lock(c);
    const size_t n = c->n;
    kap_series_unlock(c);
    return n;
}

size_t kap_series_cache_bytes(struct kap_series_cache *c)
{
    kap_series_lock(c);
    const size_t tables = c->nslots * sizeof *c->slots + c->cap_ids * sizeof *c->by_id;
    kap_series_unlock(c);
    return tables + atomic_load(&c->bytes);
}

void kap_series_lock(struct kap_series_cache *c)
{
    pthread_rwlock_rdlock(&c->lock);
}

void kap_series_unlock(struct kap_series_cache *c)
{
    pthread_rwlock_unlock(&c->lock);
}

struct kap_series_pin *kap_series_pin(struct kap_series_cache *c)
{
    kap_series_lock(c);
    struct kap_series_pin *p = c->current;
    atomic_fetch_add(&p->holders, 1);
    kap_series_unlock(c);
    return p;
}

/* Takes off the list what nobody can hold any more: the oldest periods that are over and have no holder left.
 */
static struct kap_series *take_free(struct kap_series_cache *c)
{
    struct kap_series *list = NULL;
    while (c->oldest != c->current && atomic_load(&c->oldest->holders) == 0) {
        struct kap_series_pin *p = c->oldest;
        c->oldest = p->next;
        while (p->left) {
            struct kap_series *s = p->left;
            p->left = s->retired;
            s->retired = list;
            list = s;
        }
        kap_free(p);
    }
    return list;
}

static void hand_over(struct kap_series_cache *c, struct kap_series *list)
{
    if (!list)
        return;
    if (c->hooks.retired)
        c->hooks.retired(c->hooks.ctx, list);
    else
        free_list(c, list);
}

void kap_series_unpin(struct kap_series_cache *c, struct kap_series_pin *pin)
{
    kap_series_lock(c);
    const bool last = atomic_fetch_sub(&pin->holders, 1) == 1 && pin != c->current;
    kap_series_unlock(c);
    if (!last)
        return;
    pthread_rwlock_wrlock(&c->lock);
    struct kap_series *list = take_free(c);
    pthread_rwlock_unlock(&c->lock);
    hand_over(c, list);
}

uint64_t kap_series_hash(const struct kap_source *source, struct kap_str key)
{
    return kap_str_hash(key) ^ (source->id * UINT64_C(0x9e3779b97f4a7c15));
}

static void mark_used(struct kap_series *s)
{
    if (!atomic_load_explicit(&s->used, memory_order_relaxed))
        atomic_store_explicit(&s->used, 1, memory_order_relaxed);
}

struct kap_series *kap_series_find(struct kap_series_cache *c, const struct kap_source *source,
                                   struct kap_str key, uint64_t hash)
{
    for (size_t i = hash & (c->nslots - 1);; i = (i + 1) & (c->nslots - 1)) {
        struct kap_series *s = c->slots[i].s;
        if (!s)
            return NULL;
        if (c->slots[i].hash == hash && s->source == source && s->nkey == key.n &&
            memcmp(s->key, key.p, key.n) == 0) {
            mark_used(s);
            return s;
        }
    }
}

struct kap_series *kap_series_guess(struct kap_series_cache *c, const struct kap_source *source, uint32_t id,
                                    struct kap_str text)
{
    struct kap_series *s = id < c->nids ? c->by_id[id] : NULL;
    if (!s || s->source != source || s->nkey >= text.n || text.p[s->nkey] != ' ' ||
        memcmp(s->key, text.p, s->nkey) != 0)
        return NULL;
    mark_used(s);
    return s;
}

void kap_series_prefetch(const struct kap_series_cache *c, uint32_t id)
{
    if (id >= c->nids)
        return;
    const char *s = (const char *)c->by_id[id];
    __builtin_prefetch(s);
    __builtin_prefetch(s + 64);
}

static void insert_slot(struct slot *slots, size_t nslots, struct slot new)
{
    size_t i = new.hash & (nslots - 1);
    while (slots[i].s)
        i = (i + 1) & (nslots - 1);
    slots[i] = new;
}

static void grow(struct kap_series_cache *c)
{
    const size_t nslots = c->nslots * 2;
    struct slot *slots = KAP_ARRAY(struct slot, nslots);
    for (size_t i = 0; i < c->nslots; i++)
        if (c->slots[i].s)
            insert_slot(slots, nslots, c->slots[i]);
    kap_free(c->slots);
    c->slots = slots;
    c->nslots = nslots;
}

/* Removal by moving later entries of the probe sequence back. */
static void remove_slot(struct kap_series_cache *c, const struct kap_series *s)
{
    const size_t mask = c->nslots - 1;
    size_t hole = s->hash & mask;
    while (c->slots[hole].s != s)
        hole = (hole + 1) & mask;
    for (size_t i = (hole + 1) & mask; c->slots[i].s; i = (i + 1) & mask) {
        const size_t home = c->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it would come to stand before its home */
        c->slots[hole] = c->slots[i];
        hole = i;
    }
    c->slots[hole] = (struct slot){ 0 };
    c->n--;
}

/* Under the write lock: series leave that were not used since the hand came by, until few enough are left. */
static void move_hand(struct kap_series_cache *c, size_t steps, size_t keep)
{
    const size_t before = c->n;
    for (; c->n > keep && steps > 0; steps--) {
        c->hand = c->hand + 1 < c->nids ? c->hand + 1 : 0;
        struct kap_series *s = c->by_id[c->hand];
        if (!s || atomic_exchange_explicit(&s->used, 0, memory_order_relaxed))
            continue;
        remove_slot(c, s);
        c->by_id[s->id] = NULL;
        s->retired = c->current->left;
        c->current->left = s;
    }
    if (c->n == before)
        return;
    struct kap_series_pin *p = KAP_NEW(struct kap_series_pin);
    c->current->next = p;
    c->current = p;
}

/* Makes room: an eighth of the series leaves. */
static void evict(struct kap_series_cache *c)
{
    move_hand(c, 2 * (size_t)c->nids, c->max - c->max / 8);
}

void kap_series_age(struct kap_series_cache *c, size_t n)
{
    pthread_rwlock_wrlock(&c->lock);
    move_hand(c, KAP_MIN(n, c->nids), 0);
    struct kap_series *left = take_free(c);
    pthread_rwlock_unlock(&c->lock);
    hand_over(c, left);
}

static uint32_t take_id(struct kap_series_cache *c)
{
    pthread_mutex_lock(&c->ids_lock);
    const bool reuse = c->nunused > 0;
    const uint32_t id = reuse ? c->unused[--c->nunused] : c->nids;
    pthread_mutex_unlock(&c->ids_lock);
    if (!reuse) {
        KAP_GROW(c->by_id, c->cap_ids, c->nids + 1);
        c->by_id[c->nids++] = NULL;
    }
    return id;
}

/* ---- the key part of a line ---- */

void kap_series_limit_names(struct kap_series_cache *c, size_t max_names)
{
    c->max_names = max_names;
}

const struct kap_sym *kap_series_name(struct kap_series_cache *c, struct kap_str name)
{
    if (c->max_names == 0)
        return kap_sym(name);
    const struct kap_sym *y = kap_sym_find(name);
    if (y)
        return y;
    /* Ids are dense, so that the newest one tells how many there are. */
    static _Atomic uint32_t newest;
    if (atomic_load_explicit(&newest, memory_order_relaxed) >= c->max_names)
        return NULL;
    y = kap_sym(name);
    atomic_store_explicit(&newest, y->id, memory_order_relaxed);
    return y;
}

/* End of the part of s from i on that `stop` ends, where it is not escaped. */
static size_t scan_to(struct kap_str s, size_t i, char stop)
{
    while (i < s.n && !(s.p[i] == stop && (i == 0 || s.p[i - 1] != '\\')))
        i++;
    return i;
}

/* Undoes \, \= \<space> and, in measurements and field keys, \" ; every other backslash stays. */
static struct kap_str unescape(struct kap_str s, bool quotes, struct kap_buf *buf)
{
    if (!memchr(s.p, '\\', s.n))
        return s;
    kap_buf_reset(buf);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n &&
            (s.p[i + 1] == ',' || s.p[i + 1] == '=' || s.p[i + 1] == ' ' || (quotes && s.p[i + 1] == '"')))
            i++;
        kap_buf_addc(buf, s.p[i]);
    }
    return kap_buf_str(buf);
}

struct raw_tag {
    struct kap_str key, val;
};

static int raw_cmp(const void *a, const void *b)
{
    return kap_str_cmp(((const struct raw_tag *)a)->key, ((const struct raw_tag *)b)->key);
}

struct key_parts {
    struct raw_tag *raw;
    struct kap_tag *tags;
    size_t n, cap;
    struct kap_buf *vals; /* unescaped values, which tags[] points into */
};

static void split_tags(struct kap_str key, size_t i, struct key_parts *k)
{
    while (i < key.n) {
        const size_t eq = scan_to(key, i, '=');
        const size_t end = KAP_MIN(eq, key.n) < key.n ? scan_to(key, eq + 1, ',') : key.n;
        if (k->n == k->cap)
            KAP_GROW(k->raw, k->cap, k->n + 1);
        k->raw[k->n++] =
            (struct raw_tag){ kap_strn(key.p + i, eq - i),
                              kap_strn(key.p + KAP_MIN(eq + 1, key.n), end - KAP_MIN(eq + 1, end)) };
        i = end + 1;
    }
}

static enum kap_status too_many_names(struct kap_error *err)
{
    return kap_fail(err, KAP_ELIMIT, "too many distinct names of measurements, tags and fields");
}

static enum kap_status make_tags(struct kap_series_cache *c, struct key_parts *k, const struct kap_tags **ret,
                                 struct kap_error *err)
{
    if (k->n == 0) {
        *ret = kap_tags_empty;
        return KAP_OK;
    }
    qsort(k->raw, k->n, sizeof *k->raw, raw_cmp);
    for (size_t i = 1; i < k->n; i++)
        if (kap_str_eq(k->raw[i - 1].key, k->raw[i].key))
            return kap_fail(err, KAP_EINVAL, "duplicate tags");
    k->tags = KAP_ARRAY(struct kap_tag, k->n);
    k->vals = KAP_ARRAY(struct kap_buf, k->n + 1);
    for (size_t i = 0; i < k->n; i++) {
        k->tags[i].key = kap_series_name(c, unescape(k->raw[i].key, false, &k->vals[k->n]));
        if (!k->tags[i].key)
            return too_many_names(err);
        k->tags[i].val = unescape(k->raw[i].val, false, &k->vals[i]);
    }
    *ret = kap_tags_new(k->tags, k->n);
    return KAP_OK;
}

static void parts_done(struct key_parts *k)
{
    for (size_t i = 0; k->vals && i < k->n + 1; i++)
        kap_buf_done(&k->vals[i]);
    kap_free(k->vals);
    kap_free(k->tags);
    kap_free(k->raw);
}

static enum kap_status parse_key(struct kap_series_cache *c, struct kap_str key, const struct kap_sym **name,
                                 const struct kap_tags **tags, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf buf = { 0 };
    size_t i = scan_to(key, 1, ',');
    *name = kap_series_name(c, unescape(kap_strn(key.p, i), true, &buf));
    if (!*name)
        return too_many_names(err);
    struct key_parts k = { 0 };
    split_tags(key, i + 1, &k);
    const enum kap_status st = make_tags(c, &k, tags, err);
    parts_done(&k);
    return st;
}

static struct kap_series *new_series(const struct kap_source *source, struct kap_str key, uint64_t hash,
                                     const struct kap_sym *name, const struct kap_tags *tags)
{
    struct kap_series *s = (struct kap_series *)kap_calloc(1, sizeof *s + key.n + 1);
    s->source = source;
    s->name = name;
    s->tags = tags;
    s->hash = hash;
    s->nkey = (uint32_t)key.n;
    s->next_id = UINT32_MAX;
    atomic_init(&s->used, 1);
    memcpy(s->key, key.p, key.n);
    return s;
}

enum kap_status kap_series_add(struct kap_series_cache *c, const struct kap_source *source,
                               struct kap_str key, uint64_t hash, struct kap_series **ret,
                               struct kap_error *err)
{
    const struct kap_sym *name = NULL;
    const struct kap_tags *tags = NULL;
    KAP_TRY(parse_key(c, key, &name, &tags, err));
    kap_series_unlock(c);

    struct kap_series *left = NULL;
    pthread_rwlock_wrlock(&c->lock);
    struct kap_series *s = kap_series_find(c, source, key, hash);
    if (s) {
        kap_tags_unref(tags);
    } else {
        if (c->n >= c->max)
            evict(c);
        left = take_free(c);
        if (c->n * 4 >= c->nslots * 3)
            grow(c);
        s = new_series(source, key, hash, name, tags);
        s->id = take_id(c);
        c->by_id[s->id] = s;
        insert_slot(c->slots, c->nslots, (struct slot){ hash, s });
        c->n++;
        atomic_fetch_add(&c->bytes, series_bytes(s));
        if (c->hooks.added)
            c->hooks.added(c->hooks.ctx, s);
    }
    pthread_rwlock_unlock(&c->lock);
    hand_over(c, left);
    kap_series_lock(c);
    *ret = s;
    return KAP_OK;
}
