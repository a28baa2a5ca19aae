# SPDX-License-Identifier: Apache-2.0
"""What every trainer's callback does when a checkpoint was saved."""

import warnings
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from lifeseal._io import HashName
from lifeseal.attestation import Signer
from lifeseal.errors import LifesealError
from lifeseal.signing import sign

OnFailure: TypeAlias = Literal["raise", "warn"]


@attrs.frozen(kw_only=True)
class Saved:
    """How checkpoints are signed.

    Attributes:
        signer: Who signs.
        hash: Of the files.
        on_failure: ``raise`` ends the training, ``warn`` goes on without a signature.
    """

    signer: Signer
    hash: HashName
    on_failure: OnFailure = attrs.field(validator=attrs.validators.in_(("raise", "warn")))

    def sign(self, checkpoint: Path) -> None:
        """Sign one checkpoint.

        Args:
            checkpoint: Its folder or file.

        Raises:
            LifesealError: It cannot be signed, and a failure is to end the training.
            OSError: It cannot be read, or the signature not be written; the same.
        """
        try:
            sign(checkpoint, signer=self.signer, hash=self.hash)
        except (LifesealError, OSError) as error:
            if self.on_failure == "raise":
                raise
            warnings.warn(f"{checkpoint} was saved and could not be signed: {error}", stacklevel=2)
