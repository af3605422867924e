"""What messages say is checked before anything is done."""

from __future__ import annotations

import dataclasses

import pytest

from tallystick.core.pages import Page
from tallystick.core.policies import DEFAULT_POLICY, FieldPolicy, Policy, Resolution
from tallystick.core.states import State
from tallystick.core.values import Logical
from tallystick.errors import FilterError, LimitExceeded, StateInvalidError
from tallystick.protocols.native.codec.checks import check, check_apply
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.codec.messages import (
    Acknowledging,
    Columned,
    Digesting,
    Keyed,
    Ranging,
    Reconciling,
    Rekeying,
    Resourced,
    SettingsForm,
)
from tallystick.site.history import ContactForm, HistoriesForm
from tallystick.site.schema import Definition, Field, Identity, Reference
from tallystick.sync.replica import Closing, Known, Meeting, Proof, RangeForm, Scope, Selection, Wanted

SITE = "a" * 32
SCOPE = Scope(("person",))
SETTINGS = SettingsForm(SITE, SCOPE, {"": DEFAULT_POLICY})
GOOD = Definition(
    "person",
    "person",
    Identity.NATURAL,
    (Field("Name", "name", Logical.TEXT), Field("Boss", "boss", Logical.REFERENCE, refers_to="person")),
    (Field("Id", "id", Logical.INT64),),
    references=(Reference(("Boss",), "person", ("Id",), "CASCADE"),),
    unique=(("Name",),),
)


def wanted(**change):
    return Wanted([dataclasses.replace(GOOD, **change)])


def reference(**change):
    return wanted(references=(dataclasses.replace(GOOD.references[0], **change),))


def meeting(**change):
    return Meeting(SITE, SITE + ".1", "token", "1", SCOPE, **change)


@pytest.mark.parametrize(
    "message",
    (
        Wanted([GOOD], ["person", "Order Details"], True, {"person.Name": "name"}, {"person.Boss": "person"}),
        Wanted([Definition("items", "items", Identity.MANAGED)]),
        Meeting("", "", "", "", Scope(())),
        meeting(histories=HistoriesForm(SITE + ".1", {SITE + ".1": [ContactForm(1, 2, {"": 5})]}, {})),
        meeting(proof=Proof(5, {"person": {SITE + ".1": 5}}, b"\0" * 32)),
        Selection(
            Scope(("person",), (("person", "age gt 5"),)), Known("", {"person": {"o": 1}}, {}), {"person": ["1"]}
        ),
        Ranging("person", [RangeForm("", None, 5, b"\0" * 16)]),
        Ranging("person"),
        Acknowledging(Closing(State(SITE, 1, "s", 1).text(), {"person": {"o": 1}}, {}), SETTINGS),
        Rekeying("person", {"1": "a", "2": "b"}),
        Reconciling("person", ["1"], {"o": 1}, {"o": 1}),
    ),
    ids=lambda message: type(message).__name__,
)
def test_what_sites_say_passes(message):
    check(message)


