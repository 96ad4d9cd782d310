/* The machine below the kernel's code: plain user-space C that knows no kernel structures. */
#include <stddef.h>
#include <stdint.h>

#include "pyvfio_user/io.h"
#pragma GCC visibility push(default)
#include "tests/interop/kernel_driver/witness.h"
#pragma GCC visibility pop

#define WITNESS_ENTITIES 128
#define WITNESS_CONFIG 255

extern struct witness_options witness_options;

/* run.c */
void witness_run(void (*step)(void *), void *argument, struct witness_outcome *outcome);
void witness_end_run(enum witness_end end, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
void witness_missing(const char *name) __attribute__((noreturn));
extern volatile int witness_in_device; /* in the card's code, where a fault is not the driver's */

/* memory.c */
void *witness_allocate(size_t size, size_t align, int zeroed);
void witness_release(const void *block);

/* mmio.c */
void witness_attach(const struct witness_card *card);
uintptr_t witness_bar_address(int bar);
int witness_config(uint32_t offset, void *data, uint32_t length, int is_write);
struct witness_counts *witness_count_now(void);

/* time.c */
void witness_pass(uint64_t microseconds);

/* log.c */
void witness_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* kernel/vmcore.c: the entity being collected; 0: none */
unsigned int witness_entity(void);
/* kernel/runs.c */
extern const unsigned int witness_gfp_zero;
extern const size_t witness_task_size, witness_thread_size;
void witness_thread_info(void *stack_base, void *task);
