"""What is true of everything that the chart renders, whatever is said in the values.

Each property takes the name of a way of use and the objects that it comes to, and yields what is wrong. What a value is for is held against what was
said (`values`): a template that drops it, or brings it elsewhere, fails here, while a golden file would only look different.
"""

import functools
import pathlib
import re
import tomllib
import urllib.parse

from rendered import (
    ABOUT, GRAFT, GRAFTD, ROOT, added, address, clients_speak_tls, config_of, containers, differ, full, members, named, of, pod_labels,
    pod_specs, pods, services, toml_of, values, variables,
)

TOLD_AT_MOST = 1000  # Tasks, of a member that is asked for them.
SDK_DRAINS_S = 30
MEMBERS_MAX = 9
MEMORY = {"small": "1Gi", "medium": "2Gi", "large": "8Gi"}


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
    """The key that makes certificates is in no container that stays, and what is made with it is in memory alone."""
    authority = values(way)["tls"]["selfSigned"]["existingAuthority"] or f"{full(found)}-authority"
    for name, spec in pod_specs(found):
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for one in spec["containers"]:
            secrets = [volumes.get(mount["name"], {}).get("secret", {}) for mount in one.get("volumeMounts", [])]
            seen = [item["path"] for secret in secrets if secret.get("secretName") == authority
                    for item in secret.get("items", [{"path": "everything"}])]
            if set(seen) - {"ca.pem"}:
                yield f"{name} {one['name']} sees {seen} of the authority"
        if "authority" in volumes:
            yield from differ(f"{name}: what is made", volumes["tls"].get("emptyDir"), {"medium": "Memory", "sizeLimit": "1Mi"})


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


def callers_are_granted_what_they_need(way: str, found: list[dict]):
    """Where callers have to show who they are, those of the release may do what they are for, and nothing is granted to who is not there."""
    said = values(way)
    if not said["auth"]["required"]:
        return
    rules = set(said["auth"]["rules"])
    if of(found, "Pod"):
        rules |= {"certificate helm-test operator@default", "certificate helm-test worker@default=try-*"}
    for worker in said["workers"]:
        rules |= {f"certificate {worker['name']} {grant}" for grant in worker.get("grants", [])}
        scaling = worker.get("autoscaling", {})
        if "nodes" in scaling and said["keda"]["mode"] == "tls":
            rules.add(f"certificate keda viewer@{scaling.get('namespace', 'default')}")
        if "grants" not in worker and "tokenSecret" not in worker:
            yield f"worker {worker['name']} would be refused"
    yield from differ("what is granted", sorted(toml_of(found)["auth"].get("rules", [])), sorted(rules))


def secrets_are_for_the_group(way: str, found: list[dict]):
    """What comes from a Secret is read by the group of the pod, and by nobody else."""
    for name, spec in pod_specs(found):
        for volume in spec.get("volumes", []):
            mode = volume.get("secret", volume.get("projected", {"defaultMode": 0o440})).get("defaultMode")
            if mode != 0o440:
                yield f"{name}: volume {volume['name']} with mode {mode}"


def what_scales_is_asked(way: str, found: list[dict]):
    """Each trigger that asks the members names an authentication that is there, where one is needed."""
    there = {one["metadata"]["name"] for one in found if one["kind"] == "TriggerAuthentication"}
    for one in (one for one in found if one["kind"] == "ScaledObject"):
        for trigger in (trigger for trigger in one["spec"]["triggers"] if trigger["type"] == "metrics-api"):
            secure = trigger["metadata"]["url"].startswith("https:")
            if secure != ("authMode" in trigger["metadata"]) or secure != (trigger.get("authenticationRef", {}).get("name") in there):
                yield f"{named(one)}: {trigger}"


def selectors_choose_their_own(way: str, found: list[dict]):
    """What selects members selects them as their StatefulSet does, and hits no other pod of the release, nor of another one."""
    labels, own = pod_labels(found), members(found)["spec"]["selector"]["matchLabels"]
    for one in found:
        if "template" in one.get("spec", {}) and not one["spec"]["selector"]["matchLabels"].items() <= labels[named(one)].items():
            yield f"{named(one)} does not select its own pods"
        if one["kind"] in ("Service", "PodDisruptionBudget", "PodMonitor", "NetworkPolicy"):
            chosen = one["spec"]["podSelector" if one["kind"] == "NetworkPolicy" else "selector"]
            yield from differ(f"selector of {named(one)}", chosen, own if one["kind"] == "Service" else {"matchLabels": own})
    yield from differ("members", [name for name, have in labels.items() if own.items() <= have.items()], [named(members(found))])


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
    """Parallel, rolled as is said, with volumes that are kept as is said, time to leave, and one at a time when machines are drained."""
    said, spec = values(way), members(found)["spec"]
    pod, policies = spec["template"]["spec"], spec["persistentVolumeClaimRetentionPolicy"]
    yield from differ("podManagementPolicy", spec["podManagementPolicy"], "Parallel")
    yield from differ("volumes", policies, {key: said["storage"][key] for key in ("whenDeleted", "whenScaled")})
    strategy = said["updateStrategy"]
    rolling = {"rollingUpdate": {"partition": strategy["partition"]}} if strategy["type"] == "RollingUpdate" else {}
    yield from differ("updates", spec["updateStrategy"], {"type": strategy["type"], **rolling})
    there = [spec["replicas"], spec["minReadySeconds"], pod["terminationGracePeriodSeconds"]]
    yield from differ("members", there, [said[key] for key in ("replicas", "minReadySeconds", "terminationGracePeriodSeconds")])
    grace = int(toml_of(found)["shutdown"]["grace"].removesuffix("s"))
    if grace != min(40, pod["terminationGracePeriodSeconds"] - 15):
        yield f"graftd drains for {grace} s, and the pod has {pod['terminationGracePeriodSeconds']} s"
    wanted = said["podDisruptionBudget"]["enabled"] and spec["replicas"] > 1
    budgets = [one["spec"]["maxUnavailable"] for one in of(found, "PodDisruptionBudget")]
    yield from differ("disruption budgets", budgets, [said["podDisruptionBudget"]["maxUnavailable"]] * wanted)


