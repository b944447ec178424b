/* A directory for one test, below /tmp, removed at the end. */
#ifndef KAP_TESTS_STORE_DIR_H
#define KAP_TESTS_STORE_DIR_H

#include "base/mem.h"
#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char test_dir[64];

static inline int make_test_dir(void **state)
{
    (void)state;
    snprintf(test_dir, sizeof test_dir, "/tmp/kap-store-XXXXXX");
    return mkdtemp(test_dir) ? 0 : -1;
}

static inline int drop_test_dir(void **state)
{
    (void)state;
    DIR *d = opendir(test_dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        char *path = kap_asprintf("%s/%s", test_dir, e->d_name);
        unlink(path);
        kap_free(path);
    }
    if (d)
        closedir(d);
    return rmdir(test_dir);
}

static inline char *test_path(const char *name)
{
    return kap_asprintf("%s/%s", test_dir, name);
}

static inline void write_test_file(const char *name, const char *text)
{
    char *path = test_path(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    kap_free(path);
}

#endif
