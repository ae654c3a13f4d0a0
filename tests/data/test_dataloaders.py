from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, TensorDataset

from sevensteps.data import dataloaders
from sevensteps.data.augment import Shift
from sevensteps.data.dataloader import DataLoader
from sevensteps.data.dataloaders import DataLoaders
from sevensteps.data.listing import Refused
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import DataError, RequestError


def save(root: Path, name: str, value: int = 0, size: tuple[int, int] = (6, 5)) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path, "png")


def save_classes(root: Path, **counts: int) -> Path:
    """A folder for each class with so many pictures, each of its own grey."""
    for number, (label, count) in enumerate(counts.items()):
        for n in range(count):
            save(root, f"{label}/{n}.png", 10 * number + n)
    return root


def greys(loader: DataLoader) -> list[int]:
    return sorted(loader.collection.pixels[:, 0, 0, 0].tolist())


def random_pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


class WithClasses(Dataset):
    classes = ("no", "yes")

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index >= self.n:
            raise IndexError
        return torch.full((1, 2, 2), float(index)), index % 2


@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_the_splits_of_a_folder_are_kept_apart(tmp_path, valid):
    save_classes(tmp_path / "train", b=3, a=2)
    save(tmp_path, f"{valid}/a/x.png", 100)
    save(tmp_path, "test/b/y.png", 200)
    dls = DataLoaders.from_folder(tmp_path)
    assert list(dls.splits) == ["train", "valid", "test"]
    assert [greys(loader) for loader in dls.splits.values()] == [[0, 1, 2, 10, 11], [100], [200]]
    assert dls.counts == {"train": {"a": 2, "b": 3}, "valid": {"a": 1, "b": 0}, "test": {"a": 0, "b": 1}}
    assert dls.vocab == ["a", "b"]
    assert dls.notes == dls.refused == []
    assert (dls.input_shape, dls.preprocessing) == ((1, 5, 6), Preprocessing(1, 5, 6))
    assert dls.sizes == {"6×5 grey": 7}


def test_training_alone_is_shuffled_and_changed(tmp_path):
    save_classes(tmp_path / "train", a=9, b=9)
    save_classes(tmp_path / "valid", a=9, b=9)
    save_classes(tmp_path / "test", a=9, b=9)
    dls = DataLoaders.from_folder(tmp_path, augment=Shift(1), batch_size=5, seed=3)
    assert [(loader.shuffle, loader.augment, loader.batch_size) for loader in dls.splits.values()] == [
        (True, Shift(1), 5),
        (False, None, 5),
        (False, None, 5),
    ]
    assert torch.cat([yb for _, yb in dls.valid]).tolist() == [0] * 9 + [1] * 9


