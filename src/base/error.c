#include "base/error.h"
/* The definitions stand below; what the analyser is told is for their callers. */
#undef kap_fail
#undef kap_vfail
#undef kap_wrap
#include <stdio.h>
#include <string.h>

static void mark_cut(char *msg, size_t size, int wanted)
{
    if (wanted >= 0 && (size_t)wanted >= size)
        memcpy(msg + size - 4, "...", 4);
}

enum kap_status kap_vfail(struct kap_error *err, enum kap_status status, const char *fmt, va_list ap)
{
    if (err) {
        err->status = status;
        mark_cut(err->msg, sizeof err->msg, vsnprintf(err->msg, sizeof err->msg, fmt, ap));
    }
    return status;
}

enum kap_status kap_fail(struct kap_error *err, enum kap_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    kap_vfail(err, status, fmt, ap);
    va_end(ap);
    return status;
}

enum kap_status kap_wrap(struct kap_error *err, const char *fmt, ...)
{
    if (!err)
        return KAP_EINTERNAL;
    char text[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof text)
        mark_cut(text, sizeof text, n + snprintf(text + n, sizeof text - (size_t)n, ": %s", err->msg));
    memcpy(err->msg, text, sizeof text);
    return err->status;
}
