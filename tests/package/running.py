"""A graftd that runs below restrictions, and what is asked of it."""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

PORT = 7420
PATIENCE_S = 180
# Who runs it: nobody that this machine knows.
USER = 10001
# Neither a capability nor a way to one.
UNPRIVILEGED = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]


def run(*command: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)


def must(*command: str, **more) -> str:
    done = run(*command, **more)
    assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}"
    return done.stdout


class Daemon:
    """Killed, by its own id, when the block ends."""

    def __init__(self, command: list[str], log: pathlib.Path, **more):
        self.log = log
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log.open("wb"), **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        return self.log.read_text()

    def ask(self, method: str, path: str, body=None, port: int = PORT) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def until(self, what: str, wished) -> None:
        """Asks until the answer is as wished; what was seen last stands in the failure."""
        end, last = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < end:
            assert self.process.poll() is None, f"it ended with {self.process.returncode} before {what}:\n{self.said()}"
            try:
                good, last = wished()
                if good:
                    return
            except OSError as error:
                last = error
            time.sleep(0.05)
        sys.exit(f"never {what}: {last}\n{self.said()}")

    def ready(self, port: int = PORT) -> None:
        self.until("ready", lambda: (lambda answer: (answer[0] == 200, answer))(self.ask("GET", "/readyz", port=port)))

    def metric(self, name: str, least: float, port: int = PORT) -> None:
        def value():
            lines = self.ask("GET", "/metrics", port=port)[1].splitlines()
            found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)]
            return bool(found) and found[0] >= least, found

        self.until(f"{name} at {least}", value)

    def drained(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)
        code = self.process.wait(timeout=PATIENCE_S)
        assert code == 0 and "drained" in self.said(), f"it ended with {code}:\n{self.said()}"
