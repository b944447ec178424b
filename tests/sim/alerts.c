#include "alerts.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include <stdio.h>

enum { KIND = 7, EVENTS_MAX = 20000 };

struct view {
    enum kap_dedup_life life;
    bool linked;
};

struct disk_event {
    struct kap_dedup_key key;
    char *meta, *blob;
    size_t meta_n, blob_n;
    bool pending[ALERTS_HANDLERS], gone;
};

struct disk_mark {
    struct kap_dedup_key key;
    char handler[8];
};

struct disk {
    struct disk_event *events;
    struct disk_mark *marks;
    size_t n_events, events_cap, n_marks, marks_cap;
    bool full;
};

struct node {
    struct alerts *a;
    int number;
    char id[32];
    struct kap_dedup *core;
    struct disk disk;
    struct view views[ALERTS_MEMBERS];
    struct kap_map *states;
    int life;
    struct kap_dedup_stats before; /* of earlier lives */
};

/* One event of the test's script. */
struct produced {
    char topic[32], id[32];
    int64_t time_ns;
    int level, previous;
    int count[ALERTS_HANDLERS];
    int64_t first_at;
    bool safe; /* somebody who produced it did not die right then */
};

struct alerts {
    struct sim *sim;
    struct alerts_options options;
    struct kap_random random;
    struct node nodes[ALERTS_MEMBERS];
    struct produced *events;
    size_t n_events;
    unsigned refuse[ALERTS_HANDLERS];
    int attempts;
    uint64_t out_of_order;
    struct kap_map *last_sent; /* "member topic id handler" to data time */
    unsigned left;
    bool parted;
    struct kap_dedup_stats totals;
};

static const char *const handler_names[ALERTS_HANDLERS] = { "h0", "h1", "h2" };

struct sim *alerts_sim(struct alerts *a)
{
    return a->sim;
}

struct kap_random *alerts_random(struct alerts *a)
{
    return &a->random;
}

static void rest(struct node *n)
{
    sim_wake_at(n->a->sim, n->number, n->core ? kap_dedup_deadline(n->core) : INT64_MAX);
}

/* ---- things that happen later ---- */

struct later {
    struct node *node;
    int life; /* void when the member died meanwhile; -1: never void */
    void (*fn)(struct later *l);
    struct kap_dedup_key key;
    uint64_t token;
    int handler, other, how;
    char topic[32], id[32];
    int64_t time_ns;
    size_t event;
    struct kap_dedup_store op;
    char *meta, *blob;
    bool handlers[ALERTS_HANDLERS];
    char handler_name[8];
};

static void run_later(void *ctx)
{
    struct later *l = ctx;
    if (l->life < 0 || (l->life == l->node->life && l->node->core))
        l->fn(l);
    if (l->node->core)
        rest(l->node);
    kap_free(l->meta);
    kap_free(l->blob);
    kap_free(l);
}

static struct later *later(struct node *n, int64_t in_ns, void (*fn)(struct later *l))
{
    struct later *l = KAP_NEW(struct later);
    l->node = n;
    l->life = n->life;
    l->fn = fn;
    sim_at(n->a->sim, n->a->sim->now_ns + in_ns, run_later, l);
    return l;
}

/* ---- the disk ---- */

static struct disk_event *disk_find(struct disk *d, struct kap_dedup_key key)
{
    for (size_t i = d->n_events; i-- > 0;)
        if (d->events[i].key.lo == key.lo && d->events[i].key.hi == key.hi)
            return &d->events[i];
    return NULL;
}

static void disk_put(struct disk *d, struct later *l)
{
    struct disk_event *e = disk_find(d, l->key);
    if (!e) {
        KAP_GROW(d->events, d->events_cap, d->n_events + 1);
        e = &d->events[d->n_events++];
        *e = (struct disk_event){ .key = l->key };
    }
    kap_free(e->meta);
    kap_free(e->blob);
    e->meta = KAP_STEAL(l->meta);
    e->blob = KAP_STEAL(l->blob);
    e->meta_n = l->op.meta.n;
    e->blob_n = l->op.blob.n;
    e->gone = false;
    memcpy(e->pending, l->handlers, sizeof e->pending);
}

