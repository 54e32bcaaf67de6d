"""Renders the chart as people would use it, and holds what comes out against everything that can be known of it without a cluster.

Arguments: the folder of `tools`, and graftd. With UPDATE=1 the golden files and the generated part of the schema are written anew. Ends with 0 only
if everything is as it should be; says everything that is not.

Each file in the chart's `ci` folder is one way of use. Each is rendered for several versions of Kubernetes, for an install and for an upgrade, and
  - every object is valid for that version, or for the definition that its own project has published;
  - every property below (`PROPERTIES`) holds;
  - the configuration in it is accepted by graftd itself, in the environment that its pod has.
Two of them are golden files. Values that contradict each other are refused (`REFUSED`), and what can never change has not changed.
"""

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

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
CHART = ROOT / "deploy/helm/graft"
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
    (["tls.mode=existingSecret"], "name the Secret in tls.existingSecret"),
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


def objects(text: str) -> list[dict]:
    return [found for found in yaml.safe_load_all(text) if found]


def named(found: dict) -> str:
    return f"{found['kind']}/{found['metadata']['name']}"


def pod_specs(found: list[dict]):
    """Every pod that would be made, with the name of the object that makes it."""
    for one in found:
        if one["kind"] == "Pod":
            yield named(one), one["spec"]
        elif "template" in one.get("spec", {}):
            yield named(one), one["spec"]["template"]["spec"]


def containers(spec: dict) -> list[dict]:
    return spec["containers"] + spec.get("initContainers", [])


# --- properties: each yields what is wrong ---

def locked_down(way: str, found: list[dict]):
    """No container is more than it has to be."""
    for name, spec in pod_specs(found):
        pod = spec["securityContext"]
        if pod["runAsNonRoot"] is not True or pod["seccompProfile"] != {"type": "RuntimeDefault"}:
            yield f"{name}: {pod}"
        if way != "openshift" and (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"], pod["fsGroupChangePolicy"]) != (
                10001, 10001, 10001, "OnRootMismatch"):
            yield f"{name}: {pod}"
        if spec.get("hostNetwork") or spec.get("hostPID") or any("hostPath" in volume for volume in spec.get("volumes", [])):
            yield f"{name} is let out to its machine"
        for one in containers(spec):
            expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            if one["securityContext"] != expected:
                yield f"{name} {one['name']}: {one['securityContext']}"


def resources_said(way: str, found: list[dict]):
    """Every container says what it takes."""
    for name, spec in pod_specs(found):
        for one in containers(spec):
            if "memory" not in one["resources"].get("requests", {}) or "cpu" in one["resources"].get("limits", {}):
                yield f"{name} {one['name']}: {one['resources']}"


def images_are_fixed(way: str, found: list[dict]):
    """Each image has a version or a digest."""
    for name, spec in pod_specs(found):
        for one in containers(spec):
            if not re.search(r"(:\d[\w.-]*|@sha256:[0-9a-f]{64})$", one["image"]):
                yield f"{name} {one['name']}: {one['image']}"


def volumes_fit(way: str, found: list[dict]):
    """What is mounted is there, and what is there is mounted."""
    claims = {claim["metadata"]["name"] for one in found for claim in one.get("spec", {}).get("volumeClaimTemplates", [])}
    for name, spec in pod_specs(found):
        there = {volume["name"] for volume in spec.get("volumes", [])} | (claims if name.startswith("StatefulSet") else set())
        mounted = {mount["name"] for one in containers(spec) for mount in one.get("volumeMounts", [])}
        if there != mounted:
            yield f"{name}: there are {sorted(there)}, and mounted {sorted(mounted)}"


def only_the_maker_sees_the_authority(way: str, found: list[dict]):
    """The key that makes certificates is in no container that stays."""
    for name, spec in pod_specs(found):
        for one in spec["containers"]:
            if any(mount["name"] == "authority" for mount in one.get("volumeMounts", [])):
                yield f"{name} {one['name']}"


def secrets_stay_where_they_belong(way: str, found: list[dict]):
    """The root token is seen by graftd alone, and a worker's token by that worker."""
    for name, spec in pod_specs(found):
        for one in containers(spec):
            mounted = {mount["name"]: mount for mount in one.get("volumeMounts", [])}
            if "auth" in mounted and (not name.startswith("StatefulSet") or one["name"] != "graftd" or not mounted["auth"]["readOnly"]):
                yield f"{name} {one['name']} sees the root token"
            shown = [variable["value"] for variable in one.get("env", []) if variable["name"] == "GRAFT_TOKEN_FILE"]
            if ("token" in mounted) != (shown == ["/etc/graft-token/token"]):
                yield f"{name} {one['name']}: the token is mounted and named, or neither"
        asks = "[auth]" in config_of(found)["graftd.toml"]
        if name.startswith("StatefulSet") and asks != any(volume["name"] == "auth" for volume in spec["volumes"]):
            yield f"{name}: the root token"


