"""Installs, uses, scales, changes, uninstalls and installs the chart again, with the commands of deploy/kubernetes.md and in their order.

Arguments: a folder, the folder of the programs of Kubernetes, that of `tools`, graftd, graft and hello_worker. Runs in namespaces of its own. What
pods would run runs as processes (`kubelet.py`), and while members and workers come and go somebody starts a workflow after another: none may be lost.
Ends with 0 only if everything was as it should be.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "kubernetes"))

from kubelet import Kubelet  # noqa: E402
from lab import Lab  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent.parent
NAMESPACE = "graft"
BLOCK_S = 600

work, programs, tools = (pathlib.Path(path) for path in sys.argv[1:4])
graftd, graft, hello_worker = sys.argv[4:7]
lab = Lab(work, programs, "10.77.0.1")
kubelet = Kubelet(lab, NAMESPACE, {"graftd": graftd, "graft": graft, "hello_worker": hello_worker})
desk = work / "desk"


def environment() -> dict[str, str]:
    """Of a person at a terminal."""
    bins = work / "bin"
    if not bins.exists():
        bins.mkdir()
        for name, program in {"helm": tools / "bin/helm", "kubectl": programs / "kubectl", "graft": graft}.items():
            (bins / name).symlink_to(program)
    return {"PATH": f"{bins}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(desk), "KUBECONFIG": str(lab.kubeconfig())}


def sections() -> dict[str, list[str]]:
    """The commands of the page, by heading."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", (ROOT / "deploy/kubernetes.md").read_text(), flags=re.M)[1:]:
        found[part.splitlines()[0]] = re.findall(r"^```sh\n(.*?)^```$", part, flags=re.M | re.S)
    return found


def run(script: str) -> str:
    began = time.monotonic()
    words = ["bash", "-euo", "pipefail", "-c", script]
    ran = subprocess.run(words, cwd=desk, env=environment(), capture_output=True, text=True, timeout=BLOCK_S)
    if ran.returncode != 0:
        logs = "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(work.glob("graft-log-*.log")))
        sys.exit(f"{script}\nended with {ran.returncode}:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}\n{logs}")
    lab.say(f"{time.monotonic() - began:.1f} s: {script.strip().splitlines()[0]}")
    return ran.stdout


def members() -> dict[str, dict]:
    told = json.loads(run("graft cluster status -o json"))
    return {member["name"]: member for member in told["members"]}


def pods(component: str = "member") -> dict[str, str]:
    """The members' pods or those of a worker, and which each of them is."""
    _, answer = lab.api("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/component={component}")
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in answer["items"]}


def voters_are(*ordinals: int) -> dict[str, dict]:
    """Waits until these vote, and nobody else is a member."""
    wanted = {f"graft-{ordinal}" for ordinal in ordinals}

    def look():
        now = members()
        return set(now) == wanted and all(member["role"] != "learner" for member in now.values()), now

    return lab.until(f"{sorted(wanted)} to be the voters", look)


class Work:
    """Somebody who has one workflow done after another with a command of `graft`, whatever happens to members and workers."""

    def __init__(self, *words: str):
        self.words = words
        self.done, self.longest, self.failed = 0, 0.0, []
        self.ended = threading.Event()
        self.paused = threading.Lock()
        self.thread = threading.Thread(target=self.go, daemon=True)
        self.thread.start()

    def go(self) -> None:
        hosts = ["graft.graft.svc", *(f"graft-{i}.graft-headless.graft.svc" for i in range(3))]
        shown = {"GRAFT_TLS_CA": "ca.pem", "GRAFT_TLS_CERT": "ann.pem", "GRAFT_TLS_KEY": "ann.key"}
        addresses = ",".join(f"https://{host}:7420" for host in hosts)
        while not self.ended.is_set():
            with self.paused:
                began = time.monotonic()
                words = [graft, "--addr", addresses, "-q", "--timeout", "60s", *self.words]
                ran = subprocess.run(words, cwd=desk, env={**environment(), **shown}, capture_output=True, text=True)
                took = time.monotonic() - began
            self.done, self.longest = self.done + 1, max(self.longest, took)
            if ran.returncode != 0:
                self.failed.append(ran.stderr)

    def report(self) -> None:
        self.ended.set()
        self.thread.join()
        assert not self.failed, self.failed
        assert self.done, "nothing was done meanwhile"
        lab.say(f"{self.done} workflows were started meanwhile, and all completed; the slowest took {self.longest:.1f} s")


