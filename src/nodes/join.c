/* join: puts the points (or batches) of several parents that have one time together into one, group by group.
 *
 * A group holds sets, one value of each parent, in the order of time. A set goes on when it is complete, or, once all
 * parents have shown a later time, as it is: dropped by an inner join, filled by an outer one.
 *
 * With on() the parents differ in their grouping: points of the coarse one are kept until those of the finer ones that
 * belong to them have come, and are joined in the groups of the finer ones. */
#include "base/map.h"
#include "base/mem.h"
#include "nodes/multi.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    struct kap_strings as, on;
    struct kap_str stream_name, delimiter;
    int64_t tolerance_ns;
    struct kap_value fill;   /* MISSING: none; STRING: as written; INT, FLOAT */
    bool delete_all;
};

enum fill { FILL_NONE, FILL_NULL, FILL_NUMBER };

#define NEVER INT64_MIN

struct queued {
    int src;
    struct kap_message m;
};

struct queue {
    struct queued *v;
    size_t n, cap;
};

struct on_group {            /* of the dimensions that are joined on */
    struct kap_group *group;
    struct queue coarse, fine;
    int64_t *low_ns;         /* the last time of each parent; NEVER: none */
};

/* The names of joined fields: PREFIX DELIMITER FIELD. */
struct name {
    const struct kap_sym *field, *joined;
};
struct names {
    struct name *v;
    size_t n, cap;
};

struct state {
    const struct config *cfg;
    size_t nparents, finished;
    enum fill fill;
    struct kap_value fill_value;
    const struct kap_sym *stream_name;
    const struct kap_sym **on;       /* sorted */
    struct kap_map *on_groups;       /* kap_group pointer -> struct on_group */
    bool *reported;
    size_t nreported;
    struct kap_batch *coming;        /* by parent */
    struct names *names;             /* by parent */
    struct kap_field_buf fields;
};

struct set {
    struct set *prev, *next;
    int64_t time_ns;
    size_t size, first;              /* first: the lowest parent that has a value */
    struct kap_message v[];
};

struct group {
    struct set *first, *last;        /* by time; of one time in the order they were made */
    int64_t *head_ns;                /* by parent; NEVER: nothing seen */
};

static int by_name(const void *a, const void *b)
{
    return kap_sym_cmp(*(const struct kap_sym *const *)a, *(const struct kap_sym *const *)b);
}

static enum kap_status open_fill(struct state *s, struct kap_error *err)
{
    const struct kap_value *f = &s->cfg->fill;
    if (f->type == KAP_INT || f->type == KAP_FLOAT) {
        s->fill = FILL_NUMBER;
        s->fill_value = *f;
    } else if (f->type == KAP_STRING && kap_str_is(f->s, "null")) {
        s->fill = FILL_NULL;
        s->fill_value = (struct kap_value){ .type = KAP_MISSING };
    } else if (f->type == KAP_STRING && !kap_str_is(f->s, "none")) {
        return kap_fail(err, KAP_EINVAL, "unexpected fill option %.*s", KAP_STR_ARG(f->s));
    }
    return KAP_OK;
}

static enum kap_status open_join(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    KAP_TRY(open_fill(s, err));
    s->nparents = kap_node_graph(n)->nparents;
    s->stream_name = s->cfg->stream_name.n ? kap_sym(s->cfg->stream_name) : NULL;
    s->on_groups = kap_map_new();
    s->reported = KAP_ARRAY(bool, s->nparents);
    s->coming = KAP_ARRAY(struct kap_batch, s->nparents);
    s->names = KAP_ARRAY(struct names, s->nparents);
    s->on = KAP_ARRAY(const struct kap_sym *, s->cfg->on.n + 1);
    for (size_t i = 0; i < s->cfg->on.n; i++)
        s->on[i] = kap_sym(s->cfg->on.v[i]);
    qsort(s->on, s->cfg->on.n, sizeof *s->on, by_name);
    return KAP_OK;
}

