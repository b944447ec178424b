#include "engine/run.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>

enum { ERRORS_LOGGED_PER_WINDOW = 10 };
#define ERROR_WINDOW_NS INT64_C(1000000000)

const void *kap_node_config(const struct kap_node *n)
{
    return n->gn->config;
}

const struct kap_graph_node *kap_node_graph(const struct kap_node *n)
{
    return n->gn;
}

const char *kap_node_name(const struct kap_node *n)
{
    return n->gn->name;
}

struct kap_str kap_node_task(const struct kap_node *n)
{
    return n->shard->task;
}

struct kap_str kap_node_task_run(const struct kap_node *n)
{
    return n->shard->run.p ? n->shard->run : KAP_STR("");
}

const struct kap_services *kap_node_services(const struct kap_node *n)
{
    return n->shard->services;
}

struct kap_groups *kap_node_groups(const struct kap_node *n)
{
    return n->shard->groups;
}

int64_t kap_node_now(const struct kap_node *n)
{
    return kap_clock_wall(n->shard->services->clock);
}

struct kap_arena *kap_node_scratch(struct kap_node *n)
{
    return n->shard->scratch;
}

static size_t group_state_bytes(const struct kap_node *n)
{
    return sizeof(struct kap_group_state) + n->run->group_size;
}

/* Closes the holes that forgotten groups left, once they are the larger part. */
static void pack_order(struct kap_node *n)
{
    if (n->holes < 16 || n->holes * 2 < n->norder)
        return;
    uint32_t to = 0;
    for (uint32_t i = 0; i < n->norder; i++) {
        if (!n->order[i])
            continue;
        n->order[to] = n->order[i];
        n->order[to]->order = to;
        to++;
    }
    n->norder = to;
    n->holes = 0;
}

void *kap_node_find_state(const struct kap_node *n, const struct kap_group *g)
{
    if (g->index >= n->nby_index || !n->by_index[g->index] || !n->run->group_size)
        return NULL;
    return n->by_index[g->index]->data;
}

void *kap_node_group_state(struct kap_node *n, struct kap_group *g)
{
    if (!n->grouped)
        return NULL;
    if (g->index >= n->nby_index) {
        uint32_t cap = n->nby_index;
        KAP_GROW(n->by_index, cap, g->index + 1);
        memset((void *)(n->by_index + n->nby_index), 0, (cap - n->nby_index) * sizeof *n->by_index);
        n->nby_index = cap;
    }
    struct kap_group_state *gs = n->by_index[g->index];
    if (!gs) {
        pack_order(n);
        gs = (struct kap_group_state *)kap_calloc(1, group_state_bytes(n));
        gs->group = kap_group_ref(g);
        gs->order = n->norder;
        KAP_GROW(n->order, n->cap_order, n->norder + 1);
        n->order[n->norder++] = gs;
        n->by_index[g->index] = gs;
        kap_counter_add(&n->cardinality, 1);
        kap_node_charge(n, (int64_t)group_state_bytes(n));
        if (n->run->group_open)
            n->run->group_open(n, n->state, n->run->group_size ? gs->data : NULL, g);
    }
    return n->run->group_size ? gs->data : NULL;
}

void kap_node_forget_group(struct kap_node *n, struct kap_group *g)
{
    if (g->index >= n->nby_index || !n->by_index[g->index])
        return;
    struct kap_group_state *gs = n->by_index[g->index];
    if (n->run->group_close)
        n->run->group_close(n, n->state, n->run->group_size ? gs->data : NULL, g);
    n->by_index[g->index] = NULL;
    n->order[gs->order] = NULL;
    n->holes++;
    kap_counter_add(&n->cardinality, -1);
    kap_node_charge(n, -(int64_t)group_state_bytes(n));
    kap_group_unref(n->shard->groups, gs->group);
    kap_free(gs);
}

bool kap_node_next_group(struct kap_node *n, uint32_t *i, struct kap_group **g, void **gs)
{
    while (*i < n->norder && !n->order[*i])
        (*i)++;
    if (*i >= n->norder)
        return false;
    struct kap_group_state *s = n->order[(*i)++];
    if (g)
        *g = s->group;
    if (gs)
        *gs = n->run->group_size ? s->data : NULL;
    return true;
}

