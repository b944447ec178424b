#include "data/line_private.h"

#include "base/mem.h"
#include "base/number.h"

#include <stdatomic.h>
#include <math.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { FAST_FIELDS = KAP_LINE_GUESSES, FAST_KEY_MAX = 30000, SHOWN_LINE_MAX = 1700 };

/* ---- batches ---- */

void kap_line_batch_clear(struct kap_line_batch *b)
{
    if (b->pin)
        kap_series_unpin(b->cache, b->pin);
    b->pin = NULL;
    b->n = b->nfields = 0;
    if (b->text)
        kap_arena_reset(b->text);
}

void kap_line_batch_done(struct kap_line_batch *b)
{
    kap_line_batch_clear(b);
    kap_free(b->points);
    kap_free(b->fields);
    kap_arena_free(b->text);
    *b = (struct kap_line_batch){ 0 };
}

size_t kap_line_batch_bytes(const struct kap_line_batch *b)
{
    return b->cap * sizeof *b->points + b->cap_fields * sizeof *b->fields +
           (b->text ? kap_arena_bytes(b->text) : 0);
}

void kap_line_batch_point(const struct kap_line_batch *b, size_t i, struct kap_point *ret)
{
    const struct kap_line_point *p = &b->points[i];
    const struct kap_series *s = p->series;
    *ret = (struct kap_point){
        .time_ns = p->time_ns,
        .db = s->source->db,
        .rp = s->source->rp,
        .name = s->name,
        .tags = s->tags,
        .nfields = p->nfields,
        .fields = p->nfields ? b->fields + p->first : NULL,
    };
}

struct kap_field *kap_line_room(struct kap_line_batch *b, size_t n)
{
    KAP_GROW(b->fields, b->cap_fields, b->nfields + n);
    return b->fields + b->nfields;
}

struct kap_str kap_line_text(struct kap_line_batch *b, struct kap_str s)
{
    if (!b->text)
        b->text = kap_arena_new();
    char *p = (char *)kap_arena_raw(b->text, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return kap_strn(p, s.n);
}

void kap_line_push_point(struct kap_line_parser *lp, struct kap_series *s, int64_t time_ns, uint32_t nfields)
{
    struct kap_line_batch *b = lp->out;
    KAP_GROW(b->points, b->cap, b->n + 1);
    b->points[b->n++] = (struct kap_line_point){
        .series = s,
        .time_ns = time_ns,
        .first = (uint32_t)(b->nfields - nfields),
        .nfields = nfields,
        .series_id = s->id,
    };
}

/* ---- series ---- */

static void remember(struct kap_line_parser *lp, struct kap_series *s)
{
    if (lp->last && atomic_load_explicit(&lp->last->next_id, memory_order_relaxed) != s->id)
        atomic_store_explicit(&lp->last->next_id, s->id, memory_order_relaxed);
    lp->last = s;
    kap_series_prefetch(lp->cache, atomic_load_explicit(&s->next_id, memory_order_relaxed));
}

enum kap_status kap_line_series(struct kap_line_parser *lp, struct kap_str key, struct kap_series **ret,
                                struct kap_error *err)
{
    const uint64_t hash = kap_series_hash(lp->source, key);
    struct kap_series *s = kap_series_find(lp->cache, lp->source, key, hash);
    if (!s)
        KAP_TRY(kap_series_add(lp->cache, lp->source, key, hash, &s, err));
    remember(lp, s);
    *ret = s;
    return KAP_OK;
}

/* ---- the usual line ---- */

/* First space, backslash or newline from p on; end if there is none. */
static const char *find_key_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(' '), backslash = _mm_set1_epi8('\\'), newline = _mm_set1_epi8('\n');
    for (; end - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        const __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, space), _mm_cmpeq_epi8(v, backslash)),
                                         _mm_cmpeq_epi8(v, newline));
        const int mask = _mm_movemask_epi8(hit);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && *p != ' ' && *p != '\\' && *p != '\n')
        p++;
    return p;
}

static struct kap_series *fast_series(struct kap_line_parser *lp, const char **pp, const char *end)
{
    const char *p = *pp;
    struct kap_series *s = NULL;
    if (lp->last)
        s = kap_series_guess(lp->cache, lp->source,
                             atomic_load_explicit(&lp->last->next_id, memory_order_relaxed),
                             kap_strn(p, (size_t)(end - p)));
    if (!s) {
        const char *stop = find_key_end(p, end);
        if (stop == end || *stop != ' ')
            return NULL;
        const struct kap_str key = kap_strn(p, (size_t)(stop - p));
        s = kap_series_find(lp->cache, lp->source, key, kap_series_hash(lp->source, key));
    }
    if (!s || s->nkey > FAST_KEY_MAX)
        return NULL;
    remember(lp, s);
    *pp = p + s->nkey + 1;
    return s;
}