static void queue_pop(struct kap_node *n, struct queue *q, size_t count)
{
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        kap_message_done(n, &q->v[i].m);
    memmove(q->v, q->v + count, (q->n - count) * sizeof *q->v);
    q->n -= count;
}

static void queue_push(struct queue *q, int src, struct kap_message m)
{
    KAP_GROW(q->v, q->cap, q->n + 1);
    q->v[q->n++] = (struct queued){ src, m };
}

static void on_group_free(struct kap_node *n, struct on_group *o)
{
    queue_pop(n, &o->coarse, o->coarse.n);
    queue_pop(n, &o->fine, o->fine.n);
    kap_free(o->coarse.v);
    kap_free(o->fine.v);
    kap_free(o->low_ns);
    kap_group_unref(kap_node_groups(n), o->group);
    kap_free(o);
}

static void close_join(struct kap_node *n, void *state)
{
    struct state *s = state;
    void *o;
    for (size_t i = 0; kap_map_next(s->on_groups, &i, NULL, &o);)
        on_group_free(n, o);
    kap_map_free(s->on_groups);
    for (size_t i = 0; i < s->nparents; i++) {
        kap_batch_clear(kap_node_groups(n), &s->coming[i]);
        kap_free(s->names[i].v);
    }
    kap_free(s->names);
    kap_free(s->coming);
    kap_free(s->reported);
    kap_free(s->on);
    kap_field_buf_done(&s->fields);
}

static size_t set_bytes(const struct state *s)
{
    return sizeof(struct set) + s->nparents * sizeof(struct kap_message);
}

static void pop_first(struct kap_node *n, const struct state *s, struct group *g)
{
    struct set *set = g->first;
    g->first = set->next;
    if (g->first)
        g->first->prev = NULL;
    else
        g->last = NULL;
    for (size_t i = 0; i < s->nparents; i++)
        if (set->v[i].kind != KAP_MESSAGE_NONE)
            kap_message_done(n, &set->v[i]);
    kap_node_charge(n, -(int64_t)set_bytes(s));
    kap_free(set);
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    const struct state *s = state;
    struct group *g = gs;
    g->head_ns = KAP_ARRAY(int64_t, s->nparents);
    for (size_t i = 0; i < s->nparents; i++)
        g->head_ns[i] = NEVER;
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    struct group *g = gs;
    while (g->first)
        pop_first(n, state, g);
    kap_free(g->head_ns);
}

/* ---- joining one set ---- */

static const struct kap_sym *joined_name(struct state *s, size_t parent, const struct kap_sym *field)
{
    struct names *names = &s->names[parent];
    for (size_t i = 0; i < names->n; i++)
        if (names->v[i].field == field)
            return names->v[i].joined;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_add(&b, s->cfg->as.v[parent]);
    kap_buf_add(&b, s->cfg->delimiter);
    kap_buf_add(&b, kap_sym_str(field));
    KAP_GROW(names->v, names->cap, names->n + 1);
    names->v[names->n] = (struct name){ field, kap_sym(kap_buf_str(&b)) };
    return names->v[names->n++].joined;
}

static void add_fields(struct state *s, size_t parent, const struct kap_point *p)
{
    for (uint32_t i = 0; i < p->nfields; i++)
        kap_field_buf_set(&s->fields, joined_name(s, parent, p->fields[i].key), p->fields[i].v);
}

/* What a parent that has nothing contributes: the fields of another, filled. False: no outer join. */
static bool add_fill(struct state *s, size_t parent, const struct kap_point *like)
{
    if (s->fill == FILL_NONE)
        return false;
    for (uint32_t i = 0; like && i < like->nfields; i++)
        kap_field_buf_set(&s->fields, joined_name(s, parent, like->fields[i].key), s->fill_value);
    return true;
}

