"""Serving: what must hold before a port is opened, and what is bounded while it is open."""

from __future__ import annotations

import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tallystick.errors import ConfigurationError, PeerProtocolError, PeerRefused
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.credentials import Credentials
from tallystick.protocols.native.replica import RemoteReplica
from tallystick.protocols.native.transport import HTTPTransport
from tallystick.web import running, serve
from tallystick.web.bounds import host_name, is_loopback


def test_an_address_others_reach_is_not_opened_while_there_are_no_users(site):
    with pytest.raises(ConfigurationError, match="no users") as caught:
        serve(str(site.path), "0.0.0.0", 0)
    assert "tallystick users add" in caught.value.hint
    with pytest.raises(ConfigurationError), running(str(site.path), "::"):
        pass


def test_with_users_it_is_opened_and_asks(site):
    site.add_user("anna", "a long password", "sync")
    with running(str(site.path), "0.0.0.0") as url:
        here = url.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(PeerRefused):
            RemoteReplica(here).describe()
        with pytest.raises(PeerRefused):
            RemoteReplica(here, Credentials("anna", "wrong")).describe()
        remote = RemoteReplica(here, Credentials("anna", "a long password"))
        assert remote.describe().site == site.replica.ledger.site
        remote.close()
        named = RemoteReplica(here.replace("//", "//anna:a%20long%20password@"))
        assert named.describe().site == site.replica.ledger.site
        assert "password" not in named.name
        named.close()


def test_a_port_that_is_taken_is_named(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            serve(str(site.path), "127.0.0.1", port)


@pytest.mark.parametrize("host", ("no such host.example", "192.0.2.1"))
def test_a_host_that_is_not_ours_is_named(site, host):
    site.add_user("anna", "a long password", "sync")
    with pytest.raises(ConfigurationError):
        serve(str(site.path), host, 0)


def _certificate(directory):
    """A key and a certificate of its own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (directory / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return directory / "cert.pem", directory / "key.pem"


def test_with_a_certificate_it_is_served_by_tls_and_only_trusted_ones_are_talked_to(site, tmp_path):
    certificate, key = _certificate(tmp_path)
    with running(str(site.path), certificate=certificate, key=key) as url:
        assert url.startswith("https://")
        trusting = HTTPTransport(url, context=ssl.create_default_context(cafile=certificate))
        remote = RemoteReplica(url, transport=trusting)
        assert remote.describe().site == site.replica.ledger.site
        remote.close()
        with pytest.raises(PeerProtocolError, match="certificate"):
            RemoteReplica(url).describe()


def test_a_certificate_that_cannot_be_used_is_named(site, tmp_path):
    (tmp_path / "bad.pem").write_text("nonsense")
    for name in ("bad.pem", "missing.pem"):
        with pytest.raises(ConfigurationError, match="certificate"):
            serve(str(site.path), port=0, certificate=tmp_path / name)


def test_a_site_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError):
        serve(str(tmp_path / "none.db"), port=0)


def test_loopback_by_ipv6(site, ask):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with running(str(site.path), "::1") as url:
        assert url.startswith("http://[::1]:")
        remote = RemoteReplica(url)
        assert remote.describe().site == site.replica.ledger.site
        remote.close()


@pytest.mark.parametrize(
    ("host", "loopback"),
    (
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("127.0.0.1.example", False),
        ("localhost.example", False),
        ("192.168.1.5", False),
    ),
)
def test_only_this_machine_is_loopback(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("header", "host"),
    (
        ("localhost:80", "localhost"),
        ("localhost", "localhost"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("a.b:1", "a.b"),
        ("", ""),
    ),
)
def test_a_host_header_is_read_without_its_port(header, host):
    assert host_name(header) == host


def test_limits_are_those_that_were_given(site, ask):
    with running(str(site.path), limits=Limits(body=1000, header_count=12)) as url:
        kind = {"Content-Type": "application/json"}
        got = ask(url, "/v1/digest", "POST", b" " * 1001, headers=kind)
        assert (got.status, json.loads(got.body)["code"]) == (413, "limit-exceeded")
        got = ask(url, "/v1/describe", headers={f"x-{n}": "y" for n in range(20)})
        assert (got.status, json.loads(got.body)["code"]) == (431, "limit-exceeded")
        assert ask(url, "/v1/describe").status == 200


def test_a_client_that_sends_nothing_more_is_told_so(site):
    with running(str(site.path), limits=Limits(stall=0.2)) as url:
        host, port = url.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(
                f"POST /v1/digest HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                "Content-Length: 100\r\n\r\n{".encode()
            )
            answer = connection.recv(65536)
            while b"}" not in answer and (more := connection.recv(65536)):
                answer += more
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"retry":true' in answer


def test_streams_at_once_are_bounded(site, ask):
    with running(str(site.path), limits=Limits(streams=0)) as url:
        got = ask(url, "/v1/changes")
        assert (got.status, json.loads(got.body)["code"]) == (503, "busy")
        assert got.headers["retry-after"]
