/* Options: one walk through all tables serves the command line, `set`, `settings`, `help` and Tab. */
#include <machine/option.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/log.h>
#include <machine/panic.h>

#define BLANKS " \t\r\n"
#define WARNINGS_MAX 8   /* about words; the rest are summed up in one more */
#define SUBJECT_MAX 640  /* all ports, each by its MAC */
#define ACCEPTED_MAX 512 /* bytes of a text that says what is accepted */
#define PIECE_MAX 640    /* bytes of words= in one `settings` event, escapes included */
#define VALUE_MAX 32     /* bytes of a value that has a key of its own there */
#define WORD_ROOM 64     /* bytes of the longest key, and of the quotes round its value */
#define DIGITS "0123456789"
#define SWITCH_CHOICES "off|on" /* false first */
#define SWITCH_ACCEPTED "on|off"

/* The bounds of the section that OPTION_TABLE fills. Weak: a test may have no tables. */
extern unsigned *const __start_option_tables[] __attribute__((weak));
extern unsigned *const __stop_option_tables[] __attribute__((weak));

/* ---- tables ---- */

static struct option_table *option_table_at(size_t number)
{
    return table_at(__start_option_tables, __stop_option_tables, number);
}

/* An option and where it was found; .option is NULL if it was not. */
struct found {
    struct option_table *table;
    const struct option *option;
};

/* Option `number` of all tables in use, in the order of lists. */
static struct found find_number(unsigned number)
{
    struct option_table *table;

    for (size_t i = 0; (table = option_table_at(i)) != NULL; i++) {
        if (table->values == NULL)
            continue;
        if (number < table->count)
            return (struct found){table, &table->options[number]};
        number -= table->count;
    }
    return (struct found){0};
}

/* The option whose key stands before the '=' of `word`. */
static struct found find_word(const char *word)
{
    const size_t length = strcspn(word, "=");
    struct found found;

    for (unsigned i = 0; (found = find_number(i)).option != NULL; i++)
        if (word[length] == '=' && strlen(found.option->key) == length &&
            memcmp(found.option->key, word, length) == 0)
            break;
    return found;
}

const struct option *option_at(unsigned number)
{
    return find_number(number).option;
}

/* ---- values ---- */

static void *field_of(const struct option *option, const void *values)
{
    return (char *)values + option->offset;
}

static const char *choices_of(const struct option *option)
{
    return option->choices != NULL ? option->choices : SWITCH_CHOICES;
}

/* Choice `number` of "one|two|…", and its length in *length; NULL if there are not so many. */
static const char *choice_at(const char *choices, unsigned number, size_t *length)
{
    for (; number > 0; number--) {
        choices += strcspn(choices, "|");
        if (*choices++ == '\0')
            return NULL;
    }
    *length = strcspn(choices, "|");
    return choices;
}

/* The number of the choice that `value` is, or -1. */
static int choice_of(const struct option *option, const char *value)
{
    const char *choice;
    size_t length;

    for (unsigned i = 0; (choice = choice_at(choices_of(option), i, &length)) != NULL; i++)
        if (strlen(value) == length && memcmp(choice, value, length) == 0)
            return (int)i;
    return -1;
}

static bool read_choice(const struct option *option, unsigned *field, const char *value)
{
    const int choice = choice_of(option, value);

    if (choice >= 0)
        *field = option->min + (unsigned)choice;
    return choice >= 0;
}

static bool read_switch(const struct option *option, bool *field, const char *value)
{
    const int choice = choice_of(option, value);

    if (choice >= 0)
        *field = choice == 1;
    return choice >= 0;
}

/* Decimal digits only: strtoull would also take blanks, signs and a base of its own. */
static bool read_number(const struct option *option, unsigned *field, const char *value)
{
    char *end;

    if (!isdigit((unsigned char)value[0]))
        return false;
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || *end != '\0' || number < option->min || number > option->max)
        return false;
    if ((option->flags & OPTION_POWER_OF_TWO) && (number & (number - 1)) != 0)
        return false;
    *field = (unsigned)number;
    return true;
}

static bool read_text(const struct option *option, char *field, const char *value)
{
    const size_t length = strlen(value);

    if (length < option->min || length > option->max)
        return false;
    memcpy(field, value, length + 1);
    return true;
}

/* The length of the port's name that `text` begins with: a MAC or PCI address, a number, or '*' for
 * all; 0: none. */
