/* What mock and load both need of the machine: its clock, sockets, and an epoll that waits to the microsecond. */
#ifndef MACHINE_H
#define MACHINE_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

/* CLOCK_MONOTONIC is one for all processes of a machine: a frame stamped by mock can be timed by load. */
static inline int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static inline void die(const char *what)
{
    perror(what);
    exit(3);
}

static inline void *checked(void *memory)
{
    if (!memory)
        die("memory");
    return memory;
}

/* As many descriptors as the system allows, exact timers, no SIGPIPE, and an end together with the parent. */
static inline void prepare_process(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
}

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline void send_at_once(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline void watch(int epoll, int operation, int fd, uint32_t events, void *whose)
{
    struct epoll_event event = {.events = events, .data.ptr = whose};
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        die("epoll_ctl");
}

/* At most `ns` nanoseconds; how many events came. */
static inline int wait_events(int epoll, struct epoll_event *events, int events_max, int64_t ns)
{
    int64_t left = ns > 0 ? ns : 0;
    struct timespec timeout = {.tv_sec = left / SECOND_NS, .tv_nsec = left % SECOND_NS};
    int count = epoll_pwait2(epoll, events, events_max, &timeout, NULL);
    return count > 0 ? count : 0;
}

#endif
