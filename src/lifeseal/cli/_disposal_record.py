# SPDX-License-Identifier: Apache-2.0
"""What a certificate says, for a terminal and for machines."""

from typing import TYPE_CHECKING

from lifeseal.cli._output import counted, listing

if TYPE_CHECKING:
    from lifeseal.disposal import Disposal

_CODES = {"completed": 0, "partial": 1, "pending": 3}
_SHOWN = 20


def exit_code(disposal: "Disposal") -> int:
    """Tell the exit code that a status stands for."""
    return _CODES[disposal.status]


def disposal_document(disposal: "Disposal") -> dict[str, object]:
    """Write the fields that the commands print as JSON; the certificate itself has them all."""
    return {
        "status": disposal.status,
        "reasons": list(disposal.reasons),
        "trigger": disposal.trigger,
        "custodian": disposal.custodian.name,
        "sanitiser": disposal.sanitiser.name,
        "request": disposal.request,
        "method": disposal.method,
        "vault": disposal.vault,
        "epoch_before": disposal.epoch_before,
        "epoch_after": disposal.epoch_after,
        "assurance": disposal.assurance,
        "worst_key": disposal.worst_key,
        "irreversible_since": disposal.irreversible_since,
        "assets": [{"kind": asset.kind, "name": asset.name, "digest": f"sha256:{asset.sha256.hex()}"} for asset in disposal.assets],
        "unlinked": len(disposal.removed.unlinked.first) + disposal.removed.unlinked.more,
        "derivatives": [one.digest for one in disposal.derivatives],
        "limitations": list(disposal.limitations),
    }


def disposal_lines(disposal: "Disposal") -> tuple[str, ...]:
    """Write the lines that people read."""
    unlinked = len(disposal.removed.unlinked.first) + disposal.removed.unlinked.more
    lines = [f"status       {disposal.status} ({disposal.trigger}), {disposal.finished}"]
    lines += [f"because      {reason}" for reason in disposal.reasons[:_SHOWN]]
    if disposal.vault:
        lines += [f"assurance    {disposal.assurance}", f"worst key    {disposal.worst_key}", f"irreversible since: {disposal.irreversible_since}"]
    lines += [f"NIST method  {disposal.method}"]
    erased = [f"{'unlinked' if asset.kind == 'plaintext' else 'erased  '}     {asset.name}" for asset in disposal.assets[:_SHOWN]]
    lines += [
        f"{line}  sha256:{asset.sha256.hex()}" if asset.kind != "subject" else line for line, asset in zip(erased, disposal.assets, strict=False)
    ]
    lines += [f"and          {len(disposal.assets) - _SHOWN} more"] if len(disposal.assets) > _SHOWN else []
    lines += [f"unlinked     {counted(unlinked, 'name')}"] if unlinked else []
    lines += [f"tried        {trial.answer}: {trial.what}" for trial in disposal.trials]
    lines += [f"not erased   {listing([one.name for one in disposal.derivatives])}"] if disposal.derivatives else []
    return (*lines, *(f"limit        {limit}" for limit in disposal.limitations))
