/* The functions of templates, and the methods of times and durations. */
#include "base/buf.h"
#include "base/duration.h"
#include "base/gotime.h"
#include "base/json.h"
#include "base/mem.h"
#include "template/internal.h"

#define FN(name)                                                                                                 \
    static bool name(struct kap_tcall *c, const struct kap_tvalue *a, size_t n, struct kap_tvalue *ret)

static bool fail(struct kap_tcall *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct kap_tcall *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    kap_vfail(c->err, KAP_EINVAL, fmt, ap);
    va_end(ap);
    return false;
}

static bool give_buf(struct kap_tcall *c, struct kap_buf *b, struct kap_tvalue *ret)
{
    const bool failed = b->failed;
    *ret = kap_t_str(kap_arena_str(c->arena, kap_buf_str(b)));
    kap_buf_done(b);
    return failed ? fail(c, "the result is longer than %zu bytes", KAP_T_MAX_OUTPUT) : true;
}

static struct kap_tvalue bool_value(bool b)
{
    return (struct kap_tvalue){ .kind = KAP_T_BOOL, .b = b };
}

/* --- logic and comparison --- */

FN(fn_and)
{
    size_t i = 0;
    while (i + 1 < n && kap_t_truth(a[i]))
        i++;
    *ret = a[i];
    return true;
}

FN(fn_or)
{
    size_t i = 0;
    while (i + 1 < n && !kap_t_truth(a[i]))
        i++;
    *ret = a[i];
    return true;
}

FN(fn_not)
{
    *ret = bool_value(!kap_t_truth(a[0]));
    return true;
}

enum basic { BASIC_NONE, BASIC_BOOL, BASIC_INT, BASIC_FLOAT, BASIC_STRING };

static enum basic basic_kind(struct kap_tvalue v)
{
    switch (v.kind) {
    case KAP_T_BOOL:
        return BASIC_BOOL;
    case KAP_T_INT:
    case KAP_T_INT64:
    case KAP_T_DURATION:
    case KAP_T_MONTH:
    case KAP_T_WEEKDAY:
        return BASIC_INT;
    case KAP_T_FLOAT:
        return BASIC_FLOAT;
    case KAP_T_STRING:
    case KAP_T_JS:
        return BASIC_STRING;
    default:
        return BASIC_NONE;
    }
}

static bool comparable(struct kap_tcall *c, struct kap_tvalue x, struct kap_tvalue y)
{
    if (basic_kind(x) == BASIC_NONE || basic_kind(y) == BASIC_NONE)
        return fail(c, "invalid type for comparison");
    if (basic_kind(x) != basic_kind(y))
        return fail(c, "incompatible types for comparison");
    return true;
}

static bool equal(struct kap_tvalue x, struct kap_tvalue y)
{
    switch (basic_kind(x)) {
    case BASIC_BOOL:
        return x.b == y.b;
    case BASIC_INT:
        return x.i == y.i;
    case BASIC_FLOAT:
        return x.f == y.f;
    case BASIC_STRING:
        return kap_str_eq(x.s, y.s);
    case BASIC_NONE:
        break;
    }
    return false;
}

FN(fn_eq)
{
    bool any = false;
    if (n < 2)
        return fail(c, "missing argument for comparison");
    for (size_t i = 1; i < n && !any; i++) {
        if (!comparable(c, a[0], a[i]))
            return false;
        any = equal(a[0], a[i]);
    }
    *ret = bool_value(any);
    return true;
}

FN(fn_ne)
{
    if (!comparable(c, a[0], a[1]))
        return false;
    *ret = bool_value(!equal(a[0], a[1]));
    return true;
}

static bool less(struct kap_tcall *c, struct kap_tvalue x, struct kap_tvalue y, bool *ret)
{
    if (!comparable(c, x, y))
        return false;
    switch (basic_kind(x)) {
    case BASIC_INT:
        *ret = x.i < y.i;
        return true;
    case BASIC_FLOAT:
        *ret = x.f < y.f;
        return true;
    case BASIC_STRING:
        *ret = kap_str_cmp(x.s, y.s) < 0;
        return true;
    default:
        return fail(c, "invalid type for comparison");
    }
}