void kap_node_error(struct kap_node *n, const struct kap_group *g, const char *fmt, ...)
{
    kap_counter_add(&n->errors, 1);
    if (n->gn->quiet || !kap_log_enabled(KAP_LOG_ERROR))
        return;
    const int64_t now_ns = kap_node_now(n);
    if (now_ns - n->error_window_ns >= ERROR_WINDOW_NS || now_ns < n->error_window_ns) {
        n->error_window_ns = now_ns;
        n->errors_logged = 0;
    }
    if (n->errors_logged++ >= ERRORS_LOGGED_PER_WINDOW)
        return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (g)
        kap_log(KAP_LOG_ERROR, "kapacitor", "error evaluating node", kap_kv_n("task", n->shard->task),
                kap_kv_s("node", n->gn->name), kap_kv_n("group", g->id), kap_kv_s("err", text));
    else
        kap_log(KAP_LOG_ERROR, "kapacitor", "error evaluating node", kap_kv_n("task", n->shard->task),
                kap_kv_s("node", n->gn->name), kap_kv_s("err", text));
}

void kap_node_fail(struct kap_node *n, const char *fmt, ...)
{
    kap_counter_add(&n->errors, 1);
    struct kap_shard *s = n->shard;
    if (atomic_load(&s->failed))
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)kap_vfail(&s->failure, KAP_ESTATE, fmt, ap);
    va_end(ap);
    (void)kap_wrap(&s->failure, "%s", n->gn->name);
    atomic_store(&s->failed, true);
}

void kap_node_count(struct kap_node *n, size_t counter, int64_t add)
{
    if (counter < n->ncounters)
        kap_counter_add(&n->counters[counter], add);
}

void kap_node_charge(struct kap_node *n, int64_t bytes)
{
    kap_counter_add(&n->bytes, bytes);
}

static struct kap_str timer_key(const uint64_t *id)
{
    return kap_strn((const char *)id, sizeof *id);
}

static void tell_timers_moved(struct kap_shard *s)
{
    if (s->timers_moved)
        s->timers_moved(s, s->timers_ctx);
}

void kap_node_set_timer(struct kap_node *n, uint64_t id, int64_t at_ns)
{
    struct kap_shard *s = n->shard;
    if (!n->timers)
        n->timers = kap_map_new();
    struct kap_timer *t = (struct kap_timer *)kap_map_get(n->timers, timer_key(&id));
    if (t)
        kap_heap_remove(&s->timers, t->place);
    if (at_ns == 0) {
        kap_map_del(n->timers, timer_key(&id));
        kap_free(t);
    } else {
        if (!t) {
            t = KAP_NEW(struct kap_timer);
            t->node = n;
            t->id = id;
            kap_map_put(n->timers, timer_key(&id), t);
        }
        t->at_ns = at_ns;
        t->seq = ++s->timer_seq;
        kap_heap_push(&s->timers, t);
    }
    tell_timers_moved(s);
}

int64_t kap_shard_next_timer(const struct kap_shard *s)
{
    const struct kap_timer *t = (const struct kap_timer *)kap_heap_peek(&s->timers);
    return t ? t->at_ns : 0;
}

int64_t kap_shard_fire(struct kap_shard *s, int64_t now_ns)
{
    const uint64_t last_seq = s->timer_seq; /* one set by a timer waits for the next call */
    for (;;) {
        struct kap_timer *t = (struct kap_timer *)kap_heap_peek(&s->timers);
        if (!t || t->at_ns > now_ns || t->seq > last_seq)
            break;
        kap_heap_pop(&s->timers);
        struct kap_node *n = t->node;
        const uint64_t id = t->id;
        kap_map_del(n->timers, timer_key(&id));
        kap_free(t);
        if (n->run->timer)
            n->run->timer(n, n->state, id, now_ns);
        kap_arena_reset(s->scratch);
    }
    return kap_shard_next_timer(s);
}
