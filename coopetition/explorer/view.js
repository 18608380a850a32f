// The page: sliders, panels, links.
"use strict";

const $ = id => document.getElementById(id);
const EVENTS = {
  emergence: ["ICL is learnt", run => [STRATEGY, run]], peak: ["ICL is best"],
  crossing: ["CIWL becomes better"], unlearning: ["ICL is unlearnt"], takeover: ["CIWL is learnt"],
};
const POSITIONS = 240;
let setting, view, run, alone, events, effect, aligned;

const format = (value, digits = 3) =>
  !Number.isFinite(value) ? "–" : value === 0 ? "0" : Math.abs(value) < 1e-3 ? value.toExponential(1)
    : String(Number(value.toPrecision(digits)));
const formatTime = time => Math.round(time).toLocaleString("en-US");

// Numbers

function update() {
  run = simulate(setting);
  alone = simulateAlone(setting);
  events = findEvents(run);
  effect = findEvents(alone).emergence;
  const overlay = DATA.overlays[view.overlay];
  aligned = overlay && {...alignOverlay(run, overlay), overlay};
  drawAll();
}

let isScheduled = false;
function schedule(work = update) {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => { isScheduled = false; work(); });
}

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
  const left = 44, right = width - 8, top = 8, bottom = height - 36;
  const {map, ticks} = SCALES[scale];
  const [x0, x1] = x.map(map), [y0, y1] = y;
  const px = value => left + (map(value) - x0) / (x1 - x0) * (right - left);
  const py = value => bottom - (value - y0) / (y1 - y0) * (bottom - top);
  const parts = [`<defs><clipPath id="${svg.parentNode.id}-clip"><rect x="${left}" y="${top - 3}" ` +
    `width="${right - left}" height="${bottom - top + 3}"/></clipPath></defs>`];
  for (const tick of ticks(...x, Math.max(3, width / 110))) {
    parts.push(`<path class="axis" d="M${px(tick)} ${bottom}v5"/>` +
      `<text x="${px(tick)}" y="${bottom + 17}" text-anchor="middle">${tick.toLocaleString("en-US")}</text>`);
  }
  for (const tick of linearTicks(...y, Math.max(3, height / 60))) {
    parts.push(`<path class="axis" d="M${left} ${py(tick)}H${right}"/>` +
      `<text x="${left - 6}" y="${py(tick) + 4}" text-anchor="end">${Number(tick.toPrecision(6))}</text>`);
  }
  parts.push(`<path class="axis" d="M${left} ${top}V${bottom}H${right}"/>`);
  parts.push(`<text x="${(left + right) / 2}" y="${height - 3}" text-anchor="middle">${xLabel}</text>`);
  parts.push(`<text transform="translate(11 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle">${yLabel}</text>`);
  const clip = `clip-path="url(#${svg.parentNode.id}-clip)"`;
  return {
    px, py, parts, left, right, top, bottom, x, y, scale,
    curve(xs, ys, style, extra = "") {
      let d = "", isOpen = false;
      for (let k = 0; k < xs.length; k++) {
        if (!Number.isFinite(xs[k]) || !Number.isFinite(ys[k])) { isOpen = false; continue; }
        const at = Math.max(-1e4, Math.min(1e4, py(ys[k])));
        d += `${isOpen ? "L" : "M"}${px(xs[k]).toFixed(1)} ${at.toFixed(1)}`;
        isOpen = true;
      }
      parts.push(`<path ${clip} class="curve ${extra}" style="stroke:var(--${style})" d="${d}"/>`);
    },
    mark(number, x, y) {
      const at = Math.max(top, Math.min(bottom, py(y)));
      parts.push(`<g class="mark"><circle cx="${px(x)}" cy="${at}" r="8"/>` +
        `<text x="${px(x)}" y="${at + 3.5}">${number}</text></g>`);
    },
    show(label) {
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("aria-label", label);
      svg.innerHTML = parts.join("");
    },
  };
}

// The samples of a run that are drawn: evenly spread, and by equal ratios.
function samples(each) {
  const last = each.n - 1, kept = new Set([0, last]), n = 260;
  for (let k = 0; k <= n; k++) {
    kept.add(Math.round(last * k / n));
    if (last > 0) kept.add(Math.round(last ** (k / n)));
  }
  return [...kept].sort((one, other) => one - other);
}

const ENDS = [200, 500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10000, 12000, 16000];

function timeAxis() {
  const longest = (run.n - 1) * run.step;
  const end = ENDS.find(each => each >= longest) ?? DATA.t1;
  return view.scale === "log" ? [Math.max(run.step, 1), end] : [0, end];
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
  const whole = name === "total" ? MECHANISMS.reduce((all, m) => all * (unlearnt[m.name] + numbers[m.symbol]), 1)
    : unlearnt[name];
  return k => each.losses[name][k] / whole;
}

