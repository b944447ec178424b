/* The escapers of Go's html/template: one for each context that a value can stand in. */
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "template/internal.h"
#include <ctype.h>
#include <strings.h>

#define FAILSAFE "ZgotmplZ" /* shown in place of a value that is not safe there */

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *html_entity(unsigned char c)
{
    switch (c) {
    case 0:
        return "\xef\xbf\xbd";
    case '"':
        return "&#34;";
    case '&':
        return "&amp;";
    case '\'':
        return "&#39;";
    case '+':
        return "&#43;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    default:
        return NULL;
    }
}

static void escape_html(struct kap_buf *b, struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const char *entity = html_entity((unsigned char)s.p[i]);
        if (entity)
            kap_buf_adds(b, entity);
        else
            kap_buf_addc(b, s.p[i]);
    }
}

static void escape_unquoted(struct kap_buf *b, struct kap_str s)
{
    if (s.n == 0)
        kap_buf_adds(b, FAILSAFE);
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c && strchr("\t\n\v\f\r =`", c))
            kap_buf_addf(b, "&#%d;", c);
        else
            escape_html(b, kap_strn(s.p + i, 1));
    }
}

static void filter_attr_name(struct kap_buf *b, struct kap_str s)
{
    KAP_AUTO_BUF struct kap_buf name = { 0 };
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (!is_alnum(c)) {
            kap_buf_adds(b, FAILSAFE);
            return;
        }
        kap_buf_addc(&name, (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c));
    }
    /* Names that give their value a meaning cannot come from data. */
    static const char *const plain[] = { "class", "id", "title", "alt", "lang", "dir", "name", "width", "height",
                                         "align", "border", "colspan", "rowspan", "disabled", "checked", "selected" };
    const struct kap_str text = kap_buf_str(&name);
    for (size_t i = 0; i < KAP_COUNT(plain); i++)
        if (kap_str_is(text, plain[i])) {
            kap_buf_add(b, text);
            return;
        }
    kap_buf_adds(b, FAILSAFE);
}

/* A JavaScript value: JSON, with spaces around what would join its neighbours. */
static void escape_js_value(struct kap_buf *b, struct kap_tvalue v, struct kap_str text)
{
    if (v.kind == KAP_T_JS) {
        kap_buf_add(b, v.s);
        return;
    }
    KAP_AUTO_BUF struct kap_buf json = { .max = KAP_T_MAX_OUTPUT };
    const bool as_text = v.kind == KAP_T_DURATION || v.kind == KAP_T_MONTH || v.kind == KAP_T_WEEKDAY;
    if (!kap_t_json(as_text ? kap_t_str(text) : v, &json)) {
        kap_buf_adds(b, " /* json: unsupported value */null ");
        return;
    }
    const struct kap_str s = kap_buf_str(&json);
    const bool pad = s.n > 0 && (is_alnum((unsigned char)s.p[0]) || s.p[0] == '-');
    if (pad && s.p[0] != '-')
        kap_buf_addc(b, ' ');
    kap_buf_add(b, s);
    if (pad)
        kap_buf_addc(b, ' ');
}

static const char *js_escape(unsigned char c)
{
    switch (c) {
    case 0:
        return "\\u0000";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\v':
        return "\\u000b";
    case '\f':
        return "\\f";
    case '\r':
        return "\\r";
    case '"':
        return "\\u0022";
    case '`':
        return "\\u0060";
    case '&':
        return "\\u0026";
    case '\'':
        return "\\u0027";
    case '+':
        return "\\u002b";
    case '/':
        return "\\/";
    case '<':
        return "\\u003c";
    case '>':
        return "\\u003e";
    case '\\':
        return "\\\\";
    default:
        return NULL;
    }
}

/* U+2028 and U+2029 end lines in old JavaScript. */
static bool line_separator(struct kap_buf *b, struct kap_str s, size_t *i)
{
    if (s.n - *i < 3 || memcmp(s.p + *i, "\xe2\x80", 2) != 0 || ((unsigned char)s.p[*i + 2] & 0xfe) != 0xa8)
        return false;
    kap_buf_adds(b, s.p[*i + 2] & 1 ? "\\u2029" : "\\u2028");
    *i += 2;
    return true;
}

static void escape_js_string(struct kap_buf *b, struct kap_str s, const char *more)
{
    for (size_t i = 0; i < s.n; i++) {
        const char *escaped = js_escape((unsigned char)s.p[i]);
        if (line_separator(b, s, &i))
            continue;
        if (escaped)
            kap_buf_adds(b, escaped);
        else if (strchr(more, s.p[i]))
            kap_buf_addf(b, "\\%c", s.p[i]);
        else
            kap_buf_addc(b, s.p[i]);
    }
}

