"""What teachers say of views, and that a pupil sees what they saw."""

from dataclasses import replace

import numpy as np
import pytest

from fer.errors import InputError
from tests.conftest import noise, numbers, opened

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

from tests.toy_data import make_dataset, toy_recipe  # noqa: E402

N_TRAIN = 24


@pytest.fixture
def source(tmp_path):
    return opened(make_dataset(tmp_path / "toy", n=N_TRAIN))


def save_network(path, side, n_votes=0, **choices):
    import keras

    from train.model import build_model, recalibrate_batch_norm

    keras.utils.set_random_seed(side)
    model = build_model(toy_recipe(backbone="cnn", **choices), 2, side, n_votes=n_votes)
    # Without statistics of its own a random network answers nothing.
    recalibrate_batch_norm(model, np.stack([noise(side, side, seed=i)[..., :1] for i in range(4)]))
    model.save(path)
    return model


def recipe(**choices):
    from train.recipes import Phase

    phases = (Phase(32, 3), Phase(32, 1, augment=0.5))
    usual = {"backbone": "cnn", "phases": phases, "batch_size": 10, "mix": 0.5, "views": 2}
    return toy_recipe(**usual | choices)


def test_each_epoch_has_a_view_and_the_views_come_in_turn():
    from train.views import ViewKey, plan_views

    full = [ViewKey(1.0, 0), ViewKey(1.0, 1)]
    assert plan_views(recipe()) == [*full, full[0], ViewKey(0.5, 0)]
    assert plan_views(recipe(views=None)) == [*full, ViewKey(1.0, 2), ViewKey(0.5, 0)]


def test_a_view_follows_from_recipe_and_key():
    from train.views import ViewKey, draw_view

    one, same = (draw_view(recipe(), ViewKey(1.0, 1), 50) for _ in range(2))
    for name in ("order", "moves", "masks"):
        assert (getattr(one, name) == getattr(same, name)).all()
    for other in (
        draw_view(recipe(), ViewKey(1.0, 2), 50),
        draw_view(recipe(), ViewKey(0.5, 1), 50),
        draw_view(recipe(seed=1), ViewKey(1.0, 1), 50),
    ):
        assert (one.order != other.order).any()
        assert (one.moves != other.moves).any()


def test_a_pupil_is_shown_what_its_teacher_saw(tmp_path, source):
    """The pupil's own trainer, with the teacher in the pupil's place, gives the same logits."""
    import keras

    from train.fit import stream_batches
    from train.material import config_of, load_material
    from train.model import build_trainer
    from train.teach import TeacherLogits, teach
    from train.views import plan_views

    path, made = tmp_path / "teacher.keras", recipe()
    teacher = save_network(path, 32, dropout=0.9)
    config = config_of(made, source)
    teach(made, path, source, tmp_path / "taught", config)
    material = load_material(made, source, config)
    taught = TeacherLogits.open([tmp_path / "taught"], made, material)
    trainer = build_trainer(teacher, keras.layers.Identity(), taught.n_logits)
    n_seen = 0
    keys = plan_views(made)
    batches = stream_batches(material, made, keys, taught)
    for _ in range(len(keys) * 3):
        inputs, _ = next(batches)
        joined = numbers(trainer(inputs, training=False))
        assert np.abs(joined[:, :2] - joined[:, 4:]).max() < 5e-3 * np.abs(joined).max()
        n_seen += len(joined)
    assert n_seen == len(keys) * len(material.train.labels)
    assert np.ptp(taught.of(keys[0])) > 1e-3


