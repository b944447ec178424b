#include "daemon/cluster_impl.h"
#include "base/mem.h"
#include "cluster/owners.h"
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MEMBER_CALL_NS (10 * INT64_C(1000000000))

static void settle(void *arg);

void kap_cluster_touch(struct kap_cluster *c)
{
    if (c->touched || c->closed)
        return;
    c->touched = true;
    kap_loop_post(c->opts.loop, settle, c);
}

/* --- the catalog's outputs --- */

static void catalog_send(void *ctx, struct kap_str member, struct kap_str bytes)
{
    struct kap_cluster *c = ctx;
    kap_rpc_net_send(c->rpc, member, KAP_RPC_CATALOG, bytes);
}

struct stored {
    struct kap_cluster *c;
    uint64_t token;
    bool ok;
};

static void stored_on_loop(void *arg)
{
    struct stored *s = arg;
    kap_catalog_stored(s->c->catalog, s->token, s->ok);
    kap_cluster_touch(s->c);
    kap_free(s);
}

/* On the store's thread. */
static void on_stored(void *ctx, uint64_t token, enum kap_status status, const struct kap_error *err)
{
    struct kap_cluster *c = ctx;
    if (status != KAP_OK)
        kap_log(KAP_LOG_ERROR, "store", "a definition could not be stored", kap_kv_s("err", err->msg));
    struct stored *s = KAP_NEW(struct stored);
    *s = (struct stored){ c, token, status == KAP_OK };
    kap_loop_post(c->opts.loop, stored_on_loop, s);
}

static struct kap_catalog_row row_of(const struct kap_catalog_entry *e)
{
    return (struct kap_catalog_row){ .kind = (int)e->kind, .id = e->id, .blob = e->blob, .origin = e->origin,
                                     .deleted = e->deleted, .foreign = e->foreign, .stamp = e->stamp };
}

static void catalog_store(void *ctx, const struct kap_catalog_entry *e, uint64_t token)
{
    struct kap_cluster *c = ctx;
    const struct kap_catalog_row row = row_of(e);
    kap_catalog_db_put(c->db, &row, on_stored, c, token);
}

static void catalog_forget(void *ctx, enum kap_catalog_kind kind, struct kap_str id)
{
    struct kap_cluster *c = ctx;
    kap_catalog_db_forget(c->db, (int)kind, id);
}

static void catalog_set_watermark(void *ctx, uint64_t watermark)
{
    struct kap_cluster *c = ctx;
    kap_catalog_db_set_watermark(c->db, watermark);
}

static void catalog_changed(void *ctx, const struct kap_catalog_entry *e, bool local)
{
    struct kap_cluster *c = ctx;
    if (e->kind == KAP_CATALOG_MEMBER)
        kap_members_changed(c->members, e);
    else
        c->io.definition_changed(c->io.ctx, e, local);
    kap_cluster_touch(c);
}

static void catalog_done(void *ctx, uint64_t token, enum kap_status status)
{
    struct kap_cluster *c = ctx;
    if (c->durable)
        c->durable(c->durable_ctx, token, status);
}

static void catalog_notice(void *ctx, const struct kap_catalog_notice *n)
{
    struct kap_cluster *c = ctx;
    switch (n->kind) {
    case KAP_CATALOG_CLOCK_AHEAD:
        kap_log(KAP_LOG_ERROR, "cluster", "a change was refused: the clock of the member that made it is too far ahead",
                kap_kv_n("member", n->member), kap_kv_s("detail", n->text));
        break;
    case KAP_CATALOG_CONFLICT: {
        const struct kap_catalog_row row = row_of(n->loser);
        kap_catalog_db_backup(c->db, &row, kap_clock_wall(c->opts.clock));
        kap_log(KAP_LOG_WARN, "cluster", "a definition was replaced by another member's, a copy is kept",
                kap_kv_s("kind", kap_catalog_kind_name(n->loser->kind)), kap_kv_n("id", n->loser->id),
                kap_kv_n("winner", n->winner->origin));
        break;
    }
    case KAP_CATALOG_BAD_MESSAGE:
        kap_log(KAP_LOG_WARN, "cluster", "bad catalog message", kap_kv_n("member", n->member), kap_kv_s("err", n->text));
        break;
    case KAP_CATALOG_STORE_FAILED:
        kap_log(KAP_LOG_ERROR, "cluster", "a change could not be stored, trying again", kap_kv_s("err", n->text));
        break;
    case KAP_CATALOG_FULL:
        kap_log(KAP_LOG_ERROR, "cluster", "a change was refused: the catalog is full", kap_kv_n("member", n->member));
        break;
    case KAP_CATALOG_IN_SYNC:
        kap_log(KAP_LOG_INFO, "cluster", "definitions agree again", kap_kv_n("member", n->member));
        break;
    }
}

