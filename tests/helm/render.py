"""Renders the chart as people would use it, and holds what comes out against everything that can be known of it without a cluster.

Arguments: the folder of `tools`, and graftd. With UPDATE=1 the golden files and the generated part of the schema are written anew. Ends with 0 only
if everything is as it should be; says everything that is not.

Each file in the chart's `ci` folder is one way of use. Each is rendered for several versions of Kubernetes, for an install and for an upgrade, and
  - every object is valid for that version, or for the definition that its own project has published;
  - every property of `properties.py` holds;
  - the configuration in it is accepted by graftd itself, in the environment that its pod has.
Two of them are golden files. Values that contradict each other are refused (`REFUSED`), and what can never change has not changed.
"""

import base64
import concurrent.futures
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

from properties import PROPERTIES
from rendered import CHART, ROOT, config_of, named, objects, pods

HERE = pathlib.Path(__file__).parent
VERSIONS = ["1.27", "1.31", "1.34", kubernetes_validate.latest_version()]
USUAL = "1.34"
GOLDEN = ["ha-3", "single"]
OWN = {"v1", "apps/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"}
UPDATE = os.environ.get("UPDATE") == "1"

# Sections and keys that the chart decides on.
CHART_DECIDES = {
    "node": {"name", "data_dir"},
    "client": {"listen", "advertise", "cert", "key", "callers_ca", "callers", "health_listen"},
    "cluster": {"name", "expect", "peers", "peer_listen", "peer_advertise", "peer_ca", "peer_cert", "peer_key"},
    "discovery": {"dns", "mdns", "kubernetes_service", "kubernetes_stateful_set", "kubernetes_sentinel", "kubernetes_namespace", "kubernetes_port",
                  "kubernetes_api", "kubernetes_account"},
    "auth": {"required", "root_token_file", "rules", "redacted_fields", "oidc_issuer", "oidc_audience", "oidc_name_claim", "oidc_jwks_file", "oidc_ca"},
    "security": {"insecure"},
    "shutdown": {"grace"},
}

WORKER = ["workers[0].name=w", "workers[0].image=w:1"]
SCALED = ["workers[0].autoscaling.minReplicas=0", "workers[0].autoscaling.maxReplicas=5", "workers[0].autoscaling.nodes={ocr}"]

# What contradicts itself, and what is said about it.
REFUSED = [
    (["replicas=4"], "an even number survives no more losses"),
    (["replicas=3", "cluster.expect=5"], "so many members would never be there"),
    (["replicas=4", "cluster.allowEven=true"], "an odd number of members forms a cluster"),
    (["replicas=1", "tls.mode=off"], "in the clear, to whoever asks; say `insecure` as well"),
    (["tls.clients=false"], "in the clear, to whoever asks; say `insecure` as well"),
    (["tls.callers=optional"], "could do anything; say auth.required"),
    (["replicas=3", "tls.mode=off", "insecure=true"], "members always speak TLS to each other"),
    (["replicas=1", "tls.mode=off", "insecure=true", "networkPolicy.enabled=true"], "with tls.mode off there is one alone"),
    (["tls.mode=existingSecret"], "name the Secret in tls.existingSecret"),
    (["tls.mode=existingSecret", "tls.existingSecret=s", *WORKER], "worker w has no certificate"),
    (["tls.mode=certManager"], "name an Issuer or ClusterIssuer"),
    (["auth.rules={certificate ann viewer}"], "mean nothing while whoever is let in may do everything"),
    (["auth.rules={ann viewer}", "auth.required=true"], "does not match pattern"),
    (["auth.required=true", "auth.oidc.issuer=https://id.example"], "say in auth.oidc.audience for whom"),
    (["auth.oidc.issuer=http://id.example"], "does not match pattern"),
    (["auth.required=true", *WORKER], "worker w is granted nothing"),
    ([*WORKER, *SCALED], "name the Secret with which it shows who it is"),
    ([*WORKER, *SCALED, "keda.existingSecret=k", "keda.mode=bearer"], "a token or a certificate, not both"),
    ([*WORKER, *SCALED, "keda.existingSecret=k", "workers[0].autoscaling.maxReplicas=200"], "members tell of 1000 tasks at most"),
    ([*WORKER, "workers[0].autoscaling.minReplicas=0", "workers[0].autoscaling.maxReplicas=1"], "'nodes'"),
    (["gateway.hostnames={a.example}", "gateway.grpcHostnames={b.example,a.example}"], "a Gateway takes one alone"),
    (["gateway.hostnames={*.example}", "gateway.grpcHostnames={a.example}"], "a Gateway takes one alone"),
    (["gateway.grpcHostnames={a.example}"], "a Gateway takes one alone"),
    (["config.auth.required=true"], "additional properties 'auth' not allowed"),
    (["config.cluster.bootstrap=manual", "cluster.expect=3"], "only one of the two can form the cluster"),
    (["config.cluster.name=m1"], "additional properties 'name' not allowed"),
    (["config.raft.heartbeet=1s"], "additional properties 'heartbeet' not allowed"),
    (["config.raft.heartbeat=soon"], "does not match pattern"),
    (["image.tag=latest"], "'not' failed"),
    (["replica=3"], "additional properties 'replica' not allowed"),
]


