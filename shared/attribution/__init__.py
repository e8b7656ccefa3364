"""Attribution: who led to an order, under seven models and up to eight look-back windows, to the cent.

process.py       one order: locks, decides, writes, announces
settings.py      what the tenant has set
identity.py      whose touchpoints count
marketing.py     where a visit came from: channel and platform
touchpoints.py   the rows; evidence.py makes those that stand for the order's own data
paths.py         window -> ordered path
models.py        path -> weights; credits.py splits cents and credit by them
reversals.py     refunds and cancellations
"""

from shared.attribution.process import HandedOn, ProcessedOrder, process_order
from shared.attribution.settings import AttributionSettings, read_settings

__all__ = ["AttributionSettings", "HandedOn", "ProcessedOrder", "process_order", "read_settings"]
