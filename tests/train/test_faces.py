"""Rendered faces to learn from: what is drawn, and that nothing is drawn twice."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fer.errors import InputError
from tests.conftest import noise

pytest.importorskip("pandas")


def test_a_face_follows_from_its_number_and_seed():
    from tools.render.faces import draw_face

    assert draw_face(3, 0) == draw_face(3, 0)
    assert draw_face(3, 0) != draw_face(3, 1)
    assert draw_face(3, 0) != draw_face(10, 0)


def test_expressions_come_in_turn_with_the_units_that_make_them():
    from tools.render.expressions import EXPRESSIONS
    from tools.render.faces import _NEEDED, draw_face

    actors = [draw_face(i, 0)[0] for i in range(70)]
    for actor, name in zip(actors, 10 * sorted(EXPRESSIONS), strict=True):
        assert actor.expression == name
        strong = {unit for unit, strength in actor.action_units.items() if strength >= 0.45}
        assert set(_NEEDED[name]) <= strong
    assert {actor.person.sex for actor in actors} == {"female", "male"}
    ages = [actor.person.age for actor in actors]
    assert min(ages) < 35
    assert max(ages) > 80


def test_rendering_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    from tools.render import faces

    drawn = []

    def render(actors, camera):
        drawn.append(actors[0].expression)
        return Image.fromarray(noise(8, 8))

    monkeypatch.setattr(faces, "render_scene", render)
    faces.render_faces(tmp_path, 5)
    faces.render_faces(tmp_path, 9)
    assert len(drawn) == 9
    table = np.genfromtxt(tmp_path / faces.FACES_NAME, str, delimiter=",", skip_header=1)
    assert len(table) == 9
    assert all((tmp_path / row[0]).is_file() for row in table)
    assert {row[0].split("/")[0] for row in table} == set(table[:, 1])
    assert len(list(tmp_path.rglob("*.jpg"))) == 9
    with pytest.raises(InputError, match="at least 1"):
        faces.render_faces(tmp_path, 0)


@pytest.mark.parametrize("command", ["faces", "render", "examples"])
def test_without_a_checkout_a_command_says_so(command, tmp_path, monkeypatch):
    from train.__main__ import app

    for name in [name for name in sys.modules if name.partition(".")[0] == "tools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not is_checkout(path)])
    done = CliRunner().invoke(app, [command, str(tmp_path / "out")])
    assert isinstance(done.exception, InputError)
    assert "must run in a checkout" in str(done.exception)
    assert not (tmp_path / "out").exists()


def is_checkout(path):
    return (Path(path) / "tools" / "render").is_dir()
