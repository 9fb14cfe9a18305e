/* The verification of one answer's content: numbered frames in order, none lost, doubled or damaged, each a whole
 * server-sent event, and [DONE] as the last. Fed with the bytes of the body, cut anywhere. */
#ifndef EVENTS_H
#define EVENTS_H
#include "machine.h"

#define LINE_BYTES_MAX 8192

/* In the order in which they are told; the first that a stream shows is the one it counts as. */
enum fault { NONE, CONNECT, CUT, REFUSED, MALFORMED, FRAMING, ORDER, DAMAGED, INCOMPLETE, SURPLUS, FAULTS };
static const char *const FAULT_NAMES[FAULTS] = {"none",  "connect", "cut",     "refused",    "malformed",
                                                "framing", "order",   "damaged", "incomplete", "surplus"};

struct events {
    enum fault fault;
    long frames;       /* content frames so far, which is the number of the next one */
    long filler;       /* bytes that each must carry */
    bool in_event, done;
    size_t line_bytes; /* of a line whose end has not come */
    char line[LINE_BYTES_MAX];
};

/* Called for each content frame with the moment at which it was sent. */
typedef void on_frame(void *whose, int64_t sent_ns);

static inline void blame(enum fault *fault, enum fault found)
{
    if (*fault == NONE)
        *fault = found;
}

/* `#NUMBER:NS:xxx#` where it stands in JSON as the whole of a string; false: this text has none. */
static inline bool read_mark(struct events *events, const char *text, size_t count, on_frame *tell, void *whose)
{
    const char *mark = memmem(text, count, "\"#", 2), *end = text + count;
    if (!mark)
        return false;
    char *next;
    long number = strtol(mark + 2, &next, 10);
    int64_t sent_ns = *next == ':' ? strtoll(next + 1, &next, 10) : 0;
    const char *filler = next + 1;
    size_t length = filler < end ? strspn(filler, "x") : 0;
    if (*next != ':' || length != (size_t)events->filler || strncmp(filler + length, "#\"", 2))
        blame(&events->fault, DAMAGED);
    if (number != events->frames++)
        blame(&events->fault, ORDER);
    tell(whose, sent_ns);
    return true;
}

static inline void end_line(struct events *events, char *line, size_t count, on_frame *tell, void *whose)
{
    if (count && line[count - 1] == '\r')
        count--;
    line[count] = 0; /* the line's end stood here: what searches it stops */
    if (!count) {
        events->in_event = false;
    } else if (!strncmp(line, "data:", 5)) {
        if (events->in_event)
            blame(&events->fault, FRAMING);
        if (events->done)
            blame(&events->fault, SURPLUS);
        events->in_event = true;
        if (!strcmp(line + 5 + strspn(line + 5, " "), "[DONE]"))
            events->done = true;
        else
            read_mark(events, line, count, tell, whose);
    } else if (line[0] != ':' && strncmp(line, "event:", 6) && strncmp(line, "id:", 3)) {
        blame(&events->fault, FRAMING);
    }
}

static inline void keep_rest(struct events *events, const char *bytes, size_t count)
{
    if (events->line_bytes + count >= LINE_BYTES_MAX) {
        blame(&events->fault, FRAMING);
        return;
    }
    memcpy(events->line + events->line_bytes, bytes, count);
    events->line_bytes += count;
}

/* The bytes are written to: each line's end becomes a NUL. */
static inline void events_feed(struct events *events, char *bytes, size_t count, on_frame *tell, void *whose)
{
    char *end = bytes + count, *newline;
    for (; bytes < end && (newline = memchr(bytes, '\n', end - bytes)); bytes = newline + 1) {
        if (!events->line_bytes) {
            end_line(events, bytes, newline - bytes, tell, whose);
            continue;
        }
        keep_rest(events, bytes, newline - bytes);
        end_line(events, events->line, events->line_bytes, tell, whose);
        events->line_bytes = 0;
    }
    keep_rest(events, bytes, end - bytes);
}

static inline void json_feed(struct events *events, const char *bytes, size_t count)
{
    keep_rest(events, bytes, count);
}

/* The answer is over, as far as HTTP goes. */
static inline void events_end(struct events *events, long frames_wanted)
{
    if (events->in_event || events->line_bytes)
        blame(&events->fault, FRAMING);
    if (events->frames < frames_wanted || !events->done)
        blame(&events->fault, INCOMPLETE);
    if (events->frames > frames_wanted)
        blame(&events->fault, SURPLUS);
}

static inline void json_end(struct events *events, on_frame *tell, void *whose)
{
    events->line[events->line_bytes] = 0;
    if (!read_mark(events, events->line, events->line_bytes, tell, whose))
        blame(&events->fault, INCOMPLETE);
}

#endif
