"""A cloud assembly on disk: the templates of one version of the app, what they are made of, and how large that is."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.local.deploy import zipped
from scripts.owner import OwnerError

MAX_ZIP_BYTES = 50 * 1024 * 1024
"""Lambda's limit of one zip that is uploaded directly; ours is for code and libraries together."""
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024
"""Lambda's limit of code and layers together, unzipped."""
MANIFEST = "manifest.json"
QUEUE = "AWS::SQS::Queue"
Template = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Package:
    """What a set of functions is made of; bytes."""

    functions: tuple[str, ...]
    code: int
    libraries: int
    unzipped: int

    @property
    def zipped(self) -> int:
        return self.code + self.libraries

    @property
    def fits(self) -> bool:
        return self.zipped < MAX_ZIP_BYTES and self.unzipped < MAX_UNZIPPED_BYTES


@dataclass(frozen=True)
class Assembly:
    """The folder that a synthesis has filled. A packed one (from `records`) lacks the zips' contents."""

    folder: Path

    @cached_property
    def stacks(self) -> tuple[str, ...]:
        """Names of the stacks, each after those that it depends on."""
        artifacts = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))["artifacts"]
        needs = {name: a.get("dependencies", []) for name, a in artifacts.items() if a["type"].endswith(":stack")}
        ordered: list[str] = []
        while len(ordered) < len(needs):
            ready = [n for n, on in needs.items() if n not in ordered and all(o in ordered for o in on if o in needs)]
            ordered += sorted(ready)
        return tuple(ordered)

    def template(self, stack: str) -> Template:
        """The stack's template."""
        found: Template = json.loads(self._template_file(stack).read_text(encoding="utf-8"))
        return found

    def digest(self, stack: str) -> str:
        """SHA-256 of the template: equal for equal versions, since assets are named by their contents."""
        return hashlib.sha256(self._template_file(stack).read_bytes()).hexdigest()

    def _template_file(self, stack: str) -> Path:
        return self.folder / f"{stack}.template.json"

    # Packing: without the contents of assets, which stay in the account's bucket of assets.

    def pack(self) -> bytes:
        """The templates and manifests as a zip; some ten kilobytes per stack."""
        kept = {MANIFEST: self._lean_manifest(), "cdk.out": (self.folder / "cdk.out").read_bytes()}
        for stack in self.stacks:
            for name in (f"{stack}.template.json", f"{stack}.assets.json"):
                kept[name] = (self.folder / name).read_bytes()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in kept.items():
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        return out.getvalue()

    def _lean_manifest(self) -> bytes:
        """Without what leads to files that are not packed: the tree of constructs and the paths of this machine."""
        manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        artifacts = {
            name: a for name, a in manifest["artifacts"].items() if a["type"].endswith((":stack", ":asset-manifest"))
        }
        for artifact in artifacts.values():
            artifact.pop("additionalMetadataFile", None)
            artifact.pop("metadata", None)
        return json.dumps({**manifest, "artifacts": artifacts}, indent=1).encode()

    def with_queues_of(self, other: Assembly) -> list[tuple[str, str]]:
        """Take over the queues that only `other` has, so that going back deletes no message: (stack, physical name)."""
        names: list[tuple[str, str]] = []
        for stack in self.stacks:
            if not other._template_file(stack).exists():
                continue
            mine, theirs = self.template(stack), other.template(stack)["Resources"]
            added = {id: r for id, r in theirs.items() if r["Type"] == QUEUE and id not in mine["Resources"]}
            if added:
                mine["Resources"].update(added)
                self._replace_template(stack, json.dumps(mine, indent=1))
                names += [(stack, resource["Properties"]["QueueName"]) for resource in added.values()]
        return sorted(names)

    def _replace_template(self, stack: str, text: str) -> None:
        """Write another template; it is an asset named by its contents, so the manifests name it anew."""
        path = self._template_file(stack)
        assets = self.folder / f"{stack}.assets.json"
        files = json.loads(assets.read_text(encoding="utf-8"))["files"]
        old = next(name for name, each in files.items() if each["source"]["path"] == path.name)
        new = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(text, encoding="utf-8")
        for manifest in (assets, self.folder / MANIFEST):
            manifest.write_text(manifest.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    # Sizes.

    def assets(self) -> set[Path]:
        """Folders and files of which the stacks' assets are made."""
        found: set[Path] = set()
        for stack in self.stacks:
            files = json.loads((self.folder / f"{stack}.assets.json").read_text(encoding="utf-8"))["files"]
            found |= {self.folder / each["source"]["path"] for each in files.values()}
        return found

    def packages(self) -> list[Package]:
        """What the functions are made of, those of one make together; each asset is zipped once to be measured."""
        measured: dict[str, tuple[int, int]] = {}
        made: dict[tuple[int, int, int], list[str]] = {}
        for stack in self.stacks:
            resources = self.template(stack)["Resources"]
            sizes = self._sizes(stack, measured)
            for resource in resources.values():
                if resource["Type"] == "AWS::Lambda::Function":
                    made.setdefault(_made_of(resource, resources, sizes), []).append(_name(resource))
        return [Package(tuple(sorted(names)), *sizes) for sizes, names in sorted(made.items())]

    def _sizes(self, stack: str, measured: dict[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
        """(zipped, unzipped) bytes of the stack's assets, by the name of their object."""
        files = json.loads((self.folder / f"{stack}.assets.json").read_text(encoding="utf-8"))["files"]
        for each in files.values():
            path = self.folder / each["source"]["path"]
            if each["source"]["packaging"] != "zip" or path.name in measured:
                continue
            unzipped = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            measured[path.name] = (len(zipped(path)), unzipped)
        objects = [(d["objectKey"], Path(e["source"]["path"]).name) for e in files.values() for d in _destinations(e)]
        return {key: measured[name] for key, name in objects if name in measured}


def _destinations(asset: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return list(asset["destinations"].values())


def _made_of(
    function: Mapping[str, Any], resources: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]]
) -> tuple[int, int, int]:
    code = sizes[function["Properties"]["Code"]["S3Key"]]
    layers = [resources[layer["Ref"]] for layer in function["Properties"].get("Layers", ())]
    libraries = [sizes[layer["Properties"]["Content"]["S3Key"]] for layer in layers]
    return code[0], sum(size for size, _ in libraries), code[1] + sum(size for _, size in libraries)


def _name(function: Mapping[str, Any]) -> str:
    return str(function["Properties"]["FunctionName"])


def unpack(packed: bytes, folder: Path) -> Assembly:
    """Put a packed assembly into an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            if Path(name).name != name:
                raise OwnerError(f"the stored deployment is damaged: it names a file {name!r}")
            (folder / name).write_bytes(archive.read(name))
    return Assembly(folder)


def synthesize(build: Callable[[str], Any], folder: Path) -> Assembly:
    """Run the CDK app in this process. The folder is kept: what is built already under its hash is not built anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    build(str(folder)).synth()
    assembly = Assembly(folder)
    for left in set(folder.glob("asset.*")) - assembly.assets():
        shutil.rmtree(left, ignore_errors=True)  # of versions before
    return assembly
