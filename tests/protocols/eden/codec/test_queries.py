from datetime import UTC, datetime

import pytest

from tallystick.core.policies import Method, Resolution
from tallystick.protocols.eden.codec.filters import parse_filter_string
from tallystick.protocols.eden.codec.queries import parse_query, pull_url, push_url, register_url
from tallystick.protocols.eden.errors import DocumentError, TimeFormatError

BASE, OWN = "http://127.0.0.1:8010/eden", "urn:uuid:ecfc0046-3965-4781-bf98-537b47128e7d"
ALL = frozenset(Method)
SINCE = datetime(2026, 11, 20, 9, tzinfo=UTC)


def test_a_pull_is_asked_for_as_real_eden_does(exchange_line):
    filters = parse_filter_string("org_organisation", "org_organisation", "~.name__like=*o*")
    url = pull_url(BASE, "org_organisation", OWN, filters=filters)
    assert f"GET {url.removeprefix('http://127.0.0.1:8010')} HTTP/1.1" == exchange_line("002GET_eden_sync_sync_xml")


def test_a_push_is_sent_as_real_eden_does(exchange_line):
    url = push_url(BASE, "org_organisation", OWN, strategy=ALL, update=Resolution.NEWER, conflict=Resolution.NEWER)
    assert f"POST {url.removeprefix('http://127.0.0.1:8010')} HTTP/1.1" == exchange_line("003POST_eden_sync_sync_xml")


def test_a_registration_goes_where_real_eden_sends_it(exchange_line):
    line = f"POST {register_url(BASE).removeprefix('http://127.0.0.1:8010')} HTTP/1.1"
    assert line == exchange_line("001POST_eden_sync_repository_register_json")


@pytest.fixture
def exchange_line():
    from pathlib import Path

    samples = Path(__file__).parents[3] / "interop" / "eden" / "samples" / "active"
    return lambda name: (samples / f"{name}.req").read_text().splitlines()[0]


def test_the_order_of_parameters():
    filters = parse_filter_string("t_t", "t_t", "~.a=1") + parse_filter_string("t_u", "t_t", "u.b=2")
    url = pull_url("http://h/e", "t_t", "R", msince=SINCE, components=False, filters=filters, state="ab.12")
    assert url == (
        "http://h/e/sync/sync.xml?resource=t_t&repository=R&msince=2026-11-20T09:00:00&mcomponents=None"
        "&include_deleted=True&[~]~.a=1&[t_u]u.b=2&tally_state=ab.12"
    )


@pytest.mark.parametrize(
    ("strategy", "update", "start"),
    (
        (ALL, Resolution.NEWER, "http://h/e/sync/sync.xml?resource=org_sector&repository=R&strategy=create,update,"),
        (ALL, Resolution.MASTER, "http://h/e/org/sector/sync.xml?repository=R&strategy=create,update,delete,merge&"),
        (frozenset({Method.CREATE}), Resolution.NEWER, "http://h/e/org/sector/sync.xml?repository=R&strategy=create&"),
    ),
)
def test_what_the_common_endpoint_drops_goes_to_the_tables_own(strategy, update, start):
    url = push_url("http://h/e", "org_sector", "R", strategy=strategy, update=update, conflict=Resolution.THIS)
    assert url.startswith(start)


@pytest.mark.parametrize(
    "query", ("[~]~.name__like=nomatch*", "%5B~%5D~.name__like=nomatch*", "%5b~%5d%7E.name__like=nomatch%2A")
)
def test_brackets_are_read_literal_and_encoded(query):
    (one,) = parse_query(query).filters
    assert (one.table, one.condition.values) == ("~", ("nomatch*",))


def test_everything_that_an_active_eden_sends_is_read():
    query = parse_query(
        "resource=org_sector&repository=PEER&msince=2026-11-20T09:00:00&mcomponents=None&include_deleted=True"
        "&strategy=create,update,bogus&update_policy=THIS&conflict_policy=newer"
    )
    assert (query.resource, query.repository, query.msince) == ("org_sector", "PEER", SINCE)
    assert query.strategy == {Method.CREATE, Method.UPDATE}
    assert (query.update, query.conflict) == (Resolution.THIS, Resolution.NEWER)
    assert (query.components, query.include_deleted) == (True, True)


@pytest.mark.parametrize(
    ("query", "rest", "components", "names"),
    (
        ("components=None", False, False, None),
        ("mcomponents=None", False, True, None),
        ("mcomponents=None", True, False, None),
        ("mcomponents=office,role", True, True, ("office", "role")),
        ("", True, True, None),
    ),
)
def test_which_components(query, rest, components, names):
    found = parse_query(query, rest=rest)
    assert (found.components, found.component_names) == (components, names)


def test_missing_and_unknown_values_have_their_defaults():
    query = parse_query("update_policy=SOMETIMES&strategy=")
    assert (query.update, query.conflict, query.strategy) == (None, None, frozenset())
    assert parse_query("").strategy == ALL


@pytest.mark.parametrize("query", ("start=x", "limit=-1", "limit=1.5", "start=" + "9" * 30, "limit=٣"))
def test_numbers_that_are_none_are_refused(query):
    with pytest.raises(DocumentError, match="is no number"):
        parse_query(query)


def test_a_malformed_msince_is_refused():
    with pytest.raises(TimeFormatError):
        parse_query("msince=2026-11-20T09:00:01%2B00:00")


def test_the_number_of_parameters_is_bounded():
    with pytest.raises(DocumentError, match="more than 500 parameters"):
        parse_query("&".join(f"a{number}=1" for number in range(501)))


def test_the_first_of_repeated_parameters_counts_but_filters_are_combined():
    query = parse_query("limit=1&limit=2&[~]~.a__ge=1&[~]~.a__le=5")
    assert query.limit == 1
    assert len(query.filters) == 2
