#!/usr/bin/python3 -B
"""
Chooses between KVM and TCG, by ACCEL=auto|kvm|tcg, for every tool and test that starts QEMU.

A /dev/kvm that opens may still be unable to run this kernel: KVM without hardware virtualization
emulates only some instructions. So KVM is tried: a machine without ports has to become ready.
Called as a program with a kernel and a file, it leaves the outcome there, for the variable KVM_TRIAL:
that saves the other programs of one make call their own trial.
"""

import functools
import grp
import json
import os
import select
import stat
import subprocess
import sys
import time

import launch
from launch import Problem

CHOICES = ("auto", "kvm", "tcg")
DEVICE = "/dev/kvm"
TRIAL_LIMIT_S = 30
DUMP_LIMIT_S = 1  # from the first line of KVM's register dump until QEMU has stopped the machine
MACHINES = ("microvm", "pc")  # microvm is ready soonest, but not every QEMU has it
# What QEMU says about a machine that it lacks, or whose firmware it lacks
LACKING = ("unsupported machine type", "could not load PC BIOS")
INTERNAL_ERROR = "KVM internal error"


def choose(kernel, usual="auto", only_tcg=None):
    """
    The accelerator to use and the line that says which one and why. `usual` is what holds without
    ACCEL=. `only_tcg` says why a tool cannot use KVM at all. Raises Problem where ACCEL=kvm cannot
    be obeyed.
    """
    wanted = wish() or usual
    if only_tcg and wanted == "kvm":
        raise Problem(f"ACCEL=kvm is not possible here: {only_tcg}")
    if only_tcg:
        return "tcg", f"accelerator TCG: {only_tcg}"
    if wanted == "tcg":
        return "tcg", "accelerator TCG"
    refusal = kvm_refusal(kernel)
    if not refusal:
        return "kvm", "accelerator KVM"
    if wanted == "kvm":
        raise Problem(f"ACCEL=kvm is not possible here: {refusal}")
    return "tcg", f"accelerator TCG, much slower than KVM: {refusal}"


def wish():
    """ACCEL= of the user, checked; "" where none is given."""
    value = os.environ.get("ACCEL", "")
    if value and value not in CHOICES:
        raise Problem(f"ACCEL={value} is unknown: use one of {', '.join(CHOICES)}")
    return value


def kvm_refusal(kernel):
    """Why KVM cannot run `kernel`, in one line; "" if it can. Tried once a make call."""
    qemu = launch.qemu_program()
    kernel = os.path.realpath(kernel)
    try:
        known = json.loads(os.environ.get("KVM_TRIAL") or "{}")
    except ValueError:
        known = {}
    if (known.get("qemu"), known.get("kernel")) != (qemu, kernel):
        known = _outcome(qemu, kernel)
        # For the programs that this one starts.
        os.environ["KVM_TRIAL"] = json.dumps(known)
    return known["refusal"]


@functools.cache
def _outcome(qemu, kernel):
    deadline = time.monotonic() + TRIAL_LIMIT_S
    refusal = ""
    for machine in MACHINES:
        refusal = _try_machine(kernel, machine, deadline)
        if not any(words in refusal for words in LACKING):
            break
    if "Permission denied" in refusal:
        refusal += permission_remedy(DEVICE)
    return {"qemu": qemu, "kernel": kernel, "refusal": refusal}


def permission_remedy(path):
    """Who may open the device: a group, or root alone."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    if not status.st_mode & stat.S_IRGRP or not status.st_mode & stat.S_IWGRP:
        return f"; only root may open {path}"
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"; members of the group {group} may open {path}: sudo usermod -aG {group} $USER"


class Trial:
    """What a machine without ports says until it is ready, stops or ends."""

    def __init__(self, qemu):
        self.qemu = qemu
        self.output = b""
        self.errors = b""
        self.streams = [qemu.process.stdout, qemu.process.stderr, qemu.monitor]

    def run(self, deadline):
        """Why it didn't become ready; "" if it did."""
        dumping = False
        while not self._ready():
            left = deadline - time.monotonic()
            if left <= 0:
                return self._answer(f"no ready event within {TRIAL_LIMIT_S} s")
            if failure := self.qemu.failure():
                return self._answer(failure)
            if INTERNAL_ERROR in self._said() and not dumping:
                dumping, deadline = True, min(deadline, time.monotonic() + DUMP_LIMIT_S)
            if not self.streams:
                return self._answer(launch.describe_exit(self.qemu.ended()))
            for stream in select.select(self.streams, [], [], min(left, 0.1))[0]:
                self._read(stream)
        return ""

    def _read(self, stream):
        if stream is self.qemu.monitor:
            if not self.qemu.monitor.feed():
                self.streams.remove(stream)
            return
        data = os.read(stream.fileno(), 65536)
        if not data:
            self.streams.remove(stream)
        elif stream is self.qemu.process.stdout:
            self.output += data
        else:
            self.errors += data

    def _ready(self):
        return any(line.startswith(b"ready ") for line in self.output.split(b"\n")[:-1])

    def _said(self):
        return self.errors.decode("utf-8", "replace")

    def _answer(self, otherwise):
        """KVM's own words in one line, else the kernel's last ones, else `otherwise`."""
        for stream in select.select(self.streams, [], [], 0)[0]:
            self._read(stream)
        lines = [line for line in self._said().splitlines() if line.strip()]
        own = [line for line in lines if line.startswith(INTERNAL_ERROR)]
        if own:
            detail = [line for line in lines if line == "emulation failure"]
            return ", ".join(own[:1] + detail[:1])
        program = os.path.basename(launch.qemu_program())
        errors = [line.removeprefix(f"{program}: ") for line in lines if "warning:" not in line]
        panics = [line for line in self.output.decode("ascii", "replace").splitlines()
                  if line.startswith("panic ")]
        return (errors + panics + [otherwise])[0].strip()


def _try_machine(kernel, machine, deadline):
    command = launch.qemu_command(kernel, [], "stats=0", "kvm", machine)
    with launch.Qemu(command, subprocess.PIPE, subprocess.PIPE) as qemu:
        return Trial(qemu).run(deadline)


def main():
    kernel, outcome = sys.argv[1:]
    choose(launch.need_file(kernel, "build it with make"))
    with open(outcome, "w", encoding="utf-8") as file:
        file.write(os.environ.get("KVM_TRIAL", ""))
    return 0


if __name__ == "__main__":
    launch.run_main(main)
