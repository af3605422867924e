"""The engine between two providers on real sockets, and against providers that misbehave (spec 10)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tallystick.errors import PeerRefused, PeerUnreachable, ValueRejected
from tallystick.protocols.sdata.codec.kinds import Kind
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.tracking import Tracking, write_tracking
from tallystick.protocols.sdata.engine import PassReport, common_kinds, of_kind, run_pass, run_passes, synchronize
from tallystick.protocols.sdata.errors import OriginRefused, PassStopped, ProviderBusy
from tallystick.protocols.sdata.memory import MemoryStore
from tallystick.protocols.sdata.provider import Settings
from tallystick.protocols.sdata.remote_jobs import Patience, Remote, RemoteJob, Run
from tallystick.protocols.sdata.transport import HttpTransport, Response, Transport

NAMESPACE = "http://schemas.example/crm/1"
RUN = Run("nightly", "2026-03-02T09:30:00Z")
BACK = Run("nightly", "2026-03-02T09:30:01Z")


@dataclass
class Recorder:
    """A transport that remembers what went through it, and lets a test interfere."""

    inner: Transport
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    got: list[Response] = field(default_factory=list)
    interfere: Callable[[str, str], Response | Exception | None] | None = None
    lose: Callable[[str, str], bool] | None = None

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        self.sent.append((method, url, body))
        instead = self.interfere(method, url) if self.interfere else None
        if isinstance(instead, Exception):
            raise instead
        answer = instead or self.inner.request(method, url, headers, body)
        self.got.append(answer)
        if self.lose and self.lose(method, url):
            raise PeerUnreachable("the answer got lost")
        return answer

    def close(self) -> None:
        self.inner.close()

    def urls(self, method: str, segment: str) -> list[str]:
        return [url for sent, url, _ in self.sent if sent == method and segment in url]


@dataclass
class End:
    """One provider, and the engine's way to it."""

    server: Any
    recorder: Recorder
    remote: Remote

    @property
    def store(self) -> MemoryStore:
        found: MemoryStore = self.server.store
        return found

    @property
    def kind(self) -> Kind:
        found = self.store.contract.kind("accounts")
        assert found is not None
        return found

    def create(self, *names: str) -> None:
        for name in names:
            uuid = f"00000000-0000-4000-8000-{abs(hash(name)) % 10**12:012d}"
            self.store.create(self.kind, Payload("account", NAMESPACE, {"name": name}, uuid))

    def names(self) -> list[str]:
        live = [found for found in self.store.shelf(self.kind).by_key.values() if not found.deleted]
        return sorted(str(found.payload.fields["name"]) for found in live)

    def jobs(self) -> int:
        return len(self.store._jobs)


@pytest.fixture
def ends(loopback: Callable[..., Any]) -> Any:
    opened: list[HttpTransport] = []

    def end(application: str) -> End:
        server = loopback(application, settings=Settings(page_size=3, largest_page=3))
        carrier = HttpTransport(server.root, timeout=20)
        opened.append(carrier)
        recorder = Recorder(carrier)
        return End(server, recorder, Remote(server.accounts, recorder, Patience(pause=0.0, sleep=lambda _: None)))

    yield end("books"), end("shop")
    for carrier in opened:
        carrier.close()


Ends = tuple[End, End]


def test_a_pass_brings_what_the_target_lacks(ends: Ends) -> None:
    one, two = ends
    one.create("a", "b", "c", "d", "e", "f", "g")
    report = run_pass(one.remote, two.remote, RUN)
    assert two.names() == ["a", "b", "c", "d", "e", "f", "g"]
    assert (report.pages, report.entries, report.applied, report.refused) == (3, 7, 7, 0)
    assert report.warnings == []
    assert (one.jobs(), two.jobs()) == (0, 0)


def test_a_second_pass_sends_nothing(ends: Ends) -> None:
    one, two = ends
    one.create("a", "b")
    run_pass(one.remote, two.remote, RUN)
    before = (one.store.digest(one.kind), two.store.digest(two.kind))
    report = run_pass(one.remote, two.remote, BACK)
    assert (report.pages, report.entries) == (1, 0)
    assert (one.store.digest(one.kind), two.store.digest(two.kind)) == before


