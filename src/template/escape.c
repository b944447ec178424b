/* Contextual escaping, after Go's html/template: follows the HTML, JavaScript, CSS and URL syntax of the literal text
 * through all branches, and gives each action the escapers for the context it stands in. */
#include "base/buf.h"
#include "base/mem.h"
#include "template/internal.h"
#include <strings.h>

enum state {
    ST_TEXT, ST_TAG, ST_ATTR_NAME, ST_AFTER_NAME, ST_BEFORE_VALUE, ST_COMMENT, ST_RCDATA, ST_ATTR, ST_URL,
    ST_JS, ST_JS_DQ, ST_JS_SQ, ST_JS_REGEX, ST_JS_BLOCK, ST_JS_LINE,
    ST_CSS, ST_CSS_DQ, ST_CSS_SQ, ST_CSS_URL_DQ, ST_CSS_URL_SQ, ST_CSS_URL, ST_CSS_BLOCK, ST_CSS_LINE,
};
enum delim { DELIM_NONE, DELIM_DQ, DELIM_SQ, DELIM_SPACE };
enum url_part { URL_NONE, URL_PRE_QUERY, URL_QUERY, URL_UNKNOWN };
enum js_ctx { JS_REGEXP, JS_DIV, JS_UNKNOWN };
enum attr { ATTR_PLAIN, ATTR_SCRIPT, ATTR_STYLE, ATTR_URL };
enum element { EL_NONE, EL_SCRIPT, EL_STYLE, EL_TEXTAREA, EL_TITLE };

struct context {
    enum state state;
    enum delim delim;
    enum url_part url;
    enum js_ctx js;
    enum attr attr;
    enum element element;
};

struct done {                    /* a template that was escaped already */
    const struct kap_tnode *body;
    struct context start, end;
    struct done *next;
};

struct escaper {
    struct kap_template *t;
    struct kap_error *err;
    struct done *done;
    int depth;
};

static const char *const element_names[] = { "", "script", "style", "textarea", "title" };

static bool same(struct context a, struct context b)
{
    return a.state == b.state && a.delim == b.delim && a.url == b.url && a.js == b.js && a.attr == b.attr &&
           a.element == b.element;
}

static bool is_space(char c)
{
    return c && strchr(" \t\n\f\r", c);
}

static size_t skip_space(struct kap_str s, size_t i)
{
    while (i < s.n && is_space(s.p[i]))
        i++;
    return i;
}

static size_t index_any(struct kap_str s, size_t from, const char *set)
{
    while (from < s.n && !(s.p[from] && strchr(set, s.p[from])))
        from++;
    return from;
}

/* Position of a text in s, s.n: not there. */
static size_t index_text(struct kap_str s, size_t from, const char *text)
{
    const char *p = from < s.n ? memmem(s.p + from, s.n - from, text, strlen(text)) : NULL;
    return p ? (size_t)(p - s.p) : s.n;
}

/* --- transitions: each takes literal text in a context, changes the context, returns the bytes consumed --- */

