#include "test.h"

#include "base/mem.h"
#include "lambda/regex.h"
#include <time.h>

static struct kap_regex *compile(const char *pattern)
{
    struct kap_error err;
    struct kap_regex *re;
    if (kap_regex_new(kap_str(pattern), &re, &err) != KAP_OK)
        fail_msg("%s: %s", pattern, err.msg);
    return re;
}

TEST(test_match)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        { "^web", "web-01", true },       { "org$", "x.org\n", false },     { "(?m)org$", "x.org\ny", true },
        { "(?m)^y", "x\ny", true },       { "^y", "x\ny", false },          { "(?m)^$", "a\n", true },
        { "a.b", "a\nb", false },         { "(?s)a.b", "a\nb", true },      { "(?i)WEB", "web", true },
        { "(?i:A)B", "aB", true },        { "(?i:A)B", "ab", false },       { "\\d", "\xd9\xa3", false },
        { "\\s", "\v", false },           { "[[:space:]]", "\v", true },    { "[^\\S]", "x", false },
        { "[\\S]", " ", false },          { "\\p{L}{6}", "zażółć", true },  { "\\p{Greek}", "a", false },
        { "\\p{Greek}", "\xce\xb1", true }, { "\\PL", "1", true },          { "\\pL", "1", false },
        { "[\\p{^L}]", "1", true },       { "\\bexample\\b", "an example.", true },
        { "\\Qa.b\\E+", "a.bbb", true },  { "\\Qa.b\\E", "axb", false },    { "\\x41\\x{42}\\103", "ABC", true },
        { "a{,2}", "a{,2}", true },       { "a{2,3}$", "aaa", true },       { "x{2}{", "xx{", true },
        { "[]a]", "]", true },            { "[^]a]", "]", false },          { "[a-]", "-", true },
        { "[[:^alpha:]]", "1", true },    { "(?P<n>a)(b)?", "a", true },    { "^*x", "x", true },
        { "(|a)*b", "aab", true },        { "(?U)a+", "aa", true },         { "\\z", "", true },
        { "a|", "", true },               { "()", "", true },               { "\\/", "/", true },
        { "\xff?", "x", false },          { "\\.\\-\\_", ".-_", true },     { "(?i)stra\xc3\x9f" "e", "STRA\xe1\xba\x9e" "E", true },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        struct kap_error err;
        struct kap_regex *re;
        bool match = false;
        if (strcmp(cases[i].pattern, "\xff?") == 0) {
            FAILS(kap_regex_new(kap_str("\xff?"), &re, &err), &err, "error parsing regexp: invalid UTF-8: `\xff?`");
            continue;
        }
        re = compile(cases[i].pattern);
        OK(kap_regex_match(re, kap_str(cases[i].text), &match, &err), &err);
        if (match != cases[i].match)
            fail_msg("/%s/ on \"%s\": %d", cases[i].pattern, cases[i].text, match);
        kap_regex_unref(re);
    }
}

