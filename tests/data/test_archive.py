from __future__ import annotations

import gzip
import io
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sevensteps.data import archive as module
from sevensteps.data.archive import unpack
from sevensteps.errors import DownloadError, StorageError

Member = tuple[str, bytes]
PICTURES: list[Member] = [
    ("set/train/cat/1.png", b"meow"),
    ("set/train/dog/1.png", b"woof" * 999),
    ("set/a.csv", b""),
]


def tar_member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0, mode: int = 0o644
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size, member.mode = kind, link, size, mode
    return member


def make_tar(path: Path, members: list[Member | tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                tar.addfile(tar_member(member[0], size=len(member[1])), io.BytesIO(member[1]))
    return path


def make_zip(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            zipped.writestr(name, content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(archive: Path, tmp_path: Path, message: str, **limits: int) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(DownloadError) as caught:
        unpack(archive, tmp_path / "out", **limits)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert str(archive) in str(caught.value)
    assert caught.value.hint
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_unpacked_whatever_its_compression(tmp_path: Path, mode: str) -> None:
    archive = make_tar(tmp_path / "archive", [*PICTURES, tar_member("set/empty", tarfile.DIRTYPE)], mode)
    assert unpack(archive, tmp_path / "deep" / "out") == tmp_path / "deep" / "out"
    assert tree(tmp_path / "deep" / "out") == dict(PICTURES)
    assert (tmp_path / "deep" / "out" / "set" / "empty").is_dir()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "archive", [("set/", b""), *PICTURES])
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == dict(PICTURES)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_dotted_names_are_fine(tmp_path: Path, format: int) -> None:
    name = "./" + "/".join(["folder" * 10] * 4) + "/p\u00efcture.png"
    with tarfile.open(tmp_path / "archive.tar", "w", format=format) as tar:
        tar.addfile(tar_member(name, size=3), io.BytesIO(b"abc"))
    unpack(tmp_path / "archive.tar", tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == b"abc"


def test_no_more_permissions_than_plain_files_have(tmp_path: Path) -> None:
    folder, program = tar_member("a", tarfile.DIRTYPE, mode=0o7777), tar_member("a/run", mode=0o7777)
    unpack(make_tar(tmp_path / "archive", [folder, program]), tmp_path / "out")
    for path, most in [("", 0o755), ("a", 0o755), ("a/run", 0o644)]:
        assert stat.S_IMODE((tmp_path / "out" / path).stat().st_mode) & ~most == 0


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (tar_member("a", tarfile.SYMTYPE, link="/etc/passwd"), "is a link, a device"),
        (tar_member("a", tarfile.SYMTYPE, link="b"), "is a link, a device"),
        (tar_member("a", tarfile.LNKTYPE, link="set/a.csv"), "is a link, a device"),
        (tar_member("a", tarfile.CHRTYPE), "is a link, a device"),
        (tar_member("a", tarfile.BLKTYPE), "is a link, a device"),
        (tar_member("a", tarfile.FIFOTYPE), "is a link, a device"),
        (tar_member("a", b"Z"), "is a link, a device"),
        (tar_member("/a"), "is an absolute path"),
        (tar_member("set\\a"), "is an absolute path, or not a portable one"),
        (tar_member("C:a"), "is an absolute path, or not a portable one"),
        (tar_member("c:/a"), "is an absolute path, or not a portable one"),
        (tar_member("../a"), "leads out of the folder"),
        (tar_member("set/../../a"), "leads out of the folder"),
        (tar_member("set/.."), "leads out of the folder"),
        (tar_member("."), "has no name"),
        (tar_member("set/a.csv"), "is there twice"),
        (tar_member("./set//a.csv"), "is there twice"),
        (tar_member("set/A.CSV"), "is there twice, or collides with 'set/a.csv'"),
        (tar_member("SET/b.csv"), "is there twice, or collides with 'set/'"),
        (tar_member("set/a.csv/b"), "is there twice, or collides with 'set/a.csv'"),
        (tar_member("set/train"), "is there twice, or collides with 'set/train/'"),
        (tar_member("set/train/CAT", tarfile.DIRTYPE), "is there twice, or collides with 'set/train/cat/'"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_a_hostile_member_of_a_tar_is_refused_by_name(tmp_path: Path, member: tarfile.TarInfo, why: str) -> None:
    archive = make_tar(tmp_path / "archive", [*PICTURES, member])
    assert_refused(archive, tmp_path, f"member {member.name!r} {why}")


def zip_member(name: str, kind: int = 0) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o644) << 16
    return member


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (zip_member("a", stat.S_IFLNK), "is a link, a device"),
        (zip_member("a", stat.S_IFCHR), "is a link, a device"),
        (zip_member("/a"), "is an absolute path"),
        (zip_member("a\\b"), "is an absolute path, or not a portable one"),
        (zip_member("C:/a"), "is an absolute path, or not a portable one"),
        (zip_member("../a"), "leads out of the folder"),
        (zip_member("SET/a.csv"), "is there twice, or collides with 'set/'"),
    ],
    ids=lambda value: value.filename if isinstance(value, zipfile.ZipInfo) else "",
)
def test_a_hostile_member_of_a_zip_is_refused_by_name(tmp_path: Path, member: zipfile.ZipInfo, why: str) -> None:
    archive = make_zip(tmp_path / "archive", [*PICTURES, (member, b"content")])
    assert_refused(archive, tmp_path, f"member {member.filename!r} {why}")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "archive", [("a", b"content")])
    content = bytearray(archive.read_bytes())
    for signature, offset in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)]:
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    assert_refused(archive, tmp_path, "member 'a' is encrypted")


