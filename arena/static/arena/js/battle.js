// The page of a conversation: from the question to the names.
//
// States, as on <main data-state>: empty → drawing → streaming → ready → voted, or over (void,
// skipped); from voted to continuing, when the same two are asked further.

import { Chooser } from "./chooser.js";
import { Countdown } from "./countdown.js";
import { Images } from "./images.js";
import { bindKeys } from "./keys.js";
import { Reading } from "./reading.js";
import { Side } from "./side.js";
import { BattleSocket } from "./socket.js";
import { bindTools } from "./tools.js";

const page = document.querySelector(".battle");
const find = (name) => page.querySelector(`[data-${name}]`);

const composer = find("composer");
const input = composer.querySelector("textarea");
const send = find("send");
const stopButton = find("stop");
const alertLine = find("alert");
const banner = find("banner");
const voteTitle = find("vote-title");
const voteForm = find("vote-form");
const skipForm = find("skip-form");
const shareForm = find("share-form");
const regenerateButton = find("regenerate");
const goOnButton = find("go-on");
const samePromptButton = find("same-prompt");
const newBattle = find("new-battle");
const voteButtons = voteForm ? [...voteForm.querySelectorAll("button")] : [];
const template = find("turn-template");
const sides = Object.fromEntries(
  [...page.querySelectorAll(".side")].map((element) => [element.dataset.slot, new Side(element, template)]),
);
const both = Object.values(sides);
const maxChars = Number(page.dataset.maxChars);
const LONGEST_WAIT = 3600; // seconds that the page counts down; a longer one is only told

let mode = page.dataset.mode;
let state = page.dataset.state;
let battle = page.dataset.battle || null;
let canContinue = page.dataset.canContinue === "true";
let canGoOn = page.dataset.canGoOn === "true";
let canRegenerate = page.dataset.canRegenerate === "true";
let readyAt = state === "ready" ? performance.now() : null;
let connected = true;
let asked = ""; // the question on its way; it leaves the box when the server has it
let stateBefore = state; // to fall back to when a question is refused
let notice = ""; // what the server has to say of the question, before the turn starts or after
let goingOn = false; // the question on its way is for the two that were judged

const socket = new BattleSocket({ onEvent, onStatus });
const chooser = new Chooser(page);
const images = new Images(composer, { changed: refresh, say });
const reading = new Reading(page, sides, refresh);
const wait = new Countdown((words, over) => {
  if (over) say("");
  else alertLine.textContent = words;
  refresh();
});

// --- what is shown ---------------------------------------------------------------------------

function setState(next) {
  state = next;
  page.dataset.state = next;
  refresh();
}

function voteHindrance() {
  if (state !== "ready") return "Wait for both answers.";
  if (wait.running) return "One moment, please.";
  if (!reading.unseen) return "";
  return `Read ${reading.unseen}’s answer too${reading.narrow.matches ? ": swipe, or tap its name" : ""}.`;
}

const PLACEHOLDERS = {
  empty: "Ask anything…",
  drawing: "Your question is on its way…",
  streaming: "Wait for the answer…",
  ready: "Ask a follow-up, or vote",
  voted: "Ask something new",
  continuing: "Ask these two models further…",
  over: "Ask again",
};

function placeholder() {
  if (closed()) return state === "over" && canRegenerate ? "Try again, or start a new one" : "Start a new one above";
  if (goesOn()) return PLACEHOLDERS.continuing;
  if (state !== "ready") return PLACEHOLDERS[state];
  if (!canContinue) return voteForm ? "This battle has reached its last turn. Please vote." : "This chat has reached its last turn.";
  return voteForm ? PLACEHOLDERS.ready : "Ask a follow-up";
}

/** In a battle images come with the first question, or never: later they would tell who can see. */
function takesImages() {
  return state !== "ready" || mode !== "battle" || page.querySelector("[data-images] img") !== null;
}

