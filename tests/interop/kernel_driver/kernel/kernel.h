/* Shims on the kernel's side. They are compiled with the kernel's headers and use its structures.
 */
#include <linux/types.h>
#include <linux/pci.h>
#include <linux/netdevice.h>

#include "pyvfio_user/io.h"
#pragma GCC visibility push(default)
#include "tests/interop/kernel_driver/witness.h"
#pragma GCC visibility pop

/* host/ */
extern struct witness_options witness_options;
void witness_run(void (*step)(void *), void *argument, struct witness_outcome *outcome);
void witness_end_run(enum witness_end end, const char *format, ...) __noreturn __printf(2, 3);
void *witness_allocate(size_t size, size_t align, int zeroed);
void witness_release(const void *block);
void witness_attach(const struct witness_card *card);
uintptr_t witness_bar_address(int bar);
int witness_config(uint32_t offset, void *data, uint32_t length, int is_write);
void witness_pass(uint64_t microseconds);
void witness_say(const char *format, ...) __printf(1, 2);

/* pci.c */
struct pci_dev *witness_pci_device(const struct witness_card *card);
const struct pci_device_id *witness_match(const struct pci_device_id *table, struct pci_dev *dev);
int witness_first_vector(void);
int witness_function_reset(struct pci_dev *dev);
extern struct pci_driver *witness_driver; /* registered by the module */
/* net.c */
struct net_device *witness_port(int port);
/* vmcore.c */
void witness_set_options(const struct witness_options *options);
void witness_follow(void *buffer); /* attributes accesses to the entities of the dump in `buffer` */
int witness_collect_into(void *buffer);
