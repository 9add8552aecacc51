/* Finds apps. */
#include "net/app.h"

#include <string.h>

#include <machine/panic.h>

/* The bounds of the section that APP fills. Weak: a test may have no apps. */
extern unsigned *const __start_app_tables[] __attribute__((weak));
extern unsigned *const __stop_app_tables[] __attribute__((weak));

const struct app *app_at(unsigned number)
{
    return table_at(__start_app_tables, __stop_app_tables, number);
}

const struct app *app_find(const char *name)
{
    const struct app *app;

    for (unsigned i = 0; (app = app_at(i)) != NULL; i++)
        if (strcmp(app->name, name) == 0)
            return app;
    return NULL;
}

const struct app *app_for(unsigned group_ports)
{
    const struct app *app;

    for (unsigned i = 0; (app = app_at(i)) != NULL; i++)
        if (app->group_ports == group_ports)
            return app;
    ensure(app != NULL);
    return NULL;
}
