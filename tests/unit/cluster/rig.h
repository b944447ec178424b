/* Members with a catalog and a member list each, for the tests of both: a disk, calls, and links that answer
 * when rig_pump() is called. Messages arrive in the order in which they were sent, unless their link is cut.
 * Ownership: rig_free() frees all. */
#ifndef KAP_TESTS_UNIT_CLUSTER_RIG_H
#define KAP_TESTS_UNIT_CLUSTER_RIG_H

#include "test.h"

#include "base/duration.h"
#include "base/mem.h"
#include "cluster/member.h"
#include <stdio.h>

enum { RIG_MEMBERS = 4, RIG_QUEUE = 65536 };

struct rig;

struct rig_row {
    enum kap_catalog_kind kind;
    struct kap_buf id, blob, origin;
    bool deleted, gone;
    uint64_t stamp;
};

struct rig_member {
    struct rig *rig;
    int number;
    kap_uuid id, cluster_id;
    char address[32];
    bool up, disk_fails, list_dirty, linked[RIG_MEMBERS];
    int64_t wall_off_ns;
    struct kap_clock clock;
    struct kap_random random;
    struct kap_catalog *catalog;
    struct kap_members *members;
    struct rig_row *rows;
    size_t n_rows, rows_cap;
    uint64_t watermark;
    /* What was heard. */
    int changed, conflicts, ahead, bad, full, store_failed, times_removed, notices, life;
    char loser[64], winner[64];
    uint64_t done_token, finished_token;
    enum kap_status done_status, finished_status;
    char finished_text[2048];
};

struct rig_item {
    enum { RIG_MESSAGE, RIG_CALL, RIG_ANSWER, RIG_STORE } what;
    int from, to, life; /* to: -1 nobody is there */
    uint64_t token;
    struct kap_buf bytes;
    struct rig_row row;
};

struct rig {
    struct rig_member m[RIG_MEMBERS];
    int n;
    int64_t now_ns;
    bool cut[RIG_MEMBERS][RIG_MEMBERS];
    bool lose_messages; /* of catalogs */
    bool with_lists;    /* else rig_list() says who is a member */
    struct kap_catalog_faults faults;
    struct rig_item *queue;
    size_t head, tail;
};

static inline struct rig_item *rig_queue(struct rig *r)
{
    assert_true(r->tail < RIG_QUEUE);
    return &r->queue[r->tail++];
}

static inline int rig_by_id(const struct rig *r, struct kap_str id)
{
    for (int i = 0; i < r->n; i++)
        if (kap_str_is(id, r->m[i].id))
            return i;
    return -1;
}

static inline int64_t rig_wall(void *ctx)
{
    const struct rig_member *m = ctx;
    return 1700000000 * KAP_S + m->rig->now_ns + m->wall_off_ns;
}

static inline int64_t rig_mono(void *ctx)
{
    const struct rig_member *m = ctx;
    return m->rig->now_ns;
}

/* ---- the catalog's outputs ---- */

static inline void rig_send(void *ctx, struct kap_str member, struct kap_str bytes)
{
    struct rig_member *m = ctx;
    struct rig_item *i = rig_queue(m->rig);
    *i = (struct rig_item){ .what = RIG_MESSAGE, .from = m->number, .to = rig_by_id(m->rig, member) };
    kap_buf_add(&i->bytes, bytes);
}

static inline void rig_store(void *ctx, const struct kap_catalog_entry *e, uint64_t token)
{
    struct rig_member *m = ctx;
    struct rig_item *i = rig_queue(m->rig);
    *i = (struct rig_item){ .what = RIG_STORE, .to = m->number, .life = m->life, .token = token };
    i->row = (struct rig_row){ .kind = e->kind, .deleted = e->deleted, .stamp = e->stamp };
    kap_buf_add(&i->row.id, e->id);
    kap_buf_add(&i->row.blob, e->blob);
    kap_buf_add(&i->row.origin, e->origin);
}

static inline struct rig_row *rig_row_of(struct rig_member *m, enum kap_catalog_kind kind, struct kap_str id)
{
    for (size_t i = 0; i < m->n_rows; i++)
        if (m->rows[i].kind == kind && kap_str_eq(kap_buf_str(&m->rows[i].id), id))
            return &m->rows[i];
    return NULL;
}

static inline void rig_row_done(struct rig_row *row)
{
    kap_buf_done(&row->id);
    kap_buf_done(&row->blob);
    kap_buf_done(&row->origin);
}

