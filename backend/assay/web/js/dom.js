// Elements. What comes from others is only ever put in as text: there is no way here to hand over HTML.

// `make("p", {class: "hint", onclick: f}, "text", child)`: attributes as in HTML, `on…` are listeners, null is left out.
export const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
};

// A button that does `work` once at a time; what goes wrong is handed to `failed`.
export const button = (text, work, { failed, ...attributes } = {}) => {
  const element = make("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", async () => {
    if (element.getAttribute("aria-disabled") === "true") return;
    element.setAttribute("aria-disabled", "true"); // not `disabled`, which would lose the keyboard's place
    try {
      await work();
    } catch (error) {
      failed?.(error);
    } finally {
      element.removeAttribute("aria-disabled");
    }
  });
  return element;
};

export const list = (rows) =>
  make("dl", {}, ...Object.entries(rows).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));

// A table with column heads; a row is a list of texts or nodes.
export const table = (caption, heads, rows) =>
  make("div", { class: "wide", role: "region", tabindex: "0", "aria-label": caption },
    make("table", {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))))));

// The ends of an address; the whole of it is the title.
export const short = (address) => make("code", { title: address }, `${address.slice(0, 4)}…${address.slice(-4)}`);

export const when = (iso) => make("time", { datetime: iso }, new Date(iso).toLocaleString());

// Hands bytes to the browser as a file to be saved.
export const download = (blob, name) => {
  const url = URL.createObjectURL(blob);
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
};
