// The transcript of a page's video: fetching it, and captions made of it.

const WORDS_IN_A_CAPTION = 10;

/** The utterances `{start, end, text, words}` of the video, times in seconds; none when there are none. */
export async function fetchUtterances(video) {
  const answer = await fetch(`${video.dataset.media}/transcript.json`);
  if (!answer.ok) return [];
  return (await answer.json()).data.utterances;
}

/** Add captions, off until the viewer turns them on in the player's own controls. */
export function addCaptions(video, utterances) {
  if (!utterances.length) return;
  const track = video.addTextTrack("captions", "Captions");
  track.mode = "disabled";
  for (const { start, end, text, words } of utterances) {
    if (!words.length) track.addCue(new VTTCue(start, end, escaped(text)));
    for (let first = 0; first < words.length; first += WORDS_IN_A_CAPTION) {
      const shown = words.slice(first, first + WORDS_IN_A_CAPTION);
      const line = shown.map((word) => word.text).join(" ");
      track.addCue(new VTTCue(shown[0].start, shown.at(-1).end, escaped(line)));
    }
  }
}

/** WebVTT reads `<` and `&` as markup. */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** The last of `spans`, which are in order of `start`, that has begun at `seconds`; -1 before the first. */
export function lastBegun(spans, seconds) {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle].start <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
