#include "base/cron.h"

#include "base/gotime.h"
#include "base/mem.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)
#define YEAR_MIN 1970
#define YEAR_MAX 2099
#define FIELDS 7

enum field { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR };

static const char *const month_names[] = { "jan", "feb", "mar", "apr", "may", "jun", "jul",
                                           "aug", "sep", "oct", "nov", "dec", NULL };
static const char *const day_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL };

static const struct {
    const char *name;
    int min, max;
    const char *const *words;
    int first_word; /* value of words[0] */
} fields[FIELDS] = {
    [SECOND] = { "second", 0, 59, NULL, 0 },
    [MINUTE] = { "minute", 0, 59, NULL, 0 },
    [HOUR] = { "hour", 0, 23, NULL, 0 },
    [DAY] = { "day-of-month", 1, 31, NULL, 0 },
    [MONTH] = { "month", 1, 12, month_names, 1 },
    [WEEKDAY] = { "day-of-week", 0, 7, day_names, 0 },
    [YEAR] = { "year", YEAR_MIN, YEAR_MAX, NULL, 0 },
};

struct kap_cron {
    uint64_t bits[YEAR]; /* bit v: the value v fits */
    bool years[YEAR_MAX - YEAR_MIN + 1];
    bool any_day, any_weekday; /* the field says nothing */
    bool last_day, last_workday;
    uint32_t workdays;      /* bit d: the working day next to d */
    uint8_t nth_weekday[7]; /* bit k: the k-th of the month (1..5) */
    bool last_weekday[7];
};

static const struct {
    const char *name, *text;
} aliases[] = {
    { "@yearly", "0 0 0 1 1 * *" }, { "@annually", "0 0 0 1 1 * *" }, { "@monthly", "0 0 0 1 * * *" },
    { "@weekly", "0 0 0 * * 0 *" }, { "@daily", "0 0 0 * * * *" },    { "@hourly", "0 0 * * * * *" },
};

/* --- zones --- */

