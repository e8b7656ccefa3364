"""scripts/publishers: what is checked in is what the contracts give, and the languages say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AwareDatetime, Field

from scripts.owner.publishers import main, python, schemas, typescript
from scripts.owner.publishers.contracts import Contract, all_contracts, contract_of, snake
from scripts.owner.publishers.types import NoType, type_of
from shared.events.base import Event, Payload, contract
from shared.jobs.registry import Registry

CONTRACTS = all_contracts()


class Parcel(Payload):
    """A parcel."""

    weight_grams: int
    fragile: bool | None = None


class ParcelsSent(Event, name="test.parcelsSent", from_apps=True):
    """Parcels have left.

    At least one.
    """

    parcels: list[Parcel] = Field(min_length=1)
    carrier: Literal["dhl", "ups"] | None = None
    sent_at: AwareDatetime
    batch_id: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=50)] | None = None
    labels: dict[str, str] | None = None
    extra: dict[str, Any] | None = None
    source: str = "app"


SENT = contract_of(ParcelsSent)


def test_checked_in_files_are_what_the_contracts_give() -> None:
    assert main.stale(main.files(CONTRACTS)) == []


def test_events_that_tests_declare_are_none_of_ours() -> None:
    assert contract("test.parcelsSent") is ParcelsSent
    assert "test.parcelsSent" not in {each.event for each in all_contracts()}


@pytest.mark.parametrize("each", CONTRACTS, ids=lambda each: each.event)
def test_schema_names_what_the_model_takes(each: Contract) -> None:
    schema = json.loads(schemas.render(each))
    model = contract(each.event)
    assert model is not None

    wires = {field.alias for field in model.model_fields.values()}
    assert set(schema["properties"]) == {"tenantId", *wires}
    assert schema["required"][0] == "tenantId"
    for example in schema.get("examples", []):
        assert example.pop("tenantId") == "acme"
        model.model_validate_json(json.dumps(example), strict=True)
        assert set(example) <= wires


def test_every_event_that_a_job_listens_to_has_an_example(registry: Registry) -> None:
    without = {each.event for each in CONTRACTS if each.sample is None}

    assert without & set(registry.listeners) == set()


def test_schema_of_a_model_keeps_its_rules_and_drops_made_up_titles() -> None:
    schema = json.loads(schemas.render(SENT))

    assert schema["$id"] == "urn:cgk:event:test.parcelsSent"
    assert schema["required"] == ["tenantId", "parcels", "sentAt"]
    assert schema["properties"]["parcels"] == {"items": {"$ref": "#/$defs/Parcel"}, "minItems": 1, "type": "array"}
    assert schema["$defs"]["Parcel"]["properties"]["weightGrams"] == {"type": "integer"}
    assert schema["x-published-by"] == "applications"


def test_typescript_of_a_model() -> None:
    text = typescript.render([SENT])

    assert '  "test.parcelsSent": ParcelsSent;' in text
    assert "  parcels: readonly ParcelsSentParcel[];" in text
    assert '  carrier?: "dhl" | "ups" | null;' in text
    assert "  /** date-time */\n  sentAt: string;" in text
    assert "  /** minimum 1; maximum 50 */\n  limit?: number | null;" in text
    assert "  labels?: Readonly<Record<string, string>> | null;" in text
    assert "  extra?: Readonly<Record<string, unknown>> | null;" in text
    assert "/** A parcel. */\nexport interface ParcelsSentParcel {\n  weightGrams: number;" in text
    assert "/**\n * test.parcelsSent: Parcels have left.\n *\n * At least one.\n */" in text


def test_python_of_a_model() -> None:
    text = main.formatted(python.render([SENT]))

    assert 'class ParcelsSent(AppEvent):\n    """Parcels have left.\n\n    At least one.\n    """' in text
    assert "    parcels: Sequence[ParcelsSentParcel]\n" in text
    assert "    sent_at: datetime\n" in text
    assert '    carrier: Literal["dhl", "ups"] | None = None' in text
    assert '    "test.parcelsSent": ParcelsSent,' in text
    compile(text, "events.py", "exec")


def test_names_on_the_wire_become_names_of_python() -> None:
    assert [snake(name) for name in ("shopifyOrderId", "source", "skipGA4")] == [
        "shopify_order_id",
        "source",
        "skip_g_a4",
    ]


def test_unknown_schema_is_refused_with_what_to_do() -> None:
    with pytest.raises(NoType, match="teach scripts"):
        type_of({"type": "tuple"})


def test_check_names_what_is_stale_and_write_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "all_contracts", lambda: [SENT])
    assert main.main(["--check"], tmp_path) == 1
    assert "schemas/test.parcelsSent.json is missing" in capsys.readouterr().err

    assert main.main([], tmp_path) == 0
    assert main.main(["--check"], tmp_path) == 0

    (tmp_path / "schemas" / "gone.json").write_text("{}")
    (tmp_path / main.TYPESCRIPT).write_text("edited")
    assert main.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "typescript/src/events.ts is not what the contracts give" in said
    assert "schemas/gone.json belongs to no event" in said

    assert main.main([], tmp_path) == 0
    assert not (tmp_path / "schemas" / "gone.json").exists()
