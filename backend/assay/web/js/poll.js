// Doing something again and again, no faster than asked for, never behind a hidden tab, until the view is left.
import { Away, pause } from "./api.js";
import { problem } from "./notices.js";

const SLOWEST = 30_000; // ms between tries when they keep failing

const shown = (signal) => document.hidden
  ? new Promise((resolve, reject) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  })
  : undefined;

// Calls `work` at once and then `milliseconds` after each end; `work` may return another number of them, or false to
// end. What fails is tried again, ever more slowly.
export const poll = async (signal, milliseconds, work) => {
  let failures = 0;
  let wait = 0;
  while (!signal.aborted && wait !== false) {
    try {
      await pause(wait, signal);
      await shown(signal);
      const next = await work();
      wait = next ?? milliseconds;
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Away)) problem(error);
      failures += 1;
      wait = Math.min(milliseconds * 2 ** failures, SLOWEST);
    }
  }
};
