"""Record keys and Eden's identifiers."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.values import Logical
from tallystick.protocols.eden.site.names import Names
from tallystick.site.schema import Definition, Field, Identity

MAPPED = Definition("org_office", "orgoffice", Identity.MAPPED)
COLUMN = Definition(
    "org_office", "orgoffice", Identity.COLUMN, (Field("uuid", "uuid", Logical.TEXT),), key_column="uuid"
)
NATURAL = Definition("org_office", "orgoffice", Identity.NATURAL)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
UUIDS = st.uuids().map(str)
INTEGERS = st.integers(0, 10**17).map(str)


def names(definition, site="a"):
    return Names(site, definition)


@given(st.one_of(UUIDS, INTEGERS, TEXTS))
def test_the_key_of_a_numbered_record_is_told_by_its_identifier(key):
    ours = names(MAPPED)
    assert ours.keys(ours.identifier(key))[0] == key or not _is_made_here(ours, key)


def _is_made_here(ours, key):
    """A text that is an identifier itself is no key of ours: it would be kept under another one."""
    return ours.new_key(ours.identifier(key)) == key


@given(st.one_of(UUIDS.map("urn:uuid:{}".format), INTEGERS, TEXTS))
def test_an_identifier_survives_being_a_key(identifier):
    ours = names(MAPPED)
    assert ours.identifier(ours.new_key(identifier)) == identifier


@given(TEXTS)
def test_the_key_that_means_something_is_told_by_its_identifier(key):
    ours = names(NATURAL)
    assert key in ours.keys(ours.identifier(key))


@given(INTEGERS)
def test_the_identifier_of_an_old_row_is_a_uuid_that_only_its_site_and_table_read(key):
    identifier = names(MAPPED).identifier(key)
    assert UUID(identifier.removeprefix("urn:uuid:")).version == 8
    assert names(MAPPED, "b").keys(identifier) != (key,)
    other = Definition("org_site", "orgsite", Identity.MAPPED)
    assert names(other).keys(identifier) != (key,)


@pytest.mark.parametrize("identifier", ("17", "eden:17", "0", "host/17", "urn:uuid:not-one", "urn:isbn:1"))
def test_a_foreign_identifier_is_never_taken_for_an_old_row(identifier):
    key = names(MAPPED).new_key(identifier)
    assert not key.isdigit()
    assert names(MAPPED).identifier(key) == identifier


def test_a_uuid_column_holds_what_eden_writes_there():
    identifier = "urn:uuid:11111111-0000-4000-8000-000000000001"
    assert names(COLUMN).new_key(identifier) == identifier
    assert names(COLUMN).keys(identifier) == (identifier.removeprefix("urn:uuid:"), identifier)


def test_the_fields_of_a_record_make_a_key_that_means_something():
    assert names(NATURAL).new_key("urn:uuid:11111111-0000-4000-8000-000000000001") == ""
