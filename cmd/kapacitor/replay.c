/* record, replay and replay-live. */
#include "base/clock.h"
#include "base/duration.h"
#include "base/gotime.h"
#include "commands.h"

#include <stdio.h>
#include <time.h>

#define POLL_NS (500 * 1000000L)

static struct {
    const char *id, *task, *recording, *query, *type, *cluster, *start, *stop, *past, *duration;
    bool no_wait, real, recording_time;
} opt;

static const struct kap_flag record_stream_flags[] = {
    { KAP_FLAG_STRING, "task", &opt.task, "The task whose databases are recorded." },
    { KAP_FLAG_STRING, "duration", &opt.duration, "How long to record." },
    { KAP_FLAG_STRING, "recording-id", &opt.id, "The ID of the recording. Without it a random one." },
    { KAP_FLAG_BOOL, "no-wait", &opt.no_wait, "Do not wait for the end." },
    { 0 },
};
static const struct kap_flag record_batch_flags[] = {
    { KAP_FLAG_STRING, "task", &opt.task, "The batch task whose queries are run." },
    { KAP_FLAG_STRING, "start", &opt.start, "Start of the range, RFC3339." },
    { KAP_FLAG_STRING, "stop", &opt.stop, "End of the range, RFC3339. Without it now." },
    { KAP_FLAG_STRING, "past", &opt.past, "Start of the range as a duration before its end." },
    { KAP_FLAG_STRING, "recording-id", &opt.id, "The ID of the recording. Without it a random one." },
    { KAP_FLAG_BOOL, "no-wait", &opt.no_wait, "Do not wait for the end." },
    { 0 },
};
static const struct kap_flag record_query_flags[] = {
    { KAP_FLAG_STRING, "query", &opt.query, "The query; database and policy must be in it." },
    { KAP_FLAG_STRING, "type", &opt.type, "stream or batch." },
    { KAP_FLAG_STRING, "cluster", &opt.cluster, "The name of an InfluxDB of the configuration." },
    { KAP_FLAG_STRING, "recording-id", &opt.id, "The ID of the recording. Without it a random one." },
    { KAP_FLAG_BOOL, "no-wait", &opt.no_wait, "Do not wait for the end." },
    { 0 },
};
static const struct kap_flag replay_flags[] = {
    { KAP_FLAG_STRING, "recording", &opt.recording, "The recording." },
    { KAP_FLAG_STRING, "task", &opt.task, "The task." },
    { KAP_FLAG_STRING, "replay-id", &opt.id, "The ID of the replay. Without it a random one." },
    { KAP_FLAG_BOOL, "real-clock", &opt.real, "As fast as the data came, not as fast as possible." },
    { KAP_FLAG_BOOL, "rec-time", &opt.recording_time, "Keep the times of the recording." },
    { KAP_FLAG_BOOL, "no-wait", &opt.no_wait, "Do not wait for the end." },
    { 0 },
};
static const struct kap_flag live_batch_flags[] = {
    { KAP_FLAG_STRING, "task", &opt.task, "The batch task whose queries are run." },
    { KAP_FLAG_STRING, "start", &opt.start, "Start of the range, RFC3339." },
    { KAP_FLAG_STRING, "stop", &opt.stop, "End of the range, RFC3339. Without it now." },
    { KAP_FLAG_STRING, "past", &opt.past, "Start of the range as a duration before its end." },
    { KAP_FLAG_STRING, "replay-id", &opt.id, "The ID of the replay. Without it a random one." },
    { KAP_FLAG_BOOL, "real-clock", &opt.real, "As fast as the data came, not as fast as possible." },
    { KAP_FLAG_BOOL, "rec-time", &opt.recording_time, "Keep the times of the data." },
    { KAP_FLAG_BOOL, "no-wait", &opt.no_wait, "Do not wait for the end." },
    { 0 },
};
static const struct kap_flag live_query_flags[] = {
    { KAP_FLAG_STRING, "query", &opt.query, "The query; database and policy must be in it." },
    { KAP_FLAG_STRING, "task", &opt.task, "The task." },
    { KAP_FLAG_STRING, "cluster", &opt.cluster, "The name of an InfluxDB of the configuration." },
    { KAP_FLAG_STRING, "replay-id", &opt.id, "The ID of the replay. Without it a random one." },
    { KAP_FLAG_BOOL, "real-clock", &opt.real, "As fast as the data came, not as fast as possible." },
    { KAP_FLAG_BOOL, "rec-time", &opt.recording_time, "Keep the times of the data." },
    { KAP_FLAG_BOOL, "no-wait", &opt.no_wait, "Do not wait for the end." },
    { 0 },
};

