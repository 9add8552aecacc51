"""The common part of the benchmarks: tables, symbols, and an end that leaves nothing behind."""

import re
import signal
import subprocess
import sys

import accelerator
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


def symbol_address(program, name):
    """The address of `name` in a program that is linked for a fixed address."""
    listing = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^([0-9a-f]+) . {name}$", listing, re.MULTILINE)[1], 16)


def run(main):
    """Calls main() with the build folder. Whoever interrupts or terminates it ends all that it has
    started, too: the with blocks are left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    def measure():
        accelerator.choose(None, only_tcg="instructions are counted by a plugin of TCG")
        return main(sys.argv[1])

    launch.run_main(measure)
