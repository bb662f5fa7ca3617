// The transcript of a page's video: fetching it, and captions made of it.

const WORDS_IN_A_CAPTION = 10;

const FOLLOW_MS = 2_000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * The utterances `{start, end, text, words}` of the video, times in seconds; none when there are none.
 * `more` is called with those that are said later, while the video is live.
 */
export async function fetchUtterances(video, more) {
  const first = await ask(video, null);
  if (!first) return [];
  if (first.live && more) follow(video, first, more);
  return first.utterances;
}

async function ask(video, cursor) {
  const address = `${video.dataset.media}/transcript.json`;
  const answer = await fetch(cursor ? `${address}?cursor=${cursor}` : address);
  return answer.ok ? (await answer.json()).data : null;
}

/** Ask again and again until nothing more will be said; one failure only makes the pause longer. */
async function follow(video, first, more) {
  const known = new Set(first.utterances.map(key));
  let { cursor } = first;
  let pause = FOLLOW_MS;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (document.hidden) continue;
    const said = await ask(video, cursor).catch(() => null);
    pause = said ? FOLLOW_MS : Math.min(2 * pause, LONGEST_PAUSE_MS);
    if (!said) continue;
    cursor = said.cursor;
    // A cursor lies a little before what was said last: words of different sounds overtake each other.
    const unknown = said.utterances.filter((utterance) => !known.has(key(utterance)));
    unknown.forEach((utterance) => known.add(key(utterance)));
    if (unknown.length) more(unknown);
    if (!said.live) return;
  }
}

function key({ start, text }) {
  return `${start} ${text}`;
}

/** Captions, off until the viewer turns them on in the player's own controls; returns what adds to them. */
export function addCaptions(video, utterances) {
  let track = null;
  const add = (said) => {
    if (!said.length) return;
    if (!track) {
      track = video.addTextTrack("captions", "Captions");
      track.mode = "disabled";
    }
    for (const { start, end, text, words } of said) {
      if (!words.length) track.addCue(new VTTCue(start, end, escaped(text)));
      for (let first = 0; first < words.length; first += WORDS_IN_A_CAPTION) {
        const shown = words.slice(first, first + WORDS_IN_A_CAPTION);
        const line = shown.map((word) => word.text).join(" ");
        track.addCue(new VTTCue(shown[0].start, shown.at(-1).end, escaped(line)));
      }
    }
  };
  add(utterances);
  return add;
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