static void disk_mark(struct disk *d, struct kap_dedup_key key, const char *handler)
{
    KAP_GROW(d->marks, d->marks_cap, d->n_marks + 1);
    struct disk_mark *m = &d->marks[d->n_marks++];
    *m = (struct disk_mark){ .key = key };
    snprintf(m->handler, sizeof m->handler, "%s", handler);
    struct disk_event *e = disk_find(d, key);
    for (int h = 0; e && h < ALERTS_HANDLERS; h++)
        if (strcmp(handler_names[h], handler) == 0)
            e->pending[h] = false;
}

static void disk_do(struct later *l)
{
    struct disk *d = &l->node->disk;
    if (!d->full) {
        if (l->op.kind == KAP_DEDUP_STORE_EVENT)
            disk_put(d, l);
        else if (l->op.kind == KAP_DEDUP_STORE_DONE)
            disk_mark(d, l->key, l->handler_name);
        else if (l->op.kind == KAP_DEDUP_STORE_FORGET) {
            struct disk_event *e = disk_find(d, l->key);
            if (e)
                e->gone = true;
            if (!l->op.carried)
                disk_mark(d, l->key, "");
        }
    }
    if (l->token)
        kap_dedup_stored(l->node->core, l->token, !d->full);
}

static char *copy(struct kap_str s)
{
    return kap_strndup(s.n ? s.p : "", s.n);
}

static void io_store(void *ctx, const struct kap_dedup_store *op)
{
    struct node *n = ctx;
    if (op->kind == KAP_DEDUP_STORE_STATE || op->kind == KAP_DEDUP_STORE_TOPIC)
        return;
    struct later *l = later(n, n->a->options.disk_ns, disk_do); /* equal times keep their order */
    l->op = *op;
    l->key = op->key;
    l->token = op->token;
    l->meta = copy(op->meta);
    l->blob = copy(op->blob);
    for (size_t i = 0; i < op->nhandlers; i++)
        for (int h = 0; h < ALERTS_HANDLERS; h++)
            l->handlers[h] |= kap_str_is(op->handlers[i], handler_names[h]);
    snprintf(l->handler_name, sizeof l->handler_name, "%.*s", KAP_STR_ARG(op->handler));
}

/* ---- the network ---- */

static void io_send(void *ctx, struct kap_str member, struct kap_str bytes)
{
    struct node *n = ctx;
    for (int i = 0; i < n->a->options.members; i++)
        if (kap_str_is(member, n->a->nodes[i].id))
            sim_send(n->a->sim, n->number, i, KIND, bytes);
}

static void on_datagram(void *ctx, int from, int kind, struct kap_str bytes)
{
    struct node *n = ctx;
    kap_dedup_message(n->core, kap_str(n->a->nodes[from].id), bytes);
    rest(n);
}

static void on_wake(void *ctx)
{
    struct node *n = ctx;
    if (n->core) {
        kap_dedup_tick(n->core);
        rest(n);
    }
}

static const struct sim_ops ops = { .datagram = on_datagram, .wake = on_wake };

/* ---- topics and endpoints ---- */

static void io_accept(void *ctx, const struct kap_dedup_event *ev, struct kap_dedup_handlers *ret)
{
    struct node *n = ctx;
    for (int h = 0; h < n->a->options.handlers; h++)
        kap_dedup_add_handler(ret, kap_str(handler_names[h]));
    if (!ev->current)
        return;
    char key[80], value[40];
    snprintf(key, sizeof key, "%.*s/%.*s", KAP_STR_ARG(ev->identity.topic), KAP_STR_ARG(ev->identity.id));
    snprintf(value, sizeof value, "%lld:%d", (long long)ev->identity.time_ns, ev->identity.level);
    free(kap_map_put(n->states, kap_str(key), kap_strdup(value)));
}

static bool io_state_get(void *ctx, struct kap_str topic, struct kap_str id, struct kap_buf *ret)
{
    struct node *n = ctx;
    char key[80];
    snprintf(key, sizeof key, "%.*s/%.*s", KAP_STR_ARG(topic), KAP_STR_ARG(id));
    const char *value = kap_map_get(n->states, kap_str(key));
    if (value)
        kap_buf_adds(ret, value);
    return value != NULL;
}

static void io_state_set(void *ctx, struct kap_str topic, struct kap_str id, struct kap_str blob)
{
    struct node *n = ctx;
    char key[80];
    snprintf(key, sizeof key, "%.*s/%.*s", KAP_STR_ARG(topic), KAP_STR_ARG(id));
    free(kap_map_put(n->states, kap_str(key), kap_strndup(blob.p, blob.n)));
}

