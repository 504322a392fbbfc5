// One socket a page. It comes back by itself while a turn runs, and the server then replays the
// turn from its start, so what is shown is the same text whatever was missed.

const BACKOFF = [300, 700, 1500, 3000, 5000]; // milliseconds before each new try
const CLOSED_FOR_GOOD = {
  4401: "This page has no cookie of the arena. Please allow cookies for this site and reload.",
  4413: "That was too large to send.",
  4429: "Too many messages at once. Please reload the page.",
};

export class BattleSocket {
  /** @param {{onEvent: (event: object) => void, onStatus: (status: string, message?: string) => void}} listeners */
  constructor({ onEvent, onStatus }) {
    this.onEvent = onEvent;
    this.onStatus = onStatus;
    this.battle = null; // public id, once known
    this.seen = { a: 0, b: 0 };
    this.running = false; // a turn is on its way: a lost connection matters
    this.tries = 0;
  }

  /** @param {object} opening what a new battle is to be; nothing for another turn of this one */
  submit(prompt, battle, opening = {}) {
    this.#begin(battle);
    this.#send({ type: "turn.submit", prompt, battle, ...opening });
  }

  regenerate(battle, slot) {
    this.#begin(battle);
    this.#send({ type: "turn.regenerate", battle, slot });
  }

  stop() {
    this.#send({ type: "turn.stop" });
  }

  resume(battle) {
    this.battle = battle;
    this.running = true;
    this.#send({ type: "resume", battle, last_seq: this.seen });
  }

  #begin(battle) {
    this.battle = battle;
    this.seen = { a: 0, b: 0 };
    this.running = true;
  }

  #send(event) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
    else this.#open(event);
  }

  #open(first) {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/battle/`);
    this.socket = socket;
    socket.addEventListener("open", () => {
      socket.send(JSON.stringify(first));
      this.onStatus("connected");
    });
    socket.addEventListener("message", (message) => {
      if (socket === this.socket) this.#receive(JSON.parse(message.data));
    });
    socket.addEventListener("close", (close) => {
      if (socket === this.socket) this.#closed(close.code);
    });
  }

  #receive(event) {
    this.tries = 0;
    if (event.type === "battle.created") this.battle = event.battle;
    if (event.slot && event.seq !== undefined) this.seen[event.slot] = event.seq;
    if (["battle.ready", "battle.void", "error"].includes(event.type)) this.running = false;
    this.onEvent(event);
  }

  #closed(code) {
    if (!this.running) return;
    if (CLOSED_FOR_GOOD[code]) {
      this.running = false;
      this.onStatus("failed", CLOSED_FOR_GOOD[code]);
    } else if (!this.battle) {
      // Nothing came back: the battle was not opened, or its name was lost on the way.
      this.running = false;
      this.onStatus("failed", "The arena could not be reached. Your text is still here: please send it again.");
    } else {
      this.onStatus("reconnecting");
      const pause = BACKOFF[Math.min(this.tries, BACKOFF.length - 1)];
      this.tries += 1;
      setTimeout(() => this.resume(this.battle), pause * (1 + Math.random() / 2));
    }
  }
}
