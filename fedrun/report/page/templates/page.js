"use strict";
// Nothing here is needed to read the page. Texts are set as texts, never as markup.
(() => {
  const make = (name, text, attributes = {}) => {
    const svg = ["line", "svg", "path"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
                     : document.createElement(name);
    if (text !== "") node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  // Tables: a heading sorts by its column, numbers as numbers; a third click brings the order back.
  const worth = (row, at) => {
    const text = row.cells[at].textContent.trim();
    const number = Number(text.replaceAll(",", "").split(" ")[0]);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const compare = (one, two) => {
    const [a, b] = [typeof one === "number", typeof two === "number"];
    if (a && b) return one - two;
    return a ? -1 : b ? 1 : one.localeCompare(two, "en");
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], first = [...body.rows];
    if (first.length < 2) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => {
      const button = make("button", head.textContent, {type: "button"});
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const down = head.classList.contains("number") ? "descending" : "ascending";
        const up = down === "ascending" ? "descending" : "ascending";
        const next = before === null ? down : before === down ? up : null;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        let rows = first;
        if (next) {
          head.setAttribute("aria-sort", next);
          const sign = next === "ascending" ? 1 : -1;
          rows = [...first].sort((a, b) => sign * compare(worth(a, at), worth(b, at)));
        }
        body.append(...rows);
      });
    });
  }

  // Curves: the legend hides and shows a line; the pointer tells the values of a round.
  for (const block of document.querySelectorAll("script[data-of]")) {
    const data = JSON.parse(block.textContent), figure = block.closest("figure");
    const svg = figure.querySelector("svg.chart"), box = svg.parentElement;
    const legend = figure.querySelector(".legend"), hidden = new Set();
    for (const item of legend ? legend.children : []) {
      const name = item.querySelector("span").textContent;
      const button = make("button", "", {type: "button", "aria-pressed": "true"});
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener("click", () => {
        const gone = !hidden.delete(name) && hidden.add(name);
        button.setAttribute("aria-pressed", String(!gone));
        const parts = [...svg.querySelectorAll("[data-series]")];
        const mine = item.querySelector(".other") ? parts.filter((p) => p.matches(".other"))
                                                  : parts.filter((p) => p.dataset.series === name);
        mine.forEach((part) => part.toggleAttribute("hidden", Boolean(gone)));
      });
    }
    const cursor = make("line", "", {class: "cursor", y1: data.top, y2: data.bottom});
    const tip = make("div", "", {class: "tip", hidden: "", "aria-hidden": "true"});
    box.append(tip);
    const leave = () => { tip.hidden = true; cursor.remove(); };
    const nearest = (xs, x) => {
      let [low, high] = [0, xs.length - 1];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (xs[middle] < x) low = middle; else high = middle;
      }
      return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
    };
    svg.addEventListener("pointermove", (event) => {
      const frame = svg.getBoundingClientRect(), scale = data.width / frame.width;
      const at = (event.clientX - frame.left) * scale;
      if (at < data.left - 4 || at > data.right + 4) return leave();
      const wide = data.right - data.left, room = data.high - data.low;
      const x = data.low + (at - data.left) / wide * room;
      const shown = data.series.filter((s) => s.look && !hidden.has(s.name));
      if (!shown.length) return leave();
      const rows = shown.map((s) => ({s, i: nearest(data.x[s.x], x)}));
      rows.sort((a, b) => b.s.y[b.i] - a.s.y[a.i]);
      const where = data.x[rows[0].s.x][rows[0].i];
      const place = data.left + (where - data.low) / room * wide;
      cursor.setAttribute("x1", place);
      cursor.setAttribute("x2", place);
      svg.append(cursor);
      const head = make("em", data.across + " " + where.toLocaleString("en", {maximumFractionDigits: 12}));
      tip.replaceChildren(head, ...rows.map(({s, i}) => {
        const line = make("div", "");
        const key = make("svg", "", {class: "key look" + s.look, viewBox: "0 0 22 10"});
        key.append(make("path", "", {class: "line", d: "M0 5H22"}));
        line.append(key, make("span", s.name), make("b", String(s.y[i])));
        line.append(make("small", s.low ? s.low[i] + " to " + s.high[i] : ""));
        return line;
      }));
      tip.hidden = false;
      const left = place / scale, right = left + 14 + tip.offsetWidth > frame.width;
      tip.style.left = Math.max(0, right ? left - 14 - tip.offsetWidth : left + 14) + "px";
    });
    svg.addEventListener("pointerleave", leave);
  }

  // Commands and configs can be copied.
  for (const code of document.querySelectorAll("pre.code")) {
    if (!navigator.clipboard) break;
    const button = make("button", "Copy", {type: "button", class: "copy"});
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    const box = make("div", "", {class: "box"});
    code.replaceWith(box);
    box.append(code, button);
  }
})();
