#include "cluster/seal.h"
#include "cluster/wire.h"
#include "base/mem.h"
#include "base/random.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { NONCE = 12, TAG = 16, BLOCK = 16, STREAM_HEAD = 5, AAD_MAX = STREAM_HEAD + KAP_SEAL_LABEL_BYTES };

/* What is authenticated beside the text. */
struct aad {
    uint8_t p[AAD_MAX];
    size_t n;
};

static struct aad aad_of(const struct kap_seal *s, const char *stream_head)
{
    struct aad a = { .n = 0 };
    if (stream_head) {
        memcpy(a.p, stream_head, STREAM_HEAD);
        a.n = STREAM_HEAD;
    }
    memcpy(a.p + a.n, s->label, s->label_n);
    a.n += s->label_n;
    return a;
}

void kap_seal_done(struct kap_seal *s)
{
    OPENSSL_cleanse(s, sizeof *s);
}

/* ---- the ring ---- */

static size_t find_key(const struct kap_seal *s, struct kap_str key)
{
    for (size_t i = 0; i < s->n_keys; i++)
        if (s->keys[i].n == key.n && CRYPTO_memcmp(s->keys[i].bytes, key.p, key.n) == 0)
            return i;
    return SIZE_MAX;
}

enum kap_status kap_seal_add_key(struct kap_seal *s, struct kap_str key, struct kap_error *err)
{
    if (key.n != 16 && key.n != 24 && key.n != 32)
        return kap_fail(err, KAP_EINVAL, "a gossip key has 16, 24 or 32 bytes, not %zu", key.n);
    if (find_key(s, key) != SIZE_MAX)
        return KAP_OK;
    if (s->n_keys == KAP_SEAL_KEYS)
        return kap_fail(err, KAP_ELIMIT, "the key ring is full (%d keys)", KAP_SEAL_KEYS);
    struct kap_seal_key *const k = &s->keys[s->n_keys++];
    memcpy(k->bytes, key.p, key.n);
    k->n = (uint8_t)key.n;
    return KAP_OK;
}

enum kap_status kap_seal_use_key(struct kap_seal *s, struct kap_str key, struct kap_error *err)
{
    const size_t i = find_key(s, key);
    if (i == SIZE_MAX)
        return kap_fail(err, KAP_ENOTFOUND, "requested key is not in the keyring");
    const struct kap_seal_key chosen = s->keys[i];
    memmove(&s->keys[1], &s->keys[0], i * sizeof s->keys[0]);
    s->keys[0] = chosen;
    return KAP_OK;
}

enum kap_status kap_seal_remove_key(struct kap_seal *s, struct kap_str key, struct kap_error *err)
{
    const size_t i = find_key(s, key);
    if (i == SIZE_MAX)
        return KAP_OK;
    if (i == 0)
        return kap_fail(err, KAP_ESTATE, "removing the primary key is not allowed");
    s->n_keys--;
    memmove(&s->keys[i], &s->keys[i + 1], (s->n_keys - i) * sizeof s->keys[0]);
    OPENSSL_cleanse(&s->keys[s->n_keys], sizeof s->keys[0]);
    return KAP_OK;
}

/* ---- AES-GCM ---- */

static const EVP_CIPHER *cipher_of(const struct kap_seal_key *key)
{
    return key->n == 16 ? EVP_aes_128_gcm() : key->n == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
}

static void put_nonce(const struct kap_seal *s, uint8_t *p)
{
    if (s->nonce)
        s->nonce(p, NONCE);
    else
        kap_random_system(p, NONCE);
}

/* Bytes of the sealed form of n bytes of text. */
static size_t sealed_bytes(const struct kap_seal *s, size_t n)
{
    const size_t padding = s->send_version0 ? BLOCK - n % BLOCK : 0;
    return 1 + NONCE + n + padding + TAG;
}

