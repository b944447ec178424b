#include "base/uuid.h"
#include <ctype.h>

static void format(const unsigned char bytes[16], kap_uuid out)
{
    static const char hex[] = "0123456789abcdef";
    char *p = out;
    for (int i = 0; i < 16; i++) {
        const unsigned char b = i == 6 ? (bytes[i] & 0x0f) | 0x40 : i == 8 ? (bytes[i] & 0x3f) | 0x80 : bytes[i];
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[b >> 4];
        *p++ = hex[b & 15];
    }
    *p = '\0';
}

void kap_uuid_new(kap_uuid out)
{
    unsigned char bytes[16];
    kap_random_system(bytes, sizeof bytes);
    format(bytes, out);
}

void kap_uuid_random(struct kap_random *r, kap_uuid out)
{
    const uint64_t words[2] = { kap_random_u64(r), kap_random_u64(r) };
    unsigned char bytes[16];
    memcpy(bytes, words, sizeof bytes);
    format(bytes, out);
}

bool kap_uuid_valid(struct kap_str s)
{
    if (s.n != KAP_UUID_LEN)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !isxdigit((unsigned char)s.p[i]))
            return false;
    }
    return true;
}