function refresh() {
  const busy = state === "streaming" || state === "drawing";
  if (voteForm) {
    const hindrance = voteHindrance();
    for (const button of voteButtons) button.disabled = hindrance !== "";
    if (busy || state === "ready") voteTitle.textContent = hindrance || "Which answer is better?";
  }
  const full = state === "ready" && !canContinue;
  input.placeholder = placeholder();
  stopButton.hidden = state !== "streaming";
  send.hidden = state === "streaming";
  images.offered = !busy && !full && !closed() && takesImages();
  const again = ["ready", "over"].includes(state) && canRegenerate;
  regenerateButton.hidden = !again;
  for (const button of page.querySelectorAll("[data-again]")) {
    const turn = button.closest(".turn");
    button.hidden = !(again && both.length > 1 && turn.matches(".turn:last-child[data-stopped]"));
  }
  if (goOnButton) goOnButton.hidden = !(state === "voted" && canGoOn);
  if (samePromptButton) samePromptButton.hidden = !(state === "voted" && mode === "battle");
  shareForm.hidden = !(state === "voted" || (state === "ready" && mode !== "battle"));
  banner.hidden = connected;
  banner.textContent = connected ? "" : "Connection lost. Reconnecting… Nothing is lost: the answers go on.";
  page.toggleAttribute("data-disconnected", !connected);
  const length = [...input.value.trim()].length;
  const counter = find("counter");
  counter.hidden = length < 0.8 * maxChars;
  counter.textContent = length > maxChars
    ? `${(length - maxChars).toLocaleString("en")} characters too many`
    : `${length.toLocaleString("en")} of ${maxChars.toLocaleString("en")} characters`;
  counter.classList.toggle("counter-over", length > maxChars);
  send.disabled = busy || full || length === 0 || length > maxChars || wait.running || closed() || images.busy;
}

function say(message) {
  wait.stop();
  alertLine.textContent = message;
  alertLine.hidden = !message;
}

/** The same, and count down where the server says when to come back. */
function sayUntil({ message, retry_after: seconds }, then) {
  say(message);
  if (!seconds || seconds > LONGEST_WAIT) return;
  const told = /\bin \d+ s\b/;
  wait.start(seconds, (left) => told.test(message) ? message.replace(told, `in ${left}`) : `${message} ${then} in ${left}.`);
}

function announce(message) {
  find("live").textContent = message;
}

function named(names) {
  for (const [slot, name] of Object.entries(names)) {
    sides[slot].name = name;
    const tab = page.querySelector(`[data-tab="${slot}"] [data-tab-name]`);
    if (tab) tab.textContent = name;
  }
}

// --- what the server says --------------------------------------------------------------------

