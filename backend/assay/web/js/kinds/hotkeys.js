import { make } from "../dom.js";

// Which key chooses which name: the name itself where all are single characters (digits, letters), else 1 to 9, 0.
export const hotkeys = (names) => {
  const keys = names.map((name) => name.toLowerCase());
  const single = keys.every((key) => /^[\p{L}\p{N}]$/u.test(key)) && new Set(keys).size === keys.length;
  return single ? keys : names.map((_, i) => (i < 10 ? String((i + 1) % 10) : null));
};

// The key beside its name, for the eye; `aria-keyshortcuts` tells it to others. Null where there is none.
export const keyHint = (key) => (key === null ? null : make("kbd", { "aria-hidden": "true" }, key));
