// Charts, by uPlot. Each says in words what it shows; the numbers stand in the table beside it.

import uPlot from "uplot";
import { html, useEffect, useRef } from "../html.js";

/** A colour of the page's as a canvas takes it. */
function color(name) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** Draws a chart made by `make(width, colors)` and draws it anew when its place or the page's colours change. */
function Plot({ make, label, height }) {
  const place = useRef(null);
  useEffect(() => {
    // Kept: the observer may still be called when the place is gone already.
    const holder = place.current;
    let plot;
    let width = 0;
    const draw = () => {
      width = holder.clientWidth;
      plot?.destroy();
      if (width > 0) {
        const [opts, data] = make(width, { ink: color("--ink-quiet"), grid: color("--line"), bar: color("--accent"), second: color("--second") });
        plot = new uPlot({ width, height, legend: { show: false }, ...opts }, data, holder);
      }
    };
    draw();
    const sized = new ResizeObserver(() => holder.clientWidth !== width && draw());
    sized.observe(holder);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    return () => {
      sized.disconnect();
      dark.removeEventListener("change", draw);
      plot?.destroy();
    };
  }, [make]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`;
}

const axis = (colors, more = {}) => ({ stroke: colors.ink, grid: { stroke: colors.grid, width: 1 }, ticks: { stroke: colors.grid, width: 1 }, font: "12px system-ui, sans-serif", ...more });

/** Bars by name: `series` are `{name, values}`, one or two; `show(value)` writes a value. */
export function Bars({ names, series, label, show = String, height = 220 }) {
  const make = (width, colors) => {
    const shorten = (text) => (text.length > 18 ? `${text.slice(0, 17)}…` : text);
    // Names that do not fit side by side are slanted; where even that is too close, some are left out.
    const each = (width - 64) / names.length;
    const isSlanted = Math.max(...names.map((name) => shorten(name).length)) * 7 > each;
    const step = isSlanted ? Math.ceil(18 / each) : 1;
    const slant = isSlanted ? { rotate: 40, size: 100 } : {};
    const count = series.length;
    const bars = (place) => uPlot.paths.bars({ size: [0.7 / count, 60], align: count === 1 ? 0 : place === 0 ? -1 : 1 });
    return [
      {
        ...(isSlanted && { height: height + 70 }),
        scales: { x: { time: false, range: [-0.6, Math.max(names.length - 0.4, 0.6)] }, y: { range: (plot, low, high) => [0, Math.max(high, 1) * 1.08] } },
        axes: [
          axis(colors, { grid: { show: false }, ...slant, splits: () => names.map((name, place) => place), values: (plot, places) => places.map((place) => (place % step === 0 ? shorten(names[place] ?? "") : "")) }),
          axis(colors, { size: 64, values: (plot, values) => values.map(show) }),
        ],
        series: [{}, ...series.map((one, place) => ({ label: one.name, fill: place === 0 ? colors.bar : colors.second, stroke: "transparent", width: 0, paths: bars(place), points: { show: false } }))],
        cursor: { show: false },
      },
      [names.map((name, place) => place), ...series.map((one) => one.values)],
    ];
  };
  return html`<figure>
    <${Plot} key=${JSON.stringify([names, series])} make=${make} label=${label} height=${height} />
    ${series.length > 1 && html`<figcaption class="legend">${series.map((one, place) => html`<span class=${`mark mark-${place}`}>${one.name}</span>`)}</figcaption>`}
  </figure>`;
}

const DAY = 86_400_000;
/** How moments are written below a chart, by how far apart they are: uPlot's `axis.values`, without any language's own way. */
const DATES = [
  [365 * 86_400, "{YYYY}", null, null, null, null, null, null, 1],
  [86_400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

/**
 * How many events there were over time: `counts` are `[start, count]` in order, one for each unit of time, as a bar is as wide as the shortest step from
 * one to the next: those without any event are 0. Dragging over it selects a range: `onSelect(fromMs, untilMs)`.
 */
export function Histogram({ counts, isByDay, range, zone, label, onSelect, height = 110 }) {
  // The axis names nothing and the most: there is no half of an event.
  const most = Math.max(1, ...counts.map(([, count]) => count));
  const make = (width, colors) => [
    {
      scales: { x: { time: true, range: range }, y: { range: (plot, low, high) => [0, Math.max(high, 1) * 1.1] } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
      axes: [axis(colors, { grid: { show: false }, space: 70, values: DATES, ...(isByDay ? { incrs: [1, 2, 7, 14, 28, 91].map((days) => (days * DAY) / 1000) } : {}) }), axis(colors, { size: 52, splits: () => [0, most] })],
      series: [{}, { fill: colors.bar, stroke: "transparent", width: 0, paths: uPlot.paths.bars({ size: [0.9, Infinity], align: 1 }), points: { show: false } }],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      hooks: {
        setSelect: [
          (plot) => {
            if (plot.select.width < 3) return;
            const [from, to] = [plot.select.left, plot.select.left + plot.select.width].map((place) => plot.posToVal(place, "x") * 1000);
            plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            onSelect(from, to);
          },
        ],
      },
    },
    [counts.map(([start]) => start / 1000), counts.map(([, count]) => count)],
  ];
  return html`<${Plot} key=${JSON.stringify([counts, range, zone])} make=${make} label=${label} height=${height} />`;
}
