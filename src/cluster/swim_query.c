/* Serf's queries: passed on and acknowledged for stock members; the internal ones are answered. Two of them matter
 * to others' lives: without an answer to _serf_conflict a stock agent exits after a spurious name conflict, and key
 * commands succeed only when every member answers. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "cluster/swim_impl.h"
#include <openssl/evp.h>
#include <pcre2.h>

enum { RESPONSE_BYTES = 1024, KEY_BASE64_BYTES = 48 };

/* ---- filters ---- */

static bool node_listed(const struct kap_swim *s, struct kap_str list)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(list);
    const uint32_t n = kap_msgpack_array(&r);
    for (uint32_t i = 0; i < n && r.state == KAP_MSGPACK_OK; i++)
        if (kap_str_eq(kap_msgpack_raw(&r), swim_name(s->self)))
            return true;
    return false;
}

/* Somewhere in the text. The expression comes from outside: bounded work, no match on any error. */
static bool regex_matches(struct kap_str expr, struct kap_str text)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)expr.p, expr.n, PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    if (!re)
        return false;
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_set_match_limit(limits, 100000);
    pcre2_set_depth_limit(limits, 1000);
    const int found = pcre2_match(re, (PCRE2_SPTR)text.p, text.n, 0, 0, data, limits);
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    pcre2_code_free(re);
    return found >= 0;
}

static bool tag_matches(const struct kap_swim *s, struct kap_str body)
{
    struct kap_serf_tag_filter filter;
    if (!KAP_WIRE_GET(body, kap_serf_tag_filter_desc, &filter) || !filter.expr.p)
        return false;
    struct kap_str value = KAP_STR("");
    for (size_t i = 0; i < s->self->pub.n_tags; i++)
        if (kap_str_eq(s->self->pub.tags[i].key, filter.tag))
            value = s->self->pub.tags[i].value;
    return regex_matches(filter.expr, value.p ? value : KAP_STR(""));
}

/* All must match; an unknown kind matches nobody. */
static bool is_for_us(const struct kap_swim *s, struct kap_str filters)
{
    struct kap_msgpack_reader r = kap_msgpack_reader(filters);
    const uint32_t n = filters.p ? kap_msgpack_array(&r) : 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct kap_str filter = kap_msgpack_raw(&r);
        if (r.state != KAP_MSGPACK_OK || filter.n == 0)
            return false;
        const struct kap_str body = kap_strn(filter.p + 1, filter.n - 1);
        const bool match = filter.p[0] == 0 ? node_listed(s, body) : filter.p[0] == 1 && tag_matches(s, body);
        if (!match)
            return false;
    }
    return true;
}

/* ---- answers ---- */

static bool can_relay(const struct kap_swim *s, const struct swim_node *node, const void *arg)
{
    (void)s, (void)arg;
    return node->state == KAP_WIRE_STATE_ALIVE && node->vsn.n > 1 && node->vsn.v[1] >= 5;
}

/* Also by way of others, as often as the asker wishes. */
static void send_relayed(struct kap_swim *s, const struct kap_serf_query *q, struct kap_str response)
{
    struct swim_node *relays[8];
    if (q->relay_factor == 0 || s->n_ring < (size_t)q->relay_factor + 1)
        return;
    KAP_AUTO_BUF struct kap_buf addr = { 0 };
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_serf_udp_addr dest = { .ip = q->addr, .port = q->port };
    kap_msgpack_put(&addr, &kap_serf_udp_addr_desc, &dest);
    const struct kap_serf_relay head = { .dest_addr = kap_buf_str(&addr), .dest_name = q->source_node };
    kap_buf_addc(&b, KAP_WIRE_USER);
    kap_wire_put(&b, KAP_SERF_RELAY, &kap_serf_relay_desc, &head);
    kap_buf_add(&b, response);
    const size_t n = swim_pick(s, KAP_MIN(q->relay_factor, KAP_COUNT(relays)), relays, can_relay, NULL);
    for (size_t i = 0; i < n; i++)
        swim_send_bare(s, &relays[i]->pub.addr, kap_buf_str(&b), false);
}

