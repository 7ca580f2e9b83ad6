// Finding one of many names: a field that hides what does not contain its text. Null where there are few.
import { make } from "../dom.js";

const MANY = 20;

// `options`: their elements, in the order of `names`; `choose(i)` takes what Enter means, the only one left.
export const finder = (names, options, choose) => {
  if (names.length <= MANY) return null;
  const left = make("span", { role: "status" });
  const shown = () => {
    const text = input.value.normalize("NFC").toLowerCase();
    options.forEach((option, i) => {
      option.hidden = !names[i].toLowerCase().includes(text);
    });
    const fitting = options.filter((option) => !option.hidden).length;
    left.textContent = text ? `${fitting} of ${names.length} fit.` : "";
  };
  const input = make("input", {
    type: "text", id: "find", autocomplete: "off", oninput: shown,
    onkeydown: (event) => {
      const fitting = options.flatMap((option, i) => (option.hidden ? [] : [i]));
      if (event.key !== "Enter" || fitting.length !== 1) return;
      event.preventDefault(); // chooses; Enter once more, on what was chosen, submits
      choose(fitting[0]);
    },
  });
  return make("div", { class: "field" }, make("label", { for: "find" }, `Find one of ${names.length}`), input, left);
};
