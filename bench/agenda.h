/* Who is due when: a binary heap of streams by their next frame, so that 5,000 paced streams cost little. */
#ifndef AGENDA_H
#define AGENDA_H
#include "machine.h"

struct appointment {
    int64_t due_ns;
    int place; /* in the heap; -1: none */
};

struct agenda {
    struct appointment **heap;
    int count, room;
};

static inline void agenda_put(struct agenda *agenda, int place, struct appointment *one)
{
    agenda->heap[place] = one;
    one->place = place;
}

static inline void agenda_rise(struct agenda *agenda, struct appointment *one)
{
    int place = one->place;
    while (place > 0 && agenda->heap[(place - 1) / 2]->due_ns > one->due_ns) {
        agenda_put(agenda, place, agenda->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    agenda_put(agenda, place, one);
}

static inline void agenda_sink(struct agenda *agenda, struct appointment *one)
{
    int place = one->place, below;
    while ((below = 2 * place + 1) < agenda->count) {
        if (below + 1 < agenda->count && agenda->heap[below + 1]->due_ns < agenda->heap[below]->due_ns)
            below++;
        if (agenda->heap[below]->due_ns >= one->due_ns)
            break;
        agenda_put(agenda, place, agenda->heap[below]);
        place = below;
    }
    agenda_put(agenda, place, one);
}

static inline void agenda_enter(struct agenda *agenda, struct appointment *one)
{
    if (agenda->count == agenda->room) {
        agenda->room = agenda->room ? 2 * agenda->room : 1024;
        agenda->heap = checked(realloc(agenda->heap, agenda->room * sizeof *agenda->heap));
    }
    one->place = agenda->count++;
    agenda_rise(agenda, one);
}

static inline void agenda_strike(struct agenda *agenda, struct appointment *one)
{
    if (one->place < 0)
        return;
    struct appointment *last = agenda->heap[--agenda->count];
    if (last != one) {
        agenda_put(agenda, one->place, last);
        agenda_rise(agenda, last);
        agenda_sink(agenda, last);
    }
    one->place = -1;
}

static inline struct appointment *agenda_first(struct agenda *agenda)
{
    return agenda->count ? agenda->heap[0] : NULL;
}

#endif
