#include "test.h"
#include "base/mem.h"
#include "base/random.h"
#include "cluster/lzw.h"
#include "cluster/seal.h"
#include "cluster/wire.h"
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>

/* ---- captured packets ---- */

#define VECTORS KAP_SOURCE_ROOT "/tests/vectors/gossip/"

struct vector {
    struct kap_buf bytes;
    json_t *json;
    struct kap_seal seal;
    bool udp;
    bool exact; /* written by the codec whose bytes we reproduce */
    char name[128];
};

static void add_hex(struct kap_buf *b, const char *hex, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        const char pair[3] = { hex[i], hex[i + 1], 0 };
        kap_buf_addc(b, (char)strtoul(pair, NULL, 16));
    }
}

/* Annotated hex: '#' starts a comment. */
static void read_hex(const char *path, struct kap_buf *b)
{
    char line[512];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        add_hex(b, line, strcspn(line, " #\n"));
    fclose(f);
}

static void load_vector(const char *name, struct vector *v)
{
    char path[1024];
    memset(v, 0, sizeof *v);
    snprintf(v->name, sizeof v->name, "%s", name);
    snprintf(path, sizeof path, VECTORS "%s.hex", name);
    read_hex(path, &v->bytes);
    snprintf(path, sizeof path, VECTORS "%s.json", name);
    v->json = json_load_file(path, 0, NULL);
    assert_non_null(v->json);
    v->udp = strcmp(json_string_value(json_object_get(v->json, "transport")), "udp") == 0;
    v->exact = strstr(json_string_value(json_object_get(v->json, "origin")), "0.10.2") == NULL;
    const char *key = json_string_value(json_object_get(v->json, "key_hex"));
    const char *label = json_string_value(json_object_get(v->json, "label"));
    if (key) {
        KAP_AUTO_BUF struct kap_buf raw = { 0 };
        add_hex(&raw, key, strlen(key));
        assert_int_equal(kap_seal_add_key(&v->seal, kap_buf_str(&raw), NULL), KAP_OK);
    }
    if (label) {
        v->seal.label_n = (uint8_t)strlen(label);
        memcpy(v->seal.label, label, v->seal.label_n);
    }
    assert_int_equal(v->bytes.n, json_integer_value(json_object_get(v->json, "bytes")));
}

static void free_vector(struct vector *v)
{
    kap_buf_done(&v->bytes);
    json_decref(v->json);
}

static void for_each_vector(void (*fn)(struct vector *v))
{
    json_t *index = json_load_file(VECTORS "index.json", 0, NULL);
    assert_non_null(index);
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(index, "vectors"), i, entry)
    {
        struct vector v;
        load_vector(json_string_value(json_object_get(entry, "name")), &v);
        fn(&v);
        free_vector(&v);
    }
    assert_true(i >= 49);
    json_decref(index);
}

static bool open_vector(const struct vector *v, struct kap_str bytes, struct kap_buf *scratch, struct kap_str *ret)
{
    if (v->udp)
        return kap_open_datagram(&v->seal, bytes, scratch, ret, NULL) == KAP_OK && kap_wire_crc_get(*ret, ret);
    const bool answer = (uint8_t)v->bytes.p[0] != KAP_WIRE_LABEL;
    const enum kap_open_result r = kap_open_stream(&v->seal, bytes, answer, scratch, ret, NULL);
    return r == KAP_OPEN_PLAIN || r == KAP_OPEN_WHOLE;
}

/* ---- decode and write again ---- */

static const struct kap_msgpack_struct *const wire_descs[256] = {
    [KAP_WIRE_PING] = &kap_wire_ping_desc,
    [KAP_WIRE_INDIRECT_PING] = &kap_wire_indirect_ping_desc,
    [KAP_WIRE_ACK] = &kap_wire_ack_desc,
    [KAP_WIRE_NACK] = &kap_wire_nack_desc,
    [KAP_WIRE_SUSPECT] = &kap_wire_accusation_desc,
    [KAP_WIRE_DEAD] = &kap_wire_accusation_desc,
    [KAP_WIRE_ALIVE] = &kap_wire_alive_desc,
    [KAP_WIRE_ERR] = &kap_wire_err_desc,
};