def test_messages_are_forwarded_byte_for_byte(ends: Ends) -> None:
    one, two = ends
    one.create("a", "b", "c", "d")
    run_pass(one.remote, two.remote, RUN)
    bodies = {answer.body for answer in one.recorder.got + two.recorder.got}
    posted = [body for method, url, body in one.recorder.sent + two.recorder.sent if method == "POST"]
    assert len(posted) == 5
    assert all(body in bodies for body in posted)


def test_every_post_carries_the_run_and_every_page_a_tracking_id_of_its_own(ends: Ends) -> None:
    one, two = ends
    one.create("a", "b", "c", "d")
    run_pass(one.remote, two.remote, RUN)
    posts = one.recorder.urls("POST", "$sync") + two.recorder.urls("POST", "$sync")
    assert all("runName=nightly&runStamp=2026-03-02T09:30:00Z" in url for url in posts)
    tracked = [url for url in posts if "trackingID=" in url]
    assert len(tracked) == len(set(tracked)) == 3


def test_both_ends_agree_after_both_directions(ends: Ends) -> None:
    one, two = ends
    one.create("a", "both")
    two.create("b")
    reports = synchronize(one.remote, two.remote, (RUN, BACK))
    assert [report.entries for report in reports] == [2, 1]
    assert one.names() == two.names() == ["a", "b", "both"]


def test_a_conflict_is_decided_once_and_the_winner_flows_back(ends: Ends) -> None:
    one, two = ends
    one.create("x")
    synchronize(one.remote, two.remote, (RUN, BACK))
    key = next(iter(one.store.shelf(one.kind).by_key))
    one.store._clock = lambda: 1e9
    one.store.update(one.kind, key, Payload("account", NAMESPACE, {"name": "from one"}), None)
    two.store.update(two.kind, "1", Payload("account", NAMESPACE, {"name": "from two"}), None)
    reports = synchronize(one.remote, two.remote, (Run("n", "2"), Run("n", "3")))
    assert one.names() == two.names() == ["from two"]
    assert [report.statuses.total() for report in reports] == [1, 1]
    assert (reports[0].refused, reports[1].applied) == (1, 1)


def test_results_go_to_the_source_and_to_logging_endpoints(ends: Ends, loopback: Callable[..., Any]) -> None:
    one, two = ends
    audit = loopback("audit")
    carrier = HttpTransport(audit.root)
    one.create("a", "b", "c", "d")
    run_pass(one.remote, two.remote, RUN, loggers=[Remote(audit.accounts, carrier)])
    carrier.close()
    for store, kind in ((one.store, one.kind), (audit.store, one.kind)):
        reports = store.shelf(kind).results
        assert [len(report.entries) for report in reports] == [3, 1]
        assert {(report.run_name, report.run_stamp) for report in reports} == {(RUN.name, RUN.stamp)}
        assert {report.endpoint for report in reports} == {two.server.accounts}


@pytest.mark.parametrize("status", (404, 405, 501, 500))
def test_that_results_are_not_wanted_is_a_warning(ends: Ends, status: int) -> None:
    one, two = ends
    one.create("a", "b", "c", "d")
    one.recorder.interfere = lambda _, url: Response(status, {}, b"") if "$syncResults" in url else None
    report = run_pass(one.remote, two.remote, RUN)
    assert len(report.warnings) == 1
    assert len(one.recorder.urls("POST", "$syncResults")) == 1
    assert two.names() == ["a", "b", "c", "d"]


def test_a_failed_entry_delays_no_other_and_comes_again(ends: Ends) -> None:
    one, two = ends

    def reject(_: Kind, payload: Payload) -> None:
        if payload.fields["name"] == "bad":
            raise ValueRejected("not today")

    two.store.reject = reject
    one.create("a", "bad", "c", "d")
    report = run_pass(one.remote, two.remote, RUN)
    assert (report.applied, report.refused) == (3, 1)
    assert two.names() == ["a", "c", "d"]
    two.store.reject = None
    run_pass(one.remote, two.remote, BACK)
    assert two.names() == ["a", "bad", "c", "d"]