/* Appends version, nonce, ciphertext and tag. */
static void encrypt(const struct kap_seal *s, struct kap_str text, const struct aad *aad, struct kap_buf *out)
{
    uint8_t nonce[NONCE], tag[TAG], padding[BLOCK];
    const size_t pad = s->send_version0 ? BLOCK - text.n % BLOCK : 0;
    put_nonce(s, nonce);
    kap_buf_addc(out, s->send_version0 ? 0 : 1);
    kap_buf_addn(out, nonce, NONCE);
    uint8_t *at = (uint8_t *)kap_buf_reserve(out, text.n + pad);
    if (!at)
        return;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, done = 0;
    memset(padding, (int)pad, sizeof padding);
    EVP_EncryptInit_ex(ctx, cipher_of(&s->keys[0]), NULL, s->keys[0].bytes, nonce);
    if (aad->n)
        EVP_EncryptUpdate(ctx, NULL, &n, aad->p, (int)aad->n);
    EVP_EncryptUpdate(ctx, at, &done, (const uint8_t *)text.p, (int)text.n);
    if (pad) {
        EVP_EncryptUpdate(ctx, at + done, &n, padding, (int)pad);
        done += n;
    }
    EVP_EncryptFinal_ex(ctx, at + done, &n);
    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, tag);
    EVP_CIPHER_CTX_free(ctx);
    out->n += text.n + pad;
    kap_buf_addn(out, tag, TAG);
}