static struct produced *event_of(struct alerts *a, struct kap_str topic, struct kap_str id, int64_t time_ns)
{
    for (size_t i = a->n_events; i-- > 0;) {
        struct produced *e = &a->events[i];
        if (e->time_ns == time_ns && kap_str_is(topic, e->topic) && kap_str_is(id, e->id))
            return e;
    }
    return NULL;
}

/* The bytes are at the endpoint: from here on it counts, whatever becomes of the sender. */
static void arrive(struct later *l)
{
    struct alerts *a = l->node->a;
    struct produced *e = event_of(a, kap_str(l->topic), kap_str(l->id), l->time_ns);
    if (!e || l->how)
        return;
    e->count[l->handler]++;
    if (!e->first_at)
        e->first_at = a->sim->now_ns;
    sim_trace(a->sim, "endpoint: %s/%s @%lld %s by member %d", l->topic, l->id, (long long)l->time_ns,
              handler_names[l->handler], l->node->number);
    char key[96];
    snprintf(key, sizeof key, "%d %s %s %d", l->node->number, l->topic, l->id, l->handler);
    int64_t *last = kap_map_get(a->last_sent, kap_str(key));
    if (!last) {
        last = KAP_NEW(int64_t);
        *last = INT64_MIN;
        kap_map_put(a->last_sent, kap_str(key), last);
    }
    a->out_of_order += l->time_ns < *last;
    *last = l->time_ns;
}

static void answer(struct later *l)
{
    kap_dedup_delivered(l->node->core, l->key, kap_str(handler_names[l->handler]),
                        l->how ? KAP_DEDUP_RETRY : KAP_DEDUP_SENT);
}

static void io_deliver(void *ctx, const struct kap_dedup_event *ev, struct kap_str handler, unsigned attempt)
{
    struct node *n = ctx;
    struct alerts *a = n->a;
    a->attempts++;
    for (int i = 0; i < 2; i++) {
        struct later *l =
            later(n, i ? a->options.endpoint_ns : a->options.endpoint_ns / 2, i ? answer : arrive);
        l->key = ev->key;
        l->time_ns = ev->identity.time_ns;
        l->handler = handler.p[1] - '0';
        l->how = a->refuse[l->handler] >> n->number & 1; /* refused */
        snprintf(l->topic, sizeof l->topic, "%.*s", KAP_STR_ARG(ev->identity.topic));
        snprintf(l->id, sizeof l->id, "%.*s", KAP_STR_ARG(ev->identity.id));
    }
}

static void io_topic_drop(void *ctx, struct kap_str topic)
{
}

static void io_notice(void *ctx, const struct kap_dedup_notice *notice)
{
    const struct node *n = ctx;
    sim_trace(n->a->sim, "member %d: notice %d %.*s/%.*s %.*s %s", n->number, (int)notice->kind,
              KAP_STR_ARG(notice->topic), KAP_STR_ARG(notice->id), KAP_STR_ARG(notice->handler),
              notice->text);
}

/* ---- members ---- */

static void tell_members(struct node *n)
{
    if (!n->core)
        return;
    struct kap_dedup_member m[ALERTS_MEMBERS];
    for (int i = 0; i < n->a->options.members; i++)
        m[i] = (struct kap_dedup_member){ kap_str(n->a->nodes[i].id), n->views[i].life, n->views[i].linked };
    kap_dedup_members(n->core, m, (size_t)n->a->options.members);
    rest(n);
}

static void boot(struct node *n)
{
    struct alerts *a = n->a;
    const struct kap_dedup_config config = { .self = kap_str(n->id),
                                             .clock = sim_clock(a->sim, n->number),
                                             .redundancy = a->options.redundancy,
                                             .faults = a->options.faults };
    const struct kap_dedup_io io = { io_send,      io_store,      io_accept, io_deliver, io_state_get,
                                     io_state_set, io_topic_drop, io_notice, n };
    n->core = kap_dedup_new(&config, &io);
    n->states = kap_map_new();
    for (size_t i = 0; i < n->disk.n_marks; i++)
        kap_dedup_load_mark(n->core, n->disk.marks[i].key, kap_str(n->disk.marks[i].handler));
    for (size_t i = 0; i < n->disk.n_events; i++) {
        const struct disk_event *e = &n->disk.events[i];
        struct kap_str handlers[ALERTS_HANDLERS];
        size_t k = 0;
        for (int h = 0; h < ALERTS_HANDLERS; h++)
            if (e->pending[h])
                handlers[k++] = kap_str(handler_names[h]);
        struct kap_error err;
        if (!e->gone && kap_dedup_load_event(n->core, e->key, kap_strn(e->meta, e->meta_n),
                                             kap_strn(e->blob, e->blob_n), handlers, k, &err) != KAP_OK)
            abort();
    }
}

