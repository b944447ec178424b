/* What alert events cost, in process: 100,000 state changes at once through the dedup core, the topics and the outbox until
 * all are on disk with their delivery pending; and the state of one event in small and large topics.
 *
 *     alerts FOLDER        an existing one; alert.db is made in it
 */
#include "alert/topics.h"
#include "base/mem.h"
#include "cluster/dedup.h"
#include "store/alert_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHANGES = 100000, FEW = 10, MANY = 1000000, ROUNDS = 200000 };

struct bench {
    struct kap_alert_db *db;
    struct kap_topics *topics;
    struct kap_event *now; /* the event that is being submitted */
    size_t stored;
};

static void fail(const char *why)
{
    fprintf(stderr, "alerts: %s\n", why);
    exit(1);
}

static double now_s(void)
{
    return (double)kap_clock_mono(&kap_clock_system) * 1e-9;
}

/* Of all threads: what does not depend on who else uses the machine. */
static double cpu_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void store(void *ctx, const struct kap_dedup_store *op)
{
    struct bench *b = ctx;
    const struct kap_alert_key key = { op->key.hi, op->key.lo };
    if (op->kind == KAP_DEDUP_STORE_EVENT) {
        kap_alert_db_put_event(b->db, key, op->meta, op->blob, op->handlers, op->nhandlers, NULL, NULL, 0);
        b->stored++;
    } else if (op->kind == KAP_DEDUP_STORE_STATE) {
        kap_alert_db_put_state(b->db, op->topic, op->id, op->stamp, op->blob);
    }
}

static void take(void *ctx, const struct kap_dedup_event *e, struct kap_dedup_handlers *ret)
{
    struct bench *b = ctx;
    struct kap_topic_matches matches = { 0 };
    kap_topics_apply(b->topics, b->now, 0, &matches);
    kap_topic_matches_done(&matches);
    kap_dedup_add_handler(ret, KAP_STR("pager"));
}

static void deliver(void *ctx, const struct kap_dedup_event *e, struct kap_str handler, unsigned attempt)
{
    /* The endpoint never answers: all stay pending. */
}

static bool state_get(void *ctx, struct kap_str topic, struct kap_str id, struct kap_buf *ret)
{
    kap_buf_adds(ret, "a state of forty bytes, as they often are");
    return true;
}

static void notice(void *ctx, const struct kap_dedup_notice *n)
{
    fail(n->text);
}

static struct kap_event *event(int64_t i)
{
    struct kap_event *ev = kap_event_new();
    ev->topic = KAP_STR("cpu");
    ev->task = KAP_STR("task");
    ev->node = KAP_STR("alert2");
    ev->run = ev->name = ev->group = ev->category = KAP_STR("");
    ev->id = kap_str(kap_arena_printf(ev->arena, "cpu:host=server%07lld", (long long)i));
    ev->message = kap_str(kap_arena_printf(ev->arena, "%s is CRITICAL", ev->id.p));
    ev->details = KAP_STR("");
    ev->level = KAP_LEVEL_CRITICAL;
    ev->time_ns = i;
    return ev;
}

static void submit(struct bench *b, struct kap_dedup *d, int64_t i)
{
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf blob = { 0 };
    b->now = event(i);
    kap_event_encode(b->now, &blob);
    const struct kap_dedup_identity identity = { .topic = b->now->topic, .task = b->now->task, .node = b->now->node,
                                                 .run = b->now->run, .id = b->now->id, .time_ns = i,
                                                 .level = KAP_LEVEL_CRITICAL };
    if (kap_dedup_submit(d, &identity, kap_buf_str(&blob), &err) != KAP_OK)
        fail(err.msg);
    kap_event_unref(b->now);
}

static void state_changes(const char *folder)
{
    struct kap_error err;
    const struct kap_topics_options options = { .persist = true };
    struct bench b = { .topics = kap_topics_new(&options) };
    if (kap_alert_db_open(folder, NULL, &b.db, &err) != KAP_OK)
        fail(err.msg);
    const struct kap_dedup_config config = { .self = KAP_STR("m"), .clock = &kap_clock_system, .persist_states = true };
    const struct kap_dedup_io io = { .store = store, .accept = take, .deliver = deliver, .state_get = state_get,
                                     .notice = notice, .ctx = &b };
    struct kap_dedup *d = kap_dedup_new(&config, &io);
    const double start = now_s(), cpu = cpu_s();
    for (int64_t i = 0; i < CHANGES; i++)
        submit(&b, d, i);
    const double queued = now_s();
    if (kap_alert_db_flush(b.db, &err) != KAP_OK)
        fail(err.msg);
    printf("%d state changes: queued after %.2f s, on disk after %.2f s, %.2f s of CPU\n", CHANGES, queued - start,
           now_s() - start, cpu_s() - cpu);
    if (b.stored != CHANGES)
        fail("not every event was stored");
    kap_dedup_free(d);
    kap_alert_db_close(b.db);
    kap_topics_free(b.topics);
}

/* Nanoseconds of a change of one state in a topic of so many. */
static double state_cost(int64_t states)
{
    const struct kap_topics_options options = { .persist = false };
    struct kap_topics *topics = kap_topics_new(&options);
    struct kap_topic_matches matches = { 0 };
    struct kap_event *ev = NULL;
    for (int64_t i = 0; i < states; i++) {
        kap_event_unref(ev);
        ev = event(i);
        kap_topics_apply(topics, ev, 0, &matches);
    }
    const double start = cpu_s();
    for (int i = 0; i < ROUNDS; i++) {
        ev->level = i % 2 ? KAP_LEVEL_OK : KAP_LEVEL_CRITICAL;
        kap_topics_apply(topics, ev, 0, &matches);
    }
    const double took = cpu_s() - start;
    kap_event_unref(ev);
    kap_topic_matches_done(&matches);
    kap_topics_free(topics);
    return took / ROUNDS * 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        fail("usage: alerts FOLDER");
    state_changes(argv[1]);
    printf("a state in a topic of %d events: %.0f ns", FEW, state_cost(FEW));
    printf("; of %d: %.0f ns\n", MANY, state_cost(MANY));
    return 0;
}
