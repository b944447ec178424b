#include "base/heap.h"
#include "base/mem.h"

void kap_heap_init(struct kap_heap *h, kap_heap_cmp_fn cmp, kap_heap_moved_fn moved)
{
    *h = (struct kap_heap){ .cmp = cmp, .moved = moved };
}

void kap_heap_done(struct kap_heap *h)
{
    kap_free(h->items);
    h->items = NULL;
    h->n = h->cap = 0;
}

static void place(struct kap_heap *h, size_t i, void *item)
{
    h->items[i] = item;
    if (h->moved)
        h->moved(item, i);
}

static void sift_up(struct kap_heap *h, size_t i, void *item)
{
    while (i > 0 && h->cmp(item, h->items[(i - 1) / 2]) < 0) {
        place(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, item);
}

static void sift_down(struct kap_heap *h, size_t i, void *item)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->cmp(h->items[child + 1], h->items[child]) < 0)
            child++;
        if (h->cmp(item, h->items[child]) <= 0)
            break;
        place(h, i, h->items[child]);
        i = child;
    }
    place(h, i, item);
}

void kap_heap_push(struct kap_heap *h, void *item)
{
    KAP_GROW(h->items, h->cap, h->n + 1);
    sift_up(h, h->n++, item);
}

void *kap_heap_peek(const struct kap_heap *h)
{
    return h->n ? h->items[0] : NULL;
}

void *kap_heap_pop(struct kap_heap *h)
{
    return h->n ? kap_heap_remove(h, 0) : NULL;
}

void *kap_heap_remove(struct kap_heap *h, size_t index)
{
    void *removed = h->items[index];
    void *last = h->items[--h->n];
    if (index == h->n)
        return removed;
    if (index > 0 && h->cmp(last, h->items[(index - 1) / 2]) < 0)
        sift_up(h, index, last);
    else
        sift_down(h, index, last);
    return removed;
}
