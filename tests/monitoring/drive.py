"""Three graftd, a worker, some workflows, and a Prometheus that scrapes them and evaluates the alert rules.

Arguments: a folder, and the binaries graftd, graft and the example hello_worker. Everything listens on loopback, on ports that were free a moment ago, and
is ended by this script. Ends with 0 only if everything was as it should be.
"""

import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

PATIENCE_S = 120
DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "graft-rules.yaml"
RULES_TEST = DEPLOY / "prometheus" / "graft-rules-test.yaml"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
MEMBERS = ["m1", "m2", "m3"]

work, graftd, graft, worker = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
started: dict[str, subprocess.Popen] = {}
begun = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)


def free_ports(count: int) -> list[int]:
    """All held until all are known, so that none comes twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(name: str, *command: str) -> None:
    log = open(work / f"{name}.log", "w")
    started[name] = subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def until(what: str, look):
    """Looks until `look` answers something true; what it last said otherwise stands in the message."""
    deadline, seen = time.monotonic() + PATIENCE_S, None
    while time.monotonic() < deadline:
        for name, process in started.items():
            if process.poll() is not None:
                sys.exit(f"{name} has ended: {(work / f'{name}.log').read_text()[-2000:]}")
        try:
            done, seen = look()
        except OSError as error:
            done, seen = False, error
        if done:
            return seen
        time.sleep(0.1)
    sys.exit(f"waited {PATIENCE_S} s for {what}; last seen: {seen}")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def query(expression: str) -> list[dict]:
    """What Prometheus answers to a query; ends everything if that is an error."""
    answer = json.loads(get(f"http://127.0.0.1:{prometheus_port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
    assert answer["status"] == "success", (expression, answer)
    return answer["data"]["result"]


def number(expression: str) -> float | None:
    result = query(expression)
    return float(result[0]["value"][1]) if result else None


def run(*command: str, text: str | None = None) -> str:
    ran = subprocess.run(command, cwd=work, input=text, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    return ran.stdout + ran.stderr


def expressions() -> dict[str, str]:
    """Every expression of the dashboards, with its panel; variables as Grafana would put them."""
    found = {}
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$job", "graft").replace("$__rate_interval", "1m")
                found[f"{file.stem}: {panel['title']}: {target['legendFormat']}"] = expression
    return found


def named() -> set[str]:
    """Every series that rules, dashboards and the pages name."""
    pages = [page.read_text() for page in DEPLOY.glob("**/*.md")]
    # graft_client is a crate.
    texts = [RULES.read_text(), *expressions().values(), *(page.replace("graft_client", "") for page in pages)]
    return {name for text in texts for name in re.findall(r"\b(?:graft|process)_[a-z0-9_]+", text)}


def untested() -> list[str]:
    """Alerts that no test sees fire, or none sees keep still."""
    tests = RULES_TEST.read_text()
    fire = set(re.findall(r"^ +alertname: (\w+)\n +exp_alerts:\n +- exp_labels:", tests, re.MULTILINE))
    keep_still = set(re.findall(r"^ +- \{eval_time: \w+, alertname: (\w+)\}$", tests, re.MULTILINE))
    return [alert for alert in re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE) if alert not in fire & keep_still]


def form() -> list[str]:
    """Starts three members; returns where they answer clients."""
    ports = free_ports(6)
    peers = json.dumps([f"127.0.0.1:{port}" for port in ports[3:]])
    run(graft, "tls", "init", "--cluster", "demo", "--dir", "tls")
    for at, name in enumerate(MEMBERS):
        run(graft, "tls", "issue", name, "--cluster", "demo", "--dir", "tls")
        (work / f"{name}.toml").write_text(f"""
