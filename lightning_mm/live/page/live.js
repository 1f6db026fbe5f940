"use strict";

const at = (id) => document.getElementById(id);
let status = null;
let touched = 0;  // when alpha was last moved here: answers that were under way must not move it back

function text(id, value) {
  if (at(id).textContent !== value) at(id).textContent = value;
}

function list(id, lines) {
  if (at(id).dataset.lines === JSON.stringify(lines)) return;
  at(id).dataset.lines = JSON.stringify(lines);
  at(id).replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

function ordinal(n) {
  return n === 2 ? "2nd" : n === 3 ? "3rd" : `${n}th`;
}

function badge(label, kind) {
  at("state").className = `badge ${kind}`;
  text("state", label);
}

function show(s) {
  status = s;
  const label = s.state === "running" && !s.magnifies ? (s.tunings ? "not magnified" : "measuring the frame rate") : s.state;
  badge(label, s.state === "running" && s.magnifies ? "" : s.state === "ended" ? "off" : "idle");
  text("source", s.source);
  text("fps", s.fps ? `${s.fps.toFixed(1)} frames per second` : "–");
  const ms = s.latency_ms;
  text("latency", ms ? `${ms.median.toFixed(0)} ms median, ${ms.p95.toFixed(0)} ms at 95 %` : "–");
  text("dropped", s.read ? `${s.dropped} of ${s.read} (${(100 * s.dropped / s.read).toFixed(0)} %)` : "–");
  text("mode", { static: "static, from the reference", dynamic: "dynamic, from frame to frame", temporal: "temporal, within a band" }[s.mode]);
  for (const each of document.querySelectorAll(".temporal")) each.hidden = s.mode !== "temporal";
  for (const each of document.querySelectorAll(".even")) each.hidden = s.mode === "static";
  if (s.band_hz) text("band", `${s.band_hz[0]} to ${s.band_hz[1]} Hz`);
  text("rate", s.rate_hz ? `${s.rate_hz.toFixed(2)} Hz (now ${s.measured_hz.toFixed(2)} Hz)` : "being measured");
  const each = s.step === 1 ? "every frame" : `every ${ordinal(s.step)} frame`;
  text("spacing", s.uneven === null ? "–" : `${each}, ${(100 * s.uneven).toFixed(0)} % missed`);
  list("filter", s.filter);
  list("warnings", s.warnings);
  at("reference").hidden = s.mode !== "static";
  text("pause", s.paused ? "Go on" : "Pause");
  if (Date.now() - touched > 1000) setAlpha(s.alpha);
}

function setAlpha(value) {
  if (value > Number(at("alpha").max)) at("alpha").max = String(value);
  at("alpha").value = String(value);
  if (document.activeElement !== at("alpha-number")) at("alpha-number").value = String(value);
}

async function control(wished) {
  const answer = await fetch("control", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wished),
  });
  if (answer.ok) show(await answer.json());
}

function alphaMoved(event) {
  const value = event.target.valueAsNumber;
  if (!(value >= 0 && value <= 1000)) return;
  touched = Date.now();
  setAlpha(value);
  control({ alpha: value }).catch(() => {});
}

async function poll() {
  try {
    show(await (await fetch("status")).json());
  } catch {
    badge("the program has ended", "off");
    for (const each of document.querySelectorAll("button, input")) each.disabled = true;
    return;
  }
  setTimeout(poll, 500);
}

at("alpha").addEventListener("input", alphaMoved);
at("alpha-number").addEventListener("change", alphaMoved);
at("reference").addEventListener("click", () => control({ reference: true }).catch(() => {}));
at("pause").addEventListener("click", () => control({ paused: !(status && status.paused) }).catch(() => {}));
at("picture").addEventListener("error", () => setTimeout(() => { at("picture").src = `stream?${Date.now()}`; }, 1000));
at("picture").src = "stream";
poll();
