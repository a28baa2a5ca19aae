# SPDX-License-Identifier: Apache-2.0
"""Policies made of policies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from lifeseal.attestation._bundle import Bundle
from lifeseal.attestation._policy import Policy, Purpose, SignerInfo
from lifeseal.errors import PolicyError, UntrustedError

if TYPE_CHECKING:
    from lifeseal.attestation._withdrawals import Withdrawals

_SHOWN = 5


def any_of(*policies: Policy) -> Policy:
    """Accept what at least one of the policies accepts.

    Args:
        policies: At least one.

    Returns:
        The policy.

    Raises:
        ValueError: There is none.
    """
    return _Combined(policies, 1, "any of")


def all_of(*policies: Policy) -> Policy:
    """Accept what every one of the policies accepts; the same signature may satisfy several.

    Args:
        policies: At least one.

    Returns:
        The policy.

    Raises:
        ValueError: There is none.
    """
    return _Combined(policies, len(policies), "all of")


def threshold(k: int, *policies: Policy) -> Policy:
    """Accept what at least ``k`` of the policies accept, each by another signer.

    No policy counts twice, whoever signs under it, and no key counts twice, whatever certificates it has. Whether two keys are of two
    persons cannot be seen: name one policy a person.

    Args:
        k: From 1 to the number of policies.
        policies: At least one.

    Returns:
        The policy.

    Raises:
        ValueError: ``k`` is not in that range, or a policy needs several signatures itself.
    """
    if any(isinstance(policy, _Combined) and policy.needed > 1 for policy in policies):
        raise ValueError("a threshold counts signatures one by one, so none of its policies may need several; put it into all_of instead")
    return _Combined(policies, k, "threshold", distinct=True)


@attrs.frozen
class _Combined:
    policies: tuple[Policy, ...]
    needed: int
    word: str
    distinct: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.needed <= len(self.policies):
            raise ValueError(f"{self.word}: at least one policy is needed, and a threshold from 1 to their number, not {self.needed}")

    def check(self, bundles: Sequence[Bundle], *, purpose: Purpose, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
        reasons: list[str] = []
        accepted = [self._accepted(policy, bundles, purpose, withdrawals, reasons) for policy in self.policies]
        counted = _matched(accepted) if self.distinct else [signers[0] for signers in accepted if signers]
        if len(counted) < self.needed:
            more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
            why = "; ".join(reasons[:_SHOWN]) or "one signer for several of them"
            raise PolicyError(f"{self.word}: {self.needed} of {len(self.policies)} wanted, {len(counted)} found: {why}{more}")
        return _joined(counted[: self.needed], f"{self.word} {self.needed} of {len(self.policies)}")

    def _accepted(
        self, policy: Policy, bundles: Sequence[Bundle], purpose: Purpose, withdrawals: "Withdrawals | None", reasons: list[str]
    ) -> list[SignerInfo]:
        """List the signers that a policy accepts; one by one where they are to be told apart."""
        found = []
        for tried in [(bundle,) for bundle in bundles] if self.distinct else [bundles]:
            try:
                found.append(policy.check(tried, purpose=purpose, withdrawals=withdrawals))
            except UntrustedError as error:
                reasons.append(str(error))
        return found


def _matched(accepted: Sequence[Sequence[SignerInfo]]) -> list[SignerInfo]:
    """Give each policy a signer of its own, to as many as possible: no policy and no key counts twice."""
    taken: dict[str, tuple[int, SignerInfo]] = {}

    def place(policy: int, tried: set[str]) -> bool:
        for signer in accepted[policy]:
            if signer.key not in tried:
                tried.add(signer.key)
                if signer.key not in taken or place(taken[signer.key][0], tried):
                    taken[signer.key] = policy, signer
                    return True
        return False

    for policy in range(len(accepted)):
        place(policy, set())
    return [signer for _, signer in sorted(taken.values(), key=lambda pair: pair[0])]


def _joined(signers: Sequence[SignerInfo], word: str) -> SignerInfo:
    different = list({signer.fingerprint: signer for signer in signers}.values())
    clause = f"{word}: {', '.join(dict.fromkeys(signer.clause for signer in signers))}"
    notes = tuple(dict.fromkeys(text for signer in signers for text in signer.notes))
    if len(different) == 1:
        return attrs.evolve(different[0], clause=clause, notes=notes)
    times = [signer.time for signer in different if signer.time is not None]
    return SignerInfo(
        kind="several",
        fingerprint="+".join(sorted(signer.fingerprint for signer in different)),
        key="+".join(sorted(signer.key for signer in different)),
        name=" and ".join(signer.name for signer in different),
        time=max(times) if len(times) == len(different) else None,
        clause=clause,
        notes=notes,
    )
