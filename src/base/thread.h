/* Threads with a name that debuggers, top -H and profilers show. They leave signals to the main thread. */
#ifndef KAP_BASE_THREAD_H
#define KAP_BASE_THREAD_H

#include <pthread.h>

/* As pthread_create(); returns 0 or an errno value. `name`: at most 15 characters. */
int kap_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg);

#endif
