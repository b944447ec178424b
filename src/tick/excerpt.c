#include "base/buf.h"
#include "tick/tick.h"

#define EXCERPT_BYTES 160 /* of a long line */

/* The number after `word`, which must come at *p; moves *p behind it. */
static bool number_after(const char **p, const char *word, int *ret)
{
    const size_t n = strlen(word);
    if (strncmp(*p, word, n) != 0)
        return false;
    int v = 0;
    const char *s = *p + n;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9' && v < 100000000; s++)
        v = v * 10 + (*s - '0');
    *p = s;
    *ret = v;
    return true;
}

static bool find_place(const char *message, int *line, int *character)
{
    for (const char *p = message; (p = strstr(p, "line ")) != NULL; p++) {
        const char *q = p;
        if (number_after(&q, "line ", line) && number_after(&q, " char ", character))
            return *line > 0 && *character > 0;
    }
    return false;
}

static bool find_line(struct kap_str script, int line, struct kap_str *ret)
{
    while (--line > 0) {
        const char *newline = memchr(script.p, '\n', script.n);
        if (!newline)
            return false;
        script.n -= (size_t)(newline + 1 - script.p);
        script.p = newline + 1;
    }
    const char *end = memchr(script.p, '\n', script.n);
    *ret = kap_strn(script.p, end ? (size_t)(end - script.p) : script.n);
    return true;
}

bool kap_tick_error_excerpt(struct kap_buf *out, struct kap_str script, const char *message)
{
    int line = 0, character = 0;
    struct kap_str text;
    if (!find_place(message, &line, &character) || !find_line(script, line, &text) ||
        (size_t)character > text.n + 1)
        return false;
    size_t from = 0;
    const size_t at = (size_t)character - 1;
    if (at > EXCERPT_BYTES / 2)
        from = at - EXCERPT_BYTES / 2;
    while (from > 0 && ((unsigned char)text.p[from] & 0xC0) == 0x80) /* not within a character */
        from--;
    const size_t n = text.n - from < EXCERPT_BYTES ? text.n - from : EXCERPT_BYTES;
    kap_buf_addf(out, "%5d | %.*s\n      | ", line, (int)n, text.p + from);
    for (size_t i = from; i < at; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        if ((c & 0xC0) != 0x80) /* one column for each character; tabs stay tabs */
            kap_buf_addc(out, c == '\t' ? '\t' : ' ');
    }
    kap_buf_adds(out, "^\n");
    return true;
}
