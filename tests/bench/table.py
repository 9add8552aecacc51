"""Markdown tables that can be read as they are, too."""


def table(columns, rows):
    widths = [max(map(len, column)) for column in zip(columns, *rows)]

    def line(words):
        return "| " + " | ".join(word.ljust(width) for word, width in zip(words, widths)) + " |"

    print(line(columns))
    print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for words in rows:
        print(line(words), flush=True)
