"""tools/top on running machines: what it shows, serves, records and draws, and how it says no."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import xml.etree.ElementTree as ElementTree

import pytest
from prometheus_client.parser import text_string_to_metric_families

import capture
from console import ComingConsole
from exchange import cross
from guest import settle
from places import BUILD, ELF, ROOT
from test_run import InTerminal
from top_machine import TopMachine

import top_monitor
import top_screen
import top_view

TOP = ROOT / "tools" / "top"
LIMIT_S = 120
OPTIONS = ("CONSOLE", "PROMETHEUS", "RECORD", "PLOT", "DURATION", "CMDLINE")


@pytest.fixture
def scratch():
    """A folder whose path is short enough for sockets, whatever TMPDIR says."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bw", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def environment(**variables):
    kept = {name: value for name, value in os.environ.items() if name not in OPTIONS}
    return {**kept, **variables}


def run_top(*words, **variables):
    """To its end; its output is one text."""
    return subprocess.run([str(TOP), *map(str, words)], env=environment(**variables), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)


class Running:
    """The tool at work: its lines as they come."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            [str(TOP), *map(str, words)], env=environment(), stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines = []
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait_line(self, pattern):
        """The first line so far or to come in which the pattern is found."""
        def find():
            return next((found for line in self.lines if (found := re.search(pattern, line))), None)

        with self.changed:
            found = self.changed.wait_for(find, LIMIT_S)
            assert found, f"no {pattern!r} in:\n" + "\n".join(self.lines)
            return found

    def end(self):
        """Asks it to leave, and returns its status."""
        self.process.terminate()
        try:
            return self.process.wait(LIMIT_S)
        finally:
            self.process.kill()


@pytest.fixture
def running():
    started = []

    def start(*words):
        started.append(Running(*words))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def watched(boot):
    """A machine whose second console is free; its path is `watched.second_path`."""
    guest = boot(ports=3, words="stats=0", second=ComingConsole)
    guest.second_path = guest.directory / "second"
    return guest


def scrape(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return answer.read().decode()


def value_of(text, name, **labels):
    """The one sample of this name with these labels."""
    found = [sample.value for family in text_string_to_metric_families(text)
             for sample in family.samples
             if sample.name == name and labels.items() <= sample.labels.items()]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return found[0]


def test_a_scrape_gives_the_counters_that_the_tester_knows(watched, running):
    top = running("--console", watched.second_path, "--prometheus", "127.0.0.1:0",
                  "--interval", "0.2")
    url = top.wait_line(r"(http://127\.0\.0\.1:\d+/metrics)")[1]
    top.wait_line("port=0 ")
    there, back = capture.frames(60, seed=1), capture.frames(25, seed=2)
    cross(watched, 0, 1, there, back)
    watched.ends[2].send(*capture.frames(4, seed=3))

    def counted():
        text = scrape(url)
        return (value_of(text, "barewire_port_receive_packets_total", port="0") == 60 and
                value_of(text, "barewire_port_transmit_packets_total", port="0") == 25 and
                value_of(text, "barewire_port_dropped_packets_total", port="2", reason="idle") == 4)

    assert settle(counted)
    text = scrape(url)
    assert value_of(text, "barewire_up") == 1
    assert value_of(text, "barewire_uptime_seconds") > 0
    assert value_of(text, "barewire_port_transmit_packets_total", port="1") == 60
    assert value_of(text, "barewire_port_receive_bytes_total", port="0") == sum(map(len, there))
    assert value_of(text, "barewire_port_transmit_bytes_total", port="0") == sum(map(len, back))
    assert value_of(text, "barewire_port_dropped_packets_total", port="0", reason="runt") == 0
    assert value_of(text, "barewire_port_resets_total", port="0") == 0
    assert value_of(text, "barewire_port_link_up", port="0") == 1
    assert value_of(text, "barewire_port_ring_size", port="0", ring="tx") == 256
    address = watched.port(0)["pci"]
    assert value_of(text, "barewire_port_receive_packets_total", address=address) == 60
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert kinds["barewire_port_receive_packets"] == "counter"
    assert kinds["barewire_port_ring_filled"] == "gauge"
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                                 capture_output=True, timeout=LIMIT_S, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_record_and_its_plots_hold_what_happened(watched, running, scratch):
    record, svg, png = (scratch / name for name in ("record", "rates.svg", "rates.png"))
    top = running("--console", watched.second_path, "--record", record, "--plot", svg,
                  "--interval", "0.2")
    top.wait_line("port=2 ")
    cross(watched, 0, 1, capture.frames(40, seed=4), [])

    def samples():
        return [json.loads(line) for line in record.read_text().splitlines(keepends=True)
                if line.endswith("\n")]

    def arrived(ports):  # asked one after the other, while frames pass
        return ports[0]["rx_packets"] == ports[1]["tx_packets"] == 40

    assert settle(lambda: arrived(samples()[-1]["ports"]))
    assert top.end() == 0
    taken = samples()
    assert [port["port"] for port in taken[0]["ports"]] == [0, 1, 2]
    assert taken[0]["ports"][0]["rx_packets"] == 0
    last = taken[-1]["ports"]
    assert (last[0]["rx_packets"], last[0]["link"], last[0]["state"]) == (40, "up", "running")
    assert max(sample["ports"][0].get("rx_pps", 0) for sample in taken) > 0
    times = [sample["t"] for sample in taken]
    assert times == sorted(times) and times[0] > 0
    assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    # The same later, out of the record alone.
    done = run_top("--from", record, "--plot", png)
    assert done.returncode == 0, done.stdout
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_channel_is_left_as_a_person_likes_it(watched):
    done = run_top("--console", watched.second_path, "--duration", "5", "--interval", "0.2")
    assert done.returncode == 0, done.stdout
    terminal = watched.second.come()
    terminal.sendall(b"version\r")
    seen = b""
    while b"done t=" not in seen:
        seen += terminal.recv(4096)
    assert b"> version" in seen and b"{" not in seen


def test_a_line_half_typed_by_somebody_else_does_no_harm(watched):
    terminal = watched.second.come()
    terminal.sendall(b"half a line")
    seen = b""
    while b"> half a line" not in seen:
        seen += terminal.recv(4096)
    terminal.close()
    done = run_top("--console", watched.second_path, "--duration", "5", "--interval", "0.2")
    assert done.returncode == 0, done.stdout
    assert re.search(r"port=0 link=up rx/s=0 .*rx-ring=256/256", done.stdout)


@pytest.fixture
def in_terminal():
    started = []

    def start(*words, size=(24, 80), **variables):
        surroundings = {name: value for name, value in environment().items()
                        if name not in ("TERM", "COLUMNS", "LINES", "NO_COLOR")}
        surroundings.update({"TERM": "xterm", "LC_ALL": "C.UTF-8", **variables})
        given = {name: value for name, value in surroundings.items() if value is not None}
        started.append(InTerminal([str(TOP), *map(str, words)], given, size))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.close()


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl-c"])
def test_the_live_view_shows_ports_and_events_and_a_key_leaves(watched, in_terminal, key):
    top = in_terminal("--console", watched.second_path, "--interval", "0.2")
    top.wait_for("in the last minute")
    top.wait_for("256/256")
    watched.ask("reset 1")
    top.wait_for("reason=operator")
    cross(watched, 0, 1, capture.frames(30, seed=5), [])
    top.type(key)
    assert top.finish() == 0


def test_a_machine_of_its_own_is_started_shown_and_ended(scratch):
    done = run_top("--kernel", ELF, "--capture", BUILD / "capture.pcap", "--interval", "0.2",
                   "--picture", scratch / "screen.svg", DURATION="10", TMPDIR=str(scratch))
    assert done.returncode == 0, done.stdout
    assert "starting a machine to show" in done.stdout
    rates = re.findall(r"port=1 link=up rx/s=(\S+)", done.stdout)
    assert any(rate != "0" for rate in rates), done.stdout
    picture = (scratch / "screen.svg").read_text()
    assert "barewire" in picture and "rx&#160;ring" in picture and "font-face" not in picture
    assert os.listdir(scratch) == ["screen.svg"]


@pytest.fixture
def machine(scratch):
    """Makes consoles that answer without a machine."""
    made = []

    def make(**words):
        made.append(TopMachine(scratch / f"console{len(made)}", **words))
        return made[-1]

    yield make
    for one in made:
        one.close()


NOT_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HOME = b"\x1b[H"  # each redraw begins with it


@pytest.mark.parametrize("variables", [
    {}, NOT_UTF8, {"TERM": "linux"}, {"TERM": "vt100"}, {"TERM": "screen"}, {"NO_COLOR": "1"},
    {"TERM": "xterm-of-nobody"}, {"TERM": "screen", **NOT_UTF8}, {"TERM": "xterm-256color"},
], ids=str)  # fmt: skip
def test_the_live_view_works_on_terminals_of_all_kinds(machine, in_terminal, variables):
    fake = machine()
    top = in_terminal("--console", fake.path, "--interval", "0.1", **variables)
    fake.wait_rounds(5)
    top.wait_for("200/256")
    top.wait_for("events ")
    top.type(b"q")
    assert top.finish() == 0
    assert "Traceback" not in top.text()
    plain = "LC_ALL" in variables or variables.get("TERM") == "linux"
    assert ("@" in top.text(), "█" in top.text()) == (plain, not plain)
    if plain:
        assert top.output.isascii()
    coloured = variables.get("TERM") != "vt100" and "NO_COLOR" not in variables
    assert (b"\x1b[32m" in top.output) == coloured


@pytest.mark.parametrize("term", ["dumb", "unknown", "", None])
def test_a_terminal_that_cannot_be_drawn_on_gets_lines(machine, in_terminal, term):
    fake = machine()
    top = in_terminal("--console", fake.path, "--interval", "0.1", TERM=term)
    top.wait_for("port=1 link=up")
    top.type(b"q")
    assert top.finish() == 0
    assert b"\x1b" not in top.output


def test_a_round_of_answers_costs_two_redraws_at_most(machine, in_terminal):
    fake = machine(ports=8)
    top = in_terminal("--console", fake.path, "--interval", "0.5")
    top.wait_for("200/256")
    before, rounds = len(top.output), fake.rounds
    while fake.rounds < rounds + 6:
        fake.say("link", port=0, state="up")  # an event is no reason for more than one of them
        time.sleep(0.02)
    sent = top.output[before:]
    assert 6 <= sent.count(HOME) <= 2 * 7
    assert len(sent) < sent.count(HOME) * 4000


def test_events_between_two_rounds_are_shown_before_the_next(machine, in_terminal):
    fake = machine()
    top = in_terminal("--console", fake.path, "--interval", "60")
    top.wait_for("200/256")
    fake.say("link", port=0, state="down", pci="00:02.0")
    top.wait_for("state=down")
    fake.say("bye", reason="power-button", action="poweroff")
    top.wait_for("the machine has ended (bye power-button): these figures are")
    top.type(b"q")
    assert top.finish() == 0


def newest(top):
    """What is on the screen: the last redraw that is complete."""
    return top.text().split(HOME.decode())[-2]


def test_ports_beyond_the_window_are_marked_and_scrolled_to(machine, in_terminal):
    fake = machine(ports=30)
    top = in_terminal("--console", fake.path, "--interval", "0.1")
    top.wait_for("… and 12 more ports, 0 above and 12 below")
    for keys, words in ((b"\x1b[B\x1b", "1 above and 11 below"),  # down, and half a key
                        (b"[6~", " 11 above and 1 below"), (b"jjjjj", "12 above and 0 below"),
                        (b"k", " 11 above and 1 below"), (b"\x1b[5~\x1bOA", "0 above and 12")):
        top.type(keys)
        assert settle(lambda: words in newest(top)), newest(top)
    top.resize(60, 80)
    assert settle(lambda: "  29  " in newest(top) and "more" not in newest(top)), newest(top)
    top.type(b"q")
    assert top.finish() == 0


@pytest.mark.parametrize("ending", ["bye", "panic", "silence"])
def test_figures_of_a_machine_that_has_ended_are_called_old(machine, running, ending):
    fake = machine()
    top = running("--console", fake.path, "--interval", "0.1", "--prometheus", "127.0.0.1:0")
    url = top.wait_line(r"(http://127\.0\.0\.1:\d+/metrics)")[1]
    top.wait_line("port=0 ")
    assert value_of(scrape(url), "barewire_up") == 1
    fake.mute = True
    if ending == "silence":
        top.wait_line(r"^top: no answer: these figures are \d+ s old$")
    else:
        fake.say(ending, reason="asked-for")
        top.wait_line(rf"^top: the machine has ended \({ending} asked-for\): these figures are")
    assert settle(lambda: value_of(scrape(url), "barewire_up") == 0)
    assert value_of(scrape(url), "barewire_answer_age_seconds") > 0
    fake.mute = False
    fake.wait_rounds(2)
    assert settle(lambda: value_of(scrape(url), "barewire_up") == 1)


def test_a_long_interval_is_no_silence(machine, running):
    fake = machine()
    top = running("--console", fake.path, "--interval", "6")
    fake.wait_rounds(2)
    assert top.end() == 0
    assert not [line for line in top.lines if "no answer" in line]


def test_a_record_on_a_full_disk_ends_with_whole_lines_and_one_word(machine, scratch):
    fake = machine()
    picture = scratch / "screen.svg"
    done = run_top("--console", fake.path, "--interval", "0.1", "--record", "/dev/full",
                   "--picture", picture)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == ("top: /dev/full cannot be written, No space left on "
                                            "device: the record ends here")
    assert "Traceback" not in done.stdout
    assert picture.exists()


def test_a_record_leaves_no_half_line_where_a_limit_cuts_it(tmp_path):
    path = tmp_path / "record"
    script = ("import resource, signal, sys; sys.path.insert(0, sys.argv[1]); import top_monitor; "
              "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
              "resource.setrlimit(resource.RLIMIT_FSIZE, (250, 250)); "
              "record = top_monitor.Record(sys.argv[2]); "
              "[record.add({'time': 1, 'ports': [], 'x': 'y' * 60}) for _ in range(9)]")
    done = subprocess.run([sys.executable, "-B", "-c", script, str(ROOT / "tools"), str(path)],
                          capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert "File too large: the record ends here" in done.stderr
    assert len(path.read_text().splitlines()) == 2
    assert path.read_text().endswith("}\n")


def test_a_record_whose_last_line_is_cut_short_is_drawn_without_it(scratch):
    record, plot = scratch / "record", scratch / "x.svg"
    sample = '{"time": %d, "ports": [{"port": 0, "rx_pps": 1, "rx_bps": 1, "tx_pps": 1, "tx_bps": 1}]}\n'
    record.write_text(sample % 1 + sample % 2 + (sample % 3)[:-9])
    done = run_top("--from", record, "--plot", plot)
    assert done.returncode == 0, done.stdout
    assert f"top: {record}: its last line is cut short after 2 samples" in done.stdout
    assert plot.exists()


@pytest.mark.parametrize("option", ["--plot", "--picture", "--record"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_watched(machine, option):
    done = run_top("--console", machine().path, option, "/nowhere/x.svg")
    assert done.returncode == 1
    assert "/nowhere/x.svg cannot be written, No such file or directory" in done.stdout
    assert "port=" not in done.stdout


@pytest.mark.parametrize("redirection, told", [
    (">&-", "top: standard output is closed: send it to /dev/null if you don't want it\n"),
    (">/dev/full", "top: the output cannot be written, No space left on device\n"),
])  # fmt: skip
def test_output_that_takes_nothing_is_told_in_one_line(machine, redirection, told):
    done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", str(TOP), "--console",
                           machine().path], env=environment(), stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_without_rich_a_terminal_is_told_in_one_line(machine, in_terminal, scratch):
    (scratch / "rich.py").write_text("raise ModuleNotFoundError(name='rich')\n")
    top = in_terminal("--console", machine().path, PYTHONPATH=str(scratch))
    assert top.finish() == 1
    assert top.text() == ("top: the Python module rich is missing: apt-get install python3-rich\n")


def test_a_console_that_closes_is_told(watched, running):
    top = running("--console", watched.second_path, "--interval", "0.2")
    top.wait_line("port=0 ")
    watched.stop()
    top.wait_line("the console has closed")
    assert top.process.wait(LIMIT_S) == 1


def test_a_console_that_closes_while_something_is_typed_is_told_by_the_next_look(scratch):
    path = scratch / "closing"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        line = top_monitor.Line(str(path))
        listener.accept()[0].close()
    line.type("stats\r")
    assert line.lines() is None
    line.close()


def test_a_console_that_never_answers_is_told(scratch):
    path = scratch / "mute"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        done = run_top("--console", path, "--duration", "1")
        assert done.returncode == 1
        assert "no answer on" in done.stdout


@pytest.mark.parametrize("words, told", [
    (["--console", "/nowhere/at/all"], "cannot be opened, No such file"),
    (["--console", "/etc/hostname"], "neither a unix socket nor a serial device"),
    (["--console", "/dev/null"], "neither a unix socket nor a serial device"),
    (["--duration", "soon"], "is not a number of seconds above 0"),
    (["--duration", "-1"], "is not a number of seconds above 0"),
    (["--interval", "0"], "--interval 0 is not a number of seconds from 0.1 on"),
    (["--prometheus", "0.0.0.0:9101"], "a port of this machine's loopback"),
    (["--prometheus", "192.0.2.1:80"], "a port of this machine's loopback"),
    (["--prometheus", "9101"], "a port of this machine's loopback"),
    (["--prometheus", ":99999"], "a port of this machine's loopback"),
    (["--plot", "rates.gif"], "a plot is .svg or .png"),
    (["--from", "/etc/hostname"], "add --plot"),
    (["--from", "/nowhere", "--plot", "x.svg"], "/nowhere cannot be read"),
    (["--from", "/etc/passwd", "--plot", "x.svg"], "is no record"),
    (["--kernel", "/nowhere/barewire.elf"], "there is no file /nowhere/barewire.elf"),
])  # fmt: skip
def test_wrong_words_are_told_in_one_line(words, told):
    done = run_top(*words)
    assert done.returncode != 0
    assert told in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("line", ["[1]", "7", '{"ports": 7}', '{"time": 1, "ports": [7]}',
                                  '{"time": 1, "ports": [{}]}', '{"ports": [{"port": 0}]}',
                                  '{"time": 1, "ports": [{"port": 0, "rx_pps": "many"}]}'])
def test_a_record_of_something_else_is_told_in_one_line(scratch, line):
    record = scratch / "record"
    record.write_text(line + "\n")
    done = run_top("--from", str(record), "--plot", str(scratch / "x.svg"))
    assert done.returncode != 0
    assert "line 1 is no sample: give a file that --record has written" in done.stdout
    assert "Traceback" not in done.stdout


ODD_LINES = [
    '{"event":' + 5000 * "[",
    '{"event":"stats","t":1,"port":0,"since":0}',
    '{"event":"stats","t":"x","port":0,"since":0,"rx_packets":1}',
    '{"event":"stats","t":1,"port":0,"since":0,"rx_packets":1,"rx_bytes":1,"tx_packets":1,'
    '"tx_bytes":1,"rx_dropped":0,"tx_dropped":0,"resets":0,"drop_runt":"many"}',
    '{"event":"ports","t":1,"port":0,"rx_size":256}',
    '{"event":"link","t":{},"port":0}',
    '{"event":"error","t":1,"reason":[1]}',
    '{"event":"done","t":1,"command":"ports"}',
]


def test_a_console_that_talks_nonsense_is_survived(scratch):
    path = str(scratch / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        text = "".join(f"{line}\r\n" for line in ODD_LINES).encode()

        def talk():
            console, _ = listener.accept()
            with console, contextlib.suppress(OSError):  # it leaves while we talk
                console.sendall(text)
                while console.recv(4096):
                    console.sendall(text)

        talker = threading.Thread(target=talk, daemon=True)
        talker.start()
        done = run_top("--console", path, "--interval", "0.1", "--duration", "1")
        talker.join()
    assert done.returncode == 0
    assert "Traceback" not in done.stdout


def test_an_address_in_use_is_told(watched):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        done = run_top("--console", watched.second_path, "--prometheus", f"127.0.0.1:{port}")
        assert done.returncode == 1
        assert "cannot be served" in done.stdout and "take another port" in done.stdout


# ---- without a machine ----


def stats(number, t, **counters):
    zero = dict.fromkeys(top_monitor.COUNTERS, 0)
    return {"event": "stats", "t": t, "port": number, **zero, "drop_runt": 0, **counters}


def test_rates_are_by_the_machines_clock_and_begin_anew_with_it():
    port = top_monitor.Port(0)
    port.count(stats(0, 1.0))
    assert port.rates == {}
    port.count(stats(0, 3.0, rx_packets=1000, rx_bytes=250000))
    assert (port.rates["rx_pps"], port.rates["rx_bps"]) == (500, 1e6)
    port.count(stats(0, 3.5, rx_packets=1001, rx_bytes=250000))
    assert port.rates["rx_pps"] == 2
    port.count(stats(0, 0.5, rx_packets=7))  # it was rebooted
    assert port.rates == {}
    port.count(stats(0, 1.5, rx_packets=8))
    assert port.rates["rx_pps"] == 1


def test_a_version_that_looks_like_a_number_is_shown_all_the_same():
    class Line:
        def lines(self):
            return ['{"event":"version","t":1.5,"version":6220247}']

    machine = top_monitor.Machine(Line())
    machine.feed()
    assert machine.version == "6220247"


def test_lines_that_are_no_objects_are_passed_over():
    for line in ("", "> stats", "{", '{"event":', "[1]", "{}", '{"event":1}', "boot t=0.1 a=1"):
        assert top_monitor.object_of(line) is None
    assert top_monitor.object_of('{"event":"link","t":1.5}')["t"] == 1.5


class Nobody:
    """A line that nothing comes by."""

    def lines(self):
        return []


def known(ports, events=0):
    """A Machine as it is after two rounds."""
    machine = top_monitor.Machine(Nobody())
    for number in range(ports):
        port = machine.ports[number] = top_monitor.Port(number)
        port.about = {"link": "up", "rx_filled": 256, "rx_size": 256, "tx_filled": 0, "tx_size": 256}
        port.count(stats(number, 1.0))
        port.count(stats(number, 2.0, rx_packets=1234567))
    for number in range(events):
        machine._take({"event": "link", "t": float(number), "port": 0, "state": "up"})
    machine.answered = time.monotonic()
    return machine


def drawn(machine, width, height, first=0, glyphs=top_screen.FINE):
    return [line.plain for line in
            top_screen.Page(machine, [], width, height, glyphs).lines(first)]


@pytest.mark.parametrize("glyphs", [top_screen.FINE, top_screen.PLAIN], ids=["fine", "plain"])
@pytest.mark.parametrize("ports, events", [(0, 0), (1, 1), (2, 200), (9, 3), (32, 200)])
def test_a_page_fits_into_windows_of_every_size(ports, events, glyphs):
    machine = known(ports, events)
    for width in (*range(1, 90), 133, 134, 200):
        for height in (*range(1, 40), 80):
            lines = drawn(machine, width, height, 3, glyphs)
            assert len(lines) <= height
            assert max(map(len, lines)) <= width


def test_what_does_not_fit_is_marked():
    lines = drawn(known(32, 50), 80, 24)
    shown = [line for line in lines if re.match(r" +\d+  up", line)]
    assert f"… and {32 - len(shown)} more ports, 0 above and {32 - len(shown)} below" in "".join(lines)
    assert any(line.startswith("events, the last 2 of 50 ─") for line in lines)
    assert lines[-1] == "q or Ctrl-C leaves; a larger window shows the last minute"
    assert drawn(known(2), 60, 24)[-1].endswith("a larger window shows tx ring")
    assert drawn(known(2, 3), 80, 4)[-1] == "… and more in a larger window"
    assert drawn(known(2), 20, 24)[0] == "barewire    running…"
    (event,) = [line for line in drawn(known(1, 1), 20, 24) if line.startswith("link")]
    assert event == "link t=0.000000 por…"


def test_what_fits_is_shown_without_a_mark():
    lines = drawn(known(4, 5), 80, 24)
    assert len(lines) == 3 + 4 + 2 + 4 + 1 + 5 + 1
    assert "events ─" in lines[13] and lines[-1] == "q or Ctrl-C leaves"
    assert not [line for line in lines if "…" in line or "more" in line]


def test_scrolling_stops_at_both_ends():
    machine = known(32, 50)
    for first, above in ((-5, 0), (0, 0), (7, 7), (32, 16), (1000, 16)):
        lines = drawn(machine, 80, 24, first)
        assert f"{above} above and {16 - above} below" in "".join(lines), lines
        assert lines[3].startswith(f"{above:4}  up")


def test_a_sparkline_has_a_step_a_second_and_its_highest_point_full():
    assert top_view.sparkline([], 4) == "    "
    assert top_view.sparkline([0, 0], 4) == "  ▁▁"
    assert top_view.sparkline([0, 50, 100], 3) == "▁▄█"
    assert top_view.sparkline(range(100), 10)[-1] == "█"
    assert len(top_view.sparkline(range(100), 60)) == 60


def test_figures_are_short():
    assert [top_view.scaled(value) for value in (0, 999, 1000, 12345, 1234567, 2.5e12)] == [
        "0", "999", "1.00 k", "12.3 k", "1.23 M", "2500 G"
    ]  # fmt: skip
    assert top_view.scaled(1500, "bit/s") == "1.50 kbit/s"
