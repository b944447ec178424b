#include "cluster/member.h"

#include "base/mem.h"
#include "cluster/rpc.pb-c.h"
#include "cluster/rpc_wire.h"
#include <stdlib.h>

struct listed {
    struct kap_member_info info; /* strings owned */
    uint64_t added;
};

/* A call of ours that waits for its answer. */
struct asked {
    struct asked *next;
    uint64_t token; /* of the call */
    uint64_t operator_token;
    enum { ASKED_PREPARE, ASKED_ADOPT, ASKED_REMOVED, ASKED_REMOVE } what;
    kap_uuid member;
    char *address;
};

struct kap_members {
    struct kap_members_io io;
    struct kap_catalog *catalog;
    struct kap_random *random;
    struct kap_member_info self; /* strings owned */
    kap_uuid cluster_id;
    struct listed *list; /* ourselves first */
    size_t n, cap;
    uint64_t last_token;
    struct asked *asked;
    kap_uuid adopting[KAP_MEMBERS_MAX]; /* listed by us, not heard of in our cluster yet */
    size_t n_adopting;
};

/* ---- members as bytes ---- */

static char *copy_str(struct kap_str s, struct kap_str *ret)
{
    char *copy = kap_strndup(s.n ? s.p : "", s.n);
    *ret = kap_strn(copy, s.n);
    return copy;
}

static void info_copy(struct kap_member_info *to, const struct kap_member_info *from)
{
    memcpy(to->id, from->id, sizeof to->id);
    copy_str(from->gossip_address, &to->gossip_address);
    copy_str(from->rpc_address, &to->rpc_address);
    copy_str(from->api_address, &to->api_address);
    copy_str(from->roles, &to->roles);
    copy_str(from->hostname, &to->hostname);
}

static void free_str(struct kap_str s)
{
    free((void *)(uintptr_t)s.p);
}

static void info_done(struct kap_member_info *i)
{
    free_str(i->gossip_address);
    free_str(i->rpc_address);
    free_str(i->api_address);
    free_str(i->roles);
    free_str(i->hostname);
}

static bool info_same(const struct kap_member_info *a, const struct kap_member_info *b)
{
    return strcmp(a->id, b->id) == 0 && kap_str_eq(a->gossip_address, b->gossip_address) &&
           kap_str_eq(a->rpc_address, b->rpc_address) && kap_str_eq(a->api_address, b->api_address) &&
           kap_str_eq(a->roles, b->roles) && kap_str_eq(a->hostname, b->hostname);
}

static Kap__Rpc__MemberInfo info_message(const struct kap_member_info *i, uint64_t added)
{
    Kap__Rpc__MemberInfo m = KAP__RPC__MEMBER_INFO__INIT;
    m.id = kap_pb(kap_str(i->id));
    m.gossip_address = kap_pb(i->gossip_address);
    m.rpc_address = kap_pb(i->rpc_address);
    m.api_address = kap_pb(i->api_address);
    m.roles = kap_pb(i->roles);
    m.hostname = kap_pb(i->hostname);
    m.added = added;
    return m;
}

/* Borrows from m. False: it has no proper ID. */
static bool info_read(const Kap__Rpc__MemberInfo *m, struct kap_member_info *ret)
{
    if (!m || !kap_uuid_valid(kap_pb_str(m->id)))
        return false;
    *ret = (struct kap_member_info){
        .gossip_address = kap_pb_str(m->gossip_address),
        .rpc_address = kap_pb_str(m->rpc_address),
        .api_address = kap_pb_str(m->api_address),
        .roles = kap_pb_str(m->roles),
        .hostname = kap_pb_str(m->hostname),
    };
    memcpy(ret->id, m->id.data, KAP_UUID_LEN);
    ret->id[KAP_UUID_LEN] = '\0';
    return true;
}

static void put_member(struct kap_members *m, const struct kap_member_info *i, uint64_t added)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const Kap__Rpc__MemberInfo message = info_message(i, added);
    kap_rpc_pack(&b, &message.base);
    /* Cannot fail: the ID is a UUID and the addresses are ours to bound. */
    (void)kap_catalog_put(m->catalog, KAP_CATALOG_MEMBER, kap_str(i->id), kap_buf_str(&b), 0, NULL);
}