def no_variables_of_services(way: str, found: list[dict]):
    """No pod has variables of Services that nobody asked for."""
    for name, spec in pod_specs(found):
        if spec["enableServiceLinks"] is not False:
            yield name


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
    name = full(found)
    expected = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}] * asks["endpointslices"]
    expected += [{"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": [name], "verbs": ["get"]}] * asks["statefulsets"]
    note = f"{name}-cluster"
    expected += [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [note], "verbs": ["get", "patch"]}] * asks["configmaps"]
    kept = [one["metadata"]["annotations"].get("helm.sh/resource-policy") for one in of(found, "ConfigMap")
            if one["metadata"]["name"] == note and "data" not in one]
    yield from differ("the ConfigMap in which the cluster is noted", kept, ["keep"] * asks["configmaps"])
    if rules != (expected if values(way)["rbac"]["create"] else []):
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
    """Each object says what it is part of and where it is, and is named after its release: two of them share a namespace."""
    said = values(way)
    expected = {"app.kubernetes.io/name": said["nameOverride"] or "graft", "app.kubernetes.io/instance": "graft",
                "app.kubernetes.io/version": ABOUT["appVersion"], "app.kubernetes.io/managed-by": "Helm",
                "helm.sh/chart": f"graft-{ABOUT['version']}", **said["commonLabels"]}
    for one in (one for one in found if one not in added(way)):
        about = one["metadata"]
        if not expected.items() <= about["labels"].items() or about["namespace"] != "lab":
            yield f"{named(one)}: {about}"
        if not said["commonAnnotations"].items() <= about.get("annotations", {}).items():
            yield f"{named(one)} lacks annotations"
        if not about["name"].startswith(full(found)):
            yield f"{named(one)} could be another release's"


def pods_are_labelled(way: str, found: list[dict]):
    """Pods hold what is said and no version of the chart, or each would restart them all; selectors hold only what never changes."""
    said, own = values(way), members(found)
    for one in (one for one in found if "template" in one.get("spec", {})):
        about = one["spec"]["template"]["metadata"]
        labels = said["commonLabels"] | (said["podLabels"] if one == own else {})
        annotations = said["commonAnnotations"] | (said["podAnnotations"] if one == own else {})
        annotations |= {"kubectl.kubernetes.io/default-container": "graftd"} if one == own else {}
        if not labels.items() <= about["labels"].items() or not annotations.items() <= about.get("annotations", {}).items():
            yield f"pods of {named(one)}: {about}"
        if about["labels"].keys() & {"app.kubernetes.io/version", "helm.sh/chart"}:
            yield f"pods of {named(one)} name a version"
        fixed = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
        yield from differ(f"selector of {named(one)}", sorted(one["spec"]["selector"]["matchLabels"]), sorted(fixed))
    for claim in own["spec"]["volumeClaimTemplates"]:
        if not claim["metadata"]["labels"].items() <= own["spec"]["selector"]["matchLabels"].items():
            yield f"labels of a volume can never change: {claim['metadata']['labels']}"


def extras_arrive(way: str, found: list[dict]):
    """What is added to members and to the release is there, behind what the chart has itself."""
    said, spec = values(way), members(found)["spec"]["template"]["spec"]
    graftd = spec["containers"][0]
    for key, there in [("extraEnv", graftd["env"]), ("extraVolumeMounts", graftd["volumeMounts"]), ("extraVolumes", spec["volumes"]),
                       ("extraInitContainers", spec.get("initContainers", [])), ("extraContainers", spec["containers"])]:
        yield from differ(key, there[len(there) - len(said[key]):], said[key])
    yield from differ("extraEnvFrom", graftd.get("envFrom", []), said["extraEnvFrom"])
    for one in added(way):
        if one not in found:
            yield f"{named(one)} is not there as it was said"


def images_come_from_where_it_is_said(way: str, found: list[dict]):
    """Graft's image is that of the registry and the version that are said, a digest before a tag; every pod has the Secrets to pull with."""
    image, everywhere = values(way)["image"], values(way)["global"]
    place = "/".join(filter(None, [everywhere["imageRegistry"] or image["registry"], image["repository"]]))
    version = f"@{image['digest']}" if image["digest"] else f":{image['tag'] or ABOUT['appVersion']}"
    secrets = [{"name": name} for name in dict.fromkeys(everywhere["imagePullSecrets"] + image["pullSecrets"])]
    for name, spec in pod_specs(found):
        yield from differ(f"{name}: imagePullSecrets", spec.get("imagePullSecrets", []), secrets)
        for one in (one for one in containers(spec) if one.get("command", [""])[0] in (GRAFTD, GRAFT)):
            yield from differ(f"{name} {one['name']}", [one["image"], one.get("imagePullPolicy")], [place + version, image["pullPolicy"]])


