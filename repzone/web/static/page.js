// The reader's own time beside UTC, and the time left: by the server's clock, whatever the reader's says.
(() => {
  const lang = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
  const skew = Date.parse(document.documentElement.dataset.now) - Date.now();
  for (const span of document.querySelectorAll("[data-local]")) {
    const local = new Intl.DateTimeFormat(lang, {
      weekday: "long", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
    });
    const zone = local.resolvedOptions().timeZone;
    if (zone === "UTC" || zone === "Etc/UTC") continue;
    span.textContent = ` (${local.format(new Date(span.dataset.local))})`;
    span.hidden = false;
  }
  const left = document.querySelector("[role=timer]");
  if (!left) return;
  const ends = Date.parse(left.dataset.ends);
  const tick = () => {
    const seconds = Math.ceil((ends - Date.now() - skew) / 1000);
    if (seconds <= 0) {
      const status = document.querySelector("[data-say]");
      status.textContent = left.textContent = status.dataset.say;
      left.removeAttribute("role");
      return;
    }
    const long = seconds >= 3600;
    const words = { h: Math.floor(seconds / 3600), m: Math.floor(seconds / 60) % 60, s: seconds % 60 };
    left.textContent = left.dataset[long ? "long" : "short"].replace(/{(.)}/g, (_, unit) => words[unit]);
    setTimeout(tick, 1000 - ((Date.now() + skew) % 1000));
  };
  tick();
})();