function drawLosses() {
  const svg = $("losses").querySelector("svg");
  const plot = axes(svg, {x: timeAxis(), y: [0, 1.25], scale: view.scale,
                          xLabel: DATA.timeLabel, yLabel: "loss / unlearnt loss"});
  const half = plot.py(DATA.learntBelow);
  plot.parts.push(`<path class="guide" d="M${plot.left} ${half}H${plot.right}"/>` +
    `<text x="${plot.right - 4}" y="${half - 5}" text-anchor="end">learnt below this line</text>`);
  const draw = (each, name, style, extra) => {
    const kept = samples(each), value = relative(each, name);
    plot.curve(kept.map(k => k * each.step), kept.map(value), style, extra);
  };
  draw(alone, STRATEGY, "icl", "alone");
  for (const name of ["total", RIVAL, STRATEGY]) draw(run, name, name, "");
  if (aligned) drawOverlay(plot);
  drawCursor(plot);
  numbered().forEach(([name, time], k) => {
    const curve = name === "takeover" ? RIVAL : STRATEGY;
    plot.mark(k + 1, Math.max(time, plot.x[0]), relative(run, curve)(sampleAt(time)));
  });
  plot.show(`Losses over time. ${$("fate").textContent}`);
  const k = sampleAt(cursorTime());
  legend("losses-legend", [
    ...[STRATEGY, RIVAL, "total"].map(name => [DATA.names[name], name, format(relative(run, name)(k))]),
    ["ICL without CIWL", "icl", undefined, "dashed"],
    ...(aligned ? [["measured", "soft", undefined, "dots"]] : []),
  ]);
}

function drawOverlay(plot) {
  for (const name of [STRATEGY, RIVAL]) {
    const {floor, gain} = aligned.curves[name];
    if (gain === 0) continue;
    aligned.times.forEach((time, k) => {
      const y = (aligned.overlay[name][k] - floor) / gain / run.unlearnt[name];
      if (time < plot.x[0] || time > plot.x[1] || !(y >= 0 && y <= 1.25)) return;
      plot.parts.push(`<circle cx="${plot.px(time).toFixed(1)}" cy="${plot.py(y).toFixed(1)}" r="2.6" ` +
        `fill="none" style="stroke:var(--${name})" stroke-width="1.3"/>`);
    });
  }
}

function bounds(values, least, most, step) {
  const known = values.filter(Number.isFinite);
  const lo = Math.min(least, ...known), hi = Math.max(most, ...known);
  return [Math.floor(lo / step - 1e-9) * step, Math.ceil(hi / step + 1e-9) * step].map(x => Math.max(-50, Math.min(50, x)));
}

function drawFactors(id, yLabel, value, guide) {
  const svg = $(id).querySelector("svg"), kept = samples(run), {norms} = DATA.draws[setting.draw];
  const curves = FACTORS.map(f => kept.map(k => value(f, k) / norms[f]));
  const plot = axes(svg, {x: timeAxis(), y: bounds(curves.flat(), 0, 1.2, 0.4), scale: view.scale,
                          xLabel: DATA.timeLabel, yLabel});
  plot.parts.push(`<path class="guide" d="M${plot.left} ${plot.py(guide)}H${plot.right}"/>`);
  curves.forEach((ys, j) => plot.curve(kept.map(k => k * run.step), ys, FACTORS[j], ""));
  drawCursor(plot);
  plot.show(yLabel);
  const k = sampleAt(cursorTime());
  legend(`${id}-legend`, FACTORS.map(f => [f, f, format(value(f, k) / norms[f], 2)]));
}

function drawPlane() {
  const svg = $("plane").querySelector("svg"), kept = samples(run), {norms} = DATA.draws[setting.draw];
  const [x, y] = ["a", DATA.rivalFactor];
  const xs = kept.map(k => run.overlap[x][k] / norms[x]), ys = kept.map(k => run.overlap[y][k] / norms[y]);
  const plot = axes(svg, {x: bounds(xs, -0.2, 1.2, 0.2), y: bounds(ys, -0.2, 1.2, 0.2),
                          xLabel: "overlap of a / norm of its target", yLabel: "overlap of d / norm"});
  drawArrows(plot, x, y, norms);
  plot.curve(xs, ys, "total", "");
  numbered().forEach(([name, time], k) => {
    const at = sampleAt(time);
    plot.mark(k + 1, run.overlap[x][at] / norms[x], run.overlap[y][at] / norms[y]);
  });
  const now = sampleAt(cursorTime());
  plot.parts.push(`<circle cx="${plot.px(run.overlap[x][now] / norms[x])}" ` +
    `cy="${plot.py(run.overlap[y][now] / norms[y])}" r="5" fill="var(--paper)" stroke="var(--ink)" stroke-width="2"/>`);
  plot.show("Overlap of d against overlap of a");
  legend("plane-legend", [["path", "total"], ["pull at the time shown", "soft"]]);
}