static void respond(struct kap_swim *s, const struct kap_serf_query *q, uint32_t flags, struct kap_str payload)
{
    struct kap_swim_addr to;
    if (!swim_addr_from(q->addr, q->port, &to))
        return;
    const struct kap_serf_response response = { .ltime = q->ltime, .id = q->id, .flags = flags,
                                                .from = swim_name(s->self), .payload = payload };
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addc(&b, KAP_WIRE_USER);
    kap_wire_put(&b, KAP_SERF_QUERY_RESPONSE, &kap_serf_response_desc, &response);
    if (b.n > RESPONSE_BYTES + 1)
        return;
    swim_send_bare(s, &to, kap_buf_str(&b), false);
    send_relayed(s, q, kap_strn(b.p + 1, b.n - 1));
}

/* Who do we think has this name? The named node itself does not vote. */
static void answer_conflict(struct kap_swim *s, const struct kap_serf_query *q)
{
    if (kap_str_eq(q->payload, swim_name(s->self)))
        return;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    KAP_AUTO_BUF struct kap_buf tags = { 0 };
    const struct swim_node *const node = swim_find(s, q->payload);
    if (!node) {
        static const char unknown[] = { KAP_SERF_CONFLICT_RESPONSE, (char)0xc0 };
        respond(s, q, 0, kap_strn(unknown, sizeof unknown));
        return;
    }
    kap_msgpack_put_map(&tags, node->pub.n_tags);
    for (size_t i = 0; i < node->pub.n_tags; i++) {
        kap_msgpack_put_raw(&tags, node->pub.tags[i].key);
        kap_msgpack_put_raw(&tags, node->pub.tags[i].value);
    }
    const uint8_t *const v = node->vsn.v;
    const struct kap_serf_conflict answer = {
        .addr = swim_addr_ip(&node->pub.addr), .port = node->pub.addr.port, .name = swim_name(node),
        .tags = kap_buf_str(&tags), .status = node->serf,
        .protocol_min = v[0], .protocol_max = v[1], .protocol_cur = v[2],
        .delegate_min = v[3], .delegate_max = v[4], .delegate_cur = v[5],
    };
    kap_wire_put(&b, KAP_SERF_CONFLICT_RESPONSE, &kap_serf_conflict_desc, &answer);
    respond(s, q, 0, kap_buf_str(&b));
}

/* ---- keys ---- */

static struct kap_str base64_key(const struct kap_seal_key *key, char out[KEY_BASE64_BYTES])
{
    const int n = EVP_EncodeBlock((unsigned char *)out, key->bytes, key->n);
    return kap_strn(out, (size_t)n);
}

static void respond_key(struct kap_swim *s, const struct kap_serf_query *q, const struct kap_serf_key_response *answer)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_wire_put(&b, KAP_SERF_KEY_RESPONSE, &kap_serf_key_response_desc, answer);
    respond(s, q, 0, kap_buf_str(&b));
}

/* The ring has at most KAP_SEAL_KEYS keys of 44 characters: it always fits an answer. */
static void answer_list_keys(struct kap_swim *s, const struct kap_serf_query *q)
{
    const struct kap_seal *const seal = &s->cfg.seal;
    char text[KEY_BASE64_BYTES], primary[KEY_BASE64_BYTES];
    KAP_AUTO_BUF struct kap_buf keys = { 0 };
    kap_msgpack_put_array(&keys, seal->n_keys);
    for (size_t i = 0; i < seal->n_keys; i++)
        kap_msgpack_put_raw(&keys, base64_key(&seal->keys[i], text));
    const struct kap_serf_key_response answer = { .result = true, .message = KAP_STR(""), .keys = kap_buf_str(&keys),
                                                  .primary = base64_key(&seal->keys[0], primary) };
    respond_key(s, q, &answer);
}

static enum kap_status change_ring(struct kap_swim *s, const struct kap_serf_query *q, struct kap_error *err)
{
    struct kap_serf_key_request request;
    if (q->payload.n == 0 || q->payload.p[0] != KAP_SERF_KEY_REQUEST ||
        !KAP_WIRE_GET(kap_strn(q->payload.p + 1, q->payload.n - 1), kap_serf_key_request_desc, &request))
        return kap_fail(err, KAP_EINVAL, "damaged key request");
    if (kap_str_is(q->name, "_serf_install-key"))
        return kap_seal_add_key(&s->cfg.seal, request.key, err);
    if (kap_str_is(q->name, "_serf_use-key"))
        return kap_seal_use_key(&s->cfg.seal, request.key, err);
    return kap_seal_remove_key(&s->cfg.seal, request.key, err);
}

