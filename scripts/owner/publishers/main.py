"""Write what is generated below publishers/, or say what is stale.

scripts/publishers [--check]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.local import ROOT
from scripts.owner.publishers import python, schemas, typescript
from scripts.owner.publishers.contracts import Contract, all_contracts

FOLDER = ROOT / "publishers"
SCHEMAS = "schemas"
TYPESCRIPT = "typescript/src/events.ts"
SAMPLES = "typescript/test/samples.ts"
PYTHON = "python/cgk_publisher/events.py"


def files(contracts: Sequence[Contract]) -> dict[str, str]:
    """Every generated file below publishers/ and its text."""
    found = {f"{SCHEMAS}/{schemas.file_name(contract)}": schemas.render(contract) for contract in contracts}
    found[TYPESCRIPT] = typescript.render(contracts)
    found[SAMPLES] = typescript.render_samples(contracts)
    found[PYTHON] = formatted(python.render(contracts))
    return found


def formatted(text: str) -> str:
    """Python as ruff leaves it, without imports that no event needs: the project's own checks hold for it too."""
    name = str(FOLDER / PYTHON)
    for command in (["check", "--fix-only", "--select", "E501,F401,I,RUF100"], ["format"]):
        whole = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", name, "-"]
        text = subprocess.run(whole, input=text, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    return text


def stale(wanted: Mapping[str, str], folder: Path = FOLDER) -> list[str]:
    """What is wrong with the files, one sentence each; empty when all are fresh."""
    found: list[str] = []
    for name, text in wanted.items():
        path = folder / name
        if not path.exists():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{name} is not what the contracts give")
    return found + [f"{SCHEMAS}/{path.name} belongs to no event" for path in left_over(wanted, folder)]


def write(wanted: Mapping[str, str], folder: Path = FOLDER) -> list[str]:
    """Write all files and remove schemas of events that are gone; the names of what changed."""
    changed: list[str] = []
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    for path in left_over(wanted, folder):
        path.unlink()
        changed.append(f"{SCHEMAS}/{path.name}")
    return changed


def left_over(wanted: Mapping[str, str], folder: Path) -> list[Path]:
    """Schemas that belong to no event any more."""
    return [path for path in sorted((folder / SCHEMAS).glob("*.json")) if f"{SCHEMAS}/{path.name}" not in wanted]


def main(argv: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the files, or with --check say what is stale (exit 1)."""
    parser = argparse.ArgumentParser(prog="scripts/publishers", description="Generate publishers/ from the contracts.")
    parser.add_argument("--check", action="store_true", help="only say which files are stale; exit 1 if any is")
    check: bool = parser.parse_args(argv).check
    contracts = all_contracts()
    wanted = files(contracts)
    found = stale(wanted, folder) if check else write(wanted, folder)
    if check and found:
        print("; ".join(found) + ": run scripts/publishers", file=sys.stderr)
        return 1
    fresh = f"publishers of {len(contracts)} events are fresh"
    print(fresh if check or not found else f"written: {', '.join(found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
