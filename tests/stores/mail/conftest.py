"""An IMAP server of its own, with its own configuration, on a free loopback port."""

import grp
import imaplib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CONFIGURATION = """
base_dir = {directory}/run
state_dir = {directory}/state
instance_name = tallystick-{port}
log_path = {directory}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{directory}/certificate.pem
ssl_key = <{directory}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:{directory}/mail/%u
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
first_valid_uid = 0
first_valid_gid = 0
mail_uid = {user}
mail_gid = {group}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {secure_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={directory}/mail/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    special_use = \\Sent
    auto = create
  }}
}}
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def write_certificate(directory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with open(f"{directory}/certificate.pem", "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    with open(f"{directory}/key.pem", "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


class Dovecot:
    """A running server; every user's password is ``secret``."""

    def __init__(self, program, directory):
        self.directory = directory
        self.port, self.secure_port = free_port(), free_port()
        write_certificate(directory)
        os.makedirs(f"{directory}/mail")
        self.configuration = f"{directory}/dovecot.conf"
        # where tests run as root, mail belongs to a user who is not: the server refuses to deliver to root
        owner = pwd.getpwnam("mail") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(f"{directory}/mail", owner.pw_uid, owner.pw_gid)
        user = pwd.getpwnam("dovecot") if os.geteuid() == 0 else owner
        with open(self.configuration, "w") as file:
            file.write(
                CONFIGURATION.format(
                    directory=directory,
                    port=self.port,
                    secure_port=self.secure_port,
                    user=user.pw_name,
                    group=grp.getgrgid(user.pw_gid).gr_name,
                    uid=owner.pw_uid,
                    gid=owner.pw_gid,
                )
            )
        self.process = subprocess.Popen([program, "-F", "-c", self.configuration], stderr=subprocess.PIPE)

    def wait(self):
        """Until it answers; why not, if it does not."""
        for _ in range(100):
            if self.process.poll() is not None:
                return self.process.stderr.read().decode() or "it ended at once"
            try:
                imaplib.IMAP4("127.0.0.1", self.port, timeout=5).logout()
            except OSError:
                time.sleep(0.1)
            else:
                return None
        return f"it does not answer: {self.log()}"

    def log(self):
        try:
            with open(f"{self.directory}/log") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stderr.close()

    def client(self, user):
        made = imaplib.IMAP4("127.0.0.1", self.port, timeout=20)
        made.login(user, "secret")
        return made

    def address(self, user):
        return f"imap://{user}:secret@127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def dovecot():
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    program = shutil.which("dovecot", path=path)
    if program is None:
        pytest.skip("dovecot is not installed")
    with tempfile.TemporaryDirectory(prefix="tallystick-dovecot-", ignore_cleanup_errors=True) as directory:
        os.chmod(directory, 0o755)  # the server's processes are not all the user who runs the tests
        server = Dovecot(program, directory)
        try:
            trouble = server.wait()
            if trouble:
                pytest.skip(f"dovecot does not start here: {trouble}")
            yield server
        finally:
            server.stop()
