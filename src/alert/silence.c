#include "alert/silence.h"

#include "base/duration.h"
#include "base/gotime.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "data/tags.h"

#include <pthread.h>

/* --- reading --- */

struct reader {
    struct kap_silence *s;
    int64_t duration_ns;
};

static enum kap_status read_text(const char *key, const json_t *v, struct kap_silence *s, struct kap_str *ret,
                                 struct kap_error *err)
{
    if (!json_is_string(v))
        return kap_fail(err, KAP_EINVAL, "silence: \"%s\" must be a string", key);
    *ret = kap_arena_str(s->arena, kap_strn(json_string_value(v), json_string_length(v)));
    return KAP_OK;
}

static enum kap_status read_glob(const char *key, const json_t *v, struct kap_silence *s, struct kap_str *ret,
                                 struct kap_error *err)
{
    struct kap_str text;
    KAP_TRY(read_text(key, v, s, &text, err));
    if (kap_glob(text, KAP_STR("")) < 0)
        return kap_fail(err, KAP_EINVAL, "silence: \"%s\": bad pattern \"%.*s\"", key, KAP_STR_ARG(text));
    *ret = text;
    return KAP_OK;
}

static enum kap_status read_time(const char *key, const json_t *v, struct kap_silence *s, int64_t *ret,
                                 struct kap_error *err)
{
    struct kap_str text;
    KAP_TRY(read_text(key, v, s, &text, err));
    if (kap_time_parse_rfc3339(text, ret, err) != KAP_OK)
        return kap_wrap(err, "silence: \"%s\"", key);
    return KAP_OK;
}

static enum kap_status read_duration(const json_t *v, struct reader *r, struct kap_error *err)
{
    struct kap_str text;
    KAP_TRY(read_text("duration", v, r->s, &text, err));
    if (kap_duration_parse_influx(text, &r->duration_ns, err) != KAP_OK)
        return kap_wrap(err, "silence: \"duration\"");
    if (r->duration_ns <= 0)
        return kap_fail(err, KAP_EINVAL, "silence: \"duration\" must be greater than 0");
    return KAP_OK;
}

static enum kap_status read_levels(const json_t *v, struct kap_silence *s, struct kap_error *err)
{
    if (!json_is_array(v))
        return kap_fail(err, KAP_EINVAL, "silence: \"levels\" must be a list of levels");
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct kap_str name;
        enum kap_level level;
        KAP_TRY(read_text("levels", json_array_get(v, i), s, &name, err));
        if (!kap_level_parse(name, &level))
            return kap_fail(err, KAP_EINVAL, "silence: \"levels\": unknown level \"%.*s\"", KAP_STR_ARG(name));
        s->levels |= 1U << level;
    }
    return KAP_OK;
}

static enum kap_status read_tags(const json_t *v, struct kap_silence *s, struct kap_error *err)
{
    if (!json_is_object(v))
        return kap_fail(err, KAP_EINVAL, "silence: \"tags\" must be an object of patterns");
    if (json_object_size(v) > KAP_SILENCE_TAGS)
        return kap_fail(err, KAP_ELIMIT, "silence: \"tags\": at most %d", KAP_SILENCE_TAGS);
    s->tags = KAP_ARENA_ARRAY(s->arena, struct kap_tag_glob, json_object_size(v) + 1);
    void *it = json_object_iter((json_t *)(uintptr_t)v);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
        const char *key = json_object_iter_key(it);
        struct kap_tag_glob *tag = &s->tags[s->ntags++];
        tag->key = kap_arena_str(s->arena, kap_str(key));
        KAP_TRY(read_glob(key, json_object_iter_value(it), s, &tag->value, err));
    }
    return KAP_OK;
}