/* --- the members' outputs --- */

struct member_call {
    struct kap_cluster *c;
    uint64_t token;
};

static void on_member_answer(void *ctx, enum kap_status status, struct kap_str bytes, const struct kap_error *err)
{
    struct member_call *call = ctx;
    struct kap_cluster *c = call->c;
    kap_members_answer(c->members, call->token, status, bytes, err);
    kap_free(call);
    kap_cluster_touch(c);
}

static void members_call(void *ctx, struct kap_str address, struct kap_str bytes, uint64_t token)
{
    struct kap_cluster *c = ctx;
    struct member_call *call = KAP_NEW(struct member_call);
    *call = (struct member_call){ c, token };
    kap_rpc_net_call_address(c->rpc, address, KAP_RPC_MEMBER, bytes, MEMBER_CALL_NS, on_member_answer, call);
}

static void members_reply(void *ctx, uint64_t call, struct kap_str bytes)
{
    struct kap_cluster *c = ctx;
    kap_rpc_net_reply(c->rpc, call, KAP_OK, bytes, NULL);
}

static void members_set_cluster_id(void *ctx, struct kap_str cluster_id)
{
    struct kap_cluster *c = ctx;
    kap_uuid id;
    memcpy(id, cluster_id.p, KAP_UUID_LEN);
    id[KAP_UUID_LEN] = '\0';
    struct kap_error err;
    if (kap_identity_set_cluster_id(c->opts.data_dir, c->opts.identity, id, &err) != KAP_OK)
        kap_log(KAP_LOG_ERROR, "cluster", "the cluster ID could not be kept", kap_kv_s("err", err.msg));
    pthread_mutex_lock(&c->lock);
    memcpy(c->cluster_id, id, sizeof id);
    pthread_mutex_unlock(&c->lock);
    kap_rpc_net_set_cluster_id(c->rpc, kap_str(id));
    kap_log(KAP_LOG_INFO, "cluster", "cluster ID changed", kap_kv_s("cluster_id", id));
    c->list_dirty = true;
    kap_cluster_touch(c);
}

static void members_list_changed(void *ctx)
{
    struct kap_cluster *c = ctx;
    c->list_dirty = true;
    kap_cluster_touch(c);
}

static void members_removed(void *ctx, struct kap_str by)
{
    struct kap_cluster *c = ctx;
    kap_log(KAP_LOG_WARN, "cluster", "this member was removed from its cluster; tasks are kept, disabled",
            kap_kv_n("by", by));
    c->removed_dirty = true;
    kap_cluster_touch(c);
}

static void members_notice(void *ctx, const char *text)
{
    kap_log(KAP_LOG_INFO, "cluster", text);
}

/* --- RPC --- */

static enum kap_members_welcome rpc_hello(void *ctx, const struct kap_rpc_hello *hello)
{
    struct kap_cluster *c = ctx;
    kap_cluster_touch(c);
    return kap_members_hello(c->members, kap_str(hello->member_id), kap_str(hello->cluster_id),
                             kap_str(hello->rpc_address));
}

static void rpc_message(void *ctx, struct kap_str member, enum kap_rpc_channel channel, struct kap_str bytes)
{
    struct kap_cluster *c = ctx;
    if (channel == KAP_RPC_CATALOG)
        kap_catalog_message(c->catalog, member, bytes);
    else if (channel == KAP_RPC_DEDUP)
        c->io.dedup_message(c->io.ctx, member, bytes);
    kap_cluster_touch(c);
}

static void rpc_request(void *ctx, struct kap_str from, enum kap_rpc_channel channel, uint64_t call, struct kap_str bytes)
{
    struct kap_cluster *c = ctx;
    if (channel == KAP_RPC_MEMBER) {
        kap_members_request(c->members, from, call, bytes);
        kap_cluster_touch(c);
        return;
    }
    struct kap_error err;
    kap_rpc_net_reply(c->rpc, call, kap_fail(&err, KAP_EINVAL, "nothing answers calls on channel %d", (int)channel),
                      (struct kap_str){ 0 }, &err);
}

