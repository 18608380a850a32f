// The page: sliders, panels, links.
"use strict";

const $ = id => document.getElementById(id);
const EVENTS = {  // name, and the strategy whose curve has the mark
  emergence: ["ICL is learnt", STRATEGY], peak: ["ICL is best", STRATEGY],
  crossing: ["CIWL becomes better", RIVAL], unlearning: ["ICL is unlearnt", STRATEGY],
  takeover: ["CIWL is learnt", RIVAL],
};
const LABELLED_FROM = 560;  // width of a plot that has room for the names of events
const POSITIONS = 240;  // of a slider
const LINK_DELAY = 200;  // ms; browsers refuse to change the address at every movement
const LEFT = 44, RIGHT = 20;  // margins of a plot
const SPACING = 28;  // of arrows
let setting, view, run, alone, events, emergenceAlone, aligned;

const format = (value, digits = 3) => {
  if (!Number.isFinite(value)) return "–";
  const isExtreme = value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5);
  const text = isExtreme ? value.toExponential(1) : String(Number(value.toPrecision(digits)));
  return text.replace(/-/g, "−");
};
const formatShare = value =>
  Math.abs(value) < 100 ? value.toFixed(2).replace("-", "−") : format(value);
const formatTime = time => Math.round(time).toLocaleString("en-US");

// Numbers

function update() {
  run = simulate(setting);
  alone = simulateAlone(setting);
  events = findEvents(run);
  emergenceAlone = firstLearntTime(alone.step, excess(alone, STRATEGY));
  const overlay = DATA.overlays[view.overlay];
  aligned = overlay && run.status !== "DIVERGED" && {...alignOverlay(run, overlay), overlay};
  drawAll();
}

// After a control has moved: simulate and draw again before the next frame, once for all controls.
let isScheduled = false, isOutdated = false;
function schedule({onlyDraw = false} = {}) {
  $("problem").hidden = true;
  isOutdated ||= !onlyDraw;
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    const work = isOutdated ? update : drawAll;
    isScheduled = isOutdated = false;
    work();
  });
}

const redraw = () => schedule({onlyDraw: true});

// Plots

const SCALES = {
  linear: {map: x => x, ticks: linearTicks},
  log: {map: x => Math.log10(Math.max(x, 1e-9)), ticks: decadeTicks},
};

function linearTicks(lo, hi, n) {
  const raw = (hi - lo) / n, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(x => x * power).find(x => x >= raw);
  const ticks = [];
  for (let x = Math.ceil(lo / step - 1e-9) * step; x <= hi + 1e-9 * step; x += step) {
    ticks.push(Math.abs(x) < 1e-9 * step ? 0 : x);
  }
  return ticks;
}

function decadeTicks(lo, hi) {
  const ticks = [];
  for (let k = Math.ceil(Math.log10(lo)); k <= Math.log10(hi) + 1e-9; k++) ticks.push(10 ** k);
  return ticks;
}

