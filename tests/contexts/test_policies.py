"""The class surface of spec contexts A.1."""

import copy
import dataclasses
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick.contexts as contexts
from tallystick.contexts import (
    BWList,
    ContextSync,
    DeletePolicy,
    DownloadPolicy,
    DownloadStrategy,
    ExtractPolicy,
    Lifecycle,
    MappingPolicy,
    RecyclePolicy,
    SyncPolicy,
    UploadMode,
    UploadPolicy,
    UploadStrategy,
    WhiteList,
)
from tallystick.errors import TallystickError

LIFECYCLES = (
    "Lifecycle_1Day, Lifecycle_3Days, Lifecycle_5Days, Lifecycle_10Days, Lifecycle_15Days, "
    "Lifecycle_30Days, Lifecycle_90Days, Lifecycle_180Days, Lifecycle_360Days, Lifecycle_Forever"
)

DEFAULT_DOCUMENT = json.loads(
    '{"uploadPolicy":{"autoUpload":true,"uploadStrategy":"UploadBeforeResourceRelease","uploadMode":"File"},'
    '"downloadPolicy":{"autoDownload":true,"downloadStrategy":"DownloadAsync"},"deletePolicy":{"syncLocalFile":true},'
    '"extractPolicy":{"extract":true,"deleteSrcFile":true,"extractToCurrentFolder":false},'
    '"recyclePolicy":{"lifecycle":"Lifecycle_Forever","paths":[""]},"bwList":{"whiteLists":[{"path":"",'
    '"excludePaths":[],"isPathRegex":false,"isExcludeRegex":false}]}}'
)


@pytest.mark.parametrize(
    ("choice", "members"),
    (
        (UploadStrategy, {"UPLOAD_BEFORE_RESOURCE_RELEASE": "UploadBeforeResourceRelease"}),
        (DownloadStrategy, {"DOWNLOAD_ASYNC": "DownloadAsync"}),
        (UploadMode, {"FILE": "File", "ARCHIVE": "Archive"}),
        (
            Lifecycle,
            {
                "LIFECYCLE_1DAY": "Lifecycle_1Day",
                **{f"LIFECYCLE_{n}DAYS": f"Lifecycle_{n}Days" for n in (3, 5, 10, 15, 30, 90, 180, 360)},
                "LIFECYCLE_FOREVER": "Lifecycle_Forever",
            },
        ),
    ),
)
def test_enums_have_the_published_members_and_values(choice, members):
    assert {member.name: member.value for member in choice} == members


def test_a_lifecycle_knows_its_days():
    assert [member.days for member in Lifecycle] == [1, 3, 5, 10, 15, 30, 90, 180, 360, None]


@pytest.mark.parametrize(
    ("policy", "defaults", "wire"),
    (
        (
            UploadPolicy(),
            {
                "auto_upload": True,
                "upload_strategy": UploadStrategy.UPLOAD_BEFORE_RESOURCE_RELEASE,
                "upload_mode": UploadMode.FILE,
                "archive_exclude_paths": [],
            },
            DEFAULT_DOCUMENT["uploadPolicy"],
        ),
        (
            DownloadPolicy(),
            {"auto_download": True, "download_strategy": DownloadStrategy.DOWNLOAD_ASYNC},
            DEFAULT_DOCUMENT["downloadPolicy"],
        ),
        (DeletePolicy(), {"sync_local_file": True}, DEFAULT_DOCUMENT["deletePolicy"]),
        (
            ExtractPolicy(),
            {"extract": True, "delete_src_file": True, "extract_current_folder": False},
            DEFAULT_DOCUMENT["extractPolicy"],
        ),
        (
            RecyclePolicy(),
            {"lifecycle": Lifecycle.LIFECYCLE_FOREVER, "paths": [""]},
            DEFAULT_DOCUMENT["recyclePolicy"],
        ),
        (
            WhiteList(),
            {"path": "", "exclude_paths": [], "is_path_regex": False, "is_exclude_regex": False},
            DEFAULT_DOCUMENT["bwList"]["whiteLists"][0],
        ),
        (BWList(), {"white_lists": []}, {"whiteLists": []}),
        (MappingPolicy(), {"path": ""}, {"path": ""}),
    ),
)
def test_every_policy_has_the_published_fields_defaults_and_wire_keys(policy, defaults, wire):
    assert [field.name for field in dataclasses.fields(policy)] == list(defaults)
    assert {field.name: getattr(policy, field.name) for field in dataclasses.fields(policy)} == defaults
    assert policy.__dict__() == wire
    assert policy == type(policy).default()


