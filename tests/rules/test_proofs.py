"""A login is bound to birth and secret of its user (DECISIONS): a proof holds for no other state."""

from __future__ import annotations

import pytest

from app.identity import Identity, Outdated, VerifyingReader, proof_of
from backends.storage import Selection, Snapshot, User, UserState

ALICE = User("/accounts/alice", "password")
STATE = UserState(5, "hash")
PROOF = proof_of(ALICE, STATE, "Basic x", lambda: None)


@pytest.mark.parametrize(
    ("users", "holds"),
    [
        pytest.param({ALICE: STATE}, True, id="the same state"),
        pytest.param({ALICE: UserState(5, "other")}, False, id="another secret"),
        pytest.param({ALICE: UserState(6, "hash")}, False, id="another birth with the same secret, as after a restore"),
        pytest.param({ALICE: UserState(5, None)}, False, id="no secret"),
        pytest.param({}, False, id="no user"),
        pytest.param({User("/accounts/bob", "password"): STATE}, False, id="another user"),
    ],
)
def test_a_proof_holds_for(users: dict[User, UserState], holds: bool) -> None:
    assert PROOF.matches(Snapshot(users=users)) is holds


def test_only_the_first_read_asks_for_users() -> None:
    users: list[tuple[User, ...]] = []

    def read(selection: Selection) -> Snapshot:
        users.append(selection.users)
        return Snapshot(users={ALICE: STATE})

    reading = VerifyingReader(read, [Identity("account:alice", "account", PROOF)] * 2)
    reading(Selection("/buckets/b"))
    reading(Selection("/buckets/b"))

    assert users == [(ALICE,), ()]


def test_the_first_read_names_all_that_no_longer_hold() -> None:
    other = proof_of(ALICE, UserState(5, "old"), "Basic y", lambda: None)
    identities = [Identity("account:alice", "account", proof) for proof in (PROOF, other)]

    with pytest.raises(Outdated) as raised:
        VerifyingReader(lambda selection: Snapshot(users={ALICE: STATE}), identities)(Selection("/buckets/b"))

    assert raised.value.proofs == (other,)


def test_what_was_read_is_not_proven_again() -> None:
    users: list[tuple[User, ...]] = []

    def read(selection: Selection) -> Snapshot:
        users.append(selection.users)
        return Snapshot(users={ALICE: STATE})

    for reads in (0, 1):
        reading = VerifyingReader(read, [Identity("account:alice", "account", PROOF)])
        for _ in range(reads):
            reading(Selection("/buckets/b"))
        reading.verify()

    assert users == [(ALICE,)] * 2
