#include "cluster/msgpack.h"
#include "base/mem.h"

/* ---- reading ---- */

static void fail(struct kap_msgpack_reader *r, enum kap_msgpack_state why)
{
    if (r->state == KAP_MSGPACK_OK)
        r->state = why;
}

static const uint8_t *take(struct kap_msgpack_reader *r, size_t n)
{
    if (r->state != KAP_MSGPACK_OK)
        return NULL;
    if (r->n - r->at < n) {
        fail(r, KAP_MSGPACK_MORE);
        return NULL;
    }
    const uint8_t *p = r->p + r->at;
    r->at += n;
    return p;
}

static uint64_t take_be(struct kap_msgpack_reader *r, size_t width)
{
    const uint8_t *p = take(r, width);
    uint64_t v = 0;
    for (size_t i = 0; p && i < width; i++)
        v = v << 8 | p[i];
    return v;
}

bool kap_msgpack_is_nil(const struct kap_msgpack_reader *r)
{
    return r->state == KAP_MSGPACK_OK && r->at < r->n && r->p[r->at] == 0xc0;
}

/* Counts of maps and lists: a fixed form of 16 values, then 16 and 32 bits. */
static uint32_t take_count(struct kap_msgpack_reader *r, uint8_t fix, uint8_t wide)
{
    const uint8_t *tag = take(r, 1);
    if (!tag || *tag == 0xc0)
        return 0;
    if ((*tag & 0xf0) == fix)
        return *tag & 0x0f;
    if (*tag == wide)
        return (uint32_t)take_be(r, 2);
    if (*tag == wide + 1)
        return (uint32_t)take_be(r, 4);
    fail(r, KAP_MSGPACK_BAD);
    return 0;
}

uint32_t kap_msgpack_map(struct kap_msgpack_reader *r)
{
    return take_count(r, 0x80, 0xde);
}

uint32_t kap_msgpack_array(struct kap_msgpack_reader *r)
{
    return take_count(r, 0x90, 0xdc);
}

/* Length of a text or byte string whose first byte is `tag`; SIZE_MAX if it is none. */
static size_t raw_length(struct kap_msgpack_reader *r, uint8_t tag)
{
    if ((tag & 0xe0) == 0xa0)
        return tag & 0x1f;
    switch (tag) {
    case 0xc4:
    case 0xd9:
        return (size_t)take_be(r, 1);
    case 0xc5:
    case 0xda:
        return (size_t)take_be(r, 2);
    case 0xc6:
    case 0xdb:
        return (size_t)take_be(r, 4);
    default:
        return SIZE_MAX;
    }
}

struct kap_str kap_msgpack_raw(struct kap_msgpack_reader *r)
{
    const uint8_t *tag = take(r, 1);
    if (!tag || *tag == 0xc0)
        return (struct kap_str){ NULL, 0 };
    const size_t n = raw_length(r, *tag);
    if (n == SIZE_MAX) {
        fail(r, KAP_MSGPACK_BAD);
        return (struct kap_str){ NULL, 0 };
    }
    const uint8_t *p = take(r, n);
    return p ? kap_strn((const char *)p, n) : (struct kap_str){ NULL, 0 };
}

/* Any integer. A negative one sets *negative and is returned as its two's complement. */
static uint64_t take_integer(struct kap_msgpack_reader *r, bool *negative)
{
    *negative = false;
    const uint8_t *tag = take(r, 1);
    if (!tag || *tag == 0xc0 || *tag == 0xc2)
        return 0;
    if (*tag < 0x80)
        return *tag;
    if (*tag == 0xc3)
        return 1;
    if (*tag >= 0xe0) {
        *negative = true;
        return (uint64_t)(int64_t)(int8_t)*tag;
    }
    if (*tag >= 0xcc && *tag <= 0xcf)
        return take_be(r, (size_t)1 << (*tag - 0xcc));
    if (*tag >= 0xd0 && *tag <= 0xd3) {
        const size_t width = (size_t)1 << (*tag - 0xd0);
        const unsigned shift = 64 - 8 * (unsigned)width;
        const int64_t v = (int64_t)(take_be(r, width) << shift) >> shift;
        *negative = v < 0;
        return (uint64_t)v;
    }
    fail(r, KAP_MSGPACK_BAD);
    return 0;
}

