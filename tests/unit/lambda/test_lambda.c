#include "parse.h"
#include "test.h"

#include "base/mem.h"
#include "lambda/lambda.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>

static int64_t then_ns(void *ctx)
{
    return INT64_C(1600000000000000000);
}
static const struct kap_clock then = { then_ns, then_ns, NULL };

/* --- a point to evaluate on --- */

struct fixture {
    struct kap_arena *a, *scratch;
    struct kap_field fields[16];
    struct kap_tag tags[16];
    size_t nfields, ntags;
    struct kap_lambda_env env;
    const struct kap_tags *set;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){ .a = kap_arena_new(), .scratch = kap_arena_new() };
    f->env.clock = &then;
}

static void field(struct fixture *f, const char *name, struct kap_value v)
{
    f->fields[f->nfields++] = (struct kap_field){ .key = kap_sym_c(name), .v = v };
}

static void tag(struct fixture *f, const char *name, const char *value)
{
    f->tags[f->ntags++] = (struct kap_tag){ .key = kap_sym_c(name), .val = kap_str(value) };
}

static void ready(struct fixture *f)
{
    f->set = kap_tags_new(f->tags, f->ntags);
    f->env.fields = f->fields;
    f->env.nfields = f->nfields;
    f->env.tags = f->set;
    f->env.scratch = f->scratch;
}

static void end(struct fixture *f)
{
    kap_tags_unref(f->set);
    kap_arena_free(f->a);
    kap_arena_free(f->scratch);
}

static struct kap_lambda *compile(struct fixture *f, const char *text)
{
    struct kap_error err;
    struct kap_lambda *l;
    struct kap_expr *e = parse_lambda(f->a, text);
    if (!e)
        fail_msg("the test's parser does not understand: %s", text);
    OK(kap_lambda_new(e, NULL, &l, &err), &err);
    return l;
}

static struct kap_value eval(struct fixture *f, const char *text)
{
    struct kap_error err;
    struct kap_value v = { 0 };
    struct kap_lambda *l = compile(f, text);
    struct kap_lambda_state *s = kap_lambda_state_new(l);
    if (kap_lambda_eval(l, s, &f->env, &v, &err) != KAP_OK)
        fail_msg("%s: %s", text, err.msg);
    if (v.type == KAP_STRING)
        v.s = kap_arena_str(f->a, v.s);
    kap_lambda_state_free(s);
    kap_lambda_free(l);
    return v;
}

static void eval_fails(struct fixture *f, const char *text, const char *message)
{
    struct kap_error err;
    struct kap_value v = { 0 };
    struct kap_lambda *l = compile(f, text);
    struct kap_lambda_state *s = kap_lambda_state_new(l);
    FAILS(kap_lambda_eval(l, s, &f->env, &v, &err), &err, message);
    kap_lambda_state_free(s);
    kap_lambda_free(l);
}

static void compile_fails(const char *text, const char *message)
{
    struct kap_error err;
    struct kap_lambda *l;
    struct kap_arena *a = kap_arena_new();
    FAILS(kap_lambda_new(parse_lambda(a, text), NULL, &l, &err), &err, message);
    kap_arena_free(a);
}

/* --- tests --- */

TEST(test_compile_errors)
{
    compile_fails("1 + 'a'", "mismatched type to binary operator. got int + string. see bool(), int(), float(), "
                             "string(), duration()");
    compile_fails("TRUE + 1", "invalid math operator + for type boolean");
    compile_fails("10s * 10s", "mismatched type to binary operator. got duration * duration. see bool(), int(), "
                               "float(), string(), duration()");
    compile_fails("1 > 2 > 3", "invalid comparison operator > for type boolean");
    compile_fails("'a' =~ 'b'", "mismatched type to binary operator. got string =~ string. see bool(), int(), "
                                "float(), string(), duration()");
    compile_fails("'a' < 1", "mismatched type to binary operator. got string < int. see bool(), int(), float(), "
                             "string(), duration()");
    compile_fails("sqrt(1 + 'a')", "Failed to handle 1 argument: mismatched type to binary operator. got int + "
                                   "string. see bool(), int(), float(), string(), duration()");
    compile_fails("!('a' < 1)", "Failed to handle node: mismatched type to binary operator. got string < int. see "
                                "bool(), int(), float(), string(), duration()");
    compile_fails("\"v\" =~ /(a/", "Failed to handle right node: error parsing regexp: missing closing ): `(a`");
}

