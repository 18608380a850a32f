// The minimal model without the page: simulation, events, links, Python code.
"use strict";

const {factors: FACTORS, dims: DIMS, mechanisms: MECHANISMS, costs: COSTS, losses: LOSSES} = DATA;
const [STRATEGY, RIVAL] = MECHANISMS.map(({name}) => name);
const PARTS = [["u", "overlap"], ["w", "orthogonal"]];  // letter of a slider, name in a setting
const product = (names, values) => names.reduce((total, name) => total * values[name], 1);

function publishedSetting(draw) {
  return structuredClone(DATA.draws[draw].setting);
}

// The numbers that `evaluate` reads, and the loss of each mechanism that has learnt nothing.
function numbersOf(setting, clamped) {
  const {norms} = DATA.draws[setting.draw], numbers = {}, unlearnt = {};
  for (const {name, factors, symbol, parameter} of [...MECHANISMS, ...COSTS]) {
    numbers[`N_${name}`] = product(factors, DIMS);
    numbers[symbol] = setting[parameter];
  }
  for (const {name, factors} of MECHANISMS) {
    const target = numbers[`S_${name}`] = product(factors, norms);
    unlearnt[name] = target ** 2 / (2 * numbers[`N_${name}`]);
  }
  for (const factor of FACTORS) numbers[`r_${factor}`] = clamped.includes(factor) ? 0 : 1;
  return {numbers, unlearnt};
}

function countSteps(step) {
  return Math.floor(DATA.t1 / step * (1 + DATA.rounding));
}

// Gradient descent from the setting's initial state.  Sample k of each curve is at time k * step.
function simulate(setting, clamped = []) {
  const {numbers, unlearnt} = numbersOf(setting, clamped), {step} = setting;
  const nSteps = countSteps(step), nLosses = LOSSES.length, size = 2 * FACTORS.length;
  const state = Float64Array.from(PARTS.flatMap(([, part]) => FACTORS.map(f => setting[part][f])));
  const out = new Float64Array(nLosses + size);  // losses, then velocity
  const [states, losses] = [size, nLosses].map(n =>
    Array.from({length: n}, () => new Float64Array(nSteps + 1)));
  evaluate(state, numbers, out);
  const isAtRest = out.subarray(nLosses).every(velocity => velocity === 0);
  let k = 0, status = "LIMIT";
  for (;; k++) {
    evaluate(state, numbers, out);
    for (let j = 0; j < size; j++) states[j][k] = state[j];
    for (let j = 0; j < nLosses; j++) losses[j][k] = out[j];
    const total = out[nLosses - 1];
    if (total < DATA.threshold) { status = "STOPPED"; break; }
    if (!(total < DATA.divergedAbove)) { status = "DIVERGED"; break; }
    if (k === nSteps) break;
    for (let j = 0; j < size; j++) state[j] += step * out[nLosses + j];
  }
  if (status === "LIMIT" && isAtRest) status = "AT_REST";
  const named = (names, curves) =>
    Object.fromEntries(names.map((name, j) => [name, curves[j].subarray(0, k + 1)]));
  return {
    step, status, unlearnt, numbers, n: k + 1, nSteps: k,
    overlap: named(FACTORS, states), orthogonal: named(FACTORS, states.slice(FACTORS.length)),
    losses: named(LOSSES, losses),
  };
}

// The setting without CIWL: d is zero and stays there.
function simulateAlone(setting) {
  const without = part => ({...part, [DATA.rivalFactor]: 0});
  const alone = {...setting, overlap: without(setting.overlap),
                 orthogonal: without(setting.orthogonal)};
  return simulate(alone, [DATA.rivalFactor]);
}

// Events, as in coopetition/dynamics/events.py: learnt is an excess below 0.

function excess(run, name) {
  return run.losses[name].map(loss => loss / run.unlearnt[name] - DATA.learntBelow);
}

function crossingTime(step, values, {rising, after = -Infinity}) {
  const sign = rising ? 1 : -1;
  let last = -1;
  for (let k = 0; k < values.length; k++) {
    if (!Number.isFinite(values[k]) || k * step < after) continue;
    if (last >= 0) {
      const before = sign * values[last], now = sign * values[k];
      if (before < 0 && now >= 0) {
        return last * step + before / (before - now) * (k * step - last * step);
      }
    }
    last = k;
  }
  return null;
}

function firstLearntTime(step, above) {
  return above[0] < 0 ? 0 : crossingTime(step, above, {rising: false});
}

