// Draws the charts whose data stand in #charts, and connects lists, legends and switches with them.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const options = { responsive: false, displayModeBar: false, doubleClick: false, scrollZoom: false };
  const PRINTED_PX = 660;  // width of an A4 page between its margins
  const state = {};  // chart -> {at: variant, hidden: groups, on: whether its switch is on}
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const place = (id) => document.getElementById(`chart-${id}`);

  // Where there is no room beside a point; a click shows the rest below the chart.
  const firstLines = (text) => text.split("<br>").slice(0, 2).join("<br>");

  function visible(trace, id) {
    const { hidden, on } = state[id];
    const toggle = charts[id][state[id].at].toggle;
    return !hidden.has(trace.legendgroup) && !(toggle && trace.legendgroup === toggle.group && !on);
  }

  // Plotly writes 75%; here a space stands before the sign, as in the text.
  function inPercent(layout, data) {
    for (const side of ["x", "y"]) {
      const axis = layout[`${side}axis`];
      if (!/[%p]$/.test(axis.tickformat || "")) continue;
      delete axis.tickformat;
      axis.ticksuffix = "\u00a0%";
      if (axis.range) axis.range = axis.range.map((end) => 100 * end);
      if (axis.dtick) axis.dtick *= 100;
      for (const trace of data) trace[side] = trace[side].map((share) => (share === null ? null : 100 * share));
    }
  }

  function draw(id, printed = false) {
    const chart = charts[id][state[id].at], element = place(id), absent = document.getElementById(`none-${id}`);
    element.hidden = !chart;
    if (absent) absent.hidden = Boolean(chart);
    const legend = element.closest("figure").querySelector(".legend");
    if (legend) legend.hidden = !chart;
    element.closest(".scroll").hidden = !chart;
    if (!chart) return;
    const least = chart.min_width || 0, scale = printed ? Math.min(1, PRINTED_PX / least) : 1;
    element.style.minWidth = printed ? "" : `${least}px`;
    element.style.zoom = scale;
    const width = printed ? PRINTED_PX / scale : Math.max(element.clientWidth, least);
    const layout = structuredClone(chart.layout);
    if (chart.toggle && state[id].on) {
      for (const [path, value] of Object.entries(chart.toggle.on)) {
        const [axis, name] = path.split(".");
        layout[axis][name] = value;
      }
    }
    const narrow = width < 520;
    if (narrow) {
      layout.font.size = 12;
      layout.margin = { ...layout.margin, l: Math.min(layout.margin.l, 40) };
      if (layout.margin.r < 20) layout.margin.r = 8;
      if (layout.height > 420) layout.height = 420;
    }
    layout.width = width;
    const data = structuredClone(chart.data).map((trace) => ({ ...trace, visible: visible(trace, id) }));
    if (narrow) {
      for (const trace of data) if (trace.type === "scatter" && trace.customdata) trace.text = trace.text.map(firstLines);
    }
    inPercent(layout, data);
    Plotly.react(element, data, layout, options);
  }

  // A box that does not scroll needs no stop of the keyboard.
  function stops() {
    for (const box of all(".scroll")) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }

  function show(name, index) {
    for (const panel of all(`[data-panel="${name}"]`)) panel.hidden = Number(panel.dataset.index) !== index;
  }

  function pick(name, index) {
    show(name, index);
    for (const element of all(`.drawing[data-pick="${name}"]`)) {
      const id = element.id.slice("chart-".length);
      state[id].at = index;
      draw(id);
    }
    stops();
  }

  function connect() {
    for (const details of all("details")) details.addEventListener("toggle", stops);
    for (const button of all(".legend button")) {
      button.addEventListener("click", () => {
        const { charts: ids, group } = button.dataset, shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(shown));
        for (const id of ids.split(" ")) {
          state[id].hidden[shown ? "delete" : "add"](group);
          draw(id);
        }
      });
    }
    for (const button of all("[data-toggle]")) {
      button.addEventListener("click", () => {
        const id = button.dataset.toggle;
        state[id].on = !state[id].on;
        button.setAttribute("aria-pressed", String(state[id].on));
        draw(id);
      });
    }
    for (const list of all("select[id^='pick-']")) {
      const name = list.id.slice("pick-".length);
      list.addEventListener("change", () => pick(name, list.selectedIndex));
      show(name, list.selectedIndex);
    }
    const cells = document.getElementById("pick-cell");
    place("figure1").on("plotly_click", (event) => {
      const name = event.points[0].customdata;
      const panel = all('[data-panel="cell"]').find((each) => each.dataset.name === name);
      if (!panel) return;
      cells.selectedIndex = Number(panel.dataset.index);
      pick("cell", cells.selectedIndex);
    });
  }

  const opened = [];
  function beforePrint() {
    for (const details of all("details:not([open]):not(.as-is)")) {
      details.open = true;
      opened.push(details);
    }
    for (const id of Object.keys(charts)) draw(id, true);
  }

  function afterPrint() {
    for (const details of opened.splice(0)) details.open = false;
    for (const id of Object.keys(charts)) draw(id);
  }

  for (const id of Object.keys(charts)) {
    state[id] = { at: Number(place(id).dataset.start), hidden: new Set(), on: false };
    draw(id);
  }
  connect();
  if (window.matchMedia("(max-width: 1099px)").matches) document.getElementById("contents").open = false;
  let width = window.innerWidth, waiting = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;  // a phone's address bar changes the height only
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const id of Object.keys(charts)) draw(id);
      stops();
    }, 100);
  });
  window.addEventListener("beforeprint", beforePrint);
  window.addEventListener("afterprint", afterPrint);
  stops();
  document.documentElement.dataset.drawn = "true";
})();
