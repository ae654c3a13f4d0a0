from __future__ import annotations

from pathlib import Path

import pytest

from sevensteps.data.csv_labels import PATH_COLUMNS, list_csv
from sevensteps.errors import DataError


def write(folder: Path, text: str | bytes, *pictures: str) -> Path:
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    file = folder / "labels.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def shown(file: Path) -> dict[str, list[tuple[str, str]]]:
    listing = list_csv(file)
    return {
        split: [*zip(map(listing.relative, files.paths), files.labels, strict=True)]
        for split, files in listing.splits.items()
    }


@pytest.mark.parametrize("column", PATH_COLUMNS)
def test_the_path_may_have_any_of_its_names_in_any_place(tmp_path, column):
    assert shown(write(tmp_path, f"{column},label\na.png,3\n", "a.png")) == {"train": [("a.png", "3")]}
    assert shown(write(tmp_path, f"label,more,{column}\n3,x,a.png\n")) == {"train": [("a.png", "3")]}


def test_a_split_column_has_all_the_names_of_the_splits(tmp_path):
    values = {"train": "train", "Training": "train", "": "train", "valid": "valid", "val": "valid", " VAL ": "valid",
              "validation": "valid", "test": "test", "testing": "test"}  # fmt: skip
    for value, split in values.items():
        assert shown(write(tmp_path, f"path,label,split\na.png,3,{value}\n", "a.png")) == {split: [("a.png", "3")]}


def test_fastais_is_valid_is_understood(tmp_path):
    for value in ("True", "1", "yes", "t"):
        assert list(shown(write(tmp_path, f"fname,label,is_valid\na.png,3,{value}\n", "a.png"))) == ["valid"]
    for value in ("False", "0", "no", "F", ""):
        assert list(shown(write(tmp_path, f"fname,label,is_valid\na.png,3,{value}\n", "a.png"))) == ["train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label,split\na.png,3,holdout\n", "line 2: the split is 'holdout'\n  hint: expected train, valid"),
        ("path,label,is_valid\na.png,3,maybe\n", "line 2: is_valid is 'maybe'\n  hint: expected true or false"),
        ("path,label,split\na.png,3\n\n\na.png,3,x\n", "line 5: the split is 'x'"),
        ('path,label,split\n"a\n.png",3\na.png,3,x\n', "line 4: the split is 'x'"),
    ],
)
def test_a_wrong_split_is_told_with_its_line(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        list_csv(write(tmp_path, text, "a.png"))
    assert message in str(caught.value)
    assert "labels.csv" in str(caught.value)


def test_missing_files_are_listed_and_the_rest_goes_on(tmp_path):
    listing = list_csv(
        write(tmp_path, f"path,label\na.png,3\nno.png,7\n{'n' * 300},7\nx\0y.png,7\nb.png,7\n", "a.png", "b.png")
    )
    assert [Path(path).name for path in listing.splits["train"].paths] == ["a.png", "b.png"]
    assert [(path, reason) for path, reason, _ in listing.refused] == [
        ("no.png", "missing"),
        ("n" * 300, "missing"),
        ("x\0y.png", "missing"),
    ]
    assert listing.refused[0].message == "line 3 of labels.csv names a file that is not there"


@pytest.mark.parametrize("line", ["a.png,", ",3", "a.png", "a.png,  ", '"",""'])
def test_a_line_without_path_or_label_is_listed(tmp_path, line):
    listing = list_csv(write(tmp_path, f"path,label\n{line}\na.png,3\n", "a.png"))
    assert listing.refused == [("labels.csv line 2", "no-label", "the line lacks a path or a label")]
    assert len(listing.splits["train"]) == 1


def test_quotes_bom_windows_lines_and_spaces_are_understood(tmp_path):
    text = b'\xef\xbb\xbfpath,label\r\n"a, b.png","say ""3"""\r\n c.png , 7 \r\n'
    assert shown(write(tmp_path, text, "a, b.png", "c.png")) == {"train": [("a, b.png", 'say "3"'), ("c.png", "7")]}


@pytest.mark.parametrize("name", ["two\r\nlines.png", "Icon\r.png", "花 ü.png"])
def test_a_quoted_name_is_taken_letter_by_letter(tmp_path, name):
    assert shown(write(tmp_path, f'path,label\n"{name}",3\n', name)) == {"train": [(name, "3")]}


def test_paths_start_at_the_csv_and_may_lead_out_of_its_folder(tmp_path):
    (tmp_path / "beside.png").write_bytes(b"x")
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "other.png").write_bytes(b"x")
    text = f"path,label\nsub/a.png,3\n../beside.png,7\n{tmp_path / 'other.png'},7\n"
    listing = list_csv(write(folder, text, "sub/a.png"))
    assert listing.refused == []
    assert [Path(path).resolve() for path in listing.splits["train"].paths] == [
        folder / "sub" / "a.png",
        tmp_path / "beside.png",
        tmp_path / "other.png",
    ]


