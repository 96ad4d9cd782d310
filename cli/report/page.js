"use strict";
// The page is complete without this script, which searches the registers and shows one dump a time.
const STEP = 200; // rows that are made at once
const hex = (number, digits) => "0x" + number.toString(16).padStart(digits, "0");

function searchable(section) {
  const form = section.querySelector("form.search");
  const table = section.querySelector("table.found");
  const more = section.querySelector("button.more");
  const text = form.querySelector(".text");
  const twin = form.querySelector(".differs");
  let rows = null, found = [], shown = 0;

  function load() {
    if (rows) return;
    rows = JSON.parse(section.querySelector("script.registers").textContent);
    for (const row of rows)
      row.push([row[0], row[1], row[2], hex(row[3], 1), hex(row[4], 8), row[5]].join(" ").toLowerCase());
  }
  function cells(row) {
    const twinCell = twin ? [[row[6] === null ? "" : hex(row[6], 8), "number"]] : [];
    const numbers = [[hex(row[3], 1), "number"], [hex(row[4], 8), "number"], ...twinCell];
    return [[row[0], "name"], [row[1]], [row[2]], ...numbers, [row[5], "fields"]];
  }
  function grow() {
    const body = table.tBodies[0];
    for (const row of found.slice(shown, shown + STEP)) {
      const line = body.insertRow();
      for (const [cell, kind] of cells(row)) {
        const made = line.insertCell();
        made.textContent = cell;
        if (kind) made.className = kind;
      }
    }
    shown = Math.min(shown + STEP, found.length);
    more.hidden = shown === found.length;
    form.querySelector("output").textContent = `${found.length} of ${rows.length} register${rows.length === 1 ? "" : "s"}`;
  }
  function search() {
    load();
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const nonzero = form.querySelector(".nonzero").checked;
    const differs = twin && twin.checked;
    found = rows.filter(row => (!nonzero || row[4]) && (!differs || row[6] !== null) && words.every(word => row[7].includes(word)));
    table.tBodies[0].replaceChildren();
    table.classList.toggle("all", found.length === rows.length); // not printed
    shown = 0;
    grow();
  }
  section.querySelector(".scriptless").hidden = true;
  form.hidden = table.hidden = false;
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("input", search);
  more.addEventListener("click", grow);
  search();
}

function tabs() {
  const sections = [...document.querySelectorAll("section.dump")];
  const links = [...document.querySelectorAll(".tabs a")];
  function select() {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const wanted = target && target.closest("section.dump") || sections[0];
    for (const section of sections) section.hidden = section !== wanted;
    for (const link of links) link.toggleAttribute("aria-current", link.hash === "#" + wanted.id);
    if (target && target.tagName === "DETAILS") target.open = true;
    if (target) target.scrollIntoView({ block: "center" });
  }
  window.addEventListener("hashchange", select);
  if (sections.length) select();
}

for (const section of document.querySelectorAll("section.dump")) searchable(section);
tabs();