TEST(test_run_errors)
{
    struct fixture f;
    begin(&f);
    field(&f, "i", kap_value_i(5));
    field(&f, "s", kap_value_s(KAP_STR("x")));
    field(&f, "b", kap_value_b(true));
    field(&f, "both", kap_value_i(1));
    tag(&f, "both", "1");
    ready(&f);
    eval_fails(&f, "nosuch(1)", "undefined function: \"nosuch\"");
    eval_fails(&f, "strLength(5)",
               "Cannot call function \"strLength\" with args (5: int), available signatures are [(string)].");
    eval_fails(&f, "sqrt(4.0, 2.0)",
               "Cannot call function \"sqrt\" with args (4: float,2: float), available signatures are [(float)].");
    eval_fails(&f, "strLength(\"gone\")",
               "Cannot call function \"strLength\" argument \"gone\" is missing, values in scope are []");
    eval_fails(&f, "strLength(\"gone\") > \"i\"",
               "Cannot call function \"strLength\" argument \"gone\" is missing, values in scope are [\"i\"]");
    eval_fails(&f, "\"gone\" > 1", "left reference value \"gone\" is missing value");
    eval_fails(&f, "1 < \"gone\"", "right reference value \"gone\" is missing value");
    eval_fails(&f, "\"gone\" + 1", "invalid math operator + for type missing");
    eval_fails(&f, "\"gone\"", "missing value: \"gone\"");
    eval_fails(&f, "-\"gone\"", "reference \"gone\" is missing value");
    eval_fails(&f, "!\"i\"", "TypeGuard: expression returned unexpected type int, expected boolean");
    eval_fails(&f, "\"both\" > 0", "cannot have field and tags with same name \"both\"");
    eval_fails(&f, "\"i\" / 0", "runtime error: integer divide by zero");
    eval_fails(&f, "now()", "expression returned unexpected type time");
    eval_fails(&f, "strSubstring(\"s\", -1, 0)",
               "error calling \"strSubstring\": found negative index for strSubstring: -1");
    eval_fails(&f, "strLength(strSubstring(\"s\", 0, 9))",
               "Failed to handle 1 argument: error calling \"strSubstring\": stop index too large for string in "
               "strSubstring: 9");
    eval_fails(&f, "if(\"i\" > \"s\", 1, 2)", "Failed to handle 1 argument: mismatched type to binary operator. got "
                                              "int > string. see bool(), int(), float(), string(), duration()");
    eval_fails(&f, "int('0x10')", "error calling \"int\": strconv.ParseInt: parsing \"0x10\": invalid syntax");
    eval_fails(&f, "bool(2)", "error calling \"bool\": cannot convert 2 to boolean");
    end(&f);
}

/* Comparisons hide their operands' types until they are reached: a decided AND or OR does not reach them. */
TEST(test_short_circuit)
{
    struct fixture f;
    begin(&f);
    field(&f, "b", kap_value_b(false));
    ready(&f);
    assert_false(eval(&f, "isPresent(\"a\") AND \"a\" > 2.0").b);
    assert_true(eval(&f, "!\"b\" OR \"a\" + 1 > 2").b);
    eval_fails(&f, "\"b\" AND \"a\"", "right reference value \"a\" is missing value");
    eval_fails(&f, "TRUE OR \"a\"", "right reference value \"a\" is missing value");
    end(&f);
}

TEST(test_types_may_change)
{
    struct fixture f;
    struct kap_error err;
    struct kap_value v;
    begin(&f);
    field(&f, "a", kap_value_i(1));
    ready(&f);
    struct kap_lambda *l = compile(&f, "\"a\" + 1");
    for (int round = 0; round < 3; round++) {
        f.fields[0].v = kap_value_i(round);
        OK(kap_lambda_eval(l, NULL, &f.env, &v, &err), &err);
        assert_int_equal(v.i, round + 1);
        f.fields[0].v = kap_value_f(1.5);
        FAILS(kap_lambda_eval(l, NULL, &f.env, &v, &err), &err,
              "mismatched type to binary operator. got float + int. see bool(), int(), float(), string(), duration()");
        f.fields[0].v = kap_value_s(KAP_STR("x"));
        assert_int_not_equal(kap_lambda_eval(l, NULL, &f.env, &v, &err), KAP_OK);
        f.fields[0].v = kap_value_b(true);
        FAILS(kap_lambda_eval(l, NULL, &f.env, &v, &err), &err, "invalid math operator + for type boolean");
        f.env.nfields = 0;
        FAILS(kap_lambda_eval(l, NULL, &f.env, &v, &err), &err, "invalid math operator + for type missing");
        f.env.nfields = 1;
    }
    kap_lambda_free(l);
    end(&f);
}

