"""The counters for Prometheus, in its text format, on loopback only."""

import ipaddress
import threading
import time

from launch import Problem


def parse_address(text):
    """HOST:PORT or :PORT. Only on loopback: who may ask must not depend on a slip of the finger."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if host == "localhost":
        host = "127.0.0.1"
    try:
        number = int(port)
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        number, loopback = -1, False
    if not colon or not 0 <= number <= 65535 or not loopback:
        raise Problem(f"--prometheus {text}: give a port of this machine's loopback, as "
                      "127.0.0.1:9101")
    return host, number


class Collector:
    """Asked by a scrape, in a thread of its own; reads what the last round of answers has left."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ports = []
        self.facts = {"up": 0, "uptime": None, "version": None, "answered": None}

    def update(self, machine):
        """Called after each round, and when the machine falls silent."""
        ports = [(str(number), port.about.get("address", ""), dict(port.counters), port.drops(),
                  dict(port.about)) for number, port in sorted(machine.ports.items())]
        facts = {"up": 1 if machine.up() else 0, "uptime": machine.time,
                 "version": machine.version, "answered": machine.answered}
        with self.lock:
            self.ports, self.facts = ports, facts

    def collect(self):
        """The interface that prometheus_client calls."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        with self.lock:
            ports, facts = self.ports, self.facts
        yield GaugeMetricFamily("barewire_up", "Whether the console answers.", value=facts["up"])
        if facts["answered"] is not None:
            yield GaugeMetricFamily("barewire_answer_age_seconds",
                                    "Time since the machine gave these figures.",
                                    value=time.monotonic() - facts["answered"])
        if facts["uptime"] is not None:
            yield GaugeMetricFamily("barewire_uptime_seconds", "Time since the kernel's entry.",
                                    value=facts["uptime"])
        if facts["version"]:
            yield InfoMetricFamily("barewire_build", "What runs there.",
                                   value={"version": str(facts["version"])})
        yield from self._counters(ports)
        yield from self._gauges(ports)

    @staticmethod
    def _counters(ports):
        from prometheus_client.core import CounterMetricFamily

        for key, name, text in (
            ("rx_packets", "receive_packets", "Frames received."),
            ("rx_bytes", "receive_bytes", "Bytes of frames received, without FCS."),
            ("tx_packets", "transmit_packets", "Frames sent."),
            ("tx_bytes", "transmit_bytes", "Bytes of frames sent, without FCS."),
            ("resets", "resets", "Resets of the device."),
        ):
            family = CounterMetricFamily(f"barewire_port_{name}", text, labels=("port", "address"))
            for number, address, counters, _, _ in ports:
                if key in counters:
                    family.add_metric((number, address), counters[key])
            yield family
        family = CounterMetricFamily("barewire_port_dropped_packets",
                                     "Frames discarded, by reason.",
                                     labels=("port", "address", "reason"))
        for number, address, _, drops, _ in ports:
            for reason, count in drops.items():
                family.add_metric((number, address, reason.removeprefix("drop_")), count)
        yield family

    @staticmethod
    def _gauges(ports):
        from prometheus_client.core import GaugeMetricFamily

        link = GaugeMetricFamily("barewire_port_link_up", "Whether the link is up.",
                                 labels=("port", "address"))
        filled = GaugeMetricFamily("barewire_port_ring_filled", "Buffers that a ring holds.",
                                   labels=("port", "address", "ring"))
        size = GaugeMetricFamily("barewire_port_ring_size", "Buffers that fit into a ring.",
                                 labels=("port", "address", "ring"))
        for number, address, _, _, about in ports:
            if "link" in about:
                link.add_metric((number, address), 1 if about["link"] == "up" else 0)
            for ring in ("rx", "tx"):
                if f"{ring}_size" in about:
                    filled.add_metric((number, address, ring), about[f"{ring}_filled"])
                    size.add_metric((number, address, ring), about[f"{ring}_size"])
        yield from (link, filled, size)


def serve(address, collector):
    """Starts to serve; returns the URL. Ends with the process."""
    import prometheus_client
    from prometheus_client.exposition import make_wsgi_app
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        """Requests are not logged on the terminal."""

        def log_message(self, *_):
            pass

    registry = prometheus_client.CollectorRegistry()
    registry.register(collector)
    host, port = address
    try:
        server = make_server(host, port, make_wsgi_app(registry), handler_class=Quiet)
    except OSError as error:
        raise Problem(f"--prometheus {host}:{port} cannot be served, {error.strerror}: take "
                      "another port") from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{host}:{server.server_port}/metrics"