def test_the_whole_pass_stops_when_a_target_job_fails_and_leaves_no_job(ends: Ends) -> None:
    one, two = ends
    one.create(*"abcdefg")
    pages = itertools.count()

    def fail(method: str, url: str) -> Response | None:
        second = method == "POST" and "$syncTarget" in url and next(pages) == 1
        return Response(500, {}, b"") if second else None

    two.recorder.interfere = fail
    with pytest.raises(PassStopped, match="answered 500") as stopped:
        run_pass(one.remote, two.remote, RUN)
    assert stopped.value.status == 500
    assert len(two.names()) == 3
    assert (one.jobs(), two.jobs()) == (0, 0)
    assert len(two.recorder.urls("POST", "$syncTarget")) == 2, "never the next page"
    two.recorder.interfere = None
    run_pass(one.remote, two.remote, BACK)
    assert two.names() == list("abcdefg")


def test_what_the_provider_says_is_in_the_error(ends: Ends) -> None:
    one, two = ends
    with pytest.raises(PassStopped, match="resource kind 'nix'"):
        run_pass(of_kind(Remote(one.server.dataset, one.recorder), "nix"), two.remote, RUN)


@pytest.mark.parametrize("segment", ("$syncSource", "$syncTarget"))
def test_a_lost_answer_is_asked_for_again_under_the_same_tracking_id(ends: Ends, segment: str) -> None:
    one, two = ends
    one.create("a", "b")
    lost = itertools.count()
    for end in ends:
        end.recorder.lose = lambda method, url: method == "POST" and segment in url and next(lost) < 2
    run_pass(one.remote, two.remote, RUN)
    assert two.names() == ["a", "b"]
    posts = one.recorder.urls("POST", segment) + two.recorder.urls("POST", segment)
    assert len(posts) == 3
    assert len(set(posts)) == 1
    assert (one.jobs(), two.jobs()) == (0, 0)


def test_a_provider_that_calls_a_repeated_post_an_error_has_the_job_all_the_same(ends: Ends) -> None:
    """P1 says that the trackingID is in use, P2 denies access."""
    one, two = ends
    one.create("a")
    posts = itertools.count()

    def lose(method: str, url: str) -> bool:
        return method == "POST" and "$syncTarget" in url and next(posts) == 0

    def refuse(method: str, url: str) -> Response | None:
        repeated = method == "POST" and "$syncTarget" in url and next(seen) > 0
        return Response(400, {}, b"Tracking Id already in use") if repeated else None

    seen = itertools.count()
    two.recorder.lose, two.recorder.interfere = lose, refuse
    run_pass(one.remote, two.remote, RUN)
    assert two.names() == ["a"]
    assert two.jobs() == 0


def test_an_unreachable_end_stops_the_pass_after_some_tries(ends: Ends) -> None:
    one, two = ends
    one.create("a")
    two.recorder.interfere = lambda method, _: PeerUnreachable("gone") if method == "POST" else None
    with pytest.raises(PeerUnreachable):
        run_pass(one.remote, two.remote, RUN)
    assert len(two.recorder.urls("POST", "$syncTarget")) == 4
    assert len(two.recorder.urls("DELETE", "$syncTarget")) == 1, "it may have arrived after all"
    assert one.jobs() == 0


def test_a_busy_provider_is_given_time(ends: Ends) -> None:
    one, two = ends
    one.create("a")
    slept: list[float] = []
    two.remote.patience = Patience(sleep=slept.append)
    busy = itertools.count()
    two.recorder.interfere = lambda method, url: (
        Response(503, {"retry-after": "7"}, b"")
        if "$syncTarget" in url and method == "POST" and next(busy) < 3
        else None
    )
    run_pass(one.remote, two.remote, RUN)
    assert slept[:3] == [7.0, 7.0, 7.0]
    assert two.names() == ["a"]


def test_patience_with_a_busy_provider_ends(ends: Ends) -> None:
    one, two = ends
    two.remote.patience = Patience(busy=30, sleep=lambda _: None)
    two.recorder.interfere = lambda _, __: Response(503, {"retry-after": "soon"}, b"")
    with pytest.raises(ProviderBusy):
        run_pass(one.remote, two.remote, RUN)


