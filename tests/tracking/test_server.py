"""The command ``publish`` against a server on this machine that notes what it is sent."""

import gzip
import json
import os
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lightning_mm.cli import main

ROOT = Path(__file__).parents[2]


class Server(ThreadingHTTPServer):
    """As much of W&B as uploading runs, a table and a workspace needs.

    Attributes:
        asked: (name, variables) of each GraphQL request.
        rows: Rows of history by run.
        views: Saved workspaces by id.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.rows, self.views = [], {}, {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Nothing: clients end without waiting for all answers."""

    def answer(self, name, values):
        self.asked.append((name, values))
        owner = {"id": "e", "name": "lab"}
        if name == "UpsertBucket":
            run = {"id": values["name"], "name": values["name"], "historyLineCount": 0}
            run["project"] = {"id": "p", "name": "lightning_mm", "entity": owner}
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/{file}"} for file in values["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            sequence = {"id": "s", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        if name == "UpsertView2":
            known = values.get("id") or f"view{len(self.views)}"
            self.views[known] = values
            return {"upsertView": {"view": {"id": known, "name": values["name"]}, "inserted": "id" not in values}}
        if name == "View":
            nodes = [
                {"id": known, "displayName": view["displayName"], "spec": json.dumps(json.loads(view["spec"]))}
                for known, view in self.views.items()
                if view["name"] == values["viewName"]
            ]
            return {"project": {"allViews": {"edges": [{"node": node} for node in nodes]}}}
        viewer = {"id": "v", "entity": "lab", "username": "user", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer, "serverInfo": {"features": []}, "model": {"bucket": None}, "project": None}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        answer = {}
        if self.path == "/graphql":
            asked = json.loads(content)
            name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])[1]
            answer = {"data": self.server.answer(name, asked.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            told = json.loads(content).get("files", {}).get("wandb-history.jsonl", {"content": []})
            run = self.path.split("/")[-2]
            self.server.rows.setdefault(run, []).extend(json.loads(row) for row in told["content"])
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def publish_as(env, directory, said):
    """The command in a process of its own, which what it imports finds as ``env`` says."""
    for descriptor in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(env)
    return main(["publish", directory])


@pytest.fixture
def publish(server, tmp_path, tmp_path_factory, monkeypatch, fork_server):
    """Run the command in a process of its own; returns names and variables of what the server was asked."""
    env = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path / "home")}
    env["PYTHONPATH"] = str(ROOT)
    said = tmp_path_factory.mktemp("said") / "said.txt"
    monkeypatch.chdir(tmp_path)

    def call(directory):
        server.asked.clear()
        child = fork_server.fork("tracking.test_server", "publish_as", env, str(directory), str(said))
        assert fork_server.wait(child) == 0, said.read_text()
        return list(server.asked)

    return call


def uploaded(asked):
    """Group and job type of the runs that were begun or continued."""
    return {
        values["name"]: (values["groupName"], values["jobType"])
        for name, values in asked
        if name == "UpsertBucket" and values["groupName"]
    }


def test_what_is_published_once_is_not_published_twice(study, offline_runs, publish, server, tmp_path):
    runs = {name: offline_runs(study / name)[0] for name in ("first", "second")}
    directory = tmp_path / "depths"
    shutil.copytree(study, directory, symlinks=True)
    found = uploaded(publish(directory))
    table = (directory / "publish/wandb_run_id").read_text().strip()
    assert found == {
        runs["first"].id: ("depths", "search"),
        runs["second"].id: ("depths", "reference"),
        table: ("depths", "report"),
    }
    for run in runs.values():
        sent = [(row["_step"], row["train/loss"]) for row in server.rows[run.id] if "train/loss" in row]
        assert sent == [(row["_step"], row["train/loss"]) for row in run.history if "train/loss" in row]
    assert (server.rows[table][0]["trade-off"]["nrows"], list(server.views)) == (2, ["view0"])

    shutil.copytree(directory / "first", directory / "third", ignore=shutil.ignore_patterns("wandb*"))
    assert uploaded(publish(directory)) == {table: ("depths", "report")}  # a row more, in the same run
    assert server.rows[table][-1]["trade-off"]["nrows"] == 3
    assert list(server.views) == ["view0"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["depths"]
