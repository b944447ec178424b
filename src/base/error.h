/* Errors: a status that the compiler makes callers look at, and a message that a user can act on.
 *
 * Every function that can fail returns enum kap_status and takes `struct kap_error *err` last (NULL: the
 * caller wants no message). Outputs are untouched on failure. Messages are values: nothing to free.
 * A caller adds context in front with kap_wrap(), so a message reads from the outside in:
 * "task 'cpu': line 3 char 9: unexpected '}'".
 * Threads: none of its own. */
#ifndef KAP_BASE_ERROR_H
#define KAP_BASE_ERROR_H

#include <stdarg.h>

enum kap_status {
    KAP_OK = 0,
    KAP_EINVAL,    /* what was given is wrong */
    KAP_ENOTFOUND, /* the thing asked for does not exist */
    KAP_EEXIST,    /* it exists already */
    KAP_ELIMIT,    /* a named limit would be passed */
    KAP_EIO,       /* disk or network */
    KAP_ETIMEOUT,  /* no answer in time */
    KAP_ESTATE,    /* not possible in the present state */
    KAP_EINTERNAL, /* our mistake */
};

#define KAP_ERROR_BYTES 2040

struct kap_error {
    enum kap_status status;
    char msg[KAP_ERROR_BYTES]; /* always terminated; cut with "..." when longer */
};

/* Sets the message and returns `status`, so that `return kap_fail(err, KAP_EINVAL, "...")` reads well. */
enum kap_status kap_fail(struct kap_error *err, enum kap_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
enum kap_status kap_vfail(struct kap_error *err, enum kap_status status, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0), cold));

/* Puts "PREFIX: " in front of the message; returns the status that err holds (KAP_EINTERNAL if NULL). */
enum kap_status kap_wrap(struct kap_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* The static analyser looks at one file at a time and must be told that these never return KAP_OK. */
#ifdef __clang_analyzer__
#define kap_fail(err, status, ...) (kap_fail((err), (status), __VA_ARGS__), (status))
#define kap_vfail(err, status, fmt, ap) (kap_vfail((err), (status), (fmt), (ap)), (status))
#define kap_wrap(err, ...) (kap_wrap((err), __VA_ARGS__), KAP_EINTERNAL)
#endif

/* Passes a failure on as it is. */
#define KAP_TRY(call)                                                                                            \
    do {                                                                                                         \
        const enum kap_status kap_try_status = (call);                                                           \
        if (kap_try_status != KAP_OK)                                                                            \
            return kap_try_status;                                                                               \
    } while (0)

#endif