static void answer_keys(struct kap_swim *s, const struct kap_serf_query *q)
{
    struct kap_error err = { .msg = "" };
    if (s->cfg.seal.n_keys == 0)
        kap_fail(&err, KAP_ESTATE, "No keyring to modify (encryption not enabled)");
    else if (!s->cfg.answer_key_queries)
        kap_fail(&err, KAP_ESTATE, "keys of this cluster are not managed by serf");
    else if (kap_str_is(q->name, "_serf_list-keys")) {
        answer_list_keys(s, q);
        return;
    } else if (change_ring(s, q, &err) == KAP_OK) {
        swim_emit(s, KAP_SWIM_EV_KEYS, NULL, NULL, "");
        err.msg[0] = 0;
    }
    const struct kap_serf_key_response answer = { .result = err.msg[0] == 0, .message = kap_str(err.msg),
                                                  .primary = KAP_STR("") };
    respond_key(s, q, &answer);
}

/* ---- queries and relays ---- */

/* True: not seen before. */
static bool remember_query(struct kap_swim *s, const struct kap_serf_query *q)
{
    if (q->ltime >= s->query_clock && q->ltime < UINT64_MAX)
        s->query_clock = q->ltime + 1;
    if (s->query_clock > SWIM_RING && q->ltime < s->query_clock - SWIM_RING)
        return false;
    struct swim_query_slot *const slot = &s->queries[q->ltime % SWIM_RING];
    if (slot->ltime != q->ltime)
        *slot = (struct swim_query_slot){ .ltime = q->ltime };
    for (unsigned i = 0; i < slot->n; i++)
        if (slot->ids[i] == q->id)
            return false;
    if (slot->n == KAP_COUNT(slot->ids))
        return false;
    slot->ids[slot->n++] = q->id;
    return true;
}

void swim_handle_query(struct kap_swim *s, struct kap_str body, struct kap_str message)
{
    struct kap_serf_query q;
    if (!KAP_WIRE_GET(body, kap_serf_query_desc, &q)) {
        s->stats.bad_datagrams++;
        return;
    }
    if (!remember_query(s, &q))
        return;
    if (!(q.flags & KAP_SERF_QUERY_NO_BROADCAST) && message.n < KAP_WIRE_PACKET_BYTES) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_buf_addc(&b, KAP_WIRE_USER);
        kap_buf_add(&b, message);
        swim_queue(s, QUEUE_QUERIES, (struct kap_str){ NULL, 0 }, kap_buf_str(&b));
    }
    if (!is_for_us(s, q.filters))
        return;
    if (q.flags & KAP_SERF_QUERY_ACK)
        respond(s, &q, KAP_SERF_RESPONSE_IS_ACK, (struct kap_str){ NULL, 0 });
    if (kap_str_is(q.name, "_serf_conflict"))
        answer_conflict(s, &q);
    else if (kap_str_is(q.name, "_serf_list-keys") || kap_str_is(q.name, "_serf_install-key") ||
             kap_str_is(q.name, "_serf_use-key") || kap_str_is(q.name, "_serf_remove-key"))
        answer_keys(s, &q);
}

void swim_handle_relay(struct kap_swim *s, struct kap_str body)
{
    struct kap_serf_relay head;
    struct kap_serf_udp_addr dest;
    struct kap_swim_addr to;
    struct kap_msgpack_reader r = kap_msgpack_reader(body);
    kap_msgpack_get(&r, &kap_serf_relay_desc, &head, sizeof head);
    if (r.state != KAP_MSGPACK_OK || r.at == r.n || !head.dest_addr.p ||
        !KAP_WIRE_GET(head.dest_addr, kap_serf_udp_addr_desc, &dest) || dest.port <= 0 || dest.port > UINT16_MAX) {
        s->stats.bad_datagrams++;
        return;
    }
    /* Go's IPv4 addresses may travel in their 16-byte form here. */
    static const char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (char)0xff, (char)0xff };
    if (dest.ip.n == 16 && memcmp(dest.ip.p, mapped, sizeof mapped) == 0)
        dest.ip = kap_strn(dest.ip.p + 12, 4);
    if (!swim_addr_from(dest.ip, (uint16_t)dest.port, &to))
        return;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addc(&b, KAP_WIRE_USER);
    kap_buf_addn(&b, r.p + r.at, r.n - r.at);
    swim_send_bare(s, &to, kap_buf_str(&b), false);
}
