/* What the API shows of topics, events and handlers. */
#include "alert/topics_internal.h"
#include "base/duration.h"
#include "base/mem.h"

#include <ctype.h>

#define BASE "/kapacitor/v1/alerts/topics"

struct item {
    struct kap_str name;
    const void *value;
};

static int item_cmp(const void *a, const void *b)
{
    return kap_str_cmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* In byte order; owned. */
static struct item *items(const struct kap_map *m, size_t *n)
{
    struct item *v = KAP_ARRAY(struct item, kap_map_len(m) + 1);
    size_t i = 0;
    void *value;
    for (*n = 0; kap_map_next(m, &i, &v[*n].name, &value); (*n)++)
        v[*n].value = value;
    qsort(v, *n, sizeof *v, item_cmp);
    return v;
}

static void link_json(struct kap_json *j, const char *key, const char *rel, const char *href)
{
    kap_json_key(j, key);
    kap_json_object(j);
    kap_json_key(j, "rel");
    kap_json_cstr(j, rel);
    kap_json_key(j, "href");
    kap_json_cstr(j, href);
    kap_json_object_end(j);
}

static enum kap_status read_level(struct kap_str s, enum kap_level *ret, struct kap_error *err)
{
    *ret = KAP_LEVEL_OK;
    if (s.n == 0 || kap_level_parse(s, ret))
        return KAP_OK;
    KAP_AUTO_FREE char *upper = kap_strndup(s.p, s.n);
    for (char *p = upper; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return kap_fail(err, KAP_EINVAL, "unknown alert level '%s'", upper);
}

static enum kap_status check_pattern(struct kap_str pattern, struct kap_error *err)
{
    if (pattern.n && kap_glob(pattern, KAP_STR("")) < 0)
        return kap_fail(err, KAP_EINVAL, "invalid pattern: syntax error in pattern");
    return KAP_OK;
}

static bool fits(struct kap_str pattern, struct kap_str name)
{
    return pattern.n == 0 || kap_glob(pattern, name) == 1;
}

static void topic_json(const struct kap_topic *t, struct kap_json *j)
{
    KAP_AUTO_FREE char *self = kap_asprintf(BASE "/%s", t->name);
    KAP_AUTO_FREE char *events = kap_asprintf(BASE "/%s/events", t->name);
    KAP_AUTO_FREE char *handlers = kap_asprintf(BASE "/%s/handlers", t->name);
    kap_json_object(j);
    link_json(j, "link", "self", self);
    kap_json_key(j, "id");
    kap_json_cstr(j, t->name);
    kap_json_key(j, "level");
    kap_json_cstr(j, kap_level_name(kap_topic_level(t)));
    kap_json_key(j, "collected");
    kap_json_u64(j, t->collected);
    link_json(j, "events-link", "events", events);
    link_json(j, "handlers-link", "handlers", handlers);
    kap_json_object_end(j);
}

enum kap_status kap_topics_list_json(struct kap_topics *ts, struct kap_str pattern, struct kap_str min_level,
                                     struct kap_json *j, struct kap_error *err)
{
    enum kap_level min;
    KAP_TRY(check_pattern(pattern, err));
    KAP_TRY(read_level(min_level, &min, err));
    kap_json_object(j);
    link_json(j, "link", "self", BASE);
    kap_json_key(j, "topics");
    kap_json_array(j);
    pthread_mutex_lock(&ts->lock);
    size_t n;
    KAP_AUTO_FREE struct item *topics = items(ts->topics, &n);
    for (size_t i = 0; i < n; i++) {
        const struct kap_topic *t = topics[i].value;
        if (t->shown && fits(pattern, topics[i].name) && kap_topic_level(t) >= min)
            topic_json(t, j);
    }
    pthread_mutex_unlock(&ts->lock);
    kap_json_array_end(j);
    kap_json_object_end(j);
    return KAP_OK;
}

static const struct kap_topic *shown_topic(struct kap_topics *ts, struct kap_str name)
{
    const struct kap_topic *t = kap_topics_find(ts, name);
    return t && t->shown ? t : NULL;
}

enum kap_status kap_topics_topic_json(struct kap_topics *ts, struct kap_str topic, struct kap_json *j,
                                      struct kap_error *err)
{
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = shown_topic(ts, topic);
    if (t)
        topic_json(t, j);
    pthread_mutex_unlock(&ts->lock);
    return t ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "unknown topic: \"%.*s\"", KAP_STR_ARG(topic));
}

static void event_json(struct kap_str topic, struct kap_str id, const struct kap_state *st, struct kap_json *j)
{
    KAP_AUTO_FREE char *self = kap_asprintf(BASE "/%.*s/events/%.*s", KAP_STR_ARG(topic), KAP_STR_ARG(id));
    KAP_AUTO_BUF struct kap_buf duration = { 0 };
    kap_duration_format_go(&duration, st->duration_ns);
    kap_json_object(j);
    link_json(j, "link", "self", self);
    kap_json_key(j, "id");
    kap_json_str(j, id);
    kap_json_key(j, "state");
    kap_json_object(j);
    kap_json_key(j, "message");
    kap_json_str(j, kap_strn(st->text, st->nmessage));
    kap_json_key(j, "details");
    kap_json_str(j, kap_strn(st->text + st->nmessage, st->ndetails));
    kap_json_key(j, "time");
    kap_json_time(j, st->time_ns);
    kap_json_key(j, "duration");
    kap_json_str(j, kap_buf_str(&duration));
    kap_json_key(j, "level");
    kap_json_cstr(j, kap_level_name(st->level));
    kap_json_object_end(j);
    kap_json_object_end(j);
}

enum kap_status kap_topics_events_json(struct kap_topics *ts, struct kap_str topic, struct kap_str min_level,
                                       struct kap_json *j, struct kap_error *err)
{
    enum kap_level min;
    KAP_TRY(read_level(min_level, &min, err));
    KAP_AUTO_FREE char *self = kap_asprintf(BASE "/%.*s/events", KAP_STR_ARG(topic));
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = shown_topic(ts, topic);
    if (!t) {
        pthread_mutex_unlock(&ts->lock);
        return kap_fail(err, KAP_EINTERNAL, "failed to get topic events: unknown topic \"%.*s\"", KAP_STR_ARG(topic));
    }
    kap_json_object(j);
    link_json(j, "link", "self", self);
    kap_json_key(j, "topic");
    kap_json_str(j, topic);
    kap_json_key(j, "events");
    kap_json_array(j);
    size_t n;
    KAP_AUTO_FREE struct item *events = items(t->states, &n);
    for (size_t i = 0; i < n; i++) {
        const struct kap_state *st = events[i].value;
        if (st->level >= min)
            event_json(topic, events[i].name, st, j);
    }
    pthread_mutex_unlock(&ts->lock);
    kap_json_array_end(j);
    kap_json_object_end(j);
    return KAP_OK;
}

enum kap_status kap_topics_event_json(struct kap_topics *ts, struct kap_str topic, struct kap_str event_id,
                                      struct kap_json *j, struct kap_error *err)
{
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = shown_topic(ts, topic);
    const struct kap_state *st = t ? kap_map_get(t->states, event_id) : NULL;
    if (st)
        event_json(topic, event_id, st, j);
    pthread_mutex_unlock(&ts->lock);
    if (!t)
        return kap_fail(err, KAP_EINTERNAL, "failed to get event: unknown topic \"%.*s\"", KAP_STR_ARG(topic));
    return st ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "unknown event \"%.*s\" in topic \"%.*s\"", KAP_STR_ARG(event_id),
                                  KAP_STR_ARG(topic));
}