// Axes of a panel, with functions that place its curves.
function axes(svg, {x, y, xLabel, yLabel, scale = "linear"}) {
  const width = svg.clientWidth, height = svg.clientHeight;
  const left = LEFT, right = width - RIGHT, top = 8, bottom = height - 36;
  const {map, ticks} = SCALES[scale];
  const [x0, x1] = x.map(map), [y0, y1] = y;
  const px = value => left + (map(value) - x0) / (x1 - x0) * (right - left);
  const py = value => bottom - (value - y0) / (y1 - y0) * (bottom - top);
  const points = [], boxes = [];  // what a label must not hide
  const parts = [`<defs><clipPath id="${svg.parentNode.id}-clip"><rect x="${left}" y="${top - 3}" ` +
    `width="${right - left}" height="${bottom - top + 3}"/></clipPath></defs>`];
  const write = (x, y, text, anchor, style = "") =>
    parts.push(`<text class="${style}" x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`);
  for (const tick of ticks(...x, Math.max(3, width / 110))) {
    parts.push(`<path class="axis" d="M${px(tick)} ${bottom}v5"/>`);
    write(px(tick), bottom + 17, tick.toLocaleString("en-US").replace("-", "−"), "middle");
  }
  for (const tick of linearTicks(...y, Math.max(3, height / 60))) {
    parts.push(`<path class="axis" d="M${left} ${py(tick)}H${right}"/>`);
    write(left - 6, py(tick) + 4, String(Number(tick.toPrecision(6))).replace("-", "−"), "end");
  }
  parts.push(`<path class="axis" d="M${left} ${top}V${bottom}H${right}"/>`);
  write((left + right) / 2, height - 3, xLabel, "middle");
  parts.push(`<text transform="translate(11 ${(top + bottom) / 2}) rotate(-90)" ` +
    `text-anchor="middle">${yLabel}</text>`);
  const clip = `clip-path="url(#${svg.parentNode.id}-clip)"`;
  return {
    px, py, parts, left, right, top, bottom, x, y, width, write,
    curve(xs, ys, style, extra = "") {
      let d = "", isOpen = false;
      for (let k = 0; k < xs.length; k++) {
        if (!Number.isFinite(xs[k]) || !Number.isFinite(ys[k])) { isOpen = false; continue; }
        const across = px(xs[k]), at = Math.max(-1e4, Math.min(1e4, py(ys[k])));
        d += `${isOpen ? "L" : "M"}${across.toFixed(1)} ${at.toFixed(1)}`;
        points.push([across, at]);
        isOpen = true;
      }
      parts.push(`<path ${clip} class="curve ${extra}" style="stroke:var(--${style})" d="${d}"/>`);
    },
    mark(number, style, x, y) {
      const across = px(x), at = Math.max(top, Math.min(bottom, py(y)));
      boxes.push([across - 8, at - 8, across + 8, at + 8]);
      parts.push(`<g class="mark"><circle cx="${across}" cy="${at}" r="8" style="fill:var(--${style}-text)"/>` +
        `<text x="${across}" y="${at + 3.5}">${number}</text></g>`);
      return [across, at];
    },
    // Write a text at the place, of [x, y, anchor], where it hides least of curves and texts.
    label(text, places, style = "label") {
      const size = 6.4 * text.length;
      const costs = places.map(([x, y, anchor], rank) => {
        const from = anchor === "end" ? x - size : x;
        const box = [from - 2, y - 12, from + size + 2, y + 4];
        const isIn = ([px, py]) => px > box[0] && px < box[2] && py > box[1] && py < box[3];
        const isHit = b => b[0] < box[2] && b[2] > box[0] && b[1] < box[3] && b[3] > box[1];
        const isOutside = box[0] < left || box[2] > right + RIGHT || box[1] < top || box[3] > bottom;
        const hidden = points.filter(isIn).length + 200 * boxes.filter(isHit).length;
        return [hidden + (isOutside ? 1000 : 0) + rank / 100, box];
      });
      const best = costs.reduce((k, [cost], j) => cost < costs[k][0] ? j : k, 0);
      const [x, y, anchor] = places[best];
      boxes.push(costs[best][1]);
      write(x, y, text, anchor, style);
    },
    show(label) {
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("aria-label", label);
      svg.innerHTML = parts.join("");
    },
  };
}

// The samples of a run that are drawn: evenly spread over a linear or logarithmic axis of time.
function samples(each) {
  const last = each.n - 1, kept = new Set([0]), n = 500;
  for (let k = 0; k <= n; k++) {
    kept.add(Math.round(view.scale === "log" && last > 0 ? last ** (k / n) : last * k / n));
  }
  return [...kept];
}

const ENDS = [200, 500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10000, 12000, 16000];

function timeAxis() {
  const longest = (run.n - 1) * run.step;
  const end = ENDS.find(each => each >= longest) ?? DATA.t1;
  const first = Math.max(run.step, 1);
  return view.scale === "log" ? [first, Math.max(end, 10 * first)] : [0, end];
}

const cursorTime = () =>
  Math.min(view.time ?? events.emergence ?? (run.n - 1) * run.step, (run.n - 1) * run.step);
const sampleAt = time => Math.min(run.n - 1, Math.round(time / run.step));
const numbered = () => Object.entries(events).filter(([, time]) => time !== null)
  .sort((one, other) => one[1] - other[1]);

