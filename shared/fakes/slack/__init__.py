"""A stateful fake of Slack: workspaces with channels and messages, incoming webhooks, and trouble on demand.

POST /api/<method>        chat.postMessage, conversations.join, auth.test: a form or JSON, with a bearer token
POST /services/<path>     an incoming webhook: {"text", "blocks"}, answered `ok`
GET  /_fake/health        {"ok": true, "workspaces": [...]}
GET  /_fake/messages      what was posted, oldest first
GET  /_fake/requests      what was asked: method, answer, problems
POST /_fake/faults        {"kind", "count", "match", "retry_after"}; DELETE takes all back

Errors come as Slack sends them: HTTP 200 with {"ok": false, "error": word}, the rate as 429 with Retry-After. A request
is judged by `rules.py` (docs.slack.dev, Block Kit reference), and by Slack's own contract (its OpenAPI 2 file)
when one is given; what is wrong by either is invalid_arguments and stands in `problems`, for tests to look at.

    python -m shared.fakes.slack --port 4011 --token xoxb-fake     one workspace that opens channels as they are named
"""

from shared.fakes.serving import Fault
from shared.fakes.slack.fake import Asked, Channel, Posted, SlackFake, Team

__all__ = ["Asked", "Channel", "Fault", "Posted", "SlackFake", "Team"]
