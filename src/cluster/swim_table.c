/* The member table and the rules that change it: alive, suspect, dead, refute. */
#include "cluster/swim_impl.h"
#include <math.h>

/* ---- records ---- */

struct swim_node *swim_find(const struct kap_swim *s, struct kap_str name)
{
    return kap_map_get(s->nodes, name);
}

struct swim_node *swim_find_known(const struct kap_swim *s, struct kap_str name)
{
    struct swim_node *node = swim_find(s, name);
    return node && node->known ? node : NULL;
}

/* At a random place in the probing order, so that newcomers are not probed by all at the same time. */
static void list(struct kap_swim *s, struct swim_node *node)
{
    KAP_GROW(s->ring, s->cap_ring, s->n_ring + 1);
    const size_t at = (size_t)kap_random_below(&s->random, s->n_ring + 1);
    s->ring[s->n_ring] = node;
    if (at != s->n_ring) {
        s->ring[s->n_ring] = s->ring[at];
        s->ring[s->n_ring]->ring_at = s->n_ring;
        s->ring[at] = node;
    }
    node->ring_at = at;
    s->n_ring++;
    node->known = true;
}

void swim_unlist(struct kap_swim *s, struct swim_node *node)
{
    if (!node->known)
        return;
    node->known = false;
    node->suspicion.running = false;
    s->n_ring--;
    s->ring[node->ring_at] = s->ring[s->n_ring];
    s->ring[node->ring_at]->ring_at = node->ring_at;
    if (s->probe.target == node)
        s->probe = (struct swim_probe){ 0 };
}

struct swim_node *swim_node_new(struct kap_swim *s, struct kap_str name)
{
    struct swim_node *node = KAP_NEW(struct swim_node);
    node->name = kap_strndup(name.p, name.n);
    node->pub.name = node->name;
    node->pub.since_ns = s->now_ns;
    node->state = KAP_WIRE_STATE_DEAD;
    node->state_ns = s->now_ns;
    kap_map_put(s->nodes, name, node);
    list(s, node);
    return node;
}

void swim_node_free(struct swim_node *node)
{
    kap_free(node->name);
    kap_free(node->meta);
    kap_free(node->tags);
    kap_free(node);
}

void swim_erase(struct kap_swim *s, struct swim_node *node, bool tell)
{
    swim_unlist(s, node);
    if (tell)
        swim_emit(s, KAP_SWIM_EV_REAPED, node, NULL, "");
    kap_map_del(s->nodes, swim_name(node));
    swim_node_free(node);
}

void swim_set_meta(struct swim_node *node, struct kap_str meta)
{
    struct kap_wire_tag tags[SWIM_TAGS];
    char *copy = meta.n ? kap_strndup(meta.p, meta.n) : NULL;
    kap_free(node->meta);
    kap_free(node->tags);
    node->meta = copy;
    node->meta_n = meta.n;
    node->pub.n_tags = kap_wire_tags_get(kap_strn(copy, meta.n), tags, SWIM_TAGS);
    node->tags = KAP_ARRAY(struct kap_wire_tag, node->pub.n_tags + 1);
    memcpy(node->tags, tags, node->pub.n_tags * sizeof *tags);
    node->pub.tags = node->tags;
}

static void refresh_status(struct kap_swim *s, struct swim_node *node)
{
    static const enum kap_swim_status of_serf[] = {
        [SERF_NONE] = KAP_SWIM_FAILED, [SERF_ALIVE] = KAP_SWIM_ALIVE, [SERF_LEAVING] = KAP_SWIM_LEAVING,
        [SERF_LEFT] = KAP_SWIM_LEFT,   [SERF_FAILED] = KAP_SWIM_FAILED,
    };
    enum kap_swim_status status = of_serf[node->serf];
    if (status == KAP_SWIM_ALIVE && node->state == KAP_WIRE_STATE_SUSPECT)
        status = KAP_SWIM_SUSPECT;
    if (status == node->pub.status)
        return;
    node->pub.status = status;
    node->pub.since_ns = s->now_ns;
}

void swim_set_state(struct kap_swim *s, struct swim_node *node, enum kap_wire_state state)
{
    if (node->state != state)
        node->state_ns = s->now_ns;
    node->state = state;
    refresh_status(s, node);
}

void swim_set_serf(struct kap_swim *s, struct swim_node *node, enum serf_status serf)
{
    node->serf = serf;
    refresh_status(s, node);
}

