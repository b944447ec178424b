/* Alert events and their levels.
 * Identity of an event (for deduplication over members): topic, task, node, run, event ID, data time, level, and the n-th
 * of these in that copy. `run` is the replay's ID or the task's enable revision.
 * Ownership: shared, counted; immutable once collected. Threads: all. */
#ifndef KAP_ALERT_EVENT_H
#define KAP_ALERT_EVENT_H

#include "base/buf.h"
#include "base/error.h"
#include "data/result.h"

enum kap_level { KAP_LEVEL_OK, KAP_LEVEL_INFO, KAP_LEVEL_WARNING, KAP_LEVEL_CRITICAL };

const char *kap_level_name(enum kap_level l);                       /* "OK", "INFO", "WARNING", "CRITICAL" */
bool kap_level_parse(struct kap_str s, enum kap_level *ret);        /* any case */

struct kap_event_state {
    enum kap_level level;
    int64_t time_ns;
    int64_t duration_ns;
    struct kap_str message, details; /* "" where the caller gave no arena to copy them into */
};

struct kap_event {
    _Atomic uint32_t refs;
    struct kap_str topic;
    /* identity */
    struct kap_str task, node, run, id;
    int64_t time_ns;
    enum kap_level level;
    uint32_t nth;
    uint64_t sequence;               /* order in the producing copy */
    /* what it says */
    enum kap_level previous;
    struct kap_str message, details;
    int64_t duration_ns;
    bool recoverable;
    bool no_external;                /* update state, run only publish and aggregate */
    /* what templates and handlers see */
    struct kap_str name, group, category;
    const struct kap_tags *tags;
    struct kap_field *fields;
    size_t nfields;
    struct kap_row **rows;           /* data: the series */
    size_t nrows;
    struct kap_arena *arena;         /* owns all of the above */
    struct kap_event *origin;        /* of a published event: the one that its strings are borrowed from; or NULL */
};

struct kap_event *kap_event_new(void);   /* one reference, an arena, all else zero */
struct kap_event *kap_event_ref(struct kap_event *ev);
void kap_event_unref(struct kap_event *ev); /* NULL is fine */
/* The same event on another topic, without a copy of its data. Owned. */
struct kap_event *kap_event_derive(struct kap_event *ev, struct kap_str topic);
/* What makes the event itself, on every member the same, in 32 hexadecimal digits: for idempotency keys. */
enum { KAP_EVENT_KEY_LEN = 32 };
void kap_event_key(const struct kap_event *ev, char out[KAP_EVENT_KEY_LEN + 1]);
/* The JSON that handlers send: id, message, details, time, duration, level, data, previousLevel, recoverable.
 * False: a NaN or Inf is in the data, which JSON has not; the text is then not to be used. */
bool kap_event_json(const struct kap_event *ev, struct kap_json *j);
/* Its data alone: {"series":[..]}. */
bool kap_event_data_json(const struct kap_event *ev, struct kap_json *j);
/* Complete binary form, for the outbox and for RPC: a version byte, then unsigned LEB128 numbers (zigzag where signed)
 * and length-prefixed bytes. Decoding trusts nothing: KAP_EINVAL names what is wrong. */
void kap_event_encode(const struct kap_event *ev, struct kap_buf *out);
enum kap_status kap_event_decode(struct kap_str data, struct kap_event **ret, struct kap_error *err);

#endif