/* The smaller one of each pair comes first; le and ge of floats with NaN are Go's: less or equal. */
static bool ordered(struct kap_tcall *c, struct kap_tvalue x, struct kap_tvalue y, bool or_equal, struct kap_tvalue *ret)
{
    bool b = false;
    if (!less(c, x, y, &b))
        return false;
    *ret = bool_value(b || (or_equal && equal(x, y)));
    return true;
}

FN(fn_lt)
{
    return ordered(c, a[0], a[1], false, ret);
}
FN(fn_le)
{
    return ordered(c, a[0], a[1], true, ret);
}

static bool not(bool good, struct kap_tvalue *v)
{
    if (good)
        v->b = !v->b;
    return good;
}

FN(fn_gt)
{
    return not(ordered(c, a[0], a[1], true, ret), ret);
}
FN(fn_ge)
{
    return not(ordered(c, a[0], a[1], false, ret), ret);
}

/* --- access --- */

FN(fn_len)
{
    int64_t len;
    switch (a[0].kind) {
    case KAP_T_STRING:
    case KAP_T_JS:
        len = (int64_t)a[0].s.n;
        break;
    case KAP_T_MAP:
        len = (int64_t)a[0].map->n;
        break;
    case KAP_T_LIST:
        len = (int64_t)a[0].list->n;
        break;
    case KAP_T_NIL:
    case KAP_T_NONE:
        return fail(c, "len of nil pointer");
    default:
        return fail(c, "len of type %s", kap_t_type(a[0]));
    }
    *ret = (struct kap_tvalue){ .kind = KAP_T_INT, .i = len };
    return true;
}

static bool index_number(struct kap_tcall *c, struct kap_tvalue key, size_t n, size_t *ret)
{
    if (basic_kind(key) != BASIC_INT)
        return fail(c, "cannot index slice/array with type %s", kap_t_type(key));
    if (key.i < 0 || (uint64_t)key.i >= n)
        return fail(c, "index out of range: %lld", (long long)key.i);
    *ret = (size_t)key.i;
    return true;
}

static bool index_map(struct kap_tcall *c, const struct kap_tmap *m, struct kap_tvalue key, struct kap_tvalue *ret)
{
    if (key.kind != KAP_T_STRING)
        return fail(c, "value has type %s; should be string", kap_t_type(key));
    *ret = m->strings ? kap_t_str(KAP_STR("")) : (struct kap_tvalue){ .kind = KAP_T_NIL };
    for (size_t i = 0; i < m->n; i++)
        if (kap_str_eq(m->v[i].key, key.s))
            *ret = m->v[i].v;
    return true;
}

FN(fn_index)
{
    struct kap_tvalue v = a[0];
    for (size_t i = 1; i < n; i++) {
        size_t k = 0;
        if (v.kind == KAP_T_MAP) {
            if (!index_map(c, v.map, a[i], &v))
                return false;
        } else if (v.kind == KAP_T_LIST) {
            if (!index_number(c, a[i], v.list->n, &k))
                return false;
            v = v.list->v[k];
        } else if (v.kind == KAP_T_STRING) {
            if (!index_number(c, a[i], v.s.n, &k))
                return false;
            v = (struct kap_tvalue){ .kind = KAP_T_INT, .i = (unsigned char)v.s.p[k] };
        } else if (v.kind == KAP_T_NIL || v.kind == KAP_T_NONE) {
            return fail(c, i == 1 ? "index of untyped nil" : "index of nil pointer");
        } else {
            return fail(c, "can't index item of type %s", kap_t_type(v));
        }
    }
    *ret = v;
    return true;
}

/* --- text --- */

FN(fn_print)
{
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    kap_t_print(&b, a, n);
    return give_buf(c, &b, ret);
}

FN(fn_println)
{
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            kap_buf_addc(&b, ' ');
        kap_t_print(&b, &a[i], 1);
    }
    kap_buf_addc(&b, '\n');
    return give_buf(c, &b, ret);
}

