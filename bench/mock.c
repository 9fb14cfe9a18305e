/* The mock upstream: answers chat completions with numbered, time-stamped frames at the pace that the prompt asks for.
 *
 *     mock PORT
 *
 * The prompt says `bench frames=F interval_us=I filler=B`, so every relay passes it on unchanged: F frames, one each I
 * microseconds (0: as fast as the connection takes them), B bytes of filler in each. A frame is one HTTP chunk and one
 * send, and its content is `#NUMBER:CLOCK_MONOTONIC in ns:filler#`. Without "stream":true, one JSON answer. */
#include "agenda.h"
#include "replies.h"

#define BUFFER_BYTES 16384
#define FILLER_BYTES_MAX 4096
#define TURN_FRAMES 64 /* sent before the sockets are looked at again */

struct caller {
    struct appointment next; /* first, so that an appointment is its caller */
    int fd;
    bool answering, with_usage;
    long frames, sent, interval_us, filler;
    char *input, *output; /* output: what the socket did not take yet */
    size_t input_bytes, output_bytes;
};

static int epoll;
static struct agenda agenda;
static char filler[FILLER_BYTES_MAX + 1];

static void forget(struct caller *caller)
{
    agenda_strike(&agenda, &caller->next);
    close(caller->fd);
    free(caller->input);
    free(caller->output);
    free(caller);
}

/* False: the connection is lost. What does not fit now is kept until the socket is writable. */
static bool deliver(struct caller *caller, const char *bytes, size_t count)
{
    ssize_t taken = send(caller->fd, bytes, count, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN)
        return false;
    size_t done = taken > 0 ? taken : 0;
    if (done == count)
        return true;
    caller->output = checked(malloc(count - done));
    caller->output_bytes = count - done;
    memcpy(caller->output, bytes + done, count - done);
    agenda_strike(&agenda, &caller->next);
    watch(epoll, EPOLL_CTL_MOD, caller->fd, EPOLLIN | EPOLLOUT, caller);
    return true;
}

static bool deliver_json(struct caller *caller, const char *status, const char *body)
{
    char answer[BUFFER_BYTES];
    return deliver(caller, answer, snprintf(answer, sizeof answer, JSON_HEAD "%s", status, strlen(body), body));
}

static size_t as_chunk(char *into, const char *text)
{
    return sprintf(into, "%zx\r\n%s\r\n", strlen(text), text);
}

static size_t content_frame(struct caller *caller, char *into)
{
    char delta[FILLER_BYTES_MAX + 128], text[FILLER_BYTES_MAX + 512];
    sprintf(delta, "\"content\":\"#%ld:%lld:%.*s#\"", caller->sent, (long long)now_ns(), (int)caller->filler, filler);
    sprintf(text, CHUNK, delta, "null");
    return as_chunk(into, text);
}

static size_t last_frames(struct caller *caller, char *into)
{
    char text[1024];
    sprintf(text, CHUNK, "", "\"stop\"");
    size_t bytes = as_chunk(into, text);
    if (caller->with_usage) {
        sprintf(text, USAGE_CHUNK, caller->frames, caller->frames + 9);
        bytes += as_chunk(into + bytes, text);
    }
    bytes += as_chunk(into + bytes, "data: [DONE]\n\n");
    return bytes + sprintf(into + bytes, "0\r\n\r\n");
}

/* The second frame comes after a random part of the interval: streams that begin together do not tick together. */
static void plan_next(struct caller *caller)
{
    int64_t gap_ns = caller->interval_us * 1000;
    if (caller->sent == 1)
        gap_ns = drand48() * gap_ns;
    caller->next.due_ns = caller->interval_us ? caller->next.due_ns + gap_ns : now_ns();
    agenda_strike(&agenda, &caller->next);
    agenda_enter(&agenda, &caller->next);
}

static bool send_frame(struct caller *caller)
{
    char output[BUFFER_BYTES];
    size_t bytes = caller->sent ? 0 : (size_t)sprintf(output, "%s", STREAM_HEAD);
    bytes += content_frame(caller, output + bytes);
    if (++caller->sent < caller->frames) {
        plan_next(caller);
    } else {
        bytes += last_frames(caller, output + bytes);
        agenda_strike(&agenda, &caller->next);
        caller->answering = false;
    }
    return deliver(caller, output, bytes);
}

static bool send_answer(struct caller *caller)
{
    char body[BUFFER_BYTES / 2];
    snprintf(body, sizeof body, ANSWER, (long long)now_ns(), filler + FILLER_BYTES_MAX - caller->filler, 1L, 10L);
    return deliver_json(caller, "200 OK", body);
}

