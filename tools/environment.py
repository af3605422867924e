"""Make .venv what a lock file says, with nothing but Python 3.11 and the network to a package index.

    python3 tools/environment.py requirements.lock        what Tallystick runs on
    python3 tools/environment.py requirements-dev.lock    that, all extras, and what its tests need

Does nothing where .venv is up to date. Standard library only, and readable by older Pythons, so that they get a
sentence instead of a syntax error.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOME = os.environ.get("TALLYSTICK_VENV") or os.path.join(ROOT, ".venv")
PYTHON = os.path.join(HOME, "bin", "python")
STAMP = os.path.join(HOME, "tallystick-lock")
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIP = "pip-26.3-py3-none-any.whl"


def main(lock):
    """Bring .venv into agreement with ``lock``; exits with one sentence where that cannot be done."""
    if sys.version_info < (3, 11):
        sys.exit(
            f"Tallystick needs Python 3.11 or newer; this is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12"
        )
    wanted = fingerprint(lock)
    if is_current(lock, wanted):
        return
    if not runs([PYTHON, "-m", "pip", "--version"]):
        create()
    print(f"Installing {lock} into {os.path.relpath(HOME)} ...", flush=True)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--require-hashes", "-r", os.path.join(ROOT, lock)], f"the packages of {lock} could not be installed")
    run([*pip, "--no-build-isolation", "--no-deps", "--editable", ROOT], "Tallystick itself could not be installed")
    with open(STAMP, "w") as stamp:
        stamp.write(f"{lock} {wanted}")


def fingerprint(lock):
    """What an environment made now depends on."""
    digest = hashlib.sha256(ROOT.encode())
    for name in (lock, "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as content:
            digest.update(content.read())
    return digest.hexdigest()


def is_current(lock, wanted):
    """Whether .venv was made of this lock, or of the larger one, which holds the same versions and more."""
    try:
        with open(STAMP) as stamp:
            made_of, found = stamp.read().split()
    except (OSError, ValueError):
        return False
    larger = made_of == LOCKS[1] and found == fingerprint(LOCKS[1])
    return runs([PYTHON, "-c", "import tallystick"]) and ((made_of, found) == (lock, wanted) or larger)


def create():
    """Make an empty .venv that has pip, whichever way this Python allows (Debian leaves out ensurepip)."""
    shutil.rmtree(HOME, ignore_errors=True)
    if runs([sys.executable, "-m", "venv", HOME]):
        return
    shutil.rmtree(HOME, ignore_errors=True)
    if runs([sys.executable, "-m", "venv", "--without-pip", HOME]):
        bootstrap_pip()
    elif not runs([sys.executable, "-m", "virtualenv", HOME]):
        sys.exit(
            "This Python can make no virtual environment: install its venv module (Debian: apt install python3-venv)."
        )


def bootstrap_pip():
    """Put pip into .venv from the package index; a wheel of pip can install itself."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    wheel = os.path.join(HOME, PIP)
    try:
        with urllib.request.urlopen(index, timeout=60) as page:
            listed = page.read().decode("utf-8", "replace")
        link = re.search(r'href="([^"#]*/' + re.escape(PIP) + r')#sha256=([0-9a-f]{64})"', listed)
        if link is None:
            sys.exit(f"{PIP} is not to be found at {index}; set PIP_INDEX_URL to an index that has it.")
        with urllib.request.urlopen(urllib.parse.urljoin(index, link.group(1)), timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        sys.exit(f"The package index cannot be reached at {index}: {error}.")
    if hashlib.sha256(content).hexdigest() != link.group(2):
        sys.exit(f"What came from {index} is not the pip that it announces; try again, or another PIP_INDEX_URL.")
    with open(wheel, "wb") as file:
        file.write(content)
    run([PYTHON, os.path.join(wheel, "pip"), "install", "--quiet", "--no-index", wheel], "pip could not be installed")
    os.remove(wheel)


def runs(command):
    """Whether ``command`` succeeds; what it prints is not shown."""
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def run(command, complaint):
    """Run ``command``, showing what it prints; exits with ``complaint`` where it fails."""
    if subprocess.run(command).returncode:
        sys.exit(f"Stopped: {complaint}; the lines above say why.")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        sys.exit(__doc__)
    main(sys.argv[1])
