"""Target policies: which labels a batch is translated to."""

import pytest
import torch
from tiny import FACES, MOODS, ONE, make_batch, make_objective, make_train_state

from stargan_lab.labels import LabelSpec, target_labels
from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step


def source_labels(spec: LabelSpec, n: int = 400) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    if spec.kind == "categorical":
        return torch.eye(len(spec.names))[torch.randint(len(spec.names), (n,), generator=random)]
    labels = torch.randint(2, (n, len(spec.names)), generator=random).float()
    labels[:, 1] *= 1 - labels[:, 0]  # one hair color at most
    return labels


@pytest.mark.parametrize("name", family("targets").names())
@pytest.mark.parametrize("spec", [FACES, MOODS], ids=["binary", "categorical"])
def test_targets_are_valid_labels_and_leave_the_source_labels_unchanged(name: str, spec: LabelSpec) -> None:
    labels, randomness = source_labels(spec), step_randomness(0, 1, 400, 1)
    before = labels.clone()
    targets = family("targets").get(name)(labels, spec, randomness.permutation, randomness.choice)
    assert targets.shape == labels.shape and set(targets.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(labels, before)


def test_permuted_is_the_batch_in_another_order() -> None:
    labels, randomness = source_labels(FACES, 5), step_randomness(0, 3, 5, 1)
    targets = family("targets").get("permuted")(labels, FACES, randomness.permutation, randomness.choice)
    assert torch.equal(targets, labels[randomness.permutation])


@pytest.mark.parametrize("spec", [FACES, MOODS], ids=["binary", "categorical"])
def test_different_changes_a_label_chosen_uniformly(spec: LabelSpec) -> None:
    labels, randomness = source_labels(spec), step_randomness(0, 1, 400, 1)
    targets = family("targets").get("different")(labels, spec, randomness.permutation, randomness.choice)
    assert (targets != labels).any(1).all()
    possible = torch.stack([target_labels(labels, spec, index) for index in range(len(spec.names))], dim=1)
    assert (possible == targets[:, None]).all(2).any(1).all()
    black = (labels[:, 0] == 1) & (labels[:, 1] == 0) if spec is FACES else labels[:, 0] == 1
    # black hair can become blond or Young can flip; happy can only become sad
    assert len(targets[black].unique(dim=0)) == (4 if spec is FACES else 1)
    if spec is FACES:
        assert 0.35 < (targets[black, 1] == 1).float().mean().item() < 0.65


def test_the_training_step_uses_the_objectives_policy() -> None:
    losses = []
    for name in ("permuted", "different"):
        objective = make_objective(ONE, targets=family("targets").get(name))
        values = train_step(make_train_state(ONE), objective, make_batch(ONE), step_randomness(0, 1, 4, 1), True)
        losses.append(values["g_cls"].item())
    assert losses[0] != losses[1]
