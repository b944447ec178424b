/* Silences: while one holds, the events it matches change the state of their topics but reach no handler.
 *     {"id": "deploy", "topic": "cpu*", "event": "cpu:host=web*", "tags": {"dc": "eu-*"}, "levels": ["WARNING"],
 *      "comment": "..", "created": "2024-01-01T00:00:00Z", "expires": "2024-01-01T02:00:00Z"}
 * Texts are globs as of Go's path.Match, where '*' stops at '/'; what is left out matches everything, but one of topic,
 * event, tags and levels must be there. A tag that an event does not have is an empty one.
 * Ownership: the registry copies what it is given. Threads: all. */
#ifndef KAP_ALERT_SILENCE_H
#define KAP_ALERT_SILENCE_H

#include "alert/event.h"
#include "base/json.h"

#include <jansson.h>

enum { KAP_SILENCES_MAX = 10000, KAP_SILENCE_TAGS = 64 };

struct kap_silence {
    struct kap_arena *arena;        /* owns all texts */
    struct kap_str id, topic, event, comment;
    struct kap_tag_glob {
        struct kap_str key, value;
    } *tags;
    size_t ntags;
    unsigned levels;                /* bits 1 << enum kap_level; 0: all */
    int64_t created_ns, expires_ns; /* wall clock */
};

/* Reads one; `now_ns` is the time of creation where it names none. Instead of "expires" it may have a "duration" ("2h").
 * Without an ID it gets a random one. Owned: kap_silence_done(). Errors name the member. */
enum kap_status kap_silence_read(const json_t *json, int64_t now_ns, struct kap_silence *ret, struct kap_error *err);
void kap_silence_done(struct kap_silence *s);
void kap_silence_json(const struct kap_silence *s, struct kap_json *j);
bool kap_silence_matches(const struct kap_silence *s, const struct kap_event *ev);

struct kap_silences;

struct kap_silences *kap_silences_new(void);
void kap_silences_free(struct kap_silences *ss); /* NULL is fine */
/* Adds or replaces; takes what `s` holds. */
void kap_silences_put(struct kap_silences *ss, struct kap_silence *s);
void kap_silences_drop(struct kap_silences *ss, struct kap_str id);
/* Does one that has not expired match? */
bool kap_silences_match(struct kap_silences *ss, const struct kap_event *ev, int64_t now_ns);
/* In byte order of the IDs, also those that have expired; fn must not call the registry. */
void kap_silences_each(struct kap_silences *ss, void (*fn)(void *ctx, const struct kap_silence *s), void *ctx);
size_t kap_silences_len(struct kap_silences *ss);

#endif
