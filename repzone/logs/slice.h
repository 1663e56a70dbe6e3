/* The octets of a log line in, its pieces out. A slice never reaches beyond the line that it was cut from.
 *
 * A line that is taken apart here is printable ASCII, so that a class of octets means what the patterns of the parsers
 * mean by it, and `\s` is the blank alone.
 */

#ifndef REPZONE_SLICE_H
#define REPZONE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const char *start, *end;
} Slice;

enum {
    DIGIT = 1 << 0,
    UPPER = 1 << 1,
    ADDRESS = 1 << 2,  /* [0-9A-Fa-f:.] */
    QUEUE = 1 << 3,    /* [0-9A-Za-z] */
    WORD = 1 << 4,     /* [\w-] */
    DOTTED = 1 << 5,   /* [\w.-] */
    FRACTION = 1 << 6, /* [.\d] */
    NAME = 1 << 7,     /* [^\s\[\]] */
    HOST = 1 << 8,     /* [^\s\[\]()<>] */
    PROGRAM = 1 << 9,  /* [^\s\[\]:()<>] */
    SERVICE = 1 << 10, /* [^/\[\s:()<>] */
    ENVELOPE = 1 << 11, /* [^<>\s] */
    MID = 1 << 12,     /* [^<>\s()] */
    ACTIONS = 1 << 13, /* [\w,] */
};

static uint16_t class_of[256];

static void classes_init(void)
{
    for (int c = 0x20; c < 0x7f; c++) {
        bool digit = c >= '0' && c <= '9', upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
        bool word = digit || upper || lower || c == '_';
        bool hex = digit || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
        class_of[c] = (uint16_t)((digit ? DIGIT : 0) | (upper ? UPPER : 0) | (hex || c == ':' || c == '.' ? ADDRESS : 0)
                                 | (digit || upper || lower ? QUEUE : 0) | (word || c == '-' ? WORD : 0)
                                 | (word || c == '.' || c == '-' ? DOTTED : 0) | (digit || c == '.' ? FRACTION : 0)
                                 | (strchr(" []", c) ? 0 : NAME) | (strchr(" []()<>", c) ? 0 : HOST)
                                 | (strchr(" []:()<>", c) ? 0 : PROGRAM) | (strchr("/[ :()<>", c) ? 0 : SERVICE)
                                 | (strchr("<> ", c) ? 0 : ENVELOPE) | (strchr("<> ()", c) ? 0 : MID)
                                 | (word || c == ',' ? ACTIONS : 0));
    }
}

static inline size_t length_of(Slice slice)
{
    return (size_t)(slice.end - slice.start);
}

static inline Slice slice_of(const char *start, size_t length)
{
    return (Slice){start, start + length};
}

static inline bool is_empty(Slice slice)
{
    return slice.start == slice.end;
}

static inline bool are_equal(Slice one, Slice other)
{
    return length_of(one) == length_of(other) && memcmp(one.start, other.start, length_of(one)) == 0;
}

static inline bool begins_with(Slice text, const char *word, size_t length)
{
    return length_of(text) >= length && memcmp(text.start, word, length) == 0;
}

static inline bool skip_word(Slice *text, const char *word, size_t length)
{
    if (!begins_with(*text, word, length))
        return false;
    text->start += length;
    return true;
}

#define BEGINS(text, word) begins_with((text), (word), sizeof(word) - 1)
#define IS(text, word) (length_of(text) == sizeof(word) - 1 && BEGINS(text, word))
#define SKIP(text, word) skip_word((text), (word), sizeof(word) - 1) /* tells whether the word stood there */

/* Take the longest run of octets of a class. */
static inline Slice take(Slice *text, unsigned class)
{
    const char *start = text->start, *at = start;
    while (at < text->end && (class_of[(unsigned char)*at] & class))
        at++;
    text->start = at;
    return (Slice){start, at};
}

/* Take a run of octets of a class that is so long, whatever stands behind it; tells whether there is one. */
static inline bool take_some(Slice *text, unsigned class, size_t least, size_t most, Slice *taken)
{
    *taken = take(text, class);
    return length_of(*taken) >= least && length_of(*taken) <= most;
}

static inline const char *find(Slice text, const char *word, size_t length)
{
    for (const char *at = text.start; (size_t)(text.end - at) >= length; at++) {
        at = memchr(at, word[0], (size_t)(text.end - at) - length + 1);
        if (at == NULL)
            return NULL;
        if (memcmp(at, word, length) == 0)
            return at;
    }
    return NULL;
}

#define FIND(text, word) find((text), (word), sizeof(word) - 1) /* where a word stands first; NULL for nowhere */

static inline bool holds_twice(Slice text, const char *word, size_t length)
{
    const char *first = find(text, word, length);
    return first != NULL && find((Slice){first + length, text.end}, word, length) != NULL;
}

/* Take `NAME[ADDRESS]` as Postfix writes a client. */
static inline bool take_client(Slice *text, Slice *client)
{
    Slice name;
    return take_some(text, NAME, 1, 255, &name) && SKIP(text, "[") && take_some(text, ADDRESS, 2, 45, client)
           && SKIP(text, "]");
}

static inline bool take_number(Slice *text, int64_t *number)
{
    Slice digits;
    if (!take_some(text, DIGIT, 1, 9, &digits))
        return false;
    *number = 0;
    for (const char *at = digits.start; at < digits.end; at++)
        *number = *number * 10 + (*at - '0');
    return true;
}

/* Whether all octets are printable ASCII. */
static inline bool is_plain(Slice text)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t odd = 0, word;
    const char *at = text.start;
    for (; text.end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        odd |= (word | (word + ones) | ((word - ones * 0x20) & ~word)) & high;
    }
    for (; at < text.end; at++)
        odd |= (unsigned char)(*at - 0x20) >= 0x5f;
    return odd == 0;
}

#endif
