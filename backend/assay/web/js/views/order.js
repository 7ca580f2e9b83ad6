// The form of a request: its fields, which of them its kind and mode need, and what is wrong with each.
import { make } from "../dom.js";
import { METHODS } from "../buying/order.js";

const OTHERS = "other";
const KIND_NAMES = {
  choice: "One class of several", "multi-choice": "Several classes", number: "A number", ranking: "A ranking", text: "A text",
  [OTHERS]: "Boxes, masks, key points, files …",
};
const METHOD_NAMES = { majority: "majority: each answer counts the same", auto: "auto: the market chooses by the answers" };
const named = (kinds) => (form) => kinds.includes(form.kind);
const agreement = (form) => form.mode === "agreement";

// [name, label, hint, how it is entered, when it is asked for]
const PARTS = [
  ["What to do", [
    ["title", "Title", "What labelers choose by; everybody sees it.", { maxlength: 200 }],
    ["instructions", "Instructions", "What makes an answer right, with the hard cases.", { area: 6 }],
    ["kind", "Kind of answer", null, { options: () => KIND_NAMES }],
    ["classes", "Classes, one a line", null, { area: 4 }, named(["choice", "multi-choice"])],
    ["least", "Least classes to choose", null, { mode: "numeric" }, named(["multi-choice"])],
    ["most", "Most classes to choose", "Empty: all may apply.", { mode: "numeric" }, named(["multi-choice"])],
    ["low", "Lowest value", null, { mode: "decimal" }, named(["number"])],
    ["high", "Highest value", null, { mode: "decimal" }, named(["number"])],
    ["tolerance", "Tolerance", "How far from the label an accepted answer may lie.", { mode: "decimal" }, named(["number"])],
    ["decimals", "Decimals", null, { mode: "numeric" }, named(["number"])],
    ["unit", "Unit", "May be empty.", {}, named(["number"])],
    ["ranked", "What is ranked, one a line", null, { area: 4 }, named(["ranking"])],
    ["length", "Most characters", null, { mode: "numeric" }, named(["text"])],
    ["alike", "Accepted from a likeness of (%)", "How much an answer must be like the label.", { mode: "decimal" }, named(["ranking", "text"])],
  ]],
  ["Answers and pay", [
    ["mode", "How answers are judged", null, { options: () => ({
      agreement: "Agreement: several answers a task, compared", review: "Review: one answer a task, judged by validators",
    }) }],
    ["overlap", "Answers a task", null, { mode: "numeric" }, agreement],
    ["doubt", "More answers where in doubt", null, { box: true }, agreement],
    ["more", "Most answers a task", null, { mode: "numeric" }, (form) => agreement(form) && form.doubt],
    ["confidence", "In doubt below a confidence of (%)", null, { mode: "decimal" }, (form) => agreement(form) && form.doubt],
    ["method", "How the label is found", null, { options: ({ kind }) => Object.fromEntries(
      (METHODS[kind] ?? ["majority"]).map((one) => [one, METHOD_NAMES[one] ?? one])) }, agreement],
    ["price", "Price of an accepted answer (tokens)", null, { mode: "decimal" }],
    ["fee", "Validation of a record (tokens)", "Its validators share it. Empty: nothing.", { mode: "decimal" }],
    ["rejected", "Rejected answers to provide for (%)", "Rejected ones are asked for again; this much is locked for that.", { mode: "decimal" }, (form) => !agreement(form)],
    ["days", "Days until the deadline", null, { mode: "decimal" }],
    ["tier", "Least tier of labelers", null, { options: () => ({ 0: "0: everybody", 1: "1", 2: "2", 3: "3" }) }],
    ["score", "Least score of labelers in this kind (%)", "Empty: none.", { mode: "decimal" }],
    ["mint", "Paid in", null, { options: (_, { mints }) => Object.fromEntries(
      mints.filter(({ enabled }) => enabled).map(({ mint }) => [mint, mint])) }, (_, { mints }) => mints.length > 1],
  ]],
];

const control = (name, how, described) => {
  const given = { id: `f-${name}`, name, "aria-describedby": described };
  if (how.options) return make("select", given);
  if (how.area) return make("textarea", { ...given, rows: how.area });
  if (how.box) return make("input", { ...given, type: "checkbox" });
  return make("input", { ...given, type: "text", inputmode: how.mode ?? null, autocomplete: "off", maxlength: how.maxlength ?? null });
};

// A place for what is wrong, said when it appears.
export const complaint = (name) => make("p", { id: `e-${name}`, class: "wrong", role: "alert", hidden: true });

// {parts, values, show, complain}: the fieldsets by their legend; `values()` what stands in them; `complain` shows what is
// wrong at the fields, [[field, what], …], and moves there; what is no field's is left over. `changed` is called at each change.
export const orderForm = (fields, terms, changed) => {
  const entries = new Map();
  const parts = PARTS.map(([legend, rows]) => make("fieldset", { class: "part fields" }, make("legend", {}, legend), rows.map(
    ([name, label, hint, how, when = () => true]) => {
      const wrong = complaint(name);
      const input = control(name, how, `h-${name} e-${name}`);
      const titled = make("label", { for: input.id }, label);
      const row = make("div", { class: "field" },
        how.box ? make("div", { class: "box" }, input, titled) : [titled, input],
        make("p", { id: `h-${name}`, class: "hint", hidden: hint === null }, hint ?? ""), wrong);
      if (!how.options) {
        if (how.box) input.checked = fields[name];
        else input.value = fields[name];
      }
      input.addEventListener(how.options || how.box ? "change" : "input", () => {
        fields[name] = how.box ? input.checked : input.value;
        unmark(name);
        show();
        changed();
      });
      entries.set(name, { row, input, wrong, how, when });
      return row;
    })));
  const unmark = (name) => {
    const { input, wrong } = entries.get(name);
    input.removeAttribute("aria-invalid");
    wrong.hidden = true;
  };
  const show = () => {
    for (const [name, { row, input, how, when }] of entries) {
      row.hidden = !when(fields, terms);
      if (how.options) fill(input, how.options(fields, terms), fields, name);
    }
  };
  show();
  return {
    parts,
    complain: (problems) => {
      for (const name of entries.keys()) unmark(name);
      const left = [];
      let first = null;
      for (const [name, what] of problems) {
        const entry = entries.get(name);
        if (entry === undefined || entry.row.hidden) {
          left.push([name, what]);
          continue;
        }
        entry.wrong.textContent = what;
        entry.wrong.hidden = false;
        entry.input.setAttribute("aria-invalid", "true");
        first ??= entry.input;
      }
      first?.focus();
      return left;
    },
  };
};

// The options that the other fields leave; one that is gone gives way to the first.
const fill = (select, options, fields, name) => {
  const known = Object.keys(options).join();
  if (select.dataset.known !== known) {
    select.dataset.known = known;
    select.replaceChildren(...Object.entries(options).map(([value, text]) => make("option", { value }, text)));
  }
  if (!(fields[name] in options)) [fields[name]] = Object.keys(options);
  select.value = fields[name];
};
