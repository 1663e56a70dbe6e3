/* A template and a listing in, the string of a TXT record out; what repzone/zone/texts.py says, octet for octet. */

#ifndef REPZONE_TEXT_H
#define REPZONE_TEXT_H

#include "zone.h"

enum { TEXT_MOST = 255, OTHERS_MOST = 99 };

/* What stands in a template for what differs. */
enum Field { FIELD_CLIENT = 1, FIELD_OFFENCE, FIELD_UNTIL, FIELD_LEFT };

/* A string that grows to TEXT_MOST octets and drops the rest. */
typedef struct {
    uint8_t *octets;
    unsigned size;
} Text;

static inline void add_octet(Text *text, uint8_t octet)
{
    if (text->size < TEXT_MOST)
        text->octets[text->size++] = octet;
}

static inline void add_words(Text *text, const char *words)
{
    while (*words)
        add_octet(text, (uint8_t)*words++);
}

static inline void add_number(Text *text, uint32_t number, unsigned width, unsigned base)
{
    char digits[10];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    for (unsigned fill = count; fill < width; fill++)
        add_octet(text, '0');
    while (count)
        add_octet(text, (uint8_t)digits[--count]);
}

/* The first longest run of at least two zero groups, which `::` stands for (RFC 5952 §4.2). */
static inline unsigned longest_zeros(const uint16_t groups[8], unsigned *start)
{
    unsigned longest = 1;
    for (unsigned begin = 0; begin < 8; begin++) {
        unsigned end = begin;
        while (end < 8 && groups[end] == 0)
            end++;
        if (end - begin > longest) {
            longest = end - begin;
            *start = begin;
        }
    }
    return longest > 1 ? longest : 0;
}

static inline void add_client(Text *text, const Client *client)
{
    if (client->version == V4) {
        for (unsigned octet = 0; octet < 4; octet++) {
            if (octet)
                add_octet(text, '.');
            add_number(text, client->words[0] >> (24 - 8 * octet) & 0xFF, 1, 10);
        }
        return;
    }
    uint16_t groups[8];
    for (unsigned group = 0; group < 8; group++)
        groups[group] = (uint16_t)(client->words[group / 2] >> (group % 2 ? 0 : 16));
    unsigned start = 8, zeros = longest_zeros(groups, &start);
    for (unsigned group = 0; group < 8; group++) {
        if (zeros && group == start) {
            add_words(text, "::");
            group += zeros - 1;
            continue;
        }
        if (group && !(zeros && group == start + zeros))
            add_octet(text, ':');
        add_number(text, groups[group], 1, 16);
    }
}

/* 1st, 2nd, 3rd, 4th, 11th, 21st ... */
static inline void add_ordinal(Text *text, uint32_t number)
{
    static const char *const ends[10] = {"th", "st", "nd", "rd", "th", "th", "th", "th", "th", "th"};
    add_number(text, number, 1, 10);
    add_words(text, number / 10 % 10 == 1 ? "th" : ends[number % 10]);
}

/* An instant in UTC, to the minute when it is a whole one (days to a date as in days_from_civil, backwards). */
static inline void add_instant(Text *text, uint32_t instant)
{
    uint32_t days = instant / 86400 + 719468, seconds = instant % 86400;
    uint32_t era = days / 146097, day_of_era = days % 146097;
    uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t shifted = (5 * day_of_year + 2) / 153; /* months from March */
    uint32_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    add_number(text, year_of_era + era * 400 + (month <= 2), 4, 10);
    add_octet(text, '-');
    add_number(text, month, 2, 10);
    add_octet(text, '-');
    add_number(text, day_of_year - (153 * shifted + 2) / 5 + 1, 2, 10);
    add_octet(text, ' ');
    add_number(text, seconds / 3600, 2, 10);
    add_octet(text, ':');
    add_number(text, seconds / 60 % 60, 2, 10);
    if (instant % 60) {
        add_octet(text, ':');
        add_number(text, seconds % 60, 2, 10);
    }
    add_words(text, " UTC");
}

static inline void add_two_units(Text *text, uint32_t large, const char *unit, uint32_t small, const char *lesser)
{
    add_number(text, large, 1, 10);
    add_words(text, unit);
    add_number(text, small, 1, 10);
    add_words(text, lesser);
}

/* A time in its two largest units, rounded down. */
static inline void add_left(Text *text, uint32_t seconds)
{
    uint32_t days = seconds / 86400, hours = seconds / 3600 % 24, minutes = seconds / 60 % 60;
    if (days) {
        add_two_units(text, days, " d ", hours, " h");
    } else if (hours) {
        add_two_units(text, hours, " h ", minutes, " min");
    } else {
        add_number(text, minutes ? minutes : seconds, 1, 10);
        add_words(text, minutes ? " min" : " s");
    }
}

/* Write a template; without a listing (test entries, exemptions) what would be said of one is left out. */
static inline void add_template(Text *text, Octets template, const Client *client, const Entry *listing, uint32_t now)
{
    for (unsigned place = 0; place < template.size; place++) {
        uint8_t octet = template.octets[place];
        if (!listing && octet >= FIELD_OFFENCE && octet <= FIELD_LEFT)
            continue;
        switch (octet) {
        case FIELD_CLIENT:
            add_client(text, client);
            break;
        case FIELD_OFFENCE:
            add_ordinal(text, tag_offence(listing->tag));
            break;
        case FIELD_UNTIL:
            add_instant(text, listing->ends);
            break;
        case FIELD_LEFT:
            add_left(text, listing->ends - now);
            break;
        default:
            add_octet(text, octet);
        }
    }
}

/* How many listings more there are than the one that the text tells of. */
static inline void add_others(Text *text, unsigned others)
{
    if (others == 0)
        return;
    add_words(text, " (and ");
    add_number(text, others > OTHERS_MOST ? OTHERS_MOST : others, 1, 10);
    add_words(text, " more)");
}

#endif
