# SPDX-License-Identifier: Apache-2.0
import pytest

from lifeseal import signing
from lifeseal.errors import DigestMismatchError


def test_what_a_killed_writer_left_is_refused_and_not_signed(tmp_path, signer, policy):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"w")
    signing.sign(model, signer=signer)
    (model / f".lifeseal-{'0' * 16}.tmp").write_bytes(b"half")
    with pytest.raises(DigestMismatchError, match="1 not signed for"):
        signing.verify(model, policy=policy)
    signing.sign(model, signer=signer)
    assert signing.verify(model, policy=policy).files == 1
    assert sorted(path.name for path in model.iterdir()) == ["model.sig", "weights"]


def test_a_signature_never_takes_the_place_of_another_file(tmp_path, signer, policy):
    model = tmp_path / "weights"
    model.write_bytes(b"w")
    with pytest.raises(FileExistsError, match="is no signature"):
        signing.sign(model, signer=signer, out=model)
    assert model.read_bytes() == b"w"
    signing.sign(model, signer=signer)
    signing.sign(model, signer=signer)  # an older signature is replaced
    assert signing.verify(model, policy=policy).files == 1