uint64_t kap_msgpack_uint(struct kap_msgpack_reader *r, uint64_t max)
{
    bool negative;
    const uint64_t v = take_integer(r, &negative);
    if (negative || v > max) {
        fail(r, KAP_MSGPACK_BAD);
        return 0;
    }
    return v;
}

int64_t kap_msgpack_int(struct kap_msgpack_reader *r)
{
    bool negative;
    const uint64_t v = take_integer(r, &negative);
    if (!negative && v > INT64_MAX) {
        fail(r, KAP_MSGPACK_BAD);
        return 0;
    }
    return (int64_t)v;
}

bool kap_msgpack_bool(struct kap_msgpack_reader *r)
{
    return kap_msgpack_uint(r, 1) != 0;
}

/* Consumes the head of one object and its scalar bytes; returns how many objects follow inside it. */
static uint64_t skip_head(struct kap_msgpack_reader *r)
{
    const uint8_t *p = take(r, 1);
    if (!p)
        return 0;
    const uint8_t tag = *p;
    static const uint8_t fixext[] = { 2, 3, 5, 9, 17 };
    if (tag < 0x80 || tag >= 0xe0)
        return 0;
    if (tag < 0x90)
        return 2 * (uint64_t)(tag & 0x0f);
    if (tag < 0xa0)
        return tag & 0x0f;
    switch (tag) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return 0;
    case 0xc7:
    case 0xc8:
    case 0xc9: {
        const uint64_t n = take_be(r, (size_t)1 << (tag - 0xc7));
        take(r, 1 + (size_t)n);
        return 0;
    }
    case 0xca:
        take(r, 4);
        return 0;
    case 0xcb:
        take(r, 8);
        return 0;
    case 0xdc:
    case 0xdd:
        return take_be(r, tag == 0xdc ? 2 : 4);
    case 0xde:
    case 0xdf:
        return 2 * take_be(r, tag == 0xde ? 2 : 4);
    default:
        break;
    }
    if (tag >= 0xcc && tag <= 0xd3) {
        take(r, (size_t)1 << ((tag - 0xcc) & 3));
        return 0;
    }
    if (tag >= 0xd4 && tag <= 0xd8) {
        take(r, fixext[tag - 0xd4]);
        return 0;
    }
    const size_t n = raw_length(r, tag);
    if (n == SIZE_MAX)
        fail(r, KAP_MSGPACK_BAD);
    else
        take(r, n);
    return 0;
}

struct kap_str kap_msgpack_skip(struct kap_msgpack_reader *r)
{
    const size_t start = r->at;
    /* A counter instead of recursion: nesting costs no stack. Each object takes a byte at least, so a count
     * beyond the bytes that are left can be given up early. */
    for (uint64_t todo = 1; todo > 0 && r->state == KAP_MSGPACK_OK;) {
        todo = todo - 1 + skip_head(r);
        if (r->state == KAP_MSGPACK_OK && todo > r->n - r->at)
            fail(r, KAP_MSGPACK_MORE);
    }
    if (r->state != KAP_MSGPACK_OK)
        return (struct kap_str){ NULL, 0 };
    return kap_strn((const char *)r->p + start, r->at - start);
}

static void get_vsn(struct kap_msgpack_reader *r, struct kap_msgpack_vsn *vsn)
{
    struct kap_msgpack_vsn got = { .n = 0 };
    if (r->at < r->n && ((r->p[r->at] & 0xf0) == 0x90 || r->p[r->at] == 0xdc)) {
        const uint32_t n = kap_msgpack_array(r);
        for (uint32_t i = 0; i < n && r->state == KAP_MSGPACK_OK; i++) {
            const uint8_t v = (uint8_t)kap_msgpack_uint(r, 255);
            if (i < sizeof got.v) {
                got.v[i] = v;
                got.n = (uint8_t)(i + 1);
            }
        }
    } else {
        const struct kap_str s = kap_msgpack_raw(r);
        got.n = (uint8_t)KAP_MIN(s.n, sizeof got.v);
        if (got.n)
            memcpy(got.v, s.p, got.n);
    }
    *vsn = got;
}

