"""How `make top` writes what it knows of a machine: the figures' form, and plain lines of them."""

SPARKS = " ▁▂▃▄▅▆▇█"


def scaled(value, unit=""):
    """Four figures at most: 999, 12.3 k, 4.56 M."""
    for prefix in ("", "k", "M", "G"):
        if value < 1000 or prefix == "G":
            digits = 0 if not prefix else max(0, 3 - len(str(int(value))))
            return f"{value:.{digits}f} {prefix}{unit}".rstrip()
        value /= 1000
    return None


def sparkline(history, width=60, steps=SPARKS):
    """The last minute, scaled to its own highest point."""
    recent = list(history)[-width:]
    highest = max(recent, default=0)
    if highest <= 0:
        return " " * (width - len(recent)) + steps[1] * len(recent)
    drawn = "".join(steps[max(1, round(value / highest * (len(steps) - 1)))] for value in recent)
    return drawn.rjust(width)


def event_text(event):
    """An event as the console would have written it."""
    words = [event["event"], f"t={event.get('t', 0):.6f}"]
    for key, value in event.items():
        if key in ("event", "t"):
            continue
        text = str(value)
        words.append(f'{key}="{text}"' if " " in text or text == "" else f"{key}={text}")
    return " ".join(words)


def state_of(machine):
    """The machine's state, and the age of the figures if they are not the newest."""
    if machine.gone:
        state, colour = "the console has closed", "red"
    elif machine.ended:
        state, colour = f"the machine has ended ({machine.ended})", "red"
    elif machine.silent():
        state, colour = "no answer", "yellow"
    else:
        state, colour = ("running", "green") if machine.answered else ("asked", "yellow")
    if machine.stale() and machine.answered is not None:
        state += f": these figures are {int(machine.age())} s old"
    return state, colour


def uptime(seconds):
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}:{rest:02}"


def ring(about, way):
    if f"{way}_size" not in about:
        return ""
    return f"{about[f'{way}_filled']}/{about[f'{way}_size']}"


def port_cells(port):
    """The columns of a port, without the sparkline."""
    rates, about = port.rates, port.about
    drops = sum(port.drops().values())
    return [
        str(port.number), about.get("link", "?"),
        scaled(rates.get("rx_pps", 0)), scaled(rates.get("rx_bps", 0)),
        scaled(rates.get("tx_pps", 0)), scaled(rates.get("tx_bps", 0)),
        scaled(drops), ring(about, "rx"), ring(about, "tx"),
    ]  # fmt: skip


HEADINGS = ("port", "link", "rx/s", "rx bit/s", "tx/s", "tx bit/s", "drops", "rx ring", "tx ring")


def plain(machine):
    """The same without a terminal: a line a port."""
    lines = []
    for number in sorted(machine.ports):
        words = [f"{heading.replace(' ', '-')}={cell.replace(' ', '')}"
                 for heading, cell in zip(HEADINGS, port_cells(machine.ports[number]))]
        lines.append(" ".join(words))
    return lines
