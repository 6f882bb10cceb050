"""Diagnostics of a discriminator and its generator: gradient norms, share of weights at the clip bound, saturation.

They read the networks and change nothing: no gradient is accumulated, and no global random number is drawn.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from stargan_lab.labels import Batch
from stargan_lab.losses.lipschitz import GradientPenalty
from stargan_lab.losses.objective import Objective
from stargan_lab.losses.step import Step
from stargan_lab.seeding import generator_for
from stargan_lab.training.updates import StepRandomness, TrainState, translated

NEAR_BOUND = 0.99
"""Weights of at least this share of the bound count as at the bound."""
NEAR_ONE = 0.1
SATURATED = 4.6
"""A logit beyond ±4.6 is a probability below 0.01 or above 0.99."""
QUANTILES = (0.1, 0.5, 0.9)


@torch.no_grad()
def share_at_bound(network: nn.Module, bound: float | None) -> float:
    """Share of weights, in [0, 1], whose absolute value is at least 99 % of ``bound``.

    Args:
        bound: of weight clipping; None: the network's own largest absolute weight, for comparison.
    """
    weights = torch.cat([parameter.detach().abs().flatten() for parameter in network.parameters()])
    limit = weights.max() if bound is None else bound
    return float((weights >= NEAR_BOUND * limit).double().mean())


def gradient_norm_summary(norms: Tensor) -> dict[str, Tensor]:
    """Mean, quantiles and share within 10 % of 1 of (N,) gradient norms, as scalars."""
    norms = norms.detach().double()
    quantiles = torch.quantile(norms, torch.tensor(QUANTILES, dtype=norms.dtype, device=norms.device))
    named = {f"gradient_norm_q{round(100 * q)}": value for q, value in zip(QUANTILES, quantiles, strict=True)}
    return {
        "gradient_norm": norms.mean(),
        **named,
        "gradient_norm_near_1": ((norms - 1).abs() <= NEAR_ONE).double().mean(),
    }


def layer_gradient_norms(network: nn.Module, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    """L2 norm of the loss's gradient with respect to the output of each convolution and linear layer.

    Outputs of several passes count together. Layers that the loss does not depend on are left out.

    Args:
        loss: computes a scalar with passes through ``network``, whose parameters require gradients.
    """
    outputs: dict[str, list[Tensor]] = defaultdict(list)

    def record(name: str, output: Tensor) -> Tensor:
        outputs[name].append(output)
        return output.clone()  # a following layer may work in place

    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    handles = [
        layer.register_forward_hook(lambda _module, _inputs, output, name=name: record(name, output))
        for name, layer in layers.items()
    ]
    try:
        value = loss()
    finally:
        for handle in handles:
            handle.remove()
    flat = [output for name in outputs for output in outputs[name]]
    gradients = iter(torch.autograd.grad(value, flat, allow_unused=True))
    grouped = {name: [next(gradients) for _ in outputs[name]] for name in outputs}
    return {name: total_norm(parts) for name, parts in grouped.items() if any(part is not None for part in parts)}


def total_norm(gradients: Iterable[Tensor | None]) -> Tensor:
    """L2 norm over several tensors, in float64, so that tiny gradients do not underflow; None counts as zero."""
    norms = [torch.linalg.vector_norm(gradient.double()) for gradient in gradients if gradient is not None]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.tensor(0.0, dtype=torch.float64)


def diagnose_all(
    train_state: TrainState, objective: Objective, batches: Sequence[Batch], seed: int
) -> dict[str, float]:
    """``diagnose`` of each dataset's batch; with several, ``/DATASET`` follows each name, as in names of losses."""
    specs = objective.layout.specs
    return {
        f"{name}/{specs[batch.source].dataset}" if len(batches) > 1 else name: value
        for batch in batches
        for name, value in diagnose(train_state, objective, batch, seed).items()
    }


