"""The server of ``stargan-lab ui`` ends with the command, and only ports that exist are accepted or suggested."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from processes import Lab
from servers import free_port, listening_addresses

from stargan_lab.cli.main import main
from stargan_lab.tracking.run_folder import RunFolder

pytestmark = pytest.mark.integration


def test_a_killed_command_leaves_no_server(tmp_path: Path) -> None:
    lab, port = Lab(tmp_path), free_port()
    RunFolder(lab.outputs / "runs" / "a1b2").write_result({"status": "finished", "metrics": {}, "finished_at": 1.0})
    process = lab.start("ui", "--port", str(port))
    assert process.stderr is not None
    while "Uvicorn running" not in (line := process.stderr.readline()):
        assert line, "the server did not start"
    assert listening_addresses(port)
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while listening_addresses(port):
        assert time.monotonic() < deadline, "the server still listens"
        time.sleep(0.2)
    process.stderr.read()  # until the last process with this pipe has ended


@pytest.mark.parametrize(
    ("port", "error"),
    [
        ("0", "--port 0: must be 1 to 65535"),
        ("-1", "--port -1: must be 1 to 65535"),
        ("70000", "--port 70000: must be 1 to 65535"),
    ],
)
def test_ports_that_do_not_exist(here: Path, capsys: pytest.CaptureFixture[str], port: str, error: str) -> None:
    assert main(["ui", "--port", port]) == 2
    assert capsys.readouterr().err == f"error: {error}\n"


def test_the_last_port_in_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", 65535))
        except OSError:
            pytest.skip("another program uses the port")
        other.listen()
        assert main(["ui", "--port", "65535"]) == 2
    assert capsys.readouterr().err == "error: --port 65535: Address already in use; try --port 5000\n"
