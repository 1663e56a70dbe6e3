// What a page does more for those whose browser runs scripts: live numbers, charts to point at, progress.
(() => {
  const number = new Intl.NumberFormat("en-GB");
  const written = (at) => new Date(at).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  const put = (values) => {
    for (const node of document.querySelectorAll("[data-live]")) {
      const value = values[node.dataset.live];
      if (value === undefined) continue;
      const text = "time" in node.dataset ? written(value) : number.format(value);
      if (node.textContent !== text) node.textContent = text;
    }
  };

  const stream = document.querySelector("[data-stream]");
  if (stream && window.EventSource) {
    const state = stream.querySelector("[data-stream-state]");
    const say = (text) => { if (state.textContent !== text) state.textContent = text; };
    let source = null;
    const open = () => {
      source = new EventSource(stream.dataset.stream);
      source.onmessage = (event) => { say("Live."); put(JSON.parse(event.data)); };
      source.addEventListener("away", () => say("The database does not answer."));
      source.onerror = () => say("Not live at the moment.");
    };
    const follow = () => {
      if (document.hidden) { source?.close(); source = null; } else if (!source) open();
    };
    document.addEventListener("visibilitychange", follow);
    follow();
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = (box, active) => {
    const names = Object.keys(active.counts).filter((name) => active.counts[name].some((count) => count > 0));
    if (!names.length) return;
    const month = Date.parse(active.instants.at(-1)) - Date.parse(active.instants[0]) > 2 * 86400e3;
    const shown = (at) => { const text = written(at * 1000); return month ? text.slice(5, 10) : text.slice(11, 16); };
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const options = {
      width: box.clientWidth,
      height: 220,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      scales: { y: { range: (plot, low, high) => [0, Math.max(1, high)] } },
      axes: [{ ...axis, values: (plot, all) => all.map(shown) }, { ...axis, size: 56 }],
      series: [
        { label: "UTC", value: (plot, at) => (at == null ? "" : written(at * 1000).slice(0, 16)) },
        ...names.map((label) => ({ label, stroke: colour("--" + label), width: 2, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) })),
      ],
    };
    const at = active.instants.map((text) => Date.parse(text) / 1000);
    const words = box.querySelector("svg").getAttribute("aria-label");
    box.previousElementSibling.hidden = true;
    box.replaceChildren();
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", words);
    const plot = new uPlot(options, [at, ...names.map((name) => active.counts[name])], box);
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 220 })).observe(box);
  };
  const boxes = document.querySelectorAll("[data-chart]");
  if (boxes.length && window.uPlot) {
    fetch("/overview.json").then((answer) => answer.json()).then((all) => {
      for (const box of boxes) draw(box, all.charts[box.dataset.chart]);
    }).catch(() => {});
  }

  const poll = document.querySelector("[data-poll]");
  if (poll) {
    const look = async () => {
      const answer = await fetch(poll.dataset.poll).then((found) => found.json()).catch(() => null);
      if (answer && !answer.running) return location.reload();
      if (answer) {
        put(answer);
        const bar = poll.querySelector("progress");
        bar.max = Math.max(1, answer.events);
        bar.value = answer.done;
      }
      setTimeout(look, 1000);
    };
    setTimeout(look, 500);
  }
})();