static bool says_true(const char *body, const char *name)
{
    const char *at = strstr(body, name);
    return at && at[strlen(name) + strspn(at + strlen(name), "\": ")] == 't';
}

static bool answer_request(struct caller *caller, const char *head, const char *body)
{
    if (strncmp(head, "POST ", 5))
        return deliver_json(caller, "200 OK", MODELS);
    const char *order = strstr(body, "bench frames=");
    if (!order || sscanf(order, "bench frames=%ld interval_us=%ld filler=%ld", &caller->frames, &caller->interval_us,
                         &caller->filler) != 3 || caller->filler < 0 || caller->filler > FILLER_BYTES_MAX || caller->frames < 1)
        return deliver_json(caller, "400 Bad Request", "{\"error\":{\"message\":\"no order in the prompt\"}}");
    if (!says_true(body, "\"stream\""))
        return send_answer(caller);
    caller->with_usage = says_true(body, "\"include_usage\"");
    caller->answering = true;
    caller->sent = 0;
    caller->next.due_ns = now_ns();
    return send_frame(caller);
}

/* Takes the next request out of the input once it is whole; all callers here send Content-Length. */
static bool take_request(struct caller *caller)
{
    caller->input[caller->input_bytes] = 0;
    char *end = strstr(caller->input, "\r\n\r\n");
    if (caller->answering || caller->output || !end)
        return true;
    char *length = strcasestr(caller->input, "\r\ncontent-length:");
    size_t body_bytes = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    size_t bytes = end + 4 - caller->input + body_bytes;
    if (caller->input_bytes < bytes)
        return bytes < BUFFER_BYTES;
    char after = caller->input[bytes];
    caller->input[bytes] = 0;
    bool alive = answer_request(caller, caller->input, end + 4);
    caller->input[bytes] = after;
    caller->input_bytes -= bytes;
    memmove(caller->input, caller->input + bytes, caller->input_bytes);
    return alive;
}

static bool take_input(struct caller *caller)
{
    ssize_t came = recv(caller->fd, caller->input + caller->input_bytes, BUFFER_BYTES - caller->input_bytes, 0);
    if (came < 0 && errno == EAGAIN)
        return true;
    if (came <= 0)
        return false;
    caller->input_bytes += came;
    return take_request(caller);
}

static bool flush_output(struct caller *caller)
{
    ssize_t taken = send(caller->fd, caller->output, caller->output_bytes, MSG_NOSIGNAL);
    if (taken < 0)
        return errno == EAGAIN;
    caller->output_bytes -= taken;
    memmove(caller->output, caller->output + taken, caller->output_bytes);
    if (caller->output_bytes)
        return true;
    free(caller->output);
    caller->output = NULL;
    watch(epoll, EPOLL_CTL_MOD, caller->fd, EPOLLIN, caller);
    if (!caller->answering)
        return take_request(caller);
    agenda_enter(&agenda, &caller->next);
    return true;
}

static void welcome(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct caller *caller = checked(calloc(1, sizeof *caller));
        caller->fd = fd;
        caller->next.place = -1;
        caller->input = checked(malloc(BUFFER_BYTES + 1));
        send_at_once(fd);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, caller);
    }
}

static void send_what_is_due(void)
{
    int64_t now = now_ns();
    for (int turn = 0; turn < TURN_FRAMES; turn++) {
        struct appointment *first = agenda_first(&agenda);
        if (!first || first->due_ns > now)
            return;
        if (!send_frame((struct caller *)first))
            forget((struct caller *)first);
    }
}

static int listen_on(int port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = loopback(port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
        die("listen");
    return listener;
}

int main(int count, char **words)
{
    if (count != 2)
        return fputs("usage: mock PORT\n", stderr), 2;
    prepare_process();
    memset(filler, 'x', FILLER_BYTES_MAX);
    int listener = listen_on(atoi(words[1]));
    epoll = epoll_create1(0);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    struct epoll_event events[256];
    for (;;) {
        struct appointment *first = agenda_first(&agenda);
        int came = wait_events(epoll, events, 256, first ? first->due_ns - now_ns() : SECOND_NS);
        for (int i = 0; i < came; i++) {
            struct caller *caller = events[i].data.ptr;
            if (!caller)
                welcome(listener);
            else if ((events[i].events & EPOLLOUT && caller->output && !flush_output(caller)) ||
                     (events[i].events & ~EPOLLOUT && !take_input(caller)))
                forget(caller);
        }
        send_what_is_due();
    }
}
