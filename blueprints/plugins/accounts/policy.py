"""Authenticate by the name and the password of an account (plugins contract, 4.2)."""

from __future__ import annotations

from app.authentication.basicauth import parse_credentials
from app.authentication.failures import Failures
from app.authentication.logins import Login, Logins, current_caller
from app.authentication.passwords import verify_password
from app.identity import Credentials, Identity, Proof, Reader, proof_of
from app.service import Service
from app.settings import PolicySettings
from backends.storage import Selection, User, UserState, read_bucket
from blueprints.plugins.accounts.kind import KIND, PREFIX, AccountNames, user_of


class AccountsPolicy:
    """The policy of accounts; the user id is `account:<name>`, whatever the name of the policy (P-ACC-3)."""

    def __init__(self, policy: PolicySettings, service: Service, logins: Logins, failures: Failures) -> None:
        self.name = policy.name
        self._rounds = service.settings.account_bcrypt_rounds
        self._logins = logins
        self._failures = failures
        self._names = AccountNames()
        self._realm = str(policy.options.get("realm", "Realm"))
        self._is_last = [listed.name for listed in service.settings.policies][-1:] == [policy.name]

    def identify(self, authorization: str, read: Reader) -> Identity | None:
        """Return the identity of an account, None for a wrong password, an unknown name or another scheme than Basic.

        The identity has a proof: a cached login is valid only while the account has the hash with which the password
        was compared. Raises TooManyFailures.
        """
        name_and_password = parse_credentials(authorization)
        if name_and_password is None or not self._names.match(name_and_password[0]):
            return None
        name, password = name_and_password
        login = self._logins.login_of(name, password)

        def forget() -> None:
            self._logins.forget(login)

        recalled = self._logins.recall(login)
        if recalled is not None:
            current_caller().recalled.add(login.value)
            proof = Proof(user_of(name), *recalled, Credentials(authorization), forget)
            return Identity(f"{PREFIX}{name}", KIND, proof)
        state = _read_state(user_of(name), read)
        if not self._is_correct(login, name, password, state):
            return None
        assert state is not None, "without an account no password is correct"
        proof = proof_of(user_of(name), state, authorization, forget)
        self._logins.remember(login, proof)
        return Identity(f"{PREFIX}{name}", KIND, proof)

    def _is_correct(self, login: Login, name: str, password: str, state: UserState | None) -> bool:
        """Compare a password with the stored hash, once per request; an unknown name takes as long (P-ACC-29)."""
        caller, secret = current_caller(), state.secret if state else None
        earlier_result = caller.result_of(login, secret)
        if earlier_result is not None:
            return earlier_result
        # Without such an account, credentials that a later policy may accept are no guess.
        is_guess = self._is_last or state is not None
        if is_guess:
            self._failures.expect_allowed(caller.address, name)
        is_correct = verify_password(password, secret, self._rounds)
        caller.results[login.value, secret] = is_correct
        if is_guess and not is_correct:
            self._failures.count(caller.address, name)
        return is_correct

    def challenge(self) -> str:
        """Return the value of `WWW-Authenticate`."""
        return f'Basic realm="{self._realm}"'


def _read_state(user: User, read: Reader) -> UserState | None:
    return read(Selection(read_bucket(user.uri), users=(user,))).users.get(user)
