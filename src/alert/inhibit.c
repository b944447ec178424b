#include "alert/inhibit.h"

#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>

struct kap_inhibitor {
    struct kap_inhibitor *next, **at;  /* of the active ones of its category; at NULL: not active */
    const struct kap_tags *tags;
    size_t ncategory;
    char category[];
};

struct kap_inhibitors {
    pthread_rwlock_t lock;
    struct kap_map *active;            /* category -> struct head */
};

struct head {
    struct kap_inhibitor *first;
};

struct kap_inhibitors *kap_inhibitors_new(void)
{
    struct kap_inhibitors *r = KAP_NEW(struct kap_inhibitors);
    pthread_rwlock_init(&r->lock, NULL);
    r->active = kap_map_new();
    return r;
}

void kap_inhibitors_free(struct kap_inhibitors *r)
{
    if (!r)
        return;
    size_t i = 0;
    void *head;
    while (kap_map_next(r->active, &i, NULL, &head))
        kap_free(head);
    kap_map_free(r->active);
    pthread_rwlock_destroy(&r->lock);
    kap_free(r);
}

struct kap_inhibitor *kap_inhibitors_add(struct kap_inhibitors *r, struct kap_str category,
                                         const struct kap_tags *tags)
{
    struct kap_inhibitor *i = kap_calloc(1, sizeof *i + category.n + 1);
    i->tags = kap_tags_ref(tags);
    i->ncategory = category.n;
    memcpy(i->category, category.p, category.n);
    return i;
}

static struct head *head_of(struct kap_inhibitors *r, const struct kap_inhibitor *i)
{
    const struct kap_str category = kap_strn(i->category, i->ncategory);
    struct head *h = kap_map_get(r->active, category);
    if (!h) {
        h = KAP_NEW(struct head);
        kap_map_put(r->active, category, h);
    }
    return h;
}

static void set_active(struct kap_inhibitors *r, struct kap_inhibitor *i, bool active)
{
    if (active == (i->at != NULL))
        return;
    if (!active) {
        *i->at = i->next;
        if (i->next)
            i->next->at = i->at;
        i->at = NULL;
        return;
    }
    struct head *h = head_of(r, i);
    i->next = h->first;
    i->at = &h->first;
    if (h->first)
        h->first->at = &i->next;
    h->first = i;
}

void kap_inhibitor_set(struct kap_inhibitors *r, struct kap_inhibitor *i, bool active)
{
    pthread_rwlock_wrlock(&r->lock);
    set_active(r, i, active);
    pthread_rwlock_unlock(&r->lock);
}

void kap_inhibitors_remove(struct kap_inhibitors *r, struct kap_inhibitor *i)
{
    if (!i)
        return;
    kap_inhibitor_set(r, i, false);
    kap_tags_unref(i->tags);
    kap_free(i);
}

static bool holds(const struct kap_inhibitor *i, const struct kap_tags *tags)
{
    for (uint32_t k = 0; k < i->tags->n; k++) {
        const struct kap_str *v = kap_tags_get(tags, i->tags->v[k].key);
        if (!kap_str_eq(v ? *v : KAP_STR(""), i->tags->v[k].val))
            return false;
    }
    return true;
}

bool kap_inhibited(struct kap_inhibitors *r, struct kap_str category, const struct kap_tags *tags)
{
    pthread_rwlock_rdlock(&r->lock);
    const struct head *h = kap_map_get(r->active, category);
    const struct kap_inhibitor *i = h ? h->first : NULL;
    while (i && !holds(i, tags))
        i = i->next;
    pthread_rwlock_unlock(&r->lock);
    return i;
}