static inline void rig_forget(void *ctx, enum kap_catalog_kind kind, struct kap_str id)
{
    struct rig_row *row = rig_row_of(ctx, kind, id);
    if (row)
        row->gone = true;
    /* What is on its way to the disk is older than this. */
    struct rig_member *m = ctx;
    for (size_t i = m->rig->head; i < m->rig->tail; i++) {
        struct rig_item *it = &m->rig->queue[i];
        if (it->what == RIG_STORE && it->to == m->number && it->row.kind == kind &&
            kap_str_eq(kap_buf_str(&it->row.id), id))
            it->row.gone = true;
    }
}

static inline void rig_watermark(void *ctx, uint64_t watermark)
{
    ((struct rig_member *)ctx)->watermark = watermark;
}

static inline void rig_changed(void *ctx, const struct kap_catalog_entry *e, bool local)
{
    struct rig_member *m = ctx;
    (void)local;
    m->changed++;
    if (e->kind == KAP_CATALOG_MEMBER && m->members)
        kap_members_changed(m->members, e);
}

static inline void rig_done(void *ctx, uint64_t token, enum kap_status status)
{
    struct rig_member *m = ctx;
    m->done_token = token;
    m->done_status = status;
}

static inline void rig_notice(void *ctx, const struct kap_catalog_notice *n)
{
    struct rig_member *m = ctx;
    m->conflicts += n->kind == KAP_CATALOG_CONFLICT;
    m->ahead += n->kind == KAP_CATALOG_CLOCK_AHEAD;
    m->bad += n->kind == KAP_CATALOG_BAD_MESSAGE;
    m->full += n->kind == KAP_CATALOG_FULL;
    m->store_failed += n->kind == KAP_CATALOG_STORE_FAILED;
    if (n->kind == KAP_CATALOG_CONFLICT) {
        snprintf(m->loser, sizeof m->loser, "%.*s", KAP_STR_ARG(n->loser->blob));
        snprintf(m->winner, sizeof m->winner, "%.*s", KAP_STR_ARG(n->winner->blob));
    }
}

/* ---- the member list's outputs ---- */

static inline void rig_call(void *ctx, struct kap_str address, struct kap_str bytes, uint64_t token)
{
    struct rig_member *m = ctx;
    struct rig_item *it = rig_queue(m->rig);
    *it = (struct rig_item){ .what = RIG_CALL, .from = m->number, .to = -1, .token = token };
    for (int i = 0; i < m->rig->n; i++)
        if (kap_str_is(address, m->rig->m[i].address))
            it->to = i;
    kap_buf_add(&it->bytes, bytes);
}

static inline void rig_reply(void *ctx, uint64_t call, struct kap_str bytes)
{
    struct rig_member *m = ctx;
    struct rig_item *it = rig_queue(m->rig);
    *it = (struct rig_item){
        .what = RIG_ANSWER, .from = m->number, .to = (int)(call >> 32), .token = call & UINT32_MAX
    };
    kap_buf_add(&it->bytes, bytes);
}

static inline void rig_finished(void *ctx, uint64_t token, enum kap_status status,
                                const struct kap_error *err)
{
    struct rig_member *m = ctx;
    m->finished_token = token;
    m->finished_status = status;
    snprintf(m->finished_text, sizeof m->finished_text, "%s", status == KAP_OK ? "" : err->msg);
}

static inline void rig_set_cluster_id(void *ctx, struct kap_str id)
{
    struct rig_member *m = ctx;
    snprintf(m->cluster_id, sizeof m->cluster_id, "%.*s", KAP_STR_ARG(id));
}

static inline void rig_list_changed(void *ctx)
{
    ((struct rig_member *)ctx)->list_dirty = true;
}

static inline void rig_removed(void *ctx, struct kap_str by)
{
    (void)by;
    ((struct rig_member *)ctx)->times_removed++;
}

static inline void rig_members_notice(void *ctx, const char *text)
{
    (void)text;
    ((struct rig_member *)ctx)->notices++;
}

/* ---- life ---- */

