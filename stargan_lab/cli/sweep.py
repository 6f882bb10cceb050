"""``sweep`` and ``report``."""

import argparse
from pathlib import Path

from stargan_lab.ablation.execute import dry_run, status, status_table
from stargan_lab.ablation.plan import plan
from stargan_lab.ablation.spec import Ablation, load
from stargan_lab.cli.train import launch
from stargan_lab.console import elsewhere, say
from stargan_lab.errors import ConfigError, LabError, unknown
from stargan_lab.files import read_json, write_json
from stargan_lab.report.build import FORMATS, build, terminal
from stargan_lab.report.rows import RunRow, collect
from stargan_lab.report.spreadsheet import read_csv
from stargan_lab.tracking.run_folder import RunFolder


def sweep(parsed: argparse.Namespace) -> int:
    """Train what is left of an ablation and report; 1 when a cell failed or is still missing."""
    ablation = load(parsed.name)
    config_dir = Path(parsed.config_dir) if parsed.config_dir else None
    tasks = [o for o in parsed.overrides if not o.startswith(("hydra/", "hydra."))]
    cells = plan(ablation, tasks, config_dir)
    if parsed.dry_run or parsed.status:
        print(dry_run(cells) if parsed.dry_run else status_table(cells))
        return 0
    outputs = Path(cells[0].config.paths.outputs)
    say(f"{ablation.title}: {len(ablation.variants)} variants, {len(cells)} runs, under {outputs}")
    launch(
        [
            "--multirun",
            *(["--config-dir", str(config_dir)] if config_dir else []),
            "hydra/sweeper=ablation",
            f"hydra.sweeper.experiment={parsed.name}",
            f"hydra.sweeper.retry_failed={str(parsed.retry_failed).lower()}",
            *parsed.overrides,
        ]
    )
    write_json(_cells_file(outputs, ablation), [[cell.variant, cell.seed, cell.run_id] for cell in cells])
    lost = [(cell, now) for cell in cells if (now := status(cell)) != "finished"]
    for cell, now in lost:
        result = RunFolder(outputs / "runs" / cell.run_id).result() or {}
        say(f"{now}: {cell.title} (run {cell.run_id}) {result.get('error', '')}")
    _write_report(ablation, recorded(ablation, outputs), outputs, list(FORMATS), parsed.allow_mixed)
    if not lost:
        say(f"next: stargan-lab ui {ablation.name}{elsewhere(outputs)}")
    return 1 if lost else 0


def _cells_file(outputs: Path, ablation: Ablation) -> Path:
    """Which runs the last sweep of an ablation consisted of."""
    return outputs / "reports" / ablation.name / "cells.json"


def report(parsed: argparse.Namespace) -> int:
    """Write and print the report of each ablation named."""
    formats = parsed.format.split(",")
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"--format: {unknown('format', name, FORMATS)}")
    if parsed.csv and parsed.protocol:
        raise ConfigError("--protocol: a CSV has one scoring of each run; leave out --from or --protocol")
    outputs = Path(parsed.outputs)
    for name in parsed.names:
        ablation = load(name)
        rows = read_csv(Path(parsed.csv)) if parsed.csv else recorded(ablation, outputs, parsed.protocol)
        if not any(row.usable for row in rows):
            raise LabError(
                f"{parsed.csv or outputs}: no finished run of {name}; `stargan-lab sweep {name}` trains them"
            )
        _write_report(ablation, rows, outputs, formats, parsed.allow_mixed)
    return 0


def recorded(ablation: Ablation, outputs: Path, protocol: str | None = None) -> list[RunRow]:
    """The runs of the last sweep, or those that a sweep without further overrides would have; see ``collect``."""
    path = _cells_file(outputs, ablation)
    cells: list[tuple[str, int, str]]
    if path.exists():
        cells = [(str(variant), int(seed), str(run_id)) for variant, seed, run_id in read_json(path)]
    else:
        cells = [(cell.variant, cell.seed, cell.run_id) for cell in plan(ablation)]
    return collect(ablation, cells, outputs, protocol)


def _write_report(ablation: Ablation, rows: list[RunRow], outputs: Path, formats: list[str], allow_mixed: bool) -> None:
    written = build(ablation, rows, outputs / "reports" / ablation.name, formats, allow_mixed)
    print(terminal(ablation, rows))
    for path in written:
        say(f"written {path}")
