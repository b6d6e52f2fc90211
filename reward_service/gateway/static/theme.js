// The colours: the system's, or what the visitor chose. Loaded before the page is drawn, so that nothing flashes.
"use strict";

(() => {
  const KEY = "reward-service-theme";
  const ORDER = ["auto", "light", "dark"];

  const stored = () => {
    try {
      const value = localStorage.getItem(KEY);
      return ORDER.includes(value) ? value : "auto";
    } catch {
      return "auto"; // storage is switched off: the choice lasts as long as the page
    }
  };

  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };

  let current = stored();
  apply(current);

  // Whoever draws on a canvas listens to "themechange" on document: CSS doesn't reach there.
  const announce = () => document.dispatchEvent(new CustomEvent("themechange"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);

  document.addEventListener("DOMContentLoaded", () => {
    const name = document.getElementById("theme-name");
    name.textContent = current;
    document.getElementById("theme").addEventListener("click", () => {
      current = ORDER[(ORDER.indexOf(current) + 1) % ORDER.length];
      try {
        localStorage.setItem(KEY, current);
      } catch {
        // as above
      }
      apply(current);
      name.textContent = current;
      announce();
    });
  });
})();
