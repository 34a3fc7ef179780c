"""Images that show nothing, lie on their side, or are of another kind; and that memory holds none of them."""

import numpy as np
import pytest
from checking import noise, pixels, rules, save, the, write_flowers, write_idx
from PIL import Image

from didact.data.check.images import difference_hash, look_at
from didact.data.check.report import check_data
from didact.errors import DataError

FOUND = {"constant-image", "rotated-image", "image-modes", "image-sizes", "wrong-extension"}


@pytest.fixture
def flowers(tmp_path):
    return write_flowers(tmp_path / "flowers")


def test_healthy_images_are_silent(flowers):
    save(flowers / "rose" / "upright.jpg", Image.fromarray(pixels(90)), exif=turned(1))
    save(flowers / "rose" / "opaque.png", Image.fromarray(pixels(91)).convert("RGBA"))
    report = check_data(flowers)
    assert not FOUND & rules(report)
    assert not report.failed


@pytest.mark.parametrize(("level", "shade"), [(0, "black"), (255, "white"), (90, "grey level 90")])
def test_an_image_of_one_shade(flowers, level, shade):
    save(flowers / "rose" / "dull.png", np.full((40, 40, 3), level, np.uint8))
    save(flowers / "tulip" / "dull.png", np.full((40, 39, 3), level, np.uint8))
    finding = the(check_data(flowers), "constant-image")
    assert (finding.severity, finding.where) == ("warning", "flowers/rose/dull.png")
    assert shade in finding.what
    assert finding.numbers["count"] == 2


def test_an_all_black_image_among_arrays(tmp_path):
    images = noise(40)
    images[7] = 0
    write_idx(tmp_path / "idx", "train", images, [0, 1] * 20)
    assert the(check_data(tmp_path / "idx"), "constant-image").where.endswith("ubyte[7]")


def test_an_image_that_exif_turns(flowers):
    save(flowers / "rose" / "phone.jpg", Image.fromarray(pixels(90)), exif=turned(6))
    finding = the(check_data(flowers), "rotated-image")
    assert (finding.severity, finding.where) == ("warning", "flowers/rose/phone.jpg")


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    ("name", "image", "said"),
    [
        ("print.jpg", Image.fromarray(pixels(90)).convert("CMYK"), "CMYK"),
        ("icon.gif", Image.fromarray(pixels(90)).quantize(16), "a palette"),
        ("scan.png", Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40), "16 bits"),
        ("logo.png", Image.fromarray(np.dstack([pixels(90), pixels(91)[:, :, 0]])), "transparency"),
        ("old.png", Image.fromarray(pixels(90)).convert("L"), "grey among colour"),
    ],
)
def test_images_of_another_mode(flowers, name, image, said):
    save(flowers / "rose" / name, image)
    findings = [f for f in check_data(flowers).findings if f.rule == "image-modes"]
    assert any(said in finding.what for finding in findings)
    assert {(f.severity, f.where) for f in findings} == {("note", f"flowers/rose/{name}")}


def test_sizes(flowers):
    save(flowers / "rose" / "small.png", pixels(90, 36))
    finding = the(check_data(flowers), "image-sizes")
    assert (finding.severity, "wildly" in finding.what) == ("note", False)
    save(flowers / "rose" / "huge.png", pixels(91, 200))
    finding = the(check_data(flowers), "image-sizes")
    assert "3 sizes, most of them 40x40, from 36x36 to 200x200: wildly different" in finding.what


def test_a_name_that_ends_in_something_else(flowers):
    save(flowers / "rose" / "x.png", pixels(90), format="JPEG")
    finding = the(check_data(flowers), "wrong-extension")
    assert (finding.where, finding.what) == ("flowers/rose/x.png", "a JPEG file by its content")


def test_a_look_forgets_the_pixels_and_knows_them_again(tmp_path):
    path, array = save(tmp_path / "a.png", pixels(3)), pixels(3)
    assert look_at(path).digest == look_at(array).digest != look_at(pixels(4)).digest
    assert look_at(path).mean == pytest.approx(np.asarray(Image.fromarray(array).convert("L")).mean())
    (tmp_path / "b.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"b\.png: not an image"):
        look_at(tmp_path / "b.png")


def test_an_image_that_only_a_full_look_finds_broken(flowers, monkeypatch):
    def look(item):
        if item.name == "3.png":
            raise DataError(f"{item}: not an image that can be decoded (bad scan line)")
        return look_at(item)

    monkeypatch.setattr("didact.data.check.images.look_at", look)
    report = check_data(flowers)
    broken = [finding for finding in report.findings if finding.rule == "broken-image"]
    assert [(f.severity, f.where) for f in broken] == [
        ("fatal", "flowers/rose/3.png"),
        ("fatal", "flowers/tulip/3.png"),
    ]
    assert rules(report) == {"broken-image", "small-validation"}


def test_difference_hash_of_a_ramp():
    ramp = Image.fromarray(np.tile(np.arange(0, 180, 2, dtype=np.uint8), (80, 1)))
    assert difference_hash(ramp) == (2**64 - 1, 0)
    assert difference_hash(ramp.transpose(Image.Transpose.ROTATE_270)) == (0, 2**64 - 1)
