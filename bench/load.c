/* The caller: keeps so many chat completions going, verifies each answer, tells the times; `load --help` for options.
 *
 * A closed loop: a connection asks again once its answer is complete. Prints one JSON line at the end, and with
 * --progress one each 100 ms before. Exits 0 whatever became of the answers: the orchestrator judges. */
#include "answer.h"
#include "options.h"
#include "samples.h"

#define PROGRESS_NS (SECOND_NS / 10)
#define READ_BYTES (1 << 17)

struct slot {
    int fd; /* -1: none */
    bool busy, connecting, reused;
    int64_t begun_ns, second_ns, last_ns; /* of the answer; arrival of its second and latest frame */
    struct answer answer;
};

static struct options options;
static int epoll;
static long begun, ended, good, open_streams, frames, reconnects, verdicts[FAULTS], refusal;
static int64_t first_begun_ns, last_ended_ns, read_ns;
static struct samples first_frame = {.name = "first_frame"}, frame = {.name = "frame"};
static struct samples whole = {.name = "whole"}, drift = {.name = "drift"};

static void begin(struct slot *slot);

static void on_content(void *whose, int64_t sent_ns)
{
    struct slot *slot = whose;
    samples_add(&frame, read_ns - sent_ns);
    frames++;
    if (slot->answer.events.frames == 1) {
        samples_add(&first_frame, read_ns - slot->begun_ns);
        open_streams++;
    } else if (slot->answer.events.frames == 2) {
        slot->second_ns = read_ns;
    }
    slot->last_ns = read_ns;
}

static void hang_up(struct slot *slot)
{
    if (slot->fd >= 0)
        close(slot->fd);
    slot->fd = -1;
}

/* How far the frames fell behind their pace, from the second to the last: what a saturated relay shows. */
static void note_drift(struct slot *slot)
{
    if (options.interval_us && options.frames > 2)
        samples_add(&drift, slot->last_ns - slot->second_ns - (options.frames - 2) * options.interval_us * 1000);
}

static void end(struct slot *slot, enum fault fault)
{
    last_ended_ns = now_ns();
    ended++;
    verdicts[fault]++;
    slot->busy = false;
    open_streams -= slot->answer.events.frames > 0;
    if (fault == NONE) {
        good++;
        samples_add(&whole, last_ended_ns - slot->begun_ns);
        note_drift(slot);
    } else if (fault == REFUSED) {
        refusal = slot->answer.status;
    }
    if (fault != NONE || slot->answer.closes || begun == options.requests)
        hang_up(slot);
    if (begun < options.requests)
        begin(slot);
}

/* A kept connection may have been closed just as it was used again: that is no fault, and asked once more. */
static bool was_closed_idle(const struct slot *slot)
{
    return slot->reused && slot->answer.part == HEAD && !slot->answer.head_bytes;
}

static void open_connection(struct slot *slot)
{
    struct sockaddr_in address = loopback(options.port);
    slot->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (slot->fd < 0)
        die("socket");
    slot->connecting = true;
    slot->reused = false;
    send_at_once(slot->fd);
    connect(slot->fd, (void *)&address, sizeof address); /* its outcome is read from the socket */
    watch(epoll, EPOLL_CTL_ADD, slot->fd, EPOLLOUT, slot);
}

static void ask_again(struct slot *slot)
{
    reconnects++;
    hang_up(slot);
    answer_reset(&slot->answer, options.is_stream, options.filler);
    open_connection(slot);
}

static void ask(struct slot *slot)
{
    if (send(slot->fd, options.request, options.request_bytes, MSG_NOSIGNAL) == (ssize_t)options.request_bytes)
        return;
    if (slot->reused)
        ask_again(slot);
    else
        end(slot, CUT);
}

