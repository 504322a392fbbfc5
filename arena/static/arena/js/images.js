// Images for the next question: chosen, pasted or dropped, uploaded at once, shown small, removable.

const MOST = 4; // of one question
const LARGEST = 5_000_000; // bytes that the server takes
const LONGEST_SIDE = 1568; // pixels; the server makes larger ones smaller
const KINDS = ["image/png", "image/jpeg", "image/webp", "image/gif"];

export class Images {
  /** @param {HTMLFormElement} composer @param {{changed: () => void, say: (message: string) => void}} listeners */
  constructor(composer, { changed, say }) {
    this.changed = changed;
    this.say = say;
    this.button = composer.querySelector("[data-attach]");
    this.list = composer.querySelector("[data-thumbs]");
    this.waiting = []; // {id, url, width, height}; without an id while it is on its way
    this.sent = []; // with the question that is being answered
    this.token = composer.elements.csrfmiddlewaretoken.value;
    if (!this.button) return;
    const files = composer.querySelector("[data-files]");
    this.button.addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      this.add(files.files);
      files.value = "";
    });
    composer.querySelector("textarea").addEventListener("paste", (event) => {
      const pasted = pictures(event.clipboardData.files);
      if (!this.offered || !pasted.length) return;
      event.preventDefault();
      this.add(pasted);
    });
    this.#acceptDrops(composer);
  }

  get ids() {
    return this.waiting.map((image) => image.id);
  }

  get busy() {
    return this.waiting.some((image) => !image.id);
  }

  /** Whether there may be images with the next question. */
  set offered(offered) {
    if (this.button) this.button.hidden = !offered;
  }

  get offered() {
    return Boolean(this.button) && !this.button.hidden;
  }

  async add(files) {
    const room = MOST - this.waiting.length;
    const chosen = [...files].slice(0, room);
    this.say(files.length > room ? `At most ${MOST} images can be sent with one question.` : "");
    await Promise.all(chosen.map((file) => this.#upload(file)));
  }

  /** Those of another question again: they are uploaded anew, for each belongs to one question. */
  async addAgain(urls) {
    const found = await Promise.all(urls.map(async (url) => (await fetch(url)).blob()));
    await this.add(found);
  }

  /** The server has the question, and perhaps says so again: what went with it leaves the box. */
  leave(images) {
    const gone = new Set(images.map((image) => image.id));
    this.sent = images.length ? images : this.sent;
    this.waiting = this.waiting.filter((image) => !gone.has(image.id));
    this.#draw();
  }

  /** The battle came to nothing: its images can be sent again. */
  comeBack() {
    this.waiting = [...this.sent, ...this.waiting].slice(0, MOST);
    this.sent = [];
    this.#draw();
  }

  async #upload(file) {
    const image = {};
    this.waiting.push(image);
    this.#draw();
    try {
      const form = new FormData();
      form.set("image", await small(file), file.name || "image");
      const response = await fetch("/images/", {
        method: "POST",
        headers: { "X-CSRFToken": this.token },
        body: form,
      });
      const answer = await response.json();
      if (!response.ok) throw new Refusal(answer.error.message);
      Object.assign(image, answer);
      if (answer.note) this.say(answer.note);
    } catch (error) {
      // Other errors have messages for programmers only.
      this.say(error instanceof Refusal ? error.message : "The image could not be uploaded. Please try again.");
      this.waiting = this.waiting.filter((each) => each !== image);
    }
    this.#draw();
  }

  #remove(image) {
    this.waiting = this.waiting.filter((each) => each !== image);
    fetch(`${image.url}discard/`, { method: "POST", headers: { "X-CSRFToken": this.token } }).catch(() => {});
    this.#draw();
    (this.list.querySelector("button") ?? this.button).focus();
  }

  #draw() {
    this.list.hidden = this.waiting.length === 0;
    this.list.replaceChildren(
      ...this.waiting.map((image, index) => {
        const item = document.createElement("li");
        item.className = "thumb";
        if (!image.id) {
          item.setAttribute("aria-busy", "true");
          item.setAttribute("aria-label", `Image ${index + 1} is being uploaded`);
          return item;
        }
        const remove = document.createElement("button");
        remove.type = "button";
        remove.className = "thumb-remove";
        remove.title = `Remove image ${index + 1}`;
        remove.setAttribute("aria-label", remove.title);
        remove.textContent = "×";
        remove.addEventListener("click", () => this.#remove(image));
        item.append(shown(image, `Image ${index + 1}, ${image.width} × ${image.height} pixels`), remove);
        return item;
      }),
    );
    this.changed();
  }

  #acceptDrops(composer) {
    const has = (event) => this.offered && [...event.dataTransfer.types].includes("Files");
    document.addEventListener("dragover", (event) => {
      if (!has(event)) return;
      event.preventDefault();
      composer.classList.add("composer-drop");
    });
    for (const end of ["dragleave", "drop"]) {
      document.addEventListener(end, (event) => {
        if (end === "drop" || !event.relatedTarget) composer.classList.remove("composer-drop");
      });
    }
    document.addEventListener("drop", (event) => {
      if (!has(event)) return;
      event.preventDefault(); // or the browser would leave the page for the file
      const dropped = pictures(event.dataTransfer.files);
      if (dropped.length) this.add(dropped);
      else this.say("Only PNG, JPEG, WebP and GIF images can be sent.");
    });
  }
}

class Refusal extends Error {}

function pictures(files) {
  return [...files].filter((file) => KINDS.includes(file.type));
}

function shown({ url, width, height }, alt) {
  return Object.assign(document.createElement("img"), { src: url, width, height, alt });
}

/** Images beside a question, each a link to itself. */
export function showImages(element, images) {
  element.replaceChildren(
    ...images.map((image, index) => {
      const link = Object.assign(document.createElement("a"), { href: image.url, target: "_blank", rel: "noopener" });
      link.append(shown(image, `Image ${index + 1} of the question`));
      return link;
    }),
  );
  element.hidden = images.length === 0;
}

/** A photograph that is too large to send, smaller; anything else as it is. */
async function small(file) {
  if (file.size <= LARGEST) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff"; // JPEG knows no transparency
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return (await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92))) ?? file;
  } catch {
    return file; // the server says what is wrong with it
  }
}
