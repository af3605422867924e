"""Messages: what is encoded is read back, and nothing else is read."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.policies import DEFAULT_POLICY, FieldPolicy, Policy, Resolution
from tallystick.core.values import Logical
from tallystick.errors import LimitExceeded
from tallystick.protocols.native.codec.compression import compressed, decompressed, zstd
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.codec.messages import (
    JSON,
    MSGPACK,
    VERBS,
    Acknowledging,
    Digesting,
    SettingsForm,
    decode,
    encode,
    settings_form,
    settings_of,
)
from tallystick.site.schema import Definition, Field, Identity, Reference
from tallystick.sync.replica import Closing, Described, Known, Scope, Selection, Settings, Wanted

SCOPE = Scope(("person", "visit"), (("person", "age gt 5"),))
SETTINGS = SettingsForm("a" * 32, SCOPE, {"": DEFAULT_POLICY, "visit": Policy(conflict=FieldPolicy(Resolution.ASK))})
DEFINITIONS = [
    Definition("", "", Identity.MANAGED),
    Definition(
        "Person",
        "person",
        Identity.COLUMN,
        (Field("", "a", Logical.ANY), Field("B", "b", Logical.DECIMAL, False, "10,2", "visit", "NOCASE")),
        (Field("Id", "id", Logical.INT64),),
        "uuid",
        (Reference(("b",), "visit", ("id",), "CASCADE"),),
        (("a", "b"),),
        ("audit",),
        True,
        (("visit", Reference(("c",), "person", ("id",))),),
        ("visit.person_id",),
        ("Id", "", "B"),
        True,
        True,
    ),
]
MESSAGES = (
    Described("s", "s.1", "1", DEFINITIONS, ["loose"], barred={"t": "it is a virtual table"}),
    Wanted(DEFINITIONS, ["person"], False, {"person": "people"}),
    Wanted([]),
    Digesting("", SCOPE),
    Selection(
        SCOPE, Known("state", {"person": {"o": 3}}, {"person": (1, b"\0" * 32, b"\1" * 32)}), {"visit": ["1"]}, True
    ),
    Acknowledging(Closing("s", {"person": {"o": 3}}, {}), SETTINGS),
    SETTINGS,
)


@pytest.mark.parametrize("media_type", (MSGPACK, JSON))
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_back_as_it_was(message, media_type):
    assert decode(type(message), encode(message, media_type), media_type) == message


def test_definitions_say_only_what_is_not_so_by_default():
    told = Definition(
        "t", "t", Identity.NATURAL, (Field("v", "v", Logical.TEXT),), (Field("id", "id", Logical.TEXT, False),)
    )
    (said,) = msgspec.msgpack.decode(encode(Wanted([told])))["resources"]
    assert said == {
        "name": "t",
        "wire": "t",
        "identity": "natural",
        "fields": [{"column": "v", "wire": "v", "logical": "text"}],
        "key_fields": [{"column": "id", "wire": "id", "logical": "text", "nullable": False}],
    }


def test_settings_survive_but_for_the_hook():
    asking = Policy(conflict=FieldPolicy(Resolution.ASK))
    settings = Settings("a" * 32, SCOPE, {"": asking, "person": DEFAULT_POLICY}, "run", 7, print)
    back = settings_of(decode(SettingsForm, encode(settings_form(settings))))
    assert back == Settings("a" * 32, SCOPE, {"": asking, "person": DEFAULT_POLICY}, "run", 7, None)


def test_default_policies_are_not_said_and_come_back():
    form = settings_form(Settings("a" * 32, SCOPE, {"": DEFAULT_POLICY, "person": DEFAULT_POLICY}))
    assert form.policies == {}
    assert settings_of(form).policy("person") == settings_of(form).policy("visit") == DEFAULT_POLICY


def test_unknown_members_are_ignored():
    body = msgspec.json.encode({"source": "x", "scope": {"resources": ["a"], "new": 1}, "newer": [2]})
    assert decode(Digesting, body, JSON) == Digesting("x", Scope(("a",)))


@pytest.mark.parametrize(
    "body",
    (
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        msgspec.msgpack.encode({"source": 1, "scope": {"resources": []}}),
        msgspec.msgpack.encode({"source": "x"}),
        msgspec.msgpack.encode(["x"]),
        msgspec.msgpack.encode({"source": "x", "scope": {"resources": []}})[:-1],
        b"\x82\xa6source\xa1\xff\xa5scope\x81\xa9resources\x90",
    ),
    ids=("empty", "no such byte", "deep", "wrong type", "missing", "not a map", "cut", "not utf-8"),
)
def test_what_is_no_message_is_refused(body):
    with pytest.raises(RequestError) as caught:
        decode(Digesting, body)
    assert caught.value.code == "malformed"
    assert caught.value.status == 400


def test_deep_json_is_refused():
    with pytest.raises(RequestError):
        decode(dict, b'{"a":' + b"[" * 100_000, JSON)


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_request_error(body):
    for verb in VERBS.values():
        if verb.request is not None and verb.request is not msgspec.UnsetType:
            for media_type in (MSGPACK, JSON):
                with suppress(RequestError):
                    decode(verb.request, body, media_type)


@given(st.binary(max_size=2000))
def test_what_is_compressed_is_read_back(raw):
    frame = compressed(raw)
    if frame is not None:
        assert len(frame) < len(raw)
        assert decompressed(frame, size=len(raw)) == raw


def test_what_would_be_refused_for_its_ratio_is_not_compressed():
    assert compressed(bytes(10_000_000)) is None
    assert compressed(b"abcdefgh" * 100) is not None


def _bomb(size: int) -> bytes:
    return zstd.compress(bytes(size), 19)


@pytest.mark.parametrize(
    ("frame", "error"),
    (
        (_bomb(50_000_000), LimitExceeded),
        (_bomb(100_000_000), LimitExceeded),
        (b"", RequestError),
        (b"no frame at all", RequestError),
        (zstd.compress(b"x" * 500)[:-3], RequestError),
        (zstd.compress(b"x" * 500) + b"more", RequestError),
        (zstd.compress(b"x" * 500) * 2, RequestError),
    ),
    ids=("beyond the ratio", "beyond the size", "empty", "none", "cut", "followed by something", "two"),
)
def test_a_frame_that_is_not_what_it_says_is_refused(frame, error):
    with pytest.raises(error):
        decompressed(frame)


def test_a_frame_without_its_size_is_refused():
    options = {zstd.CompressionParameter.content_size_flag: 0}
    with pytest.raises(RequestError):
        decompressed(zstd.compress(b"x" * 1000, options=options))


def test_a_frame_that_understates_its_size_is_refused():
    with pytest.raises(RequestError):
        decompressed(zstd.compress(b"x" * 1000), size=999)


def test_a_damaged_frame_is_noticed():
    frame = bytearray(compressed(bytes(range(256)) * 20) or b"")
    frame[len(frame) // 2] ^= 1
    with pytest.raises(RequestError):
        decompressed(bytes(frame), Limits())
