#include "lambda/regex.h"
#include "base/mem.h"
#include "lambda/regex_syntax.h"
#include <pthread.h>
#include <stdatomic.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Steps of backtracking before a match is given up: some milliseconds. */
#define MATCH_LIMIT 500000
#define HEAP_LIMIT_KIB 16384
#define JIT_STACK_BYTES (1024 * 1024)
#define DFA_WORKSPACE_INTS 16384
#define DFA_SUBJECT_BYTES 2048
#define PATTERN_BYTES (256 * 1024)

struct kap_regex {
    _Atomic uint32_t refs;
    pcre2_code *code;
    _Atomic(pcre2_code *) all_paths; /* made when backtracking proved hopeless: see match_all_paths */
    struct kap_regex_names names;
    size_t n;
    char pattern[];
};

/* What each thread needs to match, made at its first match, freed as it ends. */
struct matcher {
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_match_data *data;
    uint32_t pairs;
    int *workspace;
};

static pthread_key_t matcher_key;
static pthread_once_t matcher_once = PTHREAD_ONCE_INIT;
static _Thread_local struct matcher *thread_matcher;

static void matcher_free(void *arg)
{
    struct matcher *m = arg;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    kap_free(m->workspace);
    kap_free(m);
    thread_matcher = NULL;
}

static void make_key(void)
{
    pthread_key_create(&matcher_key, matcher_free);
}

static struct matcher *matcher_new(void)
{
    pthread_once(&matcher_once, make_key);
    struct matcher *m = KAP_NEW(struct matcher);
    m->context = pcre2_match_context_create(NULL);
    m->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_BYTES, NULL);
    pcre2_set_match_limit(m->context, MATCH_LIMIT);
    pcre2_set_heap_limit(m->context, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(m->context, NULL, m->stack);
    pthread_setspecific(matcher_key, m);
    thread_matcher = m;
    return m;
}

static struct matcher *matcher(uint32_t pairs)
{
    struct matcher *m = thread_matcher ? thread_matcher : matcher_new();
    if (m->pairs < pairs) {
        pcre2_match_data_free(m->data);
        m->data = pcre2_match_data_create(pairs, NULL);
        m->pairs = pairs;
    }
    return m;
}

/* Classes and \b are ASCII, as Go's are (no PCRE2_UCP). */
static pcre2_code *compile(struct kap_str translated, uint32_t options)
{
    int code;
    PCRE2_SIZE offset;
    return pcre2_compile((PCRE2_SPTR)translated.p, translated.n, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | options, &code,
                         &offset, NULL);
}

static enum kap_status build(struct kap_str pattern, struct kap_regex *re, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf translated = { 0 };
    KAP_TRY(kap_regex_translate(pattern, &translated, &re->names, err));
    /* Bytes that are not UTF-8 match nothing. */
    re->code = compile(kap_buf_str(&translated), PCRE2_MATCH_INVALID_UTF);
    if (!re->code)
        return kap_fail(err, KAP_EINVAL, "error parsing regexp: expression too large: `%.*s`", KAP_STR_ARG(pattern));
    pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE); /* falls back to the interpreter where there is no JIT */
    return KAP_OK;
}

enum kap_status kap_regex_new(struct kap_str pattern, struct kap_regex **ret, struct kap_error *err)
{
    if (pattern.n > PATTERN_BYTES)
        return kap_fail(err, KAP_ELIMIT, "regular expression is longer than %d bytes", PATTERN_BYTES);
    struct kap_regex *re = kap_calloc(1, sizeof *re + pattern.n + 1);
    atomic_init(&re->refs, 1);
    re->n = pattern.n;
    if (pattern.n)
        memcpy(re->pattern, pattern.p, pattern.n);
    const enum kap_status status = build(kap_regex_pattern(re), re, err);
    if (status != KAP_OK) {
        kap_regex_unref(re);
        return status;
    }
    *ret = re;
    return KAP_OK;
}

/* Regexes are immutable but for their count. */
static struct kap_regex *mutable(const struct kap_regex *re)
{
    union {
        const struct kap_regex *c;
        struct kap_regex *m;
    } u = { .c = re };
    return u.m;
}

