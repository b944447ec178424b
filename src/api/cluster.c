/* /cluster: the members, adding and removing. Ours: the reference has no clustering.
 *   GET    /cluster               {"state", "cluster-id", "local-member-id", "members": [..]}
 *   POST   /cluster/members       {"rpc-address": "host:9091"}: 204 when it has joined
 *   DELETE /cluster/members/ID    204 */
#include "api/resource.h"

#include <jansson.h>

static void write_member(void *ctx, const struct kap_api_member *m)
{
    struct kap_json *j = ctx;
    const struct {
        const char *key;
        struct kap_str value;
    } texts[] = {
        { "id", m->id },
        { "gossip-address", m->gossip_address },
        { "rpc-address", m->rpc_address },
        { "api-address", m->api_address },
        { "roles", m->roles },
        { "status", m->status },
    };
    kap_json_object(j);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kap_json_key(j, texts[i].key);
        kap_json_str(j, texts[i].value);
    }
    kap_json_object_end(j);
}

static void show_cluster(void *ctx, struct kap_request *rq)
{
    const struct kap_api_cluster *cluster = ((const struct kap_api *)ctx)->cluster;
    char cluster_id[37], member_id[37];
    cluster->ids(cluster->ctx, cluster_id, member_id);
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_link(&j, "link", "self", KAP_HTTP_BASE "/cluster");
    kap_json_key(&j, "state");
    kap_json_cstr(&j, cluster->initialized(cluster->ctx) ? "initialized" : "uninitialized");
    kap_json_key(&j, "cluster-id");
    kap_json_cstr(&j, cluster_id);
    kap_json_key(&j, "local-member-id");
    kap_json_cstr(&j, member_id);
    kap_json_key(&j, "members");
    kap_json_array(&j);
    cluster->members(cluster->ctx, write_member, &j);
    kap_json_array_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

static void answer(struct kap_request *rq, enum kap_status st, const struct kap_error *err)
{
    if (st == KAP_OK)
        kap_reply(rq, 204);
    else
        kap_reply_failure(rq, st, err);
}

static void add_member(void *ctx, struct kap_request *rq)
{
    const struct kap_api_cluster *cluster = ((const struct kap_api *)ctx)->cluster;
    const struct kap_str body = kap_request_body(rq);
    json_t *json = json_loadb(body.p, body.n, 0, NULL);
    const json_t *address = json_object_get(json, "rpc-address");
    struct kap_error err;
    if (!json_is_object(json))
        kap_reply_error(rq, 400, "invalid JSON");
    else if (!json_is_string(address) || json_string_length(address) == 0)
        kap_reply_error(rq, 400,
                        "must provide \"rpc-address\", the RPC address of the member to add (\"host:9091\")");
    else
        answer(rq, cluster->add(cluster->ctx, kap_str(json_string_value(address)), &err), &err);
    json_decref(json);
}

static void remove_member(void *ctx, struct kap_request *rq)
{
    const struct kap_api_cluster *cluster = ((const struct kap_api *)ctx)->cluster;
    const struct kap_str id = kap_request_tail(rq);
    struct kap_error err;
    if (id.n == 0)
        kap_reply_error(rq, 400, "must specify member id on path");
    else
        answer(rq, cluster->remove(cluster->ctx, id, &err), &err);
}

const struct kap_route kap_routes_cluster[] = {
    { "GET", "/cluster", show_cluster, 0, 0 },
    { "POST", "/cluster/members", add_member, 0, 65536 },
    { "DELETE", "/cluster/members/", remove_member, 0, 0 },
    { 0 },
};
