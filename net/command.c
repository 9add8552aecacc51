/* Commands: one walk through all tables. */
#include "net/command.h"

#include <string.h>

#include <machine/log.h>

/* The bounds of the section that COMMAND_TABLE fills. Weak: a program may have no commands. */
extern unsigned *const __start_command_tables[] __attribute__((weak));
extern unsigned *const __stop_command_tables[] __attribute__((weak));

/* Command `number` of all tables in use, and its table's owner; NULL behind the last. */
static const struct command *find_number(unsigned number, void **owner)
{
    const struct command_table *table;

    for (size_t i = 0; (table = table_at(__start_command_tables, __stop_command_tables, i)) != NULL;
         i++) {
        if (table->owner == NULL)
            continue;
        *owner = table->owner;
        if (number < table->count)
            return &table->commands[number];
        number -= table->count;
    }
    return NULL;
}

const struct command *command_at(unsigned number)
{
    void *owner;

    return find_number(number, &owner);
}

/* How many of the call's words are those of `name`; 0: they begin otherwise. */
static unsigned words_in_common(const struct command_call *call, const char *name)
{
    for (unsigned i = 0; i < call->word_count; i++) {
        const size_t length = strcspn(name, " ");
        if (strlen(call->words[i]) != length || memcmp(call->words[i], name, length) != 0)
            return 0;
        if (name[length] == '\0')
            return i + 1;
        name += length + 1;
    }
    return 0;
}

bool command_find(struct command_call *call)
{
    const struct command *command;
    unsigned most = 0;
    void *owner;

    for (unsigned i = 0; (command = find_number(i, &owner)) != NULL; i++) {
        const unsigned same = words_in_common(call, command->words);
        if (same <= most)
            continue;
        most = same;
        call->command = command;
        call->owner = owner;
    }
    if (most == 0)
        return false;
    call->word_count -= most - 1;
    memmove(call->words, call->words + most - 1, call->word_count * sizeof(call->words[0]));
    return true;
}

const char *command_argument(const struct command_call *call, unsigned number)
{
    return number < call->word_count ? call->words[number] : NULL;
}

const char *command_only_argument(const struct command_call *call)
{
    const char *word = command_argument(call, 1), *more = command_argument(call, 2);

    if (word != NULL && more == NULL)
        return word;
    command_refuse(call, word == NULL ? "" : more, call->command->arguments);
    return NULL;
}

bool command_nothing_behind(const struct command_call *call, unsigned number)
{
    const char *word = command_argument(call, number);
    const char *accepted = call->command->arguments;

    return word == NULL ||
           command_refuse(call, word, accepted[0] != '\0' ? accepted : "nothing behind it");
}

bool command_refuse(const struct command_call *call, const char *word, const char *accepted)
{
    log_event(LOG_REPORT, "error", "reason=bad-argument command=%s word=%s accepted=%s",
              log_quote(call->command->words).text, log_quote(word).text, log_quote(accepted).text);
    return false;
}