function drawCursor(plot) {
  const at = plot.px(Math.max(cursorTime(), plot.x[0]));
  plot.parts.push(`<path class="cursor" d="M${at} ${plot.top}V${plot.bottom}"/>`);
}

function legend(id, items) {
  $(id).innerHTML = items.map(([name, style, value, kind = ""]) =>
    `<li class="${kind}"><i style="color:var(--${style})"></i>${name}` +
    `${value === undefined ? "" : ` <b>${value}</b>`}</li>`).join("");
}

function relative(each, name) {
  const {unlearnt, numbers} = each;
  const whole = name !== "total" ? unlearnt[name]
    : MECHANISMS.reduce((all, m) => all * (unlearnt[m.name] + numbers[m.symbol]), 1);
  return k => each.losses[name][k] / whole;
}

function drawLosses() {
  const svg = $("losses").querySelector("svg");
  const plot = axes(svg, {x: timeAxis(), y: [0, 1.25], scale: view.scale,
                          xLabel: DATA.timeLabel, yLabel: "loss / unlearnt loss"});
  const half = plot.py(DATA.learntBelow);
  plot.parts.push(`<path class="guide" d="M${plot.left} ${half}H${plot.right}"/>`);
  const draw = (each, name, style, extra) => {
    const kept = samples(each), value = relative(each, name);
    plot.curve(kept.map(k => k * each.step), kept.map(value), style, extra);
  };
  draw(alone, STRATEGY, "icl", "alone");
  for (const name of ["total", RIVAL, STRATEGY]) draw(run, name, name, "");
  if (aligned) drawOverlay(plot);
  drawCursor(plot);
  const marks = numbered().map(([name, time], k) => {
    const [title, strategy] = EVENTS[name], height = relative(run, strategy)(sampleAt(time));
    return [`${k + 1} ${title}`, plot.mark(k + 1, strategy, Math.max(time, plot.x[0]), height)];
  });
  if (plot.width >= LABELLED_FROM) marks.forEach(([text, at]) => plot.label(text, around(at)));
  plot.label("learnt below this line", [0, 0.15, 0.3, 0.45, 0.6].flatMap(part => {
    const x = part * (plot.right - plot.left);
    return [[plot.right - 4 - x, half - 5, "end"], [plot.left + 6 + x, half - 5, "start"]];
  }), "note");
  plot.show(`Losses over time. ${$("fate").textContent}`);
  const k = sampleAt(cursorTime());
  legend("losses-legend", [
    ...[STRATEGY, RIVAL, "total"].map(name =>
      [DATA.names[name], name, format(relative(run, name)(k))]),
    ["ICL without CIWL", "icl", undefined, "dashed"],
    ...(aligned ? [["measured", "soft", undefined, "dots"]] : []),
  ]);
}

// Places for the label of a point.
function around([x, y]) {
  const sides = [[1, 0], [-1, 0], [0.7, -0.8], [-0.7, -0.8], [0.7, 0.8], [-0.7, 0.8]];
  return [12, 22, 34].flatMap(far => sides.map(([dx, dy]) =>
    [x + dx * far, y + dy * far + 4, dx < 0 ? "end" : "start"]));
}

function drawOverlay(plot) {
  for (const name of [STRATEGY, RIVAL]) {
    const {floor, gain} = aligned.curves[name];
    if (gain === 0) continue;
    aligned.times.forEach((time, k) => {
      const y = (aligned.overlay[name][k] - floor) / gain / run.unlearnt[name];
      if (time < plot.x[0] || time > plot.x[1] || !(y >= 0 && y <= 1.25)) return;
      plot.parts.push(`<circle class="measured" cx="${plot.px(time).toFixed(1)}" ` +
        `cy="${plot.py(y).toFixed(1)}" r="2.6" style="stroke:var(--${name})"/>`);
    });
  }
}

const FURTHEST = 6;  // target norms that a panel shows; a run that diverges goes further

function bounds(values, least, most, step) {
  const known = values.filter(Number.isFinite);
  const lo = Math.min(least, ...known), hi = Math.max(most, ...known);
  return [Math.floor(lo / step + 1e-9) * step, Math.ceil(hi / step - 1e-9) * step]
    .map(x => Math.max(-FURTHEST, Math.min(FURTHEST, x)));
}

