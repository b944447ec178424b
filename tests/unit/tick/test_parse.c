#include "base/buf.h"
#include "base/mem.h"
#include "tick/tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PRIMARY "expected: \"number\",\"string\",\"duration\",\"identifier\",\"TRUE\",\"FALSE\",\"==\",\"(\",\"-\",\"!\""

static void assert_refused(const char *text, const char *expected)
{
    struct kap_tick_script *s = NULL;
    struct kap_error err = { .msg = "" };
    assert_int_not_equal(kap_tick_parse(kap_str(text), &s, &err), KAP_OK);
    assert_string_equal(err.msg, expected);
    assert_null(s);
    assert_int_not_equal(kap_tick_parse(kap_str(text), &s, NULL), KAP_OK);
}

static struct kap_tick_script *parse(const char *text)
{
    struct kap_tick_script *s = NULL;
    struct kap_error err;
    if (kap_tick_parse(kap_str(text), &s, &err) != KAP_OK)
        fail_msg("%s\n%s", text, err.msg);
    return s;
}

static void errors_name_place_and_expectation(void **state)
{
    assert_refused("stream\n    |from(", "parser: unexpected EOF line 2 char 11 in \"    |from(\". " PRIMARY);
    assert_refused("stream|from()|",
                   "parser: unexpected EOF line 1 char 15 in \"am|from()|\". expected: \"identifier\"");
    assert_refused("stream|from().a(1 2)",
                   "parser: unexpected number line 1 char 19 in \"rom().a(1 2)\". expected: \")\"");
    assert_refused("var x = [1]", "parser: unexpected number line 1 char 10 in \"var x = [1]\". "
                                  "expected: \"identifier\",\"string\",\"*\"");
    assert_refused("dbrp \"a\" \"b\"",
                   "parser: unexpected reference line 1 char 10 in \"dbrp \"a\" \"b\"\". expected: \".\"");
    assert_refused("x.a(b\n", "parser: unexpected EOF line 2 char 1 in \"\". expected: \")\"");
}

static void errors_of_the_lexer_are_shown(void **state)
{
    assert_refused("a $",
                   "parser: unexpected unknown state, last char: '$' line 1 char 3 in \"a $\". " PRIMARY);
    assert_refused("a \\",
                   "parser: unexpected unknown state, last char: '\\\\' line 1 char 3 in \"a \\\". " PRIMARY);
    assert_refused(
        "a \x01",
        "parser: unexpected unknown state, last char: '\\x01' line 1 char 3 in \"a \x01\". " PRIMARY);
    assert_refused("a('x", "parser: unexpected unterminated string line 1 char 3 in \"a('x\". " PRIMARY);
    assert_refused("a('''x''",
                   "parser: unexpected unterminated string line 1 char 3 in \"a('''x''\". " PRIMARY);
    assert_refused("a(/x", "parser: unexpected unterminated regex line 1 char 3 in \"a(/x\". " PRIMARY);
    assert_refused(
        "var x = 1.2.3",
        "parser: unexpected multiple decimals in number line 1 char 9 in \"var x = 1.2.3\". " PRIMARY);
}

static void numbers_must_be_sound(void **state)
{
    assert_refused("var x = 09", "parser: illegal number syntax: \"09\"");
    assert_refused("var x = 9223372036854775808", "parser: illegal number syntax: \"9223372036854775808\"");
    kap_tick_script_unref(parse("var x = 9223372036854775807"));
    kap_tick_script_unref(parse("var x = 0777777777777777777777"));
    assert_refused("var x = 01777777777777777777777",
                   "parser: illegal number syntax: \"01777777777777777777777\"");
}

/* `n` times `text`, between `before` and `after`. */
static char *repeat(const char *before, const char *text, size_t n, const char *after)
{
    struct kap_buf b = { 0 };
    kap_buf_adds(&b, before);
    for (size_t i = 0; i < n; i++)
        kap_buf_adds(&b, text);
    kap_buf_adds(&b, after);
    return kap_buf_take(&b);
}

static enum kap_status try_parse(char *text, struct kap_error *err)
{
    struct kap_tick_script *s = NULL;
    const enum kap_status st = kap_tick_parse(kap_str(text), &s, err);
    kap_tick_script_unref(s);
    kap_free(text);
    return st;
}

static void nesting_is_limited(void **state)
{
    struct kap_error err;
    assert_int_equal(try_parse(repeat("var x = ", "(", 100000, ""), &err), KAP_ELIMIT);
    assert_int_equal(try_parse(repeat("var x = ", "-", 100000, "1"), &err), KAP_ELIMIT);
    assert_int_equal(try_parse(repeat("x", ".a(b", 100000, ""), &err), KAP_ELIMIT);
    assert_int_equal(try_parse(repeat("var x = lambda: ", "f(", 100000, ""), &err), KAP_ELIMIT);
    assert_int_equal(try_parse(repeat("var x = 1", " + 1", 100000, ""), &err), KAP_ELIMIT);
    assert_int_equal(try_parse(repeat("var x = ", "1 OR 1 AND 1 == 1 < 1 + 1 * ", 10000, "1"), &err),
                     KAP_ELIMIT);
    assert_int_equal(try_parse(repeat("var x = 1", " OR 1", 1500, ""), &err), KAP_OK);
    assert_int_equal(try_parse(repeat("x", ".a()", 100000, ""), &err), KAP_OK); /* a long chain is flat */
    assert_int_equal(try_parse(repeat("", " ", KAP_TICK_SCRIPT_BYTES + 1, ""), &err), KAP_ELIMIT);
}

