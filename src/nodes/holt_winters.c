/* holtWinters: forecasts a series by triple exponential smoothing with a damped trend (Hyndman and Athanasopoulos,
 * "Forecasting: principles and practice", multiplicative seasons). The parameters are fitted to the batch by least
 * squares, from a grid of starting points, as InfluxQL does it, so that forecasts agree. */
#include <math.h>

#include "base/mem.h"
#include "nodes/minimize.h"
#include "nodes/nodes.h"
#include "nodes/reduce.h"

struct acc {
    struct kap_samples samples;
};

/* Forecasts cost (batch + season) per step of the search: what a script may ask for. */
#define SEASON_MAX 10000
#define HORIZON_MAX 1000000
#define SERIES_MAX 1000000

enum { ALPHA, BETA, GAMMA, PHI, LEVEL, TREND, SEASONS };

struct fit {
    const double *y;    /* the series at even steps; NaN: missing */
    size_t n;
    size_t season;      /* 0: not seasonal */
    double *forecast;   /* n, for the search */
};

static double clamp(double x)
{
    return x > 1 ? 1 : x < 0 ? 0 : x;
}

/* n values from the start of the series on. The seasons in `params` turn as a ring while it goes along: the search
 * goes on with what became of them. */
static void forecast(const struct fit *f, double *params, double *out, size_t n)
{
    for (int i = ALPHA; i <= PHI; i++)
        params[i] = clamp(params[i]);
    const double alpha = params[ALPHA], beta = params[BETA], gamma = params[GAMMA], phi = params[PHI];
    double *seasons = params + SEASONS, level = params[LEVEL], trend = params[TREND], y = f->y[0], damp = phi;
    const size_t m = f->season;
    size_t offset = m ? m - 1 : 0;
    out[0] = y;
    for (size_t t = 1; t < n; t++) {
        double now = 1, ahead = 1;
        if (m) {
            now = seasons[(t + offset) % m];
            ahead = seasons[(t + t % m + offset) % m];
        }
        const double base = level + phi * trend;
        const double new_level = alpha * (y / now) + (1 - alpha) * base;
        const double new_trend = beta * (new_level - level) + (1 - beta) * phi * trend;
        const double new_season = gamma * (y / base) + (1 - gamma) * now;
        y = (new_level + damp * new_trend) * ahead;
        level = new_level;
        trend = new_trend;
        damp += pow(phi, (double)t);
        if (m)
            seasons[(t + offset++) % m] = new_season;
        out[t] = y;
    }
}

static double squared_error(void *ctx, double *params)
{
    const struct fit *f = ctx;
    double sum = 0;
    forecast(f, params, f->forecast, f->n);
    for (size_t i = 0; i < f->n; i++) {
        if (isnan(f->y[i]))
            continue;
        if (isnan(f->forecast[i]))
            return INFINITY;
        const double diff = f->forecast[i] - f->y[i];
        sum += diff * diff;
    }
    return sum;
}

static int64_t round_time(int64_t t_ns, int64_t interval_ns)
{
    const int64_t steps = t_ns / interval_ns + (t_ns % interval_ns > interval_ns / 2);
    return steps * interval_ns;
}

/* The samples at even steps. False: there is nothing to forecast from. */
static bool series(const struct kap_samples *s, const struct kap_reduce_config *c, double **ret, size_t *n)
{
    const int64_t interval_ns = c->interval_ns;
    if (s->n < 2 || (c->season >= 2 && (int64_t)s->n < c->season) || c->horizon <= 0)
        return false;
    int64_t t_ns = round_time(s->v[0].time_ns, interval_ns);
    const int64_t steps = kap_sub_wrap(round_time(s->v[s->n - 1].time_ns, interval_ns), t_ns) / interval_ns;
    if (steps <= 0 || steps > SERIES_MAX)
        return false;
    double *y = NULL;
    size_t cap = 0;
    *n = 0;
    KAP_GROW(y, cap, 1);
    y[(*n)++] = kap_sample_f(s, 0);
    for (size_t i = 1; i < s->n; i++) {
        const int64_t rounded_ns = round_time(s->v[i].time_ns, interval_ns);
        if (rounded_ns <= t_ns || (rounded_ns - t_ns) / interval_ns > SERIES_MAX - (int64_t)*n)
            continue; /* the same step, or a point far out of order */
        for (t_ns += interval_ns; t_ns != rounded_ns; t_ns += interval_ns) {
            KAP_GROW(y, cap, *n + 1);
            y[(*n)++] = NAN;
        }
        KAP_GROW(y, cap, *n + 1);
        y[(*n)++] = kap_sample_f(s, i);
    }
    *ret = y;
    return true;
}