@pytest.mark.parametrize(
    "message",
    (
        wanted(name="tally_user"),
        wanted(name="SQLITE_master"),
        wanted(name=""),
        wanted(name="a\0b"),
        wanted(wire=""),
        wanted(key_fields=()),
        wanted(fields=(GOOD.fields[0], GOOD.fields[0])),
        wanted(fields=(Field("iD", "x", Logical.TEXT),)),
        wanted(fields=(Field("x", "x", Logical.TEXT, detail="1); DROP TABLE person; --"),)),
        wanted(unique=(("Nobody",),)),
        wanted(unique=((),)),
        reference(columns=("Nobody",)),
        reference(columns=()),
        reference(parent="tally_meta"),
        reference(parent_columns=("Id", "Id")),
        reference(parent_columns=("",)),
        Wanted([GOOD, GOOD]),
        Wanted([], ["tally_record"]),
        Wanted([], [], True, {"a": ""}),
        Selection(Scope(("person",), (("other", "age gt 5"),)), Known("", {}, {})),
        Selection(SCOPE, Known("", {"person": {"o": -1}}, {})),
        Selection(SCOPE, Known("", {"person": {"o": 1 << 63}}, {})),
        Selection(SCOPE, Known("", {}, {"person": (-1, b"", b"")})),
        Selection(SCOPE, Known("", {}, {}, {"person": {"o": -1}})),
        Selection(SCOPE, Known("", {}, {}, {}, {"person": -1})),
        Selection(SCOPE, Known("", {}, {}), since=-1),
        meeting(seq=-1),
        meeting(seq=1 << 63),
        meeting(parked=-1),
        meeting(undecided=-1),
        meeting(proof=Proof(-1, {}, b"\0" * 32)),
        meeting(proof=Proof(5, {}, b"\0" * 31)),
        meeting(proof=Proof(5, {"person": {"o": -1}}, b"\0" * 32)),
        meeting(proof=Proof(5, {"other": {"o": 1}}, b"\0" * 32)),
        Digesting("x", Scope(("",))),
        Digesting("x", Scope(("a\nb",))),
        Ranging("person", [RangeForm("", None, -1, b"")]),
        Ranging("person", [RangeForm("", None, 1, b"\0" * 17)]),
        Ranging("person", [RangeForm("b", "a", 1, b"")]),
        Columned("person", []),
        Rekeying("person", {"1": "a", "2": "a"}),
        Rekeying("person", {"1": ""}),
        Reconciling("person", ["1"], {"o": -1}, {}),
        Resourced([""]),
        meeting(histories=HistoriesForm("", {}, {})),
        meeting(histories=HistoriesForm("o", {"o": [ContactForm(-1, 2, {})]}, {})),
        meeting(histories=HistoriesForm("o", {}, {"o": {"person": -1}})),
        Acknowledging(Closing("", {"other": {"o": 1}}, {}), SETTINGS),
        Acknowledging(Closing("", {}, {"person": {"o": -1}}), SETTINGS),
        Acknowledging(Closing("", {}, {}), SettingsForm("no site", SCOPE, {})),
        Acknowledging(Closing("", {}, {}), SettingsForm(SITE, SCOPE, {}, allowed=-2)),
        Acknowledging(
            Closing("", {}, {}), SettingsForm(SITE, SCOPE, {"": Policy(update=FieldPolicy(Resolution.KEEP_BOTH))})
        ),
    ),
    ids=lambda message: type(message).__name__,
)
def test_what_cannot_be_is_refused(message):
    with pytest.raises(RequestError):
        check(message)


@pytest.mark.parametrize(
    "message",
    (
        Digesting("x" * 600, SCOPE),
        Digesting("x", Scope(tuple(f"r{n}" for n in range(11)))),
        Keyed("person", ["x" * 70_000]),
        Wanted(
            [
                wanted(
                    fields=tuple(Field(f"f{n}", f"f{n}", Logical.TEXT) for n in range(41)), unique=(), references=()
                ).resources[0]
            ]
        ),
        meeting(state="x" * 2000),
        Acknowledging(Closing("", {}, {}), SettingsForm(SITE, SCOPE, {}, "x" * 2000)),
    ),
    ids=lambda message: type(message).__name__,
)
def test_what_is_too_large_is_refused(message):
    with pytest.raises(LimitExceeded):
        check(message, Limits(resources=10, fields=40))


@pytest.mark.parametrize("text", ("((((((", "name eq", "'", "x" * 20_000, "(" * 5000 + "a eq 1" + ")" * 5000))
def test_a_filter_that_cannot_be_read_is_refused(text):
    with pytest.raises(FilterError):
        check(Selection(Scope(("person",), (("person", text),)), Known("", {}, {})))


def test_a_page_belongs_to_its_settings():
    check_apply(SETTINGS, Page("person", [], [], [], State(SITE, 1, "s", 1).text()))
    with pytest.raises(RequestError):
        check_apply(SETTINGS, Page("visit", [], [], [], ""))
    with pytest.raises(StateInvalidError):
        check_apply(SETTINGS, Page("person", [], [], [], State("b" * 32, 1, "s", 1).text()))
    with pytest.raises(StateInvalidError):
        check(Acknowledging(Closing(State("b" * 32, 1, "s", 1).text(), {}, {}), SETTINGS))
