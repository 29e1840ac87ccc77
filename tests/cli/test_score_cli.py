"""Scoring any number of images: sources, sharding, resuming; and the commands on top."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss._files import locked
from iqaloss._processes import Ranks
from iqaloss.cli import main
from iqaloss.data.folders import sorted_names
from iqaloss.data.open import open_images
from iqaloss.data.sources import Files, Item
from iqaloss.evaluation.evaluate import evaluate
from iqaloss.evaluation.scoring import runner
from iqaloss.evaluation.scoring.runner import RunOptions, describe_run, score_source
from iqaloss.evaluation.scoring.score_files import ScoreFiles
from iqaloss.scorers import checkpoints
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_tiny
from testing.cases import tiny

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("typer")

COUNT = 10
SIZES = ((32, 32), (40, 32), (32, 48))


def pixels(index: int) -> np.ndarray:
    width, height = SIZES[index % len(SIZES)]
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(index: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(index)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return tiny("mdiqa-mobile")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index in range(COUNT):
        path = folder / ("even" if index % 2 == 0 else "odd") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(index))
    (folder / "notes.md").write_text("not an image")
    return folder


def names() -> list[str]:
    return [f"even/{index}.png" for index in range(0, COUNT, 2)] + [f"odd/{index}.png" for index in range(1, COUNT, 2)]


def truth(index: int) -> float:
    return round((index * 7 % 10) / 10, 3)


@pytest.fixture
def table(photos: Path) -> Path:
    rows = "".join(f"{name},{truth(int(Path(name).stem))},{Path(name).parent}\n" for name in names())
    (photos / "scores.csv").write_text("image,mos,group\n" + rows)
    return photos / "scores.csv"


def shard(path: Path, indices: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as tar:
        for index in indices:
            label = json.dumps({"mos": truth(index), "group": "shard", "prompt": f"a {index}"}).encode()
            for name, content in ((f"x/{index:04d}.json", label), (f"x/{index:04d}.png", encoded(index))):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def rows_of(folder: Path, column: str = "score") -> dict[str, float]:
    found = {}
    for part in sorted(folder.glob("part-*.parquet")):
        read = parquet.read_table(part).to_pydict()
        found.update(zip(read["image"], read[column]))
    return found


def run(scorer: Scorer, source: object, folder: Path, ranks: Ranks | None = None, **options: int) -> runner.RunSummary:
    chosen = RunOptions(**{"rows": 4, "batch_size": 3, "workers": 2, **options})  # type: ignore[arg-type]
    files = ScoreFiles(folder, describe_run(scorer, chosen))
    return score_source(scorer, source, files, chosen, ranks=ranks or Ranks())  # type: ignore[arg-type]


# --- sources -------------------------------------------------------------------------------------


def test_every_source_gives_the_same_images(photos: Path, table: Path, tmp_path: Path, scorer: Scorer) -> None:
    (photos / "list.txt").write_text("\n".join(names()) + "\n\n")
    paths = arrow.table({"image": names(), "score": [0.5] * COUNT})
    parquet.write_table(paths, photos / "paths.parquet")
    held = {"image": [{"bytes": encoded(int(Path(name).stem)), "path": name} for name in names()]}
    parquet.write_table(arrow.table(held), tmp_path / "held.parquet")
    wanted: dict[str, float] | None = None
    for number, spec in enumerate(
        [photos, photos / "list.txt", table, photos / "paths.parquet", tmp_path / "held.parquet", f"{photos}/*/*.png"]
    ):
        run(scorer, open_images(spec), tmp_path / f"out{number}")
        found = {Path(name).stem: score for name, score in rows_of(tmp_path / f"out{number}").items()}
        assert len(found) == COUNT
        wanted = wanted or found
        assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_shards_give_images_and_labels(suffix: str, tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"s-{number:03d}.{suffix}", list(range(number * 5, number * 5 + 5)))
    items = list(open_images(f"{tmp_path}/s-{{000..001}}.{suffix}"))
    assert [item.key for item in items] == [f"s-{i // 5:03d}.{suffix}/x/{i:04d}.png" for i in range(COUNT)]
    assert [item.target for item in items] == [truth(index) for index in range(COUNT)]
    assert {item.group for item in items} == {"shard"}
    assert items[3].prompt == "a 3"
    assert [item.read() for item in items] == [encoded(index) for index in range(COUNT)]


def test_a_broken_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match=r"cannot read the shard .*bad\.tar"):
        list(open_images(tmp_path / "bad.tar"))


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize("left", [0.2, 0.6, 0.9, 0.97])
def test_a_shard_that_is_cut_gives_what_it_holds_and_a_bad_item(suffix: str, left: float, tmp_path: Path) -> None:
    whole = shard(tmp_path / f"a.{suffix}", list(range(6)))
    assert len(list(open_images(whole))) == 6
    content = whole.read_bytes()
    size = len(content) if suffix == "tar.gz" else content.rstrip(b"\0").__len__()
    whole.write_bytes(content[: int(size * left)])
    *good, last = list(open_images(whole))
    assert [item.read() for item in good] == [encoded(index) for index in range(len(good))]
    with pytest.raises(ValueError, match=r"the shard .*a\.tar.* is cut or damaged here"):
        last.read()


def test_a_shard_that_ends_between_two_files_is_cut(tmp_path: Path) -> None:
    whole = shard(tmp_path / "a.tar", list(range(3)))
    with tarfile.open(whole) as tar:
        border = tar.getmembers()[4].offset
    whole.write_bytes(whole.read_bytes()[:border])
    assert [item.key for item in open_images(whole)] == ["a.tar/x/0000.png", "a.tar/x/0001"]


@pytest.mark.parametrize("at_once", [3, 7, 1000])
def test_a_folder_is_read_in_order_whatever_fits_into_memory(at_once: int, tmp_path: Path) -> None:
    wanted = sorted(f"{index * 37 % 50}é.png" for index in range(50))
    for name in wanted:
        (tmp_path / name).touch()
    assert sorted(name.encode() for name in wanted) == [name.encode() for name in sorted_names(tmp_path, at_once)]


def test_sources_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no image or folder at .*none"):
        open_images(tmp_path / "none-{0..3}.tar")
    (tmp_path / "a.csv").write_text("picture,score\nx.png,1\n")
    with pytest.raises(ValueError, match="no image column; it has picture, score"):
        list(open_images(tmp_path / "a.csv"))


# --- running -------------------------------------------------------------------------------------


def test_scores_are_the_scorers(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    options = RunOptions(rows=4, dimensions=True)
    files = ScoreFiles(tmp_path / "out", describe_run(scorer, options))
    assert score_source(scorer, open_images(photos), files, options).images == COUNT
    found, sharp = rows_of(tmp_path / "out"), rows_of(tmp_path / "out", "dimension.sharpness")
    assert list(found) == names()
    for name in names():
        image = torch.from_numpy(pixels(int(Path(name).stem)).copy()).permute(2, 0, 1)[None] / 255
        want = scorer(image)
        assert found[name] == pytest.approx(want.score.item(), abs=1e-5)
        assert sharp[name] == pytest.approx(want.dimensions["sharpness"].item(), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_batches_do_not_change_scores(batch_size: int, photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    run(scorer, open_images(photos), tmp_path / "a")
    run(scorer, open_images(photos), tmp_path / "b", batch_size=batch_size, rows=100, workers=1)
    assert rows_of(tmp_path / "b") == pytest.approx(rows_of(tmp_path / "a"), abs=1e-5)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_share_the_work_without_overlap(world: int, photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    run(scorer, open_images(photos), tmp_path / "one", rows=2)
    done = [run(scorer, open_images(photos), tmp_path / "many", Ranks(rank, world), rows=2) for rank in range(world)]
    assert sum(summary.scored for summary in done) == COUNT
    assert all(summary.resumed == 0 for summary in done)
    assert rows_of(tmp_path / "many") == rows_of(tmp_path / "one")


def test_memory_goes_by_pixels_and_not_by_images(photos: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    whole = runner._score_batch

    def watched(scorer: Scorer, batch: list[runner.Ready], *more: object) -> object:
        together.append(sum(image.shape[1] * image.shape[2] for _, _, image in batch))
        return whole(scorer, batch, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "_score_batch", watched)
    items = list(open_images(photos)) * 3
    most = 2 * 32 * 40
    rows = list(runner.score_items(scorer, items, RunOptions(batch_size=64, batch_pixels=most)))
    assert sorted(number for number, _ in rows) == list(range(len(items)))
    assert max(together) <= most
    together.clear()
    assert len(list(runner.score_items(scorer, items, RunOptions(batch_pixels=1)))) == len(items)
    assert len(together) == len(items), "one image at a time, however large"


class Killed(RuntimeError):
    pass


def dying(source: object, after: int) -> Iterator[Item]:
    for number, item in enumerate(source):  # type: ignore[call-overload]
        if number == after:
            raise Killed
        yield item


def test_a_run_goes_on_where_it_stopped(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(scorer, dying(open_images(photos), 9), tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert len(before) == 2
    summary = run(scorer, open_images(photos), tmp_path / "out", Ranks(0, 1))
    assert (summary.resumed, summary.scored) == (8, 2)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    run(scorer, open_images(photos), tmp_path / "whole")
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")


def test_a_run_goes_on_with_another_number_of_ranks(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    run(scorer, open_images(photos), tmp_path / "out", Ranks(1, 2))
    done = [run(scorer, open_images(photos), tmp_path / "out", Ranks(rank, 3)) for rank in range(3)]
    assert sum(summary.resumed for summary in done) == 4
    assert set(rows_of(tmp_path / "out")) == set(names())


def test_a_half_written_part_does_not_count(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    run(scorer, open_images(photos), tmp_path / "out")
    part = tmp_path / "out" / "part-00000001.parquet"
    part.rename(part.with_name(f".{part.name}.123.tmp"))
    assert run(scorer, open_images(photos), tmp_path / "out").scored == 4


def test_changed_images_are_scored_again(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    run(scorer, open_images(photos), tmp_path / "out")
    (photos / "even" / "0.png").write_bytes(encoded(77))
    assert run(scorer, open_images(photos), tmp_path / "out").scored == 4
    (photos / "even" / "00.png").write_bytes(encoded(3))
    assert run(scorer, open_images(photos), tmp_path / "out").scored == COUNT + 1


def test_the_scores_of_another_model_are_not_taken(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    run(scorer, open_images(photos), tmp_path / "out")
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="holds the scores of another run"):
        run(create_tiny("mdiqa-mobile"), open_images(photos), tmp_path / "out")


def test_bad_images_are_rows_with_a_reason(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    (photos / "even" / "0.png").write_bytes(b"broken")
    Image.new("RGB", (5, 4)).save(photos / "odd" / "tiny.png")
    run(scorer, open_images(photos), tmp_path / "out")
    errors = {name: error for name, error in rows_of(tmp_path / "out", "error").items() if error}
    assert set(errors) == {"even/0.png", "odd/tiny.png"}
    assert "is no image" in errors["even/0.png"]
    assert "4x5 pixels" in errors["odd/tiny.png"]
    assert sum(score is not None for score in rows_of(tmp_path / "out").values()) == COUNT - 1


def test_scores_of_images_that_are_gone_go(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(scorer, open_images(photos), out)
    for path in (photos / "odd").iterdir():
        path.unlink()
    (out / ".part-00000000.99999-7f.tmp.parquet").write_bytes(b"half a file of a killed run")
    summary = run(scorer, open_images(photos), out)
    removed = ScoreFiles(out, describe_run(scorer, RunOptions(rows=4))).trim(summary.files)
    assert [path.name for path in removed] == ["part-00000002.parquet"]
    assert set(rows_of(out)) == {name for name in names() if name.startswith("even")}
    assert not list(out.glob(".part-*"))


def test_a_damaged_file_of_scores_is_made_anew_and_a_damaged_note_is_named(
    photos: Path, scorer: Scorer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(scorer, open_images(photos), out)
    whole = rows_of(out)
    part = out / "part-00000001.parquet"
    for damage in (b"", b"PAR1 and nothing else", part.read_bytes()[:-20]):
        part.write_bytes(damage)
        assert run(scorer, open_images(photos), out).scored == 4
        assert rows_of(out) == whole
    part.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"part-00000001\.parquet is damaged .* the same command makes it anew"):
        list(ScoreFiles(out, describe_run(scorer, RunOptions(rows=4))).read(3))
    for damage in ("{", "[1]", ""):
        (out / "run.json").write_text(damage)
        with pytest.raises(ValueError, match=r"run\.json is damaged"):
            run(scorer, open_images(photos), out)


def test_images_of_one_name_do_not_confuse_a_file(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    twice = Files([photos / "even" / "0.png"] * 3)
    run(scorer, twice, tmp_path / "out")
    assert run(scorer, twice, tmp_path / "out").resumed == 3


def test_the_source_is_never_held_as_a_whole(photos: Path, scorer: Scorer, tmp_path: Path) -> None:
    waiting = most = 0

    def watched() -> Iterator[Item]:
        nonlocal waiting, most
        for item in list(open_images(photos)) * 5:
            waiting += 1
            most = max(most, waiting)
            yield item

    def written(images: int) -> None:
        nonlocal waiting
        waiting -= images

    options = RunOptions(rows=4)
    files = ScoreFiles(tmp_path / "out", describe_run(scorer, options))
    score_source(scorer, watched(), files, options, ranks=Ranks(), progress=written)
    assert most <= 4


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": 0}, {"rows": -1}])
def test_options_are_checked(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RunOptions(**options)  # type: ignore[arg-type]


# --- commands ------------------------------------------------------------------------------------


def call(words: list[str], capsys: pytest.CaptureFixture[str], status: int = 0) -> tuple[str, str]:
    assert main(words) == status, capsys.readouterr().err
    said = capsys.readouterr()
    return said.out, said.err


def test_evaluate_prints_json(table: Path, weights: Path, capsys: pytest.CaptureFixture[str], scorer: Scorer) -> None:
    words = ["evaluate", "mdiqa-mobile", "--weights", str(weights), "--data", str(table), "--images", str(table.parent)]
    out, _ = call([*words, "--json", "--bootstrap", "50"], capsys)
    found = json.loads(out)
    assert {"srcc", "plcc", "plcc_fit", "krcc", "rmse", "n", "ci"} <= set(found)
    assert found["n"] == COUNT
    one = evaluate(scorer, open_images(table), dataset="scores", repeats=50)
    assert one is not None
    assert found == json.loads(json.dumps(one.metrics.to_dict()))


def test_evaluate_tells_scorers_and_groups_apart_and_saves(
    table: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    torch.manual_seed(3)
    other = checkpoints.save(create_tiny("mdiqa-mobile"), tmp_path / "other.safetensors")
    words = ["evaluate", "mdiqa-mobile", "mdiqa-mobile", "--weights", str(weights), "--weights", str(other)]
    words += ["--data", str(table), "--per-group", "--bootstrap", "0", "--out", str(tmp_path / "results")]
    out, _ = call(words, capsys)
    assert "tiny.safetensors" in out
    assert "other.safetensors" in out
    assert len(out.splitlines()) == 2 + 2 * 3
    assert len((tmp_path / "results" / "results.csv").read_text().splitlines()) == 1 + 2 * 3
    assert len(list((tmp_path / "results").glob("scatter-*.png"))) == 2


def test_evaluate_lists_bad_rows_and_skips_them(table: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(table.read_text() + "missing.png,0.5,x\neven/0.png,nan,x\n")
    words = ["evaluate", "mdiqa-mobile", "--weights", str(weights), "--data", str(table), "--json", "--bootstrap", "0"]
    _, told = call(words, capsys, status=2)
    assert f"line {COUNT + 2}: missing.png" in told
    assert f"line {COUNT + 3}: even/0.png: the score 'nan'" in told
    out, told = call([*words, "--skip-bad"], capsys)
    assert json.loads(out)["n"] == COUNT
    assert "2 bad rows left out" in told


def test_evaluate_reads_shards_and_parquet(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard(tmp_path / "shards" / "a.tar", list(range(COUNT)))
    held = [encoded(index) for index in range(COUNT)]
    rated = arrow.table({"image": held, "mos": [truth(index) for index in range(COUNT)]})
    (tmp_path / "files").mkdir()
    parquet.write_table(rated, tmp_path / "files" / "rated.parquet")
    found = []
    for data in ("shards", "shards/*.tar", "files", "files/rated.parquet", "files/r*.parquet"):
        words = ["evaluate", "mdiqa-mobile", "--weights", str(weights), "--data", str(tmp_path / data)]
        found.append(json.loads(call([*words, "--json", "--bootstrap", "0"], capsys)[0]))
        assert found[-1]["n"] == COUNT
        assert found[-1]["srcc"] == pytest.approx(found[0]["srcc"])


def test_evaluate_compares_a_dimension_with_its_column(
    table: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{name},0.5,{truth(int(Path(name).stem))}\n" for name in names())
    table.write_text("image,score,sharpness\n" + rows)
    words = ["evaluate", "mdiqa-mobile", "--weights", str(weights), "--data", str(table), "--bootstrap", "0", "--json"]
    out, _ = call([*words, "--dimension", "sharpness"], capsys)
    assert json.loads(out)["srcc"] is not None
    assert json.loads(call(words, capsys)[0])["srcc"] is None  # the overall scores are all equal
    _, told = call([*words, "--dimension", "sharpnes"], capsys, status=2)
    assert "did you mean 'sharpness'" in told


@pytest.mark.parametrize("command", ["score", "score --out", "evaluate"])
def test_a_device_that_is_not_there_is_named(
    command: str, table: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {
        "score": ["score", str(table.parent)],
        "score --out": ["score", str(table.parent), "--out", str(tmp_path / "scores")],
        "evaluate": ["evaluate", "mdiqa-mobile", "--data", str(table)],
    }[command]
    _, told = call([*words, "--weights", str(weights), "--device", "cdua"], capsys, status=2)
    assert "device 'cdua' cannot be used" in told
    assert "Usable here: cpu" in " ".join(told.split())
    for device in ("", "meta"):
        _, told = call([*words, "--weights", str(weights), "--device", device], capsys, status=2)
        assert f"device {device!r} cannot be used" in told


def test_evaluate_turns_dmos_round(photos: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for column in ("mos", "dmos"):
        rows = "".join(f"{name},{truth(int(Path(name).stem))}\n" for name in names())
        (photos / f"{column}.csv").write_text(f"image,{column}\n{rows}")
        words = ["evaluate", "mdiqa-mobile", "--weights", str(weights), "--data", str(photos / f"{column}.csv")]
        found.append(json.loads(call([*words, "--json", "--bootstrap", "0"], capsys)[0]))
    assert found[0]["srcc"] == pytest.approx(-found[1]["srcc"])
    assert found[0]["rmse"] == pytest.approx(found[1]["rmse"], abs=1e-4)


def test_score_writes_files_and_resumes(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", str(photos), "--weights", str(weights), "--out", str(tmp_path / "out"), "--rows", "4", "--json"]
    first, again = (json.loads(call(words, capsys)[0]) for _ in range(2))
    assert (first["images"], first["files"], first["scored_here"]) == (COUNT, 3, COUNT)
    assert (again["scored_here"], again["resumed_here"]) == (0, COUNT)
    assert set(rows_of(tmp_path / "out")) == set(names())
    (photos / "odd" / "1.png").write_bytes(b"broken")
    _, told = call(words, capsys, status=2)
    assert "1 images could not be scored" in told
    assert json.loads(call([*words, "--skip-bad"], capsys)[0])["bad"] == 1


# --- bad images, odd names -----------------------------------------------------------------------


def test_one_bad_image_costs_none_of_the_others_their_score(
    photos: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "even" / "0.png").write_bytes(b"broken")
    (photos / "photo.heif2").write_bytes(b"x")
    words = ["score", str(photos), "--weights", str(weights), "--json"]
    out, told = call(words, capsys, status=2)
    assert [row["image"] for row in json.loads(out)] == names()[1:]
    assert "1 images could not be scored" in told
    assert "even/0.png: even/0.png is no image" in told
    assert "1 .md (notes.md), 1 .heif2 (photo.heif2)" in told
    assert len(json.loads(call([*words, "--skip-bad"], capsys)[0])) == COUNT - 1


@pytest.mark.parametrize("command", ["score", "score --out", "evaluate"])
def test_a_run_of_which_nothing_is_left_is_an_error(
    command: str, table: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names():
        Image.new("RGB", (5, 4)).save(table.parent / name)
    words = {
        "score": ["score", str(table.parent)],
        "score --out": ["score", str(table.parent), "--out", str(tmp_path / "out")],
        "evaluate": ["evaluate", "mdiqa-mobile", "--data", str(table)],
    }[command]
    out, told = call([*words, "--weights", str(weights), "--skip-bad"], capsys, status=2)
    assert f"{COUNT} images could not be scored" in told
    assert "SRCC" not in out


@pytest.mark.parametrize("out", [[], ["--out", "scores"]])
def test_a_folder_without_images_is_an_error(
    out: list[str], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    _, told = call(["score", "empty", "--weights", str(weights), *out], capsys, status=2)
    assert "no images" in told


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_two_runs_do_not_share_a_folder(
    command: str, table: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", str(table.parent)] if command == "score" else ["evaluate", "mdiqa-mobile", "--data", str(table)]
    out = tmp_path / "out"
    with locked(out if command == "score" else out / "scores" / "mdiqa-mobile" / "scores"):
        _, told = call([*words, "--weights", str(weights), "--out", str(out)], capsys, status=2)
    assert "another run is writing into" in told
    assert not list(out.rglob("part-*"))


ODD = ["x[/b].png", "[red]y[/red].png", "\x1b[2Jz.png", "line\nbreak.png", os.fsdecode(b"caf\xe9.png")]


@pytest.mark.parametrize("out", [[], ["--json"], ["--out", "scores"]])
def test_names_are_names_whatever_they_hold(
    out: list[str], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "photos[/i]"
    folder.mkdir(parents=True)
    for number, name in enumerate(ODD):
        try:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(encoded(number))
        except OSError:
            pytest.skip(f"this file system takes no {name!r}")
    (folder / "bad\x1b[31m.png").write_bytes(b"x")
    said, told = call(["score", str(folder), "--weights", str(weights), "--skip-bad", *out], capsys)
    assert "\x1b" not in said + told
    assert "bad\\x1b[31m.png" in told
    if not out:
        assert "x[/b].png" in said
        assert "[red]y[/red].png" in said
    if out == ["--json"]:
        assert {"x[/b].png", "\x1b[2Jz.png", "line\nbreak.png", "caf\\udce9.png"} <= {
            row["image"] for row in json.loads(said)
        }
    if out[:1] == ["--out"]:
        assert "caf\\udce9.png" in rows_of(tmp_path / "scores")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "none.csv"], "none.csv"),
        (["--data", "scores.csv", "--images", "a", "--images", "b"], "--images was given 2 times"),
        (["--data", "scores.csv", "--layout", "koniq"], "is that of a folder"),
        ([], "--data"),
    ],
)
def test_mistakes_are_told(
    words: list[str], message: str, table: Path, weights: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(table.parent)
    _, told = call(["evaluate", "mdiqa-mobile", "--weights", str(weights), *words], capsys, status=2)
    assert message in told


def test_two_processes_evaluate_as_one_does(
    table: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "mdiqa-mobile", "--weights", str(weights), "--data", str(table), "--rows", "2", "--json"]
    words += ["--bootstrap", "20"]
    want = json.loads(call(words, capsys)[0])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "iqaloss.cli", *words, "--out", str(tmp_path / "out")]
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=1200) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert json.loads(said[0][0]) == want
    assert said[1][0] == ""