def test_the_default_sync_policy_is_the_documented_document():
    assert SyncPolicy().__dict__() == DEFAULT_DOCUMENT
    assert SyncPolicy.default() == SyncPolicy()
    assert SyncPolicy().mapping_policy is None


def test_an_explicit_empty_list_stays_empty_and_a_missing_one_means_everything():
    assert SyncPolicy(bw_list=BWList()).bw_list.white_lists == []
    assert SyncPolicy().bw_list.white_lists == [WhiteList("")]
    assert BWList(white_lists=None).__dict__() == {"whiteLists": []}


def test_default_lists_are_never_shared():
    for policy in (UploadPolicy, RecyclePolicy, WhiteList, BWList, SyncPolicy):
        for field in dataclasses.fields(policy):
            one, other = getattr(policy(), field.name), getattr(policy(), field.name)
            assert one is not other or not isinstance(one, list | UploadPolicy | BWList)
    one = SyncPolicy()
    one.recycle_policy.paths.append("/x")
    assert SyncPolicy().recycle_policy.paths == [""]


@pytest.mark.parametrize(
    ("mode", "paths", "on_wire"),
    ((UploadMode.ARCHIVE, ["a/"], True), (UploadMode.FILE, ["a/"], False), (UploadMode.ARCHIVE, [], False)),
)
def test_excluded_archive_paths_travel_only_in_archive_mode_and_when_there_are_any(mode, paths, on_wire):
    wire = UploadPolicy(upload_mode=mode, archive_exclude_paths=paths).__dict__()
    assert wire.get("archiveExcludePaths") == (paths if on_wire else None)
    assert ("archiveExcludePaths" in wire) is on_wire


def test_a_mapping_travels_when_there_is_one():
    policy = SyncPolicy(mapping_policy=MappingPolicy("c:\\Users\\A\\Downloads"))
    assert policy.__dict__()["mappingPolicy"] == {"path": "c:\\Users\\A\\Downloads"}


def test_a_context_sync_carries_its_policy_as_a_json_string_and_never_the_wait_flag():
    wire = ContextSync.new("c1", "/work", SyncPolicy(), beta_wait_for_completion=False).__dict__()
    assert set(wire) == {"ContextId", "Path", "Policy"}
    assert json.loads(wire["Policy"]) == DEFAULT_DOCUMENT
    assert ContextSync.new("c1", "/work").__dict__() == {"ContextId": "c1", "Path": "/work"}


def test_with_policy_sets_and_returns_self():
    sync, policy = ContextSync.new("c1", "/work"), SyncPolicy()
    assert sync.with_policy(policy) is sync
    assert sync.policy is policy


@pytest.mark.parametrize(
    ("identifier", "path"), ((None, None), ("", "/work"), ("c", ""), ("c", "/"), ("c", "c:\\"), ("c", "/a/../b"))
)
def test_impossible_bindings_construct(identifier, path):
    assert ContextSync(identifier, path) == ContextSync(context_id=identifier, path=path)


# Validation: (build, assign, error, phrases) --------------------------------------------------------------------

