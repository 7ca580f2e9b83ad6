// One class of several: radio buttons, each with its key.
import { make } from "../dom.js";
import { finder } from "./find.js";
import { hotkeys, keyHint } from "./hotkeys.js";

export const choice = ({ classes }) => {
  const keys = hotkeys(classes);
  const inputs = classes.map((_, i) => make("input", { type: "radio", name: "value", value: i, "aria-keyshortcuts": keys[i] }));
  const options = classes.map((name, i) =>
    make("label", { class: "option" }, inputs[i], make("span", {}, name), keyHint(keys[i])));
  const choose = (at) => {
    inputs[at].checked = true;
    inputs[at].focus();
  };
  const find = finder(classes, options, choose);
  return {
    element: make("fieldset", {},
      make("legend", {}, "Choose one"), find, make("div", { class: "options" }, options)),
    focus: () => (find?.querySelector("input") ?? inputs[0]).focus(),
    press: (key) => {
      const at = keys.indexOf(key.toLowerCase());
      if (at < 0) return false;
      choose(at);
      return true;
    },
    value: () => {
      const at = inputs.findIndex((input) => input.checked);
      if (at < 0) throw new Error("Choose a class first.");
      return classes[at];
    },
  };
};
