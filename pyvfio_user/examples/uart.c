/* The registers of a 16550A, in C: what SerialCard in serial_card.py has in Python. */

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "pyvfio_user/host.h"
#include "uart.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR };

/* Returns what waits, as IIR shows it: received data, room to send, or nothing. */
static uint8_t pending(const struct uart *uart)
{
    if ((uart->registers[IER] & 1) && uart->received != uart->read)
        return 4;
    return uart->registers[IER] & 2 ? 2 : 1;
}

static void interrupt(struct uart *uart)
{
    uint8_t now = pending(uart) != 1;

    if (now && !uart->was_pending)
        uart->host->irq(uart->host->cookie, 0);
    uart->was_pending = now;
}

static uint8_t uart_read(struct uart *uart, uint64_t offset)
{
    uint8_t out = uart->registers[MCR];

    switch (offset) {
    case DATA:
        return uart->read == uart->received ? 0 : uart->fifo[uart->read++ % sizeof(uart->fifo)];
    case IIR:
        return 0xc0 | pending(uart);
    case LSR:
        return 0x60 | (uart->read != uart->received);
    case MSR:
        if (out & 0x10)
            return (uint8_t)((out & 0xc) << 4 | (out & 1) << 5 | (out & 2) << 3);
        return 0xb0;
    default:
        return uart->registers[offset];
    }
}

static int uart_write(struct uart *uart, uint64_t offset, uint8_t value)
{
    if (offset == DATA)
        return write(uart->output, &value, 1) == 1 ? 0 : -EIO;
    uart->registers[offset] = offset == IER ? value & 0x0f : value;
    return 0;
}

/* A region_access (io.h). The cookie is a struct uart. */
int uart_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write)
{
    struct uart *uart = cookie;
    uint8_t *byte = data;
    int error = 0;

    if (length != 1 || offset >= sizeof(uart->registers))
        return -EINVAL;
    uint8_t *divisor = offset < 2 && (uart->registers[LCR] & 0x80) ? &uart->divisor[offset] : NULL;
    if (divisor && is_write)
        *divisor = *byte;
    else if (divisor)
        *byte = *divisor;
    else if (is_write)
        error = uart_write(uart, offset, *byte);
    else
        *byte = uart_read(uart, offset);
    interrupt(uart);
    return error;
}

/* The run of a struct work (work.h): what has come at `input` is received. It is also called when
 * nothing has come, and must not wait. Like a real UART, it loses what the guest does not fetch. */
void uart_run(void *cookie)
{
    struct uart *uart = cookie;
    struct pollfd poller = {.fd = uart->input, .events = POLLIN};
    uint8_t bytes[64];
    ssize_t count = poll(&poller, 1, 0) > 0 ? read(uart->input, bytes, sizeof(bytes)) : 0;

    for (ssize_t i = 0; i < count; i++)
        if (uart->received - uart->read < sizeof(uart->fifo))
            uart->fifo[uart->received++ % sizeof(uart->fifo)] = bytes[i];
    interrupt(uart);
}
