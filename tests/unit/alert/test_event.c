#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void event_text(const struct kap_event *ev, struct kap_buf *out, bool *good)
{
    struct kap_json j;
    kap_json_init(&j, out, false);
    *good = kap_event_json(ev, &j);
}

static void test_levels(void **state)
{
    enum kap_level l;
    assert_true(kap_level_parse(KAP_STR("warn"), &l));
    assert_int_equal(l, KAP_LEVEL_WARNING);
    assert_true(kap_level_parse(KAP_STR("Critical"), &l));
    assert_int_equal(l, KAP_LEVEL_CRITICAL);
    assert_false(kap_level_parse(KAP_STR("loud"), &l));
    assert_false(kap_level_parse(KAP_STR(""), &l));
    for (int i = KAP_LEVEL_OK; i <= KAP_LEVEL_CRITICAL; i++) {
        assert_true(kap_level_parse(kap_str(kap_level_name((enum kap_level)i)), &l));
        assert_int_equal(l, i);
    }
}

/* The members and their order are those of the golden case alert/levels_basic. */
static void test_json(void **state)
{
    struct kap_event *ev = sample_event("t", "cpu:host=a", KAP_LEVEL_INFO);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    bool good;
    event_text(ev, &b, &good);
    assert_true(good);
    assert_string_equal(b.p,
                        "{\"id\":\"cpu:host=a\",\"message\":\"cpu:host=a is INFO\","
                        "\"details\":\"\\u003cb\\u003ex\\u003c/b\\u003e\",\"time\":\"1970-01-01T00:00:02Z\","
                        "\"duration\":1000000000,\"level\":\"INFO\",\"data\":{\"series\":[{\"name\":\"cpu\",\"tags\":"
                        "{\"host\":\"a\"},\"columns\":[\"time\",\"v\"],\"values\":[[\"1970-01-01T00:00:02Z\",15]]}]},"
                        "\"previousLevel\":\"OK\",\"recoverable\":true}");
    ev->rows[0]->values[1] = kap_value_f(NAN);
    kap_buf_reset(&b);
    event_text(ev, &b, &good);
    assert_false(good);
    kap_event_unref(ev);
}

static void test_binary_round_trip(void **state)
{
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL), *back;
    struct kap_error err;
    ev->time_ns = INT64_MIN;
    ev->duration_ns = INT64_MAX;
    ev->sequence = UINT64_MAX;
    ev->no_external = true;
    KAP_AUTO_BUF struct kap_buf one = { 0 }, two = { 0 };
    kap_event_encode(ev, &one);
    assert_int_equal(kap_event_decode(kap_buf_str(&one), &back, &err), KAP_OK);
    kap_event_encode(back, &two);
    assert_true(kap_str_eq(kap_buf_str(&one), kap_buf_str(&two)));
    assert_int_equal(back->time_ns, INT64_MIN);
    assert_true(back->no_external && back->recoverable);
    assert_int_equal(back->nfields, 4);
    assert_true(kap_tags_eq(back->tags, ev->tags));
    KAP_AUTO_BUF struct kap_buf a = { 0 }, b = { 0 };
    bool good;
    event_text(ev, &a, &good);
    event_text(back, &b, &good);
    assert_string_equal(a.p, b.p);
    kap_event_unref(ev);
    kap_event_unref(back);
}

/* Every cut-off form and every single wrong byte is refused or read, never anything else. */
static void test_binary_damaged(void **state)
{
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL), *back;
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf good = { 0 };
    kap_event_encode(ev, &good);
    kap_event_unref(ev);
    for (size_t n = 0; n < good.n; n++)
        assert_int_equal(kap_event_decode(kap_strn(good.p, n), &back, &err), KAP_EINVAL);
    for (size_t i = 0; i < good.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            good.p[i] = (char)(good.p[i] ^ (1 << bit));
            if (kap_event_decode(kap_buf_str(&good), &back, &err) == KAP_OK)
                kap_event_unref(back);
            good.p[i] = (char)(good.p[i] ^ (1 << bit));
        }
    }
    kap_buf_addc(&good, 'x');
    assert_int_equal(kap_event_decode(kap_buf_str(&good), &back, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "event: bad end");
}

static void test_derive(void **state)
{
    struct kap_event *ev = sample_event("a", "x", KAP_LEVEL_INFO);
    struct kap_event *b = kap_event_derive(ev, KAP_STR("b"));
    struct kap_event *c = kap_event_derive(b, KAP_STR("c"));
    kap_event_unref(ev);
    kap_event_unref(b);
    assert_true(kap_str_is(c->topic, "c"));
    assert_true(kap_str_is(c->message, "x is INFO"));
    bool good;
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    event_text(c, &text, &good);
    assert_non_null(strstr(text.p, "\"id\":\"x\""));
    kap_event_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_binary_round_trip),
        cmocka_unit_test(test_binary_damaged),
        cmocka_unit_test(test_derive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