/* ---- the list ---- */

static void list_clear(struct kap_members *m)
{
    for (size_t i = 0; i < m->n; i++)
        info_done(&m->list[i].info);
    m->n = 0;
}

static void list_add(struct kap_members *m, const struct kap_member_info *info, uint64_t added)
{
    KAP_GROW(m->list, m->cap, m->n + 1);
    m->list[m->n].added = added;
    info_copy(&m->list[m->n].info, info);
    m->n++;
}

static bool list_entry(void *ctx, const struct kap_catalog_entry *e)
{
    struct kap_members *m = ctx;
    Kap__Rpc__MemberInfo *message =
        kap__rpc__member_info__unpack(NULL, e->blob.n, (const uint8_t *)e->blob.p);
    struct kap_member_info info;
    if (message && info_read(message, &info) && kap_str_eq(kap_str(info.id), e->id) &&
        m->n < KAP_MEMBERS_MAX) {
        if (strcmp(info.id, m->self.id) == 0)
            m->list[0].added = message->added;
        else
            list_add(m, &info, message->added);
    }
    if (message)
        kap__rpc__member_info__free_unpacked(message, NULL);
    return true;
}

static int by_added(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    if (x->added != y->added)
        return x->added < y->added ? -1 : 1;
    return strcmp(x->info.id, y->info.id);
}

static void list_load(struct kap_members *m)
{
    list_clear(m);
    list_add(m, &m->self, 0);
    kap_catalog_each(m->catalog, KAP_CATALOG_MEMBER, list_entry, m);
    if (m->n > 1)
        qsort(m->list + 1, m->n - 1, sizeof *m->list, by_added);
}

size_t kap_members_count(const struct kap_members *m)
{
    return m->n;
}

const struct kap_member_info *kap_members_at(const struct kap_members *m, size_t i)
{
    return i < m->n ? &m->list[i].info : NULL;
}

const struct kap_member_info *kap_members_find(const struct kap_members *m, struct kap_str id)
{
    for (size_t i = 0; i < m->n; i++)
        if (kap_str_is(id, m->list[i].info.id))
            return &m->list[i].info;
    return NULL;
}

const char *kap_members_cluster_id(const struct kap_members *m)
{
    return m->cluster_id;
}

const char *kap_members_self(const struct kap_members *m)
{
    return m->self.id;
}

bool kap_members_initialized(const struct kap_members *m)
{
    return m->n > 1;
}

/* ---- life ---- */

struct kap_members *kap_members_new(const struct kap_members_config *config, const struct kap_members_io *io)
{
    struct kap_members *m = KAP_NEW(struct kap_members);
    m->io = *io;
    m->catalog = config->catalog;
    m->random = config->random;
    info_copy(&m->self, &config->self);
    memcpy(m->cluster_id, config->cluster_id.p, KAP_MIN(config->cluster_id.n, (size_t)KAP_UUID_LEN));
    list_load(m);
    return m;
}

void kap_members_free(struct kap_members *m)
{
    if (!m)
        return;
    list_clear(m);
    info_done(&m->self);
    for (struct asked *a = m->asked, *next; a; a = next) {
        next = a->next;
        kap_free(a->address);
        kap_free(a);
    }
    kap_free(m->list);
    kap_free(m);
}

static uint64_t now_stamp(const struct kap_members *m)
{
    uint64_t last = 0;
    for (size_t i = 0; i < m->n; i++)
        last = KAP_MAX(last, m->list[i].added);
    return last + 1;
}

void kap_members_start(struct kap_members *m)
{
    const struct kap_catalog_entry *own =
        kap_catalog_get(m->catalog, KAP_CATALOG_MEMBER, kap_str(m->self.id));
    Kap__Rpc__MemberInfo *message =
        own ? kap__rpc__member_info__unpack(NULL, own->blob.n, (const uint8_t *)own->blob.p) : NULL;
    struct kap_member_info info;
    const bool same = message && info_read(message, &info) && info_same(&info, &m->self);
    const uint64_t added = message ? message->added : now_stamp(m);
    if (message)
        kap__rpc__member_info__free_unpacked(message, NULL);
    if (!same)
        put_member(m, &m->self, added);
    m->io.list_changed(m->io.ctx);
}