def callers_are_granted_something(way: str, found: list[dict]):
    """Where callers have to show who they are, those of the release may do what they are for."""
    config = config_of(found)["graftd.toml"]
    if "[auth]" not in config:
        return
    rules = json.loads(next(line for line in config.splitlines() if line.startswith("rules = ")).removeprefix("rules = "))
    granted = {rule.split()[1] for rule in rules}
    if any(one["kind"] == "Pod" for one in found) and "helm-test" not in granted:
        yield "helm test would be refused"
    if any(one["kind"] == "TriggerAuthentication" for one in found) and "keda" not in granted:
        yield "KEDA would be refused"
    for one in found:
        worker = one["metadata"]["labels"].get("app.kubernetes.io/component", "").removeprefix("worker-")
        if one["kind"] == "Deployment" and worker not in granted:
            if not any(volume["name"] == "token" for volume in one["spec"]["template"]["spec"]["volumes"]):
                yield f"worker {worker} would be refused"


def what_scales_is_asked(way: str, found: list[dict]):
    """Each trigger that asks the members names an authentication that is there, where one is needed."""
    there = {one["metadata"]["name"] for one in found if one["kind"] == "TriggerAuthentication"}
    for one in (one for one in found if one["kind"] == "ScaledObject"):
        for trigger in (trigger for trigger in one["spec"]["triggers"] if trigger["type"] == "metrics-api"):
            secure = trigger["metadata"]["url"].startswith("https:")
            if secure != ("authMode" in trigger["metadata"]) or secure != (trigger.get("authenticationRef", {}).get("name") in there):
                yield f"{named(one)}: {trigger}"


def selectors_choose_their_own(way: str, found: list[dict]):
    """What selects members finds their pods, and nothing else that the release makes."""
    labels = {}
    for one in found:
        if "template" in one.get("spec", {}):
            labels[named(one)] = one["spec"]["template"]["metadata"]["labels"]
            chosen = one["spec"]["selector"]["matchLabels"]
            if not chosen.items() <= labels[named(one)].items():
                yield f"{named(one)} does not select its own pods"
        elif one["kind"] == "Pod":
            labels[named(one)] = one["metadata"]["labels"]
    for one in found:
        selector = {"Service": lambda: one["spec"]["selector"], "PodDisruptionBudget": lambda: one["spec"]["selector"]["matchLabels"],
                    "NetworkPolicy": lambda: one["spec"]["podSelector"]["matchLabels"],
                    "PodMonitor": lambda: one["spec"]["selector"]["matchLabels"]}.get(one["kind"])
        if selector:
            hit = [name for name, have in labels.items() if selector().items() <= have.items()]
            if [name.split("/")[0] for name in hit] != ["StatefulSet"]:
                yield f"{named(one)} selects {hit}"


def ports_are_there(way: str, found: list[dict]):
    """Services and probes name ports that the member opens, and the headless Service shows members that are not ready."""
    member = next(one for one in found if one["kind"] == "StatefulSet")
    spec = member["spec"]["template"]["spec"]["containers"][0]
    open_ports = {port["name"]: port["containerPort"] for port in spec["ports"]}
    for one in (one for one in found if one["kind"] == "Service"):
        for port in one["spec"]["ports"]:
            if port["targetPort"] not in open_ports:
                yield f"{named(one)}: {port}"
        if one["spec"].get("clusterIP") == "None" and one["spec"]["publishNotReadyAddresses"] is not True:
            yield f"{named(one)} hides members that are not ready"
    for probe, path in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
        if (spec[probe]["httpGet"]["path"], spec[probe]["httpGet"]["port"]) != (path, "health"):
            yield f"{probe}: {spec[probe]}"


