#include "lambda/functions.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/gotime.h"
#include "base/mem.h"
#include "base/number.h"
#include "lambda/functions_str.h"
#include "lambda/internal.h"
#include <math.h>

/* The signature of every implementation. */
#define FN(name)                                                                                                 \
    static bool name(struct kap_run *r, const struct kap_value *a, size_t n, struct kap_value *ret,              \
                     struct kap_error *err)

static bool fail(struct kap_error *err, const char *text)
{
    kap_fail(err, KAP_EINVAL, "%s", text);
    return false;
}

static struct kap_str scratch_str(struct kap_run *r, const struct kap_buf *b)
{
    return kap_arena_str(r->env->scratch, kap_buf_str(b));
}

/* --- conversion --- */

static bool parse_bool(struct kap_str s, bool *ret)
{
    static const char *const texts[] = { "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < KAP_COUNT(texts); i++)
        if (kap_str_is(s, texts[i])) {
            *ret = i < KAP_COUNT(texts) / 2;
            return true;
        }
    return false;
}

static bool number_to_bool(double f, struct kap_value *ret, struct kap_error *err)
{
    if (f != 0 && f != 1) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_number_format(&b, f, 'g', -1);
        kap_fail(err, KAP_EINVAL, "cannot convert %s to boolean", kap_buf_str(&b).p);
        return false;
    }
    *ret = kap_value_b(f == 1);
    return true;
}

FN(fn_bool)
{
    bool b;
    if (a[0].type == KAP_BOOL)
        *ret = a[0];
    else if (a[0].type == KAP_FLOAT)
        return number_to_bool(a[0].f, ret, err);
    else if (a[0].type == KAP_INT)
        return number_to_bool((double)a[0].i, ret, err);
    else if (parse_bool(a[0].s, &b))
        *ret = kap_value_b(b);
    else
        return kap_fail(err, KAP_EINVAL, "strconv.ParseBool: parsing \"%.*s\": invalid syntax", KAP_STR_ARG(a[0].s)) ==
               KAP_OK;
    return true;
}

/* "+7" is a number to Go; digits only is what kap_str_to_i64 takes. */
static struct kap_str drop_plus(struct kap_str s)
{
    const bool plus = s.n > 1 && s.p[0] == '+' && s.p[1] >= '0' && s.p[1] <= '9';
    return plus ? kap_strn(s.p + 1, s.n - 1) : s;
}

