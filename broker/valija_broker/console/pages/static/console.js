// What the pages gain with JavaScript: they say when their numbers are old, stop looking again on demand, and draw.
// Nothing here is needed to read or to propose.
"use strict";
(() => {
  const oldAfterMs = 20_000;
  let good = performance.now(); // when the last look succeeded
  let paused = false;
  let ended = false;

  const stale = () => document.getElementById("stale");

  function say() {
    const place = stale();
    if (!place) return;
    const old = performance.now() - good > oldAfterMs;
    const show = ended || (old && !paused);
    if (show && place.hidden) {
      const asOf = document.getElementById("as-of");
      place.textContent = `${ended ? place.dataset.ended : place.dataset.stale} ${asOf ? asOf.textContent : ""}`;
    }
    place.hidden = !show;
  }

  document.addEventListener("htmx:before:request", (event) => {
    if (paused || ended) event.preventDefault();
  });
  document.addEventListener("htmx:after:request", (event) => {
    const status = event.detail?.ctx?.response?.status;
    if (status === 200) good = performance.now();
    if (status === 401) {
      ended = true;
      say();
    }
  });
  document.addEventListener("htmx:before:swap", (event) => {
    // An answer that is no page of numbers must not take their place: they stay, and are said to be old.
    if (event.detail?.ctx?.response?.status !== 200) event.preventDefault();
  });
  // What the reader has opened stays open: the page that is fetched knows nothing of it.
  let opened = [];
  document.addEventListener("htmx:before:swap", () => {
    opened = [...document.querySelectorAll("#live details[id]")].map((each) => [each.id, each.open]);
  });
  document.addEventListener("htmx:after:swap", () => {
    for (const [id, open] of opened) {
      const found = document.getElementById(id);
      if (found) found.open = open;
    }
    draw();
  });
  setInterval(say, 1_000);

  function pauseButton() {
    const button = document.getElementById("pause");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      if (!paused) good = performance.now();
      button.textContent = paused ? button.dataset.resume : button.dataset.pause;
      say();
    });
  }

  const number = (text) => Number(text.replace(/[^0-9-]/g, "")) || 0;
  const drawn = new Map();

  // Each chart is drawn from the table that says the same.
  function draw() {
    if (!window.uPlot) return;
    for (const place of document.querySelectorAll(".chart[data-table]")) {
      const table = document.getElementById(place.dataset.table);
      const rows = [...table.tBodies[0].rows].filter((row) => row.dataset.ms);
      const heads = [...table.tHead.rows[0].cells];
      const columns = place.dataset.columns.split(" ").map((name) => heads.findIndex((cell) => cell.dataset.column === name));
      const data = [
        rows.map((row) => Number(row.dataset.ms) / 1_000),
        ...columns.map((at) => rows.map((row) => number(row.cells[at].textContent))),
      ];
      const before = drawn.get(place.id);
      if (before && before.root.isConnected) {
        before.setData(data);
        continue;
      }
      const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
      place.setAttribute("aria-hidden", "true"); // the table is what is read out
      const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
      drawn.set(place.id, new window.uPlot({
        title: place.dataset.title,
        width: Math.max(240, place.clientWidth),
        height: 180,
        tzDate: (s) => window.uPlot.tzDate(new Date(s * 1_000), "Etc/UTC"),
        cursor: { y: false },
        scales: { y: { range: (_, __, max) => [0, Math.max(4, max)] } },
        axes: [
          { ...axis, values: "{HH}:{mm}" },
          { ...axis, size: 60, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000] },
        ],
        series: [
          { label: heads[0].textContent, value: "{HH}:{mm} UTC" },
          ...columns.map((at, place_) => ({
            label: heads[at].textContent,
            stroke: colour(`--series-${place_ + 1}`),
            width: 2,
            dash: place_ ? [6, 4] : undefined,
          })),
        ],
      }, data, place));
    }
  }

  addEventListener("resize", () => {
    for (const chart of drawn.values()) {
      chart.setSize({ width: Math.max(240, chart.root.parentElement.clientWidth), height: 180 });
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    pauseButton();
    draw();
  });
})();
