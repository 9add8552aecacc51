/*
 * The seam: requests to end the machine. The power button and the console only record a request;
 * the loop finds it between two rounds and ends in order.
 */
#ifndef MACHINE_POWER_H
#define MACHINE_POWER_H

#include <stdbool.h>

enum power_action { POWER_OFF, POWER_REBOOT };

/*
 * Notes that the machine is to end by `action`; `reason` (static text, one word) is for the bye
 * event. The first request counts, a later one changes nothing. Not for the data path.
 */
void power_request(enum power_action action, const char *reason);

/*
 * True once a request was noted, and then for ever. Looks at the power button ten times a second at
 * most, one port read each time, however often it is called. For housekeeping.
 */
bool power_requested(void);

#endif
