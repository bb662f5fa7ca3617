"""Event rules held out: written before the judge was run on them, and never fitted or tuned on.

Records as in labelled_alerts. Those that do not meet a rule come near it: they deny it, are of a near topic,
have other numbers or another speaker, are past, to come, or only supposed.
"""

from bench.labelled_alerts import Labelled

HELD_OUT: list[Labelled] = [
    (
        "The release is postponed",
        [
            "~We have to postpone the release by two weeks.",
            "Slack - launch | Dana: the release got pushed back to June",
        ],
        [
            "~If we had postponed the release, nobody would have noticed.",
            "~The release will not be postponed, we ship on Tuesday.",
            "~I postponed my dentist appointment because of the release.",
        ],
    ),
    (
        "Error rate is above 5 %",
        [
            "Grafana - checkout | Error rate 7.4 % | Requests per second 410",
            "Datadog | api | error rate: 12%",
        ],
        [
            "Grafana - checkout | Error rate 0.3 % | Requests per second 410",
            "Datadog | api | error rate: 4.9% | cpu 71%",
            "Grafana - checkout | Cache hit rate 97 %",
        ],
    ),
    (
        "Somebody says that they are sick",
        [
            "~I caught the flu, so I will stay in bed today.",
            "Slack - team | Jo: feeling sick, taking the day off",
        ],
        [
            "~I am feeling great after the holiday.",
            "~That guitar solo was really sick.",
            "~Nobody in the team is sick this week.",
        ],
    ),
    (
        "A merge conflict occurs",
        [
            "Terminal | CONFLICT (content): Merge conflict in src/app.py | Automatic merge failed",
            "GitHub | This branch has conflicts that must be resolved",
        ],
        [
            "Terminal | Merge made by the ort strategy. | 3 files changed",
            "GitHub | This branch has no conflicts with the base branch",
            "~There is a conflict between my two meetings on Monday.",
        ],
    ),
    (
        "The customer accepts the quote",
        [
            "~Yes, we accept your quote, please send the contract.",
            "Gmail | Re: Quote 118 | We are happy to accept the quote",
        ],
        [
            "~We have to turn down the quote, it is over our limit.",
            "~Would you accept the quote if we took off five percent?",
            "~My favourite quote is by Oscar Wilde.",
        ],
    ),
    (
        "Free disk space is below 10 GB",
        ["Disk Usage | / | 3.2 GB free of 500 GB", "Terminal | df -h | free space: 8 GB"],
        [
            "Disk Usage | / | 212 GB free of 500 GB",
            "Terminal | df -h | free space: 45 GB",
            "Task Manager | 6 GB memory in use",
        ],
    ),
    (
        'Somebody says "action item"',
        ["~That is an action item for Petra.", "~Action item: check the licences by Friday."],
        [
            "~The next item on the list is the coffee machine.",
            "~We need more action and less talk.",
            "~Let us go through the items one by one.",
        ],
    ),
    (
        "The interview candidate asks about the salary",
        ["~And what would the salary for this position be?", "~May I ask how much you pay for this role?"],
        [
            "~And where would the office for this position be?",
            "~We never talk about salary in the first interview.",
            "~How many people work in this team?",
        ],
    ),
    (
        "An email was sent",
        ["Gmail | Message sent | Undo | View message", "Outlook | Your message has been sent"],
        [
            "Gmail | Draft saved | To: Nina",
            "Outlook | Message could not be sent | Retry",
            "Gmail | Inbox | 3 unread",
        ],
    ),
    (
        "Unit tests fail in the terminal",
        [
            "Terminal | cargo test | test result: FAILED. 40 passed; 2 failed",
            "Terminal | FAIL src/cart.test.ts | Tests: 1 failed, 30 total",
        ],
        [
            "Terminal | cargo test | test result: ok. 42 passed; 0 failed",
            "Terminal | npm install | added 210 packages",
            "~The stress test of the bridge went well.",
        ],
    ),
    (
        "A new issue was opened",
        [
            "GitHub | Issue #88 Crash on start | kay opened this issue 2 minutes ago",
            "Jira | PAY-91 created | Status: Open",
        ],
        [
            "GitHub | Issue #88 Crash on start | kay closed this issue 2 minutes ago",
            "Jira | PAY-91 | Done | Resolved",
            "~A new bakery opened around the corner.",
        ],
    ),
    (
        "The speaker disagrees with the plan",
        ["~I do not agree with this plan at all.", "~Sorry, but I am against the plan, it is too risky."],
        [
            "~I fully agree with this plan.",
            "~What does the plan say about testing?",
            "~We planned a dinner for Saturday.",
        ],
    ),
    (
        "Latency exceeds 500 ms",
        ["Grafana - gateway | p99 latency 870 ms", "Status | latency: 1,240 ms | region eu-west"],
        [
            "Grafana - gateway | p99 latency 210 ms",
            "Status | latency: 95 ms | region eu-west",
            "Grafana - gateway | 870 requests | latency 120 ms",
        ],
    ),
    (
        "Zoom is on the screen",
        [
            "Zoom Meeting | Mute | Stop Video | Participants 5",
            "Zoom - Waiting room | The host will let you in soon",
        ],
        [
            "Google Meet | Turn off microphone | People 5",
            "Webex | Waiting in the lobby",
            "Figma | Fit | 100 % | Prototype",
        ],
    ),
    (
        "A shipment is delayed",
        [
            "DHL | Parcel 4471 | Delayed, new delivery date Thursday",
            "~The shipment from Rotterdam is running late.",
        ],
        [
            "DHL | Parcel 4471 | Delivered at 10:02",
            "~The shipment arrived on time this morning.",
            "~The film starts late, so let us eat first.",
        ],
    ),
    (
        "Someone talks about a data breach",
        [
            "~Hackers got into our user database and copied the records.",
            "~We have to report the data breach within three days.",
        ],
        [
            "~We have to back up the database within three days.",
            "~There was no breach, the alert was a false alarm.",
            "~The dam had a breach after the heavy rain.",
        ],
    ),
    (
        "A certificate has expired",
        [
            "Chrome | Your connection is not private | NET::ERR_CERT_DATE_INVALID",
            "Monitor | TLS certificate of shop.example.com expired yesterday",
        ],
        [
            "Monitor | TLS certificate of shop.example.com renewed | valid for 90 days",
            "Monitor | TLS certificate is valid until March",
            "~She got a certificate for finishing the course.",
        ],
    ),
    (
        "The user is writing Python code",
        [
            "Visual Studio Code - app.py | import asyncio | def main():",
            "PyCharm | class Cart: | def __init__(self): | self.items = []",
        ],
        [
            "Visual Studio Code - app.go | package main | func main() {",
            "Chrome | The ball python is a snake | Wikipedia",
            "IntelliJ - Main.java | public static void main(String[] args)",
        ],
    ),
    (
        "Somebody thanks the support team",
        [
            "~Thank you so much, your support team was fantastic.",
            "Zendesk | Ticket 77 | Customer: many thanks to support for the quick help",
        ],
        [
            "~Your support team has not answered for a week.",
            "Zendesk | Ticket 78 | Customer: I need help with the login",
            "~Thanks to the rain the picnic was cancelled.",
        ],
    ),
    (
        "The conversion rate dropped",
        [
            "Looker | Conversion 1.9 % | down 22 % on last week",
            "~Conversion has fallen since we changed the form.",
        ],
        [
            "Looker | Conversion 3.1 % | up 8 % on last week",
            "~Conversion has grown since we changed the form.",
            "~I dropped my phone on the way to work.",
        ],
    ),
    (
        "An order was cancelled",
        ["Shopify | Order #2041 | Cancelled by customer", "~They cancelled the order of the forty chairs."],
        [
            "Shopify | Order #2042 | Fulfilled",
            "~They did not cancel the order after all.",
            "~The train was cancelled again this morning.",
        ],
    ),
    (
        "Somebody proposes to move the deadline",
        [
            "~Could we shift the deadline to the end of the month?",
            "~I suggest that we extend the deadline by a week.",
        ],
        [
            "~The deadline is fixed, it cannot be moved.",
            "~We moved into the new office last month.",
            "~We met the deadline with two days to spare.",
        ],
    ),
    (
        "The queue holds more than 1000 jobs",
        ["RabbitMQ | Queue jobs | Ready 4,812", "Sidekiq | Enqueued jobs: 1,350 | Busy 20"],
        [
            "RabbitMQ | Queue jobs | Ready 12",
            "Sidekiq | Enqueued jobs: 340 | Busy 20",
            "LinkedIn | 2,400 jobs near you",
        ],
    ),
    (
        "A server is restarted",
        [
            "Terminal | sudo reboot | Connection to web-2 closed by remote host",
            "~I am restarting the server now.",
        ],
        [
            "~We have not restarted the server since March.",
            "~The waiter was our server all evening.",
            "Terminal | uptime | up 412 days",
        ],
    ),
    (
        "An API key is visible",
        ["Terminal | export OPENAI_API_KEY=sk-9f2a77", "Settings | API key: 8c1e-44ab-90ff | Copy"],
        [
            "Settings | Keyboard shortcuts | Copy | Paste",
            "Settings | API key: hidden | Reveal",
            "Docs | Where do I find the key to the office?",
        ],
    ),
    (
        "The participant is driving a car",
        [
            "~Sorry for the noise, I am driving right now.",
            "~I am in the car on the motorway, so I may drop out.",
        ],
        [
            "~I drove a car for the first time when I was twenty.",
            "~Who is driving this project?",
            "~I am at my desk now.",
        ],
    ),
    (
        "A contract was signed",
        [
            "DocuSign | Lease 2027.pdf | Completed | All parties have signed",
            "~Good news, they signed the contract yesterday.",
        ],
        [
            "DocuSign | Lease 2027.pdf | Waiting for others",
            "~They have not signed the contract yet.",
            "~They might sign the contract if the price is right.",
        ],
    ),
    (
        "The number of visitors rises above 10000",
        ["Analytics | Visitors today 14,302", "Plausible | Unique visitors 23,118 | bounce rate 41 %"],
        [
            "Analytics | Visitors today 2,140",
            "Plausible | Unique visitors 880 | page views 15,000",
            "Analytics | Revenue 14,302",
        ],
    ),
    (
        "Someone wants to go to lunch",
        ["~I am hungry, shall we go and get lunch?", "Slack - random | Leo: lunch at the Thai place anyone?"],
        [
            "~We had lunch with the investors last week.",
            "~Shall we go through the slides?",
            "Slack - random | Leo: who took my umbrella?",
        ],
    ),
    (
        "The virtual machine is out of memory",
        ["Kernel log | Out of memory: Killed process 2211 (java)", "Azure | vm-7 | Memory exhausted | OOM"],
        [
            "Azure | vm-7 | Memory 31 % used",
            "~I have no memory of that meeting.",
            "Kernel log | Memory check passed",
        ],
    ),
    (
        "Two-factor authentication is turned off",
        [
            "Okta | Two-factor authentication: disabled",
            "~I turned off two-factor authentication on my account.",
        ],
        [
            "Okta | Two-factor authentication: enabled",
            "~Please turn on two-factor authentication.",
            "~I turned off the heating in the meeting room.",
        ],
    ),
    (
        "A bug in the checkout is reported",
        [
            "Zendesk | Ticket 301 | The checkout button crashes the app",
            "~Customers tell us that paying does not work, the checkout throws an error.",
        ],
        [
            "Zendesk | Ticket 302 | Please add dark mode",
            "~The checkout works perfectly since the last release.",
            "~Hotel checkout is at eleven.",
        ],
    ),
    (
        "The user looks at flights",
        [
            "Chrome - Google Flights | Berlin to Lisbon | from 89 EUR | 3 h 20 min",
            "Skyscanner | Cheapest flight 14 May | Nonstop",
        ],
        [
            "Chrome - Booking | Hotel Lisboa | 2 nights",
            "Deutsche Bahn | Berlin to Munich | 4 h 2 min | ICE",
            "Maps | Berlin | Restaurants nearby",
        ],
    ),
    (
        "Revenue is lower than 1 million",
        ["Looker | Revenue 0.72 million | Q2", "~Revenue was only 0.9 million this quarter."],
        [
            "Looker | Revenue 3.4 million | Q2",
            "~Revenue was 2.1 million this quarter.",
            "Looker | Costs 0.5 million | Revenue 1.8 million",
        ],
    ),
    (
        "Somebody leaves the company",
        [
            "~Martin is leaving the company at the end of May.",
            "Slack - general | Ines: today is my last day here, it was great working with you",
        ],
        [
            "~Martin joined the company at the end of May.",
            "~I am leaving the office at five today.",
            "~Nobody is leaving the company.",
        ],
    ),
    (
        "The video call has bad audio quality",
        ["~We can hardly hear you, your sound keeps breaking up.", "~There is a terrible echo on the line."],
        [
            "~We can hear you loud and clear.",
            "~The video about audio compression was interesting.",
            "~The quality of the new paper is bad.",
        ],
    ),
    (
        "A build takes longer than 30 minutes",
        ["Jenkins | main #90 | Build duration 47 min", "CircleCI | build | Finished in 38 minutes"],
        [
            "Jenkins | main #91 | Build duration 6 min",
            "CircleCI | build | Finished in 12 minutes",
            "Calendar | Stand-up | 45 minutes",
        ],
    ),
    (
        "The presenter shows a slide about security",
        [
            "PowerPoint | Security | Encrypt everything | Rotate keys",
            "Keynote | Zero trust | Threat model | Hardware keys",
        ],
        [
            "PowerPoint | Marketing | Campaigns | Budget",
            "Keynote | Team | Who does what",
            "Excel | Social security numbers",
        ],
    ),
    (
        "A user account was locked",
        [
            "Active Directory | j.doe | Account locked after 5 failed attempts",
            "~My account is locked, I cannot get in any more.",
        ],
        [
            "Active Directory | j.doe | Account unlocked",
            "~I opened a bank account in Zurich.",
            "~The door to the meeting room is locked.",
        ],
    ),
    (
        "The service is back online",
        [
            "Status | checkout | Operational again after 14 minutes",
            "~The service has been restored, everything is up again.",
        ],
        [
            "Status | checkout | Major outage | Investigating",
            "~The service is still offline.",
            "~When will the service be back online?",
        ],
    ),
    (
        "Someone offers a discount",
        [
            "~We can give you ten percent off if you pay upfront.",
            "~I can offer a discount on the yearly plan.",
        ],
        [
            "~There will be no discount this year.",
            "~Could you give us a discount?",
            "~We can give you a tour of the office.",
        ],
    ),
    (
        "The firewall blocks a connection",
        [
            "Firewall log | DENY tcp 10.0.0.4 to 8.8.8.8:53 | blocked",
            "Little Snitch | Connection of updater was blocked",
        ],
        [
            "Firewall log | ALLOW tcp 10.0.0.4 to 8.8.8.8:53",
            "~A truck blocks the road to the office.",
            "Little Snitch | Connection of updater was allowed",
        ],
    ),
    (
        "Python 3.12 is installed",
        [
            "Terminal | apt install python3.12 | Setting up python3.12",
            "Terminal | python --version | Python 3.12.4",
        ],
        [
            "Terminal | python --version | Python 3.9.2",
            "Terminal | apt remove python3.12 | Removing python3.12",
            "Terminal | node --version | v22.1.0",
        ],
    ),
    (
        "The meeting is moved to another day",
        [
            "~Let us move this meeting to Wednesday.",
            "Calendar | Design review | Rescheduled from Monday to Thursday",
        ],
        [
            "~The meeting stays on Wednesday as planned.",
            "~We moved the desks to another room.",
            "Calendar | Design review | Monday 10:00 | Accepted",
        ],
    ),
    (
        "The deployment is rolled back",
        [
            "Argo | checkout | Rolled back to revision 41",
            "~We had to roll back the deployment, the new version broke search.",
        ],
        [
            "Argo | checkout | Rolled out revision 42",
            "~There is no need to roll back the deployment.",
            "~We could roll back the deployment if it gets worse.",
        ],
    ),
    (
        "Anna speaks about the warehouse",
        [
            "~Anna here: the warehouse is full again.",
            "Slack - logistics | Anna: the warehouse needs two more people",
        ],
        [
            "Slack - logistics | Boris: the warehouse needs two more people",
            "Slack - logistics | Anna: lunch is at twelve",
            "~Boris here: the warehouse is full again.",
        ],
    ),
]
