"""The provider: SData over HTTP for any store behind the port (spec 2, 3, 12)."""

from tallystick.protocols.sdata.provider.application import Dataset, Provider, Settings, sdata_application
from tallystick.protocols.sdata.provider.authentication import Authenticator, Principal

__all__ = ["Authenticator", "Dataset", "Principal", "Provider", "Settings", "sdata_application"]
