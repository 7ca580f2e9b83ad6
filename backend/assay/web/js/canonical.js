// Canonical JSON (docs/protocol.md, "Signed messages"): the bytes whose sha256 a signature stands for. It must give the
// very bytes of assay.domain.canonical, so what that refuses is refused here: floats, lone surrogates, doubled keys.
import { sha256, utf8 } from "./bytes.js";

// JavaScript compares UTF-16 units, which puts U+E000 to U+FFFF behind what lies beyond the basic plane.
const byCodePoint = (a, b) => {
  const left = Array.from(a, (char) => char.codePointAt(0));
  const right = Array.from(b, (char) => char.codePointAt(0));
  for (let i = 0; i < Math.min(left.length, right.length); i += 1) {
    if (left[i] !== right[i]) return left[i] - right[i];
  }
  return left.length - right.length;
};

const string = (text) => {
  if (!text.isWellFormed()) throw new Error("The text holds half of a surrogate pair.");
  return JSON.stringify(text.normalize("NFC"));
};

const object = (value) => {
  const named = Object.entries(value).map(([name, item]) => [name.normalize("NFC"), item]);
  named.sort(([a], [b]) => byCodePoint(a, b));
  named.forEach(([name], i) => {
    if (i > 0 && named[i - 1][0] === name) throw new Error(`The key ${name} stands twice.`);
  });
  return `{${named.map(([name, item]) => `${string(name)}:${text(item)}`).join(",")}}`;
};

const text = (value) => {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return string(value);
  if (Number.isSafeInteger(value)) return String(value);
  if (typeof value === "number") throw new Error(`${value} is no whole number; measurements are decimal strings.`);
  if (Array.isArray(value)) return `[${value.map(text).join(",")}]`;
  if (typeof value === "object") return object(value);
  throw new Error(`JSON has no ${typeof value}.`);
};

export const dumps = (value) => utf8(text(value));

export const digest = (value) => sha256(dumps(value));
