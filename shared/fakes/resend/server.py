"""The HTTP face of the fake."""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import urlsplit

from shared.fakes import serving
from shared.fakes.resend.fake import KINDS, Answer, Asked, ResendFake, error, refused
from shared.fakes.resend.outbox import mail_page, outbox_page


class Handler(serving.Handler):
    """One request."""

    @property
    def fake(self) -> ResendFake:
        fake: ResendFake = self.server.fake
        return fake

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path == "/emails":
            self._send_mail(self.body())
        elif path == "/_fake/faults":
            self.order_fault()
        else:
            self.say(405, error(405, "method_not_allowed", "This endpoint does not support the method."))

    def do_DELETE(self) -> None:
        self.forget_faults()

    def do_GET(self) -> None:
        fake, path = self.fake, urlsplit(self.path).path
        first, _, rest = path.strip("/").partition("/")
        if first in ("", "outbox"):
            self._page(rest)
        elif path == "/_fake/health":
            self.say(200, {"ok": True, "teams": [team.name for team in fake.teams.values()]})
        elif path == "/_fake/mails":
            self.say(200, {"mails": [mail.shown() for mail in fake.mails]})
        elif path == "/_fake/requests":
            asked = [{**asdict(each), "raw": each.raw.decode("utf-8", "replace")} for each in fake.asked]
            self.say(200, {"requests": asked})
        else:
            self._look_up(first, rest)

    def _send_mail(self, body: bytes) -> None:
        fake, key = self.fake, self.headers.get("Idempotency-Key")
        fault = fake.next_fault(body.decode("utf-8", "replace"))
        if fault is None or fault.kind == "cut":
            answer = fake.send(self.bearer(), key, body)
        elif fault.kind == "timeout":
            answer = Answer(0, {})
        else:
            headers = {"retry-after": fault.retry_after or ""} if fault.kind in ("429", "rate_limit_exceeded") else {}
            answer = refused(fault.kind, headers)
        name = str(answer.body.get("name") or ("ok" if answer.status == 200 else "none"))
        fake.asked.append(Asked(answer.status, name, key, body, answer.problem))
        if fault is not None and fault.kind in KINDS:
            self.hang_up(fault)
            return
        self.say(answer.status, answer.body, answer.headers)

    def _look_up(self, what: str, id: str) -> None:
        """GET /emails/<id> and GET /domains, for a key that may do more than send."""
        fake = self.fake
        team = fake.teams.get(self.bearer() or "")
        if team is None or team.restricted:
            found = refused("restricted_api_key" if team else "invalid_api_key" if self.bearer() else "missing_api_key")
            self.say(found.status, found.body)
        elif what == "domains" and not id:
            names = sorted(team.domains or ())
            listed = [{"id": name, "name": name, "status": "verified", "region": "us-east-1"} for name in names]
            self.say(200, {"object": "list", "has_more": False, "data": listed})
        elif what == "emails" and (mail := next((each for each in fake.mails if each.id == id), None)):
            self.say(200, {"object": "email", **mail.shown()})
        else:
            self.say(404, error(404, "not_found", "Not found."))

    def _page(self, id: str) -> None:
        fake = self.fake
        mail = next((each for each in fake.mails if each.id == id), None)
        if id and mail is None:
            self.show(404, "<p>No such mail.</p>")
        else:
            self.show(200, mail_page(mail) if mail else outbox_page(fake.mails), images="data:")