function onEvent(event) {
  const side = sides[event.slot];
  switch (event.type) {
    case "battle.created":
      battle = event.battle;
      images.sent = [];
      history.pushState(null, "", event.url);
      if (voteForm) {
        voteForm.action = `${event.url}vote/`;
        skipForm.action = `${event.url}skip/`;
        voteForm.reset();
        find("why").open = false;
      }
      shareForm.action = `${event.url}share/`;
      find("shared")?.remove();
      if (goingOn) {
        beNamed();
      } else {
        for (const each of both) each.clear();
        if (chooser.there) named(chooser.names);
      }
      reading.restart({ first: true });
      break;
    case "turn.started":
      if (input.value.trim() === asked) input.value = "";
      // Out of the text box, so that the keys work; Tab goes on from where it was.
      if (input.value === "") input.blur();
      if (voteForm) voteForm.elements.turn.value = event.turn;
      reading.restart();
      for (const slot of event.slots) sides[slot].startTurn(event.turn, event.prompt, event.images);
      images.leave(event.images ?? []);
      say(notice);
      setState("streaming");
      break;
    case "slot.started":
      side.phase("answering", "answering");
      break;
    case "slot.retrying":
      side.phase("retrying", "retrying");
      break;
    case "slot.delta":
      side.delta(event);
      reading.markUnread(side.slot);
      break;
    case "slot.completed":
      side.complete(event);
      reading.markUnread(side.slot);
      announce(`${side.name} finished, ${event.words} words.`);
      break;
    case "battle.ready":
      canContinue = event.can_continue;
      canRegenerate = true;
      readyAt = performance.now();
      for (const [slot, found] of Object.entries(event.sources ?? {})) sides[slot].sources(found);
      // Both sides alike, also when one alone has answered again.
      if (both.some((each) => each.hasSources)) {
        for (const each of both) if (!each.hasSources) each.sources(0);
      }
      reading.ready = true;
      setState("ready");
      reading.look();
      if (voteForm) announce("Both answers are here. Which one is better?");
      break;
    case "battle.void":
      canRegenerate = mode !== "battle";
      for (const slot of event.withdrawn ?? []) sides[slot].withdraw();
      for (const each of both) {
        if (mode === "battle") each.phase("", "");
        else if (!each.done) each.phase("failed", "no answer");
      }
      if (!canRegenerate) {
        if (!input.value) input.value = asked;
        images.comeBack();
      }
      setState("over");
      say(event.message);
      break;
    case "notice":
      notice = event.message;
      say(notice);
      break;
    case "error":
      sayUntil(event, "You can send it again");
      for (const each of both) if (each.element.dataset.phase === "drawing") each.phase("", "");
      // Another tab ended this battle: the question is still here, and starts a new one.
      if (event.code === "wrong_state") canRegenerate = false;
      setState(event.code === "wrong_state" ? "over" : stateBefore);
      break;
  }
}

function onStatus(status, message) {
  connected = status !== "reconnecting";
  if (status === "failed") {
    say(message);
    setState(stateBefore);
  }
  refresh();
}

// --- asking ----------------------------------------------------------------------------------

/** Whether the next question goes on with the two that were judged. */
const goesOn = () => state === "continuing" || (state === "voted" && mode !== "battle" && canGoOn);
/** A page that knows its models by their names alone can ask nobody else. */
const closed = () => ["voted", "over"].includes(state) && mode !== "battle" && !chooser.there && !goesOn();

function opening() {
  const terms = page.dataset.terms;
  if (goesOn()) return { terms, continues: battle };
  if (chooser.there) return { terms, ...chooser.opening };
  return { terms };
}

function ask() {
  refresh();
  if (send.disabled) return;
  const fresh = state !== "ready";
  goingOn = goesOn();
  if (fresh && !goingOn && chooser.hindrance) {
    say(chooser.hindrance);
    return;
  }
  asked = input.value.trim();
  notice = "";
  say("");
  stateBefore = state;
  const along = images.ids.length ? { images: images.ids } : {};
  if (fresh) socket.submit(asked, null, { ...opening(), ...along });
  else socket.submit(asked, battle, along);
  if (["empty", "over"].includes(state)) {
    for (const each of both) {
      each.clear();
      each.phase("drawing", mode === "battle" ? "drawing" : "starting");
    }
    if (chooser.there) named(chooser.names);
  }
  setState("drawing");
}

/** The same two models, by their names: what follows is another conversation with them. */
function goOn() {
  setState("continuing");
  say("");
  input.focus();
}

function beNamed() {
  if (mode === "side_by_side") {
    for (const side of both) side.hideNames();
    return;
  }
  mode = page.dataset.mode = "side_by_side";
  named(Object.fromEntries(both.map((side) => [side.slot, side.reveal.querySelector(".reveal-name").firstChild.textContent.trim()])));
  for (const side of both) side.hideNames();
  find("heading").textContent = "Two models side by side";
}

function regenerate(slot = null) {
  if (!canRegenerate || !battle) return;
  stateBefore = state;
  asked = "";
  say("");
  socket.regenerate(battle, slot);
  regenerateButton.hidden = true;
}

function again() {
  if (!["ready", "over"].includes(state)) return;
  if (canRegenerate) regenerate();
  else if (state === "over" && input.value.trim()) ask();
}