static void shut(struct node *n)
{
    if (!n->core)
        return;
    const struct kap_dedup_stats s = kap_dedup_stats(n->core);
    n->before.delivered += s.delivered;
    n->before.take_overs += s.take_overs;
    n->before.hand_overs += s.hand_overs;
    n->before.asked += s.asked;
    n->before.merged += s.merged;
    n->before.superseded += s.superseded;
    n->before.retried += s.retried;
    n->before.bad_messages += s.bad_messages;
    kap_dedup_free(n->core);
    n->core = NULL;
    size_t i = 0;
    void *value;
    while (kap_map_next(n->states, &i, NULL, &value))
        kap_free(value);
    kap_map_free(n->states);
}

struct alerts *alerts_new(uint64_t seed, const struct alerts_options *options)
{
    struct alerts *a = KAP_NEW(struct alerts);
    a->sim = sim_new(seed);
    a->options = *options;
    a->options.endpoint_ns = options->endpoint_ns ? options->endpoint_ns : 50 * KAP_MS;
    a->options.disk_ns = options->disk_ns ? options->disk_ns : 2 * KAP_MS;
    kap_random_seed(&a->random, seed ^ 0x616c65727473);
    a->events = KAP_ARRAY(struct produced, EVENTS_MAX);
    a->last_sent = kap_map_new();
    for (int i = 0; i < options->members; i++) {
        struct node *n = &a->nodes[i];
        n->a = a;
        n->number = i;
        snprintf(n->id, sizeof n->id, "member-%d", i);
        for (int k = 0; k < options->members; k++)
            n->views[k] = (struct view){ KAP_DEDUP_ALIVE, true };
        sim_add(a->sim, &ops, n);
        boot(n);
    }
    for (int i = 0; i < options->members; i++)
        tell_members(&a->nodes[i]);
    alerts_run(a, 10 * KAP_S); /* settled */
    return a;
}

void alerts_free(struct alerts *a)
{
    for (int i = 0; i < a->options.members; i++)
        shut(&a->nodes[i]);
    alerts_run(a, 120 * KAP_S); /* what is scheduled is freed when it is due */
    for (int i = 0; i < a->options.members; i++) {
        struct disk *d = &a->nodes[i].disk;
        for (size_t k = 0; k < d->n_events; k++) {
            kap_free(d->events[k].meta);
            kap_free(d->events[k].blob);
        }
        kap_free(d->events);
        kap_free(d->marks);
    }
    size_t i = 0;
    void *value;
    while (kap_map_next(a->last_sent, &i, NULL, &value))
        kap_free(value);
    kap_map_free(a->last_sent);
    kap_free(a->events);
    sim_free(a->sim);
    kap_free(a);
}

void alerts_run(struct alerts *a, int64_t for_ns)
{
    sim_run(a->sim, for_ns);
}

/* How `other` is seen from now on, unless something newer came between. */
static void see(struct later *l)
{
    struct node *n = l->node;
    struct alerts *a = n->a;
    const bool reachable = sim_is_up(a->sim, l->other) &&
                           !(a->parted && (a->left >> n->number & 1) != (a->left >> l->other & 1));
    if (reachable != (l->how == KAP_DEDUP_ALIVE))
        return;
    n->views[l->other] = (struct view){ (enum kap_dedup_life)l->how, reachable };
    tell_members(n);
}

static void see_in(struct node *n, int other, int64_t in_ns, enum kap_dedup_life how)
{
    struct later *l = later(n, in_ns, see);
    l->other = other;
    l->how = how;
}

void alerts_kill(struct alerts *a, int member)
{
    struct node *n = &a->nodes[member];
    sim_trace(a->sim, "kill member %d", member);
    sim_crash(a->sim, member);
    shut(n);
    n->life++;
    for (int i = 0; i < a->options.members; i++) {
        if (i == member || !a->nodes[i].core)
            continue;
        a->nodes[i].views[member].linked = false;
        tell_members(&a->nodes[i]);
        see_in(&a->nodes[i], member, KAP_S, KAP_DEDUP_PRESUMED);
        see_in(&a->nodes[i], member, 6 * KAP_S, KAP_DEDUP_DEAD);
    }
}