def test_the_number_of_files_is_limited(tmp_path: Path) -> None:
    members: list[Member] = [(f"{number}.txt", b"") for number in range(11)]
    assert_refused(
        make_tar(tmp_path / "archive.tgz", [*members]),
        tmp_path,
        "one too many: expected at most 10",
        max_files=10,
    )
    assert_refused(
        make_zip(tmp_path / "archive.zip", [*members]),
        tmp_path,
        "one too many: expected at most 10",
        max_files=10,
    )
    deep = make_tar(tmp_path / "deep.tgz", [("/".join("abcdefghijkl"), b"")])
    assert_refused(deep, tmp_path, "one too many: expected at most 10", max_files=10)


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_the_number_of_bytes_is_limited(tmp_path: Path, make: Callable[[Path, list[Member]], Path]) -> None:
    archive = make(tmp_path / "archive", [("a", bytes(600)), ("b", bytes(600))])
    assert_refused(archive, tmp_path, "member 'b' is too large, or the archive as a whole is", max_bytes=1000)
    unpack(archive, tmp_path / "out", max_bytes=1200)


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, make: Callable[[Path, list[Member]], Path]) -> None:
    archive = make(tmp_path / "archive", [("zeros", bytes(module.RATIO_FREE_BYTES + 1))])
    assert archive.stat().st_size < 50_000
    assert_refused(archive, tmp_path, "member 'zeros' is too large")


def test_a_bomb_in_a_tar_header_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 8 << 20
    archive = make_tar(tmp_path / "archive", [])
    archive.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + b"a" * header.size))
    assert_refused(archive, tmp_path, "a header is too large")


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    block = header.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")
    (tmp_path / "archive").write_bytes(block * 5000)
    assert_refused(tmp_path / "archive", tmp_path, str(tmp_path / "archive"))


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "archive", [("a", bytes(1000))])
    content = archive.read_bytes()
    for lie in (10, 2000):
        archive.write_bytes(content.replace((1000).to_bytes(4, "little"), lie.to_bytes(4, "little")))
        assert_refused(archive, tmp_path, "")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_cut_short_is_refused(tmp_path: Path, mode: str) -> None:
    archive = make_tar(tmp_path / "archive", [("a", random.Random(0).randbytes(100_000))], mode)
    archive.write_bytes(archive.read_bytes()[:50_000])
    assert_refused(archive, tmp_path, "")


@pytest.mark.parametrize("content", [b"", b"no archive" * 200, b"\x1f\x8b broken", b"PK\x03\x04 broken", b"BZh broken"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    assert_refused(tmp_path / "archive", tmp_path, "it is damaged, or not a tar or zip archive")


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "archive", tmp_path, "No such file")


def test_damage_in_the_middle_of_a_tar_is_found(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "archive", [*PICTURES])
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    assert_refused(archive, tmp_path, "cannot read the archive")


def test_what_comes_after_the_end_of_a_tar_is_found(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "archive", [*PICTURES], "w")
    content = archive.read_bytes()
    archive.write_bytes(content + bytes(100_000))
    unpack(archive, tmp_path / "padded")
    archive.write_bytes(content + b"more")
    assert_refused(archive, tmp_path, "it goes on after its end")
    second = content.index(b"set/train/dog")
    archive.write_bytes(content[:second] + b"SET" + content[second + 3 :])  # its header's checksum is now wrong
    assert_refused(archive, tmp_path, "it goes on after its end")


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "archive", [*PICTURES])
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError, match="it is there already"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(done_bytes: int, total_bytes: int) -> None:
        raise KeyboardInterrupt

    for make in (make_tar, make_zip):
        archive = make(tmp_path / "archive", [*PICTURES])
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, tmp_path / "out", progress=interrupt)
        assert list(tmp_path.iterdir()) == [archive]


def test_progress_counts_the_bytes_of_the_archive(tmp_path: Path) -> None:
    for make in (make_tar, make_zip):
        archive, seen = make(tmp_path / "archive", [*PICTURES]), []
        unpack(
            archive,
            tmp_path / make.__name__,
            progress=lambda done, total, seen=seen: seen.append((done, total)),
        )
        assert seen == sorted(seen)
        assert len(seen) == len(PICTURES)
        assert all(0 < done <= total == archive.stat().st_size for done, total in seen)
