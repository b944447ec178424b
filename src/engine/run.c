#include "engine/run.h"

#include "base/mem.h"

static int timer_cmp(const void *a, const void *b)
{
    const struct kap_timer *x = (const struct kap_timer *)a, *y = (const struct kap_timer *)b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void timer_moved(void *item, size_t index)
{
    ((struct kap_timer *)item)->place = index;
}

static int parent_index(const struct kap_graph_node *child, const struct kap_graph_node *parent, int nth)
{
    for (size_t i = 0; i < child->nparents; i++)
        if (child->parents[i] == parent && nth-- == 0)
            return (int)i;
    return 0;
}

/* A node that is linked to the same child twice has two edges to it, with different parent indices. */
static void connect(struct kap_shard *s, struct kap_node *n)
{
    n->nout = (uint32_t)n->gn->nchildren;
    n->out = n->nout ? KAP_ARRAY(struct kap_out, n->nout) : NULL;
    for (size_t i = 0; i < n->nout; i++) {
        const struct kap_graph_node *child = n->gn->children[i];
        int before = 0;
        for (size_t k = 0; k < i; k++)
            before += n->gn->children[k] == child;
        n->out[i].to = &s->nodes[child->index];
        n->out[i].in = parent_index(child, n->gn, before);
    }
}

static void init_node(struct kap_shard *s, struct kap_node *n, const struct kap_graph_node *gn)
{
    n->gn = gn;
    n->run = gn->type->run;
    n->shard = s;
    n->state = n->run->state_size ? kap_calloc(1, n->run->state_size) : NULL;
    n->grouped = n->run->group_size || n->run->group_open || n->run->group_close;
    while (n->run->counters && n->run->counters[n->ncounters])
        n->ncounters++;
    n->counters = n->ncounters ? KAP_ARRAY(kap_counter, n->ncounters) : NULL;
    kap_node_charge(n, (int64_t)(sizeof *n + n->run->state_size));
    connect(s, n);
}

enum kap_status kap_shard_new(struct kap_graph *g, struct kap_str task, const struct kap_services *services,
                              struct kap_shard **ret, struct kap_error *err)
{
    for (size_t i = 0; i < g->n; i++)
        if (!g->nodes[i]->type->run)
            return kap_fail(err, KAP_EINTERNAL, "node %s cannot run", g->nodes[i]->name);
    struct kap_shard *s = KAP_NEW(struct kap_shard);
    s->graph = kap_graph_ref(g);
    s->task = kap_strn(kap_strndup(task.p, task.n), task.n);
    s->services = services;
    s->groups = kap_groups_new();
    s->scratch = kap_arena_new();
    s->n = g->n;
    s->nodes = KAP_ARRAY(struct kap_node, KAP_MAX(g->n, (size_t)1));
    kap_heap_init(&s->timers, timer_cmp, timer_moved);
    for (size_t i = 0; i < g->n; i++)
        init_node(s, &s->nodes[i], g->nodes[i]);
    for (size_t i = 0; i < g->n; i++) {
        struct kap_node *n = &s->nodes[i];
        const enum kap_status st = n->run->open ? n->run->open(n, n->state, err) : KAP_OK;
        if (st != KAP_OK) {
            kap_shard_free(s);
            return st;
        }
        n->opened = true;
    }
    kap_arena_reset(s->scratch);
    *ret = s;
    return KAP_OK;
}

static void close_groups(struct kap_node *n)
{
    for (uint32_t i = 0; i < n->norder; i++)
        if (n->order[i])
            kap_node_forget_group(n, n->order[i]->group);
}

static void close_node(struct kap_node *n)
{
    kap_watch_free(n);
    if (n->opened && n->run->close)
        n->run->close(n, n->state);
    size_t i = 0;
    void *timer;
    while (n->timers && kap_map_next(n->timers, &i, NULL, &timer))
        kap_free(timer);
    kap_map_free(n->timers);
    kap_free((void *)n->by_index);
    kap_free((void *)n->order);
    kap_free(n->out);
    kap_free(n->counters);
    kap_free(n->state);
}

void kap_shard_free(struct kap_shard *s)
{
    if (!s)
        return;
    for (size_t i = s->n; i-- > 0;)
        close_groups(&s->nodes[i]);
    s->timers_moved = NULL;
    for (size_t i = s->n; i-- > 0;)
        close_node(&s->nodes[i]);
    kap_heap_done(&s->timers);
    kap_free(s->nodes);
    kap_arena_free(s->scratch);
    kap_groups_free(s->groups);
    kap_graph_unref(s->graph);
    kap_free((void *)(uintptr_t)s->task.p);
    kap_free(s);
}

struct kap_node *kap_shard_node(struct kap_shard *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->nodes[i].gn->name, name) == 0)
            return &s->nodes[i];
    return NULL;
}

/* A node has collected what its parents' edges carried, or what entered at it. */
static int64_t collected(const struct kap_shard *s, const struct kap_node *n)
{
    int64_t sum = kap_counter_get(&n->collected);
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->nodes[i].nout; k++)
            if (s->nodes[i].out[k].to == n)
                sum += kap_counter_get(&s->nodes[i].out[k].count);
    return sum;
}

static void node_stats(const struct kap_shard *s, const struct kap_node *n, struct kap_node_stats *ret)
{
    ret->node = n->gn;
    ret->avg_exec_time_ns = kap_counter_get(&n->avg_exec_ns);
    ret->collected = collected(s, n);
    ret->errors = kap_counter_get(&n->errors);
    ret->working_cardinality = kap_counter_get(&n->cardinality);
    ret->bytes = kap_counter_get(&n->bytes);
    ret->cpu_ns = kap_counter_get(&n->cpu_ns);
    ret->counter_names = n->run->counters;
    ret->ncounters = n->ncounters;
    ret->counters = KAP_ARRAY(int64_t, n->ncounters + 1);
    for (size_t i = 0; i < n->ncounters; i++)
        ret->counters[i] = kap_counter_get(&n->counters[i]);
    ret->nedges = n->nout;
    ret->edges = KAP_ARRAY(struct kap_edge_stats, n->nout + 1);
    for (size_t i = 0; i < n->nout; i++) {
        const int64_t processed = kap_counter_get(&n->out[i].count);
        ret->edges[i] = (struct kap_edge_stats){ n->out[i].to->gn, processed };
        ret->emitted += processed;
    }
}

void kap_shard_stats(const struct kap_shard *s, struct kap_task_stats *ret)
{
    *ret = (struct kap_task_stats){ .n = s->n, .nodes = KAP_ARRAY(struct kap_node_stats, s->n + 1) };
    for (size_t i = 0; i < s->n; i++) {
        node_stats(s, &s->nodes[i], &ret->nodes[i]);
        ret->bytes += ret->nodes[i].bytes;
        ret->cpu_ns += ret->nodes[i].cpu_ns;
    }
}
