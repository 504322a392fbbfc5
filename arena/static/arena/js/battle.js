// The battle page: from the question to the names.
//
// States, as on <main data-state>: empty → streaming → ready → voted, or over (void, skipped).

import { bindKeys } from "./keys.js";
import { Side } from "./side.js";
import { BattleSocket } from "./socket.js";

const page = document.querySelector(".battle");
const find = (name) => page.querySelector(`[data-${name}]`);

const composer = find("composer");
const input = composer.querySelector("textarea");
const send = find("send");
const stopButton = find("stop");
const alertLine = find("alert");
const voteTitle = find("vote-title");
const voteForm = find("vote-form");
const skipForm = find("skip-form");
const voteButtons = [...voteForm.querySelectorAll("button")];
const scroller = find("sides");
const tabs = [...page.querySelectorAll("[data-tab]")];
const template = find("turn-template");
const sides = Object.fromEntries(
  [...page.querySelectorAll(".side")].map((element) => [element.dataset.slot, new Side(element, template)]),
);
const narrow = matchMedia("(max-width: 959px)");
const maxChars = Number(page.dataset.maxChars);

let state = page.dataset.state;
let battle = page.dataset.battle || null;
let canContinue = page.dataset.canContinue === "true";
let readyAt = state === "ready" ? performance.now() : null;
let connected = true;
let asked = ""; // the question on its way; it leaves the box when the server has it
let stateBefore = state; // to fall back to when a question is refused
const seen = new Set(); // columns that were on the screen with an answer in them

const socket = new BattleSocket({ onEvent, onStatus });

// --- what is shown ---------------------------------------------------------------------------

function setState(next) {
  state = next;
  page.dataset.state = next;
  refresh();
}

function voteHindrance() {
  if (state !== "ready") return connected ? "Wait for both answers." : "Connection lost. Reconnecting…";
  for (const side of Object.values(sides)) {
    if (!seen.has(side.slot)) return `Read Model ${side.name}’s answer too: swipe, or tap its name.`;
  }
  return "";
}

const PLACEHOLDERS = {
  empty: "Ask anything…",
  streaming: "The models are answering…",
  ready: "Ask a follow-up, or vote",
  voted: "Ask something new",
  over: "Ask again",
};

function refresh() {
  const hindrance = voteHindrance();
  for (const button of voteButtons) button.disabled = hindrance !== "";
  if (state === "streaming" || state === "ready") voteTitle.textContent = hindrance || "Which answer is better?";
  const full = state === "ready" && !canContinue;
  input.placeholder = full ? "This battle has reached its last turn. Please vote." : PLACEHOLDERS[state];
  stopButton.hidden = state !== "streaming";
  send.hidden = state === "streaming";
  const length = [...input.value.trim()].length;
  const counter = find("counter");
  counter.hidden = length < 0.8 * maxChars;
  counter.textContent = `${length.toLocaleString("en")} of ${maxChars.toLocaleString("en")} characters`;
  counter.classList.toggle("counter-over", length > maxChars);
  send.disabled = state === "streaming" || full || length === 0 || length > maxChars;
}

function say(message) {
  alertLine.textContent = message;
  alertLine.hidden = !message;
}

function announce(message) {
  find("live").textContent = message;
}

// --- what the server says --------------------------------------------------------------------

function onEvent(event) {
  const side = sides[event.slot];
  switch (event.type) {
    case "battle.created":
      battle = event.battle;
      history.pushState(null, "", event.url);
      voteForm.action = `${event.url}vote/`;
      skipForm.action = `${event.url}skip/`;
      seen.clear();
      for (const each of Object.values(sides)) each.clear();
      showTab("a", "instant");
      break;
    case "turn.started":
      if (input.value.trim() === asked) input.value = "";
      // Out of the text box, so that the keys work; Tab goes on from where it was.
      if (input.value === "") input.blur();
      voteForm.elements.turn.value = event.turn;
      for (const each of Object.values(sides)) each.startTurn(event.turn, event.prompt);
      setState("streaming");
      break;
    case "slot.started":
      side.phase("answering", "answering");
      break;
    case "slot.retrying":
      side.phase("retrying", "starting");
      break;
    case "slot.delta":
      side.delta(event);
      markUnread(side);
      break;
    case "slot.completed":
      side.complete(event);
      markUnread(side);
      announce(`Model ${side.name} finished, ${event.words} words.`);
      break;
    case "battle.ready":
      canContinue = event.can_continue;
      readyAt = performance.now();
      setState("ready");
      look();
      announce("Both answers are here. Which one is better?");
      break;
    case "battle.void":
      for (const each of Object.values(sides)) each.phase("", "");
      if (!input.value) input.value = asked;
      setState("over");
      say(event.message);
      break;
    case "notice":
      say(event.message);
      break;
    case "error":
      say(event.message);
      // Another tab ended this battle: the question is still here, and starts a new one.
      if (event.code === "wrong_state") setState("over");
      else setState(battle ? stateBefore : "empty");
      break;
  }
}

