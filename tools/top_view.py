"""How `make top` shows a machine: on a terminal, in plain lines, and over time."""

import re
import time

from launch import Problem

SPARKS = " ▁▂▃▄▅▆▇█"
EVENT_LINES = 8
WIDE = 134  # columns from which the last minute stands beside the figures
PICTURE_WIDTH = 100
SVG_CELL = 12.2  # width of a character in rich's SVGs
PLOT_KINDS = (".svg", ".png")
LEVELS = {"error": "red", "panic": "bold red", "warn": "yellow", "link": "cyan", "reset": "cyan"}


def scaled(value, unit=""):
    """Four figures at most: 999, 12.3 k, 4.56 M."""
    for prefix in ("", "k", "M", "G"):
        if value < 1000 or prefix == "G":
            digits = 0 if not prefix else max(0, 3 - len(str(int(value))))
            return f"{value:.{digits}f} {prefix}{unit}".rstrip()
        value /= 1000
    return None


def sparkline(history, width=60):
    """The last minute, scaled to its own highest point."""
    recent = list(history)[-width:]
    highest = max(recent, default=0)
    if highest <= 0:
        return " " * (width - len(recent)) + SPARKS[1] * len(recent)
    steps = len(SPARKS) - 1
    drawn = "".join(SPARKS[max(1, round(value / highest * steps))] for value in recent)
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
    if machine.gone:
        return "the console has closed", "red"
    if machine.silent():
        return "no answer", "yellow"
    return "running", "green"


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


def _sparklines(machine):
    """For a terminal too narrow for one more column: below the table, a line a port."""
    from rich.text import Text

    lines = Text(no_wrap=True)
    for number in sorted(machine.ports):
        drawn = sparkline(machine.ports[number].history).lstrip()
        lines.append(f"{number:4}  ").append(drawn + "\n", style="cyan")
    return lines


def screen(machine, notes, width):
    """What a terminal of so many columns shows, as something that rich can print."""
    from rich.console import Group
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    state, colour = state_of(machine)
    title = Text.assemble("barewire ", (machine.version or "", "dim"), "   ", (state, colour),
                          f"   up {uptime(machine.time)}   ", (" ".join(notes), "dim"))
    table = Table(expand=width >= WIDE, box=None, header_style="bold", pad_edge=False)
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if number == 1 else "right", no_wrap=True)
    wide = width >= WIDE
    if wide:
        table.add_column("frames/s in the last minute", no_wrap=True, ratio=1)
    for number in sorted(machine.ports):
        port = machine.ports[number]
        link = "green" if port.about.get("link") == "up" else "red"
        cells = [Text(cell) for cell in port_cells(port)]
        cells[1].stylize(link)
        if sum(port.drops().values()):
            cells[6].stylize("yellow")
        if wide:
            cells.append(Text(sparkline(port.history).lstrip(), style="cyan"))
        table.add_row(*cells)
    events = Text(no_wrap=True, overflow="ellipsis")
    for event in list(machine.events)[-EVENT_LINES:]:
        events.append(event_text(event) + "\n", style=LEVELS.get(event["event"], ""))
    minute = [Text()] if wide else [Text("\nframes/s in the last minute", style="bold"),
                                    _sparklines(machine)]
    return Group(title, Text(), table, *minute, Rule("events", align="left", style="dim"), events,
                 Text("q or Ctrl-C leaves", style="dim"))


def plain(machine):
    """The same without a terminal: a line a port."""
    lines = []
    for number in sorted(machine.ports):
        words = [f"{heading.replace(' ', '-')}={cell.replace(' ', '')}"
                 for heading, cell in zip(HEADINGS, port_cells(machine.ports[number]))]
        lines.append(" ".join(words))
    return lines


def save_picture(machine, notes, path):
    """The terminal's content as an SVG."""
    from rich.console import Console

    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=PICTURE_WIDTH, file=nowhere, force_terminal=True)
        console.print(screen(machine, notes, PICTURE_WIDTH))
    drawn = console.export_svg(title="make top")
    # No fonts from elsewhere; and some programs forget the blanks that a text begins with.
    drawn = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'x="([\d.]+)"( y="[\d.]+") textLength="([\d.]+)"([^>]*>)((?:&#160;)+)(?=[^<])',
                   _shift, drawn)
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(drawn)
    except OSError as error:
        raise Problem(f"{path} cannot be written, {error.strerror}") from error


def _shift(match):
    width = match[5].count(";") * SVG_CELL
    return (f'x="{float(match[1]) + width:.1f}"{match[2]} '
            f'textLength="{float(match[3]) - width:.1f}"{match[4]}')


def check_plot_path(path):
    if not path.endswith(PLOT_KINDS):
        raise Problem(f"a plot is {' or '.join(PLOT_KINDS)}, not {path}: try --plot rates.svg")
    return path


def save_plot(samples, path):
    """Rates over time, one curve a port and direction."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    numbers = sorted({port["port"] for sample in samples for port in sample["ports"]})
    usable = [sample for sample in samples
              if any("rx_pps" in port for port in sample["ports"])]
    if not usable:
        raise Problem("too little was recorded for a plot: two rounds of answers at least")
    figure, (packets, bits) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 6))
    start = usable[0]["time"]
    for number in numbers:
        for way, style in (("rx", "-"), ("tx", "--")):
            points = [(sample["time"] - start, port) for sample in usable
                      for port in sample["ports"]
                      if port["port"] == number and f"{way}_pps" in port]
            times = [at for at, _ in points]
            label = f"port {number} {way}"
            packets.plot(times, [port[f"{way}_pps"] for _, port in points], style, label=label)
            bits.plot(times, [port[f"{way}_bps"] / 1e6 for _, port in points], style, label=label)
    packets.set_ylabel("frames/s")
    bits.set_ylabel("Mbit/s")
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start))
    bits.set_xlabel(f"seconds since {began}")
    for axes in (packets, bits):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    packets.legend(loc="upper right", fontsize="small", ncol=2)
    figure.tight_layout()
    try:
        figure.savefig(path)
    except OSError as error:
        raise Problem(f"{path} cannot be written, {error.strerror}") from error
    finally:
        pyplot.close(figure)
