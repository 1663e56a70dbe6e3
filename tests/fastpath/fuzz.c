/* Seed packets, compiled zones and rows in, mutated packets through the core's `answer` out, under sanitizers.
 *
 * fuzz ZONES NUMBER ROWS PACKETS ROUNDS SEED: files of what Python wrote, packets with two octets of length before
 * each. Every packet and every reply lies in memory of exactly its size, so that a read or write beyond is an error.
 * Between packets the table is changed by mutated rows and swept, and mutated zones are read. Prints how many packets
 * were answered; the same seed gives the same packets.
 */

#define _GNU_SOURCE
#include "input.h"

enum { LONGEST = 700, ROUNDS_A_CHANGE = 64, ROUNDS_A_ZONE = 256, PACKETS_A_ZONE = 8 };

static uint64_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (uint32_t)(chance_state >> 16) % below;
}

/* Change a few octets, cut, double or join; gives the new size. */
static size_t mutate(uint8_t *octets, size_t size, const Blob *other)
{
    static const uint8_t odd[] = {0, 1, 0x29, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF};
    for (unsigned times = chance(4); times > 0 && size > 0; times--) {
        size_t place = chance((uint32_t)size);
        switch (chance(6)) {
        case 0:
            octets[place] ^= (uint8_t)(1u << chance(8));
            break;
        case 1:
            octets[place] = odd[chance(sizeof odd)];
            break;
        case 2:
            octets[place] = (uint8_t)chance(256);
            break;
        case 3:
            size = place;
            break;
        case 4:
            if (size < LONGEST) {
                memmove(octets + place + 1, octets + place, size - place);
                size++;
            }
            break;
        default:
            if (other->size > place) {
                size = other->size < LONGEST ? other->size : LONGEST;
                memcpy(octets + place, other->octets + place, size - place);
            }
        }
    }
    return size;
}

/* Answer a packet in memory of its own; true when there is a reply. */
static bool try_packet(Core *core, const uint8_t *octets, size_t size)
{
    uint8_t *packet = malloc(size ? size : 1);
    Reply reply = {.octets = malloc(REPLY_MOST)};
    Client client = v4_client(LOOPBACK_NET | 1);
    memcpy(packet, octets, size);
    enter(&core->table, &core->table.readers[0]);
    View view = view_core(core, (uint32_t)(NOW + chance(2000)), 0);
    Verdict verdict = answer(&view, &client, packet, size, &reply);
    leave(&core->table.readers[0]);
    if (verdict == SILENT)
        require(size < HEADER_OCTETS || packet[2] & 0x80, "silence for a query");
    if (verdict == HANDED_OVER)
        put_failure(packet, &reply);
    if (verdict != SILENT) {
        require(reply.size >= HEADER_OCTETS && reply.size <= UDP_PAYLOAD, "a reply of a wrong size");
        require(memcmp(reply.octets, packet, 2) == 0 && reply.octets[2] & 0x80, "no reply to this query");
    }
    free(packet);
    free(reply.octets);
    return verdict == ANSWERED;
}

static void change_table(Core *core, Blob rows)
{
    uint8_t octets[ROW_OCTETS];
    Row row;
    memcpy(octets, rows.octets + chance((uint32_t)(rows.size / ROW_OCTETS)) * ROW_OCTETS, ROW_OCTETS);
    for (unsigned times = chance(3); times > 0; times--)
        octets[chance(ROW_OCTETS)] = (uint8_t)chance(256);
    if (chance(50) == 0)
        table_sweep(&core->table, (uint32_t)(NOW + chance(4000)));
    if (!read_row(octets, &row))
        return;
    if (needs_room(&core->table, &row))
        require(make_room(&core->table, &row), "memory");
    table_apply(&core->table, &row);
}

/* Read zones that may be unsound, and answer from those that are not. */
static void try_zones(Core *core, Blob zones, unsigned number, const Blob *packets, unsigned count)
{
    uint8_t *octets = malloc(zones.size);
    memcpy(octets, zones.octets, zones.size);
    for (unsigned times = 1 + chance(3); times > 0; times--)
        octets[chance((uint32_t)zones.size)] = (uint8_t)chance(256);
    Zones *other = zones_read(octets, chance(4) ? zones.size : chance((uint32_t)zones.size), number);
    Zones *own = other ? atomic_exchange(&core->zones, other) : NULL;
    for (unsigned times = 0; other && times < PACKETS_A_ZONE; times++) {
        const Blob *packet = &packets[chance(count)];
        try_packet(core, packet->octets, packet->size);
    }
    if (other)
        zones_free(atomic_exchange(&core->zones, own));
    free(octets);
}

int main(int count, char **arguments)
{
    static Core core;
    static Blob packets[PACKETS_MOST];
    require(count == 7, "fuzz ZONES NUMBER ROWS PACKETS ROUNDS SEED");
    Blob zones = read_file(arguments[1]), rows = read_file(arguments[3]), file = read_file(arguments[4]);
    unsigned number = (unsigned)atoi(arguments[2]), packet_count = split_packets(file, packets);
    unsigned long rounds = strtoul(arguments[5], NULL, 10), answered = 0;
    chance_state = strtoull(arguments[6], NULL, 10) * 2 + 1;
    fill_core(&core, zones, number, rows);
    core.fresh_until = 1;
    for (unsigned long round = 0; round < rounds; round++) {
        uint8_t octets[2 * LONGEST];
        const Blob *seed = &packets[chance(packet_count)], *other = &packets[chance(packet_count)];
        size_t size = seed->size < LONGEST ? seed->size : LONGEST;
        memcpy(octets, seed->octets, size);
        answered += try_packet(&core, octets, mutate(octets, size, other));
        if (round % ROUNDS_A_CHANGE == 0)
            change_table(&core, rows);
        if (round % ROUNDS_A_ZONE == 0)
            try_zones(&core, zones, number, packets, packet_count);
        if (round % (ROUNDS_A_ZONE * ROUNDS_A_CHANGE) == 0)
            reload(&core, rows);
    }
    core_end(&core);
    free(zones.octets);
    free(rows.octets);
    free(file.octets);
    printf("%lu\n", answered);
    return 0;
}
