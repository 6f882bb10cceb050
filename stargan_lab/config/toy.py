"""The configuration of ``stargan-lab toy``: schema, composition from ``conf/toy.yaml``, and rules."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stargan_lab.config.compose import compose_with, config_loader, key_of, to_plain
from stargan_lab.config.schema import Component, Count, Model, PathsConfig, Seed, TrackingConfig
from stargan_lab.config.validate import validate_component, validate_model
from stargan_lab.errors import ConfigError, unknown
from stargan_lab.registry import Ref, family, import_user_modules

TOY_CONFIG_NAME = "toy"


class ToyCriticConfig(Model):
    """The critic: a ReLU perceptron on 2-D points."""

    width: Annotated[int, Field(ge=1, le=4096)] = Field(64, description="channels of each hidden layer")
    layers: Annotated[int, Field(ge=2, le=64)] = Field(12, description="linear layers, the last one included")
    norm: Annotated[str, Ref("discriminator_norm")] = Field(
        "none", description="norm after every hidden layer but the first, as in discriminator.norm"
    )
    norm_options: dict[str, Any] | None = Field(None, description="options of the norm; null: its defaults")
    norm_affine: bool = Field(True, description="learn scale and shift in the norms")


class VanishingConfig(Model):
    """The gradient of a generator whose points do not overlap the real ones, as the critic improves."""

    losses: tuple[Annotated[str, Ref("adversarial")], ...] = Field(
        ("minimax", "vanilla", "wgan"),
        description="one critic each; losses that need a Lipschitz constraint use the penalty gp, the others none",
    )
    offset: Annotated[float, Field(gt=0, le=100)] = Field(
        5.0, description="the generator adds (offset, 0) to points of the distribution"
    )
    steps: Annotated[int, Field(ge=0)] = Field(150, description="critic updates; 0: skip this part")


class ToyConfig(Model):
    """The validated configuration of ``stargan-lab toy``."""

    seed: Seed = Field(0, description="seed of initial weights, points and noise; equal seeds give equal numbers")
    steps: Count = Field(250, description="updates of each critic")
    batch_size: Annotated[int, Field(ge=2)] = Field(256, description="real points, and generated points, per update")
    every: Count = Field(10, description="updates between measurements")
    threads: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="CPU threads; more do not help at this size")
    imports: tuple[str, ...] = Field((), description="modules that register your components, e.g. [my_losses]")
    quiet: bool = Field(False, description="no progress bars and no notes")
    distribution: Component = Field(description="The real points, for `stargan-lab toy NAME`.")
    adversarial: Component = Field(description="Loss on real/fake scores.")
    optimizer: Component = Field(description="Optimizer of the critics; uses d_lr.")
    constraints: Annotated[dict[str, Component], Ref("lipschitz")] = Field(
        min_length=1, description="one critic for each; NAME is any name for it"
    )
    critic: ToyCriticConfig = ToyCriticConfig()
    vanishing: VanishingConfig = VanishingConfig()
    tracking: TrackingConfig = TrackingConfig()
    paths: PathsConfig = PathsConfig()

    def flat(self) -> dict[str, Any]:
        """Plain nested dicts, as in the YAML files."""
        raw = self.model_dump(mode="json")
        for key in TOY_COMPONENTS:
            raw[key] = getattr(self, key).flat()
        raw["constraints"] = {name: each.flat("kind") for name, each in self.constraints.items()}
        return raw


TOY_COMPONENTS = tuple(key for key, field in ToyConfig.model_fields.items() if field.annotation is Component)


def compose_toy(distribution: str, overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> ToyConfig:
    """The validated configuration of ``stargan-lab toy DISTRIBUTION OVERRIDES``.

    Raises:
        ConfigError: one line that names the key, the nearest valid one and the allowed values.
    """
    for override in overrides:
        if key_of(override) == "constraints" and not override.startswith("~"):
            raise ConfigError(
                f"{override}: would be merged with the default constraints; drop one with '~constraints.NAME', add one"
                " with '+constraints.NAME={kind: KIND}'"
            )
    overrides = [f"distribution={distribution}", *overrides]
    return validate_toy(to_plain(compose_with(config_loader(config_dir), overrides, name=TOY_CONFIG_NAME)))


def validate_toy(raw: Mapping[str, Any]) -> ToyConfig:
    """Check a composed configuration. Raises ConfigError with the first error."""
    raw = dict(raw)
    import_user_modules(raw.get("imports", ()))
    for key in TOY_COMPONENTS:
        if key in raw:
            raw[key] = validate_component(key, raw[key], key, "name")
    constraints = raw.get("constraints")
    if not isinstance(constraints, Mapping):
        raise ConfigError(f"constraints: expected a mapping of names to Lipschitz constraints, got {constraints!r}")
    raw["constraints"] = {
        str(name): validate_component("lipschitz", each, f"constraints.{name}", "kind")
        for name, each in constraints.items()
    }
    config = validate_model(ToyConfig, raw)
    for loss in config.vanishing.losses:
        if loss not in family("adversarial").names():
            raise ConfigError(f"vanishing.losses: {unknown('adversarial loss', loss, family('adversarial').names())}")
    _check_rules(config)
    return config


def _check_rules(config: ToyConfig) -> None:
    """Raise ConfigError for a meaningless combination; warn about one with an unexpected effect."""
    norms, norm = family("discriminator_norm"), config.critic.norm
    if norms.has(norm, "needs_map") and not norms.has(norm, "couples_samples"):
        raise ConfigError(f"critic.norm: {norm} norm of a single point is always zero")
    for name, constraint in config.constraints.items():
        if norms.has(norm, "constrains") and family("lipschitz").has(constraint.name, "bounds_weights"):
            raise ConfigError(
                f"constraints.{name}: {constraint.name} has no effect with critic.norm={norm}, which rescales the"
                f" weights; drop it with ~constraints.{name}"
            )
        if norms.has(norm, "couples_samples") and family("lipschitz").has(constraint.name, "per_sample"):
            warnings.warn(
                f"constraints.{name}: {constraint.name} is per point, but with critic.norm={norm} a point's score"
                " depends on the other points in the batch",
                stacklevel=3,
            )
        bounded = norms.has(norm, "constrains") or family("lipschitz").has(constraint.name, "constrains")
        if family("adversarial").has(config.adversarial.name, "needs_lipschitz") and not bounded:
            warnings.warn(
                f"constraints.{name}: the critic is not Lipschitz-bounded, so adversarial={config.adversarial.name} has"
                " no minimum",
                stacklevel=3,
            )
