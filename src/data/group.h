/* Groups: what a groupBy splits a stream into. One object per distinct group of a running task, so that
 * within a task equality is pointer equality. Created through the task's kap_groups, which hands out small
 * dense indices; nodes use kap_group.index to find their state. The id is what users see: "nil" without
 * dimensions, else "dc=x,host=a" (dimension names sorted, a missing tag is an empty value); by measurement:
 * "NAME\ndc=x,host=a" (or NAME alone without dimensions). Ownership: shared, counted; nodes that keep state
 * for a group hold a reference through the run time (node.h). Threads: the task shard's worker. */
#ifndef KAP_DATA_GROUP_H
#define KAP_DATA_GROUP_H

#include "data/tags.h"

struct kap_dims {          /* what a groupBy asks for; names sorted in byte order, unique */
    bool by_name;
    uint32_t n;
    const struct kap_sym **names;
};

struct kap_group {
    uint32_t refs;
    uint32_t index;               /* dense within the task; reused after the group is gone */
    const struct kap_sym *name;   /* measurement when by_name, else NULL */
    const struct kap_tags
        *tags; /* the group's tags: dimensions that the first point had (see kap_groups_get) */
    struct kap_dims dims;
    struct kap_str id;            /* terminated */
};

struct kap_groups;

struct kap_groups *kap_groups_new(void);
void kap_groups_free(struct kap_groups *gs);
/* Finds or makes the group of a point with this name and these tags. Dimensions that are missing in `tags`
 * are left out of group->tags, or are "" there when `empty_missing` (batch groupBy). Returned with one
 * reference. */
struct kap_group *kap_groups_get(struct kap_groups *gs, const struct kap_dims *dims,
                                 const struct kap_sym *name, const struct kap_tags *tags, bool empty_missing);
struct kap_group *kap_group_ref(struct kap_group *g);
void kap_group_unref(struct kap_groups *gs, struct kap_group *g);
uint32_t kap_groups_limit(const struct kap_groups *gs); /* all indices are below it */

#endif
