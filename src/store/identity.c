#include "store/identity.h"

#include "base/buf.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum kap_status fail_errno(struct kap_error *err, const char *what, const char *path)
{
    return kap_fail(err, KAP_EIO, "cannot %s %s: %s", what, path, strerror(errno));
}

static enum kap_status make_dir(const char *path, struct kap_error *err)
{
    KAP_AUTO_FREE char *partial = kap_strdup(path);
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

static enum kap_status write_all(int fd, const char *text, const char *path, struct kap_error *err)
{
    const size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        const ssize_t k = write(fd, text + at, n - at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno(err, "write", path);
        at += (size_t)k;
    }
    if (fsync(fd) != 0)
        return fail_errno(err, "sync", path);
    return KAP_OK;
}

static enum kap_status sync_dir(const char *dir, struct kap_error *err)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "open", dir);
    const bool ok = fsync(fd) == 0;
    const enum kap_status status = ok ? KAP_OK : fail_errno(err, "sync", dir);
    close(fd);
    return status;
}

/* Whole or not at all, also over a power cut. */
static enum kap_status replace_file(const char *dir, const char *name, const char *text,
                                    struct kap_error *err)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", dir, name);
    KAP_AUTO_FREE char *temporary = kap_asprintf("%s/%s.tmp", dir, name);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_errno(err, "create", temporary);
    const enum kap_status written = write_all(fd, text, temporary, err);
    close(fd);
    if (written != KAP_OK) {
        unlink(temporary);
        return written;
    }
    if (rename(temporary, path) != 0)
        return fail_errno(err, "replace", path);
    return sync_dir(dir, err);
}

/* A UUID with white space around it; `ret` stays empty when there is no such file. */
static enum kap_status read_uuid(const char *path, kap_uuid ret, struct kap_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? KAP_OK : fail_errno(err, "open", path);
    char text[128];
    const ssize_t n = read(fd, text, sizeof text);
    const enum kap_status status = n < 0 ? fail_errno(err, "read", path) : KAP_OK;
    close(fd);
    if (status != KAP_OK)
        return status;
    const struct kap_str id = kap_str_trim(kap_strn(text, (size_t)n));
    if (!kap_uuid_valid(id))
        return kap_fail(err, KAP_EINVAL, "%s does not hold a UUID", path);
    memcpy(ret, id.p, id.n);
    ret[id.n] = '\0';
    return KAP_OK;
}

static enum kap_status adopt_or_make(const char *dir, const char *name, kap_uuid ret, struct kap_error *err)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", dir, name);
    kap_uuid id = "";
    KAP_TRY(read_uuid(path, id, err));
    if (!id[0]) {
        kap_uuid_new(id);
        KAP_TRY(replace_file(dir, name, id, err));
    }
    memcpy(ret, id, sizeof id);
    return KAP_OK;
}

static enum kap_status lock_dir(const char *dir, int *ret_fd, struct kap_error *err)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/kapacitord.lock", dir);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_errno(err, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const enum kap_status status =
            errno == EWOULDBLOCK
                ? kap_fail(err, KAP_ESTATE,
                           "data directory %s is in use by another kapacitord (%s is locked)", dir, path)
                : fail_errno(err, "lock", path);
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return KAP_OK;
}

static enum kap_status open_locked(const char *data_dir, struct kap_identity *ret, struct kap_error *err)
{
    KAP_TRY(adopt_or_make(data_dir, "server.id", ret->server_id, err));
    return adopt_or_make(data_dir, "cluster.id", ret->cluster_id, err);
}

enum kap_status kap_identity_open(const char *data_dir, struct kap_identity *ret, struct kap_error *err)
{
    struct kap_identity id = { .lock_fd = -1 };
    if (!data_dir[0])
        return kap_fail(err, KAP_EINVAL, "data_dir is empty");
    KAP_TRY(make_dir(data_dir, err));
    KAP_TRY(lock_dir(data_dir, &id.lock_fd, err));
    const enum kap_status status = open_locked(data_dir, &id, err);
    if (status != KAP_OK) {
        kap_identity_close(&id);
        return status;
    }
    *ret = id;
    return KAP_OK;
}

void kap_identity_close(struct kap_identity *id)
{
    if (id->lock_fd >= 0)
        close(id->lock_fd);
    id->lock_fd = -1;
}

enum kap_status kap_identity_set_cluster_id(const char *data_dir, struct kap_identity *id,
                                            const char *cluster_id, struct kap_error *err)
{
    if (!kap_uuid_valid(kap_str(cluster_id)))
        return kap_fail(err, KAP_EINVAL, "cluster ID '%s' is not a UUID", cluster_id);
    KAP_TRY(replace_file(data_dir, "cluster.id", cluster_id, err));
    memcpy(id->cluster_id, cluster_id, sizeof id->cluster_id);
    return KAP_OK;
}
