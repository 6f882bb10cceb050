"""``sweep --until-decided``: compute the verdicts, train another seed of the undecided variants, and repeat."""

from collections.abc import Sequence
from dataclasses import replace

from pandas import DataFrame

from stargan_lab.ablation.plan import Cell
from stargan_lab.cli.sweep import MAX_SEEDS
from stargan_lab.cli.sweep_run import SweepRun
from stargan_lab.console import inform, say
from stargan_lab.errors import ConfigError, counted
from stargan_lab.report.comparable import check_comparable
from stargan_lab.report.effects import effects, sentences
from stargan_lab.report.looks import count, look_title, obstacle, to_train
from stargan_lab.report.sequential import MOST_PAIRS
from stargan_lab.report.swept import SeedPlan, Swept, read_swept
from stargan_lab.tracking.metrics import lookup


def begin(sweep: SweepRun, max_seeds: int | None) -> tuple[SweepRun, list[Cell]]:
    """The sweep with its plan, and its cells so far: those recorded, or those of the first look.

    Raises:
        ConfigError: the plan is impossible, or the overrides are not those of the recorded cells.
        LabError: the plan differs from the recorded one.
    """
    swept = read_swept(sweep.cells_file)
    begun = swept.plan if swept else None
    if begun and max_seeds not in (None, begun.max_seeds):
        raise ConfigError(
            f"--max-seeds: the looks of {sweep.ablation.name} are planned up to {begun.max_seeds} seeds, and their"
            f" levels depend on it; use --max-seeds {begun.max_seeds}, or delete {sweep.cells_file} to discard the plan"
        )
    default = begun.max_seeds if begun else MAX_SEEDS
    seeds = tuple(dict.fromkeys(cell.seed for cell in sweep.first))
    plan = SeedPlan.of(sweep.ablation, seeds, default if max_seeds is None else max_seeds)
    _check(plan, sweep.ablation.name)
    if begun:
        begun.check(plan, sweep.cells_file)
    sweep = replace(sweep, ablation=replace(sweep.ablation, looks=plan.looks), plan=plan)
    return sweep, _recorded(sweep, swept) if swept and begun else [*sweep.first]


def refuse_begun(sweep: SweepRun) -> None:
    """Raises ConfigError if a sweep until decided has begun: without its plan, its cells and levels would be lost."""
    swept = read_swept(sweep.cells_file)
    if swept and swept.plan:
        raise ConfigError(
            f"{sweep.ablation.name}: a sweep with --until-decided has begun; resume it with --until-decided,"
            f" or delete {sweep.cells_file} to discard its plan"
        )


def prospect(sweep: SweepRun, cells: Sequence[Cell]) -> str:
    """How many runs may follow ``cells``."""
    planned = sweep.plan.max_seeds if sweep.plan else 0
    seeds = planned - len({cell.seed for cell in cells})
    if seeds <= 0:
        return f"all {planned} seeds of the plan are listed"
    runs = counted(seeds * len(sweep.ablation.variants), "run")
    return f"then up to {runs} more while variants are undecided: {counted(seeds, 'seed')}, one per look"


def train_and_report(sweep: SweepRun, cells: list[Cell]) -> int:
    """Train the cells, then another seed of the undecided variants, and so on; 1 if an obstacle ended it."""
    sweep.announce(cells)
    runs = sweep.train(cells)
    table = effects(sweep.ablation, runs, sweep.ablation.primary)
    while not (reason := obstacle(sweep.ablation, runs)) and (new := _next(sweep, runs, table)):
        runs = sweep.train(new, cells)
        table = effects(sweep.ablation, runs, sweep.ablation.primary)
        cells = [*cells, *new]
    title = look_title(sweep.ablation, runs)
    seeds = counted(runs["seed"].nunique(), "seed")
    say(f"{title}: {reason or f'{count(table)} with {seeds}'}")
    for sentence in () if reason else sentences(sweep.ablation, runs, table):
        say(sentence)
    return sweep.report(cells, runs) or int(bool(reason))


def _next(sweep: SweepRun, runs: DataFrame, table: DataFrame) -> list[Cell]:
    """The cells to add after a look; none if it is the last one or all variants are decided."""
    if not sweep.allow_mixed:
        check_comparable(sweep.ablation, runs)  # before more is trained
    used, variants = runs["seed"].nunique(), to_train(sweep.ablation, runs, table)
    if sweep.plan is None or used >= sweep.plan.max_seeds or not variants:
        return []
    seed, title = sweep.plan.seed(used), look_title(sweep.ablation, runs)
    inform(f"{title}: {count(table)}; adding seed {seed} of {', '.join(variants)}")
    return [cell for cell in sweep.cells([seed]) if cell.variant in variants]


def _recorded(sweep: SweepRun, swept: Swept) -> list[Cell]:
    """The cells of an earlier command. Raises ConfigError if these overrides make other runs of them."""
    run_ids = {(variant, seed): run_id for variant, seed, run_id in swept.cells}
    seeds = list(dict.fromkeys(seed for _, seed in run_ids))
    cells = [cell for cell in sweep.cells(seeds) if (cell.variant, cell.seed) in run_ids]
    for cell in cells:
        recorded = run_ids[cell.variant, cell.seed]
        if cell.run_id != recorded:
            raise ConfigError(
                f"{sweep.cells_file}: {cell.title} is run {recorded}, but with these overrides it would be"
                f" {cell.run_id}; repeat the overrides of the first command, or delete the file to discard its plan"
            )
    return cells


def _check(plan: SeedPlan, name: str) -> None:
    first, last = plan.looks
    if first < 2:
        raise ConfigError(f"--until-decided: the first look needs at least 2 seeds, but {name} has {first}")
    if not first <= last <= MOST_PAIRS:
        raise ConfigError(
            f"--max-seeds: must be from {first}, the seeds of the first look, to {MOST_PAIRS}; got {last}"
        )
    if not plan.compared:
        raise ConfigError(f"--until-decided: {name} has no variant besides the baseline")
    if lookup(plan.primary).direction == "none":
        raise ConfigError(f"--until-decided: {plan.primary} has no direction, so no variant could be better or worse")
