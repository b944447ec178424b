#include "test.h"
#include "base/number.h"
#include "base/random.h"
#include <math.h>
#include <stdlib.h>

static void expect(double f, char verb, int precision, const char *text)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    if (verb == 'j')
        kap_number_json(&b, f);
    else
        kap_number_format(&b, f, verb, precision);
    STR_EQ(kap_buf_str(&b), text);
}

TEST(json_numbers_are_the_shortest_with_late_exponents)
{
    expect(0, 'j', 0, "0");
    expect(-0.0, 'j', 0, "-0");
    expect(5, 'j', 0, "5");
    expect(0.1, 'j', 0, "0.1");
    expect(1e-7, 'j', 0, "1e-7");
    expect(1e-6, 'j', 0, "0.000001");
    expect(1e21, 'j', 0, "1e+21");
    expect(1e20, 'j', 0, "100000000000000000000");
    expect(1.7976931348623157e308, 'j', 0, "1.7976931348623157e+308");
    expect(5e-324, 'j', 0, "5e-324");
    expect(2.0 / 3, 'j', 0, "0.6666666666666666");
    expect(123456789.125, 'j', 0, "123456789.125");
    expect(-1.5e300, 'j', 0, "-1.5e+300");
}

TEST(strconv_verbs)
{
    expect(100000, 'f', -1, "100000");
    expect(1.5, 'f', 3, "1.500");
    expect(1e21, 'g', -1, "1e+21");
    expect(1e20, 'g', -1, "1e+20");
    expect(123456789, 'g', -1, "1.23456789e+08");
    expect(0.00001, 'g', -1, "1e-05");
    expect(0.0001, 'g', -1, "0.0001");
    expect(100000, 'g', -1, "100000");
    expect(3.14159, 'g', 3, "3.14");
    expect(1234567, 'g', 3, "1.23e+06");
    expect(1.5, 'e', -1, "1.5e+00");
    expect(1234.5678, 'e', 2, "1.23e+03");
    expect(INFINITY, 'f', -1, "+Inf");
    expect(-INFINITY, 'f', -1, "-Inf");
    expect(NAN, 'f', -1, "NaN");
}

static double random_double(struct kap_random *r)
{
    union {
        uint64_t u;
        double f;
    } bits = { .u = kap_random_u64(r) };
    return bits.f;
}

TEST(random_doubles_read_back)
{
    struct kap_random r;
    kap_random_seed(&r, 42);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    for (int i = 0; i < 20000; i++) {
        const double f = random_double(&r);
        if (!isfinite(f))
            continue;
        kap_buf_reset(&b);
        kap_number_json(&b, f);
        double back;
        assert_true(kap_number_parse(b.p, b.n, &back));
        assert_memory_equal(&back, &f, sizeof f);
    }
}

TEST(parsing_agrees_with_strtod)
{
    struct kap_random r;
    kap_random_seed(&r, 7);
    for (int i = 0; i < 50000; i++) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        if (kap_random_below(&r, 2))
            kap_buf_addc(&b, '-');
        for (uint64_t n = 1 + kap_random_below(&r, 25); n > 0; n--)
            kap_buf_addc(&b, (char)('0' + kap_random_below(&r, 10)));
        if (kap_random_below(&r, 2))
            kap_buf_addf(&b, ".%llu", (unsigned long long)kap_random_below(&r, 1000000007));
        if (kap_random_below(&r, 3) == 0)
            kap_buf_addf(&b, "e%d", (int)kap_random_below(&r, 640) - 320);
        double got;
        assert_true(kap_number_parse(b.p, b.n, &got));
        const double want = strtod(b.p, NULL);
        assert_memory_equal(&got, &want, sizeof got);
    }
}

TEST(what_is_no_number_is_refused)
{
    static const char *const bad[] = { "", "-", ".", "1e", "1e+", "1x", " 1", "1 ", "0x10", "--1", "1..2", "inf", "e5" };
    double f;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(kap_number_parse(bad[i], strlen(bad[i]), &f));
    int64_t n;
    assert_true(kap_str_to_i64(KAP_STR("-9223372036854775808"), &n) && n == INT64_MIN);
    assert_true(kap_str_to_i64(KAP_STR("9223372036854775807"), &n) && n == INT64_MAX);
    assert_false(kap_str_to_i64(KAP_STR("9223372036854775808"), &n));
    assert_false(kap_str_to_i64(KAP_STR("99999999999999999999"), &n));
    assert_true(kap_str_to_f64(KAP_STR("-Inf"), &f) && isinf(f) && f < 0);
    assert_true(kap_str_to_f64(KAP_STR("nan"), &f) && isnan(f));
    assert_false(kap_str_to_f64(KAP_STR("1e999"), &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_numbers_are_the_shortest_with_late_exponents),
        cmocka_unit_test(strconv_verbs),
        cmocka_unit_test(random_doubles_read_back),
        cmocka_unit_test(parsing_agrees_with_strtod),
        cmocka_unit_test(what_is_no_number_is_refused),
    };
    return RUN_TESTS(tests);
}
