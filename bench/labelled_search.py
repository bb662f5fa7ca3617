"""A capture set with the queries that each of its moments should answer, and how well search finds them.

Screens are a title and lines, as a rendered desktop is read; speech is one utterance each. A query's answer
is the one moment that it stands beside. Every second query was for tuning three numbers of the fusion, the others
are for reporting; a moment with two queries has one in each half.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.base.settings import Settings
from app.domain.indexes import service as indexes
from app.domain.indexes.models import SceneIndex
from app.domain.passages.models import Passage
from app.domain.routing import pipeline_route
from app.domain.search.service import Question, search_passages
from app.domain.streams.models import Stream
from app.embedded.postgres import running_postgres
from app.embedded.valkey import running_valkey
from app.engines.registry import open_sentence_engine
from app.process import Context, open_context
from tests.fixtures.factories import make_active, make_tenant, say
from tests.fixtures.indexing import make_index
from tests.fixtures.servers import migrate
from workers.describing.screens import Shown, describe_screens
from workers.engines.contract import ScreenLine
from workers.tasks.embed_passages import embed_passages

ZERO_US = 1_760_000_000_000_000
STEP_US = 10_000_000
TOP = 5
GOAL_RECALL = 0.9
ASKED = 20

# Title, lines, queries.
SCREENS: list[tuple[str, str, list[str]]] = [
    ("Keynote - Roadmap 2027", "Where we are going|Offline mode in spring|Mobile app in summer|Partner API in autumn", ["roadmap slide", "when will the phone application come out"]),
    ("Keynote - Quarterly results", "Revenue by region|EMEA 4.1 M|Americas 6.8 M|APAC 2.2 M|Churn 3.4 %", ["slide with regional revenue", "how many customers did we lose"]),
    ("Keynote - Team", "Who does what|Ada leads platform|Linus leads kernel|Grace leads compilers", ["who is responsible for the compilers"]),
    ("PowerPoint - Onboarding", "Your first week|Collect your laptop|Meet your buddy|Read the handbook", ["what new employees do at the start", "laptop pickup for newcomers"]),
    ("PowerPoint - Security training", "Phishing|Never click unknown links|Report to security@example.com|Use a hardware key", ["training about fraudulent emails"]),
    ("PowerPoint - Pricing", "Plans|Starter 9 euros|Team 29 euros|Enterprise on request", ["what the product costs", "enterprise plan price"]),
    ("Visual Studio Code - billing.py", "def charge(card, amount):|raise CardDeclined(card)|retry with backoff|# TODO idempotency key", ["python function that charges a credit card", "idempotency todo"]),
    ("Visual Studio Code - schema.sql", "create table orders (|id uuid primary key|customer_id uuid references customers|placed_at timestamptz", ["database definition of the orders table"]),
    ("IntelliJ - LoginController.java", "public class LoginController|if (!passwordEncoder.matches(raw, hash))|throw new BadCredentialsException()", ["java code that checks a password"]),
    ("Vim - nginx.conf", "server {|listen 443 ssl;|proxy_pass http://backend;|ssl_certificate /etc/ssl/site.pem;", ["web server configuration with tls", "reverse proxy settings"]),
    ("Terminal - pytest", "collected 214 items|FAILED tests/test_cart.py::test_discount|AssertionError: assert 90 == 85|1 failed, 213 passed", ["unit test for the discount broke", "assertion in the shopping cart tests"]),
    ("Terminal - docker build", "Step 7/12 : RUN pip install -r requirements.txt|ERROR: No matching distribution found for torch==9.0", ["container image could not be built", "missing torch package"]),
    ("Terminal - git", "CONFLICT (content): Merge conflict in app/main.py|Automatic merge failed; fix conflicts and then commit", ["two branches could not be combined"]),
    ("Terminal - kubectl", "NAME READY STATUS RESTARTS|checkout-7f9 0/1 CrashLoopBackOff 12|search-5d2 1/1 Running 0", ["pod that keeps restarting", "kubernetes crash"]),
    ("Terminal - ssh", "Permission denied (publickey).|Connection to db-2 closed", ["could not log in to the remote machine"]),
    ("Slack - support", "Nina: customer in Oslo cannot export to PDF|Omar: known bug, fixed in 4.2|Nina: great, I will tell them", ["chat about a problem with pdf export"]),
    ("Slack - random", "Leo: who wants pizza at noon|Mia: me, without olives|Leo: ordering at 11:45", ["colleagues ordering food", "lunch plans in chat"]),
    ("Slack - incidents", "Pager: latency of checkout above 4 s|Ines: rolling back to 881|Pager: resolved after 22 min", ["outage that was solved by going back to an older release", "slow checkout incident"]),
    ("Teams - Design review", "Zoe: the contrast of the button is too weak|Max: let us use the darker blue", ["discussion of colours and accessibility"]),
    ("WhatsApp - Family", "Mum: grandpa's birthday is on Sunday|Me: I bring the cake", ["family party at the weekend"]),
    ("Gmail - Inbox", "Invoice 2219 from Hosting Ltd|Your flight to Lisbon is confirmed|Weekly newsletter", ["travel booking confirmation", "mail about an airplane"]),
    ("Outlook - Offer", "Dear Ms Berg,|we are pleased to offer you the position of data analyst|starting on 1 March", ["job offer letter", "when the new analyst begins"]),
    ("Outlook - Complaint", "Dear team,|the parcel arrived broken|I expect a replacement this week", ["customer received damaged goods"]),
    ("Chrome - Wikipedia", "Photosynthesis|Plants convert light energy into chemical energy|Chlorophyll absorbs light", ["article on how plants make energy", "chlorophyll"]),
    ("Chrome - Booking", "Hotel Aurora, Reykjavik|2 nights, 1 room|Free cancellation until Friday|Reserve", ["accommodation in iceland", "hotel reservation page"]),
    ("Chrome - GitHub", "Issue 512: memory leak in the video decoder|opened by kay|labels: bug, p1", ["ticket about ram growing while playing video"]),
    ("Chrome - Stack Overflow", "How do I undo the last commit in git?|git reset --soft HEAD~1|Score 26110", ["question about reverting a commit"]),
    ("Firefox - Bank", "Current account|Balance 1,204.55|Rent -850.00|Salary +3,100.00", ["money left in the account", "monthly rent payment"]),
    ("Firefox - Maps", "Route to the central station|12 minutes by bus 7|Leave at 08:41", ["directions by public transport"]),
    ("Firefox - Weather", "Thunderstorms tonight|Gusts up to 80 km/h|Tomorrow sunny 24 degrees", ["storm forecast", "will it rain heavily this evening"]),
    ("Grafana - API", "Requests per second 1,840|Error rate 0.2 %|p99 latency 310 ms", ["dashboard of request rate and latency"]),
    ("Grafana - Databases", "Replication lag 94 s|Connections 480 of 500|Disk 91 % used", ["replica is behind the primary", "storage nearly exhausted on the database"]),
    ("Looker - Marketing", "Visitors 48,210|Conversion 2.9 %|Cost per click 0.41", ["advertising metrics", "share of visitors who buy"]),
    ("Jira - Sprint 31", "To do 6|In progress 4|Done 11|PAY-88 refund button does nothing", ["board of tasks for this sprint", "refund button bug"]),
    ("Excel - headcount.xlsx", "Department Heads Open|Engineering 42 5|Sales 17 2|Support 9 1", ["number of employees per department", "vacancies in engineering"]),
    ("Figma - Checkout flow", "Cart|Address|Payment|Confirmation|Comment: make the address step optional", ["mockup of the purchase steps"]),
    ("Zoom - Waiting room", "Please wait, the meeting host will let you in soon", ["waiting for somebody to admit me to the call"]),
    ("Spotify - Focus", "Now playing: Nocturne in E flat|Composer: Chopin|Up next: Gymnopédie No. 1", ["classical piano music"]),
]  # fmt: skip

# What was said, queries.
SAID: list[tuple[str, list[str]]] = [
    ("Let us move the launch to the fourteenth of May, the legal review is late.", ["new date of the launch", "why was the release postponed"]),
    ("I think we should raise the price by ten percent for new customers only.", ["proposal to charge more", "price increase"]),
    ("Can somebody write to the supplier about the missing screens?", ["contact the vendor regarding undelivered displays"]),
    ("We agreed that support will answer within four hours on weekdays.", ["response time promised to clients", "service level for support"]),
    ("The new coffee machine makes a terrible noise in the morning.", ["loud espresso maker"]),
    ("Our churn went down because the onboarding mails finally work.", ["reason fewer customers are leaving"]),
    ("Please do not deploy on Fridays any more, nobody is around to help.", ["rule about releasing before the weekend"]),
    ("My daughter starts school on Monday so I will be in late.", ["colleague arrives later because of a child"]),
    ("The auditors want to see the access logs of the last ninety days.", ["compliance request for logs", "what do the auditors need"]),
    ("We could cache the thumbnails at the edge and save half of the bandwidth.", ["idea to reduce network traffic", "content delivery caching"]),
    ("The contract with the landlord ends in October, we need a bigger office.", ["lease is running out", "moving to larger rooms"]),
    ("Who is on call this weekend? I swapped with Priya.", ["duty schedule for saturday and sunday"]),
    ("The speech recogniser mixes up fifteen and fifty all the time.", ["transcription confuses numbers"]),
    ("Let me share my screen and walk you through the prototype.", ["demonstration of an early version"]),
    ("We lost the Henderson account to a cheaper competitor.", ["a client went to a rival", "Henderson"]),
    ("Legal says we have to delete recordings after thirty days.", ["retention of recorded calls", "data protection deadline"]),
    ("The train was cancelled so I am dialling in from the car.", ["joining the call while driving"]),
    ("I would like to thank Yusuf for fixing the printer.", ["praise for repairing office hardware"]),
    ("If we hire two more engineers we can finish the migration by June.", ["staffing needed to complete the migration"]),
    ("The backup restore took six hours, that is far too slow.", ["recovery time was too long", "restore from backup"]),
    ("Next item: the Christmas party, does everybody like bowling?", ["planning the end of year celebration"]),
    ("The battery life of the headset is really disappointing.", ["headphones run out of power quickly"]),
    ("She asked whether we support single sign-on with Okta.", ["customer question on sso"]),
    ("Our insurance does not cover water damage in the basement.", ["flooding is not insured"]),
    ("The survey shows that people want dark mode more than anything.", ["most requested feature", "users prefer a dark theme"]),
    ("I can take the minutes today if somebody else does it next week.", ["who writes down the notes"]),
    ("Latency in Singapore doubled after we moved the gateway.", ["asia became slower", "network delay in south east asia"]),
    ("The doctor told me to stay at home until Thursday.", ["colleague is ill"]),
    ("Please translate the manual into Polish and Czech.", ["localisation of documentation"]),
    ("The warehouse robot got stuck again between aisle four and five.", ["machine blocked in storage"]),
    ("We have to renew the certificates before they expire on the ninth.", ["tls certs are about to run out", "certificate renewal"]),
    ("Could you mute yourself, there is a dog barking in the background.", ["animal noise in the call"]),
]  # fmt: skip


@dataclass(frozen=True)
class Asked:
    query: str
    start_us: int  # of the moment that answers it


async def _save(context: Context) -> tuple[str, list[Asked]]:
    """Save the set as the worker does, and give it vectors; returns the account and the queries."""
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant, ("mic", "display:1"))
    display, mic = opened["display:1"], opened["mic:default"]
    index_id = await make_index(context, display)
    asked: list[Asked] = []
    before = None
    for number, (title, lines, queries) in enumerate(SCREENS):
        start_us = ZERO_US + number * STEP_US
        shown = _shown(f"frm-{number}", start_us, [title, *lines.split("|")])
        described = describe_screens([shown], before, None)
        before = shown
        async with context.db.transaction() as session:
            index = await session.get_one(SceneIndex, index_id)
            stream = await session.get_one(Stream, display)
            route = await pipeline_route(session, stream, None)
            found = indexes.Found(
                f"window:{start_us}", start_us, start_us + STEP_US, described.text, described.details
            )
            await indexes.save_record(
                session, index, stream, found, route=route, visual_channels=("visual_index",)
            )
        asked += [Asked(query, start_us) for query in queries]
    for number, (text, queries) in enumerate(SAID):
        start_us = ZERO_US + number * STEP_US + 1
        await say(context, mic, text, at_us=start_us)
        asked += [Asked(query, start_us) for query in queries]
    for stream_id in (display, mic):
        await embed_passages(context, stream_id)
    return tenant.account_id, asked


def _shown(frame_id: str, at_us: int, lines: list[str]) -> Shown:
    height = 22
    boxes = [
        ScreenLine(text, 60, 36 + 40 * number, 60 + 9 * len(text), 36 + 40 * number + height, 0.98)
        for number, text in enumerate(lines)
    ]
    return Shown(frame_id, at_us, boxes, 720)


async def _places(
    context: Context, account_id: str, asked: list[Asked], *, words: bool, meaning: bool
) -> list[int]:
    """The place of each query's answer, 0 where it is not among the first."""
    engine = open_sentence_engine(context.settings)
    vectors = engine.encode([one.query for one in asked]).tolist()
    places = []
    for one, vector in zip(asked, vectors, strict=True):
        # A query without words for full text leaves the vectors alone.
        question = Question(one.query if words else "!", vector if meaning else None, ASKED)
        async with context.db.transaction() as session:
            found = await search_passages(session, question, Passage.account_id == account_id)
        starts = [match.start_us for match in found]
        places.append(starts.index(one.start_us) + 1 if one.start_us in starts else 0)
    return places


