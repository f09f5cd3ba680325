"""What the command line of training says besides its results."""

import gc
import io
import logging
import sys

import pytest

from tests.conftest import noise

pytest.importorskip("datasets")

import typer
from PIL import Image
from tqdm import tqdm

from train import __main__ as command_line
from train.data.dataset import open_dataset


class Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self):
        return True


def test_a_warning_is_a_line_of_its_own_beside_a_bar(monkeypatch):
    app = typer.Typer()

    @app.command()
    def work():
        with tqdm(total=3, file=sys.stderr) as bar:
            bar.update(1)
            bar.refresh()
            logging.getLogger("train").warning("mind the gap")

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "argv", ["train"])
    monkeypatch.setattr(command_line, "app", app)
    monkeypatch.setattr(logging.root, "handlers", [])
    with pytest.raises(SystemExit) as done:
        command_line.main()
    assert not done.value.code
    lines = terminal.getvalue().replace("\n", "\r").split("\r")
    assert "WARNING train: mind the gap" in lines


# `datasets` leaves the file open.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("layout", ["metadata", "parquet"])
def test_a_folder_is_opened_without_bars(tmp_path, capsys, layout):
    import datasets

    rows = ["file_name,label"]
    for i in range(16):
        Image.fromarray(noise(8, 8, seed=i)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'happy' if i % 2 else 'sad'}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    source = tmp_path
    if layout == "parquet":
        source = tmp_path / "table"
        source.mkdir()
        open_dataset(str(tmp_path)).given["train"].to_parquet(str(source / "train.parquet"))
        capsys.readouterr()
    shown = datasets.are_progress_bars_disabled()
    assert sum(map(len, open_dataset(str(source)).splits.values())) == 16
    assert capsys.readouterr().err == ""
    assert datasets.are_progress_bars_disabled() == shown
    gc.collect()
