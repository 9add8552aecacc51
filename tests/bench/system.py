"""A guest on the testbed: the measurements, and the figures from them."""

import dataclasses

import testbed
import launch

LENGTH = 64  # bytes of a frame
ONE_WAY = f"saturate:1:{LENGTH}:2"
BOTH_WAYS = f"saturate:3:{LENGTH}:2"
BURSTS = f"burst:1:{LENGTH}:32:500"
LONE = f"burst:1:{LENGTH}:1:5000"
IDLE = "idle:1"
PHASES = (ONE_WAY, BOTH_WAYS, BURSTS, LONE, IDLE)

RING_PACKED = 1 << 34  # VIRTIO_F_RING_PACKED

# MiB, from the largest down. QEMU's own firmware does not start with less than the last.
MEMORY_SIZES = (256, 192, 160, 144, 128, 112, 96, 80, 64, 48, 32, 24, 20, 16, 14, 12, 10, 8, 6, 4)


def doorbells_per_thousand(figures):
    return 1000 * (figures["doorbells_rx"] + figures["doorbells_tx"]) / figures["frames"]


def tell_of_spoiled(name, results):
    for phase in PHASES[:-1]:
        spoiled = [f"{results[phase][kind]} {kind}" for kind in ("lost", "disordered", "corrupt")
                   if results[phase][kind]]
        if spoiled:
            launch.say(f"{name}, {phase}: of {results[phase]['frames']} frames {', '.join(spoiled)}")


def measure(build, guest, device):
    """The figures of a guest with such a card. Where the rings are kept full the better windows
    count: in the others the testbed had to wait for a core, and the guest for frames."""
    results = testbed.run(build, guest, device, PHASES)
    tell_of_spoiled(guest.name, results)
    one_way, both_ways, lone = results[ONE_WAY], results[BOTH_WAYS], results[LONE]
    idle = results[IDLE]
    return {
        "instructions": one_way["instructions_per_frame"]["p10"],
        "instructions_both_ways": both_ways["instructions_per_frame"]["p10"],
        "instructions_lone": lone["instructions_per_frame"]["min"],
        "microseconds_lone": lone["microseconds"]["median"],
        "frames_per_cpu_second": one_way["frames_per_cpu_second"]["p90"],
        "port_io_per_thousand": 1000 * one_way["port_io"] / one_way["frames"],
        "doorbells_per_thousand": doorbells_per_thousand(one_way),
        "doorbells_per_thousand_bursts": doorbells_per_thousand(results[BURSTS]),
        "idle_port_io_per_second": idle["port_io"] / idle["seconds"],
        "instructions_to_first_frame": results["boot"]["instructions"],
        "marks": results["boot"]["marks"][:len(guest.marks)],
        "raw": results,
    }


def took_offer(figures, device):
    """Whether the guest speaks with the device as it was meant to."""
    return not device.packed or bool(int(figures["raw"]["boot"]["features"], 16) & RING_PACKED)


def forwards(build, guest, device, memory):
    """Whether the guest comes so far that frames pass with `memory` MiB."""
    try:
        testbed.run(build, dataclasses.replace(guest, memory=memory), device, [])
    except testbed.NeverForwarded:
        return False
    return True


def smallest_memory(build, guest, device):
    """MiB, the smallest of MEMORY_SIZES with which the guest forwards, by halving the list."""
    sizes = [size for size in MEMORY_SIZES if size <= guest.memory]
    least, most = 0, len(sizes)  # sizes[least] suffices, it was measured with it; sizes[most] doesn't
    while most - least > 1:
        middle = (least + most) // 2
        if forwards(build, guest, device, sizes[middle]):
            least = middle
        else:
            most = middle
    return sizes[least]


COLUMNS = ("device", "instructions", "both ways at once", "lone frame", "µs lone frame",
           "M frames/s of CPU", "port I/O per 1000", "doorbells per 1000", "the same, bursts of 32")


def cells(name, figures):
    return (
        name,
        f"{figures['instructions']:.0f}",
        f"{figures['instructions_both_ways']:.0f}",
        f"{figures['instructions_lone']:.0f}",
        f"{figures['microseconds_lone']:.1f}",
        f"{figures['frames_per_cpu_second'] / 1e6:.2f}",
        f"{figures['port_io_per_thousand']:.1f}",
        f"{figures['doorbells_per_thousand']:.1f}",
        f"{figures['doorbells_per_thousand_bursts']:.1f}",
    )
