/* TICKscript: whatever parses is formatted into text that parses again and formats into itself, and evaluates
 * without harm. */
#include "base/buf.h"
#include "base/mem.h"
#include "handlers/handlers.h"
#include "nodes/nodes.h"
#include "pipeline/dot.h"
#include "tick/tick.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fixed_point(const struct kap_tick_script *s, struct kap_str text)
{
    struct kap_error err;
    struct kap_tick_script *again = NULL;
    KAP_AUTO_BUF struct kap_buf once = { 0 }, twice = { 0 };
    kap_tick_format(s, &once);
    if (kap_tick_parse(kap_buf_str(&once), &again, &err) != KAP_OK) {
        (void)fprintf(stderr, "formatted script does not parse: %s\n%.*s\n", err.msg,
                      KAP_STR_ARG(kap_buf_str(&once)));
        abort();
    }
    kap_tick_format(again, &twice);
    if (!kap_str_eq(kap_buf_str(&once), kap_buf_str(&twice))) {
        (void)fprintf(stderr, "formatting again changes\n%.*s\n--- once\n%.*s\n--- twice\n%.*s\n",
                      KAP_STR_ARG(text), KAP_STR_ARG(kap_buf_str(&once)), KAP_STR_ARG(kap_buf_str(&twice)));
        abort();
    }
    if (kap_tick_task_type(s) != kap_tick_task_type(again))
        abort();
    kap_tick_script_unref(again);
}

static void ignore_warning(void *ctx, int line, int character, const char *message)
{
}

static void evaluate(struct kap_tick_script *s)
{
    static const struct kap_registry registry = { .nodes = kap_node_types, .handlers = kap_handler_types };
    for (int is_template = 0; is_template < 2; is_template++) {
        const struct kap_tick_options opt = { .registry = &registry, .type = KAP_TASK_INVALID,
                                              .is_template = is_template, .warn = ignore_warning };
        struct kap_graph *g = NULL;
        struct kap_tick_vars vars = { 0 };
        struct kap_tick_hint hint;
        struct kap_error err;
        if (kap_tick_eval(s, &opt, &g, &vars, &hint, &err) == KAP_OK) {
            KAP_AUTO_BUF struct kap_buf b = { 0 };
            struct kap_json j;
            kap_json_init(&j, &b, false);
            kap_tick_vars_json(&j, &vars, true);
            kap_graph_json(g, &j);
            kap_tick_vars_done(&vars);
            kap_graph_unref(g);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kap_str text = kap_strn((const char *)data, size);
    struct kap_tick_script *s = NULL;
    struct kap_error err;
    if (kap_tick_parse(text, &s, &err) != KAP_OK) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        (void)kap_tick_error_excerpt(&b, text, err.msg);
        return 0;
    }
    check_fixed_point(s, text);
    evaluate(s);
    kap_tick_script_unref(s);
    return 0;
}
