// Items from what was chosen, dropped or pasted.
import { hex, sha256, utf8 } from "../bytes.js";
import { parseCsv } from "../csv.js";

const TEXT = "text/plain; charset=utf-8";
const TYPES = { "image/png": "image/png", "image/jpeg": "image/jpeg", "image/webp": "image/webp", "text/plain": TEXT };
const LARGEST = 16 * 2 ** 20; // bytes; the market's default

const item = async (name, media_type, blob) => ({
  name, media_type, blob, hash: hex(await sha256(new Uint8Array(await blob.arrayBuffer()))),
});

// A file's text; throws where it is none.
export const textOf = async (file) => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is no UTF-8 text.`);
  }
};

// Each file one item. {items, wrong}: `wrong` says of each that cannot be one why. `read` is told how many are read.
export const fromFiles = async (files, read) => {
  const [items, wrong] = [[], []];
  for (const file of files) {
    const type = TYPES[file.type.split(";")[0]];
    if (type === undefined) wrong.push(`${file.name} is ${file.type || "of an unknown type"}; png, jpeg, webp and text can be labeled.`);
    else if (!file.size) wrong.push(`${file.name} is empty.`);
    else if (file.size > LARGEST) wrong.push(`${file.name} has ${file.size} bytes; at most ${LARGEST} are taken.`);
    else items.push(await item(file.name, type, file.slice(0, file.size, type)));
    read(items.length + wrong.length);
  }
  return { items, wrong };
};

const fromTexts = (texts) => Promise.all(texts.map((text) => {
  const name = text.length > 40 ? `${text.slice(0, 39)}…` : text;
  return item(name, TEXT, new Blob([utf8(text)], { type: TEXT }));
}));

// Each line that is not empty one item.
export const fromLines = (text) => fromTexts(text.split(/\r\n|\r|\n/).map((one) => one.trim()).filter((one) => one));

// Each row of one column one item; a first row that says "text" is a head.
export const fromCsv = async (text) => {
  const rows = parseCsv(text);
  const wide = rows.find(({ cells }) => cells.length > 1);
  if (wide !== undefined) {
    throw new Error(`Line ${wide.line} has ${wide.cells.length} columns: give one text a line, within quotes where it has a comma.`);
  }
  const texts = rows.map(({ cells }) => cells[0].trim()).filter((one) => one);
  return fromTexts(texts[0]?.toLowerCase() === "text" ? texts.slice(1) : texts);
};

// Known answers by item from rows of item and label; an item is named by its name, its text or its number (from 1). A
// first row that says "item" is a head. Throws the line that names none.
export const knownFrom = async (text, items) => {
  const byName = new Map(items.map((one, i) => [String(i + 1), one]));
  for (const one of items) byName.set(one.name, one);
  const byHash = new Map(items.map((one) => [one.hash, one]));
  const out = new Map();
  const rows = parseCsv(text);
  if (rows[0]?.cells[0].trim().toLowerCase() === "item") rows.shift();
  for (const { line, cells } of rows) {
    if (cells.length !== 2) throw new Error(`Line ${line} has ${cells.length} columns; it needs two: item,label.`);
    const named = cells[0].trim();
    const found = byHash.get(hex(await sha256(utf8(named)))) ?? byName.get(named);
    if (found === undefined) throw new Error(`Line ${line}: there is no item “${named.slice(0, 60)}”.`);
    out.set(found, cells[1].trim());
  }
  return out;
};
