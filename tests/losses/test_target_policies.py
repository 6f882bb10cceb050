"""Target policies: what a batch is translated to."""

import pytest
import torch
from tiny import FACES, MOODS, ONE, make_batch, make_objective, make_train_state

from stargan_lab.labels import LabelSpec, target_labels
from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step


def own(spec: LabelSpec, n: int = 400) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    if spec.kind == "categorical":
        return torch.eye(len(spec.names))[torch.randint(len(spec.names), (n,), generator=random)]
    labels = torch.randint(2, (n, len(spec.names)), generator=random).float()
    labels[:, 1] *= 1 - labels[:, 0]  # one hair colour at most
    return labels


@pytest.mark.parametrize("name", family("targets").names())
@pytest.mark.parametrize("spec", [FACES, MOODS], ids=["binary", "categorical"])
def test_targets_are_labels_and_a_pure_function(name: str, spec: LabelSpec) -> None:
    labels, randomness = own(spec), step_randomness(0, 1, 400, 1)
    before = labels.clone()
    policy = family("targets").get(name)
    targets = policy(labels, spec, randomness.permutation, randomness.choice)
    assert targets.shape == labels.shape and set(targets.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(labels, before)
    assert torch.equal(targets, policy(labels, spec, randomness.permutation, randomness.choice))


def test_the_constraint_does_not_move_the_targets() -> None:
    """Variants that differ in how much the penalty draws are asked for the same translations."""
    one, none = step_randomness(0, 7, 16, 3), step_randomness(0, 7, 16, 0)
    assert torch.equal(one.choice, none.choice) and torch.equal(one.permutation, none.permutation)
    assert not torch.equal(one.choice, step_randomness(0, 8, 16, 3).choice)


def test_permuted_is_the_batch_in_another_order() -> None:
    labels, randomness = own(FACES, 5), step_randomness(0, 3, 5, 1)
    targets = family("targets").get("permuted")(labels, FACES, randomness.permutation, randomness.choice)
    assert torch.equal(targets, labels[randomness.permutation])


@pytest.mark.parametrize("spec", [FACES, MOODS], ids=["binary", "categorical"])
def test_different_always_differs_and_takes_every_target_alike(spec: LabelSpec) -> None:
    labels, randomness = own(spec), step_randomness(0, 1, 400, 1)
    targets = family("targets").get("different")(labels, spec, randomness.permutation, randomness.choice)
    assert (targets != labels).any(1).all()
    possible = torch.stack([target_labels(labels, spec, index) for index in range(len(spec.names))], dim=1)
    assert (possible == targets[:, None]).all(2).any(1).all()
    black = (labels[:, 0] == 1) & (labels[:, 1] == 0) if spec is FACES else labels[:, 0] == 1
    asked, count = targets[black].unique(dim=0, return_counts=True)
    # black hair: blond hair, or Young thrown; happy: sad alone
    assert len(asked) == (4 if spec is FACES else 1)
    if spec is FACES:
        blond = (targets[black, 1] == 1).float().mean().item()
        assert 0.35 < blond < 0.65
    assert count.sum() == black.sum()


def test_a_step_asks_for_what_the_policy_says() -> None:
    """Both policies train; the numbers differ, since the targets do."""
    losses = []
    for name in ("permuted", "different"):
        objective = make_objective(ONE, targets=family("targets").get(name))
        parts = train_step(
            make_train_state(ONE), objective, make_batch(ONE), step_randomness(0, 1, 4, 1), update_generator=True
        )
        losses.append(parts["g_cls"].item())
    assert losses[0] != losses[1]
