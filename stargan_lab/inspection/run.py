"""``stargan-lab inspect``: networks at their initial weights from overrides, or those of trained runs."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from stargan_lab.config import RunConfig, compose
from stargan_lab.config.compose import Note, key_of
from stargan_lab.config.recorded import keys_of
from stargan_lab.config.variant_name import variant_name
from stargan_lab.console import say
from stargan_lab.errors import ConfigError
from stargan_lab.files import check_writable, write_json
from stargan_lab.inspection.faces import faces
from stargan_lab.inspection.figures import draw_fields, draw_sensitivity
from stargan_lab.inspection.label_sensitivity import Sensitivity, label_sensitivity, mean_by_distance
from stargan_lab.inspection.receptive_field import measure_field
from stargan_lab.labels import LabelLayout
from stargan_lab.runs.build import build_layout, build_networks, build_sources
from stargan_lab.runs.load import load_model
from stargan_lab.runs.loaded_model import LoadedModel

DEFAULT = "preset=small"
"""SynthFaces at 64 px, which needs no files."""
DEPTHS = range(1, 7)
LABEL_PATHS: Mapping[str, tuple[str, ...]] = {
    "concat, zero padding": ("generator.conditioning=concat", "generator.padding=zero"),
    "concat, reflect padding": ("generator.conditioning=concat", "generator.padding=reflect"),
    "adain, zero padding": ("generator.conditioning=adain", "generator.padding=zero"),
    "adain, reflect padding": ("generator.conditioning=adain", "generator.padding=reflect"),
}
"""Variants of a generator that is not trained."""
FACES = 4
"""Faces that a measurement is averaged over."""


def inspect_receptive_field(words: Sequence[str], outputs: Path, config_dir: str | None = None) -> list[str]:
    """Measure and draw the discriminator's field, at each depth for overrides, or of trained runs.

    Returns:
        A line per network.
    Raises:
        ConfigError, LabError: in one line.
    """
    folder = _folder(outputs)
    runs, overrides = _split(words)
    size, fields = 0, {}
    if runs:
        for run in runs:
            model = load_model(run, outputs)
            if model.critic is None:
                raise ConfigError(f"{run}: has no discriminator")
            size = _same_size(size, model.image_size, run)
            fields[f"run {model.name}"] = measure_field(model.critic, faces(FACES, size))
    else:
        chosen = any(key_of(override) == "discriminator.depth" for override in overrides)
        for depth in (None,) if chosen else DEPTHS:
            config = _composed(overrides if depth is None else [*overrides, f"discriminator.depth={depth}"], config_dir)
            if config is None:  # too deep for the image, or a norm of a 1x1 map
                continue
            size = config.data.image_size
            _, critic = build_networks(config, build_layout(build_sources(config)))
            name = f"depth {config.discriminator.options.get('depth')}"
            fields[name] = measure_field(critic, faces(FACES, size))
        if not fields:
            _composed(overrides, config_dir, required=True)
    draw_fields(fields, faces(1, size)[0], folder / "receptive_field")
    record = {
        name: {"theoretical": f.theoretical, "effective": f.effective, "scores": f.scores} for name, f in fields.items()
    }
    write_json(folder / "receptive_field.json", {"image_size": size, "networks": record})
    return [
        f"{name}: {f.theoretical} px in theory, {f.effective:.0f} px effective, {f.scores} x {f.scores} scores"
        for name, f in fields.items()
    ]


def inspect_label_sensitivity(words: Sequence[str], outputs: Path, config_dir: str | None = None) -> list[str]:
    """Measure and draw the generator's label sensitivity, for each padding and conditioning, or of trained runs.

    Returns:
        A line per network.
    Raises:
        ConfigError, LabError: in one line.
    """
    folder = _folder(outputs)
    runs, overrides = _split(words)
    measured = {}
    if runs:
        models = [load_model(run, outputs) for run in runs]
        for name, model in zip(_names(models), models, strict=True):
            measured[name] = _sensitivity(model.generator, model.layout, model.image_size)
    else:
        for name, variant in LABEL_PATHS.items():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*the label has no effect")  # this is what is shown
                config = compose([*_base(overrides), *overrides, *variant], config_dir)
            layout = build_layout(build_sources(config))
            generator, _ = build_networks(config, layout)
            measured[name] = _sensitivity(generator, layout, config.data.image_size)
    draw_sensitivity(measured, folder / "label_sensitivity")
    record = {
        name: {
            "first_by_distance": None if each.first is None else mean_by_distance(each.first),
            "output_by_distance": mean_by_distance(each.output),
        }
        for name, each in measured.items()
    }
    write_json(folder / "label_sensitivity.json", record)
    lines = []
    for name, each in record.items():
        stages = (("first layer", each["first_by_distance"]), ("output", each["output_by_distance"]))
        texts = [f"{stage} {v[0]:.1e} at the border, {v[-1]:.1e} in the middle" for stage, v in stages if v]
        lines.append(f"{name}: {'; '.join(texts)}")
    return lines


def _sensitivity(generator: nn.Module, layout: LabelLayout, size: int) -> Sensitivity:
    """With all labels 0 before the flip, except that a one-hot dataset has its first class."""
    images, spec = faces(FACES, size), layout.specs[0]
    labels = images.new_zeros(len(images), len(spec.names))
    if spec.kind == "categorical":
        labels[:, 0] = 1

    def full_label(values: Tensor) -> Tensor:
        return layout.generator_label(values, 0)

    return label_sensitivity(generator, images, labels, full_label)


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Runs and overrides. Raises ConfigError for both at once."""
    runs, overrides = [w for w in words if "=" not in w], [w for w in words if "=" in w]
    if runs and overrides:
        raise ConfigError(f"{overrides[0]}: overrides describe untrained networks; name either runs or overrides")
    return runs, overrides


def _base(overrides: Sequence[str]) -> list[str]:
    return [] if any(key_of(override) == "preset" for override in overrides) else [DEFAULT]


def _composed(overrides: Sequence[str], config_dir: str | None, required: bool = False) -> RunConfig | None:
    """The configuration, or None if it is refused because of the depth."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Note)
            return compose([*_base(overrides), *overrides], config_dir)
    except ConfigError as error:
        if required or not str(error).startswith(("discriminator.depth", "discriminator.norm:")):
            raise
        return None


def _same_size(size: int, other: int, run: str) -> int:
    if size not in (0, other):
        raise ConfigError(f"{run}: trained at {other} px, an earlier run at {size} px; inspect one size at a time")
    return other


def _names(models: Sequence[LoadedModel]) -> list[str]:
    """What differs between the runs' configurations, e.g. ``padding=zero (96d023)``; for other files, their names."""
    keys = [keys_of(model.config.flat()) if model.config else {} for model in models]
    compared = [each for each in keys if each]
    shared = set.intersection(*map(set, compared)) if compared else set()
    varied = [key for key in sorted(shared) if len({str(each[key]) for each in compared}) > 1]
    names = []
    for model, each in zip(models, keys, strict=True):
        variant = (
            variant_name({key: str(each[key]) for key in varied if not key.startswith("evaluation")}) if each else ""
        )
        names.append(f"{variant} ({model.name[:6]})" if variant else model.name)
    return names


def _folder(outputs: Path) -> Path:
    folder = outputs / "inspect"
    check_writable("--outputs", folder)
    return folder


def report(lines: Sequence[str], outputs: Path, name: str) -> None:
    print("\n".join(lines))
    say(f"figures: {outputs / 'inspect' / name}.svg, .pdf; numbers: {name}.json")
