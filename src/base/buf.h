/* Growing byte buffer with a limit and a sticky failure: only the end needs a check.
 * Ownership: the struct is embedded by value; kap_buf_done() frees, kap_buf_take() hands the bytes out.
 * p is always terminated once anything was added. Threads: one at a time.
 * Failure: after `max` bytes (0: no limit) `failed` is set and further bytes are ignored. */
#ifndef KAP_BASE_BUF_H
#define KAP_BASE_BUF_H

#include "base/error.h"
#include "base/str.h"
#include <stdarg.h>

struct kap_buf {
    char *p;
    size_t n, cap, max;
    bool failed;
};

void kap_buf_done(struct kap_buf *b); /* frees; the buffer may be used again */
static inline void kap_buf_reset(struct kap_buf *b)
{
    b->n = 0;
    b->failed = false;
}
char *kap_buf_reserve(struct kap_buf *b, size_t n); /* room for n more bytes (plus the end); NULL past max */
void kap_buf_add(struct kap_buf *b, struct kap_str s);
void kap_buf_addn(struct kap_buf *b, const void *p, size_t n);
void kap_buf_adds(struct kap_buf *b, const char *s);
void kap_buf_addc(struct kap_buf *b, char c);
void kap_buf_addf(struct kap_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void kap_buf_vaddf(struct kap_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void kap_buf_addq(struct kap_buf *b, struct kap_str s); /* quoted as Go's %q does */
static inline struct kap_str kap_buf_str(const struct kap_buf *b)
{
    return (struct kap_str){ b->p ? b->p : "", b->n };
}
char *kap_buf_take(struct kap_buf *b); /* owned, terminated, never NULL; the buffer is empty afterwards */
#define KAP_AUTO_BUF __attribute__((cleanup(kap_buf_done)))

#endif
