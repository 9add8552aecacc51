/*
 * The seam: options, the words that a module obeys on the command line and in `set`.
 *
 *     key=VALUE   key="VALUE WITH BLANKS"   key=SUBJECT:VALUE   key=SUBJECT:off
 *
 * A module describes its words in a table beside the code that obeys them, and names the table by
 * OPTION_TABLE. Nothing else lists it: command line, `set`, `settings`, `help` and Tab find it.
 */
#ifndef MACHINE_OPTION_H
#define MACHINE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/table.h>

/* The longest command line and the longest single word, in bytes without the NUL. */
#define OPTION_LINE_MAX (64 * 1024)

enum option_type {
    OPTION_NUMBER,  /* an unsigned, from min to max */
    OPTION_CHOICE,  /* an unsigned: min for the first of `choices`, and so on */
    OPTION_SWITCH,  /* a bool: `choices` has false first; NULL: off and on */
    OPTION_TEXT,    /* a char array of max + 1 bytes, which is as long as min or longer */
    OPTION_SUBJECTS /* a value for each of several subjects, kept by `put` and `get` */
};

/* Flags. */
enum {
    OPTION_LIVE = 1,         /* may change while the machine runs */
    OPTION_SHOWN = 2,        /* has a key of its own in the `settings` event */
    OPTION_ZERO_IS_OFF = 4,  /* a number whose 0 switches something off */
    OPTION_POWER_OF_TWO = 8, /* a number that is one */
    OPTION_PORT = 16,        /* a subject is the number of a port, and may end with a '/' */
    OPTION_MANY = 32,        /* a word of the same subject adds to the earlier ones */
};

/* Room for an entry that `get` writes. */
struct option_text {
    char *text; /* of `size` bytes */
    size_t size;
};

struct option {
    const char *key;
    const char *help; /* what it is for, in a few words */
    const char
        *accepted; /* of a number its unit, or NULL; of a text and of subjects what they may be */
    const char *argument; /* in place of the value, in lists: "SECONDS"; NULL: the choices */
    const char *choices;  /* "wire|reflect" */
    enum option_type type;
    unsigned flags;
    size_t offset; /* of the value in the table's values */
    unsigned min, max;
    unsigned initial; /* the value that no word has changed; a text is empty */

    /* Called after a word has changed the value: once for the whole command line, and after each
     * `set`. NULL: whoever obeys reads the value when he needs it. */
    void (*changed)(void *values);

    /*
     * OPTION_SUBJECTS: keeps `value` for `subject` in the place of an earlier one, or with
     * OPTION_MANY beside it. A value of NULL removes the subject, a subject of NULL all of them.
     * False if one of the two is wrong, or there is no room; then nothing has changed.
     */
    bool (*put)(void *values, const char *subject, const char *value);

    /* OPTION_SUBJECTS: writes entry `number`, as it stands behind `key=`; false if there are no more. */
    bool (*get)(const void *values, unsigned number, struct option_text out);
};

struct option_table {
    unsigned place; /* in lists; machine/table.h */
    unsigned count; /* 64 at most */
    const struct option *options;
    void *values;   /* the owner's; NULL: the table is not in use */
    uint64_t given; /* the mechanism's: options that the command line has set */
};

/* Makes a table known, once the file that defines it is linked. */
#define OPTION_TABLE(table) TABLE_IN("option_tables", table)

/* ---- one option ---- */

/*
 * Takes `value`, the text behind `key=`. NULL, or what would be accepted (valid until the next call):
 * then nothing has changed. Calls no `changed`.
 */
const char *option_read(const struct option *option, void *values, const char *value);

/*
 * Writes the value as the text that option_read takes, NUL-terminated and cut where `size` ends.
 * Returns its whole length. Of subjects it writes entry `number`, else `number` is 0. SIZE_MAX if there
 * is no such entry, or nothing that a word could say.
 */
size_t option_write(const struct option *option, const void *values, unsigned number, char *text,
                    size_t size);

/* Sets `values` as if no word had been given. */
void option_set_initial(const struct option *option, void *values);

/* What option_read accepts; valid until the next call. */
const char *option_accepted(const struct option *option);

/* ---- words ---- */

/*
 * Cuts the next word off *line, which moves on behind it; NULL if there is none. A value may be quoted:
 * a quote stands behind the first '=' or a later ':', and its partner ends the word. GRUB puts a
 * backslash before each of them. The quotes are taken off. Changes the bytes of the line.
 */
char *option_next_word(char **line);

/* ---- all options ---- */

/* Option `number` of all tables in use, in the order of lists; NULL behind the last. */
const struct option *option_at(unsigned number);

/* Sets everything as if there were no command line. */
void option_reset(void);

/*
 * Reads the command line, after option_reset, and changes its bytes. A first word with a '/' or '.'
 * before any '=' is the file's own path and is ignored; so are quotes round several words, or round all.
 * Each unknown word or bad value gives one `warn` event with the word and what would be accepted, and
 * the value stays. If a key, or a subject of it, is given twice, the last one counts, with a warn. After
 * eight such warnings one more gives the number of the others and the first of their words.
 */
void option_read_line(char *line);

/* Takes one word, KEY=VALUE, while the machine runs. NULL, or what would be accepted (valid until the
 * next call): then nothing has changed. Not for the data path. */
const char *option_change(const char *word);

/*
 * Queues `settings` event `number` of an answer, and returns true if there are more. All words= of them,
 * put together, are the command line that makes a machine with the values in force.
 */
bool option_report(unsigned number);

#endif
