/* What a task adds to a query, and the text that comes of it. */
#include "base/duration.h"
#include "base/gotime.h"
#include "base/mem.h"
#include "base/number.h"
#include "influxql/ast.h"

enum kap_status kap_influxql_sources(const struct kap_influxql *q, const struct kap_influxql_source **ret,
                                     size_t *n, struct kap_error *err)
{
    for (size_t i = 0; i < q->select->nsources; i++) {
        if (q->select->sources[i]->subquery)
            return kap_fail(err, KAP_EINVAL, "unknown query source *influxql.SubQuery");
    }
    *ret = q->sources;
    *n = q->select->nsources;
    return KAP_OK;
}

bool kap_influxql_grouped_by_time(const struct kap_influxql *q)
{
    for (size_t i = 0; i < q->ndims; i++) {
        if (q->dims[i].kind == KAP_INFLUXQL_TIME)
            return true;
    }
    return false;
}

enum kap_status kap_influxql_group_by(struct kap_influxql *q, const struct kap_influxql_dim *dims, size_t n,
                                      struct kap_error *err)
{
    size_t times = 0;
    for (size_t i = 0; i < n; i++)
        times += dims[i].kind == KAP_INFLUXQL_TIME;
    if (times > 1)
        return kap_fail(err, KAP_EINVAL, "groupBy cannot have more than one time dimension");
    q->dims = KAP_ARENA_ARRAY(q->arena, struct kap_influxql_dim, n + 1);
    q->ndims = n;
    for (size_t i = 0; i < n; i++) {
        q->dims[i] = dims[i];
        q->dims[i].tag = kap_arena_str(q->arena, dims[i].tag);
    }
    return KAP_OK;
}

void kap_influxql_align_group(struct kap_influxql *q)
{
    q->align_group = true;
}

enum kap_status kap_influxql_fill(struct kap_influxql *q, struct kap_value fill, struct kap_error *err)
{
    static const char *const names[] = { [QL_FILL_NULL] = "null", [QL_FILL_NONE] = "none",
                                         [QL_FILL_PREVIOUS] = "previous", [QL_FILL_LINEAR] = "linear" };
    struct ql_select *s = q->select;
    switch (fill.type) {
    case KAP_INT:
        s->fill = QL_FILL_INT;
        s->fill_int = fill.i;
        return KAP_OK;
    case KAP_FLOAT:
        s->fill = QL_FILL_FLOAT;
        s->fill_float = fill.f;
        return KAP_OK;
    case KAP_STRING:
        for (size_t i = 0; i < KAP_COUNT(names); i++) {
            if (kap_str_is(fill.s, names[i])) {
                s->fill = (enum ql_fill)i;
                return KAP_OK;
            }
        }
        return kap_fail(err, KAP_EINVAL, "unexpected fill option %.*s", KAP_STR_ARG(fill.s));
    default:
        return kap_fail(err, KAP_EINVAL,
                        "fill wants a number or one of 'null', 'none', 'previous', 'linear'");
    }
}

/* ---- printing ---- */

static void add_escaped(struct kap_buf *b, struct kap_str s, char quote)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n') {
            kap_buf_adds(b, "\\n");
            continue;
        }
        if (s.p[i] == '\\' || s.p[i] == quote)
            kap_buf_addc(b, '\\');
        kap_buf_addc(b, s.p[i]);
    }
}

static bool needs_quotes(struct kap_str s)
{
    if (s.n == 0 || ql_keyword(s))
        return true;
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return true;
    }
    return false;
}

static void add_ident(struct kap_buf *b, struct kap_str s)
{
    const bool quotes = needs_quotes(s);
    if (quotes)
        kap_buf_addc(b, '"');
    add_escaped(b, s, '"');
    if (quotes)
        kap_buf_addc(b, '"');
}

static void add_number(struct kap_buf *b, double f)
{
    const size_t from = b->n;
    kap_number_format(b, f, 'f', -1);
    if (!memchr(b->p + from, '.', b->n - from)) /* else it would be an integer when read again */
        kap_buf_adds(b, ".0");
}

