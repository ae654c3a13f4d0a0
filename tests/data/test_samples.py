from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import multiprocessing
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sevensteps.data import samples
from sevensteps.data.idx import load_idx
from sevensteps.data.samples import DATASETS, Dataset, RemoteFile, digits, fetch
from sevensteps.errors import DataError, DownloadError


class Handler(BaseHTTPRequestHandler):
    files: dict[str, bytes]
    requests: list[str]

    def do_GET(self) -> None:
        type(self).requests.append(self.path.strip("/"))
        content = self.files.get(self.path.strip("/"), b"")
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    Handler.files, Handler.requests = {}, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def offer(monkeypatch: pytest.MonkeyPatch, server: str, dataset: Dataset, contents: dict[str, bytes]) -> Dataset:
    """A small stand-in for a published dataset, at a loopback server."""
    Handler.files = dict(contents)
    files = tuple(
        RemoteFile(name, (server + name,), len(content), "sha256:" + hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    )
    small = dataclasses.replace(dataset, files=files)
    monkeypatch.setitem(DATASETS, dataset.name, small)
    return small


def idx_contents() -> dict[str, bytes]:
    contents = {}
    for split, count in [("train", 3), ("t10k", 2)]:
        images = b"\0\0\x08\3" + b"".join(n.to_bytes(4, "big") for n in (count, 2, 2)) + bytes(4 * count)
        labels = b"\0\0\x08\1" + count.to_bytes(4, "big") + bytes(range(count))
        contents[f"{split}-images-idx3-ubyte.gz"] = gzip.compress(images)
        contents[f"{split}-labels-idx1-ubyte.gz"] = gzip.compress(labels)
    return contents


def archive(names: list[str], link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/"
            tar.addfile(member)
    return buffer.getvalue()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_idx_files_are_fetched_once_and_then_need_no_network(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    offer(monkeypatch, server, samples.MNIST, idx_contents())
    folder = fetch("mnist", cache=tmp_path)
    assert folder == tmp_path / "datasets" / "mnist"
    assert {split: len(labels) for split, (_, labels) in load_idx(folder).items()} == {"train": 3, "test": 2}
    assert len(Handler.requests) == 4
    assert fetch("mnist", cache=tmp_path) == folder
    assert len(Handler.requests) == 4


def test_a_file_that_went_missing_or_bad_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    offer(monkeypatch, server, samples.MNIST, idx_contents())
    folder = fetch("mnist", cache=tmp_path)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[::-1])
    Handler.requests.clear()
    fetch("mnist", cache=tmp_path)
    assert Handler.requests == ["train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert len(load_idx(folder)) == 2


def test_an_archive_is_unpacked_once_and_not_kept(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> None:
    names = ["mnist_sample/labels.csv", "mnist_sample/train/3/1.png", "mnist_sample/valid/7/2.png"]
    offer(monkeypatch, server, samples.MNIST_SAMPLE, {"mnist_sample.tgz": archive(names)})
    folder = fetch("mnist_sample", cache=tmp_path)
    assert folder == tmp_path / "datasets" / "mnist_sample" / "mnist_sample"
    assert files_in(folder) == ["labels.csv", "train/3/1.png", "valid/7/2.png"]
    assert {path.name for path in folder.parent.iterdir()} == {".lock", "mnist_sample"}
    fetch("mnist_sample", cache=tmp_path)
    assert Handler.requests == ["mnist_sample.tgz"]


def test_an_archive_put_there_by_hand_is_used(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> None:
    content = archive(["mnist_sample/train/3/1.png"])
    offer(monkeypatch, server, samples.MNIST_SAMPLE, {"mnist_sample.tgz": content})
    home = tmp_path / "datasets" / "mnist_sample"
    Handler.files.clear()
    with pytest.raises(DownloadError, match="404") as caught:
        fetch("mnist_sample", cache=tmp_path)
    assert str(home / "mnist_sample.tgz") in caught.value.hint
    (home / "mnist_sample.tgz").write_bytes(content)
    assert files_in(fetch("mnist_sample", cache=tmp_path)) == ["train/3/1.png"]


def test_the_real_sample_is_read_from_the_archive(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path, mnist_sample: Path
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for digit in "37":
            for path in sorted((mnist_sample / "valid" / digit).iterdir())[:20]:
                tar.add(path, f"mnist_sample/valid/{digit}/{path.name}")
    offer(monkeypatch, server, samples.MNIST_SAMPLE, {"mnist_sample.tgz": buffer.getvalue()})
    folder = fetch("mnist_sample", cache=tmp_path)
    assert len(files_in(folder)) == 40
    for name in files_in(folder):
        assert (folder / name).read_bytes() == (mnist_sample / name).read_bytes()


def test_the_classes_of_imagenette_get_readable_names(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    names = [
        f"imagenette2-160/{split}/{wordnet}/1.JPEG" for split in ("train", "val") for wordnet in samples.WORDNET_NAMES
    ]
    offer(monkeypatch, server, samples.IMAGENETTE, {"imagenette2-160.tgz": archive(names)})
    folder = fetch("imagenette", cache=tmp_path)
    for split in ("train", "val"):
        assert {path.name for path in (folder / split).iterdir()} == {
            *("tench", "English springer", "cassette player", "chain saw", "church"),
            *("French horn", "garbage truck", "gas pump", "golf ball", "parachute"),
        }
    assert (folder / "val" / "tench" / "1.JPEG").read_text() == "imagenette2-160/val/n01440764/1.JPEG"


def test_cifar10_is_fetched_in_the_form_that_its_reader_takes(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    from sevensteps.data.cifar import read_cifar10

    top = tmp_path / "cifar-10-batches-bin"
    top.mkdir()
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        (top / name).write_bytes(bytes(3073))
    (top / "batches.meta.txt").write_text("airplane\nautomobile\n\n")
    with tarfile.open(tmp_path / "archive", "w:gz") as tar:
        tar.add(top, top.name)
    content = (tmp_path / "archive").read_bytes()
    offer(monkeypatch, server, samples.CIFAR10, {"cifar-10-binary.tar.gz": content})
    splits, classes = read_cifar10(fetch("cifar10", cache=tmp_path / "cache"))
    assert classes == ["airplane", "automobile"]
    assert len(splits["train"][1]) == 5


def test_a_hostile_archive_leaves_nothing_that_looks_finished(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    content = archive(["mnist_sample/train/3/1.png"], link="mnist_sample/train/7")
    offer(monkeypatch, server, samples.MNIST_SAMPLE, {"mnist_sample.tgz": content})
    with pytest.raises(DownloadError, match="member 'mnist_sample/train/7' is a link"):
        fetch("mnist_sample", cache=tmp_path)
    assert files_in(tmp_path / "datasets" / "mnist_sample") == [".lock", "mnist_sample.tgz"]


def test_what_a_killed_fetch_left_is_removed(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> None:
    offer(monkeypatch, server, samples.MNIST_SAMPLE, {"mnist_sample.tgz": archive(["mnist_sample/a"])})
    home = tmp_path / "datasets" / "mnist_sample"
    for leftover in (".unpacked.tmp", "..unpacked.tmp.abc.tmp"):
        (home / leftover / "mnist_sample").mkdir(parents=True)
    (home / ".mnist_sample.tgz.abc.tmp").write_bytes(b"half")
    fetch("mnist_sample", cache=tmp_path)
    assert {path.name for path in home.iterdir()} == {".lock", "mnist_sample"}


def test_ctrl_c_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> None:
    def interrupt(done_bytes: int, total_bytes: int) -> None:
        raise KeyboardInterrupt

    offer(monkeypatch, server, samples.MNIST, idx_contents())
    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", cache=tmp_path, progress=interrupt)
    assert files_in(tmp_path) == ["datasets/mnist/.lock"]
    fetch("mnist", cache=tmp_path)


def test_progress_counts_all_files_of_a_dataset(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> None:
    dataset = offer(monkeypatch, server, samples.MNIST, idx_contents())
    seen: list[tuple[int, int]] = []
    fetch("mnist", cache=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (dataset.size, dataset.size)


def fetch_in_a_process(cache: Path, dataset: Dataset, results: multiprocessing.SimpleQueue[str]) -> None:
    DATASETS[dataset.name] = dataset
    try:
        results.put(str(fetch(dataset.name, cache=cache)))
    except BaseException as error:
        results.put(repr(error))


def test_fetches_at_the_same_time_download_once(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> None:
    names = [f"mnist_sample/train/3/{number}.png" for number in range(200)]
    dataset = offer(monkeypatch, server, samples.MNIST_SAMPLE, {"mnist_sample.tgz": archive(names)})
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    processes = [context.Process(target=fetch_in_a_process, args=(tmp_path, dataset, results)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    folder = tmp_path / "datasets" / "mnist_sample" / "mnist_sample"
    assert [results.get() for _ in processes] == [str(folder)] * 3
    assert len(files_in(folder)) == 200
    assert Handler.requests == ["mnist_sample.tgz"]


def test_the_cache_folder_is_used_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path))
    offer(monkeypatch, server, samples.MNIST, idx_contents())
    assert fetch("mnist") == tmp_path / "datasets" / "mnist"


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset is called 'minst'") as caught:
        fetch("minst", cache=tmp_path)
    assert caught.value.hint == "known are mnist, mnist_sample, fashion_mnist, cifar10, imagenette"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_every_file_has_an_https_address_a_size_and_a_digest(dataset: Dataset) -> None:
    assert DATASETS[dataset.name] is dataset
    assert dataset.layout in ("idx", "folders", "cifar")
    assert dataset.description
    assert dataset.origin
    assert len(dataset.files) == (4 if dataset.layout == "idx" else 1)
    for file in dataset.files:
        assert file.size > 0
        assert re.fullmatch("sha256:[0-9a-f]{64}", file.digest)
        assert file.urls
        for url in file.urls:
            assert url.startswith("https://")
            assert url.endswith("/" + file.name)


def test_digits_are_those_of_scikit_learn_scaled_to_bytes() -> None:
    from sklearn.datasets import load_digits

    pixels, labels, classes = digits()
    assert (pixels.shape, pixels.dtype) == ((1797, 1, 8, 8), np.uint8)
    assert (labels.shape, labels.dtype) == ((1797,), np.int64)
    assert classes == list("0123456789")
    values = load_digits().images.astype(int)
    np.testing.assert_array_equal(pixels[:, 0], np.array([round(v * 255 / 16) for v in range(17)])[values])
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert labels[:10].tolist() == list(range(10))
