#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *must(void *p, size_t size)
{
    if (p)
        return p;
    char text[96];
    const int n = snprintf(text, sizeof text, "out of memory: %zu bytes could not be had\n", size);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) {
        /* nothing is left to be done about it */
    }
    abort();
}

void *kap_alloc(size_t size)
{
    return must(malloc(size ? size : 1), size);
}

void *kap_calloc(size_t n, size_t size)
{
    return must(calloc(n ? n : 1, size ? size : 1), n * size);
}

void *kap_realloc(void *p, size_t size)
{
    return must(realloc(p, size ? size : 1), size);
}

void *kap_try_alloc(size_t size)
{
    return malloc(size ? size : 1);
}

char *kap_strdup(const char *s)
{
    return kap_strndup(s, strlen(s));
}

char *kap_strndup(const char *s, size_t n)
{
    char *copy = kap_alloc(n + 1);
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *kap_asprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    const int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : text, 0);
}

void kap_cleanup_free(void *pp)
{
    free(*(void **)pp);
}
