/* The table, the zones and how fresh they are: everything that an answer is made from, published for all readers. */

#ifndef REPZONE_CORE_H
#define REPZONE_CORE_H

#include "answer.h"

typedef struct {
    Table table;
    Zones *_Atomic zones;
    _Atomic uint32_t serial;
    _Atomic int64_t stale_from, fresh_until; /* nanoseconds of the monotonic clock */
} Core;

static const int64_t SECOND = 1000000000;

static inline int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

/* See all that is known at that instant; the reader must have entered the table, and leaves it afterwards. */
static inline View view_core(Core *core, uint32_t now, int64_t monotonic)
{
    View view = {
        .table = &core->table,
        .state = atomic_load(&core->table.state),
        .zones = atomic_load(&core->zones),
        .serial = atomic_load_explicit(&core->serial, memory_order_relaxed),
        .now = now,
        .stale = monotonic >= atomic_load_explicit(&core->stale_from, memory_order_relaxed),
        .fresh = monotonic < atomic_load_explicit(&core->fresh_until, memory_order_relaxed),
    };
    return view;
}

/* Let readers see other zones, and free those before. */
static inline void publish_zones(Core *core, Zones *zones)
{
    Zones *old = atomic_exchange(&core->zones, zones);
    wait_for_readers(&core->table);
    zones_free(old);
}

static inline void core_end(Core *core)
{
    zones_free(atomic_load(&core->zones));
    table_end(&core->table);
}

#endif