static void join_points(struct kap_node *n, struct state *s, const struct set *set, const struct kap_sym *name)
{
    const struct kap_point *first = set->v[set->first].point;
    s->fields.n = 0;
    for (size_t i = 0; i < s->nparents; i++) {
        if (set->v[i].kind != KAP_MESSAGE_NONE)
            add_fields(s, i, set->v[i].point);
        else if (!add_fill(s, i, first))
            return;
    }
    const struct kap_point q = {
        .time_ns = set->time_ns,
        .db = kap_sym_empty,
        .rp = kap_sym_empty,
        .name = name,
        .tags = first->group->tags,
        .group = first->group,
        .nfields = s->fields.n,
        .fields = s->fields.v,
    };
    kap_emit_point(n, &q);
}

/* The next points of the batches that have one time, the earliest; indexes move past them. */
static size_t next_points(struct state *s, const struct set *set, size_t *index, const struct kap_point **points,
                          const struct kap_point **like, int64_t *time_ns)
{
    size_t count = 0;
    memset((void *)points, 0, s->nparents * sizeof *points);
    for (size_t i = 0; i < s->nparents; i++) {
        const struct kap_batch *b = set->v[i].kind == KAP_MESSAGE_BATCH ? set->v[i].batch : NULL;
        if (!b || index[i] >= b->n)
            continue;
        const struct kap_point *p = b->points[index[i]];
        const int64_t t_ns = kap_time_round(p->time_ns, s->cfg->tolerance_ns);
        if (count && t_ns > *time_ns)
            continue;
        if (count && t_ns < *time_ns) { /* those taken so far are later: their turn comes again */
            for (size_t k = 0; k < i; k++)
                index[k] -= points[k] != NULL;
            memset((void *)points, 0, s->nparents * sizeof *points);
            count = 0;
        } else if (!*like) {
            *like = p; /* its field names fill for what is missing */
        }
        *time_ns = t_ns;
        points[i] = p;
        index[i]++;
        count++;
    }
    return count;
}

static void join_batches(struct kap_node *n, struct state *s, const struct set *set, const struct kap_sym *name)
{
    struct kap_arena *a = kap_node_scratch(n);
    size_t *index = KAP_ARENA_ARRAY(a, size_t, s->nparents);
    const struct kap_point **points = KAP_ARENA_ARRAY(a, const struct kap_point *, s->nparents);
    const struct kap_point *like = NULL;
    struct kap_group *g = set->v[set->first].batch->begin.group;
    const struct kap_batch_begin begin = { .time_ns = set->time_ns, .name = name, .group = g };
    int64_t time_ns = 0;
    kap_emit_begin(n, &begin);
    while (next_points(s, set, index, points, &like, &time_ns)) {
        s->fields.n = 0;
        bool whole = true;
        for (size_t i = 0; i < s->nparents && whole; i++) {
            if (points[i])
                add_fields(s, i, points[i]);
            else
                whole = add_fill(s, i, like);
        }
        if (!whole)
            continue;
        const struct kap_point q = {
            .time_ns = time_ns,
            .db = kap_sym_empty,
            .rp = kap_sym_empty,
            .name = name,
            .tags = g->tags,
            .group = g,
            .nfields = s->fields.n,
            .fields = s->fields.v,
        };
        kap_emit_batch_point(n, &q);
    }
    kap_emit_end(n, &begin);
}

static void emit_set(struct kap_node *n, struct state *s, const struct set *set)
{
    const struct kap_message *first = &set->v[set->first];
    const struct kap_sym *name = s->stream_name ? s->stream_name : kap_message_name(first);
    if (first->kind == KAP_MESSAGE_BATCH)
        join_batches(n, s, set, name);
    else
        join_points(n, s, set, name);
}

/* ---- sets of a group ---- */

/* All parents are past the oldest set: what it lacks will not come. */
static bool passed(const struct state *s, const struct group *g)
{
    for (size_t i = 0; i < s->nparents; i++)
        if (g->head_ns[i] <= g->first->time_ns)
            return false;
    return true;
}