struct kap_regex *kap_regex_ref(const struct kap_regex *re)
{
    struct kap_regex *m = mutable(re);
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void kap_regex_unref(const struct kap_regex *re)
{
    if (!re)
        return;
    struct kap_regex *m = mutable(re);
    if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    pcre2_code_free(m->code);
    pcre2_code_free(m->all_paths);
    kap_free(m->names.names);
    kap_free(m);
}

struct kap_str kap_regex_pattern(const struct kap_regex *re)
{
    return kap_strn(re->pattern, re->n);
}

static enum kap_status limit_error(const struct kap_regex *re, struct kap_error *err)
{
    return kap_fail(err, KAP_ELIMIT, "regular expression `%.*s` takes too many steps to match", (int)re->n,
                    re->pattern);
}

/* The same expression for pcre2_dfa_match, which does not take PCRE2_MATCH_INVALID_UTF. */
static pcre2_code *all_paths_code(struct kap_regex *re)
{
    pcre2_code *present = re->all_paths;
    if (present)
        return present;
    KAP_AUTO_BUF struct kap_buf translated = { 0 };
    struct kap_regex_names names = { 0 };
    if (kap_regex_translate(kap_regex_pattern(re), &translated, &names, NULL) != KAP_OK)
        return NULL;
    kap_free(names.names);
    pcre2_code *fresh = compile(kap_buf_str(&translated), 0);
    if (atomic_compare_exchange_strong(&re->all_paths, &present, fresh))
        return fresh;
    pcre2_code_free(fresh);
    return present;
}

/* Without backtracking, for patterns that are hopeless with it: all alternatives side by side. It says whether there
 * is a match, not where. Quadratic at worst, therefore for short subjects only. */
static int match_all_paths(const struct kap_regex *re, struct matcher *m, struct kap_str s)
{
    if (s.n > DFA_SUBJECT_BYTES)
        return PCRE2_ERROR_MATCHLIMIT;
    pcre2_code *code = all_paths_code(mutable(re));
    if (!code)
        return PCRE2_ERROR_MATCHLIMIT;
    if (!m->workspace)
        m->workspace = KAP_ARRAY(int, DFA_WORKSPACE_INTS);
    return pcre2_dfa_match(code, (PCRE2_SPTR)s.p, s.n, 0, PCRE2_DFA_SHORTEST, m->data, m->context, m->workspace,
                           DFA_WORKSPACE_INTS);
}

enum kap_status kap_regex_match(const struct kap_regex *re, struct kap_str s, bool *ret, struct kap_error *err)
{
    struct matcher *m = matcher(1);
    if (!s.p)
        s.p = "";
    /* What was hopeless once is not tried by backtracking again. */
    int rc = re->all_paths ? match_all_paths(re, m, s) : PCRE2_ERROR_MATCHLIMIT;
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        rc = pcre2_match(re->code, (PCRE2_SPTR)s.p, s.n, 0, 0, m->data, m->context);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH && !re->all_paths)
        rc = match_all_paths(re, m, s);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return limit_error(re, err);
    *ret = rc != PCRE2_ERROR_NOMATCH;
    return KAP_OK;
}

/* --- replacement --- */

static bool name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The name after a '$' at s: "name", "1" or "{name}"; returns the bytes it takes, 0: malformed. */
static size_t reference_name(struct kap_str s, struct kap_str *name)
{
    const bool brace = s.n > 0 && s.p[0] == '{';
    size_t i = brace;
    while (i < s.n && name_char(s.p[i]))
        i++;
    *name = kap_strn(s.p + brace, i - brace);
    if (name->n == 0 || (brace && (i == s.n || s.p[i] != '}')))
        return 0;
    return i + brace;
}

/* The group that a name means; SIZE_MAX: none. */
static size_t group_index(const struct kap_regex *re, struct kap_str name)
{
    size_t index = 0;
    bool number = true;
    for (size_t i = 0; i < name.n && number; i++) {
        number = name.p[i] >= '0' && name.p[i] <= '9' && index < 100000000;
        index = index * 10 + (size_t)(name.p[i] - '0');
    }
    if (number && (name.p[0] != '0' || name.n == 1))
        return index;
    for (size_t i = 0; i < re->names.ngroups; i++)
        if (kap_str_eq(re->names.names[i], name))
            return i + 1;
    return SIZE_MAX;
}

static void expand(const struct kap_regex *re, struct kap_str s, struct kap_str with, const PCRE2_SIZE *pairs,
                   size_t npairs, struct kap_buf *out)
{
    while (with.n) {
        const char *dollar = memchr(with.p, '$', with.n);
        const size_t before = dollar ? (size_t)(dollar - with.p) : with.n;
        kap_buf_addn(out, with.p, before);
        if (!dollar)
            return;
        with = kap_strn(dollar + 1, with.n - before - 1);
        if (with.n && with.p[0] == '$') {
            kap_buf_addc(out, '$');
            with = kap_strn(with.p + 1, with.n - 1);
            continue;
        }
        struct kap_str name;
        const size_t used = reference_name(with, &name);
        if (used == 0) {
            kap_buf_addc(out, '$');
            continue;
        }
        const size_t g = group_index(re, name);
        if (g < npairs && pairs[2 * g] != PCRE2_UNSET)
            kap_buf_addn(out, s.p + pairs[2 * g], pairs[2 * g + 1] - pairs[2 * g]);
        with = kap_strn(with.p + used, with.n - used);
    }
}

enum kap_status kap_regex_replace(const struct kap_regex *re, struct kap_str s, struct kap_str with, struct kap_buf *out,
                                  struct kap_error *err)
{
    struct matcher *m = matcher((uint32_t)re->names.ngroups + 1);
    if (!s.p)
        s.p = "";
    size_t copied = 0;
    for (size_t pos = 0; pos <= s.n;) {
        const int rc = pcre2_match(re->code, (PCRE2_SPTR)s.p, s.n, pos, 0, m->data, m->context);
        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc < 0)
            return limit_error(re, err);
        const PCRE2_SIZE *pairs = pcre2_get_ovector_pointer(m->data);
        kap_buf_addn(out, s.p + copied, pairs[0] - copied);
        /* An empty match right behind another match is not replaced. */
        if (pairs[1] > copied || pairs[0] == 0)
            expand(re, s, with, pairs, (size_t)rc, out);
        copied = pairs[1];
        uint32_t rune;
        size_t width = kap_utf8_decode(s.p + pos, s.n - pos, &rune);
        if (width == 0)
            width = 1;
        pos = pos + width > pairs[1] ? pos + width : pairs[1];
    }
    kap_buf_addn(out, s.p + copied, s.n - copied);
    return KAP_OK;
}