static struct kap_cluster_link *find_link(struct kap_cluster *c, struct kap_str id)
{
    for (size_t i = 0; i < c->nlinks; i++)
        if (kap_str_is(id, c->links[i].id))
            return &c->links[i];
    return NULL;
}

static void rpc_link(void *ctx, struct kap_str member, bool up, bool hard, const char *why)
{
    struct kap_cluster *c = ctx;
    struct kap_cluster_link *link = find_link(c, member);
    if (!link)
        return;
    if (up && !link->up)
        kap_log(KAP_LOG_INFO, "rpc", "link up", kap_kv_n("member", member));
    if (!up && link->up)
        kap_log(KAP_LOG_INFO, "rpc", "link down", kap_kv_n("member", member), kap_kv_s("why", why ? why : ""));
    link->hard_failures = up ? 0 : link->hard_failures + hard;
    link->up = up;
    kap_catalog_link(c->catalog, member, up);
    c->life_dirty = true;
    kap_cluster_touch(c);
}

static void rpc_notice(void *ctx, const char *text, struct kap_str peer)
{
    kap_log(KAP_LOG_WARN, "rpc", text, kap_kv_n("peer", peer));
}

/* --- gossip --- */

static enum kap_swim_role gossip_admit(void *ctx, struct kap_str name, const struct kap_wire_tag *tags, size_t n)
{
    struct kap_cluster *c = ctx;
    if (kap_members_find(c->members, name))
        return KAP_SWIM_MEMBER;
    return kap_catalog_was_dropped(c->catalog, KAP_CATALOG_MEMBER, name) ? KAP_SWIM_REFUSED : KAP_SWIM_OBSERVER;
}

static const char *const gossip_texts[] = {
    [KAP_SWIM_EV_ALIVE] = "member is alive",
    [KAP_SWIM_EV_SUSPECT] = "member is suspected",
    [KAP_SWIM_EV_RECOVERED] = "suspected member answers again",
    [KAP_SWIM_EV_LEAVING] = "member is leaving",
    [KAP_SWIM_EV_LEFT] = "member has left",
    [KAP_SWIM_EV_FAILED] = "member has failed",
    [KAP_SWIM_EV_REAPED] = "member is forgotten by gossip",
    [KAP_SWIM_EV_REFUSED] = "gossip of a stranger was refused",
    [KAP_SWIM_EV_CONFLICT] = "two processes claim one member ID",
    [KAP_SWIM_EV_REFUTED] = "refuted a suspicion against this member",
    [KAP_SWIM_EV_LEAVE_DONE] = "left",
};

static void gossip_event(void *ctx, const struct kap_swim_event *ev)
{
    struct kap_cluster *c = ctx;
    char addr[KAP_SWIM_ADDR_TEXT];
    if ((size_t)ev->kind < KAP_COUNT(gossip_texts) && gossip_texts[ev->kind])
        kap_log(ev->kind == KAP_SWIM_EV_FAILED || ev->kind == KAP_SWIM_EV_CONFLICT ? KAP_LOG_WARN : KAP_LOG_INFO, "cluster",
                gossip_texts[ev->kind], kap_kv_s("member", ev->member ? ev->member->name : ""),
                kap_kv_s("addr", kap_swim_addr_text(ev->member ? &ev->member->addr : &ev->addr, addr)),
                kap_kv_s("detail", ev->text));
    c->life_dirty = true;
    if (ev->kind == KAP_SWIM_EV_LEAVE_DONE && c->left) {
        void (*left)(void *) = c->left;
        c->left = NULL;
        kap_loop_post(c->opts.loop, left, c->left_ctx);
    }
    kap_cluster_touch(c);
}

/* --- what follows from changes --- */

