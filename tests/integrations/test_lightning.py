# SPDX-License-Identifier: Apache-2.0
"""A training of Lightning leaves signed checkpoints, and no signature without one."""

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import integrations, signing
from lifeseal.attestation import KeySigner
from lifeseal.errors import SignatureError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Lightning and what it imports


@pytest.fixture(scope="module")
def lightning():
    return pytest.importorskip("lightning.pytorch")


@pytest.fixture
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


def train(lightning, folder, callback, epochs=3):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch, _):
            return self.layer(batch[0]).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 2)))
    keep = lightning.callbacks.ModelCheckpoint(dirpath=folder, save_top_k=1, save_last=True)
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=[keep, callback], **options)
    trainer.fit(Module(), data)
    return trainer


def test_a_real_training_leaves_signed_checkpoints_and_no_other_signature(lightning, signer, tmp_path):
    callback = integrations.lightning_callback(signer, hash="blake3")
    assert isinstance(callback, lightning.Callback)
    trainer = train(lightning, tmp_path, callback)
    checkpoints = sorted(tmp_path.glob("*.ckpt"))
    assert len(checkpoints) == 2
    for checkpoint in checkpoints:
        assert signing.verify(checkpoint, policy=signer.public).hash == "blake3"
    assert sorted(tmp_path.glob("*.sig")) == [path.with_name(f"{path.name}.sig") for path in checkpoints]
    assert type(trainer.strategy.checkpoint_io).__name__ != "Signing"


class Broken:
    def sign(self, payload_type, payload):
        raise SignatureError("the key is not there")


def test_a_failure_ends_the_training_or_is_a_warning(lightning, tmp_path):
    with pytest.raises(SignatureError):
        train(lightning, tmp_path, integrations.lightning_callback(Broken()))
    with pytest.warns(UserWarning, match="was saved and could not be signed: the key is not there"):
        train(lightning, tmp_path, integrations.lightning_callback(Broken(), on_failure="warn"), epochs=1)
