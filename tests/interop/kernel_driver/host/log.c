/* Keeps the driver's messages. libc formats them, so the kernel's %p extensions print as
 * addresses. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

static struct {
    char *text;
    size_t used, room;
} log_;

static void append(const char *text, size_t length)
{
    if (log_.used + length + 1 > log_.room) {
        size_t room = 2 * (log_.used + length + 1);
        char *grown = realloc(log_.text, room);

        if (!grown)
            return;
        log_.text = grown;
        log_.room = room;
    }
    memcpy(log_.text + log_.used, text, length);
    log_.used += length;
    log_.text[log_.used] = '\0';
}

/* A kernel message may start with the byte SOH and a level. */
static void say(const char *format, va_list arguments)
{
    char line[1024];
    int length;

    if (format[0] == '\001' && format[1])
        format += 2;
    length = vsnprintf(line, sizeof line, format, arguments);
    if (length > 0)
        append(line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
}

void witness_say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

const char *witness_log(void)
{
    return log_.text ? log_.text : "";
}

int _printk(const char *format, ...);
int scnprintf(char *buffer, size_t size, const char *format, ...);
char *kasprintf(unsigned int flags, const char *format, ...);

int _printk(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return 0;
}

/* dev_err(), netdev_err() and the like differ only in their first argument. */
#define MESSAGE(name)                                       \
    void name(const void *device, const char *format, ...); \
    void name(const void *device, const char *format, ...)  \
    {                                                       \
        va_list arguments;                                  \
        (void)device;                                       \
        va_start(arguments, format);                        \
        say(format, arguments);                             \
        va_end(arguments);                                  \
    }

MESSAGE(_dev_alert)
MESSAGE(_dev_err)
MESSAGE(_dev_warn)
MESSAGE(_dev_info)
MESSAGE(netdev_err)
MESSAGE(netdev_warn)
MESSAGE(netdev_info)

int scnprintf(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(buffer, size, format, arguments);
    va_end(arguments);
    return size && length >= (int)size ? (int)size - 1 : length;
}

char *kasprintf(unsigned int flags, const char *format, ...)
{
    char text[256];
    char *copy;
    va_list arguments;

    (void)flags;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    copy = witness_allocate(strlen(text) + 1, 1, 1);
    return copy ? strcpy(copy, text) : NULL;
}

/* Never suppress a message. */
int ___ratelimit(void);
int ___ratelimit(void)
{
    return 1;
}
int __printk_ratelimit(void);
int __printk_ratelimit(void)
{
    return 1;
}