TEST(test_bool_results)
{
    struct fixture f;
    struct kap_error err;
    bool b;
    begin(&f);
    field(&f, "i", kap_value_i(5));
    ready(&f);
    static const struct {
        const char *text, *message;
    } wrong[] = {
        { "5", "TypeGuard: expression returned unexpected type int, expected boolean" },
        { "\"i\"", "TypeGuard: expression returned unexpected type int, expected boolean" },
        { "\"i\" + 1", "expression returned unexpected type int64" },
        { "\"gone\"", "reference \"gone\" is missing value" },
        { "strLength('x')", "TypeGuard: expression returned unexpected type int, expected boolean" },
    };
    for (size_t i = 0; i < KAP_COUNT(wrong); i++) {
        struct kap_lambda *l = compile(&f, wrong[i].text);
        FAILS(kap_lambda_eval_bool(l, NULL, &f.env, &b, &err), &err, wrong[i].message);
        kap_lambda_free(l);
    }
    struct kap_lambda *l = compile(&f, "\"i\" > 4");
    OK(kap_lambda_eval_bool(l, NULL, &f.env, &b, &err), &err);
    assert_true(b);
    kap_lambda_free(l);
    end(&f);
}

TEST(test_edges_of_integers)
{
    struct fixture f;
    begin(&f);
    field(&f, "min", kap_value_i(INT64_MIN));
    field(&f, "m", kap_value_i(-1));
    ready(&f);
    assert_true(eval(&f, "\"min\" / \"m\"").i == INT64_MIN);
    assert_int_equal(eval(&f, "\"min\" % \"m\"").i, 0);
    assert_true(eval(&f, "-\"min\"").i == INT64_MIN);
    assert_true(eval(&f, "\"min\" - 1").i == INT64_MAX);
    assert_true(eval(&f, "int(1.0 / 0.0)").i == INT64_MIN);
    assert_true(isnan(eval(&f, "0.0 / 0.0").f));
    end(&f);
}

TEST(test_state)
{
    struct fixture f;
    struct kap_error err;
    struct kap_value v;
    begin(&f);
    field(&f, "v", kap_value_f(2));
    ready(&f);
    struct kap_lambda *l = compile(&f, "spread(\"v\") + sigma(\"v\") * 0.0 + float(count())");
    assert_true(kap_lambda_stateful(l));
    struct kap_lambda_state *s = kap_lambda_state_new(l);
    static const double in[] = { 2, 4, 90 }, out[] = { 1, 4, 91 };
    KAP_AUTO_BUF struct kap_buf saved = { 0 };
    for (size_t i = 0; i < KAP_COUNT(in); i++) {
        f.fields[0].v.f = in[i];
        OK(kap_lambda_eval(l, s, &f.env, &v, &err), &err);
        assert_float_equal(v.f, out[i], 1e-12);
        if (i == 1)
            kap_lambda_state_save(s, &saved);
    }
    struct kap_lambda_state *t = kap_lambda_state_new(l);
    OK(kap_lambda_state_load(t, kap_buf_str(&saved), &err), &err);
    OK(kap_lambda_eval(l, t, &f.env, &v, &err), &err);
    assert_float_equal(v.f, 91, 1e-12);
    kap_lambda_state_reset(t);
    OK(kap_lambda_eval(l, t, &f.env, &v, &err), &err);
    assert_float_equal(v.f, 1, 1e-12);
    /* of another expression, or damaged */
    struct kap_lambda *other = compile(&f, "count()");
    struct kap_lambda_state *u = kap_lambda_state_new(other);
    FAILS(kap_lambda_state_load(u, kap_buf_str(&saved), &err), &err, "the saved state is of another expression");
    FAILS(kap_lambda_state_load(t, KAP_STR("short"), &err), &err, "the saved state of an expression is damaged");
    kap_lambda_state_free(s);
    kap_lambda_state_free(t);
    kap_lambda_state_free(u);
    kap_lambda_free(l);
    kap_lambda_free(other);
    end(&f);
}

/* Every evaluation counts, also of the branch that if() does not choose, but not behind a decided AND. */
TEST(test_state_of_skipped_branches)
{
    struct fixture f;
    struct kap_error err;
    struct kap_value v;
    begin(&f);
    ready(&f);
    struct kap_lambda *l = compile(&f, "if(FALSE AND count() > 0, count(), count())");
    struct kap_lambda_state *s = kap_lambda_state_new(l);
    OK(kap_lambda_eval(l, s, &f.env, &v, &err), &err);
    assert_int_equal(v.i, 2);
    kap_lambda_state_free(s);
    kap_lambda_free(l);
    end(&f);
}

