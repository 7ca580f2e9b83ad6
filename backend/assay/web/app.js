// Shows the market's terms and its requests, each with what the chain's books say of it. What comes from others is only
// ever put in as text.
const get = async (path) => {
  const response = await fetch(path);
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail ?? response.statusText);
  return body;
};

const element = (name, text) => {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
};

const showMarket = (market) => {
  const rows = {
    Program: market.program,
    Mints: market.mints.map((mint) => mint.mint).join(", "),
    "Least stake of a labeler": market.min_labeler_stake,
    "Least stake of a validator": market.min_validator_stake,
    Panel: `${market.panel_size} validators, quorum ${market.quorum_bps / 100} %`,
    Paused: market.paused ? "yes" : "no",
  };
  document.querySelector("#market").replaceChildren(
    ...Object.entries(rows).flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
};

const showRequests = async ({ requests }) => {
  const progress = await Promise.all(requests.map((one) => get(`/v1/requests/${one.address}`)));
  document.querySelector("#none").hidden = progress.length > 0;
  document.querySelector("#table").hidden = progress.length === 0;
  document.querySelector("tbody").replaceChildren(...progress.map((one) => {
    const row = document.createElement("tr");
    const { request, chain } = one;
    const done = chain ? `${chain.records_done} of ${request.records}` : `${request.records}`;
    const paid = chain ? `${chain.paid_labelers} of ${chain.locked}` : "–";
    for (const text of [request.title, request.state, done, request.price, `${one.answers}`, paid]) {
      row.append(element("td", text));
    }
    return row;
  }));
};

const refresh = async () => {
  const problem = document.querySelector("#problem");
  try {
    showMarket(await get("/v1/market"));
    await showRequests(await get("/v1/requests?limit=20"));
    problem.hidden = true;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
};

await refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 3000);
