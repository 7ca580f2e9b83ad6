// From what was entered to the order that is sent: the specification in its canonical form, as assay.domain.spec makes
// it, so that the page knows by itself the hash that is signed.
import { units } from "../actions.js";
import { digest } from "../canonical.js";
import { hex } from "../bytes.js";
import { FORMS, KINDS } from "../kinds/index.js";
import { normalNumber } from "../kinds/number.js";
import { goldRoot, knownAnswer } from "./gold.js";

export const MAX_ITEMS = 100_000; // of the page: their specification is 10 MB
const UNKNOWN = `bafkrei${"a".repeat(52)}`; // in the place of a CID, where only the price is asked for
const ANY = { min: "-999999999999999999", max: "999999999999999999", decimals: 18 };
export const PREMIUM = [0, 0, 0, 0];

// Consensus methods by kind, `majority` first, as assay.domain.methods has them (a test compares them).
export const METHODS = {
  choice: ["majority", "auto", "correlated", "dawid_skene", "one_coin", "wawa", "weighted"],
  "multi-choice": ["majority", "dawid_skene", "one_coin"],
  number: ["majority", "auto", "mean", "median", "precision", "precision_bias", "robust", "robust_bias"],
  ranking: ["majority", "borda", "bradley_terry"],
  text: ["majority", "medoid", "rover"],
};

// What is wrong with what was entered: `problems` is a list of [field, what].
export class Wrong extends Error {
  constructor(problems) {
    super(problems[0][1]);
    this.problems = problems;
  }
}

export const blank = () => ({
  title: "", instructions: "", kind: "choice", classes: "", least: "0", most: "", low: "", high: "", tolerance: "0",
  decimals: "6", unit: "", ranked: "", length: "2000", alike: "80", mode: "agreement", overlap: "3", doubt: false,
  more: "9", confidence: "75", method: "majority", price: "", fee: "", rejected: "10", days: "7", tier: "0", score: "",
  mint: "", lines: "",
});

// Reads fields one by one; keeps what is wrong with each.
class Reader {
  constructor(form) {
    this.form = form;
    this.problems = [];
  }

  read(field, work) {
    try {
      return work(this.form[field]);
    } catch (error) {
      this.problems.push([field, error.message]);
      return undefined;
    }
  }

  text(field, { low = 1, high = 200, name }) {
    return this.read(field, (given) => {
      const text = given.trim().normalize("NFC");
      const size = Array.from(text).length;
      if (size < low) throw new Error(`Enter ${name}.`);
      if (size > high) throw new Error(`It has ${size} characters; at most ${high} are allowed.`);
      return text;
    });
  }

  whole(field, low, high) {
    return this.read(field, (given) => {
      const number = /^[0-9]{1,9}$/.test(given.trim()) ? Number(given) : NaN;
      if (!(number >= low && number <= high)) throw new Error(`Enter a whole number from ${low} to ${high}.`);
      return number;
    });
  }

  percent(field, low, high) {
    return this.read(field, (given) => {
      const bps = /^[0-9]{1,3}(\.[0-9]{1,2})?$/.test(given.trim()) ? Math.round(Number(given) * 100) : NaN;
      if (!(bps >= low * 100 && bps <= high * 100)) throw new Error(`Enter a percentage from ${low} to ${high}.`);
      return bps;
    });
  }

  decimal(field) {
    return this.read(field, (given) => normalNumber(given, ANY));
  }

  names(field, least) {
    return this.read(field, (given) => {
      const names = given.split("\n").map((one) => one.trim().normalize("NFC")).filter((one) => one);
      const twice = names.find((one, i) => names.indexOf(one) < i);
      const long = names.find((one) => Array.from(one).length > 200);
      if (names.length < least) throw new Error(`Enter at least ${least}, one a line.`);
      if (names.length > 1000) throw new Error(`There are ${names.length}; at most 1000 are allowed.`);
      if (twice !== undefined) throw new Error(`“${twice}” stands twice.`);
      if (long !== undefined) throw new Error(`“${long.slice(0, 20)}…” has more than 200 characters.`);
      return names;
    });
  }
}

const SCHEMAS = {
  choice: (read) => ({ classes: read.names("classes", 2) }),
  "multi-choice": (read) => {
    const classes = read.names("classes", 1);
    const count = classes?.length ?? 1000;
    const min = read.whole("least", 0, count);
    const max = read.form.most.trim() === "" ? count : read.whole("most", Math.max(min ?? 0, 1), count);
    return { classes, min, max, agreement_bps: 10_000 };
  },
  number: (read) => {
    const [min, max] = [read.decimal("low"), read.decimal("high")];
    const tolerance = read.read("tolerance", (given) => normalNumber(given, { ...ANY, min: "0" }));
    const decimals = read.whole("decimals", 0, 18);
    const unit = read.text("unit", { low: 0, high: 32 });
    if (min !== undefined && max !== undefined) {
      read.read("high", (given) => normalNumber(given, { ...ANY, min }));
      if (min === max) read.problems.push(["high", "It must be above the lowest value."]);
    }
    return { min, max, tolerance, decimals, ...(unit ? { unit } : {}) };
  },
  ranking: (read) => {
    const items = read.names("ranked", 2);
    if (items?.length > 100) read.problems.push(["ranked", "At most 100 can be ranked."]);
    return { items, agreement_bps: read.percent("alike", 1, 100) };
  },
  text: (read) => ({ max_length: read.whole("length", 1, 10_000), agreement_bps: read.percent("alike", 1, 100) }),
};

// An amount of tokens as it was entered, checked; its base units.
const amount = (read, field, decimals, least) => read.read(field, (given) => {
  const found = units(given.trim() || (least ? "" : "0"), decimals);
  if (found < least) throw new Error("Enter more than 0 tokens.");
  return found;
});

