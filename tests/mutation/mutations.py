"""Hand-picked bugs, each with the tests that should notice it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One bug: ``original`` occurs exactly once in ``file`` and becomes ``mutated``."""

    area: str
    name: str
    file: str
    original: str
    mutated: str
    tests: tuple[str, ...]


def mutation(area: str, name: str, module: str, original: str, mutated: str, *tests: str) -> Mutation:
    return Mutation(area, name, f"stargan_lab/{module}", original, mutated, tests)


LOSSES = [
    (
        "WGAN: sign of the real term",
        "losses/adversarial.py",
        "return -real.mean()",
        "return real.mean()",
        "tests/losses",
    ),
    ("hinge: margin on the wrong side", "losses/adversarial.py", "relu(1 - real)", "relu(1 + real)", "tests/losses"),
    ("LSGAN generator: target -1", "losses/adversarial.py", "return (fake - 1)", "return (fake + 1)", "tests/losses"),
    ("gradient penalty: target norm 0", "losses/lipschitz.py", "fake, alpha) - 1", "fake, alpha) - 0", "tests/losses"),
    (
        "gradient penalty: mean reduction sums",
        "losses/lipschitz.py",
        "scores.flatten(1).mean(1)",
        "scores.flatten(1).sum(1)",
        "tests/losses",
    ),
    (
        "gradient penalty: no second derivative",
        "losses/lipschitz.py",
        "create_graph=True",
        "create_graph=False",
        "tests/losses",
        "tests/training/test_updates.py",
    ),
    (
        "weight clipping ignores its bound",
        "losses/lipschitz.py",
        "clamp_(-self.bound, self.bound)",
        "clamp_(-1, 1)",
        "tests/losses",
    ),
    (
        "classification: mean over attributes",
        "losses/terms/stargan.py",
        'reduction="sum") / len(logits)',
        'reduction="mean")',
        "tests/losses",
    ),
    (
        "reconstruction conditioned on the targets",
        "losses/step.py",
        "generator_label(self.labels, self.source)",
        "generator_label(self.targets, self.source)",
        "tests/losses",
        "tests/reference",
    ),
    ("target labels are the source labels", "losses/target_labels.py", "labels[permutation]", "labels", "tests/losses"),
]
TRAINING = [
    (
        "gradients accumulate over steps",
        "training/updates.py",
        "    optimizer.zero_grad(set_to_none=True)\n",
        "",
        "tests/training/test_updates.py",
        "tests/reference",
    ),
    (
        "EMA is never updated",
        "training/updates.py",
        "        train_state.ema.update(train_state.generator)\n",
        "",
        "tests/training",
    ),
    ("EMA decay inverted", "training/ema.py", "1 - self.decay)", "self.decay)", "tests/training"),
    (
        "n_critic counts steps, not iterations",
        "training/loop.py",
        "iteration % plan.n_critic == 0",
        "step % plan.n_critic == 0",
        "tests/training",
        "tests/reference",
    ),
    (
        "linear schedule ends one iteration early",
        "training/schedules.py",
        "(total - iteration + 1)",
        "(total - iteration)",
        "tests/training/test_schedules.py",
    ),
    (
        "the penalty's alpha is equal in all steps",
        "training/updates.py",
        'generator_for(seed, "step", step)',
        'generator_for(seed, "step")',
        "tests/training",
    ),
    (
        "discriminator optimizer is not restored",
        "checkpoints/train_state.py",
        '    train_state.d_optimizer.load_state_dict(content["d_optimizer"])\n',
        "",
        "tests/checkpoints/test_train_state.py",
        "tests/training",
    ),
    (
        "averaged losses are not restored",
        "checkpoints/train_state.py",
        '    meter.load_state_dict(content["meter"])\n',
        "",
        "tests/checkpoints/test_train_state.py",
        "tests/training",
    ),
    (
        "no checkpoint after a stop request",
        "training/loop.py",
        "if stop or evaluate or plan",
        "if evaluate or plan",
        "tests/training",
    ),
    (
        "a NaN loss does not stop the run",
        "training/meter.py",
        "if not math.isfinite(value):",
        "if False:",
        "tests/training",
    ),
    (
        "sigma is never updated",
        "models/norms.py",
        "        self.u.copy_(functional.normalize(matrix @ right, dim=0))\n",
        "        pass\n",
        "tests/models/test_norms.py",
    ),
    (
        "diagnostics: gradient norms at real images",
        "training/diagnostics.py",
        "step.scores, step.real, step.fake, step.alpha",
        "step.scores, step.real, step.real, step.alpha",
        "tests/training/test_diagnostics.py",
    ),
    (
        "diagnostics: layer gradients of the real term alone",
        "training/diagnostics.py",
        "torch.stack(step.discriminator_terms).sum()",
        "step.discriminator_terms[0]",
        "tests/training/test_diagnostics.py",
    ),
    (
        "diagnostics: compiled networks are differentiated",
        "training/diagnostics.py",
        ", eager=True)",
        ")",
        "tests/training/test_diagnostics.py",
    ),
]
DATA = [
    (
        "every epoch in the same order",
        "data/sampling.py",
        '_bits("order", seed, source, epoch, n)',
        '_bits("order", seed, source, 0, n)',
        "tests/data/test_sampling.py",
    ),
    (
        "every image is flipped",
        "data/sampling.py",
        "flips(batch_size, seed, source, iteration)[rows])",
        "torch.ones(batch_size, dtype=torch.bool)[rows])",
        "tests/data",
    ),
    (
        "crop off by one on odd margins",
        "data/transforms.py",
        "round((length - crop) / 2)",
        "(length - crop + 1) // 2",
        "tests/data/test_transforms.py",
    ),
    (
        "attributes read with inverted sign",
        "data/celeba_annotations.py",
        'field == "1" for field',
        'field == "-1" for field',
        "tests/data/test_celeba.py",
    ),
    (
        "splits of SynthFaces share identities",
        "data/synthfaces/spec.py",
        "(which << 32) + file",
        "file",
        "tests/data",
    ),
    (
        "mask vector is empty",
        "labels.py",
        "        full[:, self.critic_width + source] = 1\n",
        "",
        "tests/test_labels.py",
        "tests/reference",
    ),
    (
        "a new hair color keeps the old one",
        "labels.py",
        "    target[:, [i for i, name in enumerate(spec.names) if name in group]] = 0\n",
        "",
        "tests/test_labels.py",
        "tests/evaluation",
    ),
]
EVALUATION = [
    (
        "FID: cross term halved",
        "evaluation/frechet_distance.py",
        "- 2 * overlap",
        "- overlap",
        "tests/evaluation/test_frechet_distance.py",
    ),
    (
        "covariance divided by n",
        "evaluation/frechet_distance.py",
        "self.scatter / (self.n - 1)",
        "self.scatter / self.n",
        "tests/evaluation/test_frechet_distance.py",
    ),
    (
        "KID is biased",
        "evaluation/metrics/kid.py",
        "within / (size * (size - 1))",
        "within / size**2",
        "tests/evaluation/test_feature_metrics.py",
    ),
    (
        "edit: remaining instead of completed share",
        "evaluation/metrics/ground_truth.py",
        "1 - remaining / requested",
        "remaining / requested",
        "tests/evaluation/test_ground_truth_metrics.py",
    ),
    (
        "leak measured inside the mask",
        "evaluation/metrics/ground_truth.py",
        "outside = ~change_mask(",
        "outside = change_mask(",
        "tests/evaluation/test_ground_truth_metrics.py",
    ),
    (
        "identity rank: a tie counts as farther",
        "evaluation/metrics/ground_truth.py",
        "tied / 2",
        "tied",
        "tests/evaluation/test_ground_truth_metrics.py",
    ),
    (
        "accuracy counts unchanged labels",
        "evaluation/metrics/accuracy.py",
        "correct.masked_fill(batch.source_labels[:, batch.domain] == target, torch.nan)",
        "correct",
        "tests/evaluation",
    ),
    (
        "reconstruction uses the target label",
        "evaluation/dataset_scores.py",
        "translate, y, labels, index, source.name)",
        "translate, y, target, index, source.name)",
        "tests/evaluation",
    ),
    (
        "any Inception weights count as official",
        "evaluation/inception.py",
        "self.verified = ",
        "self.verified = True or ",
        "tests/evaluation",
    ),
    (
        "real images come from the test split",
        "evaluation/real_images.py",
        'return "valid" if "valid" in filled else "train"',
        'return "test"',
        "tests/evaluation",
    ),
    (
        "protocols ignore the instruments",
        "evaluation/protocol.py",
        'common | {"instruments": used, ',
        'common | {"instruments": {}, ',
        "tests/evaluation/test_protocol.py",
        "tests/report",
    ),
]
CONFIG = [
    (
        "logging interval is part of the run id",
        "config/run_identity.py",
        '    "log_every",\n',
        "",
        "tests/config/test_run_identity.py",
    ),
    (
        "affine with adain is allowed",
        "config/rules.py",
        'options.get("affine") is True',
        'options.get("affine") is False',
        "tests/config",
    ),
    (
        "parameters start alike under every seed",
        "models/initialize.py",
        "seed_for(seed, prefix, role, key)",
        "seed_for(prefix, role, key)",
        "tests/models",
    ),
    (
        "thread count is not part of the run id",
        "config/run_identity.py",
        ', "threads": thread_count(config)}',
        "}",
        "tests/config/test_run_identity.py",
    ),
    (
        "weights.rec may be negative",
        "config/schema.py",
        "Weight = Annotated[float, Field(ge=0)]",
        "Weight = float",
        "tests/config",
    ),
]
RUNS = [
    (
        "command-line overrides are ignored",
        "ablation/plan.py",
        "merge(*ablation.base, *overrides, *extra, shown)",
        "merge(*ablation.base, *overrides, shown)",
        "tests/ablation",
    ),
    (
        "identical variants are accepted",
        "ablation/plan.py",
        "if first is not cell and (compared",
        "if False and (compared",
        "tests/ablation",
    ),
    (
        "failed cells are always retrained",
        "ablation/execute.py",
        "(retry_failed or now not in FAILED)",
        "True",
        "tests/ablation",
        "tests/integration/test_sweeps.py",
    ),
    (
        "paired difference has the wrong sign",
        "report/statistics.py",
        "result = pairs[:, 0] - pairs[:, 1]",
        "result = pairs[:, 1] - pairs[:, 0]",
        "tests/report",
    ),
    (
        "population standard deviation",
        "report/tables.py",
        "spread = values.std()",
        "spread = values.std(ddof=0)",
        "tests/report",
    ),
    (
        "verdicts are not corrected for the number of variants",
        "report/statistics.py",
        "self.looks.level(self.alpha / self.comparisons, pairs)",
        "self.looks.level(self.alpha, pairs)",
        "tests/report/test_statistics.py",
    ),
    (
        "a variant with failed runs may be better",
        "report/statistics.py",
        "elif failures:",
        "elif False:",
        "tests/report/test_statistics.py",
    ),
    (
        "a decided variant gets more seeds",
        "report/looks.py",
        'table[(table["verdict"] == "undecided") &',
        'table[(table["verdict"] != "failed") &',
        "tests/report/test_looks.py",
    ),
    (
        "the looks are not corrected for each other",
        "report/effects.py",
        "return Looks(*ablation.looks) if ablation.looks else ONE_LOOK",
        "return ONE_LOOK",
        "tests/report/test_looks.py",
    ),
    (
        "any re-evaluation counts as a repetition",
        "report/evaluations.py",
        "if protocol is shown or procedure(protocol) == procedure(shown):",
        "if True:",
        "tests/report/test_evaluations.py",
    ),
    (
        "a finished run waits for its lock",
        "runs/run.py",
        "if (result := folder.finished_result()) is None:  # a finished",
        "if (result := None) is None:  # a finished",
        "tests/runs",
        "tests/integration/test_one_run.py",
    ),
    (
        "MLflow gets rows after the checkpoint",
        "tracking/tracker.py",
        "self._pending[0].step <= step",
        "self._pending[0].step <= step + 10**9",
        "tests/tracking",
    ),
    (
        "files are written in place",
        "files/__init__.py",
        "            temporary.replace(final)\n",
        "            final.write_bytes(temporary.read_bytes())\n",
        "tests/test_files.py",
    ),
]
AREAS = {
    "losses": LOSSES,
    "training": TRAINING,
    "data": DATA,
    "evaluation": EVALUATION,
    "config": CONFIG,
    "sweep, runs": RUNS,
}
MUTATIONS = [mutation(area, *entry) for area, entries in AREAS.items() for entry in entries]