static void escape_js_regex(struct kap_buf *b, struct kap_str s)
{
    if (s.n == 0)
        kap_buf_adds(b, "(?:)"); /* "//" would be a comment */
    escape_js_string(b, s, "$()*-.?[]^{|}");
}

static void escape_css(struct kap_buf *b, struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c == '\\') {
            kap_buf_adds(b, "\\\\");
        } else if (c == 0 || strchr("\t\n\f\r\"&'()+/:;<>{}", c)) {
            kap_buf_addf(b, "\\%x", c);
            const unsigned char after = i + 1 < s.n ? (unsigned char)s.p[i + 1] : ' ';
            if ((after >= '0' && after <= '9') || ((after | 0x20) >= 'a' && (after | 0x20) <= 'f') ||
                strchr(" \t\n\f\r", after))
                kap_buf_addc(b, ' ');
        } else {
            kap_buf_addc(b, (char)c);
        }
    }
}

/* Numbers, names, colours; nothing that can hold code or end the declaration. */
static void filter_css_value(struct kap_buf *b, struct kap_str s)
{
    KAP_AUTO_BUF struct kap_buf letters = { .max = KAP_T_MAX_OUTPUT };
    bool bad = false;
    for (size_t i = 0; i < s.n && !bad; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        bad = c == 0 || strchr("\"'()/;@[\\]`{}<>", c) || (c == '-' && i > 0 && s.p[i - 1] == '-');
        if (is_alnum(c))
            kap_buf_addc(&letters, (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c));
    }
    const struct kap_str text = kap_buf_str(&letters);
    bad = bad || memmem(text.p, text.n, "expression", 10) || memmem(text.p, text.n, "mozbinding", 10);
    if (bad)
        kap_buf_adds(b, FAILSAFE);
    else
        kap_buf_add(b, s);
}

static void escape_url(struct kap_buf *b, struct kap_str s, bool normalize)
{
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        const bool hex = c == '%' && i + 2 < s.n && isxdigit((unsigned char)s.p[i + 1]) &&
                         isxdigit((unsigned char)s.p[i + 2]);
        const bool kept = is_alnum(c) || (c && strchr("-._~", c)) ||
                          (normalize && ((c && strchr("!#$&*+,/:;=?@[]", c)) || hex));
        if (kept)
            kap_buf_addc(b, (char)c);
        else
            kap_buf_addf(b, "%%%02x", c);
    }
}

static void filter_url(struct kap_buf *b, struct kap_str s)
{
    static const char *const schemes[] = { "http", "https", "mailto" };
    const char *colon = memchr(s.p, ':', s.n);
    bool safe = !colon || memchr(s.p, '/', (size_t)(colon - s.p));
    for (size_t i = 0; i < KAP_COUNT(schemes) && !safe; i++)
        safe = (size_t)(colon - s.p) == strlen(schemes[i]) && strncasecmp(s.p, schemes[i], strlen(schemes[i])) == 0;
    if (safe)
        kap_buf_add(b, s);
    else
        kap_buf_adds(b, "#" FAILSAFE);
}

void kap_tescape(struct kap_buf *b, enum kap_tescaper how, struct kap_tvalue v)
{
    KAP_AUTO_BUF struct kap_buf text = { .max = KAP_T_MAX_OUTPUT };
    if (v.kind != KAP_T_NONE && v.kind != KAP_T_NIL) /* nil shows nothing in HTML */
        kap_t_print(&text, &v, 1);
    const struct kap_str s = kap_buf_str(&text);
    switch (how) {
    case KAP_ESC_NONE:
        kap_buf_add(b, s);
        return;
    case KAP_ESC_HTML:
    case KAP_ESC_ATTR:
    case KAP_ESC_RCDATA:
        escape_html(b, s);
        return;
    case KAP_ESC_UNQUOTED:
        escape_unquoted(b, s);
        return;
    case KAP_ESC_COMMENT:
        return;
    case KAP_ESC_ATTR_NAME:
        filter_attr_name(b, s);
        return;
    case KAP_ESC_JS_VALUE:
        escape_js_value(b, v, s);
        return;
    case KAP_ESC_JS_STRING:
        escape_js_string(b, s, "");
        return;
    case KAP_ESC_JS_REGEX:
        escape_js_regex(b, s);
        return;
    case KAP_ESC_CSS:
        escape_css(b, s);
        return;
    case KAP_ESC_CSS_VALUE:
        filter_css_value(b, s);
        return;
    case KAP_ESC_URL_FILTER:
        filter_url(b, s);
        return;
    case KAP_ESC_URL_NORMALIZE:
        escape_url(b, s, true);
        return;
    case KAP_ESC_URL:
        escape_url(b, s, false);
        return;
    }
}
