/* Tables with aligned columns. A column is as wide as its longest cell and one more, or its least width; the
 * last one is filled up only when it has a least width. Widths count characters, not bytes. Ownership: cells
 * are copied. Threads: one at a time. */
#ifndef KAP_CLIENT_TABLE_H
#define KAP_CLIENT_TABLE_H

#include "base/buf.h"

struct kap_column {
    const char *title;
    int width;  /* at least */
    bool fixed; /* does not grow */
    bool right; /* aligned to the right, within `width` */
};

struct kap_table;

struct kap_table *kap_table_new(const struct kap_column *columns, size_t n);
void kap_table_free(struct kap_table *t);
void kap_table_row(struct kap_table *t, const char *const *cells); /* one for each column */
void kap_table_print(const struct kap_table *t, struct kap_buf *out);

#endif
