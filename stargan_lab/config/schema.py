"""The schema: every key with its type, range, default and meaning, as immutable models.

A component (generator, loss, dataset …) is a registry name and the keyword-only parameters of its builder, so each
component defines its own keys. All other keys are fields of the models below. The YAML files in ``conf/`` and
``docs/components.md`` are generated from both.
"""

import inspect
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from stargan_lab.registry import Ref, family

Count = Annotated[int, Field(ge=1)]
Interval = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(min_length=1)]
RunOrFile = Annotated[Text, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
"""A file or run; YAML reads a run id that has only digits as a number."""
Weight = Annotated[float, Field(ge=0)]
FileNames = Annotated[tuple[Text, ...], Field(min_length=1, max_length=64)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Component(Model):
    """A registry name and the options it is built with."""

    name: str
    options: dict[str, Any]

    def flat(self, key: str = "name") -> dict[str, Any]:
        """Name and options in one mapping, as in the YAML files."""
        return {key: self.name, **self.options}


class TermConfig(Component):
    """A loss term added to an objective; its name is its key under ``terms``."""

    weight: Weight

    def flat(self, key: str = "name") -> dict[str, Any]:
        return {"weight": self.weight, **self.options}


class DataConfig(Model):
    """Datasets and image size; each dataset has a name under data.sources."""

    image_size: Annotated[int, Field(ge=8, le=1024, multiple_of=4)] = Field(
        description="height and width of training images in pixels"
    )
    sources: Annotated[dict[str, Component], Ref("dataset")] = Field(
        min_length=1, description="type of a dataset; NAME is any name for it, e.g. faces"
    )


class WeightsConfig(Model):
    """Weights of loss terms."""

    cls: Weight = Field(1.0, description="classification")
    rec: Weight = Field(10.0, description="reconstruction")


class InitialConfig(Model):
    """Initial weights: a checkpoint file, a run folder or a run id; null: random weights from the seed."""

    generator: RunOrFile | None = Field(
        None, description="initial weights of the generator; optimizers start from scratch"
    )
    discriminator: RunOrFile | None = Field(None, description="initial weights of the discriminator")


class EmaConfig(Model):
    """Exponential moving average of the generator's weights."""

    decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="decay per generator update; 0: no average; evaluation uses the average if there is one"
    )


class TrainerConfig(Model):
    """Training settings; log, sample, checkpoint and evaluation settings and workers cannot change results."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field(
        "auto", description="auto, cpu, cuda or cuda:N"
    )
    devices: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="number of devices that share each batch, each used by its own process (docs/launchers.md)"
    )
    precision: Literal["float32", "bfloat16", "float64", "auto"] = Field(
        "float32", description="bfloat16 uses autocast; here and below, auto: the fastest on this machine"
    )
    discriminator_precision: Literal["same", "float32", "auto"] = Field(
        "same", description="float32: keep the discriminator and its penalty in float32 even if precision=bfloat16"
    )
    compile: bool | Literal["auto"] = Field(
        False, description="use torch.compile, which takes minutes; only for long runs"
    )
    channels_last: bool | Literal["auto"] = Field(
        False, description="channels-last memory format; faster with bfloat16 and compile on a GPU"
    )
    joint_pass: bool = Field(
        True,
        description="score real and translated images in one pass, unless the discriminator couples samples",
    )
    cuda_graphs: bool | Literal["auto"] = Field(False, description="record steps as CUDA graphs; no effect on the CPU")
    autotune: bool | Literal["auto"] = Field(
        False, description="CUDA: time convolution algorithms once and use the fastest"
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="CPU threads; null: one per core, shared by the devices"
    )
    workers: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="batches loaded in advance, each in a background thread; 0: none"
    )
    log_every: Count = Field(100, description="steps between logged loss averages")
    sample_every: Interval = Field(1000, description="steps between sample grids; 0: only at the end")
    checkpoint_every: Interval = Field(1000, description="steps between checkpoints; 0: only at the end")
    evaluate_every: Interval = Field(0, description="steps between evaluations; 0: only at the end")
    sample_images: Annotated[int, Field(ge=1, le=64)] | FileNames = Field(
        8, description="number of rows in a sample grid, or a list of file names from the test split"
    )
    sample_seed: Seed | None = Field(
        None, description="null: the first test images; an integer seeds a random selection"
    )


class EvaluationConfig(Model):
    """How generators are evaluated; does not affect training."""

    extractor: Annotated[str, Ref("extractor")] | None = Field(
        "inception", description="feature extractor used in addition to the attribute classifier; null: none"
    )
    extractor_options: dict[str, Any] | None = Field(None, description="additional options of the extractor")
    weights: str | None = Field(
        None, description="path of the extractor's weights; null: the cached Inception weights; download: download them"
    )
    dims: Count | None = Field(
        None, description="dimensions of Inception features: 64, 192, 768 or 2048; null: 2048, as in FID"
    )
    metrics: Annotated[dict[str, dict[str, Any] | bool], Ref("image_metric"), Ref("feature_metric")] | None = Field(
        None, description="options of metrics by name, e.g. {kid: {subsets: 50}}; false turns a metric off"
    )
    checkpoint: Literal["average", "last"] = Field(
        "average", description="weights to evaluate; average: moving average if the run has one; last: raw weights"
    )
    max_images: Annotated[int, Field(ge=2)] | None = Field(
        None, description="maximum number of test images, and of real images per domain; null: all"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="seed of the attribute classifier, of random subsets, and of the images that max_images selects"
    )
    batch_size: Count = Field(64, description="images translated per batch")


class DiagnosticsConfig(Model):
    """Gradient norms, saturation and weights at the clip bound, measured on held-out images; no effect on training."""

    enabled: bool = Field(False, description="measure and log diagnostics/...")
    every: Count = Field(100, description="steps between measurements; each takes as long as 1 to 3 steps per dataset")


class TrackingConfig(Model):
    """MLflow logging; the run's plain files are always written."""

    enabled: bool = Field(True, description="false: plain files only")
    uri: str | None = Field(
        None,
        description="MLflow tracking URI; null: MLFLOW_TRACKING_URI, or an SQLite database in the outputs directory",
    )
    experiment: Text = Field("stargan-lab", description="MLflow experiment that contains the runs")
    ablations: dict[str, str] = Field(
        {}, description="variant of this run in each ablation; set by sweeps and logged as tags ablation.NAME"
    )
    factors: tuple[str, ...] = Field(
        (), description="additional keys, or KEY=VALUE, to log as MLflow params; set by sweeps"
    )


class PathsConfig(Model):
    """Where files are written."""

    outputs: Text = Field("outputs", description="directory for all output")


class RunConfig(Model):
    """The validated configuration of one training run."""

    seed: Seed = Field(
        0, description="seed of initial weights, data order, flips, targets and penalty; equal seeds give equal runs"
    )
    total_steps: Count = Field(200_000, description="discriminator updates, summed over all datasets")
    batch_size: Count = Field(16, description="images per step")
    n_critic: Count = Field(5, description="discriminator updates per generator update")
    targets: Annotated[str, Ref("targets")] = Field(
        "permuted", description="how the target labels of a training batch are chosen"
    )
    imports: tuple[str, ...] = Field((), description="modules that register your components, e.g. [my_norms]")
    quiet: bool = Field(False, description="no progress bars and no notes, only results, warnings and errors")
    data: DataConfig
    generator: Component = Field(description="Translates images.")
    discriminator: Component = Field(description="Scores images as real or fake and classifies their labels.")
    adversarial: Component = Field(description="Loss on real/fake scores.")
    lipschitz: Component = Field(description="Lipschitz constraint on the discriminator.")
    optimizer: Component = Field(description="Optimizer of both networks.")
    schedule: Component = Field(description="Learning-rate schedule.")
    weights: WeightsConfig = WeightsConfig()
    terms: Annotated[dict[str, TermConfig], Ref("loss_term")] = Field(
        None,  # type: ignore[arg-type]  # Hydra can replace null with a mapping, but not add keys to an empty one
        description="additional loss terms, e.g. {total_variation: {weight: 0.0001}}",
    )
    initial: InitialConfig = InitialConfig()
    ema: EmaConfig = EmaConfig()
    trainer: TrainerConfig = TrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    diagnostics: DiagnosticsConfig = DiagnosticsConfig()
    tracking: TrackingConfig = TrackingConfig()
    paths: PathsConfig = PathsConfig()

    def flat(self) -> dict[str, Any]:
        """Plain nested dicts, as in the YAML files."""
        raw = self.model_dump(mode="json")
        for key in COMPONENTS:
            raw[key] = getattr(self, key).flat()
        raw["data"]["sources"] = {name: source.flat("kind") for name, source in self.data.sources.items()}
        raw["terms"] = {name: term.flat() for name, term in self.terms.items()} or None
        return raw


COMPONENTS = tuple(key for key, field in RunConfig.model_fields.items() if field.annotation is Component)
"""Keys of ``RunConfig`` that are components of the family of the same name."""


@cache
def annotations(model: type[BaseModel]) -> dict[str, Any]:
    """Field -> annotation with all its metadata."""
    hints = get_type_hints(model, include_extras=True)
    return {key: hints[key] for key in model.model_fields}


@cache
def options_model(family_name: str, name: str) -> type[BaseModel]:
    """The schema of a component's options: the keyword-only parameters of its builder."""
    fields: dict[str, Any] = {}
    for parameter in family(family_name).options(name).values():
        required = parameter.default is inspect.Parameter.empty
        fields[parameter.name] = (parameter.annotation, ... if required else parameter.default)
    return create_model(f"{family_name}_{name}", __base__=Model, **fields)
