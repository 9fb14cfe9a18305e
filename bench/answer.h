/* One HTTP/1.1 answer, fed as it comes: its head, then a body of chunks, of a known length, or up to the close. */
#ifndef ANSWER_H
#define ANSWER_H
#include "events.h"

#define HEAD_BYTES_MAX 4096

enum part { HEAD, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, KNOWN_LENGTH, UNTIL_CLOSE, COMPLETE };

struct answer {
    enum part part;
    int status;
    bool closes, is_stream;
    long left; /* of the chunk or the body; -1: length unknown */
    size_t head_bytes;
    char head[HEAD_BYTES_MAX + 1]; /* then each line that frames a chunk */
    struct events events;
};

static inline void answer_reset(struct answer *answer, bool is_stream, long filler)
{
    memset(answer, 0, offsetof(struct answer, head));
    memset(&answer->events, 0, offsetof(struct events, line));
    answer->is_stream = is_stream;
    answer->events.filler = filler;
}

static inline const char *header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) + strspn(at + strlen(name), " ") : NULL;
}

static inline void read_head(struct answer *answer)
{
    const char *head = answer->head, *length = header(head, "\r\ncontent-length:");
    const char *coding = header(head, "\r\ntransfer-encoding:"), *connection = header(head, "\r\nconnection:");
    if (strncmp(head, "HTTP/1.", 7))
        blame(&answer->events.fault, MALFORMED);
    answer->status = atoi(head + 9);
    if (answer->status != 200)
        blame(&answer->events.fault, REFUSED);
    answer->left = length ? atol(length) : -1;
    answer->part = coding && !strncasecmp(coding, "chunked", 7) ? CHUNK_SIZE : length ? KNOWN_LENGTH : UNTIL_CLOSE;
    answer->closes = head[7] == '0' || (connection && !strncasecmp(connection, "close", 5)) || answer->part == UNTIL_CLOSE;
    if (answer->part == KNOWN_LENGTH && !answer->left)
        answer->part = COMPLETE;
}

/* Collects up to and with `end` in head[]; how many bytes were used. A whole one is ended by a NUL: see `has_end`. */
static inline size_t collect(struct answer *answer, const char *bytes, size_t count, const char *end)
{
    size_t used = 0, end_bytes = strlen(end);
    while (used < count && answer->head_bytes < HEAD_BYTES_MAX) {
        answer->head[answer->head_bytes++] = bytes[used++];
        if (answer->head_bytes >= end_bytes && !memcmp(answer->head + answer->head_bytes - end_bytes, end, end_bytes)) {
            answer->head[answer->head_bytes] = 0;
            return used;
        }
    }
    if (answer->head_bytes == HEAD_BYTES_MAX)
        blame(&answer->events.fault, MALFORMED);
    answer->head[answer->head_bytes] = 0;
    return used;
}

static inline bool has_end(const struct answer *answer, const char *end)
{
    size_t end_bytes = strlen(end);
    return answer->head_bytes >= end_bytes && !strcmp(answer->head + answer->head_bytes - end_bytes, end);
}

/* The line that frames a chunk is whole: its size, the end of its data, or the end of the trailers. */
static inline void end_framing_line(struct answer *answer)
{
    char *after;
    if (answer->part == CHUNK_SIZE) {
        answer->left = strtol(answer->head, &after, 16);
        if (after == answer->head)
            blame(&answer->events.fault, MALFORMED);
        answer->part = answer->left ? CHUNK_DATA : TRAILER;
    } else if (answer->part == CHUNK_END) {
        if (answer->head_bytes != 2)
            blame(&answer->events.fault, MALFORMED);
        answer->part = CHUNK_SIZE;
    } else if (answer->head_bytes == 2) {
        answer->part = COMPLETE;
    }
    answer->head_bytes = 0;
}

static inline size_t feed_framing(struct answer *answer, const char *bytes, size_t count)
{
    const char *end = answer->part == HEAD ? "\r\n\r\n" : "\r\n";
    size_t used = collect(answer, bytes, count, end);
    if (!has_end(answer, end))
        return used;
    if (answer->part != HEAD) {
        end_framing_line(answer);
        return used;
    }
    read_head(answer);
    answer->head_bytes = 0;
    return used;
}

static inline size_t feed_body(struct answer *answer, char *bytes, size_t count, on_frame *tell, void *whose)
{
    size_t used = answer->left >= 0 && (size_t)answer->left < count ? (size_t)answer->left : count;
    if (answer->status == 200 && answer->is_stream)
        events_feed(&answer->events, bytes, used, tell, whose);
    else if (answer->status == 200)
        json_feed(&answer->events, bytes, used);
    if (answer->left >= 0 && !(answer->left -= used))
        answer->part = answer->part == CHUNK_DATA ? CHUNK_END : COMPLETE;
    return used;
}

/* Feeds until the bytes are used up or the answer is complete or beyond reading; false: bytes came after its end. */
static inline bool answer_feed(struct answer *answer, char *bytes, size_t count, on_frame *tell, void *whose)
{
    while (count && answer->part != COMPLETE && answer->events.fault != MALFORMED) {
        bool framing = answer->part < CHUNK_DATA || answer->part == CHUNK_END || answer->part == TRAILER;
        size_t used = framing ? feed_framing(answer, bytes, count) : feed_body(answer, bytes, count, tell, whose);
        bytes += used;
        count -= used;
    }
    return count == 0;
}

/* The connection was closed: right for an answer without a length, a cut for any other. */
static inline void answer_closed(struct answer *answer)
{
    if (answer->part == UNTIL_CLOSE)
        answer->part = COMPLETE;
    else
        blame(&answer->events.fault, CUT);
}

/* Nothing more will come: what is missing is told. */
static inline enum fault answer_verdict(struct answer *answer, long frames_wanted, on_frame *tell, void *whose)
{
    if (answer->part == COMPLETE && answer->status == 200) {
        if (answer->is_stream)
            events_end(&answer->events, frames_wanted);
        else
            json_end(&answer->events, tell, whose);
    }
    return answer->events.fault;
}

#endif
