"""Changes the master key of a stage while everything runs; broken off anywhere, the next call goes on from there.

    announced   the new key stands in the secrets as the previous one: it opens, and does not seal yet
    known       every function has been made to read it; those begun before live 15 minutes at most
    swapped     the new key seals, the old one opens
    sealing     every function has been made to read that; what the old key sealed is sealed anew, in batches
    (none)      finished: the old key is out of the secrets

Where the change stands is a member of the secrets themselves, beside the keys: whoever goes on, from whatever machine,
finds it. `finish` seals anew what the applications read too (credentials), so they must know the new key before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from scripts.owner import OwnerError, WrongUse
from scripts.owner.secrets import StageSecrets
from shared.crypto import KEY_BYTES, MASTER_KEY, PREVIOUS_KEY, Keyring, key_id_of
from shared.jobs.rotation import Rotated

MARK = "INTEGRATION_ENCRYPTION_KEY_ROTATION"
"""Member of the secrets: `<step> <since, ISO 8601>`."""
LIVES = timedelta(seconds=900)
"""An invocation that began before a change lives this long at most, with what it read."""
VARIABLE = "CGK_KEYS"
"""Variable of a function whose change makes Lambda begin new environments, which read the secret anew."""

Step = Literal["idle", "announced", "known", "swapped", "sealing"]
STEPS: tuple[Step, ...] = ("announced", "known", "swapped", "sealing")


class Sealer(Protocol):
    """Seals anew what the previous key sealed, in the stage's database and bucket; see shared/jobs/rotation.py."""

    def columns(self, keyring: Keyring) -> Rotated: ...

    def objects(self, keyring: Keyring) -> Rotated: ...

    def credentials(self, keyring: Keyring) -> Rotated: ...

    def counts(self) -> Mapping[str, Mapping[str, int]]: ...


@dataclass(frozen=True, slots=True)
class State:
    """Where a change of the key stands. `since`: when the step began, None when idle."""

    step: Step
    since: datetime | None
    current: str = field(repr=False)
    previous: str | None = field(repr=False)


