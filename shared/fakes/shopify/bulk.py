"""Bulk operations: a query over one connection, run in the background into a JSONL file.

https://shopify.dev/docs/api/usage/bulk-operations/queries (read November 2026). At most five connections, two
levels of them, none inside a list, neither `node` nor `nodes` at the top. A nested connection's nodes become lines
of their own with `__parentId`; with groupObjects they stand right below their parent, without it they come after a
stretch of parents. Five operations at once per shop, files live seven days.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from graphql import OperationType, VariableValues

from shared.fakes.shopify.builders import gid, instant
from shared.fakes.shopify.plan import Field
from shared.fakes.shopify.project import FakeGap, Node, Projector, children, projector
from shared.fakes.shopify.schema import BadRequest, Documents

MAX_CONNECTIONS = 5
MAX_DEPTH = 2
FILE_DAYS = 7
FILES_KEPT = 12  # per shop: 20,000 orders make 60 MB; older ones go early, which a client must bear anyway
UNGROUPED_STRETCH = 100  # parents that are written before their children when objects are not grouped
OPEN = ("CREATED", "RUNNING", "CANCELING")

_COMPACT = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


class BulkRefused(Exception):
    """The mutation's userErrors: code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class BulkRun:
    """One operation; what is kept of it beside its file."""

    number: int
    query: str
    grouped: bool
    status: str
    created_at: str
    completed_at: str | None = None
    error_code: str | None = None
    objects: int = 0
    roots: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Level:
    """How one connection is written: the object's own fields, and the connections below it."""

    own: Projector
    below: tuple[tuple[str, Level], ...]


