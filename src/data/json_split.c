#include "data/json_split.h"

/* The place behind the end of the current document in `p`, 0: it goes on. */
static size_t find_end(struct kap_json_split *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char c = p[i];
        if (s->in_string) {
            if (s->escaped)
                s->escaped = false;
            else if (c == '\\')
                s->escaped = true;
            else if (c == '"')
                s->in_string = false;
        } else if (c == '"') {
            s->in_string = true;
        } else if (c == '{' || c == '[') {
            s->depth++;
        } else if (c == '}' || c == ']') {
            if (--s->depth <= 0)
                return i + 1;
        }
    }
    return 0;
}

static enum kap_status hand_over(struct kap_json_split *s, kap_json_split_fn fn, void *ctx,
                                 struct kap_error *err)
{
    const struct kap_str text = kap_str_trim(kap_buf_str(&s->text));
    const enum kap_status st = text.n ? fn(ctx, text, err) : KAP_OK;
    kap_buf_reset(&s->text);
    s->depth = 0;
    return st;
}

enum kap_status kap_json_split_feed(struct kap_json_split *s, struct kap_str piece, kap_json_split_fn fn,
                                    void *ctx, struct kap_error *err)
{
    while (piece.n) {
        const size_t end = find_end(s, piece.p, piece.n);
        const size_t take = end ? end : piece.n;
        if (s->max_bytes && s->text.n + take > s->max_bytes)
            return kap_fail(err, KAP_ELIMIT, "a JSON document has more than %zu bytes", s->max_bytes);
        if (s->depth < 0)
            return kap_fail(err, KAP_EINVAL, "invalid character '%c' looking for beginning of value",
                            piece.p[end - 1]);
        kap_buf_addn(&s->text, piece.p, take);
        if (end)
            KAP_TRY(hand_over(s, fn, ctx, err));
        piece = kap_strn(piece.p + take, piece.n - take);
    }
    return KAP_OK;
}

enum kap_status kap_json_split_end(struct kap_json_split *s, kap_json_split_fn fn, void *ctx,
                                   struct kap_error *err)
{
    if (s->depth > 0 || s->in_string)
        return kap_fail(err, KAP_EINVAL, "unexpected end of JSON input");
    return hand_over(s, fn, ctx, err);
}

void kap_json_split_done(struct kap_json_split *s)
{
    kap_buf_done(&s->text);
}
