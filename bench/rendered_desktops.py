"""Desktops that Chromium renders: what is on each of them is known, since it is written here."""

import html
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.chromium import open_chromium

WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True)
class Desktop:
    """A window of lines. `columns` of them stand side by side; colours are CSS."""

    name: str
    title: str
    lines: Sequence[str]
    paper: str
    ink: str
    font: str = "DejaVu Sans, sans-serif"
    columns: int = 1

    def page(self, text_pixels: int) -> str:
        """HTML whose every text, title included, is `text_pixels` high."""
        rows = "".join(f"<p>{html.escape(line)}</p>" for line in self.lines)
        return (
            f"<!doctype html><meta charset=utf-8><style>*{{margin:0;font:{text_pixels}px {self.font}}}"
            f"body{{background:#34567a;padding:24px}}"
            f"header{{background:#46464e;color:#f0f0f0;padding:8px 16px}}"
            f"main{{background:{self.paper};color:{self.ink};padding:16px;height:{HEIGHT - 150}px;"
            f"columns:{self.columns};overflow:hidden}}p{{padding:.3em 0;white-space:pre;break-inside:avoid}}"
            f"</style><header>{html.escape(self.title)}</header><main>{rows}</main>"
        )

    @property
    def text(self) -> str:
        return "\n".join([self.title, *self.lines])


MONO = "DejaVu Sans Mono, monospace"
DESKTOPS = [
    Desktop(
        "IDE, dark",
        "billing.py - shop - Visual Studio Code",
        [
            "from decimal import Decimal",
            "from shop.errors import CardDeclined",
            "class Invoice:",
            "    def __init__(self, number: str, total: Decimal) -> None:",
            "        self.number = number",
            "        self.total = total",
            "def charge(card: Card, invoice: Invoice) -> Receipt:",
            "    for attempt in range(RETRIES):",
            "        answer = gateway.charge(card.token, invoice.total)",
            "        if answer.status == 402:",
            "            raise CardDeclined(invoice.number)",
            "        if answer.accepted:",
            "            return Receipt(invoice.number, answer.reference)",
            "        sleep(2 ** attempt)",
            "    raise GatewayTimeout(RETRIES)",
            "Ln 27, Col 14   Spaces 4   UTF-8   Python 3.12   main",
        ],
        "#1e1e1e",
        "#d4d4d4",
        MONO,
    ),
    Desktop(
        "chat, light",
        "incidents - Acme - Slack",
        [
            "Ines Moreau  09:12",
            "Latency of the checkout is above four seconds since nine",
            "Jonas Weber  09:13",
            "I see it too, the payment gateway answers slowly in Frankfurt",
            "Priya Natarajan  09:15",
            "Rolling back to release 881, please hold all deployments",
            "Ines Moreau  09:21",
            "Numbers look better, p99 is down to 640 milliseconds",
            "Jonas Weber  09:24",
            "Customers confirm that orders go through again",
            "Priya Natarajan  09:30",
            "Resolved after 18 minutes, postmortem on Thursday at 14:00",
            "Message incidents",
        ],
        "#ffffff",
        "#1d1c1d",
    ),
    Desktop(
        "browser, serif",
        "Photosynthesis - Encyclopedia - Browser",
        [
            "Photosynthesis is a process by which plants and algae convert light",
            "energy into chemical energy, stored in sugars and starches. It takes",
            "place in chloroplasts, where the green pigment chlorophyll absorbs",
            "mostly blue and red light. Water is split, oxygen is released, and",
            "the energy is kept in molecules that later build carbohydrates from",
            "carbon dioxide. Almost all life on Earth depends on it.",
            "Contents   History   Light reactions   Calvin cycle   Efficiency",
            "The average rate of energy capture is about 130 terawatts, which is",
            "eight times the power consumption of human civilization.",
            "Last edited on 14 October 2026 by Margaret Thompson",
        ],
        "#ffffff",
        "#202122",
        "DejaVu Serif, serif",
    ),
    Desktop(
        "dashboard, dark",
        "Grafana - Production overview",
        [
            "Requests per second",
            "1,840",
            "Error rate",
            "0.27 %",
            "Latency p99",
            "312 ms",
            "CPU usage api-1",
            "71 %",
            "Memory api-1",
            "5.4 GB",
            "Disk usage postgres",
            "88 %",
            "Replication lag",
            "94 seconds",
            "Queue depth",
            "12,406 jobs",
            "Active sessions",
            "3,071",
            "Last deployment",
            "checkout 4.12.0",
            "Alerts firing",
            "HighReplicationLag",
        ],
        "#181b1f",
        "#ccccdc",
        columns=2,
    ),
    Desktop(
        "slides, light",
        "Quarterly results - Keynote",
        [
            "Quarterly results and outlook",
            "Revenue grew to 13.1 million, mostly in Europe",
            "Churn fell from 4.1 to 3.4 percent",
            "Forty new enterprise customers signed",
            "Offline mode ships in spring, the mobile app in summer",
            "Hiring: two designers, one data analyst",
            "Risks: currency, supply of displays, late certification",
            "Questions to finance@example.com",
        ],
        "#fdf6e3",
        "#073642",
    ),
    Desktop(
        "terminal, green on black",
        "deploy@web-2: ~/shop",
        [
            "$ pytest -q tests/test_cart.py",
            "FAILED tests/test_cart.py::test_discount - AssertionError",
            "1 failed, 213 passed in 32.18s",
            "$ git status",
            "On branch feature/discount",
            "Your branch is ahead of 'origin/main' by 3 commits.",
            "modified:   shop/cart.py",
            "Untracked files: notes.txt",
            "$ kubectl get pods",
            "checkout-7f9c   0/1   CrashLoopBackOff   12   41m",
            "search-5d2aa   1/1   Running   0   9d",
            "$ df -h /var/lib/postgresql",
            "/dev/sda1   500G   441G   59G   89%",
        ],
        "#0b0b0b",
        "#7ee787",
        MONO,
    ),
]


async def rendered(folder: Path, sizes: Sequence[int]) -> AsyncIterator[tuple[Desktop, int, Path]]:
    """Each desktop at each text size in pixels, as a PNG in `folder`."""
    async with open_chromium(folder) as page:
        await page.look(width=WIDTH, height=HEIGHT)
        for desktop in DESKTOPS:
            for text_pixels in sizes:
                document = folder / "desktop.html"
                document.write_text(desktop.page(text_pixels), encoding="utf-8")
                await page.goto(f"{document.as_uri()}?{desktop.name.replace(' ', '')}{text_pixels}")
                shot = folder / f"{desktop.name.split(',')[0]}-{text_pixels}.png"
                await page.screenshot(shot)
                yield desktop, text_pixels, shot
