"""Looks at an unpacked release: what has to be in it is, whole, and in forms that its readers take."""

import gzip
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1])
# The README of the package promises this C library.
GLIBC_MOST = (2, 34)
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def main() -> None:
    for name in (
        "README.md",
        "bin/graft",
        "bin/graftd",
        "lib/systemd/system/graftd.service",
        "lib/sysusers.d/graft.conf",
        "share/doc/graft/LICENSE-APACHE",
        "share/doc/graft/LICENSE-MIT",
        "share/doc/graft/CHANGELOG.md",
        "share/doc/graft/graftd.toml.example",
        "share/doc/graft/configuration.md",
        "share/doc/graft/operating.md",
        "share/doc/graft/security.md",
    ):
        assert (ROOT / name).is_file(), f"{name} is missing"
    summed = {line.split("  ", 1)[1] for line in (ROOT / "SHA256SUMS").read_text().splitlines()}
    there = {str(file.relative_to(ROOT)) for file in ROOT.rglob("*") if file.is_file()} - {"SHA256SUMS"}
    assert summed == there, f"SHA256SUMS and the files differ: {summed ^ there}"
    ran("sha256sum", "--check", "--quiet", "SHA256SUMS")

    for program in ("graft", "graftd"):
        ran("bash", "-n", f"share/bash-completion/completions/{program}")
        assert f"#compdef {program}" in (ROOT / f"share/zsh/site-functions/_{program}").read_text()
        assert f"complete -c {program}" in (ROOT / f"share/fish/vendor_completions.d/{program}.fish").read_text()
        assert f"{program} " in ran(f"bin/{program}", "--version")
    pages = list((ROOT / "share/man/man1").iterdir())
    for page in pages:
        assert ".SH NAME" in gzip.decompress(page.read_bytes()).decode(), page
    for page in ("graft.1.gz", "graftd.1.gz", "graft-workflow-start.1.gz", "graftd-config-check.1.gz"):
        assert ROOT / "share/man/man1" / page in pages, f"{page} is missing"

    schema = json.loads((ROOT / "share/doc/graft/graftd.schema.json").read_text())
    assert "raft" in schema["properties"]
    ran("bin/graftd", "config", "check", "--config", "share/doc/graft/graftd.toml.example")
    licences = (ROOT / "share/doc/graft/THIRD-PARTY-LICENCES.txt").read_text()
    for package in ("tokio", "redb", "openraft", "rustls", "ring"):
        assert re.search(rf"^{package} [0-9]", licences, re.MULTILINE), f"{package} is linked in, and its licence is not there"
    assert "Permission is hereby granted" in licences and "Apache License" in licences

    for program in ("graft", "graftd"):
        needed = set(re.findall(r"NEEDED +(\S+)", ran("objdump", "-p", f"bin/{program}")))
        assert needed <= LIBRARIES, f"{program} needs more of a system than the README says: {needed - LIBRARIES}"
        versions = re.findall(r"GLIBC_([0-9.]+)", ran("objdump", "-T", f"bin/{program}"))
        newest = max(tuple(map(int, version.split("."))) for version in versions)
        assert newest <= GLIBC_MOST, f"{program} needs glibc {newest}, and the README says {GLIBC_MOST}"
    print(f"{len(there)} files, {len(pages)} pages of manual; glibc {'.'.join(map(str, newest))} or later")


def ran(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


main()