static bool decrypt_with(const struct kap_seal_key *key, struct kap_str in, const struct aad *aad, uint8_t *out)
{
    const uint8_t *p = (const uint8_t *)in.p;
    const size_t text = in.n - 1 - NONCE - TAG;
    uint8_t tag[TAG];
    memcpy(tag, p + in.n - TAG, TAG);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    bool good = EVP_DecryptInit_ex(ctx, cipher_of(key), NULL, key->bytes, p + 1) == 1;
    if (aad->n)
        good = good && EVP_DecryptUpdate(ctx, NULL, &n, aad->p, (int)aad->n) == 1;
    good = good && EVP_DecryptUpdate(ctx, out, &n, p + 1 + NONCE, (int)text) == 1;
    good = good && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1;
    good = good && EVP_DecryptFinal_ex(ctx, out + n, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

/* Length without the PKCS#7 padding; SIZE_MAX if the padding is wrong. */
static size_t unpadded(const uint8_t *p, size_t n)
{
    if (n == 0 || n % BLOCK != 0)
        return SIZE_MAX;
    const size_t pad = p[n - 1];
    if (pad == 0 || pad > BLOCK)
        return SIZE_MAX;
    for (size_t i = n - pad; i < n; i++)
        if (p[i] != pad)
            return SIZE_MAX;
    return n - pad;
}

static enum kap_status decrypt(const struct kap_seal *s, struct kap_str in, const struct aad *aad,
                               struct kap_buf *scratch, struct kap_str *ret, struct kap_error *err)
{
    if (in.n < 1 + NONCE + TAG)
        return kap_fail(err, KAP_EINVAL, "too short to be encrypted");
    const uint8_t version = (uint8_t)in.p[0];
    if (version > 1)
        return kap_fail(err, KAP_EINVAL, "unknown encryption version %u", version);
    const size_t n = in.n - 1 - NONCE - TAG;
    kap_buf_reset(scratch);
    uint8_t *at = (uint8_t *)kap_buf_reserve(scratch, n + BLOCK);
    if (!at)
        return kap_fail(err, KAP_ELIMIT, "encrypted message of %zu bytes", n);
    for (size_t i = 0; i < s->n_keys; i++) {
        if (!decrypt_with(&s->keys[i], in, aad, at))
            continue;
        const size_t text = version == 0 ? unpadded(at, n) : n;
        if (text == SIZE_MAX)
            return kap_fail(err, KAP_EINVAL, "wrong padding");
        scratch->n = text;
        *ret = kap_buf_str(scratch);
        return KAP_OK;
    }
    return kap_fail(err, KAP_EINVAL, "no installed keys could decrypt the message");
}

/* ---- labels ---- */

static void put_label(const struct kap_seal *s, struct kap_buf *out)
{
    if (s->label_n == 0)
        return;
    kap_buf_addc(out, (char)KAP_WIRE_LABEL);
    kap_buf_addc(out, (char)s->label_n);
    kap_buf_addn(out, s->label, s->label_n);
}

/* Takes the label off the front. MORE only on streams; false positives cannot occur, 244 is no message type. */
static enum kap_msgpack_state take_label(const struct kap_seal *s, struct kap_str *in, struct kap_error *err)
{
    const bool labelled = in->n > 0 && (uint8_t)in->p[0] == KAP_WIRE_LABEL;
    if (!labelled && s->label_n == 0)
        return KAP_MSGPACK_OK;
    if (in->n == 0)
        return KAP_MSGPACK_MORE;
    if (!labelled) {
        kap_fail(err, KAP_EINVAL, "no label, ours is '%.*s'", (int)s->label_n, (const char *)s->label);
        return KAP_MSGPACK_BAD;
    }
    if (in->n < 2)
        return KAP_MSGPACK_MORE;
    const size_t n = (uint8_t)in->p[1];
    if (n != 0 && in->n < 2 + n)
        return KAP_MSGPACK_MORE;
    if (n == 0 || n != s->label_n || memcmp(in->p + 2, s->label, n) != 0) {
        kap_fail(err, KAP_EINVAL, "label of another cluster");
        return KAP_MSGPACK_BAD;
    }
    *in = kap_strn(in->p + 2 + n, in->n - 2 - n);
    return KAP_MSGPACK_OK;
}

size_t kap_seal_overhead(const struct kap_seal *s)
{
    const size_t label = s->label_n ? 2 + (size_t)s->label_n : 0;
    if (s->n_keys == 0)
        return label;
    return label + KAP_SEAL_OVERHEAD + (s->send_version0 ? BLOCK : 0);
}

/* ---- datagrams ---- */

void kap_seal_datagram(const struct kap_seal *s, struct kap_str message, struct kap_buf *out)
{
    put_label(s, out);
    if (s->n_keys == 0) {
        kap_buf_add(out, message);
        return;
    }
    const struct aad aad = aad_of(s, NULL);
    encrypt(s, message, &aad, out);
}

enum kap_status kap_open_datagram(const struct kap_seal *s, struct kap_str in, struct kap_buf *scratch,
                                  struct kap_str *ret, struct kap_error *err)
{
    switch (take_label(s, &in, err)) {
    case KAP_MSGPACK_OK:
        break;
    case KAP_MSGPACK_MORE:
        return kap_fail(err, KAP_EINVAL, "cut short in the label");
    case KAP_MSGPACK_BAD:
        return KAP_EINVAL;
    }
    if (s->n_keys == 0) {
        *ret = in;
        return KAP_OK;
    }
    const struct aad aad = aad_of(s, NULL);
    const enum kap_status status = decrypt(s, in, &aad, scratch, ret, err);
    if (status == KAP_OK || !s->accept_plain)
        return status;
    *ret = in;
    return KAP_OK;
}

/* ---- streams ---- */

void kap_seal_stream(const struct kap_seal *s, struct kap_str message, bool dialled, struct kap_buf *out)
{
    if (dialled)
        put_label(s, out);
    if (s->n_keys == 0) {
        kap_buf_add(out, message);
        return;
    }
    const size_t n = sealed_bytes(s, message.n);
    const char head[STREAM_HEAD] = { KAP_WIRE_ENCRYPT, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };
    const struct aad aad = aad_of(s, head);
    kap_buf_addn(out, head, STREAM_HEAD);
    encrypt(s, message, &aad, out);
}

enum kap_open_result kap_open_stream(const struct kap_seal *s, struct kap_str in, bool answer,
                                     struct kap_buf *scratch, struct kap_str *ret, struct kap_error *err)
{
    if (!answer) {
        const enum kap_msgpack_state state = take_label(s, &in, err);
        if (state != KAP_MSGPACK_OK)
            return state == KAP_MSGPACK_MORE ? KAP_OPEN_MORE : KAP_OPEN_BAD;
    }
    if (in.n == 0)
        return KAP_OPEN_MORE;
    const bool encrypted = in.p[0] == KAP_WIRE_ENCRYPT;
    if (!encrypted && (s->n_keys == 0 || s->accept_plain)) {
        *ret = in;
        return KAP_OPEN_PLAIN;
    }
    if (!encrypted) {
        kap_fail(err, KAP_EINVAL, "encryption is configured but remote state is not encrypted");
        return KAP_OPEN_BAD;
    }
    if (s->n_keys == 0) {
        kap_fail(err, KAP_EINVAL, "remote state is encrypted and encryption is not configured");
        return KAP_OPEN_BAD;
    }
    if (in.n < STREAM_HEAD)
        return KAP_OPEN_MORE;
    const uint8_t *p = (const uint8_t *)in.p;
    const size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (n > KAP_WIRE_STREAM_BYTES) {
        kap_fail(err, KAP_ELIMIT, "remote state is larger than limit (%zu)", n);
        return KAP_OPEN_BAD;
    }
    if (in.n - STREAM_HEAD < n)
        return KAP_OPEN_MORE;
    const struct aad aad = aad_of(s, in.p);
    const struct kap_str sealed = kap_strn(in.p + STREAM_HEAD, n);
    return decrypt(s, sealed, &aad, scratch, ret, err) == KAP_OK ? KAP_OPEN_WHOLE : KAP_OPEN_BAD;
}
