// The transcript panel: follows the video, and seeks where it is clicked.

import { clock } from "./clock.js";
import { lastBegun } from "./words.js";

/**
 * Fill `panel` with `utterances` and keep it in step with `video`; `seek` takes seconds.
 * Returns what adds those that are said later.
 */
export function showTranscript(panel, video, said, seek) {
  const list = panel.querySelector("ol");
  const back = panel.querySelector(".back");
  const utterances = [...said];
  const rows = utterances.map(makeRow);
  list.append(...rows.map((row) => row.item));
  panel.hidden = false;

  let current = -1;
  let word = -1;
  let following = true;
  rows[0].button.tabIndex = 0;

  function follow(isFollowing) {
    following = isFollowing;
    back.hidden = isFollowing || current < 0;
  }

  function reveal() {
    const { item } = rows[current];
    const top = item.offsetTop - (list.clientHeight - item.offsetHeight) / 3;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    list.scrollTo({ top, behavior: still ? "auto" : "smooth" });
  }

  function update() {
    const at = video.currentTime;
    const now = lastBegun(utterances, at);
    if (now !== current) {
      mark(rows[current]?.item, false);
      mark(rows[current]?.words[word], false);
      mark(rows[now]?.item, true);
      current = now;
      word = -1;
      if (current >= 0 && following) reveal();
    }
    if (current < 0) return;
    const { words } = utterances[current];
    const begun = lastBegun(words, at);
    const said = begun >= 0 && at < words[begun].end + 0.3 ? begun : -1;
    if (said === word) return;
    mark(rows[current].words[word], false);
    mark(rows[current].words[said], true);
    word = said;
  }

  function everyFrame() {
    update();
    if (!video.paused && !video.ended) requestAnimationFrame(everyFrame);
  }

  list.addEventListener("click", (event) => {
    const target = event.target.closest("[data-seconds]");
    if (!target || String(getSelection())) return;
    follow(true);
    seek(Number(target.dataset.seconds));
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const from = rows.findIndex((row) => row.button === document.activeElement);
    const next = rows[from + step];
    if (from < 0 || !next) return;
    event.preventDefault();
    rows[from].button.tabIndex = -1;
    next.button.tabIndex = 0;
    next.button.focus();
  });
  for (const kind of ["wheel", "touchmove"]) {
    list.addEventListener(kind, () => follow(false), { passive: true });
  }
  back.addEventListener("click", () => {
    follow(true);
    if (current >= 0) reveal();
  });
  video.addEventListener("play", everyFrame);
  for (const kind of ["seeking", "timeupdate"]) video.addEventListener(kind, update);
  update();

  /** Sounds are written down apart, so one may come that was said before another that is there. */
  return function add(later) {
    for (const utterance of later) {
      const at = lastBegun(utterances, utterance.start) + 1;
      const row = makeRow(utterance);
      if (rows[at]) rows[at].item.before(row.item);
      else list.append(row.item);
      utterances.splice(at, 0, utterance);
      rows.splice(at, 0, row);
      if (at <= current) current += 1;
    }
    update();
  };
}

function makeRow({ start, text, words }) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.tabIndex = -1; // one row is in the tab order at a time; the arrow keys move between them
  button.dataset.seconds = start;
  button.textContent = clock(start);
  button.setAttribute("aria-label", `Play from ${clock(start)}`);
  const line = document.createElement("p");
  const spans = words.map((word) => {
    const span = document.createElement("span");
    span.dataset.seconds = word.start;
    span.textContent = word.text;
    return span;
  });
  if (spans.length) line.append(...spans.flatMap((span) => [span, " "]));
  else {
    line.dataset.seconds = start;
    line.textContent = text;
  }
  item.append(button, line);
  return { item, button, words: spans };
}

function mark(element, isCurrent) {
  if (!element) return;
  if (isCurrent) element.setAttribute("aria-current", "true");
  else element.removeAttribute("aria-current");
}
