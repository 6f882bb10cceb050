"""Do the tests notice bugs? Apply one hand-picked mutation at a time to a copy of the repository and run its tests.

    python tests/mutation/run_mutations.py                # all mutations, one line each, then the number killed
    python tests/mutation/run_mutations.py gradient clip  # those whose name contains one of the words
    python tests/mutation/run_mutations.py --markdown     # as a Markdown table

A mutation is killed when at least one of its tests fails that passes without it. Exits 1 if one survives, 2 if one no
longer applies.
Not part of the test suite: it takes about ten minutes on two cores.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]


def copy_repository(target: Path) -> None:
    """Copy the tracked files, with ``conf`` and ``experiments`` linked where an installed package has them."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for name in ("conf", "experiments"):
        (target / "stargan_lab" / name).symlink_to(target / name)


def killed_by(mutation: Mutation, copy: Path) -> str:
    """The first failing test, or an empty string if the mutation survives.

    Raises:
        ValueError: the original text does not occur exactly once in the file.
    """
    path = copy / mutation.file
    text = path.read_text()
    if text.count(mutation.original) != 1:
        raise ValueError(f"{mutation.file}: {mutation.original!r} occurs {text.count(mutation.original)} times")
    path.write_text(text.replace(mutation.original, mutation.mutated))
    try:
        run = run_tests(mutation.tests, copy)
    finally:
        path.write_text(text)
    if run.returncode == 0:
        return ""
    failures = [line.split(" ")[1] for line in run.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if not failures:
        raise ValueError(f"pytest exited with {run.returncode}: {(run.stdout + run.stderr)[-300:]}")
    if run_tests([failures[0].partition("[")[0]], copy).returncode:
        raise ValueError(f"{failures[0]} fails without the mutation too")
    return failures[0]


def run_tests(tests: Sequence[str], copy: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=600)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutations whose name contains one of these words")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.words or any(word in m.name for word in options.words)]
    survivors, stale, rows = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_repository(copy)
        for mutation in chosen:
            began = time.monotonic()
            try:
                test = killed_by(mutation, copy)
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                stale.append(mutation.name)
                print(f"STALE     {mutation.name}: {error}", flush=True)
                continue
            verdict = "killed" if test else "SURVIVED"
            survivors += [] if test else [mutation.name]
            noticed = f"`{test.partition('[')[0]}`" if test else "**survived**"
            rows.append(f"| {mutation.area} | {mutation.name} | {noticed} |")
            if not options.markdown:
                print(f"{verdict:<9} {mutation.name}  {test}  ({time.monotonic() - began:.0f} s)", flush=True)
    if options.markdown:
        print("\n".join(["| area | mutation | first failing test |", "|---|---|---|", *rows]))
    print(f"{len(rows) - len(survivors)} of {len(chosen)} mutations killed", file=sys.stderr)
    return 2 if stale else 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
