"""Recycle rules: spec contexts R1, R2, R4, R5."""

import pytest

from tallystick.contexts import Lifecycle, RecyclePolicy
from tallystick.contexts.keys import binding_of
from tallystick.contexts.recycling import (
    NANOSECONDS_A_DAY,
    RecycleRule,
    expired_keys,
    expires_at,
    is_expired,
    rule_for,
    rules_of,
)

DATA = binding_of("c", "/data")
DAY = NANOSECONDS_A_DAY


def stored(*rules):
    return {"/data": tuple(RecycleRule(path, lifecycle) for path, lifecycle in rules)}


@pytest.mark.parametrize("lifecycle", [choice for choice in Lifecycle if choice.days])
def test_a_key_expires_at_exactly_n_times_24_hours(lifecycle):
    rules, changed = stored(("/data", lifecycle)), 5_000
    end = changed + lifecycle.days * DAY
    assert not is_expired("/data/x", changed, end - 1, rules)
    assert is_expired("/data/x", changed, end, rules)
    assert expires_at("/data/x", changed, rules) == end


def test_forever_never_expires():
    assert expires_at("/data/x", 0, stored(("/data", Lifecycle.LIFECYCLE_FOREVER))) is None
    assert expires_at("/data/x", 0, {}) is None


# R4: how a path of the policy becomes a key.
@pytest.mark.parametrize(
    ("path", "key"),
    (
        ("", "/data"),
        ("/", "/data"),
        ("/data/tmp/cache", "/data/tmp/cache"),
        ("/tmp/cache", "/data/tmp/cache"),
        ("tmp/cache/", "/data/tmp/cache"),
        ("/data", "/data"),
        ("/database", "/data/database"),
    ),
)
def test_paths_are_absolute_in_the_session_or_relative_to_the_mount(path, key):
    (rule,) = rules_of(RecyclePolicy(Lifecycle.LIFECYCLE_1DAY, [path]), DATA)
    assert rule.path == key


def test_paths_of_a_mapped_mount_name_keys_below_the_original_prefix():
    mapped = binding_of("c", "/mnt", "c:\\old")
    policy = RecyclePolicy(Lifecycle.LIFECYCLE_1DAY, ["/mnt/a", "c:\\old\\b", "d", ""])
    assert [rule.path for rule in rules_of(policy, mapped)] == ["/c:/old/a", "/c:/old/b", "/c:/old/d", "/c:/old"]


@pytest.mark.parametrize(
    ("key", "covered"), (("/data/tmp/cache", True), ("/data/tmp/cache/x", True), ("/data/tmp/cache2", False))
)
def test_a_rule_covers_whole_segments(key, covered):
    assert (rule_for(key, stored(("/data/tmp/cache", Lifecycle.LIFECYCLE_1DAY))) is not None) is covered


def test_the_longest_path_wins_then_the_longest_lifecycle():
    rules = stored(
        ("/data", Lifecycle.LIFECYCLE_1DAY),
        ("/data/keep", Lifecycle.LIFECYCLE_3DAYS),
        ("/data/keep", Lifecycle.LIFECYCLE_30DAYS),
        ("/data/keep/for", Lifecycle.LIFECYCLE_FOREVER),
        ("/data/keep/for", Lifecycle.LIFECYCLE_360DAYS),
    )
    assert rule_for("/data/x", rules).lifecycle is Lifecycle.LIFECYCLE_1DAY
    assert rule_for("/data/keep/x", rules).lifecycle is Lifecycle.LIFECYCLE_30DAYS
    assert rule_for("/data/keep/for/x", rules).lifecycle is Lifecycle.LIFECYCLE_FOREVER


def test_rules_of_different_mounts_of_a_context_compete_by_the_same_order():
    rules = {
        "/data": (RecycleRule("/data", Lifecycle.LIFECYCLE_30DAYS),),
        "/data/a": (RecycleRule("/data/a", Lifecycle.LIFECYCLE_1DAY),),
    }
    assert rule_for("/data/a/x", rules).lifecycle is Lifecycle.LIFECYCLE_1DAY


def test_no_paths_cover_nothing():
    assert rules_of(RecyclePolicy(Lifecycle.LIFECYCLE_1DAY, []), DATA) == ()


# R2
def test_a_directory_emptied_by_expiry_goes_with_its_files():
    rules = stored(("/data/tmp", Lifecycle.LIFECYCLE_1DAY))
    files = {"/data/tmp/a/old": 0, "/data/tmp/b/old": 0, "/data/tmp/b/new": DAY, "/data/x": 0}
    directories = ["/data", "/data/tmp", "/data/tmp/a", "/data/tmp/b", "/data/tmp/always-empty"]
    assert expired_keys(files, directories, DAY, rules) == {"/data/tmp/a/old", "/data/tmp/b/old", "/data/tmp/a"}
    assert expired_keys(files, directories, DAY - 1, rules) == set()


def test_a_directory_that_no_rule_ends_stays_and_holds_its_parents():
    rules = stored(("/data/tmp", Lifecycle.LIFECYCLE_1DAY), ("/data/tmp/a/b", Lifecycle.LIFECYCLE_FOREVER))
    rules["/data"] += (RecycleRule("/data/tmp/a/b/x", Lifecycle.LIFECYCLE_1DAY),)
    directories = ["/data/tmp", "/data/tmp/a", "/data/tmp/a/b"]
    assert expired_keys({"/data/tmp/a/b/x": 0}, directories, DAY, rules) == {"/data/tmp/a/b/x"}


def test_nested_directories_go_together():
    rules = stored(("/data", Lifecycle.LIFECYCLE_1DAY))
    assert expired_keys({"/data/a/b/x": 0}, ["/data/a", "/data/a/b"], DAY, rules) == {
        "/data/a/b/x",
        "/data/a/b",
        "/data/a",
    }
