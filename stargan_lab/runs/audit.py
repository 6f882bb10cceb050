"""Size, compute, receptive field and training exposure of a run, measured on the built objects.

These are possible confounders of an ablation: two variants may differ in more than the swapped component. For example,
a deeper discriminator also has more parameters, fewer scores per image and a weaker penalty. Nothing here depends on
the names of components.
"""

from collections.abc import Callable

import torch
from torch import nn

from stargan_lab.config import RunConfig
from stargan_lab.console import say
from stargan_lab.errors import one_line
from stargan_lab.labels import Batch
from stargan_lab.losses.objective import Objective
from stargan_lab.runs.build import build_execution
from stargan_lab.runs.network_measures import (
    FlopCounter,
    graph_of,
    leaves,
    measured_field,
    receptive_field,
    shapes_only,
    size_of,
    trainable,
)
from stargan_lab.training.ema import Ema
from stargan_lab.training.loop import LoopPlan
from stargan_lab.training.updates import Execution, TrainState, parameter_dtype, step_randomness, train_step

Audit = dict[str, int | float]


def audit(config: RunConfig, generator: nn.Module, critic: nn.Module, objective: Objective, plan: LoopPlan) -> Audit:
    """Sizes, compute and exposure of a run. Networks and random states are left unchanged.

    Keys; ``{}`` is the name of a dataset or a loss term, FLOPs are those of ``network_measures.FlopCounter``:

    - parameters.generator, parameters.discriminator: trainable; parameters.score_head, parameters.label_head: those
      that only the real/fake scores or only the label logits depend on
    - flops.generator, flops.discriminator: of a forward pass, per image
    - flops.discriminator_update: for one batch, with its translation, the penalty and the penalty's double backward;
      flops.generator_update: the additional FLOPs when the generator is updated
    - flops.iteration: n_critic discriminator updates and one generator update, on one dataset; flops.run: all steps
    - scores_per_image: real/fake scores of one image
    - receptive_field.convolutions: side in px of the region that one score sees through convolutions and pooling; may
      exceed the image. receptive_field.in_image: side in px of the region of a training image that one score depends
      on; at most the image, and all of it if norms or other layers over the whole map are in between
    - penalty.samples: interpolates per image, 0 without a penalty; penalty.sums_scores: 1 if it differentiates the
      sum of an image's scores, 0 if their mean; penalty.slope: the gradient norm at which the penalty is zero, for the
      mean of an image's scores, which is what the adversarial loss averages
    - updates.discriminator, updates.generator: in the whole run; updates.n_critic: discriminator updates per
      generator update
    - images.batch_size: per step; images.total, images.of.{}: real images in the whole run, and per dataset if several
    - weights.{}: of each loss term; that of the penalty is weights.d_gp

    A quantity that cannot be measured, e.g. the FLOPs of a component whose shapes depend on values, is missing, and a
    note says why.
    """
    record: Audit = {"parameters.generator": trainable(generator), "parameters.discriminator": trainable(critic)}
    cuda = {parameter.device for parameter in critic.parameters() if parameter.is_cuda}
    with torch.random.fork_rng(list(cuda)):
        shapes = shapes_only(generator), shapes_only(critic)
        record |= _attempt("networks", lambda: _networks(config, *shapes, objective))
        record |= _attempt("FLOPs of a step", lambda: _step_flops(config, *shapes, objective, plan))
        seen = record.get("receptive_field.convolutions", 0)
        record |= _attempt("receptive field", lambda: _field(critic, config.data.image_size, seen))
    return record | _penalty(config, objective, record) | _exposure(config, objective, plan)


def _attempt(title: str, measure: Callable[[], Audit]) -> Audit:
    """A user's component can raise anything when only shapes are known; that must not stop the run."""
    try:
        return measure()
    except Exception as error:
        say(f"note: audit: {title}: not measured ({type(error).__name__}: {one_line(error)})")
        return {}