static enum kap_status read_member(struct reader *r, const char *key, const json_t *v, struct kap_error *err)
{
    static const char *const known[] = { "id", "topic", "event", "tags", "levels", "comment", "created", "expires",
                                         "duration" };
    struct kap_silence *s = r->s;
    if (strcmp(key, "id") == 0)
        return read_text(key, v, s, &s->id, err);
    if (strcmp(key, "comment") == 0)
        return read_text(key, v, s, &s->comment, err);
    if (strcmp(key, "topic") == 0)
        return read_glob(key, v, s, &s->topic, err);
    if (strcmp(key, "event") == 0)
        return read_glob(key, v, s, &s->event, err);
    if (strcmp(key, "tags") == 0)
        return read_tags(v, s, err);
    if (strcmp(key, "levels") == 0)
        return read_levels(v, s, err);
    if (strcmp(key, "created") == 0)
        return read_time(key, v, s, &s->created_ns, err);
    if (strcmp(key, "expires") == 0)
        return read_time(key, v, s, &s->expires_ns, err);
    if (strcmp(key, "duration") == 0)
        return read_duration(v, r, err);
    if (strcmp(key, "link") == 0) /* what the API shows may be given back to it */
        return KAP_OK;
    const int near = kap_closest(key, known, KAP_COUNT(known));
    if (near >= 0)
        return kap_fail(err, KAP_EINVAL, "silence: unknown member \"%s\", did you mean \"%s\"?", key, known[near]);
    return kap_fail(err, KAP_EINVAL, "silence: unknown member \"%s\"", key);
}

static enum kap_status read_all(struct reader *r, const json_t *json, struct kap_error *err)
{
    if (!json_is_object(json))
        return kap_fail(err, KAP_EINVAL, "silence: must be an object");
    void *it = json_object_iter((json_t *)(uintptr_t)json);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)json, it))
        KAP_TRY(read_member(r, json_object_iter_key(it), json_object_iter_value(it), err));
    struct kap_silence *s = r->s;
    if (r->duration_ns)
        s->expires_ns = s->created_ns > INT64_MAX - r->duration_ns ? INT64_MAX : s->created_ns + r->duration_ns;
    if (s->expires_ns == 0)
        return kap_fail(err, KAP_EINVAL, "silence: \"expires\" or \"duration\" is missing");
    if (s->topic.n == 0 && s->event.n == 0 && s->ntags == 0 && s->levels == 0)
        return kap_fail(err, KAP_EINVAL, "silence: it must name a topic, an event, tags or levels");
    if (memchr(s->id.n ? s->id.p : "", '/', s->id.n))
        return kap_fail(err, KAP_EINVAL, "silence: \"id\" must not contain '/'");
    return KAP_OK;
}

enum kap_status kap_silence_read(const json_t *json, int64_t now_ns, struct kap_silence *ret, struct kap_error *err)
{
    struct kap_silence s = { .arena = kap_arena_new(), .created_ns = now_ns, .id = KAP_STR(""), .topic = KAP_STR(""),
                             .event = KAP_STR(""), .comment = KAP_STR("") };
    struct reader r = { .s = &s };
    const enum kap_status status = read_all(&r, json, err);
    if (status != KAP_OK) {
        kap_silence_done(&s);
        return status;
    }
    if (s.id.n == 0) {
        kap_uuid id;
        kap_uuid_new(id);
        s.id = kap_arena_str(s.arena, kap_str(id));
    }
    *ret = s;
    return KAP_OK;
}

void kap_silence_done(struct kap_silence *s)
{
    kap_arena_free(s->arena);
    *s = (struct kap_silence){ 0 };
}

/* --- showing --- */

static void text_member(struct kap_json *j, const char *key, struct kap_str text)
{
    if (text.n == 0)
        return;
    kap_json_key(j, key);
    kap_json_str(j, text);
}

void kap_silence_json(const struct kap_silence *s, struct kap_json *j)
{
    kap_json_object(j);
    text_member(j, "id", s->id);
    text_member(j, "topic", s->topic);
    text_member(j, "event", s->event);
    if (s->ntags) {
        kap_json_key(j, "tags");
        kap_json_object(j);
        for (size_t i = 0; i < s->ntags; i++) {
            kap_json_keyn(j, s->tags[i].key);
            kap_json_str(j, s->tags[i].value);
        }
        kap_json_object_end(j);
    }
    if (s->levels) {
        kap_json_key(j, "levels");
        kap_json_array(j);
        for (int l = KAP_LEVEL_OK; l <= KAP_LEVEL_CRITICAL; l++)
            if (s->levels >> l & 1)
                kap_json_cstr(j, kap_level_name((enum kap_level)l));
        kap_json_array_end(j);
    }
    text_member(j, "comment", s->comment);
    kap_json_key(j, "created");
    kap_json_time(j, s->created_ns);
    kap_json_key(j, "expires");
    kap_json_time(j, s->expires_ns);
    kap_json_object_end(j);
}

