/* Line protocol: the forms and errors recorded from the reference, both parsers against each other, and back.
 */
#include "../test.h"

#include "base/mem.h"
#include "base/random.h"
#include "data/line.h"

#include <inttypes.h>
#include <stdio.h>

static struct kap_source source;
static struct kap_series_cache *cache;
static struct kap_line_parser *parser;

static int set_up(void **state)
{
    source = (struct kap_source){ kap_sym_c("db"), kap_sym_c("rp"), 7 };
    cache = kap_series_cache_new(4096, NULL);
    parser = kap_line_parser_new();
    return 0;
}

static int tear_down(void **state)
{
    kap_line_parser_free(parser);
    kap_series_cache_free(cache);
    return 0;
}

static void show(struct kap_buf *out, const struct kap_line_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct kap_point p;
        kap_line_batch_point(b, i, &p);
        kap_buf_addf(out, "%s", p.name->s);
        for (uint32_t k = 0; k < p.tags->n; k++)
            kap_buf_addf(out, "|%s=%.*s", p.tags->v[k].key->s, KAP_STR_ARG(p.tags->v[k].val));
        for (uint32_t k = 0; k < p.nfields; k++) {
            const struct kap_field *f = &p.fields[k];
            kap_buf_addf(out, "|%s:%s=", f->key->s, kap_type_name(f->v.type));
            if (f->v.type == KAP_FLOAT)
                kap_buf_addf(out, "%a", f->v.f);
            else if (f->v.type == KAP_INT)
                kap_buf_addf(out, "%" PRId64, f->v.i);
            else if (f->v.type == KAP_BOOL)
                kap_buf_addf(out, "%d", f->v.b);
            else
                kap_buf_addf(out, "%.*s", KAP_STR_ARG(f->v.s));
        }
        kap_buf_addf(out, "|%" PRId64 "\n", p.time_ns);
    }
}

/* What comes out of a body, or the error. */
static char *parse(struct kap_str body, const char *precision, bool careful)
{
    struct kap_line_batch b = { 0 };
    struct kap_buf out = { 0 };
    struct kap_error err;
    const struct kap_line_options opts = {
        .unit_ns = kap_line_precision(kap_str(precision)), .now_ns = 1234567890, .careful = careful
    };
    if (kap_line_parse(parser, cache, &source, body, &opts, &b, &err) == KAP_OK) {
        show(&out, &b);
    } else {
        assert_int_equal(b.n, 0);
        kap_buf_adds(&out, err.msg);
    }
    kap_line_batch_done(&b);
    return kap_buf_take(&out);
}

static void same(const char *body, const char *precision, const char *want)
{
    for (int careful = 0; careful < 3; careful++) { /* twice by the usual way: the series is known then */
        KAP_AUTO_FREE char *got = parse(kap_str(body), precision, careful == 2);
        assert_string_equal(got, want);
    }
}