def rights() -> None:
    """What the members may ask of Kubernetes, and what not."""
    may = {("discovery.k8s.io", "endpointslices", "list", ""), ("discovery.k8s.io", "endpointslices", "watch", ""),
           ("apps", "statefulsets", "get", "graft"), ("", "configmaps", "get", "graft-cluster"), ("", "configmaps", "patch", "graft-cluster")}
    may_not = {("", "secrets", "get", ""), ("", "secrets", "list", ""), ("", "pods", "list", ""), ("apps", "statefulsets", "get", "other"),
               ("apps", "statefulsets", "list", ""), ("apps", "statefulsets", "update", "graft"), ("", "configmaps", "get", ""),
               ("", "configmaps", "get", "graft-config"), ("", "configmaps", "update", "graft-cluster"),
               ("discovery.k8s.io", "endpointslices", "delete", "")}
    for group, resource, verb, name in may | may_not:
        attributes = {"namespace": NAMESPACE, "group": group, "resource": resource, "verb": verb, "name": name}
        review = {"spec": {"user": f"system:serviceaccount:{NAMESPACE}:graft", "resourceAttributes": attributes}}
        answer = lab.make("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        assert answer["status"]["allowed"] == ((group, resource, verb, name) in may), (attributes, answer["status"])


def with_worker(name: str, **said) -> str:
    """Words for Helm: one worker in the release, as it is said."""
    (desk / "worker.yaml").write_text(json.dumps({"workers": [{"name": name, "image": f"{name}:1", **said}]}))
    return "deploy/helm/graft --namespace graft --values worker.yaml --timeout 10m"


def a_worker_shows_its_token() -> None:
    """What it does is done in the name of the token in its Secret, and no member is restarted for it."""
    def ids() -> set[str]:
        told = json.loads(run("graft --token-file orders.token workflow list --limit 1000 -o json"))
        return {one["workflow_id"] for one in told["workflows"] if one["status"] == "completed"}

    before, there = ids(), pods()
    run("kubectl -n graft create secret generic orders-token --from-file=token=orders.token")
    words = with_worker("billing", command=["/usr/local/bin/graft"], args=["cluster", "try"], tokenSecret="orders-token")
    run(f"helm upgrade graft {words} --reuse-values --wait")
    after = lab.until("the worker to have done something", lambda: (ids() - before, ids())) - before
    started = json.loads(run(f"graft --token-file orders.token workflow history {min(after)} -o json"))["events"][0]
    assert started["principal"] == "client:orders", started
    assert pods() == there, "a pod of a member was restarted for a worker"
    lab.say("a worker shows the token of its Secret")


def workers_are(number: int) -> None:
    """Waits until there are so many pods of workers, and each of them is connected, and nobody else."""
    def look():
        told = json.loads(run("graft worker list -o json"))["workers"]
        connected, there = {one["worker_id"].rpartition("-")[0] for one in told if one["connected"]}, set(pods("worker-hello"))
        return connected == there and len(there) == number, (connected, there)

    lab.until(f"{number} workers", look)


HELLO = {"command": ["/usr/local/bin/hello_worker"], "args": ["--addr", "$(GRAFT_ADDR)"],
         "env": [{"name": "SSL_CERT_FILE", "value": "$(GRAFT_TLS_CA)"}]}


def workers_come_and_go() -> None:
    """The workers of a Deployment have waited for the cluster; they take work, and drain when there are to be fewer of them, or none."""
    workers_are(2)
    greeting = json.loads(run("graft workflow start ada --node greet --config '\"Ada\"' --wait -o json"))["state"]["greeting"]
    assert greeting == "Hello, Ada!", greeting
    greeted = Work("workflow", "start", "--node", "greet", "--config", '"Ada"', "--wait")
    for number in (4, 1):
        run(f"helm upgrade graft {with_worker('hello', **HELLO, replicas=number)} --reuse-values --wait")
        workers_are(number)
    greeted.report()
    run(f"helm upgrade graft {with_worker('hello', **HELLO, replicas=0)} --reuse-values --wait")
    workers_are(0)
    ran = {pod.name: (pod.restarts, pod.processes["worker"].returncode) for pod in kubelet.pods.values() if "worker-hello" in pod.name}
    assert list(ran.values()) == [(0, 0)] * 4, ran
    lab.say("workers come and go with their Deployment: each has drained, and none was restarted")


def drive() -> None:
    desk.mkdir()
    (desk / "deploy").symlink_to(ROOT / "deploy")
    kubelet.start()
    lab.control_plane(controllers=True)
    lab.say("the API server is ready, and the controllers run")
    todo = sections()
    install, reach, close, scale, change, come_back, anew = (todo.pop(heading) for heading in (
        "Install", "Reach it", "Who may do what", "More and fewer members", "Change the configuration", "Uninstall, and come back",
        "When all volumes are lost"))
    assert not any(todo.values()), f"commands that nobody runs: {todo}"

    kubelet.run()
    notes = [run(block) for block in install]
    assert "Clients and workers reach it at https://graft.graft.svc:7420 with a certificate" in notes[0], notes
    for block in reach:
        run(block)
    first = voters_are(0, 1, 2)
    advertised = {name: member["client_address"] for name, member in first.items()}
    assert advertised["graft-1"] == "graft-1.graft-headless.graft.svc.cluster.local:7420", advertised
    rights()
    lab.say("three members have found each other with the rights of the chart, and no more")

    working = Work("cluster", "try", "--wait", "60s")
    before = pods()
    grow, shrink = scale
    run(grow)
    five = voters_are(0, 1, 2, 3, 4)
    run(shrink)
    voters_are(0, 1, 2)
    assert pods() == before, "a pod was restarted, although only their number has changed"
    lab.say("from three to five and back, and nobody was restarted")

    # The same volumes again: two others under the old names.
    run(grow)
    again = voters_are(0, 1, 2, 3, 4)
    for name in ("graft-3", "graft-4"):
        assert again[name]["raft_id"] != five[name]["raft_id"], again
    # As Helm goes back to what was before.
    run("helm rollback graft 1 --namespace graft --wait --timeout 10m")
    run("kubectl -n graft wait pod/graft-3 pod/graft-4 --for=delete --timeout=120s")
    three = voters_are(0, 1, 2)
    assert {name: member["raft_id"] for name, member in three.items()} == {name: member["raft_id"] for name, member in first.items()}

    before = pods()
    for block in change:
        run(block)
    assert not set(before.values()) & set(pods().values()), "a pod still has the old configuration"
    voters_are(0, 1, 2)
    assert any('"level":"debug"' in path.read_text() for path in work.glob("graft-log-graft-0-*.log")), "the new configuration changes nothing"
    run("helm test --namespace graft graft")

    started = run("graft workflow start kept --node nobody -q -o name").strip()
    assert started == "kept"
    cluster = json.loads(run("graft cluster status -o json"))["cluster_id"]
    with working.paused:
        for block in come_back:
            run(block)
        back = json.loads(run("graft cluster status -o json"))["cluster_id"]
        assert back == cluster, "another cluster came back"
        assert json.loads(run("graft workflow get kept -o json"))["status"] == "running"
        run("graft workflow terminate kept --reason 'it has been seen'")
    working.report()

    for block in close:
        run(block)
    run("if graft cluster try 2> refused; then exit 1; fi; grep -q GR0031 refused")
    lab.say("who shows a token is let in, and a certificate alone does nothing any more")
    a_worker_shows_its_token()

    # All volumes are lost: fresh members wait, until somebody says that there is nothing to wait for.
    run("helm uninstall graft --namespace graft --wait --timeout 10m")
    lab.until("the pods to be gone", lambda: (not pods(), pods()))
    for volume in (kubelet.home / "claims").glob("*"):
        shutil.rmtree(volume)
    # Their workers show no certificate.
    run(f"helm install graft {with_worker('hello', **HELLO, replicas=2)} --set tls.callers=optional --set insecure=true")
    lab.until("the members to wait", lambda: (any(f"cluster {cluster} was formed here before" in path.read_text()
                                                  for path in work.glob("graft-log-graft-0-*.log")), "none says why"))
    for block in anew:
        run(block)
    another = json.loads(run("graft cluster status -o json"))["cluster_id"]
    assert another != cluster, "it is the same cluster, without volumes"
    lab.say("with all volumes lost nothing is formed, until somebody wants it")
    workers_come_and_go()
    run("helm uninstall graft --namespace graft --wait --timeout 10m")
    left = lab.until("the pods to be gone", lambda: (not pods(), pods()))
    assert not left
    for name, process in lab.started.items():
        assert process.poll() is None, f"{name} has ended"
    lab.say("all is well")


drive()
kubelet.stopped = True
os._exit(0)