static enum kap_dedup_life life_of(const struct kap_cluster *c, const struct kap_member_info *m, const struct kap_cluster_link *link)
{
    const struct kap_swim_member *s = kap_cluster_seen(c, m->id);
    if (s && (s->status == KAP_SWIM_FAILED || s->status == KAP_SWIM_LEFT))
        return KAP_DEDUP_DEAD;
    /* A reset and then a refusal: nobody listens there any more. One of them and a failed probe is as good. */
    if (link && !link->up &&
        (link->hard_failures >= 2 || (link->hard_failures == 1 && s && s->status == KAP_SWIM_SUSPECT)))
        return KAP_DEDUP_PRESUMED;
    return s || (link && link->up) ? KAP_DEDUP_ALIVE : KAP_DEDUP_UNKNOWN;
}

static void tell_lives(struct kap_cluster *c)
{
    struct kap_dedup_member lives[KAP_MEMBERS_MAX];
    const size_t n = KAP_MIN(kap_members_count(c->members), (size_t)KAP_MEMBERS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct kap_member_info *m = kap_members_at(c->members, i);
        const struct kap_cluster_link *link = i > 0 ? find_link(c, kap_str(m->id)) : NULL;
        lives[i] = (struct kap_dedup_member){ .id = kap_str(m->id),
                                              .life = i == 0 ? KAP_DEDUP_ALIVE : life_of(c, m, link),
                                              .linked = link && link->up };
        if (link && !link->up && link->hard_failures == 1)
            kap_rpc_net_nudge(c->rpc, kap_str(m->id)); /* is anybody there? */
    }
    pthread_mutex_lock(&c->lock);
    c->nliving = 0;
    for (size_t i = 0; i < n; i++)
        if (lives[i].life != KAP_DEDUP_DEAD)
            snprintf(c->living[c->nliving++], sizeof c->living[0], "%.*s", KAP_STR_ARG(lives[i].id));
    pthread_mutex_unlock(&c->lock);
    c->io.members_changed(c->io.ctx, lives, n);
}

static void follow_links(struct kap_cluster *c)
{
    struct kap_cluster_link links[KAP_MEMBERS_MAX] = { 0 };
    struct kap_rpc_peer peers[KAP_MEMBERS_MAX];
    struct kap_gossip_seed seeds[KAP_MEMBERS_MAX];
    struct kap_str ids[KAP_MEMBERS_MAX];
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    const size_t n = KAP_MIN(kap_members_count(c->members), (size_t)KAP_MEMBERS_MAX);
    size_t others = 0;
    for (size_t i = 0; i < n; i++) {
        const struct kap_member_info *m = kap_members_at(c->members, i);
        if (!m)
            break;
        ids[i] = kap_str(m->id);
        if (i == 0)
            continue; /* ourselves */
        const struct kap_cluster_link *known = find_link(c, kap_str(m->id));
        links[others] = known ? *known : (struct kap_cluster_link){ 0 };
        memcpy(links[others].id, m->id, sizeof links[others].id);
        peers[others] = (struct kap_rpc_peer){ kap_str(m->id), m->rpc_address };
        seeds[others] = (struct kap_gossip_seed){ m->id, kap_arena_str(arena, m->gossip_address).p };
        others++;
    }
    memcpy(c->links, links, others * sizeof links[0]);
    c->nlinks = others;
    kap_catalog_members(c->catalog, ids, n);
    kap_rpc_net_peers(c->rpc, peers, others);
    kap_gossip_set_seeds(c->gossip, seeds, others);
}

/* A member alone neither gossips nor accepts gossip. */
static void follow_gossip(struct kap_cluster *c)
{
    const bool wanted = kap_members_initialized(c->members);
    const bool on = kap_swim_enabled(kap_gossip_core(c->gossip));
    struct kap_error err;
    if (wanted && kap_gossip_enable(c->gossip, kap_members_cluster_id(c->members), &err) != KAP_OK)
        kap_log(KAP_LOG_ERROR, "cluster", "gossip could not be started", kap_kv_s("err", err.msg));
    if (!wanted && on)
        kap_gossip_disable(c->gossip);
    if (wanted && on)
        kap_gossip_recheck(c->gossip);
}

static void on_timer(uv_timer_t *timer)
{
    kap_cluster_touch(timer->data);
}

static void arm(struct kap_cluster *c)
{
    const int64_t deadline = kap_catalog_deadline(c->catalog);
    if (deadline == INT64_MAX) {
        uv_timer_stop(&c->timer);
        return;
    }
    const int64_t wait_ms = (deadline - kap_clock_mono(c->opts.clock)) / 1000000 + 1;
    uv_timer_start(&c->timer, on_timer, (uint64_t)KAP_MAX(wait_ms, 0), 0);
}