static size_t name_length(const char *text)
{
    static const char *const forms[] = {"xx:xx:xx:xx:xx:xx", "xxxx:xx:xx.x", "xx:xx.x"};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const char *form = forms[i];
        size_t same = 0;
        while (form[same] != '\0' && (form[same] == 'x' ? isxdigit((unsigned char)text[same]) != 0
                                                        : form[same] == text[same]))
            same++;
        if (form[same] == '\0')
            return same;
    }
    return text[0] == '*' ? 1 : strspn(text, DIGITS);
}

/* The length of the subject that `value` begins with: ports, and between them '-', '>' or ','. 0: none. */
static size_t subject_length(const struct option *option, const char *value)
{
    size_t length = 0, name;

    if (option->flags & OPTION_PORT)
        return strspn(value, DIGITS);
    while ((name = name_length(value + length)) != 0) {
        length += name;
        if (value[length] == '\0' || strchr("->,", value[length]) == NULL)
            return length;
        length++;
    }
    return 0;
}

/* Behind a subject come ':' and a value, or nothing. The older words have '/' behind their port. */
static bool read_subject(const struct option *option, void *values, const char *value)
{
    const size_t length = subject_length(option, value);
    char subject[SUBJECT_MAX];

    if (length == 0 || length >= sizeof(subject))
        return false;
    memcpy(subject, value, length);
    subject[length] = '\0';
    value += length;
    if (*value == ':' || (*value == '/' && (option->flags & OPTION_PORT)))
        value++;
    else if (*value != '\0')
        return false;
    return option->put(values, subject, strcmp(value, "off") == 0 ? NULL : value);
}

static bool read_value(const struct option *option, void *values, const char *value)
{
    void *const field = field_of(option, values);

    switch (option->type) {
    case OPTION_NUMBER:
        return read_number(option, field, value);
    case OPTION_CHOICE:
        return read_choice(option, field, value);
    case OPTION_SWITCH:
        return read_switch(option, field, value);
    case OPTION_TEXT:
        return read_text(option, field, value);
    case OPTION_SUBJECTS:
        return read_subject(option, values, value);
    }
    return false;
}

const char *option_accepted(const struct option *option)
{
    static char text[ACCEPTED_MAX];
    const char *const zero = option->flags & OPTION_ZERO_IS_OFF ? " (off)" : "";

    switch (option->type) {
    case OPTION_NUMBER:
        snprintf(text, sizeof(text), "%s from %u%s to %u",
                 option->flags & OPTION_POWER_OF_TWO ? "a power of two" : option->accepted,
                 option->min, zero, option->max);
        return text;
    case OPTION_TEXT:
        snprintf(text, sizeof(text), "%s, %u to %u characters", option->accepted, option->min,
                 option->max);
        return text;
    case OPTION_SUBJECTS:
        return option->accepted;
    default:
        return option->choices != NULL ? option->choices : SWITCH_ACCEPTED;
    }
}

const char *option_read(const struct option *option, void *values, const char *value)
{
    return read_value(option, values, value) ? NULL : option_accepted(option);
}

/* Writes `number` or its choice; SIZE_MAX if no word can say it. */
static size_t write_choice(const struct option *option, unsigned number, struct option_text out)
{
    size_t length = 0;
    const char *choice =
        number >= option->min ? choice_at(choices_of(option), number - option->min, &length) : NULL;

    return choice == NULL ? SIZE_MAX
                          : (size_t)snprintf(out.text, out.size, "%.*s", (int)length, choice);
}

static size_t write_number(const struct option *option, unsigned number, struct option_text out)
{
    return number < option->min ? SIZE_MAX : (size_t)snprintf(out.text, out.size, "%u", number);
}

size_t option_write(const struct option *option, const void *values, unsigned number, char *text,
                    size_t size)
{
    const void *const field = field_of(option, values);
    const struct option_text out = {text, size};

    ensure(size > 0);
    if (option->type == OPTION_SUBJECTS)
        return option->get(values, number, out) ? strlen(text) : SIZE_MAX;
    if (number > 0)
        return SIZE_MAX;
    switch (option->type) {
    case OPTION_NUMBER:
        return write_number(option, *(const unsigned *)field, out);
    case OPTION_CHOICE:
        return write_choice(option, *(const unsigned *)field, out);
    case OPTION_SWITCH:
        return write_choice(option, *(const bool *)field, out);
    default:
        return strlen(field) < option->min
                   ? SIZE_MAX
                   : (size_t)snprintf(text, size, "%s", (const char *)field);
    }
}

