"""Runs one container as a process: with the file system, the user and the environment that its pod says, in the network namespace it is started in.

Argument: a file with JSON: `root` (an empty folder), `binaries` (what the image has: path -> file), `etc` (a folder that becomes /etc), `mounts`
(path, source, readOnly), `user`, `group`, `groups`, `readOnlyRoot`, `environment`, `command`. Is to be started in a mount namespace of its own.
"""

import json
import os
import pathlib
import subprocess
import sys


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def bind(source: str, target: pathlib.Path, read_only: bool) -> None:
    if pathlib.Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount("--bind", source, str(target))
    if read_only:
        mount("-o", "remount,bind,ro", str(target))


def main() -> None:
    it = json.loads(pathlib.Path(sys.argv[1]).read_text())
    root = pathlib.Path(it["root"])
    mount("-t", "tmpfs", "tmpfs", str(root))
    # What a binary with the C library needs; the images that are released need nothing of it.
    for folder in ("usr/lib", "usr/lib64"):
        if pathlib.Path("/", folder).exists():
            bind(f"/{folder}", root / folder, True)
    for link in ("lib", "lib64"):
        if pathlib.Path("/usr", link).exists():
            (root / link).symlink_to(f"usr/{link}")
    for path, source in it["binaries"].items():
        bind(source, root / path.lstrip("/"), True)
    bind(it["etc"], root / "etc", False)
    for device in ("null", "urandom", "random"):
        bind(f"/dev/{device}", root / "dev" / device, False)
    (root / "proc").mkdir()
    mount("-t", "proc", "proc", str(root / "proc"))
    for one in it["mounts"]:
        bind(one["source"], root / one["path"].lstrip("/"), one["readOnly"])
    if it["readOnlyRoot"]:
        mount("-o", "remount,ro", str(root))
    os.chroot(root)
    os.chdir("/")
    os.setgroups(it["groups"])
    os.setgid(it["group"])
    os.setuid(it["user"])
    os.execve(it["command"][0], it["command"], it["environment"])


main()
