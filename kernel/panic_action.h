/* panic=: what the machine does after a panic report. */
#ifndef KERNEL_PANIC_ACTION_H
#define KERNEL_PANIC_ACTION_H

enum panic_action { PANIC_REBOOT, PANIC_HALT, PANIC_POWEROFF };

enum panic_action panic_action(void);

/* The value of panic= that the action has. */
const char *panic_action_name(void);

#endif
