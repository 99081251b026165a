"use strict";
// Draws the figures of the page. Each is a <div class="plot" data-figure="NAME"> whose data lie in
// <script type="application/json" id="figure-NAME">; plotly itself lies compressed in the page.
window.harnessFigures = (() => {
  const root = document.documentElement;
  const boxes = [...document.querySelectorAll("div.plot[data-figure]")];
  const drawn = new Map();
  const NARROW = 620;
  let library = null;
  let printing = false;

  const unpack = async () => {
    if (typeof DecompressionStream === "undefined") throw new Error("no DecompressionStream");
    const packed = document.getElementById("plotly-packed").textContent.trim();
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    // as text, not as an address: nothing is asked for, even of the browser itself
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!window.Plotly) throw new Error("plotly did not start");
  };
  const start = () => (library ??= window.Plotly ? Promise.resolve() : unpack());

  const colours = () => {
    const style = getComputedStyle(root);
    const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    if (printing) return { ink: "#1a1f25", paper: "#ffffff", soft: "#55606b", line: "#dde2e7" };
    return {
      ink: of("--ink", "#1a1f25"),
      paper: of("--paper", "#ffffff"),
      soft: of("--soft", "#55606b"),
      line: of("--line", "#dde2e7"),
      font: getComputedStyle(document.body).fontFamily,
    };
  };

  const suffix = (index) => (index ? String(index + 1) : "");
  // what the panel to the left says already is not said again
  const share = (layout, index, panel, column, columns) => {
    if (!column) return;
    const beside = layout.meta.panels.findIndex(
      (other) => other.cell === panel.cell - (panel.cell % columns) && other.share[0] === panel.share[0],
    );
    const [own, first] = [index, beside].map((at) => layout[`yaxis${suffix(at)}`]);
    if (own.title && own.title.text === first.title?.text) own.title.text = "";
    if (own.type === "category") own.showticklabels = false;
  };
  // cells side by side where there is room, below one another where there is none; as drawing.lay_out
  const arrange = (layout, width) => {
    const { panels, columns: wanted, cellHeight } = layout.meta;
    const cells = Math.max(...panels.map((panel) => panel.cell)) + 1;
    const columns = width < NARROW ? 1 : width < 900 ? Math.min(2, wanted) : wanted;
    const rows = Math.ceil(cells / columns);
    const gap = width < 900 ? 0.14 : 0.1;
    const wide = (1 - gap * (columns - 1)) / columns;
    // room for ticks and title of the axis below each row
    const plotted = rows * cellHeight - 70;
    const below = rows > 1 ? 66 / plotted : 0;
    const high = (1 - below * (rows - 1)) / rows;
    panels.forEach((panel, index) => {
      const column = panel.cell % columns;
      const top = 1 - Math.floor(panel.cell / columns) * (high + below);
      const left = column * (wide + gap);
      layout[`xaxis${suffix(index)}`].domain = [left, Math.min(1, left + wide)];
      share(layout, index, panel, column, columns);
      const [low, up] = panel.share.map((part) => top - high * (1 - part));
      layout[`yaxis${suffix(index)}`].domain = [Math.max(0, low), Math.min(1, up)];
    });
    const entries = layout.meta.legend ?? 0;
    const lines = Math.ceil((entries * 130) / Math.max(width, 1));
    layout.height = rows * cellHeight + 26 * lines;
    const above = 20 / (rows * cellHeight - 70);
    layout.legend.y = 1 + above;
  };

  const dress = (layout, theme) => {
    layout.font = { family: theme.font, size: 12, color: theme.ink };
    layout.paper_bgcolor = theme.paper;
    layout.plot_bgcolor = theme.paper;
    layout.hoverlabel = { bgcolor: theme.paper, bordercolor: theme.line, font: { color: theme.ink } };
    for (const key of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name)))
      Object.assign(layout[key], {
        gridcolor: theme.line, linecolor: theme.line, tickcolor: theme.line, showline: true,
        title: { standoff: 8, ...layout[key].title, font: { size: 12, color: theme.soft } },
      });
  };

  const read = (box) => {
    const text = document.getElementById(`figure-${box.dataset.figure}`).textContent;
    const plot = JSON.parse(text);
    const named = plot.data.filter((trace) => trace.showlegend !== false);
    plot.layout.meta.legend = named.length;
    return plot;
  };

  const draw = async (box) => {
    await start();
    const plot = read(box);
    const width = box.clientWidth;
    arrange(plot.layout, width);
    dress(plot.layout, colours());
    plot.layout.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
    plot.layout.autosize = true;
    box.style.minHeight = `${plot.layout.height}px`;
    await window.Plotly.react(box, plot.data, plot.layout, {
      responsive: false, displaylogo: false, displayModeBar: false,
      toImageButtonOptions: { format: "svg", filename: box.dataset.figure },
    });
    drawn.set(box, width);
    box.dataset.drawn = "yes";
  };

  const failed = (box, error) => {
    box.textContent = `This browser cannot draw the figure (${error.message}); its numbers stand below.`;
    box.classList.add("callout");
    box.removeAttribute("role");
    box.dataset.drawn = "no";
  };
  const tryDraw = (box) => draw(box).catch((error) => failed(box, error));
  const drawAll = () => Promise.all(boxes.map(tryDraw));
  const redraw = () => Promise.all([...drawn.keys()].map(tryDraw));

  const save = async (box) => {
    await tryDraw(box);
    if (box.dataset.drawn === "yes")
      await window.Plotly.downloadImage(box, {
        format: "svg", filename: box.dataset.figure, width: box.clientWidth, height: box.clientHeight,
      });
  };

  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries)
        if (entry.isIntersecting) {
          near.unobserve(entry.target);
          tryDraw(entry.target);
        }
    },
    { rootMargin: "700px" },
  );
  for (const box of boxes) {
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${box.dataset.title ?? box.dataset.figure}; its numbers stand below`);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small save-svg";
    button.textContent = "Save SVG";
    button.setAttribute("aria-label", `Save as SVG: ${box.dataset.title ?? box.dataset.figure}`);
    button.addEventListener("click", () => save(box));
    box.after(button);
    near.observe(box);
  }

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const [box, width] of drawn) if (box.clientWidth !== width) tryDraw(box);
    }, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; redraw(); });
  return { drawAll };
})();
