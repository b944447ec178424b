#include "base/json.h"
#include "base/gotime.h"
#include "base/number.h"
#include <assert.h>
#include <math.h>

void kap_json_init(struct kap_json *j, struct kap_buf *out, bool indent)
{
    *j = (struct kap_json){ .out = out, .indent = indent };
    j->first[0] = true;
}

static void newline(struct kap_json *j)
{
    if (!j->indent)
        return;
    kap_buf_addc(j->out, '\n');
    for (int i = 0; i < j->depth; i++)
        kap_buf_adds(j->out, "    ");
}

/* Before a value or a key: the comma and the line. */
static void separate(struct kap_json *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (!j->first[j->depth])
        kap_buf_addc(j->out, ',');
    j->first[j->depth] = false;
    if (j->depth > 0)
        newline(j);
}

static void open(struct kap_json *j, char c)
{
    separate(j);
    kap_buf_addc(j->out, c);
    assert(j->depth + 1 < KAP_JSON_DEPTH);
    j->first[++j->depth] = true;
}

static void close(struct kap_json *j, char c)
{
    const bool empty = j->first[j->depth--];
    if (!empty)
        newline(j);
    kap_buf_addc(j->out, c);
}

void kap_json_object(struct kap_json *j)
{
    open(j, '{');
}

void kap_json_object_end(struct kap_json *j)
{
    close(j, '}');
}

void kap_json_array(struct kap_json *j)
{
    open(j, '[');
}

void kap_json_array_end(struct kap_json *j)
{
    close(j, ']');
}

void kap_json_escape(struct kap_buf *out, struct kap_str s, bool html)
{
    kap_buf_addc(out, '"');
    size_t start = 0;
    for (size_t i = 0; i < s.n;) {
        const unsigned char c = (unsigned char)s.p[i];
        uint32_t rune;
        const size_t len = c < 0x80 ? 1 : kap_utf8_decode(s.p + i, s.n - i, &rune);
        const bool plain = c < 0x80 ? c >= 0x20 && c != '"' && c != '\\' && !(html && (c == '<' || c == '>' || c == '&'))
                                    : len && rune != 0x2028 && rune != 0x2029;
        if (plain) {
            i += len;
            continue;
        }
        kap_buf_addn(out, s.p + start, i - start);
        if (c >= 0x80)
            kap_buf_addf(out, "\\u%04x", len ? rune : 0xfffd);
        else if (c == '"' || c == '\\')
            kap_buf_addf(out, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            kap_buf_addf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else
            kap_buf_addf(out, "\\u%04x", c);
        i += len ? len : 1;
        start = i;
    }
    if (s.n > start)
        kap_buf_addn(out, s.p + start, s.n - start);
    kap_buf_addc(out, '"');
}

void kap_json_keyn(struct kap_json *j, struct kap_str key)
{
    separate(j);
    kap_json_escape(j->out, key, !j->no_html_escape);
    kap_buf_adds(j->out, j->indent ? ": " : ":");
    j->after_key = true;
}

void kap_json_key(struct kap_json *j, const char *key)
{
    kap_json_keyn(j, kap_str(key));
}

void kap_json_str(struct kap_json *j, struct kap_str s)
{
    separate(j);
    kap_json_escape(j->out, s, !j->no_html_escape);
}

void kap_json_cstr(struct kap_json *j, const char *s)
{
    if (s)
        kap_json_str(j, kap_str(s));
    else
        kap_json_null(j);
}

void kap_json_i64(struct kap_json *j, int64_t i)
{
    separate(j);
    kap_number_i64(j->out, i);
}

void kap_json_u64(struct kap_json *j, uint64_t u)
{
    separate(j);
    kap_number_u64(j->out, u);
}

void kap_json_f64(struct kap_json *j, double f)
{
    if (!isfinite(f)) {
        j->bad_float = true;
        kap_json_null(j);
        return;
    }
    separate(j);
    kap_number_json(j->out, f);
}

void kap_json_bool(struct kap_json *j, bool b)
{
    separate(j);
    kap_buf_adds(j->out, b ? "true" : "false");
}

void kap_json_null(struct kap_json *j)
{
    separate(j);
    kap_buf_adds(j->out, "null");
}

void kap_json_raw(struct kap_json *j, struct kap_str json)
{
    separate(j);
    kap_buf_add(j->out, json);
}

void kap_json_time(struct kap_json *j, int64_t time_ns)
{
    separate(j);
    kap_buf_addc(j->out, '"');
    kap_time_rfc3339nano(j->out, time_ns);
    kap_buf_addc(j->out, '"');
}
