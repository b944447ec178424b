#include "base/thread.h"

#include <signal.h>

int kap_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* inherited by the new thread */
    const int rc = pthread_create(ret, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(*ret, name);
    return rc;
}