function lowestFrom(step, values, time) {  // NaN counts as the lowest, as for numpy
  let lowest = 0, least = Infinity;
  for (let k = 0; k < values.length; k++) {
    if (k * step < time) continue;
    if (Number.isNaN(values[k])) return k;
    if (values[k] < least) { least = values[k]; lowest = k; }
  }
  return lowest;
}

function findEvents(run) {
  const {step} = run, strategy = excess(run, STRATEGY), rival = excess(run, RIVAL);
  const events = {emergence: firstLearntTime(step, strategy), peak: null, crossing: null,
                  unlearning: null, takeover: firstLearntTime(step, rival)};
  if (events.emergence === null) return events;
  const lead = strategy.map((value, k) => value - rival[k]);
  events.crossing = crossingTime(step, lead, {rising: true, after: events.emergence});
  const lowest = lowestFrom(step, strategy, events.emergence);
  if (lowest === strategy.length - 1) return events;
  events.peak = lowest * step;
  events.unlearning = crossingTime(step, strategy, {rising: true, after: events.peak});
  return events;
}

function findFate(run) {
  const isLearnt = name => {
    const loss = run.losses[name], unlearnt = run.unlearnt[name];
    const at = k => loss[k] / unlearnt - DATA.learntBelow < 0;
    return {once: loss.some((_, k) => at(k)), last: at(run.n - 1)};
  };
  const icl = isLearnt(STRATEGY), ciwl = isLearnt(RIVAL);
  if (!(run.losses.total[run.n - 1] < DATA.divergedAbove)) return "DIVERGED";
  if (icl.last) return ciwl.last ? "COEXISTENCE" : "ICL_PERSISTENT";
  if (icl.once) return "ICL_TRANSIENT";
  return ciwl.once ? "CIWL_ONLY" : "NEVER";
}

// Links.  A link holds what differs from the published setting of its draw.

const VIEW = {scale: "linear", plane: "built", overlay: "", time: null};
const CHOICES = {scale: ["linear", "log"], plane: ["built", "overlaps"],
                 overlay: Object.keys(DATA.overlays)};

function writeHash(setting, view) {
  const preset = Object.keys(DATA.presets)
    .find(name => sameSetting(DATA.presets[name].setting, setting));
  const words = [];
  if (preset !== undefined) {
    if (preset !== DATA.start) words.push(["preset", preset]);
  } else {
    const published = publishedSetting(setting.draw);
    words.push(["draw", setting.draw]);
    for (const name of DATA.numbers) {
      if (setting[name] !== published[name]) words.push([name, setting[name]]);
    }
    for (const [letter, part] of PARTS) {
      for (const f of FACTORS) {
        if (setting[part][f] !== published[part][f]) words.push([`${letter}_${f}`, setting[part][f]]);
      }
    }
  }
  for (const [name, value] of Object.entries(VIEW)) {
    if (view[name] !== value) words.push([name, view[name]]);
  }
  return words.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
}

function sameSetting(one, other) {
  return one.draw === other.draw && DATA.numbers.every(name => one[name] === other[name]) &&
    PARTS.every(([, part]) => FACTORS.every(f => one[part][f] === other[part][f]));
}

// Returns the setting and the view of a link, and one sentence that names the parts it ignores.
function readHash(hash) {
  const view = {...VIEW}, unusable = [];
  let setting = structuredClone(DATA.presets[DATA.start].setting);
  const words = hash.replace(/^#/, "").split("&").filter(Boolean).map(word => {
    const [name, ...rest] = word.split("=");
    let text = "";
    try { text = decodeURIComponent(rest.join("=")); } catch { /* not UTF-8: unusable, as empty */ }
    return [name, text, word];
  });
  const rank = ([name]) => ["preset", "draw"].includes(name) ? 0 : 1;
  for (const [name, text, word] of words.sort((one, other) => rank(one) - rank(other))) {
    const value = text.trim() === "" ? NaN : Number(text), limits = limitsOf(name);
    if (name === "preset" && Object.hasOwn(DATA.presets, text)) {
      setting = structuredClone(DATA.presets[text].setting);
    } else if (name === "draw" && Object.hasOwn(DATA.draws, text)) {
      setting = publishedSetting(Number(text));
    } else if (limits && value >= limits[0] && value <= limits[1]) {
      const [letter, factor] = name.split("_");
      const part = PARTS.find(each => each[0] === letter);
      if (part) setting[part[1]][factor] = value; else setting[name] = value;
    } else if (Object.hasOwn(CHOICES, name) && CHOICES[name].includes(text)) {
      view[name] = text;
    } else if (name === "time" && value >= 0 && value <= DATA.t1) {
      view.time = value;
    } else {
      unusable.push(word);
    }
  }
  const problem = unusable.length === 0 ? null :
    `This link has a part that the page cannot use: ${unusable.join(", ").slice(0, 80)}. ` +
    "The page ignores it; use the sliders, or copy the link again.";
  return {setting, view, problem};
}