def _networks(config: RunConfig, generator: nn.Module, critic: nn.Module, objective: Objective) -> Audit:
    """Forward FLOPs, scores, heads and receptive field, of networks without values."""
    size, count = config.data.image_size, config.batch_size
    images = torch.empty(count, 3, size, size, dtype=_dtype(config), device="meta", requires_grad=True)
    with torch.no_grad(), FlopCounter() as of_generator:
        generator(images.detach(), images.new_empty(count, objective.layout.generator_width))
    with FlopCounter() as of_critic:
        scores, logits = critic(images)
    graph = graph_of(scores)
    of_scores, of_logits = leaves(graph), leaves(graph_of(logits))
    field = receptive_field(graph, images)
    return {
        "parameters.score_head": size_of(of_scores - of_logits),
        "parameters.label_head": size_of(of_logits - of_scores),
        "flops.generator": of_generator.total // count,
        "flops.discriminator": of_critic.total // count,
        "scores_per_image": scores[0].numel(),
    } | ({} if field is None else {"receptive_field.convolutions": field})


def _step_flops(
    config: RunConfig, generator: nn.Module, critic: nn.Module, objective: Objective, plan: LoopPlan
) -> Audit:
    """FLOPs of a real training step, executed on networks without values."""
    g_optimizer, d_optimizer = (torch.optim.SGD(network.parameters()) for network in (generator, critic))
    precision = "float64" if config.trainer.precision == "float64" else "float32"  # the meta device has no autocast
    execution = Execution(precision, joint_pass=build_execution(config).joint_pass)
    device = torch.device("meta")
    state = TrainState(generator, critic, g_optimizer, d_optimizer, Ema(generator, 0), device, execution)
    size, labels = config.data.image_size, len(objective.layout.specs[0].names)
    images = torch.empty(config.batch_size, 3, size, size, device="meta")
    batch = Batch(images, images.new_empty(config.batch_size, labels), 0)
    randomness = step_randomness(config.seed, 1, config.batch_size, objective.lipschitz.samples)
    of_critic: list[int] = []
    with FlopCounter() as flops:
        d_optimizer.register_step_post_hook(lambda *_: of_critic.append(flops.total))
        train_step(state, objective, batch, randomness, update_generator=True)
    of_generator = flops.total - of_critic[0]
    return {
        "flops.discriminator_update": of_critic[0],
        "flops.generator_update": of_generator,
        "flops.iteration": plan.n_critic * of_critic[0] + of_generator,
        "flops.run": plan.total_steps * of_critic[0] + plan.generator_updates * of_generator,
    }


def _field(critic: nn.Module, size: int, seen: int | float) -> Audit:
    """Measured only if the convolutions see less than the image; such a network is shallow, so measuring is cheap."""
    return {"receptive_field.in_image": size if seen >= size else max(seen, measured_field(critic, size))}


def _penalty(config: RunConfig, objective: Objective, record: Audit) -> Audit:
    """Under ``sum``, a slope of 1 of the sum of P scores is a slope of 1 / P of their mean."""
    penalty: Audit = {"penalty.samples": objective.lipschitz.samples}
    reduction, scores = config.lipschitz.options.get("reduction"), record.get("scores_per_image")
    if reduction in ("sum", "mean"):
        penalty["penalty.sums_scores"] = int(reduction == "sum")
        if scores:
            penalty["penalty.slope"] = 1 / scores if reduction == "sum" else 1.0
    return penalty


def _exposure(config: RunConfig, objective: Objective, plan: LoopPlan) -> Audit:
    """Updates, images and loss weights."""
    names = [spec.dataset for spec in objective.layout.specs]
    per_dataset: Audit = {f"images.of.{name}": plan.steps_on(i) * config.batch_size for i, name in enumerate(names)}
    return {
        "updates.discriminator": plan.total_steps,
        "updates.generator": plan.generator_updates,
        "updates.n_critic": plan.n_critic,
        "images.batch_size": config.batch_size,
        "images.total": plan.total_steps * config.batch_size,
        **(per_dataset if len(names) > 1 else {}),
        **{f"weights.{name}": weight for name, (weight, _) in objective.terms.items()},
    }


def _dtype(config: RunConfig) -> torch.dtype:
    return parameter_dtype(config.trainer.precision)
