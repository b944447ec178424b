#include "alert/match.h"

#include "base/mem.h"
#include "lambda/lambda.h"
#include "tick/tick.h"

struct kap_match {
    struct kap_lambda *lambda;
    struct kap_lambda_state *state;
    struct kap_arena *scratch;
};

static struct kap_value changed(const void *ctx)
{
    const struct kap_event *ev = ctx;
    return kap_value_b(ev->level != ev->previous);
}

static struct kap_value level(const void *ctx)
{
    return kap_value_i(((const struct kap_event *)ctx)->level);
}

static struct kap_value name(const void *ctx)
{
    return kap_value_s(((const struct kap_event *)ctx)->name);
}

static struct kap_value task_name(const void *ctx)
{
    return kap_value_s(((const struct kap_event *)ctx)->task);
}

static struct kap_value alert_duration(const void *ctx)
{
    return kap_value_dur(((const struct kap_event *)ctx)->duration_ns);
}

static const struct kap_lambda_extra functions[] = {
    { "changed", KAP_BOOL, changed },
    { "level", KAP_INT, level },
    { "name", KAP_STRING, name },
    { "taskName", KAP_STRING, task_name },
    { "alertDuration", KAP_DURATION, alert_duration },
    { NULL, KAP_MISSING, NULL },
};

/* Puts the levels' numbers in the place of their names. */
static enum kap_status replace_constants(struct kap_expr *e, struct kap_error *err)
{
    if (!e)
        return KAP_OK;
    if (e->kind == KAP_EXPR_IDENTIFIER) {
        for (int l = KAP_LEVEL_OK; l <= KAP_LEVEL_CRITICAL; l++) {
            if (!kap_str_is(e->name, kap_level_name((enum kap_level)l)))
                continue;
            e->kind = KAP_EXPR_LITERAL;
            e->value = kap_value_i(l);
            return KAP_OK;
        }
        return kap_fail(err, KAP_EINVAL, "unknown identifier \"%.*s\"", KAP_STR_ARG(e->name));
    }
    KAP_TRY(replace_constants(e->left, err));
    KAP_TRY(replace_constants(e->right, err));
    for (size_t i = 0; i < e->nargs; i++)
        KAP_TRY(replace_constants(e->args[i], err));
    return KAP_OK;
}

static enum kap_status compile(struct kap_str text, struct kap_lambda **ret, struct kap_error *err)
{
    struct kap_tick_lambda *parsed;
    KAP_TRY(kap_tick_lambda_parse(text, &parsed, err));
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_expr *e = kap_expr_copy(arena, kap_tick_lambda_expr(parsed));
    enum kap_status status = replace_constants(e, err);
    if (status == KAP_OK)
        status = kap_lambda_new(e, functions, ret, err);
    kap_tick_lambda_free(parsed);
    return status;
}

enum kap_status kap_match_new(struct kap_str text, struct kap_match **ret, struct kap_error *err)
{
    struct kap_lambda *lambda;
    if (compile(text, &lambda, err) != KAP_OK)
        return kap_wrap(err, "invalid match expression");
    struct kap_match *m = KAP_NEW(struct kap_match);
    m->lambda = lambda;
    m->state = kap_lambda_state_new(lambda);
    m->scratch = kap_arena_new();
    *ret = m;
    return KAP_OK;
}

void kap_match_free(struct kap_match *m)
{
    if (!m)
        return;
    kap_lambda_state_free(m->state);
    kap_lambda_free(m->lambda);
    kap_arena_free(m->scratch);
    kap_free(m);
}

static int64_t fixed_ns(void *ctx)
{
    return *(const int64_t *)ctx;
}

/* now() is the event's time, so that all copies decide alike. */
enum kap_status kap_match_eval(struct kap_match *m, const struct kap_event *ev, bool *ret, struct kap_error *err)
{
    *ret = false;
    const struct kap_sym *const *refs;
    const size_t nrefs = kap_lambda_refs(m->lambda, &refs);
    for (size_t i = 0; i < nrefs; i++) {
        if (!kap_tags_get(ev->tags, refs[i]))
            return kap_fail(err, KAP_EINVAL, "no tag exists for %s", refs[i]->s);
    }
    kap_arena_reset(m->scratch);
    int64_t now_ns = ev->time_ns;
    const struct kap_clock clock = { fixed_ns, fixed_ns, &now_ns };
    const struct kap_lambda_env env = {
        .tags = ev->tags, .time_ns = ev->time_ns, .clock = &clock, .scratch = m->scratch, .ctx = ev,
    };
    return kap_lambda_eval_bool(m->lambda, m->state, &env, ret, err);
}