def diagnose(train_state: TrainState, objective: Objective, batch: Batch, seed: int) -> dict[str, float]:
    """Diagnostics of a training step on held-out images, by metric name without ``diagnostics/``.

    Keys:

    - gradient_norm, gradient_norm_q10, _q50, _q90, gradient_norm_near_1: norms at interpolates of what the penalty
      differentiates; without a penalty, of the mean of an image's scores, as in the adversarial loss
    - share_at_bound: only for a constraint with a bound
    - critic_gap: mean patch score of real minus that of generated images, whatever the penalty differentiates
    - wasserstein_estimate: the gap of the function whose gradient norms are above, divided by the largest of them. Gap
      by Lipschitz constant is a lower bound of the Wasserstein distance between the two sets of images (Euclidean, in
      units of [-1, 1]); the largest slope measured stands in for the constant, which may be larger, so that this is an
      estimate and no bound. Independent of the score's scale and of ``reduction``; left out if all slopes are 0
    - score_saturation, logit_saturation: share of scores and label logits beyond ±4.6
    - layer_gradient/LAYER: of the adversarial loss with respect to a layer's output
    - generator_gradient/TERM: norm over all generator parameters of a weighted loss term's gradient

    Args:
        batch: held-out images of one dataset.
        seed: of targets and interpolates.
    """
    count = len(batch.images)
    random = generator_for(seed, "diagnostics")
    randomness = StepRandomness(
        torch.randperm(count, generator=random),
        torch.rand(1, count, 1, 1, 1, generator=random),
        torch.rand(count, generator=random),
    )
    cuda = [train_state.device] if train_state.device.type == "cuda" else []
    with torch.random.fork_rng(cuda), torch.enable_grad(), train_state.mixed():  # a user's network may draw numbers
        step = translated(train_state, objective, batch, randomness, eager=True)  # hooks need modules
        values = _generator_gradients(objective, step)
        step = replace(step, fake=step.fake.detach().to(train_state.dtype))
        values |= _of_discriminator(objective, step)
    if (bound := getattr(objective.lipschitz, "bound", None)) is not None:
        values["share_at_bound"] = torch.tensor(share_at_bound(train_state.critic, bound))
    numbers = torch.stack([value.detach().double().to(train_state.device) for value in values.values()]).tolist()
    named = dict(zip(values, numbers, strict=True))
    if not math.isfinite(named["wasserstein_estimate"]):  # all slopes are 0
        del named["wasserstein_estimate"]
    return named


def _generator_gradients(objective: Objective, step: Step) -> dict[str, Tensor]:
    parameters = [parameter for parameter in step.generator.parameters() if parameter.requires_grad]
    norms = {}
    for name, (weight, term) in objective.terms.items():
        value = term(step) if term.network == "generator" and weight else None
        if value is not None:
            gradients = torch.autograd.grad(weight * value, parameters, retain_graph=True, allow_unused=True)
            norms[f"generator_gradient/{name}"] = total_norm(gradients)
    return norms


def _of_discriminator(objective: Objective, step: Step) -> dict[str, Tensor]:
    layers = layer_gradient_norms(step.discriminator, lambda: torch.stack(step.discriminator_terms).sum())
    constraint = objective.lipschitz
    penalty = constraint if isinstance(constraint, GradientPenalty) else GradientPenalty(reduction="mean")
    scores = torch.cat([step.real_scores.flatten(), step.fake_scores.flatten()])
    slopes = penalty.norms(step.scores, step.real, step.fake, step.alpha)
    gap = penalty.per_image(step.real_scores).mean() - penalty.per_image(step.fake_scores).mean()
    return {
        **gradient_norm_summary(slopes),
        "critic_gap": step.real_scores.mean() - step.fake_scores.mean(),
        "wasserstein_estimate": gap / slopes.max(),
        "score_saturation": _saturated(scores),
        "logit_saturation": _saturated(step.real_logits),
        **{f"layer_gradient/{name}": norm for name, norm in layers.items()},
    }


def _saturated(logits: Tensor) -> Tensor:
    return (logits.abs() > SATURATED).double().mean()