REFUSED = (
    (
        UploadPolicy,
        "upload_mode",
        "Archive",
        ValueError,
        "Invalid upload_mode value: Archive|Valid values are: File, Archive",
    ),
    (UploadPolicy, "upload_mode", None, ValueError, "Invalid upload_mode value: None|Valid values are: File, Archive"),
    (UploadPolicy, "upload_strategy", "x", ValueError, "Invalid upload_strategy value: x"),
    (DownloadPolicy, "download_strategy", "x", ValueError, "Invalid download_strategy value: x"),
    (
        RecyclePolicy,
        "lifecycle",
        "Lifecycle_1Day",
        ValueError,
        f"Invalid lifecycle value: Lifecycle_1Day|Valid values are:|{LIFECYCLES}",
    ),
    *(
        (
            RecyclePolicy,
            "paths",
            ["/ok", f"/a{wildcard}b"],
            ValueError,
            f"Wildcard patterns are not supported in recycle policy paths|/a{wildcard}b"
            "|Please use exact directory paths instead",
        )
        for wildcard in "*?[]"
    ),
    *(
        (
            WhiteList,
            "path",
            f"/a{wildcard}b",
            ValueError,
            f"Wildcard patterns are not supported in path|/a{wildcard}b|Please use exact directory paths",
        )
        for wildcard in "*?[]"
    ),
    (
        WhiteList,
        "exclude_paths",
        ["/ok", "/a*"],
        ValueError,
        "Wildcard patterns are not supported in exclude_paths|/a*|Please use exact directory paths",
    ),
    (RecyclePolicy, "paths", None, TypeError, "paths"),
    (RecyclePolicy, "paths", "/tmp", TypeError, "paths"),
    (RecyclePolicy, "paths", [1], TypeError, "paths"),
    (UploadPolicy, "archive_exclude_paths", None, TypeError, "archive_exclude_paths"),
    (UploadPolicy, "archive_exclude_paths", "a", TypeError, "archive_exclude_paths"),
    (WhiteList, "exclude_paths", None, TypeError, "exclude_paths"),
    (WhiteList, "exclude_paths", "a", TypeError, "exclude_paths"),
    (WhiteList, "path", None, TypeError, "path"),
    (BWList, "white_lists", "a", TypeError, "white_lists"),
    (BWList, "white_lists", ["a"], TypeError, "white_lists"),
    (MappingPolicy, "path", None, TypeError, "path"),
    (UploadPolicy, "auto_upload", "yes", TypeError, "auto_upload"),
    *(
        (SyncPolicy, part, "x", TypeError, part)
        for part in (
            "upload_policy",
            "download_policy",
            "delete_policy",
            "extract_policy",
            "recycle_policy",
            "bw_list",
            "mapping_policy",
        )
    ),
    (ContextSync, "policy", {}, TypeError, "policy"),
)


@pytest.mark.parametrize(("policy", "field", "value", "error", "phrases"), REFUSED)
def test_a_wrong_value_is_refused_by_the_constructor(policy, field, value, error, phrases):
    with pytest.raises(error) as caught:
        policy(**{field: value})
    assert isinstance(caught.value, TallystickError)
    for phrase in phrases.split("|"):
        assert phrase in str(caught.value)


@pytest.mark.parametrize(("policy", "field", "value", "error", "phrases"), REFUSED)
def test_a_wrong_value_is_refused_by_assignment_and_the_old_one_stays(policy, field, value, error, phrases):
    existing = policy()
    with pytest.raises(error) as caught:
        setattr(existing, field, value)
    for phrase in phrases.split("|"):
        assert phrase in str(caught.value)
    assert existing == policy()


@pytest.mark.parametrize(("field", "flag"), (("path", "is_path_regex"), ("exclude_paths", "is_exclude_regex")))
def test_the_whole_white_list_is_judged_never_one_field_alone(field, flag):
    value = "project-.*" if field == "path" else ["project-.*"]
    entry = WhiteList(**{field: value, flag: True})
    with pytest.raises(ValueError, match="Wildcard patterns are not supported"):
        setattr(entry, flag, False)
    setattr(entry, field, "src" if field == "path" else ["src"])
    setattr(entry, flag, False)


@pytest.mark.parametrize(
    "arguments",
    ({"path": "a(", "is_path_regex": True}, {"exclude_paths": ["a("], "is_exclude_regex": True}),
)
def test_a_pattern_that_does_not_compile_is_refused_by_name(arguments):
    with pytest.raises(ValueError, match="Invalid regular expression") as caught:
        WhiteList(**arguments)
    assert "a(" in str(caught.value)


def test_a_list_changed_in_place_is_judged_before_it_travels():
    policy = RecyclePolicy()
    policy.paths.append("/a*")
    with pytest.raises(ValueError, match="Wildcard patterns"):
        policy.__dict__()


