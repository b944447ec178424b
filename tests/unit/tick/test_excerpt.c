#include "base/buf.h"
#include "base/mem.h"
#include "tick/tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void the_caret_stands_below_the_place(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    assert_true(kap_tick_error_excerpt(&b, KAP_STR("stream\n\t|frm()\n"),
                                       "invalid TICKscript: line 2 char 3: no method"));
    assert_string_equal(b.p, "    2 | \t|frm()\n      | \t ^\n");
    kap_buf_reset(&b);
    assert_true(kap_tick_error_excerpt(&b, KAP_STR("\xC3\xA9 $"), "unexpected '$' line 1 char 4 in"));
    assert_string_equal(b.p, "    1 | \xC3\xA9 $\n      |   ^\n");
    kap_buf_reset(&b);
    assert_true(kap_tick_error_excerpt(&b, KAP_STR("a\n"), "unexpected EOF line 2 char 1 in"));
    assert_string_equal(b.p, "    2 | \n      | ^\n");
}

static void long_lines_are_cut(void **state)
{
    char text[2001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    assert_true(kap_tick_error_excerpt(&b, kap_str(text), "line 1 char 1900"));
    assert_true(b.n < 400);
    const char *second = strchr(b.p, '\n') + 1;
    assert_int_equal(strchr(second, '^') - second, 8 + 80);
}

static void messages_without_a_place_get_none(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    assert_false(kap_tick_error_excerpt(&b, KAP_STR("x"), "task does nothing"));
    assert_false(kap_tick_error_excerpt(&b, KAP_STR("x"), "line 7 char 1: beyond the end"));
    assert_false(kap_tick_error_excerpt(&b, KAP_STR("x"), "line 1 char 99: beyond the end"));
    assert_false(kap_tick_error_excerpt(&b, KAP_STR("x"), "line of reasoning, line 0 char 0"));
    assert_int_equal(b.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_caret_stands_below_the_place),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(messages_without_a_place_get_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
