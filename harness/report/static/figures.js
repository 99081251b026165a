"use strict";
// Draws the figures of the page. Each is a div.plot with data-figure (its name) and data-title; data
// and layout are the JSON of #figure-<name>, the look of all is that of #plotly-template, and
// plotly itself lies compressed in #plotly-packed.
window.harnessFigures = (() => {
  const NARROW = 620; // pixels: below that, panels stand below one another
  const PAPER = 680;
  const LEGEND_LINE = 26;
  const root = document.documentElement;
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const boxes = [...document.querySelectorAll("div.plot[data-figure]")];
  const plots = new Map(boxes.map((box) => [box, json(`figure-${box.dataset.figure}`)]));
  const drawn = new Map(); // box -> promise of its first drawing
  const loaded = new Promise((done) => addEventListener("load", done));
  let library = null;
  let printing = false;

  const unpack = async () => {
    await loaded; // until then not all of the text may be there
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
  const themed = () => {
    const { layout, ...rest } = json("plotly-template");
    const style = getComputedStyle(root);
    const of = (name, light) => (!printing && style.getPropertyValue(name).trim()) || light;
    const [ink, paper, line] = [of("--ink", "#1a1f25"), of("--paper", "#fff"), of("--line", "#dde2e7")];
    const title = { standoff: 8, font: { size: 12, color: of("--soft", "#55606b") } };
    for (const axis of [layout.xaxis, layout.yaxis])
      Object.assign(axis, { gridcolor: line, linecolor: line, tickcolor: line, title });
    const font = { ...layout.font, family: getComputedStyle(document.body).fontFamily, color: ink };
    const hoverlabel = { bgcolor: paper, bordercolor: line, font: { color: ink } };
    return { ...rest, layout: { ...layout, font, hoverlabel, paper_bgcolor: paper, plot_bgcolor: paper } };
  };
  const measure = (box) => {
    const { data, layout } = plots.get(box);
    const width = printing ? Math.min(box.clientWidth, PAPER) : box.clientWidth;
    const narrow = width < NARROW ? layout.meta?.narrow : null;
    const entries = data.filter((trace) => trace.showlegend !== false && trace.name);
    const legend = entries.reduce((sum, trace) => sum + 45 + 7 * trace.name.length, 0);
    const lines = Math.max(1, Math.ceil(legend / Math.max(width, 1)));
    return { width, height: (narrow?.height ?? layout.height ?? 450) + LEGEND_LINE * (lines - 1), narrow };
  };
  // the axes of a narrow page are elsewhere, and none shares the ticks and title of one to its left
  const arrange = (layout, own, narrow) => {
    for (const key of Object.keys(own).filter((name) => /^[xy]axis\d*$/.test(name))) {
      const { domain = [0, 1], matches, title } = own[key];
      layout[key].domain = [...(narrow?.[key].domain ?? domain)];
      if (!matches) continue;
      layout[key].showticklabels = narrow ? true : own[key].showticklabels;
      layout[key].title = structuredClone(narrow ? own[`${key[0]}axis${matches.slice(1)}`].title : title);
    }
  };
  const draw = async (box) => {
    await (library ??= unpack());
    // what is there keeps what the reader did to it: zoom, hidden traces
    const { data, layout } = box.layout ? box : structuredClone(plots.get(box));
    const { width, height, narrow } = measure(box);
    arrange(layout, plots.get(box).layout, narrow);
    const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
    Object.assign(layout, { width, height, dragmode, template: themed() });
    box.style.minHeight = `${height}px`;
    await window.Plotly.react(box, data, layout, { displayModeBar: false, showTips: false });
    box.dataset.drawn = "yes";
  };
  const failed = (box, error) => {
    box.textContent = `This browser cannot draw the figure (${error.message}); its numbers are below.`;
    box.classList.add("callout");
    box.removeAttribute("role");
    box.style.minHeight = "";
    box.dataset.drawn = "no";
  };
  const tryDraw = (box) => draw(box).catch((error) => failed(box, error));
  const first = (box) => drawn.get(box) ?? drawn.set(box, tryDraw(box)).get(box);
  const there = () => boxes.filter((box) => box.dataset.drawn === "yes");
  const redraw = () => there().forEach(tryDraw);
  const save = async (box) => {
    await first(box);
    if (box.dataset.drawn !== "yes") return;
    const { width, height } = box.layout;
    await window.Plotly.downloadImage(box, { format: "svg", filename: box.dataset.figure, width, height });
  };

  const near = new IntersectionObserver(
    (seen) => seen.filter((entry) => entry.isIntersecting).forEach((entry) => first(entry.target)),
    { rootMargin: "700px" },
  );
  for (const box of boxes) {
    const title = box.dataset.title || box.dataset.figure;
    box.style.minHeight = `${measure(box).height}px`; // so that nothing moves when it is drawn
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${title}; its numbers are below`);
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "small save-svg", textContent: "Save SVG" });
    button.setAttribute("aria-label", `Save as SVG: ${title}`);
    button.addEventListener("click", () => save(box));
    box.after(button);
    near.observe(box);
  }
  // the others when the browser has nothing else to do, so that all are there when it prints
  const idle = window.requestIdleCallback ?? ((act) => setTimeout(act, 50));
  const drawRest = () => {
    const box = boxes.find((one) => !drawn.has(one));
    if (box) idle(() => first(box).then(drawRest));
  };
  loaded.then(drawRest);

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    const resized = () => there().filter((box) => box.layout.width !== box.clientWidth).forEach(tryDraw);
    waiting = setTimeout(resized, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  // where plotly is there, what was not yet drawn is drawn within the event, as the paper does not wait
  addEventListener("beforeprint", () => {
    printing = true;
    if (window.Plotly) boxes.forEach((box) => (drawn.has(box) ? tryDraw(box) : first(box)));
  });
  addEventListener("afterprint", () => { printing = false; redraw(); });
  return { drawAll: () => Promise.all(boxes.map(first)) };
})();