static const struct kap_msgpack_struct *const serf_descs[] = {
    [KAP_SERF_LEAVE] = &kap_serf_leave_desc,
    [KAP_SERF_JOIN] = &kap_serf_join_desc,
    [KAP_SERF_PUSH_PULL] = &kap_serf_push_pull_desc,
    [KAP_SERF_EVENT] = &kap_serf_event_desc,
    [KAP_SERF_QUERY] = &kap_serf_query_desc,
    [KAP_SERF_QUERY_RESPONSE] = &kap_serf_response_desc,
    [KAP_SERF_CONFLICT_RESPONSE] = &kap_serf_conflict_desc,
    [KAP_SERF_KEY_REQUEST] = &kap_serf_key_request_desc,
    [KAP_SERF_KEY_RESPONSE] = &kap_serf_key_response_desc,
};

/* Wide and aligned enough for every message struct. */
union any_message {
    struct kap_serf_query query;
    struct kap_serf_conflict conflict;
    struct kap_wire_indirect_ping ping;
    char bytes[512];
};

static void rewrite_serf(struct kap_str m, struct kap_buf *out)
{
    union any_message any;
    const uint8_t type = (uint8_t)m.p[0];
    struct kap_msgpack_reader r = kap_msgpack_reader(kap_strn(m.p + 1, m.n - 1));
    if (type == KAP_SERF_RELAY) {
        struct kap_serf_relay relay;
        struct kap_serf_udp_addr addr;
        KAP_AUTO_BUF struct kap_buf addr_out = { 0 };
        kap_msgpack_get(&r, &kap_serf_relay_desc, &relay, sizeof relay);
        assert_true(KAP_WIRE_GET(relay.dest_addr, kap_serf_udp_addr_desc, &addr));
        kap_msgpack_put(&addr_out, &kap_serf_udp_addr_desc, &addr);
        relay.dest_addr = kap_buf_str(&addr_out);
        kap_wire_put(out, type, &kap_serf_relay_desc, &relay);
        rewrite_serf(kap_strn(m.p + 1 + r.at, m.n - 1 - r.at), out);
        return;
    }
    if (type >= KAP_COUNT(serf_descs)) { /* an application's own message, not Serf's */
        kap_buf_add(out, m);
        return;
    }
    kap_msgpack_get(&r, serf_descs[type], &any, sizeof any);
    assert_int_equal(r.state, KAP_MSGPACK_OK);
    assert_int_equal(r.at, r.n);
    kap_wire_put(out, type, serf_descs[type], &any);
    if (type == KAP_SERF_QUERY_RESPONSE) {
        struct kap_serf_response response;
        assert_true(KAP_WIRE_GET(kap_strn(m.p + 1, m.n - 1), kap_serf_response_desc, &response));
        if (response.payload.n > 1 && response.payload.p[0] != 0) {
            KAP_AUTO_BUF struct kap_buf inner = { 0 };
            rewrite_serf(response.payload, &inner);
            assert_int_equal(inner.n, response.payload.n);
            assert_memory_equal(inner.p, response.payload.p, inner.n);
        }
    }
}

static void rewrite_push_pull(struct kap_str m, struct kap_buf *out)
{
    struct kap_wire_push_pull head;
    struct kap_msgpack_reader r = kap_msgpack_reader(kap_strn(m.p + 1, m.n - 1));
    kap_msgpack_get(&r, &kap_wire_push_pull_desc, &head, sizeof head);
    kap_wire_put(out, KAP_WIRE_PUSH_PULL, &kap_wire_push_pull_desc, &head);
    for (int64_t i = 0; i < head.nodes; i++) {
        struct kap_wire_node node;
        kap_msgpack_get(&r, &kap_wire_node_desc, &node, sizeof node);
        kap_msgpack_put(out, &kap_wire_node_desc, &node);
    }
    assert_int_equal(r.state, KAP_MSGPACK_OK);
    assert_int_equal(r.n - r.at, head.user_state_bytes);
    const struct kap_str user = kap_strn(m.p + 1 + r.at, r.n - r.at);
    if (user.n)
        rewrite_serf(user, out);
}

