"""The control queue, asked for its effect: QEMU's own idea of the receive filter, and frames.

Promiscuous is also QEMU's state after reset, so "on" alone proves nothing: each test that expects it
also expects QEMU to say that the driver set it (NIC_RX_FILTER_CHANGED).
"""

import pytest

import capture
from exchange import silent, works
from guest import mac_of, settle


def rx_filter(guest, port=0):
    """QEMU's receive filter of a port."""
    (answer,) = guest.qmp.command("query-rx-filter", name=f"nic{port}")
    return answer


def changed(guest):
    """The ports whose filter the driver has changed. QEMU says so once, until it is asked for it."""
    guest.qmp.command("query-status")  # answered behind all that QEMU has said before
    return {event["data"]["name"] for event in guest.qmp.find("NIC_RX_FILTER_CHANGED")}


@pytest.mark.parametrize("layout", ["on", "off"], ids=["any_layout", "fixed_layout"])
@pytest.mark.parametrize("promisc", ["on", "off"])
@pytest.mark.parametrize("allmulti", ["on", "off"])
def test_filter_is_what_the_words_ask_for(boot, promisc, allmulti, layout):
    card = f"any_layout={layout}"
    guest = boot(ports=[card] * 2, words=f"promisc={promisc} allmulti={allmulti}")
    assert changed(guest) == {"nic0", "nic1"}
    for port in (0, 1):
        state = rx_filter(guest, port)
        assert state["promiscuous"] == (promisc == "on")
        assert (state["multicast"] == "all") == (allmulti == "on")
    assert not guest.find("warn")


@pytest.mark.parametrize("layout", ["on", "off"], ids=["any_layout", "fixed_layout"])
def test_promiscuous_mode_goes_on_and_off_and_on_while_frames_pass(boot, layout):
    guest = boot(ports=[f"any_layout={layout}"] * 2)
    foreign = [mac_bytes("525400999999") + frame[6:] for frame in capture.frames(10)]
    assert rx_filter(guest)["promiscuous"]
    for on in (False, True, False, True):
        assert guest.ask(f"set promisc={'on' if on else 'off'}")[-1].name == "done"
        assert settle(lambda: rx_filter(guest)["promiscuous"] == on)
        guest.ends[0].send(*foreign)
        own = [mac_bytes(mac_of(0)) + frame[6:] for frame in capture.frames(10, seed=int(on))]
        guest.ends[0].send(*own)
        guest.ends[1].expect(foreign + own if on else own)


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def test_without_promiscuous_only_own_unicast_passes(boot):
    guest = boot(words="promisc=off")
    own, foreign = mac_bytes(mac_of(0)), mac_bytes("525400999999")
    frames = capture.frames(10)
    for frame in frames:
        guest.ends[0].send(foreign + frame[6:], own + frame[6:])
    guest.ends[1].expect([own + frame[6:] for frame in frames])
    silent(guest, 0, 1)


@pytest.mark.parametrize("allmulti", ["on", "off"])
def test_without_promiscuous_multicast_passes_with_allmulti_only(boot, allmulti):
    guest = boot(words=f"promisc=off allmulti={allmulti}")
    group, everyone = bytes.fromhex("01005e010203"), b"\xff" * 6
    frames = capture.frames(10)
    for frame in frames:
        guest.ends[0].send(group + frame[6:], everyone + frame[6:])
    shown = [group, everyone] if allmulti == "on" else [everyone]
    guest.ends[1].expect([address + frame[6:] for frame in frames for address in shown])
    silent(guest, 0, 1)


@pytest.mark.parametrize("layout", ["on", "off"], ids=["any_layout", "fixed_layout"])
def test_address_of_the_command_line_is_the_devices_too(boot, layout):
    address = "52:54:00:aa:bb:cc"
    card = f"any_layout={layout}"
    guest = boot(ports=[card] * 2, words=f"mac=1/{address} promisc=off")
    assert guest.port(1)["mac"] == address
    assert guest.port(0)["mac"] == mac_of(0)
    assert rx_filter(guest, 1)["main-mac"] == address
    assert rx_filter(guest, 0)["main-mac"] == mac_of(0)
    frames = [mac_bytes(address) + frame[6:] for frame in capture.frames(5)]
    guest.ends[1].send(*frames)
    guest.ends[0].expect(frames)


