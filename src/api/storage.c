/* /storage: the stores by the names of the stock server, and a copy of the definitions. */
#include "api/resource.h"

#include "base/mem.h"

#include <jansson.h>
#include <unistd.h>

static const char *const stores[] = { "handler-specs", "load",  "overrides",   "recordings",
                                      "replays",       "tasks", "topic-states" };

static void list(void *ctx, struct kap_request *rq)
{
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_link(&j, "link", "self", KAP_HTTP_BASE "/storage/stores");
    kap_json_key(&j, "storage");
    kap_json_array(&j);
    for (size_t i = 0; i < KAP_COUNT(stores); i++) {
        KAP_AUTO_FREE char *href = kap_asprintf(KAP_HTTP_BASE "/storage/stores/%s", stores[i]);
        kap_json_object(&j);
        kap_json_link(&j, "link", "self", href);
        kap_json_key(&j, "name");
        kap_json_cstr(&j, stores[i]);
        kap_json_object_end(&j);
    }
    kap_json_array_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

static bool is_store(struct kap_str name)
{
    for (size_t i = 0; i < KAP_COUNT(stores); i++) {
        if (kap_str_is(name, stores[i]))
            return true;
    }
    return false;
}

/* "rebuild" makes the indexes anew in the stock server. Ours are kept by SQLite with every change, so they
 * are as good as rebuilt. */
static void act(void *ctx, struct kap_request *rq)
{
    const struct kap_str name = kap_request_tail(rq), body = kap_request_body(rq);
    if (!is_store(name)) {
        kap_reply_error(rq, 404, "unknown storage \"%.*s\"", KAP_STR_ARG(name));
        return;
    }
    json_t *json = json_loadb(body.p, body.n, JSON_DISABLE_EOF_CHECK, NULL);
    const char *action = json_string_value(json_object_get(json, "action"));
    if (json == NULL) {
        KAP_AUTO_BUF struct kap_buf problem = { 0 };
        kap_json_problem(body, &problem);
        kap_reply_error(rq, 400, "failed to unmarshal storage action %s", problem.p);
    } else if (action == NULL || strcmp(action, "rebuild") != 0) {
        kap_reply_error(rq, 400, "failed to unmarshal storage action unknown StorageAction %s",
                        action ? action : "");
    } else {
        kap_reply(rq, 204);
    }
    json_decref(json);
}

/* --- backup --- */

struct copy {
    int fd;
};

static int64_t read_copy(void *ctx, uint64_t offset, char *buf, size_t n)
{
    const struct copy *c = ctx;
    const ssize_t got = pread(c->fd, buf, n, (off_t)offset);
    return got > 0 ? got : -1;
}

static void copy_done(void *ctx)
{
    struct copy *c = ctx;
    close(c->fd);
    kap_free(c);
}

static void backup(void *ctx, struct kap_request *rq)
{
    const struct kap_api *api = ctx;
    struct kap_error err;
    uint64_t size;
    int fd;
    const enum kap_status st = api->backup(api->backup_ctx, &fd, &size, &err);
    if (st != KAP_OK) {
        kap_reply_failure(rq, st, &err);
        return;
    }
    struct copy *c = KAP_NEW(struct copy);
    c->fd = fd;
    kap_reply_stream(rq, 200,
                     &(struct kap_stream){ .ctx = c,
                                           .size = size,
                                           .content_type = "application/octet-stream",
                                           .read = read_copy,
                                           .done = copy_done });
}

const struct kap_route kap_routes_storage[] = {
    { "GET", "/storage/stores", list, 0, 0 },
    { "POST", "/storage/stores/", act, 0, 0 },
    { "GET", "/storage/backup", backup, KAP_ROUTE_NO_GZIP, 0 },
    { NULL, NULL, NULL, 0, 0 },
};