void option_set_initial(const struct option *option, void *values)
{
    void *const field = field_of(option, values);

    if (option->type == OPTION_SUBJECTS)
        option->put(values, NULL, NULL);
    else if (option->type == OPTION_TEXT)
        *(char *)field = '\0';
    else if (option->type == OPTION_SWITCH)
        *(bool *)field = option->initial != 0;
    else
        *(unsigned *)field = option->initial;
}

/* True if a word is needed for what `values` has. */
static bool differs(const struct option *option, const void *values)
{
    const void *const field = field_of(option, values);

    if (option->type == OPTION_SWITCH)
        return *(const bool *)field != (option->initial != 0);
    if (option->type == OPTION_NUMBER || option->type == OPTION_CHOICE)
        return *(const unsigned *)field != option->initial;
    return option->type == OPTION_SUBJECTS || *(const char *)field != '\0';
}

/* ---- words and quotes ---- */

/* The quotes that may stand round a value, GRUB's last. */
static const char *const quotes[] = {"\"", "'", "\\\"", "\\'"};
#define QUOTES (sizeof(quotes) / sizeof(quotes[0]))

static bool ends_word(char byte)
{
    return byte == '\0' || strchr(BLANKS, byte) != NULL;
}

/* The quote that `text` begins with, or NULL. */
static const char *quote_at(const char *text)
{
    for (size_t i = 0; i < QUOTES; i++)
        if (strncmp(text, quotes[i], strlen(quotes[i])) == 0)
            return quotes[i];
    return NULL;
}

/* The partner of `quote`, which stands at `text`: the next one that ends a word. NULL: there is none,
 * and it is a character like any other. */
static char *closing_quote(const char *text, const char *quote)
{
    const size_t length = strlen(quote);
    const char *close = text + length - 1;

    while ((close = strstr(close + 1, quote)) != NULL)
        if (ends_word(close[length]) && (length > 1 || close[-1] != '\\'))
            return (char *)close;
    return NULL;
}

/* GRUB puts quotes round an argument with blanks, other loaders round the whole line: they vanish. */
static void blank_outer_quotes(char *text)
{
    text += strspn(text, BLANKS);
    if (*text != '"' && *text != '\'')
        return;
    char *const close = closing_quote(text, quote_at(text));
    if (close != NULL)
        *text = *close = ' ';
}

/* Takes the quotes off the value at `value`. Returns where the word ends then, NULL if it has none;
 * *behind is where the line goes on. */
static char *unquote(char *value, char **behind)
{
    const char *const quote = quote_at(value);
    char *const close = quote != NULL ? closing_quote(value, quote) : NULL;

    if (close == NULL)
        return NULL;
    const size_t length = (size_t)(close - value) - strlen(quote);
    memmove(value, value + strlen(quote), length);
    *behind = close + strlen(quote);
    return value + length;
}

char *option_next_word(char **line)
{
    char *const word = *line + strspn(*line, BLANKS);
    char *end = word, *behind = NULL;
    bool in_value = false;

    while (!ends_word(*end) && behind == NULL) {
        in_value = in_value || *end == '=';
        const bool begins_value = in_value && (*end == '=' || *end == ':');
        end++;
        char *const unquoted = begins_value ? unquote(end, &behind) : NULL;
        if (unquoted != NULL)
            end = unquoted;
    }
    if (behind == NULL)
        behind = end;
    *line = behind + (*behind != '\0');
    *end = '\0';
    return word != end ? word : NULL;
}

/* ---- the command line ---- */

/* How far the command line has been read. */
struct reading {
    unsigned warnings;
    struct log_quoted unshown; /* the first word whose warning only counts */
};

/* True if the warning about `word` is to be shown. */
static bool admit_warning(struct reading *reading, const char *word)
{
    if (reading->warnings++ == WARNINGS_MAX)
        reading->unshown = log_quote(word);
    return reading->warnings <= WARNINGS_MAX;
}

/* Appends to a list in `text`, as far as it has room. */
static void list_add(char text[ACCEPTED_MAX], const char *key, const char *value)
{
    const size_t used = strlen(text);

    if (used + strlen(key) + strlen(value) + sizeof(" =") <= ACCEPTED_MAX)
        snprintf(text + used, ACCEPTED_MAX - used, "%s%s=%s", used > 0 ? " " : "", key, value);
}

