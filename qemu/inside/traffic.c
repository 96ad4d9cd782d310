/*
 * traffic serve PORT
 * traffic send ADDRESS PORT TCP UDP SECONDS
 *
 * Load whose every byte is checked. `send` opens TCP streams and UDP exchanges to a `serve`, IPv4
 * or IPv6. Both ends of a stream send all the time; every fourth stream in small pieces. An
 * exchange is a datagram of changing size and its echo; after five seconds without an echo the
 * datagram is lost.
 *
 * With SECONDS, `send` prints a line for each flow at the end, and exits 1 if one broke:
 *     tcp 3: sent 123456 received 654321 idle 12 ms lost 0 wrong 0
 * "idle" is the longest time without progress; standard error says why a flow broke. With 0 seconds
 * it returns when each flow has moved, and the load goes on; it exits 1 if one has not moved in
 * time.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    FLOWS = 512,
    PERIOD = 65521, /* of the pattern, a prime: no shift by whole segments goes unnoticed */
    PIECE = 32768,
    SMALL_PIECE = 200,
    SOCKET_BUFFER = 131072, /* of each stream and direction, so that a small guest can hold many */
    LARGEST = 1472,         /* payload of a datagram in one frame of 1500 bytes ... */
    FRAGMENTED = 5000,      /* ... and of every 16th, in several */
    LOST_AFTER = 5000,      /* ms */
    MOVED_BYTES = 4096,     /* a flow that moves has received so much, */
    MOVED_DATAGRAMS = 2,
    MOVED_WITHIN = 60000, /* ms */
    EVENTS = 64,
};

struct flow {
    int fd;
    bool tcp, listens, echoes;
    uint32_t piece;              /* bytes of one write, or of the datagram on its way */
    uint64_t sequence;           /* of that datagram */
    uint64_t sent, received;     /* bytes of a stream, datagrams of an exchange */
    uint64_t lost, wrong, moved; /* `moved`: when it last made progress, ms */
    uint64_t idle;               /* its longest time without, ms */
};

struct peer {
    const char *address, *port;
    struct sockaddr_in6 name;
};

static struct flow flows[FLOWS];
static int flow_count;
static int poller;
static uint8_t pattern[2 * PERIOD];
static uint8_t buffer[65536];

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static int check(int result, const char *doing)
{
    if (result >= 0)
        return result;
    fprintf(stderr, "traffic: %s: %s\n", doing, strerror(errno));
    exit(1);
}

static void make_pattern(void)
{
    uint32_t state = 1;

    for (uint32_t i = 0; i < PERIOD; i++) {
        state = state * 1664525 + 1013904223;
        pattern[i] = pattern[PERIOD + i] = (uint8_t)(state >> 24);
    }
}

static const uint8_t *pattern_at(uint64_t offset)
{
    return pattern + offset % PERIOD;
}

/* Returns a free place for a flow, one of a stream that has ended if possible; NULL if none is. */
static struct flow *place(void)
{
    for (int i = 0; i < flow_count; i++)
        if (flows[i].fd < 0)
            return &flows[i];
    return flow_count < FLOWS ? &flows[flow_count++] : NULL;
}

static struct flow *new_flow(int fd, bool tcp, uint32_t events)
{
    int size = SOCKET_BUFFER, on = 1;
    struct flow *flow = place();

    if (!flow)
        return NULL;
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(flow - flows)};
    *flow = (struct flow){.fd = fd, .tcp = tcp, .piece = PIECE, .moved = now()};
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (tcp)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    check(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "epoll");
    return flow;
}

static void moved(struct flow *flow)
{
    uint64_t time = now();

    if (time - flow->moved > flow->idle)
        flow->idle = time - flow->moved;
    flow->moved = time;
}

static void broke(struct flow *flow, const char *why)
{
    fprintf(stderr, "traffic: tcp %d: %s\n", (int)(flow - flows), why);
    flow->wrong++;
    epoll_ctl(poller, EPOLL_CTL_DEL, flow->fd, NULL);
    close(flow->fd);
    flow->fd = -1;
}

/* Streams */

static void receive_stream(struct flow *flow)
{
    ssize_t length = recv(flow->fd, buffer, PIECE, 0);

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        broke(flow, length ? strerror(errno) : "the other end closed it");
        return;
    }
    if (memcmp(buffer, pattern_at(flow->received), (size_t)length)) {
        broke(flow, "wrong bytes");
        return;
    }
    flow->received += (uint64_t)length;
    moved(flow);
}

