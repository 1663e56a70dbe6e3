/* Changes in, what holds for one address now out: every listing and exemption, changed while threads read.
 *
 * A `State` has one `Index` a prefix length. A change of one entry happens inside its Index (see index.h). What needs
 * new memory - a length that is new, a table that grows, a reload - is built aside and published as a new State by one
 * store; the old one is freed when every reader has left it. A reader enters with the epoch that it saw and leaves
 * with 0; the writer raises the epoch and waits for those who entered before: nanoseconds to a batch, never a lock.
 */

#ifndef REPZONE_TABLE_H
#define REPZONE_TABLE_H

#include <pthread.h>
#include <time.h>

#include "index.h"

enum {
    CATEGORIES = 5,   /* of repzone.reasons, in its order */
    LENGTHS = 129,    /* prefix lengths of a family, at most */
    READERS = 512,    /* threads; the first place is Python's, whose lock lets one in at a time */
    RESERVED_MOST = 32,
    OFFENCE_BITS = 28,
    OFFENCE_MOST = (1 << OFFENCE_BITS) - 1,
};

/* A tag is `category + 1` above the offence number; an exemption's is EXEMPT alone. */
static const uint32_t EXEMPT = 7u << OFFENCE_BITS;

static inline uint32_t listing_tag(unsigned category, uint32_t offence)
{
    return (uint32_t)(category + 1) << OFFENCE_BITS | (offence > OFFENCE_MOST ? OFFENCE_MOST : offence);
}

static inline unsigned tag_category(uint32_t tag)
{
    return (tag >> OFFENCE_BITS) - 1;
}

static inline uint32_t tag_offence(uint32_t tag)
{
    return tag & OFFENCE_MOST;
}

typedef struct {
    unsigned count;
    Index *indexes[LENGTHS]; /* the longest prefixes first */
} Family;

enum { LISTED, EXEMPTED, KINDS };

typedef struct {
    Family families[KINDS][2]; /* IPv4, IPv6 */
    _Atomic uint32_t counts[CATEGORIES];
} State;

typedef struct {
    _Alignas(64) _Atomic uint64_t epoch; /* 0: it holds nothing */
    _Atomic bool taken;
} Reader;

typedef struct {
    State *_Atomic state;
    _Atomic uint64_t epoch;
    Reader readers[READERS];
    pthread_mutex_t writing;
    uint64_t seed;
    Client reserved[RESERVED_MOST]; /* never listed, whatever else holds; set once */
    unsigned reserved_count;
} Table;

static inline unsigned family_number(unsigned version)
{
    return version == V4 ? 0 : 1;
}

/* Readers. ------------------------------------------------------------------------------------------------------- */

static inline Reader *reader_take(Table *table)
{
    for (unsigned place = 1; place < READERS; place++)
        if (!atomic_exchange(&table->readers[place].taken, true))
            return &table->readers[place];
    return NULL;
}

static inline void reader_give_back(Reader *reader)
{
    atomic_store(&reader->taken, false);
}

/* From here to `leave` what the table's pointers point to stays. */
static inline void enter(Table *table, Reader *reader)
{
    atomic_store(&reader->epoch, atomic_load(&table->epoch));
}

static inline void leave(Reader *reader)
{
    atomic_store_explicit(&reader->epoch, 0, memory_order_release);
}

/* Return when nobody can still hold what was unpublished before the call. */
static inline void wait_for_readers(Table *table)
{
    const struct timespec pause = {0, 50000};
    uint64_t epoch = atomic_fetch_add(&table->epoch, 1) + 1;
    for (unsigned place = 0; place < READERS; place++) {
        uint64_t seen;
        while ((seen = atomic_load(&table->readers[place].epoch)) != 0 && seen < epoch)
            nanosleep(&pause, NULL);
    }
}

static inline bool is_reserved(const Table *table, const Client *client)
{
    for (unsigned number = 0; number < table->reserved_count; number++)
        if (covers(&table->reserved[number], client))
            return true;
    return false;
}

/* Give the listings of one prefix that have not ended, at most one a category. */
static inline unsigned find_listings(const Index *index, const Client *client, uint32_t now, Entry found[CATEGORIES])
{
    Client prefix = truncate_client(client, index->length);
    uint32_t home = home_of(index, prefix.words);
    for (;;) {
        uint32_t version = begin_read(index), slot = home, steps = 0;
        unsigned count = 0;
        Entry entry;
        while (count < CATEGORIES && index_next(index, prefix.words, &slot, &steps, &entry))
            if (now < entry.ends)
                found[count++] = entry;
        if (read_is_whole(index, version))
            return count;
    }
}

/* Give the exemption of one prefix that is in force; of several the one that lasts longest. */
static inline bool find_exemption(const Index *index, const Client *client, uint32_t now, Entry *found)
{
    Client prefix = truncate_client(client, index->length);
    uint32_t home = home_of(index, prefix.words);
    for (;;) {
        uint32_t version = begin_read(index), slot = home, steps = 0;
        bool holds = false;
        Entry entry;
        while (index_next(index, prefix.words, &slot, &steps, &entry))
            if (entry.begins <= now && (now < entry.ends || entry.ends == FOREVER) &&
                (!holds || entry.ends > found->ends)) {
                *found = entry;
                holds = true;
            }
        if (read_is_whole(index, version))
            return holds;
    }
}

/* Give the exemption of the longest prefix around an address, and that prefix's length. */
static inline bool find_exempt(const State *state, const Client *client, uint32_t now, Entry *found, unsigned *length)
{
    const Family *family = &state->families[EXEMPTED][family_number(client->version)];
    for (unsigned number = 0; number < family->count; number++)
        if (family->indexes[number]->length <= client->length &&
            find_exemption(family->indexes[number], client, now, found)) {
            *length = family->indexes[number]->length;
            return true;
        }
    return false;
}

/* Count the listings of each category that an exemption in force covers wholly; the caller holds `writing`. */
static inline void count_exempt(const State *state, uint32_t now, uint32_t counts[CATEGORIES])
{
    Entry exempt;
    unsigned length;
    for (unsigned place = 0; place < 2; place++) {
        const Family *family = &state->families[LISTED][place];
        for (unsigned number = 0; state->families[EXEMPTED][place].count && number < family->count; number++) {
            const Index *index = family->indexes[number];
            Client client = {{0}, (uint8_t)index->family, (uint8_t)index->length};
            for (uint32_t slot = 0; slot < index->capacity; slot++) {
                Entry entry = entry_at(index, slot);
                if (entry.tag == 0)
                    continue;
                key_at(index, slot, client.words);
                if (find_exempt(state, &client, now, &exempt, &length))
                    counts[tag_category(entry.tag)]++;
            }
        }
    }
}

static inline void state_free(State *state)
{
    for (unsigned kind = 0; state && kind < KINDS; kind++)
        for (unsigned family = 0; family < 2; family++)
            for (unsigned number = 0; number < state->families[kind][family].count; number++)
                index_free(state->families[kind][family].indexes[number]);
    free(state);
}

/* Make an empty table; false without memory. */
static inline bool table_init(Table *table, uint64_t seed)
{
    memset(table, 0, sizeof *table);
    table->seed = seed;
    atomic_store(&table->epoch, 1);
    atomic_store(&table->state, calloc(1, sizeof(State)));
    return pthread_mutex_init(&table->writing, NULL) == 0 && atomic_load(&table->state);
}

static inline void table_end(Table *table)
{
    state_free(atomic_load(&table->state));
    pthread_mutex_destroy(&table->writing);
}

#endif
