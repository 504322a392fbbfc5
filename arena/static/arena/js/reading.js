// Which column is on the screen: tabs and swiping on a narrow one, full width on a wide one; and
// which answers were seen, because a vote needs both.

export class Reading {
  /** @param {HTMLElement} page @param {Record<string, Side>} sides @param {() => void} onLook */
  constructor(page, sides, onLook) {
    this.sides = sides;
    this.onLook = onLook;
    this.scroller = page.querySelector("[data-sides]");
    this.tabs = [...page.querySelectorAll("[data-tab]")];
    this.narrow = matchMedia("(max-width: 959px)");
    this.seen = new Set(); // columns that were on the screen with a whole answer in them
    this.ready = false;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.show(tab.dataset.tab));
    for (const side of Object.values(sides)) {
      side.element.querySelector("[data-focus]")?.addEventListener("click", () => this.#toggleFocus(side));
    }
    this.scroller.addEventListener("scroll", () => this.look(), { passive: true });
    this.narrow.addEventListener("change", () => this.look());
  }

  get alone() {
    return Object.keys(this.sides).length === 1;
  }

  /** The slots on the screen now. */
  get shown() {
    if (this.alone) return Object.keys(this.sides);
    if (this.narrow.matches) return [this.scroller.scrollLeft > this.scroller.clientWidth / 2 ? "b" : "a"];
    return this.scroller.dataset.focus ? [this.scroller.dataset.focus] : Object.keys(this.sides);
  }

  /** Forget what was seen: new answers are coming, and they count once they are whole. */
  restart({ first = false } = {}) {
    this.ready = false;
    this.seen.clear();
    if (first) this.show("a", "instant");
  }

  show(slot, behavior = "smooth") {
    const element = this.sides[slot].element;
    this.scroller.scrollTo({ left: element.offsetLeft - this.scroller.offsetLeft, behavior });
  }

  markUnread(slot) {
    if (!this.narrow.matches || this.alone || this.shown.includes(slot)) return;
    this.tabs.find((tab) => tab.dataset.tab === slot).querySelector(".dot").hidden = false;
  }

  look() {
    for (const slot of this.shown) {
      if (this.ready && this.sides[slot].hasText) this.seen.add(slot);
      const tab = this.tabs.find((each) => each.dataset.tab === slot);
      if (tab) tab.querySelector(".dot").hidden = true;
    }
    for (const tab of this.tabs) tab.setAttribute("aria-pressed", String(tab.dataset.tab === this.shown[0]));
    this.onLook();
  }

  /** The name of a side whose answer was not on the screen yet, or nothing. */
  get unseen() {
    return Object.values(this.sides).find((side) => !this.seen.has(side.slot))?.name;
  }

  #toggleFocus(side) {
    const on = this.scroller.dataset.focus !== side.slot;
    if (on) this.scroller.dataset.focus = side.slot;
    else delete this.scroller.dataset.focus;
    for (const each of Object.values(this.sides)) {
      each.element.querySelector("[data-focus]").setAttribute("aria-pressed", String(on && each === side));
    }
    this.look();
  }
}