function drawFactors(id, yLabel, value, guide) {
  const svg = $(id).querySelector("svg"), kept = samples(run), {norms} = DATA.draws[setting.draw];
  const curves = FACTORS.map(f => kept.map(k => value(f, k) / norms[f]));
  const plot = axes(svg, {x: timeAxis(), y: bounds(curves.flat(), 0, 1.2, 0.2), scale: view.scale,
                          xLabel: DATA.timeLabel, yLabel});
  plot.parts.push(`<path class="guide" d="M${plot.left} ${plot.py(guide)}H${plot.right}"/>`);
  curves.forEach((ys, j) => plot.curve(kept.map(k => k * run.step), ys, FACTORS[j], ""));
  drawCursor(plot);
  plot.show(yLabel);
  const k = sampleAt(cursorTime());
  legend(`${id}-legend`, FACTORS.map(f => [f, f, formatShare(value(f, k) / norms[f])]));
}

// Phase planes: the part of each target that is built, or the overlaps of the rival factors.
const PLANES = {
  built: {
    title: "what is built", labels: ["part of ICL's target", "part of CIWL's target"],
    value: (name, k) => product(PARTS_OF[name], overlapsAt(k)) / run.numbers[`S_${name}`],
  },
  overlaps: {
    title: "overlaps of a and d",
    labels: ["overlap of a / norm of target", "overlap of d / norm of target"],
    value: (name, k) => run.overlap[OWN[name]][k] / DATA.draws[setting.draw].norms[OWN[name]],
  },
};
const PARTS_OF = Object.fromEntries(MECHANISMS.map(({name, factors}) => [name, factors]));
const OWN = Object.fromEntries(MECHANISMS.map(({name, factors}) =>  // the factor of one strategy only
  [name, factors.find(f => MECHANISMS.every(m => m.name === name || !m.factors.includes(f)))]));
const overlapsAt = k => Object.fromEntries(FACTORS.map(f => [f, run.overlap[f][k]]));

function drawPlane() {
  const svg = $("plane").querySelector("svg"), kept = samples(run);
  const {labels: [xLabel, yLabel], value} = PLANES[view.plane];
  const xs = kept.map(k => value(STRATEGY, k)), ys = kept.map(k => value(RIVAL, k));
  const [x, y] = [xs, ys].map(values => bounds(values, -0.2, 1.2, 0.2));
  const plot = axes(svg, {x, y, xLabel, yLabel});
  if (view.plane === "overlaps") drawArrows(plot, OWN[STRATEGY], OWN[RIVAL]);
  else drawCorners(plot);
  plot.curve(xs, ys, "total", "");
  const now = sampleAt(cursorTime());
  plot.parts.push(`<circle class="now" cx="${plot.px(value(STRATEGY, now))}" ` +
    `cy="${plot.py(value(RIVAL, now))}" r="5"/>`);
  numbered().forEach(([name, time], k) => {
    const at = sampleAt(time);
    if (at !== now) plot.mark(k + 1, EVENTS[name][1], value(STRATEGY, at), value(RIVAL, at));
  });
  plot.show(`Phase plane: ${PLANES[view.plane].title}`);
  const pull = view.plane === "overlaps" ? [["velocity at that time", "soft"]] : [];
  legend("plane-legend", [["path (ring: time shown)", "total"], ...pull]);
}

function drawCorners(plot) {
  for (const [x, y, text, anchor] of [[0, 0, "neither", "start"], [1, 0, "ICL", "end"],
                                      [0, 1, "CIWL", "start"], [1, 1, "both", "end"]]) {
    const across = plot.px(x), at = plot.py(y), beside = anchor === "start" ? -4 : 4;
    plot.parts.push(`<circle class="corner" cx="${across}" cy="${at}" r="4"/>`);
    plot.write(across + beside, y === 0 ? at + 17 : at - 8, text, anchor, "label");
  }
}