void kap_members_changed(struct kap_members *m, const struct kap_catalog_entry *e)
{
    (void)e;
    list_load(m);
    m->io.list_changed(m->io.ctx);
}

/* ---- calls ---- */

static void send_call(struct kap_members *m, struct kap_str address, const Kap__Rpc__MemberCall *call,
                      int what, const char *member, uint64_t operator_token)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_rpc_pack(&b, &call->base);
    struct asked *a = KAP_NEW(struct asked);
    a->token = ++m->last_token;
    a->operator_token = operator_token;
    a->what = what;
    memcpy(a->member, member, strlen(member));
    a->address = kap_strndup(address.p, address.n);
    a->next = m->asked;
    m->asked = a;
    m->io.call(m->io.ctx, kap_str(a->address), kap_buf_str(&b), a->token);
}

static void call_with(struct kap_members *m, struct kap_str address, Kap__Rpc__MemberCall__Kind kind,
                      const char *about, uint64_t operator_token)
{
    Kap__Rpc__MemberCall call = KAP__RPC__MEMBER_CALL__INIT;
    Kap__Rpc__MemberInfo caller = info_message(&m->self, 0);
    Kap__Rpc__MemberInfo *items = KAP_ARRAY(Kap__Rpc__MemberInfo, m->n + 1);
    Kap__Rpc__MemberInfo **refs = KAP_ARRAY(Kap__Rpc__MemberInfo *, m->n + 1);
    call.kind = kind;
    call.cluster_id = kap_pb(kap_str(m->cluster_id));
    call.member_id = kap_pb(kap_str(about));
    call.caller = &caller;
    int what = ASKED_PREPARE;
    if (kind == KAP__RPC__MEMBER_CALL__KIND__ADOPT) {
        what = ASKED_ADOPT;
        for (size_t i = 0; i < m->n; i++) {
            items[i] = info_message(&m->list[i].info, m->list[i].added);
            refs[i] = &items[i];
        }
        call.n_members = m->n;
        call.members = refs;
    } else if (kind == KAP__RPC__MEMBER_CALL__KIND__REMOVED) {
        what = ASKED_REMOVED;
    } else if (kind == KAP__RPC__MEMBER_CALL__KIND__REMOVE) {
        what = ASKED_REMOVE;
    }
    send_call(m, address, &call, what, about, operator_token);
    kap_free(items);
    kap_free(refs);
}

static void finish(struct kap_members *m, uint64_t token, enum kap_status status, const struct kap_error *err)
{
    if (token)
        m->io.finished(m->io.ctx, token, status, err);
}

/* ---- adding ---- */

void kap_members_add(struct kap_members *m, struct kap_str rpc_address, uint64_t token)
{
    struct kap_error err;
    if (rpc_address.n == 0 || !memchr(rpc_address.p, ':', rpc_address.n)) {
        finish(m, token,
               kap_fail(&err, KAP_EINVAL, "'%.*s' is not an RPC address: give host:port, e.g. serverB:9091",
                        KAP_STR_ARG(rpc_address)),
               &err);
        return;
    }
    if (m->n >= KAP_MEMBERS_MAX) {
        finish(m, token, kap_fail(&err, KAP_ELIMIT, "a cluster has at most %d members", KAP_MEMBERS_MAX),
               &err);
        return;
    }
    call_with(m, rpc_address, KAP__RPC__MEMBER_CALL__KIND__PREPARE, "", token);
}

static bool is_adopting(const struct kap_members *m, const char *id)
{
    for (size_t i = 0; i < m->n_adopting; i++)
        if (strcmp(m->adopting[i], id) == 0)
            return true;
    return false;
}

static void adopting_end(struct kap_members *m, const char *id)
{
    for (size_t i = 0; i < m->n_adopting; i++)
        if (strcmp(m->adopting[i], id) == 0)
            memcpy(m->adopting[i], m->adopting[--m->n_adopting], sizeof m->adopting[i]);
}

