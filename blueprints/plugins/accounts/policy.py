"""Log in with the name and the password of an account (plugins contract, 4.2)."""

from __future__ import annotations

from app.authentication.basicauth import credentials
from app.authentication.failures import Failures
from app.authentication.logins import Login, Logins, caller
from app.authentication.passwords import verified
from app.identity import Identity, Proof, Reader, proof_of
from app.service import Service
from app.settings import PolicySettings
from backends.storage import Selection, User, UserState, read_bucket
from blueprints.plugins.accounts.kind import KIND, PREFIX, AccountNames, user_of


class AccountsPolicy:
    """The policy of accounts; the user id is `account:<name>` whatever the policy is called (P-ACC-3)."""

    def __init__(self, policy: PolicySettings, service: Service, logins: Logins, failures: Failures) -> None:
        self.name = policy.name
        self._rounds = service.settings.account_bcrypt_rounds
        self._logins = logins
        self._failures = failures
        self._names = AccountNames()
        self._realm = str(policy.options.get("realm", "Realm"))
        self._last = [listed.name for listed in service.settings.policies][-1:] == [policy.name]

    def identify(self, authorization: str, read: Reader) -> Identity | None:
        """Return whose account it is; None for a wrong password, an unknown name and what is no basic authentication.

        The identity has a proof: a login that is remembered counts only while the account has the hash that it was
        checked against. Raises TooManyFailures.
        """
        known = credentials(authorization)
        if known is None or not self._names.match(known[0]):
            return None
        name, password = known
        login = self._logins.login(name, password)

        def forget() -> None:
            self._logins.forget(login)

        recalled = self._logins.recall(login)
        if recalled is not None:
            caller().recalled.add(login.value)
            proof = Proof(user_of(name), *recalled, authorization, forget)
            return Identity(f"{PREFIX}{name}", KIND, proof)
        state = _state(user_of(name), read)
        if not self._right(login, name, password, state):
            return None
        assert state is not None, "no password is right where there is no account"
        proof = proof_of(user_of(name), state, authorization, forget)
        self._logins.remember(login, proof)
        return Identity(f"{PREFIX}{name}", KIND, proof)

    def _right(self, login: Login, name: str, password: str, state: UserState | None) -> bool:
        """Compare with what is stored, once a request; an unknown name takes as long as a known one (P-ACC-29)."""
        asking, secret = caller(), state.secret if state else None
        known = asking.knows(login, secret)
        if known is not None:
            return known
        # What a later policy accepts is no guess, unless there is such an account.
        counted = self._last or state is not None
        if counted:
            self._failures.expect_few(asking.address, name)
        right = verified(password, secret, self._rounds)
        asking.checks[login.value, secret] = right
        if counted and not right:
            self._failures.count(asking.address, name)
        return right

    def challenge(self) -> str:
        """Return the value of `WWW-Authenticate`."""
        return f'Basic realm="{self._realm}"'


def _state(user: User, read: Reader) -> UserState | None:
    return read(Selection(read_bucket(user.uri), users=(user,))).users.get(user)
