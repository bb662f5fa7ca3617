from workers.describing.speech import Said, cut_sentences, cut_words, describe_speech, joined


def words(text: str) -> list[Said]:
    return [Said(word, 100 * number, 100 * number + 90) for number, word in enumerate(text.split())]


def test_segments_of_words_lose_none_and_leave_no_crumbs() -> None:
    spoken = words("one two three four five six seven eight nine ten eleven twelve")
    assert [len(part) for part in cut_words(spoken, 10)] == [12]
    assert [len(part) for part in cut_words(spoken, 5)] == [5, 7]
    assert [len(part) for part in cut_words(spoken, 8)] == [8, 4]
    assert [word for part in cut_words(spoken, 5) for word in part] == spoken
    assert cut_words([], 5) == []


def test_sentences_of_an_utterance() -> None:
    spoken = words('We met. "Did you call?" Not yet')
    assert [one.text for one in cut_sentences(spoken)] == ["We met.", '"Did you call?"', "Not yet"]
    assert joined(spoken) == Said('We met. "Did you call?" Not yet', 0, 690)


def test_a_short_segment_is_told_as_it_was_said() -> None:
    described = describe_speech(Said("We agreed on Friday. You need to call them.", 0, 1), None)
    assert described.text == "We agreed on Friday. You need to call them."
    assert described.details["decisions"] == ["We agreed on Friday."]
    assert described.details["actions"] == ["You need to call them."]


def test_of_a_long_segment_what_was_asked_for_and_what_was_decided() -> None:
    chatter = "The weather was lovely and the drive was long but pleasant all the way through. "
    text = chatter * 3 + "The budget is two million. " + chatter * 2 + "We decided to hire Anna."

    def closeness(texts):  # type: ignore[no-untyped-def]
        return [0.9 if "budget" in text else 0.0 for text in texts]

    described = describe_speech(Said(text, 0, 1), closeness)
    assert "The budget is two million." in described.text
    assert "Decision: We decided to hire Anna." in described.text
    assert described.details["said"] == text
    assert len(described.text) < len(text)