def test_a_provider_may_answer_at_once_with_200(ends: Ends) -> None:
    """K 11.5 allows it; then there is nothing to poll."""
    one, two = ends
    one.create("a")
    with RemoteJob(one.remote, "$syncSource", RUN) as job:
        assert job.start(two.remote.digest(), "") is None
        page = job.result()
    posted = itertools.count()
    one.recorder.interfere = lambda method, url: (
        page if method == "POST" and "$syncSource" in url and next(posted) == 0 else None
    )
    run_pass(one.remote, two.remote, BACK)
    assert two.names() == ["a"]
    assert one.recorder.urls("GET", "$syncSource")[1:] == []


def scripted(*answers: Response) -> Recorder:
    """A provider that says these things, whatever it is asked."""
    waiting = list(answers)

    class Script:
        def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
            return waiting.pop(0) if method != "DELETE" else Response(410, {}, b"")

        def close(self) -> None:
            return

    return Recorder(Script())


def accepted(millis: int = 500, location: str = "http://p/accounts/$syncSource('1')") -> Response:
    return Response(202, {"location": location}, write_tracking(Tracking(polling_millis=millis)))


@dataclass
class Clock:
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def time(self) -> float:
        return self.now


def job_with(recorder: Recorder, clock: Clock, **patience: Any) -> RemoteJob:
    remote = Remote("http://p/accounts", recorder, Patience(sleep=clock.sleep, clock=clock.time, **patience))
    return RemoteJob(remote, "$syncSource", RUN)


def test_the_location_is_asked_at_once_and_then_as_the_provider_wishes() -> None:
    clock = Clock()
    recorder = scripted(accepted(), accepted(2500), accepted(50), accepted(99_999), Response(200, {}, b"done"))
    with job_with(recorder, clock) as job:
        job.start(b"", "")
        assert clock.slept == []
        assert job.result().body == b"done"
    assert clock.slept == [2.5, 0.5, 0.5], "outside of 100 to 10000 it is 500 milliseconds"


def test_a_provider_that_holds_requests_is_asked_again_without_delay() -> None:
    clock = Clock()
    recorder = scripted(accepted(), accepted(9000), accepted(9000), Response(200, {}, b"done"))

    def held(method: str, _: str) -> None:
        clock.now += 2.0 if method == "GET" else 0.0

    recorder.interfere = held
    with job_with(recorder, clock) as job:
        job.start(b"", "")
        job.result()
    assert clock.slept == []


def test_a_job_that_never_ends_is_given_up_and_deleted() -> None:
    clock = Clock()
    recorder = scripted(*[accepted() for _ in range(100)])
    with job_with(recorder, clock, job=10) as job:
        job.start(b"", "")
        with pytest.raises(ProviderBusy):
            job.result()
    assert recorder.urls("DELETE", "$syncSource")


def test_the_latest_location_counts_and_may_be_relative() -> None:
    recorder = scripted(accepted(location="$syncSource('first')"), accepted(location="/x"), Response(200, {}, b""))
    with job_with(recorder, Clock()) as job:
        job.start(b"", "")
        job.result()
    assert [url for _, url, _ in recorder.sent[1:]] == [
        "http://p/accounts/$syncSource('first')",
        "http://p/x",
        "http://p/x",
    ]


def test_a_202_without_location_or_tracking_is_helped_along() -> None:
    recorder = scripted(Response(202, {}, b"<html/>"), Response(200, {}, b"done"))
    with job_with(recorder, Clock()) as job:
        job.start(b"", "")
        assert job.result().body == b"done"
    assert recorder.sent[1][1] == f"http://p/accounts/$syncSource('{job.identity}')"


@pytest.mark.parametrize("location", ("http://169.254.169.254/latest/meta-data", "https://p/accounts", "http://p:81/x"))
def test_no_provider_sends_the_engine_elsewhere(location: str) -> None:
    recorder = scripted(accepted(location=location))
    with pytest.raises(OriginRefused), job_with(recorder, Clock()) as job:
        job.start(b"", "")
    assert all(url.startswith("http://p/") for _, url, _ in recorder.sent)


