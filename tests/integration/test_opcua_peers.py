"""The OPC UA wire driven by a client nobody here wrote: node-opcua (npm), encrypted and signed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import pytest

pytest.importorskip("asyncua", reason="asyncua is not installed (extra opcua)")

from tests.opcua_lab import PASSWORD, SCORE, THRESHOLD, USER, Identity, Laboratory, identity, laboratory

PEER, STATION = (Path(__file__).parent / "opcua" / name for name in ("peer.js", "station.py"))
POLICIES = ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]
WITHIN_S = 90.0


@pytest.fixture(scope="session")
def node_opcua(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    folder = tmp_path_factory.mktemp("node_opcua")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "node-opcua@2.182.2"]
    try:
        subprocess.run(words, cwd=folder, capture_output=True, timeout=100, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        pytest.skip(f"the npm registry cannot be reached: {error}")
    shutil.copy(PEER, folder / "peer.js")
    return folder


class Peer:
    """node-opcua with one identity."""

    def __init__(self, folder: Path, one: Identity) -> None:
        self.folder, self.one = folder, one

    def words(self, lab: Laboratory, what: str, *, policy: str, mode: str, user: str, password: str) -> list[str]:
        one = self.one
        return ["node", "peer.js", lab.url, what, policy, mode, str(one.certificate), str(one.key), one.uri, user, password]

    def does(
        self,
        lab: Laboratory,
        what: str,
        *,
        policy: str = "Basic256Sha256",
        mode: str = "SignAndEncrypt",
        user: str = USER,
        password: str = PASSWORD,
    ) -> Any:
        words = self.words(lab, what, policy=policy, mode=mode, user=user, password=password)
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, timeout=WITHIN_S, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def peer(node_opcua: Path, tmp_path: Path) -> Peer:
    return Peer(node_opcua, identity(tmp_path / "client", "node"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_node_opcua_finds_the_machine_vision_model_with_every_policy(peer: Peer, tmp_path: Path) -> None:
    with laboratory(tmp_path) as lab:
        lab.trust(peer.one)
        for policy in POLICIES:
            seen = peer.does(lab, "browse", policy=policy)
            assert "failed" not in seen, seen
            assert seen["type"].endswith("VisionSystemType")
            assert {"RecipeManagement", "ResultManagement", "VisionStateMachine"} <= set(seen["parts"])
            assert seen["namespaces"][3] == "http://opcfoundation.org/UA/MachineVision"
            assert seen["state"] == "Operational"
            assert seen["methods"] == ["GetResultById", "GetResultComponentsById", "GetResultListFiltered", "ReleaseResultHandle"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_node_opcua_starts_a_job_and_takes_its_result_from_the_event(peer: Peer, tmp_path: Path) -> None:
    with laboratory(tmp_path) as lab:
        lab.trust(peer.one)
        seen = peer.does(lab, "job")
    assert "failed" not in seen, seen
    assert seen["auto"] == 0
    assert seen["started"]["status"] == "Good"
    assert seen["started"]["error"] == 0
    assert seen["event"]["job"] == seen["started"]["job"]
    assert seen["event"]["part"] == "part 4711"
    assert seen["event"]["state"] == 1
    assert seen["event"]["content"] == ["NG", "a scratch", SCORE, THRESHOLD, 70_001, 0, 1]
    assert seen["event"]["regions"] == [11, 22, 33, 44, 484, 13]
    assert seen["event"]["document"]["verdict"] == "NG"
    assert seen["last"] == {"id": seen["last"]["id"], "sameAsEvent": True, "part": "part 4711", "simulated": False, "recipe": "0"}
    assert seen["got"] == {"status": "Good", "error": 0, "same": True, "handle": 1}
    assert seen["components"] == {"status": "Good", "count": 17, "verdict": "NG"}
    assert seen["released"] == 0
    assert seen["simulation"] == "BadNotSupported"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_node_opcua_changes_the_recipe_and_is_told_when_it_runs_or_does_not(peer: Peer, tmp_path: Path) -> None:
    with laboratory(tmp_path) as lab:
        lab.trust(peer.one)
        seen = peer.does(lab, "recipe")
    assert seen == {
        "two": {"recipe": "2", "done": False, "error": 0},
        "job": 2,
        "again": {"recipe": "2", "done": True, "error": 0},
        "nine": {"recipe": "9", "done": False, "error": 0},
        "still": 2,
        "word": {"recipe": "2", "done": False, "error": -4},
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_node_opcua_goes_through_a_whole_handshake_with_plain_variables(peer: Peer, tmp_path: Path) -> None:
    with laboratory(tmp_path) as lab:
        lab.trust(peer.one)
        seen = peer.does(lab, "variables")
        assert lab.plc.counters.delivered == 1
    assert seen["enabled"] == ["Good", "Good"]
    assert seen["result"] == {"code": 2, "inspection": 1, "id": 1, "score": SCORE, "sequence": 70_001}
    assert seen["after"] == 0
    assert seen["status"] == "BadUserAccessDenied"
    assert "BadOutOfRange" in str(seen["range"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_who_is_not_trusted_or_has_no_name_is_refused(peer: Peer, tmp_path: Path) -> None:
    with laboratory(tmp_path) as lab:
        assert "BadCertificateUntrusted" in peer.does(lab, "browse")["failed"]
        (rejected,) = (lab.pki / "rejected").iterdir()
        assert "failed" in peer.does(lab, "browse", policy="None", mode="None", user="")
        rejected.rename(lab.pki / "trusted" / rejected.name)  # what a technician does
        assert "failed" not in peer.does(lab, "browse")
        assert "BadUserAccessDenied" in peer.does(lab, "browse", password="a guess")["failed"]
        seen = peer.does(lab, "refused", user="")
    assert "BadUserAccessDenied" in seen["write"]
    assert seen["halt"] == "BadUserAccessDenied"
    assert seen["read"] is False


class Station:
    """A process with the wire on a port that stays."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.start()

    def start(self) -> None:
        words = [sys.executable, str(STATION), str(self.folder), str(self.port)]
        environment = os.environ | {"PYTHONPATH": str(STATION.parents[3])}
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_node_opcua_comes_back_to_a_station_that_was(fault: str, peer: Peer, tmp_path: Path) -> None:
    trusted = tmp_path / "pki" / "trusted"
    trusted.mkdir(parents=True)
    (trusted / "node.der").write_bytes(peer.one.certificate.read_bytes())
    station = Station(tmp_path)
    url = f"opc.tcp://127.0.0.1:{station.port}/"
    words = [
        "node",
        "peer.js",
        url,
        "reconnect",
        "Basic256Sha256",
        "SignAndEncrypt",
        str(peer.one.certificate),
        str(peer.one.key),
        peer.one.uri,
        "",
        "",
    ]
    with subprocess.Popen(words, cwd=peer.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdin is not None
        assert watching.stdout is not None
        try:
            until_said(watching.stdout, "ready")
            if fault == "killed":
                station.kill()
                station.start()
            else:
                station.process.send_signal(signal.SIGSTOP)
                time.sleep(5.0)
                station.process.send_signal(signal.SIGCONT)
            watching.stdin.write("go\n")
            watching.stdin.flush()
            assert json.loads(until_said(watching.stdout, "{"))["more"] is True
        finally:
            watching.kill()
            station.kill()


def until_said(stream: IO[str], beginning: str) -> str:
    while not (line := stream.readline()).startswith(beginning):
        assert line, "it ended"
    return line
