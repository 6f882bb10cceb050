"""``stargan-lab toy NAME`` from start to end: train, draw, record."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from stargan_lab.config.schema import Component
from stargan_lab.config.toy import ToyConfig
from stargan_lab.console import bar, inform, quietly, say
from stargan_lab.files import canonical_hash, check_writable, write_json
from stargan_lab.runs.provenance import environment, git_commit
from stargan_lab.seeding import cpu_threads
from stargan_lab.toy.figures import FIGURES, FORMATS, draw_figures
from stargan_lab.toy.train import Advance, TrainedCritic, build_critic, noisy_points, train_critics
from stargan_lab.toy.vanishing import train_vanishing
from stargan_lab.tracking.run_folder import MetricRow
from stargan_lab.tracking.store import Store, StoreError
from stargan_lab.tracking.uri import recorded

RECORD = "toy.json"


def run_toy(config: ToyConfig) -> dict[str, Any]:
    """Train all critics; write figures and ``toy.json`` to ``outputs/toy/DISTRIBUTION``; log to MLflow.

    Returns:
        The content of ``toy.json``.
    Raises:
        ConfigError: the outputs directory is not writable, or the critic cannot be built.
    """
    folder = Path(config.paths.outputs) / "toy" / config.distribution.name
    check_writable("paths.outputs", folder)
    build_critic(config)  # may raise
    labels = labels_of(config.constraints)
    began = time.perf_counter()
    with quietly(config.quiet), cpu_threads(config.threads):
        total = config.steps * len(config.constraints) + config.vanishing.steps * len(config.vanishing.losses)
        with closing(bar(config.distribution.name, total, "step")) as progress:
            advance = _advancing(progress)
            trained, vanishing = train_critics(config, advance), train_vanishing(config, advance)
        real, _ = noisy_points(config)("figure", 0, 1000)
        _remove_earlier_figures(folder)
        figures = draw_figures(trained, vanishing, labels, real, folder)
        record = record_of(config, trained, vanishing) | {"figures": [path.name for path in figures]}
        record["seconds"] = round(time.perf_counter() - began, 1)
        write_json(folder / RECORD, record)
        publish(config, trained, vanishing, [*figures, folder / RECORD])
        print("\n".join(summary(record)))
        inform(f"figures and {RECORD}: {folder}")
    return record


def _advancing(progress: Any) -> Callable[[str], Advance]:
    def advance(name: str) -> Advance:
        progress.set_postfix_str(name, refresh=False)
        return lambda: progress.update(1)

    return advance


def labels_of(constraints: Mapping[str, Component]) -> dict[str, str]:
    """``clip, bound 0.1``: each constraint with its first option and those that differ between constraints of its kind.

    Constraints with equal options have their names added, so that no two labels are equal.
    """
    labels = {}
    for name, constraint in constraints.items():
        alike = [each.options for each in constraints.values() if each.name == constraint.name]
        shown = [
            f"{key} {_number(value)}"
            for position, (key, value) in enumerate(constraint.options.items())
            if position == 0 or any(other.get(key) != value for other in alike)
        ]
        labels[name] = ", ".join([constraint.name, *shown])
    counts = Counter(labels.values())
    return {name: label if counts[label] == 1 else f"{name}: {label}" for name, label in labels.items()}


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _remove_earlier_figures(folder: Path) -> None:
    """An earlier command may have drawn a figure that this one does not."""
    for stem, form in product(FIGURES, FORMATS):
        (folder / f"{stem}.{form}").unlink(missing_ok=True)


def record_of(
    config: ToyConfig, trained: Mapping[str, TrainedCritic], vanishing: Mapping[str, TrainedCritic]
) -> dict[str, Any]:
    """The content of ``toy.json``, without figures and time."""
    return {
        "distribution": config.distribution.name,
        "seed": config.seed,
        "constraints": {
            name: {
                **config.constraints[name].flat("kind"),
                "layer_gradient_norms": each.layer_gradient_norms,
                "share_at_bound_start": each.share_at_bound_start,
                "share_at_bound_end": each.share_at_bound_end,
                **each.gradient_norms,
                "steps": each.steps,
                **each.history,
            }
            for name, each in trained.items()
        },
        "vanishing": {name: {"steps": each.steps, **each.history} for name, each in vanishing.items()},
        "config": recorded(config.flat()),
        "git_commit": git_commit(),
        **environment("cpu"),
    }


def summary(record: Mapping[str, Any]) -> list[str]:
    """A line per critic, for the terminal."""
    lines = []
    for name, each in record["constraints"].items():
        first, last = each["layer_gradient_norms"][0], each["layer_gradient_norms"][-1]
        ratio = f"{first / last:.1e}" if last else "undefined"
        start, end = each["share_at_bound_start"], each["share_at_bound_end"]
        lines.append(
            f"{name:<12}  gradient first/last layer {ratio:>8}   weights at the bound {start:.0%} -> {end:.0%}"
            f"   critic gap {each['critic_gap'][-1]:.3g}"
        )
    offset = record["config"]["vanishing"]["offset"]
    for name, each in record["vanishing"].items():
        gradients = each["generator_gradient"]
        lines.append(f"{name:<12}  generator gradient {gradients[0]:.1e} -> {gradients[-1]:.1e} at offset {offset:g}")
    return lines


def publish(
    config: ToyConfig,
    trained: Mapping[str, TrainedCritic],
    vanishing: Mapping[str, TrainedCritic],
    files: list[Path],
) -> None:
    """Log one flat MLflow run with the tag ``toy``; it replaces that of an equal configuration.

    A store that cannot be used is reported and ignored: the files are complete.
    """
    tracking = config.tracking
    if not tracking.enabled:
        return
    identity = {key: value for key, value in config.flat().items() if key not in ("tracking", "paths", "quiet")}
    tags = {"toy": config.distribution.name, "run_id": f"toy-{canonical_hash(identity)[:12]}"}
    try:
        store = Store.open(Path(config.paths.outputs), tracking.uri, tracking.experiment)
        if earlier := store.find(tags["run_id"]):
            store.delete_run(earlier.info.run_id)
        run = store.open_tagged(tags, f"toy: {config.distribution.name}")
        store.set_tags(run.info.run_id, {"seed": str(config.seed), "git_commit": git_commit()})
        store.set_params(run, {"adversarial": config.adversarial.name, "critic.norm": config.critic.norm})
        store.send_rows(run.info.run_id, [*_rows("toy", trained), *_rows("toy_vanishing", vanishing)])
        for path in files:
            store.artifact(run.info.run_id, path)
        store.set_status(run.info.run_id, "finished")
    except StoreError as error:
        say(f"warning: {error}; the files are complete")


def _rows(group: str, trained: Mapping[str, TrainedCritic]) -> list[MetricRow]:
    """``GROUP/METRIC/CRITIC`` at each measured step, and the final ones at the last."""
    now = round(time.time(), 3)
    rows = []
    for name, each in trained.items():
        for i, step in enumerate(each.steps):
            values = {f"{group}/{metric}/{name}": series[i] for metric, series in each.history.items()}
            rows.append(MetricRow(step, now, values))
        last = {"share_at_bound": each.share_at_bound_end, **each.gradient_norms}
        norms = each.layer_gradient_norms
        if norms[0] > 0 and norms[-1] > 0:
            last["layer_gradient_decades"] = math.log10(norms[0] / norms[-1])
        rows.append(MetricRow(each.steps[-1], now, {f"{group}/{key}/{name}": value for key, value in last.items()}))
        rows += [MetricRow(i + 1, now, {f"{group}/layer_gradient/{name}": norm}) for i, norm in enumerate(norms)]
    return rows
