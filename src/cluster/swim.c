#include "cluster/swim_impl.h"
#include <arpa/inet.h>
#include <stdio.h>

const struct kap_msgpack_vsn swim_vsn = { .v = { 1, 5, 2, 2, 5, 5 }, .n = 6 };

/* ---- addresses and names of things ---- */

bool kap_swim_addr_eq(const struct kap_swim_addr *a, const struct kap_swim_addr *b)
{
    return a->n == b->n && a->port == b->port && memcmp(a->ip, b->ip, a->n) == 0;
}

const char *kap_swim_addr_text(const struct kap_swim_addr *a, char out[KAP_SWIM_ADDR_TEXT])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (a->n)
        inet_ntop(a->n == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof ip);
    snprintf(out, KAP_SWIM_ADDR_TEXT, a->n == 16 ? "[%s]:%u" : "%s:%u", ip, a->port);
    return out;
}

bool swim_addr_from(struct kap_str ip, uint16_t port, struct kap_swim_addr *ret)
{
    if (ip.n != 4 && ip.n != 16)
        return false;
    *ret = (struct kap_swim_addr){ .n = (uint8_t)ip.n, .port = port };
    memcpy(ret->ip, ip.p, ip.n);
    return true;
}

struct kap_str swim_addr_ip(const struct kap_swim_addr *a)
{
    return kap_strn((const char *)a->ip, a->n);
}

struct kap_str swim_name(const struct swim_node *node)
{
    return kap_str(node->name);
}

const char *kap_swim_status_name(enum kap_swim_status status)
{
    static const char *const names[] = { "alive", "suspect", "leaving", "left", "failed" };
    return names[status];
}

struct kap_str kap_swim_tag(const struct kap_swim_member *m, const char *key)
{
    for (size_t i = 0; i < m->n_tags; i++)
        if (kap_str_is(m->tags[i].key, key))
            return m->tags[i].value;
    return (struct kap_str){ NULL, 0 };
}

/* ---- life cycle ---- */

void kap_swim_config_init(struct kap_swim_config *c)
{
    *c = (struct kap_swim_config){
        .answer_key_queries = true,
        .probe_interval_ns = KAP_S,
        .probe_timeout_ns = 500 * KAP_MS,
        .gossip_interval_ns = 200 * KAP_MS,
        .gossip_to_dead_ns = 30 * KAP_S,
        .push_pull_interval_ns = 30 * KAP_S,
        .stream_timeout_ns = 10 * KAP_S,
        .reconnect_interval_ns = 30 * KAP_S,
        .heal_interval_ns = KAP_S,
        .reap_interval_ns = 15 * KAP_S,
        .keep_failed_ns = 24 * KAP_HOUR,
        .keep_left_ns = 24 * KAP_HOUR,
        .leave_timeout_ns = 5 * KAP_S,
        .leave_linger_ns = KAP_S,
        .indirect_probes = 3,
        .suspicion_mult = 4,
        .suspicion_max_mult = 6,
        .retransmit_mult = 4,
        .gossip_nodes = 3,
        .health_max = 8,
        .compress_streams = true,
        .max_members = 4096,
    };
}

/* Our own tags, the cluster's in front. KAP_ELIMIT: too long. */
static enum kap_status own_meta(const struct kap_swim *s, const struct kap_wire_tag *tags, size_t n,
                                const char *cluster_id, struct kap_buf *out, struct kap_error *err)
{
    struct kap_wire_tag all[SWIM_TAGS];
    size_t n_all = 0;
    if (n >= SWIM_TAGS)
        return kap_fail(err, KAP_ELIMIT, "%zu tags, the limit is %d", n, SWIM_TAGS - 1);
    if (cluster_id && *cluster_id)
        all[n_all++] = (struct kap_wire_tag){ KAP_STR("cluster"), kap_str(cluster_id) };
    for (size_t i = 0; i < n; i++)
        all[n_all++] = tags[i];
    return kap_wire_tags_put(out, all, n_all, err);
}

static void keep_own_tags(struct kap_swim *s, const struct kap_wire_tag *tags, size_t n)
{
    struct kap_arena *arena = kap_arena_new();
    for (size_t i = 0; i < n; i++)
        s->own_tags[i] = (struct kap_wire_tag){ kap_arena_str(arena, tags[i].key),
                                                kap_arena_str(arena, tags[i].value) };
    s->n_own_tags = n;
    kap_arena_free(s->own_tags_arena);
    s->own_tags_arena = arena;
}

