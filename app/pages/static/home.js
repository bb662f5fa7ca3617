// The home page: asks again and again whether the server is ready.

const ASK_AGAIN_MILLISECONDS = 5000;
const NAMES = { database: "Database", broker: "Message broker", worker: "Worker" };
const list = document.querySelector(".checks");
let shown = "";

async function ask() {
  try {
    const answer = await fetch("readyz", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    // What is told beside the checks, as counts, is no state of a part.
    const parts = Object.entries((await answer.json()).data).filter(([, state]) => typeof state === "string");
    return [["Web server", "ok"], ...parts.map(([part, state]) => [NAMES[part] ?? part, state])];
  } catch {
    return [["Web server", "does not answer"]];
  }
}

async function show() {
  const states = await ask();
  // Rewritten only when something has changed: a screen reader says every change.
  const now = JSON.stringify(states);
  if (now !== shown) {
    list.replaceChildren(...states.map(([name, state]) => row(name, state)));
    shown = now;
  }
  setTimeout(show, ASK_AGAIN_MILLISECONDS);
}

function row(name, state) {
  const item = document.createElement("li");
  item.className = state === "ok" ? "ok" : "problem";
  const label = document.createElement("span");
  label.textContent = name;
  const word = document.createElement("span");
  word.textContent = state === "ok" ? "ready" : state;
  item.append(label, word);
  return item;
}

const told = document.body.dataset.baseUrl;
const reached = new URL(".", location.href).href.replace(/\/$/, "");
if (told !== reached.replace("//localhost", "//127.0.0.1") && told !== reached) {
  const note = document.querySelector("#other-address");
  note.textContent =
    `You came here by ${reached}, but the server believes that it is at ${told}, and gives that address` +
    " to its clients. Set CAPTURE_PUBLIC_URL to the address that clients can reach.";
  note.hidden = false;
}
show();