static void test_forms(void **state)
{
    same("", "s", "");
    same("# comment\n\n", "s", "");
    same("we\\,ird\\ na\\=me,t\\ ag=v\\,al\\=ue,e=\\\\x f\\ 1=\"str \\\"q\\\" \\\\ , "
         "=\",f2=-1.5e-3,f3=t,f4=FALSE,f5=-3i,"
         "f6=True 1\n",
         "s",
         "we,ird na=me|e=\\\\x|t ag=v,al=ue|f 1:string=str \"q\" \\ , "
         "=|f2:float=-0x1.89374bc6a7efap-10|f3:boolean=1|"
         "f4:boolean=0|f5:int=-3|f6:boolean=1|1000000000\n");
    same("   m v=1 2\n", "s", "m|v:float=0x1p+0|2000000000\n");
    same("m v=1,w=\"\xc3\xa9\" -5", "s", "m|v:float=0x1p+0|w:string=\xc3\xa9|-5000000000\n");
    same("m,b=1,a=2 z=1,y=2 3", "s", "m|a=2|b=1|z:float=0x1p+0|y:float=0x1p+1|3000000000\n");
    same("m v=\"multi\nline\" 4\n", "n", "m|v:string=multi\nline|4\n");
    same("m v=1e5 5\r", "n", "unable to parse 'm v=1e5 5\r': bad timestamp");
    same("m v=1i,v=2 5", "n", "m|v:float=0x1p+1|5\n");
    same("m v=1", "s", "m|v:float=0x1p+0|1000000000\n");
    same("m v=1", "ms", "m|v:float=0x1p+0|1234000000\n");
    same("m v=1  7  \n\nm v=2 8", "u", "m|v:float=0x1p+0|7000\nm|v:float=0x1p+1|8000\n");
    same("m \t v=.5,w=5.,x=-0 1", "h", "m|v:float=0x1p-1|w:float=0x1.4p+2|x:float=-0x0p+0|3600000000000\n");
    same("m v=\"a\"b,w=1 1", "n", "m|v:string=a\"|w:float=0x1p+0|1\n");
    same("m v=9223372036854775807i,w=-9223372036854775808i 9223372036854775806", "n",
         "m|v:int=9223372036854775807|w:int=-9223372036854775808|9223372036854775806\n");
    same("m v=0.1,w=123456789012345678901,x=1.7976931348623157e308 1", "n",
         "m|v:float=0x1.999999999999ap-4|w:float=0x1.ac53a7e04bcdap+66|x:float=0x1.fffffffffffffp+1023|1\n");
}

