"""Near duplicates: the same picture resized, relit or compressed; not pictures that are merely alike."""

import numpy as np
from checking import noise, pixels, rules, save, the, write_flowers, write_idx
from PIL import Image

from didact.data.check.images import look_at
from didact.data.check.near import near_pairs
from didact.data.check.report import check_data


def test_a_picture_saved_again_is_noted_across_splits(tmp_path):
    root = write_flowers(tmp_path / "flowers", ("train", "test"))
    picture = Image.fromarray(pixels(1))
    save(root / "test" / "rose" / "compressed.jpg", picture, quality=60)
    save(root / "test" / "rose" / "larger.png", picture.resize((96, 96)))
    save(root / "test" / "rose" / "darker.png", (pixels(2) * 0.8).astype(np.uint8))
    report = check_data(root)
    finding = the(report, "near-duplicates")
    assert (finding.severity, finding.law.code) == ("note", "D06")
    found = {frozenset(place.split(" ~ ")) for place in finding.places}
    for copy, original in (("compressed.jpg", "0"), ("larger.png", "0"), ("darker.png", "1")):
        assert frozenset((f"flowers/test/rose/{copy}", f"flowers/train/rose/{original}.png")) in found
    assert finding.numbers["across"] == 3
    assert "same-in-two-splits" not in rules(report)


def test_other_pictures_are_not_near(tmp_path):
    assert "near-duplicates" not in rules(check_data(write_flowers(tmp_path / "flowers", count=60)))


def test_small_images_are_alike_without_being_copies(tmp_path):
    images = noise(40)
    images[1] = images[0]
    images[1, 0, 0] ^= 1
    write_idx(tmp_path / "idx", "train", images, [0, 1] * 20)
    assert "near-duplicates" not in rules(check_data(tmp_path / "idx"))


def test_every_pair_within_three_bits_is_found():
    looks = [look_at(pixels(k)) for k in range(80)]
    looks += [look_at((pixels(k) * 0.9 + 5).astype(np.uint8)) for k in range(80)]
    brute = [
        (i, j)
        for i in range(len(looks))
        for j in range(i + 1, len(looks))
        if (looks[i].across ^ looks[j].across).bit_count() <= 3
        and (looks[i].down ^ looks[j].down).bit_count() <= 3
    ]
    assert near_pairs(looks) == brute
    assert len(brute) > 70