static struct kap_value extra_level(const void *ctx)
{
    return kap_value_i(*(const int64_t *)ctx);
}

static struct kap_value extra_duration(const void *ctx)
{
    return kap_value_dur(10 * *(const int64_t *)ctx);
}

TEST(test_extra_functions)
{
    static const struct kap_lambda_extra extra[] = {
        { "level", KAP_INT, extra_level }, { "duration", KAP_DURATION, extra_duration }, { 0 }
    };
    struct fixture f;
    struct kap_error err;
    bool b = false;
    const int64_t level = 2;
    begin(&f);
    ready(&f);
    f.env.ctx = &level;
    struct kap_lambda *l;
    OK(kap_lambda_new(parse_lambda(f.a, "level() >= 2 AND duration() > duration(1, 1u) - 1u"), extra, &l, &err), &err);
    assert_false(kap_lambda_pure(l));
    OK(kap_lambda_eval_bool(l, NULL, &f.env, &b, &err), &err);
    assert_true(b);
    kap_lambda_free(l);
    end(&f);
}

TEST(test_references)
{
    struct fixture f;
    begin(&f);
    ready(&f);
    const struct kap_sym *const *names;
    struct kap_lambda *l = compile(&f, "\"a\" > 1 AND \"b\" == 'x' OR \"a\" < hour(\"time\")");
    assert_int_equal(kap_lambda_refs(l, &names), 2);
    STR_EQ(kap_sym_str(names[0]), "a");
    STR_EQ(kap_sym_str(names[1]), "b");
    assert_false(kap_lambda_pure(l)); /* the time */
    kap_lambda_free(l);
    l = compile(&f, "\"a\" > 1 AND strLength(\"b\") == 2");
    assert_true(kap_lambda_pure(l));
    assert_false(kap_lambda_stateful(l));
    assert_null(kap_lambda_state_new(l));
    kap_lambda_free(l);
    end(&f);
}

TEST(test_depth_limit)
{
    struct kap_arena *a = kap_arena_new();
    struct kap_error err;
    struct kap_lambda *l;
    struct kap_expr *e = kap_expr_literal(a, kap_value_b(true));
    for (int i = 0; i < 3000; i++) {
        struct kap_expr *up = KAP_ARENA_NEW(a, struct kap_expr);
        *up = (struct kap_expr){ .kind = KAP_EXPR_UNARY, .op = KAP_OP_NOT, .left = e };
        e = up;
    }
    assert_int_equal(kap_lambda_new(e, NULL, &l, &err), KAP_ELIMIT);
    kap_arena_free(a);
}

/* --- the recorded cases of the reference: steps `exprs` of tests/golden/cases/lambda --- */

static char *read_file(const char *dir, const char *name, const char *suffix)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/tests/golden/cases/lambda/%s%s", dir, name, suffix);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot read %s", path);
    struct kap_buf b = { 0 };
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        kap_buf_addn(&b, chunk, n);
    fclose(file);
    return kap_buf_take(&b);
}

static struct kap_value golden_value(struct fixture *f, struct kap_str text)
{
    double d;
    int64_t i;
    if (text.p[0] == '"')
        return kap_value_s(kap_strn(text.p + 1, text.n - 2));
    if (kap_str_is(text, "true") || kap_str_is(text, "false"))
        return kap_value_b(text.p[0] == 't');
    if (text.p[text.n - 1] == 'i' && kap_str_to_i64(kap_strn(text.p, text.n - 1), &i))
        return kap_value_i(i);
    assert_true(kap_str_to_f64(text, &d));
    return kap_value_f(d);
}

/* "[,tag=v..] field=v,.. seconds" with escaped spaces in names. */
static void golden_point(struct fixture *f, char *line)
{
    bool tags = *line == ',';
    char *p = line + tags;
    while (*p) {
        char name[64];
        size_t n = 0;
        while (*p != '=') {
            if (*p == '\\')
                p++;
            name[n++] = *p++;
        }
        name[n] = 0;
        char *value = ++p;
        bool quoted = false;
        for (; *p && (quoted || (*p != ',' && *p != ' ')); p++) {
            if (*p == '\\')
                memmove(p, p + 1, strlen(p));
            else if (*p == '"')
                quoted = !quoted;
        }
        const char stop = *p;
        const struct kap_str text = kap_arena_str(f->a, kap_strn(value, (size_t)(p - value)));
        if (tags)
            tag(f, name, text.p);
        else
            field(f, name, golden_value(f, text));
        p += stop != 0;
        if (stop == ' ' && !tags)
            break;
        if (stop == ' ')
            tags = false;
    }
    f->env.time_ns = (int64_t)strtoll(p, NULL, 10) * 1000000000;
    ready(f);
}