/* --- requests --- */

static void put(json_t *body, const char *key, const char *value)
{
    if (value)
        json_object_set_new(body, key, json_string(value));
}

static void put_time(json_t *body, const char *key, int64_t time_ns)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_time_rfc3339nano(&text, time_ns);
    put(body, key, text.p);
}

static enum kap_status put_range(json_t *body, struct kap_error *err)
{
    int64_t stop_ns = kap_clock_wall(&kap_clock_system), start_ns, past_ns;
    if (!opt.start && !opt.past)
        return kap_fail(err, KAP_EINVAL, "must set one of start or past flags.");
    if (opt.start && opt.past)
        return kap_fail(err, KAP_EINVAL, "cannot set both start and past flags.");
    if (opt.stop)
        KAP_TRY(kap_time_parse_rfc3339(kap_str(opt.stop), &stop_ns, err));
    if (opt.start) {
        KAP_TRY(kap_time_parse_rfc3339(kap_str(opt.start), &start_ns, err));
    } else {
        KAP_TRY(kap_duration_parse_influx(kap_str(opt.past), &past_ns, err));
        start_ns = stop_ns - past_ns;
    }
    put_time(body, "start", start_ns);
    put_time(body, "stop", stop_ns);
    return KAP_OK;
}

static void put_run(json_t *body)
{
    put(body, "id", opt.id);
    put(body, "task", opt.task);
    put(body, "clock", opt.real ? "real" : "fast");
    json_object_set_new(body, "recording-time", json_boolean(opt.recording_time));
}

/* --- waiting --- */

static const char *text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static enum kap_status wait_for(struct kap_client *c, json_t **state, struct kap_error *err)
{
    while (strcmp(text(*state, "status"), "running") == 0) {
        const struct timespec pause = { .tv_nsec = POLL_NS };
        nanosleep(&pause, NULL);
        json_t *next;
        KAP_TRY(kap_client_json(c, "GET", text(json_object_get(*state, "link"), "href"), NULL, &next, err));
        json_decref(*state);
        *state = next;
    }
    return KAP_OK;
}

/* Takes the body. Prints the ID when it has ended. */
static int start(struct kap_client *c, const char *path, json_t *body, const char *unknown)
{
    struct kap_error err;
    json_t *state = NULL;
    enum kap_status st = kap_client_json(c, "POST", path, body, &state, &err);
    json_decref(body);
    if (st == KAP_OK && opt.no_wait) {
        json_decref(state);
        return 0;
    }
    if (st == KAP_OK)
        st = wait_for(c, &state, &err);
    int code = 0;
    if (st == KAP_OK) {
        KAP_AUTO_BUF struct kap_buf out = { 0 };
        kap_buf_addf(&out, "%s\n", text(state, "id"));
        code = kap_command_print(&out);
        if (strcmp(text(state, "status"), "failed") == 0)
            st = kap_fail(&err, KAP_EIO, "%s", *text(state, "error") ? text(state, "error") : unknown);
    }
    json_decref(state);
    return st == KAP_OK ? code : kap_program_failed(&err);
}

#define RECORD_FAILED "recording failed: unknown reason"
#define REPLAY_FAILED "replay failed: unknown reason"

/* Flags that are all used, and two of them that must be there; NULL: fine. */
static const char *read_flags(const struct kap_flag *flags, char **args, size_t n, struct kap_error *err)
{
    size_t used;
    if (kap_flags_parse(flags, args, n, &used, err) != KAP_OK)
        return err->msg;
    return used < n ? "Too many arguments" : NULL;
}

static int with_range(struct kap_client *c, const char *path, json_t *body, const char *unknown)
{
    struct kap_error err;
    if (put_range(body, &err) == KAP_OK)
        return start(c, path, body, unknown);
    json_decref(body);
    return kap_program_failed(&err);
}

static int record_stream(struct kap_client *c, const struct kap_command *self)
{
    struct kap_error err;
    int64_t duration_ns;
    if (!opt.task || !opt.duration)
        return kap_command_misused(self, "both task and duration are required");
    if (kap_duration_parse_influx(kap_str(opt.duration), &duration_ns, &err) != KAP_OK)
        return kap_program_failed(&err);
    json_t *body = json_object();
    put(body, "id", opt.id);
    put(body, "task", opt.task);
    put_time(body, "stop", kap_clock_wall(&kap_clock_system) + duration_ns);
    return start(c, "/recordings/stream", body, RECORD_FAILED);
}

