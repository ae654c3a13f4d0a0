"""An environment for each rival, built once from `requirements/<rival>.txt`; sevensteps runs in the project's own."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".environments"
STAMP = ".requirements.txt"  # in an environment: what it was built from


def python_of(name: str, environments: Path) -> Path:
    """The Python of the environment `name`."""
    return Path(sys.executable) if name == "sevensteps" else environments / name / "bin" / "python"


def build(name: str, environments: Path) -> str:
    """Make the environment `name` where it is not there, or not from these requirements; what went wrong, or ""."""
    requirements = HERE / "requirements" / f"{name}.txt"
    if name == "sevensteps":
        return ""
    stamp = environments / name / STAMP
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return ""
    print(f"building the environment {name}", flush=True)
    python = python_of(name, environments)
    commands = [[str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]]
    if not python.exists():
        commands.insert(0, [sys.executable, "-m", "venv", str(environments / name)])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"its environment could not be built: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}"
    stamp.write_text(requirements.read_text())
    return ""
