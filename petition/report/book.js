"use strict";
const { lines, copies } = JSON.parse(document.getElementById("pages").textContent);
const all = [...document.querySelectorAll(".copy")];
const field = document.querySelector(".find input");
const count = document.querySelector(".find output");
let words = null;

// A copy's HTML is drawn when it is opened, in a frame that runs nothing and leads nowhere. Its links
// say where they lead and cannot be followed: one may take its reader off the list.
function draw(copy) {
  const place = copy.querySelector(".parts");
  if (!copy.open || place.querySelector("iframe")) return;
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-same-origin"; // so that its height can be read here
  frame.title = "The copy as HTML";
  frame.onload = () => {
    const page = frame.contentDocument;
    [...page.links].forEach((link) => {
      link.title = link.href;
      link.removeAttribute("href");
      link.style.textDecoration ||= "underline";
    });
    frame.style.height = page.documentElement.scrollHeight + 8 + "px";
  };
  frame.srcdoc = copies[copy.dataset.page].map((one) => lines[one]).join("\n");
  place.append(frame);
}

function find() {
  words ??= all.map((copy) => copy.textContent.toLowerCase());
  const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  all.forEach((copy, at) => {
    copy.hidden = !wanted.every((word) => words[at].includes(word));
    shown += !copy.hidden;
  });
  count.textContent = shown === 1 ? "1 copy" : shown.toLocaleString("en") + " copies";
}

// In print every copy is open, as text alone.
let closed = null;

function print() {
  closed = all.filter((copy) => !copy.open);
  closed.forEach((copy) => { copy.open = true; });
}

function printed() {
  closed.forEach((copy) => { copy.open = false; });
  closed = null;
}

all.forEach((copy) => copy.addEventListener("toggle", () => { if (!closed) draw(copy); }));
field.addEventListener("input", find);
addEventListener("beforeprint", print);
addEventListener("afterprint", printed);
