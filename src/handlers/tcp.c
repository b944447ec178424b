#include "base/duration.h"
#include "handlers/handlers.h"
#include "handlers/net.h"
#include "handlers/util.h"

struct options {
    struct kap_str address;
};

static void init(void *options)
{
    ((struct options *)options)->address = KAP_STR("");
}

static enum kap_status args(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err)
{
    return kap_arg_text(&((struct options *)options)->address, arena, args, nargs, 0, "tcp", err);
}

static enum kap_verdict send(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_str body;
    if (kap_event_body(ev, arena, &body, err) != KAP_OK)
        return KAP_GIVE_UP;
    /* The reference ends each document with two line feeds; readers of lines may count on it. */
    body = kap_str(kap_arena_printf(arena, "%s\n", body.p));
    switch (kap_tcp_send(((const struct options *)options)->address, body, 10 * KAP_S, err)) {
    case KAP_OK:
        return KAP_SENT;
    case KAP_EINVAL:
        return KAP_GIVE_UP;
    default:
        return KAP_RETRY;
    }
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct options, address, NULL, "address", "Address as host:port."),
    { .kind = KAP_PROP_END },
};

const struct kap_handler_type kap_handler_tcp = {
    .kind = "tcp",
    .method = "tcp",
    .doc = "Sends each event as JSON over a TCP connection of its own.",
    .signature = "(address string)",
    .options_size = sizeof(struct options),
    .init = init,
    .args = args,
    .props = props,
    .options_shown = "alert.TCPHandlerConfig",
    .send = send,
};