/* A key without any character that means something: NULL for the others. */
static const struct kap_sym *plain_key(struct kap_line_parser *lp, const char *p, const char *end)
{
    const char *start = p;
    for (; p < end && *p != '='; p++)
        if (*p == '\\' || *p == ' ' || *p == ',' || *p == '"' || *p == '\n' || *p == '\t' || *p == '\0')
            return NULL;
    if (p == end || p == start || p - start > FAST_KEY_MAX)
        return NULL;
    return kap_series_name(lp->cache, kap_strn(start, (size_t)(p - start)));
}

static inline bool ends_value(const char *p, const char *end)
{
    return p == end || *p == ',' || *p == ' ' || *p == '\n';
}

/* Eight digits at once; see D. Lemire, "Quickly parsing eight digits" (2018). Little endian. */
static inline bool eight_digits(const char *p, uint64_t *ret)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    if (((v & UINT64_C(0xf0f0f0f0f0f0f0f0)) |
         (((v + UINT64_C(0x0606060606060606)) & UINT64_C(0xf0f0f0f0f0f0f0f0)) >> 4)) !=
        UINT64_C(0x3333333333333333))
        return false;
    v = (v & UINT64_C(0x0f0f0f0f0f0f0f0f)) * 2561 >> 8;
    v = (v & UINT64_C(0x00ff00ff00ff00ff)) * 6553601 >> 16;
    *ret = (v & UINT64_C(0x0000ffff0000ffff)) * UINT64_C(42949672960001) >> 32;
    return true;
}

static inline const char *digits(const char *p, const char *end, uint64_t *m)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t eight;
    while (end - p >= 8 && eight_digits(p, &eight)) {
        *m = *m * 100000000 + eight;
        p += 8;
    }
#endif
    for (; p < end && (unsigned char)(*p - '0') < 10; p++)
        *m = *m * 10 + (unsigned char)(*p - '0');
    return p;
}

/* Powers of ten that a double holds exactly. */
static const double exact_power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

/* An integer part, a fraction, no exponent, at most 19 digits. A double made of two exact ones by one
 * division is correctly rounded (W. Clinger, "How to read floating point numbers accurately", 1990). */
static const char *fast_number(const char *p, const char *end, struct kap_value *v)
{
    const char *start = p;
    const bool negative = *p == '-';
    p += negative;
    uint64_t m = 0;
    const char *first = p;
    p = digits(p, end, &m);
    ptrdiff_t n = p - first, fraction = 0;
    if (p < end && *p == 'i') {
        if (n == 0 || n > 18 || !ends_value(p + 1, end))
            return NULL;
        *v = kap_value_i(negative ? -(int64_t)m : (int64_t)m);
        return p + 1;
    }
    if (p < end && *p == '.') {
        first = ++p;
        p = digits(p, end, &m);
        fraction = p - first;
        n += fraction;
    }
    if (n == 0 || n > 19 || !ends_value(p, end))
        return NULL;
    double f;
    if (m <= UINT64_C(1) << 53)
        f = negative ? -((double)m / exact_power[fraction]) : (double)m / exact_power[fraction];
    else if (!kap_number_parse(start, (size_t)(p - start), &f))
        return NULL;
    *v = kap_value_f(f);
    return p;
}

static const char *fast_string(struct kap_line_parser *lp, const char *p, const char *end,
                               struct kap_value *v)
{
    const char *start = ++p;
    while (p < end && *p != '"' && *p != '\\')
        p++;
    if (p == end || *p != '"' || !ends_value(p + 1, end))
        return NULL;
    const struct kap_str s = kap_strn(start, (size_t)(p - start));
    *v = kap_value_s(lp->opts->discard ? kap_strn("", 0) : kap_line_text(lp->out, s));
    return p + 1;
}

static const char *fast_bool(const char *p, const char *end, struct kap_value *v)
{
    const bool yes = *p == 't' || *p == 'T';
    *v = kap_value_b(yes);
    if (ends_value(p + 1, end))
        return p + 1;
    const ptrdiff_t n = yes ? 4 : 5;
    if (end - p < n || !ends_value(p + n, end))
        return NULL;
    const bool known = yes ? !memcmp(p, "true", 4) || !memcmp(p, "True", 4) || !memcmp(p, "TRUE", 4)
                           : !memcmp(p, "false", 5) || !memcmp(p, "False", 5) || !memcmp(p, "FALSE", 5);
    return known ? p + n : NULL;
}