/* Starting values of level, trend and seasons. */
static void guess(const struct fit *f, double *params)
{
    const double *y = f->y, weight = 0.5;
    const size_t m = f->season;
    if (!m) {
        params[LEVEL] = weight * y[0];
        params[TREND] = f->n < 2 || isnan(y[1]) ? 0 : weight * (y[1] - y[0]);
        return;
    }
    const double share = 1 / (double)m, share2 = 1 / (double)(m * m);
    for (size_t i = 0; i < m && i < f->n; i++)
        if (!isnan(y[i]))
            params[LEVEL] += share * y[i];
    for (size_t i = 0; i < m && m + i < f->n; i++)
        if (!isnan(y[i]) && !isnan(y[m + i]))
            params[TREND] += share2 * (y[m + i] - y[i]);
    for (size_t i = 0; i < m && i < f->n; i++)
        params[SEASONS + i] = isnan(y[i]) ? 0 : y[i] / params[LEVEL];
}

/* The best fit from a grid of starting points. */
static void search(struct fit *f, double *start, size_t nparams, double *best)
{
    static const double grid[] = { 0.3, 0.7 };
    const double epsilon = 1e-4;
    double min = INFINITY, *found = KAP_ARRAY(double, nparams);
    for (unsigned i = 0; i < 16; i++) {
        start[ALPHA] = grid[i >> 3 & 1];
        start[BETA] = grid[i >> 2 & 1];
        start[GAMMA] = grid[i >> 1 & 1];
        start[PHI] = grid[i & 1];
        const double sse = kap_minimize(squared_error, f, start, nparams, epsilon, 1, found);
        if (i > 0 && !(sse < min))
            continue;
        min = sse;
        memcpy(best, found, nparams * sizeof *best);
    }
    kap_free(found);
}

static void results(const struct kap_samples *s, const struct kap_reduce_config *c, bool with_fit, const double *v,
                    size_t fitted, size_t n, struct kap_results *out)
{
    const int64_t from_ns = with_fit ? s->v[0].time_ns : s->v[s->n - 1].time_ns + c->interval_ns;
    for (size_t i = with_fit ? 0 : fitted, step = 0; i < n; i++, step++)
        if (!isnan(v[i]))
            kap_results_add(out, (struct kap_reduced){ .v = kap_value_f(v[i]), .timed = true,
                                                       .time_ns = from_ns + c->interval_ns * (int64_t)step });
}

static void forecast_all(void *acc, const struct kap_reduce_config *c, bool with_fit, struct kap_results *out)
{
    const struct kap_samples *s = &((struct acc *)acc)->samples;
    struct fit f = { .season = c->season < 2 ? 0 : (size_t)c->season };
    double *y;
    if (!series(s, c, &y, &f.n))
        return;
    f.y = y;
    const size_t nparams = SEASONS + f.season, n = f.n + (size_t)c->horizon;
    double *room = KAP_ARRAY(double, 2 * nparams + f.n + n);
    double *start = room, *best = room + nparams, *forecasted = best + nparams;
    f.forecast = forecasted + n;
    guess(&f, start);
    search(&f, start, nparams, best);
    forecast(&f, best, forecasted, n);
    results(s, c, with_fit, forecasted, f.n, n, out);
    kap_free(room);
    kap_free(y);
}

static void emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out)
{
    forecast_all(acc, c, c->with_fit, out);
}

static const struct kap_reducer reducer = {
    .name = "holtWinters",
    .accepts = KAP_ACCEPT_NUMBERS,
    .point_times = true,
    .reset = kap_samples_reset,
    .add = kap_samples_add,
    .emit = emit,
    .done = kap_samples_done,
    .save = kap_samples_save,
    .load = kap_samples_load,
};

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct kap_reduce_config *c = config;
    KAP_TRY(kap_reduce_args_n(c, arena, args, nargs, 4, err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_INT, "holtWinters", err));
    KAP_TRY(kap_arg_check(args, nargs, 2, KAP_INT, "holtWinters", err));
    KAP_TRY(kap_arg_check(args, nargs, 3, KAP_DURATION, "holtWinters", err));
    c->horizon = args[1].value.i;
    c->season = args[2].value.i;
    c->interval_ns = args[3].value.i;
    if (c->interval_ns <= 0)
        return kap_fail(err, KAP_EINVAL, "holtWinters: the interval must be positive");
    if (c->horizon > HORIZON_MAX || c->season > SEASON_MAX)
        return kap_fail(err, KAP_EINVAL, "holtWinters: at most %d points ahead and seasons of %d are supported",
                        HORIZON_MAX, SEASON_MAX);
    return KAP_OK;
}

static enum kap_status args_with_fit(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                     const struct kap_arg *list, size_t nargs, struct kap_error *err)
{
    ((struct kap_reduce_config *)config)->with_fit = true;
    return args(config, node, arena, list, nargs, err);
}

KAP_REDUCE_NODE(holt_winters, "holtWinters", KAP_EDGE_BATCH,
                "(field string, h int, m int, interval duration)", args,
                "Forecasts h values with seasons of m points (0 or 1: none), interval apart.");
KAP_REDUCE_NODE(holt_winters_with_fit, "holtWintersWithFit", KAP_EDGE_BATCH,
                "(field string, h int, m int, interval duration)", args_with_fit,
                "As holtWinters, with the fitted values of the past in front.");