def test_of_class_folders_alone_a_stratified_part_is_set_aside_and_told(tmp_path):
    save_classes(tmp_path, a=10, b=20)
    dls = DataLoaders.from_folder(tmp_path, seed=4)
    assert dls.counts == {"train": {"a": 8, "b": 16}, "valid": {"a": 2, "b": 4}}
    assert not set(dls.train.collection.names) & set(dls.valid.collection.names)
    assert dls.test is None
    [note] = dls.notes
    assert note == (
        "no validation pictures were given: 6 of the 30 training pictures are set aside for validation "
        "(stratified by class, seed 4)"
    )
    again, other = DataLoaders.from_folder(tmp_path, seed=4), DataLoaders.from_folder(tmp_path, seed=5)
    drawn = [[*dls.valid.collection.names] for dls in (again, dls, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_test_set_is_never_used_to_choose_by(tmp_path):
    save_classes(tmp_path / "train", a=5, b=5)
    save_classes(tmp_path / "test", a=5, b=5)
    dls = DataLoaders.from_folder(tmp_path, valid_fraction=0.4)
    assert dls.counts["valid"] == {"a": 2, "b": 2}
    assert dls.counts["test"] == {"a": 5, "b": 5}
    assert all(name.startswith("train/") for name in dls.valid.collection.names)


def test_a_fraction_that_is_not_needed_is_told(tmp_path):
    save_classes(tmp_path / "train", a=5, b=5)
    save_classes(tmp_path / "valid", a=1, b=1)
    dls = DataLoaders.from_folder(tmp_path, valid_fraction=0.4)
    assert dls.notes == ["valid_fraction was not used: the data have validation pictures of their own"]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_that_is_none_is_told(fraction):
    with pytest.raises(RequestError, match=f"valid_fraction is {fraction}"):
        DataLoaders.from_arrays(random_pictures(4, 3, 3), [0, 1, 0, 1], valid_fraction=fraction)


def test_subfolders_belong_to_their_class(tmp_path):
    for name in ("train/a/x/1.png", "train/a/y/z/2.png", "train/b/1.png", "valid/b/deep/1.png"):
        save(tmp_path, name)
    assert DataLoaders.from_folder(tmp_path).counts == {"train": {"a": 2, "b": 1}, "valid": {"a": 0, "b": 1}}


def test_refused_files_are_listed_and_training_goes_on(tmp_path):
    save_classes(tmp_path / "train", a=3, b=3)
    save_classes(tmp_path / "valid", a=1, b=1)
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"")
    (tmp_path / "valid" / "b" / "notes.txt").write_text("x")
    dls = DataLoaders.from_folder(tmp_path)
    assert dls.refused == [
        Refused("train/a/0.png", "empty", "the file is empty"),
        Refused("valid/b/notes.txt", "not-a-picture", dls.refused[1].message),
    ]
    assert dls.counts == {"train": {"a": 2, "b": 3}, "valid": {"a": 1, "b": 1}}


def test_another_preprocessing_can_be_asked_for(tmp_path):
    save_classes(tmp_path, a=5, b=5)
    dls = DataLoaders.from_folder(tmp_path, preprocessing=Preprocessing(3, 4, 4))
    assert dls.one_batch()[0].shape[1:] == dls.input_shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("header", "mark"),
    [
        ("path,label,split", {"train": "train", "valid": "val"}),
        ("fname,label,is_valid", {"train": "False", "valid": "True"}),
    ],
)
def test_a_csv_gives_the_loaders_that_the_folder_gives(tmp_path, header, mark):
    save_classes(tmp_path / "train", b=3, a=2)
    save_classes(tmp_path / "valid", a=1, b=1)
    folder = DataLoaders.from_folder(tmp_path)
    rows = [
        [name, name.split("/")[1], mark[split]]
        for split, loader in folder.splits.items()
        for name in loader.collection.names
    ]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    dls = DataLoaders.from_csv(tmp_path / "labels.csv")
    assert (dls.vocab, dls.counts) == (folder.vocab, folder.counts)
    for split in ("train", "valid"):
        ours, theirs = dls.splits[split].collection, folder.splits[split].collection
        assert torch.equal(ours.pixels, theirs.pixels)
        assert torch.equal(ours.labels, theirs.labels)


def test_a_csv_without_splits_is_cut(tmp_path):
    save_classes(tmp_path, a=5, b=5)
    lines = [f"{label}/{n}.png,{label}" for label in "ab" for n in range(5)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *lines, "gone.png,a"]))
    dls = DataLoaders.from_csv(tmp_path / "labels.csv", batch_size=2)
    assert dls.counts == {"train": {"a": 4, "b": 4}, "valid": {"a": 1, "b": 1}}
    assert [(path, reason) for path, reason, _ in dls.refused] == [("gone.png", "missing")]
    assert len(dls.notes) == 1


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [
        ((20, 5, 6), (1, 5, 6)),
        ((20, 5, 6, 3), (3, 5, 6)),
        ((20, 3, 5, 6), (3, 5, 6)),
        ((20, 1, 5, 6), (1, 5, 6)),
    ],
)
def test_arrays_of_pictures_are_batches_between_0_and_1(shape, input_shape):
    x = random_pictures(*shape)
    dls = DataLoaders.from_arrays(x, ["dog", "cat"] * 10, batch_size=4)
    xb, yb = dls.one_batch()
    assert xb.shape == (4, *input_shape)
    assert dls.input_shape == input_shape
    assert (xb.dtype, yb.dtype) == (torch.float32, torch.int64)
    assert dls.vocab == ["cat", "dog"]
    seen = torch.cat([xb for xb, _ in dls.valid])
    assert seen.min() >= 0
    assert 0.5 < seen.max() <= 1


def test_every_picture_of_the_arrays_is_in_one_part_with_its_own_label():
    x = np.arange(40, dtype=np.uint8).reshape(40, 1, 1).repeat(2, 1)
    y = np.array(["odd" if n % 2 else "even" for n in range(40)])
    dls = DataLoaders.from_arrays(x, y)
    seen = {}
    for loader in dls.splits.values():
        for xb, yb in loader:
            seen |= {
                round(float(value) * 255): dls.vocab[label] for value, label in zip(xb[:, 0, 0, 0], yb, strict=True)
            }
    assert seen == {n: "odd" if n % 2 else "even" for n in range(40)}


