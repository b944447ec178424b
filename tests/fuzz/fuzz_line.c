/* Line protocol. Whatever the body, both parsers give the same points or the same error, and points that are written
 * as lines and read again are the same points. */
#include "base/mem.h"
#include "data/line.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void same_point(const struct kap_point *a, const struct kap_point *b)
{
    check(a->name == b->name && a->time_ns == b->time_ns && a->nfields == b->nfields && kap_tags_eq(a->tags, b->tags));
    for (uint32_t i = 0; i < a->nfields; i++)
        check(a->fields[i].key == b->fields[i].key && kap_value_eq(&a->fields[i].v, &b->fields[i].v));
}

static void same_batch(const struct kap_line_batch *a, const struct kap_line_batch *b)
{
    check(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        struct kap_point p, q;
        kap_line_batch_point(a, i, &p);
        kap_line_batch_point(b, i, &q);
        same_point(&p, &q);
    }
}

/* Names that end in a backslash, or hold newlines, have no form that reads back. */
static bool plain(struct kap_str s)
{
    return s.n > 0 && !memchr(s.p, '\\', s.n) && !memchr(s.p, '\n', s.n);
}

static bool reads_back(const struct kap_point *p)
{
    const char first = p->name->s[0];
    bool ok = plain(kap_sym_str(p->name)) && p->nfields > 0 && first != '#' && first != '\t' && first != '\0' &&
              first != ',' && first != ' ';
    for (uint32_t i = 0; i < p->tags->n; i++)
        ok = ok && plain(kap_sym_str(p->tags->v[i].key)) && plain(p->tags->v[i].val);
    for (uint32_t i = 0; i < p->nfields; i++) {
        const struct kap_str key = kap_sym_str(p->fields[i].key);
        ok = ok && plain(key) && key.p[0] != '\t' && key.p[0] != '\0';
    }
    return ok;
}

static void write_and_read(struct kap_line_parser *lp, struct kap_series_cache *cache, const struct kap_source *source,
                           const struct kap_line_batch *b)
{
    const struct kap_line_options opts = { .unit_ns = 1 };
    for (size_t i = 0; i < b->n; i++) {
        struct kap_point p, q;
        kap_line_batch_point(b, i, &p);
        if (!reads_back(&p))
            continue;
        KAP_AUTO_BUF struct kap_buf line = { 0 };
        kap_line_write(&line, &p, 1);
        struct kap_line_batch again = { 0 };
        check(kap_line_parse(lp, cache, source, kap_buf_str(&line), &opts, &again, NULL) == KAP_OK && again.n == 1);
        kap_line_batch_point(&again, 0, &q);
        same_point(&p, &q);
        kap_line_batch_done(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kap_source source = { kap_sym_c("db"), kap_sym_c("rp"), 0 };
    struct kap_series_cache *cache = kap_series_cache_new(64, NULL);
    kap_series_limit_names(cache, 100000);
    struct kap_line_parser *lp = kap_line_parser_new();
    const struct kap_str body = kap_strn((const char *)data, size);
    struct kap_line_options opts = { .unit_ns = 1, .now_ns = 1 };
    struct kap_line_batch batches[3] = { 0 };
    struct kap_error errors[3];
    enum kap_status st[3];
    for (int i = 0; i < 3; i++) { /* the second time the series are known */
        opts.careful = i == 2;
        st[i] = kap_line_parse(lp, cache, &source, body, &opts, &batches[i], &errors[i]);
    }
    for (int i = 0; i < 2; i++) {
        check(st[i] == st[2]);
        check(st[i] == KAP_OK || strcmp(errors[i].msg, errors[2].msg) == 0);
        same_batch(&batches[i], &batches[2]);
    }
    write_and_read(lp, cache, &source, &batches[2]);
    for (int i = 0; i < 3; i++)
        kap_line_batch_done(&batches[i]);
    kap_line_parser_free(lp);
    kap_series_cache_free(cache);
    return 0;
}
