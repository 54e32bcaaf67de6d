"""Forms a cluster of three graftd that know nothing of each other but the name of a Service, and moves one of them.

Arguments: a folder, that of kube-apiserver, and the binaries graftd and graft. Runs in a network namespace and a process namespace of its own, so
that nothing of it outlives this script. Ends with 0 only if everything was as it should be.
"""

import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

from lab import Lab

# Endpoints may not be on loopback, so every member has an address of its own; `moved` is where graft-2 moves to, and three are of another release.
ADDRESSES = {
    "graft-0": "10.77.0.10", "graft-1": "10.77.0.11", "graft-2": "10.77.0.12", "moved": "10.77.0.22",
    "other-0": "10.77.0.30", "other-1": "10.77.0.31", "other-2": "10.77.0.32",
}
PEER_PORT = 7421

work, programs = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
graftd, graft = sys.argv[3:5]
account = work / "account"
lab = Lab(work, programs, "127.0.0.1")
say, start, end, until, api, make = lab.say, lab.start, lab.end, lab.until, lab.api, lab.make


def objects() -> None:
    """What a chart would make, without the right to look: that comes later."""
    meta = {"name": "graft", "namespace": "lab"}
    make("/api/v1/namespaces", {"metadata": {"name": "lab"}})
    make("/api/v1/namespaces/lab/serviceaccounts", {"metadata": meta})
    make("/apis/rbac.authorization.k8s.io/v1/namespaces/lab/roles", {
        "metadata": meta,
        "rules": [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}],
    })
    for release in ("graft", "other"):
        make("/api/v1/namespaces/lab/services", {
            "metadata": {"name": f"{release}-headless", "namespace": "lab"},
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "ports": [{"name": "peer", "port": PEER_PORT}]},
        })
    account.mkdir()
    (account / "token").write_text(lab.token("lab", "graft"))
    (account / "ca.crt").write_bytes((work / "certs/apiserver.crt").read_bytes())
    (account / "namespace").write_text("lab")


def allow() -> None:
    make("/apis/rbac.authorization.k8s.io/v1/namespaces/lab/rolebindings", {
        "metadata": {"name": "graft", "namespace": "lab"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "graft"},
        "subjects": [{"kind": "ServiceAccount", "name": "graft", "namespace": "lab"}],
    })