static void settle(void *arg)
{
    struct kap_cluster *c = arg;
    c->touched = false;
    if (c->closed || !c->started)
        return;
    if (kap_catalog_deadline(c->catalog) <= kap_clock_mono(c->opts.clock))
        kap_catalog_tick(c->catalog);
    if (c->list_dirty) {
        c->list_dirty = false;
        c->life_dirty = true;
        follow_links(c);
        follow_gossip(c);
    }
    if (c->life_dirty) {
        c->life_dirty = false;
        tell_lives(c);
    }
    if (c->removed_dirty) {
        c->removed_dirty = false;
        c->io.removed(c->io.ctx);
    }
    arm(c);
}

/* --- life --- */

static void load_row(void *ctx, const struct kap_catalog_row *row)
{
    struct kap_cluster *c = ctx;
    const struct kap_catalog_entry e = { .kind = (enum kap_catalog_kind)row->kind, .id = row->id, .blob = row->blob,
                                         .deleted = row->deleted, .foreign = row->foreign, .stamp = row->stamp,
                                         .origin = row->origin };
    kap_catalog_load(c->catalog, &e);
}

static enum kap_status open_catalog(struct kap_cluster *c, struct kap_error *err)
{
    const struct kap_config_alert *alert = kap_config_section(c->opts.config, "alert");
    const struct kap_catalog_config config = { .self = kap_str(c->opts.identity->server_id), .clock = c->opts.clock,
                                               .full_sync_ns = alert->full_sync_interval_ns };
    const struct kap_catalog_io io = { .send = catalog_send, .store = catalog_store, .forget = catalog_forget,
                                       .set_watermark = catalog_set_watermark, .changed = catalog_changed,
                                       .done = catalog_done, .notice = catalog_notice, .ctx = c };
    KAP_TRY(kap_catalog_db_open(c->opts.data_dir, &c->db, err));
    c->catalog = kap_catalog_new(&config, &io);
    uint64_t watermark = 0;
    KAP_TRY(kap_catalog_db_load(c->db, load_row, c, &watermark, err));
    kap_catalog_load_watermark(c->catalog, watermark);
    return KAP_OK;
}

static bool count_member(void *ctx, const struct kap_catalog_entry *e)
{
    ++*(size_t *)ctx;
    return true;
}

/* A server that was not set up for a cluster must start although another one on this machine has the default port: it
 * takes any free one then. A port that the operator named, and that of a member of a cluster, is what must be used. */
static bool any_port_will_do(struct kap_cluster *c, const char *section, const struct kap_error *err)
{
    size_t members = 0;
    kap_catalog_each(c->catalog, KAP_CATALOG_MEMBER, count_member, &members);
    if (kap_config_given(c->opts.config, section) || members > 1)
        return false;
    kap_log(KAP_LOG_WARN, "cluster", "the default port is taken, using any free one: set bind-address to choose",
            kap_kv_s("section", section), kap_kv_s("err", err->msg));
    return true;
}

/* ":PORT" of a port that is free for TCP now. */
static struct kap_str free_port(struct kap_arena *arena)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) };
    socklen_t n = sizeof addr;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, n) != 0 || getsockname(fd, (struct sockaddr *)&addr, &n) != 0)
        addr.sin_port = 0;
    if (fd >= 0)
        close(fd);
    return kap_str(kap_arena_printf(arena, ":%d", ntohs(addr.sin_port)));
}

static enum kap_status open_rpc(struct kap_cluster *c, struct kap_error *err)
{
    const struct kap_config_rpc *rpc = kap_config_section(c->opts.config, "rpc");
    kap_config_advertise(rpc->advertise_address, rpc->bind_address, c->opts.hostname, &c->rpc_address);
    struct kap_rpc_net_config config = { .loop = kap_loop_uv(c->opts.loop), .bind_address = rpc->bind_address,
                                         .self = kap_str(c->opts.identity->server_id),
                                         .advertise = kap_buf_str(&c->rpc_address) };
    const struct kap_rpc_net_io io = { .hello = rpc_hello, .message = rpc_message, .request = rpc_request,
                                       .link = rpc_link, .notice = rpc_notice, .ctx = c };
    enum kap_status status = kap_rpc_net_new(&config, &io, &c->rpc, err);
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    if (status != KAP_OK && any_port_will_do(c, "rpc", err)) {
        config.bind_address = free_port(arena);
        kap_buf_reset(&c->rpc_address);
        kap_config_advertise((struct kap_str){ 0 }, config.bind_address, c->opts.hostname, &c->rpc_address);
        config.advertise = kap_buf_str(&c->rpc_address);
        status = kap_rpc_net_new(&config, &io, &c->rpc, err);
    }
    if (status != KAP_OK)
        return kap_wrap(err, "[rpc] bind-address");
    kap_rpc_net_set_cluster_id(c->rpc, kap_str(c->opts.identity->cluster_id));
    return KAP_OK;
}

