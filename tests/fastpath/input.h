/* Files that Python wrote in, packets and a core filled with zones and rows out: what these programs share. */

#include <stdio.h>

#include "../../repzone/fastpath/change.h"
#include "../../repzone/fastpath/core.h"

enum { PACKETS_MOST = 4096, NOW = 1795545600 };

typedef struct {
    uint8_t *octets;
    size_t size;
} Blob;

static inline void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static inline Blob read_file(const char *name)
{
    FILE *file = fopen(name, "rb");
    require(file, name);
    fseek(file, 0, SEEK_END);
    Blob blob = {NULL, (size_t)ftell(file)};
    rewind(file);
    blob.octets = malloc(blob.size + 1);
    require(fread(blob.octets, 1, blob.size, file) == blob.size, name);
    fclose(file);
    return blob;
}

static inline unsigned split_packets(Blob file, Blob packets[PACKETS_MOST])
{
    unsigned count = 0;
    for (size_t at = 0; at < file.size && count < PACKETS_MOST; count++) {
        packets[count] = (Blob){file.octets + at + 2, get16(file.octets + at)};
        at += 2 + packets[count].size;
    }
    return count;
}

static inline void reload(Core *core, Blob rows)
{
    State *state = build_state(rows.octets, rows.size / ROW_OCTETS, core->table.seed);
    require(state, "rows");
    state_free(publish_state(&core->table, state));
}

static inline void fill_core(Core *core, Blob zones, unsigned number, Blob rows)
{
    require(table_init(&core->table, 1), "memory");
    reload(core, rows);
    publish_zones(core, zones_read(zones.octets, zones.size, number));
    require(core->zones, "zones");
}