static void rewrite(struct kap_str m, bool udp, struct kap_buf *out);

struct parts {
    struct kap_buf bytes[KAP_WIRE_COMPOUND_MAX];
    size_t n;
};

static void rewrite_part(void *ctx, struct kap_str part)
{
    struct parts *parts = ctx;
    rewrite(part, true, &parts->bytes[parts->n++]);
}

static void rewrite_compound(struct kap_str m, struct kap_buf *out)
{
    struct parts parts = { .n = 0 };
    struct kap_str slices[KAP_WIRE_COMPOUND_MAX];
    kap_wire_compound_get(kap_strn(m.p + 1, m.n - 1), rewrite_part, &parts);
    for (size_t i = 0; i < parts.n; i++)
        slices[i] = kap_buf_str(&parts.bytes[i]);
    kap_wire_compound_put(out, slices, parts.n);
    for (size_t i = 0; i < parts.n; i++)
        kap_buf_done(&parts.bytes[i]);
}

static void rewrite(struct kap_str m, bool udp, struct kap_buf *out)
{
    union any_message any;
    const uint8_t type = (uint8_t)m.p[0];
    const struct kap_str body = kap_strn(m.p + 1, m.n - 1);
    KAP_AUTO_BUF struct kap_buf plain = { 0 };
    KAP_AUTO_BUF struct kap_buf again = { 0 };
    if (type == KAP_WIRE_COMPOUND) {
        rewrite_compound(m, out);
    } else if (type == KAP_WIRE_COMPRESS) {
        assert_int_equal(kap_wire_compress_get(body, 1 << 20, &plain, NULL), KAP_OK);
        rewrite(kap_buf_str(&plain), udp, &again);
        kap_wire_compress_put(out, kap_buf_str(&again));
    } else if (type == KAP_WIRE_PUSH_PULL) {
        rewrite_push_pull(m, out);
    } else if (type == KAP_WIRE_USER && udp) {
        kap_buf_addc(out, KAP_WIRE_USER);
        rewrite_serf(body, out);
    } else if (type == KAP_WIRE_USER) {
        struct kap_wire_user_header head;
        struct kap_msgpack_reader r = kap_msgpack_reader(body);
        kap_msgpack_get(&r, &kap_wire_user_header_desc, &head, sizeof head);
        assert_int_equal(head.bytes, r.n - r.at);
        kap_wire_put(out, type, &kap_wire_user_header_desc, &head);
        kap_buf_addn(out, r.p + r.at, r.n - r.at);
    } else {
        assert_non_null(wire_descs[type]);
        assert_true(kap_wire_get(body, wire_descs[type], &any, sizeof any));
        kap_wire_put(out, type, wire_descs[type], &any);
    }
}

static void check_rewritten(struct vector *v)
{
    KAP_AUTO_BUF struct kap_buf scratch = { 0 };
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_str message;
    print_message("%s\n", v->name);
    assert_true(open_vector(v, kap_buf_str(&v->bytes), &scratch, &message));
    rewrite(message, v->udp, &out);
    if (v->exact) {
        assert_int_equal(out.n, message.n);
        assert_memory_equal(out.p, message.p, out.n);
    }
}

TEST(captured_packets_are_read_and_written_again_byte_for_byte)
{
    for_each_vector(check_rewritten);
}

