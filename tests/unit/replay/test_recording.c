#include "replay/recording.h"
#include "base/mem.h"
#include "data/line.h"
#include "replay/zip.h"
#include "test.h"

#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

static char path[64];

static int make_path(void **state)
{
    static int count;
    snprintf(path, sizeof path, "/tmp/kap-recording-%d-%d", (int)getpid(), count++);
    return 0;
}

static int drop_path(void **state)
{
    unlink(path);
    return 0;
}

/* --- streams --- */

static struct kap_point point(const char *db, int64_t time_ns, const struct kap_field *f, uint32_t n)
{
    return (struct kap_point){ .time_ns = time_ns,
                               .db = kap_sym_c(db),
                               .rp = kap_sym_c("rp"),
                               .name = kap_sym_c("m"),
                               .tags = kap_tags_empty,
                               .fields = f,
                               .nfields = n };
}

static void write_text(const char *text, bool packed)
{
    gzFile gz = gzopen(path, packed ? "wb" : "wbT");
    assert_non_null(gz);
    assert_int_equal(gzwrite(gz, text, (unsigned)strlen(text)), (int)strlen(text));
    assert_int_equal(gzclose(gz), Z_OK);
}

static enum kap_status read_stream(struct kap_buf *out, struct kap_error *err)
{
    struct kap_srpl_reader *r;
    struct kap_point p;
    bool more;
    enum kap_status st;
    OK(kap_srpl_open(path, &r, err), err);
    while ((st = kap_srpl_next(r, &p, &more, err)) == KAP_OK && more) {
        kap_buf_addf(out, "%s.%s ", p.db->s, p.rp->s);
        kap_line_write(out, &p, 1);
    }
    kap_srpl_close(r);
    return st;
}

TEST(a_stream_is_three_lines_for_each_point)
{
    const struct kap_field fields[] = {
        { kap_sym_c("v"), kap_value_f(1.5) },
        { kap_sym_c("b"), kap_value_b(true) },
        { kap_sym_c("i"), kap_value_i(-3) },
        { kap_sym_c("s"), kap_value_s(KAP_STR("x \"y\"")) },
    };
    struct kap_srpl_writer *w;
    struct kap_error err;
    OK(kap_srpl_create(path, &w, &err), &err);
    const struct kap_point full = point("d", 5, fields, 4), none = point("d", 6, fields, 0);
    OK(kap_srpl_write(w, &full, &err), &err);
    OK(kap_srpl_write(w, &none, &err), &err);
    OK(kap_srpl_finish(w, &err), &err);

    char text[256];
    gzFile gz = gzopen(path, "rb");
    const int n = gzread(gz, text, sizeof text);
    gzclose(gz);
    STR_EQ(kap_strn(text, (size_t)n), "d\nrp\nm b=true,i=-3i,s=\"x \\\"y\\\"\",v=1.5 5\n");
    struct kap_buf out = { 0 };
    OK(read_stream(&out, &err), &err);
    STR_EQ(kap_buf_str(&out), "d.rp m b=true,i=-3i,s=\"x \\\"y\\\"\",v=1.5 5\n");
    kap_buf_done(&out);
}

TEST(databases_may_change_from_point_to_point_and_files_may_be_plain)
{
    struct kap_buf out = { 0 };
    struct kap_error err;
    write_text("a\nr\nm v=1 1\nb\nr\nm v=2 2\r\nb\n\nm v=3 3", false);
    OK(read_stream(&out, &err), &err);
    STR_EQ(kap_buf_str(&out), "a.r m v=1 1\nb.r m v=2 2\nb. m v=3 3\n");
    kap_buf_done(&out);
}

TEST(a_damaged_record_is_named_after_what_is_before_it)
{
    struct kap_buf text = { 0 }, out = { 0 };
    struct kap_error err;
    for (int i = 1; i <= 1000; i++)
        kap_buf_addf(&text, "d\nr\nm %s=%d %d\n", i == 700 ? "" : "v", i, i);
    write_text(text.p, true);
    FAILS(read_stream(&out, &err), &err, "record 700: unable to parse 'm =700 700': missing field key");
    size_t lines = 0;
    for (size_t i = 0; i < out.n; i++)
        lines += out.p[i] == '\n';
    assert_int_equal(lines, 699);
    kap_buf_done(&text);
    kap_buf_done(&out);
}

TEST(a_stream_that_is_cut_short_fails)
{
    struct kap_buf out = { 0 };
    struct kap_error err;
    write_text("d\nr\nm v=1 1\nd\nr\n", false);
    FAILS(read_stream(&out, &err), &err, "invalid replay file format, expected another line");
    STR_EQ(kap_buf_str(&out), "d.r m v=1 1\n");
    kap_buf_done(&out);
}

/* --- batches --- */

static struct kap_block *block(const char *name, const char *host, bool by_name)
{
    const struct kap_tag tag = { kap_sym_c("h"), kap_str(host ? host : "") };
    const struct kap_tags *tags = kap_tags_new(&tag, host ? 1 : 0);
    struct kap_block *b = kap_block_new(kap_sym_c(name), tags, by_name);
    kap_tags_unref(tags);
    const struct kap_field fields[] = { { kap_sym_c("v"), kap_value_f(2) },
                                        { kap_sym_c("s"), kap_value_s(KAP_STR("<a>")) } };
    kap_block_add(b, 1000000000, NULL, fields, 2);
    b->time_ns = 2000000000;
    b->has_time = true;
    return b;
}