// The velocity of a and d over their plane, with the rest of the state as at the cursor.
function drawArrows(plot, x, y, norms) {
  const k = sampleAt(cursorTime()), out = new Float64Array(LOSSES.length + 2 * FACTORS.length);
  const state = [...FACTORS.map(f => run.overlap[f][k]), ...FACTORS.map(f => run.orthogonal[f][k])];
  const [i, j] = [FACTORS.indexOf(x), FACTORS.indexOf(y)], arrows = [];
  const spacing = 28, half = spacing / 2;
  const columns = Math.floor((plot.right - plot.left) / spacing), rows = Math.floor((plot.bottom - plot.top) / spacing);
  const [x0, x1] = plot.x;
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      const cx = plot.left + half + column * (plot.right - plot.left) / columns;
      const cy = plot.top + half + row * (plot.bottom - plot.top) / rows;
      state[i] = norms[x] * (x0 + (cx - plot.left) / (plot.right - plot.left) * (x1 - x0));
      state[j] = norms[y] * (plot.y[1] - (cy - plot.top) / (plot.bottom - plot.top) * (plot.y[1] - plot.y[0]));
      evaluate(state, run.numbers, out);
      const dx = out[LOSSES.length + i] / norms[x], dy = -out[LOSSES.length + j] / norms[y];
      arrows.push({cx, cy, dx, dy, size: Math.hypot(dx, dy)});
    }
  }
  const most = Math.max(...arrows.map(arrow => arrow.size));
  if (!(most > 0)) return;
  for (const {cx, cy, dx, dy, size} of arrows) {
    const length = half * 0.85 * (size / most) ** 0.35, ux = dx / size, uy = dy / size;
    if (!(length > 1)) continue;
    const [tx, ty] = [cx + ux * length, cy + uy * length], head = Math.min(4, length);
    const wing = sign => `${(tx - head * (ux - sign * 0.6 * uy)).toFixed(1)} ${(ty - head * (uy + sign * 0.6 * ux)).toFixed(1)}`;
    plot.parts.push(`<path class="arrow" d="M${(cx - ux * length).toFixed(1)} ${(cy - uy * length).toFixed(1)}` +
      `L${tx.toFixed(1)} ${ty.toFixed(1)}M${wing(1)}L${tx.toFixed(1)} ${ty.toFixed(1)}L${wing(-1)}"/>`);
  }
}

// Text

function tellStory() {
  const preset = Object.values(DATA.presets).find(each => sameSetting(each.setting, setting));
  const fate = findFate(run), sentence = DATA.fates[fate];
  $("fate").textContent = `${sentence[0].toUpperCase()}${sentence.slice(1)}. ${preset ? preset.text : ""}`;
  $("effect").textContent = tellEffect();
  $("events").innerHTML = numbered().map(([name, time], k) =>
    `<li><span>${k + 1}</span>${EVENTS[name][0]} <b>${formatTime(time)}</b></li>`).join("") ||
    "<li>No event in the given time.</li>";
  $("time-text").textContent = formatTime(cursorTime());
  const text = $("overlay-text");
  text.hidden = !aligned;
  if (aligned) {
    const share = name => `${Math.max(0, 100 * (1 - aligned.curves[name].unexplained)).toFixed(0)} %`;
    const {sequences} = aligned.overlay, span = sequences.at(-1) - sequences[0];
    text.textContent = `Time and losses are stretched and shifted to come as close as they can: ` +
      `1 unit of time is ${format(span / (aligned.last - aligned.first))} sequences. The run explains ` +
      `${share(STRATEGY)} of the variance of ICL's loss and ${share(RIVAL)} of CIWL's.`;
  }
}

function tellEffect() {
  const {emergence} = events, until = formatTime(DATA.t1);
  if (effect === null && emergence === null) return `ICL is not learnt until time ${until}, with or without CIWL.`;
  if (emergence === null) return `Without CIWL, ICL is learnt at time ${formatTime(effect)}; with it, never until ${until}.`;
  if (effect === null) return `CIWL helps ICL: without it, ICL is not learnt until time ${until}.`;
  const ratio = effect / emergence, times = format(Math.max(ratio, 1 / ratio), 2);
  const verb = Math.abs(Math.log(ratio)) < 0.02 ? "CIWL makes no difference to that"
    : ratio > 1 ? `CIWL helps: ICL is learnt ${times} times as early` : `CIWL hinders: ICL is learnt ${times} times as late`;
  return `Without CIWL, ICL is learnt at time ${formatTime(effect)}. ${verb}.`;
}

