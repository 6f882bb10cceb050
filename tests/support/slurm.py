"""A Slurm cluster of one node on the loopback interface, with its own keys, ports and configuration."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools import require_tool

DAEMONS = ("munged", "slurmctld", "slurmd")
START_SECONDS = 60.0

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
KillWait=20
JobRequeue=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
"""No control groups and no accounting database; jobs must ask to be requeued. A requeued job may start again after two
minutes, see ``release``.
"""


class Cluster:
    """Commands of a running cluster.

    Attributes:
        environment: what a process needs to use it.
    """

    def __init__(self, configuration: Path) -> None:
        self.environment = {"SLURM_CONF": str(configuration)}

    def __call__(self, *command: str) -> str:
        """Run a command such as ``squeue``; returns what it prints."""
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def release(self, job: str) -> None:
        """Let a requeued job start now."""
        self("scontrol", "update", f"JobId={job}", "StartTime=now")


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Cluster]:
    """Start munge and Slurm; skip the test, or in CI fail it, if they are not installed."""
    munged, slurmctld, slurmd = (require_tool(name) for name in DAEMONS)
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host, user = socket.gethostname().split(".")[0], subprocess.check_output(["id", "-un"], text=True).strip()
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, user=user, folder=folder, ports=_free_ports(2)))
    munge = [f"--{name}-file={folder}/munge/{name}" for name in ("key", "pid", "log", "seed")]
    cluster = Cluster(configuration)
    with ExitStack() as daemons:
        start = [munged, "--foreground", "--force", f"--socket={folder}/munge/socket", *munge]
        daemons.enter_context(_running(start, folder / "munged.log", {}))
        _wait_until(lambda: (folder / "munge" / "socket").exists(), folder / "munged.log")
        for name, command in (("slurmctld", [slurmctld, "-D"]), ("slurmd", [slurmd, "-D", "-N", host])):
            daemons.enter_context(_running(command, folder / f"{name}.log", cluster.environment))
        _wait_until(lambda: _answer(cluster) == "idle", folder / "slurmctld.log")
        yield cluster


def _answer(cluster: Cluster) -> str:
    try:
        return cluster("sinfo", "--noheader", "--format=%T")
    except AssertionError:  # the controller does not answer yet
        return ""


@contextmanager
def _running(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    with log.open("w") as file:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _wait_until(condition, log: Path) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
