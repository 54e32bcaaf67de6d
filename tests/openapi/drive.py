"""Validates the OpenAPI document of a running graftd, generates a client from it, and drives the daemon with that client and with the README.

The argument is a folder in which `out` is what graftd says. Ends with 0 only if everything was as it should be.
"""

import importlib
import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

PATIENCE_S = 60
HERE = pathlib.Path(__file__).parent


def address(out: pathlib.Path) -> str:
    """Where the daemon answers, from its first lines; once it is ready."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for line in out.read_text().splitlines():
            if line.startswith("clients "):
                url = line.split()[1]
                try:
                    urllib.request.urlopen(f"{url}/readyz", timeout=5).read()
                    return url
                except (urllib.error.URLError, ConnectionError):
                    pass
        time.sleep(0.05)
    sys.exit("graftd is not ready")


def validated(url: str) -> dict:
    document = json.load(urllib.request.urlopen(f"{url}/api/v1/openapi.json", timeout=30))
    errors = [f"{list(error.path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert not errors, "\n".join(errors)
    # That it can refuse at all.
    broken = json.loads(json.dumps(document))
    del broken["info"]["title"]
    assert list(OpenAPIV31SpecValidator(broken).iter_errors()), "the validator takes anything"
    operations = sum(len(verbs) for verbs in document["paths"].values())
    print(f"openapi-spec-validator accepts the document: {len(document['paths'])} paths, {operations} operations")
    return document


def generated(work: pathlib.Path, document: dict):
    (work / "openapi.json").write_text(json.dumps(document))
    command = [
        "openapi-python-client", "generate", "--path", str(work / "openapi.json"), "--output-path", str(work / "graft_rest"),
        "--meta", "none", "--config", str(HERE / "generator.yaml"), "--fail-on-warning",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(work))
    print("openapi-python-client makes a client of it without a warning")
    return importlib.import_module("graft_rest")


def drive(url: str, package) -> None:
    def operation(noun: str, name: str):
        return importlib.import_module(f"{package.__name__}.api.{noun}.{name}")

    def call(noun: str, name: str, *args, **more):
        return operation(noun, name).sync_detailed(*args, client=client, **more)

    models = importlib.import_module(f"{package.__name__}.models")
    client = package.Client(base_url=url, raise_on_unexpected_status=True)
    body = models.StartWorkflow.from_dict({
        "workflow_id": "order/1", "nodes": [{"node": "charge", "config": {"amount": 7}}], "state": {"items": [1, 2.5]},
        "labels": {"team": "sales"},
    })
    started = call("workflows", "start_workflow", "default", body=body, idempotency_key="once")
    assert started.status_code == 201, started
    assert (started.parsed.workflow_id, started.parsed.created, started.parsed.kind) == ("order/1", True, "StartedWorkflow")
    again = call("workflows", "start_workflow", "default", body=body, idempotency_key="once")
    assert again.parsed.run == started.parsed.run, "the same key takes effect once"

    got = call("workflows", "get_workflow", "default", "order/1").parsed
    assert (got.status, got.run, got.open_tasks, got.labels["team"]) == ("running", started.parsed.run, 1, "sales"), got
    assert got.state == {"items": [1, 2.5]} and got.tasks[0].config == {"amount": 7}, got
    listed = call("workflows", "list_workflows", "default", status=[models.WorkflowStatus.RUNNING], label=["team=sales"], limit=5).parsed
    assert [row.workflow_id for row in listed.workflows] == ["order/1"] and listed.next_cursor is None, listed
    counts = call("workflows", "count_workflows", "default").parsed
    assert (counts.total, counts.counts.running) == (1, 1), counts
    tasks = call("tasks", "list_tasks", "default", workflow_id="order/1").parsed
    assert [(task.task, task.node) for task in tasks.tasks] == [(1, "charge")], tasks

    reason = models.Control(reason="lunch")
    paused = call("workflows", "pause_workflow", "default", "order/1", body=reason, graft_client="driver").parsed
    assert (paused.workflow.status, paused.workflow.reason) == ("paused", "lunch"), paused
    assert call("workflows", "resume_workflow", "default", "order/1").parsed.workflow.status == "running"
    ended = call("workflows", "terminate_workflow", "default", "order/1", body=models.Control(reason="enough")).parsed
    assert ended.workflow.status == "terminated" and ended.workflow.ended_at.year >= 2020, ended
    waited = call("workflows", "wait_for_workflow", "default", "order/1").parsed
    assert waited.ended and waited.workflow.reason == "enough", waited
    history = call("workflows", "get_workflow_history", "default", "order/1").parsed
    assert [event.type_ for event in history.events] == ["started", "paused", "resumed", "terminated"], history
    assert [event.number for event in history.events] == [1, 2, 3, 4] and history.events[1].principal == "client:driver", history
    export = call("workflows", "export_workflow", "default", "order/1").parsed
    assert len(export.events) == 4 and export.workflow.run == started.parsed.run, export

    limit = call("limits", "set_node_limit", "default", "charge", body=models.SetLimit.from_dict({"max": 3})).parsed.to_dict()
    assert (limit["before"], limit["now"]["max"]) == (None, 3), limit
    limits = call("limits", "list_limits").parsed.to_dict()
    assert [(each["node"], each["max"]) for each in limits["limits"]] == [("charge", 3)] and limits["next_cursor"] is None, limits
    assert call("limits", "unset_node_limit", "default", "charge").parsed.to_dict()["now"] is None
    later = {"workflow_id": "later", "nodes": [{"node": "charge", "delay_ms": 3_600_000}]}
    assert call("workflows", "start_workflow", "default", body=models.StartWorkflow.from_dict(later)).status_code == 201
    waiting = [task.state for task in call("tasks", "list_tasks", "default", workflow_id="later").parsed.tasks]
    retried = call("tasks", "retry_task", "default", "later", 1)
    ready = [task.state for task in call("tasks", "list_tasks", "default", workflow_id="later").parsed.tasks]
    assert (waiting, retried.status_code, ready) == (["delayed"], 200, ["ready"]), (waiting, retried, ready)
    assert call("dead_letters", "list_dead_letters", "default").parsed.dead_letters == []
    assert call("cluster", "list_workers").parsed.workers == []

    missing = call("workflows", "get_workflow", "default", "none")
    assert missing.status_code == 404, missing
    problem = missing.parsed
    assert (problem.code, problem.status, problem.type_) == ("GR0003", 404, "/api/v1/errors/GR0003"), problem
    assert problem.detail == 'workflow "none" in namespace "default" does not exist' and not problem.retryable, problem
    members = call("cluster", "list_members").parsed
    assert [member.role for member in members.members] == ["leader"], members
    print("the generated client starts, reads, lists, counts, pauses, resumes, terminates, exports, limits, retries, and reads a problem")


def readme(url: str) -> None:
    """What the README says of HTTP, as it is printed there; only the address is another."""
    text = (HERE / "../../README.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("curl ")]
    assert len(lines) >= 4, "the README shows how REST is used"
    for line in lines:
        done = subprocess.run(["sh", "-c", line.replace("http://127.0.0.1:7420", url)], capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert "event: end" in done.stdout and '"type":"terminated"' in done.stdout, done.stdout
    print(f"{len(lines)} lines of curl in the README do what they say")


def main() -> None:
    work = pathlib.Path(sys.argv[1])
    url = address(work / "out")
    drive(url, generated(work, validated(url)))
    readme(url)


main()
