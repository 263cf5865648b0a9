"""Pages in the browser of the tests: what it reported since a page was opened, and what people see of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Dialog, Page


@dataclass
class Opened:
    """A page, and what the browser reported since it was opened."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    failed: list[tuple[str, str | None]] = field(default_factory=list)
    """Requests that failed, with the reason."""

    def names(self) -> list[str]:
        """Return the image names of the visible rows in order."""
        shown = self.page.locator("#catalog tbody tr:not([hidden]) th .name")
        return [re.sub(r".*-Jun-(\d+)-.*", r"\1", name) for name in shown.all_inner_texts()]

    def sort(self, column: str) -> str | None:
        """Press the button of a column; return its `aria-sort` afterwards."""
        head = self.page.get_by_role("columnheader", name=column, exact=True)
        head.get_by_role("button").click()
        return head.get_attribute("aria-sort")


def open_page(browser: Browser, file: Path, **options: object) -> Opened:
    """Open a file, with options of `new_page`."""
    page = browser.new_page(**options)  # type: ignore[arg-type] # the caller passes options of new_page
    opened = Opened(page)

    def dismiss(dialog: Dialog) -> None:
        opened.messages.append(dialog.message)
        dialog.dismiss()

    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("requestfailed", lambda request: opened.failed.append((request.url, request.failure)))
    page.on("console", lambda message: opened.messages.append(message.text))
    page.on("pageerror", lambda problem: opened.messages.append(str(problem)))
    page.on("dialog", dismiss)
    page.goto(file.as_uri())
    return opened


_CONTRASTS = """() => {
            const parse = (color) => color.match(/[\\d.]+/g).map(Number);
            const luminance = (color) => parse(color).slice(0, 3).map((part) => part / 255)
                .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
                .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
            const ground = (element) => {
                for (; element; element = element.parentElement) {
                    const color = getComputedStyle(element).backgroundColor;
                    if ((parse(color)[3] ?? 1) === 1) return color;
                }
                throw new Error("no ground");
            };
            return Array.from(document.body.querySelectorAll("*"))
                .filter((element) => element.tagName !== "SCRIPT" && element.checkVisibility())
                .filter((element) => Array.from(element.childNodes).some((node) => node.nodeType === 3
                    && node.textContent.trim()))
                .map((element) => {
                    const [dark, light] = [getComputedStyle(element).color, ground(element)]
                        .map(luminance).sort((a, b) => a - b);
                    return [element.tagName, (light + 0.05) / (dark + 0.05), luminance(ground(element))];
                });
        }"""


def text_contrasts(page: Page) -> list[tuple[str, float, float]]:
    """Return of each visible text its element's tag, its contrast to its background (WCAG 2.2, 1.4.3), and the
    luminance of that. Opens all details first."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    return [(tag, contrast, ground) for tag, contrast, ground in page.evaluate(_CONTRASTS)]


_BROKEN = r"""() => {
    const broken = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = texts.nextNode());) {
        const parent = node.parentElement;
        if (!parent.checkVisibility() || parent.closest("script, .unseen, option, .free, dd")) continue;
        for (const word of node.textContent.matchAll(/[^\s-]+/g)) {
            const range = document.createRange();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
    return broken;
}"""


def broken_words(page: Page) -> list[str]:
    """Return the visible words with a line break in them; a name may break after its separators, which end a text
    node. Free text of others and digests, which have no words, are not looked at."""
    return list(page.evaluate(_BROKEN))


def overflow(page: Page) -> tuple[int, list[Any]]:
    """Return by how many pixels the page is wider than the window, and the elements that are cut or reach beyond it."""
    beyond = """() => Array.from(document.body.querySelectorAll("*"))
        .filter((one) => one.checkVisibility() && !one.closest(".unseen, script"))
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
            || (one.tagName === "TD" && one.scrollWidth > one.clientWidth + 1))
        .map((one) => [one.tagName, one.className, one.textContent.slice(0, 40)])"""
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return int(wider), list(page.evaluate(beyond))