def members_stand_where_it_is_said(way: str, found: list[dict]):
    """Members stand on different machines, and evenly over zones, as far as nothing else is said."""
    said, spec = values(way), members(found)["spec"]["template"]["spec"]
    own = members(found)["spec"]["selector"]
    machine = {"topologyKey": "kubernetes.io/hostname", "labelSelector": own}
    zone = {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": own}
    apart = {"soft": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": machine}]},
             "hard": {"requiredDuringSchedulingIgnoredDuringExecution": [machine]}}.get(said["spread"])
    usual = {"affinity": {"podAntiAffinity": apart}, "topologySpreadConstraints": [zone]} if apart else {}
    for key in ("affinity", "topologySpreadConstraints", "nodeSelector", "tolerations", "priorityClassName", "runtimeClassName"):
        yield from differ(key, spec.get(key), said[key] or usual.get(key))


def volumes_are_as_said(way: str, found: list[dict]):
    """The data is in a volume of the size and the class that are said; "-" is no class at all."""
    said = values(way)["storage"]
    [claim] = members(found)["spec"]["volumeClaimTemplates"]
    expected = {"accessModes": said["accessModes"], "resources": {"requests": {"storage": said["size"]}}}
    if said["storageClassName"]:
        expected["storageClassName"] = said["storageClassName"].removeprefix("-")
    yield from differ("the volume", claim["spec"], expected)
    yield from differ("annotations of the volume", claim["metadata"].get("annotations", {}), said["annotations"])
    mounts = members(found)["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    [place] = [mount["mountPath"] for mount in mounts if mount["name"] == claim["metadata"]["name"] and not mount.get("readOnly")]
    if pathlib.Path(place) not in pathlib.Path(toml_of(found)["node"]["data_dir"]).parents:
        yield f"the volume is at {place}, and the data at {toml_of(found)['node']['data_dir']}"


def probes_are_patient(way: str, found: list[dict]):
    """A member has a quarter of an hour to come up, is killed only after a minute without a sign of life, and has time for each answer."""
    graftd = members(found)["spec"]["template"]["spec"]["containers"][0]
    patience = {probe: graftd[probe]["periodSeconds"] * graftd[probe]["failureThreshold"] for probe in graftd if probe.endswith("Probe")}
    if patience["startupProbe"] < 900 or patience["livenessProbe"] < 60 or patience["readinessProbe"] > 15:
        yield f"probes: {patience}"
    if min(graftd[probe].get("timeoutSeconds", 1) for probe in ("livenessProbe", "readinessProbe")) < 5:
        yield "a busy member is taken for a dead one"


def sized_as_said(way: str, found: list[dict]):
    """A member has the memory of its preset and not more, unless something else is said; what runs beside it has a bound, too."""
    said, graftd = values(way), members(found)["spec"]["template"]["spec"]["containers"][0]
    if said["resources"]:
        yield from differ("resources", graftd["resources"], said["resources"])
    else:
        there = [graftd["resources"][bound]["memory"] for bound in ("requests", "limits")]
        yield from differ("memory", there, [MEMORY[said["resourcesPreset"]]] * 2)
    for name, spec in pod_specs(found):
        if any("memory" not in one["resources"].get("limits", {}) for one in containers(spec) if one.get("command") == [GRAFT]):
            yield f"{name}: nothing bounds what `graft` takes"


def members_listen_where_services_lead(way: str, found: list[dict]):
    """The ports of the configuration are those of the pod and of its Services, and peers are among them where members speak TLS to each other."""
    said, config, (headless, ready) = values(way), toml_of(found), services(found)
    listens = {"client": config["client"]["listen"], "health": config["client"]["health_listen"]}
    if said["tls"]["mode"] != "off":
        listens["peer"] = config["cluster"]["peer_listen"]
    expected = {name: int(listen.removeprefix("0.0.0.0:")) for name, listen in listens.items()}
    pod = members(found)["spec"]["template"]["spec"]["containers"][0]["ports"]
    yield from differ("ports of the pod", {port["name"]: port["containerPort"] for port in pod}, expected)
    yield from differ("ports of the members", {port["name"]: port["port"] for port in headless["spec"]["ports"]}, expected)
    for service in (headless, ready):
        if any(port["targetPort"] != port["name"] for port in service["spec"]["ports"]):
            yield f"{named(service)} leads elsewhere: {service['spec']['ports']}"
        yield from differ(f"component of {named(service)}", service["metadata"]["labels"].get("app.kubernetes.io/component"), "member")


def clients_are_served_as_said(way: str, found: list[dict]):
    """The Service for clients leads to members that are ready, and is as it is said."""
    said, ready = values(way)["service"], services(found)[1]
    port = {"name": "client", "port": said["port"], "targetPort": "client"}
    yield from differ("ports for clients", ready["spec"]["ports"], [port | ({"appProtocol": said["appProtocol"]} if said["appProtocol"] else {})])
    yield from differ("type of the Service", [ready["spec"]["type"], ready["spec"].get("publishNotReadyAddresses", False)], [said["type"], False])
    about = ready["metadata"]
    if not said["labels"].items() <= about["labels"].items() or not said["annotations"].items() <= about.get("annotations", {}).items():
        yield f"{named(ready)}: {about}"
    for name, spec in pod_specs(found):
        for one in spec["containers"] if not name.startswith("StatefulSet") else []:
            yield from differ(f"{name} {one['name']}", variables(one).get("GRAFT_ADDR"), address(way, found))


def members_know_each_other(way: str, found: list[dict]):
    """A member tells its name behind the headless Service; its configuration names what the release makes, and how many form the cluster."""
    said, config, name = values(way), toml_of(found), full(found)
    headless, alone = services(found)[0]["metadata"]["name"], said["tls"]["mode"] == "off"
    yield from differ("serviceName", members(found)["spec"]["serviceName"], headless)
    domain = f"{headless}.lab.svc.{said['cluster']['domain']}"
    told = {"GRAFT__NODE__NAME": "$(POD_NAME)", "GRAFT__CLIENT__ADVERTISE": f"$(POD_NAME).{domain}:7420"}
    told |= {} if alone else {"GRAFT__CLUSTER__PEER_ADVERTISE": f"$(POD_NAME).{domain}:7421"}
    there = variables(members(found)["spec"]["template"]["spec"]["containers"][0])
    yield from differ("what a member tells of itself", {key: there.get(key) for key in told}, told)
    asked = {"kubernetes": {"kubernetes_service": headless, "kubernetes_port": "peer"}, "dns": {"dns": [f"{domain}:7421"]}}[said["discovery"]]
    asked |= {"kubernetes_stateful_set": name} if said["cluster"]["leaveOnScaleDown"] else {}
    asked |= {"kubernetes_sentinel": f"{name}-cluster"} if said["cluster"]["sentinel"] else {}
    yield from differ("discovery", config.get("discovery", {}), {} if alone else asked)
    yield from differ("name of the cluster", config["cluster"]["name"], said["cluster"]["name"] or f"lab-{name}")
    if not alone:
        yield from differ("who may join", [config["cluster"].get(key) for key in ("join", "expected_members")], ["restricted", [f"{name}-*"]])
    forms = not alone and said["config"].get("cluster", {}).get("bootstrap") != "manual"
    formation = tomllib.loads(config_of(found).get("formation.toml", ""))
    yield from differ("formation", formation, {"cluster": {"expect": said["cluster"]["expect"] or said["replicas"]}} if forms else {})
    [config_volume] = [one for one in members(found)["spec"]["template"]["spec"]["volumes"] if one["name"] == "config"]
    shown = {item["key"]: item["path"] for item in config_volume["configMap"]["items"]}
    files = {"graftd.toml": "graftd.toml"} | ({"formation.toml": "conf.d/formation.toml"} if forms else {})
    yield from differ("files of the configuration", [config_volume["configMap"]["name"], shown], [f"{name}-config", files])
    graftd = members(found)["spec"]["template"]["spec"]["containers"][0]
    places = {mount["name"]: mount["mountPath"] for mount in graftd["volumeMounts"]}
    reads = [graftd.get("command"), graftd.get("args"), places["config"]]
    yield from differ("what graftd reads", reads, [[GRAFTD], ["--config", "/etc/graft/graftd.toml"], "/etc/graft"])


def configured_as_said(way: str, found: list[dict]):
    """What is said below `config` is in the configuration, and so is who has to show what."""
    said, config = values(way), toml_of(found)
    for section, keys in said["config"].items():
        for key, value in keys.items():
            yield from differ(f"{section}.{key}", config[section].get(key), value)
    yield from differ("security.insecure", config["security"]["insecure"], said["insecure"])
    yield from differ("client.callers", config["client"].get("callers"), said["tls"]["callers"] if clients_speak_tls(way) else None)
    auth, oidc = said["auth"], said["auth"]["oidc"]
    expected = {"required": True, "root_token_file": "/etc/graft-auth/root-token"} if auth["required"] else {}
    if auth["required"] and oidc["issuer"]:
        expected |= {"oidc_issuer": oidc["issuer"], "oidc_audience": oidc["audience"], "oidc_name_claim": oidc["nameClaim"]}
        expected |= {"oidc_ca": "/etc/graft-auth/oidc-ca.pem"} if oidc["caSecret"] else {}
        expected |= {"oidc_jwks_file": "/etc/graft-auth/oidc-jwks.json"} if oidc["jwksSecret"] else {}
    expected |= {"redacted_fields": auth["redactedFields"]} if auth["redactedFields"] else {}
    there = {key: value for key, value in config.get("auth", {}).items() if key != "rules"}
    yield from differ("auth", there, expected)
    from_secrets = [source["secret"]["name"] for volume in members(found)["spec"]["template"]["spec"]["volumes"] if volume["name"] == "auth"
                    for source in volume["projected"]["sources"]]
    secrets = [auth["rootToken"]["existingSecret"] or f"{full(found)}-root-token", oidc["caSecret"], oidc["jwksSecret"]]
    yield from differ("Secrets of auth", from_secrets, list(filter(None, secrets)) if auth["required"] else [])


def hosts(way: str, found: list[dict], pod: str) -> set[str]:
    """Every name under which a member is reached."""
    said, name = values(way), full(found)
    reached = [f"{pod}.{services(found)[0]['metadata']['name']}.lab.svc", f"{name}.lab.svc"]
    whole = [f"{host}.{said['cluster']['domain']}" for host in reached]
    return {name, f"{name}.lab", "localhost", *reached, *whole, *said["tls"]["extraHosts"]}


def clients(way: str, found: list[dict]) -> set[str]:
    """Clients of the release that need a certificate, but for KEDA."""
    if not clients_speak_tls(way):
        return set()
    return {worker["name"] for worker in values(way)["workers"]} | ({"helm-test"} if of(found, "Pod") else set())


def pods_make_their_certificates(way: str, found: list[dict]):
    """With an authority of the release, a member makes its certificate for every name under which it is reached, and a client one for its own."""
    tls = values(way)["tls"]
    makers = [one for _, spec in pod_specs(found) for one in spec.get("initContainers", []) if one.get("args", [""])[0] == "tls"]
    usual = [f"--cluster={toml_of(found)['cluster']['name']}", "--authority=/etc/graft-authority", "--dir=/etc/graft-tls",
             f"--days={tls['selfSigned']['days']}", "--replace"]
    expected = [["tls", "issue", "$(POD_NAME)", *sorted([*usual, *(f"--host={host}" for host in hosts(way, found, "$(POD_NAME)"))])]]
    expected += [["tls", "issue-client", name, *sorted(usual)] for name in clients(way, found)]
    there = [[*one["args"][:3], *sorted(one["args"][3:])] for one in makers]
    yield from differ("certificates", sorted(there), sorted(expected) if tls["mode"] == "selfSigned" else [])
    for one in makers:
        places = {mount["mountPath"]: mount.get("readOnly", False) for mount in one["volumeMounts"]}
        expected = {"/etc/graft-tls": False, "/etc/graft-authority": True}
        yield from differ("how certificates are made", [one.get("command"), places], [[GRAFT], expected])


def certificates_are_asked_for(way: str, found: list[dict]):
    """With cert-manager there is a Certificate for each member, with every name under which it is reached, and for each client."""
    tls, name, cluster = values(way)["tls"], full(found), toml_of(found)["cluster"]["name"]
    usual = {key: tls["certManager"][key] for key in ("duration", "renewBefore", "issuerRef")}
    usual["privateKey"] = {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"}
    expected = {}
    for client in clients(way, found) | ({"keda"} if of(found, "TriggerAuthentication") and not values(way)["keda"]["existingSecret"] else set()):
        expected[f"{name}-client-{client}"] = {"commonName": client, "uris": [f"graft://{cluster}/clients/{client}"], "dnsNames": [],
                                               "usages": ["digital signature", "client auth"]}
    for number, pod in enumerate(pods(found)):
        expected[f"{name}-member-{number}"] = {"commonName": pod, "uris": [f"graft://{cluster}/members/{pod}"],
                                               "dnsNames": sorted(hosts(way, found, pod)),
                                               "usages": ["digital signature", "server auth", "client auth"]}
    expected = {secret: {"secretName": secret, **usual, **one} for secret, one in expected.items()} if tls["mode"] == "certManager" else {}
    there = [{**one["spec"], "dnsNames": sorted(one["spec"].get("dnsNames", []))} for one in of(found, "Certificate")]
    yield from differ("certificates", {one["secretName"]: one for one in there}, expected)


def everybody_is_told_of_certificates(way: str, found: list[dict]):
    """Members and clients are told where their certificate is, and that of the authority."""
    mode, secure = values(way)["tls"]["mode"], clients_speak_tls(way)
    ca = "/etc/graft-ca/ca.pem" if mode == "selfSigned" else "/etc/graft-tls/ca.pem"
    cert, key = (f"/etc/graft-tls/$(POD_NAME).{kind}" for kind in ("pem", "key"))
    member = {"GRAFT__CLUSTER__PEER_CA": ca, "GRAFT__CLUSTER__PEER_CERT": cert, "GRAFT__CLUSTER__PEER_KEY": key} if mode != "off" else {}
    member |= {"GRAFT__CLIENT__CALLERS_CA": ca, "GRAFT__CLIENT__CERT": cert, "GRAFT__CLIENT__KEY": key} if secure else {}
    for name, spec in pod_specs(found):
        client = "helm-test" if name.startswith("Pod/") else name.split("-worker-")[-1]
        shown = {"GRAFT_TLS_CA": ca, "GRAFT_TLS_CERT": f"/etc/graft-tls/{client}.pem", "GRAFT_TLS_KEY": f"/etc/graft-tls/{client}.key"}
        expected = member if name.startswith("StatefulSet") else shown if secure else {}
        there = {key: value for key, value in variables(spec["containers"][0]).items() if re.search("TLS_|_(CA|CERT|KEY)$", key)}
        yield from differ(f"certificates of {name}", there, expected)


def certificates_are_in_their_secrets(way: str, found: list[dict]):
    """Certificates, or what they are made with, come from the Secrets that are said, or that the release or cert-manager makes."""
    tls, workers = values(way)["tls"], {worker["name"]: worker for worker in values(way)["workers"]}
    authority = tls["selfSigned"]["existingAuthority"] or f"{full(found)}-authority"
    for name, spec in pod_specs(found):
        is_member = name.startswith("StatefulSet")
        client = "helm-test" if name.startswith("Pod/") else name.split("-worker-")[-1]
        own = tls["existingClientSecret"] if client == "helm-test" else workers.get(client, {}).get("tlsSecret")
        by_mode = {"off": [], "selfSigned": [authority, authority],
                   "existingSecret": [tls["existingSecret"]] if is_member else [tls["existingSecret"], own],
                   "certManager": [f"{full(found)}-member-{number}" for number in range(MEMBERS_MAX)] if is_member
                   else [f"{full(found)}-client-{client}"]}
        there = [source["secret"] for volume in spec.get("volumes", []) if volume["name"] in ("ca", "tls", "authority")
                 for source in volume.get("projected", {}).get("sources", [volume]) if "secret" in source]
        names = [secret.get("secretName", secret.get("name")) for secret in there]
        yield from differ(f"Secrets of {name}", names, by_mode[tls["mode"]] if is_member or clients_speak_tls(way) else [])
        if tls["mode"] == "certManager" and is_member and not all(secret.get("optional") for secret in there):
            yield f"{name} waits for certificates of members that there are not"


def only_missing_secrets_are_made(way: str, found: list[dict]):
    """The chart makes no Secret where one is said."""
    tls, auth = values(way)["tls"], values(way)["auth"]
    made = [f"{full(found)}-authority"] if tls["mode"] == "selfSigned" and not tls["selfSigned"]["existingAuthority"] else []
    made += [f"{full(found)}-root-token"] if auth["required"] and not auth["rootToken"]["existingSecret"] else []
    yield from differ("Secrets", [one["metadata"]["name"] for one in of(found, "Secret")], made)


def paths_are_told_apart(way: str, found: list[dict]):
    """No two sources of a volume have a file of one name: Kubernetes refuses that."""
    for name, spec in pod_specs(found):
        for volume in spec.get("volumes", []):
            paths = [item["path"] for source in volume.get("projected", {}).get("sources", []) for item in source["secret"]["items"]]
            if len(paths) != len(set(paths)):
                yield f"{name}: volume {volume['name']} has {sorted(paths)}"


def variables_are_known(way: str, found: list[dict]):
    """What is put together of a variable, $(POD_NAME), has one that was said before; and the name of a pod is its own."""
    for name, spec in pod_specs(found):
        for one in containers(spec):
            known = set()
            for variable in one.get("env", []):
                if set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) - known:
                    yield f"{name} {one['name']}: {variable}"
                known.add(variable["name"])
            if set(re.findall(r"\$\((\w+)\)", " ".join(one.get("command", []) + one.get("args", [])))) - known:
                yield f"{name} {one['name']}: {one['args']}"
            sources = [variable.get("valueFrom") for variable in one.get("env", []) if variable["name"] == "POD_NAME"]
            if any(source != {"fieldRef": {"fieldPath": "metadata.name"}} for source in sources):
                yield f"{name} {one['name']}: POD_NAME is {sources}"


def files_are_there(way: str, found: list[dict]):
    """Each file that a variable or the configuration names is in a volume that its container sees."""
    config = toml_of(found)
    for name, spec in pod_specs(found):
        whole = name.startswith("StatefulSet")
        for pod in pods(found) if whole else ["client"]:
            there = {volume["name"]: files_of(volume, spec, pod) for volume in spec.get("volumes", [])}
            for one in spec["containers"]:
                files = [value.replace("$(POD_NAME)", pod) for value in variables(one).values()]
                files += config.get("auth", {}).values() if one.get("command") == [GRAFTD] else []
                for file in (pathlib.Path(file) for file in files if str(file).startswith("/etc/graft")):
                    seen = [there[mount["name"]] for mount in one["volumeMounts"] if mount["mountPath"] == str(file.parent)]
                    if not seen or seen[0] is not None and file.name not in seen[0]:
                        yield f"{name} {one['name']}: there is no {file}"


def files_of(volume: dict, spec: dict, pod: str) -> set[str] | None:
    """What is in a volume once the pod runs; `None`: whatever somebody has put there."""
    if "emptyDir" in volume:
        made = [one["args"][2].replace("$(POD_NAME)", pod) for one in spec.get("initContainers", []) if one.get("args", [""])[0] == "tls"]
        return {f"{name}.{kind}" for name in made for kind in ("pem", "key")}
    sources = volume.get("projected", {}).get("sources", [volume])
    items = [source.get("secret", {}).get("items") for source in sources]
    return None if None in items else {item["path"] for of_one in items for item in of_one}


def doors_are_open_as_said(way: str, found: list[dict]):
    """Members are reached by members alone, clients and metrics by whoever is named, and no other door is open."""
    said, own = values(way)["networkPolicy"], members(found)["spec"]["selector"]
    policies = of(found, "NetworkPolicy")
    yield from differ("NetworkPolicies", len(policies), int(said["enabled"]))
    release = {key: own["matchLabels"][key] for key in ("app.kubernetes.io/name", "app.kubernetes.io/instance")}
    clients = [{"podSelector": {"matchLabels": release}}, *said["clientsFrom"]] if said["clientsFrom"] else None
    expected = {"peer": [[{"podSelector": own}]], "client": [clients], "health": [said["metricsFrom"] or None]}
    for one in policies:
        doors: dict[str, list] = {}
        for rule in one["spec"]["ingress"]:
            for port in rule.get("ports", [{"port": "every port"}]):
                doors.setdefault(port["port"], []).append(rule.get("from"))
        yield from differ(named(one), [one["spec"]["policyTypes"], doors], [["Ingress"], expected])
        for name, labels in pod_labels(found).items():
            if not release.items() <= labels.items():
                yield f"{named(one)} shuts {name} out"


def ways_in_lead_to_clients(way: str, found: list[dict]):
    """An Ingress or a route leads from the names that are said, whatever the path, to the port for clients; no two kinds of route share a name."""
    said, service = values(way), services(found)[1]
    ingress, gateway, name = said["ingress"], said["gateway"], service["metadata"]["name"]
    backend = {"service": {"name": name, "port": {"name": service["spec"]["ports"][0]["name"]}}}
    rules = [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}} for host in ingress["hosts"]]
    expected = {"ingressClassName": ingress["className"], "rules": rules, "tls": ingress["tls"]}
    yield from differ("Ingress", [one["spec"] for one in of(found, "Ingress")],
                      [{key: value for key, value in expected.items() if value}] if ingress["enabled"] else [])
    for one in of(found, "Ingress"):
        if not ingress["annotations"].items() <= one["metadata"].get("annotations", {}).items():
            yield "annotations of the Ingress"
    names = {"HTTPRoute": gateway["hostnames"], "GRPCRoute": gateway["grpcHostnames"]}
    expected_kinds = [kind for kind, hosts in names.items() if gateway["enabled"] and (hosts or kind == "HTTPRoute")]
    routes = [one for kind in names for one in of(found, kind)]
    yield from differ("routes", [one["kind"] for one in routes], expected_kinds)
    for one in routes:
        spec = one["spec"]
        [rule] = spec["rules"]
        yield from differ(named(one), [spec["parentRefs"], spec.get("hostnames", []), rule["backendRefs"]],
                          [gateway["parentRefs"], names[one["kind"]], [{"name": name, "port": service["spec"]["ports"][0]["port"]}]])
        [match] = rule["matches"]
        if one["kind"] == "HTTPRoute":
            yield from differ("what the HTTPRoute takes", match, {"path": {"type": "PathPrefix", "value": "/"}})
        else:
            for called in called_services():
                if match["method"]["type"] != "RegularExpression" or not re.fullmatch(match["method"]["service"], called):
                    yield f"{named(one)} does not take {called}"
    if names["GRPCRoute"] and (set(names["GRPCRoute"]) & set(names["HTTPRoute"]) or not names["HTTPRoute"]):
        yield "of two routes with one name a Gateway takes one alone"