[node]
name = "{name}"
data_dir = "./{name}-data"
[client]
listen = "127.0.0.1:{ports[at]}"
[cluster]
name = "demo"
expect = 3
peer_listen = "127.0.0.1:{ports[3 + at]}"
peers = {peers}
peer_ca = "tls/ca.pem"
peer_cert = "tls/{name}.pem"
peer_key = "tls/{name}.key"
""")
        start(name, graftd, "--config", f"{name}.toml")
    addresses = [f"127.0.0.1:{port}" for port in ports[:3]]
    for address in addresses:
        until(f"{address} to be ready", lambda: (get(f"http://{address}/readyz") is not None, "ready"))
    return addresses


def work_on(addresses: list[str]) -> None:
    """Workflows that end, one that fails, one that nobody serves and one that waits."""
    urls = ",".join(f"http://{address}" for address in addresses)
    start("worker", worker, "--addr", f"http://{addresses[0]}")
    for at in range(5):
        run(graft, "--addr", urls, "workflow", "start", f"done-{at}", "--node", "greet", "--config", '"Ada"', "--wait")
    run(graft, "--addr", urls, "workflow", "start", "failed", "--node", "greet", "--config", "42")
    run(graft, "--addr", urls, "workflow", "start", "unserved", "--node", "nobody")
    run(graft, "--addr", urls, "workflow", "start", "later", "--node", "greet", "--delay", "1h")


def watch(addresses: list[str]) -> None:
    """Starts Prometheus, which scrapes them every second and evaluates the rules as often."""
    (work / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "graft", "static_configs": [{"targets": addresses}]}],
    }))
    start("prometheus", "prometheus", "--config.file", str(work / "prometheus.yml"), "--storage.tsdb.path", str(work / "tsdb"),
          "--web.listen-address", f"127.0.0.1:{prometheus_port}")

    def scraped():
        targets = json.loads(get(f"http://127.0.0.1:{prometheus_port}/api/v1/targets"))["data"]["activeTargets"]
        seen = {target["scrapeUrl"]: (target["health"], target["lastError"]) for target in targets}
        return len(seen) == 3 and all(health == "up" for health, _ in seen.values()), seen

    until("all members to be scraped", scraped)


def rules_evaluate() -> int:
    def evaluated():
        groups = json.loads(get(f"http://127.0.0.1:{prometheus_port}/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        ill = [(rule["name"], rule["health"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"]
        return bool(rules) and not ill, ill or len(rules)

    return until("every rule to be evaluated", evaluated)


def alert(name: str):
    """Whether an alert is pending or fires."""
    alerts = json.loads(get(f"http://127.0.0.1:{prometheus_port}/api/v1/alerts"))["data"]["alerts"]
    return any(each["labels"]["alertname"] == name for each in alerts), [each["labels"]["alertname"] for each in alerts]


def main() -> None:
    lacking = untested()
    assert not lacking, f"{RULES_TEST.name} has to say when these fire and when they do not: {', '.join(lacking)}"
    addresses = form()
    say("three members are a cluster")
    work_on(addresses)
    say("workflows have run")
    for address in addresses:
        said = run("promtool", "check", "metrics", text=get(f"http://{address}/metrics"))
        assert not said.strip(), f"promtool finds fault with {address}: {said}"
    say("promtool finds no fault with what they show")
    watch(addresses)
    say(f"Prometheus scrapes them; {rules_evaluate()} rules evaluate")

    facts = {
        "sum(graft_workflows_started_total)": 8,
        'sum(graft_workflows_finished_total{outcome="completed"})': 5,
        'sum(graft_workflows_finished_total{outcome="failed"})': 1,
        "sum(graft_workflows_open)": 2,
        'sum(graft_tasks{state="dead_lettered"})': 1,
        'sum(graft_node_tasks_waiting{node="nobody"})': 1,
        "sum(graft_workers_connected)": 1,
        "count(graft_workers_connected)": 1,
        "max(graft_raft_voters_reachable)": 3,
        "count(count by (cluster_id) (graft_cluster_info))": 1,
        "count(graft_build_info)": 3,
    }
    for expression, wanted in facts.items():
        until(f"{expression} to be {wanted}", lambda: (number(expression) == wanted, number(expression)))
    say(f"{len(facts)} facts are told once, whoever is asked")

    names = named()
    until("every series that rules, dashboards and pages name", lambda: (not (lacking := sorted(n for n in names if not query(f'count({{__name__=~"{n}(_count)?"}})'))), lacking))
    series = [number(f'scrape_samples_scraped{{instance="{address}"}}') for address in addresses]
    say(f"{len(names)} series are there; the members show {', '.join(f'{count:.0f}' for count in series)} each")
    panels = expressions()
    # Nothing was sent as a snapshot, and a rate needs two scrapes: an empty answer is one, too.
    empty = [panel for panel, expression in panels.items() if not query(expression)]
    say(f"{len(panels)} expressions of {len(DASHBOARDS)} dashboards are answered, {len(empty)} of them with nothing yet")
    until("an alert for the node that nobody serves", lambda: alert("GraftNoWorkers"))
    pending, alerts = alert("GraftNoLeader")
    assert not pending, alerts
    say(f"alerts: {', '.join(sorted(set(alerts)))}")

    lost = started.pop("m3")
    lost.kill()
    lost.wait()
    until("the loss of a member to be seen", lambda: (number("max(graft_raft_voters_reachable)") == 2, number("max(graft_raft_voters_reachable)")))
    until("an alert for it", lambda: alert("GraftQuorumAtRisk"))
    until("an alert for the scrape", lambda: alert("GraftMemberDown"))
    say("the loss of a member is told")


prometheus_port = free_ports(1)[0]
try:
    main()
finally:
    for process in started.values():
        process.kill()
        process.wait()
