/* The binary form of events, as it comes from other members and from the outbox: whatever can be read is written again
 * to the same bytes. */
#include "alert/event.h"
#include "base/mem.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kap_event *ev;
    struct kap_error err;
    if (kap_event_decode(kap_strn((const char *)data, size), &ev, &err) != KAP_OK)
        return 0;
    KAP_AUTO_BUF struct kap_buf once = { 0 }, twice = { 0 }, text = { 0 };
    kap_event_encode(ev, &once);
    struct kap_json j;
    kap_json_init(&j, &text, false);
    kap_event_json(ev, &j);
    kap_event_unref(ev);
    assert(kap_event_decode(kap_buf_str(&once), &ev, &err) == KAP_OK);
    kap_event_encode(ev, &twice);
    assert(kap_str_eq(kap_buf_str(&once), kap_buf_str(&twice)));
    kap_event_unref(ev);
    return 0;
}