def test_floats_are_given_as_they_are():
    x = np.linspace(-3, 3, 80).reshape(20, 4)
    dls = DataLoaders.from_arrays(x, [0, 1] * 10, valid=(x[:4], [1, 1, 0, 0]), test=(x[:2], [0, 1]))
    assert dls.input_shape == (4,)
    assert dls.preprocessing is None
    xb, yb = next(iter(dls.valid))
    assert torch.equal(xb, torch.tensor(x[:4]).float())
    assert yb.tolist() == [1, 1, 0, 0]
    assert dls.counts["train"] == {"0": 10, "1": 10}
    assert list(dls.splits) == ["train", "valid", "test"]


def test_torch_datasets_bring_their_classes():
    dls = DataLoaders.from_torch(WithClasses(6), WithClasses(4), batch_size=4)
    assert dls.vocab == ["no", "yes"]
    assert dls.input_shape == (1, 2, 2)
    assert [yb.tolist() for _, yb in dls.valid] == [[0, 1, 0, 1]]
    assert (dls.train.shuffle, dls.valid.shuffle, dls.test) == (True, False, None)
    assert DataLoaders.from_torch(WithClasses(6), vocab=["x", "y"]).vocab == ["x", "y"]


def test_one_dataset_for_training_and_validation_is_shuffled_in_training_alone():
    data = TensorDataset(torch.rand(6, 2), torch.arange(6))
    dls = DataLoaders.from_torch(data, data, data)
    assert [loader.shuffle for loader in dls.splits.values()] == [True, False, False]
    assert dls.vocab is None
    assert dls.counts == {}


def test_any_loaders_will_do():
    data = TensorDataset(torch.rand(8, 1, 3, 3), torch.arange(8))
    dls = DataLoaders(
        TorchDataLoader(data, 4, generator=torch.Generator()), [(torch.rand(2, 1, 3, 3), torch.tensor([0, 1]))]
    )
    assert dls.input_shape == (1, 3, 3)
    assert list(dls.splits) == ["train", "valid"]
    assert dls.counts == {}
    assert torch.equal(dls.one_batch()[0], data.tensors[0][:4])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_statistics_are_those_of_all_training_pixels(channels):
    x = random_pictures(31, channels, 5, 6)
    dls = DataLoaders.from_arrays(
        x, [0, 1] * 15 + [0], valid=(x[:2], [0, 1]), batch_size=4, augment=lambda xb, _: xb + 9
    )
    mean, spread = dls.statistics
    assert mean == pytest.approx((x / 255).mean((0, 2, 3)).tolist(), abs=1e-6)
    assert spread == pytest.approx((x / 255).std((0, 2, 3)).tolist(), abs=1e-6)


def test_the_statistics_of_floats_are_those_of_all_values():
    x = np.random.default_rng(0).normal(3, 2, (200, 5)).astype(np.float32)
    mean, spread = DataLoaders.from_arrays(x, [0, 1] * 100, valid=(x[:2], [0, 1]), batch_size=4).statistics
    assert mean == pytest.approx([x.mean()], abs=1e-5)
    assert spread == pytest.approx([x.std()], abs=1e-5)


@pytest.mark.parametrize("limits", [{"MOST_STATISTICS": 10}, {"MOST_VALUES": 10 * 30}])
def test_the_statistics_of_very_many_pixels_are_those_of_an_even_part(monkeypatch, limits):
    for name, value in limits.items():
        monkeypatch.setattr(dataloaders, name, value)
    x = random_pictures(40, 5, 6)
    mean, _ = DataLoaders.from_arrays(x, [0, 1] * 20, valid=(x[:2], [0, 1])).statistics
    assert mean == pytest.approx([(x[::4] / 255).mean()], abs=1e-6)


def test_the_spread_is_never_0_so_that_it_can_be_divided_by():
    x = np.full((4, 3, 3), 255, np.uint8)
    assert DataLoaders.from_arrays(x, [0, 1, 0, 1]).statistics == ([1.0], [pytest.approx(1e-3)])
    alone = DataLoaders([(torch.zeros(1, 1, 1, 1), torch.zeros(1))])
    assert alone.statistics == ([0.0], [pytest.approx(1e-3)])


def test_looking_at_shape_and_statistics_does_not_move_the_epoch():
    x = np.random.default_rng(0).normal(size=(20, 5))
    looked, plain = (DataLoaders.from_arrays(x, [0, 1] * 10, batch_size=4) for _ in range(2))
    _ = looked.input_shape, looked.statistics, looked.counts
    for (xb, _), (plain_xb, _) in zip(looked.train, plain.train, strict=True):
        assert torch.equal(xb, plain_xb)


