// The items of a request that is being written: chosen, dropped or pasted, and the known answers of some.
import { button, download, make } from "../dom.js";
import { fromCsv, fromFiles, fromLines, knownFrom, textOf } from "../buying/files.js";
import { goldRoot, HOW, newSalt } from "../buying/gold.js";
import { problem, say } from "../notices.js";
import { complaint } from "./order.js";

const SHOWN = 20; // items at first, and more at a time
const IMAGES = "image/png,image/jpeg,image/webp,text/plain";

const chooser = (id, text, { accept, multiple }, take) => {
  const input = make("input", { type: "file", id, accept, multiple, class: "covered" });
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = ""; // the same files again are a change again
    try {
      problem(null);
      if (files.length) await take(files);
    } catch (error) {
      problem(error);
    }
  });
  return make("span", { class: "file" }, input, make("label", { for: id, class: "button" }, text));
};

// {parts, show, complain}: two fieldsets; `show` brings them up to date; `labels` gives the known answers as they are
// committed to. `changed` is called at each change.
export const itemsForm = (draft, { labels, changed }) => {
  const count = make("p", { id: "count" });
  const [wrong, goldWrong] = [complaint("items"), complaint("gold")];
  const body = make("tbody");
  const rows = new Map();
  let shown = SHOWN;
  const added = async (items, refused = []) => {
    const again = await draft.add(items);
    show();
    changed();
    const notes = [`${items.length - again} added.`, again ? `${again} were there already.` : "", ...refused.slice(0, 5),
      refused.length > 5 ? `${refused.length - 5} more cannot be taken.` : ""];
    say(notes.filter((one) => one).join(" "));
    if (refused.length) complain([["items", notes.slice(2).filter((one) => one).join(" ")]]);
  };
  const files = async (chosen) => {
    const { items, wrong: refused } = await fromFiles(chosen, (read) => {
      if (read % 50 === 0) say(`${read} of ${chosen.length} files read.`);
    });
    await added(items, refused);
  };
  const lines = make("textarea", {
    id: "lines", rows: 4,
    oninput: () => {
      draft.fields.lines = lines.value;
      changed();
    },
  });
  lines.value = draft.fields.lines;
  const place = make("div", {
    class: "drop",
    ondragover: (event) => event.preventDefault(),
    ondrop: (event) => {
      event.preventDefault();
      files([...event.dataTransfer.files]).catch(problem);
    },
  }, chooser("files", "Choose files, each one item", { accept: IMAGES, multiple: true }, files),
  " or drop them here (png, jpeg, webp, text)");
  const known = (item) => {
    const input = make("input", { type: "text", "aria-label": `Known answer of ${item.name}`, autocomplete: "off" });
    input.value = item.known;
    input.addEventListener("change", async () => {
      try {
        item.known = input.value.trim();
        item.salt ||= newSalt();
        await draft.put([item]);
        goldWrong.hidden = true;
        changed();
        summary();
      } catch (error) {
        problem(error);
      }
    });
    return input;
  };
  const row = (item) => {
    const remove = button("Remove", async () => {
      await draft.remove([item]);
      show();
      changed();
      place.querySelector("input").focus(); // what had the focus is gone
    }, { failed: problem, "aria-label": `Remove ${item.name}` });
    const state = make("td");
    const number = make("td");
    return {
      number, state,
      element: make("tr", {}, number, make("td", {}, item.name), state, make("td", {}, known(item)), make("td", {}, remove)),
    };
  };
  const more = button(`Show ${5 * SHOWN} more`, () => {
    shown += 5 * SHOWN;
    show();
  });
  const table = make("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Items" }, make("table", {},
    make("caption", {}, "Items"),
    make("thead", {}, make("tr", {}, ...["No.", "Item", "Uploaded", "Known answer", ""].map((head) => make("th", { scope: "col" }, head)))),
    body));
  const show = () => {
    const seen = draft.items.slice(0, shown);
    for (const item of rows.keys()) if (!seen.includes(item)) rows.delete(item);
    seen.forEach((item, i) => {
      if (!rows.has(item)) rows.set(item, row(item));
      const { number, state } = rows.get(item);
      number.textContent = String(i + 1);
      state.textContent = item.cid === null ? "not yet" : "yes";
    });
    const elements = seen.map((item) => rows.get(item).element);
    const same = elements.length === body.children.length && elements.every((one, i) => one === body.children[i]);
    if (!same) body.replaceChildren(...elements);
    table.hidden = !seen.length;
    more.hidden = draft.items.length <= shown;
    const uploaded = draft.items.filter(({ cid }) => cid !== null).length;
    count.textContent = draft.items.length ? `${draft.items.length} items, ${uploaded} uploaded.` : "No items yet.";
    if (draft.items.length) wrong.hidden = true;
    summary();
  };
  const complain = (problems) => problems.filter(([name, what]) => {
    const at = { items: wrong, gold: goldWrong }[name];
    if (at === undefined) return true;
    at.textContent = at.hidden ? what : `${at.textContent} ${what}`;
    at.hidden = false;
    at.scrollIntoView({ block: "center" });
    return false;
  });
  const golden = make("p", { id: "golden" });
  const keep = button("Save the known answers", async () => {
    const found = await labels();
    const root = await goldRoot(found);
    const file = { gold_root: root, labels: found.map((one) => ({ item: draft.items[one.index].name, ...one })) };
    download(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }), "assay-known-answers.json");
    draft.kept = root;
    await draft.save();
    say("The known answers and their salts were handed to the browser to be saved.");
  }, { failed: (error) => (error.problems ? complain(error.problems) : problem(error)) });
  const how = make("p", { class: "hint" });
  const summary = () => {
    const some = draft.items.filter((one) => one.known).length;
    golden.textContent = some ? `${some} known answers of ${draft.items.length} items.` : "No known answers.";
    keep.hidden = !some;
    how.textContent = HOW[draft.fields.kind] ? `An answer is ${HOW[draft.fields.kind]}.` : "";
  };
  show();
  return {
    parts: [
      make("fieldset", { class: "part" }, make("legend", {}, "Items"), place,
        make("div", { class: "field" }, make("label", { for: "lines" }, "Texts, one a line"), lines),
        make("div", { class: "row" },
          button("Add these texts", async () => {
            const texts = await fromLines(lines.value);
            lines.value = draft.fields.lines = "";
            await added(texts);
          }, { failed: problem }),
          chooser("texts", "Choose a .txt or .csv of one text a line", { accept: ".txt,.csv,text/plain,text/csv" }, async ([file]) => {
            const text = await textOf(file);
            await added(await (file.name.toLowerCase().endsWith(".csv") ? fromCsv(text) : fromLines(text)));
          }),
          button("Remove all", async () => {
            await draft.remove(draft.items);
            show();
            changed();
          }, { failed: problem })),
        count, wrong, table, more),
      make("fieldset", { class: "part" }, make("legend", {}, "Known answers (gold)"),
        make("p", { class: "hint" }, "Answers that you know of some items measure labelers: one item in ten or twenty is plenty. "
          + "Enter them above, or by a CSV of item,label (an item by its name, its text or its number)."),
        make("p", { class: "caution" }, "Who learns them early can fool you. The request commits to them by a hash; the "
          + "market keeps them, to judge by, and publishes each with its salt when its task is settled. Until then keep "
          + "them to yourself. The file has the answers and their salts: with it you can prove later what you committed to."),
        golden, how, goldWrong,
        make("div", { class: "row" },
          chooser("known", "Choose a CSV of item,label", { accept: ".csv,text/csv" }, async ([file]) => {
            const found = await knownFrom(await textOf(file), draft.items);
            for (const [item, text] of found) Object.assign(item, { known: text, salt: item.salt || newSalt() });
            await draft.put([...found.keys()]);
            rows.clear();
            show();
            changed();
            say(`${found.size} known answers taken.`);
          }), keep)),
    ],
    show,
    complain: (problems) => {
      wrong.hidden = true;
      goldWrong.hidden = true;
      return complain(problems);
    },
  };
};
