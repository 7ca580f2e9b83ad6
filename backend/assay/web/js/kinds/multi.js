// Some classes of several: check boxes, each with its key.
import { make } from "../dom.js";
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
  return {
    element: make("fieldset", {}, make("legend", {}, wanted(schema)), make("div", { class: "options" }, options)),
    focus: () => inputs[0].focus(),
    press: (key) => {
      const at = keys.indexOf(key.toLowerCase());
      if (at < 0) return false;
      inputs[at].checked = !inputs[at].checked;
      inputs[at].focus();
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
