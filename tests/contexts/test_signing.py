"""Signed URLs: one file, one method, an hour (spec contexts A.2)."""

from urllib.parse import urlsplit

import pytest

from tallystick.contexts.entries import packed
from tallystick.contexts.http.signing import VALID_S, check_signed, signed_path
from tallystick.contexts.http.wire import SIGNED
from tallystick.contexts.problems import LinkExpired

SECRET = b"a secret of the site"
NOW = 1_800_000_000


def asked(url, method="GET", now=NOW):
    parts = urlsplit(url)
    return check_signed(SECRET, method, parts.path.removeprefix(SIGNED), parts.query, now)


@pytest.mark.parametrize("key", ("/a", "/új/файл name.bin", "/a?b#c%d&e", packed("/caf\udce9"), "/\uf8fe\uf8fe"))
def test_a_url_names_its_context_and_key_whatever_stands_in_it(key):
    assert asked(signed_path(SECRET, "GET", "ctx-1", key, NOW + 1)) == ("ctx-1", key)


def test_a_url_holds_for_an_hour_and_not_a_second_longer():
    url = signed_path(SECRET, "PUT", "ctx-1", "/a", NOW + VALID_S)

    assert VALID_S == 3600
    assert asked(url, "PUT", NOW + 3599.9) == ("ctx-1", "/a")
    with pytest.raises(LinkExpired, match="ended"):
        asked(url, "PUT", NOW + 3600)


def test_the_end_cannot_be_moved():
    url = signed_path(SECRET, "GET", "ctx-1", "/a", NOW)

    with pytest.raises(LinkExpired, match="signed"):
        asked(url.replace(str(NOW), str(NOW + 10)))


@pytest.mark.parametrize("method", ("PUT", "DELETE", "POST"))
def test_a_url_for_reading_is_for_nothing_else(method):
    url = signed_path(SECRET, "GET", "ctx-1", "/a", NOW + 10)

    assert asked(url, "HEAD") == asked(url)
    with pytest.raises(LinkExpired, match=method):
        asked(url, method)


@pytest.mark.parametrize("query", ("", "expires=²&signature=x", "expires=-1", "expires=1e9", "&".join(["a=1"] * 50)))
def test_a_query_that_is_no_signature_is_refused(query):
    with pytest.raises(LinkExpired, match="not signed"):
        check_signed(SECRET, "GET", "ctx-1/a", query, NOW)
