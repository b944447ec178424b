#include "base/duration.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_BYTES 4096          /* of what the program prints are kept for the message */
#define TIMEOUT_NS (10 * KAP_MINUTE)

extern char **environ;

struct options {
    struct kap_str prog;
    struct kap_strings args;
};

static void init(void *options)
{
    ((struct options *)options)->prog = KAP_STR("");
}

static enum kap_status args(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err)
{
    struct options *o = options;
    KAP_TRY(kap_arg_text(&o->prog, arena, args, nargs, 0, "exec", err));
    return kap_arg_texts(&o->args, arena, args, nargs, 1, "exec", err);
}

/* Starts it with its input and output connected to the two pipe ends. */
static int spawn(const struct options *o, int in, int out, pid_t *pid, struct kap_arena *arena)
{
    char **argv = KAP_ARENA_ARRAY(arena, char *, o->args.n + 2);
    argv[0] = kap_arena_strdup(arena, o->prog.p);
    for (size_t i = 0; i < o->args.n; i++)
        argv[i + 1] = kap_arena_strdup(arena, o->args.v[i].p);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    posix_spawnattr_t attr;
    posix_spawnattr_init(&attr);
    sigset_t none, pipe_default;
    sigemptyset(&none);
    sigemptyset(&pipe_default);
    sigaddset(&pipe_default, SIGPIPE);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &pipe_default);
    posix_spawnattr_setpgroup(&attr, 0); /* so that all of it can be ended */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    const int rc = posix_spawnp(pid, o->prog.p, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * KAP_S + t.tv_nsec;
}

/* Feeds the input and takes the output until both ends are closed; false: the time is over. */
static bool converse(int *to, int from, struct kap_str input, struct kap_buf *output)
{
    const int64_t until_ns = mono_ns() + TIMEOUT_NS;
    for (;;) {
        if (*to >= 0 && input.n == 0) {
            close(*to);
            *to = -1;
        }
        struct pollfd p[2] = { { .fd = from, .events = POLLIN }, { .fd = *to, .events = POLLOUT } };
        const int64_t left_ns = until_ns - mono_ns();
        if (left_ns <= 0)
            return false;
        if (poll(p, 2, (int)KAP_MIN(left_ns / KAP_MS + 1, 60000)) < 0 && errno != EINTR)
            return true;
        if (p[1].revents) {
            const ssize_t n = write(*to, input.p, input.n);
            if (n >= 0)
                input = kap_strn(input.p + n, input.n - (size_t)n);
            else if (errno != EAGAIN && errno != EINTR)
                input.n = 0; /* it does not read: that is its business */
        }
        if (p[0].revents) {
            char chunk[4096];
            const ssize_t n = read(from, chunk, sizeof chunk);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                return true;
            if (n > 0 && output->n < OUTPUT_BYTES)
                kap_buf_addn(output, chunk, KAP_MIN((size_t)n, OUTPUT_BYTES - output->n));
        }
    }
}

/* A program that does not read its input is no reason for SIGPIPE to end us. */
static bool converse_quietly(int *to, int from, struct kap_str input, struct kap_buf *output)
{
    const struct timespec none = { 0 };
    sigset_t pipe_set, before;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
    const bool in_time = converse(to, from, input, output);
    while (!sigismember(&before, SIGPIPE) && sigtimedwait(&pipe_set, NULL, &none) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return in_time;
}

static enum kap_verdict judge(int status, struct kap_str output, bool in_time, struct kap_error *err)
{
    output = kap_str_trim(output);
    output.n = KAP_MIN(output.n, 512);
    if (!in_time)
        kap_fail(err, KAP_ETIMEOUT, "exec command took too long: %.*s", KAP_STR_ARG(output));
    else if (WIFSIGNALED(status))
        kap_fail(err, KAP_EIO, "exec command failed: signal %d: %.*s", WTERMSIG(status), KAP_STR_ARG(output));
    else if (WEXITSTATUS(status) != 0)
        kap_fail(err, KAP_EIO, "exec command failed: exit status %d: %.*s", WEXITSTATUS(status), KAP_STR_ARG(output));
    else
        return KAP_SENT;
    return KAP_GIVE_UP; /* what a program did once is not to be done twice */
}

static enum kap_verdict run(const struct options *o, struct kap_str input, struct kap_arena *arena,
                            struct kap_error *err)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) < 0) {
        kap_fail(err, KAP_EIO, "exec: pipe: %s", strerror(errno));
        return KAP_RETRY;
    }
    if (pipe2(from, O_CLOEXEC) < 0) {
        kap_fail(err, KAP_EIO, "exec: pipe: %s", strerror(errno));
        close(to[0]);
        close(to[1]);
        return KAP_RETRY;
    }
    pid_t pid;
    const int rc = spawn(o, to[0], from[1], &pid, arena);
    close(to[0]);
    close(from[1]);
    if (rc != 0) {
        close(to[1]);
        close(from[0]);
        kap_fail(err, KAP_EIO, "exec: \"%s\": %s", o->prog.p, strerror(rc));
        return rc == ENOENT || rc == EACCES || rc == ENOEXEC ? KAP_GIVE_UP : KAP_RETRY;
    }
    fcntl(to[1], F_SETFL, O_NONBLOCK);
    KAP_AUTO_BUF struct kap_buf output = { 0 };
    const bool in_time = converse_quietly(&to[1], from[0], input, &output);
    if (!in_time)
        kill(-pid, SIGKILL);
    if (to[1] >= 0)
        close(to[1]);
    close(from[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return judge(status, kap_buf_str(&output), in_time, err);
}

static enum kap_verdict send(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_str body;
    if (kap_event_body(ev, arena, &body, err) != KAP_OK)
        return KAP_GIVE_UP;
    return run(options, body, arena, err);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct options, prog, NULL, "prog", "Path of the program."),
    KAP_PROP_AT(STRINGS, struct options, args, NULL, "args", "Its arguments."),
    { .kind = KAP_PROP_END },
};

const struct kap_handler_type kap_handler_exec = {
    .kind = "exec",
    .method = "exec",
    .doc = "Runs a program for each event, which gets the event as JSON on its standard input.",
    .signature = "(prog string, args ...string)",
    .options_size = sizeof(struct options),
    .init = init,
    .args = args,
    .props = props,
    .options_shown = "alert.ExecHandlerConfig",
    .send = send,
};
