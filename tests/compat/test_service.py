"""Daemons, their settings, their command lines and sockets (spec ics C12)."""

import logging
import os
import signal
import threading

import pytest

from tallystick.compat import kopano
from tallystick.compat.kopano import Config, Service, Worker

ENGINES = ("sqlite",)
"""What is tested here is above the database."""


def settings(tmp_path, text, **known):
    path = tmp_path / "service.cfg"
    path.write_text(text)
    return Config(known, filename=str(path))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    (
        (Config.string(), "text with spaces", "text with spaces"),
        (Config.string(multiple=True), "a b", ["a", "b"]),
        (Config.string(options=["a", "b"]), "b", "b"),
        (Config.integer(), "-7", -7),
        (Config.boolean(), "Yes", True),
        (Config.boolean(), "no", False),
        (Config.size(), "5M", 5 * 2**20),
        (Config.size(), "1.5k", 1536),
        (Config.size(), "12", 12),
        (Config.path(check=False), "/nowhere", "/nowhere"),
        (Config.path(), "/", "/"),
    ),
)
def test_settings_are_read_by_their_kind(tmp_path, kind, text, value):
    assert settings(tmp_path, f"# comment\n\nname = {text}\n", name=kind)["name"] == value


@pytest.mark.parametrize(
    ("kind", "text"),
    (
        (Config.integer(), "seven"),
        (Config.boolean(), "perhaps"),
        (Config.size(), "5X"),
        (Config.path(), "/nowhere/at/all"),
        (Config.string(options=["a"]), "b"),
    ),
)
def test_values_that_do_not_fit_are_refused_by_name(tmp_path, kind, text):
    with pytest.raises(kopano.ConfigError, match="name"):
        settings(tmp_path, f"name = {text}\n", name=kind)


def test_missing_settings_have_their_default_or_are_refused(tmp_path):
    found = settings(tmp_path, "", a=Config.string(default="x"), b=Config.size(default="1K"), c=Config.ignore())
    assert (found["a"], found["b"], found.get("c", "none"), "c" in found) == ("x", 1024, "none", False)
    with pytest.raises(kopano.ConfigError, match="a"):
        settings(tmp_path, "", a=Config.string())


def test_other_files_may_be_included_and_other_lines_are_refused(tmp_path):
    (tmp_path / "more.cfg").write_text("b = 2\n")
    found = settings(tmp_path, "!include more.cfg\na = 1\n", a=Config.integer(), b=Config.integer())
    assert (found["a"], found["b"]) == (1, 2)
    with pytest.raises(kopano.ConfigError, match="line 1"):
        settings(tmp_path, "nonsense\n")
    with pytest.raises(kopano.ConfigError, match="no configuration file"):
        Config({}, filename=str(tmp_path / "none.cfg"))


def test_unknown_settings_are_kept_and_told(tmp_path, caplog):
    path = tmp_path / "s.cfg"
    path.write_text("colour = red\n")
    found = Config({"a": Config.string(default="")}, filename=str(path), log=logging.getLogger("test"))
    assert found["colour"] == "red"
    assert "colour" in caplog.text


def test_command_lines_have_the_options_of_their_letters():
    options, rest = kopano.parser("sUuFw").parse_args(["-s", "x.db", "-u", "a", "-u", "b", "-F", "-w", "3", "more"])
    assert (options.server_socket, options.users, options.foreground) == ("x.db", ["a", "b"], True)
    assert (options.worker_processes, rest) == (3, ["more"])
    assert not hasattr(options, "auth_pass")


def test_what_a_block_raises_is_logged_and_counted(caplog):
    stats = {}
    with kopano.log_exc(logging.getLogger("test"), stats):
        raise ValueError("broken")
    assert stats == {"errors": 1}
    assert "broken" in caplog.text


class Options:
    def __init__(self, site):
        self.server_socket = site
        self.loglevel = "DEBUG"


def test_a_service_runs_with_a_server_of_its_own(tmp_path):
    class Lister(Service):
        def main(self):
            self.server.create_user("anna")
            self.found = [user.name for user in self.server.users()]

    service = Lister("lister", options=Options(str(tmp_path / "s.db")))
    before = signal.getsignal(signal.SIGTERM)
    service.start()
    assert service.found == ["anna"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert service.log.level == logging.DEBUG


def test_a_service_ends_when_it_is_told_to(tmp_path):
    class Waiter(Service):
        def main(self):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(10)
            self.went_on = True

    service = Waiter("waiter", options=Options(str(tmp_path / "s.db")))
    service.start()
    assert not hasattr(service, "went_on")


def test_what_main_raises_is_logged(tmp_path, caplog):
    service = Service("nothing", options=Options(str(tmp_path / "s.db")))
    with caplog.at_level("ERROR", logger="nothing"):
        service.start()
    assert "has no main" in caplog.text


class Marker(Worker):
    def main(self):
        with open(self.path, "w") as file:
            file.write(f"{self.name} {self.nr}")


def test_a_worker_runs_in_a_process_of_its_own(tmp_path):
    service = Service("boss", options=Options(str(tmp_path / "s.db")))
    path = tmp_path / "mark"
    worker = Marker(service, "w0", nr=7, path=str(path))
    worker.start()
    worker.join(30)
    assert worker.exitcode == 0
    assert path.read_text() == "w0 7"


def exchange(address, server):
    def answer():
        connection, _ = server.accept()
        connection.sendall(connection.recv(100).upper())
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    client = kopano.client_socket(address)
    client.sendall(b"hello")
    found = client.recv(100)
    client.close()
    thread.join()
    server.close()
    return found


def test_services_talk_through_files_and_ports(tmp_path):
    address = f"file://{tmp_path}/socket"
    assert exchange(address, kopano.server_socket(address)) == b"HELLO"
    assert exchange(address, kopano.server_socket(address, log=logging.getLogger("test"))) == b"HELLO"
    server = kopano.server_socket("http://127.0.0.1:0")
    assert exchange(f"http://127.0.0.1:{server.getsockname()[1]}", server) == b"HELLO"


def test_other_addresses_are_refused():
    for address in ("nonsense", "ftp://host:1", "http://host"):
        with pytest.raises(kopano.ConfigError):
            kopano.client_socket(address)
    with pytest.raises(kopano.ConfigError, match="certificate"):
        kopano.server_socket("https://127.0.0.1:0")
