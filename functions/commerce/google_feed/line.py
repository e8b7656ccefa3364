"""The connection of one run to Google: its token, its data source, and eight calls at a time.

Calls run in threads; the database and the settings are touched by the main thread only, between two rounds of calls. A
round ends early when one call says that the others would fail too; what was not tried is left for the next message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from shared.google_feed import store
from shared.google_feed.differences import Decision, digest
from shared.google_feed.offers import Offer
from shared.google_feed.settings import SET_DATA_SOURCE, FeedSettings
from shared.google_feed.store import There
from shared.integrations.google_auth import UNAUTHORIZED, access_token
from shared.integrations.merchant import Answer, DailyLimit, Merchant, Missing, Refused, Unauthorized, input_name
from shared.jobs import JobContext, Permanent
from shared.jobs.errors import JobError

SEND_CONCURRENCY = 8
"""Parallel requests per tenant."""

Kept = tuple[There, Refused]
"""An input that Google does not delete, and why."""
T = TypeVar("T")
Stop = JobError | DailyLimit
Said = Answer | Stop | Unauthorized | None
"""What a call came to; None: it was not tried."""


@dataclass(frozen=True, slots=True)
class Task:
    """An offer to be sent, and how."""

    offer: Offer
    decision: Decision


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a task. `answer` None: it was not tried. `act`: what was sent in the end."""

    task: Task
    answer: Answer | None
    act: Literal["insert", "patch"]

    @property
    def content_hash(self) -> str:
        """Of the content that Google has now."""
        return digest(self.task.offer.content) if self.act == "insert" else self.task.decision.content_hash


