"""What a tenant has set for attribution, with what is wrong put right: unknown words, impossible weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import to_json

from shared.attribution.marketing import host_of
from shared.attribution.models import HALF_LIFE_DEFAULT_H, MODELS, Parameters, PositionWeights
from shared.attribution.paths import WINDOW_DAYS
from shared.jobs.context import Session
from shared.time import tenant_zone

DEFAULT_MODEL = "time_decay"
DEFAULT_WINDOW = "7d"
DEFAULT_WINDOWS = ("1d", "7d", "14d", "28d", "30d")
CLICKS_PLUS_VIEWS = "clicks_plus_views"
LINEAR_FALLBACK = "linear_fallback"
"""Kept as the model's version where there is no trained model."""

SETTINGS = """
-- attribution: settings, the active trained model, the shop's hosts; one row even where nothing is set
SELECT s.id IS NOT NULL AS is_set, s.enabled, s.default_model, s.attribution_mode, s.enabled_models, s.enabled_windows,
       COALESCE(s.default_window, s.default_attribution_window) AS default_window, s.time_decay_half_life_hours,
       s.position_based_weights, m.version AS model_version, m.params -> 'removal_effects' AS removal_effects,
       ARRAY(SELECT h.host FROM shopify_connections c, unnest(ARRAY[c.shop, c.store_domain, c.site_url]) AS h (host)
             WHERE c.status = 'active' AND h.host IS NOT NULL) AS hosts
FROM (VALUES (1)) AS one
LEFT JOIN LATERAL (SELECT * FROM attribution_settings a
                   ORDER BY a.tenant_id = current_setting('cgk.tenant_id') DESC, a.created_at LIMIT 1) s ON true
LEFT JOIN ml_models m ON m.kind = 'attribution' AND m.status = 'active'
"""


@dataclass(frozen=True, slots=True)
class AttributionSettings:
    """Settings as they take effect. `windows` from the narrowest to the widest, the default one among them."""

    zone: ZoneInfo
    enabled: bool = True
    default_model: str = DEFAULT_MODEL
    default_window: str = DEFAULT_WINDOW
    views: bool = False
    """Whether views of advertisements count beside clicks."""
    models: tuple[str, ...] = tuple(MODELS)
    windows: tuple[str, ...] = DEFAULT_WINDOWS
    parameters: Parameters = field(default_factory=Parameters)
    model_version: str = LINEAR_FALLBACK
    shop_hosts: frozenset[str] = frozenset()

    @property
    def widest(self) -> str:
        """The widest window."""
        return self.windows[-1]

    def config_hash(self) -> str:
        """SHA-256 (hex) of everything here that the credits of a path depend on."""
        position = self.parameters.position
        parts = [
            self.models,
            self.windows,
            self.views,
            self.parameters.half_life_h,
            (position.first, position.middle, position.last),
            self.model_version,
        ]
        return hashlib.sha256(to_json(parts)).hexdigest()


def read_settings(session: Session) -> AttributionSettings:
    """The tenant's settings, defaults where there is no row; once a run, however many orders it processes."""
    zone = tenant_zone(session)
    row = session.one(SETTINGS) or {}
    hosts = frozenset(host for text in row.get("hosts") or () if (host := host_of(text)))
    effects = _removal_effects(row.get("removal_effects"))
    version = row.get("model_version") or LINEAR_FALLBACK
    if not row.get("is_set"):
        parameters = Parameters(removal_effects=effects)
        return AttributionSettings(zone, parameters=parameters, model_version=version, shop_hosts=hosts)
    model = row["default_model"] if row["default_model"] in MODELS else DEFAULT_MODEL
    window = row["default_window"] if row["default_window"] in WINDOW_DAYS else DEFAULT_WINDOW
    hours = row["time_decay_half_life_hours"]
    return AttributionSettings(
        zone,
        enabled=row["enabled"],
        default_model=model,
        default_window=window,
        views=row["attribution_mode"] == CLICKS_PLUS_VIEWS,
        # A conversion without any credit would look like one without touchpoints.
        models=_known(row["enabled_models"], MODELS) or (model,),
        windows=_known([*(row["enabled_windows"] or ()), window], WINDOW_DAYS),
        parameters=Parameters(
            half_life_h=hours if hours > 0 else HALF_LIFE_DEFAULT_H,
            position=_position(row["position_based_weights"]),
            removal_effects=effects,
        ),
        model_version=version,
        shop_hosts=hosts,
    )


def _known(words: Sequence[str] | None, known: Mapping[str, Any]) -> tuple[str, ...]:
    """The known ones of these words, in the known order."""
    return tuple(word for word in known if word in (words or ()))


def _position(value: Any) -> PositionWeights:
    """The weights as set, the default when they make no sense."""
    parts = [value.get(name) for name in ("first", "middle", "last")] if isinstance(value, dict) else [None]
    if not all(isinstance(part, int) and not isinstance(part, bool) for part in parts):
        return PositionWeights()
    try:
        return PositionWeights(*parts)
    except ValueError:
        return PositionWeights()


def _removal_effects(value: Any) -> dict[str, Fraction]:
    """Channel -> effect; a number is read by its decimal digits, a negative one counts as 0."""
    if not isinstance(value, dict):
        return {}
    numbers = {c: v for c, v in value.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {channel: max(Fraction(0), Fraction(str(effect))) for channel, effect in numbers.items()}
