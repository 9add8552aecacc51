"""What the benchmarks' programs share: tables, and an end that leaves nothing behind."""

import signal
import sys

import launch


def table(columns, rows):
    """Prints a Markdown table that can be read as it is, too."""
    widths = [max(map(len, column)) for column in zip(columns, *rows)]

    def line(words):
        return "| " + " | ".join(word.ljust(width) for word, width in zip(words, widths)) + " |"

    print(line(columns))
    print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for words in rows:
        print(line(words), flush=True)


def run(main):
    """Calls main() with the build folder. Whoever interrupts or terminates it ends all that it has
    started, too: the with blocks are left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        launch.run_main(lambda: main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
