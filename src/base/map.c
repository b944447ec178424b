#include "base/map.h"
#include "base/mem.h"

/* Entries stand in order of insertion; slots hold entry numbers + 1 and are probed linearly. A deleted entry has
 * key.p NULL and is squeezed out when the table is rebuilt. */
struct entry {
    struct kap_str key;
    uint64_t hash;
    void *value;
};

struct kap_map {
    struct entry *entries;
    size_t n, used, cap; /* n live of `used` entries */
    uint32_t *slots;
    size_t nslots; /* power of two */
    size_t key_bytes;
};

#define TOMBSTONE UINT32_MAX

struct kap_map *kap_map_new(void)
{
    return KAP_NEW(struct kap_map);
}

void kap_map_free(struct kap_map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->used; i++)
        kap_free((void *)(uintptr_t)m->entries[i].key.p);
    kap_free(m->entries);
    kap_free(m->slots);
    kap_free(m);
}

static size_t find_slot(const struct kap_map *m, struct kap_str key, uint64_t hash)
{
    if (!m->nslots)
        return SIZE_MAX;
    for (size_t i = hash & (m->nslots - 1);; i = (i + 1) & (m->nslots - 1)) {
        const uint32_t slot = m->slots[i];
        if (slot == 0)
            return SIZE_MAX;
        if (slot == TOMBSTONE)
            continue;
        const struct entry *e = &m->entries[slot - 1];
        if (e->hash == hash && kap_str_eq(e->key, key))
            return i;
    }
}

static void insert_slot(struct kap_map *m, uint64_t hash, size_t entry)
{
    size_t i = hash & (m->nslots - 1);
    while (m->slots[i] != 0)
        i = (i + 1) & (m->nslots - 1);
    m->slots[i] = (uint32_t)entry + 1;
}

static void rebuild(struct kap_map *m)
{
    size_t live = 0;
    for (size_t i = 0; i < m->used; i++)
        if (m->entries[i].key.p)
            m->entries[live++] = m->entries[i];
    m->used = live;
    size_t want = 8;
    while (want * 2 < (live + 1) * 4)
        want *= 2;
    kap_free(m->slots);
    m->slots = KAP_ARRAY(uint32_t, want);
    m->nslots = want;
    for (size_t i = 0; i < live; i++)
        insert_slot(m, m->entries[i].hash, i);
}

void *kap_map_get(const struct kap_map *m, struct kap_str key)
{
    const size_t slot = find_slot(m, key, kap_str_hash(key));
    return slot == SIZE_MAX ? NULL : m->entries[m->slots[slot] - 1].value;
}

void *kap_map_put(struct kap_map *m, struct kap_str key, void *value)
{
    const uint64_t hash = kap_str_hash(key);
    const size_t slot = find_slot(m, key, hash);
    if (slot != SIZE_MAX) {
        struct entry *e = &m->entries[m->slots[slot] - 1];
        void *old = e->value;
        e->value = value;
        return old;
    }
    if ((m->used + 1) * 2 > m->nslots)
        rebuild(m);
    KAP_GROW(m->entries, m->cap, m->used + 1);
    m->entries[m->used] = (struct entry){ { kap_strndup(key.p, key.n), key.n }, hash, value };
    insert_slot(m, hash, m->used++);
    m->n++;
    m->key_bytes += key.n + 1;
    return NULL;
}

void *kap_map_del(struct kap_map *m, struct kap_str key)
{
    const size_t slot = find_slot(m, key, kap_str_hash(key));
    if (slot == SIZE_MAX)
        return NULL;
    struct entry *e = &m->entries[m->slots[slot] - 1];
    void *value = e->value;
    m->slots[slot] = TOMBSTONE;
    m->key_bytes -= e->key.n + 1;
    kap_free((void *)(uintptr_t)e->key.p);
    *e = (struct entry){ 0 };
    m->n--;
    return value;
}

size_t kap_map_len(const struct kap_map *m)
{
    return m->n;
}

size_t kap_map_bytes(const struct kap_map *m)
{
    return sizeof *m + m->cap * sizeof *m->entries + m->nslots * sizeof *m->slots + m->key_bytes;
}

bool kap_map_next(const struct kap_map *m, size_t *i, struct kap_str *key, void **value)
{
    while (*i < m->used && !m->entries[*i].key.p)
        (*i)++;
    if (*i >= m->used)
        return false;
    if (key)
        *key = m->entries[*i].key;
    if (value)
        *value = m->entries[*i].value;
    (*i)++;
    return true;
}
