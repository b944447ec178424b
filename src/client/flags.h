/* Command-line flags as users of the Go programs write them: -name value, -name=value, --name, and the first
 * word that is no flag ends them ("--" as well). Ownership: values point into argv. */
#ifndef KAP_CLIENT_FLAGS_H
#define KAP_CLIENT_FLAGS_H

#include "base/buf.h"
#include "base/error.h"

enum kap_flag_kind {
    KAP_FLAG_END,
    KAP_FLAG_STRING, /* const char * */
    KAP_FLAG_BOOL,   /* bool */
    KAP_FLAG_LIST,   /* struct kap_flag_list: may be given several times */
};

struct kap_flag_list {
    const char *v[256];
    size_t n;
};

struct kap_flag {
    enum kap_flag_kind kind;
    const char *name;
    void *value;
    const char *doc;
};

/* Reads flags from args[0..n); *ret is the number of words used. KAP_EINVAL: "flag provided but not defined:
 * -x". */
enum kap_status kap_flags_parse(const struct kap_flag *flags, char **args, size_t n, size_t *ret,
                                struct kap_error *err);
/* Two lines for each flag, for help texts. */
void kap_flags_print(const struct kap_flag *flags, struct kap_buf *out);
/* "1", "t", "true", ..: as Go reads booleans. */
bool kap_flags_bool(const char *s, bool *ret);

#endif