def test_teachers_of_both_heads_and_any_size_are_heard_together(tmp_path, source):
    from train.material import config_of, load_material
    from train.teach import TeacherLogits, teach_all

    made = recipe(votes=0.5)
    save_network(tmp_path / "small.keras", 48)
    save_network(tmp_path / "large.keras", 64)
    files = [tmp_path / "small.keras", tmp_path / "large.keras"]
    before = teach_all(made, files, source, tmp_path / "out", views=False)
    assert len(list((tmp_path / "out" / "small").glob("*.npy"))) == 1
    found = teach_all(made, files, source, tmp_path / "out")
    assert found == before
    assert list(found) == ["small", "large", "all"]
    assert all(0 <= accuracy <= 1 for accuracy in found.values())
    material = load_material(made, source, config_of(made, source))
    folders = [tmp_path / "out" / name for name in ("small", "large")]
    alone = [TeacherLogits.open([folder], made, material) for folder in folders]
    both = TeacherLogits.open(folders, made, material)
    assert np.allclose(both.of(None), (alone[0].of(None) + alone[1].of(None)) / 2, atol=1e-5)
    assert both.n_logits == 2  # the data has no votes


def test_votes_are_taught_where_all_teachers_know_them(tmp_path, source):
    from train.material import config_of, load_material
    from train.teach import TeacherLogits, teach

    made = recipe()
    save_network(tmp_path / "one.keras", 32)
    save_network(tmp_path / "two.keras", 32, n_votes=8)
    config = config_of(made, source)
    for name in ("one", "two"):
        teach(made, tmp_path / f"{name}.keras", source, tmp_path / name, config)
    material = replace(load_material(made, source, config), n_votes=8)
    one, two = tmp_path / "one", tmp_path / "two"
    for folders, width in (([two], 10), ([one], 2), ([one, two], 2)):
        taught = TeacherLogits.open(folders, made, material)
        assert taught.n_logits == width
        assert taught.of(None).shape[1] == width


def test_teaching_resumes(tmp_path, source):
    from train.material import config_of
    from train.teach import teach

    made, out = recipe(), tmp_path / "taught"
    save_network(tmp_path / "teacher.keras", 32)
    config = config_of(made, source)
    teach(made, tmp_path / "teacher.keras", source, out, config)
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(files) == {
        "teacher.json",
        *("validation.npy", "1-000.npy", "1-001.npy", "0.5-000.npy"),
    }
    kept = out / "1-000.npy"
    kept.write_bytes(b"kept")
    (out / "1-001.npy").unlink()
    teach(made, tmp_path / "teacher.keras", source, out, config)
    assert kept.read_bytes() == b"kept"
    assert (out / "1-001.npy").read_bytes() == files["1-001.npy"]


def test_logits_of_another_run_are_refused(tmp_path, source):
    from train.material import config_of, load_material
    from train.teach import TeacherLogits, teach

    made, out = recipe(), tmp_path / "taught"
    save_network(tmp_path / "teacher.keras", 32)
    config = config_of(made, source)
    teach(made, tmp_path / "teacher.keras", source, out, config)
    material = load_material(made, source, config)
    other = replace(material.train, sha256="other")
    with pytest.raises(InputError, match="others, by views"):
        TeacherLogits.open([out], replace(made, rotation=0.2), material)
    with pytest.raises(InputError, match="others, by images_sha256"):
        TeacherLogits.open([out], made, replace(material, train=other))
    (out / "1-001.npy").unlink()
    with pytest.raises(InputError, match="Missing: 1"):
        TeacherLogits.open([out], made, material)
    save_network(tmp_path / "teacher.keras", 48)
    with pytest.raises(InputError, match="other logits, by teacher"):
        teach(made, tmp_path / "teacher.keras", source, out, config)
    with pytest.raises(InputError, match="must be a folder that `teach` wrote"):
        TeacherLogits.open([tmp_path], made, material)


def test_a_file_that_is_no_teacher_is_refused(tmp_path, source):
    from train.material import config_of
    from train.model import build_model
    from train.teach import teach

    made = recipe()
    config = config_of(made, source)
    build_model(toy_recipe(backbone="cnn"), 3, 32).save(tmp_path / "three.keras")
    (tmp_path / "broken.keras").write_bytes(b"nothing")
    for name, message in (("three", r"\[2\] classes"), ("broken", "teacher"), ("no", "teacher")):
        with pytest.raises(InputError, match=message):
            teach(made, tmp_path / f"{name}.keras", source, tmp_path / "out", config)
    assert not (tmp_path / "out").exists()
