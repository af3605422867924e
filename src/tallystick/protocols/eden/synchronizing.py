"""The active side: registering, and one pull and one push of one task (spec: sections 3, 4.1 and 18)."""

from __future__ import annotations

from dataclasses import replace

from tallystick.errors import PeerError, PeerProtocolError, PeerRefused
from tallystick.protocols.eden import pulling, pushing
from tallystick.protocols.eden.codec.replies import Registration
from tallystick.protocols.eden.partner import Partner, Transferred
from tallystick.protocols.eden.store import Result, Task
from tallystick.site.deciding import OnConflict


class Active(Partner):
    """We, talking to one peer. ``onconflict`` decides conflicts of pulls instead of the task's conflict policy."""

    __slots__ = ()

    # Registration ----------------------------------------------------------------------------------------------

    def register(self) -> bool:
        """Registers us at the peer. True on success; the peer's identifier becomes the uuid of the repository.

        A peer that cannot be reached now is no failure of the registration (section 4.1): it is logged as an error.
        """
        if not self.repository.url:
            return True
        identity = self.store.identity()
        try:
            reply = self.peer.register(Registration(identity.uuid, identity.name))
        except PeerRefused as error:
            self.log(None, "register", "request registration", Result.FATAL, str(error), remote=True)
            return False
        except PeerProtocolError as error:
            self.log(None, "register", "request registration", Result.FATAL, str(error), remote=True)
            return False
        except PeerError as error:
            self.log(None, "register", "request registration", Result.ERROR, str(error), remote=True)
            return True
        if not reply.success:
            self.log(None, "register", "request registration", Result.FATAL, reply.message, remote=True)
            return False
        self.repository = self.store.save_repository(
            replace(self.repository, uuid=reply.sender or self.repository.uuid)
        )
        self.log(None, "register", "request registration", Result.SUCCESS, reply.message)
        return True

    # Tasks -----------------------------------------------------------------------------------------------------

    def pull(self, task: Task, onconflict: OnConflict | None = None, *, full: bool = False) -> Transferred:
        """Pulls a task; see ``pulling.pull``."""
        return pulling.pull(self, task, onconflict, full=full)

    def push(self, task: Task) -> Transferred:
        """Pushes a task; see ``pushing.push``."""
        return pushing.push(self, task)