/* ---- broadcasts ---- */

static void put_alive(const struct swim_node *node, struct kap_buf *b)
{
    const struct kap_wire_alive a = {
        .addr = swim_addr_ip(&node->pub.addr),
        .meta = kap_strn(node->meta, node->meta_n),
        .node = swim_name(node),
        .incarnation = node->pub.incarnation,
        .port = node->pub.addr.port,
        .vsn = node->vsn,
    };
    kap_wire_put(b, KAP_WIRE_ALIVE, &kap_wire_alive_desc, &a);
}

void swim_broadcast_alive(struct kap_swim *s, const struct swim_node *node)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    put_alive(node, &b);
    swim_queue(s, QUEUE_MEMBERS, swim_name(node), kap_buf_str(&b));
}

/* Ours alone: a refutation races against the timers of all, and gossip, which takes most of a second and passes one
 * in fifty by, may lose that race. So the others are told directly as well: one datagram each, at most once in a
 * gossip interval, and by the next tick, when all of a table being merged is known. */
void swim_tell_all(struct kap_swim *s)
{
    if (!s->tell)
        s->tell_ns = KAP_MAX(s->tell_ns, s->now_ns);
    s->tell = true;
}

void swim_tell_tick(struct kap_swim *s)
{
    if (!s->tell || s->now_ns < s->tell_ns)
        return;
    s->tell = false;
    s->tell_ns = s->now_ns + s->cfg.gossip_interval_ns;
    if (s->leave != LEAVE_NO)
        return;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    put_alive(s->self, &b);
    for (size_t i = 0; i < s->n_ring; i++) {
        const struct swim_node *const node = s->ring[i];
        if (node != s->self && node->state != KAP_WIRE_STATE_LEFT)
            swim_send_bare(s, &node->pub.addr, kap_buf_str(&b), false);
    }
}

/* Ours alone: an accusation that is refuted already shows that its author missed the refutation. */
static void answer_accuser(struct kap_swim *s, struct kap_str name)
{
    const struct swim_node *const accuser = swim_find(s, name);
    if (s->cfg.faults.no_refute || s->leave != LEAVE_NO || !accuser || accuser == s->self)
        return;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    put_alive(s->self, &b);
    swim_send_bare(s, &accuser->pub.addr, kap_buf_str(&b), false);
}

void swim_broadcast_accusation(struct kap_swim *s, enum kap_wire_type type, struct kap_str key,
                               const struct kap_wire_accusation *a)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_wire_put(&b, (uint8_t)type, &kap_wire_accusation_desc, a);
    swim_queue(s, QUEUE_MEMBERS, key, kap_buf_str(&b));
}

/* A new incarnation of ourselves. */
void swim_announce_self(struct kap_swim *s)
{
    s->self->pub.incarnation = ++s->incarnation;
    swim_broadcast_alive(s, s->self);
}

static void refute(struct kap_swim *s, uint32_t accused, struct kap_str by)
{
    if (s->cfg.faults.no_refute)
        return;
    if (s->incarnation < accused)
        s->incarnation = accused;
    swim_announce_self(s);
    swim_tell_all(s);
    swim_health(s, 1);
    s->stats.refutations++;
    KAP_AUTO_FREE char *text = kap_strndup(by.p ? by.p : "", by.n);
    swim_emit(s, KAP_SWIM_EV_REFUTED, s->self, NULL, text);
}

/* An earlier life of ours, at another address, is still in the others' tables. Stock members free a name only when
 * its owner leaves, so the old life leaves first. */
void swim_reclaim_name(struct kap_swim *s, uint32_t old_incarnation)
{
    const struct kap_str self = swim_name(s->self);
    const struct kap_wire_accusation left = { .from = self, .node = self, .incarnation = old_incarnation };
    swim_broadcast_accusation(s, KAP_WIRE_DEAD, KAP_STR("\0earlier life"), &left);
    if (s->incarnation < old_incarnation)
        s->incarnation = old_incarnation;
    swim_announce_self(s);
    swim_tell_all(s);
}

/* ---- who may come in ---- */

static uint64_t name_hash(struct kap_str name)
{
    return kap_str_hash(name);
}

static struct kap_str tag_value(const struct kap_wire_tag *tags, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (kap_str_is(tags[i].key, key))
            return tags[i].value;
    return (struct kap_str){ NULL, 0 };
}

