// Which models are asked, and how: on the pages where the reader chooses.

const STORE = "arena.models";

const remembered = () => {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
};

export class Chooser {
  /** @param {HTMLElement} page */
  constructor(page) {
    this.mode = page.dataset.mode;
    this.selects = [...page.querySelectorAll("[data-model]")];
    this.fields = [...page.querySelectorAll("[data-parameter]")];
    this.page = page;
    const before = remembered()[this.mode] ?? [];
    this.selects.forEach((select, index) => {
      if ([...select.options].some((option) => option.value === before[index])) select.value = before[index];
      select.addEventListener("change", () => this.#changed(select));
    });
    this.#describe();
  }

  get there() {
    return this.selects.length > 0;
  }

  /** Why it cannot be asked so, or nothing. */
  get hindrance() {
    const field = this.fields.find((each) => !each.validity.valid);
    if (field) {
      const title = this.page.querySelector(`label[for="${field.id}"]`).textContent;
      return `${title} must be between ${field.min} and ${field.max}.`;
    }
    const slugs = this.selects.map((select) => select.value);
    return new Set(slugs).size < slugs.length ? "Choose two different models." : "";
  }

  /** What the first message of the conversation says of it. */
  get opening() {
    return {
      mode: this.mode,
      models: this.selects.map((select) => select.value),
      parameters: Object.fromEntries(
        this.fields.filter((field) => field.value !== "").map((field) => [field.dataset.parameter, field.valueAsNumber]),
      ),
    };
  }

  /** @returns {Record<string, string>} the names by slot */
  get names() {
    return Object.fromEntries(
      this.selects.map((select) => [select.dataset.model, select.selectedOptions[0].dataset.name]),
    );
  }

  #changed(select) {
    const other = this.selects.find((each) => each !== select);
    // A model is not compared with itself: the other one makes room.
    if (other?.value === select.value) other.value = [...other.options].find((option) => option.value !== select.value).value;
    this.#describe();
    try {
      const all = { ...remembered(), [this.mode]: this.selects.map((each) => each.value) };
      localStorage.setItem(STORE, JSON.stringify(all));
    } catch {
      // the choice then lasts for this page only
    }
  }

  #describe() {
    for (const select of this.selects) {
      this.page.querySelector(`[data-about="${select.dataset.model}"]`).textContent = select.selectedOptions[0].dataset.about;
    }
  }
}
