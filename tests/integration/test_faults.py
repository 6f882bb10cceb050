"""What goes wrong outside a configuration: memory, folders, weight files, users' modules: one line, no traceback."""

from pathlib import Path

import pytest
from processes import NO_MLFLOW, Lab, Outcome

pytestmark = pytest.mark.integration


def error_of(outcome: Outcome, code: int) -> str:
    """The error, which must be the last line."""
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err and "weights_only" not in outcome.err
    assert outcome.lines()[-1].startswith("error: "), outcome.err
    return outcome.lines()[-1]


def test_out_of_memory_names_what_to_reduce(lab: Lab) -> None:
    error = error_of(lab("train", "preset=tiny", NO_MLFLOW, "batch_size=100000000"), 1)
    assert error.startswith("error: out of memory (") and "reduce batch_size=100000000, data.image_size=16" in error
    assert lab.result()["status"] == "failed" and f"error: {lab.result()['error']}" == error


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    """Root may write anywhere according to the permissions, but not in /proc."""
    error = error_of(Lab(tmp_path)("train", "preset=tiny", "paths.outputs=/proc/x"), 2)
    assert error == "error: paths.outputs: cannot write to /proc/x: /proc is not a writable directory"


def test_rule_warnings_are_shown_once(lab: Lab) -> None:
    for words in (
        "doctor",
        "train total_steps=2",
        "train -m total_steps=2 seed=1,2 hydra/launcher=joblib hydra.launcher.n_jobs=2",
    ):
        outcome = lab(*words.split(), "preset=tiny", NO_MLFLOW, "discriminator.norm=batch")
        assert outcome.code == 0, outcome.err
        assert outcome.err.count("the penalty is per image") == 1, outcome.err
        assert "warning: discriminator.norm=batch with lipschitz=gp" in outcome.err


def test_sync_of_a_misspelt_directory_creates_nothing(lab: Lab) -> None:
    (lab.outputs / "runs").mkdir()
    before = lab.files()
    error = error_of(lab("track", "sync", "--outputs", "outptus"), 2)
    assert error == "error: --outputs: outptus has no runs/; did you mean 'outputs'?"
    assert lab.files() == before


FAILING = """\
from stargan_lab.losses.adversarial import ADVERSARIALS, LeastSquares

@ADVERSARIALS.register("broken")
class Broken(LeastSquares):
    def generator(self, fake):
        return undefined_name
"""


def test_error_in_a_users_component_leaves_a_traceback(lab: Lab) -> None:
    lab.write("my_loss.py", FAILING)
    lab.write(
        "experiments/losses.yaml",
        "base: [preset=tiny, 'imports=[my_loss]']\nclaim: None.\nbaseline: wgan\nprimary: eval/edit\nseeds: [0]\n"
        "variants: {wgan: [adversarial=wgan], broken: [adversarial.name=broken]}\n",
    )
    outcome = lab("sweep", "losses", NO_MLFLOW)
    assert outcome.code == 1 and "Traceback" not in outcome.err
    (failed,) = [run_id for run_id in lab.run_ids() if lab.result(run_id)["status"] == "failed"]
    traceback = Path("outputs/runs") / failed / "traceback.txt"
    text = (
        f"NameError: name 'undefined_name' is not defined in adversarial 'broken', {lab.folder / 'my_loss.py'}, line 6;"
        f" traceback: {traceback}"
    )
    assert [line for line in outcome.lines() if line.startswith(f"failed: broken · seed 0 (run {failed})")] == [
        f"failed: broken · seed 0 (run {failed}) {text}"
    ]
    written = (lab.folder / traceback).read_text()
    assert written.startswith("Traceback") and "my_loss.py" in written and written.endswith("is not defined\n")

    lab.write("my_loss.py", FAILING.replace("undefined_name", "(fake - 1).square().mean()"))
    again = lab("sweep", "losses", NO_MLFLOW, "--retry-failed", "--allow-mixed")  # the module is part of the code
    assert again.code == 0, again.err
    assert f"run {failed} failed earlier (NameError" in again.err
    assert not (lab.folder / traceback).exists()


def test_inception_without_weights_is_not_scored_already(first: tuple[Lab, Outcome]) -> None:
    lab, _ = first
    run_id = lab.run().name
    error = error_of(lab("evaluate", run_id, "evaluation.extractor=inception"), 2)
    assert "evaluation.weights: no Inception weights" in error and "evaluation.weights=download" in error
    assert lab("evaluate", run_id, "evaluation.extractor=null").code == 0