/* A value, MISSING if there was an error, against what JSON showed of it. */
static bool golden_equal(struct kap_value v, json_t *want)
{
    const char *text = json_string_value(want);
    if (text && strcmp(text, "none") == 0 && v.type == KAP_MISSING)
        return true; /* dropped; or the text 'none' */
    if (text && text[0] == '#')
        return v.type == KAP_FLOAT && v.f == strtod(text + 1, NULL);
    if (v.type == KAP_STRING)
        return text && kap_str_is(v.s, text);
    if (v.type == KAP_BOOL)
        return json_is_boolean(want) && v.b == json_is_true(want);
    if (v.type == KAP_INT || v.type == KAP_DURATION)
        return json_is_number(want) && (double)v.i == json_number_value(want);
    if (v.type != KAP_FLOAT || !json_is_number(want))
        return false;
    const double w = json_number_value(want);
    return v.f == w || fabs(v.f - w) <= 1e-11 * fabs(w);
}

static void golden_expression(const char *name, json_t *row, char *const *points, size_t npoints)
{
    const char *text = json_string_value(json_array_get(row, 0));
    for (size_t i = 0; i < npoints; i++) {
        json_t *want = json_array_get(row, i + 1);
        if (i == 0 && json_is_string(want) && strncmp(json_string_value(want), "status ", 7) == 0)
            return; /* the reference's JSON could not show the infinite result */
        struct fixture f;
        struct kap_error err = { 0 };
        struct kap_value v = { .type = KAP_MISSING };
        begin(&f);
        KAP_AUTO_FREE char *line = kap_strdup(points[i]);
        golden_point(&f, line);
        struct kap_expr *e = parse_lambda(f.a, text);
        struct kap_lambda *l = NULL;
        assert_non_null(e);
        if (kap_lambda_new(e, NULL, &l, &err) == KAP_OK)
            (void)!kap_lambda_eval(l, NULL, &f.env, &v, &err);
        if (!golden_equal(v, want)) {
            KAP_AUTO_FREE char *shown = json_dumps(want, JSON_ENCODE_ANY);
            fail_msg("%s: %s on %s: want %s, error %s", name, text, points[i], shown, err.msg);
        }
        kap_lambda_free(l);
        end(&f);
    }
}

static void golden_case(const char *root, const char *name)
{
    KAP_AUTO_FREE char *text = read_file(root, name, ".case");
    KAP_AUTO_FREE char *expect = read_file(root, name, ".expect");
    char *points[8];
    size_t npoints = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (strncmp(line, "in ", 3) == 0)
            points[npoints++] = line + 3;
    json_t *steps = json_loads(expect, 0, NULL);
    assert_non_null(steps);
    json_t *rows = json_object_get(json_array_get(steps, 0), "got");
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row)
        golden_expression(name, row, points, npoints);
    json_decref(steps);
}

TEST(test_golden)
{
    static const char *const names[] = {
        "arith_duration", "arith_float",  "arith_int",   "arith_mixed_types",    "compare_numbers", "compare_strings_bools",
        "conv_bool",      "conv_duration", "conv_float", "conv_int",             "conv_string",     "human_bytes",
        "if_func",        "is_present",   "literals",    "logic",                "math_binary",     "math_edge",
        "math_unary",     "precedence",   "regex_ops",   "str_edit",             "str_search",      "str_substring_limits",
        "str_unicode",    "tags_and_fields", "time_funcs", "time_now",
    };
    const char *root = getenv("KAP_SOURCE_ROOT");
    if (!root)
        skip();
    for (size_t i = 0; i < KAP_COUNT(names); i++)
        golden_case(root, names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compile_errors),   cmocka_unit_test(test_run_errors),
        cmocka_unit_test(test_short_circuit),    cmocka_unit_test(test_types_may_change),
        cmocka_unit_test(test_bool_results),     cmocka_unit_test(test_edges_of_integers),
        cmocka_unit_test(test_state),            cmocka_unit_test(test_state_of_skipped_branches),
        cmocka_unit_test(test_extra_functions),  cmocka_unit_test(test_references),
        cmocka_unit_test(test_depth_limit),      cmocka_unit_test(test_golden),
    };
    return RUN_TESTS(tests);
}
