# SPDX-License-Identifier: Apache-2.0
"""For the trainer of transformers."""

from pathlib import Path
from typing import Any

from lifeseal._io import HashName, require
from lifeseal.attestation import Signer
from lifeseal.integrations._save import OnFailure, Saved


def transformers_callback(signer: Signer, *, hash: HashName = "sha256", on_failure: OnFailure = "raise") -> Any:  # noqa: A002, ANN401 - the format's word; transformers is not imported here
    """Make a callback for `transformers.Trainer` that signs each checkpoint when it has been saved.

    Only the process of rank 0 signs, after the trainer has written all of the checkpoint's own files. What other ranks still write into the
    folder then is not signed for, and a later check says so.

    Args:
        signer: Who signs.
        hash: See `lifeseal.signing.sign`.
        on_failure: ``raise`` ends the training, ``warn`` goes on without a signature.

    Returns:
        A `transformers.TrainerCallback`.

    Raises:
        MissingExtraError: transformers is not installed.
        ValueError: Another word for ``on_failure``.
    """
    transformers = require("transformers", extra="all")
    saved = Saved(signer=signer, hash=hash, on_failure=on_failure)

    class SignOnSave(transformers.TrainerCallback):  # type: ignore[misc,name-defined]  # a module that is imported late
        """Signs each checkpoint."""

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002 - the trainer's signature
            """Sign the checkpoint that was just written."""
            if state.is_world_process_zero:
                saved.sign(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return SignOnSave()
