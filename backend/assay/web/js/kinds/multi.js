// Some classes of several: check boxes, each with its key.
import { make } from "../dom.js";
import { finder } from "./find.js";
import { hotkeys, keyHint } from "./hotkeys.js";

const wanted = ({ min, max, classes }) => {
  if (min === max) return `Choose ${min}`;
  if (max === classes.length) return min ? `Choose at least ${min}` : "Choose all that apply, or none";
  return `Choose ${min} to ${max}`;
};

export const multiChoice = (schema) => {
  const { classes } = schema;
  const keys = hotkeys(classes);
  const inputs = classes.map((_, i) => make("input", { type: "checkbox", "aria-keyshortcuts": keys[i] }));
  const options = classes.map((name, i) =>
    make("label", { class: "option" }, inputs[i], make("span", {}, name), keyHint(keys[i])));
  const toggle = (at) => {
    inputs[at].checked = !inputs[at].checked;
    inputs[at].focus();
  };
  const find = finder(classes, options, toggle);
  return {
    element: make("fieldset", {},
      make("legend", {}, wanted(schema)), find, make("div", { class: "options" }, options)),
    focus: () => (find?.querySelector("input") ?? inputs[0]).focus(),
    press: (key) => {
      const at = keys.indexOf(key.toLowerCase());
      if (at < 0) return false;
      toggle(at);
      return true;
    },
    // In the schema's order, whatever the order of choosing.
    value: () => {
      const chosen = classes.filter((_, i) => inputs[i].checked);
      if (chosen.length < schema.min || chosen.length > schema.max) {
        throw new Error(`${chosen.length} chosen. ${wanted(schema)}.`);
      }
      return chosen;
    },
  };
};
