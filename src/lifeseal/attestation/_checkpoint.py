# SPDX-License-Identifier: Apache-2.0
"""What no signature in a log entry covers, and the sigstore package does not look at."""

import re

from lifeseal._io import decode_base64
from lifeseal.attestation._log_entry import LogEntry
from lifeseal.errors import FormatError

_LINE = re.compile("\u2014 ([^\\s+]+) (\\S+)")
_HINT = 4  # bytes of a key's identifier before each signature


def entry_fault(entry: LogEntry) -> str:
    """Find what differs from what a log writes: numbers unlike those of the signed checkpoint, and lines that anybody could have put there.

    Signatures of other keys, as those of witnesses, are no fault, and are not believed.

    Args:
        entry: Whose proof and checkpoint were verified.

    Returns:
        A sentence, or nothing.

    Source: C2SP signed-note, "Format"; C2SP tlog-checkpoint, "Note text": origin, size, root hash.
    """
    text, _, signatures = entry.proof.checkpoint.partition("\n\n")
    origin, size = text.split("\n")[:2]
    if size != str(entry.proof.size) or (not entry.promise and entry.index != entry.proof.index):
        return "the log's proof is for another tree than its checkpoint"
    if entry.promise and not entry.time:
        return "the log's promise is about no time"
    for line in signatures.removesuffix("\n").split("\n"):
        found = _LINE.fullmatch(line)
        try:
            signature = decode_base64(found[2], where="checkpoint") if found else b""
        except FormatError:
            signature = b""
        if found is None or len(signature) <= _HINT:
            return "a line below the log's checkpoint is no signature"
        # Rekor 1 writes a number behind its name in the note, and the name alone below.
        if signature[:_HINT] == entry.log[:_HINT] and found[1] != origin.partition(" - ")[0]:
            return f"the log's checkpoint is signed in the name of {found[1][:80]!r}"
    return ""