static inline void rig_start(struct rig *r, int number)
{
    struct rig_member *m = &r->m[number];
    const struct kap_catalog_io io = { rig_send,    rig_store, rig_forget, rig_watermark,
                                       rig_changed, rig_done,  rig_notice, m };
    const struct kap_catalog_config config = {
        .self = kap_str(m->id), .clock = &m->clock, .full_sync_ns = 60 * KAP_S, .faults = r->faults
    };
    m->catalog = kap_catalog_new(&config, &io);
    kap_catalog_load_watermark(m->catalog, m->watermark);
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct rig_row *row = &m->rows[i];
        if (row->gone)
            continue;
        const struct kap_catalog_entry e = { .kind = row->kind,
                                             .id = kap_buf_str(&row->id),
                                             .blob = kap_buf_str(&row->blob),
                                             .origin = kap_buf_str(&row->origin),
                                             .deleted = row->deleted,
                                             .stamp = row->stamp };
        kap_catalog_load(m->catalog, &e);
    }
    m->up = true;
    if (!r->with_lists)
        return;
    const struct kap_members_io members_io = { rig_call,           rig_reply,
                                               rig_finished,       rig_set_cluster_id,
                                               rig_list_changed,   rig_removed,
                                               rig_members_notice, m };
    struct kap_members_config c = { .cluster_id = kap_str(m->cluster_id),
                                    .catalog = m->catalog,
                                    .random = &m->random,
                                    .self = { .gossip_address = KAP_STR("g:9090"),
                                              .rpc_address = kap_str(m->address),
                                              .api_address = KAP_STR("a:9092"),
                                              .roles = KAP_STR("worker"),
                                              .hostname = KAP_STR("host") } };
    memcpy(c.self.id, m->id, sizeof c.self.id);
    m->members = kap_members_new(&c, &members_io);
    kap_members_start(m->members);
}

static inline void rig_kill(struct rig *r, int number)
{
    struct rig_member *m = &r->m[number];
    kap_members_free(m->members);
    kap_catalog_free(m->catalog);
    m->members = NULL;
    m->catalog = NULL;
    m->up = false;
    m->life++;
    for (int i = 0; i < r->n; i++) {
        if (i != number && r->m[i].up && r->m[i].linked[number])
            kap_catalog_link(r->m[i].catalog, kap_str(m->id), false);
        r->m[i].linked[number] = m->linked[i] = false;
    }
}

static inline struct rig *rig_new(int n, bool with_lists)
{
    struct rig *r = KAP_NEW(struct rig);
    r->queue = KAP_ARRAY(struct rig_item, RIG_QUEUE);
    r->n = n;
    r->with_lists = with_lists;
    for (int i = 0; i < n; i++) {
        struct rig_member *m = &r->m[i];
        m->rig = r;
        m->number = i;
        m->clock = (struct kap_clock){ rig_wall, rig_mono, m };
        kap_random_seed(&m->random, (uint64_t)i + 1);
        snprintf(m->id, sizeof m->id, "0000000%d-4f40-4e80-87e2-4080c04d3096", i);
        snprintf(m->cluster_id, sizeof m->cluster_id, "c000000%d-4f40-4e80-87e2-4080c04d3096", i);
        snprintf(m->address, sizeof m->address, "m%d:9091", i);
        rig_start(r, i);
    }
    return r;
}

static inline void rig_free(struct rig *r)
{
    for (int i = 0; i < r->n; i++) {
        struct rig_member *m = &r->m[i];
        kap_members_free(m->members);
        kap_catalog_free(m->catalog);
        for (size_t k = 0; k < m->n_rows; k++)
            rig_row_done(&m->rows[k]);
        kap_free(m->rows);
    }
    for (size_t i = r->head; i < r->tail; i++) {
        kap_buf_done(&r->queue[i].bytes);
        rig_row_done(&r->queue[i].row);
    }
    kap_free(r->queue);
    kap_free(r);
}

/* ---- things happen ---- */

static inline void rig_write(struct rig_member *m, struct rig_item *it)
{
    struct rig_row *row = rig_row_of(m, it->row.kind, kap_buf_str(&it->row.id));
    if (!row) {
        KAP_GROW(m->rows, m->rows_cap, m->n_rows + 1);
        row = &m->rows[m->n_rows++];
    } else {
        rig_row_done(row);
    }
    *row = it->row;
    it->row = (struct rig_row){ 0 };
}

static inline void rig_handle(struct rig *r, struct rig_item *it)
{
    struct rig_member *to = it->to < 0 ? NULL : &r->m[it->to];
    const bool reached = to && to->up && !r->cut[it->from][it->to];
    struct kap_error err;
    switch (it->what) {
    case RIG_MESSAGE:
        if (reached && !r->lose_messages && to->linked[it->from])
            kap_catalog_message(to->catalog, kap_str(r->m[it->from].id), kap_buf_str(&it->bytes));
        break;
    case RIG_CALL:
        if (reached)
            kap_members_request(to->members, kap_str(r->m[it->from].id), (uint64_t)it->from << 32 | it->token,
                                kap_buf_str(&it->bytes));
        else if (r->m[it->from].up)
            kap_members_answer(r->m[it->from].members, it->token,
                               kap_fail(&err, KAP_EIO, "connection refused"), KAP_STR(""), &err);
        break;
    case RIG_ANSWER:
        if (reached)
            kap_members_answer(to->members, it->token, KAP_OK, kap_buf_str(&it->bytes), NULL);
        break;
    case RIG_STORE:
        if (!to->up || it->life != to->life)
            break; /* lost in the crash */
        if (!to->disk_fails)
            rig_write(to, it);
        kap_catalog_stored(to->catalog, it->token, !to->disk_fails);
        break;
    }
}