def test_one_batch_is_the_first_of_the_next_epoch():
    dls, other = (DataLoaders.from_arrays(random_pictures(20, 3, 3), [0, 1] * 10, batch_size=4) for _ in range(2))
    for _ in range(2):
        xb, yb = dls.one_batch()
        first_xb, first_yb = next(iter(other.train))
        assert torch.equal(xb, first_xb)
        assert torch.equal(yb, first_yb)


def test_a_loader_without_batches_is_told():
    for train in ([], DataLoader([], 4), DataLoader(range(3), 4, drop_last=True)):
        with pytest.raises(DataError, match="the training loader has no batch"):
            DataLoaders(train).one_batch()


@pytest.mark.parametrize(
    ("shape", "n", "shown"), [((20, 5, 6), 9, 9), ((20, 5, 6, 3), 4, 4), ((20, 5, 6), 7, 7), ((4, 5, 6), 9, 2)]
)
def test_show_batch_is_a_figure_of_pictures_with_their_classes(shape, n, shown):
    x = random_pictures(*shape)
    dls = DataLoaders.from_arrays(x, ["dog", "cat"] * (shape[0] // 2))
    figure = dls.show_batch(n)
    assert isinstance(figure, Figure)
    pictures = [axis for axis in figure.axes if axis.images]
    assert len(pictures) == shown
    assert {axis.get_title() for axis in pictures} <= {"cat", "dog"}
    assert all(axis.get_title() for axis in pictures)


def test_show_batch_takes_the_chapters_column_of_labels_and_no_vocab():
    data = list(zip(torch.rand(4, 1, 3, 3), torch.tensor([[1], [0], [1], [0]]), strict=True))
    for vocab, titles in ((None, {"0", "1"}), (["7", "3"], {"7", "3"})):
        figure = DataLoaders.from_torch(data, vocab=vocab).show_batch()
        assert {axis.get_title() for axis in figure.axes if axis.images} == titles


def test_show_batch_of_no_pictures_is_told():
    dls = DataLoaders.from_arrays(np.zeros((4, 5)), [0, 1, 0, 1])
    with pytest.raises(RequestError, match=r"a batch of shape \(2, 5\) is no pictures"):
        dls.show_batch()
    with pytest.raises(RequestError, match="n is 0"):
        DataLoaders.from_arrays(random_pictures(4, 5, 5), [0, 1, 0, 1]).show_batch(0)


def test_a_path_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no such path: (?s:.)*hint: check the spelling"):
        DataLoaders.from_folder(tmp_path / "nothing")


def test_a_file_instead_of_a_folder_is_told(tmp_path):
    save(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"a.png is a file\n  hint: expected a folder"):
        DataLoaders.from_folder(tmp_path / "a.png")


def test_no_pictures_are_told(tmp_path):
    with pytest.raises(DataError, match=r"no usable pictures to train on in [^;]*\n  hint: expected train/<class>"):
        DataLoaders.from_folder(tmp_path)


def test_where_every_picture_was_refused_the_first_reason_is_told(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"no usable pictures .*; 2 refused, the first a/1.png: the file is empty\n"):
        DataLoaders.from_folder(tmp_path)


def test_test_and_valid_alone_are_nothing_to_train_on(tmp_path):
    save_classes(tmp_path / "valid", a=2, b=2)
    save_classes(tmp_path / "test", a=2, b=2)
    with pytest.raises(DataError, match="no usable pictures to train on"):
        DataLoaders.from_folder(tmp_path)


def test_one_class_is_told(tmp_path):
    save_classes(tmp_path / "train", a=3)
    with pytest.raises(DataError, match=r"only one class, 'a', in (?s:.)*hint: .*two classes"):
        DataLoaders.from_folder(tmp_path)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_class_that_training_lacks_is_told(tmp_path, split):
    save_classes(tmp_path / "train", a=3, b=3)
    save_classes(tmp_path / split, a=1, c=2)
    with pytest.raises(DataError, match=rf"{split} has classes that training did not have, in .*: 'c' \(2 pictures\)"):
        DataLoaders.from_folder(tmp_path)


def test_a_class_with_one_picture_is_named_where_a_part_must_be_cut(tmp_path):
    save_classes(tmp_path, crow=3, heron=1)
    with pytest.raises(DataError, match="class 'heron' has one picture only"):
        DataLoaders.from_folder(tmp_path)


def test_a_class_with_one_picture_will_do_where_validation_pictures_are_given(tmp_path):
    save_classes(tmp_path / "train", crow=3, heron=1)
    save_classes(tmp_path / "valid", crow=1)
    assert DataLoaders.from_folder(tmp_path).counts["train"] == {"crow": 3, "heron": 1}


def test_photographs_of_mixed_sizes_become_batches(flowers):
    dls = DataLoaders.from_folder(flowers, preprocessing=Preprocessing(3, 32, 32))
    classes = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
    assert dls.vocab == classes
    assert dls.counts == {"train": dict.fromkeys(classes, 80), "valid": dict.fromkeys(classes, 25)}
    assert dls.refused == []
    xb, yb = dls.one_batch()
    assert (xb.shape, len(yb)) == ((64, 3, 32, 32), 64)
    assert all(0.2 < value < 0.7 for value in dls.statistics[0])


def test_of_awkward_files_every_one_is_used_or_refused(awkward, tmp_path):
    files = sorted(path for path in awkward.rglob("*") if path.is_file() and path.parent != awkward)
    found = 0
    for number, path in enumerate(files):
        folder = tmp_path / "ab"[number % 2] / str(number)
        folder.mkdir(parents=True)
        (folder / path.name).hardlink_to(path)
        found += not path.name.startswith(".") and path.name.lower() not in ("thumbs.db", "desktop.ini")
    dls = DataLoaders.from_folder(tmp_path, preprocessing=Preprocessing(3, 16, 16))
    good = sum(loader.n for loader in dls.splits.values())
    assert good + len(dls.refused) == found
    assert good > 100
    assert len(dls.refused) > 10
    assert all(refused.reason and refused.message for refused in dls.refused)
    assert len({refused.path for refused in dls.refused}) == len(dls.refused)


def test_whole_numbers_as_labels_keep_the_order_of_numbers():
    x, y = np.zeros((24, 4, 4), np.uint8), np.arange(24) % 12
    dls = DataLoaders.from_arrays(x, y, valid=(x, y))
    assert dls.vocab == [str(number) for number in range(12)]
    assert dls.valid.collection.labels.tolist() == y.tolist()


def test_test_pictures_have_no_say_in_the_preprocessing(tmp_path):
    for split, mode in (("train", "L"), ("valid", "L"), ("test", "RGB")):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            Image.new(mode, (8, 8) if mode == "L" else (30, 30)).save(tmp_path / split / label / "0.png")
    assert DataLoaders.from_folder(tmp_path).preprocessing == Preprocessing(1, 8, 8)


def test_a_file_beside_the_split_folders_is_named(tmp_path):
    for split in ("train", "valid"):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / split / label / "0.png")
    Image.new("L", (8, 8)).save(tmp_path / "lost.png")
    assert [(item.path, item.reason) for item in DataLoaders.from_folder(tmp_path).refused] == [
        ("lost.png", "no-split")
    ]


def test_a_source_by_any_name_gives_loaders():
    assert len(DataLoaders.from_source().vocab) == 10


def test_loaders_say_what_they_hold():
    dls = DataLoaders.from_arrays(np.zeros((10, 4, 4), np.uint8), ["a", "b"] * 5)
    assert repr(dls) == "DataLoaders(train 8, valid 2; classes ['a', 'b'])"


@pytest.mark.parametrize("labels", [["a" * 257, "b"], [str(number) for number in range(10_001)]])
def test_more_or_longer_names_than_a_model_may_have_are_told_before_the_training(labels):
    pixels = np.zeros((len(labels), 4, 4), np.uint8)
    with pytest.raises(DataError, match="at most 10,000 classes can be told apart, with names of at most 256"):
        DataLoaders.from_arrays(pixels, labels)


def test_a_validation_split_that_is_cut_has_no_copy_of_a_training_picture():
    once = np.random.default_rng(0).integers(0, 256, (30, 12, 12), np.uint8)
    nearly = (once[:10] * 0.99 + 1).astype(np.uint8)
    pixels = np.concatenate([once, once, nearly])
    dls = DataLoaders.from_arrays(pixels, [number % 3 for number in [*range(30), *range(30), *range(10)]])
    train, valid = (
        {picture.tobytes() for picture in dls.splits[split].collection.pixels.numpy()} for split in dls.splits
    )
    assert len(valid) > 3
    assert not train & valid
    rows = {split: dls.splits[split].collection.rows.tolist() for split in dls.splits}
    of_which = {number: number % 30 if number < 60 else number - 60 for number in range(70)}
    assert not {of_which[row] for row in rows["train"]} & {of_which[row] for row in rows["valid"]}
    assert 10 <= len(rows["valid"]) <= 14
    assert dls.notes[-1].endswith("(stratified by class, seed 0; copies stay together)")
