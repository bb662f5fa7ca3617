"""Event rules with records that meet them and records that nearly do.

A record is lines of a screen, apart by `|`, or what was said, after `~`. All of these were looked at and
fitted on; what is reported is in held_out_alerts.
"""

Labelled = tuple[str, list[str], list[str]]

RULES: list[Labelled] = [
    (
        "The build failed",
        [
            "Terminal - make | Compiling core | BUILD FAILED | exit code 2",
            "Jenkins | main #482 | Build failed after 3 min | Console output",
            "~Hang on, the build just failed again on the linker step.",
        ],
        [
            "Terminal - make | Compiling core | BUILD SUCCEEDED | took 14 s",
            "Jenkins | main #483 | Build passed | Console output",
            "~The build did not fail this time, it is all green.",
            "Calendar | Build the new team | Failed to plan ahead? Read this",
        ],
    ),
    (
        "An error message is on the screen",
        [
            "Terminal | Traceback (most recent call last) | ValueError: bad input",
            "Browser | Something went wrong | Error 500: internal server error",
        ],
        [
            "Terminal | All tests passed | 0 errors, 0 warnings",
            "Mail | Inbox | Lunch on Friday? | Your invoice is ready",
            "Terminal | compiled without errors | done in 2 s",
        ],
    ),
    (
        "Someone mentions the budget",
        [
            "~We should really look at the budget before we hire anyone.",
            "~I think the budget for next quarter is too small.",
        ],
        [
            "~We should really look at the schedule before we hire anyone.",
            "~I think the weather next week is going to be nice.",
        ],
    ),
    (
        "The customer wants to cancel the subscription",
        [
            "~I would like to cancel my subscription at the end of this month.",
            "~We are not happy, so please cancel our plan right away.",
        ],
        [
            "~I would like to renew my subscription for another year.",
            "~We do not want to cancel our subscription, we just have a question.",
            "~I would like to cancel my dentist appointment on Tuesday.",
        ],
    ),
    (
        "CPU usage is above 90%",
        ["Grafana | api-1 | CPU usage 97% | Memory 41%", "htop | CPU 95.2% | Mem 3.1G | Tasks 212"],
        [
            "Grafana | api-1 | CPU usage 35% | Memory 95%",
            "htop | CPU 12.0% | Mem 3.1G | Tasks 90",
            "Grafana | disk | Disk usage 12%",
        ],
    ),
    (
        "All tests passed",
        ["pytest | 214 passed in 32 s", "CI | Unit tests | All checks have passed"],
        ["pytest | 211 passed, 3 failed in 32 s", "CI | Unit tests | Some checks were not successful"],
    ),
    (
        "Slack is open on the screen",
        ["Slack - general | Anna: morning all | Threads", "Slack | Direct messages | huddle"],
        ["Microsoft Teams | Chat | Anna: morning all", "Discord | general | Anna: morning all"],
    ),
    (
        "A meeting is being scheduled",
        [
            "~Let us set up a meeting for Thursday at ten.",
            "~Can we schedule a call next week to go over this?",
        ],
        ["~The meeting yesterday was far too long.", "~Let us set up the new printer on Thursday."],
    ),
    (
        "The deployment succeeded",
        ["Deploy | production | Deployment succeeded | v2.4.1", "ArgoCD | api | Synced | Deploy successful"],
        [
            "Deploy | production | Deployment failed | v2.4.1",
            "ArgoCD | api | Degraded | Deploy failed",
            "~The deployment has not succeeded yet.",
        ],
    ),
    (
        "The server is down",
        ["Status | api.example.com | DOWN for 4 minutes", "~I cannot reach it, I think the server is down."],
        [
            "Status | api.example.com | UP for 93 days",
            "~The server is back up again and running fine.",
            "~I will sit down with the server team tomorrow.",
        ],
    ),
    (
        "Someone asks for a refund",
        [
            "~The shoes do not fit, can I get my money back?",
            "~I want a refund for order four four one.",
            "Zendesk | Ticket 881 | Customer requests refund | open",
        ],
        ["~The shoes fit perfectly, thank you so much.", "Zendesk | Ticket 882 | Where is my parcel? | open"],
    ),
    (
        'The word "confidential" appears',
        ["Acrobat | Q3 plan | CONFIDENTIAL - do not share", "Docs | Confidential draft | Page 1"],
        ["Acrobat | Q3 plan | Public release", "Docs | Secret recipe | private notes"],
    ),
    (
        "A pull request was merged",
        ["GitHub | Fix login #77 | Merged | 3 commits", "GitHub | octo merged commit 3fa into main"],
        [
            "GitHub | Fix login #77 | Closed with unmerged commits",
            "GitHub | Fix login #77 | Open | Review required",
        ],
    ),
    (
        "A payment was declined",
        ["Stripe | pi_11 | Payment declined | insufficient funds", "Shop | Your card was declined"],
        ["Stripe | pi_12 | Payment succeeded | 40.00 EUR", "Shop | Thank you, your payment was received"],
    ),
    (
        "The user opens a spreadsheet",
        ["Excel - sales.xlsx | A1 | Region | Revenue", "Google Sheets | Q3 numbers | File Edit View"],
        ["Word - letter.docx | Dear Sir or Madam", "PowerPoint | Slide 3 | Q3 numbers"],
    ),
    (
        "Someone agrees to the price",
        ["~Fine, we accept the price of forty thousand.", "~That price works for us, we agree."],
        [
            "~We cannot accept that price, it is too high.",
            "~We agree on the colour, but the price is still open.",
        ],
    ),
    (
        "The disk is full",
        ["Terminal | write error: No space left on device", "Warning | Your startup disk is almost full"],
        ["Terminal | 212 GB free of 500 GB", "Disk Utility | Volume is empty"],
    ),
    (
        "A deadline is mentioned",
        ["~The deadline is the end of March.", "~We have to hand this in by Friday at noon."],
        ["~The headline is far too long.", "~We had a very nice holiday in March."],
    ),
    (
        "The speaker says no to the offer",
        ["~Thank you, but we have to decline the offer.", "~I reject that offer, sorry."],
        ["~We are glad to accept the offer.", "~What does the offer include?"],
    ),
    (
        "A password is visible on the screen",
        ["Terminal | export DB_PASSWORD=hunter2", "Notes | Logins | Password: tulip-44"],
        ["Settings | Language | Time zone", "Notes | Shopping | milk, bread"],
    ),
    (
        "The temperature is below 10 degrees",
        ["Weather | Oslo | Temperature 4 degrees | snow", "Sensor | greenhouse | temperature 7.5 degrees"],
        ["Weather | Rome | Temperature 27 degrees | sunny", "Sensor | greenhouse | temperature 18 degrees"],
    ),
    (
        "Somebody joins the call",
        ["Zoom | Maria joined the meeting", "Meet | Tom has joined the call"],
        ["Zoom | Maria left the meeting", "Meet | Tom has left the call"],
    ),
    (
        "Tests are failing",
        ["pytest | 3 failed, 40 passed", "CI | test-unit | failing after 2m"],
        ["pytest | 43 passed", "CI | test-unit | no failing tests", "~The test drive was wonderful."],
    ),
    (
        "Someone talks about hiring a new engineer",
        [
            "~We want to hire one more backend engineer this spring.",
            "~There are three candidates for the developer position.",
        ],
        ["~We had to fire two engineers this spring.", "~There are three candidates in the election."],
    ),
    (
        "An error 404 is shown",
        ["Browser | 404 Not Found | nginx", "Chrome | Error 404 | This page does not exist"],
        ["Browser | 500 Internal Server Error | nginx", "Chrome | Error 503 | Service unavailable"],
    ),
    (
        "The database connection was lost",
        [
            "psql | server closed the connection unexpectedly | connection lost",
            "App | Lost connection to the database, retrying",
        ],
        ["psql | connected to database prod", "App | Database connection restored"],
    ),
    (
        "A new version was released",
        ["GitHub | Releases | v3.0.0 | Latest release", "~We released version three this morning."],
        ["~We have not released the new version yet.", "~The prisoners were released this morning."],
    ),
    (
        "The screen shows a login page",
        ["Bank | Sign in | Email | Password | Forgot password?", "Portal | Log in to continue | User name"],
        ["Bank | Accounts | Balance 1,204.55", "Portal | You are logged out | Goodbye"],
    ),
    (
        "Somebody asks a question about pricing",
        ["~How much does the professional plan cost?", "~What is the price for fifty seats?"],
        ["~How long does the installation take?", "~What is the colour of the seats?"],
    ),
    (
        "The invoice is overdue",
        ["Billing | Invoice 1043 | Overdue by 12 days", "Mail | Reminder: your invoice is past due"],
        ["Billing | Invoice 1043 | Paid on 3 May", "Mail | Your invoice is ready"],
    ),
    (
        "A security vulnerability was found",
        [
            "Dependabot | CVE-2026-1181 | High severity vulnerability found",
            "~They found a security hole in the login form.",
        ],
        ["Dependabot | No vulnerabilities found", "~The security guard found my wallet."],
    ),
    (
        "The user is watching YouTube",
        ["YouTube | How to bake bread | 1.2M views | Subscribe", "YouTube - Lo-fi beats | Live now"],
        ["Vimeo | How to bake bread | 3k plays", "Netflix | Continue watching"],
    ),
    (
        "Memory usage exceeds 8 GB",
        ["Activity Monitor | Memory used: 14.2 GB", "Task Manager | Memory 11 GB"],
        ["Activity Monitor | Memory used: 3.4 GB", "Task Manager | Memory 6 GB"],
    ),
    (
        "Someone is angry or upset",
        [
            "~I am really angry about this, it is unacceptable!",
            "~Honestly I am very upset with your service.",
        ],
        ["~I am really happy about this, it is wonderful!", "~Honestly I am very pleased with your service."],
    ),
    (
        "The backup completed",
        ["Backup | Nightly | Completed at 02:14", "Veeam | Job finished | Backup successful"],
        ["Backup | Nightly | Failed at 02:14", "Veeam | Backup running 34%"],
    ),
    (
        "A competitor is mentioned, such as Globex",
        [
            "~They are comparing us with Globex at the moment.",
            "~Globex offered them the same thing for less.",
        ],
        ["~They are comparing two colours at the moment.", "~Our own team offered them the same thing."],
    ),
    (
        "The battery is low",
        ["Low battery | 5% remaining | Plug in your Mac", "~My battery is nearly empty, I need a charger."],
        ["Battery 100% | Fully charged", "~My calendar is nearly empty today."],
    ),
    (
        "The user shares the screen",
        ["Zoom | You are screen sharing | Stop share", "~I will share my screen now."],
        ["Zoom | You stopped screen sharing", "~I will share my lunch with you."],
    ),
    (
        "A patient reports chest pain",
        [
            "~I have had this pressure in my chest since the morning, it hurts.",
            "~My chest hurts when I climb the stairs.",
        ],
        ["~I have no pain in my chest at all.", "~My knee hurts when I climb the stairs."],
    ),
    (
        "Sales increased",
        ["Dashboard | Sales up 14% on last month", "~Our sales rose sharply in the second quarter."],
        ["Dashboard | Sales down 9% on last month", "~Our sales fell sharply in the second quarter."],
    ),
    (
        "A file was deleted",
        ["Explorer | report.docx was deleted", "Terminal | rm report.txt | removed 'report.txt'"],
        ["Explorer | report.docx was created", "Terminal | touch report.txt | saved"],
    ),
    (
        "The meeting is over",
        [
            "~That is it for today, thanks everyone, bye bye.",
            "Zoom | The host has ended this meeting",
        ],
        ["~Good morning everyone, let us get started with the meeting.", "Zoom | The meeting has started"],
    ),
    (
        "A network timeout occurs",
        ["curl | Connection timed out after 30001 ms", "App | Request timeout | check your network"],
        ["curl | 200 OK | 0.2 s", "~Let us take a time out, I need a coffee."],
    ),
    (
        "Somebody promises to send a document",
        [
            "~I will send you the contract this afternoon.",
            "~You will have the slides in your inbox tomorrow, I promise.",
        ],
        ["~I have received the contract, thank you.", "~I will call you this afternoon."],
    ),
    (
        "The pipeline is blocked or waiting for approval",
        [
            "GitLab | deploy | waiting for manual approval",
            "Actions | release | Review pending: approval needed",
        ],
        ["GitLab | deploy | approved and running", "Actions | release | success"],
    ),
    (
        "The alarm went off in the warehouse",
        ["~The warehouse alarm just went off.", "Security | Warehouse 2 | ALARM TRIGGERED"],
        ["~The warehouse is quiet and the alarm is off.", "Security | Warehouse 2 | No alarms"],
    ),
    (
        "Stock price falls under 50 dollars",
        ["Ticker | ACME | 47.20 dollars | -3%", "~The stock fell to forty-eight, that is 48 dollars."],
        ["Ticker | ACME | 71.90 dollars | +3%", "Ticker | ACME | 66.00 dollars"],
    ),
    (
        "A bug was fixed",
        ["GitHub | Issue 31 | Fixed in 2.1 | closed", "~I fixed that bug in the parser last night."],
        [
            "GitHub | Issue 31 | Bug: parser crashes | open",
            "~I could not fix that bug in the parser.",
            "~The prices are fixed until June.",
        ],
    ),
    (
        "The budget was approved",
        ["~The board approved the budget this morning.", "Mail | Re: Budget 2027 | Approved, go ahead"],
        [
            "~If the budget were approved we could start hiring.",
            "~Was the budget approved?",
            "~The budget might be approved next week.",
        ],
    ),
    (
        "The car is at the garage",
        ["~My car is at the garage for the brakes.", "~They are repairing my car at the workshop today."],
        ["~Should I bring the car to the garage?", "~My car would be at the garage if they had time."],
    ),
    (
        "Somebody quits the project",
        ["~Sorry, but I am quitting the project.", "Slack - core | Kim: I step back from the project today"],
        ["~Would you ever quit the project?", "~Nobody quits the project.", "~I quit smoking last year."],
    ),
    (
        "The website is slow",
        ["~The website is terribly slow today.", "~Our pages take ages to load."],
        [
            "~If the website gets slow, call me.",
            "~The website is really fast now.",
            "~Slow down, I cannot follow.",
        ],
    ),
    (
        "The printer is out of paper",
        ["Printer | Tray 2 empty | Load paper", "~The printer has run out of paper again."],
        [
            "Printer | Ready | Tray 2 full",
            "~I wrote a paper about printers.",
            "~Has the printer run out of paper?",
        ],
    ),
    (
        "The stock is less than 20 units",
        ["SAP | Chair, oak | In stock: 4 units", "Inventory | stock 17 | reorder"],
        [
            "SAP | Chair, oak | In stock: 240 units",
            "Inventory | stock 55 | ok",
            "Inventory | sold 12 | stock 80",
        ],
    ),
    (
        "More than 100 users are online",
        ["Admin | Users online: 342", "Dashboard | 118 users online | 4 regions"],
        ["Admin | Users online: 12", "Dashboard | 54 users online | 200 registered", "Admin | 342 invoices"],
    ),
    (
        "A student failed the exam",
        ["~Three students failed the exam.", "Moodle | Exam: not passed | Retake in May"],
        ["~Everybody passed the exam.", "~What happens if a student fails the exam?", "~The brakes failed."],
    ),
    (
        "Peter talks about money",
        ["Slack - finance | Peter: we need more money", "~Peter here: the money is tight this year."],
        ["Slack - finance | Olga: we need more money", "Slack - finance | Peter: see you at noon"],
    ),
    (
        "The supplier raised the prices",
        [
            "~Our supplier has put the prices up by six percent.",
            "Mail | New price list | Prices increase from May",
        ],
        [
            "~Our supplier has cut the prices by six percent.",
            "~The supplier could raise the prices next year.",
            "~We raised our hands.",
        ],
    ),
    (
        "A calendar invitation was declined",
        ["Outlook | Declined: Design review", "Calendar | Tom declined your invitation"],
        ["Outlook | Accepted: Design review", "Calendar | Tom accepted your invitation", "~Sales declined."],
    ),
    (
        "The user is in a terminal",
        ["Terminal | $ ls -la | total 48", "bash | root@web-1:~# systemctl status nginx"],
        ["Maps | Airport, terminal 2 | Gate B", "Word | Letter | Page 1"],
    ),
    (
        "Rain is expected",
        ["Weather | Tomorrow | Heavy rain | 90 %", "~They say that it will pour this afternoon."],
        ["Weather | Tomorrow | Sunny | 0 %", "~There will be no rain this week.", "~It rained last night."],
    ),
    (
        "The elevator is broken",
        ["~The lift is out of order again.", "Facility | Elevator B | Fault | Technician called"],
        [
            "~The elevator has been repaired.",
            "~If the elevator breaks, take the stairs.",
            "~My phone is broken.",
        ],
    ),
]