class Rotation:
    """The change of one stage's key. `say` gets a sentence for each thing done."""

    def __init__(
        self,
        store: StageSecrets,
        functions: Functions,
        sealer: Callable[[], Sealer],
        *,
        say: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """`sleep`: waits for the time that invocations live; without it the call ends and says when to come back."""
        self._store, self._functions, self._sealer = store, functions, sealer
        self._say, self._now, self._sleep = say, now, sleep

    def state(self) -> State:
        """Read the secrets. The jobs' secret is written first, so the admin's is brought to it when they differ."""
        members = self._store.read("jobs")
        current = members.get(MASTER_KEY)
        if not current:
            raise OwnerError(f"the secret {self._store.name('jobs')} holds no {MASTER_KEY}: push one first")
        ours = {name: members[name] for name in (MASTER_KEY, PREVIOUS_KEY, MARK) if members.get(name)}
        self._store.write("admin", ours, remove=[n for n in (PREVIOUS_KEY, MARK) if n not in ours])
        step, _, since = ours.get(MARK, "").partition(" ")
        if not step:
            if PREVIOUS_KEY in ours:
                raise OwnerError(
                    f"{PREVIOUS_KEY} stands in the secrets without {MARK}: a change by hand is under way; end it first"
                )
            return State("idle", None, current, None)
        if step not in STEPS or PREVIOUS_KEY not in ours:
            raise OwnerError(f"{MARK} is {step!r}, which does not fit the keys beside it; correct the secrets by hand")
        return State(step, datetime.fromisoformat(since), current, ours[PREVIOUS_KEY])

    def advance(self) -> Step:
        """Go on to `sealing` and seal anew, or as far as time allows; the step reached."""
        while True:
            state = self.state()
            match state.step:
                case "idle":
                    self._announce()
                case "announced":
                    self._refresh("known", state)
                case "known":
                    if not self._lived(state):
                        return state.step
                    self._swap(state)
                case "swapped":
                    self._refresh("sealing", state)
                case "sealing":
                    self._seal(state)
                    return state.step

    def finish(self) -> None:
        """Seal credentials and objects anew too, and take the old key out. OwnerError when something still needs it."""
        state = self.state()
        if state.step != "sealing":
            raise WrongUse("there is nothing to finish: rotate has not come to sealing")
        if not self._lived(state):
            raise OwnerError("invocations that still seal with the old key may be under way; finish later")
        keyring, sealer = self._keyring(state), self._sealer()
        self._report("columns", sealer.columns(keyring))
        self._report("objects", sealer.objects(keyring))
        self._report("credentials", sealer.credentials(keyring))
        assert state.previous is not None
        old = key_id_of(state.previous)
        left = {column: keys[old] for column, keys in sealer.counts().items() if keys.get(old)}
        if left:
            raise OwnerError(f"the old key is still needed: {', '.join(f'{n} in {c}' for c, n in left.items())}")
        self._store.write_both({}, remove=(PREVIOUS_KEY, MARK))
        self._say(f"the old key {old} is out of the secrets; {key_id_of(state.current)} is the only one")

    def abandon(self) -> None:
        """Take the new key back, as long as nothing can have been sealed with it."""
        state = self.state()
        if state.step not in ("announced", "known"):
            raise WrongUse(
                "the change cannot be taken back: "
                + ("none is under way" if state.step == "idle" else "the new key has sealed already; go on with rotate")
            )
        self._store.write_both({}, remove=(PREVIOUS_KEY, MARK))
        self._say("the new key is taken back; the old one was never replaced")

    # Steps.

    def _announce(self) -> None:
        new = secrets.token_hex(KEY_BYTES)
        self._store.write_both({PREVIOUS_KEY: new, MARK: self._mark("announced")})
        self._say(f"the new key {key_id_of(new)} stands in the secrets; it opens and does not seal yet")

    def _refresh(self, then: Step, state: State) -> None:
        count = self._functions.refresh(f"{key_id_of(state.current)}-{then}")
        self._store.write_both({MARK: self._mark(then)})
        self._say(f"{count} functions read the secrets anew")

    def _swap(self, state: State) -> None:
        assert state.previous is not None
        new, old = state.previous, state.current
        self._store.write_both({MASTER_KEY: new, PREVIOUS_KEY: old, MARK: self._mark("swapped")})
        self._say(f"the new key {key_id_of(new)} seals from now on, the old one {key_id_of(old)} still opens")

    def _seal(self, state: State) -> None:
        self._report("columns", self._sealer().columns(self._keyring(state)))

    def _report(self, what: str, done: Rotated) -> None:
        self._say(f"{what}: {done.sealed} sealed anew")
        if done.unreadable:
            raise OwnerError(f"{what}: {done.unreadable} can be opened by neither key; nothing was taken out")

    def _lived(self, state: State) -> bool:
        """Whether everything that began before the step is over; waits for it when waiting was asked for."""
        assert state.since is not None
        left = (state.since + LIVES - self._now()).total_seconds()
        if left <= 0:
            return True
        at = state.since + LIVES
        self._say(f"invocations from before live until {at:%H:%M:%S} UTC")
        if self._sleep is None:
            return False
        self._sleep(left)
        return True

    def _mark(self, step: Step) -> str:
        return f"{step} {self._now().isoformat(timespec='seconds')}"

    @staticmethod
    def _keyring(state: State) -> Keyring:
        return Keyring.of({MASTER_KEY: state.current, PREVIOUS_KEY: state.previous or ""})


class Functions:
    """The stage's Lambda functions, by the prefix of their names."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def refresh(self, mark: str) -> int:
        """Make every function begin new environments; their number. Those that carry the mark already are left."""
        pages = self._client.get_paginator("list_functions").paginate()
        names = [f["FunctionName"] for page in pages for f in page["Functions"]]
        ours = [name for name in names if name.startswith(self._prefix)]
        for name in ours:
            function = self._client.get_function_configuration(FunctionName=name)
            variables = dict(function.get("Environment", {}).get("Variables", {}))
            if variables.get(VARIABLE) == mark:
                continue
            # With the revision that was read: a deploy in between makes this fail instead of being undone.
            revision = {"RevisionId": function["RevisionId"]} if function.get("RevisionId") else {}
            self._client.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, VARIABLE: mark}}, **revision
            )
        for name in ours:
            self._client.get_waiter("function_updated_v2").wait(FunctionName=name)
        return len(ours)