static inline void rig_link(struct rig *r, int a, int b, bool up)
{
    if (r->m[a].linked[b] == up)
        return;
    r->m[a].linked[b] = r->m[b].linked[a] = up;
    kap_catalog_link(r->m[a].catalog, kap_str(r->m[b].id), up);
    kap_catalog_link(r->m[b].catalog, kap_str(r->m[a].id), up);
}

/* Tells catalogs of new lists, and has listed members say hello to each other. */
static inline void rig_follow_lists(struct rig *r)
{
    for (int i = 0; i < r->n; i++) {
        struct rig_member *m = &r->m[i];
        if (!m->up || !m->members || !m->list_dirty)
            continue;
        struct kap_str ids[RIG_MEMBERS];
        size_t n = 0;
        m->list_dirty = false;
        for (; n < kap_members_count(m->members) && n < RIG_MEMBERS; n++)
            ids[n] = kap_str(kap_members_at(m->members, n)->id);
        kap_catalog_members(m->catalog, ids, n);
    }
}

static inline bool rig_lists(const struct rig *r, int a, int b)
{
    return kap_members_find(r->m[a].members, kap_str(r->m[b].id)) != NULL;
}

static inline void rig_hello(struct rig *r, int a, int b)
{
    struct rig_member *x = &r->m[a], *y = &r->m[b];
    if (!x->up || !y->up || r->cut[a][b] || r->cut[b][a] || (!rig_lists(r, a, b) && !rig_lists(r, b, a))) {
        if (x->up && y->up)
            rig_link(r, a, b, false);
        return;
    }
    const enum kap_members_welcome wx =
        kap_members_hello(x->members, kap_str(y->id), kap_str(y->cluster_id), kap_str(y->address));
    const enum kap_members_welcome wy =
        kap_members_hello(y->members, kap_str(x->id), kap_str(x->cluster_id), kap_str(x->address));
    rig_link(r, a, b, wx == KAP_WELCOME_MEMBER && wy == KAP_WELCOME_MEMBER);
}

static inline void rig_pump(struct rig *r)
{
    do {
        while (r->head < r->tail) {
            struct rig_item it = r->queue[r->head++];
            rig_handle(r, &it);
            kap_buf_done(&it.bytes);
            rig_row_done(&it.row);
        }
        r->head = r->tail = 0;
        rig_follow_lists(r);
    } while (r->head < r->tail);
}

/* Everything that is due within a time, with hellos each second. */
static inline void rig_run(struct rig *r, int64_t for_ns)
{
    const int64_t end = r->now_ns + for_ns;
    rig_pump(r);
    while (r->now_ns < end) {
        r->now_ns += KAP_S;
        for (int a = 0; r->with_lists && a < r->n; a++)
            for (int b = a + 1; b < r->n; b++)
                rig_hello(r, a, b);
        for (int i = 0; i < r->n; i++)
            if (r->m[i].up)
                kap_catalog_tick(r->m[i].catalog);
        rig_pump(r);
    }
}

/* Without lists of members: all know and reach all. */
static inline void rig_list_all(struct rig *r)
{
    struct kap_str ids[RIG_MEMBERS];
    for (int i = 0; i < r->n; i++)
        ids[i] = kap_str(r->m[i].id);
    for (int i = 0; i < r->n; i++)
        if (r->m[i].up)
            kap_catalog_members(r->m[i].catalog, ids, (size_t)r->n);
    for (int a = 0; a < r->n; a++)
        for (int b = a + 1; b < r->n; b++)
            if (r->m[a].up && r->m[b].up)
                rig_link(r, a, b, true);
}

static inline void rig_put(struct rig *r, int member, const char *id, const char *blob)
{
    struct kap_error err;
    OK(kap_catalog_put(r->m[member].catalog, KAP_CATALOG_TASK, kap_str(id), kap_str(blob), 0, &err), &err);
}

static inline void rig_drop(struct rig *r, int member, const char *id)
{
    struct kap_error err;
    OK(kap_catalog_drop(r->m[member].catalog, KAP_CATALOG_TASK, kap_str(id), 0, &err), &err);
}

/* The task's blob at a member; "-": not there. */
static inline struct kap_str rig_get(struct rig *r, int member, const char *id)
{
    const struct kap_catalog_entry *e = kap_catalog_get(r->m[member].catalog, KAP_CATALOG_TASK, kap_str(id));
    return e ? e->blob : KAP_STR("-");
}

static inline uint64_t rig_digest(const struct rig *r, int member)
{
    return kap_catalog_stats(r->m[member].catalog).digest;
}

#endif