static void release(struct kap_node *n, struct state *s, struct group *g, bool all)
{
    while (g->first) {
        const bool incomplete_too = all || passed(s, g);
        const int64_t oldest_ns = g->first->time_ns;
        while (g->first && g->first->time_ns == oldest_ns) {
            if (g->first->size < s->nparents && !incomplete_too)
                break;
            emit_set(n, s, g->first);
            pop_first(n, s, g);
        }
        if (!incomplete_too)
            return;
    }
}

/* The first set of that time which lacks this parent; a new one after those when there is none. */
static struct set *find_set(struct kap_node *n, const struct state *s, struct group *g, int64_t t_ns, size_t src)
{
    struct set *after = g->last;
    while (after && after->time_ns > t_ns)
        after = after->prev;
    struct set *free_one = NULL;
    for (struct set *x = after; x && x->time_ns == t_ns; x = x->prev)
        if (x->v[src].kind == KAP_MESSAGE_NONE)
            free_one = x;
    if (free_one)
        return free_one;
    struct set *set = kap_calloc(1, set_bytes(s));
    kap_node_charge(n, (int64_t)set_bytes(s));
    set->time_ns = t_ns;
    set->first = s->nparents;
    set->prev = after;
    set->next = after ? after->next : g->first;
    if (set->prev)
        set->prev->next = set;
    else
        g->first = set;
    if (set->next)
        set->next->prev = set;
    else
        g->last = set;
    return set;
}

static void set_put(struct set *set, size_t src, struct kap_message m)
{
    set->first = KAP_MIN(set->first, src);
    set->v[src] = m;
    set->size++;
}

/* Takes the message. */
static void collect(struct kap_node *n, struct state *s, struct group *g, size_t src, struct kap_message m)
{
    const int64_t t_ns = kap_time_round(kap_message_time(&m), s->cfg->tolerance_ns);
    set_put(find_set(n, s, g, t_ns, src), src, m);
    g->head_ns[src] = t_ns;
    release(n, s, g, false);
}

/* ---- on() ---- */

static struct kap_message copy(struct kap_node *n, const struct kap_message *m, struct kap_group *g)
{
    if (m->kind == KAP_MESSAGE_POINT) {
        struct kap_point p = *m->point;
        p.group = g;
        p.tags = g->tags;
        return kap_message_point(n, &p);
    }
    struct kap_batch b = { .begin = m->batch->begin };
    b.begin.group = g;
    for (size_t i = 0; i < m->batch->n; i++)
        kap_batch_add(&b, m->batch->points[i]);
    return kap_message_batch(n, &b);
}

static void send_fine(struct kap_node *n, struct state *s, const struct queued *fine)
{
    struct kap_group *g = kap_message_group(&fine->m);
    collect(n, s, kap_node_group_state(n, g), (size_t)fine->src, copy(n, &fine->m, g));
}

static void send_match(struct kap_node *n, struct state *s, const struct queued *fine, const struct queued *coarse)
{
    struct kap_group *g = kap_message_group(&fine->m);
    send_fine(n, s, fine);
    collect(n, s, kap_node_group_state(n, g), (size_t)coarse->src, copy(n, &coarse->m, g));
}

static struct on_group *on_group_of(struct kap_node *n, struct state *s, const struct kap_message *m)
{
    const struct kap_group *mg = kap_message_group(m);
    const struct kap_dims d = { .by_name = mg->dims.by_name, .n = (uint32_t)s->cfg->on.n, .names = s->on };
    struct kap_group *g = kap_groups_get(kap_node_groups(n), &d, kap_message_name(m), mg->tags, false);
    const struct kap_str key = kap_strn((const char *)&g, sizeof g);
    struct on_group *o = kap_map_get(s->on_groups, key);
    if (o) {
        kap_group_unref(kap_node_groups(n), g);
        return o;
    }
    o = KAP_NEW(struct on_group);
    o->group = g; /* takes the reference */
    o->low_ns = KAP_ARRAY(int64_t, s->nparents);
    for (size_t i = 0; i < s->nparents; i++)
        o->low_ns[i] = NEVER;
    kap_map_put(s->on_groups, key, o);
    return o;
}

