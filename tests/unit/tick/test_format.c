#include "base/buf.h"
#include "base/mem.h"
#include "tick/tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char *format(const char *text)
{
    struct kap_tick_script *s = NULL;
    struct kap_error err;
    struct kap_buf b = { 0 };
    if (kap_tick_parse(kap_str(text), &s, &err) != KAP_OK)
        fail_msg("%s\n%s", text, err.msg);
    kap_tick_format(s, &b);
    kap_tick_script_unref(s);
    return kap_buf_take(&b);
}

static void assert_formats(const char *text, const char *expected)
{
    KAP_AUTO_FREE char *once = format(text);
    assert_string_equal(once, expected);
    KAP_AUTO_FREE char *twice = format(once);
    assert_string_equal(twice, once);
}

static void chains_are_laid_out(void **state)
{
    assert_formats("stream|from().measurement('m').groupBy('a','b')|window()@udf().x(1)",
                   "stream\n    |from()\n        .measurement('m')\n        .groupBy('a', 'b')\n    "
                   "|window()\n    @udf()\n"
                   "        .x(1)\n");
    assert_formats("a|join(b,c).as('x')\nvar d=a.period\n",
                   "a\n    |join(b, c)\n        .as('x')\n\nvar d = a\n        .period\n");
    assert_formats("", "");
}

static void literals_keep_their_spelling(void **state)
{
    assert_formats("var a=0.50", "var a = 0.5\n");
    assert_formats("var a=5.0", "var a = 5.0\n");
    assert_formats("var a=007", "var a = 07\n");
    assert_formats("var a=3600s", "var a = 3600s\n");
    assert_formats("var a=1h60m", "var a = 1h\n\n60m\n");
    assert_formats("var a=/a\\/b\\\\d/", "var a = /a\\/b\\\\d/\n");
    assert_formats("var a='it\\'s'", "var a = 'it\\'s'\n");
    assert_formats("var a='''it's\n'''", "var a = '''it's\n'''\n");
    assert_formats("var a=''''''", "var a = ''''''\n");
    assert_formats("var a='' ", "var a = ''\n");
    assert_formats("var a=[*,b,'c',]", "var a = [*, b, 'c']\n");
    assert_formats("var a int", "var a int\n");
    assert_formats("dbrp \"a\\\"\".\"b\"", "dbrp \"a\\\"\".\"b\"\n");
    assert_formats("var a = \xC3\xA9t\xC3\xA9", "var a = \xC3\xA9t\xC3\xA9\n");
}

static void operators_and_parentheses(void **state)
{
    assert_formats("var a=(1+2)*3", "var a = (1 + 2) * 3\n");
    assert_formats("var a=((1+2))*3", "var a = (1 + 2) * 3\n");
    assert_formats("var a=(5)", "var a = 5\n");
    assert_formats("var a=lambda:!(\"a\" AND-\"b\">=1)", "var a = lambda: !(\"a\" AND -\"b\" >= 1)\n");
    assert_formats("var a=lambda:\"a\"!~/x/", "var a = lambda: \"a\" !~ /x/\n");
    assert_formats("var a=lambda:\"a\" AND\n\"b\"", "var a = lambda: \"a\" AND\n\"b\"\n");
    assert_formats("var a=lambda:\"a\"\n+ \"b\"", "var a = lambda: \"a\" +\n\"b\"\n");
    assert_formats("x|f(lambda:a,\nlambda:if(b,1,2))",
                   "x\n    |f(\n        lambda: a,\n        lambda: if(b, 1, 2)\n    )\n");
}

/* Statements have no end mark: without their parentheses these would run together. */
static void neighbours_stay_apart(void **state)
{
    assert_formats("5 (-3)", "5\n\n(-3)\n");
    assert_formats("var a int (*)", "var a int\n\n(*)\n");
    assert_formats("5 (/x/)", "5\n\n(/x/)\n");
    assert_formats("a@b -5", "a\n    @b\n\n-5\n");
    assert_formats("(a) (b + c)", "(a)\n\n(b + c)\n");
    assert_formats("var x = -(a) (b)", "var x = -a\n\nb\n");
}

/* A break that the layout itself makes counts as one that the user made. */
static void layout_is_stable(void **state)
{
    assert_formats("a|join(stream|from())", "a\n    |join(\n        stream\n            |from()\n    )\n");
    assert_formats("a|f(b.c, d)", "a\n    |f(\n        b\n                .c,\n        d\n    )\n");
    assert_formats("var a = f(b.c) + 1 + 2", "var a = f(\n    b\n            .c\n) +\n1 +\n2\n");
}

static void comments_stay(void **state)
{
    assert_formats(
        "// head\n//   indented\n//\n// two\n\n// apart\nstream // after\n|from() // from\n.m('m') // end\n",
        "// head\n//   indented\n//\n// two\n\n// apart\nstream\n    // after\n    |from()\n        // from\n"
        "        .m('m')\n\n// end\n\n");
    assert_formats("var x = 5 // five\nvar y = 6", "var x = 5\n\n// five\nvar y = 6\n");
    assert_formats("// only", "// only\n\n");
}

/* The reference drops or moves these so that formatting again changes the script; here they stay, and stay
 * put. */
static void comments_in_odd_places_stay(void **state)
{
    static const char *const scripts[] = {
        "x|f( // a\n)",
        "x|f(1 // a\n, 2)",
        "x|f(\n// a\n1 + 2\n)",
        "x|f(-( // a\n5))",
        "x|f(a, -( // b\n5), c)",
        "var x = 1 // a\n+ 2",
        "var x = lambda: // a\n!// b\n\"c\"",
        "var // a\nx // b\nint",
        "var x = [ // a\n'b', // c\n'd' // e\n]",
        "dbrp // a\n\"b\" // c\n. // d\n\"e\" // f",
        "x // a\n| // b\nf // c\n( // d\n) // e",
        "var x = ( // a\n1 + 2) * 3",
        "var x = f( // a\n1) + 2",
        "var x = 1 + -( // a\n5)",
        "x|f(( // a\ny), z)",
        "x|f(lambda: a + // b\nc)",
    };
    for (size_t i = 0; i < KAP_COUNT(scripts); i++) {
        KAP_AUTO_FREE char *once = format(scripts[i]);
        KAP_AUTO_FREE char *twice = format(once);
        assert_string_equal(twice, once);
        for (const char *c = strstr(scripts[i], "// "); c; c = strstr(c + 1, "// ")) {
            const char comment[] = { '/', '/', ' ', c[3], '\n', 0 };
            assert_non_null(strstr(once, comment));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_are_laid_out),       cmocka_unit_test(literals_keep_their_spelling),
        cmocka_unit_test(operators_and_parentheses), cmocka_unit_test(neighbours_stay_apart),
        cmocka_unit_test(layout_is_stable),          cmocka_unit_test(comments_stay),
        cmocka_unit_test(comments_in_odd_places_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
