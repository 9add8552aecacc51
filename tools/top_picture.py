"""The files of `make top`: its screen as a picture, the rates over time as a plot."""

import os
import re
import time

import top_screen
from launch import Problem, need_module

PICTURE_WIDTH = 100
SVG_CELL = 12.2  # width of a character in rich's SVGs
PLOT_KINDS = (".svg", ".png")


def save_picture(machine, notes, path):
    """The terminal's content as an SVG."""
    from rich.console import Console, Group

    page = top_screen.Page(machine, notes, PICTURE_WIDTH).lines()
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=PICTURE_WIDTH, file=nowhere, force_terminal=True)
        console.print(Group(*page))
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
    need_module("matplotlib")
    check_path(path)


def check_path(path):
    """Before hours of watching, not after them."""
    there = os.path.lexists(path)
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise Problem(f"{path} cannot be written, {error.strerror}") from error
    if not there:
        os.remove(path)


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
