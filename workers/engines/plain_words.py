"""English words that name nothing in particular: a model may use them whatever the evidence is."""

CONNECTING = frozenset(
    """
    a an the of in on at to for with by from into onto as and or but nor so yet if then than that this
    these those there here it its they them their he him his she her hers we us our you your i me my who
    whom whose which what when where why how is are was were be been being am do does did done has have
    had having will would can could should shall may might must not no none nothing nobody never neither
    either both each every all any some someone somebody something anyone anything everyone everything one
    once more most less least other another also only just still already again now later before after
    during while since until because although though however therefore meanwhile instead about above below
    over under between within without through up down out off very too much many few several such same own
    overall first second third next last finally currently according regarding based per via
    """.split()  # noqa: SIM905
)
# What screens and talks consist of, and what is done there.
GENERIC = frozenset(
    """
    screen screens display desktop window windows application applications app apps program page pages tab
    tabs title heading headings line lines text content list table item items field form menu button
    dialog message messages file files folder document editor terminal browser website site web image
    picture video audio section header footer panel sidebar view user users person people speaker speakers
    participant participants team group meeting call conversation discussion topic topics decision
    decisions action actions task tasks question questions answer summary evidence error errors warning
    warnings information details show shows shown showing display displays displayed displaying contain
    contains containing include includes including appear appears appeared visible see seen read reads
    reading written list lists listed listing open opened change changes changed new say says said saying
    talk talks talked speak speaks spoke mention mentions mentioned discuss discusses discussed discussing
    describe describes described decide decides decided agree agrees agreed plan plans planned ask asks
    asked state states stated report reports reported indicate indicates indicated titled labelled labeled
    headed remain remains unchanged yes url urls id ids ok pdf ui gui api
    """.split()  # noqa: SIM905
)
_TO_TWENTY = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: str(number) for number, word in enumerate(_TO_TWENTY.split(), 2)} | {
    word: str(number * 10) for number, word in enumerate(_TENS.split(), 3)
}