static int64_t rounded(const struct state *s, const struct queued *q)
{
    return kap_time_round(kap_message_time(&q->m), s->cfg->tolerance_ns);
}

/* The oldest of the parents' last times, once all parents have reported at all. */
static int64_t low_mark(const struct state *s, const struct on_group *o)
{
    int64_t low_ns = NEVER;
    for (size_t i = 0; s->nreported == s->nparents && i < s->nparents; i++)
        if (low_ns == NEVER || o->low_ns[i] < low_ns)
            low_ns = o->low_ns[i];
    return low_ns;
}

static void match_fine(struct kap_node *n, struct state *s, struct on_group *o, struct queued *q, int64_t low_ns)
{
    const bool all_reported = s->nreported == s->nparents;
    const int64_t t_ns = rounded(s, q);
    bool matched = false;
    size_t i = 0;
    for (; i < o->coarse.n; i++) {
        const int64_t c_ns = rounded(s, &o->coarse.v[i]);
        if (c_ns == t_ns) {
            send_match(n, s, q, &o->coarse.v[i]);
            matched = true;
        }
        if (c_ns >= low_ns)
            break;
    }
    if (all_reported) /* the low mark cannot be trusted before */
        queue_pop(n, &o->coarse, i);
    if (!matched && !(all_reported && t_ns < low_ns)) {
        queue_push(&o->fine, q->src, q->m); /* its match may still come */
        return;
    }
    if (!matched)
        send_fine(n, s, q);
    kap_message_done(n, &q->m);
}

static void match_coarse(struct kap_node *n, struct state *s, struct on_group *o, const struct queued *q)
{
    const int64_t t_ns = rounded(s, q);
    queue_push(&o->coarse, q->src, q->m);
    size_t i = 0;
    while (i < o->fine.n && rounded(s, &o->fine.v[i]) == t_ns)
        send_match(n, s, &o->fine.v[i++], &o->coarse.v[o->coarse.n - 1]);
    queue_pop(n, &o->fine, i);
}

static void match(struct kap_node *n, struct state *s, size_t src, struct kap_message m)
{
    struct queued q = { (int)src, m };
    struct on_group *o = on_group_of(n, s, &m);
    if (!s->reported[src]) {
        s->reported[src] = true;
        s->nreported++;
    }
    o->low_ns[src] = rounded(s, &q);
    const int64_t low_ns = low_mark(s, o);
    size_t i = 0;
    while (s->nreported == s->nparents && i < o->fine.n && rounded(s, &o->fine.v[i]) < low_ns)
        send_fine(n, s, &o->fine.v[i++]); /* their match did not come */
    queue_pop(n, &o->fine, i);
    if (kap_message_group(&m)->dims.n > s->cfg->on.n)
        match_fine(n, s, o, &q, low_ns);
    else
        match_coarse(n, s, o, &q);
}

/* ---- messages ---- */

static void take(struct kap_node *n, struct state *s, struct group *g, int in, struct kap_message m)
{
    if (s->cfg->on.n)
        match(n, s, (size_t)in, m);
    else
        collect(n, s, g, (size_t)in, m);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    take(n, state, gs, in, kap_message_point(n, p));
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    kap_batch_clear(kap_node_groups(n), &s->coming[in]);
    s->coming[in].begin = *b;
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    kap_batch_add(&((struct state *)state)->coming[in], p);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    take(n, s, gs, in, kap_message_batch(n, &s->coming[in]));
}

static void barrier(struct kap_node *n, void *state, void *gs, const struct kap_barrier *b, int in)
{
    struct state *s = state;
    struct group *g = gs;
    g->head_ns[in] = kap_time_round(b->time_ns, s->cfg->tolerance_ns);
    release(n, s, g, false);
    kap_emit_barrier(n, b);
}

