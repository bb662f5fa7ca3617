// The page at /embed.

import { playPage } from "./play.js";
import { addCaptions, fetchUtterances } from "./words.js";

const video = await playPage();
const addMore = addCaptions(video, await fetchUtterances(video, (said) => addMore(said)));
