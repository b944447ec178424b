#include "cluster/broadcast.h"
#include "base/mem.h"

void kap_packet_start(struct kap_packet *p, size_t room)
{
    kap_buf_reset(&p->bytes);
    p->n = 0;
    p->room = room;
}

/* Type, count, and two bytes of length for each part. */
static size_t compound_bytes(const struct kap_packet *p, size_t more_parts, size_t more_bytes)
{
    return 2 + 2 * (p->n + more_parts) + p->bytes.n + more_bytes;
}

bool kap_packet_fits(const struct kap_packet *p, size_t n_bytes)
{
    return p->n < KAP_WIRE_COMPOUND_MAX && compound_bytes(p, 1, n_bytes) <= p->room;
}

void kap_packet_add(struct kap_packet *p, struct kap_str part)
{
    if (part.n == 0 || part.n > UINT16_MAX || p->n == KAP_WIRE_COMPOUND_MAX)
        return;
    kap_buf_add(&p->bytes, part);
    p->lengths[p->n++] = (uint16_t)part.n;
}

void kap_packet_finish(const struct kap_packet *p, struct kap_buf *out)
{
    struct kap_str parts[KAP_WIRE_COMPOUND_MAX];
    size_t at = 0;
    for (size_t i = 0; i < p->n; at += p->lengths[i++])
        parts[i] = kap_strn(p->bytes.p + at, p->lengths[i]);
    if (p->n > 0)
        kap_wire_compound_put(out, parts, p->n);
}

void kap_packet_done(struct kap_packet *p)
{
    kap_buf_done(&p->bytes);
}

struct kap_broadcast {
    uint64_t id;
    unsigned sent;
    size_t n, key_n;
    char bytes[]; /* message, key */
};

static struct kap_str key_of(const struct kap_broadcast *b)
{
    return kap_strn(b->bytes + b->n, b->key_n);
}

static bool goes_before(const struct kap_broadcast *a, const struct kap_broadcast *b)
{
    if (a->sent != b->sent)
        return a->sent < b->sent;
    if (a->n != b->n)
        return a->n > b->n;
    return a->id > b->id;
}

void kap_broadcasts_done(struct kap_broadcasts *q)
{
    for (size_t i = 0; i < q->n; i++)
        kap_free(q->items[i]);
    kap_free(q->items);
    q->items = NULL;
    q->n = q->cap = 0;
}

static void insert(struct kap_broadcasts *q, struct kap_broadcast *b)
{
    size_t low = 0, high = q->n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (goes_before(q->items[mid], b))
            low = mid + 1;
        else
            high = mid;
    }
    KAP_GROW(q->items, q->cap, q->n + 1);
    memmove(q->items + low + 1, q->items + low, (q->n - low) * sizeof *q->items);
    q->items[low] = b;
    q->n++;
}

static void take_out(struct kap_broadcasts *q, size_t i)
{
    q->n--;
    memmove(q->items + i, q->items + i + 1, (q->n - i) * sizeof *q->items);
}

uint64_t kap_broadcasts_put(struct kap_broadcasts *q, struct kap_str key, struct kap_str message)
{
    for (size_t i = 0; key.n > 0 && i < q->n; i++) {
        if (!kap_str_eq(key_of(q->items[i]), key))
            continue;
        kap_free(q->items[i]);
        take_out(q, i);
        break;
    }
    struct kap_broadcast *b = kap_alloc(sizeof *b + message.n + key.n);
    *b = (struct kap_broadcast){ .id = ++q->last_id, .n = message.n, .key_n = key.n };
    memcpy(b->bytes, message.p, message.n);
    if (key.n)
        memcpy(b->bytes + message.n, key.p, key.n);
    insert(q, b);
    if (q->max && q->n > q->max) {
        kap_free(q->items[--q->n]);
        q->dropped++;
    }
    return b->id;
}

void kap_broadcasts_pick(struct kap_broadcasts *q, struct kap_packet *p, unsigned limit)
{
    struct kap_broadcast *picked[KAP_WIRE_COMPOUND_MAX];
    size_t n_picked = 0, kept = 0;
    for (size_t i = 0; i < q->n; i++) {
        struct kap_broadcast *const b = q->items[i];
        if (kap_packet_fits(p, b->n)) {
            kap_packet_add(p, kap_strn(b->bytes, b->n));
            picked[n_picked++] = b;
        } else {
            q->items[kept++] = b;
        }
    }
    q->n = kept;
    for (size_t i = 0; i < n_picked; i++) {
        if (++picked[i]->sent >= limit)
            kap_free(picked[i]);
        else
            insert(q, picked[i]);
    }
}

bool kap_broadcasts_has(const struct kap_broadcasts *q, uint64_t id)
{
    for (size_t i = 0; i < q->n; i++)
        if (q->items[i]->id == id)
            return true;
    return false;
}
