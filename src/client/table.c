#include "client/table.h"

#include "base/mem.h"

struct kap_table {
    struct kap_column *columns;
    size_t n;
    int *widths;
    char **cells; /* n for each row */
    size_t ncells, cap;
};

static int characters(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void grow(struct kap_table *t, size_t i, const char *cell)
{
    if (!t->columns[i].fixed && characters(cell) + 1 > t->widths[i])
        t->widths[i] = characters(cell) + 1;
}

struct kap_table *kap_table_new(const struct kap_column *columns, size_t n)
{
    struct kap_table *t = KAP_NEW(struct kap_table);
    t->n = n;
    t->columns = KAP_ARRAY(struct kap_column, n);
    t->widths = KAP_ARRAY(int, n);
    for (size_t i = 0; i < n; i++) {
        t->columns[i] = columns[i];
        t->widths[i] = columns[i].width;
        grow(t, i, columns[i].title);
    }
    return t;
}

void kap_table_free(struct kap_table *t)
{
    for (size_t i = 0; i < t->ncells; i++)
        kap_free(t->cells[i]);
    kap_free(t->cells);
    kap_free(t->widths);
    kap_free(t->columns);
    kap_free(t);
}

void kap_table_row(struct kap_table *t, const char *const *cells)
{
    KAP_GROW(t->cells, t->cap, t->ncells + t->n);
    for (size_t i = 0; i < t->n; i++) {
        t->cells[t->ncells++] = kap_strdup(cells[i]);
        grow(t, i, cells[i]);
    }
}

static void pad(struct kap_buf *out, int n)
{
    for (; n > 0; n--)
        kap_buf_addc(out, ' ');
}

static void print_cell(const struct kap_table *t, size_t i, const char *cell, struct kap_buf *out)
{
    const int fill = t->widths[i] - characters(cell);
    if (t->columns[i].right)
        pad(out, fill);
    kap_buf_adds(out, cell);
    if (!t->columns[i].right && (i + 1 < t->n || t->columns[i].width > 0))
        pad(out, fill);
}

void kap_table_print(const struct kap_table *t, struct kap_buf *out)
{
    for (size_t i = 0; i < t->n; i++)
        print_cell(t, i, t->columns[i].title, out);
    kap_buf_addc(out, '\n');
    for (size_t row = 0; row < t->ncells; row += t->n) {
        for (size_t i = 0; i < t->n; i++)
            print_cell(t, i, t->cells[row + i], out);
        kap_buf_addc(out, '\n');
    }
}
