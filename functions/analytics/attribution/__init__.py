"""Attribution: credits every order to the touchpoints before it, and keeps the credits right.

The rules stand in shared.attribution; these jobs say when they are applied. Nothing of a vendor is called. Results and
events name orders by id only.
"""

from functions.analytics.attribution.process import process_attribution

__all__ = ["process_attribution"]