class BulkOperations:
    """The operations of one shop. `roots` lists the matching objects of a top-level connection."""

    def __init__(
        self,
        folder: Path,
        documents: Documents,
        now: Callable[[], datetime],
        roots: Callable[[Field, VariableValues], Iterator[Node]],
        url_of: Callable[[int], str],
    ) -> None:
        self.limit = 5  # operations at once
        self.wait_s = 5.0  # a poll waits this long for the file before it answers RUNNING
        self.held = False  # True: operations stay RUNNING until released (tests)
        self.failures: list[str] = []  # error codes of the operations to come, in their order (tests)
        self._folder, self._documents, self._now, self._roots, self._url_of = folder, documents, now, roots, url_of
        self._runs: dict[int, BulkRun] = {}
        self._writers: dict[int, threading.Thread] = {}
        self._lock = threading.RLock()
        self._restore()

    def start(self, query: str, grouped: bool) -> BulkRun:
        """Begin an operation. Raises BulkRefused."""
        field, variables = self._checked(query)
        with self._lock:
            if sum(self.state(run) in OPEN for run in list(self._runs.values())) >= self.limit:
                code = "OPERATION_IN_PROGRESS" if self.limit == 1 else "LIMIT_REACHED"
                raise BulkRefused(
                    code, f"A bulk query operation is already in progress; at most {self.limit} may run at once."
                )
            run = BulkRun(max(self._runs, default=0) + 1, query, grouped, "CREATED", instant(self._now()))
            self._runs[run.number] = run
        if self.failures:
            run.status, run.error_code, run.completed_at = "FAILED", self.failures.pop(0), instant(self._now())
        else:
            self._writers[run.number] = threading.Thread(target=self._write, args=(run, field, variables), daemon=True)
            self._writers[run.number].start()
        return run

    def find(self, number: int, *, wait: bool = False) -> BulkRun | None:
        """An operation by its number; with `wait` a poll gives the writer a moment."""
        run = self._runs.get(number)
        if run is not None and wait and not self.held and run.number in self._writers:
            self._writers[run.number].join(self.wait_s)
        return run

    def runs(self) -> list[BulkRun]:
        """All operations, oldest first."""
        return [self._runs[number] for number in sorted(self._runs)]

    def cancel(self, run: BulkRun) -> None:
        """Cancel: the file stays unfinished and is not served."""
        with self._lock:
            if self.state(run) in OPEN:
                run.status, run.completed_at = "CANCELED", instant(self._now())

    def close(self) -> None:
        """Stop writing: nobody will read these files."""
        for run in self.runs():
            self.cancel(run)
        for writer in list(self._writers.values()):
            writer.join()

    def release(self) -> None:
        """Let held operations end."""
        self.held = False

    def expire(self) -> None:
        """Take all files away, as after their seven days: the URLs answer 403."""
        for run in self.runs():
            self.path(run.number).unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        """Where the file of an operation is."""
        return self._folder / f"{number}.jsonl"

    def file(self, number: int) -> Path | None:
        """The file of a completed operation, while it lives."""
        run = self._runs.get(number)
        if run is None or self.state(run) != "COMPLETED" or not self.path(number).exists():
            return None
        age = self._now() - datetime.fromisoformat(run.completed_at or run.created_at)
        return self.path(number) if age < timedelta(days=FILE_DAYS) else None

    def state(self, run: BulkRun) -> str:
        """The status as the vendor would tell it now."""
        return "RUNNING" if self.held and run.status == "COMPLETED" else run.status

    def node(self, run: BulkRun) -> dict[str, Any]:
        """The BulkOperation object."""
        status = self.state(run)
        done = status == "COMPLETED"
        url = self._url_of(run.number) if done and run.objects else None
        return {
            "__typename": "BulkOperation",
            "id": gid("BulkOperation", run.number),
            "type": "QUERY",
            "query": run.query,
            "status": status,
            "errorCode": run.error_code,
            "createdAt": run.created_at,
            "completedAt": run.completed_at if status not in OPEN else None,
            "objectCount": str(run.objects),
            "rootObjectCount": str(run.roots),
            "fileSize": str(run.bytes) if url else None,
            "url": url,
            "partialDataUrl": None,
        }

    def _checked(self, query: str) -> tuple[Field, VariableValues]:
        try:
            operation = self._documents.operation(query)
            variables = self._documents.variables(operation, {})
        except BadRequest as error:
            raise BulkRefused("INVALID", f"Invalid bulk query: {error}") from None
        problem = _problem(operation.kind, operation.fields)
        if problem:
            raise BulkRefused("INVALID", problem)
        return operation.fields[0], variables

    def _write(self, run: BulkRun, field: Field, variables: VariableValues) -> None:
        part = self.path(run.number).with_suffix(".part")
        run.status = "RUNNING"
        try:
            with part.open("wb", buffering=1 << 20) as file:
                self._write_lines(run, file, field, variables)
        except FakeGap as gap:
            # A thread has nobody to raise to: the operation fails, and the reason stands where the process logs.
            print(f"bulk operation {run.number} failed: {gap}", file=sys.stderr)
            run.status, run.error_code = "FAILED", "INTERNAL_SERVER_ERROR"
        with self._lock:
            if run.status != "RUNNING":
                part.unlink(missing_ok=True)
                return
            part.replace(self.path(run.number))
            run.status, run.completed_at = "COMPLETED", instant(self._now())
            self.path(run.number).with_suffix(".json").write_text(json.dumps(asdict(run)), encoding="utf-8")
            self._prune()

    def _write_lines(self, run: BulkRun, file: IO[bytes], field: Field, variables: VariableValues) -> None:
        """Line by line; memory holds one order (or one stretch of them) at a time. A cancelled operation stops here."""
        level = _level(field.node_fields())
        stretch: list[Node] = []
        for root in self._roots(field, variables):
            if run.status != "RUNNING":
                return
            stretch.append(root)
            if run.grouped or len(stretch) == UNGROUPED_STRETCH:
                self._write_stretch(run, file, level, stretch, variables)
                stretch = []
        self._write_stretch(run, file, level, stretch, variables)

    def _write_stretch(
        self, run: BulkRun, file: IO[bytes], level: Level, roots: Sequence[Node], variables: VariableValues
    ) -> None:
        run.roots += len(roots)
        lines = [_line(level.own(root, variables)) for root in roots]
        for root in roots:
            lines += _lines_below(level, root, variables)
        run.objects += len(lines)
        run.bytes += sum(map(len, lines))
        file.writelines(lines)

    def _prune(self) -> None:
        """Keep the newest files only."""
        done = [run.number for run in self.runs() if run.status == "COMPLETED" and self.path(run.number).exists()]
        for number in done[:-FILES_KEPT]:
            self.path(number).unlink(missing_ok=True)
            self.path(number).with_suffix(".json").unlink(missing_ok=True)

    def _restore(self) -> None:
        """Operations of an earlier process that were completed: their files can still be read on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("*.json"):
            run = BulkRun(**json.loads(path.read_text(encoding="utf-8")))
            self._runs[run.number] = run


def _level(fields: Sequence[Field]) -> Level:
    own = projector([field for field in fields if field.kind != "connection"])
    return Level(own, tuple((each.name, _level(each.node_fields())) for each in fields if each.kind == "connection"))


def _lines_below(level: Level, parent: Node, variables: VariableValues) -> Iterator[bytes]:
    for name, below in level.below:
        for child in children(parent.get(name)):
            line = below.own(child, variables)
            line["__parentId"] = parent["id"]
            yield _line(line)
            yield from _lines_below(below, child, variables)


def _line(node: dict[str, Any]) -> bytes:
    return _COMPACT.encode(node).encode("utf-8", "surrogatepass") + b"\n"


def _problem(kind: OperationType, fields: Sequence[Field]) -> str | None:
    """Why the vendor would not run the query in bulk; None when it would."""
    if kind is not OperationType.QUERY:
        return "Invalid bulk query: only queries can be run."
    if len(fields) != 1:
        return "Bulk queries must contain exactly one top-level field."
    if fields[0].name in ("node", "nodes"):
        return "The `node` and `nodes` fields can't be used in bulk queries."
    if fields[0].kind != "connection":
        return "Bulk queries must contain at least one connection."
    count, depth, in_list = _connections(fields, 0, False)
    if in_list:
        return "Queries that contain a connection field within a list field are not currently supported."
    if count > MAX_CONNECTIONS:
        return f"Bulk queries cannot contain more than {MAX_CONNECTIONS} connections."
    if depth > MAX_DEPTH + 1:
        return f"Bulk queries cannot nest connections more than {MAX_DEPTH} levels deep."
    return None


def _connections(fields: Sequence[Field], depth: int, listed: bool) -> tuple[int, int, bool]:
    """(number, deepest level, is one inside a list) of the connections below."""
    count, deepest, in_list = 0, depth, False
    for field in fields:
        is_connection = field.kind == "connection"
        below = field.node_fields() if is_connection else field.children
        got = _connections(below, depth + is_connection, listed or field.kind == "list")
        count += got[0] + is_connection
        deepest = max(deepest, got[1])
        in_list = in_list or got[2] or (is_connection and listed)
    return count, deepest, in_list
