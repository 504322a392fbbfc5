// Single-key shortcuts: off while typing or with a modifier held, and can be switched off
// altogether (WCAG 2.1.4).

const STORE = "arena.keys";

const enabled = () => {
  try {
    return localStorage.getItem(STORE) !== "off";
  } catch {
    return true;
  }
};

/** @param {Record<string, () => void>} actions by key @param {HTMLDialogElement} dialog that lists them */
export function bindKeys(actions, dialog) {
  const toggle = dialog.querySelector("[data-keys-enabled]");
  toggle.checked = enabled();
  toggle.addEventListener("change", () => {
    try {
      localStorage.setItem(STORE, toggle.checked ? "on" : "off");
    } catch {
      // the choice then lasts for this page only
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (!toggle.checked || dialog.open) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
}
