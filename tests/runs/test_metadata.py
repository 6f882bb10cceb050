"""Recorded tags of a run."""

from stargan_lab.runs.metadata import warning_tag
from stargan_lab.tracking.run_folder import RunFolder


def test_warning_tag_is_replaced(tmp_path) -> None:
    few = [{"code": "few-images", "metrics": [f"eval/{score}"], "text": "few"} for score in ("fid", "kid")]
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.update_tags(warning_tag([*few, {"code": "collapse", "metrics": [], "text": "alike"}]))
    assert folder.tags() == {"warnings": "few-images, collapse"}
    folder.update_tags(warning_tag([]))
    assert folder.tags() == {"warnings": ""}
