// Before the page is drawn, so that it does not flash in the other theme.
(() => {
  const root = document.documentElement;
  root.classList.add("script");
  let kept = null;
  try {
    kept = localStorage.getItem("harness-theme");
  } catch (error) {
    kept = null; // storage is forbidden to some pages opened from disk: the system's theme then
  }
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
})();
