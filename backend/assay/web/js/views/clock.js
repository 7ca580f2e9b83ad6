// The time that a lease has left.
import { make } from "../dom.js";
import { say } from "../notices.js";

const WARN = 30; // seconds before its end

// Ticks until `signal`; calls `ended` at the end. By the market's clock, which `api.skew` knows.
export const leaseClock = (expiresAt, api, signal, ended) => {
  const shown = make("span", { class: "clock" });
  const end = Date.parse(expiresAt);
  let warned = end - Date.now() - api.skew <= WARN * 1000; // one that is short from the start is no news
  const tick = () => {
    const seconds = Math.ceil((end - Date.now() - api.skew) / 1000);
    if (seconds <= 0) {
      ended();
      return;
    }
    shown.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
    shown.classList.toggle("late", seconds <= WARN);
    if (seconds <= WARN && !warned) {
      warned = true;
      say(`${seconds} seconds are left for this task.`);
    }
  };
  const timer = setInterval(tick, 500);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  queueMicrotask(tick); // not before the view stands
  return shown;
};
