"""English words that turn a sentence's meaning around, and those that carry none."""

STOP_WORDS = frozenset(
    """
    a an the of in on at to for with by from into as and or but is are was were be been being it its this that
    these those there their his her our your my we you they he she i me us them do does did has have had will
    would can could should may might must just some any about than then so if when while which who what how
    somebody someone anyone something anything
    """.split()  # noqa: SIM905
)
NEGATORS = frozenset("no not never without zero 0 none nothing nobody neither nor hardly cannot".split())  # noqa: SIM905
# After a negator: "not only", "no doubt" and "no longer" deny something else, or nothing.
DENIES_NOTHING = frozenset(("only", "doubt", "matter", "later", "idea"))

# An axis a line, its two sides apart: a rule on one side is not met by a text that is on the other alone.
_OPPOSITES = """
succeed succeeds success successful successfully succeeded pass passed passes passing green ok okay healthy
fixed resolved repaired works working valid clean complete completed finished done
| fail failed fails failing failure failures error errors broken broke crash crashed crashes exception red
aborted invalid unhealthy fatal declined denied rejected unsuccessful;
complete completed finished done ended closed
| running pending waiting ongoing progress unfinished incomplete started begun began starts starting;
start started starts begin began begins resumed running launched | stop stopped stops ended halted paused;
open opened opens reopened | close closed closes shut;
up online connected available reachable reconnected restored
| down offline disconnected unavailable unreachable outage lost;
increase increased rise rises rose growing grew grow exceeded higher up climbed gained surged raise
raised raises
| decrease decreased drop drops dropped fall falls fell decline declined lower lowered down shrank lost cut
reduced;
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
full charged ready | empty;
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
triggered ringing rings | quiet silent;
allow allowed allows permitted | block blocked blocks forbidden prevented denied;
arrive arrived arrives delivered | depart departed departs lost missing;
gain gained | lose lost;
remember remembered | forget forgot forgotten;
love loves loved like likes liked | hate hates hated dislike dislikes disliked;
good great excellent perfect wonderful fantastic | bad poor terrible awful horrible;
confirm confirmed confirms | deny denied denies;
present | absent missing;
visible shown | hidden invisible;
safe secure | unsafe insecure dangerous;
import imported | export exported;
push pushed | pull pulled;
encrypt encrypted | decrypt decrypted unencrypted;
active activated | inactive deactivated;
hot warm | cold cool;
rich | poor;
win won | lose lost;
begin opening | end ending;
more | fewer less;
maximum | minimum;
agree agreed agrees accept accepts accepted | disagree disagrees disagreed refuse refused reject rejected
"""

# Of two words what one says alone: their particle means nothing by itself, or something else.
PHRASES = {
    "went off": "triggered",
    "goes off": "triggered",
    "go off": "triggered",
    "sit down": "sit",
    "calm down": "calm",
    "write down": "write",
    "turn off": "disabled",
    "turned off": "disabled",
    "turn on": "enabled",
    "turned on": "enabled",
    "log out": "logout",
    "logged out": "logout",
    "log in": "login",
    "sign in": "login",
    "out of order": "broken",
    "run out of": "empty",
    "ran out of": "empty",
    "put up": "raised",
    "put down": "lowered",
    "is over": "ended",
    "was over": "ended",
    "are over": "ended",
    "set up": "arrange",
    "no longer": "not",
}
# A text with one of these says what might be, not what is.
SUPPOSING = frozenset("if would could might may should whether unless maybe perhaps".split())  # noqa: SIM905
# A rule with one of these asks for all of what it names.
UNIVERSAL = frozenset("all every each fully completely everything everybody everyone".split())  # noqa: SIM905


def _sides() -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for axis, line in enumerate(_OPPOSITES.split(";")):
        for side, words in zip((1, -1), line.split("|"), strict=True):
            for word in {form for listed in words.split() for form in _forms(listed)}:
                found.setdefault(word, []).append((axis, side))
    return found


def _forms(word: str) -> set[str]:
    """The word, and the present of a past: "declined" and "decline", "declines", "declining"."""
    if not word.endswith("ed"):
        return {word}
    return {word, word[:-2], word[:-1], f"{word[:-2]}s", f"{word[:-1]}s", f"{word[:-2]}ing"}


# Of a word: the axes that it is on, and on which side.
SIDES = _sides()
