// What can be done with an answer: copy it, see it as the model wrote it, copy a piece of code.

/** A button in the head of every block of code that has none yet. */
export function addCodeButtons(root) {
  for (const head of root.querySelectorAll(".code-head:not(:has(button))")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tool";
    button.dataset.copyCode = "";
    button.textContent = "Copy code";
    head.append(button);
  }
}

/** Say on the button itself what came of it; a screen reader hears it from `announce`. */
function answerOn(button, words, announce) {
  const before = (button.dataset.label ??= button.textContent);
  button.textContent = words;
  announce(words);
  setTimeout(() => (button.textContent = before), 1600);
}

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

/** Without https a page may not write to the clipboard: then `element` is selected for the keys. */
async function copy(text, element, button, announce) {
  try {
    await navigator.clipboard.writeText(await text);
    answerOn(button, "Copied", announce);
  } catch {
    if (element) select(element);
    answerOn(button, element ? "Selected: press Ctrl+C" : "Could not be copied", announce);
  }
}

/**
 * @param {HTMLElement} page
 * @param {(turn: string, slot: string) => Promise<string>} rawText of an answer
 * @param {(slot: string) => void} again asks one side again
 * @param {(words: string) => void} announce
 */
export function bindTools(page, { rawText, again, announce }) {
  page.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if ("copyCode" in button.dataset) {
      const code = button.closest(".code").querySelector("code");
      await copy(code.textContent, code, button, announce);
      return;
    }
    const turn = button.closest(".turn");
    if (!turn) return;
    const slot = button.closest("[data-slot]").dataset.slot;
    const answer = turn.querySelector("[data-answer]");
    const raw = turn.querySelector("[data-raw]");
    if ("copy" in button.dataset) {
      await copy(rawText(turn.dataset.turn, slot), raw.hidden ? answer : raw, button, announce);
    } else if ("again" in button.dataset) {
      again(slot);
    } else if ("showRaw" in button.dataset) {
      const show = raw.hidden;
      try {
        if (show) raw.textContent = await rawText(turn.dataset.turn, slot);
      } catch {
        answerOn(button, "Could not be loaded", announce);
        return;
      }
      raw.hidden = !show;
      answer.hidden = show;
      button.setAttribute("aria-pressed", String(show));
    }
  });
}