enum kap_status kap_topics_handlers_json(struct kap_topics *ts, struct kap_str topic, struct kap_str pattern,
                                         struct kap_json *j, struct kap_error *err)
{
    KAP_TRY(check_pattern(pattern, err));
    KAP_AUTO_FREE char *self = kap_asprintf(BASE "/%.*s/handlers", KAP_STR_ARG(topic));
    kap_json_object(j);
    link_json(j, "link", "self", self);
    kap_json_key(j, "topic");
    kap_json_str(j, topic);
    kap_json_key(j, "handlers");
    kap_json_array(j);
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = kap_topics_find(ts, topic);
    for (size_t i = 0; t && i < t->ndefined; i++)
        if (fits(pattern, kap_str(t->defined[i].spec.id)))
            kap_handler_spec_json(&t->defined[i].spec, j);
    pthread_mutex_unlock(&ts->lock);
    kap_json_array_end(j);
    kap_json_object_end(j);
    return KAP_OK;
}

enum kap_status kap_topics_handler_json(struct kap_topics *ts, struct kap_str topic, struct kap_str id,
                                        struct kap_json *j, struct kap_error *err)
{
    bool found = false;
    pthread_mutex_lock(&ts->lock);
    const struct kap_topic *t = kap_topics_find(ts, topic);
    for (size_t i = 0; t && i < t->ndefined && !found; i++) {
        if (!kap_str_is(id, t->defined[i].spec.id))
            continue;
        found = true;
        kap_handler_spec_json(&t->defined[i].spec, j);
    }
    pthread_mutex_unlock(&ts->lock);
    return found ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "unknown handler: \"%.*s\"", KAP_STR_ARG(id));
}

void kap_topics_each_stats(struct kap_topics *ts, void (*fn)(void *ctx, const struct kap_topic_stats *s), void *ctx)
{
    pthread_mutex_lock(&ts->lock);
    size_t n;
    KAP_AUTO_FREE struct item *topics = items(ts->topics, &n);
    for (size_t i = 0; i < n; i++) {
        const struct kap_topic *t = topics[i].value;
        const struct kap_topic_stats s = {
            .topic = topics[i].name, .collected = t->collected, .events = kap_map_len(t->states),
            .handlers = t->ndefined + t->ninlines, .level = kap_topic_level(t),
        };
        if (t->shown)
            fn(ctx, &s);
    }
    pthread_mutex_unlock(&ts->lock);
}
