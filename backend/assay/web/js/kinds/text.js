// Free text, in its normal form: NFC, no white space at its ends or at the ends of its lines.
import { make } from "../dom.js";

// Python's white space; JavaScript's trim would also take U+FEFF.
const SPACE = "[\\t\\n\\v\\f\\r\\u001c-\\u001f \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const ENDS = new RegExp(`^${SPACE}+|${SPACE}+$`, "gu");
const END = new RegExp(`${SPACE}+$`, "u");

// As assay.domain.schema has it; throws what is wrong.
export const normalText = (given, maxLength) => {
  const text = given.normalize("NFC");
  const size = Array.from(text).length;
  if (size > maxLength) throw new Error(`The text has ${size} characters; at most ${maxLength} are allowed.`);
  if (!text.isWellFormed() || /[^\P{Cc}\n\t]/u.test(text)) {
    throw new Error("The text holds control characters; only line ends and tabs are allowed.");
  }
  return text.replace(ENDS, "").split("\n").map((line) => line.replace(END, "")).join("\n");
};

export const text = ({ max_length: maxLength }) => {
  const count = make("span", {});
  const area = make("textarea", {
    id: "text", rows: 5, "aria-describedby": "size", oninput: () => shown(),
  });
  const shown = () => {
    count.textContent = `${Array.from(area.value).length} of ${maxLength} characters.`;
  };
  shown();
  return {
    element: make("div", { class: "field" },
      make("label", { for: "text" }, "Your text"), area,
      make("p", { id: "size", class: "hint" }, count, " Ctrl+Enter submits; empty means that there is none.")),
    focus: () => area.focus(),
    press: () => false,
    value: () => normalText(area.value, maxLength),
  };
};
