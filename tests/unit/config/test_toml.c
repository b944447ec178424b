#include "base/buf.h"
#include "config/toml.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct kap_toml *parse(struct kap_arena *a, const char *text)
{
    struct kap_toml *root = NULL;
    struct kap_error err = { 0 };
    if (kap_toml_parse(kap_str(text), "text", a, &root, &err) != KAP_OK)
        fail_msg("'%s': %s", text, err.msg);
    return root;
}

static struct kap_toml *get(const struct kap_toml *t, const char *key)
{
    struct kap_toml *v = kap_toml_get(t, kap_str(key));
    if (v == NULL)
        fail_msg("no key '%s'", key);
    return v;
}

static void reads_every_kind(void **state)
{
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    const struct kap_toml *t =
        parse(a, "# comment\r\n"
                 "s = \"a\\tb\\u00e9\\\"\" # after\n"
                 "l = 'C:\\x'\n"
                 "i = -1_000\n h = 0xff\n o = 0o17\n b = 0b101\n"
                 "f = 6.5e-3\n g = -inf\n n = nan\n z = 0.0\n"
                 "yes = true\nno=false\n"
                 "d = 1979-05-27T07:32:00.5-07:00\n e = 1979-05-27 07:32:00\n t = 07:32:00\n"
                 "\"quoted key\" = 1\n\"\" = 2\n1 = 3\n");
    assert_true(kap_str_is(get(t, "s")->s, "a\tb\xc3\xa9\""));
    assert_true(kap_str_is(get(t, "l")->s, "C:\\x"));
    assert_int_equal(get(t, "i")->i, -1000);
    assert_int_equal(get(t, "h")->i, 255);
    assert_int_equal(get(t, "o")->i, 15);
    assert_int_equal(get(t, "b")->i, 5);
    assert_true(get(t, "f")->f == 6.5e-3);
    assert_true(isinf(get(t, "g")->f) && get(t, "g")->f < 0);
    assert_true(isnan(get(t, "n")->f));
    assert_int_equal(get(t, "z")->kind, KAP_TOML_FLOAT);
    assert_true(get(t, "yes")->b);
    assert_false(get(t, "no")->b);
    assert_int_equal(get(t, "d")->kind, KAP_TOML_TIME);
    assert_true(kap_str_is(get(t, "e")->s, "1979-05-27 07:32:00"));
    assert_int_equal(get(t, "t")->kind, KAP_TOML_TIME);
    assert_int_equal(get(t, "quoted key")->i, 1);
    assert_int_equal(get(t, "")->i, 2);
    assert_int_equal(get(t, "1")->i, 3);
}

static void reads_multi_line_strings(void **state)
{
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    const struct kap_toml *t =
        parse(a, "a = \"\"\"\nRoses\n  are \\\n     red\"\"\"\nb = '''\nC:\\x\n'y' '''\n"
                 "c = \"\"\"\"quoted\"\"\"\"\"\nd = ''\ne=\"\"");
    assert_true(kap_str_is(get(t, "a")->s, "Roses\n  are red"));
    assert_true(kap_str_is(get(t, "b")->s, "C:\\x\n'y' "));
    assert_true(kap_str_is(get(t, "c")->s, "\"quoted\"\""));
    assert_int_equal(get(t, "d")->s.n, 0);
    assert_int_equal(get(t, "e")->s.n, 0);
}

static void reads_tables_and_arrays(void **state)
{
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    const struct kap_toml *t =
        parse(a, "[a.b]\nx = [1, [2, 3], # c\n 'y',\n]\n[a]\nz.q = 1\nz.r = {k = 1, m.n = 2}\n"
                 "[[s]]\nname = 'one'\n[s.t]\nv = 1\n[[s]]\n[[s.u]]\n[[s.u]]\nw = {}\n");
    const struct kap_toml *x = get(get(get(t, "a"), "b"), "x");
    assert_int_equal(x->nitems, 3);
    assert_int_equal(x->items[1]->items[1]->i, 3);
    const struct kap_toml *z = get(get(t, "a"), "z");
    assert_int_equal(get(get(get(z, "r"), "m"), "n")->i, 2);
    const struct kap_toml *s = get(t, "s");
    assert_true(s->of_tables);
    assert_int_equal(s->nitems, 2);
    assert_int_equal(get(get(s->items[0], "t"), "v")->i, 1);
    assert_int_equal(get(s->items[1], "u")->nitems, 2);
    assert_int_equal(s->items[1]->line, 12);
    assert_int_equal(s->items[1]->column, 3);
}