static void check_flipped(struct vector *v)
{
    const bool has_crc = v->udp && v->bytes.p[0] == KAP_WIRE_CRC;
    if (!has_crc && v->seal.n_keys == 0)
        return;
    for (size_t i = has_crc && v->seal.n_keys == 0; i < v->bytes.n; i++) {
        KAP_AUTO_BUF struct kap_buf scratch = { 0 };
        struct kap_str message;
        v->bytes.p[i] = (char)(v->bytes.p[i] ^ 0x10);
        if (open_vector(v, kap_buf_str(&v->bytes), &scratch, &message))
            fail_msg("%s: byte %zu flipped and not noticed", v->name, i);
        v->bytes.p[i] = (char)(v->bytes.p[i] ^ 0x10);
    }
}

TEST(a_flipped_byte_is_noticed)
{
    for_each_vector(check_flipped);
}

/* Streams arrive in pieces: the end must be found at every cut, and never too early. */
static void check_scanned(struct vector *v)
{
    KAP_AUTO_BUF struct kap_buf scratch = { 0 };
    struct kap_str message;
    if (v->udp)
        return;
    assert_true(open_vector(v, kap_buf_str(&v->bytes), &scratch, &message));
    struct kap_wire_scan scan = KAP_WIRE_SCAN_START;
    for (size_t n = 0; n < message.n; n++)
        assert_int_equal(kap_wire_scan(&scan, kap_strn(message.p, n)), KAP_MSGPACK_MORE);
    assert_int_equal(kap_wire_scan(&scan, message), KAP_MSGPACK_OK);
    assert_int_equal(scan.at, message.n);
}

TEST(the_end_of_a_stream_message_is_found)
{
    for_each_vector(check_scanned);
}

/* ---- what peers may send ---- */

static struct kap_wire_ping read_ping(const char *bytes, size_t n)
{
    struct kap_wire_ping ping;
    assert_true(KAP_WIRE_GET(kap_strn(bytes, n), kap_wire_ping_desc, &ping));
    return ping;
}
#define PING(lit) read_ping(lit, sizeof(lit) - 1)

TEST(other_encoders_are_understood)
{
    assert_int_equal(PING("\x81\xa5SeqNo\xd1\x01\x02").seq, 258);             /* positive int16 */
    assert_int_equal(PING("\x81\xa5SeqNo\xcf\0\0\0\0\0\0\0\7").seq, 7);       /* wider than needed */
    assert_true(kap_str_is(PING("\x81\xa4Node\xd9\3abc").node, "abc"));       /* str8 */
    assert_true(kap_str_is(PING("\x81\xa4Node\xc4\3abc").node, "abc"));       /* bin8 */
    assert_true(kap_str_is(PING("\x81\xd9\4Node\xa1x").node, "x"));           /* key as str8 */
    assert_int_equal(PING("\x82\xa1Q\x81\xa1k\x93\1\2\xc0\xa5SeqNo\5").seq, 5); /* unknown key with a map */
    assert_int_equal(PING("\x92\7\xa1n").seq, 7);                            /* struct as a list */
    assert_int_equal(PING("\x81\xa5SeqNo\3trailing").seq, 3);
    struct kap_wire_alive alive;
    assert_true(KAP_WIRE_GET(KAP_STR("\x81\xa3Vsn\x96\1\5\2\2\5\5"), kap_wire_alive_desc, &alive));
    assert_int_equal(alive.vsn.n, 6);
    assert_int_equal(alive.vsn.v[1], 5);
}

TEST(nonsense_is_refused)
{
    struct kap_wire_ping ping;
    const struct kap_str bad[] = {
        KAP_STR(""), KAP_STR("\xa1x"), KAP_STR("\x81\xa5SeqNo\xff"), KAP_STR("\x81\xa5SeqNo\xa1x"),
        KAP_STR("\x81\xa4Node\7"), KAP_STR("\xdf\xff\xff\xff\xff"), KAP_STR("\x81\xa4Node\xdb\xff\xff\xff\xff"),
        KAP_STR("\x81\xa1x\xdd\xff\xff\xff\xff"), KAP_STR("\x81\xa5SeqNo\xcf\1\0\0\0\0\0\0\0"), KAP_STR("\xc1"),
    };
    for (size_t i = 0; i < KAP_COUNT(bad); i++)
        assert_false(KAP_WIRE_GET(bad[i], kap_wire_ping_desc, &ping));
}

