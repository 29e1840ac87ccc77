"""Checkpoints: written whole, read strictly, named when they do not fit."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from iqaloss import create_scorer, list_scorers, load_official
from iqaloss.scorers import checkpoints, state_dicts
from iqaloss.scorers.mdiqa.config import MDIQAConfig
from iqaloss.scorers.registry import entry, register_scorer
from testing.cases import tiny


@pytest.fixture
def tiny_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the small configuration of mdiqa-mobile the registered one."""
    item = entry("mdiqa-mobile")
    from iqaloss.scorers import registry

    monkeypatch.setitem(registry._ENTRIES, "mdiqa-mobile", dataclasses.replace(item, config=item.tiny))


@pytest.mark.parametrize("name", list_scorers())
def test_a_saved_scorer_comes_back_with_its_config(name: str, tmp_path: Path) -> None:
    scorer = tiny(name)
    path = checkpoints.save(scorer, tmp_path / "mine.safetensors", note="hello")
    want = scorer.state_dict()
    for source in (path, tmp_path):
        again = create_scorer(name, weights=source)
        assert again.config == scorer.config
        assert again.frozen
        for key, value in again.state_dict().items():
            assert torch.equal(value, want[key]), key
    assert checkpoints.read_metadata(path)["note"] == "hello"


def test_saving_leaves_no_temporary_file_and_keeps_the_old_one_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoints.save(tiny("mdiqa-mobile"), tmp_path / "mine.safetensors")
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(tiny("mdiqa-mobile"), path)
    assert os.listdir(tmp_path) == ["mine.safetensors"]
    assert path.read_bytes() == before


def test_the_same_weights_and_notes_give_the_same_bytes(tmp_path: Path) -> None:
    scorer = tiny("mdiqa-mobile")
    notes = {f"note {number}": "größer <\n" * number for number in range(8)}
    files = [checkpoints.save(scorer, tmp_path / f"{number}.safetensors", **notes) for number in range(4)]
    assert len({file.read_bytes() for file in files}) == 1
    assert notes.items() <= checkpoints.read_metadata(files[0]).items()
    assert create_scorer("mdiqa-mobile", files[0]).config == scorer.config


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = checkpoints.save(tiny("mdiqa-mobile"), tmp_path / "mine.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cannot read the checkpoint .*mine\.safetensors"):
        create_scorer("mdiqa-mobile", weights=path)
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"cannot read the checkpoint .*bad\.pth \(16 bytes\)"):
        state_dicts.read_state_dict(tmp_path / "bad.pth")


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"params": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth"):
        state_dicts.read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_a_changed_embedded_file_is_refused(tmp_path: Path) -> None:
    path = checkpoints.save(tiny("mdiqa-mobile"), tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match="is corrupt: its sha256 is"):
        checkpoints.read_own(path, "mdiqa-mobile", MDIQAConfig, sha256="0" * 64)


def test_another_scorers_checkpoint_is_refused(tmp_path: Path) -> None:
    path = checkpoints.save(tiny("mdiqa"), tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match="holds a 'mdiqa', not a 'mdiqa-mobile'"):
        create_scorer("mdiqa-mobile", weights=path)


def test_wrappers_and_data_parallel_prefixes_are_opened(tmp_path: Path) -> None:
    state = {"module.a": torch.ones(1)}
    for index, wrapped in enumerate((state, {"params": state}, {"state_dict": state}, {"params_ema": state, "x": 1})):
        torch.save(wrapped, tmp_path / f"{index}.pth")
        assert list(state_dicts.read_state_dict(tmp_path / f"{index}.pth")) == ["a"]
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        state_dicts.read_state_dict(tmp_path / "list.pth")


@pytest.mark.usefixtures("tiny_entry")
def test_a_state_dict_is_loaded_strictly() -> None:
    state = tiny("mdiqa-mobile").state_dict()
    assert create_scorer("mdiqa-mobile", weights=state).frozen
    state.pop("fuse.0.weight")
    with pytest.raises(ValueError, match=r"missing: fuse\.0\.weight"):
        create_scorer("mdiqa-mobile", weights=state)


def test_a_scorer_without_weights_explains_where_they_are() -> None:
    with pytest.raises(ValueError, match="needs weights") as caught:
        create_scorer("mdiqa")
    message = str(caught.value)
    for part in ("net_freeze_backbone.pth", "github.com/YaoShunyu19/MDIQA", "CC BY-NC-SA", "weights=", "load_official"):
        assert part in message


def test_a_missing_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        create_scorer("mdiqa", weights=tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"has no file 'net_freeze_backbone\.pth'"):
        create_scorer("mdiqa", weights=tmp_path)


def test_roles_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown role 'technica'; did you mean 'technical'"):
        load_official("mdiqa", {"technica": {}})
    with pytest.raises(ValueError, match="no weights for role aesthetic, fusion"):
        load_official("mdiqa", {"technical": {}})


def test_unknown_scorers_and_options_get_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown scorer 'mdica'; did you mean 'mdiqa'"):
        create_scorer("mdica")
    with pytest.raises(ValueError, match="unknown option 'fusio'; did you mean 'fusion'"):
        create_scorer("mdiqa", weights=None, fusio=None)


def test_official_files_of_a_scorer_without_a_converter_are_refused() -> None:
    with pytest.raises(ValueError, match="mdiqa-mobile has no official files; pass weights="):
        load_official("mdiqa-mobile", {})


def test_a_name_is_registered_once() -> None:
    item = entry("mdiqa")

    class Other(item.scorer_class):  # type: ignore[misc, name-defined]
        pass

    with pytest.raises(ValueError, match="'mdiqa' is taken by MDIQA"):
        register_scorer(item.card, Other, config=item.config, tiny=item.tiny)
