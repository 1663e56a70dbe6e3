/* One writer and some readers on one table, a law that each reader checks out: races, and entries seen in part.
 *
 * race ROUNDS: the law is that a listing which stands is always found, and that its three numbers are of one change:
 * it ends 1000 s after it began, and its offence number is how often it began. Around it the writer puts in, takes
 * out, grows, sweeps and reloads, and publishes zones; prints how many look-ups there were.
 */

#define _GNU_SOURCE
#include <stdio.h>

#include "../../repzone/fastpath/change.h"
#include "../../repzone/fastpath/core.h"

enum { THREADS = 3, STANDING = 32, PASSING = 3000, BEGAN = 1000000, LASTS = 1000, NETWORK = 0x10000000 };

static Core core;
static _Atomic bool over;
static _Atomic uint64_t lookups;

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static Row make_row(uint32_t address, unsigned length, uint32_t offence, bool active)
{
    Client whole = v4_client(NETWORK + address);
    Row row = {truncate_client(&whole, length), active, {BEGAN + offence, BEGAN + offence + LASTS, 0}};
    row.entry.tag = listing_tag(1, offence);
    return row;
}

static void apply(Row row)
{
    if (needs_room(&core.table, &row))
        require(make_room(&core.table, &row), "memory");
    table_apply(&core.table, &row);
}

static void check_standing(const State *state, uint32_t address)
{
    const Index *index = family_find(&state->families[LISTED][0], 32);
    Client client = v4_client(NETWORK + address);
    Entry found[CATEGORIES];
    require(index && find_listings(index, &client, BEGAN, found) == 1, "a listing that stands was not found");
    require(found[0].begins == BEGAN + tag_offence(found[0].tag), "it began at another change");
    require(found[0].ends == found[0].begins + LASTS, "it ends by another change");
}

static void *read_all(void *argument)
{
    Reader *reader = argument;
    uint64_t number = 0;
    for (; !atomic_load(&over); number++) {
        enter(&core.table, reader);
        const State *state = atomic_load(&core.table.state);
        const Zones *zones = atomic_load(&core.zones);
        require(zones && zones->count == 0, "no zones");
        for (unsigned address = 0; address < STANDING; address++)
            check_standing(state, address);
        leave(reader);
    }
    atomic_fetch_add(&lookups, number * STANDING);
    return NULL;
}

static void reload(uint32_t offence)
{
    static uint8_t rows[STANDING * ROW_OCTETS];
    uint32_t key[4] = {0};
    const Index shape = {.family = V4, .length = 32};
    for (unsigned address = 0; address < STANDING; address++) {
        key[0] = NETWORK + address;
        write_row(rows + address * ROW_OCTETS, &shape, key, make_row(address, 32, offence, true).entry);
    }
    State *state = build_state(rows, STANDING, core.table.seed);
    require(state, "memory");
    state_free(publish_state(&core.table, state));
}

static void write_all(unsigned rounds)
{
    for (unsigned round = 1; round <= rounds; round++) {
        uint32_t offence = 2 * round;
        for (unsigned address = 0; address < STANDING; address++)
            apply(make_row(address, 32, offence, true));
        for (unsigned address = STANDING; address < PASSING; address++)
            apply(make_row(address, 24 + address % 9, offence, true));
        for (unsigned address = STANDING; address < PASSING; address += 2)
            apply(make_row(address, 24 + address % 9, offence, false));
        for (unsigned address = 0; address < STANDING; address++)
            apply(make_row(address, 32, offence + 1, true));
        if (round % 4 == 0)
            reload(offence + 1);
        if (round % 2 == 0)
            table_sweep(&core.table, BEGAN + offence + LASTS);
        publish_zones(&core, zones_read((const uint8_t *)"", 0, 0));
    }
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS];
    Reader *readers[THREADS];
    require(count == 2 && table_init(&core.table, 7), "race ROUNDS");
    publish_zones(&core, zones_read((const uint8_t *)"", 0, 0));
    reload(1);
    for (unsigned number = 0; number < THREADS; number++) {
        readers[number] = reader_take(&core.table);
        pthread_create(&threads[number], NULL, read_all, readers[number]);
    }
    write_all((unsigned)atoi(arguments[1]));
    atomic_store(&over, true);
    for (unsigned number = 0; number < THREADS; number++)
        pthread_join(threads[number], NULL);
    core_end(&core);
    printf("%lu\n", (unsigned long)lookups);
    return 0;
}
