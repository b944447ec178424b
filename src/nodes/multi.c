#include "nodes/multi.h"
#include "base/mem.h"

static struct kap_message charged(struct kap_node *n, struct kap_message m)
{
    kap_node_charge(n, (int64_t)m.bytes);
    return m;
}

struct kap_message kap_message_point(struct kap_node *n, const struct kap_point *p)
{
    struct kap_message m = { .kind = KAP_MESSAGE_POINT, .point = kap_point_copy(p) };
    m.bytes = kap_point_bytes(m.point);
    return charged(n, m);
}

struct kap_message kap_message_batch(struct kap_node *n, struct kap_batch *b)
{
    struct kap_message m = { .kind = KAP_MESSAGE_BATCH, .batch = KAP_NEW(struct kap_batch) };
    *m.batch = *b;
    *b = (struct kap_batch){ 0 };
    kap_group_ref(m.batch->begin.group);
    m.bytes = sizeof *m.batch + m.batch->cap * sizeof(void *);
    for (size_t i = 0; i < m.batch->n; i++)
        m.bytes += kap_point_bytes(m.batch->points[i]);
    return charged(n, m);
}

struct kap_message kap_message_barrier(struct kap_node *n, const struct kap_barrier *b)
{
    struct kap_message m = { .kind = KAP_MESSAGE_BARRIER, .barrier = *b };
    kap_group_ref(b->group);
    return m;
}

void kap_message_done(struct kap_node *n, struct kap_message *m)
{
    struct kap_groups *groups = kap_node_groups(n);
    kap_node_charge(n, -(int64_t)m->bytes);
    if (m->kind == KAP_MESSAGE_POINT) {
        kap_point_free(groups, m->point);
    } else if (m->kind == KAP_MESSAGE_BATCH) {
        struct kap_group *g = m->batch->begin.group;
        kap_batch_clear(groups, m->batch);
        kap_group_unref(groups, g);
        kap_free(m->batch);
    } else if (m->kind == KAP_MESSAGE_BARRIER) {
        kap_group_unref(groups, m->barrier.group);
    }
    *m = (struct kap_message){ 0 };
}

int64_t kap_message_time(const struct kap_message *m)
{
    return m->kind == KAP_MESSAGE_POINT   ? m->point->time_ns
           : m->kind == KAP_MESSAGE_BATCH ? m->batch->begin.time_ns
                                          : m->barrier.time_ns;
}

const struct kap_sym *kap_message_name(const struct kap_message *m)
{
    return m->kind == KAP_MESSAGE_POINT ? m->point->name : m->kind == KAP_MESSAGE_BATCH ? m->batch->begin.name : NULL;
}

struct kap_group *kap_message_group(const struct kap_message *m)
{
    return m->kind == KAP_MESSAGE_POINT   ? m->point->group
           : m->kind == KAP_MESSAGE_BATCH ? m->batch->begin.group
                                          : m->barrier.group;
}

static void emit_batch(struct kap_node *n, const struct kap_batch *b, const struct kap_sym *rename)
{
    struct kap_batch_begin begin = b->begin;
    begin.size_hint = (uint32_t)b->n;
    if (rename)
        begin.name = rename;
    kap_emit_begin(n, &begin);
    for (size_t i = 0; i < b->n; i++) {
        struct kap_point p = *b->points[i];
        if (rename)
            p.name = rename;
        kap_emit_batch_point(n, &p);
    }
    kap_emit_end(n, &begin);
}

void kap_message_emit(struct kap_node *n, const struct kap_message *m, const struct kap_sym *rename)
{
    if (m->kind == KAP_MESSAGE_BATCH) {
        emit_batch(n, m->batch, rename);
    } else if (m->kind == KAP_MESSAGE_BARRIER) {
        kap_emit_barrier(n, &m->barrier);
    } else if (m->kind == KAP_MESSAGE_POINT) {
        struct kap_point p = *m->point;
        if (rename)
            p.name = rename;
        kap_emit_point(n, &p);
    }
}

void kap_snap_message(struct kap_snap *w, const struct kap_message *m)
{
    kap_snap_u64(w, m->kind);
    if (m->kind == KAP_MESSAGE_POINT) {
        kap_snap_point(w, m->point);
    } else if (m->kind == KAP_MESSAGE_BATCH) {
        kap_snap_batch(w, m->batch);
    } else if (m->kind == KAP_MESSAGE_BARRIER) {
        kap_snap_i64(w, m->barrier.time_ns);
        kap_snap_group(w, m->barrier.group);
    }
}

bool kap_snap_get_message(struct kap_snap *r, struct kap_node *n, struct kap_message *m)
{
    struct kap_groups *groups = kap_node_groups(n);
    const uint64_t kind = kap_snap_get_u64(r);
    if (r->bad)
        return false;
    if (kind == KAP_MESSAGE_POINT) {
        struct kap_point *p = kap_snap_get_point(r, groups);
        if (!p)
            return false;
        *m = kap_message_point(n, p);
        kap_point_free(groups, p);
        return true;
    }
    if (kind == KAP_MESSAGE_BATCH) {
        struct kap_batch b = { 0 };
        if (!kap_snap_get_batch(r, groups, &b))
            return false;
        struct kap_group *g = b.begin.group;
        *m = kap_message_batch(n, &b);
        kap_group_unref(groups, g);
        return true;
    }
    if (kind == KAP_MESSAGE_BARRIER) {
        const int64_t time_ns = kap_snap_get_i64(r);
        struct kap_barrier b = { .time_ns = time_ns, .group = kap_snap_get_group(r, groups) };
        if (!b.group)
            return false;
        *m = kap_message_barrier(n, &b);
        kap_group_unref(groups, b.group);
        return true;
    }
    r->bad = true;
    return false;
}

enum kap_status kap_link_nodes(struct kap_graph_node *node, const struct kap_arg *args, size_t nargs,
                               struct kap_error *err)
{
    for (size_t i = 0; i < nargs; i++) {
        if (args[i].kind != KAP_ARG_NODE)
            return kap_fail(err, KAP_EINVAL, "%s: argument %zu must be a node", node->type->name, i + 1);
        KAP_TRY(kap_graph_link(args[i].node, node, err));
    }
    return KAP_OK;
}