FN(fn_printf)
{
    if (a[0].kind != KAP_T_STRING)
        return fail(c, "wrong type for value; expected string; got %s", kap_t_type(a[0]));
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    kap_t_printf(&b, a[0].s, a + 1, n - 1);
    return give_buf(c, &b, ret);
}

/* What html, js and urlquery work on: a string as it is, else as print shows it. */
static struct kap_str args_text(struct kap_tcall *c, const struct kap_tvalue *a, size_t n)
{
    if (n == 1 && a[0].kind == KAP_T_STRING)
        return a[0].s;
    KAP_AUTO_BUF struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    kap_t_print(&b, a, n);
    return kap_arena_str(c->arena, kap_buf_str(&b));
}

FN(fn_html)
{
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    const struct kap_str s = args_text(c, a, n);
    for (size_t i = 0; i < s.n; i++) {
        const char ch = s.p[i];
        const char *entity = ch == '<' ? "&lt;" : ch == '>' ? "&gt;" : ch == '&' ? "&amp;" : ch == '"' ? "&#34;" :
                             ch == '\'' ? "&#39;" : ch == 0 ? "\xef\xbf\xbd" : NULL;
        if (entity)
            kap_buf_adds(&b, entity);
        else
            kap_buf_addc(&b, ch);
    }
    return give_buf(c, &b, ret);
}

FN(fn_js)
{
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    const struct kap_str s = args_text(c, a, n);
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char ch = (unsigned char)s.p[i];
        if (ch == '\\' || ch == '\'' || ch == '"')
            kap_buf_addf(&b, "\\%c", ch);
        else if (ch < ' ' || ch == '<' || ch == '>' || ch == '&' || ch == '=')
            kap_buf_addf(&b, "\\u%04X", ch);
        else
            kap_buf_addc(&b, (char)ch);
    }
    return give_buf(c, &b, ret);
}

FN(fn_urlquery)
{
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    const struct kap_str s = args_text(c, a, n);
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char ch = (unsigned char)s.p[i];
        const bool plain = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                           ch == '-' || ch == '_' || ch == '.' || ch == '~';
        if (plain)
            kap_buf_addc(&b, (char)ch);
        else if (ch == ' ')
            kap_buf_addc(&b, '+');
        else
            kap_buf_addf(&b, "%%%02X", ch);
    }
    return give_buf(c, &b, ret);
}

static bool json_text(struct kap_tcall *c, struct kap_tvalue v, const char *end, struct kap_tvalue *ret)
{
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    if (kap_t_json(v, &b))
        kap_buf_adds(&b, end);
    else
        kap_buf_reset(&b); /* NaN: the reference shows nothing */
    if (!give_buf(c, &b, ret))
        return false;
    ret->kind = KAP_T_JS;
    return true;
}

FN(fn_json)
{
    return json_text(c, a[0], "\n", ret);
}

FN(fn_json_compact)
{
    return json_text(c, a[0], "", ret);
}

static const struct kap_tfn functions[] = {
    { "and", 1, -1, fn_and, 0 },          { "eq", 1, -1, fn_eq, 0 },      { "ge", 2, 2, fn_ge, 0 },
    { "gt", 2, 2, fn_gt, 0 },             { "html", 0, -1, fn_html, 0 },  { "index", 1, -1, fn_index, 0 },
    { "js", 0, -1, fn_js, 0 },            { "le", 2, 2, fn_le, 0 },       { "len", 1, 1, fn_len, 0 },
    { "lt", 2, 2, fn_lt, 0 },             { "ne", 2, 2, fn_ne, 0 },       { "not", 1, 1, fn_not, 0 },
    { "or", 1, -1, fn_or, 0 },            { "print", 0, -1, fn_print, 0 }, { "printf", 1, -1, fn_printf, 0 },
    { "println", 0, -1, fn_println, 0 },  { "urlquery", 0, -1, fn_urlquery, 0 },
    { "json", 1, 1, fn_json, KAP_TEMPLATE_JSON },
    { "jsonCompact", 1, 1, fn_json_compact, KAP_TEMPLATE_JSON },
};