class Line:
    """Google, for one run of one tenant. Make it where no session is open."""

    def __init__(self, ctx: JobContext, settings: FeedSettings) -> None:
        self._ctx, self._settings = ctx, settings
        self._merchant: Merchant | None = None
        self._renewed = self._replaced = False
        self._source = settings.data_source_name
        self._sources: dict[tuple[str, str], str] | None = None
        with ctx.tenant_session(read_only=True) as session:
            if store.moved_place(session, settings.place):
                self._source = None  # a data source belongs to one language and label

    @property
    def settings(self) -> FeedSettings:
        return self._settings

    def data_source(self) -> str:
        """The data source of our inputs: the one in the settings, else looked up, else made."""
        if self._source is None:
            self._source = self._find() or self._make()
            with self._ctx.tenant_session() as session:
                session.execute(SET_DATA_SOURCE, {"name": self._source, "id": self._settings.id})
            self._settings = replace(self._settings, data_source_name=self._source)
        return self._source

    def ask(self, question: Callable[[Merchant], T]) -> T:
        """One call outside of a round. A refused token is renewed once; Permanent GOOGLE_UNAUTHORIZED after that."""
        try:
            return question(self._google())
        except Unauthorized:
            self._renew()
        try:
            return question(self._google())
        except Unauthorized:
            pass  # raised below, without context
        raise Permanent(UNAUTHORIZED, "Google refuses a new token")

    def push(self, tasks: Sequence[Task]) -> tuple[list[Sent], Stop | None]:
        """Insert and patch; (what became of each task, why the round stopped early).

        A data source that is gone is looked up or made anew once; DATA_SOURCE_GONE when that one is gone as well.
        """
        done, stop = self._push(tasks)
        lost = [sent.task for sent in done if isinstance(sent.answer, Missing)]
        if stop is not None or not lost:
            return done, stop
        kept = [sent for sent in done if not isinstance(sent.answer, Missing)]
        if self._replaced:
            untried = [Sent(task, None, "insert") for task in lost]
            return [*kept, *untried], Permanent("DATA_SOURCE_GONE", "the data source was made anew and is gone again")
        self._replaced, self._source, self._sources = True, None, None
        again, stop = self.push(lost)
        return [*kept, *again], stop

    def _push(self, tasks: Sequence[Task]) -> tuple[list[Sent], Stop | None]:
        if not tasks:
            return [], None
        source = self.data_source()
        acts: list[Literal["insert", "patch"]] = [_act(task) for task in tasks]

        def call(index: int) -> Answer:
            task = tasks[index]
            if acts[index] == "patch":
                answer = self._patch(source, task)
                if not isinstance(answer, Missing):
                    return answer
                acts[index] = "insert"  # Google holds it no more: the whole input again
            return self._insert(source, task)

        said, stop = self._rounds(call, len(tasks))
        return [Sent(task, answer, act) for task, answer, act in zip(tasks, said, acts, strict=True)], stop

    def drop(self, offers: Sequence[There]) -> tuple[list[There], list[Kept], Stop | None]:
        """Delete inputs; (those that Google holds no more, those it refuses to delete, why the round stopped early)."""

        def call(index: int) -> Answer:
            offer = offers[index]
            name = input_name(offer.content_language, offer.feed_label, offer.offer_id)
            return self._google().delete(sources[offer.place], name)

        sources = {place: self._source_of(place) for place in {offer.place for offer in offers}}
        said, stop = self._rounds(call, len(offers))
        answers = list(zip(offers, said, strict=True))
        gone = [offer for offer, answer in answers if answer is not None and not isinstance(answer, Refused)]
        return gone, [(offer, answer) for offer, answer in answers if isinstance(answer, Refused)], stop

    # Rounds.

    def _rounds(self, call: Callable[[int], Answer], size: int) -> tuple[list[Answer | None], Stop | None]:
        """All calls, those that met a refused token a second time with a new one."""
        said = self._round(call, list(range(size)))
        if any(isinstance(each, Unauthorized) for each in said.values()):
            left = [n for n, each in said.items() if each is None or isinstance(each, Unauthorized)]
            self._renew()
            said |= self._round(call, left)
        stop = next((each for each in said.values() if isinstance(each, JobError | DailyLimit)), None)
        if stop is None and any(isinstance(each, Unauthorized) for each in said.values()):
            stop = Permanent(UNAUTHORIZED, "Google refuses a new token")
        answers = (said[n] for n in range(size))
        return [None if isinstance(each, JobError | DailyLimit | Unauthorized) else each for each in answers], stop

    def _round(self, call: Callable[[int], Answer], places: Sequence[int]) -> dict[int, Said]:
        over = threading.Event()
        self._google()  # before the threads: it may renew the token, which writes to the database

        def one(place: int) -> Said:
            if over.is_set():
                return None
            try:
                return call(place)
            except (JobError, DailyLimit, Unauthorized) as error:
                over.set()
                return error

        with ThreadPoolExecutor(SEND_CONCURRENCY) as pool:
            try:
                return dict(zip(places, pool.map(one, places), strict=True))
            finally:
                over.set()  # also when the run's time is up: nothing more is begun

    # One call.

    def _insert(self, source: str, task: Task) -> Answer:
        language, label = self._settings.place
        return self._google().insert(source, task.offer.offer_id, language, label, task.offer.attributes)

    def _patch(self, source: str, task: Task) -> Answer:
        mask = task.decision.mask
        body = {name: task.offer.offer[name] for name in mask if name in task.offer.offer}
        name = input_name(*self._settings.place, task.offer.offer_id)
        return self._google().patch(source, name, body, mask)

    # Token and data source.

    def _google(self) -> Merchant:
        if self._merchant is None:
            self._merchant = self._connect(anew=False)
        return self._merchant

    def _renew(self) -> None:
        """A new token, once in a run. Raises Permanent GOOGLE_UNAUTHORIZED."""
        if self._renewed:
            raise Permanent(UNAUTHORIZED, "Google refuses a new token")
        self._renewed = True
        self._merchant = self._connect(anew=True)

    def _connect(self, *, anew: bool) -> Merchant:
        token = access_token(self._ctx, self._settings.id, self._settings.api_credentials, anew=anew)
        return Merchant(self._ctx, self._settings.merchant_id or "", token)

    def _source_of(self, place: tuple[str, str]) -> str:
        """The data source of a language and label; of one that is gone the present one, where nothing is found."""
        if place == self._settings.place:
            return self.data_source()
        return self._listed().get(place) or self.data_source()

    def _find(self) -> str | None:
        return self._listed().get(self._settings.place)

    def _listed(self) -> dict[tuple[str, str], str]:
        """Our data sources by (language, label)."""
        if self._sources is None:
            ours = self._display_name()
            found = self.ask(lambda google: google.data_sources())
            self._sources = {(each.language, each.label): each.name for each in found if each.display_name == ours}
        return self._sources

    def _make(self) -> str:
        language, label = self._settings.place
        name = self._display_name()
        return self.ask(lambda google: google.create_data_source(name, language=language, label=label))

    def _display_name(self) -> str:
        return f"CGK {self._settings.feed_name}"


def _act(task: Task) -> Literal["insert", "patch"]:
    return "patch" if task.decision.act == "patch" else "insert"
