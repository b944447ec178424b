#include "client/program.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

#define DEFAULT_URL "http://localhost:9092"
#define MAX_FILE_BYTES (16 << 20)

enum kap_status kap_program_connect(const char *url, bool skip_verify, struct kap_client **ret,
                                    struct kap_error *err)
{
    const char *unsafe = getenv("KAPACITOR_UNSAFE_SSL"), *env = getenv("KAPACITOR_URL");
    if (unsafe && *unsafe && !skip_verify && !kap_flags_bool(unsafe, &skip_verify))
        return kap_fail(err, KAP_EINVAL, "KAPACITOR_UNSAFE_SSL must be true or false, not \"%s\"", unsafe);
    if (url == NULL || *url == '\0')
        url = env && *env ? env : DEFAULT_URL;
    return kap_client_new(url, skip_verify, ret, err);
}

enum kap_status kap_program_read(const char *path, struct kap_buf *out, struct kap_error *err)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return kap_fail(err, KAP_EIO, "open %s: %s", path, strerror(errno));
    char block[8192];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0 && out->n <= MAX_FILE_BYTES)
        kap_buf_addn(out, block, n);
    const bool failed = ferror(f) != 0;
    fclose(f);
    if (failed)
        return kap_fail(err, KAP_EIO, "read %s: %s", path, strerror(errno));
    if (out->n > MAX_FILE_BYTES)
        return kap_fail(err, KAP_ELIMIT, "read %s: larger than %d bytes", path, MAX_FILE_BYTES);
    return KAP_OK;
}

int kap_program_failed(const struct kap_error *err)
{
    fprintf(stderr, "Error: %s\n", err->msg);
    return KAP_EXIT_FAILED;
}

bool kap_program_print(const struct kap_buf *text)
{
    return fwrite(text->n ? text->p : "", 1, text->n, stdout) == text->n && fflush(stdout) == 0;
}
