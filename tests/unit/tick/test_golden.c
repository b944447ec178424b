/* The golden cases that are about scripts alone, replayed without a server: "reject", "format" and "dot"
 * steps of tests/golden/cases against the parser, the formatter, the real node and handler tables. What the
 * reference finds only when a task is enabled (status 500) must be accepted here. */
#include "base/buf.h"
#include "base/mem.h"
#include "handlers/handlers.h"
#include "nodes/nodes.h"
#include "pipeline/dot.h"
#include "tick/tick.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define CASES KAP_SOURCE_ROOT "/tests/golden/cases"
#define PREFIX "invalid TICKscript: "

static int checked, differences;

static void differ(const char *name, const char *script, const char *expected, const char *got)
{
    print_error("%s: %s\n  expected %s\n  got      %s\n", name, script, expected, got);
    differences++;
}

/* "" when the script is fine; *ret is the graph, to be released. */
static void evaluate(const char *script, struct kap_graph **ret, struct kap_error *err)
{
    static const struct kap_registry registry = { .nodes = kap_node_types, .handlers = kap_handler_types };
    const struct kap_tick_options opt = { .registry = &registry, .type = KAP_TASK_INVALID };
    struct kap_tick_script *s = NULL;
    *ret = NULL;
    err->msg[0] = 0;
    if (kap_tick_parse(kap_str(script), &s, err) != KAP_OK)
        return;
    if (kap_tick_task_type(s) == KAP_TASK_INVALID)
        (void)kap_tick_eval(s, &opt, ret, NULL, NULL, err);
    else if (kap_tick_eval(s, &opt, ret, NULL, NULL, err) == KAP_OK)
        err->msg[0] = 0;
    kap_tick_script_unref(s);
}

static void check_reject(const char *name, const json_t *got)
{
    const char *script = json_string_value(json_object_get(got, "script"));
    const char *expected = json_string_value(json_object_get(got, "error"));
    const bool refused = json_integer_value(json_object_get(got, "status")) == 400;
    struct kap_graph *g;
    struct kap_error err;
    evaluate(script, &g, &err);
    kap_graph_unref(g);
    checked++;
    if (!refused) {
        if (err.msg[0])
            differ(name, script, "(accepted)", err.msg);
    } else if (strcmp(expected, "<any>") == 0) {
        if (!err.msg[0])
            differ(name, script, "(any error)", "(accepted)");
    } else if (strncmp(expected, PREFIX, sizeof PREFIX - 1) == 0) {
        if (strcmp(expected + sizeof PREFIX - 1, err.msg) != 0)
            differ(name, script, expected + sizeof PREFIX - 1, err.msg);
    } else if (strcmp(expected, err.msg) != 0) {
        differ(name, script, expected, err.msg);
    }
}

static char *joined(const json_t *lines)
{
    struct kap_buf b = { 0 };
    for (size_t i = 0; i < json_array_size(lines); i++)
        kap_buf_addf(&b, "%s%s", i ? "\n" : "", json_string_value(json_array_get(lines, i)));
    return kap_buf_take(&b);
}

static void check_format(const char *name, const char *script, const json_t *got)
{
    const json_t *lines = json_object_get(got, "script");
    if (!lines) /* refused: it is among the "reject" steps as well */
        return;
    KAP_AUTO_FREE char *expected = joined(lines);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_tick_script *s = NULL;
    struct kap_error err;
    checked++;
    if (kap_tick_parse(kap_str(script), &s, &err) != KAP_OK) {
        differ(name, script, expected, err.msg);
        return;
    }
    kap_tick_format(s, &b);
    if (strcmp(b.p, expected) != 0)
        differ(name, script, expected, b.p);
    kap_tick_script_unref(s);
}

static void check_dot(const char *name, const char *script, size_t number, const json_t *got)
{
    KAP_AUTO_FREE char *expected = joined(got);
    KAP_AUTO_FREE char *task = kap_asprintf("%s-d%zu", name, number);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_graph *g;
    struct kap_error err;
    evaluate(script, &g, &err);
    checked++;
    if (!g) {
        differ(name, script, expected, err.msg);
        return;
    }
    kap_graph_dot(g, kap_str(task), &b);
    if (strcmp(b.p, expected) != 0)
        differ(name, script, expected, b.p);
    kap_graph_unref(g);
}

static char *read_case(const char *area, const char *name)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s/%s.case", CASES, area, name);
    FILE *f = fopen(path, "r");
    struct kap_buf b = { 0 };
    char chunk[4096];
    assert_non_null(f);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        kap_buf_addn(&b, chunk, n);
    (void)fclose(f);
    return kap_buf_take(&b);
}

/* The snippets below the step whose header line is `step`, parted by lines of dashes; each is cut off in
 * place. */
static char *next_snippet(char **rest)
{
    char *snippet = *rest;
    if (!snippet)
        return NULL;
    char *end = strstr(snippet, "\n----\n");
    *rest = end ? end + 6 : NULL;
    if (end)
        *end = 0;
    return snippet;
}

static void check_step(const char *area, const char *name, const char *step, const json_t *got)
{
    const bool reject = strncmp(step, "reject", 6) == 0, format = strcmp(step, "format") == 0;
    const bool dot = strncmp(step, "dot", 3) == 0;
    if (!reject && !format && !dot)
        return;
    KAP_AUTO_FREE char *text = reject ? NULL : read_case(area, name);
    KAP_AUTO_FREE char *header = kap_asprintf("== %s\n", step);
    char *rest = text ? strstr(text, header) : NULL;
    if (text) {
        assert_non_null(rest);
        rest += strlen(header);
        char *end = strstr(rest, "\n== ");
        if (end)
            *end = 0;
    }
    for (size_t i = 0; i < json_array_size(got); i++) {
        const json_t *one = json_array_get(got, i);
        const char *snippet = next_snippet(&rest);
        if (reject)
            check_reject(name, one);
        else if (format)
            check_format(name, snippet, one);
        else
            check_dot(name, snippet, i, one);
    }
}

static void check_file(const char *area, const char *file)
{
    const char *dot = strrchr(file, '.');
    if (!dot || strcmp(dot, ".expect") != 0)
        return;
    KAP_AUTO_FREE char *name = kap_strndup(file, (size_t)(dot - file));
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s/%s", CASES, area, file);
    json_error_t why;
    json_t *steps = json_load_file(path, 0, &why);
    assert_non_null(steps);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        check_step(area, name, json_string_value(json_object_get(step, "step")),
                   json_object_get(step, "got"));
    }
    json_decref(steps);
}

static void check_area(const char *area)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", CASES, area);
    struct dirent **entries;
    const int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        check_file(area, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

static void scripts_of_the_golden_cases(void **state)
{
    static const char *const areas[] = { "alert", "batch", "lambda", "nodes", "stream", "tick", "window" };
    for (size_t i = 0; i < KAP_COUNT(areas); i++)
        check_area(areas[i]);
    assert_true(checked > 150);
    assert_int_equal(differences, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(scripts_of_the_golden_cases) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