static int record_batch(struct kap_client *c, const struct kap_command *self)
{
    if (!opt.task)
        return kap_command_misused(self, "task is required");
    json_t *body = json_object();
    put(body, "id", opt.id);
    put(body, "task", opt.task);
    return with_range(c, "/recordings/batch", body, RECORD_FAILED);
}

static int record_query(struct kap_client *c, const struct kap_command *self)
{
    if (!opt.query || !opt.type)
        return kap_command_misused(self, "both query and type are required");
    json_t *body = json_object();
    put(body, "id", opt.id);
    put(body, "query", opt.query);
    put(body, "type", opt.type);
    put(body, "cluster", opt.cluster);
    return start(c, "/recordings/query", body, RECORD_FAILED);
}

static int unknown_kind(const char *format, const char *kind)
{
    struct kap_error err;
    (void)kap_fail(&err, KAP_EINVAL, "Unknown %s type \"%s\", expected %s", format, kind,
                   strcmp(format, "record") == 0 ? "'stream', 'batch' or 'query'" : "'batch' or 'query'");
    return kap_program_failed(&err);
}

static int record(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    static const struct {
        const char *name;
        const struct kap_flag *flags;
        int (*run)(struct kap_client *c, const struct kap_command *self);
    } kinds[] = { { "stream", record_stream_flags, record_stream },
                  { "batch", record_batch_flags, record_batch },
                  { "query", record_query_flags, record_query } };
    struct kap_error err;
    if (n == 0)
        return kap_command_misused(self, "Must specify 'stream', 'batch' or 'query'");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(args[0], kinds[i].name) != 0)
            continue;
        const char *wrong = read_flags(kinds[i].flags, args + 1, n - 1, &err);
        return wrong ? kap_command_misused(self, wrong) : kinds[i].run(c, self);
    }
    return unknown_kind("record", args[0]);
}

static int replay(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    struct kap_error err;
    const char *wrong = read_flags(replay_flags, args, n, &err);
    if (!wrong && !opt.recording)
        wrong = "must pass recording ID";
    if (!wrong && !opt.task)
        wrong = "must pass task ID";
    if (wrong)
        return kap_command_misused(self, wrong);
    json_t *body = json_object();
    put_run(body);
    put(body, "recording", opt.recording);
    return start(c, "/replays", body, REPLAY_FAILED);
}

static int replay_live(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    struct kap_error err;
    if (n == 0)
        return kap_command_misused(self, "Must specify 'batch' or 'query'");
    const bool batch = strcmp(args[0], "batch") == 0;
    if (!batch && strcmp(args[0], "query") != 0)
        return unknown_kind("replay-live", args[0]);
    const char *wrong = read_flags(batch ? live_batch_flags : live_query_flags, args + 1, n - 1, &err);
    if (!wrong && batch && !opt.task)
        wrong = "task is required";
    if (!wrong && !batch && (!opt.query || !opt.task))
        wrong = "both query and task are required";
    if (wrong)
        return kap_command_misused(self, wrong);
    json_t *body = json_object();
    put_run(body);
    if (batch)
        return with_range(c, "/replays/batch", body, REPLAY_FAILED);
    put(body, "query", opt.query);
    put(body, "cluster", opt.cluster);
    return start(c, "/replays/query", body, REPLAY_FAILED);
}

const struct kap_command kap_replay_commands[] = {
    { "record", "Record the result of a query or a snapshot of the live data stream.",
      "stream|batch|query [options]\n\n"
      "stream -task ID -duration DURATION\nbatch -task ID -start TIME|-past DURATION [-stop TIME]\n"
      "query -query TEXT -type stream|batch [-cluster NAME]\n\n"
      "Prints the recording's ID. All: -recording-id ID, -no-wait.",
      NULL, record },
    { "replay", "Replay a recording to a task.", "-recording ID -task ID [options]", replay_flags, replay },
    { "replay-live", "Replay the answers to queries to a task, without a recording.",
      "batch|query [options]\n\n"
      "batch -task ID -start TIME|-past DURATION [-stop TIME]\nquery -task ID -query TEXT [-cluster NAME]\n\n"
      "Prints the replay's ID. Both: -replay-id ID, -real-clock, -rec-time, -no-wait.",
      NULL, replay_live },
    { 0 },
};