enum kap_status kap_swim_new(const struct kap_swim_config *c, const struct kap_swim_io *io, struct kap_swim **ret,
                             struct kap_error *err)
{
    const size_t name_n = c->name ? strlen(c->name) : 0;
    if (name_n == 0 || name_n > 128)
        return kap_fail(err, KAP_EINVAL, "a member name has 1 to 128 bytes");
    if (c->addr.n != 4 && c->addr.n != 16)
        return kap_fail(err, KAP_EINVAL, "no address to advertise");
    static const char widest_cluster_id[] = "00000000-0000-0000-0000-000000000000";
    KAP_AUTO_BUF struct kap_buf meta = { 0 };
    KAP_TRY(own_meta(NULL, c->tags, c->n_tags, widest_cluster_id, &meta, err));
    struct kap_swim *s = KAP_NEW(struct kap_swim);
    s->cfg = *c;
    s->io = *io;
    s->name = kap_strdup(c->name);
    s->cfg.name = s->name;
    s->cfg.tags = NULL;
    keep_own_tags(s, c->tags, c->n_tags);
    s->incarnation = c->incarnation;
    s->nodes = kap_map_new();
    s->intents = kap_map_new();
    kap_random_seed(&s->random, c->seed);
    for (int i = 0; i < N_QUEUES; i++)
        s->queues[i].max = 4096;
    swim_serf_reset(s);
    *ret = s;
    return KAP_OK;
}

static void forget_everything(struct kap_swim *s)
{
    size_t i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->nodes, &i, &key, &value))
        swim_node_free(value);
    kap_map_free(s->nodes);
    s->nodes = kap_map_new();
    s->self = NULL;
    s->n_ring = s->ring_next = 0;
    s->n_pings = s->n_streams = 0;
    s->probe = (struct swim_probe){ 0 };
    for (int q = 0; q < N_QUEUES; q++) {
        const uint64_t last_id = s->queues[q].last_id;
        kap_broadcasts_done(&s->queues[q]);
        s->queues[q].last_id = last_id;
    }
    swim_serf_reset(s);
}

void kap_swim_free(struct kap_swim *s)
{
    if (!s)
        return;
    forget_everything(s);
    kap_map_free(s->nodes);
    kap_map_free(s->intents);
    kap_free(s->ring);
    kap_free(s->name);
    kap_free(s->cluster_id);
    kap_arena_free(s->own_tags_arena);
    kap_packet_done(&s->packet);
    kap_buf_done(&s->open_buf);
    kap_buf_done(&s->packet_buf);
    kap_buf_done(&s->sealed_buf);
    kap_seal_done(&s->cfg.seal);
    kap_free(s);
}

static int64_t random_within(struct kap_swim *s, int64_t interval_ns)
{
    return (int64_t)kap_random_below(&s->random, (uint64_t)interval_ns);
}

enum kap_status kap_swim_enable(struct kap_swim *s, const char *cluster_id, int64_t now_ns, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf meta = { 0 };
    KAP_TRY(own_meta(s, s->own_tags, s->n_own_tags, cluster_id, &meta, err));
    if (s->enabled)
        kap_swim_disable(s);
    char *const copy = kap_strdup(cluster_id);
    kap_free(s->cluster_id);
    s->cluster_id = copy;
    s->enabled = true;
    s->now_ns = s->enabled_ns = now_ns;
    s->leave = LEAVE_NO;
    s->health = s->reclaims = 0;
    memset(s->refused, 0, sizeof s->refused);
    s->probe_ns = now_ns + random_within(s, s->cfg.probe_interval_ns);
    s->gossip_ns = now_ns + random_within(s, s->cfg.gossip_interval_ns);
    s->push_pull_ns = now_ns + random_within(s, s->cfg.push_pull_interval_ns);
    s->reconnect_ns = now_ns + s->cfg.reconnect_interval_ns;
    s->heal_ns = now_ns + random_within(s, s->cfg.heal_interval_ns);
    s->reap_ns = now_ns + s->cfg.reap_interval_ns;
    s->suspicion_ns = INT64_MAX;
    s->tell_ns = now_ns;
    s->tell = false;
    s->self = swim_node_new(s, kap_str(s->name));
    s->self->pub.addr = s->cfg.addr;
    s->self->vsn = swim_vsn;
    s->self->pub.incarnation = ++s->incarnation;
    swim_set_meta(s->self, kap_buf_str(&meta));
    swim_set_state(s, s->self, KAP_WIRE_STATE_ALIVE);
    swim_set_serf(s, s->self, SERF_ALIVE);
    swim_broadcast_alive(s, s->self);
    return KAP_OK;
}

void kap_swim_disable(struct kap_swim *s)
{
    if (!s->enabled)
        return;
    s->enabled = false;
    forget_everything(s);
}

bool kap_swim_enabled(const struct kap_swim *s)
{
    return s->enabled;
}

/* ---- wishes ---- */

void kap_swim_join(struct kap_swim *s, const struct kap_swim_addr *addr, int64_t now_ns)
{
    if (!s->enabled || s->leave != LEAVE_NO)
        return;
    s->now_ns = now_ns;
    swim_push_pull(s, addr, true, true);
}