static void delete_group(struct kap_node *n, void *state, void *gs, struct kap_group *g, int in)
{
    struct state *s = state;
    struct on_group *o = kap_map_del(s->on_groups, kap_strn((const char *)&g, sizeof g));
    if (o)
        on_group_free(n, o);
    kap_emit_delete_group(n, g);
}

static void finish(struct kap_node *n, void *state, int in)
{
    struct state *s = state;
    if (++s->finished < s->nparents)
        return;
    void *g;
    for (uint32_t i = 0; kap_node_next_group(n, &i, NULL, &g);)
        release(n, s, g, true);
}

/* ---- snapshots ---- */

static void save_queue(struct kap_snap *w, const struct queue *q)
{
    kap_snap_u64(w, q->n);
    for (size_t i = 0; i < q->n; i++) {
        kap_snap_i64(w, q->v[i].src);
        kap_snap_message(w, &q->v[i].m);
    }
}

static void load_queue(struct kap_snap *r, struct kap_node *n, const struct state *s, struct queue *q)
{
    for (size_t left = kap_snap_get_count(r); left && !r->bad; left--) {
        struct kap_message m;
        const int64_t src = kap_snap_get_i64(r);
        r->bad |= src < 0 || src >= (int64_t)s->nparents;
        if (!r->bad && kap_snap_get_message(r, n, &m))
            queue_push(q, (int)src, m);
    }
}

static void save_node(const struct state *s, struct kap_snap *w)
{
    for (size_t i = 0; i < s->nparents; i++)
        kap_snap_u64(w, s->reported[i]);
    kap_snap_u64(w, kap_map_len(s->on_groups));
    void *v;
    for (size_t i = 0; kap_map_next(s->on_groups, &i, NULL, &v);) {
        const struct on_group *o = v;
        kap_snap_group(w, o->group);
        for (size_t k = 0; k < s->nparents; k++)
            kap_snap_i64(w, o->low_ns[k]);
        save_queue(w, &o->coarse);
        save_queue(w, &o->fine);
    }
}

