"""Runs the image without a container engine: its files as the whole root, read-only, as the user that the Dockerfile says, without capabilities.

    image.py ROOT       in namespaces of its own for mounts, the network and processes
"""

import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading

import running

ROOT = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).resolve().parent.parent.parent
NAME = "graft-headless.test"


def dockerfile() -> tuple[dict[str, str], str, list[str]]:
    """The environment, the user and the entry point that the last stage sets."""
    text = (HERE / "deploy/docker/Dockerfile").read_text().replace("\\\n", " ")
    stage = text[text.rindex("\nFROM ") :]
    environment = dict(pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", stage, re.MULTILINE) for pair in line.split())
    user = re.search(r"^USER (\S+)$", stage, re.MULTILINE)
    entry = re.search(r'^ENTRYPOINT \["([^"]+)"\]$', stage, re.MULTILINE)
    assert user and entry
    return environment, user[1], [entry[1]]


def answer_names(server: socket.socket) -> None:
    """A DNS server that knows one name: an A record for it, and no AAAA."""
    while True:
        question, whence = server.recvfrom(512)
        end = question.index(b"\0", 12) + 5
        kind = struct.unpack("!H", question[end - 4 : end - 2])[0]
        asked = ".".join(re.findall(r"[a-z-]+", question[12 : end - 4].decode("ascii", "replace")))
        answers = 1 if kind == 1 and asked == NAME else 0
        head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, answers, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
        server.sendto(head + question[12:end] + record * answers, whence)


def mount_what_an_engine_mounts() -> None:
    running.must("mount", "--bind", str(ROOT), str(ROOT))
    for name in ("proc", "dev"):
        (ROOT / name).mkdir()
    for name in ("resolv.conf", "hosts"):
        (ROOT / "etc" / name).touch()
    (ROOT / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    (ROOT / "etc/hosts").write_text("127.0.0.1 localhost\n")
    running.must("mount", "-t", "proc", "proc", str(ROOT / "proc"))
    running.must("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(ROOT / "dev"))
    for device in ("null", "urandom"):
        (ROOT / "dev" / device).touch()
        running.must("mount", "--bind", f"/dev/{device}", str(ROOT / "dev" / device))
    running.must("mount", "-t", "tmpfs", "-o", f"mode=0700,uid={running.USER},gid={running.USER}", "tmpfs", str(ROOT / "var/lib/graft"))
    running.must("mount", "-o", "remount,bind,ro", str(ROOT))


def main() -> None:
    environment, user, entry = dockerfile()
    assert user == f"{running.USER}:{running.USER}", user
    running.must("ip", "link", "set", "lo", "up")
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=answer_names, args=(server,), daemon=True).start()
    mount_what_an_engine_mounts()
    # setpriv is this machine's: it becomes who it should be outside, and nothing of it is needed inside.
    confined = [shutil.which("chroot", path=f"{os.environ['PATH']}:/usr/sbin"), f"--userspec={user}", "--groups=", str(ROOT)]

    def inside(*command: str, **more) -> subprocess.CompletedProcess:
        return running.run(*confined, *command, env=environment, **more)

    probe = inside("/usr/local/bin/graft", "tls", "init", "--dir", "/etc/graft")
    assert probe.returncode != 0 and "Read-only" in probe.stdout, f"the root can be written to: {probe.stdout}"
    tls = "/var/lib/graft/tls"
    for verb in (["init"], ["issue", "m1", "--host", "localhost"]):
        made = inside("/usr/local/bin/graft", "tls", *verb, "--dir", tls, "--keep")
        assert made.returncode == 0, made.stdout
    settings = {
        "NODE__NAME": "m1",
        "CLIENT__LISTEN": "127.0.0.1:7420",
        "CLIENT__HEALTH_LISTEN": "127.0.0.1:7422",
        "CLIENT__CERT": f"{tls}/m1.pem",
        "CLIENT__KEY": f"{tls}/m1.key",
        "CLUSTER__EXPECT": "1",
        "CLUSTER__PEER_LISTEN": "127.0.0.1:7421",
        "CLUSTER__PEER_CA": f"{tls}/ca.pem",
        "CLUSTER__PEER_CERT": f"{tls}/m1.pem",
        "CLUSTER__PEER_KEY": f"{tls}/m1.key",
        "DISCOVERY__DNS": f"{NAME}:7421",
        "SECURITY__INSECURE": "true",
        "STORAGE__DISK_RESERVE": "0B",
    }
    variables = environment | {f"GRAFT__{key}": value for key, value in settings.items()}
    drop = [shutil.which("setpriv"), "--no-new-privs", "--bounding-set=-all,+setuid,+setgid,+sys_chroot", "--inh-caps=-all"]
    with running.Daemon([*drop, *confined, *entry], ROOT.parent / "image.log", env=variables) as daemon:
        daemon.ready(port=7422)
        status = (ROOT / f"proc/{daemon.process.pid}/status").read_text()
        told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (int(told["CapEff"], 16), int(told["CapPrm"], 16), told["NoNewPrivs"]) == (0, 0, "1"), told
        assert os.readlink(ROOT / f"proc/{daemon.process.pid}/root") == str(ROOT.resolve())
        # What the C library of the image looks up, by DNS alone.
        daemon.metric('graft_discovery_candidates{provider="dns"}', 1, port=7422)
        # graft believes whom the image's certificates of authorities name, and nobody else.
        ask = ["/usr/local/bin/graft", "--addr", "https://localhost:7420", "--timeout", "10s", "workflow", "list", "--limit", "1"]
        stranger = inside(*ask)
        assert stranger.returncode != 0 and "certificate" in stranger.stdout, stranger.stdout
        store = ROOT / "etc/ssl/certs/ca-certificates.crt"
        assert store.read_text().count("BEGIN CERTIFICATE") > 50, "the public authorities are missing"
        both = ROOT.parent / "both.crt"
        both.write_text(store.read_text() + (ROOT / f"{tls[1:]}/ca.pem").read_text())
        running.must("mount", "--bind", str(both), str(store))
        known = inside(*ask)
        assert known.returncode == 0, known.stdout
        daemon.drained()
    print("graftd and graft run in the image: read-only, as nobody that is known, with names, certificates and nothing else")


main()
