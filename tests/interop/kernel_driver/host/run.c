/* Runs a step of the driver in its own thread, and survives what would be an oops.
 *
 * The kernel finds the current task by masking the stack pointer, so the thread's stack is aligned
 * to THREAD_SIZE. A fault ends the step with siglongjmp(), unless it happened in the card's code.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "host.h"

struct witness_options witness_options;
volatile int witness_in_device;

static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
enum { FAULT_COUNT = sizeof FAULTS / sizeof *FAULTS };
static struct sigaction previous[FAULT_COUNT];

static struct {
    sigjmp_buf escape;
    pthread_t thread;
    void (*step)(void *);
    void *argument;
    struct witness_outcome *outcome;
} run;

void witness_end_run(enum witness_end end, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(run.outcome->text, sizeof run.outcome->text, format, arguments);
    va_end(arguments);
    run.outcome->end = (int)end;
    siglongjmp(run.escape, 1);
}

void witness_missing(const char *name)
{
    witness_end_run(WITNESS_MISSING, "%s() is not implemented", name);
}

static void restore_handlers(void)
{
    for (int i = 0; i < FAULT_COUNT; i++)
        sigaction(FAULTS[i], &previous[i], NULL);
}

/* Leaves other faults to the previous handler, which gets them when the instruction is retried. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (witness_in_device || !pthread_equal(pthread_self(), run.thread)) {
        restore_handlers();
        return;
    }
    witness_end_run(WITNESS_OOPS, "%s at address 0x%llx, entity %u", strsignal(signal),
                    (unsigned long long)(uintptr_t)info->si_addr, witness_entity());
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

    for (int i = 0; i < FAULT_COUNT; i++)
        sigaction(FAULTS[i], &action, &previous[i]);
}

static void *on_own_stack(void *unused)
{
    run.thread = pthread_self();
    run.outcome->end = WITNESS_RETURNED;
    catch_faults();
    if (!sigsetjmp(run.escape, 1))
        run.step(run.argument);
    restore_handlers();
    return unused;
}

/* Returns a stack of `size` bytes, aligned to `size`; all runs share it. */
static void *aligned_stack(size_t size)
{
    static void *stack;

    if (!stack) {
        char *area =
            mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED)
            return NULL;
        stack = area + (size - (uintptr_t)area % size) % size;
        witness_thread_info(stack, calloc(1, witness_task_size));
    }
    return stack;
}

void witness_run(void (*step)(void *), void *argument, struct witness_outcome *outcome)
{
    void *stack = aligned_stack(witness_thread_size);
    pthread_attr_t attributes;
    pthread_t thread;

    memset(outcome, 0, sizeof *outcome);
    run.step = step;
    run.argument = argument;
    run.outcome = outcome;
    pthread_attr_init(&attributes);
    if (!stack || pthread_attr_setstack(&attributes, stack, witness_thread_size) ||
        pthread_create(&thread, &attributes, on_own_stack, NULL)) {
        outcome->end = WITNESS_MISSING;
        snprintf(outcome->text, sizeof outcome->text, "no memory for a stack");
    } else {
        pthread_join(thread, NULL);
    }
    pthread_attr_destroy(&attributes);
}
