/*
 * Commands: what can be typed at the monitor. A module describes its commands in a table beside the
 * code that carries them out, and names the table by COMMAND_TABLE. Nothing else lists it: the
 * monitor, `help` and Tab find it.
 */
#ifndef NET_COMMAND_H
#define NET_COMMAND_H

#include <stdbool.h>

#include <machine/table.h>

#define COMMAND_WORDS_MAX 6 /* a command and its arguments */

struct command;

/* A command that was typed, until it is answered. */
struct command_call {
    const struct command *command;
    void *owner; /* the table's */
    unsigned channel;
    unsigned word_count;
    char *words[COMMAND_WORDS_MAX]; /* the command's last word, and its arguments */
    unsigned next;                  /* what the next event of the answer is about … */
    unsigned end;                   /* … and the first that is not asked for */
};

struct command {
    const char *words;     /* "stats"; may be several */
    const char *arguments; /* what is accepted, as `help` and `error` show it: "[PORT] [clear]" */
    const char *help;      /* what it is for, in a few words */

    /*
     * Reads the arguments, and sets call->next and call->end, both 0 before. False if a word is wrong,
     * after command_refuse. What the command changes is changed here.
     */
    bool (*run)(struct command_call *call);

    /* Queues one event, named as the command, about item call->next. Called for each item, whenever
     * there is room on the channel. NULL where `run` does all. */
    void (*tell)(struct command_call *call);
};

struct command_table {
    unsigned place; /* in lists; machine/table.h */
    unsigned count;
    const struct command *commands;
    void *owner; /* for `run` and `tell`; NULL: the table is not in use */
};

/* Makes a table known, once the file that defines it is linked. */
#define COMMAND_TABLE(table) TABLE_IN("command_tables", table)

/* ---- for those who carry out commands ---- */

/* Argument `number`, from 1 on, or NULL. */
const char *command_argument(const struct command_call *call, unsigned number);

/* The only argument; NULL, after command_refuse, if there are none or more. */
const char *command_only_argument(const struct command_call *call);

/* True if there is no argument `number`; else false, after command_refuse. */
bool command_nothing_behind(const struct command_call *call, unsigned number);

/* Queues `error reason=bad-argument` for `word`, which is wrong in this command. Returns false, so that
 * it can be returned. */
bool command_refuse(const struct command_call *call, const char *word, const char *accepted);

/* ---- for the monitor ---- */

/* Command `number` of all tables in use, in the order of lists; NULL behind the last. */
const struct command *command_at(unsigned number);

/* Finds the command that call->words begin with and leaves only its last word there; false if none. */
bool command_find(struct command_call *call);

#endif
