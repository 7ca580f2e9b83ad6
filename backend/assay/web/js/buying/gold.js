// Known answers, and how a specification commits to them (docs/protocol.md, "Answers"): only who has the salts can tell
// what was committed to.
import { digest } from "../canonical.js";
import { concat, hex, sha256, unhex, utf8 } from "../bytes.js";
import { normalNumber } from "../kinds/number.js";
import { normalText } from "../kinds/text.js";

const TAG_GOLD = utf8("assay-gold-v1\0\0\0");

export const newSalt = () => hex(crypto.getRandomValues(new Uint8Array(32)));

const oneOf = (given, names) => {
  const name = given.trim().normalize("NFC");
  if (!names.includes(name)) throw new Error(`“${name}” is none of ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", …" : ""}.`);
  return name;
};

const parts = (given, names) => {
  const found = given.split(";").filter((one) => one.trim()).map((one) => oneOf(one, names));
  if (new Set(found).size !== found.length) throw new Error("A name stands twice.");
  return found;
};

const VALUES = {
  choice: (given, { classes }) => oneOf(given, classes),
  "multi-choice": (given, { classes, min, max }) => {
    const chosen = parts(given, classes);
    if (chosen.length < min || chosen.length > max) throw new Error(`${chosen.length} named; ${min} to ${max} apply.`);
    return classes.filter((one) => chosen.includes(one));
  },
  number: (given, schema) => normalNumber(given, schema),
  ranking: (given, { items }) => {
    const ranked = parts(given, items);
    if (ranked.length < items.length) throw new Error(`${ranked.length} of ${items.length} are ranked.`);
    return ranked;
  },
  text: (given, { max_length: maxLength }) => normalText(given, maxLength),
};

// What a known answer looks like as it is entered; null: as its name says.
export const HOW = {
  "multi-choice": "the classes that apply with semicolons between: cat; dog",
  ranking: "all of them, best first, with semicolons between: red; blue",
};

// The answer that a text stands for, in the normal form of its kind. Throws what is wrong.
export const knownAnswer = (kind, schema, given) => ({ value: VALUES[kind](given, schema) });

const node = (left, right) => sha256(concat(Uint8Array.of(1), left, right));

// The root (hexadecimal) over labels {index, label, salt}, in order of index, as assay.domain.work.commit_gold has it.
export const goldRoot = async (labels) => {
  let row = await Promise.all(labels.map(async ({ index, label, salt }) => {
    const at = new Uint8Array(4);
    new DataView(at.buffer).setUint32(0, index, true);
    return sha256(concat(Uint8Array.of(0), TAG_GOLD, at, await digest(label), unhex(salt)));
  }));
  while (row.length & (row.length - 1)) row.push(new Uint8Array(32)); // up to a power of two
  while (row.length > 1) {
    row = await Promise.all(Array.from({ length: row.length / 2 }, (_, i) => node(row[2 * i], row[2 * i + 1])));
  }
  return hex(row[0]);
};
