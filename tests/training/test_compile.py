"""torch.compile changes the speed of a step, not its numbers."""

import pytest
import torch
from tools import require_tool

from stargan_lab import compose
from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.runs.build import build_objective, build_train_state
from stargan_lab.training.updates import step_randomness, train_step


@pytest.mark.slow
def test_compiled_steps_equal_eager_ones() -> None:
    require_tool("g++")
    layout = LabelLayout((LabelSpec("faces", ("a", "b")),))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    batch = Batch(images, torch.tensor([[0.0, 1], [1, 0], [1, 1], [0, 0]]), 0)
    terms, states = [], []
    for compiled in ("false", "true"):
        config = compose(["preset=tiny", f"trainer.compile={compiled}", "trainer.device=cpu"])
        train_state, objective = build_train_state(config, layout), build_objective(config, layout)
        for step in range(4):
            parts = train_step(train_state, objective, batch, step_randomness(0, step, 4, 1), step % 2 == 1)
        terms.append(parts)
        states.append(train_state.generator.state_dict())
    assert list(terms[0]) == list(terms[1])
    for name, eager in terms[0].items():
        torch.testing.assert_close(terms[1][name], eager, rtol=1e-4, atol=1e-6)
    assert list(states[0]) == list(states[1])  # no name gains a prefix
