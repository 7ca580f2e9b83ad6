// For who has no wallet here yet: make one, or bring one.
import { button, make } from "../dom.js";
import * as keys from "../keys.js";
import { problem, say } from "../notices.js";

// Says what a wallet kept in a browser means; where such a wallet is made or held.
export const caution = () => make("p", { class: "caution" },
  `The key is kept in this browser only, for ${location.host} only. Who clears the browser's data, or uses another `
  + "browser or a private window, does not have it. Save the key file and keep it safe: with it the money can always "
  + "be reached (it is the format of the Solana CLI), and whoever has it can take the money.");

export const importButton = (take) => {
  const input = make("input", { type: "file", accept: ".json,application/json", id: "keyfile", class: "covered" });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = ""; // the same file again is a change again
    if (file === undefined) return;
    try {
      if (file.size > 10_000) throw new Error("The file is too large for a key file: it is a list of 64 numbers.");
      await take(await keys.read(await file.text()));
    } catch (error) {
      problem(error);
    }
  });
  return make("span", { class: "file" }, input, make("label", { for: "keyfile", class: "button" }, "Import a key file"));
};

export const start = async (market, main) => {
  const obstacle = await keys.obstacle();
  const take = async (wallet) => {
    await market.keep(wallet);
    problem(null);
    say(`This browser now holds the wallet ${wallet.address}.`);
  };
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, "To work here you need a wallet"),
    make("p", {}, "It signs what you do here, and it is where you are paid, or pay from."),
    obstacle === null
      ? make("div", { class: "row" },
        button("Make a wallet", async () => take(await keys.make()), { class: "main", failed: problem }),
        importButton(take))
      : make("p", { class: "caution" }, obstacle),
    caution(),
  );
};
