#include "base/buf.h"
#include "base/mem.h"
#include <stdio.h>

void kap_buf_done(struct kap_buf *b)
{
    kap_free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
    b->failed = false;
}

char *kap_buf_reserve(struct kap_buf *b, size_t n)
{
    if (b->failed || (b->max && b->n + n > b->max)) {
        b->failed = true;
        return NULL;
    }
    if (b->n + n + 1 > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        while (cap < b->n + n + 1)
            cap *= 2;
        b->p = kap_realloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->n;
}

void kap_buf_addn(struct kap_buf *b, const void *p, size_t n)
{
    char *to = kap_buf_reserve(b, n);
    if (!to)
        return;
    if (n)
        memcpy(to, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void kap_buf_add(struct kap_buf *b, struct kap_str s)
{
    kap_buf_addn(b, s.p, s.n);
}

void kap_buf_adds(struct kap_buf *b, const char *s)
{
    kap_buf_addn(b, s, strlen(s));
}

void kap_buf_addc(struct kap_buf *b, char c)
{
    kap_buf_addn(b, &c, 1);
}

void kap_buf_vaddf(struct kap_buf *b, const char *fmt, va_list ap)
{
    char text[256];
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    if (n >= 0 && (size_t)n < sizeof text) {
        kap_buf_addn(b, text, (size_t)n);
    } else if (n >= 0) {
        char *to = kap_buf_reserve(b, (size_t)n);
        if (to) {
            vsnprintf(to, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
        }
    }
    va_end(again);
}

void kap_buf_addf(struct kap_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    kap_buf_vaddf(b, fmt, ap);
    va_end(ap);
}

char *kap_buf_take(struct kap_buf *b)
{
    char *p = b->p ? b->p : kap_strdup("");
    *b = (struct kap_buf){ .max = b->max };
    return p;
}

void kap_buf_addq(struct kap_buf *b, struct kap_str s)
{
    static const char names[] = "abtnvfr"; /* of 7 to 13 */
    kap_buf_addc(b, '"');
    while (s.n > 0) {
        uint32_t rune;
        size_t n = kap_utf8_decode(s.p, s.n, &rune);
        if (n == 0) {
            kap_buf_addf(b, "\\x%02x", (unsigned char)*s.p);
            n = 1;
        } else if (rune == '"' || rune == '\\') {
            kap_buf_addf(b, "\\%c", (char)rune);
        } else if (rune >= 7 && rune <= 13) {
            kap_buf_addf(b, "\\%c", names[rune - 7]);
        } else if (rune < 0x20 || rune == 0x7f) {
            kap_buf_addf(b, "\\x%02x", rune);
        } else if (rune >= 0x80 && rune < 0xa0) {
            kap_buf_addf(b, "\\u%04x", rune);
        } else {
            kap_buf_addn(b, s.p, n);
        }
        s.p += n;
        s.n -= n;
    }
    kap_buf_addc(b, '"');
}
