#include "engine/run.h"

#include "base/mem.h"

struct watched {
    struct kap_group *group; /* a reference; NULL: the group is gone */
    int64_t points;
};

struct kap_watch {
    struct watched *v;       /* in order of first appearance */
    uint32_t n, cap;
    uint32_t *place;         /* by index of the group: place in v + 1, 0: none */
    uint32_t nplace;
};

void kap_node_watch(struct kap_node *n, const struct kap_graph_node *source)
{
    struct kap_node *watched = &n->shard->nodes[source->index];
    if (!watched->watch)
        watched->watch = KAP_NEW(struct kap_watch);
}

static struct watched *find(struct kap_watch *w, const struct kap_group *g)
{
    return g->index < w->nplace && w->place[g->index] ? &w->v[w->place[g->index] - 1] : NULL;
}

void kap_watch_count(struct kap_node *n, struct kap_group *g, int64_t points)
{
    struct kap_watch *w = n->watch;
    if (!g)
        return;
    struct watched *x = find(w, g);
    if (!x) {
        if (g->index >= w->nplace) {
            uint32_t cap = w->nplace;
            KAP_GROW(w->place, cap, g->index + 1);
            memset(w->place + w->nplace, 0, (cap - w->nplace) * sizeof *w->place);
            w->nplace = cap;
        }
        KAP_GROW(w->v, w->cap, w->n + 1);
        x = &w->v[w->n++];
        *x = (struct watched){ .group = kap_group_ref(g) };
        w->place[g->index] = w->n;
    }
    x->points += points;
}

/* Moves the others up, so that groups that come and go leave nothing behind. */
void kap_watch_forget(struct kap_node *n, struct kap_group *g)
{
    struct kap_watch *w = n->watch;
    struct watched *x = find(w, g);
    if (!x)
        return;
    const uint32_t at = w->place[g->index] - 1;
    w->place[g->index] = 0;
    memmove(w->v + at, w->v + at + 1, (w->n - at - 1) * sizeof *w->v);
    w->n--;
    for (uint32_t i = at; i < w->n; i++)
        w->place[w->v[i].group->index] = i + 1;
    kap_group_unref(n->shard->groups, g);
}

bool kap_node_next_emitted(struct kap_node *n, const struct kap_graph_node *source, uint32_t *i,
                           struct kap_group **g, int64_t *points)
{
    const struct kap_watch *w = n->shard->nodes[source->index].watch;
    if (!w || *i >= w->n)
        return false;
    const struct watched *x = &w->v[(*i)++];
    *g = x->group;
    *points = x->points;
    return true;
}

void kap_watch_free(struct kap_node *n)
{
    struct kap_watch *w = n->watch;
    if (!w)
        return;
    for (uint32_t i = 0; i < w->n; i++)
        kap_group_unref(n->shard->groups, w->v[i].group);
    kap_free(w->v);
    kap_free(w->place);
    kap_free(w);
    n->watch = NULL;
}