/* --- matching --- */

static bool fits(struct kap_str pattern, struct kap_str text)
{
    return pattern.n == 0 || kap_glob(pattern, text) == 1;
}

bool kap_silence_matches(const struct kap_silence *s, const struct kap_event *ev)
{
    if ((s->levels && !(s->levels >> ev->level & 1)) || !fits(s->topic, ev->topic) || !fits(s->event, ev->id))
        return false;
    for (size_t i = 0; i < s->ntags; i++) {
        const struct kap_str *value = ev->tags ? kap_tags_get(ev->tags, kap_sym(s->tags[i].key)) : NULL;
        if (kap_glob(s->tags[i].value, value ? *value : KAP_STR("")) != 1)
            return false;
    }
    return true;
}

/* --- the registry --- */

struct kap_silences {
    pthread_mutex_t lock;
    struct kap_silence *v; /* in byte order of the IDs */
    size_t n, cap;
};

struct kap_silences *kap_silences_new(void)
{
    struct kap_silences *ss = KAP_NEW(struct kap_silences);
    pthread_mutex_init(&ss->lock, NULL);
    return ss;
}

void kap_silences_free(struct kap_silences *ss)
{
    if (!ss)
        return;
    for (size_t i = 0; i < ss->n; i++)
        kap_silence_done(&ss->v[i]);
    kap_free(ss->v);
    pthread_mutex_destroy(&ss->lock);
    kap_free(ss);
}

/* Where the ID is or belongs. */
static size_t place(const struct kap_silences *ss, struct kap_str id, bool *found)
{
    size_t low = 0, high = ss->n;
    *found = false;
    while (low < high && !*found) {
        const size_t mid = low + (high - low) / 2;
        const int cmp = kap_str_cmp(ss->v[mid].id, id);
        if (cmp == 0) {
            *found = true;
            return mid;
        }
        if (cmp < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void kap_silences_put(struct kap_silences *ss, struct kap_silence *s)
{
    pthread_mutex_lock(&ss->lock);
    bool found;
    const size_t at = place(ss, s->id, &found);
    if (found) {
        kap_silence_done(&ss->v[at]);
    } else {
        KAP_GROW(ss->v, ss->cap, ss->n + 1);
        memmove(&ss->v[at + 1], &ss->v[at], (ss->n - at) * sizeof *ss->v);
        ss->n++;
    }
    ss->v[at] = *s;
    pthread_mutex_unlock(&ss->lock);
    *s = (struct kap_silence){ 0 };
}

void kap_silences_drop(struct kap_silences *ss, struct kap_str id)
{
    pthread_mutex_lock(&ss->lock);
    bool found;
    const size_t at = place(ss, id, &found);
    if (found) {
        kap_silence_done(&ss->v[at]);
        memmove(&ss->v[at], &ss->v[at + 1], (--ss->n - at) * sizeof *ss->v);
    }
    pthread_mutex_unlock(&ss->lock);
}

bool kap_silences_match(struct kap_silences *ss, const struct kap_event *ev, int64_t now_ns)
{
    bool match = false;
    pthread_mutex_lock(&ss->lock);
    for (size_t i = 0; i < ss->n && !match; i++)
        match = now_ns < ss->v[i].expires_ns && kap_silence_matches(&ss->v[i], ev);
    pthread_mutex_unlock(&ss->lock);
    return match;
}

void kap_silences_each(struct kap_silences *ss, void (*fn)(void *ctx, const struct kap_silence *s), void *ctx)
{
    pthread_mutex_lock(&ss->lock);
    for (size_t i = 0; i < ss->n; i++)
        fn(ctx, &ss->v[i]);
    pthread_mutex_unlock(&ss->lock);
}

size_t kap_silences_len(struct kap_silences *ss)
{
    pthread_mutex_lock(&ss->lock);
    const size_t n = ss->n;
    pthread_mutex_unlock(&ss->lock);
    return n;
}