function drawAll() {
  tellStory();
  drawLosses();
  drawFactors("overlaps", "overlap / norm of target", (f, k) => run.overlap[f][k], 1);
  drawFactors("lengths", "norm / norm of target",
              (f, k) => Math.hypot(run.overlap[f][k], run.orthogonal[f][k]), 1);
  drawPlane();
  showControls();
  const hash = writeHash(setting, view);
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  document.body.dataset.ready = "yes";
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
  div.innerHTML = `<div class="row"><label for="${id}">${label}</label><output for="${id}"></output></div>` +
    `<input type="range" id="${id}" min="0" max="${POSITIONS}" step="1">` + (text ? `<p id="${id}-text">${text}</p>` : "");
  parent.append(div);
  const input = div.querySelector("input"), output = div.querySelector("output");
  if (text) input.setAttribute("aria-describedby", `${id}-text`);
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
  div.innerHTML = `<div class="title">${slider.title}</div><div class="four"></div><p>${slider.text}</p>`;
  parent.append(div);
  for (const f of FACTORS) {
    addSlider(div.querySelector(".four"), `${letter}_${f}`, `of ${f}`, slider, "",
              () => setting[part][f], value => { setting[part][f] = value; });
  }
}

function addNumber(parent, name) {
  const slider = DATA.sliders[name];
  addSlider(parent, name, slider.title, slider, slider.text, () => setting[name], value => { setting[name] = value; });
}

function addOptions(id, options) {
  for (const [value, title] of options) $(id).add(new Option(title, value));
}

async function copy(text, message) {
  try {
    await navigator.clipboard.writeText(text);
    $("copied").textContent = message;
  } catch {
    $("copied").textContent = "The browser did not allow copying; select the text below.";
    $("code").open = true;
  }
}

function build() {
  for (const [name, preset] of Object.entries(DATA.presets)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = preset.title;
    button.addEventListener("click", () => { setting = structuredClone(preset.setting); view.time = null; schedule(); });
    $("presets").append(button);
    controls.push(() => button.setAttribute("aria-pressed", sameSetting(preset.setting, setting)));
  }
  for (const name of ["alpha", "mu1"]) addNumber($("main-sliders"), name);
  addGroup($("main-sliders"), "u", "overlap");
  addNumber($("main-sliders"), "step");
  addNumber($("more-sliders"), "mu2");
  addGroup($("more-sliders"), "w", "orthogonal");
  addOptions("draw", Object.keys(DATA.draws).map(k => [k, `seed ${k}`]));
  addOptions("overlay", Object.keys(DATA.overlays).map(title => [title, title]));
  $("draw").addEventListener("change", () => {
    const {overlap, orthogonal, draw} = publishedSetting(Number($("draw").value));
    setting = {...setting, draw, overlap, orthogonal};
    schedule();
  });
  $("overlay").addEventListener("change", () => { view.overlay = $("overlay").value; schedule(); });
  $("scale").addEventListener("change", () => { view.scale = $("scale").checked ? "log" : "linear"; schedule(drawAll); });
  $("time").addEventListener("input", () => { setTime(Number($("time").value) / 1000); });
  $("link").addEventListener("click", () => copy(location.href, "Link copied."));
  $("python").addEventListener("click", () => copy(toPython(setting), "Python code copied."));
  for (const id of ["losses", "overlaps", "lengths"]) {
    const svg = $(id).querySelector("svg"), follow = event => {
      const {left, width} = svg.getBoundingClientRect();
      setTime(Math.max(0, Math.min(1, (event.clientX - left - 44) / (width - 52))));
    };
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointermove", event => { if (event.buttons) follow(event); });
  }
  new ResizeObserver(() => schedule(drawAll)).observe(document.body);
  addEventListener("hashchange", open);
}

// Set the cursor to a part of the time axis, from 0 to 1.
function setTime(part) {
  const [first, last] = timeAxis();
  view.time = view.scale === "log" ? first * (last / first) ** part : first + part * (last - first);
  view.time = Number(Math.min(view.time, DATA.t1).toPrecision(5));
  schedule(drawAll);
}

function showControls() {
  for (const show of controls) show();
  $("draw").value = setting.draw;
  $("overlay").value = view.overlay;
  $("scale").checked = view.scale === "log";
  const [first, last] = timeAxis(), time = cursorTime();
  $("time").value = 1000 * (view.scale === "log" ? Math.log(Math.max(time, first) / first) / Math.log(last / first) : time / last);
  $("time").setAttribute("aria-valuetext", formatTime(time));
  $("code").querySelector("pre").textContent = toPython(setting);
}

function open() {
  const read = readHash(location.hash);
  ({setting, view} = read);
  $("problem").hidden = read.problem === null;
  $("problem").textContent = read.problem ?? "";
  update();
}

build();
open();