static enum kap_status open_gossip(struct kap_cluster *c, struct kap_error *err)
{
    const struct kap_config_cluster *cluster = kap_config_section(c->opts.config, "cluster");
    kap_config_advertise(cluster->advertise_address, cluster->bind_address, c->opts.hostname, &c->gossip_address);
    const struct kap_wire_tag tags[] = {
        { KAP_STR("role"), KAP_STR("worker") },
        { KAP_STR("rpc"), kap_buf_str(&c->rpc_address) },
        { KAP_STR("api"), kap_buf_str(&c->api_address) },
    };
    struct kap_gossip_config config = { .bind = cluster->bind_address.p, .advertise = c->gossip_address.p,
                                        .clock = c->opts.clock, .event = gossip_event, .admit = gossip_admit, .ctx = c };
    kap_swim_config_init(&config.swim);
    c->task_redundancy = (size_t)KAP_MAX(cluster->task_redundancy, 0);
    config.swim.name = c->opts.identity->server_id;
    config.swim.tags = tags;
    config.swim.n_tags = KAP_COUNT(tags);
    config.swim.seed = kap_random_system_seed();
    if (cluster->gossip_interval_ns > 0)
        config.swim.gossip_interval_ns = cluster->gossip_interval_ns;
    if (cluster->gossip_sync_interval_ns > 0)
        config.swim.push_pull_interval_ns = cluster->gossip_sync_interval_ns;
    if (cluster->gossip_members > 0)
        config.swim.gossip_nodes = (unsigned)cluster->gossip_members;
    enum kap_status status = kap_gossip_start(kap_loop_uv(c->opts.loop), &config, &c->gossip, err);
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    if (status != KAP_OK && any_port_will_do(c, "cluster", err)) {
        const struct kap_str bind_address = free_port(arena);
        kap_buf_reset(&c->gossip_address);
        kap_config_advertise((struct kap_str){ 0 }, bind_address, c->opts.hostname, &c->gossip_address);
        config.bind = bind_address.p;
        config.advertise = c->gossip_address.p;
        status = kap_gossip_start(kap_loop_uv(c->opts.loop), &config, &c->gossip, err);
    }
    return status == KAP_OK ? KAP_OK : kap_wrap(err, "[cluster] bind-address");
}

static void open_members(struct kap_cluster *c)
{
    struct kap_members_config config = { .cluster_id = kap_str(c->opts.identity->cluster_id), .catalog = c->catalog };
    snprintf(config.self.id, sizeof config.self.id, "%s", c->opts.identity->server_id);
    config.self.gossip_address = kap_buf_str(&c->gossip_address);
    config.self.rpc_address = kap_buf_str(&c->rpc_address);
    config.self.api_address = kap_buf_str(&c->api_address);
    config.self.roles = KAP_STR("worker");
    config.self.hostname = c->opts.hostname;
    const struct kap_members_io io = { .call = members_call, .reply = members_reply, .finished = kap_cluster_command_finished,
                                       .set_cluster_id = members_set_cluster_id, .list_changed = members_list_changed,
                                       .removed = members_removed, .notice = members_notice, .ctx = c };
    c->members = kap_members_new(&config, &io);
}

