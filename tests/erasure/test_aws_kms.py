# SPDX-License-Identifier: Apache-2.0
"""A root under keys of AWS KMS: moto for the shape of requests, botocore's Stubber for what AWS refuses."""

import datetime as dt
import json
import os
import shutil

import pytest
from botocore.stub import Stubber

from erasure.conftest import in_memory
from erasure.parts import Interrupted, claims_another_key, new_vault, state
from erasure.test_interruption import Stopped
from lifeseal._io import Secret
from lifeseal.erasure import AwsKmsRoot, KeyState, Strength, Vault
from lifeseal.errors import (
    CredentialError,
    DestroyedError,
    FormatError,
    LifesealError,
    LockedError,
    PendingError,
    RolledBackError,
    StateError,
    StoreError,
    TamperedError,
)
from lifeseal.testing import Faults, check_wrapper
from support import aws
from support.proxy import Proxy

VAULT = b"a vault's id  16"
TAG = "0123abcd-0123-0123-0123-0123456789ab"
NAME = f"{VAULT.hex()}-{3:016d}-{TAG}"
LATER = f"{VAULT.hex()}-{4:016d}-{TAG[:-1]}c"
UNTIL = dt.datetime(2026, 12, 2, 4, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def url():
    with aws.kms() as running:
        yield running


@pytest.fixture
def kms(url):
    aws.forget(url)
    return aws.client(url)


@pytest.fixture
def prefix():
    return f"test-{os.urandom(6).hex()}"


@pytest.fixture
def holder(kms, prefix):
    return AwsKmsRoot(kms, prefix=prefix)


@pytest.fixture
def proxy(url):
    with Proxy(url).running() as running:
        yield running


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


def versions_of(holder, vault):
    return holder.versions(bytes.fromhex(json.loads((vault / "vault.json").read_bytes())["vault"]))


def live(holder, vault):
    (found,) = [version for version in versions_of(holder, vault) if version.state is KeyState.LIVE]
    return found


def key_id(version):
    return version.name.split("-", 2)[2]


def test_it_keeps_the_contract(kms):
    check_wrapper(lambda: AwsKmsRoot(kms, prefix=f"test-{os.urandom(6).hex()}"))


def settles(folder, holder):
    """As after any interrupted change; what was erased stays pending until AWS has deleted the keys."""
    with Vault.open(folder / "vault", root=holder) as vault:
        found = state(vault)
        vault.seal(folder / "plain", "next").close()
        assert state(vault) == found
    assert len([version for version in versions_of(holder, folder / "vault") if version.state is KeyState.LIVE]) == 1
    return found


@pytest.mark.slow
def test_an_erasure_killed_after_any_call_is_old_or_new(tmp_path, url):
    for at in range(1, 60):
        aws.forget(url)
        place = tmp_path / str(at)
        place.mkdir()
        holder = AwsKmsRoot(aws.client(url))
        new_vault(place, holder)
        faults = Faults(at, when="after", error=Stopped(), lasting=True)
        try:
            with Vault.open(place / "vault", root=Interrupted(holder, faults)) as vault:
                vault.erase(["first"])
            acknowledged = True
        except Stopped:
            acknowledged = False
        found = settles(place, AwsKmsRoot(aws.client(url)))
        assert found in ({"pending"} if acknowledged else {"live", "pending"})
        if at > len(faults.calls):
            assert acknowledged
            return
    raise AssertionError("the act never ran through")


@pytest.mark.slow
@pytest.mark.parametrize(("way", "first"), [("after", 1), ("twice", 4)])
def test_an_erasure_of_which_an_answer_is_lost_or_a_request_comes_twice_is_old_or_new(way, first, tmp_path, url):
    """Every twelfth one. A key of which AWS never told us has no alias, and wrapped nothing."""
    for at in range(first, 100, 12):
        aws.forget(url)
        place = tmp_path / str(at)
        place.mkdir()
        vault = new_vault(place, AwsKmsRoot(aws.client(url)))
        with Proxy(url).running() as proxy, Vault.open(vault, root=AwsKmsRoot(aws.client(proxy.url))) as opened:
            proxy.plan(at, way)
            try:
                opened.erase(["first"])
                acknowledged = True
            except LifesealError:
                acknowledged = False
            reached = len(proxy.seen) >= at
            proxy.plan()
        found = settles(place, AwsKmsRoot(aws.client(url)))
        assert found in ({"pending"} if acknowledged else {"live", "pending"})
        if not reached:
            assert acknowledged
            return
    raise AssertionError("the act never ran through")


def test_an_erasure_is_pending_until_the_date_that_aws_says(tmp_path, holder, kms):
    vault = new_vault(tmp_path, holder)
    old = live(holder, vault)
    with Vault.open(vault, root=holder) as opened:
        erasure = opened.erase(["first"])
        date = kms.describe_key(KeyId=key_id(old))["KeyMetadata"]["DeletionDate"].astimezone(dt.UTC)
        assert f"{old.name} until {date:%Y-%m-%dT%H:%M:%SZ}" in erasure.pending
        assert opened.info().pending == erasure.pending
        with pytest.raises(PendingError, match=f"{old.name} until {date:%Y-%m-%d}|until {date:%Y-%m-%d}"):
            opened.asset("first")
    assert [version.state for version in versions_of(holder, vault)] == [*[KeyState.SCHEDULED] * 3, KeyState.LIVE]


def test_the_live_root_is_read_back_under_the_new_key_before_the_old_one_is_scheduled(tmp_path, kms, prefix):
    calls = []
    kms.meta.events.register("before-call.kms.*", lambda model, **_: calls.append(model.name))
    holder = AwsKmsRoot(kms, prefix=prefix)
    with Vault.open(new_vault(tmp_path, holder), root=holder) as opened:
        calls.clear()
        opened.erase(["first"])
    order = [calls.index(name, calls.index("CreateKey")) for name in ("CreateKey", "CreateAlias", "Encrypt", "Decrypt", "ScheduleKeyDeletion")]
    assert order == sorted(order)


def test_a_disabled_key_that_still_decrypts_is_not_used_and_not_gone(tmp_path, holder, kms):
    """The trap: moto decrypts with it. What counts is what DescribeKey says."""
    vault = new_vault(tmp_path, holder)
    version = live(holder, vault)
    kms.disable_key(KeyId=key_id(version))
    assert live(holder, vault) == version
    with pytest.raises(StoreError, match="is 'Disabled', which can be taken back; nothing was destroyed"):
        Vault.open(vault, root=holder)
    kms.enable_key(KeyId=key_id(version))
    with Vault.open(vault, root=holder) as opened:
        assert state(opened) == "live"


def test_a_scheduled_key_that_still_decrypts_is_not_used_and_one_that_is_cancelled_is_scheduled_again(tmp_path, holder, kms):
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "copy")
    old = live(holder, vault)
    with Vault.open(vault, root=holder) as opened:
        opened.erase(["first"])
    blob = kms.encrypt(KeyId=key_id(old), Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(KeyId=key_id(old), CiphertextBlob=blob)["Plaintext"] == b"x"
    with pytest.raises(RolledBackError, match="is gone, and the holder has a newer one"):
        Vault.open(tmp_path / "copy", root=holder)
    kms.cancel_key_deletion(KeyId=key_id(old))
    kms.enable_key(KeyId=key_id(old))
    with Vault.open(tmp_path / "copy", root=holder) as opened:
        assert state(opened) == "live"  # as its assurance says
    with Vault.open(vault, root=holder) as opened:
        assert state(opened) == "pending"
        opened.seal(tmp_path / "plain", "next").close()
    assert next(version.state for version in versions_of(holder, vault) if version.name == old.name) is KeyState.SCHEDULED


def test_a_key_from_elsewhere_wraps_nothing_and_is_left_alone(holder, kms, prefix):
    for options in ({"Origin": "EXTERNAL"}, {}):
        description = f"lifeseal vault {VAULT.hex()} epoch 3" if options else "somebody's key"
        found = kms.create_key(Description=description, **options)["KeyMetadata"]["KeyId"]
        name = f"{VAULT.hex()}-{3:016d}-{found}"
        with pytest.raises(StateError, match=r"was not made for epoch 3 of this vault: .*; it was left alone"):
            holder.destroy(name)
        with Secret.random() as key, pytest.raises((StateError, StoreError)):
            holder.wrap(name, key, b"c")
        assert kms.describe_key(KeyId=found)["KeyMetadata"]["KeyState"] != "PendingDeletion"


def test_an_alias_that_was_moved_moves_no_root(tmp_path, holder, kms, prefix):
    """An alias is where a key's name is found, no more: which key it is stands in the name."""
    vault = new_vault(tmp_path, holder)
    version = live(holder, vault)
    other = kms.create_key(Description="somebody's key")["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=f"alias/{prefix}/{version.name}", TargetKeyId=other)
    with Vault.open(vault, root=AwsKmsRoot(kms, prefix=prefix)) as opened:
        opened.erase(["first"])
    assert kms.describe_key(KeyId=other)["KeyMetadata"]["KeyState"] == "Enabled"
    assert kms.describe_key(KeyId=key_id(version))["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_key_whose_alias_is_not_listed_yet_is_destroyed_all_the_same(tmp_path, holder, kms, prefix):
    """Lists at AWS lag behind: what this process unwrapped, it remembers."""
    vault = new_vault(tmp_path, holder)
    version = live(holder, vault)
    kms.delete_alias(AliasName=f"alias/{prefix}/{version.name}")
    with Vault.open(vault, root=AwsKmsRoot(kms, prefix=prefix)) as opened:
        opened.erase(["first"])
    assert kms.describe_key(KeyId=key_id(version))["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_another_vaults_keys_are_left_alone(tmp_path, holder):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        new_vault(tmp_path / name, holder)
    before = versions_of(holder, tmp_path / "two" / "vault")
    with Vault.open(tmp_path / "one" / "vault", root=holder) as opened:
        opened.erase(["first"])
    assert versions_of(holder, tmp_path / "two" / "vault") == before


def test_a_vault_that_names_another_key_is_refused_before_any_connection(tmp_path, holder, prefix):
    vault = new_vault(tmp_path, holder)
    text = "".join(path.read_text() for path in (vault / "vault.json", *vault.glob("root-*")))
    assert prefix not in text
    assert "arn:" not in text
    assert aws.REGION not in text
    claims_another_key(vault)
    with pytest.raises(CredentialError, match="the one given is of kind 'aws-kms', or another one"):
        Vault.open(vault, root=AwsKmsRoot(aws.client("http://127.0.0.1:1"), prefix=prefix))


@pytest.mark.parametrize("name", ["arn:aws:kms:eu-west-2:999999999999:key/x", "alias/theirs", "", f"{VAULT.hex()}-1-00"])
def test_a_folder_names_no_key_of_another_account(name, holder):
    with Secret.random() as key:
        for call in (lambda: holder.unwrap(name, b"x", b"c"), lambda: holder.wrap(name, key, b"c"), lambda: holder.destroy(name)):
            with pytest.raises(FormatError, match="wrapped root, version"):
                call()


def test_a_second_host_is_refused_and_copies_on_one_host_share_the_lock(tmp_path, holder, kms, prefix):
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "other")
    second = AwsKmsRoot(kms, prefix=prefix)
    with Vault.open(vault, root=holder) as opened, Vault.open(tmp_path / "other", root=second) as other:
        opened.seal(tmp_path / "plain", "second").close()
        with pytest.raises(RolledBackError):
            other.erase(["first"])
    with holder.locked(vault), pytest.raises(LockedError, match="a copy of this vault on this host"), second.locked(tmp_path / "other"):
        pass
    for epoch in (4, 5):
        with pytest.raises(StateError, match="holds a key of epoch 5 already; another host"):
            holder.create(bytes.fromhex(live(holder, vault).name[:32]), epoch)


def test_an_answer_that_comes_late_is_a_store_error(tmp_path, holder, proxy, prefix):
    new_vault(tmp_path, holder)
    slow = AwsKmsRoot(aws.client(proxy.url, timeout=0.5), prefix=prefix)
    with Vault.open(tmp_path / "vault", root=slow) as opened:
        proxy.plan(1, "late")
        with pytest.raises(StoreError, match=r"no answer to describe_key \(ReadTimeoutError\); whether it was done is not known"):
            opened.erase(["first"])
        proxy.plan()
    assert settles(tmp_path, holder) == "live"


def test_no_credentials_is_a_credential_error(monkeypatch, tmp_path):
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    holder = AwsKmsRoot(boto3.Session().client("kms", region_name=aws.REGION, endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(CredentialError, match=r"there are no credentials to list_aliases with \(NoCredentialsError\)"):
        holder.versions(VAULT)


# What AWS answers and moto does not: the words of its API, through botocore itself.


def metadata(name, state="Enabled", **more):
    tag = name.split("-", 2)[2]
    arn = f"arn:aws:kms:eu-west-2:111122223333:key/{tag}"
    epoch = int(name.split("-")[1])
    fixed = {
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "Description": f"lifeseal vault {VAULT.hex()} epoch {epoch}",
    }
    return {"KeyMetadata": {"KeyId": tag, "Arn": arn, "KeyState": state, **fixed, **more}}


@pytest.fixture
def stubbed():
    client = aws.client("http://127.0.0.1:1")
    with Stubber(client) as stub:
        yield AwsKmsRoot(client), stub
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("ExpiredTokenException", CredentialError, "the credentials have expired"),
        ("UnrecognizedClientException", CredentialError, "the credentials are not known"),
        ("AccessDeniedException", CredentialError, "these credentials may not do that"),
        ("InvalidSignatureException", CredentialError, "is this machine's clock right"),
        ("RequestExpired", CredentialError, "is this machine's clock right"),
        ("KMSInvalidStateException", StoreError, "refuses to decrypt: KMSInvalidStateException"),
        ("ThrottlingException", StoreError, "ThrottlingException"),
        ("KMSInternalException", StoreError, "KMSInternalException"),
        ("InvalidCiphertextException", TamperedError, "was changed, or belongs elsewhere"),
        ("IncorrectKeyException", TamperedError, "was changed, or belongs elsewhere"),
    ],
)
def test_what_aws_refuses_is_told_apart_and_decides_nothing_about_the_key(code, error, said, stubbed):
    holder, stub = stubbed
    stub.add_response("describe_key", metadata(NAME))
    stub.add_client_error("decrypt", code)
    with pytest.raises(error, match=said):
        holder.unwrap(NAME, b"wrapped", b"context")


def test_a_key_that_is_not_found_alone_is_unavailable(stubbed):
    holder, stub = stubbed
    stub.add_client_error("describe_key", "NotFoundException")
    stub.add_response("list_aliases", {"Aliases": [], "Truncated": False})
    with pytest.raises(StoreError, match="is not there, and no later one; nothing says that it was destroyed"):
        holder.unwrap(NAME, b"wrapped", b"context")


def test_a_key_that_is_not_found_beside_a_later_one_is_destroyed(stubbed):
    holder, stub = stubbed
    stub.add_client_error("describe_key", "NotFoundException")
    stub.add_response("list_aliases", {"Aliases": [{"AliasName": "alias/theirs"}], "Truncated": True, "NextMarker": "more"})
    stub.add_response("list_aliases", {"Aliases": [{"AliasName": f"alias/lifeseal/{LATER}"}], "Truncated": False}, {"Limit": 100, "Marker": "more"})
    stub.add_response("describe_key", metadata(LATER))
    with pytest.raises(DestroyedError, match="was destroyed; a later one is there"):
        holder.unwrap(NAME, b"wrapped", b"context")


def test_a_scheduled_key_refuses_with_the_date_of_aws_and_not_of_this_machine(stubbed):
    """A date in the past is no proof: a clock can be wrong, and only AWS says that a key is gone."""
    holder, stub = stubbed
    past = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    for date in (UNTIL, past):
        stub.add_response("describe_key", metadata(NAME, "PendingDeletion", DeletionDate=date))
        with pytest.raises(DestroyedError, match=f"is scheduled for deletion, until {date:%Y-%m-%dT%H:%M:%SZ}"):
            holder.unwrap(NAME, b"wrapped", b"context")
        stub.add_response("describe_key", metadata(NAME, "PendingDeletion", DeletionDate=date))
        assert holder.destroy(NAME) is KeyState.SCHEDULED


def test_whether_a_key_is_scheduled_is_read_and_not_taken_from_the_answer(stubbed):
    holder, stub = stubbed
    stub.add_response("describe_key", metadata(NAME))
    stub.add_response("schedule_key_deletion", {"KeyState": "PendingDeletion"}, {"KeyId": TAG, "PendingWindowInDays": 7})
    stub.add_response("describe_key", metadata(NAME))
    with pytest.raises(StoreError, match="did not schedule the key of epoch 3 for deletion; its state is 'Enabled'"):
        holder.destroy(NAME)
    stub.add_response("describe_key", metadata(NAME))
    stub.add_client_error("schedule_key_deletion", "KMSInvalidStateException")
    stub.add_response("describe_key", metadata(NAME, "PendingDeletion", DeletionDate=UNTIL))
    assert holder.destroy(NAME) is KeyState.SCHEDULED
    stub.add_client_error("describe_key", "NotFoundException")
    assert holder.destroy(NAME) is KeyState.DESTROYED


def test_a_key_with_copies_in_other_regions_is_left_alone(stubbed):
    holder, stub = stubbed
    stub.add_response("describe_key", metadata(NAME, MultiRegion=True))
    with pytest.raises(StateError, match="it has copies in other regions; it was left alone"):
        holder.destroy(NAME)


def test_a_key_without_an_alias_is_scheduled_at_once(stubbed):
    holder, stub = stubbed
    stub.add_response("list_aliases", {"Aliases": [], "Truncated": False})
    stub.add_response("create_key", metadata(NAME))
    stub.add_client_error("create_alias", "LimitExceededException")
    stub.add_response("describe_key", metadata(NAME))
    stub.add_response("schedule_key_deletion", {}, {"KeyId": TAG, "PendingWindowInDays": 7})
    stub.add_response("describe_key", metadata(NAME, "PendingDeletion"))
    with pytest.raises(StoreError, match="refuses to create_alias: LimitExceededException"):
        holder.create(VAULT, 3)


@pytest.mark.parametrize(
    "answer",
    [
        {"Plaintext": b"r" * 32, "KeyId": f"arn:aws:kms:eu-west-2:111122223333:key/{TAG[:-1]}c"},
        {"Plaintext": b"short", "KeyId": f"arn:aws:kms:eu-west-2:111122223333:key/{TAG}"},
    ],
)
def test_an_answer_of_another_key_or_of_another_length_is_no_root(answer, stubbed):
    holder, stub = stubbed
    stub.add_response("describe_key", metadata(NAME))
    stub.add_response("decrypt", answer)
    with pytest.raises(TamperedError):
        holder.unwrap(NAME, b"wrapped", b"context")


def test_credentials_that_expire_in_the_middle_of_an_erasure_say_what_was_done(tmp_path, holder, monkeypatch):
    vault = new_vault(tmp_path, holder)
    with Vault.open(vault, root=holder) as opened:

        def destroy(_):
            raise CredentialError("AWS KMS: the credentials have expired")

        monkeypatch.setattr(holder, "destroy", destroy)
        with pytest.raises(PendingError, match=r"epoch 4 is in force, but key version .* is not destroyed: AWS KMS: the credentials have expired"):
            opened.erase(["first"])
        monkeypatch.undo()
    assert settles(tmp_path, holder) == "pending"


def test_what_it_says_of_itself_reaches_the_vault(tmp_path, kms, prefix):
    holder = AwsKmsRoot(kms, prefix=prefix, days=30, retention=dt.timedelta(days=0))
    assert (holder.strength, holder.retention) == (Strength.OPERATED, dt.timedelta(0))
    assert "AWS deletes the key 30 days after the erasure" in holder.assurance
    with Vault.open(new_vault(tmp_path, holder), root=holder) as opened:
        found = opened.info()
    assert (found.holder, found.assurance, found.losing, found.backing_up) == ("aws-kms", holder.assurance, holder.losing, holder.backing_up)
    for wrong in ({"days": 6}, {"days": 31}, {"prefix": ""}, {"prefix": "a/b"}):
        with pytest.raises(ValueError, match=r"AWS waits|a prefix has"):
            AwsKmsRoot(kms, **wrong)
