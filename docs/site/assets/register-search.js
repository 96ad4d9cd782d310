/* Searches the rows of registers-data.js while one types. Each word must be found: in the name, with
 * the wildcards of a shell, in the block, in the space, in a field's name, or as an address. */
(() => {
  const MOST = 100;
  const form = document.getElementById("register-search");
  const found = document.getElementById("registers-found");
  const said = form.querySelector("output");
  const hex = (value) => "0x" + value.toString(16);

  const element = (tag, text, ...children) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  };

  const pattern = (word) => {
    const escaped = word.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    const wild = /[*?]/.test(word);
    const source = escaped.replaceAll("*", ".*").replaceAll("?", ".");
    return new RegExp(wild ? `^${source}$` : source, "i");
  };

  const parse = (text) =>
    text.split(/\s+/).filter(Boolean).map((word) => ({
      pattern: pattern(word),
      whole: word.toLowerCase(),
      address: /^(0x)?[0-9a-f]*[0-9][0-9a-f]*$/i.test(word) ? parseInt(word, 16) : -1,
      only: /^0x/i.test(word),
    }));

  /* Which element of an array has the address; -1 if none. */
  const elementAt = ([, , , t5, t6, count, stride], address) => {
    for (const start of [t5, t6]) {
      if (start < 0 || address < start) continue;
      const index = count > 1 ? Math.floor((address - start) / stride) : 0;
      if (index < count && address === start + index * stride) return index;
    }
    return -1;
  };

  /* How well a row fits a word, 0 if it does not: an address, a whole name, a name's beginning, part
   * of a name, a block or space, a field. */
  const fits = (row, word) => {
    if (word.address >= 0 && elementAt(row, word.address) >= 0) return 6;
    if (word.only) return 0;
    const [name, block, space, , , , , , , fields] = row;
    const lower = name.toLowerCase();
    if (lower === word.whole) return 5;
    if (lower.startsWith(word.whole)) return 4;
    if (word.pattern.test(name)) return 3;
    if (word.whole === block || word.whole === space) return 2;
    return fields.some((field) => fieldFits(field, word)) ? 1 : 0;
  };

  const fieldFits = ([name, , , linux], word) =>
    word.pattern.test(name) || (linux !== "" && word.pattern.test(linux));

  const order = ([name, , , t5, t6], [otherName, , , otherT5, otherT6]) =>
    name.localeCompare(otherName, "en", { numeric: true }) ||
    Math.max(t5, t6) - Math.max(otherT5, otherT6) || otherT5 - t5;

  const search = (words) => {
    const hits = [];
    for (const row of REGISTERS) {
      const marks = words.map((word) => fits(row, word));
      if (marks.every(Boolean)) hits.push([Math.min(...marks), row]);
    }
    hits.sort(([mark, row], [otherMark, other]) => otherMark - mark || order(row, other));
    return hits.map(([, row]) => row);
  };

  const place = (start, row, words) => {
    const [, , , , , count, stride] = row;
    if (start < 0) return "";
    const indices = words.map((word) => elementAt(row, word.address)).filter((i) => i > 0);
    const array = count > 1 ? ` × ${count}, every ${hex(stride)}` : "";
    const named = indices.length ? `; [${indices[0]}] at ${hex(start + indices[0] * stride)}` : "";
    return hex(start) + array + named;
  };

  const chipCell = (chip, start, row, words) => {
    const cell = element("td", place(start, row, words));
    cell.dataset.chip = chip;
    return cell;
  };

  const fieldShown = (field, words) => {
    const [name, low, width, linux] = field;
    const bits = width > 1 ? `${low + width - 1}:${low}` : `${low}`;
    const shown = element("span", `${name}[${bits}]${linux ? ` (Linux: ${linux})` : ""}`);
    shown.className = words.some((word) => !word.only && fieldFits(field, word)) ? "hit" : "";
    return shown;
  };

  const rowShown = (row, words) => {
    const [name, block, space, t5, t6, , , access, reset, fields, notes] = row;
    const where = space ? `indirect: ${space}` : block === "bar0" ? "" : block;
    const title = element("td", "", element("code", name), element("small", where));
    const list = element("td", "", ...fields.map((field) => fieldShown(field, words)));
    list.className = "fields";
    const other = [access, reset && `reset ${reset}`, notes].filter(Boolean).join("; ");
    return element("tr", "", title, chipCell("T5", t5, row, words), chipCell("T6", t6, row, words),
      list, element("td", other));
  };

  const show = () => {
    const text = form.elements.q.value.trim();
    history.replaceState(null, "", text ? `#${encodeURIComponent(text)}` : location.pathname);
    found.replaceChildren();
    if (!text) {
      said.textContent = `${REGISTERS.length} rows, of both chips`;
      return;
    }
    const words = parse(text), rows = search(words);
    said.textContent = rows.length > MOST ? `${rows.length} found, the first ${MOST} are shown`
      : rows.length ? `${rows.length} found` : "none found";
    if (!rows.length) return;
    const heads = ["register", "T5", "T6", "fields", "access, source"].map((head) => element("th", head));
    const body = element("tbody", "", ...rows.slice(0, MOST).map((row) => rowShown(row, words)));
    found.append(element("table", "", element("thead", "", element("tr", "", ...heads)), body));
  };

  const fromAddress = () => {
    form.elements.q.value = decodeURIComponent(location.hash.slice(1));
    show();
  };
  form.elements.q.addEventListener("input", show);
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
})();
