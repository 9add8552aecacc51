/* The topology's words are fields of its own, which the commands change, too: settings tell what is. */
#include "net/topology_options.h"

#include <machine/option.h>

static const struct option wiring[] = {
    {.key = "mode",
     .help = "what is done with frames",
     .type = OPTION_SWITCH,
     .offset = offsetof(struct topology, reflect),
     .choices = "wire|reflect"},
    {.key = "wire",
     .help = "which ports are joined",
     .accepted = "A-B,... (port number, PCI address or MAC)", /* net/pairs.c checks the rest */
     .argument = "A-B,...",
     .type = OPTION_TEXT,
     .offset = offsetof(struct topology, wire),
     .min = 1,
     .max = PAIRS_WORD - 1},
};

_Static_assert(sizeof(enum topology_mergeable) == sizeof(unsigned), "the value of a choice");
static const struct option mergeable = {
    .key = "mergeable",
    .help = "whether frames of 64 KiB lie in several buffers",
    .type = OPTION_CHOICE,
    .offset = offsetof(struct topology, mergeable),
    .choices = "auto|on|off",
};

static struct option_table wiring_words = {.place = 1, .count = 2, .options = wiring};
OPTION_TABLE(wiring_words);

static struct option_table mergeable_word = {.place = 6, .count = 1, .options = &mergeable};
OPTION_TABLE(mergeable_word);

void topology_options_begin(struct topology *topology)
{
    wiring_words.values = mergeable_word.values = topology;
}
