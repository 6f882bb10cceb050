"""``stargan-lab runs``: list, inspect, compare and delete the runs of an outputs directory."""

import argparse
import shutil
import stat
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_outputs, add_variadic

EPILOG = """\
examples:
  stargan-lab runs list discriminator.norm=none,layer status=finished
  stargan-lab runs show 3f2a
  stargan-lab runs diff 3f2a 9c01
  stargan-lab runs rm 3f2a --dry-run
  stargan-lab runs du"""

LIST_EPILOG = """\
A filter is KEY=VALUE,VALUE or KEY<NUMBER (also <=, >, >=; quote these for the shell). A run must match all filters.

examples:
  stargan-lab runs list
  stargan-lab runs list ablation=quickstart seed=0
  stargan-lab runs list discriminator=patchgan 'eval/edit>0.3' --sort eval/edit
  stargan-lab runs list --columns run_id,generator.norm,eval/edit --csv > runs.csv"""


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands, "runs", "list, show, compare or delete runs, or show their disk usage", lambda args: 0, EPILOG
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = add_command(actions, "list", "list runs, newest first", list_runs, LIST_EPILOG)
    filters = add_variadic(listing, "filters", nargs="*", metavar="FILTER", help="e.g. discriminator.norm=none,layer")
    complete.attach(filters, complete.overrides)
    listing.add_argument("--sort", metavar="KEY", help="sort by this column; the best scores come first")
    listing.add_argument("--columns", metavar="KEY,…", help="columns to print (default: scores, and keys that differ)")
    formats = listing.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print JSON, with all columns unless --columns is given")
    formats.add_argument("--csv", action="store_true", help="print CSV, with all columns unless --columns is given")
    show = add_command(actions, "show", "show settings, scores, provenance and files of a run", show_run)
    _add_run(show, "one", "RUN")
    diff = add_command(actions, "diff", "compare two runs: settings, code, data, protocol and scores", diff_runs)
    _add_run(diff, "one", "RUN")
    _add_run(diff, "other", "OTHER_RUN")
    rm = add_command(actions, "rm", "delete runs, also in MLflow", remove_runs)
    complete.attach(add_variadic(rm, "runs", nargs="+", metavar="RUN", help=_RUN), complete.run_ids)
    rm.add_argument("--dry-run", action="store_true", help="only print what would be deleted")
    rm.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    du = add_command(actions, "du", "show the disk usage of runs, by kind of file, and of other outputs", disk_usage)
    for action in (listing, show, diff, rm, du):
        add_outputs(action)


_RUN = "run id; a prefix is enough"


def _add_run(parser: argparse.ArgumentParser, dest: str, metavar: str) -> None:
    complete.attach(parser.add_argument(dest, metavar=metavar, help=_RUN), complete.run_ids)


def list_runs(args: argparse.Namespace) -> int:
    """Print the matching runs."""
    from stargan_lab.console import say
    from stargan_lab.errors import counted
    from stargan_lab.report.query import load_runs
    from stargan_lab.report.run_text import as_records, described, list_text, sort_runs

    runs = load_runs(args.outputs, *args.filters)
    descriptions = described(runs)
    runs = sort_runs(runs, args.sort, descriptions)
    columns = args.columns.split(",") if args.columns else None
    if args.json or args.csv:
        print(as_records(runs, columns, args.json), end="")
        return 0
    if runs.empty:
        say(f"no matching run in {Path(args.outputs) / 'runs'}")
        return 0
    text, omitted = list_text(runs, columns, descriptions, _terminal_width())
    print(text)
    note = f"; columns that do not fit: {', '.join(omitted)}" if omitted else ""
    say(f"{counted(len(runs), 'run')}{note}")
    return 0


def show_run(args: argparse.Namespace) -> int:
    """Print one run."""
    from stargan_lab.report.run_text import show_text
    from stargan_lab.tracking.run_folder import find_run

    folder = find_run(Path(args.outputs), args.one)
    print(show_text(folder))
    sizes = _sizes(folder.path)
    print(f"\nfiles: {', '.join(f'{kind} {_mib(size)}' for kind, size in sizes.most_common())}")
    return 0


