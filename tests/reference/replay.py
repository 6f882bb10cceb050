"""Replay a golden kit of the reference through this project's networks, objective and training step.

    python tests/reference/replay.py KIT_PREFIX --run single|multi --dtype float64|float32 --out FILE.npz

KIT_PREFIX.json describes the run; KIT_PREFIX.npz holds its initial weights, batches and random numbers. Results are
written under the kit's key names. Running statistics are not replayed: this project does not use them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.losses.lipschitz import GradientPenalty
from stargan_lab.losses.objective import Objective
from stargan_lab.models.twice import differentiated_once
from stargan_lab.registry import family
from stargan_lab.training.ema import Ema
from stargan_lab.training.updates import Execution, StepRandomness, TrainState, train_step

LOSSES = {"D": ["d_real", "d_fake", "d_cls", "d_gp"], "G": ["g_fake", "g_rec", "g_cls"]}


class Kit:
    """One run of a kit: its description, arrays and data."""

    def __init__(self, prefix: str, run: str) -> None:
        self.run = run
        self.description = json.loads(Path(f"{prefix}.json").read_text())["runs"][run]
        self.arrays = np.load(f"{prefix}.npz")
        self.config = self.description["config"]
        self.datasets = list(dict.fromkeys(step["dataset"] for step in self.description["steps"]))

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[f"{self.run}/{key}"])

    def layout(self) -> LabelLayout:
        config = self.config
        specs = {
            "celeba": LabelSpec("celeba", tuple(f"attribute {i}" for i in range(config["c_dim"]))),
            "rafd": LabelSpec("rafd", tuple(f"class {i}" for i in range(config["c2_dim"])), "categorical"),
        }
        return LabelLayout(tuple(specs[name] for name in self.datasets))

    def batch(self, step: dict[str, Any], layout: LabelLayout) -> Batch:
        source = self.datasets.index(step["dataset"])
        images = self.tensor(f"x/{step['dataset']}")[step["batch"]]
        labels = self.tensor(f"y/{step['dataset']}")[step["batch"]]
        if layout.specs[source].kind == "categorical":
            labels = nn.functional.one_hot(labels, len(layout.specs[source].names))
        return Batch(images, labels, source)

    def randomness(self, index: int) -> StepRandomness:
        permutation = self.tensor("perm")[index]
        return StepRandomness(permutation, self.tensor("alpha")[index][None], torch.zeros(len(permutation)))

    def load(self, name: str, network: nn.Module, dtype: torch.dtype) -> nn.Module:
        prefix = f"{self.run}/init/{name}/"
        state = {k[len(prefix) :]: torch.from_numpy(self.arrays[k]) for k in self.arrays.files if k.startswith(prefix)}
        network.load_state_dict(state, strict=True)
        return network.to(dtype)


def build(kit: Kit, layout: LabelLayout, dtype: torch.dtype, **execution: Any) -> tuple[TrainState, Objective]:
    config = kit.config
    generator = family("generator").build(
        "resnet", layout.generator_width, width=config["g_conv_dim"], blocks=config["g_repeat_num"]
    )
    critic = family("discriminator").build(
        "patchgan",
        layout.critic_width,
        config["image_size"],
        width=config["d_conv_dim"],
        depth=config["d_repeat_num"],
    )
    rates = {"g_lr": config["g_lr"], "d_lr": config["d_lr"], "beta1": config["beta1"], "beta2": config["beta2"]}
    memory = torch.channels_last if execution.get("channels_last") else torch.contiguous_format
    kit.load("G", generator, dtype).to(memory_format=memory)
    kit.load("D", critic, dtype).to(memory_format=memory)
    train_state = TrainState(
        generator,
        critic,
        family("optimizer").build("adam", generator.parameters(), "generator", **rates),
        family("optimizer").build("adam", critic.parameters(), "discriminator", **rates),
        Ema(generator, 0.0),
        execution=Execution({torch.float64: "float64", torch.float32: "float32"}[dtype], **execution),
        plain_context=differentiated_once,
    )
    objective = Objective(
        layout,
        family("adversarial").build("wgan"),
        GradientPenalty(weight=config["lambda_gp"]),
        cls=config["lambda_cls"],
        rec=config["lambda_rec"],
    )
    return train_state, objective


def outputs(
    train_state: TrainState, layout: LabelLayout, batch: Batch, randomness: StepRandomness
) -> dict[str, Tensor]:
    """Outputs of the initial weights for the first batch."""
    batch = batch.to(train_state.device, train_state.dtype)
    target = layout.generator_label(batch.labels[randomness.permutation], batch.source)
    source = layout.generator_label(batch.labels, batch.source)
    with torch.no_grad():
        fake = train_state.generator(batch.images, target)
        results = {"G_fake": fake, "G_rec": train_state.generator(fake, source)}
        for name, images in (("real", batch.images), ("fake", fake)):
            results[f"D_{name}_src"], results[f"D_{name}_cls"] = train_state.critic(images)
    return results


def gradient_norms(network: nn.Module) -> list[float]:
    return [p.grad.norm().item() for p in network.parameters() if p.grad is not None]


def penalty_norms(
    train_state: TrainState, objective: Objective, batch: Batch, randomness: StepRandomness
) -> np.ndarray:
    batch = batch.to(train_state.device, train_state.dtype)
    target = objective.layout.generator_label(batch.labels[randomness.permutation], batch.source)
    assert isinstance(objective.lipschitz, GradientPenalty)
    fake = train_state.generator(batch.images, target).detach()
    alpha = randomness.alpha.to(train_state.dtype)
    return objective.lipschitz.norms(lambda x: train_state.critic(x)[0], batch.images, fake, alpha).detach().numpy()


def replay(prefix: str, run: str, dtype: torch.dtype, **execution: Any) -> dict[str, np.ndarray]:
    """Every array of the kit's run, under the kit's key names; ``execution`` as in ``Execution``."""
    kit = Kit(prefix, run)
    layout = kit.layout()
    train_state, objective = build(kit, layout, dtype, **execution)
    digits = {torch.float64: "f64", torch.float32: "f32"}[dtype]
    steps = kit.description["steps"]
    first = kit.batch(steps[0], layout)
    results = {
        f"{run}/out/{digits}/{k}": v.numpy() for k, v in outputs(train_state, layout, first, kit.randomness(0)).items()
    }
    losses: dict[str, list[list[float]]] = {"D": [], "G": []}
    norms: dict[str, list[list[float]]] = {"D": [], "G": []}
    penalties = []
    for index, step in enumerate(steps):
        batch, randomness = kit.batch(step, layout), kit.randomness(index)
        penalties.append(penalty_norms(train_state, objective, batch, randomness))
        values = train_step(train_state, objective, batch, randomness, step["g_update"])
        for name, network in (("D", train_state.critic), ("G", train_state.generator))[: 1 + step["g_update"]]:
            losses[name].append([values[term].item() for term in LOSSES[name]])
            norms[name].append(gradient_norms(network))
    results[f"{run}/gp_norm/{digits}"] = np.stack(penalties)
    for name, network in (("D", train_state.critic), ("G", train_state.generator)):
        results[f"{run}/loss/{digits}/{name}"] = np.array(losses[name])
        results[f"{run}/gradnorm/{digits}/{name}"] = np.array(norms[name])
        for key, value in network.state_dict().items():
            results[f"{run}/final/{digits}/{name}/{key}"] = value.numpy()
    image = first.to(train_state.device, train_state.dtype).images[:1]
    label = layout.generator_label(first.labels[kit.randomness(0).permutation][:1].to(train_state.dtype), first.source)
    with torch.no_grad():
        results[f"{run}/end/{digits}/G_fake_train"] = train_state.generator(image, label).numpy()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", metavar="KIT_PREFIX")
    parser.add_argument("--run", choices=["single", "multi"], required=True)
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = replay(arguments.kit, arguments.run, getattr(torch, arguments.dtype))
    np.savez(arguments.out, **results)
    print(f"{arguments.out}: {len(results)} arrays")


if __name__ == "__main__":
    main()
