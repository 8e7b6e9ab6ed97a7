"""A tab of a browser in which the console is open, with what tests do in many places."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from playwright.sync_api import Dialog, Locator, Page, Route, expect

PASSWORD = "tr0ub4dor"
_BATCH_SIZE = 25


def session_script(user: str) -> str:
    """Return a script that logs a user of the tests in before the console starts."""
    credentials = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    session = {"policy": "account", "authorization": f"Basic {credentials}", "userId": f"account:{user}"}
    text = json.dumps(json.dumps(session))
    return f"if (location.protocol === 'http:') sessionStorage['kinto.session'] ??= {text}"


@dataclass(frozen=True)
class Tab:
    """A tab, the URL of the API, and the name of the user who is logged in."""

    page: Page
    server_url: str
    user: str | None

    def open(self, route: str = "/") -> Tab:
        """Open a route of the console, and wait for its heading."""
        url = f"{self.server_url}/admin/#{route}"
        if self.page.url.startswith(f"{self.server_url}/admin/"):
            self.page.evaluate("hash => { location.hash = hash }", f"#{route}")
        else:
            self.page.goto(url)
        self.page.get_by_role("heading", level=1).wait_for()
        return self

    def settle(self) -> None:
        """Wait until the screen of the route has all its data."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.page.wait_for_function("() => document.querySelector('main h1') && !document.querySelector('.loading')")

    def button(self, name: str) -> Locator:
        """Return the button with exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def view(self, name: str) -> None:
        """Open a tab of the object."""
        self.page.get_by_role("navigation", name="Views").get_by_role("link", name=name, exact=True).click()

    def answer_questions(self, *, leave: bool) -> list[str]:
        """Answer the questions of the browser whether to leave a page from now on; return the list that gets them."""
        questions: list[str] = []

        def answer(dialog: Dialog) -> None:
            questions.append(dialog.message)
            if leave:
                dialog.accept()
            else:
                dialog.dismiss()

        self.page.on("dialog", answer)
        return questions

    def see_as(self, principal: str) -> None:
        """Choose at the side whose rights the console shows."""
        self.button("See as…").click()
        self.page.get_by_label("As whom").fill(principal)
        self.button("Look").click()

    def notice(self, text: str) -> None:
        """Wait until the console says a text."""
        expect(self.page.locator(".notice").filter(has_text=text)).to_be_visible()

    def rows(self) -> Locator:
        """Return the rows of the table of records."""
        return self.page.locator("table.records tbody tr")

    def restore(self, name: str) -> None:
        """Restore what has a name in the list of what was deleted, and answer the question."""
        self.button(f"Restore {name}").click()
        question = self.page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True)
        question.click()

    def edit_json(self, text: str) -> None:
        """Replace the text of the JSON editor."""
        editor = self.page.locator(".cm-content")
        editor.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to the API as the user, and return the body of the response."""
        auth = None if self.user is None else (self.user, PASSWORD)
        response = requests.request(method, f"{self.server_url}{path}", auth=auth, timeout=30, **options)
        response.raise_for_status()
        return response.json() if response.content else None

    def change_password_before(self, pattern: str, password: str) -> None:
        """Change the password as from elsewhere once the tab sends its next request to a URL, before that arrives.

        At no other moment is it certain that no former request of the tab is refused first.
        """

        def change(route: Route) -> None:
            self.ask("PATCH", f"/accounts/{self.user}", json={"data": {"password": password}})
            route.continue_()

        self.page.route(pattern, change, times=1)

    def batch(self, method: str, bodies: Mapping[str, dict[str, Any]]) -> list[Any]:
        """Send a request for each path in batches, and return the bodies of the responses; all must succeed."""
        requests = [
            {"method": method, "path": path, **({"body": body} if body else {})} for path, body in bodies.items()
        ]
        responses: list[Any] = []
        for start in range(0, len(requests), _BATCH_SIZE):
            part = requests[start : start + _BATCH_SIZE]
            responses += self.ask("POST", "/batch", json={"requests": part})["responses"]
        assert [response for response in responses if response["status"] >= 300] == []
        return [response["body"] for response in responses]

    def put(self, path: str, **data: Any) -> Any:
        """Write an object as the user."""
        return self.ask("PUT", path, json={"data": data})["data"]
