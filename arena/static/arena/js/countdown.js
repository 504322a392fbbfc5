// A wait that the server asked for, told second by second.

const clock = (seconds) => {
  if (seconds >= 7200) return `${Math.round(seconds / 3600)} h`;
  if (seconds >= 120) return `${Math.ceil(seconds / 60)} min`;
  return `${seconds} s`;
};

export class Countdown {
  /** @param {(words: string, over: boolean) => void} onTick */
  constructor(onTick) {
    this.onTick = onTick;
    this.until = 0;
  }

  get running() {
    return this.until > Date.now();
  }

  /** @param {(left: string) => string} words what to say with the time that is left */
  start(seconds, words) {
    clearInterval(this.timer);
    this.until = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((this.until - Date.now()) / 1000);
      if (left > 0) {
        this.onTick(words(clock(left)), false);
      } else {
        clearInterval(this.timer);
        this.onTick("", true);
      }
    };
    this.timer = setInterval(tick, 1000);
    tick();
  }

  stop() {
    clearInterval(this.timer);
    this.until = 0;
  }
}
