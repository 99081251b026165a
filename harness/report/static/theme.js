// Before the page is drawn, so that it does not flash in the other theme.
(() => {
  const root = document.documentElement;
  root.classList.add("script");
  try {
    const kept = localStorage.getItem("harness-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch {} // storage is forbidden to some pages opened from disk: the system's theme then
})();