static int64_t utc_offset(void *ctx, int64_t time_ns)
{
    return 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t local_offset(void *ctx, int64_t time_ns)
{
    const time_t t = (time_t)floor_div(time_ns, SECOND_NS);
    struct tm tm;
    return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

const struct kap_zone kap_zone_utc = { utc_offset, NULL };
const struct kap_zone kap_zone_local = { local_offset, NULL };

/* --- parsing --- */

static enum kap_status syntax(enum field f, struct kap_str part, struct kap_error *err)
{
    return kap_fail(err, KAP_EINVAL, "syntax error in %s field: '%.*s'", fields[f].name, KAP_STR_ARG(part));
}

/* A number or a name; the rest stays in *s. */
static bool take_value(enum field f, struct kap_str *s, int *ret)
{
    const char *const *words = fields[f].words;
    for (int i = 0; words && words[i]; i++) {
        const size_t n = strlen(words[i]);
        if (s->n >= n && strncasecmp(s->p, words[i], n) == 0) {
            *ret = fields[f].first_word + i;
            *s = kap_strn(s->p + n, s->n - n);
            return true;
        }
    }
    size_t n = 0;
    int v = 0;
    while (n < s->n && n < 4 && s->p[n] >= '0' && s->p[n] <= '9')
        v = v * 10 + (s->p[n++] - '0');
    if (n == 0 || v < fields[f].min || v > fields[f].max)
        return false;
    *ret = v;
    *s = kap_strn(s->p + n, s->n - n);
    return true;
}

static bool take_char(struct kap_str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = kap_strn(s->p + 1, s->n - 1);
    return true;
}

static void mark(struct kap_cron *c, enum field f, int from, int to, int step)
{
    for (int v = from; v <= to; v += step) {
        if (f == YEAR)
            c->years[v - YEAR_MIN] = true;
        else
            c->bits[f] |= UINT64_C(1) << (f == WEEKDAY ? v % 7 : v);
    }
}

/* "L", "LW", "15W" in days of the month; "5L" and "5#3" in days of the week. */
static bool take_special(struct kap_cron *c, enum field f, struct kap_str part)
{
    int v;
    struct kap_str rest = part;
    if (f == DAY && (kap_str_is(part, "L") || kap_str_is(part, "l")))
        return c->last_day = true;
    if (f == DAY && part.n == 2 && strncasecmp(part.p, "LW", 2) == 0)
        return c->last_workday = true;
    if ((f != DAY && f != WEEKDAY) || !take_value(f, &rest, &v))
        return false;
    if (f == DAY && rest.n == 1 && (rest.p[0] == 'W' || rest.p[0] == 'w')) {
        c->workdays |= UINT32_C(1) << v;
        return true;
    }
    if (f != WEEKDAY)
        return false;
    if (rest.n == 1 && (rest.p[0] == 'L' || rest.p[0] == 'l'))
        return c->last_weekday[v % 7] = true;
    if (rest.n != 2 || rest.p[0] != '#' || rest.p[1] < '1' || rest.p[1] > '5')
        return false;
    c->nth_weekday[v % 7] |= (uint8_t)(1u << (rest.p[1] - '0'));
    return true;
}

static enum kap_status parse_part(struct kap_cron *c, enum field f, struct kap_str part,
                                  struct kap_error *err)
{
    struct kap_str s = part;
    int from = fields[f].min, to = f == WEEKDAY ? 6 : fields[f].max, step = 1;
    if (take_special(c, f, part))
        return KAP_OK;
    if (!take_char(&s, '*') && !take_char(&s, '?')) {
        if (!take_value(f, &s, &from))
            return syntax(f, part, err);
        const bool range = take_char(&s, '-');
        if (range && !take_value(f, &s, &to))
            return syntax(f, part, err);
        if (!range && (s.n == 0 || s.p[0] != '/'))
            to = from;
    }
    if (take_char(&s, '/')) {
        int64_t n;
        if (!kap_str_to_i64(s, &n) || n < 1 || n > fields[f].max)
            return syntax(f, part, err);
        step = (int)n;
        s.n = 0;
    }
    if (s.n || from > to)
        return syntax(f, part, err);
    mark(c, f, from, to, step);
    return KAP_OK;
}

static enum kap_status parse_field(struct kap_cron *c, enum field f, struct kap_str text,
                                   struct kap_error *err)
{
    const bool any = kap_str_is(text, "*") || kap_str_is(text, "?");
    if (f == DAY)
        c->any_day = any;
    if (f == WEEKDAY)
        c->any_weekday = any;
    struct kap_str rest = text;
    do {
        const char *comma = rest.n ? memchr(rest.p, ',', rest.n) : NULL;
        const struct kap_str part = kap_strn(rest.p, comma ? (size_t)(comma - rest.p) : rest.n);
        KAP_TRY(parse_part(c, f, part, err));
        rest = comma ? kap_strn(comma + 1, rest.n - part.n - 1) : KAP_STR("");
        if (comma && rest.n == 0)
            return syntax(f, text, err);
    } while (rest.n);
    return KAP_OK;
}

static size_t split(struct kap_str s, struct kap_str *parts, size_t max)
{
    size_t n = 0, i = 0;
    while (n < max) {
        while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
            i++;
        const size_t start = i;
        while (i < s.n && s.p[i] != ' ' && s.p[i] != '\t')
            i++;
        if (i == start)
            break;
        parts[n++] = kap_strn(s.p + start, i - start);
    }
    return n;
}

enum kap_status kap_cron_parse(struct kap_str text, struct kap_cron **ret, struct kap_error *err)
{
    for (size_t i = 0; i < KAP_COUNT(aliases); i++)
        if (kap_str_is(kap_str_trim(text), aliases[i].name))
            text = kap_str(aliases[i].text);
    struct kap_str parts[FIELDS];
    const size_t n = split(text, parts, FIELDS);
    if (n < 5)
        return kap_fail(err, KAP_EINVAL, "missing field(s)");
    struct kap_cron *c = KAP_NEW(struct kap_cron);
    enum kap_status st = KAP_OK;
    size_t used = 0;
    for (enum field f = SECOND; f <= YEAR && st == KAP_OK; f++) {
        if (f == SECOND && n < FIELDS)
            st = parse_field(c, f, KAP_STR("0"), err);
        else if (f == YEAR && used == n)
            st = parse_field(c, f, KAP_STR("*"), err);
        else
            st = parse_field(c, f, parts[used++], err);
    }
    if (st != KAP_OK) {
        kap_cron_free(c);
        return st;
    }
    *ret = c;
    return KAP_OK;
}

void kap_cron_free(struct kap_cron *c)
{
    kap_free(c);
}

/* --- the next time --- */

static int days_in(int64_t year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* 0 Sunday, of a day of the month that `c` is in. */
static int weekday_of(const struct kap_civil *c, int day)
{
    const struct kap_civil first = { .year = c->year, .month = c->month, .day = day };
    return kap_civil(kap_civil_ns(&first)).weekday;
}

/* The working day next to `day` in the same month. */
static int workday_near(const struct kap_civil *c, int day, int last)
{
    if (day > last)
        return 0;
    const int weekday = weekday_of(c, day);
    if (weekday == 6)
        return day > 1 ? day - 1 : day + 2;
    if (weekday == 0)
        return day < last ? day + 1 : day - 2;
    return day;
}

static bool fits_day_of_month(const struct kap_cron *c, const struct kap_civil *t, int last)
{
    if (c->bits[DAY] >> t->day & 1 || (c->last_day && t->day == last))
        return true;
    for (int d = 1; d <= 31; d++)
        if (c->workdays >> d & 1 && workday_near(t, d, last) == t->day)
            return true;
    return c->last_workday && workday_near(t, last, last) == t->day;
}

static bool fits_weekday(const struct kap_cron *c, const struct kap_civil *t, int last)
{
    const int weekday = weekday_of(t, t->day);
    return c->bits[WEEKDAY] >> weekday & 1 || c->nth_weekday[weekday] >> ((t->day - 1) / 7 + 1) & 1 ||
           (c->last_weekday[weekday] && t->day + 7 > last);
}

static bool fits_day(const struct kap_cron *c, const struct kap_civil *t)
{
    const int last = days_in(t->year, t->month);
    if (c->any_day && c->any_weekday)
        return true;
    if (c->any_day)
        return fits_weekday(c, t, last);
    if (c->any_weekday)
        return fits_day_of_month(c, t, last);
    return fits_day_of_month(c, t, last) || fits_weekday(c, t, last);
}

/* The first value from `from` on that fits; -1: none. */
static int next_bit(uint64_t bits, int from)
{
    const uint64_t rest = from > 63 ? 0 : bits >> from;
    return rest ? from + __builtin_ctzll(rest) : -1;
}

/* The first local time of a day at or after hour:minute:second. */
static bool next_in_day(const struct kap_cron *c, struct kap_civil *t)
{
    for (int hour = next_bit(c->bits[HOUR], t->hour); hour >= 0; hour = next_bit(c->bits[HOUR], hour + 1)) {
        if (hour != t->hour)
            t->minute = t->second = 0;
        t->hour = hour;
        for (int minute = next_bit(c->bits[MINUTE], t->minute); minute >= 0;
             minute = next_bit(c->bits[MINUTE], minute + 1)) {
            if (minute != t->minute)
                t->second = 0;
            t->minute = minute;
            const int second = next_bit(c->bits[SECOND], t->second);
            if (second >= 0) {
                t->second = second;
                return true;
            }
        }
    }
    return false;
}

static void next_day(struct kap_civil *t)
{
    t->hour = t->minute = t->second = 0;
    if (t->day++ < days_in(t->year, t->month))
        return;
    t->day = 1;
    if (t->month++ < 12)
        return;
    t->month = 1;
    t->year++;
}

static void next_month(struct kap_civil *t)
{
    t->day = days_in(t->year, t->month);
    next_day(t);
}

static bool next_local(const struct kap_cron *c, struct kap_civil *t)
{
    while (t->year <= YEAR_MAX) {
        if (t->year < YEAR_MIN || !c->years[t->year - YEAR_MIN]) {
            *t = (struct kap_civil){ .year = KAP_MAX(t->year + 1, YEAR_MIN), .month = 1, .day = 1 };
            continue;
        }
        if (!(c->bits[MONTH] >> t->month & 1)) {
            next_month(t);
            continue;
        }
        if (fits_day(c, t) && next_in_day(c, t))
            return true;
        next_day(t);
    }
    return false;
}

/* A local time that the clocks skip is moved on by the gap. */
static int64_t to_utc(const struct kap_civil *t, const struct kap_zone *zone)
{
    const int64_t local_ns = kap_civil_ns(t);
    const int64_t first_ns = local_ns - zone->offset_s(zone->ctx, local_ns) * SECOND_NS;
    return local_ns - zone->offset_s(zone->ctx, first_ns) * SECOND_NS;
}

bool kap_cron_next(const struct kap_cron *c, const struct kap_zone *zone, int64_t after_ns, int64_t *ret_ns)
{
    int64_t from_ns = floor_div(after_ns, SECOND_NS) * SECOND_NS + SECOND_NS;
    for (int i = 0; i < 2; i++) { /* where clocks are set back, a local time may lie before `after` */
        struct kap_civil t = kap_civil(from_ns + zone->offset_s(zone->ctx, from_ns) * SECOND_NS);
        t.nsec = 0;
        if (!next_local(c, &t))
            return false;
        const int64_t found_ns = to_utc(&t, zone);
        if (found_ns > after_ns) {
            *ret_ns = found_ns;
            return true;
        }
        from_ns += 3600 * SECOND_NS;
    }
    return false;
}
