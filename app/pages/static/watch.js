// The page at /watch.

import { clock } from "./clock.js";
import { playPage } from "./play.js";
import { showTranscript } from "./transcript.js";
import { addCaptions, fetchUtterances } from "./words.js";

const captured = document.querySelector("time");
if (captured.dateTime) {
  const at = new Date(captured.dateTime);
  captured.textContent = at.toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
  captured.hidden = false;
}

const video = await playPage();

/** This page's address, starting at `seconds`. */
function linkAt(seconds) {
  const link = new URL(location.href);
  link.searchParams.set("t", seconds.toFixed(1));
  return link.href;
}

function seek(seconds) {
  video.currentTime = seconds;
  history.replaceState(null, "", linkAt(seconds));
  video.play().catch(() => {}); // a browser may want a click on the player itself first
}

const copy = document.querySelector("#copy-link");
if (navigator.clipboard) {
  const label = () => `Copy link at ${clock(video.currentTime)}`;
  copy.hidden = false;
  video.addEventListener("timeupdate", () => (copy.textContent = label()));
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(linkAt(video.currentTime));
    copy.textContent = "Copied";
  });
}

const panel = document.querySelector(".transcript");
let addRows = null;

function showMore(said) {
  addMore(said);
  if (addRows) addRows(said);
  else addRows = showAll(said);
}

function showAll(utterances) {
  if (!utterances.length) return null;
  document.body.classList.add("has-transcript");
  return showTranscript(panel, video, utterances, seek);
}

const utterances = await fetchUtterances(video, showMore);
const addMore = addCaptions(video, utterances);
addRows = showAll(utterances);
