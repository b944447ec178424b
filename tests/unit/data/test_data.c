/* Values, tag sets, groups, points and result rows. */
#include "../test.h"

#include "base/mem.h"
#include "data/result.h"

#include <stdio.h>

static const struct kap_tags *tags_of(const char *text)
{
    struct kap_tag v[16];
    size_t n = 0;
    for (const char *p = text; *p;) {
        const size_t key = strcspn(p, "="), val = strcspn(p + key + 1, ",");
        v[n++] = (struct kap_tag){ kap_sym(kap_strn(p, key)), kap_strn(p + key + 1, val) };
        p += key + 1 + val;
        p += *p == ',';
    }
    return kap_tags_new(v, n);
}

TEST(test_tags)
{
    const struct kap_tags *a = tags_of("b=2,a=1,c=3"), *b = tags_of("c=3,b=2,a=1"),
                          *c = tags_of("a=1,b=2,c=4");
    assert_true(kap_tags_eq(a, b));
    assert_true(a->hash == b->hash && a->hash != c->hash);
    assert_false(kap_tags_eq(a, c));
    assert_string_equal(a->v[0].key->s, "a");
    assert_string_equal(a->v[2].val.p, "3");
    STR_EQ(*kap_tags_get(a, kap_sym_c("b")), "2");
    assert_null(kap_tags_get(a, kap_sym_c("d")));
    const struct kap_tags *last = tags_of("a=1,b=2,a=3");
    assert_int_equal(last->n, 2);
    STR_EQ(*kap_tags_get(last, kap_sym_c("a")), "3");
    assert_true(kap_tags_new(NULL, 0) == kap_tags_empty);
    assert_true(kap_tags_bytes(a) > 0 && kap_tags_bytes(kap_tags_empty) == 0);
    kap_tags_unref(kap_tags_ref(a));
    kap_tags_unref(a);
    kap_tags_unref(b);
    kap_tags_unref(c);
    kap_tags_unref(last);
    kap_tags_unref(NULL);
}

static struct kap_group *get(struct kap_groups *gs, const char *dims, bool by_name, const char *name,
                             const char *tags, bool empty)
{
    const struct kap_sym *names[8];
    struct kap_dims d = { .by_name = by_name, .names = names };
    for (const char *p = dims; *p;) {
        const size_t n = strcspn(p, ",");
        names[d.n++] = kap_sym(kap_strn(p, n));
        p += n;
        p += *p == ',';
    }
    const struct kap_tags *t = tags_of(tags);
    struct kap_group *g = kap_groups_get(gs, &d, kap_sym_c(name), t, empty);
    kap_tags_unref(t);
    return g;
}

TEST(test_group_ids)
{
    static const struct {
        const char *dims;
        bool by_name;
        const char *tags, *id;
        bool empty;
        uint32_t ntags;
    } cases[] = {
        { "", false, "host=a", "nil", false, 0 },
        { "", true, "host=a", "cpu", false, 0 },
        { "host", false, "host=a,dc=x", "host=a", false, 1 },
        { "dc,host", false, "host=a,dc=x", "dc=x,host=a", false, 2 },
        { "dc,host", true, "host=a,dc=x", "cpu\ndc=x,host=a", false, 2 },
        { "host", false, "dc=x", "host=", false, 0 },
        { "host", false, "dc=x", "host=", true, 1 },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        struct kap_groups *gs = kap_groups_new();
        struct kap_group *g = get(gs, cases[i].dims, cases[i].by_name, "cpu", cases[i].tags, cases[i].empty);
        STR_EQ(g->id, cases[i].id);
        assert_int_equal(g->id.p[g->id.n], '\0');
        assert_int_equal(g->tags->n, cases[i].ntags);
        assert_true((g->name != NULL) == cases[i].by_name);
        kap_group_unref(gs, g);
        kap_groups_free(gs);
    }
}

TEST(test_groups_are_shared)
{
    struct kap_groups *gs = kap_groups_new();
    struct kap_group *a = get(gs, "host", false, "cpu", "host=a,dc=x", false);
    assert_true(a == get(gs, "host", false, "mem", "host=a,dc=y", false));
    struct kap_group *b = get(gs, "host", false, "cpu", "host=b", false);
    struct kap_group *c = get(gs, "host", true, "cpu", "host=a", false);
    assert_true(a != b && a != c && a->index != b->index && b->index != c->index);
    assert_int_equal(kap_groups_limit(gs), 3);
    const uint32_t index = b->index;
    kap_group_unref(gs, b);
    struct kap_group *d = get(gs, "host", false, "cpu", "host=d", false);
    assert_int_equal(d->index, index); /* given back, used again */
    assert_int_equal(kap_groups_limit(gs), 3);
    for (int i = 0; i < 1000; i++) {
        char tags[32];
        snprintf(tags, sizeof tags, "host=h%d", i);
        struct kap_group *g = get(gs, "host", false, "cpu", tags, false);
        if (i % 2)
            kap_group_unref(gs, g);
    }
    assert_true(a == get(gs, "host", false, "mem", "host=a", false));
    assert_int_equal(a->refs, 3);
    kap_groups_free(gs);
}