static void warn_unknown(const char *word)
{
    char keys[ACCEPTED_MAX] = "";
    const struct option *option;

    for (unsigned i = 0; (option = option_at(i)) != NULL; i++)
        list_add(keys, option->key, "");
    log_event(LOG_WARN, "warn", "reason=unknown-word word=%s accepted=\"%s\"", log_quote(word).text,
              keys);
}

static void warn_bad_value(const char *word, const char *accepted)
{
    log_event(LOG_WARN, "warn", "reason=bad-value word=%s accepted=%s", log_quote(word).text,
              log_quote(accepted).text);
}

static void warn_repeated(const char *word)
{
    log_event(LOG_WARN, "warn", "reason=repeated-word word=%s effect=\"this one counts\"",
              log_quote(word).text);
}

/* One line for all words whose warnings were not shown: thousands would fill the console's ring. */
static void warn_more(const struct reading *reading)
{
    if (reading->warnings > WARNINGS_MAX)
        log_event(LOG_WARN, "warn", "reason=more-wrong-words count=%u first=%s",
                  reading->warnings - WARNINGS_MAX, reading->unshown.text);
}

/* True if `value` is about a subject that has a value already. */
static bool has_subject(const struct option *option, const void *values, const char *value)
{
    const size_t length = subject_length(option, value);
    char entry[SUBJECT_MAX];

    for (unsigned i = 0; option_write(option, values, i, entry, sizeof(entry)) != SIZE_MAX; i++)
        if (subject_length(option, entry) == length && memcmp(entry, value, length) == 0)
            return true;
    return false;
}

static bool is_repeated(const struct found *found, const char *value)
{
    const struct option *const option = found->option;

    if (option->type == OPTION_SUBJECTS)
        return !(option->flags & OPTION_MANY) && has_subject(option, found->table->values, value);
    return found->table->given >> (option - found->table->options) & 1;
}

static void read_word(struct reading *reading, const char *word)
{
    const struct found found = find_word(word);

    if (found.option == NULL) {
        if (admit_warning(reading, word))
            warn_unknown(word);
        return;
    }
    const char *const value = word + strlen(found.option->key) + 1;
    const bool repeated = is_repeated(&found, value);
    const char *const accepted = option_read(found.option, found.table->values, value);
    if (accepted != NULL) {
        if (admit_warning(reading, word))
            warn_bad_value(word, accepted);
        return;
    }
    if (repeated && admit_warning(reading, word))
        warn_repeated(word);
    found.table->given |= 1ull << (found.option - found.table->options);
}

static void call_changed(const struct found *found)
{
    if (found->option->changed != NULL)
        found->option->changed(found->table->values);
}

/* The whole line has been read: until then each warning about it is shown. */
static void obey_given(void)
{
    struct found found;

    for (unsigned i = 0; (found = find_number(i)).option != NULL; i++)
        if (found.table->given >> (found.option - found.table->options) & 1)
            call_changed(&found);
}

void option_reset(void)
{
    struct found found;

    for (unsigned i = 0; (found = find_number(i)).option != NULL; i++) {
        option_set_initial(found.option, found.table->values);
        found.table->given = 0;
    }
}

/* QEMU and GRUB put the name of the file first. No key has a '/' or a '.'. */
static bool is_path(const char *word)
{
    return strcspn(word, "/.") < strcspn(word, "=");
}

void option_read_line(char *line)
{
    struct reading reading = {0};
    bool first = true;

    option_reset();
    for (;;) {
        blank_outer_quotes(line);
        const char *const word = option_next_word(&line);
        if (word == NULL)
            break;
        if (!first || !is_path(word))
            read_word(&reading, word);
        first = false;
    }
    warn_more(&reading);
    obey_given();
}

/* ---- while the machine runs ---- */

static const char *value_of_list(const struct option *option)
{
    return option->argument != NULL ? option->argument : option_accepted(option);
}

const char *option_change(const char *word)
{
    static char live[ACCEPTED_MAX];
    const struct found found = find_word(word);
    const struct option *option = found.option;

    if (option != NULL && (option->flags & OPTION_LIVE)) {
        const char *accepted =
            option_read(option, found.table->values, word + strlen(option->key) + 1);
        if (accepted == NULL)
            call_changed(&found);
        return accepted;
    }
    live[0] = '\0';
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++)
        if (option->flags & OPTION_LIVE)
            list_add(live, option->key, value_of_list(option));
    return live;
}

