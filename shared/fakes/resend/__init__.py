"""A stateful fake of Resend: teams with keys and verified domains, mails, idempotency keys, and trouble on demand.

POST /emails              send; an Idempotency-Key is kept for 24 hours: same body -> the first id, other body -> 409
GET  /emails/<id>         one mail
GET  /domains             the team's domains
GET  /                    the outbox, to be read in a browser; /outbox/<id> shows one mail as its reader sees it
GET  /_fake/health        {"ok": true, ...}
GET  /_fake/mails         what was sent, oldest first
GET  /_fake/requests      what was asked: status, name of the error, what was wrong with it
POST /_fake/faults        {"kind", "count", "match", "retry_after"}; DELETE takes all back

A request is judged by the rules of resend.com/docs/api-reference, and by Resend's own OpenAPI file when one is given;
what is wrong by either is refused as Resend refuses it, and stands in `problems`, for tests to look at. Only a mail
that was taken keeps its idempotency key.

    python -m shared.fakes.resend --port 4012 --key re_fake      one team that sends from every domain
"""

from shared.fakes.resend.fake import Asked, Mail, ResendFake, Team
from shared.fakes.serving import Fault

__all__ = ["Asked", "Fault", "Mail", "ResendFake", "Team"]