static inline const char *fast_value(struct kap_line_parser *lp, const char *p, const char *end,
                                     struct kap_value *v)
{
    if (p == end)
        return NULL;
    switch (*p) {
    case '0' ... '9':
    case '-':
    case '.':
        return fast_number(p, end, v);
    case '"':
        return fast_string(lp, p, end, v);
    case 't':
    case 'T':
    case 'f':
    case 'F':
        return fast_bool(p, end, v);
    default:
        return NULL;
    }
}

static bool distinct(const struct kap_field *f, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (f[i].key == f[k].key)
                return false;
    return true;
}

/* Fields up to the space, newline or end behind them. */
static const char *fast_fields(struct kap_line_parser *lp, const char *p, const char *end,
                               struct kap_field *f, uint32_t *nfields)
{
    uint32_t n = 0;
    for (;; p++) {
        if (n == FAST_FIELDS)
            return NULL;
        const struct kap_sym *key = lp->keys[n];
        if (!key || (size_t)(end - p) <= key->n || p[key->n] != '=' || memcmp(p, key->s, key->n) != 0) {
            key = plain_key(lp, p, end);
            if (!key)
                return NULL;
            lp->keys[n] = key;
            lp->ndistinct = KAP_MIN(lp->ndistinct, n);
        }
        f[n].key = key;
        p = fast_value(lp, p + key->n + 1, end, &f[n].v);
        if (!p)
            return NULL;
        n++;
        if (p == end || *p != ',')
            break;
    }
    if (n > lp->ndistinct) {
        if (!distinct(f, n))
            return NULL;
        lp->ndistinct = n;
    }
    *nfields = n;
    return p;
}

static const char *fast_time(struct kap_line_parser *lp, const char *p, const char *end, int64_t *ret_ns)
{
    const bool negative = p < end && *p == '-';
    p += negative;
    uint64_t m = 0;
    const char *first = p;
    p = digits(p, end, &m);
    if (p == first || p - first > 19 || m > INT64_MAX || (p < end && *p != '\n'))
        return NULL;
    if (kap_line_time(negative ? -(int64_t)m : (int64_t)m, lp->opts->unit_ns, ret_ns, NULL) != KAP_OK)
        return NULL;
    return p;
}

/* A line in the form that nearly all have. Returns its end; NULL: it has another form, or is wrong. */
static const char *fast_line(struct kap_line_parser *lp, const char *p, const char *end)
{
    struct kap_series *s = fast_series(lp, &p, end);
    if (!s)
        return NULL;
    struct kap_line_batch *b = lp->out;
    struct kap_field *f = kap_line_room(b, FAST_FIELDS);
    uint32_t n;
    p = fast_fields(lp, p, end, f, &n);
    if (!p)
        return NULL;
    int64_t time_ns = lp->default_ns;
    if (p < end && *p == ' ') {
        p = fast_time(lp, p + 1, end, &time_ns);
        if (!p)
            return NULL;
    }
    if (lp->opts->discard)
        n = 0;
    b->nfields += n;
    kap_line_push_point(lp, s, time_ns, n);
    return p;
}

/* ---- bodies ---- */

struct kap_line_parser *kap_line_parser_new(void)
{
    return KAP_NEW(struct kap_line_parser);
}

void kap_line_parser_free(struct kap_line_parser *lp)
{
    if (!lp)
        return;
    kap_buf_done(&lp->scratch);
    kap_free(lp);
}

int64_t kap_line_precision(struct kap_str precision)
{
    static const struct {
        const char *name;
        int64_t unit_ns;
    } units[] = {
        { "u", 1000 },           { "ms", 1000000 },        { "s", 1000000000 },
        { "m", 60000000000 },    { "h", 3600000000000 },
    };
    for (size_t i = 0; i < KAP_COUNT(units); i++)
        if (kap_str_is(precision, units[i].name))
            return units[i].unit_ns;
    return 1;
}

static int64_t cut_to_unit(int64_t t_ns, int64_t unit_ns)
{
    const int64_t rest = t_ns % unit_ns;
    return t_ns - (rest < 0 ? rest + unit_ns : rest);
}

