"""The page is there, complete, and runs nothing from elsewhere."""

from __future__ import annotations

import re

import aiohttp

from assay.server import Server
from assay.web import FILES


async def test_the_page_and_all_it_names(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/") as response:
            assert response.status == 200
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
            page = await response.text()
        named = re.findall(r'(?:src|href)="(/[^"]*)"', page)
        assert set(FILES) - {"/"} <= set(named)
        for path in named:
            async with http.get(path) as response:
                assert response.status == 200, path
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
