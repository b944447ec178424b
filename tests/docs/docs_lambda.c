/* Fills in the tables of docs/lambda.md: what stands between "<!-- NAME -->" and "<!-- end -->" is made from the
 * tables that the code works with, so the page cannot tell of another language.
 *   docs_lambda FILE          rewrites the file
 *   docs_lambda -check FILE   fails when it would be another */
#include "base/buf.h"
#include "base/mem.h"
#include "lambda/internal.h"
#include "tick/tick.h"

#include <stdio.h>

/* --- operators --- */

/* Whether b takes its operand away from a in "x a y b z". */
static bool binds_tighter(enum kap_op b, enum kap_op a)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    struct kap_tick_lambda *l;
    kap_buf_addf(&text, "\"x\" %s \"y\" %s \"z\"", kap_op_text(a), kap_op_text(b));
    if (kap_tick_lambda_parse(kap_buf_str(&text), &l, NULL) != KAP_OK)
        return false;
    const bool tighter = kap_tick_lambda_expr(l)->op == a && a != b;
    kap_tick_lambda_free(l);
    return tighter;
}

/* Of how many operators it takes the operand: the same number for those of one level. */
static int strength(enum kap_op op)
{
    int n = 0;
    for (int other = KAP_OP_ADD; other <= KAP_OP_OR; other++)
        n += binds_tighter(op, (enum kap_op)other);
    return n;
}

static void put_operands(struct kap_buf *b, enum kap_op op, enum kap_type ret)
{
    size_t n;
    const struct kap_rule *rules = kap_rules(&n);
    const char *between = "";
    for (size_t i = 0; i < n; i++) {
        if (rules[i].op != op || rules[i].ret != ret)
            continue;
        kap_buf_addf(b, "%s%s %s %s", between, kap_type_name(rules[i].left), kap_op_text(op),
                     kap_type_name(rules[i].right));
        between = ", ";
    }
}

static bool gives(enum kap_op op, enum kap_type ret)
{
    size_t n;
    const struct kap_rule *rules = kap_rules(&n);
    for (size_t i = 0; i < n; i++)
        if (rules[i].op == op && rules[i].ret == ret)
            return true;
    return false;
}

static void put_operator(struct kap_buf *b, enum kap_op op, int level)
{
    for (int ret = 0; ret < KAP_TYPES; ret++) {
        if (!gives(op, (enum kap_type)ret))
            continue;
        kap_buf_addf(b, "| `%s` | %d | ", kap_op_text(op), level);
        put_operands(b, op, (enum kap_type)ret);
        kap_buf_addf(b, " | %s |\n", kap_type_name((enum kap_type)ret));
    }
}

static void put_operators(struct kap_buf *b)
{
    kap_buf_adds(b, "| Operator | Binds | Operands | Result |\n| --- | ---: | --- | --- |\n");
    int level = 1;
    for (int wanted = KAP_OP_OR; wanted >= 0; wanted--) {
        bool any = false;
        for (int op = KAP_OP_ADD; op <= KAP_OP_OR; op++) {
            if (strength((enum kap_op)op) != wanted)
                continue;
            put_operator(b, (enum kap_op)op, level);
            any = true;
        }
        level += any;
    }
}

/* --- functions --- */

static const char *letter_name(char letter)
{
    static const char *const names[] = { ['f'] = "float", ['i'] = "int",  ['s'] = "string",   ['b'] = "boolean",
                                         ['t'] = "time",  ['r'] = "regex", ['d'] = "duration", ['m'] = "missing" };
    return names[(unsigned char)letter];
}

static void put_signatures(struct kap_buf *b, const struct kap_lambda_fn *fn)
{
    const char *between = "";
    kap_buf_addc(b, '(');
    for (const char *p = fn->signatures; *p; p++) {
        if (*p == ':') {
            kap_buf_addf(b, ") %s", letter_name(*++p));
        } else if (*p == ' ') {
            kap_buf_adds(b, "; (");
            between = "";
        } else {
            kap_buf_addf(b, "%s%s", between, letter_name(*p));
            between = ", ";
        }
    }
}

static void put_functions(struct kap_buf *b)
{
    const char *group = "";
    for (const struct kap_lambda_fn *fn = kap_lambda_fns; fn->name; fn++) {
        if (strcmp(group, fn->group) != 0)
            kap_buf_addf(b, "%s### %s\n\n| Function | Arguments and result | |\n| --- | --- | --- |\n",
                         *group ? "\n" : "", fn->group);
        group = fn->group;
        kap_buf_addf(b, "| `%s` | ", fn->name);
        put_signatures(b, fn);
        kap_buf_addf(b, " | %s |\n", fn->doc);
    }
}

/* --- the page --- */

static const struct {
    const char *name;
    void (*put)(struct kap_buf *b);
} tables[] = { { "operators", put_operators }, { "functions", put_functions } };

static bool read_file(const char *path, struct kap_buf *b)
{
    FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;
    if (!f)
        return false;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        kap_buf_addn(b, chunk, n);
    const bool good = !ferror(f);
    fclose(f);
    return good;
}

static bool write_file(const char *path, struct kap_str text)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return false;
    const bool good = fwrite(text.p, 1, text.n, f) == text.n;
    return fclose(f) == 0 && good;
}

/* Copies the page with the tables made anew; false: a mark is missing. */
static bool fill(const char *page, struct kap_buf *out)
{
    static const char end_mark[] = "<!-- end -->";
    for (size_t i = 0; i < KAP_COUNT(tables); i++) {
        KAP_AUTO_FREE char *mark = kap_asprintf("<!-- %s -->\n", tables[i].name);
        const char *start = strstr(page, mark);
        const char *end = start ? strstr(start, end_mark) : NULL;
        if (!end) {
            fprintf(stderr, "docs_lambda: no place for the table of %s\n", tables[i].name);
            return false;
        }
        start += strlen(mark);
        kap_buf_addn(out, page, (size_t)(start - page));
        kap_buf_addc(out, '\n');
        tables[i].put(out);
        kap_buf_addc(out, '\n');
        page = end;
    }
    kap_buf_adds(out, page);
    return true;
}

int main(int argc, char **argv)
{
    const bool check = argc == 3 && strcmp(argv[1], "-check") == 0;
    KAP_AUTO_BUF struct kap_buf page = { 0 };
    KAP_AUTO_BUF struct kap_buf made = { 0 };
    if (argc != 2 + check) {
        fputs("usage: docs_lambda [-check] FILE\n", stderr);
        return 2;
    }
    const char *path = argv[1 + check];
    if (!read_file(path, &page) || !page.p) {
        fprintf(stderr, "docs_lambda: cannot read %s\n", path);
        return 1;
    }
    if (!fill(page.p, &made))
        return 1;
    if (kap_str_eq(kap_buf_str(&page), kap_buf_str(&made)))
        return 0;
    if (check) {
        fprintf(stderr, "docs_lambda: %s is out of date: make docs\n", path);
        return 1;
    }
    return !write_file(path, kap_buf_str(&made));
}