function stop() {
  for (const side of both) {
    if (!side.done && side.turn) side.turn.dataset.stopped = "";
  }
  socket.stop();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  }
});
input.addEventListener("input", refresh);
if (!CSS.supports("field-sizing", "content")) {
  // What the style sheet does elsewhere.
  input.addEventListener("input", () => {
    input.style.height = "auto";
    input.style.height = `${input.scrollHeight + 2}px`;
  });
}
stopButton.addEventListener("click", stop);
regenerateButton.addEventListener("click", () => regenerate());
goOnButton?.addEventListener("click", goOn);
samePromptButton?.addEventListener("click", async () => {
  const first = page.querySelector(".turn");
  input.value = first.querySelector("[data-prompt]").textContent;
  await images.addAgain([...first.querySelectorAll("[data-images] img")].map((image) => image.src));
  ask();
});
for (const example of page.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => {
    input.value = example.textContent;
    ask();
  });
}
bindTools(page, {
  again: regenerate,
  announce,
  rawText: async (turn, slot) => {
    const response = await fetch(`/battle/${battle}/${turn}/${slot}.txt`);
    if (!response.ok) throw new Error(response.statusText);
    return response.text();
  },
});
find("copy-link")?.addEventListener("click", async (event) => {
  const { href } = find("share-link");
  try {
    await navigator.clipboard.writeText(href);
    event.target.textContent = "Copied";
    announce("Copied");
  } catch {
    event.target.textContent = href;
  }
});

// --- voting ----------------------------------------------------------------------------------

voteForm?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(voteForm, event.submitter);
  if (readyAt !== null) form.set("visible_ms", Math.round(performance.now() - readyAt));
  for (const button of voteButtons) button.disabled = true;
  say("");
  voteTitle.textContent = "Saving your vote…";
  try {
    const response = await fetch(voteForm.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(form),
    });
    const answer = await response.json();
    if (!response.ok) {
      // Another tab went on with this battle: show where it stands now.
      if (["wrong_state", "wrong_turn"].includes(answer.error.code)) location.reload();
      sayUntil(answer.error, "You can vote");
      refresh();
      return;
    }
    for (const side of both) {
      side.showName(answer.reveal[side.slot], answer.choice === side.slot);
      side.showSources(answer.sources[side.slot] ?? {});
    }
    voteTitle.textContent = `You voted: ${answer.choice_label}`;
    canGoOn = canContinue;
    setState("voted");
    if (answer.choice !== form.get("choice")) say("This battle already had your vote; that one stands.");
    announce(`Your vote is saved: ${answer.choice_label}. The names are in the column heads.`);
    newBattle.focus({ preventScroll: true });
  } catch {
    // A failed fetch has a message for programmers only.
    say("Your vote could not be sent. Please press the button again.");
    refresh();
  }
});

const vote = (choice) => () => {
  const button = voteButtons.find((each) => each.value === choice);
  if (state === "ready" && button && !button.disabled) voteForm.requestSubmit(button);
};

const dialog = find("keys-dialog");
find("keys-open").addEventListener("click", () => dialog.showModal());
bindKeys(
  {
    1: vote("a"),
    2: vote("b"),
    3: vote("tie"),
    4: vote("both_bad"),
    0: () => state === "ready" && skipForm?.requestSubmit(),
    n: () => ["ready", "voted", "continuing", "over"].includes(state) && newBattle.click(),
    r: again,
    s: () => state === "streaming" && stop(),
    "/": () => input.focus(),
    "?": () => dialog.showModal(),
  },
  dialog,
);

addEventListener("popstate", () => location.reload());
if (state === "streaming") socket.resume(battle);
else if (state === "empty") input.focus({ preventScroll: true });
reading.ready = state === "ready";
reading.look();
for (const { turns } of both) turns.scrollTop = turns.lastElementChild?.offsetTop - turns.offsetTop || 0;
