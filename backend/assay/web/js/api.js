// The market's API: calls, problem details as errors, sign-in, and patience with a market that is away.
import { checkSignIn } from "./messages.js";
import { base58, utf8 } from "./bytes.js";
import { sign } from "./keys.js";
import { outage } from "./notices.js";

const PATIENCE = 180_000; // ms for which a call is tried again
const TIMEOUT = 30_000;
const UPLOAD_TIMEOUT = 180_000; // 16 MB at 100 kB/s

// What the market refused with (RFC 9457): `code`, `status`, `field`, `hint`.
export class Problem extends Error {
  constructor(status, body) {
    const detail = body.detail ?? body.title ?? `status ${status}`;
    super(`${body.field ? `${body.field}: ` : ""}${detail}${body.hint ? ` (${body.hint})` : ""}`);
    Object.assign(this, { status, code: body.code, field: body.field, hint: body.hint, wait: body.retry_after });
  }
}

// The market could not be reached for as long as the call was patient.
export class Away extends Error {
  constructor() {
    super("The market does not answer.");
  }
}

export const pause = (milliseconds, signal) => new Promise((resolve, reject) => {
  const end = () => reject(signal.reason);
  if (signal?.aborted) return end();
  const timer = setTimeout(() => {
    signal?.removeEventListener("abort", end);
    resolve();
  }, milliseconds);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    end();
  }, { once: true });
  return undefined;
});

// Whether waiting helps.
export const passing = (error) => error instanceof Away
  || (error instanceof Problem && [429, 503].includes(error.status)
    && !["skip_limit", "upload_limit", "blockhash_expired"].includes(error.code));

export class Api {
  constructor() {
    this.wallet = null;
    this.token = null;
    this.skew = 0; // ms that the market's clock is ahead of this one
  }

  // Whose name calls are made in, from now on; null: nobody's.
  become(wallet) {
    this.wallet = wallet;
    this.token = null;
  }

  get(path, options) {
    return this.call("GET", path, options);
  }

  post(path, body, options) {
    return this.call("POST", path, { body, ...options });
  }

  // One call; all are idempotent, so a lost connection and a market that says "later" are tried again for `patience`
  // ms or until `signal`. `auth`: signed in, where there is a wallet. `raw`: the Response instead of its JSON. `body` is
  // sent as JSON, a Blob as what it is.
  async call(method, path, { patience = PATIENCE, auth = true, ...options } = {}) {
    const end = Date.now() + patience;
    for (let attempt = 0, signedIn = 0; ; attempt += 1) {
      try {
        return await this.once(method, path, { auth, ...options });
      } catch (error) {
        if (error instanceof Problem && error.status === 401 && auth && this.token !== null && signedIn === 0) {
          signedIn += 1; // the token expired: once more with a new one
          this.token = null;
          continue;
        }
        if (!passing(error)) throw error;
        const wait = Math.max((error.wait ?? 0) * 1000, Math.min(250 * 2 ** attempt, 4000) * (0.5 + Math.random() / 2));
        if (Date.now() + wait > end) throw error;
        await pause(wait, options.signal);
      }
    }
  }

  async once(method, path, { body, auth, raw = false, signal }) {
    const headers = {};
    if (auth && this.wallet !== null) headers.Authorization = `Bearer ${await this.signedIn(signal)}`;
    const blob = body instanceof Blob;
    if (body !== undefined) headers["Content-Type"] = blob ? body.type : "application/json";
    const sent = blob || body === undefined ? body : JSON.stringify(body);
    const response = await this.fetch(path, { method, headers, body: sent, signal }, blob ? UPLOAD_TIMEOUT : TIMEOUT);
    if (raw && response.ok) return response;
    const text = await response.text().catch(() => {
      signal?.throwIfAborted();
      throw new Away(); // cut off in the middle
    });
    return text ? JSON.parse(text) : null;
  }

  // Fetches; tells of an outage, and of its end. Throws `Away` or `Problem`.
  async fetch(path, init, timeout) {
    const limits = [AbortSignal.timeout(timeout), ...(init.signal ? [init.signal] : [])];
    let response;
    try {
      response = await fetch(path, { ...init, signal: AbortSignal.any(limits) });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      outage(true);
      throw new Away();
    }
    const said = Date.parse(response.headers.get("Date") ?? "");
    if (!Number.isNaN(said)) this.skew = said - Date.now();
    if (response.ok) {
      outage(false);
      return response;
    }
    const problem = await response.json().catch(() => null);
    if (problem === null && response.status >= 502) { // a proxy's own page: the market behind it is away
      outage(true);
      throw new Away();
    }
    outage(false);
    throw new Problem(response.status, problem ?? {});
  }

  async signedIn(signal) {
    // Calls side by side share one sign-in: a challenge serves once.
    this.signing ??= this.token === null ? this.signIn(signal).finally(() => { this.signing = undefined; }) : undefined;
    await this.signing;
    return this.token;
  }

  async signIn(signal) {
    const { wallet } = this;
    const send = (path, body) => this.once("POST", path, { body, auth: false, signal });
    const { nonce, message } = await send("/v1/session/challenge", { wallet: wallet.address });
    checkSignIn(message, wallet.address, location.host);
    const signature = base58(await sign(wallet, utf8(message)));
    const { token } = await send("/v1/session", { wallet: wallet.address, nonce, signature });
    if (this.wallet === wallet) this.token = token;
  }
}
