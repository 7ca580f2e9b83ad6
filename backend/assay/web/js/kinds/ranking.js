// All items in an order, best first: each is chosen in turn; choosing a ranked one takes it out again.
import { make } from "../dom.js";
import { hotkeys, keyHint } from "./hotkeys.js";

export const ranking = ({ items }) => {
  const keys = hotkeys(items);
  const ranked = [];
  const places = items.map(() => make("span", { class: "place" }));
  const buttons = items.map((name, i) =>
    make("button", { type: "button", class: "option", "aria-keyshortcuts": keys[i], onclick: () => toggle(i) },
      places[i], make("span", {}, name), keyHint(keys[i])));
  const shown = () => buttons.forEach((button, i) => {
    const place = ranked.indexOf(i) + 1;
    places[i].textContent = place ? `${place}.` : "–";
    button.setAttribute("aria-pressed", String(place > 0));
    button.setAttribute("aria-label", place ? `${items[i]}, place ${place}` : `${items[i]}, not ranked yet`);
  });
  const toggle = (i) => {
    const at = ranked.indexOf(i);
    if (at < 0) ranked.push(i);
    else ranked.splice(at, 1);
    shown();
  };
  shown();
  const element = make("fieldset", { tabindex: "-1" },
    make("legend", {}, "Choose the best first, then the next best, until all have a place"),
    make("div", { class: "options" }, buttons),
    make("p", { class: "hint" }, "Choosing an item again takes it out; Backspace takes out the last."));
  return {
    element,
    focus: () => element.focus(), // not a button, on which Enter would mean that button
    press: (key) => {
      const at = keys.indexOf(key.toLowerCase());
      if (key === "Backspace" && ranked.length) toggle(ranked.at(-1));
      else if (at >= 0) toggle(at);
      else return false;
      return true;
    },
    value: () => {
      if (ranked.length < items.length) throw new Error(`${ranked.length} of ${items.length} have a place. Rank them all.`);
      return ranked.map((i) => items[i]);
    },
  };
};