// The velocity of two factors over the plane of their overlaps, at the cursor's time.
function drawArrows(plot, x, y) {
  const {norms} = DATA.draws[setting.draw], now = sampleAt(cursorTime());
  const state = PARTS.flatMap(([, part]) => FACTORS.map(f => run[part][f][now]));
  const [i, j] = [x, y].map(f => FACTORS.indexOf(f)), arrows = [];
  const out = new Float64Array(LOSSES.length + state.length);
  const [columns, rows] = [plot.right - plot.left, plot.bottom - plot.top]
    .map(size => Math.round(size / SPACING));
  const between = ([first, last], part) => first + part * (last - first);
  for (let column = 0.5; column < columns; column++) {
    for (let row = 0.5; row < rows; row++) {
      const at = [between(plot.x, column / columns), between(plot.y, row / rows)];
      state[i] = norms[x] * at[0];
      state[j] = norms[y] * at[1];
      evaluate(state, run.numbers, out);
      const [dx, dy] = [out[LOSSES.length + i] / norms[x], -out[LOSSES.length + j] / norms[y]];
      arrows.push({cx: plot.px(at[0]), cy: plot.py(at[1]), dx, dy, size: Math.hypot(dx, dy)});
    }
  }
  const largest = Math.max(...arrows.map(({size}) => size));
  for (const {cx, cy, dx, dy, size} of arrows) {
    const half = SPACING * 0.42 * (size / largest) ** 0.35, ux = dx / size, uy = dy / size;
    if (!(half > 1)) continue;  // also where nothing moves, or not by finite numbers
    const point = (along, across) =>
      `${(cx + along * ux - across * uy).toFixed(1)} ${(cy + along * uy + across * ux).toFixed(1)}`;
    const head = half - Math.min(4, half), tip = point(half, 0);
    plot.parts.push(`<path class="arrow" d="M${point(-half, 0)}L${tip}` +
      `M${point(head, 2.4)}L${tip}L${point(head, -2.4)}"/>`);
  }
}

// Text

const FATES = {
  NEVER: "neither strategy has been learnt",
  ICL_PERSISTENT: "ICL has been learnt, and CIWL has not replaced it",
  ICL_TRANSIENT: "ICL has been learnt and has faded",
  CIWL_ONLY: "CIWL has been learnt, and ICL has not",
  COEXISTENCE: "both have been learnt, and neither has replaced the other",
};

function tellStory() {
  const preset = Object.values(DATA.presets).find(each => sameSetting(each.setting, setting));
  const fate = findFate(run), end = formatTime((run.n - 1) * run.step);
  const [sentence, effect] = fate === "DIVERGED" ? ["Descent diverged; lower the step size.", ""]
    : [`By time ${end}, ${FATES[fate]}. ${preset ? preset.text : tellOutlook()}`, tellEffect()];
  $("fate").textContent = sentence;
  $("effect").textContent = effect;
  $("events").innerHTML = numbered().map(([name, time], k) =>
    `<li><span style="background:var(--${EVENTS[name][1]}-text)">${k + 1}</span>` +
    `${EVENTS[name][0]} <b>${formatTime(time)}</b></li>`).join("") ||
    "<li>No event in the given time.</li>";
  $("time-text").textContent = formatTime(cursorTime());
  const text = $("overlay-text");
  text.hidden = !aligned;
  if (aligned) {
    const share = name => `${Math.max(0, 100 * (1 - aligned.curves[name].unexplained)).toFixed(0)} %`;
    const rate = aligned.overlay.sequences.at(-1) / (aligned.last - aligned.first);
    text.textContent = `Time and losses are stretched and shifted to come as close as they can: ` +
      `1 unit of time is ${rate < 10 ? format(rate) : formatTime(rate)} sequences. ` +
      `The run explains ${share(STRATEGY)} of the variance of ICL's loss and ${share(RIVAL)} of CIWL's.`;
  }
}

// The minima of the loss decide what happens in the long run (docs/theory.md, section 6).
function tellOutlook() {
  if (run.status === "AT_REST") return "All gradients are 0 at this initial state.";
  const {alpha, mu1, mu2} = setting;
  if (alpha === 0) return "Without competition, both can be learnt together.";
  if (mu1 === 0 && mu2 === 0) return "Either error can fall to 0, so the first to do so can stay.";
  const [errors, end] = mu1 === 0 ? ["Only ICL's error", "ICL alone"]
    : mu2 === 0 ? ["Only CIWL's error", "CIWL alone"] : ["Neither error", "both learnt"];
  return `${errors} can fall to 0: nearly every run, if continued long enough, ends with ${end}.`;
}

