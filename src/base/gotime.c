#include "base/gotime.h"
#include "base/duration.h"
#include "base/mem.h"
#include <stdio.h>

/* Days and civil dates: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t yoe = y - era * 400;
    const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

struct kap_civil kap_civil(int64_t time_ns)
{
    const int64_t seconds = floor_div(time_ns, KAP_S), days = floor_div(seconds, 86400);
    const int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    struct kap_civil c = { .nsec = (int)(((time_ns % KAP_S) + KAP_S) % KAP_S) };
    c.day = (int)(doy - (153 * mp + 2) / 5 + 1);
    c.month = (int)(mp < 10 ? mp + 3 : mp - 9);
    c.year = yoe + era * 400 + (c.month <= 2);
    const int in_day = (int)(seconds - days * 86400);
    c.hour = in_day / 3600;
    c.minute = in_day / 60 % 60;
    c.second = in_day % 60;
    c.weekday = (int)((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    c.yday = (int)(days - days_from_civil(c.year, 1, 1)) + 1;
    return c;
}

int64_t kap_civil_ns(const struct kap_civil *c)
{
    const int64_t days = days_from_civil(c->year, c->month, c->day);
    return ((days * 24 + c->hour) * 60 + c->minute) * KAP_MINUTE + c->second * KAP_S + c->nsec;
}

static void add_year(struct kap_buf *b, int64_t year)
{
    kap_buf_addf(b, "%s%04lld", year < 0 ? "-" : "", (long long)(year < 0 ? -year : year));
}

/* Fraction of a second: `digits` digits after `point`, trailing zeros (and a bare point) dropped when `trim`. */
static void add_nsec(struct kap_buf *b, int nsec, int digits, bool trim, char point)
{
    char text[16];
    snprintf(text, sizeof text, "%09d", nsec);
    if (trim)
        while (digits > 0 && text[digits - 1] == '0')
            digits--;
    if (digits == 0)
        return;
    kap_buf_addc(b, point);
    kap_buf_addn(b, text, (size_t)digits);
}

void kap_time_rfc3339nano(struct kap_buf *b, int64_t time_ns)
{
    const struct kap_civil c = kap_civil(time_ns);
    add_year(b, c.year);
    kap_buf_addf(b, "-%02d-%02dT%02d:%02d:%02d", c.month, c.day, c.hour, c.minute, c.second);
    add_nsec(b, c.nsec, 9, true, '.');
    kap_buf_addc(b, 'Z');
}

void kap_time_string(struct kap_buf *b, int64_t time_ns)
{
    kap_time_format(b, time_ns, KAP_STR("2006-01-02 15:04:05.999999999 -0700 UTC"));
}

static const char *const months[] = { "January", "February", "March",     "April",   "May",      "June",
                                      "July",    "August",   "September", "October", "November", "December" };
static const char *const weekdays[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };

enum chunk {
    C_LONG_MONTH, C_MONTH, C_NUM_MONTH, C_ZERO_MONTH, C_LONG_WEEKDAY, C_WEEKDAY, C_DAY, C_UNDER_DAY, C_ZERO_DAY,
    C_UNDER_YDAY, C_ZERO_YDAY, C_HOUR, C_HOUR12, C_ZERO_HOUR12, C_MINUTE, C_ZERO_MINUTE, C_SECOND, C_ZERO_SECOND,
    C_LONG_YEAR, C_YEAR, C_PM, C_PM_LOWER, C_TZ, C_ISO_TZ, C_ISO_COLON_TZ, C_NUM_TZ, C_NUM_COLON_TZ, C_NUM_SHORT_TZ,
};

