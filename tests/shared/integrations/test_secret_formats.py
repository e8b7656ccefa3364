"""Stored secrets in the applications' forms; the known values were made by Node's crypto."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from shared.crypto import MASTER_KEY, PREVIOUS_KEY, encrypt_platform
from shared.integrations.secret_formats import DRIVE_KEY, Stored, read_stored, write_stored
from shared.jobs.errors import Permanent

HEX_KEY = "00112233445566778899aabbccddeeff" * 2
KEYS = {
    MASTER_KEY: "master-key-0123456789",
    PREVIOUS_KEY: "former-master-key-0123456789",
    "META_ENCRYPTION_KEY": "meta-own-key-0123456789",
    DRIVE_KEY: HEX_KEY,
}
DRIVE_TEXT = "AQIDBAUGBwgJCgsMNnxFdApSsbrMs7L6JU2b9EtdKsSaftMkx4repx6KbHpe6sycUp8="
META_TEXT = (
    "00000000000000000000000000000000:11111111111111111111111111111111"
    ":83ad4356510aa90d692369c182fe420f:37c60771a63dd19cd829e09726676b"
)


def master(value: str, name: str = MASTER_KEY) -> str:
    return encrypt_platform(value, KEYS[name])


CASES: list[Any] = [
    pytest.param(META_TEXT, {"provider": "meta"}, "EAAG-meta-token", "platform", "META_ENCRYPTION_KEY", id="own key"),
    pytest.param(master("t"), {}, "t", "platform", MASTER_KEY, id="master key"),
    pytest.param(master("t"), {"provider": "meta"}, "t", "platform", MASTER_KEY, id="a provider's row of old"),
    pytest.param(master("t"), {"provider": "tiktok"}, "t", "platform", MASTER_KEY, id="a provider without own key"),
    pytest.param(master("t", PREVIOUS_KEY), {}, "t", "platform", MASTER_KEY, id="former master key"),
    pytest.param(DRIVE_TEXT, {"form": "drive"}, "1//drive-refresh-token", "drive", DRIVE_KEY, id="drive"),
    pytest.param(master("t"), {"form": "drive"}, "t", "platform", MASTER_KEY, id="drive's column, platform's form"),
    pytest.param("xoxp-plain", {"form": "plain"}, "xoxp-plain", "plain", MASTER_KEY, id="plain"),
]


@pytest.mark.parametrize(("text", "options", "value", "form", "key"), CASES)
def test_stored_secret_is_read_and_goes_back_as_it_was(
    text: str, options: dict[str, Any], value: str, form: str, key: str
) -> None:
    found = read_stored(text, KEYS.get, **options)

    assert (found.value, found.form, found.key) == (value, form, key)
    again = write_stored("renewed", found, KEYS.get)
    assert again.count(":") == (0 if form == "drive" else 3)
    read_again = read_stored(again, KEYS.get, **options)
    assert (read_again.value, read_again.key) == ("renewed", key)


def test_drive_s_key_may_be_base64() -> None:
    keys = {DRIVE_KEY: base64.b64encode(bytes.fromhex(HEX_KEY)).decode()}

    assert read_stored(DRIVE_TEXT, keys.get, form="drive").value == "1//drive-refresh-token"


@pytest.mark.parametrize(
    ("text", "keys", "options"),
    [
        (META_TEXT, {MASTER_KEY: "master-key-0123456789"}, {"provider": "meta"}),
        (META_TEXT, {}, {}),
        (DRIVE_TEXT, KEYS, {}),
        (DRIVE_TEXT, KEYS | {DRIVE_KEY: "f" * 64}, {"form": "drive"}),
        (DRIVE_TEXT, KEYS | {DRIVE_KEY: "short"}, {"form": "drive"}),
        (DRIVE_TEXT, {}, {"form": "drive"}),
        (DRIVE_TEXT[:20], KEYS, {"form": "drive"}),
        ("xoxp-plain", KEYS, {}),
        ("xoxp-plain", KEYS, {"form": "drive"}),
        ("", KEYS, {"form": "plain"}),
    ],
    ids=[
        "another key",
        "no key",
        "drive where none is",
        "another drive key",
        "no drive key",
        "drive key not configured",
        "cut",
        "plain where none is",
        "plain for drive",
        "nothing",
    ],
)
def test_secret_that_no_key_opens_says_nothing_of_itself(
    text: str, keys: dict[str, str], options: dict[str, Any]
) -> None:
    with pytest.raises(Permanent) as refused:
        read_stored(text, keys.get, **options)

    assert refused.value.code == "CREDENTIAL_UNREADABLE"
    assert not text or text not in str(refused.value)
    assert refused.value.__context__ is None


def test_value_is_not_shown() -> None:
    assert "token" not in repr(Stored("token", "plain", MASTER_KEY))


def test_value_is_not_written_without_its_key() -> None:
    with pytest.raises(Permanent, match="not configured"):
        write_stored("v", Stored("t", "platform", "META_ENCRYPTION_KEY"), dict[str, str]().get)
