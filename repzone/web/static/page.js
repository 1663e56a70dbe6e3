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
      status.textContent = status.dataset.say;
      const heading = document.querySelector("[data-ended]");
      heading.textContent = heading.dataset.ended;
      document.title = document.title.replace(/^.* – /, `${heading.dataset.ended} – `); // whose page it is stays
      heading.parentNode.classList.replace("is-blocked", "is-old");
      document.querySelector("[data-until]").remove();
      left.parentNode.remove();
      return;
    }
    const hours = Math.floor(seconds / 3600);
    const form = hours >= 48 ? "days" : hours ? "long" : "short"; // as the server has it
    const words = { d: Math.floor(hours / 24), h: hours, m: Math.floor(seconds / 60) % 60, s: seconds % 60 };
    if (form === "days") words.h %= 24;
    const text = left.dataset[form].replace(/{(.)}/g, (_, unit) => words[unit]);
    left.textContent = text.replace(/(\d) /g, "$1\u00a0"); // no line breaks between a number and its unit
    setTimeout(tick, 1000 - ((Date.now() + skew) % 1000));
  };
  tick();
})();