const struct kap_tfn *kap_tfn_find(struct kap_str name, unsigned flags)
{
    for (size_t i = 0; i < KAP_COUNT(functions); i++)
        if (kap_str_is(name, functions[i].name) && (flags & functions[i].flag) == functions[i].flag)
            return &functions[i];
    return NULL;
}

/* --- methods --- */

#define METHOD(name)                                                                                             \
    static bool name(struct kap_tcall *c, struct kap_tvalue self, const struct kap_tvalue *a, struct kap_tvalue *ret)
#define INT_METHOD(name, kind_, value)                                                                           \
    METHOD(name)                                                                                                 \
    {                                                                                                            \
        *ret = (struct kap_tvalue){ .kind = (kind_), .i = (value) };                                               \
        return true;                                                                                             \
    }
#define FLOAT_METHOD(name, value)                                                                                \
    METHOD(name)                                                                                                 \
    {                                                                                                            \
        *ret = (struct kap_tvalue){ .kind = KAP_T_FLOAT, .f = (value) };                                         \
        return true;                                                                                             \
    }

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

INT_METHOD(time_unix, KAP_T_INT64, floor_div(self.i, KAP_S))
INT_METHOD(time_unix_milli, KAP_T_INT64, floor_div(self.i, KAP_MS))
INT_METHOD(time_unix_nano, KAP_T_INT64, self.i)
INT_METHOD(time_year, KAP_T_INT, kap_civil(self.i).year)
INT_METHOD(time_month, KAP_T_MONTH, kap_civil(self.i).month)
INT_METHOD(time_day, KAP_T_INT, kap_civil(self.i).day)
INT_METHOD(time_hour, KAP_T_INT, kap_civil(self.i).hour)
INT_METHOD(time_minute, KAP_T_INT, kap_civil(self.i).minute)
INT_METHOD(time_second, KAP_T_INT, kap_civil(self.i).second)
INT_METHOD(time_nanosecond, KAP_T_INT, kap_civil(self.i).nsec)
INT_METHOD(time_weekday, KAP_T_WEEKDAY, kap_civil(self.i).weekday)
INT_METHOD(time_yday, KAP_T_INT, kap_civil(self.i).yday)
INT_METHOD(time_same, KAP_T_TIME, self.i)
FLOAT_METHOD(duration_hours, (double)self.i / 3.6e12)
FLOAT_METHOD(duration_minutes, (double)self.i / 6e10)
FLOAT_METHOD(duration_seconds, (double)self.i / 1e9)
INT_METHOD(duration_ns, KAP_T_INT64, self.i)
INT_METHOD(duration_us, KAP_T_INT64, self.i / 1000)
INT_METHOD(duration_ms, KAP_T_INT64, self.i / KAP_MS)

METHOD(value_string)
{
    struct kap_buf b = { 0 };
    kap_t_print(&b, &self, 1);
    return give_buf(c, &b, ret);
}

METHOD(time_format)
{
    if (a[0].kind != KAP_T_STRING)
        return fail(c, "expected string; found %s", kap_t_type(a[0]));
    struct kap_buf b = { .max = KAP_T_MAX_OUTPUT };
    kap_time_format(&b, self.i, a[0].s);
    return give_buf(c, &b, ret);
}

METHOD(time_is_zero)
{
    *ret = bool_value(false); /* year 1 is out of range */
    return true;
}

METHOD(time_add)
{
    if (basic_kind(a[0]) != BASIC_INT)
        return fail(c, "expected integer; found %s", kap_t_type(a[0]));
    *ret = kap_t_time((int64_t)((uint64_t)self.i + (uint64_t)a[0].i));
    return true;
}

static bool want_time(struct kap_tcall *c, struct kap_tvalue v)
{
    return v.kind == KAP_T_TIME ? true : fail(c, "wrong type for value; expected time.Time; got %s", kap_t_type(v));
}