/* ---- settings ---- */

/* The words in force, as a command line; behind it, room for the key and the quotes of one word. */
static struct {
    char text[OPTION_LINE_MAX + WORD_ROOM];
    size_t length;
} settings;

/* True if `text`, which begins with `quote`, would be read as the quoted value that it is. */
static bool quote_holds(const char *text, const char *quote)
{
    const char *const close = closing_quote(text, quote);

    return close != NULL && close[strlen(quote)] == '\0';
}

/* Puts quotes round `value`, which has room for them, if it needs any. A value that none fit did not
 * come from a word. */
static void quote_value(char *value)
{
    const size_t length = strlen(value);

    for (size_t i = 0; i < QUOTES && strpbrk(value, BLANKS "\"'\\") != NULL; i++) {
        const size_t quote_length = strlen(quotes[i]);

        memmove(value + quote_length, value, length);
        memcpy(value, quotes[i], quote_length);
        memcpy(value + quote_length + length, quotes[i], quote_length + 1);
        if (quote_holds(value, quotes[i]))
            return;
        memmove(value, value + quote_length, length);
        value[length] = '\0';
    }
}

/* Appends entry `number` of an option as a word; false if there is none, or no room for it. */
static bool add_word(const struct found *found, unsigned number)
{
    const struct option *const option = found->option;
    const size_t room = OPTION_LINE_MAX - settings.length, key_length = strlen(option->key);
    char *const key = settings.text + settings.length + (settings.length > 0);
    char *const value = key + key_length + 1;

    ensure(key_length < WORD_ROOM / 2);
    const size_t length = option_write(option, found->table->values, number, value, room + 1);
    if (length == SIZE_MAX)
        return false;
    if (length + WORD_ROOM > room) {
        log_event(LOG_WARN, "warn", "reason=settings-too-long word=%s", option->key);
        return false;
    }
    quote_value(value);
    memcpy(key, option->key, key_length);
    value[-1] = '=';
    if (settings.length > 0)
        key[-1] = ' ';
    settings.length = (size_t)(value - settings.text) + strlen(value);
    return true;
}

static void collect_words(void)
{
    struct found found;

    settings.length = 0;
    for (unsigned i = 0; (found = find_number(i)).option != NULL; i++) {
        unsigned entry = 0;
        while (differs(found.option, found.table->values) && add_word(&found, entry))
            entry++;
    }
    settings.text[settings.length] = '\0';
}

/* Writes as much of `text` as one event may have, made fit for a quoted value. Returns how much. */
static size_t write_piece(const char *text, char piece[PIECE_MAX])
{
    size_t used = 0, taken = 0;

    piece[0] = '\0';
    for (; text[taken] != '\0' && used + sizeof("\\x00") <= PIECE_MAX; taken++) {
        const unsigned char byte = (unsigned char)text[taken];
        const bool printable = byte >= ' ' && byte <= '~';
        const char *const escape = byte == '"' || byte == '\\' ? "\\" : "";
        used += (size_t)snprintf(piece + used, PIECE_MAX - used, printable ? "%s%c" : "%s\\x%02x",
                                 escape, byte);
    }
    return taken;
}

/* The keys of their own. */
static void write_keys(char text[ACCEPTED_MAX])
{
    char value[VALUE_MAX];
    struct found found;

    text[0] = '\0';
    for (unsigned i = 0; (found = find_number(i)).option != NULL; i++) {
        if (!(found.option->flags & OPTION_SHOWN))
            continue;
        option_write(found.option, found.table->values, 0, value, sizeof(value));
        list_add(text, found.option->key, value);
    }
}

bool option_report(unsigned number)
{
    char keys[ACCEPTED_MAX] = "", piece[PIECE_MAX];
    size_t at = 0;

    collect_words();
    for (unsigned i = 0; i < number; i++)
        at += write_piece(settings.text + at, piece);
    at += write_piece(settings.text + at, piece);
    if (number == 0)
        write_keys(keys);
    log_event(LOG_REPORT, "settings", "%s%swords=\"%s\"", keys, keys[0] != '\0' ? " " : "", piece);
    return settings.text[at] != '\0';
}
