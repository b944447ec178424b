#include "nodes/minimize.h"

#include <math.h>

#include "base/mem.h"

enum { ITERATIONS_MAX = 1000 };

struct simplex {
    kap_objective_fn fn;
    void *ctx;
    size_t n;
    double *v;                         /* n + 1 vertices of n coordinates */
    double *f;                         /* the objective at each */
    double *centroid, *reflected, *trial;
    size_t worst, best, second;        /* second: the largest value below the worst */
};

static double *vertex(const struct simplex *s, size_t i)
{
    return s->v + i * s->n;
}

static double value(const struct simplex *s, double *x)
{
    return s->fn(s->ctx, x);
}

static void init(struct simplex *s, const double *start, double scale)
{
    const double n = (double)s->n, root = sqrt(n + 1);
    const double near = scale * (root - 1 + n) / (n * sqrt(2)), far = scale * (root - 1) / (n * sqrt(2));
    for (size_t i = 0; i <= s->n; i++)
        for (size_t j = 0; j < s->n; j++)
            vertex(s, i)[j] = start[j] + (i == 0 ? 0 : i - 1 == j ? near : far);
    for (size_t i = 0; i <= s->n; i++)
        s->f[i] = value(s, vertex(s, i));
}

static void rank(struct simplex *s)
{
    s->worst = s->best = 0;
    for (size_t i = 0; i <= s->n; i++) {
        if (s->f[i] > s->f[s->worst])
            s->worst = i;
        if (s->f[i] < s->f[s->best])
            s->best = i;
    }
    s->second = s->best;
    for (size_t i = 0; i <= s->n; i++)
        if (s->f[i] > s->f[s->second] && s->f[i] < s->f[s->worst])
            s->second = i;
    for (size_t j = 0; j < s->n; j++) {
        double sum = 0;
        for (size_t i = 0; i <= s->n; i++)
            if (i != s->worst)
                sum += vertex(s, i)[j];
        s->centroid[j] = sum / (double)s->n;
    }
}

static void replace_worst(struct simplex *s, const double *x, double f)
{
    for (size_t j = 0; j < s->n; j++)
        vertex(s, s->worst)[j] = x[j];
    s->f[s->worst] = f;
}

static void expand(struct simplex *s, double f_reflected)
{
    for (size_t j = 0; j < s->n; j++)
        s->trial[j] = s->centroid[j] + 2 * (s->reflected[j] - s->centroid[j]);
    const double f = value(s, s->trial);
    if (f < f_reflected)
        replace_worst(s, s->trial, f);
    else
        replace_worst(s, s->reflected, f_reflected);
}

static void contract(struct simplex *s, double f_reflected)
{
    const double *worst = vertex(s, s->worst);
    for (size_t j = 0; j < s->n; j++)
        s->trial[j] = f_reflected < s->f[s->worst] ? s->centroid[j] + 0.5 * (s->reflected[j] - s->centroid[j])
                                                   : s->centroid[j] - 0.5 * (s->centroid[j] - worst[j]);
    const double f = value(s, s->trial);
    if (f < s->f[s->worst]) {
        replace_worst(s, s->trial, f);
        return;
    }
    for (size_t i = 0; i <= s->n; i++)
        if (i != s->best)
            for (size_t j = 0; j < s->n; j++)
                vertex(s, i)[j] = vertex(s, s->best)[j] + (vertex(s, i)[j] - vertex(s, s->best)[j]) / 2;
    s->f[s->worst] = value(s, vertex(s, s->worst));
    s->f[s->second] = value(s, vertex(s, s->second));
}

static bool converged(const struct simplex *s, double epsilon)
{
    double sum = 0, square = 0;
    for (size_t i = 0; i <= s->n; i++)
        sum += s->f[i];
    const double mean = sum / (double)(s->n + 1);
    for (size_t i = 0; i <= s->n; i++)
        square += (s->f[i] - mean) * (s->f[i] - mean) / (double)s->n;
    return sqrt(square) < epsilon;
}

static void step(struct simplex *s)
{
    rank(s);
    for (size_t j = 0; j < s->n; j++)
        s->reflected[j] = s->centroid[j] + (s->centroid[j] - vertex(s, s->worst)[j]);
    const double f = value(s, s->reflected);
    const double f_best = s->f[s->best], f_second = s->f[s->second];
    if (f < f_second && f >= f_best)
        replace_worst(s, s->reflected, f);
    if (f < s->f[s->best])
        expand(s, f);
    if (f >= s->f[s->second])
        contract(s, f);
}

double kap_minimize(kap_objective_fn fn, void *ctx, const double *start, size_t n, double epsilon, double scale,
                    double *best)
{
    double *room = KAP_ARRAY(double, (n + 1) * n + (n + 1) + 3 * n);
    struct simplex s = { .fn = fn, .ctx = ctx, .n = n, .v = room };
    s.f = s.v + (n + 1) * n;
    s.centroid = s.f + n + 1;
    s.reflected = s.centroid + n;
    s.trial = s.reflected + n;
    init(&s, start, scale);
    for (int i = 0; i < ITERATIONS_MAX; i++) {
        step(&s);
        if (converged(&s, epsilon))
            break;
    }
    size_t at = 0;
    for (size_t i = 0; i <= n; i++)
        if (s.f[i] < s.f[at])
            at = i;
    for (size_t j = 0; j < n; j++)
        best[j] = vertex(&s, at)[j];
    const double min = value(&s, vertex(&s, at)); /* changes the vertex, not the vector that is returned */
    kap_free(room);
    return min;
}