static void get_field(struct kap_msgpack_reader *r, const struct kap_msgpack_field *f, char *out)
{
    void *const at = out + f->offset;
    switch (f->type) {
    case KAP_MSGPACK_BOOL:
        *(bool *)at = kap_msgpack_bool(r);
        break;
    case KAP_MSGPACK_U8:
        *(uint8_t *)at = (uint8_t)kap_msgpack_uint(r, UINT8_MAX);
        break;
    case KAP_MSGPACK_U16:
        *(uint16_t *)at = (uint16_t)kap_msgpack_uint(r, UINT16_MAX);
        break;
    case KAP_MSGPACK_U32:
        *(uint32_t *)at = (uint32_t)kap_msgpack_uint(r, UINT32_MAX);
        break;
    case KAP_MSGPACK_U64:
        *(uint64_t *)at = kap_msgpack_uint(r, UINT64_MAX);
        break;
    case KAP_MSGPACK_I64:
        *(int64_t *)at = kap_msgpack_int(r);
        break;
    case KAP_MSGPACK_TEXT:
    case KAP_MSGPACK_BYTES:
        *(struct kap_str *)at = kap_msgpack_raw(r);
        break;
    case KAP_MSGPACK_ANY: {
        const bool nil = kap_msgpack_is_nil(r);
        const struct kap_str any = kap_msgpack_skip(r);
        *(struct kap_str *)at = nil ? (struct kap_str){ NULL, 0 } : any;
        break;
    }
    case KAP_MSGPACK_VSN:
        get_vsn(r, at);
        break;
    }
}

static const struct kap_msgpack_field *field_named(const struct kap_msgpack_struct *desc, struct kap_str name)
{
    for (size_t i = 0; i < desc->n; i++)
        if (kap_str_is(name, desc->fields[i].name))
            return &desc->fields[i];
    return NULL;
}

static const struct kap_msgpack_field *field_at(const struct kap_msgpack_struct *desc, uint32_t order)
{
    for (size_t i = 0; i < desc->n; i++)
        if (desc->fields[i].order == order)
            return &desc->fields[i];
    return NULL;
}

void kap_msgpack_get(struct kap_msgpack_reader *r, const struct kap_msgpack_struct *desc, void *out, size_t size)
{
    memset(out, 0, size);
    if (r->state != KAP_MSGPACK_OK)
        return;
    if (r->at >= r->n) {
        fail(r, KAP_MSGPACK_MORE);
        return;
    }
    const uint8_t tag = r->p[r->at];
    const bool list = (tag & 0xf0) == 0x90 || tag == 0xdc || tag == 0xdd;
    const uint32_t n = list ? kap_msgpack_array(r) : kap_msgpack_map(r);
    for (uint32_t i = 0; i < n && r->state == KAP_MSGPACK_OK; i++) {
        const struct kap_msgpack_field *f = list ? field_at(desc, i) : field_named(desc, kap_msgpack_raw(r));
        if (f)
            get_field(r, f, out);
        else
            kap_msgpack_skip(r);
    }
}

/* ---- writing ---- */

static void put_be(struct kap_buf *b, uint8_t tag, uint64_t v, size_t width)
{
    char bytes[9] = { (char)tag };
    for (size_t i = 0; i < width; i++)
        bytes[1 + i] = (char)(v >> 8 * (width - 1 - i));
    kap_buf_addn(b, bytes, 1 + width);
}

static void put_count(struct kap_buf *b, size_t n, uint8_t fix, uint8_t wide)
{
    if (n < 16)
        kap_buf_addc(b, (char)(fix | n));
    else if (n <= UINT16_MAX)
        put_be(b, wide, n, 2);
    else
        put_be(b, wide + 1, n, 4);
}

void kap_msgpack_put_map(struct kap_buf *b, size_t pairs)
{
    put_count(b, pairs, 0x80, 0xde);
}

void kap_msgpack_put_array(struct kap_buf *b, size_t n)
{
    put_count(b, n, 0x90, 0xdc);
}

void kap_msgpack_put_raw(struct kap_buf *b, struct kap_str s)
{
    if (s.n < 32)
        kap_buf_addc(b, (char)(0xa0 | s.n));
    else if (s.n <= UINT16_MAX)
        put_be(b, 0xda, s.n, 2);
    else
        put_be(b, 0xdb, s.n, 4);
    kap_buf_add(b, s);
}

void kap_msgpack_put_cstr(struct kap_buf *b, const char *s)
{
    kap_msgpack_put_raw(b, kap_str(s));
}