def test_a_next_link_to_elsewhere_stops_the_pass(ends: Ends) -> None:
    one, two = ends
    one.create(*"abcdefg")
    original = one.recorder.inner.request

    class Twisted:
        def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
            answer = original(method, url, headers, body)
            return answer._replace(
                body=answer.body.replace(b'rel="next" ', b'rel="x"/><link rel="next" href="http://evil/"/><link ')
            )

        def close(self) -> None:
            return

    one.recorder.inner = Twisted()
    with pytest.raises(OriginRefused, match="evil"):
        run_pass(one.remote, two.remote, RUN)
    assert (one.jobs(), two.jobs()) == (0, 0)


def test_pages_that_go_in_circles_stop_the_pass(ends: Ends) -> None:
    one, two = ends
    one.create(*"abcdefg")
    original = one.recorder.inner.request

    class Circling:
        def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
            answer = original(method, url, headers, body)
            return answer._replace(body=answer.body.replace(b"startIndex=7", b"startIndex=4"))

        def close(self) -> None:
            return

    one.recorder.inner = Circling()
    with pytest.raises(PassStopped, match="never end"):
        run_pass(one.remote, two.remote, RUN)
    assert (one.jobs(), two.jobs()) == (0, 0)


def test_an_answer_that_is_no_feed_stops_the_pass(ends: Ends) -> None:
    one, two = ends
    one.recorder.interfere = lambda method, url: (
        Response(200, {}, b"<html>proxy</html>") if method == "GET" and "$syncSource" in url else None
    )
    with pytest.raises(PassStopped, match="no feed"):
        run_pass(one.remote, two.remote, RUN)


def test_credentials_that_are_refused_are_said_to_be(ends: Ends) -> None:
    one, two = ends
    one.recorder.interfere = lambda _, __: Response(401, {}, b"")
    with pytest.raises(PeerRefused):
        run_pass(one.remote, two.remote, RUN)


def test_feed_level_diagnoses_are_warnings(ends: Ends) -> None:
    one, two = ends
    one.create("a")
    original = two.recorder.inner.request
    remark = b"<sdata:diagnosis><sdata:message>by the way</sdata:message></sdata:diagnosis> <entry>"

    class Talkative:
        def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
            answer = original(method, url, headers, body)
            return answer._replace(body=answer.body.replace(b"<entry>", remark, 1))

        def close(self) -> None:
            return

    two.recorder.inner = Talkative()
    report = run_pass(one.remote, two.remote, RUN)
    assert any("by the way" in warning for warning in report.warnings)
    assert two.names() == ["a"]


def test_kinds_are_found_in_the_schemas_and_go_by_sync_order(ends: Ends) -> None:
    one, two = ends
    first, second = Remote(one.server.dataset, one.recorder), Remote(two.server.dataset, two.recorder)
    kinds = [kind.name for kind in common_kinds(first, second)]
    assert kinds == ["salesPersons", "accounts"]
    one.create("a")
    people = one.store.contract.kind("salesPersons")
    assert people is not None
    one.store.create(people, Payload("salesPerson", NAMESPACE, {"name": "Ann"}))
    reports = synchronize(first, second, (RUN, BACK), kinds=kinds)
    assert [(report.source.rpartition("/")[2], report.entries) for report in reports] == [
        ("salesPersons", 1),
        ("accounts", 1),
        ("salesPersons", 0),
        ("accounts", 0),
    ]


def test_progress_is_told_page_by_page(ends: Ends) -> None:
    one, two = ends
    one.create(*"abcdefg")
    seen: list[int] = []

    def progress(report: PassReport) -> None:
        seen.append(report.entries)

    run_pass(one.remote, two.remote, RUN, progress=progress)
    assert seen == [3, 6, 7]


def test_a_busy_pass_comes_once_more_after_the_others_and_alone_it_is_an_error() -> None:
    told: list[str] = []
    report = PassReport("a", "b", RUN)

    def free() -> PassReport:
        told.append("free")
        return report

    def busy() -> PassReport:
        told.append("busy")
        if told.count("free") < 1:
            raise ProviderBusy("restored")
        return report

    reports: list[PassReport] = []
    run_passes([busy, free], reports)
    assert (told, len(reports)) == (["busy", "free", "busy"], 2)
    told.clear()
    with pytest.raises(ProviderBusy):
        run_passes([busy], reports)
    assert told == ["busy"]