METHOD(time_sub)
{
    if (!want_time(c, a[0]))
        return false;
    *ret = kap_t_duration((int64_t)((uint64_t)self.i - (uint64_t)a[0].i));
    return true;
}
METHOD(time_before)
{
    *ret = bool_value(self.i < a[0].i);
    return want_time(c, a[0]);
}
METHOD(time_after)
{
    *ret = bool_value(self.i > a[0].i);
    return want_time(c, a[0]);
}
METHOD(time_equal)
{
    *ret = bool_value(self.i == a[0].i);
    return want_time(c, a[0]);
}

static bool truncated(struct kap_tcall *c, struct kap_tvalue self, struct kap_tvalue unit, bool round, struct kap_tvalue *ret)
{
    if (basic_kind(unit) != BASIC_INT)
        return fail(c, "expected integer; found %s", kap_t_type(unit));
    *ret = self;
    if (unit.i <= 0)
        return true;
    int64_t rest = self.i % unit.i;
    if (self.kind == KAP_T_TIME && rest < 0)
        rest += unit.i;
    ret->i = (int64_t)((uint64_t)self.i - (uint64_t)rest);
    const uint64_t magnitude = rest < 0 ? 0 - (uint64_t)rest : (uint64_t)rest;
    if (round && magnitude + magnitude >= (uint64_t)unit.i)
        ret->i = (int64_t)((uint64_t)ret->i + (rest < 0 ? 0 - (uint64_t)unit.i : (uint64_t)unit.i));
    return true;
}
METHOD(value_truncate)
{
    return truncated(c, self, a[0], false, ret);
}
METHOD(value_round)
{
    return truncated(c, self, a[0], true, ret);
}

static const struct kap_tmethod methods[] = {
    { KAP_T_TIME, 0, "Unix", time_unix },
    { KAP_T_TIME, 0, "UnixMilli", time_unix_milli },
    { KAP_T_TIME, 0, "UnixNano", time_unix_nano },
    { KAP_T_TIME, 1, "Format", time_format },
    { KAP_T_TIME, 0, "String", value_string },
    { KAP_T_TIME, 0, "Year", time_year },
    { KAP_T_TIME, 0, "Month", time_month },
    { KAP_T_TIME, 0, "Day", time_day },
    { KAP_T_TIME, 0, "Hour", time_hour },
    { KAP_T_TIME, 0, "Minute", time_minute },
    { KAP_T_TIME, 0, "Second", time_second },
    { KAP_T_TIME, 0, "Nanosecond", time_nanosecond },
    { KAP_T_TIME, 0, "Weekday", time_weekday },
    { KAP_T_TIME, 0, "YearDay", time_yday },
    { KAP_T_TIME, 0, "UTC", time_same },
    { KAP_T_TIME, 0, "Local", time_same },
    { KAP_T_TIME, 0, "IsZero", time_is_zero },
    { KAP_T_TIME, 1, "Add", time_add },
    { KAP_T_TIME, 1, "Sub", time_sub },
    { KAP_T_TIME, 1, "Before", time_before },
    { KAP_T_TIME, 1, "After", time_after },
    { KAP_T_TIME, 1, "Equal", time_equal },
    { KAP_T_TIME, 1, "Truncate", value_truncate },
    { KAP_T_TIME, 1, "Round", value_round },
    { KAP_T_DURATION, 0, "Hours", duration_hours },
    { KAP_T_DURATION, 0, "Minutes", duration_minutes },
    { KAP_T_DURATION, 0, "Seconds", duration_seconds },
    { KAP_T_DURATION, 0, "Milliseconds", duration_ms },
    { KAP_T_DURATION, 0, "Microseconds", duration_us },
    { KAP_T_DURATION, 0, "Nanoseconds", duration_ns },
    { KAP_T_DURATION, 0, "String", value_string },
    { KAP_T_DURATION, 1, "Truncate", value_truncate },
    { KAP_T_DURATION, 1, "Round", value_round },
    { KAP_T_MONTH, 0, "String", value_string },
    { KAP_T_WEEKDAY, 0, "String", value_string },
};

const struct kap_tmethod *kap_tmethod_find(enum kap_tkind of, struct kap_str name)
{
    for (size_t i = 0; i < KAP_COUNT(methods); i++)
        if (methods[i].of == of && kap_str_is(name, methods[i].name))
            return &methods[i];
    return NULL;
}
