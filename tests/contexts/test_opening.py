import pytest

from tallystick.contexts.opening import again_while_moved, is_remote_tree, parts_of
from tallystick.contexts.problems import VersionMoved
from tallystick.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "remote"),
    (
        ("https://host/contexts/ws", True),
        ("http://host:1/base/contexts/ws/src", True),
        ("s3://bucket/prefix", True),
        ("https://host/", False),
        ("postgresql://host/contexts/x", False),
        ("./contexts/ws", False),
        ("contexts", False),
    ),
)
def test_only_urls_of_contexts_and_buckets_are_trees_elsewhere(name, remote):
    assert is_remote_tree(name) is remote


def test_a_url_names_site_context_and_prefix():
    assert parts_of("https://me@host/base/contexts/my%20ws/src/lib/") == ("https://me@host/base/", "my ws", "/src/lib")
    assert parts_of("http://h:1/contexts/ws") == ("http://h:1/", "ws", "")


@pytest.mark.parametrize("url", ("https://host/contexts/", "https://host/contexts/a?x=1"))
def test_a_url_without_a_context_is_refused(url):
    with pytest.raises(ConfigurationError):
        parts_of(url)


def test_a_run_begins_again_while_others_publish_and_gives_up_at_last():
    outcomes = [VersionMoved("moved"), VersionMoved("moved"), "done"]

    def run():
        found = outcomes.pop(0)
        if isinstance(found, VersionMoved):
            raise found
        return found

    assert again_while_moved(run, lambda _: None) == "done"
    outcomes[:] = [VersionMoved("moved")] * 8
    with pytest.raises(VersionMoved):
        again_while_moved(run, lambda _: None)
