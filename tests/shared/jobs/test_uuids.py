from __future__ import annotations

from shared.jobs.uuids import uuid7


def test_version_variant_and_time_stand_where_rfc_9562_puts_them() -> None:
    """The time of the RFC's own example (appendix A.6): 0x017F22E279B0, 22 February 2022 19:22:22 UTC."""
    made = uuid7(0x017F22E279B0)

    assert made.hex.startswith("017f22e279b07")
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


def test_ids_of_later_milliseconds_sort_later() -> None:
    assert uuid7(1000) < uuid7(1001)
    assert len({uuid7(5) for _ in range(1000)}) == 1000
