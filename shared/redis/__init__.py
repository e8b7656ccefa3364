"""Redis by Upstash's REST interface: the tenant's own or the platform's, scripts only, keys of the tenant only."""

from shared.redis.access import Access, access_of
from shared.redis.client import PIPELINE_MAX, Call, Key, Redis, Skipped

__all__ = ["PIPELINE_MAX", "Access", "Call", "Key", "Redis", "Skipped", "access_of"]
