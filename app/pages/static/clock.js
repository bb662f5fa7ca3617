// Times as people read and write them.

/** Seconds as `1:02:03`, or `2:03` below an hour. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The `t` of this page's address in seconds, else `otherwise`. */
export function startSeconds(otherwise) {
  const given = Number.parseFloat(new URLSearchParams(location.search).get("t"));
  return Number.isFinite(given) && given >= 0 ? given : otherwise;
}