static size_t tag_name(struct kap_str s, size_t i, enum element *element)
{
    const size_t start = i;
    *element = EL_NONE;
    if (i == s.n || !((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z'))
        return i;
    while (i < s.n && (((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
                       ((s.p[i] == ':' || s.p[i] == '-') && i + 1 < s.n && s.p[i + 1] > ' ')))
        i++;
    for (int e = EL_SCRIPT; e <= EL_TITLE; e++)
        if (i - start == strlen(element_names[e]) && strncasecmp(s.p + start, element_names[e], i - start) == 0)
            *element = (enum element)e;
    return i;
}

static size_t in_text(struct context *c, struct kap_str s)
{
    for (size_t i = 0;;) {
        i = index_any(s, i, "<");
        if (i + 1 >= s.n)
            return s.n;
        if (index_text(s, i, "<!--") == i) {
            c->state = ST_COMMENT;
            return i + 4;
        }
        i++;
        const bool end = s.p[i] == '/';
        i += end;
        enum element element;
        const size_t j = tag_name(s, i, &element);
        if (j != i) {
            *c = (struct context){ .state = ST_TAG, .element = end ? EL_NONE : element };
            return j;
        }
    }
}

static enum attr attr_kind(struct kap_str name)
{
    static const char *const urls[] = { "action", "archive", "background", "cite", "classid", "codebase", "data",
                                        "formaction", "href", "icon", "longdesc", "manifest", "poster", "profile",
                                        "src", "usemap", "xmlns" };
    if (name.n > 5 && strncasecmp(name.p, "data-", 5) == 0)
        name = kap_strn(name.p + 5, name.n - 5);
    const char *colon = memchr(name.p, ':', name.n);
    if (colon && strncasecmp(name.p, "xmlns:", 6) == 0)
        return ATTR_URL;
    if (colon)
        name = kap_strn(colon + 1, name.n - (size_t)(colon + 1 - name.p));
    for (size_t i = 0; i < KAP_COUNT(urls); i++)
        if (name.n == strlen(urls[i]) && strncasecmp(name.p, urls[i], name.n) == 0)
            return ATTR_URL;
    if (name.n == 5 && strncasecmp(name.p, "style", 5) == 0)
        return ATTR_STYLE;
    if (name.n >= 2 && strncasecmp(name.p, "on", 2) == 0)
        return ATTR_SCRIPT;
    for (size_t i = 0; i + 3 <= name.n; i++) /* as browsers may treat names like these */
        if (strncasecmp(name.p + i, "src", 3) == 0 || strncasecmp(name.p + i, "uri", 3) == 0 ||
            strncasecmp(name.p + i, "url", 3) == 0)
            return ATTR_URL;
    return ATTR_PLAIN;
}

static size_t in_tag(struct context *c, struct kap_str s)
{
    static const enum state content[] = { ST_TEXT, ST_JS, ST_CSS, ST_RCDATA, ST_RCDATA };
    const size_t i = skip_space(s, 0);
    if (i == s.n)
        return s.n;
    if (s.p[i] == '>') {
        *c = (struct context){ .state = content[c->element], .element = c->element };
        return i + 1;
    }
    const size_t j = index_any(s, i, " \t\n\f\r=>");
    if (j == i) /* a stray '=' */
        return i + 1;
    c->attr = attr_kind(kap_strn(s.p + i, j - i));
    c->state = j == s.n ? ST_ATTR_NAME : ST_AFTER_NAME;
    return j;
}

static size_t in_before_value(struct context *c, struct kap_str s)
{
    static const enum state starts[] = { ST_ATTR, ST_JS, ST_CSS, ST_URL };
    size_t i = skip_space(s, 0);
    if (i == s.n)
        return s.n;
    c->delim = s.p[i] == '"' ? DELIM_DQ : s.p[i] == '\'' ? DELIM_SQ : DELIM_SPACE;
    i += c->delim != DELIM_SPACE;
    c->state = starts[c->attr];
    c->attr = ATTR_PLAIN;
    return i;
}

static size_t in_name(struct context *c, struct kap_str s)
{
    size_t i = 0;
    if (c->state == ST_ATTR_NAME) {
        i = index_any(s, 0, " \t\n\f\r=>");
        if (i < s.n)
            c->state = ST_AFTER_NAME;
        return i;
    }
    i = skip_space(s, 0);
    if (i == s.n)
        return s.n;
    if (s.p[i] == '=') {
        c->state = ST_BEFORE_VALUE;
        return i + 1;
    }
    c->state = ST_TAG;
    return i;
}

static void url_text(struct context *c, struct kap_str s)
{
    if (index_any(s, 0, "#?") < s.n)
        c->url = URL_QUERY;
    else if (skip_space(s, 0) != s.n && c->url == URL_NONE)
        c->url = URL_PRE_QUERY;
}

/* Whether a '/' behind this code starts a regular expression or divides. */
static enum js_ctx after_js(struct kap_str s, enum js_ctx before)
{
    static const char *const words[] = { "break", "case", "continue", "delete", "do", "else", "finally", "in",
                                         "instanceof", "return", "throw", "try", "typeof", "void" };
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    if (s.n == 0)
        return before;
    const char last = s.p[s.n - 1];
    if (last == '+' || last == '-') { /* x++ / 2 divides, x + /re/ does not */
        size_t count = 0;
        while (count < s.n && s.p[s.n - 1 - count] == last)
            count++;
        return count % 2 == 1 ? JS_REGEXP : JS_DIV;
    }
    if (last == '.')
        return s.n > 1 && s.p[s.n - 2] >= '0' && s.p[s.n - 2] <= '9' ? JS_DIV : JS_REGEXP;
    if (strchr(",<>=*%&|^?!~({[;:}", last))
        return JS_REGEXP;
    size_t start = s.n;
    while (start > 0 && ((s.p[start - 1] | 0x20) >= 'a' && (s.p[start - 1] | 0x20) <= 'z'))
        start--;
    for (size_t i = 0; i < KAP_COUNT(words); i++)
        if (kap_str_is(kap_strn(s.p + start, s.n - start), words[i]))
            return JS_REGEXP;
    return JS_DIV;
}

static size_t in_js(struct context *c, struct kap_str s)
{
    const size_t i = index_any(s, 0, "\"'/");
    c->js = after_js(kap_strn(s.p, i), c->js);
    if (i == s.n)
        return s.n;
    const char next = i + 1 < s.n ? s.p[i + 1] : 0;
    if (s.p[i] != '/') {
        c->state = s.p[i] == '"' ? ST_JS_DQ : ST_JS_SQ;
        c->js = JS_REGEXP;
        return i + 1;
    }
    if (next == '/' || next == '*') {
        c->state = next == '/' ? ST_JS_LINE : ST_JS_BLOCK;
        return i + 2;
    }
    if (c->js == JS_DIV)
        c->js = JS_REGEXP;
    else
        c->state = ST_JS_REGEX;
    return i + 1;
}

/* Strings and regular expressions of JavaScript. */
static size_t in_js_quoted(struct context *c, struct kap_str s)
{
    const char *special = c->state == ST_JS_DQ ? "\\\"" : c->state == ST_JS_SQ ? "\\'" : "\\/[]";
    bool in_set = false;
    for (size_t i = 0; (i = index_any(s, i, special)) < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '[')
            in_set = true;
        else if (s.p[i] == ']')
            in_set = false;
        else if (!in_set) {
            c->state = ST_JS;
            c->js = JS_DIV;
            return i + 1;
        }
    }
    return s.n;
}

static size_t in_comment(struct context *c, struct kap_str s)
{
    const bool block = c->state == ST_JS_BLOCK || c->state == ST_CSS_BLOCK;
    const bool js = c->state == ST_JS_BLOCK || c->state == ST_JS_LINE;
    const size_t i = block ? index_text(s, 0, "*/") : index_any(s, 0, "\n\r");
    if (i == s.n)
        return s.n;
    c->state = js ? ST_JS : ST_CSS;
    return block ? i + 2 : i;
}

static bool ends_with_url(struct kap_str s)
{
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s.n >= 3 && strncasecmp(s.p + s.n - 3, "url", 3) == 0;
}

static size_t in_css(struct context *c, struct kap_str s)
{
    for (size_t i = 0; (i = index_any(s, i, "(\"'/")) < s.n; i++) {
        const char next = i + 1 < s.n ? s.p[i + 1] : 0;
        if (s.p[i] == '"' || s.p[i] == '\'') {
            c->state = s.p[i] == '"' ? ST_CSS_DQ : ST_CSS_SQ;
            return i + 1;
        }
        if (s.p[i] == '/' && (next == '/' || next == '*')) {
            c->state = next == '/' ? ST_CSS_LINE : ST_CSS_BLOCK;
            return i + 2;
        }
        if (s.p[i] == '(' && ends_with_url(kap_strn(s.p, i))) {
            i = skip_space(s, i + 1);
            const char quote = i < s.n ? s.p[i] : 0;
            c->state = quote == '"' ? ST_CSS_URL_DQ : quote == '\'' ? ST_CSS_URL_SQ : ST_CSS_URL;
            return i + (c->state != ST_CSS_URL);
        }
    }
    return s.n;
}

static size_t in_css_string(struct context *c, struct kap_str s)
{
    const char *special = c->state == ST_CSS_DQ || c->state == ST_CSS_URL_DQ ? "\\\"" :
                          c->state == ST_CSS_SQ || c->state == ST_CSS_URL_SQ ? "\\'" : "\\\t\n\f\r )";
    for (size_t i = 0; (i = index_any(s, i, special)) < s.n; i++) {
        if (s.p[i] == '\\') {
            i++;
            continue;
        }
        c->state = ST_CSS;
        c->url = URL_NONE;
        return i + 1;
    }
    url_text(c, s);
    return s.n;
}

static size_t advance(struct context *c, struct kap_str s)
{
    size_t i;
    switch (c->state) {
    case ST_TEXT:
        return in_text(c, s);
    case ST_TAG:
        return in_tag(c, s);
    case ST_ATTR_NAME:
    case ST_AFTER_NAME:
        return in_name(c, s);
    case ST_BEFORE_VALUE:
        return in_before_value(c, s);
    case ST_COMMENT:
        i = index_text(s, 0, "-->");
        if (i < s.n)
            *c = (struct context){ .state = ST_TEXT };
        return KAP_MIN(i + 3, s.n);
    case ST_URL:
        url_text(c, s);
        return s.n;
    case ST_JS:
        return in_js(c, s);
    case ST_JS_DQ:
    case ST_JS_SQ:
    case ST_JS_REGEX:
        return in_js_quoted(c, s);
    case ST_JS_BLOCK:
    case ST_JS_LINE:
    case ST_CSS_BLOCK:
    case ST_CSS_LINE:
        return in_comment(c, s);
    case ST_CSS:
        return in_css(c, s);
    case ST_CSS_DQ:
    case ST_CSS_SQ:
    case ST_CSS_URL_DQ:
    case ST_CSS_URL_SQ:
    case ST_CSS_URL:
        return in_css_string(c, s);
    case ST_ATTR:
    case ST_RCDATA:
        break;
    }
    return s.n;
}

/* Position of "</script" and the like in s, s.n: none. */
static size_t special_end(enum element element, struct kap_str s)
{
    const char *name = element_names[element];
    for (size_t i = index_text(s, 0, "</"); i < s.n; i = index_text(s, i + 2, "</")) {
        const size_t after = i + 2 + strlen(name);
        if (after <= s.n && strncasecmp(s.p + i + 2, name, strlen(name)) == 0 &&
            (after == s.n || strchr(" \t\n\f\r/>", s.p[after])))
            return i;
    }
    return s.n;
}

static size_t advance_plain(struct context *c, struct kap_str s)
{
    if (c->element == EL_NONE)
        return advance(c, s);
    const size_t end = special_end(c->element, s);
    if (end == 0) {
        *c = (struct context){ .state = ST_TEXT };
        return 0;
    }
    return advance(c, kap_strn(s.p, end));
}

static size_t advance_value(struct context *c, struct kap_str s)
{
    static const char *const ends[] = { "", "\"", "'", " \t\n\f\r>" };
    const size_t end = index_any(s, 0, ends[c->delim]);
    if (end < s.n) {
        const size_t quote = c->delim != DELIM_SPACE;
        *c = (struct context){ .state = ST_TAG, .element = c->element };
        return end + quote;
    }
    for (size_t i = 0; i < s.n;)
        i += advance(c, kap_strn(s.p + i, s.n - i));
    return s.n;
}

/* --- literal text: comments go, a '<' that starts no tag is escaped --- */

static bool doctype(struct kap_str s)
{
    return s.n >= 9 && strncasecmp(s.p, "<!DOCTYPE", 9) == 0;
}

static void put_text(struct kap_buf *b, struct kap_str s, size_t tag)
{
    for (size_t i = 0; i < s.n; i++) {
        if (i < tag && s.p[i] == '<' && !doctype(kap_strn(s.p + i, s.n - i)))
            kap_buf_adds(b, "&lt;");
        else
            kap_buf_addc(b, s.p[i]);
    }
}

/* `before` and `after` are the contexts around a piece of text that was consumed at once. */
static void put_piece(struct kap_buf *b, struct context before, struct context after, struct kap_str s)
{
    if (before.state == ST_COMMENT)
        return;
    if (before.delim != DELIM_NONE || (before.state != ST_TEXT && before.state != ST_RCDATA)) {
        kap_buf_add(b, s);
        return;
    }
    size_t tag = s.n;
    if (after.state != before.state) /* from here on it is a tag */
        while (tag > 0 && s.p[--tag] != '<')
            ;
    if (after.state == ST_COMMENT)
        s.n = tag;
    put_text(b, s, tag);
}

static void escape_text(struct escaper *e, struct context *c, struct kap_tnode *n)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    for (size_t i = 0, idle = 0; i < n->text.n && idle < 4;) {
        const struct context before = *c;
        const struct kap_str rest = kap_strn(n->text.p + i, n->text.n - i);
        const size_t used = c->delim == DELIM_NONE ? advance_plain(c, rest) : advance_value(c, rest);
        put_piece(&b, before, *c, kap_strn(rest.p, used));
        idle = used ? 0 : idle + 1;
        i += used;
    }
    n->text = kap_arena_str(e->t->arena, kap_buf_str(&b));
}

/* --- actions --- */

static void nudge(struct context *c)
{
    static const enum state starts[] = { ST_ATTR, ST_JS, ST_CSS, ST_URL };
    if (c->state == ST_TAG || c->state == ST_AFTER_NAME) {
        c->state = ST_ATTR_NAME;
        c->attr = ATTR_PLAIN;
    } else if (c->state == ST_BEFORE_VALUE) {
        c->state = starts[c->attr];
        c->delim = DELIM_SPACE;
        c->attr = ATTR_PLAIN;
    }
}

static void add_escaper(struct kap_tnode *n, enum kap_tescaper how)
{
    for (size_t i = 0; i < KAP_T_ESCAPERS; i++)
        if (n->escapers[i] == KAP_ESC_NONE) {
            n->escapers[i] = (uint8_t)how;
            return;
        }
}

static void url_escapers(struct context *c, struct kap_tnode *n)
{
    if (c->url == URL_NONE)
        add_escaper(n, KAP_ESC_URL_FILTER);
    if (c->url == URL_QUERY || c->url == URL_UNKNOWN)
        add_escaper(n, KAP_ESC_URL);
    else if (c->state == ST_CSS_DQ || c->state == ST_CSS_SQ)
        add_escaper(n, KAP_ESC_CSS);
    else
        add_escaper(n, KAP_ESC_URL_NORMALIZE);
    if (c->url == URL_NONE)
        c->url = URL_PRE_QUERY;
}

static void state_escapers(struct context *c, struct kap_tnode *n)
{
    switch (c->state) {
    case ST_URL:
    case ST_CSS_DQ:
    case ST_CSS_SQ:
    case ST_CSS_URL_DQ:
    case ST_CSS_URL_SQ:
    case ST_CSS_URL:
        url_escapers(c, n);
        return;
    case ST_JS:
        add_escaper(n, KAP_ESC_JS_VALUE);
        c->js = JS_DIV;
        return;
    case ST_JS_DQ:
    case ST_JS_SQ:
        add_escaper(n, KAP_ESC_JS_STRING);
        return;
    case ST_JS_REGEX:
        add_escaper(n, KAP_ESC_JS_REGEX);
        return;
    case ST_CSS:
        add_escaper(n, KAP_ESC_CSS_VALUE);
        return;
    case ST_TEXT:
        add_escaper(n, KAP_ESC_HTML);
        return;
    case ST_RCDATA:
        add_escaper(n, KAP_ESC_RCDATA);
        return;
    case ST_COMMENT:
    case ST_JS_BLOCK:
    case ST_JS_LINE:
    case ST_CSS_BLOCK:
    case ST_CSS_LINE:
        add_escaper(n, KAP_ESC_COMMENT);
        return;
    case ST_TAG:
    case ST_ATTR_NAME:
    case ST_AFTER_NAME:
    case ST_BEFORE_VALUE:
        add_escaper(n, KAP_ESC_ATTR_NAME);
        return;
    case ST_ATTR:
        return;
    }
}

/* {{ .X | html }} is escaped already where HTML is what is needed. */
static bool ends_with_html(const struct kap_tnode *pipe)
{
    const struct kap_tnode *last = pipe->items[pipe->nitems - 1]->items[0];
    return last->kind == KAP_N_FUNCTION && strcmp(last->fn->name, "html") == 0;
}

static void escape_action(struct context *c, struct kap_tnode *n)
{
    if (n->pipe->ndecl > 0)
        return;
    nudge(c);
    if (ends_with_html(n->pipe) && (c->state == ST_TEXT || c->state == ST_RCDATA) && c->delim == DELIM_NONE)
        return;
    state_escapers(c, n);
    if (c->delim == DELIM_SPACE)
        add_escaper(n, KAP_ESC_UNQUOTED);
    else if (c->delim != DELIM_NONE)
        add_escaper(n, KAP_ESC_ATTR);
}

/* --- control --- */

static enum kap_status escape_node(struct escaper *e, struct context *c, struct kap_tnode *n);

static enum kap_status fail(struct escaper *e, const struct kap_tnode *n, const char *message, const char *what)
{
    e->t->mistake = n->pos;
    return kap_fail(e->err, KAP_EINVAL, "html/template:%s:%zu: %s%s", e->t->name, kap_template_line(e->t, n->pos), what,
                    message);
}

/* What holds after either of two branches; false: they contradict each other. */
static bool join(struct context *a, struct context b)
{
    struct context c = *a;
    if (same(c, b))
        return true;
    c.url = b.url;
    if (same(c, b)) {
        a->url = URL_UNKNOWN;
        return true;
    }
    c = *a;
    c.js = b.js;
    if (same(c, b)) {
        a->js = JS_UNKNOWN;
        return true;
    }
    struct context x = *a, y = b;
    nudge(&x);
    nudge(&y);
    if (same(x, *a) && same(y, b))
        return false;
    *a = x;
    return join(a, y);
}

static enum kap_status escape_branches(struct escaper *e, struct context *c, struct kap_tnode *n)
{
    const char *name = n->kind == KAP_N_RANGE ? "{{range}}" : n->kind == KAP_N_WITH ? "{{with}}" : "{{if}}";
    struct context body = *c, otherwise = *c;
    KAP_TRY(escape_node(e, &body, n->body));
    if (n->kind == KAP_N_RANGE && !same(body, *c)) {
        struct context again = body;
        if (!join(&again, *c))
            return fail(e, n, " on range loop re-entry: the loop body ends in another context than it starts in", name);
    }
    if (n->otherwise)
        KAP_TRY(escape_node(e, &otherwise, n->otherwise));
    if (!join(&body, otherwise))
        return fail(e, n, " branches end in different contexts", name);
    *c = body;
    return KAP_OK;
}

static enum kap_status escape_call(struct escaper *e, struct context *c, const struct kap_tnode *n)
{
    struct kap_tnode *body = kap_template_find(e->t, n->text);
    if (!body)
        return fail(e, n, "no such template", "");
    for (const struct done *d = e->done; d; d = d->next) {
        if (d->body != body)
            continue;
        if (!same(d->start, *c))
            return fail(e, n, "a template is used in two different contexts", "");
        *c = d->end;
        return KAP_OK;
    }
    if (++e->depth > KAP_T_MAX_DEPTH)
        return fail(e, n, "templates are nested too deeply", "");
    struct done *d = KAP_ARENA_NEW(e->t->arena, struct done);
    *d = (struct done){ .body = body, .start = *c, .end = *c, .next = e->done };
    e->done = d;
    KAP_TRY(escape_node(e, c, body));
    d->end = *c;
    e->depth--;
    return KAP_OK;
}

static enum kap_status escape_node(struct escaper *e, struct context *c, struct kap_tnode *n)
{
    switch (n->kind) {
    case KAP_N_LIST:
        for (size_t i = 0; i < n->nitems; i++)
            KAP_TRY(escape_node(e, c, n->items[i]));
        return KAP_OK;
    case KAP_N_TEXT:
        escape_text(e, c, n);
        return KAP_OK;
    case KAP_N_ACTION:
        escape_action(c, n);
        return KAP_OK;
    case KAP_N_TEMPLATE:
        return escape_call(e, c, n);
    default:
        return escape_branches(e, c, n);
    }
}

enum kap_status kap_template_escape(struct kap_template *t, struct kap_error *err)
{
    struct escaper e = { .t = t, .err = err };
    struct context c = { .state = ST_TEXT };
    struct done root = { .body = t->root, .start = c, .end = c };
    e.done = &root;
    KAP_TRY(escape_node(&e, &c, t->root));
    t->mistake = t->text.n;
    if (c.state != ST_TEXT)
        return kap_fail(err, KAP_EINVAL, "html/template: \"%s\" ends in a non-text context", t->name);
    return KAP_OK;
}