enum kap_status kap_swim_set_tags(struct kap_swim *s, const struct kap_wire_tag *tags, size_t n, int64_t now_ns,
                                  struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf meta = { 0 };
    KAP_TRY(own_meta(s, tags, n, s->enabled ? s->cluster_id : "00000000-0000-0000-0000-000000000000", &meta, err));
    keep_own_tags(s, tags, n);
    if (!s->enabled)
        return KAP_OK;
    s->now_ns = now_ns;
    swim_set_meta(s->self, kap_buf_str(&meta));
    swim_announce_self(s);
    swim_emit(s, KAP_SWIM_EV_UPDATED, s->self, NULL, "");
    return KAP_OK;
}

void kap_swim_set_addr(struct kap_swim *s, const struct kap_swim_addr *addr, int64_t now_ns)
{
    if (kap_swim_addr_eq(&s->cfg.addr, addr))
        return;
    s->cfg.addr = *addr;
    if (!s->enabled)
        return;
    s->now_ns = now_ns;
    s->self->pub.addr = *addr;
    swim_reclaim_name(s, s->incarnation);
    swim_emit(s, KAP_SWIM_EV_UPDATED, s->self, NULL, "");
}

void kap_swim_recheck(struct kap_swim *s, int64_t now_ns)
{
    s->now_ns = now_ns;
    size_t i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->nodes, &i, &key, &value)) {
        struct swim_node *const node = value;
        if (node == s->self)
            continue;
        enum kap_swim_role role;
        const char *why = swim_refusal(s, key, kap_strn(node->meta, node->meta_n), &role);
        if (why) {
            const struct kap_swim_addr addr = node->pub.addr;
            swim_note_refused(s, key, &addr, why);
            swim_erase(s, node, true);
        } else if (role != node->pub.role) {
            node->pub.role = role;
            swim_emit(s, KAP_SWIM_EV_UPDATED, node, NULL, "");
        }
    }
}

enum kap_status kap_swim_forget(struct kap_swim *s, const char *name, int64_t now_ns, struct kap_error *err)
{
    struct swim_node *node = s->enabled ? swim_find(s, kap_str(name)) : NULL;
    if (!node || node == s->self)
        return kap_fail(err, KAP_ENOTFOUND, "no such member: %s", name);
    s->now_ns = now_ns;
    swim_serf_leave_intent(s, kap_str(name), true);
    swim_erase(s, node, true);
    return KAP_OK;
}

struct kap_seal *kap_swim_seal(struct kap_swim *s)
{
    return &s->cfg.seal;
}

/* ---- timers ---- */

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool swim_node_failed(const struct swim_node *node)
{
    return node->serf == SERF_FAILED;
}

size_t swim_count(const struct kap_swim *s, bool (*want)(const struct swim_node *node))
{
    size_t n = 0, i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->nodes, &i, &key, &value))
        n += want(value);
    return n;
}

int64_t kap_swim_deadline(const struct kap_swim *s)
{
    if (!s->enabled)
        return INT64_MAX;
    int64_t at = earliest(s->probe_ns, s->push_pull_ns);
    at = earliest(at, earliest(s->reap_ns, s->suspicion_ns));
    at = earliest(at, earliest(s->reconnect_ns, s->heal_ns));
    if (s->probe.running)
        at = earliest(at, s->probe.indirect ? s->probe.end_ns : s->probe.indirect_ns);
    if (swim_queued(s))
        at = earliest(at, s->gossip_ns);
    if (s->tell)
        at = earliest(at, s->tell_ns);
    for (size_t i = 0; i < s->n_pings; i++)
        at = earliest(at, s->pings[i].until_ns);
    for (size_t i = 0; i < s->n_streams; i++)
        at = earliest(at, s->streams[i].until_ns);
    if (s->leave == LEAVE_INTENT || s->leave == LEAVE_DEAD || s->leave == LEAVE_LINGER)
        at = earliest(at, s->leave_ns);
    return at;
}

/* Failed members are tried like a join once in a while (Serf's reconnect), which also works without UDP. */
static void reconnect_tick(struct kap_swim *s)
{
    if (s->now_ns < s->reconnect_ns)
        return;
    s->reconnect_ns = s->now_ns + s->cfg.reconnect_interval_ns;
    const size_t failed = swim_count(s, swim_node_failed);
    if (failed == 0 || s->leave != LEAVE_NO)
        return;
    const size_t others = kap_map_len(s->nodes) - failed;
    if (kap_random_f64(&s->random) > (double)failed / (double)KAP_MAX(others, 1))
        return;
    size_t skip = (size_t)kap_random_below(&s->random, failed), i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->nodes, &i, &key, &value)) {
        const struct swim_node *const node = value;
        if (!swim_node_failed(node) || skip-- > 0)
            continue;
        s->stats.reconnects++;
        swim_push_pull(s, &node->pub.addr, true, false);
        return;
    }
}