def members_are_a_set(way: str, found: list[dict]):
    """Parallel, one at a time when rolled, with their volumes kept, and time to leave."""
    spec = next(one for one in found if one["kind"] == "StatefulSet")["spec"]
    pod = spec["template"]["spec"]
    kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    if spec["podManagementPolicy"] != "Parallel" or spec["persistentVolumeClaimRetentionPolicy"] != kept:
        yield "the StatefulSet's policies"
    if pod["enableServiceLinks"] is not False:
        yield "variables of Services that nobody asked for"
    grace = re.search(r'grace = "(\d+)s"', config_of(found)["graftd.toml"])
    if int(grace[1]) + 15 > pod["terminationGracePeriodSeconds"]:
        yield f"graftd drains for {grace[0]}, and the pod has {pod['terminationGracePeriodSeconds']} s"
    budget = [one for one in found if one["kind"] == "PodDisruptionBudget"]
    if len(budget) != (spec["replicas"] > 1) or any(one["spec"]["maxUnavailable"] != 1 for one in budget):
        yield "the disruption budget"


def scraped_as_the_rules_read(way: str, found: list[dict]):
    """The rules group by Graft's own label `namespace`, and ask for jobs with `graft` in their name, each of one cluster."""
    for one in found:
        for endpoint in one["spec"]["podMetricsEndpoints"] if one["kind"] == "PodMonitor" else []:
            jobs = [rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"]
            if not endpoint.get("honorLabels") or len(jobs) != 1 or not jobs[0].startswith("graft/") or len(jobs[0].split("/")) != 3:
                yield f"{named(one)}: {endpoint} is not what the alert rules read"


def rights_are_least(way: str, found: list[dict]):
    """The token is there for who asks, the Role lists what is asked, and there is neither where nothing is."""
    spec = next(one for one in found if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    discovery = config_of(found)["graftd.toml"]
    asks = {"endpointslices": "kubernetes_service" in discovery, "statefulsets": "kubernetes_stateful_set" in discovery,
            "configmaps": "kubernetes_sentinel" in discovery}
    if spec["automountServiceAccountToken"] != any(asks.values()):
        yield "the token of the members"
    rules = [rule for one in found if one["kind"] == "Role" for rule in one["rules"]]
    expected = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}] * asks["endpointslices"]
    expected += [{"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": ["graft"], "verbs": ["get"]}] * asks["statefulsets"]
    expected += [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["graft-cluster"], "verbs": ["get", "patch"]}] * asks["configmaps"]
    if asks["configmaps"] != any(named(one) == "ConfigMap/graft-cluster" and "data" not in one for one in found):
        yield "the ConfigMap in which the cluster is noted"
    if rules != expected:
        yield f"the Role: {rules}"
    if any(one["kind"].startswith("Cluster") for one in found):
        yield "rights in the whole cluster"
    for name, spec in pod_specs(found):
        if not name.startswith("StatefulSet") and spec["automountServiceAccountToken"] is not False:
            yield f"the token of {name}"


def a_change_of_the_configuration_rolls(way: str, found: list[dict]):
    """The pods name their configuration."""
    template = next(one for one in found if one["kind"] == "StatefulSet")["spec"]["template"]
    if not re.fullmatch("[0-9a-f]{64}", template["metadata"]["annotations"]["checksum/config"]):
        yield "no checksum"


def everything_is_labelled(way: str, found: list[dict]):
    """Each object says what it is part of, and where it is."""
    for one in found:
        if one["metadata"]["labels"].get("app.kubernetes.io/instance") != "graft" or one["metadata"]["namespace"] != "lab":
            yield f"{named(one)}: {one['metadata']}"


PROPERTIES = [locked_down, resources_said, images_are_fixed, volumes_fit, only_the_maker_sees_the_authority,
              secrets_stay_where_they_belong, callers_are_granted_something, what_scales_is_asked, selectors_choose_their_own,
              scraped_as_the_rules_read, ports_are_there, members_are_a_set, rights_are_least, a_change_of_the_configuration_rolls, everything_is_labelled]


def config_of(found: list[dict]) -> dict[str, str]:
    return next(one["data"] for one in found if named(one) == "ConfigMap/graft-config")


def accepted(checks: Checks, way: str, found: list[dict]) -> None:
    """graftd itself takes the configuration, in the environment of the first pod; also what is allowed but unwise is refused."""
    spec = next(one for one in found if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    environment = {"PATH": os.environ["PATH"]}
    for variable in spec["containers"][0]["env"]:
        value = variable.get("value", "graft-0")
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
    same_every_time(checks)
    if checks.wrong:
        sys.exit("\n".join(checks.wrong))
    print(f"{len(checks.ways)} ways of use, each for Kubernetes {', '.join(VERSIONS)}: all as it should be")


main()