static void names_the_place_of_a_mistake(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "a = 1\nb = \n", "f:2:5: expected a value, got the end of the line" },
        { "a", "f:1:2: expected '=' after the key 'a', got the end of the text" },
        { "= 1", "f:1:1: expected a key, got '='" },
        { "a = foo", "f:1:5: invalid value 'foo'; a string needs quotes" },
        { "a = 012", "f:1:5: invalid value '012'; a string needs quotes" },
        { "a = 1__0", "f:1:5: invalid value '1__0'; a string needs quotes" },
        { "a = 1.", "f:1:5: invalid value '1.'; a string needs quotes" },
        { "a = 99999999999999999999", "f:1:5: invalid value '99999999999999999999'; a string needs quotes" },
        { "a = \"x", "f:1:5: string is not closed" },
        { "a = '''x\n", "f:1:5: string is not closed" },
        { "a = \"\\q\"", "f:1:6: unknown escape; a backslash is written '\\\\', or use a 'literal' string" },
        { "a = \"\\ud800\"", "f:1:6: \\u names no Unicode character" },
        { "a = \"\\u12\"", "f:1:6: \\u needs 4 hexadecimal digits" },
        { "a = \"\xff\"", "f:1:6: invalid UTF-8 in a string" },
        { "a = 1 b = 2", "f:1:7: expected the end of the line, got 'b'" },
        { "a = 1\na = 2", "f:2:1: 'a' is defined twice, first in line 1" },
        { "[a]\n[a]", "f:2:2: 'a' is defined twice, first in line 1" },
        { "a = 1\n[a]", "f:2:2: 'a' is defined twice, first in line 1" },
        { "a = {b = 1}\n[a.c]", "f:2:2: 'a' is a complete value since line 1" },
        { "a = {b = 1}\na.c = 1", "f:2:1: 'a' is a complete value since line 1" },
        { "[[a]]\n[a]", "f:2:2: 'a' is defined twice, first in line 1" },
        { "a = [1]\n[[a]]", "f:2:3: 'a' is defined twice, first in line 1" },
        { "[a", "f:1:3: expected ']' after the name of a section, got the end of the text" },
        { "a = [1 2]", "f:1:8: expected ',' or ']' in the array that starts in line 1, got '2'" },
        { "a = {b = 1,\nc = 2}", "f:1:12: expected a key, got the end of the line" },
        { "a = 1 # \x01", "f:1:9: control character 0x01 in a comment" },
        { "a = 1\r", "f:1:6: expected the end of the line, got byte 0x0d" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
        struct kap_toml *root = NULL;
        struct kap_error err = { 0 };
        assert_int_equal(kap_toml_parse(kap_str(cases[i].text), "f", a, &root, &err), KAP_EINVAL);
        assert_string_equal(err.msg, cases[i].message);
        assert_null(root);
    }
}

static void nesting_has_a_limit(void **state)
{
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_adds(&b, "a = ");
    for (int i = 0; i < 100000; i++)
        kap_buf_addc(&b, '[');
    struct kap_toml *root = NULL;
    struct kap_error err = { 0 };
    assert_int_equal(kap_toml_parse(kap_buf_str(&b), "f", a, &root, &err), KAP_EINVAL);
    assert_non_null(strstr(err.msg, "nested deeper than 64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),        cmocka_unit_test(reads_multi_line_strings),
        cmocka_unit_test(reads_tables_and_arrays), cmocka_unit_test(names_the_place_of_a_mistake),
        cmocka_unit_test(nesting_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
