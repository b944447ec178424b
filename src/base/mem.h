/* Memory: allocation with one policy.
 *
 * kap_alloc and friends never return NULL: requests of bounded size that fail end the process with a clear
 * message (what is durable survives; the supervisor restarts us). What outsiders can make large goes through
 * kap_try_alloc, which returns NULL, or through a limit that is an error (KAP_ELIMIT).
 * Ownership words used in all headers: owned (caller frees), borrowed (valid until a named moment),
 * taken (callee frees, even on failure), shared (reference counted). */
#ifndef KAP_BASE_MEM_H
#define KAP_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

void *kap_alloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));  /* not zeroed */
void *kap_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1, 2)));
void *kap_realloc(void *p, size_t size) __attribute__((returns_nonnull, alloc_size(2)));
void *kap_try_alloc(size_t size) __attribute__((malloc, alloc_size(1)));               /* may be NULL */
char *kap_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *kap_strndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *kap_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));
#define kap_free free

#define KAP_NEW(type) ((type *)kap_calloc(1, sizeof(type)))
#define KAP_ARRAY(type, n) ((type *)kap_calloc((n), sizeof(type)))
#define KAP_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KAP_MIN(a, b) ((a) < (b) ? (a) : (b))
#define KAP_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Scope cleanup: KAP_AUTO_FREE char *s = ...; */
void kap_cleanup_free(void *pp);
#define KAP_AUTO_FREE __attribute__((cleanup(kap_cleanup_free)))
#define KAP_AUTO(fn) __attribute__((cleanup(fn)))
/* Takes a pointer out of a cleanup variable. */
#define KAP_STEAL(p)                                                                                             \
    ({                                                                                                           \
        __typeof__(p) kap_stolen = (p);                                                                          \
        (p) = NULL;                                                                                              \
        kap_stolen;                                                                                              \
    })

/* Grows an array owned by the caller to hold at least `need` items: KAP_GROW(v, cap, n + 1). */
#define KAP_GROW(ptr, cap, need)                                                                                 \
    do {                                                                                                         \
        if ((size_t)(need) > (size_t)(cap)) {                                                                    \
            size_t kap_new_cap = (cap) ? (size_t)(cap) * 2 : 8;                                                  \
            while (kap_new_cap < (size_t)(need))                                                                 \
                kap_new_cap *= 2;                                                                                \
            (ptr) = kap_realloc((ptr), kap_new_cap * sizeof *(ptr));                                             \
            (cap) = (__typeof__(cap))kap_new_cap;                                                                \
        }                                                                                                        \
    } while (0)

#endif