enum kap_status kap_cluster_new(const struct kap_cluster_options *opts, const struct kap_cluster_io *io,
                                struct kap_cluster **ret, struct kap_error *err)
{
    struct kap_cluster *c = KAP_NEW(struct kap_cluster);
    *ret = c; /* closed by the caller also when the rest fails */
    c->opts = *opts;
    c->io = *io;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->finished, NULL);
    memcpy(c->cluster_id, opts->identity->cluster_id, sizeof c->cluster_id);
    uv_timer_init(kap_loop_uv(opts->loop), &c->timer);
    c->timer.data = c;
    const struct kap_config_http *http = kap_config_section(opts->config, "http");
    kap_config_advertise(http->advertise_address, http->bind_address, opts->hostname, &c->api_address);
    KAP_TRY(open_catalog(c, err));
    KAP_TRY(open_rpc(c, err));
    KAP_TRY(open_gossip(c, err));
    open_members(c);
    return KAP_OK;
}

void kap_cluster_start(struct kap_cluster *c)
{
    c->started = true;
    c->list_dirty = true;
    kap_members_start(c->members);
    kap_cluster_touch(c);
}

void kap_cluster_leave(struct kap_cluster *c, void (*done)(void *ctx), void *ctx)
{
    if (!kap_swim_enabled(kap_gossip_core(c->gossip))) {
        kap_loop_post(c->opts.loop, done, ctx);
        return;
    }
    c->left = done;
    c->left_ctx = ctx;
    kap_gossip_leave(c->gossip);
}

void kap_cluster_close(struct kap_cluster *c)
{
    if (!c || c->closed)
        return;
    c->closed = true;
    uv_close((uv_handle_t *)&c->timer, NULL);
    if (c->gossip)
        kap_gossip_stop(c->gossip, NULL, NULL);
    if (c->rpc)
        kap_rpc_net_close(c->rpc);
}

void kap_cluster_free(struct kap_cluster *c)
{
    if (!c)
        return;
    if (c->db)
        kap_catalog_db_close(c->db);
    kap_members_free(c->members);
    kap_catalog_free(c->catalog);
    kap_buf_done(&c->gossip_address);
    kap_buf_done(&c->rpc_address);
    kap_buf_done(&c->api_address);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->finished);
    kap_free(c);
}

struct kap_catalog *kap_cluster_catalog(struct kap_cluster *c)
{
    return c->catalog;
}

static enum kap_status open_copy(const char *path, int *ret_fd, uint64_t *ret_bytes, struct kap_error *err)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int error = errno;
        if (fd >= 0)
            close(fd);
        return kap_fail(err, KAP_EIO, "cannot read the copy %s: %s", path, strerror(error));
    }
    *ret_fd = fd;
    *ret_bytes = (uint64_t)st.st_size;
    return KAP_OK;
}

/* In a folder of its own, that nobody else may look into: definitions hold secrets. */
enum kap_status kap_cluster_backup(struct kap_cluster *c, int *ret_fd, uint64_t *ret_bytes, struct kap_error *err)
{
    KAP_AUTO_FREE char *folder = kap_asprintf("%s/backup-XXXXXX", c->opts.data_dir);
    if (mkdtemp(folder) == NULL)
        return kap_fail(err, KAP_EIO, "cannot make a folder in %s: %s", c->opts.data_dir, strerror(errno));
    KAP_AUTO_FREE char *path = kap_asprintf("%s/catalog.db", folder);
    enum kap_status st = kap_catalog_db_copy(c->db, path, err);
    if (st == KAP_OK)
        st = open_copy(path, ret_fd, ret_bytes, err);
    unlink(path);
    rmdir(folder);
    return st;
}

void kap_cluster_settle(struct kap_cluster *c)
{
    kap_cluster_touch(c);
}

bool kap_cluster_places(struct kap_cluster *c, struct kap_str task)
{
    struct kap_str ids[KAP_MEMBERS_MAX];
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->nliving; i++)
        ids[i] = kap_str(c->living[i]);
    const bool here = c->nliving == 0 || kap_owners_has(task, ids, c->nliving, c->task_redundancy, 0);
    pthread_mutex_unlock(&c->lock);
    return here;
}

uint64_t kap_cluster_token(struct kap_cluster *c)
{
    return ++c->next_token;
}

void kap_cluster_on_durable(struct kap_cluster *c, void (*fn)(void *ctx, uint64_t token, enum kap_status status), void *ctx)
{
    c->durable = fn;
    c->durable_ctx = ctx;
}

bool kap_cluster_send(struct kap_cluster *c, struct kap_str member, struct kap_str bytes)
{
    return kap_rpc_net_send(c->rpc, member, KAP_RPC_DEDUP, bytes);
}
