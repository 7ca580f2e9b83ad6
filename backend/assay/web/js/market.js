// What the views share: the API, the wallet in use, the market's terms, and transactions that are looked at before
// they are signed.
import { review } from "./actions.js";
import { Api, Problem } from "./api.js";
import { base64, unbase64 } from "./bytes.js";
import * as keys from "./keys.js";
import { confirm } from "./notices.js";
import { signed } from "./transaction.js";

const TRIES = 5;

export class Market extends EventTarget {
  constructor() {
    super();
    this.api = new Api();
    this.wallet = null;
  }

  // Takes up the wallet that this browser keeps.
  async open() {
    this.use(await keys.load());
  }

  use(wallet) {
    this.wallet = wallet;
    this.api.become(wallet);
    this.dispatchEvent(new Event("wallet"));
  }

  // Keeps `wallet` (null: none) in this browser and uses it.
  async keep(wallet) {
    await (wallet === null ? keys.forget() : keys.keep(wallet));
    this.use(wallet);
  }

  terms(options) {
    return this.api.get("/v1/market", { auth: false, ...options });
  }

  // This wallet's participant, or null.
  async participant(options) {
    return (await this.api.get("/v1/me", options)).participant;
  }

  // Has the market make a transaction, shows what it does, signs it and sends it. `wanted`: see `review`. False where
  // its owner would rather not. `sending` is awaited before what is signed leaves the page.
  async transact(path, body, wanted, { signal, sending = () => {} } = {}) {
    const market = await this.terms({ signal });
    let agreed = null;
    for (let attempt = 1; ; attempt += 1) {
      const made = await this.api.post(path, body, { signal });
      const unsigned = made.unsigned ?? made;
      const { message, lines } = await review(unbase64(unsigned.transaction), {
        wallet: this.wallet.address, market, wanted,
      });
      if (agreed !== lines.join("\n")) {
        const last = `By the program ${market.program}. The network's fee is paid by this wallet.`;
        if (!await confirm("Sign this transaction?", [...lines, last], "Sign and send")) return false;
        agreed = lines.join("\n");
      }
      const transaction = base64(signed(message, await keys.sign(this.wallet, message)));
      await sending();
      try {
        return await this.api.post("/v1/transactions", { transaction }, { auth: false, signal });
      } catch (error) {
        const expired = error instanceof Problem && error.code === "blockhash_expired";
        if (!expired || attempt === TRIES) throw error;
      }
    }
  }
}
