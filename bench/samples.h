/* Every measured time is kept, so percentiles are exact. */
#ifndef SAMPLES_H
#define SAMPLES_H
#include "machine.h"

struct samples {
    const char *name;
    int64_t *ns;
    size_t count, room;
};

static inline void samples_add(struct samples *samples, int64_t ns)
{
    if (samples->count == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 4096;
        samples->ns = checked(realloc(samples->ns, samples->room * sizeof *samples->ns));
    }
    samples->ns[samples->count++] = ns;
}

static inline int samples_compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static inline long long samples_percentile(const struct samples *sorted, int percent)
{
    return sorted->count ? sorted->ns[(sorted->count - 1) * percent / 100] : 0;
}

/* "NAME":{"count":..,"p50":..,"p90":..,"p99":..,"max":..}, in nanoseconds */
static inline void samples_print(struct samples *samples)
{
    qsort(samples->ns, samples->count, sizeof *samples->ns, samples_compare);
    printf("\"%s\":{\"count\":%zu,\"p50\":%lld,\"p90\":%lld,\"p99\":%lld,\"max\":%lld},", samples->name, samples->count,
           samples_percentile(samples, 50), samples_percentile(samples, 90), samples_percentile(samples, 99),
           samples_percentile(samples, 100));
}

#endif
