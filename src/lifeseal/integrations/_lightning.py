# SPDX-License-Identifier: Apache-2.0
"""For the trainer of Lightning."""

from pathlib import Path
from typing import Any

from lifeseal._io import HashName, remove, require
from lifeseal.attestation import Signer
from lifeseal.integrations._save import OnFailure, Saved


def lightning_callback(signer: Signer, *, hash: HashName = "sha256", on_failure: OnFailure = "raise") -> Any:  # noqa: A002, ANN401 - the format's word; Lightning is not imported here
    """Make a callback for `lightning.pytorch.Trainer` that signs each checkpoint when it has been saved.

    While the trainer runs, its strategy's `CheckpointIO` is wrapped: what that saves is signed after it, by the process of rank 0 alone,
    and a signature goes with a checkpoint that the trainer removes. What strategies save in shards of their own, without a `CheckpointIO`,
    is not signed.

    Args:
        signer: Who signs.
        hash: See `lifeseal.signing.sign`.
        on_failure: ``raise`` ends the training, ``warn`` goes on without a signature.

    Returns:
        A `lightning.pytorch.Callback`.

    Raises:
        MissingExtraError: Lightning is not installed.
        ValueError: Another word for ``on_failure``.
    """
    saved = Saved(signer=signer, hash=hash, on_failure=on_failure)
    lightning = require("lightning.pytorch", extra="all")
    wrap = _signing_io(saved)

    class SignOnSave(lightning.Callback):  # type: ignore[misc,name-defined]  # a module that is imported late
        """Signs each checkpoint."""

        def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ANN401, ARG002 - the trainer's signature
            if not isinstance(trainer.strategy.checkpoint_io, wrap):
                trainer.strategy.checkpoint_io = wrap(trainer.strategy.checkpoint_io, trainer)

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ANN401, ARG002 - the trainer's signature
            if isinstance(trainer.strategy.checkpoint_io, wrap):
                trainer.strategy.checkpoint_io = trainer.strategy.checkpoint_io.inner

    return SignOnSave()


def _signing_io(saved: Saved) -> Any:  # noqa: ANN401 - Lightning is not imported here
    plugins = require("lightning.pytorch.plugins.io", extra="all")

    class Signing(plugins.CheckpointIO):  # type: ignore[misc,name-defined]  # a module that is imported late
        """Saves through another, then signs."""

        def __init__(self, inner: Any, trainer: Any) -> None:  # noqa: ANN401 - of Lightning
            self.inner = inner
            self._trainer = trainer

        def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:  # noqa: ANN401 - of Lightning
            self.inner.save_checkpoint(checkpoint, path, storage_options=storage_options)
            if self._trainer.is_global_zero:
                saved.sign(Path(path))

        def remove_checkpoint(self, path: Any) -> None:  # noqa: ANN401 - of Lightning
            self.inner.remove_checkpoint(path)
            if Path(f"{path}.sig").exists():
                remove(f"{path}.sig")

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - loading, and all else
            return getattr(self.inner, name)

        def load_checkpoint(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - of Lightning
            return self.inner.load_checkpoint(*args, **options)

    return Signing
