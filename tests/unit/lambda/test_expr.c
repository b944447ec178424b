#include "parse.h"
#include "test.h"

#include "base/mem.h"

/* --- printing --- */

static void prints(const char *text, const char *want)
{
    struct kap_arena *a = kap_arena_new();
    const struct kap_expr *e = parse_lambda(a, text);
    assert_non_null(e);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_expr_format(&b, e);
    assert_string_equal(b.p, want);
    /* what is printed means the same: printed again it is the same text */
    const struct kap_expr *again = parse_lambda(a, want);
    KAP_AUTO_BUF struct kap_buf twice = { 0 };
    assert_non_null(again);
    kap_expr_format(&twice, again);
    assert_string_equal(twice.p, want);
    kap_arena_free(a);
}

TEST(test_printing)
{
    prints("1+2*3", "1 + 2 * 3");
    prints("( 1+2 )*3", "(1 + 2) * 3");
    prints("\"a b\"=='it\\'s'", "\"a b\" == 'it\\'s'");
    prints("\"q\\\"q\" != '''raw 'text' \\'''", "\"q\\\"q\" != '''raw 'text' \\'''");
    prints("if(TRUE,-1,- \"x\")", "if(TRUE, -1, -\"x\")");
    prints("!FALSE OR \"s\" =~ /a\\/b/", "!FALSE OR \"s\" =~ /a\\/b/");
    prints("010 + 8", "010 + 8");
    prints("2.0 + 0.50", "2.0 + 0.5");
    prints("90m + 1h", "90m + 1h"); /* as written, not 1h30m */
}

static void literal_prints(struct kap_value v, const char *want)
{
    struct kap_arena *a = kap_arena_new();
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_expr_format(&b, kap_expr_literal(a, v));
    assert_string_equal(b.p, want);
    kap_arena_free(a);
}

TEST(test_literals)
{
    literal_prints(kap_value_i(INT64_MIN), "-9223372036854775808");
    literal_prints(kap_value_f(1e21), "1000000000000000000000.0"); /* the language has no exponents */
    literal_prints(kap_value_b(false), "FALSE");
    literal_prints(kap_value_dur(INT64_C(5400000000000)), "90m");
    literal_prints(kap_value_s(KAP_STR("it's")), "'it\\'s'");
}

/* --- copying --- */

TEST(test_copies_stand_alone)
{
    static const char text[] = "if(\"a\" > 10s, strReplace('x', \"b\", 'y', 1), 'z') =~ /^q/";
    struct kap_arena *from = kap_arena_new(), *to = kap_arena_new();
    const struct kap_expr *copy = kap_expr_copy(to, parse_lambda(from, text));
    kap_arena_free(from); /* nothing of it is used any more */
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_expr_format(&b, copy);
    assert_string_equal(b.p, text);
    kap_arena_free(to);
    assert_null(kap_expr_copy(NULL, NULL));
}

TEST(test_operators_have_texts)
{
    for (int op = KAP_OP_ADD; op <= KAP_OP_AT; op++)
        assert_true(strlen(kap_op_text((enum kap_op)op)) > 0);
    assert_string_equal(kap_op_text(KAP_OP_NONE), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printing),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_copies_stand_alone),
        cmocka_unit_test(test_operators_have_texts),
    };
    return RUN_TESTS(tests);
}
