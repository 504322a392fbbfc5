// Runs under way, as they go: one socket for each run the page shows. It comes back by itself. The
// server sends finished words; where they go is said by `data-word`.

const BACKOFF = [500, 1000, 2000, 4000, 8000]; // milliseconds before each new try
const OVER = 4000;
const FOR_GOOD = new Set([4403, 4404]);

class Watcher {
  constructor(place) {
    this.place = place;
    this.tries = 0;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/benchmarks/${this.place.dataset.run}/`);
    socket.addEventListener("message", (message) => {
      this.tries = 0;
      this.say("live");
      this.show(JSON.parse(message.data));
    });
    socket.addEventListener("close", (close) => this.closed(close.code));
  }

  closed(code) {
    if (code === OVER) {
      this.say("");
      if (this.place.matches(".live")) renew();
    } else if (FOR_GOOD.has(code)) {
      this.say("Not renewed: please log in again and reload.");
    } else {
      this.say("connecting again …");
      const pause = BACKOFF[Math.min(this.tries, BACKOFF.length - 1)];
      this.tries += 1;
      setTimeout(() => this.open(), pause * (1 + Math.random() / 2));
    }
  }

  say(text) {
    const link = this.place.querySelector("[data-link]");
    if (link && link.textContent !== text) link.textContent = text;
  }

  show(found) {
    for (const [name, text] of Object.entries(found.words)) {
      for (const target of this.place.querySelectorAll(`[data-word="${name}"]`)) {
        if (target.textContent !== text) target.textContent = text;
        if (name === "reason") target.hidden = !text;
        if (name === "state" && target.matches(".tag")) target.className = `tag state-${found.state}`;
      }
    }
    const bar = this.place.querySelector("progress");
    if (bar) {
      bar.max = found.total;
      bar.value = found.ended;
    }
    this.place.dataset.state = found.state;
    if (this.place.matches(".live")) showButtons(found);
  }
}

// Only what the state allows is offered.
function showButtons(found) {
  for (const button of document.querySelectorAll("[data-for]")) {
    const allowed = button.dataset.for.split(" ").includes(found.state);
    button.hidden = !allowed || (button.hasAttribute("data-needs-errors") && !found.errors);
  }
}

// At its end a run's page has results: they take the place of the progress.
async function renew() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  announce("The run has ended. Its results are shown now.");
}

function announce(text) {
  const region = document.createElement("p");
  region.className = "visually-hidden";
  region.setAttribute("role", "status");
  document.body.append(region);
  setTimeout(() => (region.textContent = text), 100); // a region speaks of what changes in it
}

for (const place of document.querySelectorAll("[data-run]")) new Watcher(place);
