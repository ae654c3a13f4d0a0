"""What a timing depends on: the machine, the system, the project's commit, the date."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CPUINFO, MEMINFO, OS_RELEASE = Path("/proc/cpuinfo"), Path("/proc/meminfo"), Path("/etc/os-release")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


def passport() -> dict[str, Any]:
    """What stays the same for all targets of a run."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "instructions": [name for name in INSTRUCTIONS if name in _field(CPUINFO, "flags|Features").split()],
        "memory_gib": round(int((_field(MEMINFO, "MemTotal") or "0").split()[0]) / 2**20),
        "system": system(),
    }


def now() -> dict[str, Any]:
    """What may differ from target to target: when, and of which commit."""
    return {"date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}", "commit": commit()}


def processor() -> str:
    """The processor's name, as it tells it itself."""
    name = _field(CPUINFO, "model name") or platform.processor() or platform.machine()
    return re.sub(r"\((R|TM|tm|r)\)", "", name).strip()


def system() -> str:
    """The system's name and its kernel's."""
    name = _field(OS_RELEASE, "PRETTY_NAME", "=").strip('"')
    return ", ".join(filter(None, [name, f"{platform.system()} {platform.release()}"]))


def hardware() -> str:
    """The machine in a few letters, for the name of a file: AMD EPYC with 2 cores is amd-epyc-2."""
    return re.sub(r"[^a-z0-9]+", "-", f"{processor()} {os.cpu_count()}".lower()).strip("-")


def commit() -> str:
    """The commit that is checked out, and whether the source differs from it."""
    try:
        head, changed = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "src"])
        )
    except OSError:
        return ""
    return f"{head} with changes" if changed else head


def _field(file: Path, name: str, separator: str = ":") -> str:
    if not file.exists():
        return ""
    found = re.search(rf"^(?:{name})\s*{separator}\s*(.*)$", file.read_text(errors="replace"), re.MULTILINE)
    return found[1] if found else ""
