"""Plays the scheduler, the kubelet and the DNS of a lab: what the controllers make pods of runs here as processes.

Each pod has a network namespace and an address of its own, and each of its containers the volumes, the environment, the user and the arguments
that the object says; init containers come first, probes decide who is ready, and SIGTERM ends a pod within its grace. Every image is taken for one
that has `graftd`, `graft` and `hello_worker` in /usr/local/bin. Names are in /etc/hosts: a pod's own behind its headless Service, and a Service's that
of a pod that is ready.
"""

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from lab import Lab

LOOK_S = 0.2
NODE = "lab"
BRIDGE = "graft-lab"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Kubelet:
    def __init__(self, lab: Lab, namespace: str, programs: dict[str, str]):
        self.lab, self.namespace = lab, namespace
        self.binaries = {f"/usr/local/bin/{name}": program for name, program in programs.items()}
        self.home = lab.work / "kubelet"
        self.etc = self.home / "etc"
        self.pods: dict[str, Pod] = {}
        self.names = threading.Lock()
        self.addresses = 0
        self.stopped = False

    def start(self) -> None:
        self.etc.mkdir(parents=True)
        for folder in ("graft", "graft-tls", "graft-ca", "graft-authority"):
            (self.etc / folder).mkdir()
        (self.etc / "nsswitch.conf").write_text("hosts: files\n")
        (self.etc / "passwd").write_text("")
        (self.etc / "hosts").write_text("")
        # Of the mount namespace of this test alone.
        machine = self.home / "hosts"
        machine.write_text("127.0.0.1 localhost\n")
        subprocess.run(["mount", "--bind", machine, "/etc/hosts"], check=True)
        pathlib.Path("/run/netns").mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
        for words in (["link", "add", BRIDGE, "type", "bridge"], ["address", "add", f"{self.lab.address}/16", "dev", BRIDGE],
                      ["link", "set", BRIDGE, "up"], ["link", "set", "lo", "up"]):
            subprocess.run(["ip", *words], check=True)

    def run(self) -> None:
        """Follows the pods, from now on."""
        self.lab.make("/api/v1/nodes", {"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}})
        threading.Thread(target=self.follow, daemon=True).start()

    def path(self, what: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{what}"

    def follow(self) -> None:
        while not self.stopped:
            _, answer = self.lab.api("GET", self.path("pods"))
            there = {one["metadata"]["uid"]: one for one in answer["items"]}
            for uid, one in there.items():
                if uid not in self.pods:
                    self.addresses += 1
                    self.pods[uid] = Pod(self, one, self.addresses)
                    threading.Thread(target=self.pods[uid].live, daemon=True).start()
            for uid, pod in self.pods.items():
                if uid not in there or "deletionTimestamp" in there[uid]["metadata"]:
                    pod.deleted.set()
            time.sleep(LOOK_S)

    def tell_names(self) -> None:
        """Writes /etc/hosts anew: a name is there as long as its pod is, and that of a Service leads to one that is ready."""
        _, services = self.lab.api("GET", self.path("services"))
        with self.names:
            there = [pod for pod in list(self.pods.values()) if pod.running]
            lines = ["127.0.0.1 localhost"]
            for pod in there:
                if subdomain := pod.spec.get("subdomain"):
                    name = f"{pod.name}.{subdomain}.{self.namespace}.svc"
                    lines.append(f"{pod.ip} {name}.cluster.local {name}")
            for service in services["items"]:
                selector, name = service["spec"].get("selector", {}), service["metadata"]["name"]
                hit = [pod for pod in there if pod.ready and selector.items() <= pod.labels.items()]
                if hit and service["spec"].get("clusterIP") != "None":
                    name = f"{name}.{self.namespace}.svc"
                    lines.append(f"{hit[0].ip} {name}.cluster.local {name}")
            beside = self.etc / "hosts.new"
            beside.write_text("\n".join(lines) + "\n")
            beside.rename(self.etc / "hosts")
            # Whoever asks from the machine itself, as this test, finds the same.
            pathlib.Path("/etc/hosts").write_text("\n".join(lines) + "\n")


class Pod:
    def __init__(self, kubelet: Kubelet, found: dict, number: int):
        self.kubelet, self.lab = kubelet, kubelet.lab
        self.name, self.labels, self.spec = found["metadata"]["name"], found["metadata"].get("labels", {}), found["spec"]
        self.network = f"pod{number}"
        self.ip = f"10.77.1.{number}"
        self.folder = kubelet.home / f"{number}-{self.name}"
        self.running = self.ready = False
        self.deleted = threading.Event()
        self.processes: dict[str, subprocess.Popen] = {}
        self.restarts = 0

    # --- its life ---

    def live(self) -> None:
        try:
            self.bound()
            self.networked()
            volumes = self.volumes()
            for init in self.spec.get("initContainers", []):
                while volumes is not None and not self.deleted.is_set() and self.started(init, volumes).wait() != 0:
                    time.sleep(LOOK_S)
            if not self.deleted.is_set():
                for one in self.spec["containers"]:
                    self.processes[one["name"]] = self.started(one, volumes)
                self.running = True
                self.kubelet.tell_names()
                self.tell(phase="Running")
                self.attend(volumes)
            self.go()
        except Exception as error:  # A thread that ends in silence would look like a pod that hangs.
            print(f"the kubelet fails at {self.name}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)

    def attend(self, volumes: dict) -> None:
        """Probes and restarts, until the pod is deleted, or has done what it was to do once."""
        probe = self.spec["containers"][0].get("readinessProbe")
        while not self.deleted.wait(LOOK_S):
            for one in self.spec["containers"]:
                code = self.processes[one["name"]].poll()
                if code is None:
                    continue
                if self.spec["restartPolicy"] == "Never":
                    self.running = False
                    self.tell(phase="Succeeded" if code == 0 else "Failed", exit_code=code)
                    self.deleted.wait()
                    return
                self.restarts += 1
                self.processes[one["name"]] = self.started(one, volumes)
            ready = self.probed(probe) if probe else True
            if ready != self.ready:
                self.ready = ready
                self.tell(phase="Running")
                self.kubelet.tell_names()

    def go(self) -> None:
        """Ends what runs, within the grace, and then the object."""
        if self.ready:
            self.ready = False
            self.tell(phase="Running")
            self.kubelet.tell_names()
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + self.spec.get("terminationGracePeriodSeconds", 30)
        for process in self.processes.values():
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        self.running = False
        self.lab.api("DELETE", self.kubelet.path(f"pods/{self.name}"), {"gracePeriodSeconds": 0})
        self.kubelet.tell_names()
        subprocess.run(["ip", "netns", "delete", self.network], check=True)

    # --- what Kubernetes hears ---

    def bound(self) -> None:
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": self.name}, "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
        self.lab.api("POST", self.kubelet.path(f"pods/{self.name}/binding"), body)

    def tell(self, phase: str, exit_code: int | None = None) -> None:
        conditions = [{"type": kind, "status": str(self.ready)} for kind in ("Ready", "ContainersReady")]
        status = {"phase": phase, "podIP": self.ip, "podIPs": [{"ip": self.ip}], "conditions": conditions}
        if exit_code is not None:
            told = {"imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": exit_code}}}
            status["containerStatuses"] = [{"name": one["name"], "image": one["image"], **told} for one in self.spec["containers"]]
        path = self.kubelet.path(f"pods/{self.name}/status")
        self.lab.api("PATCH", path, {"status": status}, kind="application/strategic-merge-patch+json")

    def probed(self, probe: dict) -> bool:
        container = self.spec["containers"][0]
        port = probe["httpGet"]["port"]
        port = next((one["containerPort"] for one in container["ports"] if one["name"] == port), port)
        try:
            with urllib.request.urlopen(f"http://{self.ip}:{port}{probe['httpGet']['path']}", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    # --- what it is made of ---

    def networked(self) -> None:
        far = f"v{self.network}"
        for words in (["netns", "add", self.network], ["link", "add", far, "type", "veth", "peer", "name", "eth0", "netns", self.network],
                      ["link", "set", far, "master", BRIDGE, "up"], ["-n", self.network, "address", "add", f"{self.ip}/16", "dev", "eth0"],
                      ["-n", self.network, "link", "set", "eth0", "up"], ["-n", self.network, "link", "set", "lo", "up"]):
            subprocess.run(["ip", *words], check=True)

    def volumes(self) -> dict | None:
        """Where each volume is; waits for those that are not there yet. `None`: the pod went before they came."""
        made = {}
        for volume in self.spec.get("volumes", []):
            folder = self.folder / "volumes" / volume["name"]
            folder.mkdir(parents=True)
            if claim := volume.get("persistentVolumeClaim"):
                # It stays when the pod goes.
                folder = self.kubelet.home / "claims" / claim["claimName"]
                folder.mkdir(parents=True, exist_ok=True)
            sources = volume.get("projected", {}).get("sources", [volume])
            while not all([self.filled(folder, source) for source in sources]):
                if self.deleted.wait(LOOK_S):
                    return None
            self.owned(folder, "emptyDir" in volume or "persistentVolumeClaim" in volume)
            made[volume["name"]] = folder
        return made

    def filled(self, folder: pathlib.Path, source: dict) -> bool:
        """Writes the files of one source; false if it is not there yet."""
        kind = next((kind for kind in ("secret", "configMap", "serviceAccountToken", "downwardAPI") if kind in source), None)
        if kind == "serviceAccountToken":
            account = self.spec["serviceAccountName"]
            (folder / source[kind]["path"]).write_text(self.lab.token(self.kubelet.namespace, account))
        elif kind == "downwardAPI":
            for item in source[kind]["items"]:
                assert item["fieldRef"]["fieldPath"] == "metadata.namespace", item
                (folder / item["path"]).write_text(self.kubelet.namespace)
        elif kind:
            one = source[kind]
            name = one.get("secretName", one.get("name"))
            if name == "kube-root-ca.crt":  # The controller that publishes it does not run.
                (folder / "ca.crt").write_bytes((self.lab.work / "certs/apiserver.crt").read_bytes())
                return True
            code, found = self.lab.api("GET", self.kubelet.path(f"{kind}s/{name}".lower()))
            if code != 200:
                return one.get("optional", False)
            data = found.get("data", {})
            items = one.get("items") or [{"key": key, "path": key} for key in data]
            if any(item["key"] not in data for item in items):
                return False
            for item in items:
                path = folder / item["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(data[item["key"]]) if kind == "secret" else data[item["key"]].encode())
        return True

    def owned(self, folder: pathlib.Path, writable: bool) -> None:
        """The group of the pod may read, and write where there is something to write."""
        group = self.spec["securityContext"].get("fsGroup", 0)
        for path in [folder, *folder.rglob("*")] if not writable else [folder]:
            os.chown(path, 0, group)
            path.chmod(0o2775 if writable else 0o750 if path.is_dir() else 0o440)

    def environment(self, container: dict) -> dict[str, str]:
        known = {"HOSTNAME": self.name, "KUBERNETES_SERVICE_HOST": self.lab.address, "KUBERNETES_SERVICE_PORT": "6443"}
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name", variable
                known[variable["name"]] = self.name
            else:
                known[variable["name"]] = self.expanded(variable.get("value", ""), known)
        return known

    def expanded(self, text: str, known: dict[str, str]) -> str:
        return re.sub(r"\$\((\w+)\)", lambda hit: known.get(hit[1], hit[0]), text)

    def started(self, container: dict, volumes: dict) -> subprocess.Popen:
        pod, own = self.spec["securityContext"], container["securityContext"]
        known = self.environment(container)
        root = self.folder / "roots" / container["name"]
        root.mkdir(parents=True, exist_ok=True)
        group = pod["runAsGroup"]
        description = {
            "root": str(root),
            "binaries": self.kubelet.binaries,
            "etc": str(self.kubelet.etc),
            "mounts": [{"path": mount["mountPath"], "source": str(volumes[mount["name"]]), "readOnly": mount.get("readOnly", False)}
                       for mount in container.get("volumeMounts", [])],
            "user": pod["runAsUser"], "group": group, "groups": [group, pod.get("fsGroup", group)],
            "readOnlyRoot": own["readOnlyRootFilesystem"],
            "environment": known,
            "command": [self.expanded(word, known) for word in container["command"] + container.get("args", [])],
        }
        file = self.folder / f"{container['name']}.json"
        file.write_text(json.dumps(description))
        log = open(self.lab.work / f"graft-log-{self.name}-{container['name']}.log", "a")
        runner = str(pathlib.Path(__file__).with_name("container.py"))
        words = ["ip", "netns", "exec", self.network, "unshare", "--mount", sys.executable, runner, str(file)]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