const char *swim_refusal(const struct kap_swim *s, struct kap_str name, struct kap_str meta,
                         enum kap_swim_role *ret_role)
{
    struct kap_wire_tag tags[SWIM_TAGS];
    const size_t n = kap_wire_tags_get(meta, tags, SWIM_TAGS);
    const struct kap_str cluster = tag_value(tags, n, "cluster");
    if (!kap_str_eq(cluster, kap_str(s->cluster_id)))
        return cluster.n ? "belongs to another cluster" : "has no cluster tag";
    *ret_role = s->io.admit ? s->io.admit(s->io.ctx, name, tags, n) : KAP_SWIM_MEMBER;
    return *ret_role == KAP_SWIM_REFUSED ? "is not welcome" : NULL;
}

void swim_note_refused(struct kap_swim *s, struct kap_str name, const struct kap_swim_addr *addr, const char *why)
{
    const uint64_t hash = name_hash(name);
    bool noted = false;
    for (size_t i = 0; i < SWIM_REFUSED && !noted; i++) {
        noted = s->refused[i].name_hash == hash && s->refused[i].until_ns > s->now_ns;
        if (noted)
            s->refused[i].until_ns = s->now_ns + KAP_MINUTE;
    }
    s->stats.refused++;
    if (noted)
        return; /* told already: one event a minute and name, not one for each packet */
    const size_t slot = s->refused_next++ % SWIM_REFUSED;
    s->refused[slot].name_hash = hash;
    s->refused[slot].until_ns = s->now_ns + KAP_MINUTE;
    KAP_AUTO_FREE char *text = kap_asprintf("%.*s %s", KAP_STR_ARG(name), why);
    swim_emit(s, KAP_SWIM_EV_REFUSED, NULL, addr, text);
}

/* What could not be opened has no name, only an address that anybody can claim: at most one event in ten seconds. */
void swim_note_unsealed(struct kap_swim *s, const struct kap_swim_addr *from, const char *why)
{
    s->stats.unsealed++;
    if (s->now_ns < s->unsealed_ns)
        return;
    s->unsealed_ns = s->now_ns + 10 * KAP_S;
    swim_emit(s, KAP_SWIM_EV_REFUSED, NULL, from, why);
}

bool swim_is_refused(const struct kap_swim *s, struct kap_str name)
{
    const uint64_t hash = name_hash(name);
    for (size_t i = 0; i < SWIM_REFUSED; i++)
        if (s->refused[i].name_hash == hash && s->refused[i].until_ns > s->now_ns)
            return true;
    return false;
}

/* ---- alive ---- */

static bool vsn_sane(const struct kap_msgpack_vsn *v)
{
    return v->n == 0 || (v->v[0] != 0 && v->v[1] != 0 && v->v[0] <= v->v[1]);
}

/* About ourselves: what we did not say is refuted; another address is an earlier life, or a second us. */
static void handle_alive_self(struct kap_swim *s, const struct kap_wire_alive *a, const struct kap_swim_addr *addr)
{
    if (!kap_swim_addr_eq(addr, &s->self->pub.addr)) {
        const bool young = s->now_ns - s->enabled_ns < KAP_MINUTE;
        if (young && s->reclaims < 3) {
            s->reclaims++;
            swim_reclaim_name(s, a->incarnation);
            return;
        }
        s->stats.conflicts++;
        swim_emit(s, KAP_SWIM_EV_CONFLICT, s->self, addr, "");
        return;
    }
    if (a->incarnation < s->incarnation)
        return;
    const bool same = a->incarnation == s->incarnation && memcmp(a->vsn.v, swim_vsn.v, sizeof swim_vsn.v) == 0 &&
                      kap_str_eq(a->meta, kap_strn(s->self->meta, s->self->meta_n));
    if (!same)
        refute(s, a->incarnation, KAP_STR("an earlier life"));
}

/* May a known node be at another address? Stock members say only when it left. Ours accept a newer incarnation at
 * once: a member's name is a UUID of its own, so this is the same member restarted elsewhere. */
static bool may_move(const struct swim_node *node, enum kap_swim_role role, uint32_t incarnation)
{
    return !node->known || node->state == KAP_WIRE_STATE_LEFT ||
           (role == KAP_SWIM_MEMBER && incarnation > node->pub.incarnation);
}