def diff_runs(args: argparse.Namespace) -> int:
    """Print how two runs differ."""
    from stargan_lab.report.run_text import diff_text
    from stargan_lab.tracking.run_folder import find_run

    outputs = Path(args.outputs)
    print(diff_text(find_run(outputs, args.one), find_run(outputs, args.other)))
    return 0


def remove_runs(args: argparse.Namespace) -> int:
    """Delete runs after a confirmation; 1 if it was declined, or a run could not be deleted from MLflow."""
    from stargan_lab.console import say
    from stargan_lab.errors import ConfigError, counted
    from stargan_lab.tracking.delete import MlflowRuns, delete_folder, delete_leftovers
    from stargan_lab.tracking.run_folder import find_run
    from stargan_lab.tracking.store import StoreError

    outputs = Path(args.outputs)
    folders = {folder.run_id: folder for folder in (find_run(outputs, name) for name in args.runs)}.values()
    for folder in folders:
        if folder.in_use():
            raise ConfigError(f"run {folder.run_id} is in use by another process; nothing was deleted")
    sizes = {folder.path: _sizes(folder.path).total() for folder in folders}
    for path, size in sizes.items():
        print(f"{path}  {_mib(size)}")
    if args.dry_run:
        say("dry run: nothing was deleted")
        return 0
    if not args.yes and not _confirmed(f"Delete {counted(len(sizes), 'run')}, {_mib(sum(sizes.values()))}? [y/N] "):
        say("nothing was deleted")
        return 1
    delete_leftovers(outputs)
    mlflow, failed = MlflowRuns(outputs), False
    for folder in folders:
        store_of_run = mlflow.store_of(folder)
        delete_folder(folder)
        try:
            say(f"deleted {folder.path}; {mlflow.delete(folder.run_id, store_of_run)}")
        except StoreError as error:
            failed = True
            say(f"deleted {folder.path}; warning: its MLflow run remains: {error}")
    return 1 if failed else 0


def disk_usage(args: argparse.Namespace) -> int:
    """Print the size of every run by kind of file, largest first, and of everything else in the outputs directory."""
    from stargan_lab.errors import LabError
    from stargan_lab.report.run_text import aligned

    outputs = Path(args.outputs)
    if not outputs.is_dir():
        raise LabError(f"{outputs}: no such directory")
    runs = {path.name: _sizes(path) for path in _entries(outputs / "runs")}
    total = sum(runs.values(), Counter())
    kinds = [kind for kind, _ in total.most_common()]
    largest = sorted(runs, key=lambda name: -runs[name].total())
    rows = [(name, runs[name]) for name in largest] + [("all runs", total)]
    header = ("run", "total", *kinds)
    print(aligned([header, *((name, _mib(size.total()), *(_mib(size[k]) for k in kinds)) for name, size in rows)]))
    others = Counter({path.name: _sizes(path).total() for path in _entries(outputs) if path.name != "runs"})
    others += Counter({f"cache/{path.name}": _sizes(path).total() for path in _entries(outputs / "cache")})
    del others["cache"]  # listed by kind
    print()
    print(aligned([("other outputs", "total"), *((name, _mib(size)) for name, size in others.most_common())]))
    print(f"\ntotal: {_mib(total.total() + others.total())}")
    return 0


def _sizes(path: Path) -> "Counter[str]":
    """Bytes below a directory by its subdirectory (``records``: files directly in it); a file's size as ``records``."""
    sizes: Counter[str] = Counter()
    for file in path.rglob("*") if path.is_dir() else (path,):
        with suppress(FileNotFoundError):  # a run in training replaces its files
            status = file.lstat()
            if not stat.S_ISDIR(status.st_mode):
                parts = file.relative_to(path).parts
                sizes[parts[0] if len(parts) > 1 else "records"] += status.st_size
    return sizes


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _confirmed(question: str) -> bool:
    """Whether the user agrees. Raises ConfigError if there is no terminal to ask on."""
    from stargan_lab.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("--yes: required to delete runs without a terminal")
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _terminal_width() -> int | None:
    """Characters per line; None if stdout is a pipe or a file, which take any."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