def slice_of(name: str, addresses: list[str], ready: bool, release: str = "graft") -> None:
    """Makes an EndpointSlice of a release's Service, or changes it."""
    where = "/apis/discovery.k8s.io/v1/namespaces/lab/endpointslices"
    body = {
        "metadata": {"name": name, "namespace": "lab", "labels": {"kubernetes.io/service-name": f"{release}-headless"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses],
        "ports": [{"name": "peer", "port": PEER_PORT, "protocol": "TCP"}],
    }
    code, answer = api("PUT", f"{where}/{name}", body)
    if code == 404:
        make(where, body)
    else:
        assert code in (200, 201), (code, answer)


def member(name: str, ip: str, port: int, release: str = "graft") -> None:
    """Starts a member of a release that listens for members at this address."""
    (work / f"{name}.toml").write_text(f"""
[node]
name = "{name}"
data_dir = "{work / name}"
[client]
listen = "127.0.0.1:{port}"
[cluster]
name = "lab"
expect = 3
peer_listen = "{ip}:{PEER_PORT}"
peer_ca = "{work / 'tls/ca.pem'}"
peer_cert = "{work / 'tls' / name}.pem"
peer_key = "{work / 'tls' / name}.key"
[discovery]
kubernetes_service = "{release}-headless"
kubernetes_port = "peer"
kubernetes_account = "{account}"
""")
    start(name, [graftd, "--config", f"{name}.toml"], KUBERNETES_SERVICE_HOST=lab.address, KUBERNETES_SERVICE_PORT="6443")


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def waits_because(port: int, *parts: str) -> None:
    def look():
        code, text = get(port, "/readyz")
        return code == 503 and all(part in text for part in parts), (code, text)

    until(f"{parts} at {port}", look)


def ready(port: int) -> None:
    def look():
        seen = get(port, "/readyz")
        return seen[0] == 200, seen

    until(f"the member at {port} to be ready", look)


def drive() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for ip in ADDRESSES.values():
        subprocess.run(["ip", "address", "add", f"{ip}/32", "dev", "lo"], check=True)
    lab.control_plane()
    say("the API server is ready")
    objects()
    subprocess.run([graft, "tls", "init", "--cluster", "lab", "--dir", "tls"], cwd=work, check=True, capture_output=True)
    names, others = ["graft-0", "graft-1", "graft-2"], {"other-0": 7720, "other-1": 7820, "other-2": 7920}
    for name in [*names, *others]:
        subprocess.run([graft, "tls", "issue", name, "--cluster", "lab", "--dir", "tls"], cwd=work, check=True, capture_output=True)
    ports = dict(zip(names, (7420, 7520, 7620)))

    # Who may not look is told so by the real thing, says so, and goes on trying.
    member("graft-1", ADDRESSES["graft-1"], ports["graft-1"])
    waits_because(ports["graft-1"], "waiting for members", "kubernetes service graft-headless: 403", 'cannot list resource "endpointslices"')
    say("without a RoleBinding: " + get(ports["graft-1"], "/readyz")[1].strip())
    allow()

    # Endpoints that are not ready, in two slices.
    slice_of("graft-headless-a", [ADDRESSES["graft-0"], ADDRESSES["graft-1"]], ready=False)
    slice_of("graft-headless-b", [ADDRESSES["graft-2"]], ready=False)
    member("graft-2", ADDRESSES["graft-2"], ports["graft-2"])
    for name in names[1:]:
        waits_because(ports[name], "2 of 3 are there (graft-1, graft-2)")
    say("two of three have found each other")

    # One comes back under another address: it is found there, and nothing but the slice says so.
    end("graft-2")
    waits_because(ports["graft-1"], "1 of 3 are there")
    member("graft-2", ADDRESSES["moved"], ports["graft-2"])
    waits_because(ports["graft-2"], "2 of 3 are there")
    waits_because(ports["graft-1"], "1 of 3 are there", ADDRESSES["graft-2"])
    slice_of("graft-headless-b", [ADDRESSES["moved"]], ready=False)
    moved = time.monotonic()
    waits_because(ports["graft-1"], "2 of 3 are there (graft-1, graft-2)")
    say(f"the one that moved was found {time.monotonic() - moved:.2f} s after the slice had changed")

    member("graft-0", ADDRESSES["graft-0"], ports["graft-0"])
    third = time.monotonic()
    for port in ports.values():
        ready(port)
    say(f"all are ready {time.monotonic() - third:.2f} s after the third was started")
    told = [json.loads(get(port, "/api/v1/cluster")[1]) for port in ports.values()]
    ids = {status["cluster_id"] for status in told}
    assert len(ids) == 1 and "" not in ids, told
    where = {m["name"]: m["peer_address"] for m in told[0]["members"]}
    assert where == {"graft-0": f"10.77.0.10:{PEER_PORT}", "graft-1": f"10.77.0.11:{PEER_PORT}", "graft-2": f"10.77.0.22:{PEER_PORT}"}, where

    # Another release in the namespace finds its own alone, although its members are of the same authority and say the same name of the cluster.
    slice_of("other-headless-a", [ADDRESSES[name] for name in others], ready=False, release="other")
    for name, port in others.items():
        member(name, ADDRESSES[name], port, release="other")
    for port in others.values():
        ready(port)
    told = [json.loads(get(port, "/api/v1/cluster")[1]) for port in (7420, *others.values())]
    assert [sorted(m["name"] for m in status["members"]) for status in told] == [names, *[[*others]] * 3], told
    assert len({status["cluster_id"] for status in told[1:]} | {told[0]["cluster_id"]}) == 2, told
    for name in others:
        end(name)
    say("another release in the namespace formed a cluster of its own")

    # Absence removes nobody: without any slice, and without the server, the cluster goes on.
    for name in ("graft-headless-a", "graft-headless-b", "other-headless-a"):
        assert api("DELETE", f"/apis/discovery.k8s.io/v1/namespaces/lab/endpointslices/{name}")[0] == 200
    lab.started.pop("apiserver").kill()

    def failing():
        text = get(7420, "/metrics")[1]
        values = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line.startswith("graft_discovery_")}
        return values.get('graft_discovery_errors_total{provider="kubernetes"}', 0) > 0, values

    until("the failure in the metrics", failing)
    for port in ports.values():
        code, text = get(port, "/readyz")
        assert code == 200, text
    assert len(json.loads(get(7420, "/api/v1/cluster")[1])["members"]) == 3
    for name in names:
        end(name)
    say("all is well")


drive()
