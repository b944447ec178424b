#include "task/checkpoint.h"

#include "base/json.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".checkpoint"
#define TEMPORARY ".writing"

enum { NAME_MAX_BYTES = 180, NAME_KEPT_BYTES = 120, HEADER_MAX_BYTES = 4096 };

static enum kap_status fail_errno(struct kap_error *err, const char *what, const char *path)
{
    return kap_fail(err, KAP_EIO, "cannot %s %s: %s", what, path, strerror(errno));
}

/* The path without a suffix; owned. An ID may be "..", or longer than a file name. */
static char *path_of(const char *dir, struct kap_str task, const char *suffix)
{
    KAP_AUTO_BUF struct kap_buf name = { 0 };
    for (size_t i = 0; i < task.n; i++) {
        const unsigned char c = (unsigned char)task.p[i];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '_';
        if (plain)
            kap_buf_addc(&name, (char)c);
        else
            kap_buf_addf(&name, "%%%02X", c);
    }
    if (name.n > NAME_MAX_BYTES) {
        name.n = NAME_KEPT_BYTES;
        kap_buf_addf(&name, "~%016llx", (unsigned long long)kap_str_hash(task));
    }
    return kap_asprintf("%s/%.*s%s", dir, (int)name.n, name.p ? name.p : "", suffix);
}

enum kap_status kap_checkpoint_open(const char *dir, struct kap_error *err)
{
    KAP_AUTO_FREE char *partial = kap_strdup(dir);
    for (char *p = partial + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST)
            return fail_errno(err, "make directory", partial);
        *p = '/';
    }
    if (mkdir(partial, 0755) != 0 && errno != EEXIST)
        return fail_errno(err, "make directory", partial);
    return KAP_OK;
}

/* --- writing --- */

static void put_header(struct kap_buf *out, struct kap_str task, uint64_t graph, struct kap_str state)
{
    char hex[17];
    struct kap_json j;
    kap_json_init(&j, out, false);
    kap_json_object(&j);
    kap_json_key(&j, "format");
    kap_json_i64(&j, KAP_CHECKPOINT_FORMAT);
    kap_json_key(&j, "task");
    kap_json_str(&j, task);
    kap_json_key(&j, "graph");
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)graph);
    kap_json_cstr(&j, hex);
    kap_json_key(&j, "version");
    kap_json_cstr(&j, KAP_VERSION);
    kap_json_key(&j, "bytes");
    kap_json_i64(&j, (int64_t)state.n);
    kap_json_key(&j, "sum");
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)kap_str_hash(state));
    kap_json_cstr(&j, hex);
    kap_json_object_end(&j);
    kap_buf_addc(out, '\n');
}

static bool write_all(int fd, struct kap_str s)
{
    while (s.n) {
        const ssize_t k = write(fd, s.p, s.n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return false;
        s = kap_strn(s.p + k, s.n - (size_t)k);
    }
    return true;
}

enum kap_status kap_checkpoint_write(const char *dir, struct kap_str task, uint64_t graph,
                                     struct kap_str state, char **temporary, struct kap_error *err)
{
    static _Atomic unsigned writes; /* two writers of one task do not meet */
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".%u" TEMPORARY, writes++);
    KAP_AUTO_FREE char *path = path_of(dir, task, suffix);
    KAP_AUTO_BUF struct kap_buf header = { 0 };
    put_header(&header, task, graph, state);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, "create", path);
    const bool written = write_all(fd, kap_buf_str(&header)) && write_all(fd, state) && fsync(fd) == 0;
    const enum kap_status st = written ? KAP_OK : fail_errno(err, "write", path);
    close(fd);
    if (st != KAP_OK)
        unlink(path);
    else
        *temporary = KAP_STEAL(path);
    return st;
}

enum kap_status kap_checkpoint_commit(const char *dir, struct kap_str task, const char *temporary,
                                      struct kap_error *err)
{
    KAP_AUTO_FREE char *path = path_of(dir, task, SUFFIX);
    if (rename(temporary, path) != 0)
        return fail_errno(err, "replace", path);
    return KAP_OK;
}

void kap_checkpoint_abandon(const char *temporary)
{
    unlink(temporary);
}

/* --- reading --- */