/* Longest first among those with the same start. */
static const struct {
    const char *text;
    enum chunk chunk;
} chunks[] = {
    { "January", C_LONG_MONTH }, { "Jan", C_MONTH }, { "Monday", C_LONG_WEEKDAY }, { "Mon", C_WEEKDAY },
    { "MST", C_TZ }, { "2006", C_LONG_YEAR }, { "002", C_ZERO_YDAY }, { "01", C_ZERO_MONTH }, { "02", C_ZERO_DAY },
    { "03", C_ZERO_HOUR12 }, { "04", C_ZERO_MINUTE }, { "05", C_ZERO_SECOND }, { "06", C_YEAR }, { "15", C_HOUR },
    { "1", C_NUM_MONTH }, { "2", C_DAY }, { "__2", C_UNDER_YDAY }, { "_2", C_UNDER_DAY }, { "3", C_HOUR12 },
    { "4", C_MINUTE }, { "5", C_SECOND }, { "PM", C_PM }, { "pm", C_PM_LOWER }, { "-07:00", C_NUM_COLON_TZ },
    { "-0700", C_NUM_TZ }, { "-07", C_NUM_SHORT_TZ }, { "Z07:00", C_ISO_COLON_TZ }, { "Z0700", C_ISO_TZ },
};

static bool starts_lower(struct kap_str s)
{
    return s.n && s.p[0] >= 'a' && s.p[0] <= 'z';
}

/* The layout element that s starts with, or -1. */
static int chunk_at(struct kap_str s)
{
    for (size_t i = 0; i < KAP_COUNT(chunks); i++) {
        const struct kap_str text = kap_str(chunks[i].text);
        if (!kap_str_has_prefix(s, text))
            continue;
        const struct kap_str rest = kap_strn(s.p + text.n, s.n - text.n);
        if ((chunks[i].chunk == C_MONTH || chunks[i].chunk == C_WEEKDAY) && starts_lower(rest))
            continue; /* "Janet" is not a month */
        if (chunks[i].chunk == C_UNDER_DAY && kap_str_has_prefix(s, KAP_STR("_2006")))
            continue; /* an underscore and a year */
        return (int)i;
    }
    return -1;
}

static void add_chunk(struct kap_buf *b, enum chunk chunk, const struct kap_civil *c)
{
    const int hour12 = c->hour % 12 == 0 ? 12 : c->hour % 12;
    switch (chunk) {
    case C_LONG_MONTH: kap_buf_adds(b, months[c->month - 1]); break;
    case C_MONTH: kap_buf_addn(b, months[c->month - 1], 3); break;
    case C_NUM_MONTH: kap_buf_addf(b, "%d", c->month); break;
    case C_ZERO_MONTH: kap_buf_addf(b, "%02d", c->month); break;
    case C_LONG_WEEKDAY: kap_buf_adds(b, weekdays[c->weekday]); break;
    case C_WEEKDAY: kap_buf_addn(b, weekdays[c->weekday], 3); break;
    case C_DAY: kap_buf_addf(b, "%d", c->day); break;
    case C_UNDER_DAY: kap_buf_addf(b, "%2d", c->day); break;
    case C_ZERO_DAY: kap_buf_addf(b, "%02d", c->day); break;
    case C_UNDER_YDAY: kap_buf_addf(b, "%3d", c->yday); break;
    case C_ZERO_YDAY: kap_buf_addf(b, "%03d", c->yday); break;
    case C_HOUR: kap_buf_addf(b, "%02d", c->hour); break;
    case C_HOUR12: kap_buf_addf(b, "%d", hour12); break;
    case C_ZERO_HOUR12: kap_buf_addf(b, "%02d", hour12); break;
    case C_MINUTE: kap_buf_addf(b, "%d", c->minute); break;
    case C_ZERO_MINUTE: kap_buf_addf(b, "%02d", c->minute); break;
    case C_SECOND: kap_buf_addf(b, "%d", c->second); break;
    case C_ZERO_SECOND: kap_buf_addf(b, "%02d", c->second); break;
    case C_LONG_YEAR: add_year(b, c->year); break;
    case C_YEAR: kap_buf_addf(b, "%02d", (int)(c->year % 100)); break;
    case C_PM: kap_buf_adds(b, c->hour >= 12 ? "PM" : "AM"); break;
    case C_PM_LOWER: kap_buf_adds(b, c->hour >= 12 ? "pm" : "am"); break;
    case C_TZ: kap_buf_adds(b, "UTC"); break;
    case C_ISO_TZ:
    case C_ISO_COLON_TZ: kap_buf_addc(b, 'Z'); break;
    case C_NUM_TZ: kap_buf_adds(b, "+0000"); break;
    case C_NUM_COLON_TZ: kap_buf_adds(b, "+00:00"); break;
    case C_NUM_SHORT_TZ: kap_buf_adds(b, "+00"); break;
    }
}