async def report_search(*, misses: bool) -> bool:
    """Print recall and rank by words, by vectors and by both; whether the reported half reaches the goal."""
    recall = 0.0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with running_postgres(data) as database_url, running_valkey(data) as redis_url:
            migrate(database_url)
            context = open_context(
                Settings(database_url=database_url, redis_url=redis_url, data_dir=data / "data")
            )
            account_id, asked = await _save(context)
            print(f"search: {len(SCREENS)} screens and {len(SAID)} utterances, {len(asked)} queries")
            print(f"{'':28}{'queries':>8}{f'recall@{TOP}':>10}{'MRR':>8}")
            for words, meaning, name in (
                (True, False, "full text alone"),
                (False, True, "vectors alone"),
                (True, True, "both"),
            ):
                places = await _places(context, account_id, asked, words=words, meaning=meaning)
                for half, title in ((0, "tuned on"), (1, "reported")):
                    mine = places[half::2]
                    recall, rank = recall_and_rank(mine)
                    print(f"{f'{title}, {name}':28}{len(mine):8}{recall:10.3f}{rank:8.3f}")
                if misses and words and meaning:
                    for one, place in list(zip(asked, places, strict=True))[::2]:
                        if not 0 < place <= TOP:
                            print(f"    {place or 'none':>4} {one.query!r}")
            await context.close()
    print(
        f"recall@{TOP}, reported half {recall:.3f}, goal {GOAL_RECALL}: {'met' if recall >= GOAL_RECALL else 'missed'}"
    )
    return recall >= GOAL_RECALL


def recall_and_rank(places: Sequence[int]) -> tuple[float, float]:
    """Recall among the first `TOP` and mean reciprocal rank; place 0 is none."""
    found = sum(0 < place <= TOP for place in places)
    return found / len(places), sum(1 / place for place in places if place) / len(places)
