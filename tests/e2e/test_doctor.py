"""cgk-jobs doctor --stage local against the deployed app: what CDK deploys is what the checks look for."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.local.engine import client_environment
from shared.cli.checks.aws import AWS_CHECKS
from shared.cli.checks.stage import STAGE_AWS_CHECKS, STAGE_DATABASE_CHECKS
from shared.cli.platform import Platform
from tests.conftest import ENCRYPTION_KEY, as_login
from tests.e2e.conftest import Deployment

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]


def test_whole_app_is_well(app: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = client_environment(app.endpoint)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    own = {"DATABASE_URL": as_login(app.admin_url), "INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}
    platform = Platform(environ={**settings, **own}, root=tmp_path, load=lambda: app.registry)
    platform.use_stage("local")

    checks = [*STAGE_DATABASE_CHECKS, *AWS_CHECKS, *STAGE_AWS_CHECKS]
    found = {name: look(platform) for name, look in checks if name != "dead letters"}  # other tests leave letters
    platform.close()

    assert {name: each.message for name, each in found.items() if each.problem} == {}
    assert found["targets"].message == f"{sum(bool(job.on) for job in app.registry)} rules lead to their queues"