function tellEffect() {
  const {emergence} = events, until = formatTime(DATA.t1);
  if (emergenceAlone === null) {
    return emergence === null ? `ICL is not learnt by time ${until}, with or without CIWL.`
      : `CIWL helps ICL: without CIWL, ICL is not learnt by time ${until}.`;
  }
  const without = `Without CIWL (dashed), ICL is learnt at time ${formatTime(emergenceAlone)}.`;
  if (emergence === null) return `${without} CIWL prevents that.`;
  if (emergence === 0) return "ICL is learnt at the start.";
  const ratio = emergenceAlone / emergence, times = format(Math.max(ratio, 1 / ratio), 2);
  if (times === "1") return `${without} CIWL hardly changes that.`;
  return `${without} CIWL ${ratio > 1 ? "speeds up" : "delays"} ICL by a factor of ${times}.`;
}

function drawAll() {
  tellStory();
  drawLosses();
  drawFactors("overlaps", "overlap / norm of target", (f, k) => run.overlap[f][k], 1);
  drawFactors("lengths", "norm / norm of target",
              (f, k) => Math.hypot(run.overlap[f][k], run.orthogonal[f][k]), 1);
  drawPlane();
  showControls();
  clearTimeout(linkTimer);
  linkTimer = setTimeout(updateLink, LINK_DELAY);
}

let linkTimer;