static void reap_tick(struct kap_swim *s)
{
    if (s->now_ns < s->reap_ns)
        return;
    s->reap_ns = s->now_ns + s->cfg.reap_interval_ns;
    swim_serf_expire_intents(s);
    size_t i = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(s->nodes, &i, &key, &value)) {
        struct swim_node *const node = value;
        const int64_t gone_ns = s->now_ns - node->pub.since_ns;
        if ((node->serf == SERF_FAILED && gone_ns > s->cfg.keep_failed_ns) ||
            (node->serf == SERF_LEFT && node != s->self && gone_ns > s->cfg.keep_left_ns))
            swim_erase(s, node, true);
    }
}

/* We slept (SIGSTOP, a suspended machine, an overloaded loop): what ran out meanwhile says nothing about others. */
static void forgive_lateness(struct kap_swim *s, int64_t late_ns)
{
    if (late_ns < s->cfg.probe_timeout_ns)
        return;
    s->probe = (struct swim_probe){ 0 };
    s->suspicion_ns = INT64_MAX;
    for (size_t i = 0; i < s->n_ring; i++) {
        struct swim_suspicion *const sus = &s->ring[i]->suspicion;
        if (!sus->running)
            continue;
        sus->start_ns += late_ns;
        sus->fire_ns += late_ns;
        s->suspicion_ns = earliest(s->suspicion_ns, sus->fire_ns);
    }
}

void kap_swim_tick(struct kap_swim *s, int64_t now_ns)
{
    if (!s->enabled)
        return;
    const int64_t due_ns = kap_swim_deadline(s);
    s->now_ns = now_ns;
    forgive_lateness(s, now_ns - due_ns);
    swim_fire_suspicions(s);
    swim_pings_tick(s);
    swim_streams_tick(s);
    swim_probe_tick(s);
    swim_heal_tick(s);
    swim_push_pull_tick(s);
    reconnect_tick(s);
    reap_tick(s);
    swim_tell_tick(s);
    swim_gossip_tick(s);
    swim_leave_tick(s);
}

/* ---- look-ups and helpers ---- */

const struct kap_swim_member *kap_swim_self(const struct kap_swim *s)
{
    return s->self ? &s->self->pub : NULL;
}

const struct kap_swim_member *kap_swim_find(const struct kap_swim *s, struct kap_str name)
{
    const struct swim_node *node = swim_find(s, name);
    return node ? &node->pub : NULL;
}

const struct kap_swim_member *kap_swim_next(const struct kap_swim *s, size_t *i)
{
    struct kap_str key;
    void *value;
    if (!kap_map_next(s->nodes, i, &key, &value))
        return NULL;
    return &((const struct swim_node *)value)->pub;
}

struct kap_swim_stats kap_swim_stats(const struct kap_swim *s)
{
    struct kap_swim_stats stats = s->stats;
    stats.health = s->health;
    for (int i = 0; i < N_QUEUES; i++) {
        stats.queued += s->queues[i].n;
        stats.queue_dropped += s->queues[i].dropped;
    }
    return stats;
}

void swim_emit(struct kap_swim *s, enum kap_swim_event_kind kind, const struct swim_node *node,
               const struct kap_swim_addr *addr, const char *text)
{
    struct kap_swim_event ev = { .kind = kind, .member = node ? &node->pub : NULL, .text = text };
    if (addr)
        ev.addr = *addr;
    else if (node)
        ev.addr = node->pub.addr;
    if (s->io.event)
        s->io.event(s->io.ctx, &ev);
}

/* mult * ceil(log10(n + 1)) */
unsigned swim_retransmit_limit(const struct kap_swim *s, size_t n)
{
    unsigned digits = 0;
    for (size_t power = 1; power < n + 1; power *= 10)
        digits++;
    return s->cfg.retransmit_mult * digits;
}

size_t swim_pick(struct kap_swim *s, size_t n, struct swim_node **out,
                 bool (*want)(const struct kap_swim *s, const struct swim_node *node, const void *arg),
                 const void *arg)
{
    size_t seen = 0;
    for (size_t i = 0; i < s->n_ring; i++) {
        struct swim_node *const node = s->ring[i];
        if (node == s->self || !want(s, node, arg))
            continue;
        /* Reservoir sampling: every n-subset is equally likely, whatever the number that qualifies. */
        if (seen < n) {
            out[seen] = node;
        } else {
            const uint64_t at = kap_random_below(&s->random, seen + 1);
            if (at < n)
                out[at] = node;
        }
        seen++;
    }
    return KAP_MIN(seen, n);
}
