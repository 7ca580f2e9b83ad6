// What the labels of an open request will be as it looks now: for its buyer.
import { pause } from "../api.js";
import { make, short, table } from "../dom.js";
import { problem } from "../notices.js";

const CHOICE = 0; // the kind's number
const SHOWN = 20; // tasks, and labelers
const AGAIN = 1000; // ms until answers that are not taken yet are asked for again

const percent = (bps) => `${(bps / 100).toFixed(1)} %`;

const shown = (found) => {
  if (!found.tasks.length) return [];
  const more = found.unsettled > found.tasks.length ? ` The first ${found.tasks.length}:` : "";
  return [
    make("h3", {}, "Live estimate"),
    make("p", {}, `${found.note} ${found.unsettled} tasks with answers are not settled yet; `
      + `${percent(found.expected_right)} of their labels are expected to be right.`
      + `${found.complete ? "" : ` ${found.answers} answers are taken so far.`}${more}`),
    table("Labels as they look now", ["Task", "Label", "Right with"],
      found.tasks.map((one) => [String(one.index), one.label, percent(one.confidence)])),
    table("Labelers so far", ["Wallet", "Answers", "Right in", "Likely between"],
      found.labelers.slice(0, SHOWN).map((one) => [
        short(one.wallet), String(one.answers), percent(one.skill), `${percent(one.low)} and ${percent(one.high)}`])),
  ];
};

// A function of the request's progress that keeps `place` up to date.
export const estimates = (api, path, place, signal) => {
  let seen = "";
  let turn = 0;
  const look = async (now, mine) => {
    for (let before = -1; mine === turn;) {
      const found = await api.get(`${path}/estimate?limit=${SHOWN}`, { signal });
      if (mine !== turn) return;
      place.replaceChildren(...shown(found));
      if (found.answers >= now.answers || found.answers === before) return;
      before = found.answers;
      await pause(AGAIN, signal);
    }
  };
  return (now) => {
    const state = [now.request.state, now.answers, now.settled].join();
    if (state === seen || now.request.mode !== "agreement" || now.request.kind !== CHOICE) return;
    seen = state;
    turn += 1;
    if (["open", "closing"].includes(now.request.state)) {
      look(now, turn).catch((error) => error.status === 409 || problem(error)); // it ended meanwhile, or is too wide
    } else place.replaceChildren();
  };
};
