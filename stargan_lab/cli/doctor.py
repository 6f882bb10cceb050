"""``stargan-lab doctor``."""

import argparse
import json
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from stargan_lab.cli.arguments import Commands, add_command, add_overrides
from stargan_lab.tracking.uri import masked

EPILOG = """\
Read-only: writes no files and starts no runs. Each line starts with ok, note (worth knowing) or problem (the
configuration cannot run); the exit code is 1 if there is a problem. Without overrides, doctor checks the
default configuration, and a missing dataset is only a note.

examples:
  stargan-lab doctor
  stargan-lab doctor preset=quickstart
  stargan-lab doctor data.sources.celeba.root=/data/celeba trainer.device=cuda"""


@dataclass(frozen=True)
class Finding:
    """One line about one subject.

    Attributes:
        level: ``problem`` prevents the configuration from running, ``note`` does not.
        command: shell command that fixes or continues it, with an explanation after ``#``.
    """

    level: Literal["ok", "note", "problem"]
    about: str
    text: str
    command: str = ""


@dataclass(frozen=True)
class Request:
    """Overrides and config directory from the command line, repeated in suggested commands."""

    overrides: Sequence[str] = ()
    config_dir: str | None = None

    def command(self, words: str, *replaced: str) -> str:
        """``stargan-lab WORDS`` with the same overrides, except those whose keys are in ``replaced``."""
        keys = {override.partition("=")[0] for override in replaced}
        rest = [override for override in self.overrides if override.partition("=")[0] not in keys]
        return self._line(words, [*rest, *replaced])

    def sweep(self, name: str, *flags: str) -> str:
        """The command that continues an ablation in the same outputs."""
        outputs = [override for override in self.overrides if override.startswith("paths.outputs=")]
        return self._line("sweep", [name, *flags, *outputs])

    def _line(self, words: str, rest: Sequence[str]) -> str:
        flags = ["--config-dir", self.config_dir] if self.config_dir else []
        return masked(f"stargan-lab {words} {shlex.join([*rest, *flags])}".strip())


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "doctor", "check machine, data and runs, and suggest the next command", run, EPILOG)
    add_overrides(parser, "overrides as for train, e.g. preset=quickstart")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print findings and next steps; 1 if something prevents the configuration from running."""
    from stargan_lab.cli.doctor_checks import check
    from stargan_lab.cli.jobs import show_plain_warnings
    from stargan_lab.config import compose

    show_plain_warnings()
    config, request = compose(args.overrides, args.config_dir), Request(args.overrides, args.config_dir)
    outputs = Path(config.paths.outputs)
    findings = list(check(config, request))
    steps = next_steps(findings, request, outputs)
    if args.json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings], "next": steps}, indent=2))
    else:
        width = max(len(finding.about) for finding in findings)
        for finding in findings:
            print(f"{finding.level:<7}  {finding.about:<{width}}  {finding.text}")
        print(f"\nnext steps\n{textwrap.indent(chr(10).join(steps), '  ')}")
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def next_steps(findings: Sequence[Finding], request: Request, outputs: Path) -> list[str]:
    """Commands that fix problems, continue unfinished runs, and start new ones, in this order."""
    from stargan_lab.console import outputs_flag

    problems = [finding for finding in findings if finding.level == "problem"]
    retry = request.command("doctor")
    steps = [f.command or f"{retry}   # after fixing {f.about}: {f.text}" for f in problems]
    steps += [f.command for f in findings if f.level == "note" and f.command]
    if request.overrides and not problems:
        steps.append(f"{request.command('train')}   # this configuration is ready to run")
    if any(finding.about == "runs" and finding.level == "ok" for finding in findings):
        steps.append(f"stargan-lab ui{outputs_flag(outputs)}   # show the runs in MLflow")
    else:
        steps.append("stargan-lab train preset=tiny   # a test run that takes a few seconds")
        steps.append("stargan-lab sweep quickstart   # a first ablation on generated data")
    return list(dict.fromkeys(steps))