function updateLink() {
  const hash = writeHash(setting, view);
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

// Controls

function position(slider, value) {
  const {first, last, log, zero} = slider;
  if (!log) return (value - first) / (last - first) * POSITIONS;
  const from = zero ? 1 : 0;
  return value <= 0 ? 0 : from + Math.log(value / first) / Math.log(last / first) * (POSITIONS - from);
}

function valueAt(slider, at) {
  const {first, last, log, zero} = slider, from = zero ? 1 : 0;
  if (zero && at === 0) return 0;
  const value = log ? first * (last / first) ** ((at - from) / (POSITIONS - from))
    : first + (last - first) * at / POSITIONS;
  return Number(value.toPrecision(3));
}

const controls = [];

function addSlider(parent, id, label, slider, text, get, set) {
  const div = document.createElement("div");
  div.className = "slider";
  div.innerHTML = `<div class="row"><label for="${id}">${label}</label>` +
    `<output for="${id}" aria-live="off"></output>` +
    `</div><input type="range" id="${id}" min="0" max="${POSITIONS}" step="1">` +
    (text ? `<p id="${id}-text">${text}</p>` : "");
  parent.append(div);
  const input = div.querySelector("input"), output = div.querySelector("output");
  if (text) input.setAttribute("aria-describedby", `${id}-text`);
  if (label !== slider.title) input.setAttribute("aria-label", `${slider.title} ${label}`);
  input.addEventListener("input", () => { set(valueAt(slider, Number(input.value))); schedule(); });
  controls.push(() => {
    const shown = format(get());
    if (valueAt(slider, Number(input.value)) !== get()) input.value = position(slider, get());
    output.textContent = shown;
    input.setAttribute("aria-valuetext", shown);
  });
}

function addGroup(parent, letter, part) {
  const slider = DATA.sliders[letter], div = document.createElement("div");
  div.className = "group";
  div.innerHTML = `<div class="title">${slider.title}</div><div class="four"></div>` +
    `<p>${slider.text}</p>`;
  parent.append(div);
  for (const f of FACTORS) {
    addSlider(div.querySelector(".four"), `${letter}_${f}`, `of ${f}`, slider, "",
              () => setting[part][f], value => { setting[part][f] = value; });
  }
}

function addNumber(parent, name) {
  const slider = DATA.sliders[name];
  addSlider(parent, name, slider.title, slider, slider.text,
            () => setting[name], value => { setting[name] = value; });
}

function addOptions(id, options) {
  for (const [value, title] of options) $(id).add(new Option(title, value));
}

// Copy a text, say so, and return whether the browser allowed it.
async function copy(text, done, instead) {
  let isCopied = true;
  try { await navigator.clipboard.writeText(text); } catch { isCopied = false; }
  $("copied").textContent = isCopied ? done : `The browser did not allow copying; ${instead}`;
  return isCopied;
}

// The address of a file holds the reader's folders and is of use to nobody else.
const FILE_LINK = "The part of the link from # on is copied. Send it with this file; to open the " +
  "view, add it to the end of the file's address.";

function copyLink() {
  updateLink();
  const isFile = location.protocol === "file:", link = isFile ? location.hash || "#" : location.href;
  copy(link, isFile ? FILE_LINK : "Link copied.", `copy this yourself: ${link}`);
}

async function copyPython() {
  const isCopied = await copy(toPython(setting), "Python code copied.", "select the code below.");
  $("code").open ||= !isCopied;
}

function build() {
  for (const [name, preset] of Object.entries(DATA.presets)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = preset.title;
    button.addEventListener("click", () => {
      setting = structuredClone(preset.setting);
      view.time = null;
      schedule();
    });
    $("presets").append(button);
    controls.push(() => button.setAttribute("aria-pressed", sameSetting(preset.setting, setting)));
  }
  for (const name of ["alpha", "mu1"]) addNumber($("main-sliders"), name);
  addGroup($("main-sliders"), "u", "overlap");
  addNumber($("main-sliders"), "step");
  addNumber($("more-sliders"), "mu2");
  addGroup($("more-sliders"), "w", "orthogonal");
  addOptions("draw", Object.keys(DATA.draws).map(k => [k, `seed ${k}`]));
  addOptions("plane-view", Object.entries(PLANES).map(([name, {title}]) => [name, title]));
  addOptions("overlay", Object.keys(DATA.overlays).map(title => [title, title]));
  $("draw").addEventListener("change", () => {
    const {overlap, orthogonal, draw} = publishedSetting(Number($("draw").value));
    setting = {...setting, draw, overlap, orthogonal};
    schedule();
  });
  $("overlay").addEventListener("change", () => {
    view.overlay = $("overlay").value;
    schedule();
  });
  $("plane-view").addEventListener("change", () => {
    view.plane = $("plane-view").value;
    redraw();
  });
  $("scale").addEventListener("change", () => {
    view.scale = $("scale").checked ? "log" : "linear";
    redraw();
  });
  $("time").addEventListener("input", () => setTime(Number($("time").value) / 1000));
  $("link").addEventListener("click", copyLink);
  $("python").addEventListener("click", copyPython);
  for (const id of ["losses", "overlaps", "lengths"]) {
    const svg = $(id).querySelector("svg"), follow = event => {
      const {left, width} = svg.getBoundingClientRect();
      setTime(Math.max(0, Math.min(1, (event.clientX - left - LEFT) / (width - LEFT - RIGHT))));
    };
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointermove", event => { if (event.buttons) follow(event); });
  }
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (document.body.clientWidth !== width) requestAnimationFrame(drawAll);
    width = document.body.clientWidth;
  }).observe(document.body);
  addEventListener("hashchange", openLink);
}

// Set the cursor to a part of the time axis, from 0 to 1.
function setTime(part) {
  const [first, last] = timeAxis();
  view.time = view.scale === "log" ? first * (last / first) ** part : first + part * (last - first);
  view.time = Number(Math.min(view.time, DATA.t1).toPrecision(5));
  redraw();
}

function showControls() {
  for (const show of controls) show();
  $("draw").value = setting.draw;
  $("overlay").value = view.overlay;
  $("plane-view").value = view.plane;
  $("scale").checked = view.scale === "log";
  const [first, last] = timeAxis(), time = cursorTime();
  const part = view.scale === "log" ? Math.log(Math.max(time, first) / first) / Math.log(last / first)
    : time / last;
  $("time").value = 1000 * part;
  $("time").setAttribute("aria-valuetext", formatTime(time));
  $("code").querySelector("pre").textContent = toPython(setting);
}

function openLink() {
  const read = readHash(location.hash);
  ({setting, view} = read);
  $("problem").hidden = read.problem === null;
  $("problem").textContent = read.problem ?? "";
  update();
}

build();
openLink();