static void take_over(struct kap_swim *s, struct swim_node *node, const struct kap_wire_alive *a,
                      const struct kap_swim_addr *addr, enum kap_swim_role role)
{
    const enum kap_wire_state before = node->state;
    const bool moved = !kap_swim_addr_eq(addr, &node->pub.addr);
    const bool changed = moved || role != node->pub.role || !kap_str_eq(a->meta, kap_strn(node->meta, node->meta_n));
    node->suspicion.running = false;
    if (!kap_str_eq(a->meta, kap_strn(node->meta, node->meta_n)) || !node->tags)
        swim_set_meta(node, a->meta);
    node->vsn = a->vsn;
    node->pub.addr = *addr;
    node->pub.role = role;
    node->pub.incarnation = a->incarnation;
    swim_set_state(s, node, KAP_WIRE_STATE_ALIVE);
    swim_broadcast_alive(s, node);
    if (before == KAP_WIRE_STATE_DEAD || before == KAP_WIRE_STATE_LEFT) {
        swim_serf_up(s, node);
        return;
    }
    if (before == KAP_WIRE_STATE_SUSPECT)
        swim_emit(s, KAP_SWIM_EV_RECOVERED, node, NULL, "");
    if (changed)
        swim_emit(s, KAP_SWIM_EV_UPDATED, node, NULL, "");
}

void swim_handle_alive(struct kap_swim *s, const struct kap_wire_alive *a)
{
    struct kap_swim_addr addr;
    const uint16_t port = a->port ? a->port : s->cfg.addr.port;
    if (a->node.n == 0 || a->node.n > KAP_WIRE_NAME_BYTES || a->meta.n > SWIM_META_BYTES ||
        memchr(a->node.p, 0, a->node.n) || !swim_addr_from(a->addr, port, &addr) || !vsn_sane(&a->vsn))
        return;
    struct swim_node *node = swim_find(s, a->node);
    if (node == s->self) {
        if (s->leave == LEAVE_NO)
            handle_alive_self(s, a, &addr);
        return;
    }
    enum kap_swim_role role = KAP_SWIM_OBSERVER;
    const char *why = swim_refusal(s, a->node, a->meta, &role);
    if (why) {
        swim_note_refused(s, a->node, &addr, why);
        return;
    }
    if (!node) {
        if (kap_map_len(s->nodes) >= s->cfg.max_members)
            return;
        node = swim_node_new(s, a->node);
        node->pub.addr = addr;
    } else if (!node->known) {
        /* Memberlist forgot it: to its rules this is a stranger. */
        list(s, node);
        swim_set_state(s, node, KAP_WIRE_STATE_DEAD);
        node->pub.incarnation = 0;
        node->pub.addr = addr;
    }
    if (!kap_swim_addr_eq(&addr, &node->pub.addr)) {
        if (!may_move(node, role, a->incarnation)) {
            s->stats.conflicts++;
            swim_emit(s, KAP_SWIM_EV_CONFLICT, node, &addr, "");
            return;
        }
    } else if (a->incarnation <= node->pub.incarnation) {
        return;
    }
    take_over(s, node, a, &addr, role);
}

/* ---- suspect ---- */

/* memberlist's scale: max(1, log10 n), in thousandths. */
static int64_t suspicion_min_ns(const struct kap_swim *s)
{
    const double scale = fmax(1.0, log10(fmax(1.0, (double)s->n_ring)));
    const int64_t thousandths = (int64_t)(scale * 1000.0);
    return (int64_t)s->cfg.suspicion_mult * s->cfg.probe_interval_ns / 1000 * thousandths;
}

static void rearm_suspicions(struct kap_swim *s)
{
    s->suspicion_ns = INT64_MAX;
    for (size_t i = 0; i < s->n_ring; i++)
        if (s->ring[i]->suspicion.running)
            s->suspicion_ns = KAP_MIN(s->suspicion_ns, s->ring[i]->suspicion.fire_ns);
}

static void start_suspicion(struct kap_swim *s, struct swim_node *node, struct kap_str from)
{
    struct swim_suspicion *const sus = &node->suspicion;
    *sus = (struct swim_suspicion){ .running = true, .start_ns = s->now_ns };
    const unsigned wanted = s->cfg.suspicion_mult > 2 ? s->cfg.suspicion_mult - 2 : 0;
    sus->wanted = s->n_ring < 2 + (size_t)wanted ? 0 : KAP_MIN(wanted, SWIM_ACCUSERS - 1U);
    sus->min_ns = suspicion_min_ns(s);
    sus->max_ns = (int64_t)s->cfg.suspicion_max_mult * sus->min_ns;
    sus->accusers[0] = name_hash(from);
    if (s->cfg.faults.no_lifeguard)
        sus->wanted = 0;
    sus->fire_ns = s->now_ns + (sus->wanted ? sus->max_ns : sus->min_ns);
    rearm_suspicions(s);
}