void alerts_start(struct alerts *a, int member)
{
    struct node *n = &a->nodes[member];
    sim_trace(a->sim, "start member %d", member);
    n->life++;
    sim_restart(a->sim, member, n);
    boot(n);
    for (int i = 0; i < a->options.members; i++) {
        n->views[i] = (struct view){ i == member ? KAP_DEDUP_ALIVE : KAP_DEDUP_UNKNOWN, false };
        if (i == member)
            continue;
        see_in(n, i, 300 * KAP_MS, KAP_DEDUP_ALIVE);
        see_in(n, i, 5 * KAP_S, KAP_DEDUP_DEAD);
        if (a->nodes[i].core)
            see_in(&a->nodes[i], member, 300 * KAP_MS, KAP_DEDUP_ALIVE);
    }
    tell_members(n);
}

bool alerts_is_up(const struct alerts *a, int member)
{
    return a->nodes[member].core != NULL;
}

static bool on_other_side(const struct alerts *a, int i, int k)
{
    return (a->left >> i & 1) != (a->left >> k & 1);
}

void alerts_partition(struct alerts *a, unsigned left_mask)
{
    bool left[ALERTS_MEMBERS];
    for (int i = 0; i < a->options.members; i++)
        left[i] = left_mask >> i & 1;
    sim_trace(a->sim, "partition %x", left_mask);
    sim_partition(a->sim, left);
    a->left = left_mask;
    a->parted = true;
    for (int i = 0; i < a->options.members; i++)
        for (int k = 0; k < a->options.members; k++)
            if (i != k && on_other_side(a, i, k) && a->nodes[i].core)
                see_in(&a->nodes[i], k, 8 * KAP_S, KAP_DEDUP_DEAD);
}

void alerts_heal(struct alerts *a)
{
    sim_trace(a->sim, "heal");
    sim_heal_all(a->sim);
    a->parted = false;
    for (int i = 0; i < a->options.members; i++)
        for (int k = 0; k < a->options.members; k++)
            if (i != k && a->nodes[i].core && a->nodes[k].core)
                see_in(&a->nodes[i], k, 300 * KAP_MS, KAP_DEDUP_ALIVE);
}

void alerts_disk_full(struct alerts *a, int member, bool full)
{
    a->nodes[member].disk.full = full;
}

void alerts_refuse(struct alerts *a, int handler, unsigned mask)
{
    a->refuse[handler] = mask;
}

void alerts_endpoint_time(struct alerts *a, int64_t ns)
{
    a->options.endpoint_ns = ns;
}

/* ---- the script ---- */

static void survived(struct later *l)
{
    l->node->a->events[l->event].safe = true;
}

static void submit(struct later *l)
{
    struct node *n = l->node;
    const struct produced *e = &n->a->events[l->event];
    const struct kap_dedup_identity id = { .topic = kap_str(e->topic),
                                           .task = KAP_STR("task"),
                                           .node = KAP_STR("alert2"),
                                           .run = KAP_STR("1"),
                                           .id = kap_str(e->id),
                                           .time_ns = e->time_ns,
                                           .level = e->level,
                                           .previous = e->previous };
    sim_trace(n->a->sim, "member %d produces %s/%s @%lld", n->number, e->topic, e->id, (long long)e->time_ns);
    if (kap_dedup_submit(n->core, &id, KAP_STR("the event"), NULL) != KAP_OK)
        abort();
    struct later *s = later(n, 30 * KAP_MS, survived);
    s->event = l->event;
}

void alerts_produce(struct alerts *a, const char *topic, const char *id, int64_t time_ns, int level,
                    unsigned mask, int64_t skew_ns)
{
    if (a->n_events == EVENTS_MAX)
        abort();
    struct produced *e = &a->events[a->n_events];
    *e = (struct produced){ .time_ns = time_ns, .level = level };
    for (size_t i = 0; i < a->n_events; i++)
        if (strcmp(a->events[i].topic, topic) == 0 && strcmp(a->events[i].id, id) == 0)
            e->previous = a->events[i].level;
    snprintf(e->topic, sizeof e->topic, "%s", topic);
    snprintf(e->id, sizeof e->id, "%s", id);
    for (int i = 0; i < a->options.members; i++) {
        if (!(mask >> i & 1) || !a->nodes[i].core)
            continue;
        struct later *l =
            later(&a->nodes[i], (int64_t)kap_random_below(&a->random, (uint64_t)skew_ns + 1), submit);
        l->event = a->n_events;
    }
    a->n_events++;
}

