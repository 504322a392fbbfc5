// The leaderboard's form: short addresses, remembered columns, menus that stay open.
// Without this script the same form works with its own button.

const COLUMNS = "arena.columns";
const DEFAULT = "default";

const remembered = () => {
  try {
    return localStorage.getItem(COLUMNS);
  } catch {
    return null;
  }
};
const remember = (value) => {
  try {
    localStorage.setItem(COLUMNS, value);
  } catch {
    // the choice then lasts for this page only
  }
};

const form = () => document.getElementById("board-form");
const columnBoxes = () => [...form().querySelectorAll('input[name="columns"]')];
const chosenColumns = () => columnBoxes().filter((box) => box.checked).map((box) => box.value);
const submit = () => form().requestSubmit();

// What is empty, or as it is anyway, stays out of the address.
document.addEventListener("htmx:configRequest", (event) => {
  const { formData } = event.detail;
  if (event.target.id !== "board-form") return;
  const columns = chosenColumns().join(",");
  const usual = columnBoxes().every((box) => box.checked === box.defaultChecked) && !columnsInAddress();
  for (const [name, value] of [...formData.entries()]) if (value === "") formData.delete(name);
  if (formData.get("category") === "overall") formData.delete("category");
  if (formData.get("method") === "bradley_terry") formData.delete("method");
  if (!formData.has("sort") && formData.get("order") === "asc") formData.delete("order");
  formData.delete("columns");
  if (!usual) formData.set("columns", columns);
});

const columnsInAddress = () => new URLSearchParams(location.search).has("columns");

// An open menu is open in what replaces it, too; else the focus inside it would be lost.
document.addEventListener("htmx:beforeSwap", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    const { detail } = event;
    detail.serverResponse = detail.serverResponse.replace(`id="${menu.id}"`, `id="${menu.id}" open`);
  }
});

// The two ends of a range belong together: they go with Enter or their button.
document.addEventListener(
  "change",
  (event) => {
    if (event.target.closest(".range")) event.stopPropagation();
  },
  true,
);

document.addEventListener("change", (event) => {
  if (event.target.name === "columns") remember(chosenColumns().join(","));
});

document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-default-columns]")) {
    remember(DEFAULT);
    const address = new URL(location.href);
    address.searchParams.delete("columns");
    location.assign(address);
  }
  const copy = event.target.closest("[data-copy-address]");
  if (copy) {
    await navigator.clipboard.writeText(location.href);
    copy.textContent = "Copied";
  }
  // One menu at a time, and a click elsewhere closes it.
  const within = event.target.closest("details.menu");
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== within) menu.removeAttribute("open");
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  }
});

// A reader who chose columns before finds them again, unless the address says which.
// Only once htmx is ready: before, the form would be sent the plain way.
document.addEventListener("DOMContentLoaded", () => {
  const saved = remembered();
  if (!saved || saved === DEFAULT || columnsInAddress()) return;
  const wanted = new Set(saved.split(","));
  for (const box of columnBoxes()) box.checked = wanted.has(box.value) || box.disabled;
  if (columnBoxes().some((box) => box.checked !== box.defaultChecked)) submit();
});

// A table that fits needs no box to scroll in: then its head stays in sight as the page scrolls.
const fit = () => {
  for (const box of document.querySelectorAll(".board-scroll")) {
    const fits = box.firstElementChild.offsetWidth <= box.clientWidth;
    box.classList.toggle("fits", fits);
    box.classList.toggle("wide", !fits);
  }
};
fit();
addEventListener("resize", fit);
document.addEventListener("htmx:afterSettle", fit);
