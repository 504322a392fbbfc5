// One column: the turns of model A or of model B.

import { showImages } from "./images.js";
import { addCodeButtons } from "./tools.js";

export class Side {
  /** @param {HTMLElement} element @param {HTMLTemplateElement} template of one turn */
  constructor(element, template) {
    this.element = element;
    this.slot = element.dataset.slot;
    this.turns = element.querySelector("[data-turns]");
    this.chip = element.querySelector("[data-chip]");
    this.heading = element.querySelector("[data-name]");
    this.reveal = element.querySelector("[data-reveal]");
    this.template = template;
    this.turn = this.turns.querySelector(".turn:last-child");
    addCodeButtons(element);
  }

  get name() {
    return this.heading.textContent;
  }

  set name(name) {
    this.heading.textContent = name;
    this.turns.setAttribute("aria-label", `Answers of ${name}`);
  }

  get hasText() {
    return this.turns.textContent.trim() !== "";
  }

  get done() {
    return ["done", ""].includes(this.element.dataset.phase ?? "");
  }

  clear() {
    this.turns.replaceChildren();
    this.turn = null;
    this.hideNames();
    this.phase("", "");
  }

  hideNames() {
    this.reveal.hidden = true;
    this.reveal.replaceChildren();
    this.element.classList.remove("side-won");
  }

  /** The state in the column's head; `phase` is what the style sheet knows. */
  phase(phase, words) {
    this.element.dataset.phase = phase;
    this.chip.textContent = words;
  }

  /** Begin (or, after a reconnect, begin again) the turn with this number. */
  startTurn(number, prompt, images = []) {
    let turn = this.turns.querySelector(`[data-turn="${number}"]`);
    if (!turn) {
      turn = this.template.content.firstElementChild.cloneNode(true);
      turn.dataset.turn = number;
      this.turns.append(turn);
    }
    turn.querySelector("[data-prompt]").textContent = prompt;
    showImages(turn.querySelector("[data-images]"), images);
    this.turn = turn;
    delete turn.dataset.stopped;
    turn.querySelector("[data-notice]").hidden = true;
    turn.querySelector("[data-sources]").hidden = true;
    turn.querySelector("[data-tools]").hidden = true;
    this.#showRendered();
    this.#write("", "");
    // The question goes to the top and the answer grows below it: text being read never moves.
    this.turns.scrollTop = turn.offsetTop - this.turns.offsetTop;
    this.phase("starting", "starting");
  }

  delta({ reset, html, text }) {
    if (reset) this.#write("", "");
    if (html) {
      this.turn.querySelector("[data-blocks]").insertAdjacentHTML("beforeend", html); // sanitised by the server
      this.turn.querySelector("[data-tail]").textContent = "";
      addCodeButtons(this.turn);
    }
    if (text) this.turn.querySelector("[data-tail]").append(text);
    if (this.element.dataset.phase !== "answering") this.phase("answering", "answering");
  }

  complete({ html, words, notice }) {
    this.#write(html, "");
    const line = this.turn.querySelector("[data-notice]");
    line.textContent = notice ?? "";
    line.hidden = !notice;
    if (!notice) delete this.turn.dataset.stopped; // it was complete before Stop arrived
    this.turn.querySelector("[data-tools]").hidden = false;
    this.phase("done", `done · ${words} ${words === 1 ? "word" : "words"}`);
  }

  /** Nobody may read this answer any more. */
  withdraw() {
    this.#write("", "");
    this.turn.querySelector("[data-tools]").hidden = true;
    this.phase("failed", "no answer");
  }

  /** Where an answer comes from: a number while the models are anonymous, else the links. */
  sources(found) {
    const line = this.turn.querySelector("[data-sources]");
    const count = Array.isArray(found) ? found.length : found;
    const words = count ? `${count} source${count === 1 ? "" : "s"}` : "No sources";
    if (!count || !Array.isArray(found)) {
      line.textContent = count ? `${words}, shown after the vote` : words;
    } else {
      const list = document.createElement("ol");
      for (const { url, title } of found) {
        const link = document.createElement("a");
        Object.assign(link, { href: url, textContent: title, target: "_blank", rel: "nofollow noopener ugc" });
        const item = document.createElement("li");
        item.append(link);
        list.append(item);
      }
      const summary = document.createElement("summary");
      summary.textContent = words;
      const details = document.createElement("details");
      details.append(summary, list);
      line.replaceChildren(details);
    }
    line.hidden = false;
  }

  get hasSources() {
    return this.turn !== null && !this.turn.querySelector("[data-sources]").hidden;
  }

  showSources(byTurn) {
    for (const [number, html] of Object.entries(byTurn)) {
      const line = this.turns.querySelector(`[data-turn="${number}"] [data-sources]`);
      line.innerHTML = html; // a template of ours
      line.hidden = false;
    }
  }

  showName(html, won) {
    this.reveal.innerHTML = html; // a template of ours
    this.reveal.hidden = false;
    this.element.classList.toggle("side-won", won);
    if (won) this.phase("done", "your choice");
  }

  #showRendered() {
    this.turn.querySelector("[data-answer]").hidden = false;
    this.turn.querySelector("[data-raw]").hidden = true;
    this.turn.querySelector("[data-show-raw]").setAttribute("aria-pressed", "false");
  }

  #write(html, tail) {
    this.turn.querySelector("[data-blocks]").innerHTML = html; // sanitised by the server
    this.turn.querySelector("[data-tail]").textContent = tail;
    addCodeButtons(this.turn);
  }
}