TEST(text_of_32_bytes_is_raw16_and_never_str8_or_bin)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_msgpack_put_raw(&b, KAP_STR("0123456789abcdef0123456789abcde"));
    assert_int_equal((uint8_t)b.p[0], 0xbf);
    kap_buf_reset(&b);
    kap_msgpack_put_raw(&b, KAP_STR("0123456789abcdef0123456789abcdef"));
    assert_memory_equal(b.p, "\xda\x00\x20", 3);
}

TEST(signed_fields_are_written_like_unsigned_ones)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_wire_push_pull head = { .nodes = 200, .user_state_bytes = 586 };
    kap_msgpack_put(&b, &kap_wire_push_pull_desc, &head);
    assert_non_null(memmem(b.p, b.n, "Nodes\xcc\xc8", 7));
    assert_non_null(memmem(b.p, b.n, "Len\xcd\x02\x4a", 6));
}

/* ---- compound ---- */

static void count_part(void *ctx, struct kap_str part)
{
    assert_true(part.n > 0);
    (*(size_t *)ctx)++;
}

static size_t parts_of(struct kap_str body)
{
    size_t n = 0;
    kap_wire_compound_get(body, count_part, &n);
    return n;
}

TEST(a_compound_with_empty_or_missing_parts_is_survived)
{
    assert_int_equal(parts_of(KAP_STR("")), 0);
    assert_int_equal(parts_of(KAP_STR("\1\0\0")), 0);          /* what kills a stock agent */
    assert_int_equal(parts_of(KAP_STR("\2\0\1\0\1xy")), 2);
    assert_int_equal(parts_of(KAP_STR("\2\0\1\0\2xy")), 1);    /* the complete ones count */
    assert_int_equal(parts_of(KAP_STR("\2\0\1")), 0);
    assert_int_equal(parts_of(KAP_STR("\xff")), 0);
}

TEST(a_crc_over_nothing_is_survived)
{
    struct kap_str rest;
    assert_true(kap_wire_crc_get(KAP_STR("\x0c\0\0\0\0"), &rest)); /* right: the CRC of nothing is 0 */
    assert_int_equal(rest.n, 0);
    assert_false(kap_wire_crc_get(KAP_STR("\x0c\0\0\0\1"), &rest));
    assert_true(kap_wire_crc_get(KAP_STR("\x0c\0\0\0"), &rest)); /* too short for one: a message of type 12 */
    assert_int_equal(rest.n, 4);
}

/* ---- tags ---- */

TEST(tags_go_there_and_back)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_wire_tag tags[3] = { { KAP_STR("cluster"), KAP_STR("one") }, { KAP_STR("rpc"), KAP_STR("a:9091") } };
    struct kap_wire_tag got[3];
    assert_int_equal(kap_wire_tags_put(&b, tags, 2, NULL), KAP_OK);
    assert_int_equal(kap_wire_tags_get(kap_buf_str(&b), got, 3), 2);
    assert_true(kap_str_is(got[1].key, "rpc") && kap_str_is(got[1].value, "a:9091"));
    assert_int_equal(kap_wire_tags_get(KAP_STR("\xff\x80"), got, 3), 0);
    assert_int_equal(kap_wire_tags_get(KAP_STR("web"), got, 3), 1); /* an old agent's role */
    assert_true(kap_str_is(got[0].key, "role") && kap_str_is(got[0].value, "web"));
    char big[600] = { 0 };
    struct kap_error err;
    const size_t before = b.n;
    tags[2] = (struct kap_wire_tag){ KAP_STR("big"), kap_strn(big, sizeof big) };
    assert_int_equal(kap_wire_tags_put(&b, tags, 3, &err), KAP_ELIMIT);
    assert_int_equal(b.n, before);
}