static void assert_type(const char *text, enum kap_task_type type)
{
    struct kap_tick_script *s = parse(text);
    assert_int_equal(kap_tick_task_type(s), type);
    kap_tick_script_unref(s);
}

static void the_task_type_is_what_chains_start_from(void **state)
{
    assert_type("stream|from()", KAP_TASK_STREAM);
    assert_type("batch|query('x')", KAP_TASK_BATCH);
    assert_type("var x = batch|query('x')", KAP_TASK_BATCH);
    assert_type("var x = stream", KAP_TASK_STREAM);
    assert_type("stream", KAP_TASK_INVALID);
    assert_type("var stream = 5", KAP_TASK_INVALID);
    assert_type("5 + 5", KAP_TASK_INVALID);
    assert_type("stream|from()\nbatch|query('x')", KAP_TASK_INVALID);
    assert_type("", KAP_TASK_INVALID);
}

static void dbrp_statements_are_gathered(void **state)
{
    const struct kap_dbrp *d;
    struct kap_tick_script *s = parse("dbrp \"a\".\"r one\"\nstream|from()\ndbrp \"d \\\"q\\\"\" . \"r2\"");
    assert_int_equal(kap_tick_dbrps(s, &d), 2);
    assert_true(kap_str_is(d[0].db, "a") && kap_str_is(d[0].rp, "r one"));
    assert_true(kap_str_is(d[1].db, "d \"q\"") && kap_str_is(d[1].rp, "r2"));
    kap_tick_script_unref(kap_tick_script_ref(s));
    kap_tick_script_unref(s);
}

static void lambdas_stand_alone(void **state)
{
    struct kap_tick_lambda *l = NULL;
    struct kap_error err;
    assert_int_equal(kap_tick_lambda_parse(KAP_STR("\"a\" > 1 AND changed()"), &l, &err), KAP_OK);
    assert_int_equal(kap_tick_lambda_expr(l)->op, KAP_OP_AND);
    kap_tick_lambda_free(l);
    assert_int_equal(kap_tick_lambda_parse(KAP_STR("1 +"), &l, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "parser: unexpected EOF line 1 char 4 in \"1 +\". " PRIMARY);
    assert_int_equal(kap_tick_lambda_parse(KAP_STR("1 2"), &l, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "parser: unexpected number line 1 char 3 in \"1 2\". expected: \"EOF\"");
}

static void precedence_binds_as_documented(void **state)
{
    struct kap_tick_lambda *l = NULL;
    struct kap_error err;
    assert_int_equal(kap_tick_lambda_parse(KAP_STR("1 + 2 * 3 > 4 == TRUE AND a OR b"), &l, &err), KAP_OK);
    const struct kap_expr *e = kap_tick_lambda_expr(l);
    assert_int_equal(e->op, KAP_OP_OR);
    assert_int_equal(e->left->op, KAP_OP_AND);
    assert_int_equal(e->left->left->op, KAP_OP_EQ);
    assert_int_equal(e->left->left->left->op, KAP_OP_GT);
    assert_int_equal(e->left->left->left->left->op, KAP_OP_ADD);
    assert_int_equal(e->left->left->left->left->right->op, KAP_OP_MUL);
    kap_tick_lambda_free(l);
    assert_int_equal(kap_tick_lambda_parse(KAP_STR("1 - 2 - 3"), &l, &err), KAP_OK);
    assert_int_equal(kap_tick_lambda_expr(l)->left->op, KAP_OP_SUB); /* from the left */
    kap_tick_lambda_free(l);
}

static void literals_have_values(void **state)
{
    struct kap_tick_lambda *l = NULL;
    struct kap_error err;
    assert_int_equal(
        kap_tick_lambda_parse(
            KAP_STR("f(010, 1.5, 'it\\'s \\n', '''a'b\\''', 90s, 10\xC2\xB5, 2w, \"a\\\"b\", TRUE)"), &l,
            &err),
        KAP_OK);
    struct kap_expr **a = kap_tick_lambda_expr(l)->args;
    assert_int_equal(kap_tick_lambda_expr(l)->nargs, 9);
    assert_int_equal(a[0]->value.i, 8);
    assert_true(a[1]->value.f == 1.5);
    assert_true(kap_str_is(a[2]->value.s, "it's \\n"));
    assert_true(kap_str_is(a[3]->value.s, "a'b\\"));
    assert_int_equal(a[4]->value.i, INT64_C(90000000000));
    assert_int_equal(a[5]->value.i, 10000);
    assert_int_equal(a[6]->value.i, INT64_C(1209600000000000));
    assert_true(kap_str_is(a[7]->name, "a\"b"));
    assert_true(a[8]->value.b);
    kap_tick_lambda_free(l);
    assert_int_equal(kap_tick_lambda_parse(KAP_STR("\"p\" =~ /^a\\/[b\\\\]/"), &l, &err), KAP_OK);
    assert_true(kap_str_is(kap_tick_lambda_expr(l)->right->regex, "^a/[b\\\\]"));
    kap_tick_lambda_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_place_and_expectation), cmocka_unit_test(errors_of_the_lexer_are_shown),
        cmocka_unit_test(numbers_must_be_sound),             cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(the_task_type_is_what_chains_start_from),
        cmocka_unit_test(dbrp_statements_are_gathered),      cmocka_unit_test(lambdas_stand_alone),
        cmocka_unit_test(precedence_binds_as_documented),    cmocka_unit_test(literals_have_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
