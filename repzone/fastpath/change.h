/* Rows in, a changed table out: the one writer's part of table.h.
 *
 * A row is one listing or exemption as Python writes it (rows.py). The caller holds `table->writing`.
 */

#ifndef REPZONE_CHANGE_H
#define REPZONE_CHANGE_H

#include "table.h"

static inline Index *family_find(const Family *family, unsigned length)
{
    for (unsigned number = 0; number < family->count; number++)
        if (family->indexes[number]->length == length)
            return family->indexes[number];
    return NULL;
}

/* Put an index in its place, also in that of the one with its length. */
static inline void family_put(Family *family, Index *index)
{
    unsigned place = 0;
    while (place < family->count && family->indexes[place]->length > index->length)
        place++;
    if (place == family->count || family->indexes[place]->length != index->length) {
        memmove(family->indexes + place + 1, family->indexes + place, (family->count - place) * sizeof(Index *));
        family->count++;
    }
    family->indexes[place] = index;
}

static inline void family_drop(Family *family, unsigned place)
{
    family->count--;
    memmove(family->indexes + place, family->indexes + place + 1, (family->count - place) * sizeof(Index *));
}

static inline State *state_copy(const State *state)
{
    State *copy = malloc(sizeof *copy);
    if (!copy)
        return NULL;
    memcpy(copy->families, state->families, sizeof copy->families);
    for (unsigned category = 0; category < CATEGORIES; category++)
        atomic_init(&copy->counts[category], state->counts[category]);
    return copy;
}

/* Let readers see another state, and give the old one when nobody is left in it. */
static inline State *publish_state(Table *table, State *state)
{
    State *old = atomic_exchange(&table->state, state);
    wait_for_readers(table);
    return old;
}

static inline void count_listing(State *state, unsigned category, int step)
{
    atomic_fetch_add_explicit(&state->counts[category], (uint32_t)step, memory_order_relaxed);
}

/* A row is what Python hands over: one listing or exemption, see `read_row`. */
typedef struct {
    Client client;
    bool active;
    Entry entry;
} Row;

enum { ROW_OCTETS = 32, ROW_EXEMPTION = 0xFF };

/* version, prefix length, category (ROW_EXEMPTION: none), active, offence, begins, ends, 16 octets of address. */
static inline bool read_row(const uint8_t *octets, Row *row)
{
    unsigned version = octets[0], length = octets[1], category = octets[2];
    if ((version != V4 && version != V6) || length > address_width(version))
        return false;
    if (category >= CATEGORIES && category != ROW_EXEMPTION)
        return false;
    row->client = read_client(version, length, octets + 16);
    row->active = octets[3];
    row->entry.begins = get32(octets + 8);
    row->entry.ends = get32(octets + 12);
    row->entry.tag = category == ROW_EXEMPTION ? EXEMPT : listing_tag(category, get32(octets + 4));
    return true;
}

static inline void write_row(uint8_t *octets, const Index *index, const uint32_t key[4], Entry entry)
{
    octets[0] = index->family;
    octets[1] = index->length;
    octets[2] = entry.tag == EXEMPT ? ROW_EXEMPTION : (uint8_t)tag_category(entry.tag);
    octets[3] = 1;
    put32(octets + 4, entry.tag == EXEMPT ? 0 : tag_offence(entry.tag));
    put32(octets + 8, entry.begins);
    put32(octets + 12, entry.ends);
    for (unsigned word = 0; word < 4; word++)
        put32(octets + 16 + 4 * word, key[word]);
}

static inline unsigned row_kind(const Row *row)
{
    return row->entry.tag == EXEMPT ? EXEMPTED : LISTED;
}

/* Find the entry whose place the row's takes: of its category, or the exemption that was added with it. */
static inline bool find_held(const Index *index, const Row *row, uint32_t *place, Entry *held)
{
    uint32_t slot = home_of(index, row->client.words), steps = 0;
    while (index_next(index, row->client.words, &slot, &steps, held)) {
        bool same = row->entry.tag == EXEMPT ? held->begins == row->entry.begins
                                             : tag_category(held->tag) == tag_category(row->entry.tag);
        if (same) {
            *place = slot == 0 ? index->capacity - 1 : slot - 1;
            return true;
        }
    }
    return false;
}

/* Make a change inside its index, which has room: the rules stand at `repzone.model.Change`. */
static inline void index_change(State *state, Index *index, const Row *row)
{
    uint32_t place;
    Entry held;
    bool found = find_held(index, row, &place, &held);
    if (row_kind(row) == EXEMPTED) {
        index_put(index, row->client.words, found ? &place : NULL, row->entry);
    } else if (row->active) {
        if (!found || held.begins <= row->entry.begins)
            index_put(index, row->client.words, found ? &place : NULL, row->entry);
        if (!found)
            count_listing(state, tag_category(row->entry.tag), 1);
    } else if (found && held.begins == row->entry.begins) {
        index_remove(index, place);
        count_listing(state, tag_category(row->entry.tag), -1);
    }
}