@functools.cache
def called_services() -> list[str]:
    """The services of gRPC that clients and workers call."""
    texts = [path.read_text() for path in sorted((ROOT / "proto/graft/v1").glob("*.proto"))]
    return ["grpc.health.v1.Health", *(f"graft.v1.{name}" for text in texts for name in re.findall(r"^service (\w+)", text, flags=re.M))]


def workers_are_as_said(way: str, found: list[dict]):
    """Each worker has a Deployment with what is said for it, as many pods as are said unless they are scaled, and the time to drain."""
    said = values(way)["workers"]
    yield from differ("Deployments", [one["metadata"]["name"] for one in of(found, "Deployment")],
                      [f"{full(found)}-worker-{worker['name']}" for worker in said])
    for worker, one in zip(said, of(found, "Deployment")):
        pod = one["spec"]["template"]["spec"]
        [container] = pod["containers"]
        yield from differ(f"pods of {named(one)}", one["spec"].get("replicas"), None if "autoscaling" in worker else worker.get("replicas", 1))
        for key in ("image", "command", "args"):
            yield from differ(f"{key} of {named(one)}", container.get(key), worker.get(key))
        env = worker.get("env", [])
        yield from differ(f"variables of {named(one)}", container["env"][len(container["env"]) - len(env):], env)
        if "resources" in worker:
            yield from differ(f"resources of {named(one)}", container["resources"], worker["resources"])
        grace = pod["terminationGracePeriodSeconds"]
        if grace != worker.get("terminationGracePeriodSeconds", max(grace, SDK_DRAINS_S + 1)):
            yield f"{named(one)} is killed after {grace} s"
        secrets = [[volume["secret"]["secretName"], volume["secret"].get("items")] for volume in pod.get("volumes", []) if volume["name"] == "token"]
        token = [[worker["tokenSecret"], [{"key": "token", "path": "token"}]]] if "tokenSecret" in worker else []
        yield from differ(f"token of {named(one)}", secrets, token)


