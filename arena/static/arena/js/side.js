// One column: the turns of model A or of model B.

export class Side {
  /** @param {HTMLElement} element @param {HTMLTemplateElement} template of one turn */
  constructor(element, template) {
    this.element = element;
    this.slot = element.dataset.slot;
    this.name = this.slot.toUpperCase();
    this.turns = element.querySelector("[data-turns]");
    this.chip = element.querySelector("[data-chip]");
    this.reveal = element.querySelector("[data-reveal]");
    this.template = template;
  }

  get hasText() {
    return this.turns.textContent.trim() !== "";
  }

  clear() {
    this.turns.replaceChildren();
    this.reveal.hidden = true;
    this.reveal.replaceChildren();
    this.element.classList.remove("side-won");
    this.phase("", "");
  }

  /** The state in the column's head; `phase` is what the style sheet knows. */
  phase(phase, words) {
    this.element.dataset.phase = phase;
    this.chip.textContent = words;
  }

  /** Begin (or, after a reconnect, begin again) the turn with this number. */
  startTurn(number, prompt) {
    let turn = this.turns.querySelector(`[data-turn="${number}"]`);
    if (!turn) {
      turn = this.template.content.firstElementChild.cloneNode(true);
      turn.dataset.turn = number;
      this.turns.append(turn);
    }
    turn.querySelector("[data-prompt]").textContent = prompt;
    this.turn = turn;
    this.blocks = turn.querySelector("[data-blocks]");
    this.tail = turn.querySelector("[data-tail]");
    this.#write("", "");
    // The question goes to the top and the answer grows below it: text being read never moves.
    this.turns.scrollTop = turn.offsetTop - this.turns.offsetTop;
    this.phase("starting", "starting");
  }

  delta({ reset, html, text }) {
    if (reset) this.#write("", "");
    if (html) {
      this.blocks.insertAdjacentHTML("beforeend", html); // sanitised by the server
      this.tail.textContent = "";
    }
    if (text) this.tail.append(text);
    if (this.element.dataset.phase !== "answering") this.phase("answering", "answering");
  }

  complete({ html, words, notice }) {
    this.#write(html, "");
    const line = this.turn.querySelector("[data-notice]");
    line.textContent = notice ?? "";
    line.hidden = !notice;
    this.phase("done", `done · ${words} ${words === 1 ? "word" : "words"}`);
  }

  showName(html, won) {
    this.reveal.innerHTML = html;
    this.reveal.hidden = false;
    this.element.classList.toggle("side-won", won);
    if (won) this.phase("done", "your choice");
  }

  #write(html, tail) {
    this.blocks.innerHTML = html; // sanitised by the server
    this.tail.textContent = tail;
  }
}
