/* The downhill simplex method of Nelder and Mead (Computer Journal 7, 1965), with the coefficients and the order of
 * steps that InfluxQL's holtWinters uses, since a forecast depends on where the search ends.
 * Threads: none of its own; the objective may change the vector that it is given. */
#ifndef KAP_NODES_MINIMIZE_H
#define KAP_NODES_MINIMIZE_H

#include <stdbool.h>
#include <stddef.h>

typedef double (*kap_objective_fn)(void *ctx, double *x);

/* Searches from start[n], writes the best vector to best[n] and returns the objective's value there. */
double kap_minimize(kap_objective_fn fn, void *ctx, const double *start, size_t n, double epsilon, double scale,
                    double *best);

#endif
