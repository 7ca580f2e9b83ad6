// How answers of each kind are entered. A form is {element, value, focus, press}: `value()` gives the answer in the
// normal form of docs/protocol.md ("Answers"), which is what is signed, or throws what is missing; `press(key)` takes
// a key that was pressed outside a text field and says whether it meant anything.
import { choice } from "./choice.js";
import { multiChoice } from "./multi.js";
import { number } from "./number.js";
import { ranking } from "./ranking.js";
import { text } from "./text.js";

export const FORMS = { choice, "multi-choice": multiChoice, number, ranking, text };

// Kinds by their number on chain; 7 stands for several.
export const KINDS = ["choice", "multi-choice", "number", "ranking", "text", "boxes", "mask", "other"];

export const canAnswer = (kind) => KINDS[kind] in FORMS;
