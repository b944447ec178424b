#include "alert/instance.h"
#include <stdatomic.h>

#include "base/mem.h"

static struct kap_handler *make(const struct kap_handler_type *type, struct kap_str id)
{
    struct kap_handler *h = KAP_NEW(struct kap_handler);
    atomic_init(&h->refs, 1);
    h->type = type;
    h->arena = kap_arena_new();
    h->id = kap_arena_str(h->arena, id);
    if (type->state_size)
        h->state = kap_calloc(1, type->state_size);
    return h;
}

struct kap_handler *kap_handler_ref(struct kap_handler *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}

void kap_handler_unref(struct kap_handler *h)
{
    if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (h->state && h->type->state_close)
        h->type->state_close(h->state);
    kap_free(h->state);
    kap_match_free(h->match);
    kap_graph_unref(h->graph);
    kap_arena_free(h->arena);
    kap_free(h);
}

static enum kap_status fill(struct kap_handler *h, const struct kap_handler_spec *spec,
                            const struct kap_handler_env *env, struct kap_error *err)
{
    h->concurrency = spec->concurrency;
    h->rate_limit = spec->rate_limit;
    void *options = kap_arena_alloc(h->arena, h->type->options_size ? h->type->options_size : 1);
    h->options = options;
    if (h->type->init)
        h->type->init(options);
    KAP_TRY(kap_handler_options_read(h->type, spec->options, options, h->arena, err));
    if (h->type->check)
        KAP_TRY(h->type->check(options, env, err));
    return *spec->match ? kap_match_new(kap_str(spec->match), &h->match, err) : KAP_OK;
}

enum kap_status kap_handler_new(const struct kap_handler_type *type, const struct kap_handler_spec *spec,
                                const struct kap_handler_env *env, struct kap_handler **ret, struct kap_error *err)
{
    struct kap_handler *h = make(type, kap_str(spec->id));
    const enum kap_status status = fill(h, spec, env, err);
    if (status != KAP_OK) {
        kap_handler_unref(h);
        return status;
    }
    *ret = h;
    return KAP_OK;
}

enum kap_status kap_handler_new_inline(const struct kap_graph_handler *gh, struct kap_graph *graph, struct kap_str id,
                                       const struct kap_handler_env *env, struct kap_handler **ret,
                                       struct kap_error *err)
{
    if (gh->type->check && gh->type->check(gh->options, env, err) != KAP_OK)
        return gh->type->inline_failed ? kap_wrap(err, "%s", gh->type->inline_failed) : (err ? err->status : KAP_EINVAL);
    struct kap_handler *h = make(gh->type, id);
    h->options = gh->options;
    h->graph = kap_graph_ref(graph);
    *ret = h;
    return KAP_OK;
}
