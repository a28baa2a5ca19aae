# SPDX-License-Identifier: Apache-2.0
"""The loopback Sigstore as other clients meet it: sigstore itself, and its TUF repository."""

import hashlib
import sys
import urllib.error
import urllib.request

import pytest
from sigstore.errors import TUFError, VerificationError
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from lifeseal import testing
from lifeseal.attestation import SigstoreTrust
from lifeseal.errors import MissingExtraError
from lifeseal.testing._log import Tree, _root


@pytest.fixture(scope="module")
def deployment():
    with testing.sigstore() as running:
        yield running


@pytest.mark.parametrize("service", [testing.sigstore, testing.timestamp_authority])
def test_without_the_extra_it_says_so_before_anything_is_asked(service, monkeypatch):
    with service() as running:
        assert running.url
    monkeypatch.setitem(sys.modules, "asn1crypto", None)
    with pytest.raises(MissingExtraError, match=r"lifeseal\[testing\]"), service():
        pass


@pytest.mark.parametrize("rekor", [1, 2])
def test_artefacts_are_signed_and_verified_by_sigstores_own_client(deployment, rekor):
    config = ClientTrustConfig.from_json(deployment.trust_config(rekor=rekor).decode())
    with SigningContext.from_trust_config(config).signer(IdentityToken(deployment.oidc.token("me@example.org"))) as signer:
        bundle = signer.sign_artifact(b"artefact")
    verifier = Verifier(trusted_root=config.trusted_root)
    verifier.verify_artifact(b"artefact", bundle, Identity(identity="me@example.org", issuer=deployment.oidc.url))
    with pytest.raises(VerificationError):
        verifier.verify_artifact(b"another", bundle, Identity(identity="me@example.org", issuer=deployment.oidc.url))


def test_the_trust_can_be_fetched_over_tuf(deployment, tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    root = tmp_path / "1.root.json"
    root.write_bytes(urllib.request.urlopen(f"{deployment.url}/tuf/1.root.json").read())
    config = ClientTrustConfig.from_tuf(f"{deployment.url}/tuf", bootstrap_root=root)
    assert config.trusted_root._inner.to_json() == SigstoreTrust.from_bytes(deployment.trust_config()).for_sigstore().trusted_root._inner.to_json()
    other = testing.Sigstore()
    other.start(deployment.url)
    root.write_bytes(other.tuf()["/1.root.json"])
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / f"other-{name}"))
    with pytest.raises(TUFError, match="Failed to refresh TUF metadata"):
        ClientTrustConfig.from_tuf(f"{deployment.url}/tuf", bootstrap_root=root)


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/tuf/nothing", 404), ("/oidc/nothing", 404)])
def test_what_is_not_there_is_not_found(deployment, path, status):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{deployment.url}{path}")
    caught.value.close()
    assert caught.value.code == status


@pytest.mark.parametrize("path", ["/rekor1/api/v1/log/entries", "/rekor2/api/v2/log/entries", "/api/v2/signingCert", "/tsa"])
def test_a_request_that_makes_no_sense_is_refused_and_the_service_goes_on(deployment, path):
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{deployment.url}{path}", data=b"{}")
        caught.value.close()
        assert caught.value.code in {400, 401}


def test_proofs_lead_from_each_entry_to_the_root():

    tree = Tree()
    for size in range(1, 18):
        tree.add(b"%d" % size)
        for index in range(size):
            digest, at, last = tree.leaves[index], index, size - 1
            for other in tree.proof(index):
                if at & 1 or at == last:
                    digest = hashlib.sha256(b"\1" + other + digest).digest()
                    while at and not at & 1:
                        at, last = at >> 1, last >> 1
                else:
                    digest = hashlib.sha256(b"\1" + digest + other).digest()
                at, last = at >> 1, last >> 1
            assert digest == tree.root() == _root(tree.leaves)
