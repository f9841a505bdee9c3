"""An operator at work: a terminal and a browser, and what they need to find each other."""

import re

from e2e.at_terminal import Terminal
from playwright.sync_api import Browser, BrowserContext, Page
from sandbox import Sandbox

HOSTILE = '<img src=x onerror="alert(1)"> & {{7*7}} office'
MX, CA, CO, PE = "mx.enlace", "ca.liaison", "co.enlace", "pe.enlace"


class Desk:
    """An operator with a terminal and a browser of their own. What the browser asks of others, or refuses, is kept."""

    def __init__(self, sandbox: Sandbox, browser: Browser, who: str, **context) -> None:
        self.sandbox = sandbox
        self.terminal = Terminal(sandbox, who)
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(
            locale="en-GB", viewport={"width": 1280, "height": 800}, **context
        )
        self.context.on("request", self._asked)
        self.context.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()

    def _asked(self, request) -> None:
        if not request.url.startswith((self.sandbox.console, "data:")):
            self.strangers.append(request.url)

    def sign_in(self) -> "Desk":
        self.page.goto(self.terminal.link)
        self.page.get_by_role("button").last.click()
        self.page.wait_for_url(f"{self.sandbox.console}/")
        return self

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.sandbox.console}{path}")
        return self.page

    def close(self) -> None:
        self.context.close()
        self.terminal.__exit__()
        assert self.strangers == [], "the browser asked somebody else"
        assert self.complaints == [], "the browser refused or complained"


def console_pid(sandbox: Sandbox) -> int:
    return sandbox.processes()["console"][0]


def said(page: Page) -> str:
    """The text of a page's content."""
    return re.sub(r"\s+", " ", page.locator("main").inner_text())
