#include "alert/event.h"
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"

static const char *const level_names[] = { "OK", "INFO", "WARNING", "CRITICAL" };

const char *kap_level_name(enum kap_level l)
{
    return level_names[l];
}

bool kap_level_parse(struct kap_str s, enum kap_level *ret)
{
    static const struct {
        const char *name;
        enum kap_level level;
    } known[] = {
        { "OK", KAP_LEVEL_OK },           { "INFO", KAP_LEVEL_INFO },         { "WARN", KAP_LEVEL_WARNING },
        { "WARNING", KAP_LEVEL_WARNING }, { "CRIT", KAP_LEVEL_CRITICAL },     { "CRITICAL", KAP_LEVEL_CRITICAL },
    };
    for (size_t i = 0; i < KAP_COUNT(known); i++) {
        if (strlen(known[i].name) == s.n && strncasecmp(known[i].name, s.p, s.n) == 0) {
            *ret = known[i].level;
            return true;
        }
    }
    return false;
}

struct kap_event *kap_event_new(void)
{
    struct kap_event *ev = KAP_NEW(struct kap_event);
    atomic_init(&ev->refs, 1);
    ev->arena = kap_arena_new();
    ev->tags = kap_tags_ref(kap_tags_empty);
    return ev;
}

struct kap_event *kap_event_ref(struct kap_event *ev)
{
    atomic_fetch_add_explicit(&ev->refs, 1, memory_order_relaxed);
    return ev;
}