function onStatus(status, message) {
  connected = status === "connected";
  if (status === "failed") {
    say(message);
    setState(battle ? stateBefore : "empty");
  }
  refresh();
}

// --- asking ----------------------------------------------------------------------------------

function ask() {
  refresh();
  if (send.disabled) return;
  asked = input.value.trim();
  say("");
  stateBefore = state;
  const again = state === "ready" ? battle : null;
  if (!again) battle = null;
  socket.submit(asked, again);
  // The page changes when the server answers; until then the button alone says that it was heard.
  send.disabled = true;
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
stopButton.addEventListener("click", () => socket.stop());
for (const example of page.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => {
    input.value = example.textContent;
    ask();
  });
}

// --- reading on a narrow screen --------------------------------------------------------------

function showTab(slot, behavior = "smooth") {
  const element = sides[slot].element;
  scroller.scrollTo({ left: element.offsetLeft - scroller.offsetLeft, behavior });
}

function shownSlot() {
  return scroller.scrollLeft > scroller.clientWidth / 2 ? "b" : "a";
}

function markUnread(side) {
  if (!narrow.matches || shownSlot() === side.slot) return;
  tabs.find((tab) => tab.dataset.tab === side.slot).querySelector(".dot").hidden = false;
}

/** Note what is on the screen now: an answer counts as seen once it was shown with text in it. */
function look() {
  const shown = narrow.matches ? [sides[shownSlot()]] : Object.values(sides);
  for (const side of shown) {
    if (side.hasText && state === "ready") seen.add(side.slot);
    const tab = tabs.find((each) => each.dataset.tab === side.slot);
    tab.querySelector(".dot").hidden = true;
  }
  for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.tab === shownSlot()));
  refresh();
}

for (const tab of tabs) tab.addEventListener("click", () => showTab(tab.dataset.tab));
scroller.addEventListener("scroll", look, { passive: true });
narrow.addEventListener("change", look);

// --- voting ----------------------------------------------------------------------------------

voteForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(voteForm, event.submitter);
  if (readyAt !== null) form.set("visible_ms", Math.round(performance.now() - readyAt));
  for (const button of voteButtons) button.disabled = true;
  say("");
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
      throw new Error(answer.error.message);
    }
    for (const side of Object.values(sides)) {
      side.showName(answer.reveal[side.slot], answer.choice === side.slot);
    }
    voteTitle.textContent = `You voted: ${answer.choice_label}`;
    setState("voted");
    if (answer.choice !== form.get("choice")) say("This battle already had your vote; that one stands.");
    announce(`Your vote is saved: ${answer.choice_label}. The names are in the column heads.`);
    find("new-battle").focus({ preventScroll: true });
  } catch (error) {
    // A failed fetch has a message for programmers; ours come from the server.
    say(error instanceof TypeError || error instanceof SyntaxError
      ? "Your vote could not be sent. Please press the button again."
      : error.message);
    refresh();
  }
});

const vote = (choice) => () => {
  const button = voteButtons.find((each) => each.value === choice);
  if (state === "ready" && !button.disabled) voteForm.requestSubmit(button);
};

const dialog = find("keys-dialog");
find("keys-open").addEventListener("click", () => dialog.showModal());
bindKeys(
  {
    1: vote("a"),
    2: vote("b"),
    3: vote("tie"),
    4: vote("both_bad"),
    0: () => state === "ready" && skipForm.requestSubmit(),
    n: () => state !== "empty" && state !== "streaming" && find("new-battle").click(),
    s: () => state === "streaming" && socket.stop(),
    "/": () => input.focus(),
    "?": () => dialog.showModal(),
  },
  dialog,
);

addEventListener("popstate", () => location.reload());
if (state === "streaming") socket.resume(battle);
else if (state === "empty") input.focus({ preventScroll: true });
look();
for (const { turns } of Object.values(sides)) turns.scrollTop = turns.lastElementChild?.offsetTop - turns.offsetTop || 0;
