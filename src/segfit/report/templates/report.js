"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  root.classList.add("js");

  // --- tables: sort by a click on a title ---------------------------------------------------------------------------

  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // A cell's number, else its text; null where it has neither, which always comes last.
  const key = (cell, numeric) => {
    if (numeric) return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
    return cell.textContent.trim() || null;
  };

  const order = (one, other, sign) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return sign * (typeof one === "number" ? one - other : words.compare(one, other));
  };

  const sortable = (table) => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const titles = [...table.tHead.rows[0].cells];
    titles.forEach((title, column) => {
      if (!title.textContent.trim()) return;
      const numeric = original.some((row) => row.cells[column].dataset.v !== undefined);
      const button = make("button", { type: "button", className: "sort" }, ...title.childNodes);
      title.append(button);
      button.addEventListener("click", () => {
        const now = title.getAttribute("aria-sort");
        // What is asked for first is what is large: the best score, the most memory.
        const descending = now === null ? numeric : now === "ascending";
        titles.forEach((other) => other.removeAttribute("aria-sort"));
        title.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const keyed = original.map((row) => [key(row.cells[column], numeric), row]);
        keyed.sort(([one], [other]) => order(one, other, descending ? -1 : 1));
        body.append(...keyed.map(([, row]) => row));
      });
    });
  };

  // --- tables: show only the rows that hold every word --------------------------------------------------------------

  const filterable = (place) => {
    const field = place.querySelector("input[type=search]");
    if (!field) return;
    const output = place.querySelector("output");
    const rows = all("tbody tr", place).map((row) => {
      const texts = [...row.cells].filter((cell) => !cell.classList.contains("number")).map((cell) => cell.textContent);
      return [row, texts.join(" ").toLowerCase()];
    });
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach(([row, text]) => { row.hidden = !wanted.every((word) => text.includes(word)); });
      const shown = rows.filter(([row]) => !row.hidden).length;
      output.textContent = wanted.length ? `${shown} of ${rows.length} rows` : "";
    });
  };

  // --- runs: off and on, in tables, figures and pictures ------------------------------------------------------------

  // What is about several runs goes with any of them; sliders choose other layers then.
  const off = new Set();
  all(".runs input").forEach((box) => {
    box.addEventListener("change", () => {
      off[box.checked ? "delete" : "add"](box.value);
      all(`[data-run~="${box.value}"]`).forEach((element) => {
        element.classList.toggle("off", element.dataset.run.split(" ").some((run) => off.has(run)));
      });
      all(".slider").forEach((place) => place.dispatchEvent(new Event("runs")));
    });
  });

  // --- sliders: two layers of one image -----------------------------------------------------------------------------

  const slider = (place) => {
    const stage = place.querySelector(".stage");
    const range = place.querySelector("input[type=range]");
    const layers = all(".layer", place);
    const selects = all("select", place);
    if (layers.length < 2) return;
    const show = () => {
      layers.forEach((layer, number) => {
        layer.classList.toggle("left", number === Number(selects[0].value));
        layer.classList.toggle("right", number === Number(selects[1].value));
      });
    };
    const move = () => stage.style.setProperty("--at", `${range.value}%`);
    selects.forEach((select, side) => {
      layers.forEach((layer, number) => {
        const name = layer.querySelector("figcaption").textContent.trim();
        select.append(make("option", { value: String(number), textContent: name }));
      });
      select.value = String(side);
      select.addEventListener("change", show);
    });
    // A layer of a run that is off cannot be chosen; where it was, the first one takes its place that is on.
    const choose = () => selects.forEach((select) => {
      const gone = layers.map((layer) => layer.classList.contains("off"));
      [...select.options].forEach((option, number) => { option.hidden = option.disabled = gone[number]; });
      if (!gone[Number(select.value)] || gone.every(Boolean)) return;
      const others = selects.filter((other) => other !== select).map((other) => Number(other.value));
      const free = gone.findIndex((no, number) => !no && !others.includes(number));
      select.value = String(free < 0 ? gone.indexOf(false) : free);
      select.dispatchEvent(new Event("change"));
    });
    place.addEventListener("runs", choose);
    range.addEventListener("input", move);
    place.classList.add("live");
    show();
    move();
  };

  // --- the page -----------------------------------------------------------------------------------------------------

  const theme = (button) => {
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const say = () => {
      button.textContent = dark() ? "Light page" : "Dark page";
    };
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      say();
    });
    system.addEventListener("change", say);
    say();
  };

  // The part that is read is marked in the list of contents.
  const contents = () => {
    const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
    const watcher = new IntersectionObserver((entries) => {
      entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id).setAttribute("aria-current", "true");
      });
    }, { rootMargin: "-20% 0px -75% 0px" });
    links.forEach((_, id) => watcher.observe(document.getElementById(id)));
  };

  // On paper nothing is folded away.
  const printing = () => {
    let closed = [];
    window.addEventListener("beforeprint", () => {
      closed = all("details:not([open])");
      closed.forEach((fold) => { fold.open = true; });
    });
    window.addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));
  };

  all("table").forEach(sortable);
  all(".table").forEach(filterable);
  all(".slider").forEach(slider);
  theme(document.querySelector(".theme"));
  contents();
  printing();
})();
