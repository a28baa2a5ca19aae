# SPDX-License-Identifier: Apache-2.0
"""For machines that let nobody lock memory."""

from lifeseal import _io
from lifeseal.principles import implements, note


@implements(evidences=["5.4.2"], limits="Keys may then reach the swap space, where no erasure reaches them.")
def allow_unlocked_memory() -> None:
    """Let keys lie in memory that the system does not lock against swapping, from here on and in the whole process.

    Without this call, key memory that cannot be locked is an error (see ``ulimit -l``). It is for machines without swap space, or whose swap
    space is encrypted under a key that is lost at power-off. Such memory is still left out of core dumps and forks, and zeroed.
    """
    note(unlocked_memory=True)
    _io.allow_unlocked_memory()