/* True: the accuser is new and counts, so that the accusation is passed on. */
static bool confirm(struct kap_swim *s, struct swim_node *node, struct kap_str from)
{
    struct swim_suspicion *const sus = &node->suspicion;
    if (sus->confirmed >= sus->wanted)
        return false;
    const uint64_t hash = name_hash(from);
    for (unsigned i = 0; i <= sus->confirmed; i++)
        if (sus->accusers[i] == hash)
            return false;
    sus->accusers[++sus->confirmed] = hash;
    const double part = log((double)sus->confirmed + 1.0) / log((double)sus->wanted + 1.0);
    const int64_t span = sus->max_ns - sus->min_ns;
    int64_t timeout = sus->max_ns - (int64_t)((double)span * part);
    timeout -= timeout % KAP_MS;
    sus->fire_ns = sus->start_ns + KAP_MAX(timeout, sus->min_ns);
    rearm_suspicions(s);
    return true;
}

void swim_handle_suspect(struct kap_swim *s, const struct kap_wire_accusation *a)
{
    struct swim_node *const node = swim_find_known(s, a->node);
    if (!node || a->incarnation < node->pub.incarnation) {
        if (node && node == s->self)
            answer_accuser(s, a->from);
        return;
    }
    if (node->suspicion.running) {
        if (confirm(s, node, a->from))
            swim_broadcast_accusation(s, KAP_WIRE_SUSPECT, a->node, a);
        return;
    }
    if (node->state != KAP_WIRE_STATE_ALIVE)
        return;
    if (node == s->self) {
        if (s->leave == LEAVE_NO)
            refute(s, a->incarnation, a->from);
        return;
    }
    swim_broadcast_accusation(s, KAP_WIRE_SUSPECT, a->node, a);
    node->pub.incarnation = a->incarnation;
    swim_set_state(s, node, KAP_WIRE_STATE_SUSPECT);
    start_suspicion(s, node, a->from);
    s->stats.suspicions_heard++;
    KAP_AUTO_FREE char *text = kap_strndup(a->from.p ? a->from.p : "", a->from.n);
    swim_emit(s, KAP_SWIM_EV_SUSPECT, node, NULL, text);
}

void swim_fire_suspicions(struct kap_swim *s)
{
    if (s->now_ns < s->suspicion_ns)
        return;
    for (size_t i = 0; i < s->n_ring; i++) {
        struct swim_node *const node = s->ring[i];
        if (!node->suspicion.running || node->suspicion.fire_ns > s->now_ns)
            continue;
        const struct kap_wire_accusation dead = { .from = swim_name(s->self), .node = swim_name(node),
                                                  .incarnation = node->pub.incarnation };
        s->stats.failures++;
        swim_handle_dead(s, &dead);
    }
    rearm_suspicions(s);
}

/* ---- dead ---- */

void swim_handle_dead(struct kap_swim *s, const struct kap_wire_accusation *a)
{
    struct swim_node *const node = swim_find_known(s, a->node);
    if (!node || a->incarnation < node->pub.incarnation) {
        if (node && node == s->self)
            answer_accuser(s, a->from);
        return;
    }
    node->suspicion.running = false;
    if (node->state == KAP_WIRE_STATE_DEAD || node->state == KAP_WIRE_STATE_LEFT)
        return;
    if (node == s->self && s->leave == LEAVE_NO) {
        refute(s, a->incarnation, a->from);
        return;
    }
    swim_broadcast_accusation(s, KAP_WIRE_DEAD, a->node, a);
    node->pub.incarnation = a->incarnation;
    const bool left = kap_str_eq(a->from, a->node);
    swim_set_state(s, node, left ? KAP_WIRE_STATE_LEFT : KAP_WIRE_STATE_DEAD);
    KAP_AUTO_FREE char *by = kap_strndup(a->from.p ? a->from.p : "", a->from.n);
    swim_serf_gone(s, node, by);
}
