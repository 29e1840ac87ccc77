"""The benchmark of what losses cost: its counts are right, its file whole, and its page says what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.loss_cost import bars, peers, report, runner
from benchmarks.loss_cost.__main__ import main
from benchmarks.loss_cost.measure import Step, count, highest, peak, race
from benchmarks.loss_cost.rows import Row, read, write
from benchmarks.loss_cost.setting import Built, Contestant, Setting, images

KEYS = {
    "name",
    "mode",
    "side",
    "batch",
    "seconds",
    "peak_bytes",
    "forward_flops",
    "backward_flops",
    "saved_bytes",
}


def conv(bias: bool = True) -> tuple[nn.Conv2d, Built]:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
    return network, Built((network,), lambda pred, target: lambda: (network(pred) - target.mean()).square().mean())


def row(name: str, mode: str, seconds: float = 1.0, **changes: object) -> Row:
    return replace(Row(name, mode, 256, 2, seconds, 100, 10, 20, 30, device="cpu: x"), **changes)  # type: ignore[arg-type]


# --- a run ---


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loss_cost")
    only = ["--only", "l1", "mdiqa-mobile"]
    main(["--sides", "64", "--batches", "1", *only, "--rounds", "1", "--out", str(folder)])
    return folder


def test_a_run_writes_a_list_of_rows(small_run: Path) -> None:
    rows = {(item["name"], item["mode"]): item for item in json.loads((small_run / "loss_cost.json").read_text())}
    modes = ("nr", "fr", "fr-encoded", "both")
    assert {("l1", "fr"), ("backbone:mdiqa-mobile", "nr")} <= set(rows)
    assert {("iqaloss:mdiqa-mobile", mode) for mode in modes} <= set(rows)
    for (name, _), item in rows.items():
        assert set(item) >= KEYS
        assert (item["side"], item["batch"]) == (64, 1)
        assert item["seconds"] > 0
        assert item["peak_bytes"] > 0
        if name != "l1":
            assert min(item["forward_flops"], item["backward_flops"], item["saved_bytes"]) > 0
    ours = {mode: rows["iqaloss:mdiqa-mobile", mode] for mode in modes}
    assert ours["fr"]["forward_flops"] > 1.9 * ours["fr-encoded"]["forward_flops"]
    assert ours["fr"]["backward_flops"] == ours["fr-encoded"]["backward_flops"]
    backbone = rows["backbone:mdiqa-mobile", "nr"]
    assert backbone["forward_flops"] < ours["nr"]["forward_flops"]


def test_a_run_writes_a_page_and_a_picture(small_run: Path) -> None:
    page = (small_run / "loss_cost.md").read_text()
    assert "| iqaloss:mdiqa-mobile | nr |" in page
    assert "No GPU was at hand" in page
    assert (small_run / "loss_cost.png").stat().st_size > 10_000
    assert not list(small_run.glob("*.partial"))


def test_a_resumed_run_measures_what_is_missing(small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = read(small_run / "loss_cost.json")
    marked = [replace(item, seconds=123.0) for item in rows if item.name != "l1"]
    write(tmp_path / "rows.json", marked)
    options = ["--sides", "64", "--batches", "1", "--only", "l1", "backbone:mdiqa-mobile", "--rounds", "1"]
    main([*options, "--resume", "--json", str(tmp_path / "rows.json")])
    after = read(tmp_path / "rows.json")
    assert after[: len(marked)] == marked
    assert [item.name for item in after[len(marked) :]] == ["l1"]
    assert "| l1 | fr |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "lpisp"], "no contestant has that in its name; there are: l1, backbone:mdiqa-mobile"),
        (["--resume"], "need the rows"),
        (["--sides", "60"], "multiples of 8, got 60"),
        (["--sides", "16"], "--sides must be at least 32, got 16"),
        (["--batches", "0"], "--batches must be at least 1, got 0"),
        (["--rounds", "-1"], "must be positive, got -1"),
    ],
)
def test_wrong_options_are_refused(given: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(given)
    assert said in capsys.readouterr().err


# --- who is left out ---


def made_up(**changes: object) -> Contestant:
    return replace(Contestant("made-up", "fr", lambda setting: conv()[1]), **changes)  # type: ignore[arg-type]


def run(*contestants: Contestant, side: int = 64, batch: int = 1) -> runner.Runner:
    made = runner.Runner(Setting(), [], rounds=2, budget=0.0)
    made.run(contestants, [runner.Size(side, batch)])
    return made


def test_a_missing_peer_is_named() -> None:
    made = run(made_up(needs=("no_such_package_at_all",)), made_up(name="present"))
    (reason,) = made.left_out.values()
    assert reason.startswith("no_such_package_at_all is not installed; benchmarks/loss_cost/peers.txt says how")
    assert [item.name for item in made.rows] == ["present"]
    page = report.markdown(made.rows, made.left_out, "command")
    assert "- made-up (fr): no_such_package_at_all is not installed" in page
    assert (Path(__file__).parents[2] / runner.PEERS_FILE).is_file()


def test_what_a_larger_batch_lacks_is_named() -> None:
    small, large = Row("a", "fr", 64, 1, 1.0, 1, 1, 1, 1), Row("b", "nr", 64, 4, 1.0, 1, 1, 1, 1)
    page = report.markdown([small, replace(small, name="b", mode="nr"), large], {}, "command")
    assert page.count("Not measured at this batch") == 1
    assert "Not measured at this batch, for time or memory: a (fr)." in page


def test_the_limit_is_the_backbone_as_it_is_built() -> None:
    ours = Row("iqaloss:mdiqa-mobile", "nr", 64, 1, 3.0, 1, 1, 1, 1)
    backbone = replace(ours, name="backbone:mdiqa-mobile", seconds=2.0)
    table = report.costs([ours, backbone, replace(backbone, mode="tuned", seconds=1.0)])
    assert table[2].endswith("| 1.50 |")


def test_a_peer_that_cannot_be_imported_is_named() -> None:
    def build(_: Setting) -> Built:
        raise ImportError("libGL.so.1: cannot open shared object file")

    made = run(made_up(build=build))
    assert made.left_out == {"made-up (fr)": "libGL.so.1: cannot open shared object file"}
    assert not made.rows


def test_what_is_too_small_or_too_large_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "takes sides of 128" in run(made_up(min_side=128)).left_out["made-up (fr) at 64"]
    monkeypatch.setattr(runner, "free_bytes", lambda device: 2**20)
    monkeypatch.setattr(runner, "SAFE_PIXELS", 0)
    made = run(made_up(), batch=16)
    assert "GiB are free" in made.left_out["made-up (fr) at 64, batch 16"]
    assert not made.rows


def test_an_error_that_is_not_about_memory_is_raised() -> None:
    def build(_: Setting) -> Built:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(made_up(build=build))


# --- what is measured ---


def test_flops_and_saved_bytes_are_counted() -> None:
    network, built = conv()
    pred, target = images(Setting(), 16, 2)
    flops = 2 * 2 * 16 * 16 * 8 * 27  # batch, pixels, channels, inputs of a 3x3 window
    trainable = count(Step(built, pred, target))
    network.requires_grad_(False)
    frozen = count(Step(built, pred, target))
    assert (frozen.forward_flops, frozen.backward_flops) == (flops, flops)
    assert (trainable.forward_flops, trainable.backward_flops) == (flops, 2 * flops)
    assert frozen.saved_bytes == 2 * 8 * 16 * 16 * 4  # what the square keeps; not the weight, not the image


def test_the_peak_counts_the_gradients_that_stay_on_weights() -> None:
    network = nn.Linear(512, 512, bias=False)
    built = Built((network,), lambda pred, target: lambda: network(pred.mean((1, 2, 3))[:, None].expand(1, 512)).sum())
    pred, target = images(Setting(), 16, 1)
    step = Step(built, pred, target)
    trainable = peak(step, "cpu")
    step.clear()
    network.requires_grad_(False)
    frozen = peak(step, "cpu")
    weight = 512 * 512 * 4
    assert trainable >= 2 * weight  # in the second step: what the first left, and the new one
    assert frozen < weight


def test_the_highest_sum_is_taken_in_the_order_of_time() -> None:
    assert highest([(3.0, -5), (1.0, 5), (2.0, 4), (4.0, 3)]) == 9
    assert highest([]) == 0


def test_contestants_take_turns() -> None:
    order: list[str] = []
    pred, target = images(Setting(), 16, 1)

    def named(name: str) -> Step:
        def forward() -> torch.Tensor:
            order.append(name)
            return pred.mean()

        return Step(Built((), lambda *_: forward), pred, target)

    steps = [(named("a"), 0), (named("b"), 0), (named("c"), 1)]
    race(steps, Setting(), rounds=3, budget=1e9, tick=lambda: None)
    assert "".join(order) == "aabbccbbaaaabb" * 2  # short steps run twice, and the second time counts
    assert [len(run) for run in steps[0][0].runs] == [3, 3]
    assert steps[2][0].seconds > 0
    order.clear()
    race(steps, Setting(), rounds=9, budget=0.0, tick=lambda: None)
    assert "".join(order) == "aabbcc" * 2


def test_spread_is_that_of_the_runs_medians() -> None:
    step = Step(conv()[1], *images(Setting(), 16, 1))
    step.runs = [[1.0, 1.0, 5.0], [2.0, 2.0, 2.0]]
    assert step.seconds == 2.0
    assert step.spread == 0.5


# --- what is reported ---


def test_bars_say_met_or_missed_with_the_number() -> None:
    rows = [
        row("pyiqa:topiq_nr", "shipped", 3.0),
        row("iqaloss:topiq_nr", "nr", 2.0),
        row("pyiqa:topiq_fr", "shipped", 3.0, peak_bytes=200),
        row("iqaloss:topiq_fr", "fr", 2.0),
        row("iqaloss:mdiqa-mobile", "nr", 0.1),
        row("lpips:vgg", "shipped", 1.0, batch=4),
    ]
    lines = bars.table(rows)
    verdict = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[2:]}
    assert verdict["topiq_nr: time of pyiqa as shipped over ours"] == ["at least 1.4", "1.5", "", "met"]
    assert verdict["topiq_fr: time of pyiqa as shipped over ours"] == ["at least 1.9", "1.5", "", "**missed**"]
    assert verdict["topiq_fr: peak memory of ours over pyiqa's"] == ["at most 0.6", "0.5", "", "met"]
    assert verdict["mdiqa-mobile, no-reference: time over LPIPS-VGG's"][-1] == "not measured"
    assert len(verdict) == len(bars.BARS)


def test_every_bar_speaks_of_contestants_that_exist() -> None:
    known = {(one.name, one.mode) for one in runner.everyone()}
    assert {who for bar in bars.BARS for who in (bar.top, bar.bottom)} <= known
    assert {who for bar in bars.BARS for who in (bar.top, bar.bottom)} <= {
        (one.name, one.mode) for one in runner.everyone() if one.quick
    }
    assert set(report.LIMITS.values()) <= {name for name, _ in known}


def test_the_page_tells_share_and_limit() -> None:
    rows = [
        row("basicsr:RRDBNet", "step", 10.0),
        row("backbone:mdiqa-mobile", "nr", 0.1),
        row("iqaloss:mdiqa-mobile", "nr", 0.125),
        row("l1", "fr", 0.001, device="cuda: y"),
    ]
    page = report.markdown(rows, {}, "command")
    assert "| a step takes |  | 10 s |" in page
    assert "| iqaloss:mdiqa-mobile | nr | 1.2 |" in page  # percent
    assert "| 125 | 0% |" in page
    assert "| 1.25 |" in page
    assert page.count("### Bars") == 2
    assert "No GPU" not in page


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"name": "x", "colour": 1}]')
    with pytest.raises(ValueError, match="no list of rows of this benchmark"):
        read(tmp_path / "rows.json")
    assert read(tmp_path / "none.json") == []


# --- peers ---


def test_pyiqa_as_shipped_differentiates_its_weights_and_ours_does_not() -> None:
    pytest.importorskip("pyiqa", reason="needs pyiqa, which pins other packages: use an environment of its own")
    known = {(one.name, one.mode): one for one in peers.contestants()}
    pair = images(Setting(), 64, 1)
    counts = {key: count(Step(known[key].build(Setting()), *pair)) for key in known if "topiq_fr" in key[0]}
    shipped, wrapped = counts["pyiqa:topiq_fr", "shipped"], counts["iqaloss:topiq_fr", "fr"]
    assert shipped.forward_flops == wrapped.forward_flops
    assert shipped.backward_flops > 3 * wrapped.backward_flops
