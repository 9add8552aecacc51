"""Combinations of options: few enough to run, and every few values together in one of them."""

from itertools import combinations, product


def covering(options, strength=2):
    """Rows, dictionaries of one value for each of `options` (name: list of values), such that any
    values of any `strength` options stand together in one of them. Always the same ones.

    Greedy: each row begins with the first combination that is missing, and then takes, option by
    option, the value that brings the most missing ones.
    """
    missing = dict.fromkeys(  # a set that keeps its order
        frozenset(zip(names, values))
        for names in combinations(options, strength)
        for values in product(*(options[name] for name in names))
    )
    rows = []
    while missing:
        row = dict(next(iter(missing)))
        for name in options:
            if name not in row:
                gains = {
                    value: _gain(row | {name: value}, name, missing, strength)
                    for value in options[name]
                }
                row[name] = max(gains, key=gains.get)
        for found in _within(row, strength):
            missing.pop(found, None)
        rows.append({name: row[name] for name in options})
    return rows


def representatives(rows, count):
    """`count` of the rows, with as many different values of each option in them as can be."""
    left, seen, chosen = list(rows), set(), []
    while left and len(chosen) < count:
        best = max(left, key=lambda row: len(set(row.items()) - seen))
        left.remove(best)
        seen |= set(best.items())
        chosen.append(best)
    return chosen


def _within(row, strength):
    """All combinations of `strength` values in a row, finished or not."""
    return map(frozenset, combinations(row.items(), strength))


def _gain(row, name, missing, strength):
    """How many missing combinations the value of `name` brings to the row."""
    others = [pair for pair in row.items() if pair[0] != name]
    value = (name, row[name])
    return sum(
        frozenset((value, *rest)) in missing for rest in combinations(others, strength - 1)
    )
