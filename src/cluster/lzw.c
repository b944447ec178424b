#include "cluster/lzw.h"

enum { CLEAR = 256, END = 257, FIRST = 258, TABLE = 4096, MIN_WIDTH = 9, MAX_WIDTH = 12 };

struct bit_reader {
    const uint8_t *p, *end;
    uint32_t bits;
    unsigned n;
};

/* The next code, or -1 at the end of the input. */
static int read_code(struct bit_reader *r, unsigned width)
{
    while (r->n < width) {
        if (r->p == r->end)
            return -1;
        r->bits |= (uint32_t)*r->p++ << r->n;
        r->n += 8;
    }
    const int code = (int)(r->bits & ((1U << width) - 1));
    r->bits >>= width;
    r->n -= width;
    return code;
}

struct decoder {
    uint16_t prefix[TABLE];
    uint8_t suffix[TABLE];
    uint16_t length[TABLE]; /* of the string that a code stands for */
    unsigned next, width;
    int prev;
    uint8_t prev_first;
};

static void decoder_init(struct decoder *d)
{
    for (unsigned i = 0; i < CLEAR; i++)
        d->length[i] = 1;
    d->length[CLEAR] = d->length[END] = 0;
}

static void decoder_clear(struct decoder *d)
{
    d->next = FIRST;
    d->width = MIN_WIDTH;
    d->prev = -1;
}

/* Writes the string of `code` to the end of `out`; its first byte is returned through *first. */
static bool emit(const struct decoder *d, int code, struct kap_buf *out, uint8_t *first)
{
    const size_t n = d->length[code];
    char *at = kap_buf_reserve(out, n);
    if (!at)
        return false;
    for (size_t i = n; i-- > 1; code = d->prefix[code])
        at[i] = (char)d->suffix[code];
    at[0] = (char)code;
    *first = (uint8_t)code;
    out->n += n;
    return true;
}

static void decoder_learn(struct decoder *d, int prev, uint8_t suffix)
{
    if (d->next >= TABLE)
        return;
    d->prefix[d->next] = (uint16_t)prev;
    d->suffix[d->next] = suffix;
    d->length[d->next] = (uint16_t)(d->length[prev] + 1);
    d->next++;
}

/* One code that is no control code. False: damaged. */
static bool decode_string(struct decoder *d, int code, struct kap_buf *out)
{
    if (d->prev < 0) {
        if (code >= CLEAR)
            return false;
        d->prev_first = (uint8_t)code;
        kap_buf_addc(out, (char)code);
    } else if (code < CLEAR || (code >= FIRST && (unsigned)code < d->next)) {
        uint8_t first;
        if (!emit(d, code, out, &first))
            return true; /* the limit: told by out->failed */
        decoder_learn(d, d->prev, first);
        d->prev_first = first;
    } else if ((unsigned)code == d->next && d->next < TABLE) {
        uint8_t first;
        decoder_learn(d, d->prev, d->prev_first);
        if (!emit(d, code, out, &first))
            return true;
    } else {
        return false;
    }
    d->prev = code;
    if (d->next >= 1U << d->width && d->width < MAX_WIDTH)
        d->width++;
    return true;
}

enum kap_status kap_lzw_decode(struct kap_str in, size_t limit_bytes, struct kap_buf *out, struct kap_error *err)
{
    const uint8_t *const p = in.n ? (const uint8_t *)in.p : (const uint8_t *)"";
    struct bit_reader r = { .p = p, .end = p + in.n };
    struct decoder d;
    decoder_init(&d);
    decoder_clear(&d);
    const size_t before = out->n;
    bool complete = false, good = true;
    while (good && !complete && out->n - before <= limit_bytes && !out->failed) {
        const int code = read_code(&r, d.width);
        if (code == CLEAR)
            decoder_clear(&d);
        else if (code == END)
            complete = true;
        else
            good = code >= 0 && decode_string(&d, code, out);
    }
    const bool too_long = out->n - before > limit_bytes || out->failed;
    if (complete && good && !too_long)
        return KAP_OK;
    out->n = before;
    out->failed = false;
    if (too_long)
        return kap_fail(err, KAP_ELIMIT, "compressed data is longer than %zu bytes", limit_bytes);
    return kap_fail(err, KAP_EINVAL, "damaged compressed data");
}

struct bit_writer {
    struct kap_buf *out;
    uint32_t bits;
    unsigned n;
};

static void write_code(struct bit_writer *w, unsigned code, unsigned width)
{
    w->bits |= code << w->n;
    w->n += width;
    for (; w->n >= 8; w->n -= 8, w->bits >>= 8)
        kap_buf_addc(w->out, (char)w->bits);
}

enum { SLOTS = 2 * TABLE };

/* The writer's table of known strings, and where it stands in the code space. */
struct encoder {
    struct bit_writer w;
    uint32_t key[SLOTS]; /* prefix << 8 | byte, plus one; 0: free */
    uint16_t code[SLOTS];
    unsigned last; /* the newest code given out */
    unsigned width;
};

static void encoder_clear(struct encoder *e)
{
    memset(e->key, 0, sizeof e->key);
    e->last = FIRST - 1;
    e->width = MIN_WIDTH;
}

/* The slot that holds (prefix, byte), or the free one where it belongs. */
static unsigned find_slot(const struct encoder *e, uint32_t key)
{
    unsigned i = (key * 2654435761U) >> 19;
    while (e->key[i] && e->key[i] != key)
        i = (i + 1) % SLOTS;
    return i;
}

/* Writes one code and moves on in the code space; true: it was used up and starts over. */
static bool encoder_put(struct encoder *e, unsigned code)
{
    write_code(&e->w, code, e->width);
    e->last++;
    if (e->last == 1U << e->width)
        e->width++;
    if (e->last < TABLE - 1)
        return false;
    write_code(&e->w, CLEAR, e->width);
    encoder_clear(e);
    return true;
}

void kap_lzw_encode(struct kap_str in, struct kap_buf *out)
{
    struct encoder e = { .w = { .out = out } };
    encoder_clear(&e);
    write_code(&e.w, CLEAR, e.width);
    unsigned prefix = in.n > 0 ? (uint8_t)in.p[0] : 0;
    for (size_t i = 1; i < in.n; i++) {
        const uint8_t byte = (uint8_t)in.p[i];
        const uint32_t key = ((uint32_t)prefix << 8 | byte) + 1;
        const unsigned slot = find_slot(&e, key);
        if (e.key[slot]) {
            prefix = e.code[slot];
            continue;
        }
        const bool restarted = encoder_put(&e, prefix);
        prefix = byte;
        if (!restarted) {
            e.key[slot] = key;
            e.code[slot] = (uint16_t)e.last;
        }
    }
    if (in.n > 0)
        encoder_put(&e, prefix);
    write_code(&e.w, END, e.width);
    if (e.w.n > 0)
        kap_buf_addc(out, (char)e.w.bits);
}