function limitsOf(name) {
  if (DATA.numbers.includes(name)) return DATA.sliders[name].limits;
  const [letter, factor, ...rest] = name.split("_");
  const isEntry = rest.length === 0 && FACTORS.includes(factor) && PARTS.some(p => p[0] === letter);
  return isEntry ? DATA.sliders[letter].limits : undefined;
}

// Python code that gives the same run.
function toPython(setting) {
  const dict = (values, format = String) =>
    `{${FACTORS.map(f => `"${f}": ${format(values[f])}`).join(", ")}}`;
  return `import coopetition as co

model = co.two_strategies(alpha=${setting.alpha}, mu1=${setting.mu1}, mu2=${setting.mu2})
draw = co.canonical_draw(  # the targets are those of the published draw of seed ${setting.draw}
    dims=${dict(DIMS)},
    norms=${dict(DATA.draws[setting.draw].norms)},
    overlaps=${dict(setting.overlap)},
    orthogonal=${dict(setting.orthogonal)},
)
trajectory = co.solve(model, draw, step=${setting.step}, t1=${DATA.t1})
print(trajectory.summary())
`;
}

// Overlays of measured curves: a stretch of its time, and a floor and a gain for each curve.

// Floor and gain, neither negative, of the closest floor + gain * model, as fit_floor_gain does.
function fitFloorGain(measured, model) {
  const n = measured.length, mean = values => values.reduce((sum, x) => sum + x, 0) / n;
  const dot = (one, other) => one.reduce((sum, x, k) => sum + x * other[k], 0);
  const meanModel = mean(model), meanMeasured = mean(measured);
  const centred = model.map(x => x - meanModel), power = dot(centred, centred);
  let gain = power > 0 ? Math.max(dot(centred, measured) / power, 0) : 0;
  let floor = meanMeasured - gain * meanModel;
  if (floor < 0) {
    const whole = dot(model, model);
    floor = 0;
    gain = whole > 0 ? Math.max(dot(model, measured), 0) / whole : 0;
  }
  let miss = 0, deviation = 0;
  measured.forEach((y, k) => {
    miss += (floor + gain * model[k] - y) ** 2;
    deviation += (y - meanMeasured) ** 2;
  });
  return {floor, gain, unexplained: miss / deviation};
}

// Returns a function that fits the run's losses from one time to another to measured ones.
function overlayFit(run, overlay) {
  const {sequences} = overlay;
  const at = (values, time) => {
    const place = Math.min(time / run.step, run.n - 1), k = Math.floor(place);
    return k + 1 < run.n ? values[k] + (place - k) * (values[k + 1] - values[k]) : values[k];
  };
  return (first, last) => {
    const times = sequences.map(s => first + s / sequences.at(-1) * (last - first));
    const curves = Object.fromEntries([STRATEGY, RIVAL].map(name =>
      [name, fitFloorGain(overlay[name], times.map(time => at(run.losses[name], time)))]));
    return {first, last, times, curves,
            unexplained: curves[STRATEGY].unexplained + curves[RIVAL].unexplained};
  };
}

// Find the stretch of the run's time that measured losses show.  The closest stretches of a grid,
// in which steps are a quarter of the length, are refined: there are many local optima.
function alignOverlay(run, overlay) {
  const fit = overlayFit(run, overlay), shortest = DATA.t1 / 100, coarse = [];
  const closer = (one, other) => other.unexplained < one.unexplained ? other : one;
  for (let length = DATA.t1; length > shortest; length /= 1.25) {
    const rest = DATA.t1 - length, n = Math.ceil(4 * rest / length);
    for (let k = 0; k <= n; k++) {
      const first = n && rest * k / n;
      coarse.push(fit(first, first + length));
    }
  }
  const refine = best => {
    for (let step = (best.last - best.first) / 4; step > DATA.t1 / 4000;) {
      const {first, last} = best;
      for (const from of [first - step, first, first + step]) {
        for (const to of [last - step, last, last + step]) {
          if (from >= 0 && to <= DATA.t1 && to - from >= shortest) best = closer(best, fit(from, to));
        }
      }
      if (best.first === first && best.last === last) step /= 2;
    }
    return best;
  };
  coarse.sort((one, other) => one.unexplained - other.unexplained);
  return coarse.slice(0, 10).map(refine).reduce(closer);
}