def scaled_as_said(way: str, found: list[dict]):
    """KEDA scales the Deployment of the worker within the bounds that are said, by the tasks of its nodes, and shows who it is."""
    said, mode = values(way)["workers"], values(way)["keda"]["mode"]
    shows = clients_speak_tls(way) or mode == "bearer"
    asking = False
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in of(found, "ScaledObject")}
    expected = {}
    for worker in (worker for worker in said if "autoscaling" in worker):
        scaling, triggers = worker["autoscaling"], []
        for node in scaling.get("nodes", []):
            asking = True
            url = f"{address(way, found)}/api/v1/namespaces/{scaling.get('namespace', 'default')}/tasks?node={urllib.parse.quote_plus(node)}"
            asked = {"url": f"{url}&state=ready&limit={TOLD_AT_MOST}", "valueLocation": "tasks.#"}
            asked |= {"targetValue": str(scaling.get("tasksPerReplica", 10))} | ({"authMode": mode} if shows else {})
            trigger = {"type": "metrics-api", "metadata": asked}
            triggers.append(trigger | ({"authenticationRef": {"name": f"{full(found)}-keda"}} if shows else {}))
        name = f"{full(found)}-worker-{worker['name']}"
        expected[name] = {"scaleTargetRef": {"name": name}, "minReplicaCount": scaling["minReplicas"], "maxReplicaCount": scaling["maxReplicas"],
                          "triggers": triggers + scaling.get("triggers", [])}
    yield from differ("ScaledObjects", scaled, expected)
    secret = values(way)["keda"]["existingSecret"] or f"{full(found)}-client-keda"
    keys = {"ca": "ca.crt"} if clients_speak_tls(way) else {}
    keys |= {"cert": "tls.crt", "key": "tls.key"} if mode == "tls" else {"token": "token"}
    shown = {one["metadata"]["name"]: one["spec"]["secretTargetRef"] for one in of(found, "TriggerAuthentication")}
    parameters = [{"parameter": parameter, "name": secret, "key": key} for parameter, key in keys.items()]
    yield from differ("TriggerAuthentications", shown, {f"{full(found)}-keda": parameters} if asking and shows else {})


