#include "handlers/handlers.h"
#include "handlers/util.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct options {
    struct kap_str path;
    int64_t mode;
};

static void init(void *options)
{
    *(struct options *)options = (struct options){ .path = KAP_STR(""), .mode = 0600 };
}

static enum kap_status args(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err)
{
    return kap_arg_text(&((struct options *)options)->path, arena, args, nargs, 0, "log", err);
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    if (!(o->mode & 0200))
        return kap_fail(err, KAP_EINVAL, "invalid file mode %04o, must be user writable", (unsigned)o->mode);
    if (o->path.n == 0 || o->path.p[0] != '/')
        return kap_fail(err, KAP_EINVAL, "log path must be absolute: %.*s is not absolute", KAP_STR_ARG(o->path));
    return KAP_OK;
}

/* One write, so that lines of several writers do not mix. */
static enum kap_verdict append(const struct options *o, struct kap_str line, struct kap_error *err)
{
    const int fd = open(o->path.p, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, (mode_t)o->mode);
    if (fd < 0) {
        kap_fail(err, KAP_EIO, "%s: %s", o->path.p, strerror(errno));
        return errno == EACCES || errno == EISDIR || errno == ENOTDIR ? KAP_GIVE_UP : KAP_RETRY;
    }
    const ssize_t n = write(fd, line.p, line.n);
    const int error = errno;
    close(fd);
    if (n == (ssize_t)line.n)
        return KAP_SENT;
    kap_fail(err, KAP_EIO, "%s: %s", o->path.p, n < 0 ? strerror(error) : "cut off");
    return KAP_RETRY;
}

static enum kap_verdict send(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_str line;
    if (kap_event_body(ev, arena, &line, err) != KAP_OK)
        return KAP_GIVE_UP;
    return append(options, line, err);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct options, path, NULL, "path", "Absolute path of the file."),
    KAP_PROP_AT(INT, struct options, mode, "mode", "mode", "Mode of the file when it is created, 0600 unless set."),
    { .kind = KAP_PROP_END },
};

const struct kap_handler_type kap_handler_log = {
    .kind = "log",
    .method = "log",
    .doc = "Appends each event as a line of JSON to a file.",
    .signature = "(path string)",
    .options_size = sizeof(struct options),
    .init = init,
    .args = args,
    .props = props,
    .options_shown = "alert.LogHandlerConfig",
    .inline_failed = "failed to create log alert handler",
    .check = check,
    .send = send,
};