/* It may be added: list it, then tell it. The address that the operator gave reaches it for sure. */
static void prepared(struct kap_members *m, const struct asked *a, const struct kap_member_info *info)
{
    struct kap_error err;
    if (strcmp(info->id, m->self.id) == 0) {
        finish(m, a->operator_token, kap_fail(&err, KAP_EINVAL, "%s is this member itself", a->address),
               &err);
        return;
    }
    const bool known = kap_members_find(m, kap_str(info->id)) != NULL;
    if (!known)
        put_member(m, info, now_stamp(m));
    if (!is_adopting(m, info->id) && m->n_adopting < KAP_MEMBERS_MAX)
        memcpy(m->adopting[m->n_adopting++], info->id, sizeof info->id);
    call_with(m, kap_str(a->address), KAP__RPC__MEMBER_CALL__KIND__ADOPT, info->id, a->operator_token);
}

/* ---- removing ---- */

static void drop_member(struct kap_members *m, const char *id)
{
    adopting_end(m, id);
    (void)kap_catalog_drop(m->catalog, KAP_CATALOG_MEMBER, kap_str(id), 0, NULL);
}

void kap_members_remove(struct kap_members *m, struct kap_str id, uint64_t token)
{
    struct kap_error err;
    const struct kap_member_info *info = kap_members_find(m, id);
    if (!info) {
        finish(m, token,
               kap_fail(&err, KAP_ENOTFOUND, "no member has the ID '%.*s'; 'member list' shows the members",
                        KAP_STR_ARG(id)),
               &err);
        return;
    }
    if (m->n == 1) {
        finish(m, token,
               kap_fail(&err, KAP_ESTATE, "this member is alone; there is no cluster to remove it from"),
               &err);
        return;
    }
    if (info == &m->list[0].info) { /* the others must know: one of them does it */
        call_with(m, m->list[1].info.rpc_address, KAP__RPC__MEMBER_CALL__KIND__REMOVE, m->self.id, token);
        return;
    }
    KAP_AUTO_FREE char *address = kap_strndup(info->rpc_address.p, info->rpc_address.n);
    kap_uuid member;
    memcpy(member, info->id, sizeof member);
    drop_member(m, member);
    call_with(m, kap_str(address), KAP__RPC__MEMBER_CALL__KIND__REMOVED, member, token);
}

static void become_alone(struct kap_members *m, struct kap_str by)
{
    kap_uuid fresh;
    if (m->random)
        kap_uuid_random(m->random, fresh);
    else
        kap_uuid_new(fresh);
    KAP_AUTO_FREE char *remover = kap_strndup(by.n ? by.p : "", by.n);
    memcpy(m->cluster_id, fresh, sizeof fresh);
    m->io.set_cluster_id(m->io.ctx, kap_str(fresh));
    kap_catalog_detach(m->catalog);
    m->n_adopting = 0;
    put_member(m, &m->self, 1);
    list_load(m);
    m->io.removed(m->io.ctx, kap_str(remover));
    m->io.list_changed(m->io.ctx);
}

/* ---- answers ---- */

static enum kap_status answer_status(const Kap__Rpc__MemberAnswer *ans, const struct asked *a,
                                     struct kap_error *err)
{
    if (ans->status == KAP_OK)
        return KAP_OK;
    const enum kap_status status =
        ans->status <= KAP_EINTERNAL ? (enum kap_status)ans->status : KAP_EINTERNAL;
    if (ans->text.len == 0 || ans->text.data[0] == '\0')
        return kap_fail(err, status, "%s refused and did not say why", a->address);
    return kap_fail(err, status, "%.*s", (int)ans->text.len, (const char *)ans->text.data);
}

static void answered(struct kap_members *m, const struct asked *a, enum kap_status status,
                     const struct kap_member_info *info, const struct kap_error *err)
{
    switch (a->what) {
    case ASKED_PREPARE:
        if (status == KAP_OK && info)
            prepared(m, a, info);
        else
            finish(m, a->operator_token, status, err);
        break;
    case ASKED_ADOPT:
        if (status == KAP_OK)
            adopting_end(m, a->member);
        else if (status == KAP_ESTATE)
            drop_member(m, a->member); /* it joined another cluster a moment ago */
        finish(m, a->operator_token, status, err);
        break;
    case ASKED_REMOVED:
        /* Whether it heard or not, it is removed; it learns of it when it comes back. */
        finish(m, a->operator_token, KAP_OK, NULL);
        break;
    case ASKED_REMOVE:
        finish(m, a->operator_token, status, err);
        break;
    }
}