TEST(test_errors)
{
    static const char *const cases[][2] = {
        { "ab(", "missing closing ): `ab(`" },
        { "a(b))", "unexpected ): `a(b))`" },
        { "[a", "missing closing ]: `[a`" },
        { "[b-a]", "invalid character class range: `b-a`" },
        { "[[:foo:]]", "invalid character class range: `[:foo:]`" },
        { "*a", "missing argument to repetition operator: `*`" },
        { "a|+", "missing argument to repetition operator: `+`" },
        { "a**", "invalid nested repetition operator: `**`" },
        { "a{2}{3}", "invalid nested repetition operator: `{2}{3}`" },
        { "a++", "invalid nested repetition operator: `++`" },
        { "a{1001}", "invalid repeat count: `{1001}`" },
        { "a{3,2}", "invalid repeat count: `{3,2}`" },
        { "(a{500}){3}", "invalid repeat count: `{3}`" },
        { "(?=a)", "invalid or unsupported Perl syntax: `(?=`" },
        { "(?<=a)", "invalid or unsupported Perl syntax: `(?<`" },
        { "(?x)", "invalid or unsupported Perl syntax: `(?x`" },
        { "(a)\\1", "invalid escape sequence: `\\1`" },
        { "\\Z", "invalid escape sequence: `\\Z`" },
        { "\\p{Nope}", "invalid character class range: `\\p{Nope}`" },
        { "\\x{110000}", "invalid escape sequence: `\\x{110000`" },
        { "(?P<n", "invalid named capture: `(?P<n`" },
        { "(?P<a b>x)", "invalid named capture: `(?P<a b>`" },
        { "a\\", "trailing backslash at end of expression: ``" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        struct kap_error err;
        struct kap_regex *re;
        KAP_AUTO_FREE char *want = kap_asprintf("error parsing regexp: %s", cases[i][1]);
        if (kap_regex_new(kap_str(cases[i][0]), &re, &err) == KAP_OK)
            fail_msg("%s was accepted", cases[i][0]);
        assert_string_equal(err.msg, want);
    }
}

TEST(test_replace)
{
    static const char *const cases[][4] = {
        { "[aeiou]", "Hello, World", "*", "H*ll*, W*rld" },
        { "(\\w+), (\\w+)", "Hello, World", "$2 $1", "World Hello" },
        { "(?P<w>b)", "abc", "<${w}>", "a<b>c" },
        { "x*", "xxabcxx", "-", "-a-b-c-" },
        { "a", "banana", "$$", "b$n$n$" },
        { "(a)", "banana", "$1x", "bnn" },
        { "(a)", "banana", "${1}x", "baxnaxnax" },
        { "(a)|n", "ban", "[$1$9]", "b[a][]" },
        { "a", "a", "$", "$" },
        { "a", "a", "${", "${" },
        { "", "\xc5\xbc", ".", ".\xc5\xbc." },
        { "^", "ab", "x", "xab" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        struct kap_error err;
        KAP_AUTO_BUF struct kap_buf out = { 0 };
        struct kap_regex *re = compile(cases[i][0]);
        OK(kap_regex_replace(re, kap_str(cases[i][1]), kap_str(cases[i][2]), &out, &err), &err);
        STR_EQ(kap_buf_str(&out), cases[i][3]);
        kap_regex_unref(re);
    }
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Patterns that take a backtracking matcher ages: each answers soon, by another way or with the limit's error. */
TEST(test_catastrophic)
{
    static const char *const patterns[] = {
        "(a+)+$", "(a|aa)+$", "(a|a?)+b", "(.*)*(.*)*(.*)*x$", "([a-z]+)*=", "(x+x+)+y", "(((a*)*)*)*b",
        "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){60}a{60}$",
    };
    char text[60001];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    text[50] = '!';
    for (size_t i = 0; i < KAP_COUNT(patterns); i++) {
        struct kap_error err;
        bool match = true;
        struct kap_regex *re = compile(patterns[i]);
        const double start = seconds();
        OK(kap_regex_match(re, kap_strn(text, 51), &match, &err), &err);
        assert_false(match);
        const enum kap_status status = kap_regex_match(re, kap_strn(text, 60000), &match, &err);
        assert_true(status == KAP_OK || status == KAP_ELIMIT);
        if (seconds() - start > 10)
            fail_msg("%s took %.1f s", patterns[i], seconds() - start);
        print_message("/%s/: %.3f s, %s\n", patterns[i], seconds() - start, status == KAP_OK ? "answered" : err.msg);
        kap_regex_unref(re);
    }
}

TEST(test_shared)
{
    struct kap_regex *re = compile("a/b");
    struct kap_regex *again = kap_regex_ref(re);
    kap_regex_unref(re);
    STR_EQ(kap_regex_pattern(again), "a/b");
    kap_regex_unref(again);
    kap_regex_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),        cmocka_unit_test(test_errors), cmocka_unit_test(test_replace),
        cmocka_unit_test(test_catastrophic), cmocka_unit_test(test_shared),
    };
    return RUN_TESTS(tests);
}
