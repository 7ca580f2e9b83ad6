// What the page tells its user: a line for what happened, one for what went wrong, one while the market is away.
import { make } from "./dom.js";

const at = (id) => document.getElementById(id);

// Said politely by screen readers.
export const say = (text) => {
  at("status").textContent = text;
};

// Said at once; `null` takes it away.
export const problem = (error) => {
  if (error?.name === "AbortError") return; // its view was left
  const text = error === null ? "" : error.message ?? String(error);
  at("problem").textContent = text;
  at("problem").hidden = !text;
  if (error instanceof TypeError || error instanceof ReferenceError) console.error(error); // a fault of the page
};

let away = false;

export const outage = (now) => {
  if (now === away) return;
  away = now;
  at("outage").textContent = now ? "The market does not answer. This page keeps trying; what you entered is kept." : "";
  at("outage").hidden = !now;
  if (!now) say("The market answers again.");
};

// Asks with a dialog: a heading, lines, the button that agrees. Whether it was agreed.
export const confirm = (heading, lines, agree) => new Promise((resolve) => {
  const dialog = make("dialog", { "aria-labelledby": "asked" },
    make("form", { method: "dialog" },
      make("h2", { id: "asked", tabindex: "-1", autofocus: true }, heading), // no key pressed too often agrees
      make("ul", {}, ...lines.map((line) => make("li", {}, line))),
      make("div", { class: "row" },
        make("button", { value: "yes", class: "main" }, agree),
        make("button", { value: "no" }, "Cancel"))));
  dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(dialog.returnValue === "yes");
  });
  document.body.append(dialog);
  dialog.showModal();
});
