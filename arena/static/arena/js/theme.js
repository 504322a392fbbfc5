// Sets the theme before the page is painted; the switch walks auto → light → dark.
"use strict";
(() => {
  const KEY = "arena.theme";
  const THEMES = ["auto", "light", "dark"];
  const root = document.documentElement;

  const stored = () => {
    try {
      return localStorage.getItem(KEY) || "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  };

  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = theme;
  };

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    apply(stored());
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.addEventListener("click", () => {
        const next = THEMES[(THEMES.indexOf(stored()) + 1) % THEMES.length];
        try {
          localStorage.setItem(KEY, next);
        } catch {
          // the choice then lasts for this page only
        }
        apply(next);
      });
    }
  });
})();