static void send_stream(struct flow *flow)
{
    size_t length = flow->piece == PIECE ? PIECE : 1 + flow->sent % flow->piece;
    ssize_t done = send(flow->fd, pattern_at(flow->sent), length, MSG_NOSIGNAL);

    if (done > 0)
        flow->sent += (uint64_t)done;
    else if (errno != EAGAIN)
        broke(flow, strerror(errno));
}

static void accept_stream(const struct flow *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK);

    if (fd >= 0 && !new_flow(fd, true, EPOLLIN | EPOLLOUT))
        close(fd);
}

/* Exchanges */

static void send_datagram(struct flow *flow)
{
    uint64_t number = ++flow->sequence;

    flow->piece = (uint32_t)(sizeof(number) + number * 577 % (LARGEST - sizeof(number)));
    if (number % 16 == 0)
        flow->piece = FRAGMENTED;
    memcpy(buffer, pattern_at(number), flow->piece);
    memcpy(buffer, &number, sizeof(number));
    flow->sent += send(flow->fd, buffer, flow->piece, 0) == (ssize_t)flow->piece;
    flow->moved = now();
}

static void receive_datagram(struct flow *flow)
{
    uint64_t number;
    ssize_t length = recv(flow->fd, buffer, sizeof(buffer), 0);

    if (length < (ssize_t)sizeof(number))
        return;
    memcpy(&number, buffer, sizeof(number));
    if (number != flow->sequence)
        return; /* an echo of one that counts as lost */
    if (length != (ssize_t)flow->piece ||
        memcmp(buffer + sizeof(number), pattern_at(number) + sizeof(number),
               (size_t)length - sizeof(number)))
        flow->wrong++;
    flow->received++;
    moved(flow);
    send_datagram(flow);
}

static bool echo_datagram(const struct flow *flow)
{
    struct sockaddr_in6 peer;
    socklen_t size = sizeof(peer);
    ssize_t length = recvfrom(flow->fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&peer, &size);

    if (length > 0)
        sendto(flow->fd, buffer, (size_t)length, 0, (struct sockaddr *)&peer, size);
    return length > 0;
}

/* Echoes all that wait: one datagram in a turn would let each exchange wait for all others. */
static void echo_datagrams(const struct flow *flow)
{
    for (int i = 0; i < FLOWS; i++)
        if (!echo_datagram(flow))
            return;
}

static void find_idle(void)
{
    for (struct flow *flow = flows; flow < flows + flow_count; flow++) {
        uint64_t idle = now() - flow->moved;

        if (flow->fd < 0 || flow->listens || flow->echoes)
            continue;
        if (idle > flow->idle)
            flow->idle = idle;
        if (!flow->tcp && idle >= LOST_AFTER) {
            flow->lost++;
            send_datagram(flow);
        }
    }
}

/* Running */

static void serve_event(struct flow *flow, uint32_t events)
{
    if (flow->listens) {
        accept_stream(flow);
    } else if (flow->echoes) {
        echo_datagrams(flow);
    } else if (!flow->tcp) {
        receive_datagram(flow);
    } else {
        if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
            receive_stream(flow);
        if (flow->fd >= 0 && (events & EPOLLOUT))
            send_stream(flow);
    }
}

static bool all_moved(void)
{
    for (struct flow *flow = flows; flow < flows + flow_count; flow++)
        if (flow->received < (flow->tcp ? MOVED_BYTES : MOVED_DATAGRAMS))
            return false;
    return true;
}

/* Runs until `end` (ms), or until all flows have moved. */
static void run(uint64_t end, bool until_moved)
{
    struct epoll_event events[EVENTS];

    while (now() < end && !(until_moved && all_moved())) {
        int count = epoll_wait(poller, events, EVENTS, 100);

        for (int i = 0; i < count; i++)
            serve_event(&flows[events[i].data.u32], events[i].events);
        find_idle();
    }
}

static int report(void)
{
    int bad = 0;

    for (struct flow *flow = flows; flow < flows + flow_count; flow++) {
        printf("%s %d: sent %lu received %lu idle %lu ms lost %lu wrong %lu\n",
               flow->tcp ? "tcp" : "udp", (int)(flow - flows), flow->sent, flow->received,
               flow->idle, flow->lost, flow->wrong);
        bad |= flow->wrong || flow->lost || !flow->received;
    }
    return bad;
}

