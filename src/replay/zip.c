#include "replay/zip.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <zlib.h>

#define LOCAL_SIGNATURE 0x04034b50u
#define DESCRIPTOR_SIGNATURE 0x08074b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE 0x06054b50u
#define LOCAL_BYTES 30
#define CENTRAL_BYTES 46
#define END_BYTES 22
#define COMMENT_MAX 65535
#define MEMBERS_MAX 65535
#define VERSION 20
#define FLAG_DESCRIPTOR 8
#define METHOD_STORED 0
#define METHOD_DEFLATED 8
#define PIECE_BYTES 65536
#define SIZE_LIMIT UINT64_C(0xfffffffe)

struct member {
    char *name;
    uint32_t crc, packed, size, offset;
    uint16_t method;
};

static enum kap_status io_error(const char *what, const char *path, struct kap_error *err)
{
    return kap_fail(err, KAP_EIO, "%s %s: %s", what, path, strerror(errno));
}

/* --- writing --- */

struct kap_zip_writer {
    FILE *f;
    char *path;
    uint64_t at; /* bytes written */
    struct member *members;
    size_t n, cap;
    bool open;
    z_stream z;
    uint64_t size, packed;
    uint32_t crc;
    unsigned char out[PIECE_BYTES];
};

static void put16(struct kap_buf *b, uint32_t v)
{
    const char bytes[2] = { (char)(v & 0xff), (char)(v >> 8 & 0xff) };
    kap_buf_addn(b, bytes, 2);
}

static void put32(struct kap_buf *b, uint32_t v)
{
    put16(b, v & 0xffff);
    put16(b, v >> 16);
}

static enum kap_status put(struct kap_zip_writer *z, const void *p, size_t n, struct kap_error *err)
{
    if (z->at + n > SIZE_LIMIT)
        return kap_fail(err, KAP_ELIMIT, "%s would have more than 4 GiB", z->path);
    if (n && fwrite(p, 1, n, z->f) != n)
        return io_error("cannot write", z->path, err);
    z->at += n;
    return KAP_OK;
}

static enum kap_status put_buf(struct kap_zip_writer *z, struct kap_buf *b, struct kap_error *err)
{
    const enum kap_status st = put(z, b->p, b->n, err);
    kap_buf_done(b);
    return st;
}

enum kap_status kap_zip_create(const char *path, struct kap_zip_writer **ret, struct kap_error *err)
{
    FILE *f = fopen(path, "wbe");
    if (!f)
        return io_error("cannot create", path, err);
    struct kap_zip_writer *z = KAP_NEW(struct kap_zip_writer);
    z->f = f;
    z->path = kap_strdup(path);
    *ret = z;
    return KAP_OK;
}

static enum kap_status deflate_piece(struct kap_zip_writer *z, struct kap_str data, int flush,
                                     struct kap_error *err)
{
    z->z.next_in = (unsigned char *)(uintptr_t)data.p;
    z->z.avail_in = (uInt)data.n;
    do {
        z->z.next_out = z->out;
        z->z.avail_out = sizeof z->out;
        (void)deflate(&z->z, flush);
        const size_t n = sizeof z->out - z->z.avail_out;
        KAP_TRY(put(z, z->out, n, err));
        z->packed += n;
    } while (z->z.avail_out == 0);
    return KAP_OK;
}

static enum kap_status end_member(struct kap_zip_writer *z, struct kap_error *err)
{
    if (!z->open)
        return KAP_OK;
    z->open = false;
    const enum kap_status st = deflate_piece(z, KAP_STR(""), Z_FINISH, err);
    deflateEnd(&z->z);
    KAP_TRY(st);
    struct member *m = &z->members[z->n - 1];
    m->crc = z->crc;
    m->packed = (uint32_t)z->packed;
    m->size = (uint32_t)z->size;
    struct kap_buf b = { 0 };
    put32(&b, DESCRIPTOR_SIGNATURE);
    put32(&b, m->crc);
    put32(&b, m->packed);
    put32(&b, m->size);
    return put_buf(z, &b, err);
}