class Checks:
    """Runs Helm and graftd, and collects what is wrong."""

    def __init__(self, tools: pathlib.Path, graftd: str):
        self.tools, self.graftd = tools, graftd
        self.wrong: list[str] = []
        self.ways = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))

    def complain(self, where: str, what: str) -> None:
        self.wrong.append(f"{where}: {what}")

    def helm(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([self.tools / "bin/helm", *words], capture_output=True, text=True)

    def template(self, *words: str, chart: pathlib.Path = CHART, version: str = USUAL) -> subprocess.CompletedProcess:
        return self.helm("template", "graft", str(chart), "--namespace", "lab", "--kube-version", version, *words)


def accepted(checks: Checks, way: str, found: list[dict]) -> None:
    """graftd itself takes the configuration, in the environment of the first pod; also what is allowed but unwise is refused."""
    spec = next(one for one in found if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    environment = {"PATH": os.environ["PATH"]}
    for variable in spec["containers"][0]["env"]:
        value = variable.get("value", pods(found)[0])
        environment[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda hit: environment[hit[1]], value)
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        files = next(volume for volume in spec["volumes"] if volume["name"] == "config")["configMap"]["items"]
        for item in files:
            (place / item["path"]).parent.mkdir(exist_ok=True)
            (place / item["path"]).write_text(config_of(found)[item["key"]])
        # The volume of the pod is not here; what stands in for it is a folder that stays, too.
        words = ["--config", str(place / "graftd.toml"), "--data-dir", str(checks.tools / "data"), "config", "check", "--strict"]
        ran = subprocess.run([checks.graftd, *words], env=environment, capture_output=True, text=True)
    if ran.returncode != 0:
        checks.complain(way, f"graftd config check ended with {ran.returncode}: {ran.stdout}{ran.stderr}")


def rendered(checks: Checks, way: str, version: str, *words: str) -> str | None:
    ran = checks.template("-f", str(CHART / f"ci/{way}.yaml"), *words, version=version)
    if ran.returncode != 0:
        checks.complain(f"{way} {version}", ran.stderr)
        return None
    return ran.stdout


def grid(checks: Checks) -> list[str]:
    """Renders every way of use, and checks it; the lines for the checker of others' objects."""
    others, seen = [], {}
    cells = [(way, version, mode) for way in checks.ways for version in VERSIONS for mode in ([], ["--is-upgrade"])]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        texts = list(pool.map(lambda cell: rendered(checks, cell[0], cell[1], *cell[2]), cells))
    for (way, version, mode), text in zip(cells, texts):
        if text is None:
            continue
        where = " ".join([way, version, *mode])
        # What was looked at once for this version is not looked at again.
        if seen.setdefault((way, version), text) != text:
            checks.complain(where, "an upgrade is rendered otherwise than an install: whoever renders without a cluster could not have it")
        if mode:
            continue
        found = objects(text)
        for one in found:
            if one["apiVersion"] not in OWN:
                others.append(json.dumps({"name": f"{where} {named(one)}", "object": one}))
                continue
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except Exception as error:
                checks.complain(f"{where} {named(one)}", str(error))
        if version == VERSIONS[0] or text != seen[(way, VERSIONS[0])]:
            for holds in PROPERTIES:
                for what in holds(way, found):
                    checks.complain(f"{where} {holds.__name__}", what)
            accepted(checks, way, found)
    return others


def refused_by_others(checks: Checks, lines: list[str]) -> None:
    """Holds objects of others against their definitions; that something wrong would be seen is shown first."""
    planted = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "x"}, "spec": {"triggers": []}}
    lines = [json.dumps({"name": "planted", "object": planted}), *lines]
    words = ["node", "--input-type=module", "--eval", (HERE / "crds.mjs").read_text()]
    ran = subprocess.run(words, cwd=checks.tools / "models", input="\n".join(lines), capture_output=True, text=True)
    said = ran.stdout.splitlines()
    if ran.returncode != 0 or not said or not said[0].startswith("planted: "):
        checks.complain("objects of others", f"the checker does not see what is wrong: {ran.stdout}{ran.stderr}")
    for line in said[1:]:
        checks.complain("objects of others", line)