@pytest.mark.parametrize("switch", ["ctrl_vq=off", "ctrl_rx=off"])
def test_port_that_cannot_be_made_promiscuous_is_warned_of(boot, switch):
    guest = boot(ports=[switch, ""])
    assert guest.wait("warn", lambda event: "promisc" in event.line, port=0)
    assert not [e for e in guest.find("warn", port=1) if "promisc" in e.line]
    works(guest)


def test_address_without_the_command_is_written_into_the_configuration(boot):
    address = "52:54:00:aa:bb:cc"
    words = f"mac=0/{address} transport=legacy"
    guest = boot(ports=["ctrl_mac_addr=off", "ctrl_vq=off"], words=words)
    assert guest.port(0)["mac"] == address
    assert guest.qmp.command("query-rx-filter", name="nic0")[0]["main-mac"] == address
    assert guest.port(1)["mac"] == mac_of(1)
    works(guest)


def test_address_of_a_modern_card_without_the_command_stays_and_that_is_said(boot):
    """Its configuration is not the driver's to write."""
    guest = boot(ports=["ctrl_mac_addr=off", ""], words="mac=0/52:54:00:aa:bb:cc")
    assert guest.wait("warn", reason="control-not-offered", command="mac")
    assert guest.port(0)["mac"] == mac_of(0)
    works(guest)


# ---- tables ----


def to(address, size=60):
    """A frame for a station or a group, whose bytes differ from those of any other."""
    return mac_bytes(address) + capture.frame(size, seed=mac_bytes(address)[5])[6:]


def tagged(vlan, size=64):
    """A broadcast with a VLAN tag, or without one for None."""
    plain = b"\xff" * 6 + capture.frame(size, seed=vlan or 0)[6:]
    return plain if vlan is None else plain[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + plain[12:]


@pytest.mark.parametrize("transport", ["legacy", "modern"])
def test_addresses_of_the_words_are_received_and_no_others(boot, transport):
    station, group = "02:00:00:00:00:77", "01:00:5e:00:00:77"
    words = f"promisc=off accept=0/{station} accept=0/{group} transport={transport}"
    guest = boot(words=words)
    state = rx_filter(guest)
    assert (state["unicast-table"], state["multicast-table"]) == ([station], [group])
    wanted = [to(station), to(group), to(mac_of(0)), to("ff:ff:ff:ff:ff:ff")]
    others = [to("02:00:00:00:00:78"), to("01:00:5e:00:00:78")]
    guest.ends[0].send(*others, *wanted)
    guest.ends[1].expect(wanted)
    silent(guest, 1)


@pytest.mark.parametrize("transport", ["legacy", "modern"])
def test_vlans_of_the_words_are_received_and_no_others(boot, transport):
    """To QEMU a promiscuous card has no filter, not even this one."""
    guest = boot(words=f"promisc=off vlan=0/5 vlan=0/4094 vlan=0/0 transport={transport}")
    state = rx_filter(guest)
    assert (state["vlan"], sorted(state["vlan-table"])) == ("normal", [0, 5, 4094])
    assert rx_filter(guest, 1)["vlan"] == "all"  # a port without vlan=
    wanted = [tagged(5), tagged(None), tagged(4094), tagged(0)]
    guest.ends[0].send(tagged(6), tagged(4093), *wanted)
    guest.ends[1].expect(wanted)
    back = [tagged(6), tagged(1)]
    guest.ends[1].send(*back)
    guest.ends[0].expect(back)
    silent(guest, 0, 1)


def test_tagged_frames_all_pass_where_no_vlan_is_asked_for(boot):
    guest = boot()
    frames = [tagged(vlan) for vlan in (0, 1, 5, 4094)]
    guest.ends[0].send(*frames)
    guest.ends[1].expect(frames)


def test_words_for_ports_that_are_not_there_are_named(boot):
    guest = boot(words="vlan=7/5 accept=7/02:00:00:00:00:77")
    for word in ("vlan", "accept"):
        assert guest.wait("warn", word=word, port="7")
    works(guest)
