/*
 * zero-page-insmod FILE [PARAMETERS]: load a kernel module from a process that has a page of zeros
 * mapped at address 0.
 *
 * A PCI driver is probed in the context of the process that loads it. If the driver then reads
 * through a null pointer, it reads zeros instead of faulting. This needs vm.mmap_min_addr = 0 and a
 * CPU without SMAP (supervisor-mode access prevention).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096

static int failed(const char *doing)
{
    fprintf(stderr, "zero-page-insmod: %s: %s\n", doing, strerror(errno));
    return 1;
}

static int map_zero_page(void)
{
    const int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;

    return mmap(NULL, PAGE, PROT_READ, flags, -1, 0) == MAP_FAILED ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: zero-page-insmod FILE [PARAMETERS]\n");
        return 2;
    }
    if (map_zero_page() < 0)
        return failed("mapping address 0");
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return failed(argv[1]);
    if (syscall(SYS_finit_module, file, argc == 3 ? argv[2] : "", 0) < 0)
        return failed("loading the module");
    return 0;
}
