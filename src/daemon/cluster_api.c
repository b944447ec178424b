/* What other threads ask of the cluster: operators' commands, the list of members, figures. */
#include "daemon/cluster_impl.h"
#include "base/mem.h"

/* --- operators' commands, from other threads --- */

struct kap_cluster_command { /* on the stack of the thread that waits for it */
    struct kap_cluster *c;
    struct kap_str argument;
    bool remove;
    uint64_t token;
    bool finished;
    enum kap_status status;
    struct kap_error *err;
    struct kap_cluster_command *next;
};

void kap_cluster_command_finished(void *ctx, uint64_t token, enum kap_status status, const struct kap_error *err)
{
    struct kap_cluster *c = ctx;
    for (struct kap_cluster_command **at = &c->commands; *at; at = &(*at)->next) {
        struct kap_cluster_command *cmd = *at;
        if (cmd->token != token)
            continue;
        *at = cmd->next;
        pthread_mutex_lock(&c->lock);
        if (status != KAP_OK && err && cmd->err)
            *cmd->err = *err;
        cmd->status = status;
        cmd->finished = true;
        pthread_cond_broadcast(&c->finished);
        pthread_mutex_unlock(&c->lock);
        return;
    }
}

static void command_on_loop(void *arg)
{
    struct kap_cluster_command *cmd = arg;
    struct kap_cluster *c = cmd->c;
    cmd->token = ++c->next_token;
    cmd->next = c->commands;
    c->commands = cmd;
    if (cmd->remove)
        kap_members_remove(c->members, cmd->argument, cmd->token);
    else
        kap_members_add(c->members, cmd->argument, cmd->token);
    kap_cluster_touch(c);
}

static enum kap_status run_command(struct kap_cluster *c, struct kap_str argument, bool remove, struct kap_error *err)
{
    struct kap_cluster_command cmd = { .c = c, .argument = argument, .remove = remove, .err = err };
    if (!kap_loop_call(c->opts.loop, command_on_loop, &cmd))
        return kap_fail(err, KAP_ESTATE, "the server is shutting down");
    pthread_mutex_lock(&c->lock);
    while (!cmd.finished)
        pthread_cond_wait(&c->finished, &c->lock);
    pthread_mutex_unlock(&c->lock);
    return cmd.status;
}

/* --- what the API shows --- */

struct listing {
    struct kap_cluster *c;
    struct kap_arena *arena;
    struct kap_api_member members[KAP_MEMBERS_MAX];
    size_t n;
    bool initialized;
};

static const char *status_of(const struct kap_cluster *c, const struct kap_member_info *m)
{
    const struct kap_swim_member *s = kap_cluster_seen(c, m->id);
    if (s)
        return kap_swim_status_name(s->status);
    return kap_rpc_net_linked(c->rpc, kap_str(m->id)) ? "alive" : "failed";
}

static void list_on_loop(void *arg)
{
    struct listing *l = arg;
    const struct kap_cluster *c = l->c;
    l->initialized = kap_members_initialized(c->members);
    l->n = KAP_MIN(kap_members_count(c->members), (size_t)KAP_MEMBERS_MAX);
    for (size_t i = 0; i < l->n; i++) {
        const struct kap_member_info *m = kap_members_at(c->members, i);
        l->members[i] = (struct kap_api_member){
            .id = kap_arena_str(l->arena, kap_str(m->id)),
            .gossip_address = kap_arena_str(l->arena, m->gossip_address),
            .rpc_address = kap_arena_str(l->arena, m->rpc_address),
            .api_address = kap_arena_str(l->arena, m->api_address),
            .roles = kap_arena_str(l->arena, m->roles),
            .status = kap_str(i == 0 ? "alive" : status_of(c, m)),
        };
    }
}

static void api_members(void *ctx, void (*fn)(void *fn_ctx, const struct kap_api_member *m), void *fn_ctx)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct listing l = { .c = ctx, .arena = arena };
    kap_loop_call(l.c->opts.loop, list_on_loop, &l);
    for (size_t i = 0; i < l.n; i++)
        fn(fn_ctx, &l.members[i]);
}

static bool api_initialized(void *ctx)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct listing l = { .c = ctx, .arena = arena };
    kap_loop_call(l.c->opts.loop, list_on_loop, &l);
    return l.initialized;
}

static void api_ids(void *ctx, char cluster_id[37], char server_id[37])
{
    struct kap_cluster *c = ctx;
    pthread_mutex_lock(&c->lock);
    memcpy(cluster_id, c->cluster_id, sizeof c->cluster_id);
    pthread_mutex_unlock(&c->lock);
    memcpy(server_id, c->opts.identity->server_id, sizeof c->opts.identity->server_id);
}

static enum kap_status api_add(void *ctx, struct kap_str rpc_address, struct kap_error *err)
{
    return run_command(ctx, rpc_address, false, err);
}

static enum kap_status api_remove(void *ctx, struct kap_str member_id, struct kap_error *err)
{
    return run_command(ctx, member_id, true, err);
}

void kap_cluster_api(struct kap_cluster *c, struct kap_api_cluster *ret)
{
    *ret = (struct kap_api_cluster){ .ctx = c, .members = api_members, .initialized = api_initialized, .ids = api_ids,
                                     .add = api_add, .remove = api_remove };
}

struct stats {
    struct kap_cluster *c;
    struct kap_catalog_stats catalog;
    struct kap_rpc_net_stats rpc;
    struct kap_swim_stats swim;
    size_t members;
};

static void stats_on_loop(void *arg)
{
    struct stats *s = arg;
    s->catalog = kap_catalog_stats(s->c->catalog);
    s->rpc = kap_rpc_net_stats(s->c->rpc);
    s->swim = kap_swim_stats(kap_gossip_core(s->c->gossip));
    s->members = kap_members_count(s->c->members);
}

void kap_cluster_stats(struct kap_cluster *c, struct kap_api_stats *w)
{
    struct stats s = { .c = c };
    if (!kap_loop_call(c->opts.loop, stats_on_loop, &s))
        return;
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        { "members", s.members }, { "definitions", s.catalog.entries }, { "tombstones", s.catalog.tombstones },
        { "definitions_unstored", s.catalog.unstored }, { "members_behind", s.catalog.peers_behind },
        { "catalog_pushes", s.catalog.pushes }, { "catalog_repairs", s.catalog.repairs },
        { "rpc_links", s.rpc.links }, { "rpc_messages_in", s.rpc.messages_in },
        { "rpc_messages_out", s.rpc.messages_out }, { "rpc_dropped", s.rpc.dropped },
        { "gossip_bytes_in", s.swim.bytes_in }, { "gossip_bytes_out", s.swim.bytes_out },
        { "gossip_bad_datagrams", s.swim.bad_datagrams }, { "gossip_refused", s.swim.refused },
        { "probes", s.swim.probes }, { "probes_failed", s.swim.probes_failed }, { "suspicions", s.swim.suspicions },
        { "failures", s.swim.failures },
    };
    kap_api_stat_begin(w, "kapacitor_cluster", NULL);
    for (size_t i = 0; i < KAP_COUNT(figures); i++)
        kap_api_stat_value(w, figures[i].name, (int64_t)figures[i].value);
    kap_api_stat_end(w);
}