def compare(checks: Checks, path: pathlib.Path, text: str) -> None:
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return
    there = path.read_text() if path.exists() else ""
    if there != text:
        lines = difflib.unified_diff(there.splitlines(), text.splitlines(), "expected", "now", lineterm="")
        checks.complain(str(path.relative_to(ROOT)), "is another; if it is meant to be, UPDATE=1 writes it\n" + "\n".join(list(lines)[:60]))


def golden(checks: Checks) -> None:
    for way in GOLDEN:
        text = rendered(checks, way, USUAL)
        if text is not None:
            compare(checks, HERE / f"golden/{way}.yaml", text)


def what_never_changes(checks: Checks) -> None:
    """A StatefulSet refuses to change these: what a release of the chart has said once, the next one says too. Not written by UPDATE=1."""
    found = objects(rendered(checks, "ha-3", USUAL) or "")
    kept = {}
    for one in found:
        if one["kind"] == "StatefulSet":
            spec = one["spec"]
            kept[named(one)] = {key: spec[key] for key in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")}
    there = json.loads((HERE / "golden/never-changes.json").read_text())
    if kept != there:
        checks.complain("what never changes", f"{json.dumps(kept, indent=1)}\nis not golden/never-changes.json: no release could be upgraded")


def refusals(checks: Checks) -> None:
    for values, expected in REFUSED:
        ran = checks.template(*[word for value in values for word in ("--set", value)])
        if ran.returncode == 0 or expected not in ran.stderr:
            checks.complain(f"refusal of {values}", f"{expected!r} is not said: {ran.stderr or 'it is taken'}")


def lint(checks: Checks) -> None:
    for way in checks.ways:
        ran = checks.helm("lint", "--strict", "--quiet", "--kube-version", USUAL, str(CHART), "-f", str(CHART / f"ci/{way}.yaml"))
        if ran.returncode != 0:
            checks.complain(f"lint {way}", ran.stdout + ran.stderr)


def files_are_carried(checks: Checks) -> None:
    """Rules and dashboards stand in the chart as they stand in `deploy`, since a chart reads nothing else, and are rendered as they stand."""
    carried = {CHART / "files/graft-rules.yaml": ROOT / "deploy/prometheus/graft-rules.yaml"}
    carried |= {CHART / "files/dashboards" / path.name: path for path in (ROOT / "deploy/grafana").glob("*.json")}
    for copy, original in carried.items():
        compare(checks, copy, original.read_text())
    there = set((CHART / "files").rglob("*.*"))
    if there != carried.keys():
        checks.complain("files", f"of the chart are {sorted(there)}, and there should be {sorted(carried)}")
    ran = checks.template("--set", "monitoring.rules.enabled=true,monitoring.dashboards.enabled=true")
    found = {named(one): one for one in objects(ran.stdout)}
    rules = yaml.safe_load((ROOT / "deploy/prometheus/graft-rules.yaml").read_text())
    if found.get("PrometheusRule/graft", {}).get("spec") != rules:
        checks.complain("rules", f"are not rendered as they stand: {ran.stderr}")
    for path in (ROOT / "deploy/grafana").glob("*.json"):
        board = found.get(f"ConfigMap/graft-dashboard-{path.stem}", {"metadata": {"labels": {}}})
        if board.get("data") != {path.name: path.read_text()} or board["metadata"]["labels"].get("grafana_dashboard") != "1":
            checks.complain(path.name, f"is not rendered as it stands: {ran.stderr}")


def schema_is_generated(checks: Checks) -> None:
    """What may stand below `config` is what graftd reads, but for what the chart decides."""
    ran = subprocess.run([checks.graftd, "config", "schema"], capture_output=True, text=True, check=True)
    sections = json.loads(ran.stdout)["properties"]
    for section, decided in CHART_DECIDES.items():
        missing = decided - sections[section]["properties"].keys()
        if missing:
            checks.complain("config", f"graftd has no {section}.{missing}")
        for key in decided:
            sections[section]["properties"].pop(key, None)
    for section in list(sections):
        if not sections[section]["properties"]:
            del sections[section]
        else:
            for key in sections[section]["properties"].values():
                key.pop("x-graft-environment")
    path = CHART / "values.schema.json"
    schema = json.loads(path.read_text())
    schema["properties"]["config"] = {"type": "object", "additionalProperties": False, "properties": sections}
    compare(checks, path, json.dumps(schema, indent=2, ensure_ascii=False) + "\n")


def what_is_made_once(checks: Checks) -> None:
    """The authority and the root token, where nobody has made them: two other ones each time, but kept when the release goes, since volumes stay."""
    twice = [{named(one): one for one in objects(checks.template("--set", "auth.required=true,auth.rootToken.key=first").stdout)} for _ in range(2)]
    for name, shape in [("Secret/graft-authority", {"ca.pem": "-----BEGIN CERTIFICATE-----\n", "ca.key": "-----BEGIN PRIVATE KEY-----\n"}),
                        ("Secret/graft-root-token", {"first": ""})]:
        first, second = (found.get(name, {"metadata": {}, "data": {}}) for found in twice)
        for key, begins in shape.items():
            text = base64.b64decode(first["data"].get(key, "")).decode()
            if len(text) < 48 or not text.startswith(begins) or first["data"][key] == second["data"][key]:
                checks.complain(name, f"{key}: {text[:30]}")
        try:
            kubernetes_validate.validate(first, USUAL, strict=True)
        except Exception as error:
            checks.complain(name, str(error))
        if first["data"].keys() != shape.keys() or first["metadata"].get("annotations", {}).get("helm.sh/resource-policy") != "keep":
            checks.complain(name, f"is not kept: {first['metadata']}, {sorted(first['data'])}")


def names_follow_the_release(checks: Checks) -> None:
    """Everything is named after its release, unless something else is said."""
    for release, said, expected in [("graft", "", "graft"), ("shop", "", "shop-graft"), ("old-graft", "", "old-graft"),
                                    ("shop", "nameOverride=flow", "shop-flow"), ("shop", "fullnameOverride=flow", "flow"), ("n" * 50, "", "n" * 40)]:
        ran = checks.helm("template", release, str(CHART), "--kube-version", USUAL, "--set", said, "--show-only", "templates/statefulset.yaml")
        names = [one["metadata"]["name"] for one in objects(ran.stdout)]
        if names != [expected]:
            checks.complain(f"release {release} {said}", f"{names} is not {expected}: {ran.stderr}")


def every_value_is_told(checks: Checks) -> None:
    """values.yaml has each value that the schema takes, with a default."""
    def look(schema: dict, there: dict, path: str) -> None:
        for key, below in schema.items():
            if key not in there:
                checks.complain("values.yaml", f"does not tell of {path}{key}")
            elif there[key] and "properties" in below:
                look(below["properties"], there[key], f"{path}{key}.")

    look(json.loads((CHART / "values.schema.json").read_text())["properties"], yaml.safe_load((CHART / "values.yaml").read_text()), "")


def same_every_time(checks: Checks) -> None:
    for way in checks.ways:
        if rendered(checks, way, USUAL) != rendered(checks, way, USUAL):
            checks.complain(way, "is rendered otherwise the second time")


def main() -> None:
    checks = Checks(pathlib.Path(sys.argv[1]), sys.argv[2])
    schema_is_generated(checks)
    lint(checks)
    refused_by_others(checks, grid(checks))
    refusals(checks)
    golden(checks)
    what_never_changes(checks)
    files_are_carried(checks)
    what_is_made_once(checks)
    names_follow_the_release(checks)
    every_value_is_told(checks)
    same_every_time(checks)
    if checks.wrong:
        sys.exit("\n".join(checks.wrong))
    print(f"{len(checks.ways)} ways of use, each for Kubernetes {', '.join(VERSIONS)}: all as it should be")


main()
