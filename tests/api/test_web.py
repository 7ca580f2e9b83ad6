"""The page is there, complete, and runs nothing from elsewhere."""

from __future__ import annotations

import posixpath
import re

import aiohttp

from assay.server import Server
from assay.web import files


async def test_the_page_and_all_it_names(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http:
        known, todo = set(), ["/"]
        while todo:
            path = todo.pop()
            if path in known or path in ("/openapi.json", "/metrics"):
                continue
            known.add(path)
            async with http.get(path) as response:
                assert response.status == 200, path
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'self'" in policy
                assert "unsafe" not in policy
                text = await response.text()
            assert "http://" not in text.replace("http://www.w3.org", ""), path
            assert not re.findall(r"https://\w", text), path
            todo += re.findall(r'(?:src|href)="(/[^"]*)"', text)
            todo += [posixpath.join(posixpath.dirname(path), one) for one in re.findall(r' from "(\.[^"]*)"', text)]
            todo = [posixpath.normpath(one) for one in todo]
        assert known == set(files())  # nothing is missing, and nothing lies there unused


async def test_the_page_has_no_inline_script_or_style(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http, http.get("/") as response:
        page = await response.text()
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []


async def test_scripts_put_nothing_in_as_html(server: Server) -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\(|new Function|setHTML"
    for path, file in files().items():
        assert re.findall(sinks, file.read_text()) == [], path


async def test_a_wallet_sees_what_it_holds(server: Server, join) -> None:  # type: ignore[no-untyped-def]
    stranger = await join(None, tokens="12.5")
    assert await stranger.balance() == {"lamports": 10_000_000_000, "tokens": ["12.5"]}
    assert (await stranger.market())["faucet"] is True