int alerts_owner(struct alerts *a, const char *topic, int rank)
{
    struct kap_str owners[ALERTS_MEMBERS];
    const size_t n = kap_dedup_owners(a->nodes[0].core, kap_str(topic), owners, ALERTS_MEMBERS);
    return (size_t)rank < n ? owners[rank].p[7] - '0' : -1;
}

/* ---- what came of it ---- */

int alerts_deliveries(const struct alerts *a, const char *topic, const char *id, int64_t time_ns, int handler)
{
    for (size_t i = 0; i < a->n_events; i++) {
        const struct produced *e = &a->events[i];
        if (e->time_ns == time_ns && strcmp(e->topic, topic) == 0 && strcmp(e->id, id) == 0)
            return e->count[handler];
    }
    return -1;
}

int64_t alerts_first_at(const struct alerts *a, const char *topic, const char *id, int64_t time_ns)
{
    for (size_t i = 0; i < a->n_events; i++) {
        const struct produced *e = &a->events[i];
        if (e->time_ns == time_ns && strcmp(e->topic, topic) == 0 && strcmp(e->id, id) == 0)
            return e->first_at;
    }
    return 0;
}

int alerts_attempts(const struct alerts *a)
{
    return a->attempts;
}

uint64_t alerts_out_of_order(const struct alerts *a)
{
    return a->out_of_order;
}

int alerts_lost(const struct alerts *a)
{
    int lost = 0;
    for (size_t i = 0; i < a->n_events; i++)
        for (int h = 0; h < a->options.handlers; h++)
            lost += a->events[i].safe && a->events[i].count[h] == 0;
    return lost;
}

int alerts_duplicates(const struct alerts *a)
{
    int n = 0;
    for (size_t i = 0; i < a->n_events; i++)
        for (int h = 0; h < a->options.handlers; h++)
            n += a->events[i].count[h] > 1 ? a->events[i].count[h] - 1 : 0;
    return n;
}

int alerts_pending(const struct alerts *a)
{
    int n = 0;
    for (int i = 0; i < a->options.members; i++)
        if (a->nodes[i].core)
            n += (int)kap_dedup_stats(a->nodes[i].core).pending;
    return n;
}

static bool same_states(const struct node *x, const struct node *y)
{
    size_t i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(x->states, &i, &key, &value)) {
        const char *other = kap_map_get(y->states, key);
        if (!other || strcmp(value, other) != 0) {
            fprintf(stderr, "state of %.*s: member %d has %s, member %d has %s\n", KAP_STR_ARG(key),
                    x->number, (char *)value, y->number, other ? other : "none");
            return false;
        }
    }
    return true;
}

bool alerts_states_agree(const struct alerts *a)
{
    if (a->options.redundancy)
        return true; /* only owners hold them */
    for (int i = 0; i < a->options.members; i++)
        for (int k = 0; k < a->options.members; k++)
            if (a->nodes[i].core && a->nodes[k].core && !same_states(&a->nodes[i], &a->nodes[k]))
                return false;
    return true;
}

const struct kap_dedup_stats *alerts_totals(struct alerts *a)
{
    struct kap_dedup_stats t = { 0 };
    for (int i = 0; i < a->options.members; i++) {
        const struct node *n = &a->nodes[i];
        const struct kap_dedup_stats s = n->core ? kap_dedup_stats(n->core) : (struct kap_dedup_stats){ 0 };
        t.delivered += n->before.delivered + s.delivered;
        t.take_overs += n->before.take_overs + s.take_overs;
        t.hand_overs += n->before.hand_overs + s.hand_overs;
        t.asked += n->before.asked + s.asked;
        t.merged += n->before.merged + s.merged;
        t.superseded += n->before.superseded + s.superseded;
        t.retried += n->before.retried + s.retried;
        t.bad_messages += n->before.bad_messages + s.bad_messages;
    }
    a->totals = t;
    return &a->totals;
}