static void load_node(struct kap_node *n, struct state *s, struct kap_snap *r)
{
    for (size_t i = 0; i < s->nparents; i++) {
        s->reported[i] = kap_snap_get_u64(r) != 0;
        s->nreported += s->reported[i];
    }
    for (size_t left = kap_snap_get_count(r); left && !r->bad; left--) {
        struct on_group *o = KAP_NEW(struct on_group);
        o->group = kap_snap_get_group(r, kap_node_groups(n));
        if (!o->group) {
            kap_free(o);
            return;
        }
        o->low_ns = KAP_ARRAY(int64_t, s->nparents);
        for (size_t k = 0; k < s->nparents; k++)
            o->low_ns[k] = kap_snap_get_i64(r);
        load_queue(r, n, s, &o->coarse);
        load_queue(r, n, s, &o->fine);
        struct on_group *same = kap_map_put(s->on_groups, kap_strn((const char *)&o->group, sizeof o->group), o);
        if (same)
            on_group_free(n, same);
    }
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct state *s = state;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_u64(&w, s->nparents);
    if (!kg) {
        save_node(s, &w);
        return;
    }
    const struct group *g = gs;
    for (size_t i = 0; i < s->nparents; i++)
        kap_snap_i64(&w, g->head_ns[i]);
    size_t values = 0;
    for (const struct set *set = g->first; set; set = set->next)
        values += set->size;
    kap_snap_u64(&w, values);
    for (const struct set *set = g->first; set; set = set->next)
        for (size_t i = 0; i < s->nparents; i++)
            if (set->v[i].kind != KAP_MESSAGE_NONE) {
                kap_snap_i64(&w, (int64_t)i);
                kap_snap_message(&w, &set->v[i]);
            }
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    struct state *s = state;
    if (!data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    if (kap_snap_get_u64(&r) != s->nparents)
        return kap_fail(err, KAP_EINVAL, "snapshot of a join with other parents");
    if (!kg) {
        load_node(n, s, &r);
        return kap_snap_end(&r, err);
    }
    struct group *g = gs;
    for (size_t i = 0; i < s->nparents; i++)
        g->head_ns[i] = kap_snap_get_i64(&r);
    struct queue values = { 0 };
    load_queue(&r, n, s, &values);
    for (size_t i = 0; i < values.n; i++) {
        const size_t src = (size_t)values.v[i].src;
        set_put(find_set(n, s, g, rounded(s, &values.v[i]), src), src, values.v[i].m);
    }
    kap_free(values.v);
    return kap_snap_end(&r, err);
}

/* ---- definition ---- */

static void init(void *config)
{
    ((struct config *)config)->delimiter = KAP_STR(".");
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    return kap_link_nodes(node, args, nargs, err);
}

static enum kap_status set_fill(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                struct kap_error *err)
{
    struct config *c = config;
    if (nargs != 1 || args[0].kind != KAP_ARG_VALUE)
        return kap_fail(err, KAP_EINVAL, "fill expects 'null', 'none' or a number");
    c->fill = args[0].value;
    if (c->fill.type == KAP_STRING)
        c->fill.s = kap_arena_str(arena, c->fill.s);
    return KAP_OK;
}

static bool contains(struct kap_str s, struct kap_str part)
{
    return part.n == 0 || memmem(s.p, s.n, part.p, part.n) != NULL;
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct config *c = node->config;
    if (c->as.n == 0)
        return kap_fail(err, KAP_EINVAL, "a call to join.as() is required to specify the output stream prefixes.");
    if (c->as.n != node->nparents)
        return kap_fail(err, KAP_EINVAL,
                        "number of prefixes specified by join.as() must match the number of joined streams");
    for (size_t i = 0; i < c->as.n; i++) {
        if (c->as.v[i].n == 0)
            return kap_fail(err, KAP_EINVAL, "must provide a prefix name for the join node, see .as() property method");
        if (contains(c->as.v[i], c->delimiter))
            return kap_fail(err, KAP_EINVAL, "cannot use name %.*s as field prefix, it contains the delimiter \"%.*s\"\t",
                            KAP_STR_ARG(c->as.v[i]), KAP_STR_ARG(c->delimiter));
        for (size_t k = 0; k < i; k++)
            if (kap_str_eq(c->as.v[k], c->as.v[i]))
                return kap_fail(err, KAP_EINVAL, "cannot use the same prefix name see .as() property method");
    }
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRINGS, struct config, as, "as", NULL, "The prefixes of the parents' fields, one for each; required."),
    KAP_PROP_AT(STRINGS, struct config, on, "on", NULL,
                "The tags to join on, when the parents are grouped differently."),
    KAP_PROP_AT(STRING, struct config, stream_name, "streamName", NULL,
                "The measurement of what comes out; the first parent's by default."),
    KAP_PROP_AT(STRING, struct config, delimiter, "delimiter", NULL, "Between prefix and field; \".\" by default."),
    KAP_PROP_AT(DURATION, struct config, tolerance_ns, "tolerance", NULL,
                "Times are rounded to multiples of this before they are compared."),
    { .kind = KAP_PROP_CALL, .name = "fill", .signature = "(value 'null', 'none' or number)", .set = set_fill,
      .doc = "What a missing side contributes; without it points that lack one are dropped." },
    KAP_PROP_AT(BOOL, struct config, delete_all, "deleteAll", NULL,
                "A group deleted on one side is deleted on all sides."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_join,
    .close = close_join,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .barrier = barrier,
    .delete_group = delete_group,
    .finish = finish,
    .save = save,
    .load = load,
};

const struct kap_node_type kap_node_join = {
    .name = "join",
    .kind = "join",
    .doc = "Joins the data of several nodes on their time and group.",
    .signature = "(nodes ...node)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .init = init,
    .args = args,
    .props = props,
    .check = check,
    .run = &run,
};
