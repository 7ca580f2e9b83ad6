// A decimal number between two bounds, written in one way only.
import { make } from "../dom.js";

const NUMBER = /^(-?)(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,18}))?$/;
const PLACES = 18;

// The number times 10^18, whole.
const scaled = (text) => {
  const [, minus, whole, part = ""] = text.match(NUMBER);
  const size = BigInt(whole + part.padEnd(PLACES, "0"));
  return minus ? -size : size;
};

// The one way to write `given` under the schema: no trailing zeros, no "-0". Throws what is wrong with it.
export const normalNumber = (given, { min, max, decimals }) => {
  const text = given.trim().replace("−", "-");
  if (text === "") throw new Error("Enter a number first.");
  if (!NUMBER.test(text)) {
    throw new Error(`“${text}” is no number: digits with a decimal point, such as -3.5, at most 18 on either side.`);
  }
  if (scaled(text) < scaled(min) || scaled(text) > scaled(max)) throw new Error(`${text} is not from ${min} to ${max}.`);
  const [, minus, whole, part = ""] = text.match(NUMBER);
  const kept = part.replace(/0+$/, "");
  if (kept.length > decimals) throw new Error(`${text} has more than ${decimals} decimals.`);
  const size = kept ? `${whole}.${kept}` : whole;
  return size === "0" ? size : minus + size;
};

export const number = (schema) => {
  const input = make("input", {
    id: "number", type: "text", inputmode: "decimal", autocomplete: "off", "aria-describedby": "bounds",
  });
  return {
    element: make("div", { class: "field" },
      make("label", { for: "number" }, schema.unit ? `Number, in ${schema.unit}` : "Number"), input,
      make("p", { id: "bounds", class: "hint" },
        `From ${schema.min} to ${schema.max}, at most ${schema.decimals} decimals, with a decimal point.`)),
    focus: () => input.focus(),
    press: () => false,
    value: () => normalNumber(input.value, schema),
  };
};
