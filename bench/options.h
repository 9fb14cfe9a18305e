/* What load is asked for, and the one request that follows from it. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include "machine.h"
#include <getopt.h>

#define REQUEST_BYTES_MAX 8192

struct options {
    int port;
    bool is_stream, progress;
    long streams, requests, frames, interval_us, filler, seconds_max;
    int64_t ramp_ns;
    const char *path;
    char headers[REQUEST_BYTES_MAX / 2], request[REQUEST_BYTES_MAX];
    size_t request_bytes;
};

static const char USAGE_TEXT[] =
    "load --port P [--path /v1/chat/completions] [--header 'Name: value']...\n"
    "  --streams N      at the same time                --requests N     in all\n"
    "  --frames N       of each answer                  --interval-us I  between two frames; 0: unpaced\n"
    "  --filler B       bytes in each frame             --ramp-ms R      over which the streams begin\n"
    "  --seconds-max S  then it stops                   --json           answers that do not stream\n"
    "  --progress       a line of progress each 100 ms\n";

static inline void add_header(struct options *options, const char *line)
{
    size_t used = strlen(options->headers), room = sizeof options->headers - used;
    if ((size_t)snprintf(options->headers + used, room, "%s\r\n", line) >= room)
        die("too many headers");
}

static inline void write_request(struct options *options)
{
    char body[512];
    int body_bytes = snprintf(body, sizeof body,
                              "{\"model\":\"bench\",\"messages\":[{\"role\":\"user\",\"content\":"
                              "\"bench frames=%ld interval_us=%ld filler=%ld\"}],\"stream\":%s}",
                              options->frames, options->interval_us, options->filler, options->is_stream ? "true" : "false");
    options->request_bytes = snprintf(options->request, sizeof options->request,
                                      "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\nUser-Agent: bench\r\n"
                                      "Content-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
                                      options->path, options->port, options->headers, body_bytes, body);
}

static inline bool read_option(struct options *options, int letter)
{
    switch (letter) {
    case 'p': return options->port = atoi(optarg), true;
    case 'P': return options->path = optarg, true;
    case 'H': return add_header(options, optarg), true;
    case 's': return options->streams = atol(optarg), true;
    case 'n': return options->requests = atol(optarg), true;
    case 'f': return options->frames = atol(optarg), true;
    case 'i': return options->interval_us = atol(optarg), true;
    case 'b': return options->filler = atol(optarg), true;
    case 'r': return options->ramp_ns = atol(optarg) * 1000000, true;
    case 't': return options->seconds_max = atol(optarg), true;
    case 'j': return options->is_stream = false, true;
    case 'v': return options->progress = true;
    default: return false;
    }
}

static inline void read_options(struct options *options, int count, char **words)
{
    static const struct option NAMES[] = {
        {"port", 1, 0, 'p'},   {"path", 1, 0, 'P'},        {"header", 1, 0, 'H'},      {"streams", 1, 0, 's'},
        {"requests", 1, 0, 'n'}, {"frames", 1, 0, 'f'},    {"interval-us", 1, 0, 'i'}, {"filler", 1, 0, 'b'},
        {"ramp-ms", 1, 0, 'r'}, {"seconds-max", 1, 0, 't'}, {"json", 0, 0, 'j'},        {"progress", 0, 0, 'v'},
        {0, 0, 0, 0}};
    *options = (struct options){.path = "/v1/chat/completions", .is_stream = true, .streams = 1, .requests = 1,
                                .frames = 10, .filler = 20, .seconds_max = 60};
    int letter;
    while ((letter = getopt_long(count, words, "", NAMES, NULL)) != -1)
        if (!read_option(options, letter)) {
            fputs(USAGE_TEXT, stderr);
            exit(2);
        }
    if (!options->port || optind != count || options->streams < 1 || options->requests < options->streams) {
        fputs(USAGE_TEXT, stderr);
        exit(2);
    }
    write_request(options);
}

#endif
