/*
 * The operator of the machine on the host: what is typed on the console, and whom events are addressed
 * to. The other side of machine/console.h; machine_reset resets it too.
 */
#ifndef TESTS_HOST_SIM_CONSOLE_USER_H
#define TESTS_HOST_SIM_CONSOLE_USER_H

#include <stdbool.h>

#define USER_ALL (-1)

/* Types `line` on `channel`; lines are taken in this order, one a call of console_take_line. */
void user_type(unsigned channel, const char *line);

/* Nobody reads `channel` (on), so that it has no room. */
void user_away(unsigned channel, bool on);

/* The channel that events go to now, or USER_ALL. */
int user_addressed(void);

bool user_has_json(unsigned channel);

/* How often console_expect_input was called. */
unsigned user_expected(void);

/* True if Tab completes `phrase`. */
bool user_knows_phrase(const char *phrase);

void user_reset(void);

#endif
