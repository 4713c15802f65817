(function () {
"use strict";
var form = JSON.parse(document.getElementById("content").textContent);
var store = "pellucid-readers-" + form.study + "-" + form.reader;
var state = {at: -1, answers: {}};
var $ = function (id) { return document.getElementById(id) };

function keep() {
  try { localStorage.setItem(store, JSON.stringify(state)) } catch (error) { $("lost").hidden = false }
}
function recall() {
  try {
    var old = JSON.parse(localStorage.getItem(store));
    if (old && typeof old.at === "number" && old.answers) state = old;
  } catch (error) { /* nothing usable was kept: begin anew */ }
  keep();
}
function answer(id) {
  if (!state.answers[id]) state.answers[id] = {ratings: {}, comment: ""};
  return state.answers[id];
}
function rated(id) {
  var known = (state.answers[id] || {ratings: {}}).ratings;
  return form.items.filter(function (item) { return known[item.name] }).length;
}
function finished() {
  return form.pages.filter(function (page) { return rated(page.map) === form.items.length }).length;
}
function progress() {
  var n = form.pages.length, done = finished();
  $("bar").value = done;
  $("progress").textContent = state.at >= 0 && state.at < n ? (state.at + 1) + " of " + n : done + " of " + n + " rated";
}

form.items.forEach(function (item) {
  var set = document.createElement("fieldset"), legend = document.createElement("legend");
  var scale = document.createElement("div"), ends = document.createElement("div");
  legend.textContent = item.statement;
  scale.className = "scale"; ends.className = "ends";
  form.scale.forEach(function (word, i) {
    var label = document.createElement("label"), input = document.createElement("input"), face = document.createElement("span");
    input.type = "radio"; input.name = item.name; input.value = String(i + 1);
    input.setAttribute("aria-label", (i + 1) + ", " + word);
    label.title = word;
    face.textContent = String(i + 1);
    input.addEventListener("change", function () { rate(item.name, i + 1) });
    label.append(input, face); scale.append(label);
  });
  [form.scale[0], form.scale[form.scale.length - 1]].forEach(function (word) {
    var end = document.createElement("span"); end.textContent = word; ends.append(end);
  });
  set.dataset.item = item.name;
  set.append(legend, scale, ends);
  $("items").append(set);
});

function rate(name, value) {
  answer(form.pages[state.at].map).ratings[name] = value;
  keep(); progress();
}
function fit() {
  // Both pictures at one scale, so that a place is as large in the one as in the other.
  var a = $("picture"), b = $("heat"), room = document.querySelector(".pair").clientWidth - 34;
  if (!a.naturalWidth || !b.naturalWidth) return;
  var both = Math.min(1, room / (a.naturalWidth + b.naturalWidth));
  var k = both >= 0.45 ? both : Math.min(1, (room + 24) / Math.max(a.naturalWidth, b.naturalWidth));
  [a, b].forEach(function (img) { img.style.width = Math.floor(img.naturalWidth * k) + "px" });
}
function show(focus) {
  var n = form.pages.length, page = form.pages[state.at];
  $("intro").hidden = state.at >= 0; $("work").hidden = !page; $("end").hidden = state.at < n;
  progress(); keep();
  scrollTo(0, 0);
  if (state.at >= n) {
    var open = form.pages.map(function (p, i) { return rated(p.map) === form.items.length ? 0 : i + 1 }).filter(Boolean);
    $("left").textContent = open.length ? "Not fully rated: " + open.length + " of " + n + " maps. You can go back to them, or save what there is."
      : "All " + n + " maps are rated.";
    $("open").textContent = "";
    open.forEach(function (k) {
      var go = document.createElement("button"); go.type = "button"; go.textContent = String(k);
      go.setAttribute("aria-label", "Map " + k); go.onclick = function () { state.at = k - 1; show(true) };
      $("open").append(go, " ");
    });
    if (focus) $("thanks").focus();
    return;
  }
  if (!page) return;
  var known = state.answers[page.map] || {ratings: {}, comment: ""};
  $("what").textContent = "Explained: " + page.target;
  $("told").hidden = !page.prediction; $("told").textContent = "The model says: " + page.prediction;
  $("picture").src = form.pictures[page.picture]; $("heat").src = form.pictures[page.heat];
  $("form").querySelectorAll("input").forEach(function (input) { input.checked = known.ratings[input.name] === Number(input.value) });
  $("comment").value = known.comment;
  $("back").disabled = state.at === 0;
  $("next").textContent = state.at === n - 1 ? "Finish" : "Next";
  if (focus) $("what").focus();
  fit();
}
function go(step) {
  state.at = Math.max(0, Math.min(form.pages.length, state.at + step));
  show(true);
}
function save() {
  var answers = form.pages.filter(function (page) { return state.answers[page.map] }).map(function (page) {
    var a = state.answers[page.map];
    return {map: page.map, ratings: a.ratings, comment: a.comment};
  });
  var file = {format: form.format, study: form.study, reader: form.reader, answers: answers};
  var link = document.createElement("a"), name = "answers-" + form.study + "-reader-" + String(form.reader).padStart(2, "0") + ".json";
  link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1) + "\n"], {type: "application/json"}));
  link.download = name;
  document.body.append(link); link.click(); link.remove();
  $("saved").textContent = "Saved as " + name + ", where your browser puts downloads.";
}

$("begin").onclick = function () { go(1) };
$("back").onclick = function () { go(-1) };
$("next").onclick = function () { go(1) };
$("again").onclick = function () { go(-1) };
$("save").onclick = $("save2").onclick = save;
$("form").onsubmit = function (event) { event.preventDefault() };
$("comment").oninput = function () { answer(form.pages[state.at].map).comment = $("comment").value; keep() };
[$("picture"), $("heat")].forEach(function (img) { img.onload = fit });
addEventListener("resize", fit);
addEventListener("keydown", function (event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "TEXTAREA") return;
  if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    if (state.at < form.pages.length) go(event.shiftKey ? -1 : 1);
  }
  var value = Number(event.key);
  if ($("work").hidden || event.shiftKey || !(value >= 1 && value <= form.scale.length)) return;
  var sets = Array.prototype.slice.call($("items").children), here = event.target.closest && event.target.closest("fieldset");
  var blank = sets.filter(function (set) { return !set.querySelector("input:checked") });
  var set = here || blank[0] || sets[sets.length - 1];
  var input = set.querySelector("input[value='" + value + "']");
  input.checked = true; rate(set.dataset.item, value);
  var after = sets[sets.indexOf(set) + 1];
  if (after) (after.querySelector("input:checked") || after.querySelector("input")).focus(); else input.focus();
  event.preventDefault();
});
recall();
show(false);
})();
