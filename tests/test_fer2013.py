"""FER-2013's own file and FER+'s votes into one data set."""

import numpy as np
import pytest

from fer.errors import InputError
from tests.conftest import noise, shared

pytest.importorskip("datasets")

from train.data import load_rows, load_split
from train.fer2013 import find_copies, prepare_fer2013

USAGES = ("Training", "PublicTest", "PrivateTest")
VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def scene(seed):
    """48 x 48 gray, smooth as a face is: blobs rather than grain."""
    import cv2

    coarse = noise(9, 9, seed=seed)[..., 0]
    return cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)


def write_csv(path, images, usages):
    lines = ["emotion,pixels,Usage"]
    for i, (image, usage) in enumerate(zip(images, usages, strict=True)):
        lines.append(f"{i % 7},{' '.join(map(str, image.ravel()))},{usage}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_votes(path, usages):
    """Row i gives i % 11 votes to anger, the others to no face."""
    lines = [VOTES]
    for i, usage in enumerate(usages):
        lines.append(f"{usage},fer{i:07}.png,0,0,0,0,{i % 11},0,0,0,0,{10 - i % 11}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    """28 pictures a split; the first of test is one of training, mirrored and moved."""
    usages = [usage for usage in USAGES for _ in range(28)]
    images = [scene(i) for i in range(3 * 28)]
    images[56] = np.roll(images[5][:, ::-1], 1, axis=1)
    return write_csv(tmp_path / "fer2013.csv", images, usages), write_votes(
        tmp_path / "votes.csv", usages
    )


def test_copies_are_found_moved_mirrored_and_flattened():
    others = np.stack([scene(i) for i in range(40)])
    flat = np.full((48, 48), 90, np.uint8)
    images = np.stack(
        [
            np.roll(others[3], (2, -1), axis=(0, 1)),
            others[7][:, ::-1],
            others[9] // 2 + 40,
            scene(100),
            flat,
        ]
    )
    found, copied = find_copies(images, np.concatenate([others, flat[None]]))
    assert found.tolist() == [True, True, True, False, False]
    assert np.flatnonzero(copied).tolist() == [3, 7, 9]


def test_the_file_and_the_votes_become_a_data_set(files, tmp_path, monkeypatch):
    from fer.types import ModelConfig

    csv, votes = files
    target = tmp_path / "fer2013"
    report = prepare_fer2013(csv, target, votes)
    assert report["images"].tolist() == [28, 28, 28]
    assert report["twins"].tolist() == [1, 0, 1]
    rows = load_rows(str(target), "test")
    assert rows["cross_split_twin"][:2] == [True, False]
    assert rows["csv_row"][0] == 56
    names = rows.features["label"].names
    config = ModelConfig(class_names=tuple(names), input_size=48, detail_size=48)
    split = load_split(str(target), "test", config)
    assert split.twin.sum() == 1
    assert split.votes[:, names.index("angry")].tolist() == [(56 + i) % 11 for i in range(28)]
    plain = load_split(str(csv), "test", config)
    assert (plain.images == split.images).all()
    assert (plain.labels == split.labels).all()
    assert plain.sha256 == split.sha256
    assert plain.votes is None
    with pytest.raises(InputError, match="new folder"):
        prepare_fer2013(csv, target)


def test_files_that_do_not_belong_together_are_refused(files, tmp_path):
    csv, votes = files
    lines = votes.read_text(encoding="utf-8").splitlines()
    votes.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"84.*83 rows"):
        prepare_fer2013(csv, tmp_path / "out", votes)
    swapped = [lines[0], lines[2], lines[1], *lines[3:]]
    votes.write_text("\n".join(swapped) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="named by their row"):
        prepare_fer2013(csv, tmp_path / "out", votes)
    for cell in ("many", "256", "-1", "0.5", ""):
        votes.write_text("\n".join([*lines[:-1], lines[-1] + cell]), encoding="utf-8")
        if cell == "0.5" or cell == "":
            votes.write_text("\n".join([*lines[:-1], lines[-1][:-1] + cell]), encoding="utf-8")
        with pytest.raises(InputError, match=r"0\.\.255"):
            prepare_fer2013(csv, tmp_path / "out", votes)
    votes.write_text("Usage,neutral\nTraining,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="none called anger, contempt"):
        prepare_fer2013(csv, tmp_path / "out", votes)
    with pytest.raises(InputError, match="must be a table"):
        prepare_fer2013(csv, tmp_path / "out", tmp_path / "missing.csv")
    write_csv(csv, [scene(i) for i in range(7)], ["Training"] * 7)
    with pytest.raises(InputError, match="all three splits"):
        prepare_fer2013(csv, tmp_path / "out")
    write_csv(csv, [scene(i)[:20, :20] for i in range(21)], [u for u in USAGES for _ in range(7)])
    with pytest.raises(InputError, match="48 x 48"):
        prepare_fer2013(csv, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_copies_in_fer2013_are_those_that_are_known():
    """Against marks made in another way; either finds a few that the other does not."""
    source = str(shared("data", "fer2013"))
    train, test = (load_rows(source, name) for name in ("train", "test"))
    others = np.stack([np.asarray(image.convert("L")) for image in train["image"]])
    some = test.select(range(400))
    found, _ = find_copies(
        np.stack([np.asarray(image.convert("L")) for image in some["image"]]), others
    )
    marked = np.asarray(some["cross_split_twin"])
    assert (found & marked).sum() >= 0.93 * marked.sum()
    assert (found & ~marked).sum() <= 0.15 * found.sum()
