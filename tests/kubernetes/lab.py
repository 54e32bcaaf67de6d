"""A control plane of Kubernetes that runs as processes of a test: etcd, the API server and, where pods are to be made, the controllers.

There is no kubelet. Whoever starts it has a network namespace and a process namespace of their own, so that nothing of it outlives the test.
"""

import json
import pathlib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

PATIENCE_S = 90
ADMIN = "the-administrator"
CONTROLLERS = "statefulset,deployment,replicaset,endpointslice,disruption,serviceaccount,namespace,garbagecollector"


class Lab:
    """Processes, and the API server among them, which answers at `address`. Their logs are in `work`."""

    def __init__(self, work: pathlib.Path, programs: pathlib.Path, address: str):
        self.work, self.programs, self.address = work, programs, address
        self.started: dict[str, subprocess.Popen] = {}
        self.begun = time.monotonic()
        self.trust: ssl.SSLContext | None = None

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.begun:6.1f} s  {text}", flush=True)

    def start(self, name: str, command: list[str], **environment: str) -> None:
        log = open(self.work / f"{name}.log", "a")
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment}
        self.started[name] = subprocess.Popen(command, cwd=self.work, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def end(self, name: str) -> None:
        process = self.started.pop(name)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, f"{name} did not drain"

    def until(self, what: str, look, patience_s: float = PATIENCE_S):
        """Looks until `look` answers something true; what it last said otherwise stands in the message."""
        deadline, seen = time.monotonic() + patience_s, None
        while time.monotonic() < deadline:
            for name, process in list(self.started.items()):
                if process.poll() is not None:
                    sys.exit(f"{name} has ended: {(self.work / f'{name}.log').read_text()[-2000:]}")
            done, seen = look()
            if done:
                return seen
            time.sleep(0.05)
        logs = "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.work.glob("graft*.log")))
        sys.exit(f"waited {patience_s} s for {what}; last seen: {seen}\n{logs}")

    def api(self, method: str, path: str, body=None, token: str = ADMIN, kind: str = "application/json") -> tuple[int, dict]:
        """What the API server answers."""
        if self.trust is None:
            self.trust = ssl.create_default_context(cafile=str(self.work / "certs/apiserver.crt"))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://{self.address}:6443{path}", data=data, method=method, headers=headers)

        def read(answer) -> dict:
            text = answer.read()
            return json.loads(text) if text.startswith(b"{") else {"text": text.decode()}

        try:
            with urllib.request.urlopen(request, timeout=10, context=self.trust) as answer:
                return answer.status, read(answer)
        except urllib.error.HTTPError as error:
            return error.code, read(error)

    def make(self, path: str, body: dict) -> dict:
        code, answer = self.api("POST", path, body)
        assert code == 201, (path, code, answer)
        return answer

    def token(self, namespace: str, account: str) -> str:
        """A token as the pods of a service account have it."""
        request = {"spec": {"expirationSeconds": 3600, "audiences": ["https://lab"]}}
        return self.make(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", request)["status"]["token"]

    def control_plane(self, controllers: bool = False) -> None:
        subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=self.work, check=True, capture_output=True)
        (self.work / "tokens.csv").write_text(f"{ADMIN},admin,admin,system:masters\n")
        clients = "http://127.0.0.1:2379"
        self.start("etcd", ["etcd", "--data-dir", "etcd", "--unsafe-no-fsync", "--listen-client-urls", clients, "--advertise-client-urls", clients,
                            "--listen-peer-urls", "http://127.0.0.1:2380"])
        self.start("apiserver", [str(self.programs / "kube-apiserver"), f"--etcd-servers={clients}", f"--bind-address={self.address}",
                                 "--advertise-address=10.77.0.1", "--secure-port=6443", "--cert-dir=certs", "--service-account-issuer=https://lab",
                                 "--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
                                 "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC", "--token-auth-file=tokens.csv",
                                 "--endpoint-reconciler-type=none"])

        def ready():
            try:
                code, _ = self.api("GET", "/readyz")
                return code == 200, code
            except OSError as error:
                return False, error

        self.until("the API server", ready)
        if controllers:
            self.start("controllers", [str(self.programs / "kube-controller-manager"), f"--kubeconfig={self.kubeconfig()}", "--leader-elect=false",
                                       "--bind-address=127.0.0.1", "--service-account-private-key-file=sa.key", f"--controllers={CONTROLLERS}"])

    def kubeconfig(self) -> pathlib.Path:
        """The administrator's, for programs that want a file."""
        cluster = {"server": f"https://{self.address}:6443", "certificate-authority": str(self.work / "certs/apiserver.crt")}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": ADMIN}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
        }
        path = self.work / "kubeconfig.json"
        if not path.exists():
            path.write_text(json.dumps(config))
        return path
