#include "replay/recording.h"

#include "base/map.h"
#include "base/mem.h"
#include "data/line.h"

#include <errno.h>
#include <zlib.h>

#define GZ_BUFFER_BYTES (256 << 10)
#define PIECE_BYTES (64 << 10)
#define RUN_RECORDS 512 /* that are parsed together */

/* --- writing --- */

struct kap_srpl_writer {
    gzFile gz;
    char *path;
    struct kap_buf text;
    struct kap_field *fields; /* sorted */
    size_t cap;
};

enum kap_status kap_srpl_create(const char *path, struct kap_srpl_writer **ret, struct kap_error *err)
{
    gzFile gz = gzopen(path, "wbe");
    if (!gz)
        return kap_fail(err, KAP_EIO, "failed to create recording file: %s: %s", path, strerror(errno));
    gzbuffer(gz, GZ_BUFFER_BYTES);
    struct kap_srpl_writer *w = KAP_NEW(struct kap_srpl_writer);
    w->gz = gz;
    w->path = kap_strdup(path);
    *ret = w;
    return KAP_OK;
}

static int by_key(const void *a, const void *b)
{
    return kap_sym_cmp(((const struct kap_field *)a)->key, ((const struct kap_field *)b)->key);
}

enum kap_status kap_srpl_write(struct kap_srpl_writer *w, const struct kap_point *p, struct kap_error *err)
{
    struct kap_point sorted = *p;
    KAP_GROW(w->fields, w->cap, p->nfields);
    for (uint32_t i = 0; i < p->nfields; i++)
        w->fields[i] = p->fields[i];
    if (p->nfields > 1)
        qsort(w->fields, p->nfields, sizeof *w->fields, by_key);
    sorted.fields = w->fields;
    kap_buf_reset(&w->text);
    kap_buf_addf(&w->text, "%s\n%s\n", p->db->s, p->rp->s);
    const size_t before = w->text.n;
    kap_line_write(&w->text, &sorted, 1);
    if (w->text.n == before)
        return KAP_OK;
    if (gzwrite(w->gz, w->text.p, (unsigned)w->text.n) != (int)w->text.n)
        return kap_fail(err, KAP_EIO, "cannot write %s: %s", w->path, strerror(errno));
    return KAP_OK;
}

enum kap_status kap_srpl_finish(struct kap_srpl_writer *w, struct kap_error *err)
{
    if (!w)
        return KAP_OK;
    enum kap_status st = KAP_OK;
    if (gzclose(w->gz) != Z_OK)
        st = kap_fail(err, KAP_EIO, "cannot write %s", w->path);
    kap_buf_done(&w->text);
    kap_free(w->fields);
    kap_free(w->path);
    kap_free(w);
    return st;
}

/* --- reading --- */

/* Records of one database and policy are parsed together; only when that fails they are parsed one by one, so
 * that those before the damaged one are handed out and it can be named. */
struct kap_srpl_reader {
    gzFile gz;
    char *path;
    struct kap_buf bytes; /* read, not cut into lines yet, from `at` on */
    size_t at;
    bool ended;
    struct kap_buf db, rp, next_db, next_rp, lines;
    bool have_next;   /* next_db and next_rp are those of a record whose line comes next */
    uint64_t records; /* read in whole */
    size_t in_run;    /* records in `lines` */
    size_t line_at;   /* in `lines`, when they are parsed one by one */
    bool one_by_one;
    struct kap_line_parser *parser;
    struct kap_series_cache *cache;
    struct kap_map *sources;
    uint32_t nsources;
    struct kap_line_batch batch;
    size_t given; /* of the batch's points */
};

