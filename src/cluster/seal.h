/* Seal and open: the one layer that all gossip bytes pass on their way out and in.
 *
 * Without keys it passes bytes through. With keys it is memberlist's encryption: AES-GCM with a 16, 24 or 32 byte
 * key, `version nonce(12) ciphertext tag(16)`; version 1 is plain GCM, version 0 pads to 16 bytes first. The first
 * key of the ring seals, every key opens. A label, when set, goes in front and is authenticated with the rest.
 * On streams `0a` and a length come first and are authenticated as well; answers carry no label header.
 * Ownership: plain data, embedded by value; kap_seal_done() wipes keys. Threads: one at a time.
 * Failure: what cannot be opened is KAP_EINVAL with a reason that names no secret. */
#ifndef KAP_CLUSTER_SEAL_H
#define KAP_CLUSTER_SEAL_H

#include "base/buf.h"

enum {
    KAP_SEAL_KEYS = 8, /* in a ring */
    KAP_SEAL_KEY_BYTES = 32,
    KAP_SEAL_LABEL_BYTES = 255,
    KAP_SEAL_OVERHEAD = 29, /* of version 1, in a datagram; the label costs 2 + its length more */
};

struct kap_seal_key {
    uint8_t bytes[KAP_SEAL_KEY_BYTES];
    uint8_t n; /* 16, 24 or 32 */
};

struct kap_seal {
    struct kap_seal_key keys[KAP_SEAL_KEYS];
    size_t n_keys;      /* 0: plain text */
    uint8_t label[KAP_SEAL_LABEL_BYTES];
    uint8_t label_n;    /* 0: none; stock serf agents know no labels */
    bool send_version0; /* for peers of memberlist protocol 1 */
    bool accept_plain;  /* while a cluster moves from plain text to keys */
    void (*nonce)(void *p, size_t n); /* NULL: the system's generator; tests set their own */
};

void kap_seal_done(struct kap_seal *s);

/* The ring. KAP_EINVAL: not 16, 24 or 32 bytes. KAP_ELIMIT: full. Adding a key that is there is fine. */
enum kap_status kap_seal_add_key(struct kap_seal *s, struct kap_str key, struct kap_error *err);
/* Makes a key of the ring the one that seals. KAP_ENOTFOUND. */
enum kap_status kap_seal_use_key(struct kap_seal *s, struct kap_str key, struct kap_error *err);
/* KAP_ESTATE: it is the one that seals. Removing a key that is not there is fine. */
enum kap_status kap_seal_remove_key(struct kap_seal *s, struct kap_str key, struct kap_error *err);

/* Bytes that sealing adds to a datagram. */
size_t kap_seal_overhead(const struct kap_seal *s);

/* Datagrams. *ret borrows from `in` or from `scratch`. */
void kap_seal_datagram(const struct kap_seal *s, struct kap_str message, struct kap_buf *out);
enum kap_status kap_open_datagram(const struct kap_seal *s, struct kap_str in, struct kap_buf *scratch,
                                  struct kap_str *ret, struct kap_error *err);

/* Streams. `dialled`: we opened the stream (label header). */
void kap_seal_stream(const struct kap_seal *s, struct kap_str message, bool dialled, struct kap_buf *out);

enum kap_open_result {
    KAP_OPEN_MORE,  /* not all there yet */
    KAP_OPEN_PLAIN, /* *ret is what there is so far of a plain message: its end is for the caller to find */
    KAP_OPEN_WHOLE, /* *ret is the whole message */
    KAP_OPEN_BAD,
};
/* `answer`: the stream was dialled by us, so no label header is expected. */
enum kap_open_result kap_open_stream(const struct kap_seal *s, struct kap_str in, bool answer,
                                     struct kap_buf *scratch, struct kap_str *ret, struct kap_error *err);

#endif