def test_more_fields_than_columns_do_no_harm(tmp_path):
    assert shown(write(tmp_path, "path,label\na.png,3,more,and more\nb.png,7\n", "a.png", "b.png")) == {
        "train": [("a.png", "3"), ("b.png", "7")]
    }


@pytest.mark.parametrize(
    "text", ["Path;Label\na.png;3\n", "image\tlabel\na.png\t3\n", "\ufeffPATH , LABEL\r\na.png,3\r\n"]
)
def test_semicolons_tabs_and_capitals_are_understood(tmp_path, text):
    assert shown(write(tmp_path, text, "a.png")) == {"train": [("a.png", "3")]}


def test_a_file_that_is_named_twice_counts_once_so_that_no_split_can_leak(tmp_path):
    text = "path,label,split\na.png,3,train\nb.png,7,train\n./a.png,3,valid\n"
    listing = list_csv(write(tmp_path, text, "a.png", "b.png"))
    assert [(item.path, item.reason) for item in listing.refused] == [("./a.png", "duplicate")]
    assert "line 4 names a file that line 2 names too" in listing.refused[0].message
    assert "valid" not in listing.splits


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bytes(range(256)), id="binary"),
        pytest.param("path,label\na.png,3\n".encode("utf-16"), id="utf-16"),
        pytest.param(b'path,label\n"a.png,3\n', id="open quote"),
        pytest.param(b"path,label\n" + b"a" * 200_000 + b",3\n", id="a field that never ends"),
    ],
)
def test_what_is_no_csv_is_told(tmp_path, content):
    with pytest.raises(DataError, match=r"(?s)cannot read .*labels.csv as a CSV: .*hint: expected UTF-8 text"):
        list_csv(write(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a,b\nc,d\n", "a, b"),
        ("path|label\na.png|3\n", "path|label"),
        ("path,class\na.png,3\n", "path, class"),
        ("label\n3\n", "label"),
        ("a.png,3\n", "a.png, 3"),
        ("", "none"),
        ("\n\n", "none"),
        ("\0\0\0\0", "\0\0\0\0"),
    ],
)
def test_wrong_columns_are_told_with_those_that_are_there(tmp_path, text, columns):
    with pytest.raises(DataError) as caught:
        list_csv(write(tmp_path, text))
    assert caught.value.message == f"{tmp_path / 'labels.csv'} has the columns {columns}"
    assert "path,label[,split]" in caught.value.hint


def test_a_header_alone_names_no_pictures(tmp_path):
    with pytest.raises(DataError, match=r"labels.csv names no pictures\n  hint: expected a line for each picture"):
        list_csv(write(tmp_path, "path,label\n"))


@pytest.mark.parametrize("name", ["nothing.csv", ".", "no\0thing.csv"])
def test_a_file_that_cannot_be_opened_is_told(tmp_path, name):
    with pytest.raises(DataError, match="cannot read"):
        list_csv(tmp_path / name)