enum kap_status kap_srpl_open(const char *path, struct kap_srpl_reader **ret, struct kap_error *err)
{
    gzFile gz = gzopen(path, "rbe");
    if (!gz)
        return kap_fail(err, KAP_EIO, "open %s: %s", path, errno ? strerror(errno) : "out of memory");
    gzbuffer(gz, GZ_BUFFER_BYTES);
    struct kap_srpl_reader *r = KAP_NEW(struct kap_srpl_reader);
    r->gz = gz;
    r->path = kap_strdup(path);
    r->parser = kap_line_parser_new();
    r->cache = kap_series_cache_new(1 << 20, NULL);
    r->sources = kap_map_new();
    *ret = r;
    return KAP_OK;
}

void kap_srpl_close(struct kap_srpl_reader *r)
{
    if (!r)
        return;
    gzclose(r->gz);
    kap_line_batch_done(&r->batch);
    kap_line_parser_free(r->parser);
    kap_series_cache_free(r->cache);
    void *source;
    for (size_t i = 0; kap_map_next(r->sources, &i, NULL, &source);)
        kap_free(source);
    kap_map_free(r->sources);
    struct kap_buf *const bufs[] = { &r->bytes, &r->db, &r->rp, &r->next_db, &r->next_rp, &r->lines };
    for (size_t i = 0; i < KAP_COUNT(bufs); i++)
        kap_buf_done(bufs[i]);
    kap_free(r->path);
    kap_free(r);
}

static enum kap_status fill(struct kap_srpl_reader *r, struct kap_error *err)
{
    if (r->at) {
        memmove(r->bytes.p, r->bytes.p + r->at, r->bytes.n - r->at);
        r->bytes.n -= r->at;
        r->at = 0;
    }
    if (r->bytes.n > KAP_RECORDING_LINE_BYTES)
        return kap_fail(err, KAP_ELIMIT, "record %llu: a line has more than %d bytes",
                        (unsigned long long)r->records + 1, KAP_RECORDING_LINE_BYTES);
    char *p = kap_buf_reserve(&r->bytes, PIECE_BYTES);
    const int got = gzread(r->gz, p, PIECE_BYTES);
    int code = Z_OK;
    const char *why = gzerror(r->gz, &code);
    if (got < 0 || (got == 0 && code != Z_OK && code != Z_STREAM_END))
        return kap_fail(err, KAP_EIO, "read replay file failed: %s", code == Z_ERRNO ? strerror(errno) : why);
    r->bytes.n += (size_t)got;
    r->ended = got == 0;
    return KAP_OK;
}

/* A line without its end; *have false: there is none any more. Valid until the next call. */
static enum kap_status next_line(struct kap_srpl_reader *r, struct kap_str *ret, bool *have,
                                 struct kap_error *err)
{
    const char *end = NULL;
    while (!(end = r->bytes.n > r->at ? memchr(r->bytes.p + r->at, '\n', r->bytes.n - r->at) : NULL) &&
           !r->ended)
        KAP_TRY(fill(r, err));
    const char *start = r->bytes.p + r->at;
    *have = end || r->bytes.n > r->at;
    if (!*have)
        return KAP_OK;
    size_t n = end ? (size_t)(end - start) : r->bytes.n - r->at;
    r->at += n + (end != NULL);
    if (n && start[n - 1] == '\r')
        n--;
    *ret = kap_strn(start, n);
    return KAP_OK;
}

static void set(struct kap_buf *b, struct kap_str s)
{
    kap_buf_reset(b);
    kap_buf_add(b, s);
}

static enum kap_status read_head(struct kap_srpl_reader *r, struct kap_error *err)
{
    struct kap_str line;
    bool have;
    KAP_TRY(next_line(r, &line, &have, err));
    if (!have)
        return KAP_OK;
    set(&r->next_db, line);
    KAP_TRY(next_line(r, &line, &have, err));
    if (!have)
        return kap_fail(err, KAP_EINVAL, "invalid replay file format, expected another line");
    set(&r->next_rp, line);
    r->have_next = true;
    return KAP_OK;
}