/* ".000" or ",999" followed by no digit: the number of digits, else 0. */
static size_t fraction_at(struct kap_str s)
{
    if (s.n < 2 || (s.p[0] != '.' && s.p[0] != ',') || (s.p[1] != '0' && s.p[1] != '9'))
        return 0;
    size_t i = 1;
    while (i < s.n && s.p[i] == s.p[1])
        i++;
    return i < s.n && s.p[i] >= '0' && s.p[i] <= '9' ? 0 : i - 1;
}

void kap_time_format(struct kap_buf *b, int64_t time_ns, struct kap_str layout)
{
    const struct kap_civil c = kap_civil(time_ns);
    while (layout.n) {
        size_t used = 1;
        const size_t digits = fraction_at(layout);
        const int i = chunk_at(layout);
        if (digits) {
            add_nsec(b, c.nsec, (int)KAP_MIN(digits, 9), layout.p[1] == '9', layout.p[0]);
            used = digits + 1;
        } else if (i >= 0) {
            add_chunk(b, chunks[i].chunk, &c);
            used = strlen(chunks[i].text);
        } else {
            kap_buf_addc(b, layout.p[0]);
        }
        layout.p += used;
        layout.n -= used;
    }
}

static bool take_number(struct kap_str *s, size_t digits, int64_t *ret)
{
    if (s->n < digits)
        return false;
    *ret = 0;
    for (size_t i = 0; i < digits; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        *ret = *ret * 10 + (s->p[i] - '0');
    }
    s->p += digits;
    s->n -= digits;
    return true;
}

static bool take_char(struct kap_str *s, const char *any)
{
    if (!s->n || !strchr(any, s->p[0]))
        return false;
    s->p++;
    s->n--;
    return true;
}

static bool take_zone(struct kap_str *s, int64_t *ret_offset_ns)
{
    *ret_offset_ns = 0;
    if (take_char(s, "Zz"))
        return s->n == 0;
    const bool minus = s->n && s->p[0] == '-';
    int64_t hours, minutes;
    if (!take_char(s, "+-") || !take_number(s, 2, &hours) || !take_char(s, ":") || !take_number(s, 2, &minutes))
        return false;
    *ret_offset_ns = (minus ? -1 : 1) * (hours * KAP_HOUR + minutes * KAP_MINUTE);
    return s->n == 0 && hours < 24 && minutes < 60;
}

enum kap_status kap_time_parse_rfc3339(struct kap_str s, int64_t *ret_ns, struct kap_error *err)
{
    static const char month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const struct kap_str whole = s;
    int64_t v[6], offset, nsec = 0;
    static const size_t width[] = { 4, 2, 2, 2, 2, 2 };
    static const char *const after[] = { "-", "-", "Tt ", ":", ":", "" };
    bool ok = true;
    for (int i = 0; ok && i < 6; i++)
        ok = take_number(&s, width[i], &v[i]) && (i == 5 || take_char(&s, after[i]));
    if (ok && take_char(&s, ".,")) {
        int digits = 0;
        int64_t digit;
        for (; take_number(&s, 1, &digit); digits++)
            if (digits < 9)
                nsec = nsec * 10 + digit;
        ok = digits > 0;
        for (; digits < 9; digits++)
            nsec *= 10;
    }
    ok = ok && take_zone(&s, &offset) && v[1] >= 1 && v[1] <= 12 && v[2] >= 1 && v[2] <= month_days[v[1] - 1] &&
         v[3] < 24 && v[4] < 60 && v[5] < 60 && v[0] >= 1678 && v[0] < 2262;
    if (!ok)
        return kap_fail(err, KAP_EINVAL, "'%.*s' is not a time of the form 2006-01-02T15:04:05Z", KAP_STR_ARG(whole));
    const struct kap_civil c = { .year = v[0], .month = (int)v[1], .day = (int)v[2], .hour = (int)v[3],
                                 .minute = (int)v[4], .second = (int)v[5], .nsec = (int)nsec };
    *ret_ns = kap_civil_ns(&c) - offset;
    return KAP_OK;
}