static struct kap_point sample(struct kap_field *f, const struct kap_tags *tags)
{
    f[0] = (struct kap_field){ kap_sym_c("z"), kap_value_f(1.5) };
    f[1] = (struct kap_field){ kap_sym_c("s"), kap_value_s(KAP_STR("te<xt")) };
    f[2] = (struct kap_field){ kap_sym_c("i"), kap_value_i(-3) };
    f[3] = (struct kap_field){ kap_sym_c("b"), kap_value_b(true) };
    f[4] = (struct kap_field){ kap_sym_c("null"), { .type = KAP_MISSING } };
    return (struct kap_point){ .time_ns = 1500000000,
                               .db = kap_sym_empty,
                               .rp = kap_sym_empty,
                               .name = kap_sym_c("cpu"),
                               .tags = tags,
                               .nfields = 5,
                               .fields = f };
}

TEST(test_point_copy)
{
    struct kap_groups *gs = kap_groups_new();
    struct kap_field f[5];
    const struct kap_tags *tags = tags_of("host=a");
    struct kap_point p = sample(f, tags);
    p.group = get(gs, "host", false, "cpu", "host=a", false);
    struct kap_point *c = kap_point_copy(&p);
    assert_true(c->fields != p.fields && c->tags == p.tags && c->group->refs == 2);
    for (uint32_t i = 0; i < p.nfields; i++)
        assert_true(kap_value_eq(&c->fields[i].v, &p.fields[i].v));
    assert_true(kap_point_field(c, kap_sym_c("s"))->s.p != f[1].v.s.p);
    assert_null(kap_point_field(c, kap_sym_c("nope")));
    kap_point_free(gs, c);
    assert_int_equal(p.group->refs, 1);
    kap_group_unref(gs, p.group);
    kap_tags_unref(tags);
    kap_groups_free(gs);
}

static char *row_text(struct kap_row *r, bool *ok)
{
    struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    *ok = kap_row_json(r, &j);
    kap_row_free(r);
    return kap_buf_take(&b);
}

TEST(test_row_of_a_point)
{
    struct kap_field f[5];
    const struct kap_tags *tags = tags_of("host=a,dc=x");
    const struct kap_point p = sample(f, tags);
    bool ok;
    KAP_AUTO_FREE char *got = row_text(kap_row_from_point(&p), &ok);
    assert_true(ok);
    assert_string_equal(
        got,
        "{\"name\":\"cpu\",\"tags\":{\"dc\":\"x\",\"host\":\"a\"},\"columns\":[\"time\",\"b\",\"i\",\"null\","
        "\"s\",\"z\"],\"values\":[[\"1970-01-01T00:00:01.5Z\",true,-3,null,\"te\\u003cxt\",1.5]]}");
    f[0].v = kap_value_f(__builtin_nan(""));
    KAP_AUTO_FREE char *nan = row_text(kap_row_from_point(&p), &ok);
    assert_false(ok);
    kap_tags_unref(tags);
}

TEST(test_row_of_a_batch)
{
    struct kap_groups *gs = kap_groups_new();
    struct kap_batch b = { .begin = { .time_ns = 5, .name = kap_sym_c("cpu") } };
    b.begin.group = get(gs, "dc", false, "cpu", "dc=x", true);
    bool ok;
    KAP_AUTO_FREE char *none = row_text(kap_row_from_batch(&b), &ok);
    assert_string_equal(none, "{\"name\":\"cpu\",\"tags\":{\"dc\":\"x\"}}");

    struct kap_field f[5];
    const struct kap_tags *tags = tags_of("dc=x,host=a"), *bare = tags_of("dc=x");
    struct kap_point p = sample(f, tags);
    p.nfields = 1;
    kap_batch_add(&b, &p);
    p.tags = bare; /* lacks a column */
    p.fields = f + 2;
    kap_batch_add(&b, &p);
    KAP_AUTO_FREE char *got = row_text(kap_row_from_batch(&b), &ok);
    assert_string_equal(
        got, "{\"name\":\"cpu\",\"tags\":{\"dc\":\"x\"},\"columns\":[\"time\",\"host\",\"z\"],\"values\":["
             "[\"1970-01-01T00:00:01.5Z\",\"a\",1.5],[\"1970-01-01T00:00:01.5Z\",null,null]]}");
    kap_batch_clear(gs, &b);
    kap_group_unref(gs, b.begin.group);
    kap_tags_unref(tags);
    kap_tags_unref(bare);
    kap_groups_free(gs);
}

TEST(test_values)
{
    const struct kap_value nan = kap_value_f(__builtin_nan("")), one = kap_value_i(1), onef = kap_value_f(1);
    const struct kap_value a = kap_value_s(KAP_STR("a")), b = kap_value_s(KAP_STR("b"));
    assert_false(kap_value_eq(&nan, &nan));
    assert_false(kap_value_eq(&one, &onef));
    assert_true(kap_value_eq(&a, &a));
    assert_false(kap_value_eq(&a, &b));
    assert_string_equal(kap_type_name(KAP_BOOL), "boolean");
    assert_string_equal(kap_type_name(KAP_MISSING), "missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_group_ids),
        cmocka_unit_test(test_groups_are_shared),
        cmocka_unit_test(test_point_copy),
        cmocka_unit_test(test_row_of_a_point),
        cmocka_unit_test(test_row_of_a_batch),
        cmocka_unit_test(test_values),
    };
    return RUN_TESTS(tests);
}