void kap_msgpack_put_uint(struct kap_buf *b, uint64_t u)
{
    if (u < 128)
        kap_buf_addc(b, (char)u);
    else if (u <= UINT8_MAX)
        put_be(b, 0xcc, u, 1);
    else if (u <= UINT16_MAX)
        put_be(b, 0xcd, u, 2);
    else if (u <= UINT32_MAX)
        put_be(b, 0xce, u, 4);
    else
        put_be(b, 0xcf, u, 8);
}

static void put_int(struct kap_buf *b, int64_t i)
{
    if (i >= 0)
        kap_msgpack_put_uint(b, (uint64_t)i);
    else if (i >= -32)
        kap_buf_addc(b, (char)i);
    else if (i >= INT8_MIN)
        put_be(b, 0xd0, (uint64_t)i, 1);
    else if (i >= INT16_MIN)
        put_be(b, 0xd1, (uint64_t)i, 2);
    else if (i >= INT32_MIN)
        put_be(b, 0xd2, (uint64_t)i, 4);
    else
        put_be(b, 0xd3, (uint64_t)i, 8);
}

void kap_msgpack_put_bool(struct kap_buf *b, bool v)
{
    kap_buf_addc(b, (char)(v ? 0xc3 : 0xc2));
}

void kap_msgpack_put_nil(struct kap_buf *b)
{
    kap_buf_addc(b, (char)0xc0);
}

static uint64_t field_uint(const struct kap_msgpack_field *f, const char *in)
{
    const void *const at = in + f->offset;
    switch (f->type) {
    case KAP_MSGPACK_BOOL:
        return *(const bool *)at;
    case KAP_MSGPACK_U8:
        return *(const uint8_t *)at;
    case KAP_MSGPACK_U16:
        return *(const uint16_t *)at;
    case KAP_MSGPACK_U32:
        return *(const uint32_t *)at;
    case KAP_MSGPACK_U64:
    case KAP_MSGPACK_I64:
        return *(const uint64_t *)at;
    case KAP_MSGPACK_TEXT:
    case KAP_MSGPACK_BYTES:
    case KAP_MSGPACK_ANY:
        return ((const struct kap_str *)at)->n;
    case KAP_MSGPACK_VSN:
        return ((const struct kap_msgpack_vsn *)at)->n;
    }
    return 0;
}

static void put_field(struct kap_buf *b, const struct kap_msgpack_field *f, const char *in)
{
    const struct kap_str *const s = (const void *)(in + f->offset);
    switch (f->type) {
    case KAP_MSGPACK_BOOL:
        kap_msgpack_put_bool(b, field_uint(f, in) != 0);
        break;
    case KAP_MSGPACK_U8:
    case KAP_MSGPACK_U16:
    case KAP_MSGPACK_U32:
    case KAP_MSGPACK_U64:
        kap_msgpack_put_uint(b, field_uint(f, in));
        break;
    case KAP_MSGPACK_I64:
        put_int(b, (int64_t)field_uint(f, in));
        break;
    case KAP_MSGPACK_TEXT:
        kap_msgpack_put_raw(b, *s);
        break;
    case KAP_MSGPACK_BYTES:
        if (s->p)
            kap_msgpack_put_raw(b, *s);
        else
            kap_msgpack_put_nil(b);
        break;
    case KAP_MSGPACK_ANY:
        if (s->p)
            kap_buf_add(b, *s);
        else
            kap_msgpack_put_nil(b);
        break;
    case KAP_MSGPACK_VSN: {
        const struct kap_msgpack_vsn *const vsn = (const void *)(in + f->offset);
        if (vsn->n)
            kap_msgpack_put_raw(b, kap_strn((const char *)vsn->v, vsn->n));
        else
            kap_msgpack_put_nil(b);
        break;
    }
    }
}

void kap_msgpack_put(struct kap_buf *b, const struct kap_msgpack_struct *desc, const void *in)
{
    size_t n = 0;
    for (size_t i = 0; i < desc->n; i++)
        n += !desc->fields[i].omit_empty || field_uint(&desc->fields[i], in) != 0;
    kap_msgpack_put_map(b, n);
    for (size_t i = 0; i < desc->n; i++) {
        const struct kap_msgpack_field *const f = &desc->fields[i];
        if (f->omit_empty && field_uint(f, in) == 0)
            continue;
        kap_msgpack_put_cstr(b, f->name);
        put_field(b, f, in);
    }
}
