/* MessagePack in the dialect of the gossip wire: structs described by tables, the old raw family.
 *
 * Writing is byte-identical to go-msgpack 0.5.5: no str8, no bin; text and bytes are fixraw, raw16 or raw32;
 * integers of any sign use the shortest unsigned form; keys in byte order. Reading takes what either codec
 * generation sends: any integer width, str8 and bin, structs as maps in any order or as arrays in declaration
 * order; unknown keys are skipped.
 * Ownership: decoded text borrows from the input. Memory: none is allocated, whatever the input claims.
 * Failure: a reader is sticky; `state` tells "needs more bytes" from "can never become valid". */
#ifndef KAP_CLUSTER_MSGPACK_H
#define KAP_CLUSTER_MSGPACK_H

#include "base/buf.h"

enum kap_msgpack_state { KAP_MSGPACK_OK, KAP_MSGPACK_MORE, KAP_MSGPACK_BAD };

struct kap_msgpack_reader {
    const uint8_t *p;
    size_t n, at;
    enum kap_msgpack_state state;
};

static inline struct kap_msgpack_reader kap_msgpack_reader(struct kap_str in)
{
    return (struct kap_msgpack_reader){ .p = (const uint8_t *)(in.n ? in.p : ""), .n = in.n };
}

/* Each returns a zero value once the reader has failed. nil reads as zero, empty or no elements. */
uint32_t kap_msgpack_map(struct kap_msgpack_reader *r);   /* number of pairs */
uint32_t kap_msgpack_array(struct kap_msgpack_reader *r); /* number of elements */
struct kap_str kap_msgpack_raw(struct kap_msgpack_reader *r);
uint64_t kap_msgpack_uint(struct kap_msgpack_reader *r, uint64_t max); /* above max or negative: BAD */
int64_t kap_msgpack_int(struct kap_msgpack_reader *r);
bool kap_msgpack_bool(struct kap_msgpack_reader *r);
struct kap_str kap_msgpack_skip(struct kap_msgpack_reader *r); /* one object of any kind; its bytes */
bool kap_msgpack_is_nil(const struct kap_msgpack_reader *r);   /* the next object; not consumed */

void kap_msgpack_put_map(struct kap_buf *b, size_t pairs);
void kap_msgpack_put_array(struct kap_buf *b, size_t n);
void kap_msgpack_put_raw(struct kap_buf *b, struct kap_str s);
void kap_msgpack_put_cstr(struct kap_buf *b, const char *s);
void kap_msgpack_put_uint(struct kap_buf *b, uint64_t u);
void kap_msgpack_put_bool(struct kap_buf *b, bool v);
void kap_msgpack_put_nil(struct kap_buf *b);

/* What a field of a described struct holds; in brackets the C type at its offset. */
enum kap_msgpack_type {
    KAP_MSGPACK_BOOL,  /* bool */
    KAP_MSGPACK_U8,    /* uint8_t */
    KAP_MSGPACK_U16,   /* uint16_t */
    KAP_MSGPACK_U32,   /* uint32_t */
    KAP_MSGPACK_U64,   /* uint64_t */
    KAP_MSGPACK_I64,   /* int64_t */
    KAP_MSGPACK_TEXT,  /* struct kap_str; written as raw also when empty */
    KAP_MSGPACK_BYTES, /* struct kap_str; p == NULL is nil */
    KAP_MSGPACK_ANY,   /* struct kap_str: one encoded object, taken and written as it is; p == NULL is nil */
    KAP_MSGPACK_VSN,   /* struct kap_msgpack_vsn */
};

/* Six protocol numbers; n = 0: absent. Also read from a list of integers. */
struct kap_msgpack_vsn {
    uint8_t v[6];
    uint8_t n;
};

struct kap_msgpack_field {
    const char *name;
    enum kap_msgpack_type type;
    uint16_t offset;
    uint8_t order;   /* place in declaration order, for structs that come as arrays */
    bool omit_empty; /* left out when zero or empty */
};

/* Fields in byte order of their names. */
struct kap_msgpack_struct {
    const struct kap_msgpack_field *fields;
    size_t n;
};

/* Reads one object into *out, whose fields the caller has zeroed (kap_msgpack_get does it when `size` is given). */
void kap_msgpack_get(struct kap_msgpack_reader *r, const struct kap_msgpack_struct *desc, void *out, size_t size);
void kap_msgpack_put(struct kap_buf *b, const struct kap_msgpack_struct *desc, const void *in);

#endif
