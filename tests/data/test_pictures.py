"""Pictures: one decoder for every mode, and folders of which nothing is left out in silence."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss.data import folders, images, open_images, open_rated
from iqaloss.data.images import is_picture, load_image, open_image, readable_formats
from iqaloss.data.library import problem_of
from iqaloss.data.sources import Folder

GRAY = np.full((16, 16), 0x8000, np.uint16)


def ramp() -> np.ndarray:
    return np.arange(256, dtype=np.uint16).reshape(16, 16) * 256 + 255


# --- modes ---


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_sixteen_bits_of_gray_are_read_by_their_upper_eight(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"gray.{suffix}"
    if suffix == "pgm":
        path.write_bytes(b"P5 16 16 65535\n" + GRAY.astype(">u2").tobytes())
    else:
        Image.fromarray(GRAY).save(path)
    torch.testing.assert_close(load_image(path), torch.full((3, 16, 16), 128 / 255))


def tiff_of_twelve_bits(path: Path) -> None:
    """Writes a strip of white and black, which Pillow reads and does not write."""
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 128), (277, 1), (278, 1), (279, 3)]
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    path.write_bytes(
        b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bytes(128 - 122) + b"\xff\xf0\0"
    )


def test_white_is_white_in_twelve_bits(tmp_path: Path) -> None:
    tiff_of_twelve_bits(tmp_path / "twelve.tif")
    assert load_image(tmp_path / "twelve.tif")[0].tolist() == [[1.0, 0.0]]


def test_big_and_little_endian_are_the_same_picture(tmp_path: Path) -> None:
    Image.fromarray(ramp()).save(tmp_path / "little.tif")
    pixels = ramp().astype(">u2").tobytes()
    Image.frombytes("I;16B", (16, 16), pixels).save(tmp_path / "big.tif")
    for name in ("little.tif", "big.tif"):
        assert torch.equal(load_image(tmp_path / name)[0].flatten(), torch.arange(256) / 255)


def test_a_gray_picture_of_sixteen_bits_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.vstack([ramp()[:4], ramp()[:4] * 0])[:, :12].copy()
    Image.fromarray(wide).save(tmp_path / "turned.png", exif=exif)
    assert load_image(tmp_path / "turned.png").shape == (3, 12, 8)


def test_floating_point_in_the_unit_range_is_read_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(path)
    torch.testing.assert_close(load_image(path), torch.full((3, 8, 8), 128 / 255))
    for value in (200.0, -0.5, float("nan")):
        Image.fromarray(np.full((8, 8), value, np.float32)).save(path)
        with pytest.raises(ValueError, match=r"float\.tif is no image that can be read: floating-point pixels from"):
            load_image(path)


def test_integers_that_do_not_say_what_white_is_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "int.tif"
    Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(path)
    with pytest.raises(ValueError, match=r"int\.tif .*32-bit integers, which do not say what white is"):
        open_image(path)


def test_what_lies_under_full_transparency_has_no_say(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    assert load_image(tmp_path / "clear.png").min() == 1.0
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    want = torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1) / 255
    assert torch.equal(load_image(tmp_path / "opaque.png"), want)
    palette = Image.fromarray(pixels[..., 0], "L").convert("P")
    palette.save(tmp_path / "palette.png", transparency=bytes(256))
    assert load_image(tmp_path / "palette.png").min() == 1.0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F", "LAB", "I"])
def test_every_mode_is_read_or_an_error_with_the_files_name(mode: str, tmp_path: Path) -> None:
    whole = Image.new("F", (8, 8), 1.0) if mode == "F" else Image.new("L", (8, 8), 200).convert("RGB")
    try:
        image = whole if mode == "F" else Image.new(mode, (8, 8))
        image.save(tmp_path / "x.tif")
    except (OSError, ValueError, KeyError):
        pytest.skip(f"Pillow writes no TIFF of {mode}")
    try:
        assert open_image(tmp_path / "x.tif").mode == "RGB"
    except ValueError as error:
        assert "x.tif" in str(error)  # noqa: PT017


def test_a_picture_beyond_the_limit_is_an_error_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"large\.png .*40x30 pixels are more than the 1000"):
        open_image(tmp_path / "large.png")
    assert "40x30" in str(problem_of(tmp_path / "large.png", "header"))


def test_postscript_under_the_name_of_a_photograph_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    called: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: called.append(given))
    (tmp_path / "photo.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    )
    for read in (open_image, lambda path: problem_of(path, "decode")):
        try:
            assert "unreadable" in str(read(tmp_path / "photo.jpg"))
        except ValueError as error:
            assert "no image that can be read" in str(error)  # noqa: PT017
    assert not called


# --- folders ---


def test_a_folder_is_read_by_what_pillow_reads() -> None:
    kinds = ["a.jfif", "a.jpe", "a.avif", "a.gif", "a.jp2", "a.TGA", "a.pnm", "a.apng", "a.webp", "a.qoi"]
    wanted = [name for name in kinds if not name.endswith(".avif") or "AVIF" in readable_formats()]
    assert [name for name in wanted if not is_picture(name)] == []
    assert not is_picture("._a.png")
    assert not is_picture("a.eps")


def test_heif_is_read_where_its_plugin_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def register() -> None:
        monkeypatch.setitem(Image.OPEN, "HEIF", (Image.Image, None))

    images._load_plugins.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    assert is_picture("IMG_0001.HEIC")
    images._load_plugins.cache_clear()


def test_what_a_folder_holds_beside_pictures_is_counted(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for name in ("._a.png", ".DS_Store", "b.psd", "c.psd", "notes"):
        (tmp_path / name).write_bytes(b"x")
    source = Folder(tmp_path)
    for _ in range(2):
        assert [item.key for item in source] == ["a.png"]
        assert str(source.left_out) == "2 .psd (b.psd, ...), 1 without suffix (notes)"


def test_a_folder_that_links_to_itself_is_followed_once(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "deep" / "b.png")
    for name, target in (("loop", "loop"), ("self", "."), ("deep/up", ".."), ("again", "deep"), ("gone.png", "none")):
        (tmp_path / name).symlink_to(target)
    assert [item.key for item in Folder(tmp_path)] == ["a.png", "again/b.png", "gone.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert list(Folder(tmp_path)) == []
    assert problem_of(tmp_path / "pipe.png", "header") is not None
    with pytest.raises(ValueError, match="it is no file"):
        open_image(tmp_path / "pipe.png")
    for name in (tmp_path / "pipe.png", Path(os.devnull), f"{tmp_path}/p*.png"):
        with pytest.raises(ValueError, match="neither a file nor a folder"):
            open_images(name)


def test_a_locked_folder_is_a_bad_item_and_the_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "x.png")
    whole = os.scandir

    def locked(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(folders.os, "scandir", locked)
    items = list(Folder(tmp_path))
    assert [item.key for item in items] == ["a/x.png", "b/", "c/x.png"]
    with pytest.raises(ValueError, match="cannot be read: Permission denied"):
        items[1].read()


@pytest.mark.parametrize("beside", ["backup.tar", "notes.parquet", "held.parquet"])
def test_pictures_win_over_what_lies_beside_them(beside: str, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for index in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.png")
    if beside.endswith(".tar"):
        (tmp_path / beside).write_bytes(b"x" * 2000)
    else:
        images = [b"x"] if beside.startswith("held") else None
        parquet.write_table(arrow.table({"image": images} if images else {"note": ["x"]}), tmp_path / beside)
    source = open_images(tmp_path)
    assert [item.key for item in source] == ["0.png", "1.png", "2.png"]
    assert beside in str(source.left_out)  # type: ignore[attr-defined]
    (tmp_path / "scores.csv").write_text("image,mos\n0.png,1\n1.png,2\n")
    assert len(open_rated(tmp_path)) == 2  # type: ignore[arg-type]


def test_a_published_set_beside_its_archive_is_read(tmp_path: Path) -> None:
    from testing.published_copies import koniq

    koniq(tmp_path)
    (tmp_path / "koniq10k.tar").write_bytes(b"x" * 2000)
    assert open_rated(tmp_path).name == "koniq10k"