enum kap_status kap_zip_member(struct kap_zip_writer *z, const char *name, struct kap_error *err)
{
    KAP_TRY(end_member(z, err));
    if (z->n == MEMBERS_MAX)
        return kap_fail(err, KAP_ELIMIT, "%s would have more than %d members", z->path, MEMBERS_MAX);
    KAP_GROW(z->members, z->cap, z->n + 1);
    z->members[z->n++] = (struct member){ .name = kap_strdup(name), .offset = (uint32_t)z->at };
    struct kap_buf b = { 0 };
    put32(&b, LOCAL_SIGNATURE);
    put16(&b, VERSION);
    put16(&b, FLAG_DESCRIPTOR);
    put16(&b, METHOD_DEFLATED);
    for (int i = 0; i < 4; i++)
        put32(&b, 0); /* time and date; checksum and sizes follow the data */
    put16(&b, (uint32_t)strlen(name));
    put16(&b, 0);
    kap_buf_adds(&b, name);
    KAP_TRY(put_buf(z, &b, err));
    z->z = (z_stream){ 0 };
    if (deflateInit2(&z->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return kap_fail(err, KAP_EINTERNAL, "the compressor could not be set up");
    z->open = true;
    z->size = z->packed = 0;
    z->crc = (uint32_t)crc32(0, NULL, 0);
    return KAP_OK;
}

enum kap_status kap_zip_write(struct kap_zip_writer *z, struct kap_str data, struct kap_error *err)
{
    if (z->size + data.n > SIZE_LIMIT)
        return kap_fail(err, KAP_ELIMIT, "%s would have a member of more than 4 GiB", z->path);
    z->size += data.n;
    z->crc = (uint32_t)crc32_z(z->crc, (const unsigned char *)data.p, data.n);
    return deflate_piece(z, data, Z_NO_FLUSH, err);
}

static void put_central(struct kap_buf *b, const struct member *m)
{
    put32(b, CENTRAL_SIGNATURE);
    put16(b, VERSION);
    put16(b, VERSION);
    put16(b, FLAG_DESCRIPTOR);
    put16(b, METHOD_DEFLATED);
    put32(b, 0);
    put32(b, m->crc);
    put32(b, m->packed);
    put32(b, m->size);
    put16(b, (uint32_t)strlen(m->name));
    for (int i = 0; i < 4; i++)
        put16(b, 0); /* extra, comment, disk, internal attributes */
    put32(b, 0);     /* external attributes */
    put32(b, m->offset);
    kap_buf_adds(b, m->name);
}

static enum kap_status put_directory(struct kap_zip_writer *z, struct kap_error *err)
{
    KAP_TRY(end_member(z, err));
    struct kap_buf b = { 0 };
    const uint64_t start = z->at;
    for (size_t i = 0; i < z->n; i++)
        put_central(&b, &z->members[i]);
    const uint32_t bytes = (uint32_t)b.n;
    put32(&b, END_SIGNATURE);
    put32(&b, 0);
    put16(&b, (uint32_t)z->n);
    put16(&b, (uint32_t)z->n);
    put32(&b, bytes);
    put32(&b, (uint32_t)start);
    put16(&b, 0);
    return put_buf(z, &b, err);
}

void kap_zip_abandon(struct kap_zip_writer *z)
{
    if (!z)
        return;
    if (z->open)
        deflateEnd(&z->z);
    if (z->f)
        fclose(z->f);
    for (size_t i = 0; i < z->n; i++)
        kap_free(z->members[i].name);
    kap_free(z->members);
    kap_free(z->path);
    kap_free(z);
}

enum kap_status kap_zip_finish(struct kap_zip_writer *z, struct kap_error *err)
{
    if (!z)
        return KAP_OK;
    enum kap_status st = put_directory(z, err);
    FILE *f = z->f;
    z->f = NULL;
    if (fclose(f) != 0 && st == KAP_OK)
        st = io_error("cannot write", z->path, err);
    kap_zip_abandon(z);
    return st;
}

/* --- reading --- */

struct kap_zip {
    char *path;
    struct member *members;
    size_t n;
};

struct kap_zip_stream {
    FILE *f;
    const char *path;
    struct member m;
    uint64_t left; /* packed bytes not read yet */
    uint64_t size;
    uint32_t crc;
    bool inflating, ended;
    z_stream z;
    unsigned char in[PIECE_BYTES];
};

static uint32_t get16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const unsigned char *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static enum kap_status damaged(const char *path, const char *what, struct kap_error *err)
{
    return kap_fail(err, KAP_EINVAL, "%s is no valid zip file: %s", path, what);
}

void kap_zip_close(struct kap_zip *z)
{
    if (!z)
        return;
    for (size_t i = 0; i < z->n; i++)
        kap_free(z->members[i].name);
    kap_free(z->members);
    kap_free(z->path);
    kap_free(z);
}

/* The end record is at the end, behind it at most a comment. */
static enum kap_status find_directory(FILE *f, const char *path, uint32_t *ret_n, struct kap_buf *directory,
                                      struct kap_error *err)
{
    if (fseeko(f, 0, SEEK_END) != 0)
        return io_error("cannot read", path, err);
    const off_t size = ftello(f);
    const size_t n = (size_t)KAP_MIN(size, (off_t)(END_BYTES + COMMENT_MAX));
    KAP_AUTO_FREE unsigned char *tail = kap_alloc(n + 1);
    if (size < END_BYTES || fseeko(f, size - (off_t)n, SEEK_SET) != 0 || fread(tail, 1, n, f) != n)
        return damaged(path, "it is too short", err);
    size_t at = n - END_BYTES;
    while (get32(tail + at) != END_SIGNATURE)
        if (at-- == 0)
            return damaged(path, "there is no directory", err);
    const uint32_t bytes = get32(tail + at + 12), offset = get32(tail + at + 16);
    *ret_n = get16(tail + at + 10);
    if ((uint64_t)bytes + offset > (uint64_t)size)
        return damaged(path, "the directory is outside of it", err);
    char *p = kap_buf_reserve(directory, bytes);
    if (!p || fseeko(f, (off_t)offset, SEEK_SET) != 0 || fread(p, 1, bytes, f) != bytes)
        return damaged(path, "the directory cannot be read", err);
    directory->n = bytes;
    return KAP_OK;
}

static enum kap_status read_directory(struct kap_zip *z, FILE *f, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf directory = { 0 };
    uint32_t n = 0;
    KAP_TRY(find_directory(f, z->path, &n, &directory, err));
    const unsigned char *p = (const unsigned char *)directory.p;
    size_t left = directory.n;
    z->members = KAP_ARRAY(struct member, n + 1);
    while (z->n < n) {
        if (left < CENTRAL_BYTES || get32(p) != CENTRAL_SIGNATURE)
            return damaged(z->path, "the directory is damaged", err);
        const size_t name = get16(p + 28), whole = CENTRAL_BYTES + name + get16(p + 30) + get16(p + 32);
        if (whole > left)
            return damaged(z->path, "the directory is damaged", err);
        z->members[z->n++] = (struct member){ .name = kap_strndup((const char *)p + CENTRAL_BYTES, name),
                                              .method = (uint16_t)get16(p + 10),
                                              .crc = get32(p + 16),
                                              .packed = get32(p + 20),
                                              .size = get32(p + 24),
                                              .offset = get32(p + 42) };
        p += whole;
        left -= whole;
    }
    return KAP_OK;
}

enum kap_status kap_zip_open(const char *path, struct kap_zip **ret, struct kap_error *err)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return io_error("cannot open", path, err);
    struct kap_zip *z = KAP_NEW(struct kap_zip);
    z->path = kap_strdup(path);
    const enum kap_status st = read_directory(z, f, err);
    fclose(f);
    if (st != KAP_OK) {
        kap_zip_close(z);
        return st;
    }
    *ret = z;
    return KAP_OK;
}

size_t kap_zip_count(const struct kap_zip *z)
{
    return z->n;
}

/* Goes to the data behind the member's local header. */
static enum kap_status find_data(struct kap_zip_stream *s, struct kap_error *err)
{
    unsigned char local[LOCAL_BYTES];
    if (fseeko(s->f, (off_t)s->m.offset, SEEK_SET) != 0 ||
        fread(local, 1, sizeof local, s->f) != sizeof local || get32(local) != LOCAL_SIGNATURE)
        return damaged(s->path, "a member has no header", err);
    if (fseeko(s->f, (off_t)get16(local + 26) + (off_t)get16(local + 28), SEEK_CUR) != 0)
        return damaged(s->path, "a member has no data", err);
    if (s->m.method != METHOD_STORED && s->m.method != METHOD_DEFLATED)
        return kap_fail(err, KAP_EINVAL, "%s: a member is packed by the unknown method %u", s->path,
                        s->m.method);
    if (s->m.method == METHOD_DEFLATED) {
        if (inflateInit2(&s->z, -MAX_WBITS) != Z_OK)
            return kap_fail(err, KAP_EINTERNAL, "the unpacker could not be set up");
        s->inflating = true;
    }
    return KAP_OK;
}

enum kap_status kap_zip_stream_open(const struct kap_zip *z, size_t member, struct kap_zip_stream **ret,
                                    struct kap_error *err)
{
    FILE *f = fopen(z->path, "rbe");
    if (!f)
        return io_error("cannot open", z->path, err);
    struct kap_zip_stream *s = KAP_NEW(struct kap_zip_stream);
    s->f = f;
    s->m = z->members[member];
    s->path = kap_strdup(z->path);
    s->m.name = NULL;
    s->left = s->m.packed;
    s->crc = (uint32_t)crc32(0, NULL, 0);
    const enum kap_status st = find_data(s, err);
    if (st != KAP_OK) {
        kap_zip_stream_close(s);
        return st;
    }
    *ret = s;
    return KAP_OK;
}

void kap_zip_stream_close(struct kap_zip_stream *s)
{
    if (!s)
        return;
    if (s->inflating)
        inflateEnd(&s->z);
    fclose(s->f);
    kap_free((void *)(uintptr_t)s->path);
    kap_free(s);
}

static size_t more_input(struct kap_zip_stream *s, unsigned char *p, size_t n)
{
    const size_t got = fread(p, 1, (size_t)KAP_MIN(s->left, (uint64_t)n), s->f);
    s->left -= got;
    return got;
}

static enum kap_status inflate_some(struct kap_zip_stream *s, char *p, size_t n, size_t *got,
                                    struct kap_error *err)
{
    s->z.next_out = (unsigned char *)p;
    s->z.avail_out = (uInt)n;
    while (s->z.avail_out == n && !s->ended) {
        if (s->z.avail_in == 0) {
            s->z.next_in = s->in;
            s->z.avail_in = (uInt)more_input(s, s->in, sizeof s->in);
        }
        const int code = inflate(&s->z, Z_NO_FLUSH);
        if (code == Z_STREAM_END)
            s->ended = true;
        else if (code != Z_OK || (s->z.avail_in == 0 && s->left == 0 && s->z.avail_out == n))
            return damaged(s->path, "a member is cut short or damaged", err);
    }
    *got = n - s->z.avail_out;
    return KAP_OK;
}

enum kap_status kap_zip_read(struct kap_zip_stream *s, char *p, size_t n, size_t *got, struct kap_error *err)
{
    *got = 0;
    if (s->inflating)
        KAP_TRY(inflate_some(s, p, n, got, err));
    else
        *got = more_input(s, (unsigned char *)p, n);
    s->crc = (uint32_t)crc32_z(s->crc, (const unsigned char *)p, *got);
    s->size += *got;
    if (*got == 0 && n && (s->crc != s->m.crc || s->size != s->m.size))
        return damaged(s->path, "a checksum differs", err);
    return KAP_OK;
}