void kap_event_unref(struct kap_event *ev)
{
    if (!ev || atomic_fetch_sub_explicit(&ev->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (ev->origin) {
        kap_event_unref(ev->origin);
    } else {
        for (size_t i = 0; i < ev->nrows; i++)
            kap_row_free(ev->rows[i]);
        kap_tags_unref(ev->tags);
    }
    kap_arena_free(ev->arena);
    kap_free(ev);
}

struct kap_event *kap_event_derive(struct kap_event *ev, struct kap_str topic)
{
    struct kap_event *d = KAP_NEW(struct kap_event);
    *d = *ev;
    atomic_init(&d->refs, 1);
    d->arena = kap_arena_new();
    d->topic = kap_arena_str(d->arena, topic);
    d->origin = kap_event_ref(ev->origin ? ev->origin : ev);
    return d;
}

/* --- JSON --- */

bool kap_event_data_json(const struct kap_event *ev, struct kap_json *j)
{
    bool good = true;
    kap_json_object(j);
    kap_json_key(j, "series");
    if (ev->nrows == 0) {
        kap_json_null(j);
    } else {
        kap_json_array(j);
        for (size_t i = 0; i < ev->nrows; i++)
            good &= kap_row_json(ev->rows[i], j);
        kap_json_array_end(j);
    }
    kap_json_object_end(j);
    return good;
}

bool kap_event_json(const struct kap_event *ev, struct kap_json *j)
{
    kap_json_object(j);
    kap_json_key(j, "id");
    kap_json_str(j, ev->id);
    kap_json_key(j, "message");
    kap_json_str(j, ev->message);
    kap_json_key(j, "details");
    kap_json_str(j, ev->details);
    kap_json_key(j, "time");
    kap_json_time(j, ev->time_ns);
    kap_json_key(j, "duration");
    kap_json_i64(j, ev->duration_ns);
    kap_json_key(j, "level");
    kap_json_cstr(j, kap_level_name(ev->level));
    kap_json_key(j, "data");
    const bool good = kap_event_data_json(ev, j);
    kap_json_key(j, "previousLevel");
    kap_json_cstr(j, kap_level_name(ev->previous));
    kap_json_key(j, "recoverable");
    kap_json_bool(j, ev->recoverable);
    kap_json_object_end(j);
    return good;
}

/* --- binary form --- */

#define EVENT_VERSION 1
#define EVENT_SERIES 16384 /* more in one event are refused when reading */

enum { FLAG_RECOVERABLE = 1, FLAG_NO_EXTERNAL = 2 };

static void put_u64(struct kap_buf *b, uint64_t u)
{
    while (u >= 0x80) {
        kap_buf_addc(b, (char)(0x80 | (u & 0x7f)));
        u >>= 7;
    }
    kap_buf_addc(b, (char)u);
}

static void put_i64(struct kap_buf *b, int64_t i)
{
    put_u64(b, ((uint64_t)i << 1) ^ (i < 0 ? UINT64_MAX : 0));
}

static void put_str(struct kap_buf *b, struct kap_str s)
{
    put_u64(b, s.n);
    kap_buf_add(b, s);
}

static void put_value(struct kap_buf *b, const struct kap_value *v)
{
    const enum kap_type type = v->type == KAP_REGEX ? KAP_MISSING : v->type;
    kap_buf_addc(b, (char)type);
    switch (type) {
    case KAP_FLOAT:
        kap_buf_addn(b, &v->f, sizeof v->f);
        return;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        put_i64(b, v->i);
        return;
    case KAP_STRING:
        put_str(b, v->s);
        return;
    case KAP_BOOL:
        kap_buf_addc(b, (char)v->b);
        return;
    case KAP_MISSING:
    case KAP_REGEX:
        return;
    }
}

static void put_tags(struct kap_buf *b, const struct kap_tags *t)
{
    put_u64(b, t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        put_str(b, kap_sym_str(t->v[i].key));
        put_str(b, t->v[i].val);
    }
}

static void put_row(struct kap_buf *b, const struct kap_row *r)
{
    put_str(b, kap_sym_str(r->name));
    put_tags(b, r->tags);
    put_u64(b, r->ncolumns);
    for (size_t i = 0; i < r->ncolumns; i++)
        put_str(b, r->columns[i]);
    put_u64(b, r->nvalues);
    for (size_t i = 0; i < r->nvalues * r->ncolumns; i++)
        put_value(b, &r->values[i]);
}

void kap_event_encode(const struct kap_event *ev, struct kap_buf *out)
{
    kap_buf_addc(out, EVENT_VERSION);
    const struct kap_str strings[] = { ev->topic,   ev->task,    ev->node, ev->run,   ev->id,
                                       ev->message, ev->details, ev->name, ev->group, ev->category };
    for (size_t i = 0; i < KAP_COUNT(strings); i++)
        put_str(out, strings[i]);
    put_i64(out, ev->time_ns);
    put_i64(out, ev->duration_ns);
    put_u64(out, ev->nth);
    put_u64(out, ev->sequence);
    kap_buf_addc(out, (char)ev->level);
    kap_buf_addc(out, (char)ev->previous);
    kap_buf_addc(out, (char)((ev->recoverable ? FLAG_RECOVERABLE : 0) | (ev->no_external ? FLAG_NO_EXTERNAL : 0)));
    put_tags(out, ev->tags);
    put_u64(out, ev->nfields);
    for (size_t i = 0; i < ev->nfields; i++) {
        put_str(out, kap_sym_str(ev->fields[i].key));
        put_value(out, &ev->fields[i].v);
    }
    put_u64(out, ev->nrows);
    for (size_t i = 0; i < ev->nrows; i++)
        put_row(out, ev->rows[i]);
}

struct reader {
    struct kap_str in;
    struct kap_arena *arena;
    const char *bad; /* what was being read when it went wrong; NULL: nothing yet */
};

static void fail_at(struct reader *r, const char *what)
{
    if (!r->bad)
        r->bad = what;
    r->in.n = 0;
}

static uint8_t get_byte(struct reader *r, const char *what)
{
    if (r->in.n == 0) {
        fail_at(r, what);
        return 0;
    }
    const uint8_t c = (uint8_t)*r->in.p;
    r->in.p++;
    r->in.n--;
    return c;
}

static uint64_t get_u64(struct reader *r, const char *what)
{
    uint64_t u = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t c = get_byte(r, what);
        if (shift == 63 && c > 1)
            break;
        u |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return r->bad ? 0 : u;
    }
    fail_at(r, what);
    return 0;
}

static int64_t get_i64(struct reader *r, const char *what)
{
    const uint64_t u = get_u64(r, what);
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

/* A number of things that take at least one byte each. */
static size_t get_count(struct reader *r, const char *what)
{
    const uint64_t n = get_u64(r, what);
    if (n > r->in.n) {
        fail_at(r, what);
        return 0;
    }
    return (size_t)n;
}

static struct kap_str get_bytes(struct reader *r, const char *what)
{
    const size_t n = get_count(r, what);
    if (r->bad)
        return KAP_STR("");
    const struct kap_str s = kap_strn(r->in.p, n);
    r->in.p += n;
    r->in.n -= n;
    return s;
}

static struct kap_str get_str(struct reader *r, struct kap_arena *arena, const char *what)
{
    return kap_arena_str(arena, get_bytes(r, what));
}

static enum kap_level get_level(struct reader *r)
{
    const uint8_t l = get_byte(r, "level");
    if (l > KAP_LEVEL_CRITICAL) {
        fail_at(r, "level");
        return KAP_LEVEL_OK;
    }
    return (enum kap_level)l;
}

static struct kap_value get_value(struct reader *r, struct kap_arena *arena)
{
    struct kap_value v = { .type = (enum kap_type)get_byte(r, "value") };
    switch (v.type) {
    case KAP_MISSING:
        break;
    case KAP_FLOAT:
        if (r->in.n < sizeof v.f) {
            fail_at(r, "value");
            break;
        }
        memcpy(&v.f, r->in.p, sizeof v.f);
        r->in.p += sizeof v.f;
        r->in.n -= sizeof v.f;
        break;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        v.i = get_i64(r, "value");
        break;
    case KAP_STRING:
        v.s = get_str(r, arena, "value");
        break;
    case KAP_BOOL:
        v.b = get_byte(r, "value") != 0;
        break;
    case KAP_REGEX:
    default:
        fail_at(r, "type of a value");
        v = (struct kap_value){ .type = KAP_MISSING };
        break;
    }
    return v;
}

/* Owned, never NULL. */
static const struct kap_tags *get_tags(struct reader *r)
{
    const size_t n = get_count(r, "tags");
    struct kap_tag *v = KAP_ARRAY(struct kap_tag, n + 1);
    size_t got = 0;
    for (; got < n && !r->bad; got++) {
        v[got].key = kap_sym(get_bytes(r, "tag key"));
        v[got].val = get_bytes(r, "tag value");
    }
    const struct kap_tags *t = r->bad ? kap_tags_ref(kap_tags_empty) : kap_tags_new(v, got);
    kap_free(v);
    return t;
}

static struct kap_row *get_row(struct reader *r)
{
    struct kap_row *row = KAP_NEW(struct kap_row);
    row->arena = kap_arena_new();
    row->name = kap_sym(get_bytes(r, "series name"));
    row->tags = get_tags(r);
    row->ncolumns = get_count(r, "columns");
    row->columns = KAP_ARENA_ARRAY(row->arena, struct kap_str, row->ncolumns + 1);
    for (size_t i = 0; i < row->ncolumns && !r->bad; i++)
        row->columns[i] = get_str(r, row->arena, "column");
    row->nvalues = get_count(r, "rows");
    if (row->ncolumns == 0 ? row->nvalues != 0 : row->nvalues > r->in.n / row->ncolumns)
        fail_at(r, "rows");
    if (r->bad) {
        row->ncolumns = row->nvalues = 0;
        return row;
    }
    row->values = KAP_ARENA_ARRAY(row->arena, struct kap_value, row->nvalues * row->ncolumns + 1);
    for (size_t i = 0; i < row->nvalues * row->ncolumns && !r->bad; i++)
        row->values[i] = get_value(r, row->arena);
    return row;
}

static void get_head(struct reader *r, struct kap_event *ev)
{
    struct kap_str *const strings[] = { &ev->topic,   &ev->task,    &ev->node, &ev->run,   &ev->id,
                                        &ev->message, &ev->details, &ev->name, &ev->group, &ev->category };
    for (size_t i = 0; i < KAP_COUNT(strings); i++)
        *strings[i] = get_str(r, ev->arena, "text");
    ev->time_ns = get_i64(r, "time");
    ev->duration_ns = get_i64(r, "duration");
    const uint64_t nth = get_u64(r, "number");
    if (nth > UINT32_MAX)
        fail_at(r, "number");
    ev->nth = (uint32_t)nth;
    ev->sequence = get_u64(r, "sequence");
    ev->level = get_level(r);
    ev->previous = get_level(r);
    const uint8_t flags = get_byte(r, "flags");
    ev->recoverable = flags & FLAG_RECOVERABLE;
    ev->no_external = flags & FLAG_NO_EXTERNAL;
}

static void get_body(struct reader *r, struct kap_event *ev)
{
    kap_tags_unref(ev->tags);
    ev->tags = get_tags(r);
    const size_t nfields = get_count(r, "fields");
    ev->fields = KAP_ARENA_ARRAY(ev->arena, struct kap_field, nfields + 1);
    for (; ev->nfields < nfields && !r->bad; ev->nfields++) {
        ev->fields[ev->nfields].key = kap_sym(get_bytes(r, "field key"));
        ev->fields[ev->nfields].v = get_value(r, ev->arena);
    }
    const size_t nrows = get_count(r, "series");
    if (nrows > EVENT_SERIES)
        fail_at(r, "number of series");
    if (r->bad)
        return;
    ev->rows = KAP_ARENA_ARRAY(ev->arena, struct kap_row *, nrows + 1);
    while (ev->nrows < nrows && !r->bad)
        ev->rows[ev->nrows++] = get_row(r);
}

enum kap_status kap_event_decode(struct kap_str data, struct kap_event **ret, struct kap_error *err)
{
    struct reader r = { .in = data };
    const uint8_t version = get_byte(&r, "version");
    if (!r.bad && version != EVENT_VERSION)
        return kap_fail(err, KAP_EINVAL, "event: version %u is not known", version);
    struct kap_event *ev = kap_event_new();
    get_head(&r, ev);
    get_body(&r, ev);
    if (!r.bad && r.in.n)
        r.bad = "end";
    if (r.bad) {
        kap_event_unref(ev);
        return kap_fail(err, KAP_EINVAL, "event: bad %s", r.bad);
    }
    *ret = ev;
    return KAP_OK;
}

void kap_event_key(const struct kap_event *ev, char out[KAP_EVENT_KEY_LEN + 1])
{
    const struct kap_str parts[] = { ev->topic, ev->task, ev->node, ev->run, ev->id };
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addc(&b, 'x'); /* the second half hashes the text without it */
    for (size_t i = 0; i < KAP_COUNT(parts); i++)
        kap_buf_addf(&b, "%zu:%.*s", parts[i].n, KAP_STR_ARG(parts[i]));
    kap_buf_addf(&b, "%lld,%d,%u", (long long)ev->time_ns, (int)ev->level, ev->nth);
    snprintf(out, KAP_EVENT_KEY_LEN + 1, "%016llx%016llx", (unsigned long long)kap_str_hash(kap_buf_str(&b)),
             (unsigned long long)kap_str_hash(kap_strn(b.p + 1, b.n - 1)));
}