/* Collects the next records of one database and policy. */
static enum kap_status read_run(struct kap_srpl_reader *r, struct kap_error *err)
{
    kap_buf_reset(&r->lines);
    r->in_run = 0;
    while (r->in_run < RUN_RECORDS) {
        if (!r->have_next)
            KAP_TRY(read_head(r, err));
        if (!r->have_next)
            break;
        if (r->in_run == 0) {
            set(&r->db, kap_buf_str(&r->next_db));
            set(&r->rp, kap_buf_str(&r->next_rp));
        } else if (!kap_str_eq(kap_buf_str(&r->db), kap_buf_str(&r->next_db)) ||
                   !kap_str_eq(kap_buf_str(&r->rp), kap_buf_str(&r->next_rp))) {
            break;
        }
        struct kap_str line;
        bool have;
        KAP_TRY(next_line(r, &line, &have, err));
        if (!have)
            return kap_fail(err, KAP_EINVAL, "invalid replay file format, expected another line");
        kap_buf_add(&r->lines, line);
        kap_buf_addc(&r->lines, '\n');
        r->have_next = false;
        r->in_run++;
        r->records++;
    }
    return KAP_OK;
}

static const struct kap_source *source_of(struct kap_srpl_reader *r)
{
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    kap_buf_add(&key, kap_buf_str(&r->db));
    kap_buf_addc(&key, '\n');
    kap_buf_add(&key, kap_buf_str(&r->rp));
    struct kap_source *s = kap_map_get(r->sources, kap_buf_str(&key));
    if (s)
        return s;
    s = KAP_NEW(struct kap_source);
    *s = (struct kap_source){ kap_sym(kap_buf_str(&r->db)), kap_sym(kap_buf_str(&r->rp)), r->nsources++ };
    kap_map_put(r->sources, kap_buf_str(&key), s);
    return s;
}

static enum kap_status parse(struct kap_srpl_reader *r, struct kap_str lines, struct kap_error *err)
{
    const struct kap_line_options opts = { .unit_ns = 1 };
    r->given = 0;
    kap_line_batch_clear(&r->batch);
    return kap_line_parse(r->parser, r->cache, source_of(r), lines, &opts, &r->batch, err);
}

/* The next record of the run alone. */
static enum kap_status parse_one(struct kap_srpl_reader *r, struct kap_error *err)
{
    const struct kap_str rest = kap_strn(r->lines.p + r->line_at, r->lines.n - r->line_at);
    const char *end = memchr(rest.p, '\n', rest.n);
    const size_t n = end ? (size_t)(end - rest.p) : rest.n;
    if (parse(r, kap_strn(rest.p, n), err) != KAP_OK) {
        const uint64_t number = r->records - r->in_run + 1;
        return kap_wrap(err, "record %llu", (unsigned long long)number);
    }
    r->line_at += n + (end != NULL);
    r->in_run--;
    return KAP_OK;
}

static enum kap_status refill(struct kap_srpl_reader *r, bool *more, struct kap_error *err)
{
    struct kap_error local = { 0 };
    if (r->one_by_one && r->in_run > 0) {
        *more = true;
        return parse_one(r, err ? err : &local);
    }
    r->one_by_one = false;
    struct kap_error broken;
    const enum kap_status st = read_run(r, &broken);
    if (st != KAP_OK && r->in_run == 0) {
        if (err)
            *err = broken;
        return st;
    }
    *more = r->in_run > 0;
    if (!*more || (st == KAP_OK && parse(r, kap_buf_str(&r->lines), NULL) == KAP_OK))
        return KAP_OK;
    /* what is before the damage is handed out first; a file that is cut short fails again at the next run */
    r->one_by_one = true;
    r->line_at = 0;
    r->given = 0;
    kap_line_batch_clear(&r->batch);
    return KAP_OK;
}

enum kap_status kap_srpl_next(struct kap_srpl_reader *r, struct kap_point *ret, bool *more,
                              struct kap_error *err)
{
    *more = true;
    while (r->given >= r->batch.n) {
        KAP_TRY(refill(r, more, err));
        if (!*more)
            return KAP_OK;
    }
    kap_line_batch_point(&r->batch, r->given++, ret);
    return KAP_OK;
}
