"use strict";
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const root = document.documentElement;

  // theme: the button says what a click does
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const tell = () => (button.textContent = isDark() ? "Light theme" : "Dark theme");
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("harness-theme", root.dataset.theme);
    } catch {} // storage is forbidden: it holds for this visit only
    tell();
  });
  dark.addEventListener("change", tell);
  tell();

  // of a run that goes on: the page is rewritten now and then, and is not taken from a reader
  const live = document.querySelector("[data-reload]");
  if (live) {
    const wait = 1000 * Number(live.dataset.reload);
    let touched = Date.now();
    for (const kind of ["pointerdown", "keydown", "wheel", "touchmove"]) {
      addEventListener(kind, () => (touched = Date.now()), { passive: true });
    }
    setInterval(() => Date.now() - touched >= wait && location.reload(), wait / 4);
  }

  // the best within limits, which the address keeps:
  // report.html#max.latency=25&min.ap_small=10&mode=onnxruntime
  const form = document.getElementById("choose");
  if (form) {
    const { score, limits, modes, scored, contenders, ...words } = JSON.parse(
      document.getElementById("choices").textContent,
    );
    const chosen = document.getElementById("chosen");
    const select = form.elements.mode;
    const sign = (limit) => (limit.upper ? "max" : "min");
    const list = (names) =>
      names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
    const asked = () =>
      limits
        .map((limit) => ({ ...limit, text: form.elements[limit.name].value }))
        .filter(({ text }) => text !== "" && Number.isFinite(Number(text)));
    const meets = (values) => (limit) => {
      const found = values[limit.name];
      if (found === null) return false;
      return limit.upper ? found.value <= Number(limit.text) : found.value >= Number(limit.text);
    };
    const isNear = (values) => (limit) => {
      const [low, high] = values[limit.name].ends ?? [0, 0];
      return low < Number(limit.text) && Number(limit.text) < high;
    };
    // sentences with {} for a name: each once, with all its names
    const joined = (names, said) => {
      const told = new Map();
      for (const name of names) told.set(said[name], [...(told.get(said[name]) ?? []), name]);
      return [...told].map(([sentence, own]) => sentence.replace("{}", list(own)));
    };
    const show = () => {
      const wanted = asked();
      const mode = select?.value ?? "";
      if (!wanted.length && !mode) return chosen.replaceChildren();
      const considered = contenders.filter((one) => !mode || one.mode === mode);
      const fitting = considered.filter(({ values }) => wanted.every(meets(values)));
      if (!fitting.length) return chosen.replaceChildren("No detector is within all of these limits.");
      const [best, ...others] = fitting;
      const own = scored[best.scored_as];
      const isAlike = (one) => one.scored_as === best.scored_as;
      const rivals = new Set(others.filter((one) => !isAlike(one)).map((one) => one.scored_as));
      const slower = others.filter(isAlike).map((one) => one.mode);
      const sentences = [
        ...joined([...rivals], own.behind),
        ...joined(slower.filter((other) => other in best.slower), best.slower),
      ];
      if (!others.length) sentences.push(considered.length > 1 ? words.nothing_else : words.alone);
      for (const { name, title } of wanted.filter(isNear(best.values)))
        sentences.push(
          words.near.replace("{title}", title).replace("{interval}", best.values[name].interval),
        );
      const name = document.createElement("strong");
      name.textContent = best.name;
      chosen.replaceChildren(name, ` ${score} ${own.shown}. ${sentences.join(" ")}`);
    };
    const fromAddress = () => {
      const given = new URLSearchParams(location.hash.slice(1));
      const mode = modes.includes(given.get("mode")) ? given.get("mode") : "";
      const known = limits.filter((limit) => given.has(`${sign(limit)}.${limit.name}`));
      if (!known.length && !mode) return;
      for (const limit of limits)
        form.elements[limit.name].value = given.get(`${sign(limit)}.${limit.name}`) ?? "";
      if (select) select.value = mode;
      form.scrollIntoView();
      show();
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      const parts = asked().map((limit) => [`${sign(limit)}.${limit.name}`, limit.text]);
      if (select?.value) parts.push(["mode", select.value]);
      history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
      show();
    });
    addEventListener("hashchange", fromAddress);
    fromAddress();
  }

  // sorting: the best first, then the other way round
  const key = (row, index) => row.cells[index].dataset.sort ?? row.cells[index].textContent.trim();
  const compare = (a, b) => {
    if (a === "" || b === "") return Number(a === "") - Number(b === "");
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const sort = (table, head) => {
    const index = head.cellIndex;
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const way = head.getAttribute("aria-sort") === first ? other : first;
    all("th[aria-sort]", table).forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((one, two) => {
      const [a, b] = [key(one, index), key(two, index)];
      // rows without a number stay at the end either way
      return compare(a, b) * (a === "" || b === "" ? 1 : sign);
    });
    body.append(...rows);
  };
  for (const table of all("table.sortable"))
    for (const head of all("thead th", table))
      head.querySelector("button")?.addEventListener("click", () => sort(table, head));

  // filter
  const told = document.getElementById("told");
  for (const input of all("input[data-table]")) {
    const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const name = row.cells[0].textContent.toLowerCase();
        row.hidden = !words.every((word) => name.includes(word));
      }
      told.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
    });
  }

  // close-ups by class and by what the chosen detector did there
  for (const crops of all(".crops")) {
    const filters = all("select", crops);
    const update = () => {
      const chosen = all("input", crops).findIndex((input) => input.checked);
      const { label, kind } = Object.fromEntries(filters.map((f) => [f.dataset.filter, f.value]));
      let shown = 0;
      for (const figure of all("figure", crops)) {
        const own = figure.dataset.kinds.split(" ")[chosen];
        const fits = (!label || figure.dataset.label === label) && (!kind || own === kind);
        figure.hidden = !fits;
        shown += fits && own !== "found";
      }
      crops.querySelector("[data-none]").hidden = shown > 0;
    };
    crops.querySelector(".filters").hidden = false;
    crops.addEventListener("change", update);
    update();
  }

  // columns
  for (const box of all("input[data-column]"))
    box.addEventListener("change", () => {
      for (const row of document.getElementById(box.dataset.tableColumns).rows)
        row.cells[box.dataset.column].classList.toggle("gone", !box.checked);
    });
  for (const menu of all("details.columns"))
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });

  // copying: what is shown, in the order shown, with both errors in columns of their own
  const columns = (table) =>
    all("thead th", table).map((head, index) => {
      if (head.classList.contains("gone")) return [];
      const cells = [...table.tBodies[0].rows].map((row) => row.cells[index]);
      const parts = [["value", ""], ["low", " low"], ["high", " high"], ["spread", " sd over seeds"]];
      return parts
        .filter(([part]) => part === "value" || cells.some((cell) => cell.dataset[part]))
        .map(([part, words]) => ({ index, part, title: head.dataset.title + words }));
    }).flat();
  const grid = (table) => {
    const wanted = columns(table);
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    const cell = (row, { index, part }) => {
      const text = row.cells[index].dataset[part] ?? "";
      return text === "–" ? "" : index ? text.replaceAll(",", "") : text;
    };
    return [wanted.map((c) => c.title), ...rows.map((row) => wanted.map((c) => cell(row, c)))];
  };
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const forms = {
    csv: (lines) => lines.map((line) => line.map(quoted).join(",")).join("\n") + "\n",
    markdown: ([head, ...rows]) => {
      const line = (cells) => `| ${cells.map((c) => c.replaceAll("|", "\\|")).join(" | ")} |`;
      const rule = head.map((_, index) => (index ? "---:" : "---"));
      return [head, rule, ...rows].map(line).join("\n") + "\n";
    },
  };
  const copyByHand = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden";
    area.setAttribute("aria-hidden", "true");
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (error) {
      return copyByHand(text); // no clipboard for pages from disk, or not permitted
    }
  };
  const answer = (from, done) => {
    const before = from.dataset.label ?? from.textContent;
    from.dataset.label = before;
    from.textContent = done ? "Copied" : "Not permitted";
    setTimeout(() => (from.textContent = before), 1600);
  };
  for (const from of all("[data-copy]"))
    from.addEventListener("click", async () => answer(from, await copy(from.dataset.copy)));
  for (const from of all("[data-copy-table]"))
    from.addEventListener("click", async () => {
      const lines = grid(document.getElementById(from.dataset.copyTable));
      const done = await copy(forms[from.dataset.form](lines));
      answer(from, done);
      if (told) told.textContent = done ? `${lines.length - 1} rows copied` : "";
    });

  // where in the page the reader is
  const links = new Map(all(".contents a").map((a) => [a.getAttribute("href").slice(1), a]));
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((a) => a.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-10% 0px -75% 0px" },
  );
  all("main > section[id]").forEach((section) => seen.observe(section));

  // on paper everything is open, and afterwards as it was
  let closed = [];
  addEventListener("beforeprint", () => {
    // it may come twice before the end
    closed.push(...all("details:not([open]):not(.screen-only)"));
    closed.forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => {
    closed.forEach((details) => (details.open = false));
    closed = [];
  });
})();