static void begin(struct slot *slot)
{
    begun++;
    slot->busy = true;
    slot->begun_ns = now_ns();
    first_begun_ns = first_begun_ns ? first_begun_ns : slot->begun_ns;
    answer_reset(&slot->answer, options.is_stream, options.filler);
    slot->reused = slot->fd >= 0;
    if (slot->reused)
        ask(slot);
    else
        open_connection(slot);
}

static void connected(struct slot *slot)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    slot->connecting = false;
    if (error) {
        end(slot, CONNECT);
        return;
    }
    watch(epoll, EPOLL_CTL_MOD, slot->fd, EPOLLIN, slot);
    ask(slot);
}

static void closed(struct slot *slot)
{
    if (!slot->busy) {
        hang_up(slot);
    } else if (was_closed_idle(slot)) {
        ask_again(slot);
    } else {
        answer_closed(&slot->answer);
        slot->answer.closes = true;
        end(slot, answer_verdict(&slot->answer, options.frames, on_content, slot));
    }
}

static void readable(struct slot *slot)
{
    static char buffer[READ_BYTES];
    ssize_t came = recv(slot->fd, buffer, sizeof buffer, 0);
    if (came < 0 && errno == EAGAIN)
        return;
    if (came < 0)
        blame(&slot->answer.events.fault, CUT);
    if (came <= 0) {
        closed(slot);
        return;
    }
    read_ns = now_ns();
    bool used_up = answer_feed(&slot->answer, buffer, came, on_content, slot);
    struct answer *answer = &slot->answer;
    bool beyond_reading = answer->events.fault == MALFORMED;
    if (!used_up && !beyond_reading)
        blame(&answer->events.fault, SURPLUS);
    if (answer->part == COMPLETE || beyond_reading)
        end(slot, answer_verdict(answer, options.frames, on_content, slot));
}

static void tell_progress(int64_t now)
{
    printf("{\"at_ns\":%lld,\"open\":%ld,\"frames\":%ld}\n", (long long)now, open_streams, frames);
    fflush(stdout);
}

static void tell_result(void)
{
    int64_t last_ns = ended == options.requests ? last_ended_ns : now_ns();
    printf("{\"requests\":%ld,\"good\":%ld,\"unfinished\":%ld,\"frames\":%ld,\"seconds\":%.6f,\"reconnects\":%ld,", options.requests,
           good, options.requests - ended, frames, (last_ns - first_begun_ns) / 1e9, reconnects);
    samples_print(&first_frame);
    samples_print(&frame);
    samples_print(&whole);
    samples_print(&drift);
    printf("\"faults\":{");
    for (int fault = 1; fault < FAULTS; fault++)
        printf("%s\"%s\":%ld", fault > 1 ? "," : "", FAULT_NAMES[fault], verdicts[fault]);
    printf("},\"refusal\":%ld}\n", refusal);
}

static void run(struct slot *slots)
{
    struct epoll_event events[512];
    int64_t start = now_ns(), told = start, now;
    long started = 0;
    while (ended < options.requests && (now = now_ns()) < start + options.seconds_max * SECOND_NS) {
        for (; started < options.streams && start + options.ramp_ns * started / options.streams <= now; started++)
            begin(&slots[started]);
        if (options.progress && now - told >= PROGRESS_NS)
            tell_progress(told = now);
        int64_t next = started < options.streams ? start + options.ramp_ns * started / options.streams - now : PROGRESS_NS;
        int came = wait_events(epoll, events, 512, next < PROGRESS_NS ? next : PROGRESS_NS);
        for (int i = 0; i < came; i++) {
            struct slot *slot = events[i].data.ptr;
            if (slot->fd >= 0 && slot->connecting)
                connected(slot);
            else if (slot->fd >= 0)
                readable(slot);
        }
    }
}

int main(int count, char **words)
{
    prepare_process();
    read_options(&options, count, words);
    struct slot *slots = checked(calloc(options.streams, sizeof *slots));
    for (long i = 0; i < options.streams; i++)
        slots[i].fd = -1;
    epoll = epoll_create1(0);
    run(slots);
    tell_result();
    return 0;
}