/* ---- LZW ---- */

TEST(lzw_gives_back_what_it_took)
{
    struct kap_random r;
    kap_random_seed(&r, 7);
    for (size_t n = 0; n < 60000; n = n * 3 / 2 + 1) {
        for (int kind = 0; kind < 3; kind++) {
            KAP_AUTO_BUF struct kap_buf in = { 0 };
            KAP_AUTO_BUF struct kap_buf packed = { 0 };
            KAP_AUTO_BUF struct kap_buf out = { 0 };
            for (size_t i = 0; i < n; i++)
                kap_buf_addc(&in, (char)(kind == 0 ? 'a' : kap_random_below(&r, kind == 1 ? 4 : 256)));
            kap_lzw_encode(kap_buf_str(&in), &packed);
            assert_int_equal(kap_lzw_decode(kap_buf_str(&packed), n, &out, NULL), KAP_OK);
            assert_true(kap_str_eq(kap_buf_str(&in), kap_buf_str(&out)));
            if (n > 0)
                assert_int_equal(kap_lzw_decode(kap_buf_str(&packed), n - 1, &out, NULL), KAP_ELIMIT);
            for (size_t cut = 0; cut + 1 < packed.n; cut += 1 + packed.n / 50)
                assert_int_equal(kap_lzw_decode(kap_strn(packed.p, cut), n, &out, NULL), KAP_EINVAL);
        }
    }
}

TEST(lzw_of_nothing_is_clear_and_end)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_lzw_encode(KAP_STR(""), &out);
    assert_int_equal(out.n, 3);
    assert_memory_equal(out.p, "\x00\x03\x02", 3); /* 256 and 257 in 9 bits, low bits first */
}

/* ---- seal ---- */

static void fixed_nonce(void *p, size_t n)
{
    memset(p, 0x5a, n);
}

TEST(every_form_of_seal_opens_again)
{
    const struct kap_str keys[] = { KAP_STR("0123456789abcdef"), KAP_STR("0123456789abcdef01234567"),
                                    KAP_STR("0123456789abcdef0123456789abcdef") };
    for (int k = 0; k < 3; k++)
        for (int form = 0; form < 4; form++)
            for (size_t n = 0; n < 40; n++) {
                struct kap_seal s = { .nonce = fixed_nonce, .send_version0 = form & 1 };
                KAP_AUTO_BUF struct kap_buf sealed = { 0 };
                KAP_AUTO_BUF struct kap_buf scratch = { 0 };
                const struct kap_str text = kap_strn("the quick brown fox jumps over the lazy dog", n);
                struct kap_str got;
                assert_int_equal(kap_seal_add_key(&s, keys[k], NULL), KAP_OK);
                if (form & 2) {
                    s.label_n = 5;
                    memcpy(s.label, "label", 5);
                }
                kap_seal_datagram(&s, text, &sealed);
                assert_true(sealed.n <= n + kap_seal_overhead(&s));
                assert_int_equal(kap_open_datagram(&s, kap_buf_str(&sealed), &scratch, &got, NULL), KAP_OK);
                assert_true(kap_str_eq(got, text));
                kap_buf_reset(&sealed);
                kap_seal_stream(&s, text, true, &sealed);
                for (size_t cut = 0; cut < sealed.n; cut++)
                    assert_int_equal(kap_open_stream(&s, kap_strn(sealed.p, cut), false, &scratch, &got, NULL),
                                     KAP_OPEN_MORE);
                assert_int_equal(kap_open_stream(&s, kap_buf_str(&sealed), false, &scratch, &got, NULL),
                                 KAP_OPEN_WHOLE);
                assert_true(kap_str_eq(got, text));
            }
}