void kap_members_answer(struct kap_members *m, uint64_t token, enum kap_status status, struct kap_str bytes,
                        const struct kap_error *err)
{
    struct asked **at = &m->asked;
    while (*at && (*at)->token != token)
        at = &(*at)->next;
    struct asked *a = *at;
    if (!a)
        return;
    *at = a->next;
    struct kap_error local;
    struct kap_member_info info;
    bool has_info = false;
    Kap__Rpc__MemberAnswer *ans = NULL;
    if (status == KAP_OK) {
        ans = kap__rpc__member_answer__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);
        status = ans ? answer_status(ans, a, &local)
                     : kap_fail(&local, KAP_EIO, "%s did not answer as a member does", a->address);
        has_info = ans && info_read(ans->member, &info);
        if (status == KAP_OK && a->what == ASKED_PREPARE && !has_info)
            status = kap_fail(&local, KAP_EIO, "%s did not say who it is", a->address);
    } else if (a->what == ASKED_ADOPT) {
        status = kap_fail(&local, status,
                          "the member at %s is listed but did not answer in time (%s); it joins as soon as "
                          "it can be reached",
                          a->address, err ? err->msg : "");
    } else {
        status = kap_fail(&local, status, "%s: %s", a->address, err ? err->msg : "no answer");
    }
    answered(m, a, status, has_info ? &info : NULL, status == KAP_OK ? NULL : &local);
    if (ans)
        kap__rpc__member_answer__free_unpacked(ans, NULL);
    kap_free(a->address);
    kap_free(a);
}

/* ---- requests ---- */

static void reply(struct kap_members *m, uint64_t call, enum kap_status status, const struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    Kap__Rpc__MemberAnswer ans = KAP__RPC__MEMBER_ANSWER__INIT;
    Kap__Rpc__MemberInfo self = info_message(&m->self, 0);
    ans.status = (uint32_t)status;
    if (status != KAP_OK)
        ans.text = kap_pb(kap_str(err->msg));
    ans.member = &self;
    kap_rpc_pack(&b, &ans.base);
    m->io.reply(m->io.ctx, call, kap_buf_str(&b));
}

static bool is_our_cluster(const struct kap_members *m, const Kap__Rpc__MemberCall *call)
{
    return kap_str_is(kap_pb_str(call->cluster_id), m->cluster_id);
}

static enum kap_status may_be_added(const struct kap_members *m, const Kap__Rpc__MemberCall *call,
                                    struct kap_error *err)
{
    if (!kap_uuid_valid(kap_pb_str(call->cluster_id)))
        return kap_fail(err, KAP_EINVAL, "the cluster ID is not a UUID");
    if (m->n == 1 || is_our_cluster(m, call))
        return KAP_OK;
    return kap_fail(
        err, KAP_ESTATE,
        "member %s (%.*s) belongs to cluster %s with %zu other member%s: remove it there first with "
        "'kapacitor-ctl member remove %s', then add it here",
        m->self.id, KAP_STR_ARG(m->self.rpc_address), m->cluster_id, m->n - 1, m->n == 2 ? "" : "s",
        m->self.id);
}

static void seed_members(struct kap_members *m, const Kap__Rpc__MemberCall *call)
{
    for (size_t i = 0; i < call->n_members; i++) {
        struct kap_member_info info;
        if (!info_read(call->members[i], &info))
            continue;
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_rpc_pack(&b, &call->members[i]->base);
        kap_catalog_seed(m->catalog, KAP_CATALOG_MEMBER, kap_str(info.id), kap_buf_str(&b));
    }
}

static enum kap_status adopt(struct kap_members *m, const Kap__Rpc__MemberCall *call, struct kap_error *err)
{
    KAP_TRY(may_be_added(m, call, err));
    if (is_our_cluster(m, call) && m->n > 1)
        return KAP_OK; /* told again */
    memcpy(m->cluster_id, call->cluster_id.data, KAP_UUID_LEN);
    m->io.set_cluster_id(m->io.ctx, kap_str(m->cluster_id));
    kap_catalog_rebase(m->catalog);
    seed_members(m, call);
    list_load(m);
    m->io.list_changed(m->io.ctx);
    return KAP_OK;
}

