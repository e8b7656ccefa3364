"""Text that PostgreSQL takes: it refuses U+0000 and half surrogate pairs, which people type and vendors' JSON carries.

Whatever comes from outside as JSON is read here, or cleaned here: messages, vendors' answers, lines of bulk files. One
such character would otherwise stop a whole chunk, and the run behind it, for ever.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\xed[\xa0-\xbf]")
"""How either stands in JSON: escaped, or a half pair as three bytes that UTF-8 forbids and Python reads."""


def loads(text: bytes) -> Any:
    """The JSON of `text`, cleaned. Raises ValueError like json.loads."""
    value = json.loads(text)
    return storable(value) if _SUSPECT.search(text) else value


def storable(value: Any) -> Any:
    """A JSON value without what PostgreSQL refuses, in its strings and names."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "ignore").decode()
    if isinstance(value, dict):
        return {storable(name): storable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [storable(part) for part in value]
    return value