def monitored_as_said(way: str, found: list[dict]):
    """Metrics are scraped from the port that serves them, as often as is said; rules and dashboards are where they are looked for."""
    said = values(way)["monitoring"]
    for kind, key in [("PodMonitor", "podMonitor"), ("PrometheusRule", "rules")]:
        yield from differ(kind, len(of(found, kind)), int(said[key]["enabled"]))
        for one in of(found, kind):
            if not said[key]["labels"].items() <= one["metadata"]["labels"].items():
                yield f"labels of {named(one)}"
    for one in of(found, "PodMonitor"):
        there = [[endpoint.get(key) for key in ("port", "path", "interval")] for endpoint in one["spec"]["podMetricsEndpoints"]]
        yield from differ(named(one), there, [["health", "/metrics", said["podMonitor"]["interval"]]])
    boards = [one for one in of(found, "ConfigMap") if "-dashboard-" in one["metadata"]["name"]]
    if bool(boards) != said["dashboards"]["enabled"]:
        yield f"{len(boards)} dashboards"
    for one in boards:
        if not said["dashboards"]["labels"].items() <= one["metadata"]["labels"].items():
            yield f"labels of {named(one)}"


def the_account_is_bound(way: str, found: list[dict]):
    """The Role is bound to the account that members run as, and that account gives its token to nobody who does not ask for it."""
    said, spec = values(way), members(found)["spec"]["template"]["spec"]
    account = said["serviceAccount"]
    name = account["name"] or (full(found) if account["create"] else "default")
    yield from differ("account of the members", spec["serviceAccountName"], name)
    yield from differ("accounts", [one["metadata"]["name"] for one in of(found, "ServiceAccount")], [name] if account["create"] else [])
    for one in of(found, "ServiceAccount"):
        if one["automountServiceAccountToken"] is not False or not account["annotations"].items() <= one["metadata"].get("annotations", {}).items():
            yield f"{named(one)}: {one}"
    bound = [[one["roleRef"], one["subjects"]] for one in of(found, "RoleBinding")]
    yield from differ("RoleBindings", bound, [
        [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
         [{"kind": "ServiceAccount", "name": name, "namespace": "lab"}]] for role in of(found, "Role")])


