"""English words that turn a sentence's meaning around, and those that carry none."""

STOP_WORDS = frozenset(
    """
    a an the of in on at to for with by from into as and or but is are was were be been being it its this that
    these those there their his her our your my we you they he she i me us them do does did has have had will
    would can could should may might must just some any about than then so if when while which who what how
    somebody someone anyone something anything
    """.split()  # noqa: SIM905
)
NEGATORS = frozenset("no not never without zero 0 none nothing neither nor hardly cannot".split())  # noqa: SIM905
# After a negator: "not only", "no doubt" and "no longer" deny something else, or nothing.
DENIES_NOTHING = frozenset(("only", "doubt", "matter", "later", "idea"))

# An axis a line, its two sides apart: a rule on one side is not met by a text that is on the other alone.
_OPPOSITES = """
succeed succeeds success successful successfully succeeded pass passed passes passing green ok okay healthy
fixed resolved works working valid clean complete completed finished done
| fail failed fails failing failure failures error errors broken broke crash crashed crashes exception red
aborted invalid unhealthy fatal;
start started starts begin began begins resumed running launched | stop stopped stops ended halted paused;
open opened opens reopened | close closed closes shut;
up online connected available reachable reconnected restored
| down offline disconnected unavailable unreachable outage lost;
increase increased rise rises rose growing grew grow exceeded higher up climbed gained surged
| decrease decreased drop drops dropped fall falls fell decline declined lower down shrank lost;
approve approved approves accept accepted agree agreed allowed granted
| reject rejected rejects declined denied refuse refused disagree;
join joined joins arrived entered | leave leaves left exited quit;
enable enabled | disable disabled;
on | off;
lock locked | unlock unlocked;
add added | remove removed;
create created | delete deleted;
sent send sends | received receive;
install installed | uninstall uninstalled;
buy bought purchase | sell sold;
win won wins | lose lost loses;
merge merged | reverted;
full charged | empty;
low lower lowest | high higher highest full charged;
mute muted | unmute unmuted;
public | private;
upload uploaded | download downloaded;
renew renewed subscribe | cancel cancelled canceled unsubscribe;
hire hired | fire fired;
early ahead | late delayed behind;
paid | unpaid overdue;
happy satisfied pleased | unhappy angry dissatisfied frustrated upset;
cheap cheaper | expensive;
faster fast quick | slow slower sluggish;
triggered ringing | quiet silent
"""


def _sides() -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for axis, line in enumerate(_OPPOSITES.split(";")):
        for side, words in zip((1, -1), line.split("|"), strict=True):
            for word in words.split():
                found.setdefault(word, []).append((axis, side))
    return found


# Of a word: the axes that it is on, and on which side.
SIDES = _sides()