/* Returns a number from 0 to `most`; any other text ends the program. */
static int number(const char *text, int most, const char *what)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*text >= '0' && *text <= '9' && !*end && value <= most)
        return (int)value;
    fprintf(stderr, "traffic: %s is no %s: type a number up to %d\n", text, what, most);
    exit(2);
}

static struct peer peer_of(const char *address, const char *port)
{
    struct peer peer = {address, port, {.sin6_family = AF_INET6}};
    char mapped[64];

    peer.name.sin6_port = htons((uint16_t)number(port, UINT16_MAX, "port"));
    snprintf(mapped, sizeof(mapped), "%s%s", strchr(address, ':') ? "" : "::ffff:", address);
    if (inet_pton(AF_INET6, mapped, &peer.name.sin6_addr) != 1) {
        fprintf(stderr, "traffic: %s is no address\n", address);
        exit(2);
    }
    return peer;
}

/* Checks a result of `doing` something with `peer`, whom an error names. */
static int check_peer(int result, const char *doing, const struct peer *peer)
{
    char what[128];

    snprintf(what, sizeof(what), "%s %s port %s", doing, peer->address, peer->port);
    return check(result, what);
}

static void serve(const char *port)
{
    struct peer any = peer_of("::", port);
    int stream = check(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), "TCP");
    int datagram = check(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0), "UDP");
    int room = FLOWS * 2 * FRAGMENTED; /* no echo is lost here */

    check_peer(bind(stream, (struct sockaddr *)&any.name, sizeof(any.name)), "TCP at", &any);
    check_peer(listen(stream, FLOWS), "TCP at", &any);
    check_peer(bind(datagram, (struct sockaddr *)&any.name, sizeof(any.name)), "UDP at", &any);
    if (setsockopt(datagram, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
        check(setsockopt(datagram, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), "receive buffer");
    new_flow(stream, true, EPOLLIN)->listens = true;
    new_flow(datagram, false, EPOLLIN)->echoes = true;
    check(daemon(1, 0), "daemon");
    run(UINT64_MAX, false);
}

static int connected(const struct peer *peer, int type)
{
    const char *doing = type == SOCK_STREAM ? "TCP to" : "UDP to";
    int fd = check_peer(socket(AF_INET6, type, 0), doing, peer);
    const struct sockaddr *name = (const struct sockaddr *)&peer->name;

    check_peer(connect(fd, name, sizeof(peer->name)), doing, peer);
    check(fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
    return fd;
}

static void open_flows(const struct peer *peer, int streams, int exchanges)
{
    for (int i = 0; i < streams; i++) {
        struct flow *flow = new_flow(connected(peer, SOCK_STREAM), true, EPOLLIN | EPOLLOUT);

        if (!(i % 4))
            flow->piece = SMALL_PIECE;
    }
    for (int i = 0; i < exchanges; i++)
        send_datagram(new_flow(connected(peer, SOCK_DGRAM), false, EPOLLIN));
}

static int send_all(uint64_t seconds)
{
    if (seconds) {
        run(now() + seconds * 1000, false);
        return report();
    }
    run(now() + MOVED_WITHIN, true);
    if (!all_moved()) {
        report();
        return 1;
    }
    check(daemon(1, 0), "daemon");
    run(UINT64_MAX, false);
    return 0;
}

int main(int argc, char **argv)
{
    make_pattern();
    poller = check(epoll_create1(0), "epoll");
    if (argc == 3 && !strcmp(argv[1], "serve")) {
        serve(argv[2]);
    } else if (argc == 7 && !strcmp(argv[1], "send")) {
        struct peer peer = peer_of(argv[2], argv[3]);
        int streams = number(argv[4], FLOWS, "number of streams");
        int exchanges = number(argv[5], FLOWS - streams, "number of exchanges");
        int seconds = number(argv[6], INT_MAX, "number of seconds");

        open_flows(&peer, streams, exchanges);
        return send_all((uint64_t)seconds);
    }
    fprintf(stderr, "usage: traffic serve PORT\n"
                    "       traffic send ADDRESS PORT TCP UDP SECONDS\n");
    return 2;
}
