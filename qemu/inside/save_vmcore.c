/*
 * save-vmcore [--notes-only] FILE: copy /proc/vmcore.
 *
 * Pages of zeros become holes. With --notes-only the copy ends after the note segment, and the
 * memory segments are marked absent (p_filesz 0), as makedumpfile marks excluded memory.
 * Prints its progress in percent. Maps /proc/vmcore, because a read would map each page again.
 */

#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    BUFFER = 124 * PAGE, /* fits one message to the host's file server */
    WINDOW = 64 * BUFFER,
};

static const char *target;
static char buffer[BUFFER];

static void check(bool good, const char *doing)
{
    if (good)
        return;
    fprintf(stderr, "save-vmcore: %s: %s\n", doing, strerror(errno));
    exit(1);
}

static bool is_zero(const char *page)
{
    const uint64_t *words = (const uint64_t *)page;
    uint64_t any = 0;

    for (size_t i = 0; i < PAGE / sizeof(*words); i++)
        any |= words[i];
    return any == 0;
}

static void put(int out, const char *data, size_t length, off_t offset)
{
    while (length) {
        ssize_t done = pwrite(out, data, length, offset);
        check(done > 0, target);
        data += done;
        length -= (size_t)done;
        offset += done;
    }
}

/* Writes the pages of `window` that are not zeros, in runs of at most one buffer. */
static void put_sparse(int out, const char *window, size_t length, off_t offset)
{
    size_t at = 0;

    while (at < length) {
        size_t run = 0;

        while (at + run < length && run < BUFFER && !is_zero(window + at + run)) {
            memcpy(buffer + run, window + at + run, PAGE);
            run += PAGE;
        }
        put(out, buffer, run, offset + (off_t)at);
        at += run ? run : PAGE;
    }
}

static void show(off_t done, off_t all)
{
    static off_t shown = -1;
    off_t percent = done * 100 / all;

    if (percent == shown)
        return;
    shown = percent;
    printf("%d%%\n", (int)percent);
    fflush(stdout);
}

static void copy(int in, int out, off_t size)
{
    for (off_t at = 0; at < size; at += WINDOW) {
        size_t length = size - at < WINDOW ? (size_t)(size - at) : (size_t)WINDOW;
        void *window = mmap(NULL, length, PROT_READ, MAP_PRIVATE, in, at);

        check(window != MAP_FAILED, "mapping /proc/vmcore");
        put_sparse(out, window, length, at);
        munmap(window, length);
        show(at + (off_t)length, size);
    }
    check(ftruncate(out, size) == 0, target);
}

static bool is_core(const Elf64_Ehdr *header)
{
    return !memcmp(header->e_ident, ELFMAG, SELFMAG) && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_phentsize == sizeof(Elf64_Phdr);
}

/* Reads the program headers into `headers`. Returns the page-aligned end of the note segment. */
static off_t read_headers(int in, Elf64_Ehdr *header, Elf64_Phdr **headers)
{
    check(pread(in, header, sizeof(*header), 0) == sizeof(*header), "reading /proc/vmcore");
    errno = ENOEXEC;
    check(is_core(header), "/proc/vmcore");
    size_t length = header->e_phnum * sizeof(Elf64_Phdr);
    *headers = malloc(length);
    check(*headers != NULL, "program headers");
    check(pread(in, *headers, length, (off_t)header->e_phoff) == (ssize_t)length,
          "reading the program headers");
    for (unsigned i = 0; i < header->e_phnum; i++)
        if ((*headers)[i].p_type == PT_NOTE)
            return (off_t)(((*headers)[i].p_offset + (*headers)[i].p_filesz + PAGE - 1) &
                           ~(Elf64_Off)(PAGE - 1));
    errno = ENODATA;
    check(false, "the note segment of /proc/vmcore");
    return 0;
}

static void copy_notes(int in, int out)
{
    Elf64_Ehdr header;
    Elf64_Phdr *headers;

    copy(in, out, read_headers(in, &header, &headers));
    for (unsigned i = 0; i < header.e_phnum; i++)
        if (headers[i].p_type != PT_NOTE)
            headers[i].p_filesz = 0;
    put(out, (const char *)headers, header.e_phnum * sizeof(Elf64_Phdr), (off_t)header.e_phoff);
    free(headers);
}

int main(int argc, char **argv)
{
    bool notes_only = argc == 3 && !strcmp(argv[1], "--notes-only");
    struct stat status;

    if (argc != 2 + notes_only) {
        fprintf(stderr, "usage: save-vmcore [--notes-only] FILE\n");
        return 2;
    }
    target = argv[argc - 1];
    int in = open("/proc/vmcore", O_RDONLY | O_CLOEXEC);
    check(in >= 0, "/proc/vmcore");
    int out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(out >= 0 && fstat(in, &status) == 0, target);
    if (notes_only)
        copy_notes(in, out);
    else
        copy(in, out, status.st_size);
    check(close(out) == 0, target);
    return 0;
}