static void test_errors(void **state)
{
    static const struct {
        const char *line, *reason;
    } cases[] = {
        { "bad line here", "invalid field format" },
        { "m v= 1", "missing field value" },
        { "m 1", "invalid field format" },
        { "m", "missing fields" },
        { "m,tag v=1 1", "missing tag value" },
        { "m,t= v=1 1", "missing tag value" },
        { "m,=x v=1 1", "missing tag key" },
        { "m,a=b=c v=1 1", "invalid tag format" },
        { "m,a=b", "missing fields" },
        { ",a=b v=1 1", "missing measurement" },
        { "m v=1x 1", "invalid number" },
        { "m v=bad 2", "invalid boolean" },
        { "m v=+2 6", "invalid boolean" },
        { "m v=nan 6", "invalid number" },
        { "m v=1u 6", "invalid number" },
        { "m v=1.5i 6", "invalid number" },
        { "m v=- 6", "invalid number" },
        { "m v=1e 6", "invalid float" },
        { "m v=1e400 6", "invalid float" },
        { "m v=0x1 6", "invalid number" },
        { "m v=\"open 1", "unbalanced quotes" },
        { "m v=1 notatime", "bad timestamp" },
        { "m v=1 1 2", "point is invalid" },
        { "m v=1 -", "strconv.ParseInt: parsing \"-\": invalid syntax" },
        { "m v=1 9223372036854775807", "time outside range -9223372036854775806 - 9223372036854775806" },
        { "m v=1 99999999999999999999",
          "strconv.ParseInt: parsing \"99999999999999999999\": value out of range" },
        { "m =1 1", "missing field key" },
        { "m v=1,=2 1", "missing field key" },
        { "m v=1, 1", "invalid field format" },
        { "m,a=1,a=2 v=1 1", "duplicate tags" },
        { "m,b=1,a=2,b=3 v=1 1", "duplicate tags" },
        { "m v=99999999999999999999i 1",
          "unable to parse integer 99999999999999999999: strconv.ParseInt: parsing "
          "\"99999999999999999999\": value out of range" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        KAP_AUTO_FREE char *want = kap_asprintf("unable to parse '%s': %s", cases[i].line, cases[i].reason);
        same(cases[i].line, "n", want);
        KAP_AUTO_FREE char *body = kap_asprintf("m v=1 1\n%s\nm v= 2\n", cases[i].line);
        if (!strchr(cases[i].line, '"'))
            same(body, "n", want);
    }
}

static void test_long(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_adds(&b, "m,t=");
    for (int i = 0; i < 70000; i++)
        kap_buf_addc(&b, 'x');
    kap_buf_adds(&b, " v=1 1");
    KAP_AUTO_FREE char *got = parse(kap_buf_str(&b), "n", false);
    assert_non_null(strstr(got, "...': max key length exceeded: 70004 > 65535"));
    kap_buf_reset(&b);
    kap_buf_adds(&b, "m ");
    for (int i = 0; i < 500; i++)
        kap_buf_addf(&b, "%sf%d=%d", i ? "," : "", i, i);
    struct kap_line_batch lb = { 0 };
    const struct kap_line_options opts = { .unit_ns = 1 };
    assert_int_equal(kap_line_parse(parser, cache, &source, kap_buf_str(&b), &opts, &lb, NULL), KAP_OK);
    assert_int_equal(lb.points[0].nfields, 500);
    kap_line_batch_done(&lb);
}

/* Random bytes of the characters that matter, and random changes to good lines: both parsers agree on all. */
static void test_both_parsers_agree(void **state)
{
    static const char alphabet[] = "mab,,== \\\"\n\t#0123459.-eEiutfTrueNn\x80";
    static const char *const seeds[] = { "m,a=b,c=d v=1.5,w=2i,s=\"x y\",t=true 1500000000000000000\n",
                                         "m v=1,w=2 12\nm v=3,w=4 13\nm w=3,v=4 13\n",
                                         "cpu,host=a v=1e3 1\n" };
    struct kap_random r;
    kap_random_seed(&r, 42);
    for (int round = 0; round < 60000; round++) {
        char body[128];
        size_t n;
        if (round % 2) {
            const char *seed = seeds[kap_random_below(&r, KAP_COUNT(seeds))];
            n = strlen(seed);
            memcpy(body, seed, n);
            for (uint64_t changes = kap_random_below(&r, 4); changes > 0; changes--)
                body[kap_random_below(&r, n)] = alphabet[kap_random_below(&r, sizeof alphabet - 1)];
        } else {
            n = kap_random_below(&r, 40);
            for (size_t i = 0; i < n; i++)
                body[i] = alphabet[kap_random_below(&r, sizeof alphabet - 1)];
        }
        KAP_AUTO_FREE char *copy = kap_strndup(body, n); /* exact size: reading past it is seen */
        KAP_AUTO_FREE char *careful = parse(kap_strn(copy, n), "n", true);
        KAP_AUTO_FREE char *usual = parse(kap_strn(copy, n), "n", false);
        if (strcmp(usual, careful) != 0)
            print_message("body: %.*s\n", (int)n, body);
        assert_string_equal(usual, careful);
    }
}

static struct kap_value random_value(struct kap_random *r, struct kap_arena *a)
{
    static const char text[] = "ab \",=\\\n\xc3\xa9";
    switch (kap_random_below(r, 4)) {
    case 0:
        return kap_value_i((int64_t)kap_random_u64(r) >> kap_random_below(r, 64));
    case 1:
        return kap_value_b(kap_random_below(r, 2));
    case 2: {
        const size_t n = kap_random_below(r, 12);
        char *p = kap_arena_alloc(a, n + 1);
        for (size_t i = 0; i < n; i++)
            p[i] = text[kap_random_below(r, sizeof text - 1)];
        return kap_value_s(kap_strn(p, n));
    }
    default:
        return kap_value_f(kap_random_below(r, 2) ? (double)(int64_t)kap_random_below(r, 100000) / 64
                                                  : (kap_random_f64(r) - 0.5) * 1e6);
    }
}

/* Points written as lines and read again are the same points. */
static void test_write_and_read(void **state)
{
    struct kap_random r;
    kap_random_seed(&r, 7);
    struct kap_arena *a = kap_arena_new();
    for (int round = 0; round < 5000; round++) {
        kap_arena_reset(a);
        struct kap_tag tags[3];
        const size_t ntags = kap_random_below(&r, 4);
        static const char *const keys[] = { "host", "a b", "d,c=" };
        static const char *const vals[] = { "x", "y z", "q=,", "\xc3\xa9" };
        for (size_t i = 0; i < ntags; i++)
            tags[i] =
                (struct kap_tag){ kap_sym_c(keys[i]), kap_str(vals[kap_random_below(&r, KAP_COUNT(vals))]) };
        struct kap_field fields[3];
        static const char *const names[] = { "v", "w x", "y=\"z" };
        const uint32_t nfields = 1 + (uint32_t)kap_random_below(&r, 3);
        for (uint32_t i = 0; i < nfields; i++)
            fields[i] = (struct kap_field){ kap_sym_c(names[i]), random_value(&r, a) };
        const struct kap_point p = {
            .time_ns = (int64_t)(kap_random_u64(&r) >> 2), .name = kap_sym_c("m, 1"),
            .tags = kap_tags_new(tags, ntags), .fields = fields, .nfields = nfields,
        };
        KAP_AUTO_BUF struct kap_buf line = { 0 };
        kap_line_write(&line, &p, 1);
        struct kap_line_batch b = { 0 };
        struct kap_error err;
        const struct kap_line_options opts = { .unit_ns = 1 };
        if (kap_line_parse(parser, cache, &source, kap_buf_str(&line), &opts, &b, &err) != KAP_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(b.n, 1);
        struct kap_point q;
        kap_line_batch_point(&b, 0, &q);
        assert_true(q.name == p.name && q.time_ns == p.time_ns && q.nfields == nfields);
        assert_true(kap_tags_eq(q.tags, p.tags));
        for (uint32_t i = 0; i < nfields; i++)
            assert_true(q.fields[i].key == fields[i].key && kap_value_eq(&q.fields[i].v, &fields[i].v));
        kap_line_batch_done(&b);
        kap_tags_unref(p.tags);
    }
    kap_arena_free(a);
}

/* Many more series than the cache holds: all points come out right, and memory stays bounded. */
static void test_many_series(void **state)
{
    struct kap_line_batch b = { 0 };
    const struct kap_line_options opts = { .unit_ns = 1 };
    for (int round = 0; round < 300; round++) {
        KAP_AUTO_BUF struct kap_buf body = { 0 };
        for (int i = 0; i < 200; i++)
            kap_buf_addf(&body, "m,host=h%d v=%d %d\n", round * 150 + i, i, i);
        assert_int_equal(kap_line_parse(parser, cache, &source, kap_buf_str(&body), &opts, &b, NULL), KAP_OK);
        assert_int_equal(b.n, 200);
        for (int i = 0; i < 200; i++) {
            char want[32];
            snprintf(want, sizeof want, "h%d", round * 150 + i);
            assert_true(kap_str_is(b.points[i].series->tags->v[0].val, want));
        }
        assert_true(kap_series_cache_len(cache) <= 4096);
    }
    assert_true(kap_series_cache_bytes(cache) < 4 << 20);
    kap_line_batch_done(&b);
}

/* A series that was not seen since the hand came by leaves, those that are seen stay, and batches that hold it may
 * go on to use it. */
static void test_unused_series_leave(void **state)
{
    struct kap_line_batch held = { 0 }, b = { 0 };
    const struct kap_line_options opts = { .unit_ns = 1 };
    const struct kap_str both = KAP_STR("m,host=a v=1 1\nm,host=b v=1 1\n"), one = KAP_STR("m,host=a v=1 2\n");
    OK(kap_line_parse(parser, cache, &source, both, &opts, &held, NULL), &(struct kap_error){ 0 });
    for (int round = 0; round < 3; round++) {
        OK(kap_line_parse(parser, cache, &source, one, &opts, &b, NULL), &(struct kap_error){ 0 });
        kap_series_age(cache, 1000);
        assert_int_equal(kap_series_cache_len(cache), round == 0 ? 2 : 1);
    }
    STR_EQ(held.points[1].series->tags->v[0].val, "b");
    kap_line_batch_done(&held);
    kap_line_batch_done(&b);
    kap_series_age(cache, 1000);
    kap_series_age(cache, 1000);
    assert_int_equal(kap_series_cache_len(cache), 0);
    OK(kap_line_parse(parser, cache, &source, both, &opts, &b, NULL), &(struct kap_error){ 0 });
    STR_EQ(b.points[1].series->tags->v[0].val, "b");
    kap_line_batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_parsers_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_series, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unused_series_leave, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
