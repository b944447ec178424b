/* Recording files of both kinds: a damaged one costs an error, never a crash or an endless loop. */
#include "base/mem.h"
#include "replay/recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_stream(const char *path)
{
    struct kap_srpl_reader *r;
    struct kap_point p;
    bool more = true;
    if (kap_srpl_open(path, &r, NULL) != KAP_OK)
        return;
    while (kap_srpl_next(r, &p, &more, NULL) == KAP_OK && more)
        continue;
    kap_srpl_close(r);
}

static void read_batches(const char *path)
{
    struct kap_brpl_reader *r;
    struct kap_block *b;
    if (kap_brpl_open(path, &r, NULL) != KAP_OK)
        return;
    for (size_t q = 0; q < kap_brpl_queries(r); q++)
        while (kap_brpl_next(r, q, &b, NULL) == KAP_OK && b)
            kap_block_free(b);
    kap_brpl_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    const int fd = memfd_create("recording", 0);
    if (fd < 0)
        abort();
    if (write(fd, data, size) == (ssize_t)size) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        read_stream(path);
        read_batches(path);
    }
    close(fd);
    return 0;
}