const labelsOf = (read, items, { kind, schema }) => items.flatMap((item, index) => {
  if (!item.known) return [];
  try {
    return [{ index, label: knownAnswer(kind, schema, item.known), salt: item.salt }];
  } catch (error) {
    read.problems.push(["gold", `Known answer of ${item.name}: ${error.message}`]);
    return [];
  }
});

// {order, spec, quote, labels, wanted}: the body of POST /v1/requests without its id and budget, the specification, the
// body of POST /v1/quote, the gold labels with their salts, and the terms that the signed posting must have (without
// its deadline). Throws `Wrong`. `mints`: the market's.
export const build = async (form, items, { mints }) => {
  const read = new Reader(form);
  const mint = mints.find((one) => one.mint === form.mint) ?? mints[0];
  if (!(form.kind in FORMS)) throw new Wrong([["kind", "Requests of other kinds are posted with assay.client."]]);
  const agreement = form.mode === "agreement";
  const title = read.text("title", { name: "a title" });
  const instructions = read.text("instructions", { high: 20_000, name: "what labelers should do" });
  const before = read.problems.length;
  const schema = SCHEMAS[form.kind](read);
  const fits = read.problems.length === before;
  const overlap = agreement ? read.whole("overlap", 1, 64) : 1;
  const grows = agreement && form.doubt;
  const most = grows ? read.whole("more", (overlap ?? 0) + 1, 64) : overlap;
  const confidence = grows ? read.percent("confidence", 0.01, 100) : undefined;
  const price = amount(read, "price", mint.decimals, 1n);
  const fee = amount(read, "fee", mint.decimals, 0n);
  const rejection = agreement ? 0 : read.percent("rejected", 0, 99);
  const seconds = read.read("days", (given) => {
    const found = /^[0-9]{1,3}(\.[0-9]{1,6})?$/.test(given.trim()) ? Math.round(Number(given) * 86_400) : NaN;
    if (!(found >= 60 && found <= 366 * 86_400)) throw new Error("Enter a number of days, at most 366.");
    return found;
  });
  const score = form.score.trim() === "" ? 0 : read.percent("score", 0.01, 99.4);
  if (!items.length) read.problems.push(["items", "Add what is to be labeled."]);
  if (items.length > MAX_ITEMS) read.problems.push(["items", `There are ${items.length}; at most ${MAX_ITEMS} fit.`]);
  if (form.lines.trim()) read.problems.push(["items", "There are texts that were not added yet."]);
  const labels = fits ? labelsOf(read, items, { kind: form.kind, schema }) : [];
  if (read.problems.length) throw new Wrong(read.problems);
  const tells = form.mode === "review" || form.kind === "choice";
  const spec = {
    version: 2, title, instructions, kind: form.kind, schema, mode: form.mode, overlap, assignment: "random",
    items: items.map(({ cid, media_type }) => ({ cid: cid ?? UNKNOWN, media_type })),
    consensus: { method: agreement && METHODS[form.kind].includes(form.method) ? form.method : "majority" },
    gold: null, limits: { lease_seconds: 600, ...(score ? { min_score_bps: score } : {}) },
    validation: { pay: labels.length && tells ? "information" : "equal" },
    ...(grows ? { more: { most, confidence_bps: confidence } } : {}),
  };
  const order = {
    spec, price: form.price.trim(), validation_fee: form.fee.trim() || "0", seconds, min_tier: Number(form.tier),
    premium_bps: PREMIUM, mint: mint.mint,
  };
  return {
    order: { ...order, gold: labels }, spec, labels, mint, quote: { ...order, rejection_bps: rejection },
    wanted: {
      mint: mint.mint, price, validation_fee: fee, records: items.length, overlap: most, premium_bps: PREMIUM,
      mode: agreement ? 0 : 1, kind: KINDS.indexOf(form.kind), min_tier: Number(form.tier),
    },
  };
};

// The hash of the specification with its known answers committed to, as it stands in the posting.
export const specHash = async ({ spec, labels }) => {
  const gold = labels.length ? { root: await goldRoot(labels), count: labels.length } : null;
  return hex(await digest({ ...spec, gold }));
};

// The field of the form that a field of the API's is, such as "spec.schema.classes[1]"; undefined where it is none.
const FIELDS = [
  [/^spec\.title/, "title"], [/^spec\.instructions/, "instructions"], [/^spec\.kind/, "kind"],
  [/^spec\.schema\.classes/, "classes"], [/^spec\.schema\.min/, { "multi-choice": "least", number: "low" }],
  [/^spec\.schema\.max_length/, "length"], [/^spec\.schema\.max/, { "multi-choice": "most", number: "high" }],
  [/^spec\.schema\.tolerance/, "tolerance"], [/^spec\.schema\.decimals/, "decimals"], [/^spec\.schema\.unit/, "unit"],
  [/^spec\.schema\.items/, "ranked"], [/^spec\.schema\.agreement_bps/, "alike"], [/^spec\.mode/, "mode"],
  [/^spec\.overlap/, "overlap"], [/^spec\.more\.most/, "more"], [/^spec\.more/, "confidence"],
  [/^spec\.consensus/, "method"], [/^spec\.limits\.min_score/, "score"], [/^(spec\.)?gold/, "gold"],
  [/^spec\.items/, "items"], [/^price/, "price"], [/^validation_fee/, "fee"], [/^seconds/, "days"],
  [/^min_tier/, "tier"], [/^mint/, "mint"], [/^rejection_bps/, "rejected"],
];

export const formField = (field, kind) => {
  const found = FIELDS.find(([pattern]) => pattern.test(field ?? ""))?.[1];
  return typeof found === "object" ? found[kind] : found;
};