static void add_regex(struct kap_buf *b, struct kap_str s)
{
    kap_buf_addc(b, '/');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '/')
            kap_buf_addc(b, '\\');
        kap_buf_addc(b, s.p[i]);
    }
    kap_buf_addc(b, '/');
}

static void add_expr(struct kap_buf *b, const struct ql_expr *e);

static void add_call(struct kap_buf *b, const struct ql_expr *e)
{
    if (kap_str_is(e->text, "distinct")) /* a keyword that may be called */
        kap_buf_add(b, e->text);
    else
        add_ident(b, e->text);
    kap_buf_addc(b, '(');
    for (size_t i = 0; i < e->nargs; i++) {
        if (i > 0)
            kap_buf_adds(b, ", ");
        add_expr(b, e->args[i]);
    }
    kap_buf_addc(b, ')');
}

static void add_expr(struct kap_buf *b, const struct ql_expr *e)
{
    switch (e->kind) {
    case QL_EXPR_VAR: add_ident(b, e->text); break;
    case QL_EXPR_CALL: add_call(b, e); break;
    case QL_EXPR_DISTINCT:
        kap_buf_adds(b, "DISTINCT ");
        add_ident(b, e->text);
        break;
    case QL_EXPR_STRING:
        kap_buf_addc(b, '\'');
        add_escaped(b, e->text, '\'');
        kap_buf_addc(b, '\'');
        break;
    case QL_EXPR_NUMBER: add_number(b, e->f); break;
    case QL_EXPR_INT: kap_number_i64(b, e->i); break;
    case QL_EXPR_UNSIGNED: kap_number_u64(b, e->u); break;
    case QL_EXPR_BOOL: kap_buf_adds(b, e->b ? "true" : "false"); break;
    case QL_EXPR_DURATION: kap_duration_format_influx(b, e->i); break;
    case QL_EXPR_WILDCARD: kap_buf_addc(b, '*'); break;
    case QL_EXPR_REGEX: add_regex(b, e->text); break;
    case QL_EXPR_PAREN:
        kap_buf_addc(b, '(');
        add_expr(b, e->right);
        kap_buf_addc(b, ')');
        break;
    case QL_EXPR_BINARY:
        add_expr(b, e->left);
        kap_buf_addf(b, " %s ", ql_op_text(e->op));
        add_expr(b, e->right);
        break;
    }
    if (e->cast)
        kap_buf_addf(b, "::%s", e->cast);
}

static void add_select(struct kap_buf *b, const struct ql_select *s, const struct kap_influxql *top,
                       int64_t start_ns, int64_t stop_ns);

static void add_source(struct kap_buf *b, const struct ql_source *s)
{
    if (s->subquery) {
        kap_buf_addc(b, '(');
        add_select(b, s->subquery, NULL, 0, 0);
        kap_buf_addc(b, ')');
        return;
    }
    if (s->at.db.n > 0) {
        add_ident(b, s->at.db);
        kap_buf_addc(b, '.');
    }
    if (s->at.rp.n > 0)
        add_ident(b, s->at.rp);
    if (s->at.db.n > 0 || s->at.rp.n > 0)
        kap_buf_addc(b, '.');
    if (s->regex)
        add_expr(b, s->regex);
    else if (s->same_name)
        kap_buf_adds(b, ":MEASUREMENT");
    else
        add_ident(b, s->name);
}

static void add_bounds(struct kap_buf *b, int64_t start_ns, int64_t stop_ns)
{
    kap_buf_adds(b, "time >= '");
    kap_time_rfc3339nano(b, start_ns);
    kap_buf_adds(b, "' AND time < '");
    kap_time_rfc3339nano(b, stop_ns);
    kap_buf_addc(b, '\'');
}

