"""What was said in the values of the chart, and what it was rendered to: the words in which `properties.py` speaks."""

import functools
import json
import pathlib
import tomllib

import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
CHART = ROOT / "deploy/helm/graft"
ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())
GRAFTD, GRAFT = "/usr/local/bin/graftd", "/usr/local/bin/graft"


@functools.cache
def values(way: str) -> dict:
    """What is said in a way of use, above the defaults; templates in it are expanded."""
    said = merged(yaml.safe_load((CHART / "values.yaml").read_text()), yaml.safe_load((CHART / f"ci/{way}.yaml").read_text()))
    return json.loads(json.dumps(said).replace("{{ .Release.Name }}", "graft").replace("{{ .Release.Namespace }}", "lab"))


def merged(below: dict, above: dict) -> dict:
    """As Helm does it: null takes away."""
    both = dict(below)
    for key, value in above.items():
        if value is None:
            both.pop(key, None)
        else:
            both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


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


def pod_labels(found: list[dict]) -> dict[str, dict]:
    """Labels of every pod that would be made, by the name of the object that makes it."""
    made = {named(one): one["spec"]["template"] for one in found if "template" in one.get("spec", {})}
    made |= {named(one): one for one in found if one["kind"] == "Pod"}
    return {name: pod["metadata"]["labels"] for name, pod in made.items()}


def containers(spec: dict) -> list[dict]:
    return spec["containers"] + spec.get("initContainers", [])


def of(found: list[dict], kind: str) -> list[dict]:
    return [one for one in found if one["kind"] == kind]


def members(found: list[dict]) -> dict:
    """The StatefulSet."""
    [one] = of(found, "StatefulSet")
    return one


def services(found: list[dict]) -> tuple[dict, dict]:
    """The Service that shows every member, and the one that leads clients to those that are ready."""
    [headless] = [one for one in of(found, "Service") if one["spec"].get("clusterIP") == "None"]
    [ready] = [one for one in of(found, "Service") if one != headless]
    return headless, ready


def full(found: list[dict]) -> str:
    """What everything is named after."""
    return members(found)["metadata"]["name"]


def pods(found: list[dict]) -> list[str]:
    return [f"{full(found)}-{number}" for number in range(members(found)["spec"]["replicas"])]


def clients_speak_tls(way: str) -> bool:
    tls = values(way)["tls"]
    return tls["mode"] != "off" and tls["clients"]


def address(way: str, found: list[dict]) -> str:
    """Where clients reach the cluster."""
    return f"{'https' if clients_speak_tls(way) else 'http'}://{full(found)}.lab.svc:{values(way)['service']['port']}"


def added(way: str) -> list[dict]:
    return [yaml.safe_load(one) if isinstance(one, str) else one for one in values(way)["extraObjects"]]


def variables(container: dict) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}


def differ(what: str, there, expected):
    if there != expected:
        yield f"{what}: {json.dumps(there)} is not {json.dumps(expected)}"


def config_of(found: list[dict]) -> dict[str, str]:
    return next(one["data"] for one in of(found, "ConfigMap") if "graftd.toml" in one.get("data", {}))


def toml_of(found: list[dict]) -> dict:
    return tomllib.loads(config_of(found)["graftd.toml"])