static enum kap_status removed(struct kap_members *m, const Kap__Rpc__MemberCall *call, struct kap_error *err)
{
    struct kap_member_info by;
    if (!is_our_cluster(m, call) || !kap_str_is(kap_pb_str(call->member_id), m->self.id))
        return KAP_OK; /* it is so already */
    if (!info_read(call->caller, &by) || (m->n > 1 && !kap_members_find(m, kap_str(by.id))))
        return kap_fail(err, KAP_ESTATE, "only a member of the cluster can remove a member");
    become_alone(m, kap_str(by.id));
    return KAP_OK;
}

static enum kap_status remove_for(struct kap_members *m, const Kap__Rpc__MemberCall *call,
                                  struct kap_error *err)
{
    const struct kap_member_info *info = kap_members_find(m, kap_pb_str(call->member_id));
    if (!is_our_cluster(m, call) || !info || info == &m->list[0].info)
        return kap_fail(err, KAP_ENOTFOUND, "no such member is listed at %s", m->self.id);
    KAP_AUTO_FREE char *address = kap_strndup(info->rpc_address.p, info->rpc_address.n);
    kap_uuid member;
    memcpy(member, info->id, sizeof member);
    drop_member(m, member);
    call_with(m, kap_str(address), KAP__RPC__MEMBER_CALL__KIND__REMOVED, member, 0);
    return KAP_OK;
}

void kap_members_request(struct kap_members *m, struct kap_str from, uint64_t call_id, struct kap_str bytes)
{
    struct kap_error err;
    Kap__Rpc__MemberCall *call = kap__rpc__member_call__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);
    if (!call) {
        reply(m, call_id, kap_fail(&err, KAP_EINVAL, "the call cannot be read"), &err);
        return;
    }
    enum kap_status status = KAP_OK;
    switch (call->kind) {
    case KAP__RPC__MEMBER_CALL__KIND__PREPARE:
        status = may_be_added(m, call, &err);
        break;
    case KAP__RPC__MEMBER_CALL__KIND__ADOPT:
        status = adopt(m, call, &err);
        break;
    case KAP__RPC__MEMBER_CALL__KIND__REMOVED:
        status = removed(m, call, &err);
        break;
    case KAP__RPC__MEMBER_CALL__KIND__REMOVE:
        status = remove_for(m, call, &err);
        break;
    default:
        status = kap_fail(&err, KAP_EINVAL, "unknown call %d; is that member newer?", (int)call->kind);
        break;
    }
    reply(m, call_id, status, &err);
    kap__rpc__member_call__free_unpacked(call, NULL);
}

enum kap_members_welcome kap_members_hello(struct kap_members *m, struct kap_str id,
                                           struct kap_str cluster_id, struct kap_str rpc_address)
{
    const bool same = kap_str_is(cluster_id, m->cluster_id);
    const struct kap_member_info *info = kap_members_find(m, id);
    if (info && same) {
        adopting_end(m, info->id);
        return info == &m->list[0].info ? KAP_WELCOME_STRANGER : KAP_WELCOME_MEMBER;
    }
    if (info) {
        if (is_adopting(m, info->id))
            call_with(m, rpc_address, KAP__RPC__MEMBER_CALL__KIND__ADOPT, info->id, 0);
        else
            m->io.notice(
                m->io.ctx,
                "a listed member says that it belongs to another cluster; if it was removed, remove it "
                "here as well");
        return KAP_WELCOME_STRANGER;
    }
    if (same && kap_catalog_was_dropped(m->catalog, KAP_CATALOG_MEMBER, id)) {
        KAP_AUTO_FREE char *member = kap_strndup(id.p, id.n);
        if (kap_uuid_valid(id))
            call_with(m, rpc_address, KAP__RPC__MEMBER_CALL__KIND__REMOVED, member, 0);
        return KAP_WELCOME_REMOVED;
    }
    return KAP_WELCOME_STRANGER;
}
