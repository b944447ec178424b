/* Version 4 UUIDs (RFC 4122) in their 36-character text form. */
#ifndef KAP_BASE_UUID_H
#define KAP_BASE_UUID_H

#include "base/random.h"
#include "base/str.h"

#define KAP_UUID_LEN 36
typedef char kap_uuid[KAP_UUID_LEN + 1];

void kap_uuid_new(kap_uuid out);                             /* from the system's generator */
void kap_uuid_random(struct kap_random *r, kap_uuid out);    /* from a seeded one */
bool kap_uuid_valid(struct kap_str s);

#endif