static inline Family *row_family(State *state, const Row *row)
{
    return &state->families[row_kind(row)][family_number(row->client.version)];
}

/* Whether there must be new memory before a row goes in. */
static inline bool needs_room(Table *table, const Row *row)
{
    Index *index = family_find(row_family(atomic_load(&table->state), row), row->client.length);
    return row->active && (!index || index_is_full(index));
}

/* Publish a state in which a row has room; false without memory. */
static inline bool make_room(Table *table, const Row *row)
{
    State *state = state_copy(atomic_load(&table->state));
    if (!state)
        return false;
    Index *index = family_find(row_family(state, row), row->client.length);
    Index *larger = index ? index_resize(index, (size_t)index->used + index->used * 2 / 5 + 8)
                          : index_new(row->client.version, row->client.length, 8, table->seed);
    if (!larger) {
        free(state);
        return false;
    }
    family_put(row_family(state, row), larger);
    free(publish_state(table, state));
    index_free(index);
    return true;
}

/* Make one change; `make_room` must have been called where `needs_room` said so. */
static inline void table_apply(Table *table, const Row *row)
{
    State *state = atomic_load(&table->state);
    Index *index = family_find(row_family(state, row), row->client.length);
    if (index)
        index_change(state, index, row);
}

/* Count the rows of each index, make them all, put the rows in; NULL without memory or when a row is unsound. */
static inline State *build_state(const uint8_t *rows, size_t count, uint64_t seed)
{
    static const size_t none[KINDS][2][LENGTHS];
    size_t numbers[KINDS][2][LENGTHS];
    Row row;
    State *state = calloc(1, sizeof *state);
    bool sound = state != NULL;
    memcpy(numbers, none, sizeof numbers);
    for (size_t number = 0; sound && number < count; number++) {
        sound = read_row(rows + number * ROW_OCTETS, &row);
        if (sound && row.active)
            numbers[row_kind(&row)][family_number(row.client.version)][row.client.length]++;
    }
    for (unsigned kind = 0; sound && kind < KINDS; kind++)
        for (unsigned place = 0; sound && place < 2 * LENGTHS; place++) {
            unsigned family = place / LENGTHS, length = place % LENGTHS;
            if (numbers[kind][family][length] == 0)
                continue;
            Index *index = index_new(family ? V6 : V4, length, numbers[kind][family][length], seed);
            sound = index != NULL;
            if (sound)
                family_put(&state->families[kind][family], index);
        }
    for (size_t number = 0; sound && number < count; number++)
        if (read_row(rows + number * ROW_OCTETS, &row) && row.active)
            index_change(state, family_find(row_family(state, &row), row.client.length), &row);
    if (sound)
        return state;
    state_free(state);
    return NULL;
}

/* Take out of an index what has ended; gives how many that were. */
static inline size_t index_sweep(State *state, Index *index, uint32_t now)
{
    size_t gone = 0;
    for (uint32_t slot = 0; slot < index->capacity;) {
        Entry entry = entry_at(index, slot);
        if (entry.tag == 0 || now < entry.ends || (entry.tag == EXEMPT && entry.ends == FOREVER)) {
            slot++;
            continue;
        }
        if (entry.tag != EXEMPT)
            count_listing(state, tag_category(entry.tag), -1);
        index_remove(index, slot); /* and look at what took its place */
        gone++;
    }
    return gone;
}

/* Give the memory of indexes back that have become empty, or much too large; what cannot be had now waits. */
static inline void table_shrink(Table *table)
{
    State *old = atomic_load(&table->state), *state = state_copy(old);
    Index *gone[KINDS * 2 * LENGTHS];
    unsigned count = 0;
    for (unsigned kind = 0; state && kind < KINDS; kind++)
        for (unsigned place = 0; place < 2; place++) {
            Family *family = &state->families[kind][place];
            for (unsigned number = family->count; number-- > 0;) {
                Index *index = family->indexes[number];
                if (index->capacity < 64 ? index->used : index->used >= index->capacity / 3)
                    continue;
                Index *smaller = index->used ? index_resize(index, index->used) : NULL;
                if (index->used && !smaller)
                    continue;
                if (smaller)
                    family_put(family, smaller);
                else
                    family_drop(family, number);
                gone[count++] = index;
            }
        }
    if (count)
        free(publish_state(table, state));
    else
        free(state);
    for (unsigned number = 0; number < count; number++)
        index_free(gone[number]);
}

static inline size_t table_sweep(Table *table, uint32_t now)
{
    State *state = atomic_load(&table->state);
    size_t gone = 0;
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned place = 0; place < 2; place++)
            for (unsigned number = 0; number < state->families[kind][place].count; number++)
                gone += index_sweep(state, state->families[kind][place].indexes[number], now);
    table_shrink(table);
    return gone;
}

#endif
