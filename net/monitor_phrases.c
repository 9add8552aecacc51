/* What Tab completes to: each command with the words that its arguments or the options name. */
#include <stdio.h>
#include <string.h>

#include <machine/option.h>

#include "net/monitor_internal.h"

#define PHRASES_MAX 256
#define TEXT_MAX 6144

static struct {
    const char *list[PHRASES_MAX + 1];
    unsigned count;
    char text[TEXT_MAX];
    size_t used;
} phrases;

/* Adds a phrase made of three parts, the last one `length` bytes. Without room it is no phrase. */
static void add(const char *first, const char *second, const char *third, size_t length)
{
    const size_t size = strlen(first) + strlen(second) + length + 1;

    if (phrases.count == PHRASES_MAX || size > TEXT_MAX - phrases.used)
        return;
    char *const text = phrases.text + phrases.used;
    snprintf(text, size, "%s%s%.*s", first, second, (int)length, third);
    phrases.list[phrases.count++] = text;
    phrases.used += size;
}

/* The length of the word, one of ours and no placeholder, that `text` begins with. */
static size_t literal_length(const char *text)
{
    const size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz");

    return strcspn(text, " |[]") == length ? length : 0;
}

/* "[PORT] [clear]": its own words, and the name alone, with a blank where more must or may follow. */
static void add_command(const struct command *command)
{
    const char *arguments = command->arguments;
    bool placeholders = arguments[0] == '\0', literals = false;

    for (const char *at = arguments; *(at += strspn(at, " |[]")) != '\0';
         at += strcspn(at, " |[]")) {
        literals = literals || literal_length(at) != 0;
        placeholders = placeholders || literal_length(at) == 0;
    }
    if (placeholders) {
        const bool more = arguments[0] != '\0' && (literals || arguments[0] != '[');
        add(command->words, more ? " " : "", "", 0);
    }
    for (const char *at = arguments; *(at += strspn(at, " |[]")) != '\0'; at += strcspn(at, " |[]"))
        if (literal_length(at) != 0)
            add(command->words, " ", at, literal_length(at));
}

/* `set` with each option that may change, and with its choices. */
static void add_option(const struct option *option)
{
    const bool chosen = option->type == OPTION_CHOICE || option->type == OPTION_SWITCH;
    const char *choices = chosen ? option_accepted(option) : "";
    char set[64];

    snprintf(set, sizeof(set), "set %s=", option->key);
    do {
        const size_t length = strcspn(choices, "|");
        add(set, "", choices, length);
        choices += length;
    } while (*choices++ != '\0');
}

const char *const *monitor_phrases(void)
{
    const struct command *command;
    const struct option *option;

    phrases.count = 0;
    phrases.used = 0;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++)
        add_command(command);
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++)
        if (option->flags & OPTION_LIVE)
            add_option(option);
    phrases.list[phrases.count] = NULL;
    return phrases.list;
}