static bool only_digits(struct kap_str s)
{
    size_t i = s.n > 1 && (s.p[0] == '-' || s.p[0] == '+');
    if (i == s.n)
        return false;
    for (; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

FN(fn_int)
{
    int64_t i = 0;
    if (a[0].type == KAP_INT || a[0].type == KAP_DURATION)
        i = a[0].i;
    else if (a[0].type == KAP_FLOAT)
        i = kap_float_to_int(a[0].f);
    else if (a[0].type == KAP_BOOL)
        i = a[0].b;
    else if (!kap_str_to_i64(drop_plus(a[0].s), &i))
        return kap_fail(err, KAP_EINVAL, "strconv.ParseInt: parsing \"%.*s\": %s", KAP_STR_ARG(a[0].s),
                        only_digits(a[0].s) ? "value out of range" : "invalid syntax") == KAP_OK;
    *ret = kap_value_i(i);
    return true;
}

FN(fn_float)
{
    double f = 0;
    if (a[0].type == KAP_FLOAT)
        f = a[0].f;
    else if (a[0].type == KAP_INT)
        f = (double)a[0].i;
    else if (a[0].type == KAP_BOOL)
        f = a[0].b;
    else if (!kap_str_to_f64(a[0].s, &f))
        return kap_fail(err, KAP_EINVAL, "strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
                        KAP_STR_ARG(a[0].s)) == KAP_OK;
    *ret = kap_value_f(f);
    return true;
}

FN(fn_string)
{
    if (a[0].type == KAP_STRING) {
        *ret = a[0];
        return true;
    }
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    if (a[0].type == KAP_INT)
        kap_number_i64(&b, a[0].i);
    else if (a[0].type == KAP_FLOAT)
        kap_number_format(&b, a[0].f, 'f', -1);
    else if (a[0].type == KAP_DURATION)
        kap_duration_format_influx(&b, a[0].i);
    else
        kap_buf_adds(&b, a[0].b ? "true" : "false");
    *ret = kap_value_s(scratch_str(r, &b));
    return true;
}

FN(fn_duration)
{
    int64_t ns;
    if (a[0].type == KAP_DURATION)
        ns = a[0].i;
    else if (a[0].type == KAP_INT)
        ns = (int64_t)((uint64_t)a[0].i * (uint64_t)a[1].i);
    else if (a[0].type == KAP_FLOAT)
        ns = kap_float_to_int(a[0].f * (double)a[1].i);
    else if (kap_duration_parse_influx(a[0].s, &ns, NULL) != KAP_OK)
        return kap_fail(err, KAP_EINVAL, "invalid duration string \"%.*s\"", KAP_STR_ARG(a[0].s)) == KAP_OK;
    *ret = kap_value_dur(ns);
    return true;
}

/* --- math: Go's special cases where C's differ --- */

static double go_y0(double x)
{
    return x < 0 ? NAN : y0(x);
}
static double go_y1(double x)
{
    return x < 0 ? NAN : y1(x);
}
static double go_gamma(double x)
{
    return x < 0 && x == floor(x) ? NAN : tgamma(x);
}

static double go_max(double x, double y)
{
    if (isinf(x) && x > 0)
        return x;
    if (isinf(y) && y > 0)
        return y;
    if (isnan(x) || isnan(y))
        return NAN;
    if (x == 0 && x == y)
        return signbit(x) ? y : x;
    return x > y ? x : y;
}

static double go_min(double x, double y)
{
    if (isinf(x) && x < 0)
        return x;
    if (isinf(y) && y < 0)
        return y;
    if (isnan(x) || isnan(y))
        return NAN;
    if (x == 0 && x == y)
        return signbit(x) ? x : y;
    return x < y ? x : y;
}

static double go_pow10(int64_t n)
{
    return n < -323 ? 0 : n > 308 ? INFINITY : pow(10, (double)n);
}

#define MATH2(name, function)                                                                                    \
    FN(name)                                                                                                     \
    {                                                                                                            \
        *ret = kap_value_f(function(a[0].f, a[1].f));                                                            \
        return true;                                                                                             \
    }
MATH2(fn_atan2, atan2)
MATH2(fn_hypot, hypot)
MATH2(fn_max, go_max)
MATH2(fn_min, go_min)
MATH2(fn_mod, fmod)
MATH2(fn_pow, pow)

FN(fn_pow10)
{
    *ret = kap_value_f(go_pow10(a[0].i));
    return true;
}

/* Orders beyond these are 0 (jn) or -Inf (yn) for every argument that is not huge, and would take long to compute. */
#define ORDER_MAX 100000

static int order(int64_t n)
{
    return (int)KAP_MAX(KAP_MIN(n, ORDER_MAX), -ORDER_MAX);
}

FN(fn_jn)
{
    *ret = kap_value_f(jn(order(a[0].i), a[1].f));
    return true;
}

FN(fn_yn)
{
    *ret = kap_value_f(a[1].f < 0 ? NAN : yn(order(a[0].i), a[1].f));
    return true;
}

/* --- time, UTC --- */

FN(fn_unix_nano)
{
    *ret = kap_value_i(a[0].i);
    return true;
}
#define CIVIL(name, member)                                                                                      \
    FN(name)                                                                                                     \
    {                                                                                                            \
        *ret = kap_value_i(kap_civil(a[0].i).member);                                                            \
        return true;                                                                                             \
    }
CIVIL(fn_minute, minute)
CIVIL(fn_hour, hour)
CIVIL(fn_weekday, weekday)
CIVIL(fn_day, day)
CIVIL(fn_month, month)
CIVIL(fn_year, year)

FN(fn_now)
{
    *ret = kap_value_time(r->env->clock ? kap_clock_wall(r->env->clock) : 0);
    return true;
}

/* --- presence, choice, human readable --- */

FN(fn_is_present)
{
    *ret = kap_value_b(a[0].type != KAP_MISSING);
    return true;
}

FN(fn_if)
{
    *ret = a[0].b ? a[1] : a[2];
    return true;
}

/* Go's conversion of a float to uint64 on amd64. */
static uint64_t float_to_uint(double f)
{
    if (f < 9223372036854775808.0)
        return (uint64_t)kap_float_to_int(f);
    return f < 18446744073709551616.0 ? (uint64_t)f : (uint64_t)1 << 63;
}

FN(fn_human_bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
    const uint64_t bytes = a[0].type == KAP_FLOAT ? float_to_uint(a[0].f) : (uint64_t)a[0].i;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    if (bytes < 10) {
        kap_buf_addf(&b, "%llu B", (unsigned long long)bytes);
    } else {
        const double power = floor(log((double)bytes) / log(1000));
        const double value = floor((double)bytes / pow(1000, power) * 10 + 0.5) / 10;
        kap_buf_addf(&b, value < 10 ? "%.1f %s" : "%.0f %s", value, units[(size_t)power]);
    }
    *ret = kap_value_s(scratch_str(r, &b));
    return true;
}

/* --- state: one for each expression, shared by all calls of a function in it, as in the reference --- */

FN(fn_count)
{
    *ret = kap_value_i(++r->state->count);
    return true;
}

/* Welford's running mean and variance. */
FN(fn_sigma)
{
    struct kap_lambda_state *s = r->state;
    const double x = a[0].f;
    s->sigma_n++;
    const double delta = x - s->sigma_mean;
    s->sigma_mean += delta / s->sigma_n;
    s->sigma_m2 += delta * (x - s->sigma_mean);
    const double variance = s->sigma_n < 2 ? 0 : s->sigma_m2 / (s->sigma_n - 1);
    *ret = kap_value_f(variance == 0 ? 0 : fabs(x - s->sigma_mean) / sqrt(variance));
    return true;
}

FN(fn_spread)
{
    struct kap_lambda_state *s = r->state;
    const double x = a[0].f;
    if (x < s->spread_min)
        s->spread_min = x;
    if (x > s->spread_max)
        s->spread_max = x;
    *ret = kap_value_f(s->spread_max - s->spread_min);
    return true;
}

FN(fn_rand)
{
    if (n == 1 && a[0].i <= 0)
        return fail(err, "rand needs a positive limit");
    const uint64_t u = n == 1 ? kap_random_below(&r->state->random, (uint64_t)a[0].i) : kap_random_u64(&r->state->random);
    *ret = kap_value_i((int64_t)(u & INT64_MAX));
    return true;
}

/* --- the table --- */

#define CONVERSION "Type conversion"
#define MATH "Mathematics"
#define STRINGS "Strings"
#define TIME "Time"
#define MISC "Presence, choice and display"
#define STATE "Stateful functions"
#define MATH1(name, function, doc) { name, MATH, "f:f", doc, NULL, function, 0 }

const struct kap_lambda_fn kap_lambda_fns[] = {
    { "bool", CONVERSION, "b:b s:b i:b f:b", "0 and 1, and the texts 1 t T true TRUE True 0 f F false FALSE False.",
      fn_bool, NULL, 0 },
    { "int", CONVERSION, "b:i s:i i:i f:i d:i", "Floats are cut towards zero; durations are nanoseconds; decimal texts.",
      fn_int, NULL, 0 },
    { "float", CONVERSION, "b:f s:f i:f f:f", "Texts may have an exponent, or be inf or nan.", fn_float, NULL, 0 },
    { "string", CONVERSION, "b:s s:s i:s f:s d:s", "Floats never have an exponent; durations are in the largest exact unit.",
      fn_string, NULL, 0 },
    { "duration", CONVERSION, "d:d id:d fd:d sd:d",
      "A number of units, or a text such as '90m' (the unit is not used then). A duration stays as it is.", fn_duration,
      NULL, 0 },

    MATH1("abs", fabs, "Absolute value."),
    MATH1("acos", acos, "Arc cosine, in radians."),
    MATH1("acosh", acosh, "Inverse hyperbolic cosine."),
    MATH1("asin", asin, "Arc sine, in radians."),
    MATH1("asinh", asinh, "Inverse hyperbolic sine."),
    MATH1("atan", atan, "Arc tangent, in radians."),
    { "atan2", MATH, "ff:f", "Arc tangent of the first over the second, in the quadrant of both.", fn_atan2, NULL, 0 },
    MATH1("atanh", atanh, "Inverse hyperbolic tangent."),
    MATH1("cbrt", cbrt, "Cube root."),
    MATH1("ceil", ceil, "The least whole number not below."),
    MATH1("cos", cos, "Cosine of radians."),
    MATH1("cosh", cosh, "Hyperbolic cosine."),
    MATH1("erf", erf, "Error function."),
    MATH1("erfc", erfc, "Complementary error function."),
    MATH1("exp", exp, "e to the power."),
    MATH1("exp2", exp2, "2 to the power."),
    MATH1("expm1", expm1, "exp(x) - 1, exact near zero."),
    MATH1("floor", floor, "The greatest whole number not above."),
    MATH1("gamma", go_gamma, "Gamma function."),
    { "hypot", MATH, "ff:f", "sqrt(x*x + y*y).", fn_hypot, NULL, 0 },
    MATH1("j0", j0, "Bessel function of the first kind, order 0."),
    MATH1("j1", j1, "Bessel function of the first kind, order 1."),
    { "jn", MATH, "if:f", "Bessel function of the first kind, order n.", fn_jn, NULL, 0 },
    MATH1("log", log, "Natural logarithm."),
    MATH1("log10", log10, "Decimal logarithm."),
    MATH1("log1p", log1p, "log(1 + x), exact near zero."),
    MATH1("log2", log2, "Binary logarithm."),
    MATH1("logb", logb, "The binary exponent."),
    { "max", MATH, "ff:f", "The larger of two.", fn_max, NULL, 0 },
    { "min", MATH, "ff:f", "The smaller of two.", fn_min, NULL, 0 },
    { "mod", MATH, "ff:f", "Remainder of a division, with the sign of the first.", fn_mod, NULL, 0 },
    { "pow", MATH, "ff:f", "The first to the power of the second.", fn_pow, NULL, 0 },
    { "pow10", MATH, "i:f", "10 to the power.", fn_pow10, NULL, 0 },
    MATH1("sin", sin, "Sine of radians."),
    MATH1("sinh", sinh, "Hyperbolic sine."),
    MATH1("sqrt", sqrt, "Square root."),
    MATH1("tan", tan, "Tangent of radians."),
    MATH1("tanh", tanh, "Hyperbolic tangent."),
    MATH1("trunc", trunc, "Cut towards zero."),
    MATH1("y0", go_y0, "Bessel function of the second kind, order 0."),
    MATH1("y1", go_y1, "Bessel function of the second kind, order 1."),
    { "yn", MATH, "if:f", "Bessel function of the second kind, order n.", fn_yn, NULL, 0 },

    { "strContains", STRINGS, "ss:b", "Whether the second is in the first.", kap_fn_str_contains, NULL, 0 },
    { "strContainsAny", STRINGS, "ss:b", "Whether any character of the second is in the first.",
      kap_fn_str_contains_any, NULL, 0 },
    { "strCount", STRINGS, "ss:i", "How often the second is in the first, without overlap; '' counts characters + 1.",
      kap_fn_str_count, NULL, 0 },
    { "strHasPrefix", STRINGS, "ss:b", "Whether the first begins with the second.", kap_fn_str_has_prefix, NULL, 0 },
    { "strHasSuffix", STRINGS, "ss:b", "Whether the first ends with the second.", kap_fn_str_has_suffix, NULL, 0 },
    { "strIndex", STRINGS, "ss:i", "Byte position of the second in the first, -1 if it is not there.",
      kap_fn_str_index, NULL, 0 },
    { "strIndexAny", STRINGS, "ss:i", "Byte position of the first character that is in the second, or -1.",
      kap_fn_str_index_any, NULL, 0 },
    { "strLastIndex", STRINGS, "ss:i", "Last byte position of the second in the first, or -1.", kap_fn_str_last_index,
      NULL, 0 },
    { "strLastIndexAny", STRINGS, "ss:i", "Byte position of the last character that is in the second, or -1.",
      kap_fn_str_last_index_any, NULL, 0 },
    { "strLength", STRINGS, "s:i", "Length in bytes.", kap_fn_str_length, NULL, 0 },
    { "strReplace", STRINGS, "sssi:s", "Replaces the second by the third in the first, n times; -1: always.",
      kap_fn_str_replace, NULL, 0 },
    { "strSubstring", STRINGS, "sii:s", "Bytes from start up to stop, which must be less than the length.",
      kap_fn_str_substring, NULL, 0 },
    { "strToLower", STRINGS, "s:s", "In lower case.", kap_fn_str_to_lower, NULL, 0 },
    { "strToUpper", STRINGS, "s:s", "In upper case.", kap_fn_str_to_upper, NULL, 0 },
    { "strTrim", STRINGS, "ss:s", "Without the characters of the second at both ends.", kap_fn_str_trim, NULL, 0 },
    { "strTrimLeft", STRINGS, "ss:s", "Without the characters of the second at the start.", kap_fn_str_trim_left, NULL,
      0 },
    { "strTrimPrefix", STRINGS, "ss:s", "Without the second at the start.", kap_fn_str_trim_prefix, NULL, 0 },
    { "strTrimRight", STRINGS, "ss:s", "Without the characters of the second at the end.", kap_fn_str_trim_right, NULL,
      0 },
    { "strTrimSpace", STRINGS, "s:s", "Without white space at both ends.", kap_fn_str_trim_space, NULL, 0 },
    { "strTrimSuffix", STRINGS, "ss:s", "Without the second at the end.", kap_fn_str_trim_suffix, NULL, 0 },
    { "regexReplace", STRINGS, "rss:s", "Replaces matches in the second by the third, where $1 and ${name} are groups.",
      kap_fn_regex_replace, NULL, 0 },

    { "unixNano", TIME, "t:i", "Nanoseconds since 1970.", fn_unix_nano, NULL, 0 },
    { "minute", TIME, "t:i", "Minute of the hour, 0 to 59 (UTC).", fn_minute, NULL, 0 },
    { "hour", TIME, "t:i", "Hour of the day, 0 to 23 (UTC).", fn_hour, NULL, 0 },
    { "weekday", TIME, "t:i", "Day of the week, 0 (Sunday) to 6 (UTC).", fn_weekday, NULL, 0 },
    { "day", TIME, "t:i", "Day of the month, 1 to 31 (UTC).", fn_day, NULL, 0 },
    { "month", TIME, "t:i", "Month, 1 to 12 (UTC).", fn_month, NULL, 0 },
    { "year", TIME, "t:i", "Year (UTC).", fn_year, NULL, 0 },
    { "now", TIME, ":t", "The time of evaluation, not of the data.", fn_now, NULL, KAP_FN_IMPURE },

    { "isPresent", MISC, "m:b b:b s:b i:b f:b", "Whether the field or tag exists.", fn_is_present, NULL, 0 },
    { "if", MISC, "bff:f bii:i bss:s bbb:b brr:r btt:t bdd:d",
      "The second if the first holds, else the third. Both are evaluated.", fn_if, NULL, 0 },
    { "humanBytes", MISC, "f:s i:s", "A number of bytes in powers of 1000: '83 MB'.", fn_human_bytes, NULL, 0 },

    { "count", STATE, ":i", "How often it was evaluated.", fn_count, NULL, KAP_FN_STATE },
    { "sigma", STATE, "f:f", "Standard deviations between the value and the running mean.", fn_sigma, NULL, KAP_FN_STATE },
    { "spread", STATE, "f:f", "Range of all values so far.", fn_spread, NULL, KAP_FN_STATE },
    { "rand", STATE, ":i i:i", "A random number, below n if given; the same sequence in every copy of a task.", fn_rand,
      NULL, KAP_FN_STATE },
    { 0 },
};

const struct kap_lambda_fn *kap_lambda_fn_find(struct kap_str name)
{
    for (const struct kap_lambda_fn *fn = kap_lambda_fns; fn->name; fn++)
        if (kap_str_is(name, fn->name))
            return fn;
    return NULL;
}

static int letter_type(char letter)
{
    switch (letter) {
    case 'f':
        return KAP_FLOAT;
    case 'i':
        return KAP_INT;
    case 's':
        return KAP_STRING;
    case 'b':
        return KAP_BOOL;
    case 't':
        return KAP_TIME;
    case 'd':
        return KAP_DURATION;
    case 'r':
        return KAP_REGEX;
    default:
        return KAP_MISSING;
    }
}

/* Whether the signature at p has these arguments. */
static bool signature_fits(const char *p, const enum kap_type *args, size_t nargs)
{
    for (size_t i = 0; i < nargs; i++)
        if (p[i] == ':' || letter_type(p[i]) != (int)args[i])
            return false;
    return p[nargs] == ':';
}

int kap_lambda_fn_result(const struct kap_lambda_fn *fn, const enum kap_type *args, size_t nargs)
{
    for (const char *p = fn->signatures; p; p = strchr(p, ' ')) {
        if (*p == ' ')
            p++;
        if (signature_fits(p, args, nargs))
            return letter_type(p[nargs + 1]);
    }
    return KAP_TYPE_NONE;
}

void kap_lambda_fn_signatures(struct kap_buf *b, const struct kap_lambda_fn *fn)
{
    kap_buf_adds(b, "[(");
    bool first = true;
    for (const char *p = fn->signatures; *p; p++) {
        if (*p == ' ') {
            kap_buf_adds(b, ", (");
            first = true;
        } else if (*p == ':') {
            kap_buf_addc(b, ')');
            p++; /* the result */
        } else {
            kap_buf_addf(b, "%s%s", first ? "" : ",", kap_type_name((enum kap_type)letter_type(*p)));
            first = false;
        }
    }
    kap_buf_addc(b, ']');
}

struct kap_value kap_code_call(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_lambda_extra *extra = c->node->extra;
    const struct kap_lambda_fn *fn = c->node->fn;
    struct kap_value ret = { .type = KAP_MISSING };
    struct kap_value args[KAP_LAMBDA_ARGS] = { { .type = KAP_MISSING } };
    for (size_t i = 0; i < c->nargs; i++)
        args[i] = kap_code_value(c->args[i], r);
    if (r->status != KAP_OK) /* no state changes behind a failure */
        return ret;
    if (extra)
        return extra->fn(r->env->ctx);
    if (fn->math)
        return kap_value_f(fn->math(args[0].f));
    struct kap_error err;
    if (!fn->call(r, args, c->nargs, &ret, &err)) {
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        kap_buf_addf(&text, "error calling \"%s\": %s", fn->name, err.msg);
        kap_run_fail(r, c->node, err.status, kap_buf_str(&text).p);
    }
    return ret;
}
