// What a page does more for those whose browser runs scripts: live numbers, charts to point at, progress.
(() => {
  const number = new Intl.NumberFormat("en-GB");
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const written = (at) => new Date(at).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  const put = (values) => {
    for (const node of document.querySelectorAll("[data-live]")) {
      const value = values[node.dataset.live];
      if (value === undefined) continue;
      const text = "time" in node.dataset ? written(value) : Number.isFinite(value) ? number.format(value) : value;
      if (node.textContent !== text) node.textContent = text;
    }
  };

  // Parts of a page are taken anew from the server's own, when the zones have changed or after half a minute.
  const STALE = 30e3;
  let taken = Date.now();
  let serial = null;
  const freshen = async () => {
    taken = Date.now();
    const answer = await fetch(location.pathname).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const node of document.querySelectorAll("[data-fresh]")) {
      const other = page.getElementById(node.id);
      if (other && other.innerHTML !== node.innerHTML) node.replaceChildren(...other.childNodes);
    }
    chart();
  };
  const take = (values) => {
    put(values);
    if ((serial !== null && serial !== values.serial) || Date.now() - taken > STALE) freshen();
    serial = values.serial;
  };

  const stream = document.querySelector("[data-stream]");
  if (stream && window.EventSource) {
    const state = stream.querySelector("[data-stream-state]");
    const say = (text) => { if (state.textContent !== text) state.textContent = text; };
    let source = null;
    const open = () => {
      source = new EventSource(stream.dataset.stream);
      source.onmessage = (event) => { say("Live."); take(JSON.parse(event.data)); };
      source.addEventListener("away", () => say("The database does not answer."));
      source.onerror = () => {
        say("Not live at the moment.");
        if (source.readyState !== EventSource.CLOSED) return; // it tries again itself
        source = null;
        setTimeout(follow, STALE);
      };
    };
    const follow = () => {
      if (document.hidden) { source?.close(); source = null; } else if (!source) open();
    };
    document.addEventListener("visibilitychange", follow);
    follow();
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plots = new Map();
  const draw = (box, active) => {
    const names = Object.keys(active.counts).filter((name) => active.counts[name].some((count) => count > 0));
    if (!names.length) return;
    const month = Date.parse(active.instants.at(-1)) - Date.parse(active.instants[0]) > 2 * 86400e3;
    const shown = (at) => (month ? day.format(at * 1000) : written(at * 1000).slice(11, 16));
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const options = {
      width: box.clientWidth,
      height: 220,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      scales: { y: { range: (plot, low, high) => [0, Math.max(1, high)] } },
      axes: [{ ...axis, values: (plot, all) => all.map(shown) }, { ...axis, size: 56 }],
      series: [
        { label: "UTC", value: (plot, at) => written((at ?? plot.data[0].at(-1)) * 1000).slice(0, 16) },
        ...names.map((label) => ({ label, value: (plot, count, series) => number.format(count ?? plot.data[series].at(-1)), stroke: colour("--" + label), width: 2, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) })),
      ],
    };
    const at = active.instants.map((text) => Date.parse(text) / 1000);
    const data = [at, ...names.map((name) => active.counts[name])];
    const drawn = plots.get(box);
    if (drawn?.names === names.join()) return drawn.plot.setData(data);
    if (drawn) {
      drawn.plot.destroy();
    } else {
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", box.querySelector("svg").getAttribute("aria-label"));
      box.previousElementSibling.hidden = true;
      box.replaceChildren();
      new ResizeObserver(() => plots.get(box).plot.setSize({ width: box.clientWidth, height: 220 })).observe(box);
    }
    plots.set(box, { names: names.join(), plot: new uPlot(options, data, box) });
  };
  const boxes = document.querySelectorAll("[data-chart]");
  const chart = () => {
    if (!boxes.length || !window.uPlot) return;
    fetch("/overview.json").then((answer) => answer.json()).then((all) => {
      for (const box of boxes) draw(box, all.charts[box.dataset.chart]);
    }).catch(() => {});
  };
  chart();

  // A picture that is wider than the screen begins where it matters.
  const now = document.querySelector("svg.timeline .now");
  if (now) {
    const box = now.closest(".scroll");
    box.scrollLeft += now.getBoundingClientRect().left - box.getBoundingClientRect().left - box.clientWidth * 0.7;
  }

  const poll = document.querySelector("[data-poll]");
  if (poll) {
    const look = async () => {
      const answer = await fetch(poll.dataset.poll).then((found) => found.json()).catch(() => null);
      if (answer && !answer.running) return location.reload();
      if (answer) {
        put(answer);
        const bar = poll.querySelector("progress");
        if (answer.events) {
          bar.max = answer.events;
          bar.value = answer.done;
        }
      }
      setTimeout(look, 1000);
    };
    setTimeout(look, 500);
  }
})();
