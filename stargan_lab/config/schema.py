"""The schema: every key, its type and its range, as frozen data.

A component (generator, loss, dataset …) is a registry name and the keyword-only parameters of its builder, so a
component owns its own keys. Everything else is a model below.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from stargan_lab.registry import family

Count = Annotated[int, Field(ge=1)]
Interval = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]
FileNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=64)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Component(Model):
    """A registry entry and what it is built with."""

    name: str
    options: dict[str, Any]

    def flat(self, key: str = "name") -> dict[str, Any]:
        return {key: self.name, **self.options}


class DataConfig(Model):
    image_size: Annotated[int, Field(ge=8, le=1024, multiple_of=4)]
    sources: dict[str, Component] = Field(min_length=1)


class InitialConfig(Model):
    """Where the networks' first weights come from: a file, a run's folder or a run's id; None: drawn by the seed."""

    generator: Annotated[str, Field(min_length=1)] | None
    discriminator: Annotated[str, Field(min_length=1)] | None


class WeightsConfig(Model):
    cls: Weight
    rec: Weight


class EmaConfig(Model):
    decay: Annotated[float, Field(ge=0, lt=1)]


class TrainerConfig(Model):
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    devices: Annotated[int, Field(ge=1, le=1)]
    precision: Literal["float32", "bfloat16", "float64"]
    compile: bool
    channels_last: bool
    threads: Annotated[int, Field(ge=1, le=1024)] | None
    workers: Annotated[int, Field(ge=0, le=64)]
    log_every: Count
    sample_every: Interval
    checkpoint_every: Interval
    evaluate_every: Interval
    sample_images: Annotated[int, Field(ge=1, le=64)] | FileNames
    sample_seed: Annotated[int, Field(ge=0, lt=2**63)] | None


class EvaluationConfig(Model):
    extractor: str | None
    extractor_options: dict[str, Any] | None = Field(None, description="further options of the extractor; null: none")
    weights: str | None
    dims: Count | None
    metrics: dict[str, dict[str, Any] | bool] | None = Field(
        None, description="options of metrics by name, false to leave one out; null: all shipped metrics"
    )
    checkpoint: Literal["average", "last"]
    max_images: Annotated[int, Field(ge=2)] | None
    batch_size: Count


class TrackingConfig(Model):
    enabled: bool
    uri: str | None
    experiment: Annotated[str, Field(min_length=1)]
    ablations: dict[str, str]
    factors: tuple[str, ...]


class PathsConfig(Model):
    outputs: Annotated[str, Field(min_length=1)]


class RunConfig(Model):
    """One training run, resolved and checked."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    total_steps: Count
    batch_size: Count
    n_critic: Count
    targets: str
    imports: tuple[str, ...]
    data: DataConfig
    generator: Component
    discriminator: Component
    adversarial: Component
    lipschitz: Component
    optimizer: Component
    schedule: Component
    weights: WeightsConfig
    initial: InitialConfig
    ema: EmaConfig
    trainer: TrainerConfig
    evaluation: EvaluationConfig
    tracking: TrackingConfig
    paths: PathsConfig

    def flat(self) -> dict[str, Any]:
        """Plain nested dicts, the form of the YAML files."""
        raw = self.model_dump(mode="json")
        for key in COMPONENTS:
            raw[key] = getattr(self, key).flat()
        raw["data"]["sources"] = {name: source.flat("kind") for name, source in self.data.sources.items()}
        return raw


COMPONENTS = ("generator", "discriminator", "adversarial", "lipschitz", "optimizer", "schedule")

REFERENCES: Mapping[str, Mapping[str, str]] = {
    "generator": {"norm": "norm", "conditioning": "conditioning", "output": "output", "padding": "padding"},
    "discriminator": {"norm": "critic_norm", "head": "head"},
}
"""Options that are themselves a registry's names: group -> option -> family."""


@cache
def options_model(family_name: str, name: str) -> type[BaseModel]:
    """The schema of one component's options, read off its builder's keyword-only parameters."""
    fields: dict[str, Any] = {}
    for parameter in family(family_name).options(name).values():
        required = parameter.default is inspect.Parameter.empty
        fields[parameter.name] = (parameter.annotation, ... if required else parameter.default)
    return create_model(f"{family_name}_{name}", __base__=Model, **fields)
