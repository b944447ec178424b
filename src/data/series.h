/* The series cache: for each distinct key part of a line ("cpu,host=a,dc=x", as its bytes arrived) of a
 * database and policy one object with all that is worked out from it once: measurement, tag set, and whatever
 * the engine hangs on it. It is a cache: when it is full the least used series leave (second-chance clock)
 * and come back as new objects when they are seen again. Ids are dense and are reused, so that arrays can be
 * indexed by them.
 *
 * Life time: who uses series holds a pin from before the look-up until after the last use. A series that left
 * the cache is handed to `retired` (or freed) when all pins of its time are gone. Threads: all. Look-ups of
 * known series run in parallel under a read lock that the caller takes for many of them. */
#ifndef KAP_DATA_SERIES_H
#define KAP_DATA_SERIES_H

#include "base/error.h"
#include "data/tags.h"

#include <pthread.h>

/* Where points come in: a database and a policy. Owned by the engine; lives as long as the cache. */
struct kap_source {
    const struct kap_sym *db, *rp;
    uint32_t id;                       /* part of the look-up key */
};

struct kap_series {
    const struct kap_source *source;
    const struct kap_sym *name;
    const struct kap_tags *tags;       /* one reference */
    uint32_t id;
    _Atomic uint32_t used;             /* since the clock's hand last came by */
    _Atomic uint32_t next_id;          /* of the series that followed it last time: a guess */
    uint32_t nkey;
    uint64_t hash;
    void *user;                        /* the engine's */
    struct kap_series *retired;        /* list, once it has left */
    char key[];
};

struct kap_series_cache;
struct kap_series_pin;

struct kap_series_hooks {
    void *ctx;
    /* A new series, before anybody sees it; under the write lock. */
    void (*added)(void *ctx, struct kap_series *s);
    /* Series that nobody uses any more, linked by `retired`: give each back with kap_series_free(), at any
     * time and from any thread. No lock is held. */
    void (*retired)(void *ctx, struct kap_series *list);
};

/* hooks may be NULL. */
struct kap_series_cache *kap_series_cache_new(size_t max, const struct kap_series_hooks *hooks);
void kap_series_cache_free(struct kap_series_cache *c);  /* no pins are left */
size_t kap_series_cache_len(struct kap_series_cache *c);
size_t kap_series_cache_bytes(struct kap_series_cache *c);
void kap_series_free(struct kap_series_cache *c, struct kap_series *s);

struct kap_series_pin *kap_series_pin(struct kap_series_cache *c);
void kap_series_unpin(struct kap_series_cache *c, struct kap_series_pin *pin);

void kap_series_lock(struct kap_series_cache *c);    /* for look-ups; many may hold it */
void kap_series_unlock(struct kap_series_cache *c);
uint64_t kap_series_hash(const struct kap_source *source, struct kap_str key);
/* With the lock held. NULL: not known. */
struct kap_series *kap_series_find(struct kap_series_cache *c, const struct kap_source *source,
                                   struct kap_str key, uint64_t hash);
/* A guess that costs no hashing: the series of this id if its key is the beginning of `text`, ended by a
 * space. */
struct kap_series *kap_series_guess(struct kap_series_cache *c, const struct kap_source *source, uint32_t id,
                                    struct kap_str text);
/* Begins to fetch the series of this id into the processor's cache: it will be asked for soon. */
void kap_series_prefetch(const struct kap_series_cache *c, uint32_t id);
/* With the lock held, which it gives up for a moment. Fails
 * on duplicate tags and on too many names; the key is otherwise taken to be well-formed. */
enum kap_status kap_series_add(struct kap_series_cache *c, const struct kap_source *source,
                               struct kap_str key, uint64_t hash, struct kap_series **ret,
                               struct kap_error *err);
/* Looks at the next `n` series and lets those leave that were not used since it looked at them last: called so
 * that all come by every few minutes, the cache holds the series that are alive, not all that ever were. */
void kap_series_age(struct kap_series_cache *c, size_t n);
/* Bounds the number of distinct names (kap_sym) that input may make; 0: no bound. */
void kap_series_limit_names(struct kap_series_cache *c, size_t max_names);
/* Interns a name of the input under that bound; NULL: it would pass it. */
const struct kap_sym *kap_series_name(struct kap_series_cache *c, struct kap_str name);

#endif