static enum kap_status careful_line(struct kap_line_parser *lp, const char *p, const char *stop,
                                    struct kap_error *err)
{
    const struct kap_str line = kap_strn(p, (size_t)(stop - p));
    if (line.n == 0 || line.p[0] == '#')
        return KAP_OK;
    struct kap_error why;
    const enum kap_status st = kap_line_careful(lp, line, &why);
    if (st == KAP_OK)
        return KAP_OK;
    const struct kap_str shown = kap_strn(line.p, KAP_MIN(line.n, (size_t)SHOWN_LINE_MAX));
    return kap_fail(err, st, "unable to parse '%.*s%s': %.*s", KAP_STR_ARG(shown),
                    shown.n < line.n ? "..." : "", KAP_ERROR_BYTES - SHOWN_LINE_MAX - 40, why.msg);
}

static enum kap_status parse_body(struct kap_line_parser *lp, struct kap_str body, struct kap_error *err)
{
    const char *p = body.p, *end = body.p + body.n;
    for (; p < end; p++) {
        const char *start = p;
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\0'))
            p++;
        if (p == end || *p == '\n')
            continue;
        const char *next = p != start || *p == '#' || lp->opts->careful ? NULL : fast_line(lp, p, end);
        if (!next) {
            next = kap_line_end(start, end);
            KAP_TRY(careful_line(lp, p, KAP_MAX(next, p), err));
        }
        p = next;
    }
    return KAP_OK;
}

enum kap_status kap_line_parse(struct kap_line_parser *lp, struct kap_series_cache *cache,
                               const struct kap_source *source, struct kap_str body,
                               const struct kap_line_options *opts, struct kap_line_batch *out,
                               struct kap_error *err)
{
    kap_line_batch_clear(out);
    out->cache = cache;
    out->pin = kap_series_pin(cache);
    lp->cache = cache;
    lp->source = source;
    lp->opts = opts;
    lp->out = out;
    lp->last = NULL;
    lp->default_ns = cut_to_unit(opts->now_ns, opts->unit_ns);
    kap_series_lock(cache);
    const enum kap_status st = parse_body(lp, body, err);
    kap_series_unlock(cache);
    if (st != KAP_OK)
        kap_line_batch_clear(out);
    return st;
}

/* ---- writing ---- */

static void write_escaped(struct kap_buf *b, struct kap_str s, const char *special)
{
    for (size_t i = 0; i < s.n; i++) {
        if (strchr(special, s.p[i]) && s.p[i])
            kap_buf_addc(b, '\\');
        kap_buf_addc(b, s.p[i]);
    }
}

static void write_value(struct kap_buf *b, const struct kap_value *v)
{
    switch (v->type) {
    case KAP_FLOAT:
        kap_number_format(b, v->f, 'f', -1);
        break;
    case KAP_INT:
    case KAP_DURATION:
    case KAP_TIME:
        kap_number_i64(b, v->i);
        kap_buf_addc(b, 'i');
        break;
    case KAP_BOOL:
        kap_buf_adds(b, v->b ? "true" : "false");
        break;
    case KAP_STRING:
        kap_buf_addc(b, '"');
        write_escaped(b, v->s, "\"\\");
        kap_buf_addc(b, '"');
        break;
    case KAP_REGEX:
    case KAP_MISSING:
        break;
    }
}

static bool writable(const struct kap_value *v)
{
    return v->type != KAP_MISSING && v->type != KAP_REGEX && !(v->type == KAP_FLOAT && !isfinite(v->f));
}

void kap_line_write(struct kap_buf *b, const struct kap_point *p, int64_t unit_ns)
{
    bool any = false;
    for (uint32_t i = 0; i < p->nfields; i++)
        any = any || writable(&p->fields[i].v);
    if (!any)
        return;
    write_escaped(b, kap_sym_str(p->name), ", ");
    for (uint32_t i = 0; i < p->tags->n; i++) {
        const struct kap_tag *t = &p->tags->v[i];
        if (t->val.n == 0)
            continue;
        kap_buf_addc(b, ',');
        write_escaped(b, kap_sym_str(t->key), ",= ");
        kap_buf_addc(b, '=');
        write_escaped(b, t->val, ",= ");
    }
    char before = ' ';
    for (uint32_t i = 0; i < p->nfields; i++) {
        if (!writable(&p->fields[i].v))
            continue;
        kap_buf_addc(b, before);
        before = ',';
        write_escaped(b, kap_sym_str(p->fields[i].key), ",= \"");
        kap_buf_addc(b, '=');
        write_value(b, &p->fields[i].v);
    }
    kap_buf_addc(b, ' ');
    kap_number_i64(b, p->time_ns / unit_ns);
    kap_buf_addc(b, '\n');
}