def test_allowed_oddities():
    assert UploadPolicy(upload_strategy=None).__dict__()["uploadStrategy"] is None
    assert DownloadPolicy(download_strategy=None).__dict__()["downloadStrategy"] is None
    assert RecyclePolicy(paths=[]).paths == []
    assert UploadPolicy(archive_exclude_paths=["a*"]).archive_exclude_paths == ["a*"]


@pytest.mark.parametrize("policy", (SyncPolicy(), WhiteList(), ContextSync()))
def test_a_misspelt_attribute_is_refused(policy):
    with pytest.raises(AttributeError, match="exlude_paths"):
        policy.exlude_paths = []


def test_a_part_set_to_none_takes_its_default_again():
    policy = SyncPolicy(delete_policy=DeletePolicy(sync_local_file=False))
    policy.delete_policy = None
    assert policy == SyncPolicy()


# Copies and documents --------------------------------------------------------------------------------------------

names = st.text("abc/_-.", max_size=8)
white_lists = st.builds(WhiteList, names, st.lists(names, max_size=3))
sync_policies = st.builds(
    SyncPolicy,
    st.builds(
        UploadPolicy, st.booleans(), upload_mode=st.sampled_from(UploadMode), archive_exclude_paths=st.lists(names)
    ),
    st.builds(DownloadPolicy, st.booleans(), st.sampled_from([None, DownloadStrategy.DOWNLOAD_ASYNC])),
    st.builds(DeletePolicy, st.booleans()),
    st.builds(ExtractPolicy, st.booleans(), st.booleans(), st.booleans()),
    st.builds(RecyclePolicy, st.sampled_from(Lifecycle), st.lists(names, max_size=3)),
    st.builds(BWList, st.lists(white_lists, max_size=3)),
    st.none() | st.builds(MappingPolicy, names),
)
context_syncs = st.builds(ContextSync, names, names, st.none() | sync_policies, st.none() | st.booleans())


@given(st.one_of(sync_policies, context_syncs, white_lists))
def test_every_policy_survives_copy_pickle_replace_and_its_own_document(policy):
    for twin in (
        copy.copy(policy),
        copy.deepcopy(policy),
        pickle.loads(pickle.dumps(policy)),
        dataclasses.replace(policy),
        type(policy).from_dict(policy.to_dict()),
        type(policy).from_dict(json.loads(json.dumps(policy.to_dict()))),
    ):
        assert twin == policy
        assert twin.__dict__() == policy.__dict__()
    assert set(dataclasses.asdict(policy)) == {field.name for field in dataclasses.fields(policy)}


def test_a_copy_is_still_validated():
    with pytest.raises(ValueError, match="Wildcard"):
        copy.deepcopy(RecyclePolicy()).paths = ["*"]


def test_policies_are_unhashable_as_mutable_values_are():
    with pytest.raises(TypeError):
        hash(SyncPolicy())


@pytest.mark.parametrize(
    ("policy", "document"),
    (
        (SyncPolicy, {"uploadPolicies": {}}),
        (SyncPolicy, {"extractPolicy": {"extract_current_folder": True}}),
        (ContextSync, {"contextId": "c"}),
    ),
)
def test_an_unknown_key_is_refused_by_name(policy, document):
    with pytest.raises(ValueError, match="Unknown key") as caught:
        policy.from_dict(document)
    assert any(key in str(caught.value) for key in ("uploadPolicies", "extract_current_folder", "contextId"))


def test_a_wrong_wire_value_is_refused_like_a_wrong_argument():
    with pytest.raises(ValueError, match="Invalid upload_mode value: Zip"):
        UploadPolicy.from_dict({"uploadMode": "Zip"})
    with pytest.raises(ValueError, match="not JSON"):
        ContextSync.from_dict({"ContextId": "c", "Path": "/w", "Policy": "{"})


def test_the_package_exports_the_published_names():
    assert set(contexts.__all__) >= {"ContextSync", "SyncPolicy", "BWList", "WhiteList", "Lifecycle", "UploadMode"}
