# SPDX-License-Identifier: Apache-2.0
"""PyTorch's asynchronous checkpoint saver signs from a thread of its own, while training goes on and is logged too."""

import threading

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec
from torch.distributed import checkpoint

from lifeseal import evidence, signing
from lifeseal.attestation import KeySigner


@pytest.fixture(autouse=True)
def _no_log_is_left():
    yield
    evidence.stop()


def signing_writer(signer, threads):
    class SigningWriter(checkpoint.FileSystemWriter):
        def finish(self, metadata, results):
            super().finish(metadata, results)
            threads.add(threading.get_ident())
            signing.sign(self.path, signer=signer)

    return SigningWriter


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", [False, True], ids=["process", "block"])
def test_saves_in_the_background_are_in_the_log_of_the_process_and_not_of_a_block(tmp_path, block):
    log, threads = tmp_path / "events.jsonl", set()
    signer = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    writer = signing_writer(signer, threads)
    state = {"w": torch.arange(1000.0), "b": torch.zeros(3)}
    listening = evidence.Log(log) if block else None
    if listening is None:
        evidence.start(log)
    else:
        listening.__enter__()
    pending = []
    for step in range(4):
        pending.append(checkpoint.async_save(state, storage_writer=writer(tmp_path / f"step{step}")))
        for number in range(20):
            evidence.track(f"step {step}", {"number": number})
    for one in pending:
        one.result()
    evidence.stop() if listening is None else listening.__exit__(None, None, None)
    calls = [event.primitive for event in evidence.read(log)]
    assert threading.get_ident() not in threads
    assert calls.count("lifeseal.evidence.track") == 80
    assert calls.count("lifeseal.signing.sign") == (0 if block else 4)
    assert evidence.verify(log).damaged == 0
    for step in range(4):
        signing.verify(tmp_path / f"step{step}", policy=signer.public)
