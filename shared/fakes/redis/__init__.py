"""A stateful fake of Upstash's REST interface of Redis: databases with tokens, scripts, and trouble on demand.

POST /                    one command as a JSON array
POST /pipeline            an array of commands, each a step of its own
POST /multi-exec          an array of commands, one step together
GET  /_fake/health        {"ok": true, ...}
GET  /_fake/keys          what is stored, per database
GET  /_fake/requests      what was asked, with the status of the answer
POST /_fake/faults        {"kind", "count", "match", "retry_after"}; DELETE takes all back

Scripts are really run, by a small interpreter of Lua (lua.py). Walking the keys (KEYS, SCAN) is refused.

    python -m shared.fakes.redis --port 4014 --token rest_fake
"""

from shared.fakes.redis.fake import Asked, RedisFake
from shared.fakes.redis.store import Database, Refusal
from shared.fakes.serving import Fault

__all__ = ["Asked", "Database", "Fault", "RedisFake", "Refusal"]