TEST(the_ring_rotates)
{
    struct kap_seal a = { .nonce = fixed_nonce }, b = { .nonce = fixed_nonce };
    const struct kap_str one = KAP_STR("0123456789abcdef"), two = KAP_STR("fedcba9876543210");
    KAP_AUTO_BUF struct kap_buf sealed = { 0 };
    KAP_AUTO_BUF struct kap_buf scratch = { 0 };
    struct kap_str got;
    assert_int_equal(kap_seal_add_key(&a, one, NULL), KAP_OK);
    assert_int_equal(kap_seal_add_key(&b, one, NULL), KAP_OK);
    assert_int_equal(kap_seal_use_key(&a, two, NULL), KAP_ENOTFOUND);
    assert_int_equal(kap_seal_add_key(&a, two, NULL), KAP_OK);
    assert_int_equal(kap_seal_use_key(&a, two, NULL), KAP_OK);
    assert_int_equal(kap_seal_remove_key(&a, two, NULL), KAP_ESTATE);
    kap_seal_datagram(&a, KAP_STR("x"), &sealed);
    assert_int_equal(kap_open_datagram(&b, kap_buf_str(&sealed), &scratch, &got, NULL), KAP_EINVAL);
    assert_int_equal(kap_seal_add_key(&b, two, NULL), KAP_OK);
    assert_int_equal(kap_open_datagram(&b, kap_buf_str(&sealed), &scratch, &got, NULL), KAP_OK);
    assert_int_equal(kap_seal_remove_key(&a, one, NULL), KAP_OK);
    assert_int_equal(a.n_keys, 1);
    assert_int_equal(kap_seal_add_key(&a, KAP_STR("short"), NULL), KAP_EINVAL);
}

TEST(plain_text_is_refused_unless_allowed)
{
    struct kap_seal s = { .nonce = fixed_nonce };
    KAP_AUTO_BUF struct kap_buf scratch = { 0 };
    struct kap_str got;
    assert_int_equal(kap_open_stream(&s, KAP_STR("\x0a\0\0\0\1x"), false, &scratch, &got, NULL), KAP_OPEN_BAD);
    assert_int_equal(kap_seal_add_key(&s, KAP_STR("0123456789abcdef"), NULL), KAP_OK);
    assert_int_equal(kap_open_datagram(&s, KAP_STR("\2\x80"), &scratch, &got, NULL), KAP_EINVAL);
    assert_int_equal(kap_open_stream(&s, KAP_STR("\0\x80"), false, &scratch, &got, NULL), KAP_OPEN_BAD);
    assert_int_equal(kap_open_stream(&s, KAP_STR("\x0a\xff\xff\xff\xff"), false, &scratch, &got, NULL),
                     KAP_OPEN_BAD);
    s.accept_plain = true;
    assert_int_equal(kap_open_datagram(&s, KAP_STR("\2\x80"), &scratch, &got, NULL), KAP_OK);
    assert_int_equal(kap_open_stream(&s, KAP_STR("\0\x80"), false, &scratch, &got, NULL), KAP_OPEN_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captured_packets_are_read_and_written_again_byte_for_byte),
        cmocka_unit_test(a_flipped_byte_is_noticed),
        cmocka_unit_test(the_end_of_a_stream_message_is_found),
        cmocka_unit_test(other_encoders_are_understood),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(text_of_32_bytes_is_raw16_and_never_str8_or_bin),
        cmocka_unit_test(signed_fields_are_written_like_unsigned_ones),
        cmocka_unit_test(a_compound_with_empty_or_missing_parts_is_survived),
        cmocka_unit_test(a_crc_over_nothing_is_survived),
        cmocka_unit_test(tags_go_there_and_back),
        cmocka_unit_test(lzw_gives_back_what_it_took),
        cmocka_unit_test(lzw_of_nothing_is_clear_and_end),
        cmocka_unit_test(every_form_of_seal_opens_again),
        cmocka_unit_test(the_ring_rotates),
        cmocka_unit_test(plain_text_is_refused_unless_allowed),
    };
    return RUN_TESTS(tests);
}