static void add_dim(struct kap_buf *b, const struct kap_influxql *q, const struct kap_influxql_dim *d,
                    int64_t start_ns)
{
    switch (d->kind) {
    case KAP_INFLUXQL_TAG: add_ident(b, d->tag); break;
    case KAP_INFLUXQL_STAR: kap_buf_addc(b, '*'); break;
    case KAP_INFLUXQL_TIME:
        kap_buf_adds(b, "time(");
        kap_duration_format_influx(b, d->every_ns);
        kap_buf_adds(b, ", ");
        kap_duration_format_influx(b,
                                   q->align_group && d->every_ns > 0 ? start_ns % d->every_ns : d->offset_ns);
        kap_buf_addc(b, ')');
        break;
    }
}

static void add_fill(struct kap_buf *b, const struct ql_select *s)
{
    switch (s->fill) {
    case QL_FILL_NULL: break;
    case QL_FILL_NONE: kap_buf_adds(b, " fill(none)"); break;
    case QL_FILL_PREVIOUS: kap_buf_adds(b, " fill(previous)"); break;
    case QL_FILL_LINEAR: kap_buf_adds(b, " fill(linear)"); break;
    case QL_FILL_INT: kap_buf_addf(b, " fill(%lld)", (long long)s->fill_int); break;
    case QL_FILL_FLOAT:
        kap_buf_adds(b, " fill(");
        kap_number_format(b, s->fill_float, 'g', -1);
        kap_buf_addc(b, ')');
        break;
    }
}

static void add_fields(struct kap_buf *b, const struct ql_select *s)
{
    kap_buf_adds(b, "SELECT ");
    for (size_t i = 0; i < s->nfields; i++) {
        if (i > 0)
            kap_buf_adds(b, ", ");
        add_expr(b, s->fields[i]->expr);
        if (s->fields[i]->alias.n > 0) {
            kap_buf_adds(b, " AS ");
            add_ident(b, s->fields[i]->alias);
        }
    }
    if (s->target) {
        kap_buf_adds(b, " INTO ");
        add_source(b, s->target);
    }
    kap_buf_adds(b, " FROM ");
    for (size_t i = 0; i < s->nsources; i++) {
        if (i > 0)
            kap_buf_adds(b, ", ");
        add_source(b, s->sources[i]);
    }
}

static void add_tail(struct kap_buf *b, const struct ql_select *s)
{
    add_fill(b, s);
    if (s->ordered)
        kap_buf_addf(b, " ORDER BY %s%s", s->order_by_name ? "time " : "", s->descending ? "DESC" : "ASC");
    if (s->limit > 0)
        kap_buf_addf(b, " LIMIT %lld", (long long)s->limit);
    if (s->offset > 0)
        kap_buf_addf(b, " OFFSET %lld", (long long)s->offset);
    if (s->slimit > 0)
        kap_buf_addf(b, " SLIMIT %lld", (long long)s->slimit);
    if (s->soffset > 0)
        kap_buf_addf(b, " SOFFSET %lld", (long long)s->soffset);
    if (s->zone.n > 0) {
        kap_buf_adds(b, " TZ('");
        add_escaped(b, s->zone, '\'');
        kap_buf_adds(b, "')");
    }
}

static void add_select(struct kap_buf *b, const struct ql_select *s, const struct kap_influxql *top,
                       int64_t start_ns, int64_t stop_ns)
{
    add_fields(b, s);
    if (s->condition || top)
        kap_buf_adds(b, " WHERE ");
    if (s->condition)
        add_expr(b, s->condition);
    if (top) {
        kap_buf_adds(b, s->condition ? " AND " : "");
        add_bounds(b, start_ns, stop_ns);
    }
    const size_t n = top ? top->ndims : s->ndims;
    for (size_t i = 0; i < n; i++) {
        kap_buf_adds(b, i == 0 ? " GROUP BY " : ", ");
        if (top)
            add_dim(b, top, &top->dims[i], start_ns);
        else
            add_expr(b, s->dims[i]);
    }
    add_tail(b, s);
}

void kap_influxql_print(const struct kap_influxql *q, int64_t start_ns, int64_t stop_ns, struct kap_buf *out)
{
    add_select(out, q->select, q, start_ns, stop_ns);
}