def the_test_is_a_hook(way: str, found: list[dict]):
    """What `helm test` runs is there wherever there is a certificate for it, tries a workflow once, and goes when it was done."""
    said = values(way)
    shown = not clients_speak_tls(way) or said["tls"]["mode"] != "existingSecret" or said["tls"]["existingClientSecret"]
    tests = [one for one in of(found, "Pod") if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    yield from differ("tests", len(tests), int(bool(said["test"]["enabled"] and shown)))
    for one in tests:
        notes, spec = one["metadata"]["annotations"], one["spec"]
        hook = [notes["helm.sh/hook"], notes.get("helm.sh/hook-delete-policy")]
        yield from differ(f"hook of {named(one)}", hook, ["test", "before-hook-creation,hook-succeeded"])
        yield from differ(f"what {named(one)} does", [spec["restartPolicy"], spec["containers"][0]["command"], spec["containers"][0]["args"]],
                          ["Never", [GRAFT], ["cluster", "try"]])


PROPERTIES = [locked_down, resources_said, images_are_fixed, volumes_fit, only_the_maker_sees_the_authority, secrets_stay_where_they_belong,
              callers_are_granted_what_they_need, secrets_are_for_the_group, what_scales_is_asked, selectors_choose_their_own,
              scraped_as_the_rules_read, ports_are_there, members_are_a_set, no_variables_of_services, rights_are_least,
              a_change_of_the_configuration_rolls, everything_is_labelled, pods_are_labelled, extras_arrive, images_come_from_where_it_is_said,
              members_stand_where_it_is_said, volumes_are_as_said, probes_are_patient, sized_as_said, members_listen_where_services_lead,
              clients_are_served_as_said, members_know_each_other, configured_as_said, pods_make_their_certificates, certificates_are_asked_for,
              everybody_is_told_of_certificates, certificates_are_in_their_secrets, only_missing_secrets_are_made, paths_are_told_apart,
              variables_are_known, files_are_there, doors_are_open_as_said, ways_in_lead_to_clients, workers_are_as_said, scaled_as_said,
              monitored_as_said, the_account_is_bound, the_test_is_a_hook]