static void put(struct kap_brpl_writer *w, const char *name, const char *host, bool by_name)
{
    struct kap_error err;
    struct kap_block *b = block(name, host, by_name);
    OK(kap_brpl_write(w, b, &err), &err);
    kap_block_free(b);
}

static void write_batches(void)
{
    struct kap_brpl_writer *w;
    struct kap_error err;
    OK(kap_brpl_create(path, &w, &err), &err);
    OK(kap_brpl_query(w, &err), &err);
    put(w, "m", "a", false);
    put(w, "m", NULL, false);
    OK(kap_brpl_query(w, &err), &err);
    OK(kap_brpl_query(w, &err), &err);
    put(w, "n", "b", true);
    OK(kap_brpl_finish(w, &err), &err);
}

TEST(batches_are_json_in_an_archive)
{
    struct kap_zip *z;
    struct kap_zip_stream *s;
    struct kap_error err;
    char text[512];
    size_t n = 0, got;
    write_batches();
    OK(kap_zip_open(path, &z, &err), &err);
    assert_int_equal(kap_zip_count(z), 3);
    OK(kap_zip_stream_open(z, 0, &s, &err), &err);
    do {
        OK(kap_zip_read(s, text + n, sizeof text - n, &got, &err), &err);
        n += got;
    } while (got);
    STR_EQ(kap_strn(text, n),
           "{\"name\":\"m\",\"tmax\":\"1970-01-01T00:00:02Z\",\"group\":\"h=a\",\"tags\":{\"h\":\"a\"},"
           "\"points\":[{\"fields\":"
           "{\"s\":\"\\u003ca\\u003e\",\"v\":2},\"tags\":{\"h\":\"a\"},\"time\":\"1970-01-01T00:00:01Z\"}]}\n"
           "{\"name\":\"m\",\"tmax\":\"1970-01-01T00:00:02Z\",\"points\":[{\"fields\":{\"s\":"
           "\"\\u003ca\\u003e\",\"v\":2},"
           "\"tags\":null,\"time\":\"1970-01-01T00:00:01Z\"}]}\n");
    kap_zip_stream_close(s);
    kap_zip_close(z);
}

TEST(batches_come_back_as_they_were)
{
    struct kap_brpl_reader *r;
    struct kap_block *b;
    struct kap_error err;
    write_batches();
    OK(kap_brpl_open(path, &r, &err), &err);
    assert_int_equal(kap_brpl_queries(r), 3);
    OK(kap_brpl_next(r, 2, &b, &err), &err);
    assert_true(b->by_name && b->has_time);
    assert_int_equal(b->time_ns, 2000000000);
    assert_int_equal(b->n, 1);
    STR_EQ(*kap_tags_get(b->tags, kap_sym_c("h")), "b");
    assert_int_equal(b->points[0].nfields, 2);
    kap_block_free(b);
    OK(kap_brpl_next(r, 2, &b, &err), &err);
    assert_null(b);
    OK(kap_brpl_next(r, 1, &b, &err), &err);
    assert_null(b);
    kap_brpl_close(r);
}

static void write_member(const char *text)
{
    struct kap_zip_writer *z;
    struct kap_error err;
    OK(kap_zip_create(path, &z, &err), &err);
    OK(kap_zip_member(z, "0", &err), &err);
    OK(kap_zip_write(z, kap_str(text), &err), &err);
    OK(kap_zip_finish(z, &err), &err);
}

TEST(a_damaged_batch_is_named)
{
    struct kap_brpl_reader *r;
    struct kap_block *b;
    struct kap_error err;
    write_member("{\"name\":\"m\",\"points\":[{\"fields\":{\"v\":1},\"time\":\"1970-01-01T00:00:01Z\"}]} "
                 "{\"name\":\"m\",");
    OK(kap_brpl_open(path, &r, &err), &err);
    OK(kap_brpl_next(r, 0, &b, &err), &err);
    kap_block_free(b);
    FAILS(kap_brpl_next(r, 0, &b, &err), &err, "query 0, record 1: unexpected end of JSON input");
    kap_brpl_close(r);
}

TEST(an_archive_with_flipped_bits_is_refused)
{
    write_batches();
    FILE *f = fopen(path, "rb");
    char whole[4096];
    const size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    for (size_t at = 0; at < n; at++) { /* no crash, no endless loop */
        whole[at] ^= 0x55;
        f = fopen(path, "wb");
        assert_int_equal(fwrite(whole, 1, n, f), n);
        fclose(f);
        whole[at] ^= 0x55;
        struct kap_brpl_reader *r;
        struct kap_block *b;
        if (kap_brpl_open(path, &r, NULL) != KAP_OK)
            continue;
        for (size_t q = 0; q < kap_brpl_queries(r); q++)
            while (kap_brpl_next(r, q, &b, NULL) == KAP_OK && b)
                kap_block_free(b);
        kap_brpl_close(r);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_path, drop_path)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_stream_is_three_lines_for_each_point),
        CASE(databases_may_change_from_point_to_point_and_files_may_be_plain),
        CASE(a_damaged_record_is_named_after_what_is_before_it),
        CASE(a_stream_that_is_cut_short_fails),
        CASE(batches_are_json_in_an_archive),
        CASE(batches_come_back_as_they_were),
        CASE(a_damaged_batch_is_named),
        CASE(an_archive_with_flipped_bits_is_refused),
    };
    return RUN_TESTS(tests);
}
