"""Fixed VHDs for the embedded cloud: disks with a partition, a filesystem and files.

Writes them by the Virtual Hard Disk Image Format Specification 1.0; the same inputs produce the same bytes. Does not
validate VHDs; imagefactory/images/vhd_footer.py does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

SECTOR = 512
MIB = 1024 * 1024

_EPOCH = 1_577_836_800  # 2020-01-01, the time of all files in a disk
_VHD_EPOCH = 946_684_800  # 2000-01-01, the epoch of VHD timestamps
_SBIN = ("/usr/sbin", "/sbin", "/opt/homebrew/opt/e2fsprogs/sbin", "/usr/local/opt/e2fsprogs/sbin")


def geometry(size: int) -> tuple[int, int, int]:
    """Return cylinders, heads and sectors per track of a disk of `size` bytes, by the specification's appendix."""
    sectors = min(size // SECTOR, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        per_track, heads = 255, 16
        cylinder_heads = sectors // per_track
    else:
        per_track = 17
        cylinder_heads = sectors // per_track
        heads = max((cylinder_heads + 1023) // 1024, 4)
        if cylinder_heads >= heads * 1024 or heads > 16:
            per_track, heads = 31, 16
            cylinder_heads = sectors // per_track
        if cylinder_heads >= heads * 1024:
            per_track, heads = 63, 16
            cylinder_heads = sectors // per_track
    return cylinder_heads // heads, heads, per_track


def footer(size: int, identifier: uuid.UUID) -> bytes:
    """Return the footer (512 bytes) of a fixed VHD with a virtual size of `size` bytes."""
    cylinders, heads, per_track = geometry(size)
    fields = struct.pack(
        ">8sIIQI4sI4sQQHBBI",
        b"conectix",
        2,  # features: the reserved bit, always set
        0x00010000,
        0xFFFFFFFFFFFFFFFF,  # a fixed disk has no dynamic header
        _EPOCH - _VHD_EPOCH,
        b"imgf",
        0x00010000,
        b"Wi2k",
        size,
        size,
        cylinders,
        heads,
        per_track,
        2,  # fixed
    )
    rest = identifier.bytes.ljust(SECTOR - len(fields) - 4, b"\0")
    checksum = ~sum(fields + rest) & 0xFFFFFFFF
    return fields + struct.pack(">I", checksum) + rest


def make_vhd(path: Path, size: int, seed: str, files: Mapping[str, str], allocated: int = 0) -> None:
    """Write a sparse fixed VHD with a virtual size of `size` bytes (a multiple of 1 MiB, 8 MiB or more).

    Its partition starts at 1 MiB and contains an ext2 filesystem with `files` (path -> text) and, if `allocated` is not
    0, a file of that many pseudo-random bytes. Identifiers and random bytes are derived from `seed`. Without mke2fs and
    debugfs (e2fsprogs; not part of macOS) the partition contains the same bytes without a filesystem: see `has_mke2fs`.
    """
    identifier = uuid.uuid5(uuid.NAMESPACE_URL, seed)
    contents = {name: text.encode() for name, text in sorted(files.items())}
    if allocated:
        contents["fill.bin"] = hashlib.shake_256(seed.encode()).digest(allocated)
    with path.open("wb") as disk:
        disk.write(_boot_record(size, identifier))
        disk.truncate(size)
        if not has_mke2fs():
            disk.seek(MIB)
            disk.write(b"\n".join(contents.values()))
    if has_mke2fs():
        _make_filesystem(path, size, identifier, contents)
    with path.open("r+b") as disk:
        disk.seek(size)
        disk.write(footer(size, identifier))


def has_mke2fs() -> bool:
    """Return whether this machine can create filesystems; if not, disks have none."""
    return all(_tool(name) for name in ("mke2fs", "debugfs"))


def _tool(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SBIN)))


def _boot_record(size: int, identifier: uuid.UUID) -> bytes:
    # These CHS values mean "use the LBA fields", as current partitioning tools write them.
    use_lba, linux = b"\xfe\xff\xff", 0x83
    partition = struct.pack("<B3sB3sII", 0x80, use_lba, linux, use_lba, MIB // SECTOR, (size - MIB) // SECTOR)
    return bytes(440) + identifier.bytes[:4] + bytes(2) + partition + bytes(48) + b"\x55\xaa"


def _make_filesystem(path: Path, size: int, identifier: uuid.UUID, contents: Mapping[str, bytes]) -> None:
    """Create an ext2 filesystem at 1 MiB. mke2fs copies the files' change times, so debugfs resets them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        everything = sorted(each.relative_to(folder) for each in Path(folder).rglob("*"))
        blocks = (size - MIB) // 4096
        _run(
            "mke2fs", "-q", "-F", "-t", "ext2", "-b", "4096", "-m", "0", "-U", str(identifier), "-L", "image",
            "-E", f"offset={MIB},hash_seed={identifier},root_owner=0:0", "-d", folder, str(path), str(blocks),
        )  # fmt: skip
        times = [
            f'sif "/{each}" {field} {value}'
            for each in (Path(), Path("lost+found"), *everything)
            for field, value in (
                *((name, f"@{_EPOCH}") for name in ("atime", "ctime", "mtime", "crtime")),
                *((name, "0") for name in ("atime_extra", "ctime_extra", "mtime_extra", "crtime_extra", "generation")),
                *((name, "0") for name in ("uid", "gid")),
            )
        ]
        script = Path(folder, ".debugfs")
        script.write_text("\n".join(times), encoding="utf-8")
        _run("debugfs", "-w", "-f", str(script), f"{path}?offset={MIB}")


def _run(tool: str, *arguments: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH), "E2FSPROGS_FAKE_TIME": str(_EPOCH)}
    ended = subprocess.run([_tool(tool) or tool, *arguments], env=environment, capture_output=True, check=False)
    if ended.returncode:
        raise OSError(f"{tool} failed: {ended.stderr.decode(errors='replace').strip()}")


def data_ranges(path: Path) -> Iterator[tuple[int, int]]:
    """Return the allocated ranges of a sparse file as (offset, length), in whole sectors, without holes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        end, position = os.fstat(descriptor).st_size, 0
        while position < end:
            try:
                begin = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:  # ENXIO: the rest is a hole
                return
            position = os.lseek(descriptor, begin, os.SEEK_HOLE)
            yield begin, position - begin
    finally:
        os.close(descriptor)
