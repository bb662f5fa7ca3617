// Plays a page's video: hls.js where the browser has Media Source Extensions, Safari by itself.

import { startSeconds } from "./clock.js";

const LIVE_EDGE = -1; // as hls.js has it
// A server holds the answer to a playlist until more of it is there, for some seconds.
const LIVE_PLAYLIST = {
  maxTimeToFirstByteMs: 30_000,
  maxLoadTimeMs: 40_000,
  timeoutRetry: { maxNumRetry: 4, retryDelayMs: 0, maxRetryDelayMs: 0 },
  errorRetry: { maxNumRetry: 20, retryDelayMs: 500, maxRetryDelayMs: 4_000 },
};
const RESTART_MS = 1_000;
const LONGEST_RESTART_MS = 30_000;
const PLAYLIST_TYPE = "application/vnd.apple.mpegurl";

/** Start to load the page's video at the moment that its address names; failures are shown below it. */
export async function playPage() {
  const video = document.querySelector("video");
  const url = `${video.dataset.media}/stream.m3u8`;
  // The very end would show nothing but a finished player; what is live starts at its newest.
  const last = Math.max(0, Number(video.dataset.seconds) - 0.1);
  const otherwise = video.dataset.live ? LIVE_EDGE : 0;
  const from = Math.min(startSeconds(otherwise), last);
  const isApple = navigator.vendor.startsWith("Apple");
  if (isApple && video.canPlayType(PLAYLIST_TYPE)) {
    playNatively(video, url, from);
    return video;
  }
  try {
    const Hls = await loadHls();
    if (Hls.isSupported()) playWithHls(Hls, video, url, from);
    else if (video.canPlayType(PLAYLIST_TYPE)) playNatively(video, url, from);
    else showFailure("This browser cannot play HLS video.");
  } catch {
    showFailure("The player could not be loaded. Try again in a moment.");
  }
  return video;
}

function playNatively(video, url, from) {
  video.addEventListener("error", () => showFailure("This could not be played. Try again in a moment."));
  if (from !== LIVE_EDGE)
    video.addEventListener("loadedmetadata", () => (video.currentTime = from), { once: true });
  video.src = url;
}

function playWithHls(Hls, video, url, from) {
  // Media is fragmented MP4 already: there is nothing for a worker to do.
  const live = video.dataset.live
    ? { lowLatencyMode: true, playlistLoadPolicy: { default: LIVE_PLAYLIST } }
    : {};
  let restarts = 0;
  video.addEventListener("timeupdate", () => {
    if (restarts && !video.paused) hideFailure();
  });

  function start(position) {
    const hls = new Hls({ enableWorker: false, startPosition: position, ...live });
    let recovered = false;
    hls.on(Hls.Events.FRAG_BUFFERED, () => (restarts = 0));
    hls.on(Hls.Events.ERROR, (_, error) => {
      if (!error.fatal) return;
      if (error.type === Hls.ErrorTypes.MEDIA_ERROR && !recovered) {
        recovered = true;
        hls.recoverMediaError();
        return;
      }
      hls.destroy();
      const offline = error.type === Hls.ErrorTypes.NETWORK_ERROR;
      showFailure(offline ? "The server does not send this video." : "This video could not be played.");
      // What is live goes on behind whatever went wrong, and may be back at any time.
      if (!video.dataset.live) return;
      const wait = Math.min(RESTART_MS * 2 ** restarts, LONGEST_RESTART_MS);
      restarts += 1;
      setTimeout(() => start(LIVE_EDGE), wait);
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  }

  start(from);
}

function loadHls() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("hls.min.js", import.meta.url);
    script.addEventListener("load", () => resolve(window.Hls));
    script.addEventListener("error", reject);
    document.head.append(script);
  });
}

function showFailure(message) {
  const place = document.querySelector(".failure");
  place.textContent = message;
  place.hidden = false;
}

function hideFailure() {
  document.querySelector(".failure").hidden = true;
}
