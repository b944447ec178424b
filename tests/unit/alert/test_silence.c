#include "sample.h"

#include "alert/silence.h"
#include "base/duration.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static enum kap_status read_text(const char *text, struct kap_silence *ret, struct kap_error *err)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    const enum kap_status status = kap_silence_read(json, 1000 * KAP_S, ret, err);
    json_decref(json);
    return status;
}

static struct kap_silence silence(const char *text)
{
    struct kap_silence s;
    struct kap_error err;
    assert_int_equal(read_text(text, &s, &err), KAP_OK);
    return s;
}

static void reads_and_shows(void **state)
{
    struct kap_silence s = silence("{\"id\": \"a\", \"topic\": \"cpu*\", \"event\": \"x\", \"tags\": {\"host\": \"web*\"},"
                                   " \"levels\": [\"warning\", \"CRITICAL\"], \"comment\": \"c\", \"duration\": \"2h\"}");
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    kap_silence_json(&s, &j);
    assert_string_equal(b.p, "{\"id\":\"a\",\"topic\":\"cpu*\",\"event\":\"x\",\"tags\":{\"host\":\"web*\"},"
                             "\"levels\":[\"WARNING\",\"CRITICAL\"],\"comment\":\"c\","
                             "\"created\":\"1970-01-01T00:16:40Z\",\"expires\":\"1970-01-01T02:16:40Z\"}");
    struct kap_silence again = silence(b.p);
    assert_int_equal(again.expires_ns, s.expires_ns);
    kap_silence_done(&again);
    kap_silence_done(&s);
    s = silence("{\"topic\": \"t\", \"duration\": \"1m\"}");
    assert_int_equal(s.id.n, 36);
    kap_silence_done(&s);
}

static void names_what_is_wrong(void **state)
{
    static const char *const bad[][2] = {
        { "[]", "silence: must be an object" },
        { "{\"topic\": \"t\"}", "silence: \"expires\" or \"duration\" is missing" },
        { "{\"duration\": \"1h\"}", "silence: it must name a topic, an event, tags or levels" },
        { "{\"topic\": \"t\", \"duration\": \"0s\"}", "silence: \"duration\" must be greater than 0" },
        { "{\"topic\": 1}", "silence: \"topic\" must be a string" },
        { "{\"topic\": \"[a\"}", "silence: \"topic\": bad pattern \"[a\"" },
        { "{\"tags\": {\"h\": \"[a\"}}", "silence: \"h\": bad pattern \"[a\"" },
        { "{\"levels\": [\"BAD\"]}", "silence: \"levels\": unknown level \"BAD\"" },
        { "{\"topik\": \"t\"}", "silence: unknown member \"topik\", did you mean \"topic\"?" },
        { "{\"topic\": \"t\", \"id\": \"a/b\", \"duration\": \"1h\"}", "silence: \"id\" must not contain '/'" },
    };
    for (size_t i = 0; i < KAP_COUNT(bad); i++) {
        struct kap_silence s;
        struct kap_error err = { 0 };
        assert_int_not_equal(read_text(bad[i][0], &s, &err), KAP_OK);
        assert_string_equal(err.msg, bad[i][1]);
    }
}

static void matches_until_it_expires(void **state)
{
    struct kap_silences *ss = kap_silences_new();
    struct kap_event *warn = sample_event("cpu_load", "x", KAP_LEVEL_WARNING);
    struct kap_event *ok = sample_event("cpu_load", "x", KAP_LEVEL_OK);
    const int64_t start = 1000 * KAP_S, end = start + KAP_HOUR;
    assert_false(kap_silences_match(ss, warn, start));
    struct kap_silence s = silence("{\"id\": \"a\", \"topic\": \"cpu*\", \"levels\": [\"WARNING\"], \"duration\": \"1h\"}");
    kap_silences_put(ss, &s);
    assert_true(kap_silences_match(ss, warn, end - 1));
    assert_false(kap_silences_match(ss, warn, end));
    assert_false(kap_silences_match(ss, ok, start));
    s = silence("{\"id\": \"a\", \"event\": \"y\", \"duration\": \"1h\"}"); /* replaces */
    kap_silences_put(ss, &s);
    assert_false(kap_silences_match(ss, warn, start));
    s = silence("{\"id\": \"0\", \"tags\": {\"nosuch\": \"\"}, \"duration\": \"1h\"}");
    kap_silences_put(ss, &s);
    assert_true(kap_silences_match(ss, warn, start));
    assert_int_equal(kap_silences_len(ss), 2);
    kap_silences_drop(ss, KAP_STR("0"));
    kap_silences_drop(ss, KAP_STR("0"));
    assert_int_equal(kap_silences_len(ss), 1);
    assert_false(kap_silences_match(ss, warn, start));
    kap_event_unref(warn);
    kap_event_unref(ok);
    kap_silences_free(ss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_shows),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(matches_until_it_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
