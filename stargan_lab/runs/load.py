"""Load trained networks: of a run, by its id, folder or checkpoint, or of StarGAN, from its checkpoint files.

model = load_model("3f2a", Path("outputs"))
images = model.translator()(images, labels, 0)
"""

from collections.abc import Sequence
from pathlib import Path

from stargan_lab.checkpoints.label_layout import LABELS, read_layout
from stargan_lab.checkpoints.weight_files import Checkpoint, locate, read_checkpoint
from stargan_lab.config import RunConfig
from stargan_lab.config.validate import validate
from stargan_lab.errors import ConfigError, UnnamedModules
from stargan_lab.registry import import_user_modules, not_imported
from stargan_lab.runs.build import build_layout, build_networks, build_sources
from stargan_lab.runs.load_reference import load_by_shapes
from stargan_lab.runs.loaded_model import LoadedModel, load_network, use_average
from stargan_lab.tracking.run_folder import RunFolder


def load_model(
    text: str,
    outputs: Path,
    ema: bool | None = None,
    attributes: Sequence[str] = (),
    classes: Sequence[str] = (),
    imports: Sequence[str] = (),
) -> LoadedModel:
    """Load a run's last checkpoint, or a StarGAN generator file. A run's dataset is not needed.

    A checkpoint without its run folder can be loaded if its networks match StarGAN's.

    Args:
        text: run id (a prefix is enough), run folder, or weight file.
        ema: whether to use the generator's average; None uses it if there is one.
        attributes, classes: names of the labels, if the file does not record them; see ``reference_layout``.
        imports: modules with the run's own components. Those that its configuration lists are code, so they must be
            named here, or be imported already.
    Raises:
        ConfigError, LabError: in one line.
    """
    checkpoint = read_checkpoint(locate(text, outputs))
    folder = checkpoint.path.parent.parent
    if checkpoint.run_id is None or not (folder / "config.yaml").is_file():
        return load_by_shapes(checkpoint, ema, attributes, classes)
    if attributes or classes:
        raise ConfigError(f"--attributes, --classes: run {checkpoint.run_id} records its labels; omit them")
    return load_run(checkpoint, read_config(folder, imports), ema)


def load_run(checkpoint: Checkpoint, config: RunConfig, ema: bool | None = None) -> LoadedModel:
    """The networks in the checkpoint of a run with this configuration; ``ema`` as for ``load_model``.

    Raises:
        ConfigError: the checkpoint does not fit the configuration, or has no average.
    """
    labels = checkpoint.path.parent.parent / LABELS
    layout = read_layout(labels) if labels.exists() else build_layout(build_sources(config))
    generator, critic = build_networks(config, layout)
    averaged = use_average(checkpoint, ema)
    state = checkpoint.states["average" if averaged else "generator"]
    load_network(generator, state, "generator", f"{checkpoint.path}: its generator")
    load_network(critic, checkpoint.states["discriminator"], "discriminator", f"{checkpoint.path}: its discriminator")
    return LoadedModel(
        name=str(checkpoint.run_id),
        path=checkpoint.path,
        generator=generator,
        critic=critic,
        layout=layout,
        image_size=config.data.image_size,
        step=checkpoint.step,
        averaged=averaged,
        config=config,
    )


def read_config(folder: Path, imports: Sequence[str] = ()) -> RunConfig:
    """A run's recorded configuration, with its current outputs directory and without initial weights.

    Keys that older records lack get the current defaults. The modules that it lists are not imported.

    Args:
        imports: modules to import.
    Raises:
        LabError: the file is damaged; ConfigError: a component in it no longer exists; UnnamedModules: it lists a
            module that is not imported.
    """
    import_user_modules(imports)
    raw = RunFolder(folder).config()
    if folder.parent.name == "runs":
        raw["paths"] = {**raw.get("paths", {}), "outputs": str(folder.parent.parent)}
    raw["initial"] = {"generator": None, "discriminator": None}
    try:
        if not (unnamed := not_imported(raw.get("imports", ()))):
            return validate(raw, rules=False)  # its rules were checked before training
    except ConfigError as error:
        raise ConfigError(f"{RunFolder(folder).config_path}: {error}") from None
    raise UnnamedModules(folder.name, unnamed)
