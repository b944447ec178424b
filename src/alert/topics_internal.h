/* What the two files of the registry share. */
#ifndef KAP_ALERT_TOPICS_INTERNAL_H
#define KAP_ALERT_TOPICS_INTERNAL_H

#include "alert/topics.h"
#include "base/map.h"

#include <pthread.h>

struct kap_state {                  /* of one event ID; the texts lie behind it */
    enum kap_level level;
    int64_t time_ns, duration_ns;
    uint32_t nmessage, ndetails;
    char text[];
};

struct kap_defined {                /* a handler with its definition */
    struct kap_handler_spec spec;
    struct kap_handler *handler;
};

struct kap_topic {
    char *name;
    bool shown;                     /* false: an anonymous topic that is closed, or one that has definitions only */
    uint64_t collected;
    size_t by_level[KAP_LEVEL_CRITICAL + 1];
    struct kap_map *states;         /* event ID -> struct kap_state */
    struct kap_defined *defined;    /* in byte order of IDs */
    size_t ndefined, cap;
    struct kap_handler **inlines;   /* in order of the script */
    size_t ninlines;
};

struct kap_topics {
    struct kap_topics_options opts;
    pthread_mutex_t lock;           /* all below */
    struct kap_map *topics;
};

struct kap_topic *kap_topics_find(struct kap_topics *ts, struct kap_str name);
enum kap_level kap_topic_level(const struct kap_topic *t);

#endif