static enum kap_status read_all(const char *path, struct kap_buf *out, struct kap_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? kap_fail(err, KAP_ENOTFOUND, "there is no %s", path)
                               : fail_errno(err, "open", path);
    struct stat info;
    char *p = fstat(fd, &info) == 0 ? kap_buf_reserve(out, (size_t)info.st_size + 1) : NULL;
    ssize_t k = p ? 1 : -1;
    while (p && out->n < (size_t)info.st_size) {
        k = read(fd, out->p + out->n, (size_t)info.st_size - out->n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        out->n += (size_t)k;
    }
    const enum kap_status st = k < 0 ? fail_errno(err, "read", path) : KAP_OK;
    close(fd);
    return st;
}

static bool has_hex(const json_t *header, const char *key, uint64_t want)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)want);
    const char *got = json_string_value(json_object_get(header, key));
    return got && strcmp(got, hex) == 0;
}

static bool has_task(const json_t *header, struct kap_str task)
{
    const json_t *v = json_object_get(header, "task");
    return json_is_string(v) && kap_str_eq(kap_strn(json_string_value(v), json_string_length(v)), task);
}

static enum kap_status check(const json_t *header, struct kap_str task, uint64_t graph, struct kap_str state,
                             struct kap_error *err)
{
    if (!json_is_object(header))
        return kap_fail(err, KAP_EINVAL, "it is damaged: no header");
    const json_int_t format = json_integer_value(json_object_get(header, "format"));
    if (format != KAP_CHECKPOINT_FORMAT)
        return kap_fail(err, KAP_EINVAL, "it has format %lld, this version reads %d", (long long)format,
                        KAP_CHECKPOINT_FORMAT);
    if (!has_task(header, task))
        return kap_fail(err, KAP_EINVAL, "it is of another task");
    const json_int_t bytes = json_integer_value(json_object_get(header, "bytes"));
    if (bytes < 0 || (uint64_t)bytes != state.n)
        return kap_fail(err, KAP_EINVAL, "it is damaged: %zu bytes of %lld", state.n, (long long)bytes);
    if (!has_hex(header, "sum", kap_str_hash(state)))
        return kap_fail(err, KAP_EINVAL, "it is damaged: the checksum differs");
    if (!has_hex(header, "graph", graph))
        return kap_fail(err, KAP_EINVAL, "the script or its variables have changed since");
    return KAP_OK;
}

/* The header line as JSON (owned, NULL: none), and what is behind it. */
static json_t *split(struct kap_str file, struct kap_str *state)
{
    const char *end = file.n ? memchr(file.p, '\n', KAP_MIN(file.n, (size_t)HEADER_MAX_BYTES)) : NULL;
    if (!end)
        return NULL;
    const size_t n = (size_t)(end - file.p);
    *state = kap_strn(end + 1, file.n - n - 1);
    return json_loadb(file.p, n, 0, NULL);
}

enum kap_status kap_checkpoint_read(const char *dir, struct kap_str task, uint64_t graph,
                                    struct kap_buf *state, struct kap_error *err)
{
    KAP_AUTO_FREE char *path = path_of(dir, task, SUFFIX);
    KAP_AUTO_BUF struct kap_buf file = { 0 };
    KAP_TRY(read_all(path, &file, err));
    struct kap_str rest = KAP_STR("");
    json_t *header = split(kap_buf_str(&file), &rest);
    const enum kap_status st = check(header, task, graph, rest, err);
    json_decref(header);
    if (st == KAP_OK)
        kap_buf_add(state, rest);
    return st;
}

/* --- removing --- */

void kap_checkpoint_remove(const char *dir, struct kap_str task)
{
    KAP_AUTO_FREE char *path = path_of(dir, task, SUFFIX);
    unlink(path);
}

/* The task that a file says to be of; owned, NULL: it does not say. */
static char *owner(const char *path)
{
    char line[HEADER_MAX_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    const ssize_t n = read(fd, line, sizeof line);
    close(fd);
    struct kap_str rest;
    json_t *header = split(kap_strn(line, n > 0 ? (size_t)n : 0), &rest);
    const char *task = json_string_value(json_object_get(header, "task"));
    char *ret = task ? kap_strdup(task) : NULL;
    json_decref(header);
    return ret;
}

void kap_checkpoint_sweep(const char *dir, bool (*wanted)(void *ctx, struct kap_str task), void *ctx)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (const struct dirent *entry; (entry = readdir(d));) {
        const struct kap_str name = kap_str(entry->d_name);
        const bool temporary = kap_str_has_suffix(name, KAP_STR(TEMPORARY));
        if (!temporary && !kap_str_has_suffix(name, KAP_STR(SUFFIX)))
            continue;
        KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", dir, entry->d_name);
        KAP_AUTO_FREE char *task = temporary ? NULL : owner(path);
        if (!task || !wanted(ctx, kap_str(task)))
            unlink(path);
    }
    closedir(d);
}
