"""Runs graftd below what its unit asks of systemd, as far as that can be had without systemd as init: the filter of system calls, no capabilities, no
new privileges, no namespaces, no memory that is written and run, only its own families of sockets, and nothing to write to but its directory.

    restricted.py UNIT GRAFTD DIR       in namespaces of its own for mounts and the network
"""

import errno
import mmap
import os
import pathlib
import socket
import sys

import seccomp

import running

NAMESPACES = 0x7E020080  # CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, network


def lines(unit: str, key: str) -> list[str]:
    told = (line.split("=", 1) for line in pathlib.Path(unit).read_text().splitlines() if "=" in line and not line.startswith("#"))
    return [value for name, value in told if name == key]


def calls(name: str) -> set[str]:
    """What stands for a name in a filter: itself, or everything in the set."""
    if not name.startswith("@"):
        return {name}
    inside = running.must("systemd-analyze", "syscall-filter", "--no-pager", name).splitlines()[1:]
    inside = [line.strip() for line in inside if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(calls, inside))


def allowed(unit: str) -> set[str]:
    taken: set[str] = set()
    for value in lines(unit, "SystemCallFilter"):
        named = set().union(*map(calls, value.lstrip("~").split()))
        taken = taken - named if value.startswith("~") else taken | named
    # What systemd always lets through.
    return taken | calls("@default")


def cage(unit: str) -> None:
    """From here on this process, and what it becomes, can do no more than that."""
    told = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    special = {"socket", "mmap", "mprotect", "pkey_mprotect", "clone", "clone3", "unshare", "setns"}
    for call in sorted(allowed(unit) - special):
        try:
            told.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, OSError):
            pass  # not a call of this machine
    for family in lines(unit, "RestrictAddressFamilies")[0].split():
        told.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
    if lines(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        for protection in (0, mmap.PROT_WRITE, mmap.PROT_EXEC):
            told.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, protection))
        told.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
    if lines(unit, "RestrictNamespaces") == ["yes"]:
        told.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, NAMESPACES, 0))
        # Its flags cannot be seen; the C library falls back to the other one.
        told.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    told.load()


def shows_the_cage() -> None:
    """That it holds: each of these is refused."""

    def refused(what: str, attempt) -> None:
        try:
            attempt()
        except OSError:
            return
        sys.exit(f"the cage lets through: {what}")

    refused("a packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    refused("memory that is written and run", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
    refused("a file beside its directory", lambda: open("/var/tmp/graft-was-here", "w", encoding="utf-8"))
    refused("another nice value", lambda: os.setpriority(os.PRIO_PROCESS, 0, 19))
    refused("another owner", lambda: os.chown("/proc/self/fd", 0, 0))
    refused("a file of root's", lambda: open("/etc/shadow", encoding="utf-8"))


def main() -> None:
    unit, graftd, directory = sys.argv[1:4]
    if len(sys.argv) > 4:
        cage(unit)
        shows_the_cage()
        config = os.path.join(directory, "graftd.toml")
        os.execv(graftd, [graftd, "--config", config, "--data-dir", os.path.join(directory, "data"), "--log-format", "json"])

    running.must("ip", "link", "set", "lo", "up", "multicast", "on")
    running.must("ip", "route", "add", "224.0.0.0/4", "dev", "lo")
    announcements = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    announcements.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    announcements.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    announcements.bind(("", 5353))
    announcements.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1"))
    announcements.settimeout(running.PATIENCE_S)
    os.makedirs(directory)
    config = pathlib.Path(directory, "graftd.toml")
    members = '[node]\nname = "m1"\n[cluster]\nexpect = 1\npeer_listen = "127.0.0.1:7421"\n[discovery]\nmdns = true\n[security]\ninsecure = true\n'
    config.write_text(members)
    os.chown(directory, running.USER, running.USER)
    # The directory stays as it is; everything else can only be read.
    running.must("mount", "--bind", directory, directory)
    for at in ("/tmp", "/dev/shm", "/"):
        if os.path.ismount(at):
            running.must("mount", "-o", "remount,bind,ro", at)
    command = [*running.UNPRIVILEGED, sys.executable, os.path.abspath(__file__), unit, graftd, directory, "caged"]
    with running.Daemon(command, pathlib.Path(directory, "log"), env={"LC_ALL": "C.UTF-8"}) as daemon:
        daemon.ready()
        status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
        told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        # 2: a filter.
        assert (told["Seccomp"], told["NoNewPrivs"], int(told["CapBnd"], 16), told["Uid"].split()[0]) == ("2", "1", 0, str(running.USER)), told
        code, answer = daemon.ask("POST", "/api/v1/namespaces/default/workflows", {"workflow_id": "a", "nodes": [{"node": "nobody"}]})
        assert code == 201, answer
        # It has found out by which addresses it can be announced, and does it.
        while b"_graft-peer" not in announcements.recv(9_000):
            pass
        config.write_text(members + '[log]\nlevel = "debug"\n')
        os.kill(daemon.process.pid, 1)
        daemon.metric('graft_config_reloads_total{result="applied"}', 1)
        daemon.drained()
        refusals = [line for line in daemon.said().splitlines() if "not permitted" in line or "os error 1)" in line]
        assert not refusals, refusals
    print(f"graftd runs, reads its configuration again and drains with {len(allowed(unit))} system calls and no privilege")


main()
