"""What can be wrong with the files of a directory. Nothing of a refused bundle is applied."""

from __future__ import annotations

from tallystick.errors import PeerError, PeerProtocolError, PeerRefused


class BundleDamaged(PeerProtocolError):
    """A file is torn, altered, or says what it cannot say."""

    code = "bundle-damaged"
    default_hint = "copy the file again, or run the same command at the site that wrote it: it writes what is missing"


class BundleForeign(PeerProtocolError):
    """A file that another site signed, or that is meant for another one."""

    code = "bundle-foreign"
    default_hint = "remove the file: it was moved or made by somebody else"


class BundleMissing(PeerError):
    """A part is not there, or a bundle between those that are there."""

    code = "bundle-missing"
    default_hint = "bring the missing files, or run the same command at the site that wrote them"


class BundleUnconfirmed(PeerRefused):
    """A site whose key nobody has confirmed here."""

    code = "bundle-unconfirmed"
    default_hint = "compare the fingerprint with what that site shows, then give it with --trust"
