/* Regular expressions: "PATTERN\nTEXT". Whatever is accepted must compile in PCRE2, and end; a pattern without
 * special characters is a substring search. */
#include "base/buf.h"
#include "lambda/regex.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool plain(struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr("\\.+*?()|[]{}^$", s.p[i]) || (s.p[i] & 0x80))
            return false;
    return true;
}

static void check(struct kap_str pattern, struct kap_str text)
{
    struct kap_error err;
    struct kap_regex *re;
    if (kap_regex_new(pattern, &re, &err) != KAP_OK) {
        if (strncmp(err.msg, "error parsing regexp: ", 22) != 0)
            abort();
        return;
    }
    bool match = false, again = false;
    const enum kap_status status = kap_regex_match(re, text, &match, &err);
    if (status != KAP_OK && status != KAP_ELIMIT)
        abort();
    if (status == KAP_OK && kap_regex_match(re, text, &again, &err) == KAP_OK && again != match)
        abort();
    if (plain(pattern) && match != (memmem(text.p, text.n, pattern.p, pattern.n) != NULL))
        abort();
    KAP_AUTO_BUF struct kap_buf out = { .max = 1 << 20 };
    (void)!kap_regex_replace(re, text, KAP_STR("<$1${x}$$>"), &out, &err);
    kap_regex_unref(re);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    const char *line = size ? memchr(p, '\n', size) : NULL;
    const size_t n = line ? (size_t)(line - p) : size;
    if (n > 200)
        return 0;
    check(kap_strn(size ? p : "", n), line ? kap_strn(line + 1, size - n - 1) : KAP_STR(""));
    return 0;
}
