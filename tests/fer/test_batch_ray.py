"""The same rows from two machines of a Ray cluster, which here are two of one machine's nodes."""

import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import time

import psutil
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fer import FerError
from fer.batch import analyse_folder
from tests import batch_pipelines
from tests.batch_pipelines import HANGS, KILLS, NO_FACE, RAISES, TWO_FACES, marked
from tests.conftest import ROOT
from tests.fer.test_batch import break_files, data_set, errors, own_cache, picture, rows  # noqa: F401

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = [
    pytest.mark.slow,
    # Ray warns of settings of its own, and leaves files and processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    """A head without work and two nodes with a core each."""
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def sorted_bytes(path, sort_keys):
    """A table as the bytes of a CSV file, its rows sorted."""
    table = pq.read_table(path).sort_by([(key, "ascending") for key in sort_keys])
    content = io.BytesIO()
    pyarrow.csv.write_csv(table, content)
    return content.getvalue()


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "pictures"
    for number in range(100):
        mark = {0: NO_FACE, 1: TWO_FACES}.get(number % 10, 255)
        picture(source / f"{number % 3}" / f"{number:03}.png", mark, seed=number)
    break_files(sorted(source.rglob("*.png"))[5::20])
    return source


@pytest.mark.long
def test_two_nodes_give_the_rows_of_a_local_run(cluster, folder, tmp_path):
    seen = []
    report = analyse_folder(
        folder,
        tmp_path / "ray.parquet",
        engine="ray",
        address=cluster.address,
        make_pipeline=marked,
        on_progress=seen.append,
    )
    assert not multiprocessing.active_children()
    assert (report.n_files, report.n_errors) == (100, 5)
    assert (seen[-1].n_done, seen[-1].n_total) == (100, 100)
    analyse_folder(folder, tmp_path / "local.parquet", make_pipeline=marked, n_workers=2)
    for suffix, keys in ((".parquet", ("file", "face")), (".errors.parquet", ("file",))):
        one = sorted_bytes(tmp_path / f"ray{suffix}", keys)
        assert one == sorted_bytes(tmp_path / f"local{suffix}", keys)


@pytest.mark.long
def test_two_nodes_read_faces_as_one_machine_does(cluster, tmp_path, hub):
    """With the real model, whose probabilities are compared to their last digit."""
    source = tmp_path / "people"
    source.mkdir()
    for path in sorted((ROOT / "examples").glob("*.jpg")):
        for copy in range(4):  # enough that both nodes get some
            shutil.copy(path, source / f"{copy}_{path.name}")
    options = {"detector": "slim", "n_workers": 2}
    there = {"engine": "ray", "address": cluster.address}
    report = analyse_folder(source, tmp_path / "ray.parquet", **options, **there)
    assert report.n_faces > report.n_files > 40
    analyse_folder(source, tmp_path / "local.parquet", **options)
    one, other = (
        sorted_bytes(tmp_path / f"{name}.parquet", ("file", "face")) for name in ("ray", "local")
    )
    assert one == other
    assert one.count(b"\n") == report.n_faces + 1


@pytest.mark.long
def test_files_that_kill_or_hang_cost_only_themselves(cluster, folder, tmp_path):
    for number, mark in ((3, KILLS), (50, HANGS), (77, RAISES)):
        picture(folder / f"{number % 3}" / f"{number:03}.png", mark)
    report = analyse_folder(
        folder,
        tmp_path / "out.parquet",
        engine="ray",
        address=cluster.address,
        make_pipeline=marked,
        timeout_s=3,
    )
    assert report.n_files == 100
    wrong = errors(tmp_path / "out.parquet")
    assert wrong["0/003.png"]["message"] == "the process that read it died: signal 9"
    assert wrong["2/050.png"]["error"] == "TimeoutError"
    assert wrong["2/077.png"]["message"] == "a decoder gave up"


@pytest.mark.long
def test_begun_here_and_gone_on_with_there(cluster, folder, tmp_path):
    output = tmp_path / "out.parquet"

    def stop(progress):
        if progress.n_done == 40:
            raise KeyboardInterrupt

    options = {"make_pipeline": marked, "n_workers": 2}
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        analyse_folder(
            folder, output, engine="ray", address=cluster.address, on_progress=stop, **options
        )
    assert not multiprocessing.active_children()
    report = analyse_folder(folder, output, **options)
    assert (report.n_files, report.n_done_before) == (100, 40)
    analyse_folder(folder, tmp_path / "whole.parquet", **options)
    assert rows(output) == rows(tmp_path / "whole.parquet")
    assert errors(output) == errors(tmp_path / "whole.parquet")


@pytest.mark.long
def test_a_leader_that_dies_takes_nobody_along(cluster, folder, tmp_path):
    """Ray ends a process in which anybody asks it something after its shutdown."""
    output = tmp_path / "out.parquet"

    def kill(progress):
        if progress.n_done == 40:
            (leader,) = multiprocessing.active_children()
            leader.kill()

    there = {"make_pipeline": marked, "engine": "ray", "address": cluster.address}
    with pytest.raises(FerError, match="Ray's main process ended with exit code -9"):
        analyse_folder(folder, output, on_progress=kill, **there)
    report = analyse_folder(folder, output, **there)
    assert report.n_files == 100
    assert report.n_done_before >= 40


CONNECTED = """
import sys
import ray
from fer.batch import analyse_folder
from tests.batch_pipelines import marked

if __name__ == "__main__":
    ray.init(address=sys.argv[1], log_to_driver=False)
    report = analyse_folder(sys.argv[2], sys.argv[3], engine="ray", make_pipeline=marked)
    print(report.n_files, ray.is_initialized(), flush=True)
"""


@pytest.mark.long
def test_a_connection_of_the_callers_is_used_and_kept(cluster, folder, tmp_path):
    script = tmp_path / "connected.py"
    script.write_text(CONNECTED)
    done = subprocess.run(
        [sys.executable, script, cluster.address, folder, tmp_path / "out.csv"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == ["100", "True"], done.stderr


@pytest.mark.long
def test_a_data_set_on_two_nodes(cluster, data_set, own_cache, tmp_path):  # noqa: F811
    options = {"make_pipeline": marked, "split": "test"}
    ours = {"engine": "ray", "address": cluster.address}
    analyse_folder(data_set, tmp_path / "ray.parquet", **options, **ours)
    analyse_folder(data_set, tmp_path / "local.parquet", **options)
    assert rows(tmp_path / "ray.parquet") == rows(tmp_path / "local.parquet")
    assert errors(tmp_path / "ray.parquet") == errors(tmp_path / "local.parquet")


@pytest.mark.long
def test_a_machine_with_another_detector_stops_the_run(cluster, folder, tmp_path):
    with pytest.raises(FerError, match=r"marked and .*another and"):
        analyse_folder(
            folder,
            tmp_path / "out.csv",
            engine="ray",
            address=cluster.address,
            make_pipeline=batch_pipelines.elsewhere,
        )
    assert not multiprocessing.active_children()


def test_no_cluster_there(folder, tmp_path):
    with pytest.raises(FerError, match="no Ray cluster answers at"):
        analyse_folder(
            folder,
            tmp_path / "out.csv",
            engine="ray",
            address="127.0.0.1:1",
            make_pipeline=marked,
        )


@pytest.mark.long
def test_a_cluster_of_its_own_is_started_and_stopped(folder, tmp_path):
    report = analyse_folder(
        folder, tmp_path / "out.csv", engine="ray", make_pipeline=marked, n_workers=2
    )
    assert report.n_files == 100
    assert not multiprocessing.active_children()


@pytest.mark.long
def test_ctrl_c_leaves_no_cluster_behind(folder, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    before = raylets()
    with pytest.raises(KeyboardInterrupt):
        analyse_folder(
            folder, tmp_path / "out.csv", engine="ray", make_pipeline=marked, on_progress=stop
        )
    assert not multiprocessing.active_children()
    deadline = time.monotonic() + 60
    while raylets() > before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert raylets() <= before


def raylets():
    """The processes of all Ray nodes on this machine."""
    return {p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "raylet"}
