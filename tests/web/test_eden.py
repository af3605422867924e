"""The Eden protocol as it is mounted: hostile requests over real connections are answered in its own form."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request

import pytest

from tallystick import api
from tallystick.web import running
from tallystick.web.eden import eden

REGISTER = "sync/repository/register.xml?repository=urn:uuid:peer&name=peer"
PULL = "sync/sync.xml?resource=org_sector"
PUSH = f"{PULL}&repository=urn:uuid:peer"
GOOD = "<resource name='org_sector' uuid='urn:uuid:good'><data field='name'>good</data></resource>"


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Asks a served site with a registered peer; gives status and body."""
    path = str(tmp_path_factory.mktemp("served") / "site.db")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE org_sector (id INTEGER PRIMARY KEY, name TEXT NOT NULL, rank INTEGER)")
    with api.open(path) as site:
        site.track()
    with running(path, providers=[eden("/eden")]) as address:

        def asked(method, url, body=None):
            request = urllib.request.Request(f"{address}eden/{url}", body, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        assert asked("GET", REGISTER)[0] == 200
        yield asked


@pytest.mark.parametrize(
    "msince",
    (
        "yesterday",
        "2026-13-01T00:00:00",
        "2026-11-26T00:00:00Z",
        "2026-11-26",
        "2026-11-26T24:00:00",
        "%00",
        "%27OR%271",
    ),
)
def test_a_malformed_msince_is_400_and_says_so(ask, msince):
    status, body = ask("GET", f"{PULL}&msince={msince}")
    assert (status, json.loads(body)["statuscode"]) == (400, "400")
    assert "is no time" in json.loads(body)["message"]


@pytest.mark.parametrize("key", ("[~]~.name", "%5B~%5D~.name", "%5b%7e%5d%7e%2ename"))
def test_brackets_mean_the_same_however_they_are_written(ask, key):
    ask("POST", PUSH, f"<s3xml>{GOOD}</s3xml>".encode())
    assert b'results="1"' in ask("GET", f"{PULL}&{key}=good")[1]
    assert b'results="0"' in ask("GET", f"{PULL}&{key}=other")[1]


def test_what_is_refused_before_the_protocol_is_reached_says_its_status(ask):
    status, body = ask("GET", f"{PULL}&[~]~.name={'x' * 10_000}")
    assert (status, json.loads(body)["statuscode"]) == (414, "414")


@pytest.mark.parametrize(
    ("body", "expected"),
    (
        (b"<s3xml>" + b"<resource name='org_sector'>" * 5000, 413),
        (b"<s3xml>" + b"<x>" * 200_000, 413),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><s3xml>&b;</s3xml>", 400),
        (b"<s3xml><resource name='org_sector'><data field='name'>\xff</data></resource></s3xml>", 400),
        (b"<s3xml>", 400),
    ),
)
def test_a_hostile_document_is_refused_whole(ask, body, expected):
    status, answer = ask("POST", PUSH, body)
    assert (status, json.loads(answer)["status"]) == (expected, "failed")


@pytest.mark.parametrize(
    "bad",
    (
        "<data field='rank'>1</data>",
        "<data field='name'>x</data><data field='rank'>many</data>",
        "<data field='name'>x</data><data field='rank' value='99999999999999999999999999'/>",
    ),
)
def test_one_bad_record_is_reported_and_the_others_are_taken(ask, bad):
    body = f"<s3xml><resource name='org_sector' uuid='urn:uuid:bad'>{bad}</resource>{GOOD}</s3xml>"
    status, answer = ask("POST", PUSH, body.encode())
    reply = json.loads(answer)
    assert (status, reply["records"]) == (200, 1)
    assert reply["tree"]["$_org_sector"][0]["@uuid"] == "urn:uuid:bad"
    assert b"urn:uuid:bad" not in ask("GET", PULL)[1]


@pytest.mark.parametrize("attributes", ("modified_on='9999-12-31T23:59:59'", "mci='99999999999999999999'"))
def test_a_record_with_odd_attributes_is_taken_and_the_table_still_answers(ask, attributes):
    record = f"<resource name='org_sector' uuid='urn:uuid:odd' {attributes}><data field='name'>o</data></resource>"
    assert ask("POST", PUSH, f"<s3xml>{record}</s3xml>".encode())[0] == 200
    for query in ("", "&repository=urn:uuid:peer", "&msince=2026-01-01T00:00:00"):
        status, answer = ask("GET", PULL + query)
        assert (status, b"urn:uuid:odd" in answer) == (200, True)


@pytest.mark.parametrize("method", ("DELETE", "PATCH"))
def test_nothing_but_reading_and_pushing_is_offered(ask, method):
    assert ask(method, PUSH, b"")[0] == 405
